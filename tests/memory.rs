//! Batches in, batches out: the same as from files, in the types that the caller gave.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use asof::pipeline::{self, progress::Silent};
use asof::plan::Dataset;
use asof::{Error, Moment, Output, OutputFormat, Plan, Policy, RunOptions, SnapshotOutcome, SnapshotRequest};

use crate::harness::Folder;
use crate::table;

const COLUMNS: &str = "*id int64 | qty int64 | city text";

/// Ids up to 70,000, so that one batch is more than one group; the last one is edited past the ledger.
fn current() -> RecordBatch {
    let (schema, _) = table::parse_header(COLUMNS);
    let row = |id: usize| format!("{id} | {} | c{}", if id == 70_000 { 1000 } else { id % 9 }, id % 3);
    table::parse_rows(&schema, &(1..=70_000).map(row).collect::<Vec<_>>())
}

fn changes() -> RecordBatch {
    let (schema, _) = table::parse_header(
        "seq int64 | op text | committed_at text | old_id int64 | old_qty int64 | old_city text | new_id int64 | \
         new_qty int64 | new_city text",
    );
    let rows = [
        "1 | U | 2025-01-03T00:00:00Z | 70000 | 3 | c1 | 70000 | 7 | c1",
        "2 | U | 2025-01-05T00:00:00Z | 5 | 4 | x | 5 | 5 | c2",
        "3 | D | 2025-01-06T00:00:00Z | 70001 | 8 | gone | null | null | null",
        "4 | I | 2025-01-07T00:00:00Z | null | null | null | 2 | 2 | c2",
    ];
    table::parse_rows(&schema, &rows.map(str::to_owned))
}

/// The same rows with a column as a dictionary.
fn with_dictionary(batch: &RecordBatch, column: &str) -> RecordBatch {
    let data_type = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
        if field.name() != column {
            return (field.as_ref().clone(), Arc::clone(array));
        }
        let array: ArrayRef = cast(array, &data_type).unwrap();
        (Field::new(column, data_type.clone(), true), array)
    });
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = fields.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn run(mut dataset: Dataset, output: Output) -> Result<SnapshotOutcome, Error> {
    dataset.measures = vec!["qty".to_owned()];
    let plan = Plan::of(vec![dataset])?;
    let moments = Moment::parse("2025-01-04", &plan.calendar, 0)?;
    let request = SnapshotRequest {
        plan,
        moments,
        output,
        replace: true,
        verify: true,
        provenance: false,
        csv_safe: false,
        schema: asof::pipeline::request::SchemaAt::Current,
        policy: Policy::default(),
        options: RunOptions::at(0),
    };
    pipeline::snapshot(&request, &Silent)
}

fn in_memory(current: Vec<RecordBatch>, changes: Vec<RecordBatch>) -> Result<Dataset, Error> {
    let mut dataset = Dataset::in_memory("items", &["id"], current, changes)?;
    let at = Moment::parse("2025-02-01T00:00:00Z", &asof::plan::Calendar::default(), 0)?;
    dataset.current.at = Some(at[0].bound.clone());
    dataset.ledger.complete_to = Some(at[0].bound.clone());
    Ok(dataset)
}

fn whole(batches: &[RecordBatch]) -> RecordBatch {
    concat_batches(&batches[0].schema(), batches).unwrap()
}

fn lines(batch: &RecordBatch, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    columns.iter().map(|name| table::column(batch, name)).collect()
}

#[test]
fn memory_and_files_agree() {
    let memory = run(in_memory(vec![current()], vec![changes()]).unwrap(), Output::Memory).unwrap();
    let folder = Folder::new();
    let out = folder.join("out");
    let mut files = in_memory(vec![current()], vec![changes()]).unwrap();
    for (name, batch, source) in [
        ("items.parquet", current(), &mut files.current.source),
        ("ledger.parquet", changes(), &mut files.ledger.table),
    ] {
        table::write_parquet(&folder.join(name), &batch);
        source.batches = None;
        source.pattern = folder.join(name);
    }
    files.ledger.paths = vec![folder.join("ledger.parquet")];
    let to_files = Output::Folder { path: out.clone(), format: OutputFormat::Parquet };
    let written = run(files, to_files).unwrap();
    let (a, b) = (&memory.moments[0], &written.moments[0]);
    assert_eq!(a.datasets, b.datasets);
    assert_eq!(a.discrepancies.counts, b.discrepancies.counts);
    assert_eq!((a.path.as_path(), b.batches.is_none()), (Path::new(""), true));
    let batches = a.batches.as_ref().unwrap();
    let read = |name: &str| table::read_parquet(&out.join(name));
    let snapshot = whole(&batches.tables[0].batches);
    assert_eq!(snapshot.num_rows(), 70_000);
    let columns = ["id", "qty", "city"];
    assert_eq!(lines(&snapshot, &columns), lines(&read("items.parquet"), &columns));
    let columns = ["dataset", "key", "column", "verdict", "present", "source"];
    assert_eq!(lines(&whole(&batches.verdicts), &columns), lines(&read("verdicts.parquet"), &columns));
    let columns = ["code", "key", "columns", "record", "current_row", "found", "touches_snapshot", "amounts"];
    let found = whole(&batches.discrepancies);
    assert_eq!(found.num_rows(), 1, "the edited row");
    assert_eq!(lines(&found, &columns), lines(&read("discrepancies.parquet"), &columns));
    assert_eq!(table::column(&found, "file"), [Some("change ledger of items".to_owned())]);
}

#[test]
fn rows_come_back_in_the_types_they_came_in() {
    let current = with_dictionary(&current(), "city");
    // Two batches, each with a dictionary of its own.
    let parts = vec![current.slice(0, 3), current.slice(3, current.num_rows() - 3)];
    let changes = vec![with_dictionary(&changes(), "op")];
    let outcome = run(in_memory(parts, changes).unwrap(), Output::Memory).unwrap();
    let moment = &outcome.moments[0];
    let table = &moment.batches.as_ref().unwrap().tables[0];
    assert_eq!(table.schema.field(2).data_type(), current.schema().field(2).data_type());
    let rows = whole(&table.batches);
    assert_eq!(rows.schema(), table.schema);
    let cities = cast(&rows["city"], &DataType::Utf8).unwrap();
    let ids = rows["id"].as_primitive::<Int64Type>();
    let city = |id: i64| {
        let row = ids.values().iter().position(|&other| other == id).unwrap();
        cities.as_string::<i32>().value(row).to_owned()
    };
    assert_eq!((city(5), city(70_001), city(6)), ("x".to_owned(), "gone".to_owned(), "c0".to_owned()));
}

#[test]
fn a_folder_of_evidence_on_tables_in_memory_names_and_digests_them() {
    let folder = Folder::new();
    let output = || Output::Folder { path: folder.join("out"), format: OutputFormat::Parquet };
    let manifest = || -> serde_json::Value {
        run(in_memory(vec![current()], vec![changes()]).unwrap(), output()).unwrap();
        serde_json::from_slice(&std::fs::read(folder.join("out/manifest.json")).unwrap()).unwrap()
    };
    let (first, again) = (manifest(), manifest());
    let input = &first["datasets"][0]["current"][0];
    assert_eq!(input["path"], "current state of items");
    assert_eq!(input["sha256"].as_str().unwrap().len(), 64);
    assert!(input["bytes"].as_u64().unwrap() > 70_000 * 16);
    assert_eq!(first, again);
}

#[test]
fn what_cannot_be_a_table_is_refused() {
    let message = |result: Result<Dataset, Error>| result.unwrap_err().to_string();
    assert!(message(in_memory(Vec::new(), vec![changes()])).contains("no record batch"));
    let other = current().project(&[0, 1]).unwrap();
    let text = message(in_memory(vec![current(), other], vec![changes()]));
    assert!(text.contains("record batch 2") && text.contains("city"), "{text}");
    let dataset = in_memory(vec![current()], vec![changes()]).unwrap();
    let twice = Plan::of(vec![dataset.clone(), dataset.clone()]).unwrap_err().to_string();
    assert!(twice.contains("two are called \"items\""), "{twice}");
    let mut foreign = dataset;
    foreign.ledger.format = Some(asof::plan::LedgerFormat::Debezium);
    let text = run(foreign, Output::Memory).unwrap_err().to_string();
    assert!(text.contains("change ledger of items") && text.contains("debezium"), "{text}");
}
