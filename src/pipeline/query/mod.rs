//! SQL over a run: its snapshot, its inputs and what it found, as tables.
//!
//! | table | rows |
//! |---|---|
//! | `<dataset>` | the table as of the moment |
//! | `<dataset>__current` | the current state as delivered, within the dataset's scope |
//! | `<dataset>__changes` | every change of its ledger, undone or not |
//! | `verdicts`, `discrepancies`, `totals` | as in the evidence folder |
//!
//! Limits: all of them are in memory while the query runs.

mod changes;

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::outcome::{Discrepancies, MomentOutcome, TableBatches};
use super::progress::Progress;
use super::request::{Output, QueryRequest, SchemaAt, SnapshotRequest};
use super::run::Run;
use crate::error::{Error, Result};
use crate::export::RowsFile;
use crate::export::package::Staged;
use crate::model::time;
use crate::plan::{Bound, Moment};
use crate::query::{Query, Tables};

/// What a query gave.
#[derive(Debug, Clone)]
pub struct QueryOutcome {
    /// The moment in words.
    pub resolved: String,
    /// The result.
    pub rows: RecordBatch,
    /// Where it was written; empty if it was not.
    pub path: PathBuf,
    /// What does not tie in the tables that were asked.
    pub discrepancies: Discrepancies,
    /// What had to be converted for SQL, in words.
    pub notes: Vec<String>,
    /// What the run assumed, in words.
    pub assumptions: Vec<String>,
}

/// Rebuilds and verifies every dataset, and runs SQL over it.
///
/// # Errors
/// As [`snapshot`](super::snapshot), and if the query cannot be understood or fails.
pub fn query(request: &QueryRequest, progress: &dyn Progress) -> Result<QueryOutcome> {
    let known =
        [("as_of".to_owned(), last_instant(&request.moment)), ("as_of_day".to_owned(), last_day(request))];
    let sql = Query::parse(&request.sql)?.with(&request.set, &known)?;
    let staged = request.output.as_deref().map(|path| {
        RowsFile::check_name(path)?;
        Ok((path, Staged::folder(path, request.replace)?))
    });
    let staged = staged.transpose()?;
    let made = super::in_pool(&request.options, || made(request, progress))?;
    progress.stage("query", None);
    let mut tables = Tables::new();
    for table in &made.tables {
        tables.add(&table.name, &table.schema, &table.batches)?;
    }
    let notes = tables.notes().to_vec();
    let rows = tables.run(&sql)?;
    let mut path = PathBuf::new();
    if let Some((place, staged)) = staged {
        let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut file = RowsFile::create(&staged.path().join(&name), rows.schema())?;
        file.write(&rows)?;
        file.finish()?;
        staged.publish_file(&name)?;
        path = place.to_owned();
    }
    Ok(QueryOutcome {
        resolved: request.moment.resolved.clone(),
        rows,
        path,
        discrepancies: made.discrepancies,
        notes,
        assumptions: made.assumptions,
    })
}

/// Everything that SQL can name.
struct Made {
    tables: Vec<TableBatches>,
    discrepancies: Discrepancies,
    assumptions: Vec<String>,
}

fn made(request: &QueryRequest, progress: &dyn Progress) -> Result<Made> {
    let snapshot = SnapshotRequest {
        plan: request.plan.clone(),
        moments: vec![request.moment.clone()],
        output: Output::Memory,
        replace: false,
        verify: true,
        provenance: false,
        csv_safe: false,
        schema: SchemaAt::Current,
        policy: request.policy,
        options: request.options.clone(),
    };
    let (outcome, inputs) = super::snapshot::run(&snapshot, progress, |run| inputs(run, request, progress))?;
    let mut made =
        Made { tables: inputs, discrepancies: Discrepancies::default(), assumptions: outcome.assumptions };
    for moment in outcome.moments {
        made.tables.extend(results(&moment)?);
        made.discrepancies = moment.discrepancies;
    }
    Ok(made)
}

/// The snapshot and what was found, under their names.
fn results(moment: &MomentOutcome) -> Result<Vec<TableBatches>> {
    let Some(batches) = &moment.batches else { return Ok(Vec::new()) };
    let mut tables = batches.tables.clone();
    let found = [
        ("verdicts", &batches.verdicts, crate::export::verdicts::verdict_schema()),
        ("discrepancies", &batches.discrepancies, crate::export::tables::discrepancy_schema()),
        ("totals", &batches.totals, crate::export::totals::totals_schema()),
    ];
    for (name, batches, schema) in found {
        tables.push(table(name.to_owned(), schema, batches.clone()));
    }
    Ok(tables)
}

fn table(name: String, schema: SchemaRef, batches: Vec<RecordBatch>) -> TableBatches {
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    TableBatches { name, schema, batches }
}

/// What the run read.
fn inputs(run: &Run, request: &QueryRequest, progress: &dyn Progress) -> Result<Vec<TableBatches>> {
    let mut tables = Vec::new();
    for (number, input) in run.inputs.datasets.iter().enumerate() {
        let name = &input.plan.name;
        let all: Vec<usize> = (0..input.schema.len()).collect();
        let groups = (0..input.table.groups()).map(|group| input.read_current(group, &all));
        let batches = groups.collect::<Result<Vec<_>>>()?;
        let schema = std::sync::Arc::new(Schema::new(input.schema.arrow().fields().clone()));
        tables.push(table(format!("{name}__current"), schema, batches));
        progress.stage(&format!("collect changes of {name}"), None);
        let (schema, batches) = changes::table(run, number, request)?;
        tables.push(TableBatches { name: format!("{name}__changes"), schema, batches });
    }
    debug_assert!(tables.len() == 2 * run.inputs.datasets.len(), "two tables per dataset");
    Ok(tables)
}

/// The last instant in force; the text as given if the moment is no time.
fn last_instant(moment: &Moment) -> String {
    moment.bound.last_nanosecond().map_or_else(|| moment.bound.to_when(), time::format_instant)
}

/// The day of that instant in the plan's zone.
fn last_day(request: &QueryRequest) -> String {
    let zone = request.plan.calendar.zone.unwrap_or(chrono_tz::UTC);
    let day = |nanoseconds: i64| {
        chrono::DateTime::from_timestamp_nanos(nanoseconds)
            .with_timezone(&zone)
            .format("%Y-%m-%d")
            .to_string()
    };
    match &request.moment.bound {
        Bound::At(_) | Bound::Before(_) => {
            request.moment.bound.last_nanosecond().map_or_else(String::new, day)
        }
        Bound::Position(_) | Bound::Transaction(_) => String::new(),
    }
}

/// What is said where a table cannot be put together.
fn failed(name: &str) -> impl FnOnce(arrow::error::ArrowError) -> Error + use<> {
    Error::arrow(std::path::Path::new(name))
}
