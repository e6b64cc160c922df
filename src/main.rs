//! The `asof` command: parses, dispatches to the library, prints, and exits with
//! 0 (clean), 1 (ran and found discrepancies) or 2 (could not run).

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
