//! `asof verify`: the whole ledger against itself and the current state.

use std::path::PathBuf;

use asof::pipeline::request::VerifyRequest;

use super::args::{FailOnArgs, InputArgs, KeyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Check the whole ledger against itself and the current state
///
/// Follows every row through all of its changes: each before image must be what the
/// change before it left, and the last image must be the current row. Lists everything
/// that does not tie, grouped by root cause, with its place in the ledger.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof verify year-end.toml
    asof verify year-end.toml --discrepancies findings.csv --fail-on warning
    asof verify --current accounts.parquet --ledger changes.ndjson.gz --key id --json

EXIT STATUS
    0 clean; 1 discrepancies at or above --fail-on; 2 could not run")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,

    /// File for all discrepancies, .parquet or .csv
    ///
    /// Default: they are only summed up and sampled on stdout.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    discrepancies: Option<PathBuf>,

    /// Overwrite an output that is already there
    #[arg(long, help_heading = "Output")]
    replace: bool,

    #[command(flatten)]
    fail_on: FailOnArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Verifies, and prints what does not tie.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let request = VerifyRequest {
        plan: args.inputs.plan(args.key.columns())?,
        discrepancies: args.discrepancies.clone(),
        replace: args.replace,
        options: args.run.options(),
    };
    let _ = (&request, args.fail_on.counts(asof::model::Severity::Error), console.progress());
    Err(Failure::usage("verify is under construction", "wait"))
}
