//! `asof demo`: a sample plan with data, ready to run.

use std::path::PathBuf;

use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Write a sample plan with data, ready to run
///
/// Several related tables, a year of changes, and a few planted discrepancies.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof demo
    asof snapshot asof-demo --as-of 2025-12-31 --out evidence")]
pub(crate) struct Args {
    /// Folder to write the sample into
    #[arg(value_name = "DIR", default_value = "asof-demo")]
    folder: PathBuf,

    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Writes the sample and says what to do with it.
pub(crate) fn run(args: &Args, _console: &mut Console) -> Result<Status, Failure> {
    let _ = &args.folder;
    Err(Failure::usage("demo is under construction", "wait"))
}
