//! `asof completions`: what a shell needs to complete commands and flags.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::console::Console;
use super::failure::{Failure, Status};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof completions bash > ~/.local/share/bash-completion/completions/asof
    asof completions zsh > \"${fpath[1]}/_asof\"
    asof completions fish > ~/.config/fish/completions/asof.fish")]
pub(crate) struct Args {
    /// Shell to print them for
    shell: Shell,
}

/// Prints the completion script.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "asof", &mut script);
    console.bytes(&script)?;
    Ok(Status::Clean)
}
