//! `tiefsee completions`: a shell's script that completes commands and flags.

use clap_complete::Shell;
use tiefsee::{Error, Result};

use super::output;

const EXAMPLES: &str = "\
Examples:
  tiefsee completions bash > ~/.local/share/bash-completion/completions/tiefsee
  tiefsee completions fish > ~/.config/fish/completions/tiefsee.fish";

/// Print a script that completes commands and flags in a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Those of writing.
pub(crate) fn run(arguments: &Arguments, command: &mut clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "tiefsee", &mut script);
    let script = String::from_utf8(script).map_err(|error| Error::Internal(error.to_string()))?;
    output::write(&script)
}
