//! `asof history`: one row through time.

use asof::model::Discrepancy;
use asof::pipeline::request::HistoryRequest;
use asof::pipeline::{ChangedCell, HistoryOutcome, HistoryStep};
use asof::plan::{Dataset, Plan};

use serde_json::{Value, json};

use super::args::{InputArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::findings::{one_document, shown};
use super::layout::columns;

/// Show one row through time: what changed, when, and by whom
///
/// Lists every change of the row from the ledger in commit order, cell by cell, and the
/// row as it stands in the current state. Where the ledger contradicts itself or the
/// current state on this row, a line with ! and the code of the discrepancy says so. In
/// the text, ? is a cell that the record does not state; under --json such a cell has no
/// member.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof history year-end.toml --dataset accounts --key 4711
    asof history year-end.toml --dataset prices --key 'DE01,2025-06-30'
    asof history --current accounts.parquet --ledger log.csv --key account_id=4711")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,

    /// Key of the row: its value, or column=value (can be repeated)
    ///
    /// Several columns are separated by commas, values alone in the order of the key.
    /// Without a plan write column=value, which also names the key columns.
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,

    /// Dataset of the plan; not needed if the plan has only one
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,

    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Prints the row's history.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let request = request(args)?;
    let outcome = asof::pipeline::history(&request, console.progress())?;
    console.result(&text(&outcome), || document(&outcome))?;
    Ok(Status::Clean)
}

fn text(outcome: &HistoryOutcome) -> String {
    let mut text = format!("{}\n", outcome.key);
    if outcome.steps.is_empty() {
        text += "\nno change in the ledger\n";
    }
    text += &outcome.steps.iter().map(step_text).collect::<String>();
    text += &match &outcome.current {
        None => "\nnot in the current state\n".to_owned(),
        Some(cells) => {
            let rows: Vec<Vec<String>> =
                cells.iter().map(|(column, value)| vec![column.clone(), shown(value.as_deref())]).collect();
            "\ncurrent state\n".to_owned() + &columns(4, &[], &rows)
        }
    };
    text + &breaks(&outcome.breaks)
}

/// What does not tie at a line, below it.
fn breaks(breaks: &[Discrepancy]) -> String {
    let one = |found: &Discrepancy| {
        let accepted = if found.accepted.is_some() { " (accepted)" } else { "" };
        let mut text = format!("  ! {}{accepted}: {}\n", found.kind.code(), found.message);
        for cell in &found.cells {
            let (expected, seen) = (shown(cell.expected.as_deref()), shown(cell.found.as_deref()));
            text += &format!("    {}: expected {expected}, found {seen}\n", cell.column);
        }
        text
    };
    breaks.iter().map(one).collect()
}

fn step_text(step: &HistoryStep) -> String {
    let when = step.committed_at.as_deref().unwrap_or("(no time)");
    let mut head = format!("\n{when} {}", step.op.name());
    let parts = [("by", &step.actor), ("transaction", &step.transaction), ("position", &step.position)];
    for (word, value) in parts {
        if let Some(value) = value {
            head += &format!(", {word} {value}");
        }
    }
    let rows: Vec<Vec<String>> = step
        .cells
        .iter()
        .map(|c| vec![c.column.clone(), side(&c.before), "→".to_owned(), side(&c.after)])
        .collect();
    let cells = columns(4, &[], &rows);
    format!("{head}\n    {} record {}\n{cells}{}", step.file, step.record, breaks(&step.breaks))
}

/// A cell of an image: its exact text, `null`, or `?` if the record does not state it.
fn side(cell: &Option<Option<String>>) -> String {
    cell.as_ref().map_or_else(|| "?".to_owned(), |value| shown(value.as_deref()))
}

fn document(outcome: &HistoryOutcome) -> Value {
    // A cell that the record does not state has no member at all, so that null stays null.
    let cell = |changed: &ChangedCell| {
        let mut cell = json!({ "column": changed.column });
        for (name, side) in [("before", &changed.before), ("after", &changed.after)] {
            if let Some(value) = side {
                cell[name] = json!(value);
            }
        }
        cell
    };
    let step = |s: &HistoryStep| {
        json!({
            "op": s.op.name(), "committed_at": s.committed_at, "position": s.position,
            "transaction": s.transaction, "actor": s.actor, "file": s.file, "record": s.record,
            "cells": s.cells.iter().map(cell).collect::<Vec<_>>(),
            "breaks": s.breaks.iter().map(one_document).collect::<Vec<_>>(),
        })
    };
    let row = |cells: &Vec<(String, Option<String>)>| -> serde_json::Map<String, Value> {
        cells.iter().map(|(column, value)| (column.clone(), json!(value))).collect()
    };
    json!({
        "key": outcome.key,
        "changes": outcome.steps.iter().map(step).collect::<Vec<_>>(),
        "current": outcome.current.as_ref().map(row),
        "breaks": outcome.breaks.iter().map(one_document).collect::<Vec<_>>(),
    })
}

fn request(args: &Args) -> Result<HistoryRequest, Failure> {
    let parts: Vec<Part> = args.key.iter().flat_map(|key| parts(key)).collect();
    let columns: Option<Vec<String>> = parts.iter().map(|part| part.column.clone()).collect();
    let plan = match (args.inputs.is_flags(), columns) {
        (false, _) => args.inputs.plan(None)?,
        (true, Some(columns)) => args.inputs.plan(Some(&columns))?,
        (true, None) => {
            let message = format!("--key {} does not name the key columns", args.key.join(" --key "));
            return Err(Failure::usage(message, "without a plan, write for instance --key id=4711"));
        }
    };
    let dataset = dataset(&plan, args.dataset.as_deref())?;
    let key = values(dataset, &args.key, &parts)?;
    Ok(HistoryRequest { dataset: dataset.name.clone(), key, options: args.run.options(), plan })
}

/// One `column=value` of a key, or a value alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    column: Option<String>,
    value: String,
}

fn parts(key: &str) -> impl Iterator<Item = Part> {
    key.split(',').map(|part| match part.split_once('=') {
        Some((column, value)) => Part { column: Some(column.trim().to_owned()), value: value.to_owned() },
        None => Part { column: None, value: part.to_owned() },
    })
}

fn dataset<'a>(plan: &'a Plan, name: Option<&str>) -> Result<&'a Dataset, Failure> {
    let names: Vec<&str> = plan.datasets.iter().map(|d| d.name.as_str()).collect();
    match (name, plan.datasets.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => {
            let hint = format!("choose one of {} with --dataset", names.join(", "));
            Err(Failure::usage("the plan has several datasets", hint))
        }
        (Some(name), _) => plan.dataset(name).ok_or_else(|| {
            let hint = match asof::nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the plan has {}", names.join(", ")),
            };
            Failure::usage(format!("the plan has no dataset {name:?}"), hint)
        }),
    }
}

/// The values in key order. A value may itself contain `=` or, if the key is a single
/// column, commas: parts are names only where they name key columns.
fn values(dataset: &Dataset, given: &[String], parts: &[Part]) -> Result<Vec<String>, Failure> {
    let by_name = |column: &String| {
        let named = parts.iter().find(|part| part.column.as_ref() == Some(column));
        named.map(|part| part.value.clone())
    };
    if parts.len() == dataset.key.len()
        && let Some(values) = dataset.key.iter().map(by_name).collect()
    {
        return Ok(values);
    }
    let values: Vec<String> = match (dataset.key.len(), given) {
        (1, [only]) => vec![only.clone()],
        (n, given) if n == given.len() => given.to_vec(),
        _ => given.iter().flat_map(|key| key.split(',').map(str::to_owned)).collect(),
    };
    if values.len() == dataset.key.len() {
        return Ok(values);
    }
    let message = format!(
        "the key of {} has {} column(s) ({}), --key has {}",
        dataset.name,
        dataset.key.len(),
        dataset.key.join(", "),
        values.len()
    );
    Err(Failure::usage(message, "write for instance --key column=value,column=value"))
}

#[cfg(test)]
mod tests {
    use asof::plan::OneDataset;

    use super::*;

    fn found(columns: &[&str], keys: &[&str]) -> Option<Vec<String>> {
        let key = columns.iter().map(|c| (*c).to_owned()).collect();
        let plan = OneDataset { key, ..OneDataset::default() }.into_plan();
        let keys: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
        let parts: Vec<Part> = keys.iter().flat_map(|k| parts(k)).collect();
        values(&plan.datasets[0], &keys, &parts).ok()
    }

    #[test]
    fn a_key_is_values_in_order_or_by_name() {
        let some = |values: &[&str]| Some(values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        assert_eq!(found(&["id"], &["42"]), some(&["42"]));
        assert_eq!(found(&["id"], &["id=42"]), some(&["42"]));
        assert_eq!(found(&["id"], &["a=b"]), some(&["a=b"]));
        assert_eq!(found(&["id"], &["a,b"]), some(&["a,b"]));
        assert_eq!(found(&["a", "b"], &["1,2"]), some(&["1", "2"]));
        assert_eq!(found(&["a", "b"], &["b=2,a=1"]), some(&["1", "2"]));
        assert_eq!(found(&["a", "b"], &["b=2", "a=1"]), some(&["1", "2"]));
        assert_eq!(found(&["a", "b"], &["x,1", "2"]), some(&["x,1", "2"]));
        assert_eq!(found(&["a", "b"], &["1"]), None);
    }
}
