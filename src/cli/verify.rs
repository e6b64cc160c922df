//! `asof verify`: the whole ledger against itself and the current state.

use std::path::PathBuf;

use asof::pipeline::request::VerifyRequest;
use asof::pipeline::{VerifiedDataset, VerifyOutcome};
use serde_json::{Value, json};

use super::args::{FailOnArgs, InputArgs, KeyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::findings;
use super::layout::{Align, columns, list};

/// Check the whole ledger against itself and the current state
///
/// Follows every row through all of its changes: each before image must be what the
/// change before it left, and the last image must be the current row. Lists everything
/// that does not tie, grouped by root cause, with its place in the ledger. What the plan
/// expects of the extract, rows and sums, is compared with it too.
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
    let outcome = asof::pipeline::verify(&request, console.progress())?;
    let status = findings::status(&outcome.discrepancies, &args.fail_on);
    let whole = match &request.discrepancies {
        Some(path) => format!("{} has all", path.display()),
        None => "--discrepancies FILE writes all".to_owned(),
    };
    console.result(&text(&outcome, &whole), || document(&outcome, status))?;
    Ok(status)
}

fn text(outcome: &VerifyOutcome, whole: &str) -> String {
    let head = ["dataset", "rows", "changes", "keys in the ledger", "agreeing", "from", "to"];
    let mut rows = vec![head.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()];
    rows.extend(outcome.datasets.iter().map(|d| {
        let counts = [d.current_rows, d.changes, d.keys, d.agreeing].map(|n| n.to_string());
        let (from, to) = &d.window;
        let bounds = [from, to].map(|bound| bound.clone().unwrap_or_else(|| "-".to_owned()));
        std::iter::once(d.name.clone()).chain(counts).chain(bounds).collect()
    }));
    let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right];
    columns(0, &align, &rows)
        + &findings::text(&outcome.discrepancies, whole)
        + &list("balances", &outcome.equations)
        + &list("assumptions", &outcome.assumptions)
        + &list("types of text columns", &outcome.types)
}

fn document(outcome: &VerifyOutcome, status: Status) -> Value {
    let dataset = |d: &VerifiedDataset| {
        json!({
            "name": d.name, "current_rows": d.current_rows, "changes": d.changes, "keys": d.keys,
            "agreeing": d.agreeing, "window": { "from": d.window.0, "to": d.window.1 },
        })
    };
    json!({
        "exit_status": u8::from(status == Status::Found),
        "datasets": outcome.datasets.iter().map(dataset).collect::<Vec<_>>(),
        "discrepancies": findings::document(&outcome.discrepancies),
        "equations": outcome.equations,
        "assumptions": outcome.assumptions,
        "types": outcome.types,
    })
}
