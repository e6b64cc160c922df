//! `asof inspect`: what a file is.

use std::path::PathBuf;

use asof::pipeline::request::InspectRequest;

use super::args::RunArgs;
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Say what files are: format, window, operations, image coverage, columns
///
/// Reads tables and ledgers alike. Use it first on files that somebody handed you.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof inspect extract/accounts.parquet
    asof inspect ledger/*.ndjson.gz
    asof inspect --json changes.csv")]
pub(crate) struct Args {
    /// File, folder or quoted wildcard (can be repeated)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Prints what each file is.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let request = InspectRequest { files: args.files.clone(), options: args.run.options() };
    let _ = (&request, console.progress());
    Err(Failure::usage("inspect is under construction", "wait"))
}
