//! `asof snapshot`: the main job.

use std::path::{Path, PathBuf};

use asof::model::{DigestTotal, GroupTotal, MeasureTotal, RowTotal};
use asof::pipeline::request::{
    DigestDepth, Output, OutputFormat, RunOptions, SchemaAt, SnapshotRequest, WORKBOOK_ROWS,
};
use asof::pipeline::{DatasetOutcome, MomentOutcome, SnapshotOutcome, VerdictCounts};
use serde_json::{Value, json};

use super::args::{AsOfArgs, FailOnArgs, InputArgs, KeyArgs, PolicyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::findings;
use super::layout::{Align, columns, counted, list};

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

    The same as one plain file each, accounts-2025-01.parquet to accounts-2025-12.parquet:
        asof snapshot --current accounts.parquet --ledger changes.ndjson.gz --key id \\
            --as-of 2025-01..2025-12 --time-zone Europe/Berlin --out 'accounts-{moment}.parquet'

OUTPUT
    DIR/<dataset>.parquet            the table as it stood
    DIR/verdicts.parquet             every touched row and every cell that is not exact
    DIR/discrepancies.parquet, .csv  what does not tie, for all datasets
    DIR/totals.parquet, .csv         control totals, by measure and group
    DIR/report.html                  what to read first: verdict, totals, findings, charts, provenance
    DIR/workbook.xlsx                the same for a spreadsheet, with formulas that recompute the totals
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

    /// Folder to write, or a .parquet, .csv, .arrow or .xlsx file for just the snapshot
    ///
    /// A file needs a single dataset; with several moments its name needs `{moment}`, for
    /// which each one's date stands. A folder then holds one evidence folder for each.
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

    /// Which columns the snapshot has
    ///
    /// `current`: those of the current state; one that did not exist yet at the moment is null.
    /// `at-date`: those in force at the moment, as far as the ledger shows it; one that did not
    /// exist yet is left out, and one that was dropped since comes back, with the values that the
    /// ledger states of it; the others are unrecoverable.
    #[arg(long, value_name = "WHICH", default_value = "current", help_heading = "Output")]
    schema: SchemaArg,

    /// Rows of a dataset up to which workbook.xlsx shows its snapshot
    ///
    /// A dataset with more rows is not shown there at all, and the sheet names the file that has them.
    /// At most 1048575, as many as a spreadsheet holds.
    #[arg(long, value_name = "N", default_value_t = WORKBOOK_ROWS, value_parser = clap::value_parser!(u32).range(..=1_048_575), help_heading = "Output")]
    workbook_rows: u32,

    /// Add cryptographic digests of rows, and check that the undone changes explain them
    ///
    /// An order-free digest of all rows of the current state, less that of all rows after
    /// undone changes, plus that of all rows before them, is the snapshot's. `rows`: of whole
    /// rows; `columns`: of each column too. Some microseconds per row, and per distinct cell.
    #[arg(long, value_name = "OF", num_args = 0..=1, default_missing_value = "rows", help_heading = "Output")]
    digest: Option<DigestArg>,

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

/// What digests are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DigestArg {
    Rows,
    Columns,
}

/// Which columns a snapshot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SchemaArg {
    Current,
    AtDate,
}

/// Rebuilds, writes, and prints what came out.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let request = request(args)?;
    let outcome = asof::pipeline::snapshot(&request, console.progress())?;
    let status = |moment: &MomentOutcome| findings::status(&moment.discrepancies, &args.fail_on);
    let found = outcome.moments.iter().any(|m| status(m) == Status::Found) || !outcome.refused.is_empty();
    for (dataset, reason) in &outcome.refused {
        console.warn(&format!("{dataset} was refused and left out: {reason}"));
    }
    console.result(&text(&outcome), || document(&outcome, found))?;
    Ok(if found { Status::Found } else { Status::Clean })
}

fn text(outcome: &SnapshotOutcome) -> String {
    let mut text: String = outcome.moments.iter().map(moment_text).collect();
    if !outcome.verified {
        text += "\nnothing was verified (--no-verify)\n";
    }
    text + &list("assumptions", &outcome.assumptions)
        + &list("notes", &outcome.notes)
        + &list("types of text columns", &outcome.types)
}

fn moment_text(moment: &MomentOutcome) -> String {
    let head = format!("{}: {}\nwrote {}\n\n", moment.text, moment.resolved, moment.path.display());
    let head_row = ["dataset", "current", "- inserted", "+ deleted", "= snapshot", "changed", "verdicts"];
    let mut rows = vec![words(&head_row)];
    rows.extend(moment.datasets.iter().map(|d| {
        let counts = [d.current_rows, d.inserts_undone, d.deletes_undone, d.rows, d.rows_changed];
        let mut row = vec![d.name.clone()];
        row.extend(counts.iter().map(u64::to_string));
        row.push(verdicts(&d.verdicts));
        row
    }));
    let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right];
    let table = columns(0, &align, &rows);
    let whole = match moment.path.is_dir() {
        true => "discrepancies.csv in the folder has all",
        false => "a folder as --out, or asof verify --discrepancies FILE, has all",
    };
    let left_out: String = moment
        .datasets
        .iter()
        .filter(|d| !d.left_out.is_empty())
        .map(|d| format!("{}: left out, as not there yet: {}\n", d.name, d.left_out.join(", ")))
        .collect();
    let returned: String = moment
        .datasets
        .iter()
        .filter(|d| !d.returned.is_empty())
        .map(|d| format!("{}: back, as dropped since: {}\n", d.name, d.returned.join(", ")))
        .collect();
    head + &table
        + &left_out
        + &returned
        + &measures(moment)
        + &digests(moment)
        + &findings::text(&moment.discrepancies, whole)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn measures(moment: &MomentOutcome) -> String {
    let head = ["measure", "current", "- inserted", "+ deleted", "± updated", "= snapshot"];
    let mut rows = vec![words(&head)];
    for dataset in &moment.datasets {
        for m in &dataset.measures {
            let unknown = if m.unknown == 0 { String::new() } else { format!("+ {} unknown", m.unknown) };
            let mut row = vec![format!("{}.{}", dataset.name, m.name)];
            row.extend([&m.current, &m.inserts, &m.deletes, &m.updates, &m.snapshot].map(Clone::clone));
            row.push(unknown);
            rows.push(row);
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right];
    format!("\n{}", columns(0, &align, &rows))
}

/// The verdicts that occur, and the cells that are not exact.
fn verdicts(v: &VerdictCounts) -> String {
    let counts = [
        (v.unchanged, "unchanged"),
        (v.restored, "restored"),
        (v.inferred, "inferred"),
        (v.not_covered, "not-covered"),
        (v.unrecoverable, "unrecoverable"),
        (v.contradicted, "contradicted"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    counts.join(", ")
}

fn document(outcome: &SnapshotOutcome, found: bool) -> Value {
    let moment = |m: &MomentOutcome| {
        json!({
            "as_of": m.text,
            "resolved": m.resolved,
            "path": m.path,
            "datasets": m.datasets.iter().map(dataset_document).collect::<Vec<_>>(),
            "discrepancies": findings::document(&m.discrepancies),
        })
    };
    let refused = |(dataset, reason): &(String, String)| json!({ "dataset": dataset, "reason": reason });
    json!({
        "exit_status": u8::from(found),
        "verified": outcome.verified,
        "moments": outcome.moments.iter().map(moment).collect::<Vec<_>>(),
        "assumptions": outcome.assumptions,
        "notes": outcome.notes,
        "types": outcome.types,
        "refused": outcome.refused.iter().map(refused).collect::<Vec<_>>(),
    })
}

fn dataset_document(d: &DatasetOutcome) -> Value {
    let v = &d.verdicts;
    let undone: serde_json::Map<String, Value> =
        d.undone.iter().map(|(op, count)| (op.name().to_owned(), json!(count))).collect();
    json!({
        "name": d.name,
        "rows": row_document(&d.row_total()),
        "rows_changed": d.rows_changed,
        "changes": d.changes,
        "undone": undone,
        "verdicts": { "unchanged": v.unchanged, "restored": v.restored, "inferred": v.inferred,
                      "not_covered": v.not_covered, "unrecoverable": v.unrecoverable,
                      "contradicted": v.contradicted },
        "cells": { "inferred": v.inferred_cells, "ambiguous": v.ambiguous_cells,
                   "unrecoverable": v.unrecoverable_cells },
        "columns_left_out": d.left_out,
        "columns_returned": d.returned,
        "measures": d.measures.iter().map(measure_document).collect::<Vec<_>>(),
        "groups": d.groups.iter().map(group_document).collect::<Vec<_>>(),
        "digests": d.digests.iter().map(digest_document).collect::<Vec<_>>(),
    })
}

fn digest_document(d: &DigestTotal) -> Value {
    json!({ "column": d.column, "current": d.current.fingerprint(), "snapshot": d.snapshot.fingerprint(),
            "changes_included": d.included, "changes_excluded": d.excluded, "holds": d.holds(),
            "residual": d.residual })
}

/// One line per dataset with digests of rows.
fn digests(moment: &MomentOutcome) -> String {
    let line = |dataset: &DatasetOutcome| {
        let broken: Vec<&DigestTotal> = dataset.digests.iter().filter(|d| !d.holds()).collect();
        let first = dataset.digests.first()?;
        let how = match broken.first() {
            None => format!("hold: current − after + before = snapshot{}", left_out(&dataset.digests)),
            Some(d) => format!("do not hold: {}", d.residual.as_deref().unwrap_or_default()),
        };
        let what = counted(dataset.digests.len() as u64, "digest");
        Some(format!("{}: {what} over {} undone changes {how}\n", dataset.name, first.included))
    };
    let lines: String = moment.datasets.iter().filter_map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// How many undone changes are in none of some digests, which therefore prove nothing of them.
fn left_out(digests: &[DigestTotal]) -> String {
    match digests.iter().map(|d| d.excluded).max().unwrap_or(0) {
        0 => String::new(),
        1 => "; 1 undone change is not in them, so nothing is proven of it".to_owned(),
        many => format!("; {many} undone changes are not in them, so nothing is proven of these"),
    }
}

fn row_document(r: &RowTotal) -> Value {
    json!({ "current": r.current, "inserts_undone": r.inserts, "deletes_undone": r.deletes,
            "updates_undone": r.updates, "snapshot": r.snapshot, "equation": r.equation() })
}

fn measure_document(m: &MeasureTotal) -> Value {
    json!({ "name": m.name, "current": m.current, "inserts_undone": m.inserts, "deletes_undone": m.deletes,
            "updates_undone": m.updates, "snapshot": m.snapshot, "change": m.change,
            "unknown_cells": m.unknown, "equation": m.equation() })
}

fn group_document(g: &GroupTotal) -> Value {
    json!({ "group": g.label(), "rows": row_document(&g.rows),
            "measures": g.measures.iter().map(measure_document).collect::<Vec<_>>() })
}

fn request(args: &Args) -> Result<SnapshotRequest, Failure> {
    let mut plan = args.inputs.plan(args.key.columns())?;
    args.as_of.settle(&mut plan)?;
    let moments = args.as_of.moments(&plan)?;
    let output = output(&args.out, args.inputs.output_format())?;
    if let Output::File { path, .. } = &output {
        let is_one_each = path.file_name().is_some_and(|name| name.to_string_lossy().contains("{moment}"));
        let several = match (plan.datasets.len(), moments.len()) {
            (1, 1) => None,
            (1, _) if is_one_each => None,
            (1, moments) => Some((
                format!("{moments} moments"),
                "name a folder with --out, or put {moment} into the file's name",
            )),
            (datasets, _) => Some((format!("{datasets} datasets"), "name a folder with --out")),
        };
        if let Some((several, hint)) = several {
            let message = format!("{} is one file, and the request has {several}", path.display());
            return Err(Failure::usage(message, hint));
        }
    }
    let digest = match args.digest {
        None => DigestDepth::None,
        Some(DigestArg::Rows) => DigestDepth::Rows,
        Some(DigestArg::Columns) => DigestDepth::Columns,
    };
    Ok(SnapshotRequest {
        plan,
        moments,
        output,
        replace: args.replace,
        verify: !args.no_verify,
        provenance: args.provenance,
        csv_safe: args.csv_safe,
        schema: match args.schema {
            SchemaArg::Current => SchemaAt::Current,
            SchemaArg::AtDate => SchemaAt::AtDate,
        },
        policy: args.policy.policy(),
        options: RunOptions { workbook_rows: args.workbook_rows, digest, ..args.run.options() },
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
        (None, Some(OutputFormat::Xlsx)) => {
            let message = "an evidence folder needs snapshots that hold every value exactly, which a spreadsheet does not";
            let hint = "leave out --format: the folder has workbook.xlsx beside them; or name one file, such as out.xlsx";
            Err(Failure::usage(message, hint))
        }
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
        let xlsx = Some(OutputFormat::Xlsx);
        assert_eq!(of("a.xlsx", xlsx), Output::File { path: path("a.xlsx"), format: OutputFormat::Xlsx });
        assert!(output(Path::new("a"), xlsx).is_err());
    }
}
