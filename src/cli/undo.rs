//! `asof undo`: the reversing change set.

use std::path::PathBuf;

use asof::export::sql::Dialect;
use asof::pipeline::undo::{Only, UndoFormat, UndoOutcome, UndoRequest, UndoneDataset};
use asof::plan::Plan;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::{Value, json};

use super::args::{AsOfArgs, InputArgs, KeyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::layout::{Align, columns, list};

/// Write what turns the current state back into the table as it stood
///
/// Compares the current state with the table as of WHEN and writes the difference, one
/// change per row: as Parquet, or with --dialect as an SQL script. Every statement names
/// the whole row that it expects, and the script changes nothing at all unless each of them
/// finds its row unchanged. Rows on which ledger and current state disagree, and rows with
/// values that no record states, are refused and named.
///
/// With --only, just some changes are taken back. Later changes of the same rows depend on
/// them: they are listed, and the run is refused unless they are taken back too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    A script for PostgreSQL, to be run with psql --file:
        asof undo plan.toml --as-of 2025-12-31 --dialect postgres --out undo.sql

    The same as data:
        asof undo plan.toml --as-of 2025-12-31 --out undo/

    What one transaction did, with everything that was built on it:
        asof undo plan.toml --as-of 2025-12-31 --only txn=7741 --with-dependents \\
            --dialect mariadb --out undo.sql

EXIT STATUS
    0 written; 2 could not run or refused, nothing written")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    as_of: AsOfArgs,

    /// Script to write (.sql), or folder or .parquet file
    #[arg(long, value_name = "PATH")]
    out: PathBuf,

    /// Overwrite an output that is already there
    #[arg(long, help_heading = "Output")]
    replace: bool,

    /// Write an SQL script for this database
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    dialect: Option<DialectArg>,

    /// Name of a dataset's table in the database (can be repeated)
    ///
    /// As DATASET=TABLE or DATASET=SCHEMA.TABLE. Default: the name of the dataset.
    #[arg(long, value_name = "DATASET=TABLE", help_heading = "Output")]
    target: Vec<String>,

    /// Column that the database keeps unique beside the key (can be repeated)
    ///
    /// As DATASET.COLUMN. Rows that change in it are deleted and inserted anew, so that rows
    /// can exchange their values.
    #[arg(long, value_name = "DATASET.COLUMN", help_heading = "Output")]
    unique: Vec<String>,

    /// Take back just these changes: txn=…, actor=…, key=DATASET:… (can be repeated)
    ///
    /// Several are a union. Changes before WHEN stay in any case. Values of several key
    /// columns are separated by commas; with one dataset its name can be left out.
    #[arg(long, value_name = "SELECTION")]
    only: Vec<String>,

    /// Take back later changes that depend on the selected ones too
    #[arg(long, requires = "only")]
    with_dependents: bool,

    /// Take rows on which ledger and current state disagree
    ///
    /// The guard of their statements is the current row.
    #[arg(long, help_heading = "In doubt")]
    allow_contradicted: bool,

    /// Take rows with values that were inferred from earlier changes
    #[arg(long, help_heading = "In doubt")]
    allow_inferred: bool,

    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// A dialect as a word.
#[derive(Debug, Clone, Copy)]
struct DialectArg(Dialect);

impl ValueEnum for DialectArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [DialectArg; Dialect::ALL.len()] = {
            let mut all = [DialectArg(Dialect::Postgres); Dialect::ALL.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = DialectArg(Dialect::ALL[at]);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

/// Writes the change set and prints what it does.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let mut plan = args.inputs.plan(args.key.columns())?;
    args.as_of.settle(&mut plan)?;
    let mut moments = args.as_of.moments(&plan)?;
    let (Some(moment), true) = (moments.pop(), moments.is_empty()) else {
        return Err(Failure::usage("--as-of names several moments", "name one to go back to"));
    };
    let request = UndoRequest {
        only: selection(args, &plan)?,
        format: format(args, &plan)?,
        plan,
        moment,
        with_dependents: args.with_dependents,
        allow_contradicted: args.allow_contradicted,
        allow_inferred: args.allow_inferred,
        path: args.out.clone(),
        replace: args.replace,
        options: args.run.options(),
    };
    let outcome = asof::pipeline::undo::undo(&request, console.progress())?;
    console.result(&text(&outcome), || document(&outcome))?;
    Ok(Status::Clean)
}

fn selection(args: &Args, plan: &Plan) -> Result<Vec<Only>, Failure> {
    let names: Vec<&str> = plan.datasets.iter().map(|d| d.name.as_str()).collect();
    let one = |text: &String| {
        Only::parse(text, &names)
            .map_err(|why| Failure::usage(format!("--only: {why}"), "see `asof undo --help`"))
    };
    args.only.iter().map(one).collect()
}

fn format(args: &Args, plan: &Plan) -> Result<UndoFormat, Failure> {
    let script = args.out.extension().is_some_and(|e| e.eq_ignore_ascii_case("sql"));
    let Some(DialectArg(dialect)) = args.dialect else {
        let hint = "add --dialect postgres, mysql, mariadb, sqlserver or sqlite";
        return match (script, args.target.first().or(args.unique.first())) {
            (true, _) => Err(Failure::usage("a script needs to know whose SQL it is", hint)),
            (_, Some(given)) => {
                Err(Failure::usage(format!("{given:?} only means something in a script"), hint))
            }
            _ => Ok(UndoFormat::Parquet),
        };
    };
    if !script {
        let message = format!("{} is no .sql file", args.out.display());
        return Err(Failure::usage(
            message,
            "with --dialect, name one with --out; without, Parquet is written",
        ));
    }
    let dataset = |name: &str| {
        let known = plan.dataset(name).is_some();
        let hint = plan.datasets.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
        if known {
            Ok(name.to_owned())
        } else {
            Err(Failure::usage(format!("there is no dataset {name:?}"), hint))
        }
    };
    let pair = |text: &String, mark: char| {
        let parts = text.split_once(mark).map(|(a, b)| (a.to_owned(), b.to_owned()));
        parts.ok_or_else(|| Failure::usage(format!("{text:?} has no {mark:?}"), "see `asof undo --help`"))
    };
    let targets = args.target.iter().map(|text| {
        let (name, table) = pair(text, '=')?;
        Ok((dataset(&name)?, table.split('.').map(str::to_owned).collect()))
    });
    let unique = args.unique.iter().map(|text| {
        let (name, column) = pair(text, '.')?;
        Ok((dataset(&name)?, column))
    });
    Ok(UndoFormat::Sql {
        dialect,
        targets: targets.collect::<Result<_, Failure>>()?,
        unique: unique.collect::<Result<_, Failure>>()?,
    })
}

fn text(outcome: &UndoOutcome) -> String {
    let mut text = format!("{}: {}\nwrote {}", outcome.text, outcome.resolved, outcome.path.display());
    if let Some(statements) = outcome.statements {
        text += &format!(" ({statements} statements)");
    }
    let head = ["dataset", "deletes", "inserts", "updates", "contradicted", "inferred"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(outcome.datasets.iter().map(|d| {
        let counts = [d.deletes, d.inserts, d.updates, d.contradicted, d.inferred];
        [d.name.clone()].into_iter().chain(counts.iter().map(u64::to_string)).collect()
    }));
    let right = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right];
    text += &format!("\n\n{}", columns(0, &right, &rows));
    let dependents: Vec<String> = outcome
        .dependents
        .iter()
        .map(|d| format!("{} of {} {}", d.step.op.name(), d.dataset, d.key))
        .collect();
    text + &list("later changes taken back too", &dependents) + &list("assumptions", &outcome.assumptions)
}

fn document(outcome: &UndoOutcome) -> Value {
    let dataset = |d: &UndoneDataset| {
        json!({ "name": d.name, "deletes": d.deletes, "inserts": d.inserts, "updates": d.updates,
                "selected_changes": d.selected, "contradicted": d.contradicted, "inferred": d.inferred })
    };
    let dependent = |d: &asof::pipeline::undo::Dependent| {
        json!({ "dataset": d.dataset, "key": d.key, "op": d.step.op.name(), "committed_at": d.step.committed_at,
                "transaction": d.step.transaction, "actor": d.step.actor, "file": d.step.file,
                "record": d.step.record })
    };
    json!({
        "as_of": outcome.text,
        "resolved": outcome.resolved,
        "path": outcome.path,
        "statements": outcome.statements,
        "datasets": outcome.datasets.iter().map(dataset).collect::<Vec<_>>(),
        "dependents": outcome.dependents.iter().map(dependent).collect::<Vec<_>>(),
        "assumptions": outcome.assumptions,
    })
}
