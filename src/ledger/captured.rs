//! Decodes the real ledgers of the shared cases against the schemas of their current states.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::testing::{show, target};
use super::{Carry, DecodeOptions, Format, Note, Stream, TableTarget, decode};
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
    let table_of = |table: &&str| {
        let file = File::open(case.join(format!("current/{table}.parquet"))).unwrap();
        let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
        let key = key(table).iter().map(|k| schema.index_of(k).unwrap()).collect();
        TableTarget { dataset: 0, names: vec![(*table).to_owned()], schema: TableSchema::new(schema, key) }
    };
    tables.iter().map(table_of).collect()
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
    let table_of = |(name, columns): (&str, Vec<(&str, DataType)>)| {
        let fields: Vec<Field> = columns.into_iter().map(|(n, t)| Field::new(n, t, true)).collect();
        let schema = TableSchema::new(Arc::new(Schema::new(fields)), vec![0]);
        TableTarget { dataset: 0, names: vec![name.to_owned()], schema }
    };
    tables.into_iter().map(table_of).collect()
}

/// Every change of every table, as text.
fn lines(path: &Path, format: Format, targets: &[TableTarget]) -> Vec<String> {
    let mut options = DecodeOptions::default();
    let (_, stream) = run(path, format, targets, &options, 1 << 30);
    options.facts = stream.facts;
    let mut lines = Vec::new();
    let chunks = JsonChunks::new(open_bytes(path).unwrap(), path).unwrap().with_chunk_size(1 << 20);
    for chunk in chunks {
        let decoded = decode(format, &chunk.unwrap(), targets, &options);
        for (batch, target) in decoded.changes.iter().zip(targets) {
            lines.extend(show(batch, &target.schema).into_iter().map(|l| format!("{} {l}", target.names[0])));
        }
    }
    lines.retain(|l| !l.contains("truncate"));
    lines.sort();
    lines
}

#[test]
fn both_ways_of_writing_a_ledger_tell_the_same() {
    let Some(cases) = cases() else { return };
    for (case, a, b, format) in [
        ("postgres-wal2json-full", "wal2json_v1", "wal2json_v2", Format::Wal2Json),
        ("debezium-postgres", "debezium_precise_noschema", "debezium_precise_schema", Format::Debezium),
    ] {
        let case = cases.join("captured").join(case);
        let targets = targets(&case);
        let [a, b] = [a, b].map(|f| lines(&case.join(format!("ledger/{f}.ndjson.gz")), format, &targets));
        let first = a.iter().zip(&b).find(|(a, b)| a != b);
        assert_eq!(first, None);
        assert_eq!(a.len(), b.len());
    }
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

/// Decodes a fixture into text.
fn fixture(name: &str, target: TableTarget) -> Option<(Vec<String>, Vec<Note>)> {
    let path = cases()?.join("fixtures/debezium").join(name);
    let targets = [target];
    let chunks = JsonChunks::new(open_bytes(&path).unwrap(), &path).unwrap();
    let (mut lines, mut notes) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let decoded = decode(Format::Debezium, &chunk.unwrap(), &targets, &DecodeOptions::default());
        lines.extend(show(&decoded.changes[0], &targets[0].schema));
        notes.extend(decoded.notes);
    }
    Some((lines, notes))
}

#[test]
fn debezium_fixtures_of_mysql() {
    let text = |name| (name, DataType::Utf8);
    let customers = || {
        let columns = [("id!", DataType::Int32), text("first_name"), text("last_name"), text("email")];
        target("customers", &columns)
    };
    let Some((bare, notes)) = fixture("mysql-1.9.5-customers.ndjson", customers()) else { return };
    assert_eq!(notes, []);
    assert_eq!(bare[0], "read none -> id:1001 first_name:Sally last_name:Thomas email:sally.thomas@acme.com");
    assert_eq!(bare[9], "delete id:1006 first_name:add1 last_name:add2 email:add1 -> none");
    let (with_schema, notes) = fixture("mysql-1.9.5-customers-with-schema.ndjson", customers()).unwrap();
    assert_eq!(notes, []);
    assert_eq!(bare.iter().filter(|l| l.starts_with("read")).count(), 4);
    assert!(!with_schema.is_empty() && with_schema.iter().all(|l| !l.contains('?')));
    let products = target(
        "products",
        &[("id!", DataType::Int64), text("name"), text("description"), ("weight", DataType::Float64)],
    );
    let (lines, notes) = fixture("mysql-1.1.1-products.ndjson", products).unwrap();
    assert_eq!(notes, []);
    let reads = lines.iter().filter(|l| l.starts_with("read")).count();
    assert_eq!((reads, lines.len()), (9, 16), "old connectors write initial reads as inserts");
}

#[test]
fn debezium_fixtures_of_postgresql() {
    let products = || {
        let columns = [
            ("id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("description", DataType::Utf8),
            ("weight", DataType::Float64),
        ];
        target("products", &columns)
    };
    let Some((whole, notes)) = fixture("postgres-1.2.1-products-full-before.ndjson", products()) else {
        return;
    };
    assert_eq!(notes, []);
    assert!(whole.iter().all(|l| !l.contains('?')));
    let (stripped, notes) = fixture("postgres-1.2.1-products-before-stripped.ndjson", products()).unwrap();
    // Without before image and message key nobody knows which row was deleted.
    assert_eq!(notes.iter().map(|n| n.kind).collect::<Vec<_>>(), [DiscrepancyKind::UnparsableRecord]);
    assert!(
        stripped
            .iter()
            .filter(|l| l.starts_with("update"))
            .all(|l| l.contains("name:? description:? weight:?"))
    );
}

#[test]
fn every_type_of_mysql() {
    use arrow::datatypes::TimeUnit::Microsecond;
    let instant = DataType::Timestamp(Microsecond, Some("UTC".into()));
    let local = DataType::Timestamp(Microsecond, None);
    let expected = [
        ("pk!", DataType::Int32, "1"),
        ("col_d_1000", DataType::Date32, "1000-01-01"),
        ("col_d_9999", DataType::Date32, "9999-12-31"),
        ("col_dt_fsp_1", local.clone(), "2023-11-30T12:34:56.100"),
        ("col_dt_fsp_6", local, "2023-11-30T12:34:56.123456"),
        ("col_t_fsp_6", DataType::Time64(Microsecond), "12:34:56.123456"),
        ("col_ts_fsp_5", instant, "2023-11-30T12:34:56.123460Z"),
        ("col_y", DataType::Int32, "2023"),
        ("col_bit_1", DataType::Boolean, "true"),
        ("col_bit_60", DataType::UInt64, "16"),
        ("col_varbinary", DataType::Binary, "666f6f"),
        ("col_decimal", DataType::Decimal128(10, 5), "12345.12345"),
        ("col_int_unsigned", DataType::UInt32, "4294967295"),
        ("col_tinyint", DataType::Int8, "-128"),
        ("col_bigint", DataType::Int64, "-9223372036854775808"),
        ("col_bigint_unsigned", DataType::UInt64, "18446744073709551615"),
        ("col_enum_invalid", DataType::Utf8, ""),
        ("col_set", DataType::Utf8, "a,b"),
        ("col_json", DataType::Utf8, "[\"foo\"]"),
    ];
    let columns: Vec<(&str, DataType)> = expected.iter().map(|(n, t, _)| (*n, t.clone())).collect();
    let Some((lines, notes)) = fixture("mysql-2.4.0-all-types.value.json", target("foo", &columns)) else {
        return;
    };
    let cells: Vec<String> =
        expected.iter().map(|(n, _, v)| format!("{}:{v}", n.trim_end_matches('!'))).collect();
    assert_eq!(lines, [format!("insert none -> {}", cells.join(" "))]);
    assert!(notes.iter().all(|n| n.kind == DiscrepancyKind::UnknownColumn));
    // A time before midnight is no time of day: it is not made into one.
    let negative = target("foo", &[("pk!", DataType::Int32), ("col_t_neg", DataType::Time64(Microsecond))]);
    let (lines, _) = fixture("mysql-2.4.0-all-types.value.json", negative).unwrap();
    assert_eq!(lines, ["insert none -> pk:1 col_t_neg:?"]);
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
