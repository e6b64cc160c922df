//! `asof snapshot`: the main job.

use std::path::{Path, PathBuf};

use asof::pipeline::request::{Output, OutputFormat, SnapshotRequest};

use super::args::{AsOfArgs, FailOnArgs, InputArgs, KeyArgs, PolicyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Rebuild tables as they stood, with verdicts, discrepancies and evidence
///
/// Undoes every change committed after WHEN, checks the whole ledger against itself
/// and the current state in the same run, and writes a folder that holds the table as
/// it then stood, a verdict for every touched row, everything that does not tie, and a
/// manifest with digests of all inputs and outputs. The output is complete or not there
/// at all.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    By a plan, into an evidence folder:
        asof snapshot year-end.toml --as-of 2025-12-31 --out evidence/2025-12-31

    One table into one file, without a plan:
        asof snapshot --current accounts.parquet --ledger changes.ndjson.gz --key id \\
            --as-of 2025-12-31T22:59:59Z --out accounts.parquet

    The twelve month ends of a year, each in a folder of its own:
        asof snapshot year-end.toml --as-of 2025-01..2025-12 --out evidence

OUTPUT
    DIR/<dataset>.parquet            the table as it stood
    DIR/verdicts.parquet             every touched row and every cell that is not exact
    DIR/discrepancies.parquet, .csv  what does not tie, for all datasets
    DIR/manifest.json                inputs, window, assumptions, control totals, digests

EXIT STATUS
    0 clean; 1 discrepancies at or above --fail-on; 2 could not run, nothing written")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    as_of: AsOfArgs,

    /// Folder to write, or a .parquet, .csv or .arrow file for just the snapshot
    ///
    /// A file needs a single dataset and a single moment. With several moments the
    /// folder holds one evidence folder for each, named by its date.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,

    /// Overwrite an output that is already there
    #[arg(long, help_heading = "Output")]
    replace: bool,

    /// Add verdict and supplying position to the snapshot as columns
    #[arg(long, help_heading = "Output")]
    provenance: bool,

    /// Escape text in CSV output that a spreadsheet would run as a formula
    ///
    /// Default: the snapshot's values are written exactly as they are.
    #[arg(long, help_heading = "Output")]
    csv_safe: bool,

    /// Only rebuild, without checking the ledger
    ///
    /// Faster; the manifest then says that nothing was verified.
    #[arg(long, help_heading = "In doubt")]
    no_verify: bool,

    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    fail_on: FailOnArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Rebuilds, writes, and prints what came out.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let request = request(args)?;
    let outcome = asof::pipeline::snapshot(&request, console.progress())?;
    let worst = outcome.moments.iter().filter_map(|m| asof::pipeline::worst(&m.discrepancies)).max();
    let text: Vec<String> = outcome
        .moments
        .iter()
        .flat_map(|m| m.datasets.iter().map(move |d| (m, d)))
        .map(|(m, d)| format!("{} as of {}: {} rows ({} discrepancies)", d.name, m.resolved, d.rows, m.discrepancies.len()))
        .collect();
    console.result(&text.join("\n"), || serde_json::json!({}))?;
    Ok(if worst.is_some_and(|w| args.fail_on.counts(w)) { Status::Found } else { Status::Clean })
}

fn request(args: &Args) -> Result<SnapshotRequest, Failure> {
    let plan = args.inputs.plan(args.key.columns())?;
    let moments = args.as_of.moments(&plan)?;
    let output = output(&args.out, args.inputs.output_format())?;
    if let Output::File { path, .. } = &output {
        let several = match (plan.datasets.len(), moments.len()) {
            (1, 1) => None,
            (1, moments) => Some(format!("{moments} moments")),
            (datasets, _) => Some(format!("{datasets} datasets")),
        };
        if let Some(several) = several {
            let message = format!("{} is one file, and the request has {several}", path.display());
            return Err(Failure::usage(message, "name a folder with --out"));
        }
    }
    Ok(SnapshotRequest {
        plan,
        moments,
        output,
        replace: args.replace,
        verify: !args.no_verify,
        provenance: args.provenance,
        csv_safe: args.csv_safe,
        policy: args.policy.policy(),
        options: args.run.options(),
    })
}

/// A path with the extension of an output format is a file, any other a folder.
fn output(path: &Path, format: Option<OutputFormat>) -> Result<Output, Failure> {
    let path = path.to_owned();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let by_extension = OutputFormat::ALL.into_iter().find(|f| f.extension() == extension);
    match (by_extension, format) {
        (Some(by_extension), Some(format)) if by_extension != format => {
            let message = format!("{} and --format {} contradict each other", path.display(), format.name());
            Err(Failure::usage(message, "leave one of them out"))
        }
        (Some(format), _) => Ok(Output::File { path, format }),
        (None, format) => Ok(Output::Folder { path, format: format.unwrap_or_default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_between_file_and_folder() {
        let of = |path: &str, format| output(Path::new(path), format).unwrap();
        let path = PathBuf::from;
        assert_eq!(of("a.CSV", None), Output::File { path: path("a.CSV"), format: OutputFormat::Csv });
        assert_eq!(of("a.b", None), Output::Folder { path: path("a.b"), format: OutputFormat::Parquet });
        let csv = Some(OutputFormat::Csv);
        assert_eq!(of("2025", csv), Output::Folder { path: path("2025"), format: OutputFormat::Csv });
        assert!(output(Path::new("a.parquet"), csv).is_err());
    }
}
