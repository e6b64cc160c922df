//! `asof inspect`: what a file is.

use std::fmt::Write as _;
use std::path::PathBuf;

use asof::pipeline::request::InspectRequest;
use asof::pipeline::{Coverage, Inspected, InspectedColumn, InspectedTable};
use serde_json::{Value, json};

use super::args::RunArgs;
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::layout::{columns, counted, list};

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
    let found = asof::pipeline::inspect(&request, console.progress())?;
    let texts: Vec<String> = found.iter().map(text).collect();
    console
        .result(&texts.join("\n"), || json!({ "files": found.iter().map(document).collect::<Vec<_>>() }))?;
    Ok(Status::Clean)
}

fn text(file: &Inspected) -> String {
    let what = match &file.ledger {
        Some(ledger) => format!(
            "{} ledger in {}, {}",
            ledger.format.name(),
            file.format.name(),
            counted(file.rows, "record")
        ),
        None => format!("{} table, {}", file.format.name(), counted(file.rows, "row")),
    };
    let mut text = format!("{}\n  {what}, {}\n", file.path, counted(file.bytes, "byte"));
    let column =
        |c: &InspectedColumn| vec![c.name.clone(), c.data_type.clone(), c.reason.clone().unwrap_or_default()];
    let rows: Vec<Vec<String>> = file.columns.iter().map(column).collect();
    text += &columns(4, &[], &rows);
    for table in file.ledger.iter().flat_map(|ledger| &ledger.tables) {
        text += &table_text(table);
    }
    text + &list("remarks", &file.remarks)
}

fn table_text(table: &InspectedTable) -> String {
    let name = if table.name.is_empty() { "(names no table)" } else { &table.name };
    let ops: Vec<String> = table.ops.iter().map(|(op, count)| format!("{count} {}", op.name())).collect();
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "(no time)".to_owned());
    let facts = [
        ("changes", format!("{} ({})", table.changes, ops.join(", "))),
        ("window", format!("{} to {}", time(&table.window.0), time(&table.window.1))),
        ("before", coverage(&table.before)),
        ("after", coverage(&table.after)),
        ("columns", table.columns.join(", ")),
    ];
    let rows: Vec<Vec<String>> = facts.into_iter().map(|(name, fact)| vec![name.to_owned(), fact]).collect();
    format!("  {name}\n{}", columns(4, &[], &rows))
}

fn coverage(side: &Coverage) -> String {
    let mut text = counted(side.images, "image");
    if side.images > 0 {
        let whole = if side.whole == side.images { "all".to_owned() } else { side.whole.to_string() };
        let _ = write!(text, ", {whole} of them whole");
    }
    if !side.never.is_empty() {
        let _ = write!(text, "; never {}", side.never.join(", "));
    }
    text
}

fn document(file: &Inspected) -> Value {
    let column = |c: &InspectedColumn| json!({ "name": c.name, "type": c.data_type, "reason": c.reason });
    let side = |c: &Coverage| json!({ "images": c.images, "whole": c.whole, "never": c.never });
    let table = |t: &InspectedTable| {
        let ops: serde_json::Map<String, Value> =
            t.ops.iter().map(|(op, count)| (op.name().to_owned(), json!(count))).collect();
        json!({
            "name": t.name, "columns": t.columns, "changes": t.changes, "ops": ops,
            "window": { "from": t.window.0, "to": t.window.1 },
            "before": side(&t.before), "after": side(&t.after),
        })
    };
    let ledger = file.ledger.as_ref().map(|ledger| {
        json!({ "format": ledger.format.name(), "tables": ledger.tables.iter().map(table).collect::<Vec<_>>() })
    });
    json!({
        "path": file.path, "bytes": file.bytes, "format": file.format.name(), "rows": file.rows,
        "columns": file.columns.iter().map(column).collect::<Vec<_>>(),
        "ledger": ledger, "remarks": file.remarks,
    })
}
