//! Parquet outputs seen from outside: what is copied, what is encoded, and what other readers make of both.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::PageEncodingStats;
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::harness::{Folder, Output};

const ROWS: i64 = 600;

/// A table of row groups of different producers' manners: plain, decimal, text, nested.
fn current(rows: i64, properties: WriterProperties) -> (RecordBatch, Vec<u8>) {
    let ids = Int64Array::from_iter_values(0..rows);
    let names: StringArray = (0..rows).map(|id| (id % 7 > 0).then(|| format!("name {}", id % 23))).collect();
    let amounts = Decimal128Array::from_iter_values((0..rows).map(|id| i128::from(id * 101 - 3000)));
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..rows).map(|id| (id % 5 > 0).then(|| vec![Some(id as i32), None])),
    );
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(ids), false),
        ("name", Arc::new(names), true),
        ("amount", Arc::new(amounts.with_precision_and_scale(15, 2).unwrap()), false),
        ("tags", Arc::new(tags), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (batch, bytes)
}

fn manners() -> Vec<(&'static str, WriterProperties)> {
    let base = || WriterProperties::builder().set_max_row_group_row_count(Some(200));
    vec![
        ("snappy", base().set_compression(Compression::SNAPPY).build()),
        (
            "zstd",
            base()
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_bloom_filter_enabled(true)
                .build(),
        ),
        ("plain", base().set_dictionary_enabled(false).set_data_page_size_limit(300).build()),
        (
            "v2",
            base()
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .set_compression(Compression::LZ4_RAW)
                .build(),
        ),
    ]
}

/// The current state, and a ledger by which row 250 was called otherwise; runs without verification.
fn rebuilt(bytes: &[u8]) -> (Folder, Output) {
    let folder = Folder::new();
    folder.write("items.parquet", bytes);
    folder.write(
        "items.ndjson",
        concat!(
            r#"{"seq":1,"txid":"a","committed_at":"2025-01-05T00:00:00Z","op":"U","#,
            r#""before":{"id":250,"name":"before","amount":"222.50","tags":null},"#,
            r#""after":{"id":250,"name":"name 20","amount":"222.50","tags":null}}"#,
            "\n",
        ),
    );
    let output = folder.run(&[
        "snapshot",
        "--current",
        "items.parquet",
        "--ledger",
        "items.ndjson",
        "--key",
        "id",
        "--as-of",
        "2025-01-04",
        "--allow-uncovered",
        "--no-verify",
        "--out",
        "out.parquet",
    ]);
    (folder, output)
}

/// The bytes of a leaf's chunk.
fn chunk(path: &Path, group: usize, leaf: usize) -> Vec<u8> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let (start, length) = reader.metadata().row_group(group).column(leaf).byte_range();
    std::fs::read(path).unwrap()[start as usize..(start + length) as usize].to_vec()
}

/// How many pages of which kind a leaf's chunk has, by the footer.
fn pages(path: &Path, group: usize, leaf: usize) -> Option<Vec<PageEncodingStats>> {
    let options = ArrowReaderOptions::new().with_encoding_stats_as_mask(false);
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    reader.metadata().row_group(group).column(leaf).page_encoding_stats().cloned()
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.with_batch_size(ROWS as usize).build().unwrap().next().unwrap().unwrap()
}

#[test]
fn chunks_in_which_no_cell_changed_are_the_same_bytes() {
    for (manner, properties) in manners() {
        let (batch, bytes) = current(ROWS, properties);
        let (folder, output) = rebuilt(&bytes);
        assert_eq!(output.status, 0, "{manner}: {}{}", output.stdout, output.stderr);
        let (source, out) = (folder.join("items.parquet"), folder.join("out.parquet"));
        for group in 0..3 {
            for leaf in 0..4 {
                let same = chunk(&source, group, leaf) == chunk(&out, group, leaf);
                // Row 250 lies in the second group, and only its name was another one.
                assert_eq!(same, (group, leaf) != (1, 1), "{manner}: group {group}, leaf {leaf}");
                let counted = pages(&out, group, leaf);
                assert!(counted.is_some(), "{manner}: group {group}, leaf {leaf}");
                assert!(
                    !same || counted == pages(&source, group, leaf),
                    "{manner}: group {group}, leaf {leaf}"
                );
            }
        }
        let found = read(&out);
        let mut names: Vec<Option<&str>> = batch.column(1).as_string::<i32>().iter().collect();
        names[250] = Some("before");
        assert_eq!(found.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), names, "{manner}");
        for column in [0, 2, 3] {
            assert_eq!(found.column(column), batch.column(column), "{manner}");
        }
    }
}

#[test]
fn a_chunk_that_is_not_what_its_footer_says_is_not_copied() {
    let (_, mut bytes) = current(ROWS, manners().remove(0).1);
    let folder = Folder::new();
    folder.write("whole.parquet", &bytes);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(folder.join("whole.parquet")).unwrap()).unwrap();
    let (start, length) = reader.metadata().row_group(2).column(0).byte_range();
    bytes[start as usize..(start + length) as usize].fill(0);
    let (folder, output) = rebuilt(&bytes);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(output.stderr.contains("items.parquet"), "{}", output.stderr);
    assert!(!folder.join("out.parquet").exists(), "nothing half-written is left");
}

/// What another reader finds: rows, sum of ids, distinct names, and the one that was changed.
fn by_another_reader(python: &str, script: &str, path: &Path) -> Option<String> {
    let output = Command::new(python).arg("-c").arg(script).arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(output.status.success(), "{text}");
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn other_readers_find_the_same_rows() {
    const PYARROW: &str = "import sys, pyarrow.parquet as p, pyarrow.compute as c\n\
        t = p.read_table(sys.argv[1]); f = p.read_table(sys.argv[1], filters=[('id', '=', 250)])\n\
        print(t.num_rows, c.sum(t['id']), c.count_distinct(t['name']), f['name'][0], f['amount'][0])";
    const DUCKDB: &str = "import sys, duckdb\n\
        q = duckdb.connect().execute\n\
        a = q(f\"SELECT count(*), sum(id)::BIGINT, count(DISTINCT name) FROM '{sys.argv[1]}'\").fetchone()\n\
        b = q(f\"SELECT name, amount FROM '{sys.argv[1]}' WHERE id = 250\").fetchone()\n\
        print(*a, *b)";
    let large = WriterProperties::builder().set_dictionary_enabled(false);
    let large = large.set_max_row_group_row_count(Some(10 * ROWS as usize)).build();
    let tables = manners().into_iter().map(|(manner, properties)| (manner, ROWS, properties));
    for (manner, rows, properties) in tables.chain([("large", 20 * ROWS, large)]) {
        let (folder, output) = rebuilt(&current(rows, properties).1);
        assert_eq!(output.status, 0, "{}", output.stderr);
        let out = folder.join("out.parquet");
        if manner == "large" {
            let encodings: Vec<Encoding> = pages(&out, 0, 1).unwrap().iter().map(|of| of.encoding).collect();
            assert_eq!(encodings, [Encoding::DELTA_LENGTH_BYTE_ARRAY]);
        }
        let expected = format!("{rows} {} 24 before 222.50", rows * (rows - 1) / 2);
        for (reader, script) in [("pyarrow", PYARROW), ("DuckDB", DUCKDB)] {
            match by_another_reader("python3", script, &out) {
                Some(found) => assert_eq!(found, expected, "{reader}, {manner}"),
                None => println!("{reader} is not installed: not checked by it"),
            }
        }
    }
}

#[test]
fn a_table_of_unusual_columns_is_rebuilt() {
    let folder = Folder::new();
    let wide: Vec<(String, ArrayRef)> = (0..200)
        .map(|c| {
            (format!("c{c}"), Arc::new(Int64Array::from_iter_values((0..50).map(|r| r * c))) as ArrayRef)
        })
        .collect();
    let batch = RecordBatch::try_from_iter(wide).unwrap();
    let nothing = Arc::new(StringArray::new_null(50)) as ArrayRef;
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("nothing", DataType::Utf8, true));
    let arrays = batch.columns().iter().cloned().chain([nothing]).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    folder.write("wide.parquet", &bytes);
    folder.write(
        "wide.ndjson",
        r#"{"seq":1,"txid":1,"committed_at":"2025-01-05T00:00:00Z","op":"I","before":null,"after":{"c1":49}}"#,
    );
    let output = folder.run(&[
        "snapshot",
        "--current",
        "wide.parquet",
        "--ledger",
        "wide.ndjson",
        "--key",
        "c1",
        "--as-of",
        "2025-01-04",
        "--allow-uncovered",
        "--no-verify",
        "--out",
        "out.parquet",
    ]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(folder.join("out.parquet")).unwrap()).unwrap();
    let found = reader.build().unwrap().next().unwrap().unwrap();
    assert_eq!((found.num_rows(), found.num_columns()), (49, 201));
    let last = found.column(199).as_primitive::<Int64Type>();
    assert!(last.values().iter().eq((0..49).map(|r| r * 199).collect::<Vec<_>>().iter()));
    assert_eq!(found.column(200).null_count(), 49);
}
