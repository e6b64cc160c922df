//! The command line: one file per subcommand, each an `Args` whose documentation
//! is its help, and a `run` that asks the library and prints the answer.

mod args;
mod bar;
mod bridge;
mod check;
mod completions;
mod console;
mod demo;
mod drill;
mod explain;
mod failure;
mod findings;
mod history;
mod init;
mod inspect;
mod layout;
mod man;
mod procedure;
mod query;
mod sign;
mod size;
mod snapshot;
mod undo;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use console::{Console, ConsoleArgs};
use failure::{Failure, Status};

/// Rebuild a table exactly as it stood at any past moment, and prove it
///
/// asof takes a table as it stands today (the current state) and the record of
/// its changes (the change ledger), undoes what was committed after the moment
/// you ask about, and writes the table as it then stood: with a verdict on every
/// row, a list of everything that does not tie, and the evidence to check it.
///
/// Inputs come from a plan file (TOML), which documents the procedure, or, for
/// one table, from flags.
#[derive(Debug, Parser)]
#[command(name = "asof", version, propagate_version = true, max_term_width = 100, after_long_help = MANUAL)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const MANUAL: &str = "\
EXAMPLES
    Try it on a sample:
        asof demo && asof snapshot asof-demo --as-of 2025-12-31 --out evidence

    One table, without a plan:
        asof snapshot --current accounts.parquet --ledger 'changes-*.ndjson.gz' \\
            --key account_id --as-of 2025-12-31 --out accounts-2025-12-31.parquet

    Every month end of a year, in one sweep over the data:
        asof snapshot year-end.toml --as-of 2025-01..2025-12 --out evidence

WHEN
    2025-12-31, 2025-12, 2025-Q4, 2025   the end of that day, month, quarter, year
    FY2025, FY2025-Q3                    the end of that fiscal year or quarter, named by
                                         the year in which the fiscal year ends
    last-month-end                       the end of the last month that is over
    2025-12-31T18:00:00+01:00            that instant, inclusive
    position:0/16B374D8, txn:7741        that position or transaction of the ledger
    2025-06-30,2025-12-31                each of these
    2025-01..2025-12                     each month; 2025-01-31..2025-12-31/month each
                                         month end; /week, /quarter, /year likewise

    A day or period means everything before the start of the next one in the time zone
    of the plan (UTC if it names none). The output states the resolved bound.

EXIT STATUS
    0   clean
    1   ran, and found discrepancies at or above --fail-on
    2   could not run; nothing was written

ENVIRONMENT
    NO_COLOR   if set and not empty, no colours anywhere
    TMPDIR     where inputs that cannot be read twice are kept while running";

#[derive(Debug, Subcommand)]
enum Command {
    Snapshot(snapshot::Args),
    Verify(verify::Args),
    Explain(explain::Args),
    Inspect(inspect::Args),
    Init(init::Args),
    History(history::Args),
    Bridge(bridge::Args),
    Query(query::Args),
    Undo(undo::Args),
    Check(check::Args),
    Sign(sign::Args),
    Drill(drill::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    fn console(&self) -> ConsoleArgs {
        match self {
            Self::Snapshot(args) => args.console,
            Self::Verify(args) => args.console,
            Self::Explain(args) => args.console,
            Self::Inspect(args) => args.console,
            Self::Init(args) => args.console,
            Self::History(args) => args.console,
            Self::Bridge(args) => args.console,
            Self::Undo(args) => args.console,
            Self::Check(args) => args.console,
            Self::Sign(args) => args.console,
            Self::Query(args) => args.console,
            Self::Drill(args) => args.console,
            Self::Demo(args) => args.console,
            Self::Completions(_) | Self::Man(_) => ConsoleArgs::default(),
        }
    }

    fn run(&self, console: &mut Console) -> Result<Status, Failure> {
        match self {
            Self::Snapshot(args) => snapshot::run(args, console),
            Self::Verify(args) => verify::run(args, console),
            Self::Explain(args) => explain::run(args, console),
            Self::Inspect(args) => inspect::run(args, console),
            Self::Init(args) => init::run(args, console),
            Self::History(args) => history::run(args, console),
            Self::Bridge(args) => bridge::run(args, console),
            Self::Undo(args) => undo::run(args, console),
            Self::Check(args) => check::run(args, console),
            Self::Sign(args) => sign::run(args, console),
            Self::Query(args) => query::run(args, console),
            Self::Drill(args) => drill::run(args, console),
            Self::Demo(args) => demo::run(args, console),
            Self::Completions(args) => completions::run(args, console),
            Self::Man(args) => man::run(args, console),
        }
    }
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    failure::quiet_panics();
    let cli = match Cli::try_parse_from(arguments()) {
        Ok(cli) => cli,
        Err(usage) => return failure::report_usage(&usage),
    };
    let mut console = Console::new(cli.command.console());
    let result = failure::catch(|| cli.command.run(&mut console));
    match result {
        Ok(status) => status.into(),
        Err(failure) => console.report(&failure),
    }
}

fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os()
}
