//! `tiefsee serve`: the model behind HTTP.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tiefsee::server::{Server, ServerOptions};
use tiefsee::{Error, Result};
use tokio::runtime;

use super::cache_file;
use super::common::ModelArguments;
use super::output::note;
use super::signals;

const EXAMPLES: &str = "\
Examples:
  tiefsee serve                                    the bundled model on http://127.0.0.1:8383
  tiefsee serve ./model --slots 8 --ctx 16384
  tiefsee run ./model --system \"$(cat rules.txt)\" Hello --cache-file rules.cache
  tiefsee serve ./model --cache-file rules.cache   the rules need not be read again
  tiefsee serve model.gguf --host 0.0.0.0 --api-key \"$KEY\"
  curl http://127.0.0.1:8383/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is 27 + 48?\"}]}'

Only this machine may use it unless --api-key or --insecure is given. SIGTERM and Ctrl-C let answers under way
end, for up to 30 seconds. Exit status 9 if the address is in use.";

/// Answer requests of OpenAI's and DeepSeek's clients
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The address to listen on
    #[arg(long, env = "TIEFSEE_HOST", hide_env_values = true, default_value = "127.0.0.1", help_heading = SERVER)]
    host: String,
    /// The port to listen on; 0 for any that is free
    #[arg(long, env = "TIEFSEE_PORT", hide_env_values = true, default_value_t = 8383, help_heading = SERVER)]
    port: u16,
    /// What clients have to know: a bearer token, or x-api-key
    #[arg(long, value_name = "KEY", env = "TIEFSEE_API_KEY", hide_env_values = true, help_heading = SERVER)]
    api_key: Option<String>,
    /// What the model is called [default: the last part of MODEL]
    #[arg(long, value_name = "NAME", help_heading = SERVER)]
    served_model_name: Option<String>,
    /// Answers that are generated together; each has room for --ctx tokens
    #[arg(long, value_name = "N", env = "TIEFSEE_SLOTS", hide_env_values = true, default_value = "4", help_heading = SERVER)]
    slots: NonZeroUsize,
    /// Answers that may wait for a slot
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = SERVER)]
    queue: usize,
    /// Begin with what a prompt left in the cache, as `tiefsee run --cache-file` writes it: prompts that begin alike, such as
    /// those with a long system message, go on from it
    #[arg(long, value_name = "FILE", help_heading = SERVER)]
    cache_file: Option<PathBuf>,
    /// An origin whose pages may use the server, besides those of this machine; may be given several times, * for all
    #[arg(long, value_name = "ORIGIN", help_heading = SERVER)]
    cors_origin: Vec<String>,
    /// A name that requests may call the server by, besides addresses and localhost; may be given several times
    #[arg(long, value_name = "NAME", help_heading = SERVER)]
    allow_host: Vec<String>,
    /// Let other machines use it without a key
    #[arg(long, help_heading = SERVER)]
    insecure: bool,
}

const SERVER: &str = "Server";

impl Arguments {
    fn options(&self) -> ServerOptions {
        let name = || last_part(&self.model.model);
        ServerOptions {
            host: self.host.clone(),
            port: self.port,
            api_key: self.api_key.clone(),
            model: self.served_model_name.clone().unwrap_or_else(name),
            weights: Some(self.model.model.clone()),
            slots: self.slots.get(),
            queue: self.queue,
            cors_origins: self.cors_origin.clone(),
            allowed_hosts: self.allow_host.clone(),
            insecure: self.insecure,
            ..ServerOptions::default()
        }
    }
}

fn last_part(model: &str) -> String {
    let name = Path::new(model).file_name();
    name.map_or(model.into(), |name| name.to_string_lossy().into_owned())
}

/// Serves until it is told to stop.
///
/// # Errors
/// [`Error::Address`] if the address is not to be had, and those of loading.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let threads = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let threads =
        threads.map_err(|error| Error::Internal(format!("threads cannot be started: {error}")))?;
    threads.block_on(serve(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let stop = signals::stop()?;
    let server = Server::bind(arguments.options()).await?;
    let address = server.address();
    note(&format!("listening on http://{address}"));
    let (model, slots) = (arguments.model.clone(), arguments.slots.get());
    let cache = arguments.cache_file.clone();
    let load = move || {
        let mut llm = model.load_for(slots)?;
        if let Some(path) = cache {
            let tokens = cache_file::load(&mut llm, &path)?;
            note(&format!(
                "{}: a prompt's first {tokens} tokens",
                path.display()
            ));
        }
        note(&format!("{} answers on http://{address}", model.model));
        Ok(llm)
    };
    server.run(load, stop).await
}
