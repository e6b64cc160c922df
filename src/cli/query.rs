//! `asof query`: SQL over the snapshot, the ledger and what does not tie.

use std::path::PathBuf;

use super::args::{FailOnArgs, InputArgs, KeyArgs, PolicyArgs, RunArgs};
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Ask SQL of the snapshot, the ledger and what does not tie
///
/// Rebuilds and verifies every dataset as of the moment, and runs one SQL statement over
/// the tables <dataset> (as of), <dataset>__current, <dataset>__changes (one row per
/// change, with before_… and after_… columns), verdicts, discrepancies and totals. The
/// folder `queries` of the sources has SQL for common audit questions. Needs a program
/// that was built with the feature `query`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof query year-end.toml --as-of 2025-12-31 queries/trial-balance.sql
    asof query year-end.toml --as-of 2025-12-31 queries/cut-off.sql --set span=10d --out cut-off.csv
    asof query year-end.toml --as-of 2025-12-31 --sql 'SELECT count(*) AS n FROM accounts'

PARAMETERS
    A query declares its parameters in the comment at its top, with their defaults:
    `-- $days = 5` is a value, `-- ${journal} = journal_lines` a part of a name, written
    \"${journal}\" in the SQL. $as_of (the last instant in force, UTC) and $as_of_day (its day
    in the plan's zone) are always there.

EXIT STATUS
    0 clean; 1 discrepancies at or above --fail-on; 2 could not run")]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    key: KeyArgs,

    /// File with the query, after the plan; without a plan, give --query
    #[arg(value_name = "FILE.sql", conflicts_with_all = ["query", "sql"])]
    file: Option<PathBuf>,

    /// File with the query
    #[arg(long, value_name = "FILE.sql", conflicts_with = "sql")]
    query: Option<PathBuf>,

    /// The query itself
    #[arg(long, value_name = "SQL")]
    sql: Option<String>,

    /// Moment of the snapshot: a day, period, instant or position
    #[arg(long, value_name = "WHEN")]
    as_of: String,

    /// Second moment, for postings: as known then
    #[arg(long, value_name = "WHEN")]
    known_at: Option<String>,

    /// Value of a parameter of the query (can be repeated)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,

    /// File for the result: .parquet, .csv or .arrow
    ///
    /// Default: a table on stdout.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    out: Option<PathBuf>,

    /// Overwrite an output that is already there
    #[arg(long, help_heading = "Output")]
    replace: bool,

    #[command(flatten)]
    fail_on: FailOnArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// Says how a program with SQL is built.
#[cfg(not(feature = "query"))]
pub(crate) fn run(args: &Args, _console: &mut Console) -> Result<Status, Failure> {
    let Args { inputs: _, key: _, file: _, query: _, sql: _, as_of: _, known_at: _, set: _, .. } = args;
    let Args { out: _, replace: _, fail_on: _, policy: _, run: _, console: _, .. } = args;
    Err(Failure::usage(
        "this asof was built without SQL",
        "build it with `cargo build --release --features query`",
    ))
}

#[cfg(feature = "query")]
pub(crate) use with_sql::run;

#[cfg(feature = "query")]
mod with_sql {
    use arrow::array::RecordBatch;
    use asof::model::canon;
    use asof::pipeline::QueryOutcome;
    use asof::pipeline::request::QueryRequest;
    use asof::plan::Moment;
    use serde_json::{Map, Value, json};

    use super::super::findings;
    use super::super::layout::{Align, columns, counted, list};
    use super::{Args, Console, Failure, Status};

    /// Rows that are printed; files have all.
    const PRINTED: usize = 1000;

    /// Runs the query, and prints or writes what it gave.
    pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
        let request = request(args)?;
        let outcome = asof::pipeline::query(&request, console.progress())?;
        let status = findings::status(&outcome.discrepancies, &args.fail_on);
        for note in &outcome.notes {
            console.warn(note);
        }
        if let Some(worst) = outcome.discrepancies.worst() {
            let total = counted(outcome.discrepancies.total(), "discrepancy")
                .replace("discrepancys", "discrepancies");
            console.warn(&format!(
                "what was asked does not tie: {total}, the worst of severity {}; `SELECT * FROM discrepancies` lists them",
                worst.name()
            ));
        }
        console.result(&text(&outcome), || document(&outcome, status))?;
        Ok(status)
    }

    fn request(args: &Args) -> Result<QueryRequest, Failure> {
        let mut plan = args.inputs.plan(args.key.columns())?;
        if let Some(text) = &args.known_at {
            plan.ask_as_known_at(&Moment::parse_one(text, &plan.calendar)?);
        }
        let sql = match (args.file.as_ref().or(args.query.as_ref()), &args.sql) {
            (Some(path), _) => std::fs::read_to_string(path).map_err(|source| {
                Failure::usage(format!("{}: cannot read: {source}", path.display()), "name a file with SQL")
            })?,
            (None, Some(sql)) => sql.clone(),
            (None, None) => {
                return Err(Failure::usage(
                    "no query is given",
                    "name a file with SQL, or give it with --sql",
                ));
            }
        };
        let moments = Moment::parse(&args.as_of, &plan.calendar, args.run.options().now)?;
        let [moment] = &moments[..] else {
            return Err(Failure::usage(
                format!("{} names {} moments", args.as_of, moments.len()),
                "a query is asked of one moment",
            ));
        };
        Ok(QueryRequest {
            moment: moment.clone(),
            sql,
            set: args.set.clone(),
            output: args.out.clone(),
            replace: args.replace,
            policy: args.policy.policy(),
            options: args.run.options(),
            plan,
        })
    }

    fn text(outcome: &QueryOutcome) -> String {
        let rows = &outcome.rows;
        if !outcome.path.as_os_str().is_empty() {
            return format!(
                "wrote {} ({})\n",
                outcome.path.display(),
                counted(rows.num_rows() as u64, "row")
            );
        }
        let cell = |column: usize, row: usize| {
            let text = canon::cell_text(rows.column(column).as_ref(), row);
            text.unwrap_or_default().replace(|c: char| c.is_control(), "\u{fffd}")
        };
        let mut lines = vec![rows.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()];
        let shown = rows.num_rows().min(PRINTED);
        lines.extend((0..shown).map(|row| (0..rows.num_columns()).map(|c| cell(c, row)).collect()));
        let is_number = |c: usize| rows.column(c).data_type().is_numeric();
        let align: Vec<Align> =
            (0..rows.num_columns()).map(|c| if is_number(c) { Align::Right } else { Align::Left }).collect();
        let mut text = columns(0, &align, &lines);
        match rows.num_rows() - shown {
            0 => text += &format!("({})\n", counted(rows.num_rows() as u64, "row")),
            rest => {
                text += &format!(
                    "({shown} of {} rows; --out FILE writes all {rest} others too)\n",
                    rows.num_rows()
                )
            }
        }
        text + &list("assumptions", &outcome.assumptions)
    }

    fn document(outcome: &QueryOutcome, status: Status) -> Value {
        json!({
            "exit_status": u8::from(status == Status::Found),
            "as_of": outcome.resolved,
            "columns": outcome.rows.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>(),
            "rows": (0..outcome.rows.num_rows()).map(|row| object(&outcome.rows, row)).collect::<Vec<_>>(),
            "path": outcome.path,
            "discrepancies": findings::document(&outcome.discrepancies),
            "notes": outcome.notes,
            "assumptions": outcome.assumptions,
        })
    }

    /// Cells as exact text, as JSON numbers are read as floats; integers and truth as such.
    fn object(rows: &RecordBatch, row: usize) -> Map<String, Value> {
        let schema = rows.schema();
        let cell = |(field, array): (&std::sync::Arc<arrow::datatypes::Field>, &arrow::array::ArrayRef)| {
            let text = canon::cell_text(array.as_ref(), row);
            let plain =
                array.data_type().is_integer() || array.data_type() == &arrow::datatypes::DataType::Boolean;
            let value = match text {
                Some(text) if plain => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                text => json!(text),
            };
            (field.name().clone(), value)
        };
        schema.fields().iter().zip(rows.columns()).map(cell).collect()
    }
}
