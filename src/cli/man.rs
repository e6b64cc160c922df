//! `asof man`: the manual, from the same words as the help.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;
use super::console::Console;
use super::failure::{Failure, Status};

/// Print the manual page, or write the pages of all commands into a folder
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof man | man -l -
    asof man --out ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// Command whose page to print
    ///
    /// Default: the page of asof itself.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Folder to write the pages of all commands into
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Prints or writes the pages.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let mut root = Cli::command();
    root.build();
    match (&args.out, &args.command) {
        (Some(folder), _) => write_pages(&root, folder)?,
        (None, None) => console.bytes(&page(&root)?)?,
        (None, Some(name)) => {
            let found = root.get_subcommands().find(|c| c.get_name() == name);
            let command = found.ok_or_else(|| {
                let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
                let hint = format!("choose one of {}", names.join(", "));
                Failure::usage(format!("there is no command {name:?}"), hint)
            })?;
            console.bytes(&page(command)?)?;
        }
    }
    Ok(Status::Clean)
}

fn write_pages(root: &clap::Command, folder: &Path) -> Result<(), Failure> {
    for command in std::iter::once(root).chain(root.get_subcommands()) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = folder.join(format!("{name}.1"));
        let page = page(command)?;
        std::fs::write(&path, page).map_err(|source| Failure::Io { path, source })?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(Failure::Output)?;
    Ok(page)
}
