//! `asof explain`: the documented plan of a run.

use std::path::PathBuf;

use asof::pipeline::request::ExplainRequest;
use asof::pipeline::{DatasetExplanation, Explanation, MomentExplanation};
use serde_json::{Value, json};

use super::args::{AsOfArgs, InputArgs, KeyArgs, PolicyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::layout::{columns, counted, list};
use super::procedure;

/// Say how a snapshot would be made, without making it
///
/// Prints what every input was taken for and why (formats, types, window, extract
/// moment), the resolved moments, the assumptions, and the steps of the run. With
/// --format markdown it is the documented procedure of the rollback, to be filed with the
/// plan and signed: inputs with digests, what will be undone by transaction, actor and day,
/// preconditions, checks, roles and the expected duration.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof explain year-end.toml --as-of 2025-12-31
    asof explain year-end.toml --as-of 2025-12-31 --format markdown --out procedure.md
    asof explain --current accounts.csv --ledger log.csv --key id --as-of last-month-end")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    as_of: AsOfArgs,
    /// File for the procedure; with --format markdown
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,

    /// Overwrite an output that is already there
    #[arg(long, requires = "out", help_heading = "Output")]
    replace: bool,

    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Prints the steps of a run.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let mut plan = args.inputs.plan(args.key.columns())?;
    args.as_of.settle(&mut plan)?;
    let moments = args.as_of.moments(&plan)?;
    let procedure = args.inputs.is_markdown();
    if let (Some(out), false) = (&args.out, procedure) {
        let message = format!("{} would hold a procedure, which is Markdown", out.display());
        return Err(Failure::usage(message, "add --format markdown"));
    }
    if let Some(out) = args.out.as_ref().filter(|out| out.exists() && !args.replace) {
        return Err(asof::Error::OutputExists { path: out.clone() }.into());
    }
    let (policy, options) = (args.policy.policy(), args.run.options());
    let request = ExplainRequest { plan, moments, policy, procedure, options };
    let explanation = asof::pipeline::explain(&request, console.progress())?;
    if procedure {
        let text = procedure::markdown(&explanation);
        let Some(out) = &args.out else {
            console.result(&text, || document(&explanation))?;
            return Ok(Status::Clean);
        };
        std::fs::write(out, text).map_err(|source| Failure::Io { path: out.clone(), source })?;
        console.result(&format!("wrote {}", out.display()), || document(&explanation))?;
        return Ok(Status::Clean);
    }
    console.result(&text(&explanation), || document(&explanation))?;
    Ok(Status::Clean)
}

fn text(explanation: &Explanation) -> String {
    let datasets: String = explanation.datasets.iter().map(dataset_text).collect();
    datasets.trim_start().to_owned()
        + &list("assumptions", &explanation.assumptions)
        + &list("types of text columns", &explanation.types)
}

fn dataset_text(d: &DatasetExplanation) -> String {
    let bound = |bound: &Option<String>, none: &str| bound.clone().unwrap_or_else(|| none.to_owned());
    let facts = [
        ("current", format!("{} ({})", d.current.join(", "), counted(d.current_rows, "row"))),
        ("ledger", format!("{} ({}, {})", d.ledger.join(", "), d.format, counted(d.changes, "change"))),
        ("window", format!("{} to {}", bound(&d.window.0, "birth"), bound(&d.window.1, "no change"))),
        ("images", d.images.clone()),
        ("order", d.order.clone()),
    ];
    let opening = d.opening.iter().map(|opening| ("opening", opening.clone()));
    let facts = facts.into_iter().chain(opening);
    let rows: Vec<Vec<String>> = facts.map(|(name, fact)| vec![name.to_owned(), fact]).collect();
    let moments: String = d.moments.iter().map(moment_text).collect();
    format!("\n{}\n{}{moments}", d.name, columns(2, &[], &rows))
}

fn moment_text(m: &MomentExplanation) -> String {
    let mut text = format!("  as of {}: {}\n", m.text, m.resolved);
    if let Some(reason) = &m.refused {
        text += &format!("    would be refused: {reason}\n");
    }
    let (kept, undone) = m.transactions;
    text += &format!("    {} in force, {undone} undone", counted(kept, "transaction"));
    let ops: Vec<String> = m.undone.iter().map(|(op, count)| counted(*count, op.name())).collect();
    if !ops.is_empty() {
        text += &format!(": {}", ops.join(", "));
    }
    if m.ambiguous > 0 {
        text += &format!("\n    {} on both sides of the clock", counted(m.ambiguous, "transaction"));
    }
    text + "\n"
}

fn document(explanation: &Explanation) -> Value {
    let moment = |m: &MomentExplanation| {
        let undone: serde_json::Map<String, Value> =
            m.undone.iter().map(|(op, count)| (op.name().to_owned(), json!(count))).collect();
        json!({
            "as_of": m.text, "resolved": m.resolved, "refused": m.refused,
            "transactions": { "in_force": m.transactions.0, "undone": m.transactions.1 },
            "undone": undone, "ambiguous": m.ambiguous,
        })
    };
    let dataset = |d: &DatasetExplanation| {
        json!({
            "name": d.name, "current": d.current, "current_rows": d.current_rows, "ledger": d.ledger,
            "format": d.format, "changes": d.changes, "window": { "from": d.window.0, "to": d.window.1 },
            "opening": d.opening, "images": d.images, "order": d.order,
            "moments": d.moments.iter().map(moment).collect::<Vec<_>>(),
        })
    };
    json!({
        "datasets": explanation.datasets.iter().map(dataset).collect::<Vec<_>>(),
        "assumptions": explanation.assumptions,
        "types": explanation.types,
    })
}
