//! `asof explain`: the documented plan of a run.

use asof::pipeline::request::ExplainRequest;

use super::args::{AsOfArgs, InputArgs, KeyArgs, PolicyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Say how a snapshot would be made, without making it
///
/// Prints what every input was taken for and why (formats, types, window, extract
/// moment), the resolved moments, the assumptions, and the steps of the run. Nothing is
/// written.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof explain year-end.toml --as-of 2025-12-31
    asof explain --current accounts.csv --ledger log.csv --key id --as-of last-month-end")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    as_of: AsOfArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Prints the steps of a run.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let plan = args.inputs.plan(args.key.columns())?;
    let moments = args.as_of.moments(&plan)?;
    let request = ExplainRequest { plan, moments, policy: args.policy.policy(), options: args.run.options() };
    let _ = (&request, console.progress());
    Err(Failure::usage("explain is under construction", "wait"))
}
