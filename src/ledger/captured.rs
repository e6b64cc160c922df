//! Decodes the real ledgers of the shared cases against the schemas of their current states.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Carry, DecodeOptions, Format, Stream, TableTarget, decode};
use crate::model::{CellState, DiscrepancyKind, TableSchema};
use crate::read::{JsonChunks, open_bytes};

/// The folder of shared cases; tests that need it pass with a message where it is not.
fn cases() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    let folders = [Some(beside), std::env::var_os("ASOF_CASES").map(PathBuf::from)];
    let found = folders.into_iter().flatten().find(|f| f.is_dir());
    if found.is_none() {
        println!("skipped: no ../shared/cases, and ASOF_CASES names no folder");
    }
    found
}

fn key(table: &str) -> &'static [&'static str] {
    match table {
        "journal_lines" => &["entry_id", "line_no"],
        "fx_ticks" => &[],
        _ => &["id"],
    }
}

fn targets(case: &Path) -> Vec<TableTarget> {
    let tables = ["accounts", "customers", "fx_ticks", "journal_entries", "journal_lines", "scratch_import"];
    let target = |table: &&str| {
        let file = File::open(case.join(format!("current/{table}.parquet"))).unwrap();
        let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
        let key = key(table).iter().map(|k| schema.index_of(k).unwrap()).collect();
        TableTarget { dataset: 0, names: vec![(*table).to_owned()], schema: TableSchema::new(schema, key) }
    };
    tables.iter().map(target).collect()
}

/// Counts of cells by table, column and state; of changes by op.
#[derive(Debug, Default)]
struct Counts {
    ops: BTreeMap<u8, usize>,
    cells: BTreeMap<(usize, usize, u8), usize>,
    notes: BTreeMap<(DiscrepancyKind, Option<String>), u64>,
    messages: Vec<String>,
}

fn run(
    path: &Path,
    format: Format,
    targets: &[TableTarget],
    options: &DecodeOptions,
    size: usize,
) -> (Counts, Stream) {
    let mut counts = Counts::default();
    let mut carry = Carry::new();
    let chunks = JsonChunks::new(open_bytes(path).unwrap(), path).unwrap().with_chunk_size(size);
    for chunk in chunks {
        let mut decoded = decode(format, &chunk.unwrap(), targets, options);
        carry.stitch(&mut decoded);
        for note in &decoded.notes {
            *counts.notes.entry((note.kind, note.column.clone())).or_insert(0) += note.count;
            counts.messages.push(note.message.clone());
        }
        for (target, batch) in decoded.changes.iter().enumerate() {
            assert!(batch.is_consistent());
            for row in 0..batch.len() {
                *counts.ops.entry(batch.ops[row]).or_insert(0) += 1;
                for column in 0..targets[target].schema.len() {
                    for side in [&batch.before, &batch.after] {
                        if side.is_present(row) {
                            let state = side.state(column, row);
                            let known_null =
                                state == CellState::Known && side.column(column).unwrap().is_null(row);
                            let code = if known_null { 9 } else { state as u8 };
                            *counts.cells.entry((target, column, code)).or_insert(0) += 1;
                        }
                    }
                }
            }
        }
    }
    (counts, carry.finish(options))
}

/// Decodes until the facts stand, as a run does.
fn settled(path: &Path, format: Format, targets: &[TableTarget], size: usize) -> (Counts, Stream) {
    let mut options = DecodeOptions::default();
    for _ in 0..3 {
        let (counts, stream) = run(path, format, targets, &options, size);
        if !stream.read_again {
            return (counts, stream);
        }
        options.facts = stream.facts;
    }
    panic!("facts do not settle");
}

fn cell(counts: &Counts, targets: &[TableTarget], table: &str, column: &str, code: u8) -> usize {
    let target = targets.iter().position(|t| t.names[0] == table).unwrap();
    let column = targets[target].schema.column(column).unwrap();
    counts.cells.get(&(target, column, code)).copied().unwrap_or(0)
}

const ABSENT: u8 = CellState::Absent as u8;
const UNCHANGED: u8 = CellState::Unchanged as u8;
const AMBIGUOUS: u8 = CellState::AmbiguousNull as u8;
const NULL: u8 = 9;

#[test]
fn wal2json_with_whole_images() {
    let Some(case) = cases().map(|c| c.join("captured/postgres-wal2json-full")) else { return };
    let targets = targets(&case);
    let mut changes = Vec::new();
    for (file, size) in [("wal2json_v2.ndjson.gz", 1 << 20), ("wal2json_v1.ndjson.gz", 300_000)] {
        let (counts, stream) = settled(&case.join("ledger").join(file), Format::Wal2Json, &targets, size);
        assert_eq!(counts.notes, BTreeMap::new(), "{file}: {:?}", counts.messages);
        let absent: Vec<_> = counts.cells.keys().filter(|k| k.2 == ABSENT).collect();
        assert!(absent.is_empty(), "{file}: no cell of a whole image is absent: {absent:?}");
        assert!(cell(&counts, &targets, "customers", "long_text", UNCHANGED) > 0, "{file}");
        assert!(cell(&counts, &targets, "customers", "risk_score", AMBIGUOUS) > 0, "{file}");
        assert_eq!(cell(&counts, &targets, "customers", "risk_score", NULL), 0, "{file}");
        assert!(cell(&counts, &targets, "accounts", "rate", AMBIGUOUS) > 0, "{file}");
        assert_eq!(cell(&counts, &targets, "accounts", "rate", NULL), 0, "{file}");
        assert_eq!(cell(&counts, &targets, "accounts", "iban", AMBIGUOUS), 0, "{file}");
        assert!(stream.positions.is_some(), "{file}");
        changes.push(counts.ops.values().sum::<usize>());
    }
    let truncates = 2;
    assert_eq!(changes, [34_117, 34_117 - truncates], "version 1 has no truncates");
}

/// The types of the tables whose current state is only there as text.
fn default_targets() -> Vec<TableTarget> {
    use arrow::datatypes::TimeUnit::Microsecond;
    let instant = DataType::Timestamp(Microsecond, Some("UTC".into()));
    let tables: [(&str, Vec<(&str, DataType)>); 2] = [
        (
            "accounts",
            vec![
                ("id", DataType::Int64),
                ("customer_id", DataType::Int64),
                ("iban", DataType::Utf8),
                ("currency", DataType::Utf8),
                ("balance", DataType::Decimal128(18, 2)),
                ("rate", DataType::Utf8),
                ("opened_on", DataType::Date32),
                ("closed_on", DataType::Date32),
                ("updated_at", instant.clone()),
                ("frozen", DataType::Boolean),
            ],
        ),
        (
            "customers",
            vec![
                ("id", DataType::Int64),
                ("ext_id", DataType::Utf8),
                ("name", DataType::Utf8),
                ("notes", DataType::Utf8),
                ("tags", DataType::Utf8),
                ("profile", DataType::Utf8),
                ("is_active", DataType::Boolean),
                ("birth_date", DataType::Date32),
                ("created_at", instant),
                ("local_seen", DataType::Timestamp(Microsecond, None)),
                ("risk_score", DataType::Float64),
                ("tier", DataType::Int16),
                ("photo", DataType::Binary),
                ("long_text", DataType::Utf8),
            ],
        ),
    ];
    let target = |(name, columns): (&str, Vec<(&str, DataType)>)| {
        let fields: Vec<Field> = columns.into_iter().map(|(n, t)| Field::new(n, t, true)).collect();
        let schema = TableSchema::new(Arc::new(Schema::new(fields)), vec![0]);
        TableTarget { dataset: 0, names: vec![name.to_owned()], schema }
    };
    tables.into_iter().map(target).collect()
}

#[test]
fn wal2json_with_keys_alone() {
    let Some(case) = cases().map(|c| c.join("captured/postgres-wal2json-default")) else { return };
    let targets = default_targets();
    let files = ["wal2json_v2.ndjson.gz", "wal2json_v1.ndjson.gz", "wal2json_v2_no_tx_no_pk.ndjson.gz"];
    let mut all = Vec::new();
    for file in files {
        let (counts, _) = settled(&case.join("ledger").join(file), Format::Wal2Json, &targets, 100_000);
        assert_eq!(counts.notes, BTreeMap::new(), "{file}: {:?}", counts.messages);
        // Before images hold the key alone.
        assert_eq!(cell(&counts, &targets, "accounts", "id", ABSENT), 0, "{file}");
        assert!(cell(&counts, &targets, "accounts", "balance", ABSENT) > 0, "{file}");
        assert!(cell(&counts, &targets, "customers", "long_text", UNCHANGED) > 0, "{file}");
        all.push(counts.cells);
    }
    assert_eq!(all[0], all[1], "versions 1 and 2 tell the same");
    assert_eq!(all[0], all[2], "types and markers make no difference");
}

#[test]
fn debezium_with_whole_images() {
    let Some(case) = cases().map(|c| c.join("captured/debezium-postgres")) else { return };
    let targets = targets(&case);
    for (file, precise) in [
        ("debezium_precise_noschema.ndjson.gz", true),
        ("debezium_precise_schema.ndjson.gz", true),
        ("debezium_string_noschema_initial.ndjson.gz", false),
    ] {
        let (counts, stream) = settled(&case.join("ledger").join(file), Format::Debezium, &targets, 500_000);
        let scales: &[&str] = if precise { &["fx_amount", "rate"] } else { &[] };
        let noted: Vec<_> = counts.notes.keys().collect();
        let expected: Vec<_> =
            scales.iter().map(|c| (DiscrepancyKind::LossyValue, Some((*c).to_owned()))).collect();
        assert_eq!(noted, expected.iter().collect::<Vec<_>>(), "{file}: {:?}", counts.messages);
        let absent: Vec<_> = counts.cells.keys().filter(|k| k.2 == ABSENT).map(|k| (k.0, k.1)).collect();
        let generated = targets[4].schema.column("amount_abs").unwrap();
        assert_eq!(absent, [(4, generated)], "{file}: only the generated column is not in the events");
        let ambiguous = cell(&counts, &targets, "accounts", "rate", AMBIGUOUS) > 0;
        assert_eq!(ambiguous, precise, "{file}");
        assert!(stream.positions.is_some(), "{file}");
        assert_eq!(stream.notes, [], "{file}");
    }
}

#[test]
fn debezium_with_keys_alone() {
    let Some(case) = cases().map(|c| c.join("captured/debezium-postgres-default")) else { return };
    let targets = targets(&case);
    let path = case.join("ledger/debezium_string_noschema.ndjson.gz");
    let (counts, _) = settled(&path, Format::Debezium, &targets, 50_000);
    assert_eq!(counts.notes, BTreeMap::new(), "{:?}", counts.messages);
    assert_eq!(cell(&counts, &targets, "accounts", "id", ABSENT), 0);
    assert!(cell(&counts, &targets, "accounts", "balance", ABSENT) > 0);
    // The table without key logs whole rows.
    assert_eq!(cell(&counts, &targets, "fx_ticks", "src", ABSENT), 0);
    let (whole, _) = settled(&path, Format::Debezium, &targets, 1 << 30);
    assert_eq!(whole.cells, counts.cells, "chunks make no difference");
}

#[test]
fn every_format_is_recognised() {
    let Some(cases) = cases() else { return };
    let detect = |path: &str| {
        let path = cases.join(path);
        let mut chunks = JsonChunks::new(open_bytes(&path).unwrap(), &path).unwrap();
        let chunk = chunks.next().unwrap().unwrap();
        Format::detect(chunk.records.iter().take(1_000).map(|r| std::str::from_utf8(chunk.bytes(r)).unwrap()))
    };
    for (path, format) in [
        ("captured/postgres-wal2json-full/ledger/wal2json_v1.ndjson.gz", Format::Wal2Json),
        ("captured/postgres-wal2json-default/ledger/wal2json_v2_no_tx_no_pk.ndjson.gz", Format::Wal2Json),
        ("captured/debezium-postgres/ledger/debezium_precise_schema.ndjson.gz", Format::Debezium),
        ("captured/debezium-postgres-default/ledger/debezium_string_noschema.ndjson.gz", Format::Debezium),
        ("fixtures/debezium/mysql-1.9.5-customers-with-schema.ndjson", Format::Debezium),
        ("fixtures/debezium/mysql-2.4.0-all-types.value.json", Format::Debezium),
        ("ourairports/regions/ledger.ndjson.gz", Format::Mapped),
    ] {
        assert_eq!(detect(path), Some(format), "{path}");
    }
}
