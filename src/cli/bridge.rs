//! `asof bridge`: opening + movements = closing.

use std::path::PathBuf;

use asof::model::Amount;
use asof::pipeline::request::{BridgeRequest, BridgeSpan};
use asof::pipeline::{BridgeFigures, BridgeGroup, BridgeLine, BridgeOutcome, BridgedDataset, BridgedMeasure};
use asof::plan::{Moment, Plan};
use serde_json::{Map, Value, json};

use super::args::{InputArgs, KeyArgs, RunArgs, TrustArg};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::layout::{Align, columns, counted, list};

/// Show opening + additions - disposals ± updates = closing, by measure and group
///
/// Both ends are rebuilt; the movements come from the ledger's changes alone. What they do
/// not explain is a column of its own, so that every line foots, in exact decimals. A row
/// that goes from one group to another leaves the first with what was on it and comes to
/// the second with the same (reclass); what else changed on it is an update there.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof bridge year-end.toml --from 2025-09-30 --to 2025-12-31
    asof bridge year-end.toml --from 2024 --to 2025 --by country --changes movements.csv
    asof bridge journal.toml --as-of 2025-12-31 --as-known 2026-01-05 --to-known 2026-01-31

EXIT STATUS
    0 every amount is explained; 1 some are not; 2 could not run")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,

    /// Moment of the opening
    #[arg(long, value_name = "WHEN", requires = "to", required_unless_present = "as_of")]
    from: Option<String>,

    /// Moment of the closing
    #[arg(long, value_name = "WHEN", requires = "from")]
    to: Option<String>,

    /// One moment, as known at two: for postings with a posting date and a time of entry
    #[arg(long, value_name = "WHEN", requires_all = ["as_known", "to_known"], conflicts_with_all = ["from", "to"])]
    as_of: Option<String>,

    /// As it was known then, for instance when it was reported: the opening
    #[arg(long, value_name = "WHEN", requires = "as_of")]
    as_known: Option<String>,

    /// As it is known then: the closing
    #[arg(long, value_name = "WHEN", requires = "as_of")]
    to_known: Option<String>,

    /// Dataset of the plan (can be repeated)
    ///
    /// Default: all of them.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,

    /// Columns whose values are the groups, separated by commas
    ///
    /// '' for the total alone. Default: the plan's group_by.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    by: Option<Vec<String>>,

    /// Columns to add up, separated by commas
    ///
    /// Default: the plan's measures.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    measures: Option<Vec<String>>,

    /// File for the figures: .parquet, .csv or .arrow
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,

    /// File for every change and what it moves: .parquet, .csv or .arrow
    ///
    /// One row per change, measure and line, with transaction, time, actor, op, key, place
    /// in the ledger, before, after and amount. The amounts of a line add up to its figure.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    changes: Option<PathBuf>,

    /// Overwrite an output that is already there
    #[arg(long, help_heading = "Output")]
    replace: bool,

    /// Bridge from or to a moment before the ledger's window, as far as the ledger goes
    #[arg(long, help_heading = "In doubt")]
    allow_uncovered: bool,

    /// Side that both ends rest on where ledger and current state disagree
    ///
    /// With ledger the whole ledger is verified first, which says where they disagree.
    #[arg(long, value_name = "SIDE", default_value = "current", help_heading = "In doubt")]
    trust: TrustArg,

    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Bridges, and prints the equations.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let outcome = asof::pipeline::bridge(&request(args)?, console.progress())?;
    let status = if outcome.is_explained() { Status::Clean } else { Status::Found };
    console.result(&text(&outcome), || document(&outcome, status))?;
    Ok(status)
}

fn request(args: &Args) -> Result<BridgeRequest, Failure> {
    let mut plan = args.inputs.plan(args.key.columns())?;
    choose(&mut plan, &args.dataset)?;
    if let Some(measures) = &args.measures {
        plan.datasets.iter_mut().for_each(|dataset| dataset.measures = named(measures));
    }
    let moment = |text: &Option<String>| {
        text.as_deref().map(|text| Moment::parse_one(text, &plan.calendar)).transpose()
    };
    let span = match (moment(&args.from)?, moment(&args.to)?, moment(&args.as_of)?) {
        (Some(from), Some(to), _) => BridgeSpan::Moments { from, to },
        (_, _, Some(as_of)) => match (moment(&args.as_known)?, moment(&args.to_known)?) {
            (Some(from), Some(to)) => BridgeSpan::Known { as_of, from, to },
            _ => return Err(no_span()),
        },
        _ => return Err(no_span()),
    };
    Ok(BridgeRequest {
        span,
        by: args.by.as_deref().map(named),
        output: args.out.clone(),
        changes: args.changes.clone(),
        replace: args.replace,
        allow_uncovered: args.allow_uncovered,
        trust: args.trust.side(),
        options: args.run.options(),
        plan,
    })
}

fn no_span() -> Failure {
    Failure::usage("no moments to bridge", "give --from and --to, or --as-of with --as-known and --to-known")
}

fn named(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !name.is_empty()).cloned().collect()
}

/// Keeps the datasets that are asked for.
fn choose(plan: &mut Plan, wanted: &[String]) -> Result<(), Failure> {
    let known: Vec<&str> = plan.datasets.iter().map(|d| d.name.as_str()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        let near = asof::nearest(unknown, known.iter().copied()).map(|near| format!("did you mean {near}?"));
        let hint = near.unwrap_or_else(|| format!("the plan has {}", known.join(", ")));
        return Err(Failure::usage(format!("the plan has no dataset {unknown:?}"), hint));
    }
    plan.datasets.retain(|dataset| wanted.is_empty() || wanted.contains(&dataset.name));
    Ok(())
}

fn text(outcome: &BridgeOutcome) -> String {
    let mut text = format!("from {}\nto   {}\n", outcome.from, outcome.to);
    text += &outcome.datasets.iter().map(dataset_text).collect::<String>();
    text + &list("assumptions", &outcome.assumptions)
}

fn dataset_text(dataset: &BridgedDataset) -> String {
    let by = if dataset.by.is_empty() { String::new() } else { format!(" by {}", dataset.by.join(", ")) };
    let mut text = format!("\n{}{by}: {}\n", dataset.name, counted(dataset.changes, "change"));
    let align: Vec<Align> = std::iter::once(Align::Left)
        .chain(std::iter::repeat_n(Align::Right, 2 + BridgeLine::ALL.len()))
        .collect();
    for measure in &dataset.measures {
        text += &columns(2, &align, &table(dataset, measure));
        text += "\n";
    }
    text.pop();
    text
}

/// What stands at the head of a line's column.
fn head(line: BridgeLine) -> &'static str {
    match line {
        BridgeLine::Additions => "+ additions",
        BridgeLine::Disposals => "- disposals",
        BridgeLine::Updates => "± updates",
        BridgeLine::ReclassOut => "- reclass",
        BridgeLine::ReclassIn => "+ reclass",
        BridgeLine::OneSided => "± one side unknown",
        BridgeLine::Unexplained => "± NOT EXPLAINED",
    }
}

/// The amount as it stands under its head: what a minus in the head takes away is shown without one.
fn under_head(line: BridgeLine, amount: Option<Amount>) -> Option<Amount> {
    match line {
        BridgeLine::Disposals | BridgeLine::ReclassOut => amount.and_then(|a| Amount::ZERO.minus(a)),
        _ => amount,
    }
}

fn table(dataset: &BridgedDataset, measure: &BridgedMeasure) -> Vec<Vec<String>> {
    // Additions, disposals and updates are always shown; the rest where it is something.
    let occurs = |line: &BridgeLine| {
        let is_usual = (*line as usize) < 3;
        let is_something = |f: &BridgeFigures| f.line(*line).is_some_and(|amount| !amount.is_zero());
        is_usual || measure.groups.iter().any(|group| is_something(&group.figures))
    };
    let lines: Vec<BridgeLine> = BridgeLine::ALL.into_iter().filter(occurs).collect();
    let mut first = vec![measure.name.clone(), "opening".to_owned()];
    first.extend(lines.iter().map(|line| head(*line).to_owned()));
    first.push("= closing".to_owned());
    let mut rows = vec![first];
    let row = |name: String, figures: &BridgeFigures| {
        let mut row = vec![name, amount(figures.opening)];
        row.extend(lines.iter().map(|line| amount(under_head(*line, figures.line(*line)))));
        row.push(amount(figures.closing));
        let unknown = [
            (figures.opening_unknown, "at the opening"),
            (figures.moved_unknown, "in between"),
            (figures.closing_unknown, "at the closing"),
        ];
        let unknown: Vec<String> =
            unknown.iter().filter(|(n, _)| *n > 0).map(|(n, at)| format!("{n} unknown {at}")).collect();
        row.push(unknown.join(", "));
        row
    };
    for group in measure.groups.iter().filter(|_| !dataset.by.is_empty()) {
        rows.push(row(format!("  {}", group_text(group)), &group.figures));
    }
    rows.push(row("  total".to_owned(), &measure.total));
    rows
}

fn amount(amount: Option<Amount>) -> String {
    amount.map_or_else(|| "not summed".to_owned(), |amount| amount.to_string())
}

fn group_text(group: &BridgeGroup) -> String {
    let text = |value: &Option<Option<String>>| match value {
        None => "?".to_owned(),
        Some(None) => "null".to_owned(),
        Some(Some(text)) => text.clone(),
    };
    group.values.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn document(outcome: &BridgeOutcome, status: Status) -> Value {
    let measure = |dataset: &BridgedDataset, measure: &BridgedMeasure| {
        let group = |group: &BridgeGroup| {
            // A value that nothing states has no member, so that null stays null.
            let mut values = Map::new();
            for (column, value) in dataset.by.iter().zip(&group.values) {
                if let Some(value) = value {
                    values.insert(column.clone(), json!(value));
                }
            }
            json!({ "group": values, "figures": figures(&group.figures) })
        };
        json!({
            "name": measure.name,
            "groups": measure.groups.iter().map(group).collect::<Vec<_>>(),
            "total": figures(&measure.total),
        })
    };
    let dataset = |d: &BridgedDataset| {
        json!({
            "name": d.name, "by": d.by, "changes": d.changes,
            "measures": d.measures.iter().map(|m| measure(d, m)).collect::<Vec<_>>(),
        })
    };
    json!({
        "exit_status": u8::from(status == Status::Found),
        "from": outcome.from,
        "to": outcome.to,
        "datasets": outcome.datasets.iter().map(dataset).collect::<Vec<_>>(),
        "assumptions": outcome.assumptions,
    })
}

/// Amounts are texts, as JSON numbers are read as floats; null was not summed.
fn figures(figures: &BridgeFigures) -> Value {
    let text = |amount: Option<Amount>| json!(amount.map(|amount| amount.to_string()));
    let mut document = Map::new();
    document.insert("opening".to_owned(), text(figures.opening));
    for line in BridgeLine::ALL {
        document.insert(line.name().to_owned(), text(figures.line(line)));
    }
    document.insert("closing".to_owned(), text(figures.closing));
    document.insert(
        "unknown_cells".to_owned(),
        json!({ "opening": figures.opening_unknown, "moved": figures.moved_unknown, "closing": figures.closing_unknown }),
    );
    Value::Object(document)
}
