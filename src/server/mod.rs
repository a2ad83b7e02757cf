//! The model behind HTTP, as OpenAI's and DeepSeek's clients expect it.
//!
//! Reads and writes sockets; what requests and replies mean is up to `openai`. The model runs on a thread of
//! its own, and nothing here waits for it but the requests themselves.

mod answers;
mod app;
mod body;
mod connections;
mod engine;
mod errors;
mod lifecycle;
mod metrics;
mod models;
mod options;
mod page;
mod patient;
mod routes;
mod security;
mod tokens;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::time::timeout;

use app::App;
use connections::Connections;

use crate::error::{Error, Result};
use crate::llm::Llm;

pub use options::{Patience, ServerOptions};
pub use routes::routes;

/// A server that has its port, and answers requests once it runs.
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
}

impl Server {
    /// Takes the port.
    ///
    /// # Errors
    /// [`Error::Address`] if it is not to be had, [`Error::Usage`] for options that would let strangers in.
    pub async fn bind(options: ServerOptions) -> Result<Self> {
        options.check()?;
        let refused = |source| Error::Address {
            address: format!("{}:{}", options.host, options.port),
            source,
        };
        let address = (options.host.as_str(), options.port);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        Ok(Self {
            listener,
            app: Arc::new(App::new(options, bound)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// Loads the model on a thread of its own and answers requests until `stop` is over; those under way
    /// then have [`Patience::drain`] to end.
    ///
    /// # Errors
    /// Those of `load`.
    pub async fn run(
        self,
        load: impl FnOnce() -> Result<Llm> + Send + 'static,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let Self { listener, app } = self;
        let mut engine = engine::start(Arc::clone(&app), load);
        let connections = Connections::new(Arc::clone(&app));
        let accepting = connections.clone().accept(listener);
        tokio::select! {
            ended = &mut engine => {
                accepting.abort();
                return ended.unwrap_or_else(|_| Err(Error::Internal("the engine stopped".into())));
            }
            () = stop => app.lifecycle.drain(),
        }
        let patience = app.options.patience.drain;
        let drained = async {
            app.lifecycle.idle().await;
            connections.close().await;
        };
        // Whoever is still there has had the time that was promised.
        _ = timeout(patience, drained).await;
        accepting.abort();
        let was_loaded = app.lifecycle.is_loaded();
        app.close();
        drop(connections);
        if was_loaded {
            // A step is short, and the device is closed before the program is.
            _ = timeout(engine::LAST_STEP, engine).await;
        }
        Ok(())
    }
}
