use std::io::Write as _;

use ::parquet::file::properties::WriterProperties;
use arrow::array::{Array as _, AsArray as _, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

fn open(source: &TableSource) -> Result<Table> {
    Table::open(source, &Spool::new(None))
}

fn one(name: &str, bytes: &[u8], change: impl Fn(&mut TableSource)) -> Result<Table> {
    let dir = folder(&[(name, bytes)]);
    let mut source = TableSource::at(dir.path().join(name));
    change(&mut source);
    open(&source)
}

fn csv(text: &str) -> Table {
    one("t.csv", text.as_bytes(), |_| {}).unwrap()
}

/// Types and rows as text; null is `∅`.
fn shown(table: &Table) -> (Vec<String>, Vec<String>) {
    let types = table.schema().fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    let all: Vec<usize> = (0..table.schema().fields().len()).collect();
    let mut rows = Vec::new();
    for group in 0..table.groups() {
        let batch = table.read(group, &all, None).unwrap();
        assert_eq!(batch.num_rows(), table.rows(group));
        for row in 0..batch.num_rows() {
            let cell = |c: &ArrayRef| {
                if c.is_null(row) { "∅".into() } else { array_value_to_string(c, row).unwrap() }
            };
            rows.push(batch.columns().iter().map(cell).collect::<Vec<String>>().join("|"));
        }
    }
    (types, rows)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn csv_with_quotes_newlines_and_a_mark() {
    let text = "\u{FEFF}id;name;\"a \"\"b\"\"\"\r\n1;\"x\r\ny;z\";\"\"\r\n\r\n2;é;q\r\n";
    let table = csv(text);
    let (types, rows) = shown(&table);
    assert_eq!(types, ["id Int64", "name Utf8", "a \"b\" Utf8"]);
    assert_eq!(rows, ["1|x\r\ny;z|", "2|é|q"]);
    assert_eq!(table.place(0), (0, 1));
}

#[test]
fn types_are_inferred_without_loss_and_said() {
    let table = csv("a,b,c,d,e\n007,1.50,true,2024-01-31,1\n8,2.25,false,2024-02-29,1.5\n,,,,\n");
    let (types, rows) = shown(&table);
    assert_eq!(types, ["a Utf8", "b Decimal128(38, 2)", "c Boolean", "d Date32", "e Utf8"]);
    assert_eq!(rows, ["007|1.50|true|2024-01-31|1", "8|2.25|false|2024-02-29|1.5", "|∅|∅|∅|"]);
    let reasons: Vec<&str> = table.decisions().iter().map(|d| d.reason.as_str()).collect();
    assert!(reasons[0].contains("leading zeros"), "{}", reasons[0]);
    assert_eq!(reasons[4], "text: numbers of decimals differ, 0 to 1");
}

#[test]
fn a_null_marker_tells_null_from_empty() {
    let text = "a,b\n,\"\"\nx,1\n\"\\N\",\\N\n";
    let with = |marker: &str| {
        one("t.csv", text.as_bytes(), |s| s.csv.null = Some(marker.to_owned())).map(|t| shown(&t)).unwrap()
    };
    assert_eq!(with("").1, ["∅|", "x|1", "\\N|\\N"]);
    assert_eq!(with("\\N").1, ["|", "x|1", "\\N|∅"]);
    assert_eq!(with("\\N").0, ["a Utf8", "b Utf8"], "an empty field is a value then");
}

#[test]
fn declared_types_win_and_misfits_are_listed() {
    let table = one("t.csv", b"id,at,n\n1,2024-01-01 00:00:00,1.5\n2,x,0.25\n", |s| {
        let at = arrow::datatypes::DataType::Timestamp(
            arrow::datatypes::TimeUnit::Microsecond,
            Some("UTC".into()),
        );
        s.types = vec![("at".to_owned(), at)];
        s.numeric = vec!["n".to_owned()];
        s.time_zone = Some(chrono_tz::Europe::Berlin);
    })
    .unwrap();
    let (types, rows) = shown(&table);
    assert_eq!(types[2], "n Decimal128(38, 2)");
    assert_eq!(rows, ["1|2023-12-31T23:00:00Z|1.50", "2|∅|0.25"]);
    let found = &table.discrepancies()[0];
    assert_eq!(found.kind.code(), "lossy-value");
    assert_eq!(found.current.as_ref().unwrap().row, 2);
    assert!(
        found.message.starts_with("record 2, column \"at\": expected a date and time"),
        "{}",
        found.message
    );
    let unknown =
        one("t.csv", b"id\n1\n", |s| s.types = vec![("idd".to_owned(), arrow::datatypes::DataType::Int8)]);
    assert_eq!(unknown.unwrap_err().hint().unwrap(), "did you mean \"id\"?");
}

#[test]
fn records_that_are_no_rows_are_set_aside_and_counted() {
    let table = csv("a,b\n1,2\n3\n4,5\n6,7,8\n\"9\"x,1\n10,11\n");
    assert_eq!(shown(&table).1, ["1|2", "4|5", "10|11"]);
    assert_eq!([0, 1, 2].map(|row| table.record(0, row)), [1, 3, 6]);
    let messages: Vec<&str> = table.discrepancies().iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "record 2, line 3: expected 2 fields, found 1 field; the record is set aside",
            "record 4, line 5: expected 2 fields, found 3 fields; the record is set aside",
            "record 5, line 6: text behind a closing quote; the record is set aside",
        ]
    );
}

#[test]
fn text_that_cannot_be_understood_is_an_error_with_its_place() {
    let message = |bytes: &[u8]| {
        let error = one("t.csv", bytes, |_| {}).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        let text = error.to_string();
        text[text.find("t.csv").unwrap()..].to_owned()
    };
    assert_eq!(
        message(b"a,b\n1,2\n3,caf\xE9\n"),
        "t.csv: record 2, line 3, column \"b\": expected text in UTF-8, found byte 0xE9 in \"caf\u{FFFD}\""
    );
    assert_eq!(
        message(b"a,b\n1,\"x\n2,y\n"),
        "t.csv: record 1, line 2: expected a closing quote, found the end of the file"
    );
    assert_eq!(message(b"a,b,a\n"), "t.csv: line 1: expected column names that differ, found \"a\" twice");
    assert_eq!(message(b""), "t.csv: expected a table, found an empty file");
    assert_eq!(
        message(b"a\0,\0b\0"),
        "t.csv: expected text in UTF-8, found zero bytes, as in a binary file or UTF-16 without a byte order mark"
    );
    assert_eq!(
        message(&vec![b'x'; 3 << 20]),
        "t.csv: line 1: expected a header line, found a first line of 3145728 bytes"
    );
    let whole = gzip(&b"a,b\n1,2\n".repeat(10_000));
    assert!(
        message(&whole[..whole.len() - 9]).contains("expected more data"),
        "{}",
        message(&whole[..whole.len() - 9])
    );
}

#[test]
fn lines_of_many_megabytes_are_read() {
    let long = "x".repeat(20 << 20);
    let table = csv(&format!("a,b\n1,{long}\n2,\"{long}\"\n"));
    let batch = table.read(0, &[1], Some(&[1])).unwrap();
    assert_eq!(arrow::array::AsArray::as_string::<i32>(batch.column(0)).value(0).len(), long.len());
    let table = one("t.ndjson", format!("{{\"a\": \"{long}\"}}\n{{\"a\": 1}}\n").as_bytes(), |_| {}).unwrap();
    assert_eq!(table.total_rows(), 2);
}

#[test]
fn compressed_and_utf16_text() {
    let text = "a\tb\n1\té\n";
    let utf16: Vec<u8> =
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (name, bytes) in [("t.csv", utf16), ("t.tsv.gz", gzip(text.as_bytes())), ("t.zst", zst)] {
        let (types, rows) = shown(&one(name, &bytes, |_| {}).unwrap());
        assert_eq!((types.len(), rows), (2, vec!["1|é".to_owned()]), "{name}");
    }
}

#[test]
fn groups_do_not_cross_files_and_have_at_most_65536_rows() {
    let lines: String = (0..70_000).map(|i| format!("{i}\n")).collect();
    let (a, b) = (format!("n\n{lines}"), "n\n5\n".to_owned());
    let dir = folder(&[("a.csv", a.as_bytes()), ("b.csv", b.as_bytes())]);
    let table = open(&TableSource::at(dir.path())).unwrap();
    let groups: Vec<_> = (0..table.groups()).map(|g| (table.place(g), table.rows(g))).collect();
    assert_eq!(groups, [((0, 1), 65_536), ((0, 65_537), 4_464), ((1, 1), 1)]);
    assert_eq!(table.total_rows(), 70_001);
    let some = table.read(1, &[0], Some(&[0, 4_463])).unwrap();
    assert_eq!(array_value_to_string(some.column(0), 1).unwrap(), "69999");
    std::fs::write(dir.path().join("b.csv"), "m\n5\n").unwrap();
    let error = open(&TableSource::at(dir.path())).unwrap_err().to_string();
    assert!(error.contains("as column 1") && error.ends_with("\"n\", found \"m\""), "{error}");
}

#[test]
fn folder_names_become_columns() {
    let dir = folder(&[("year=2024/m=01/a.csv", b"x\n1\n2\n"), ("year=2025/m=02/a.csv", b"x\n3\n")]);
    let (types, rows) = shown(&open(&TableSource::at(dir.path())).unwrap());
    assert_eq!(types, ["x Int64", "year Int64", "m Utf8"]);
    assert_eq!(rows, ["1|2024|01", "2|2024|01", "3|2025|02"]);
}

#[test]
fn csv_without_header_and_of_one_column() {
    let table = one("t.csv", b"1,a\n2,b\n", |s| s.csv.header = false).unwrap();
    assert_eq!(shown(&table).0, ["column1 Int64", "column2 Utf8"]);
    assert_eq!(table.record(0, 1), 2);
    assert_eq!(shown(&csv("n\n1\n\n3")).1, ["1", "∅", "3"], "a blank line is a field of a single column");
    assert_eq!(shown(&csv("a,b\n")), (vec!["a Utf8".to_owned(), "b Utf8".to_owned()], vec![]));
}

#[test]
fn json_objects_become_rows() {
    let text = r#"{"id": 1, "amount": 1.50, "who": {"a": [1, 2]}, "day": "2024-01-31", "s": "007"}
{"id": 2, "s": "x\ty", "extra": true}
[1]
{"id": 3, "id": 4}
{"id": 5, "amount": null, "s": "\ud800"}
{"id": 6,
"#;
    let table = one("t.ndjson", text.as_bytes(), |_| {}).unwrap();
    let (types, rows) = shown(&table);
    assert_eq!(
        types,
        ["id Int64", "amount Decimal128(38, 2)", "who Utf8", "day Date32", "s Utf8", "extra Boolean"]
    );
    assert_eq!(rows, ["1|1.50|{\"a\":[1,2]}|2024-01-31|007|∅", "2|∅|∅|∅|x\ty|true", "5|∅|∅|∅|∅|∅"]);
    assert_eq!(table.record(0, 2), 5);
    let messages: Vec<&str> = table.discrepancies().iter().map(|d| d.message.as_str()).collect();
    assert!(
        messages[0].starts_with("record 3, line 3: expected a JSON object: invalid type"),
        "{}",
        messages[0]
    );
    assert_eq!(messages[1], "record 4, line 4: the member \"id\" twice; the record is set aside");
    assert!(messages[2].starts_with("record 6, line 6: expected a JSON object: EOF"), "{}", messages[2]);
    assert!(messages[3].starts_with("record 5, column \"s\": expected a JSON value of valid Unicode"));
}

#[test]
fn json_arrays_and_declared_structs() {
    let table = one("t.json", br#"[ {"a": {"x": 1}}, {"a": {"x": null}} , {"b": 1e2} ]"#, |s| {
        let field = Field::new("x", arrow::datatypes::DataType::Int8, true);
        s.types = vec![("a".to_owned(), arrow::datatypes::DataType::Struct(vec![field].into()))];
        s.numeric = vec!["b".to_owned()];
    })
    .unwrap();
    assert_eq!(shown(&table).1, ["{x: 1}|∅", "{x: }|∅", "∅|100"]);
    let empty = one("t.ndjson", b"", |_| {}).unwrap();
    assert_eq!((empty.groups(), empty.schema().fields().len()), (0, 0));
}

mod columnar {
    use arrow::array::{
        DictionaryArray, Int32Array, Int64Array, ListArray, StringArray, StructArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::{DataType, Int32Type, TimeUnit};
    use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    pub(in crate::read) fn batch(start: i64, rows: i64) -> RecordBatch {
        let ids = Int64Array::from_iter_values(start..start + rows);
        let names =
            StringArray::from_iter((start..start + rows).map(|i| (i % 5 != 0).then(|| format!("name {i}"))));
        let codes: DictionaryArray<Int32Type> =
            (start..start + rows).map(|i| Some(["a", "b"][i as usize % 2])).collect();
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
            (start..start + rows).map(|i| (i % 3 != 0).then(|| (0..i as i32 % 4).map(Some))),
        );
        let times = TimestampMicrosecondArray::from_iter_values((start..start + rows).map(|i| i * 1_000_003));
        let inner: ArrayRef =
            Arc::new(Int32Array::from_iter((start..start + rows).map(|i| (i % 2 == 0).then_some(i as i32))));
        let structs = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, true)), inner)]);
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(ids) as ArrayRef, false),
            ("name", Arc::new(names), true),
            ("code", Arc::new(codes), true),
            ("list", Arc::new(lists), true),
            ("at", Arc::new(times.with_timezone("UTC")), true),
            ("struct", Arc::new(structs), true),
        ])
        .unwrap()
    }

    pub(in crate::read) fn parquet(batches: &[RecordBatch], properties: WriterProperties) -> Vec<u8> {
        let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties)).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
            writer.flush().unwrap();
        }
        writer.into_inner().unwrap()
    }

    pub(in crate::read) fn ipc(batches: &[RecordBatch], options: IpcWriteOptions, file: bool) -> Vec<u8> {
        let schema = batches[0].schema();
        if file {
            let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
            batches.iter().for_each(|b| writer.write(b).unwrap());
            return writer.into_inner().unwrap();
        }
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
        batches.iter().for_each(|b| writer.write(b).unwrap());
        writer.into_inner().unwrap()
    }

    /// The same rows without the dictionary.
    fn plain(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
        let column = |&c: &usize| match batch.column(c).data_type() {
            DataType::Dictionary(..) => arrow::compute::cast(batch.column(c), &DataType::Utf8).unwrap(),
            _ => Arc::clone(batch.column(c)),
        };
        columns.iter().map(column).collect()
    }

    #[test]
    fn parquet_row_groups_are_read_by_column_and_row() {
        let (a, b, c) = (batch(0, 1000), batch(1000, 500), batch(1500, 10));
        let files = [
            ("a.parquet", parquet(&[a.clone(), b.clone()], WriterProperties::default())),
            ("b.parquet", parquet(std::slice::from_ref(&c), WriterProperties::default())),
        ];
        let dir = folder(&files.iter().map(|(n, b)| (*n, b.as_slice())).collect::<Vec<_>>());
        let table = open(&TableSource::at(dir.path())).unwrap();
        assert_eq!(table.schema().field(2).data_type(), &DataType::Utf8, "dictionaries are read as values");
        assert_eq!(table.schema().field(4).data_type(), a.schema().field(4).data_type());
        let places: Vec<_> = (0..table.groups()).map(|g| (table.place(g), table.rows(g))).collect();
        assert_eq!(places, [((0, 1), 1000), ((0, 1001), 500), ((1, 1), 10)]);
        let all = [5, 0, 3, 2, 1, 4, 0];
        assert_eq!(table.read(1, &all, None).unwrap().columns(), plain(&b, &all));
        let rows = [0, 1, 2, 7, 498, 499];
        let taken = arrow::compute::take_record_batch(&b, &UInt32Array::from(rows.to_vec())).unwrap();
        assert_eq!(table.read(1, &all, Some(&rows)).unwrap().columns(), plain(&taken, &all));
        assert_eq!(table.read(2, &[1], Some(&[])).unwrap().num_rows(), 0);
        assert_eq!(table.read(2, &[], None).unwrap().num_rows(), 10);
        let group = table.parquet(2).unwrap();
        assert_eq!((group.row_group, group.metadata.num_row_groups()), (0, 1));
        assert!(group.file.path.ends_with("b.parquet"));
    }

    #[test]
    fn parquet_files_of_a_table_must_have_the_same_columns() {
        let a = batch(0, 10);
        let narrow = a.project(&[0, 1]).unwrap();
        let as_large = arrow::compute::cast(narrow.column(1), &DataType::LargeUtf8).unwrap();
        let large =
            RecordBatch::try_from_iter([("id", Arc::clone(narrow.column(0))), ("name", as_large)]).unwrap();
        let texts = arrow::compute::cast(narrow.column(0), &DataType::Utf8).unwrap();
        let other =
            RecordBatch::try_from_iter([("id", texts), ("name", Arc::clone(narrow.column(1)))]).unwrap();
        let write = |b: &RecordBatch| parquet(std::slice::from_ref(b), WriterProperties::default());
        let dir = folder(&[("a.parquet", &write(&narrow)), ("b.parquet", &write(&large))]);
        let table = open(&TableSource::at(dir.path())).unwrap();
        assert_eq!(
            table.read(1, &[1], None).unwrap().column(0),
            narrow.column(1),
            "read as the first file has it"
        );
        std::fs::write(dir.path().join("c.parquet"), write(&other)).unwrap();
        let error = open(&TableSource::at(dir.path())).unwrap_err().to_string();
        assert!(error.contains("column \"id\": expected as column 1, as in"), "{error}");
        assert!(error.ends_with("\"id\" of type Int64, found \"id\" of type Utf8"), "{error}");
        std::fs::write(dir.path().join("c.parquet"), write(&a)).unwrap();
        let error = open(&TableSource::at(dir.path())).unwrap_err().to_string();
        assert!(error.contains("column \"code\"") && error.contains("no further column"), "{error}");
    }

    #[test]
    fn int96_is_read_as_microseconds() {
        use parquet::data_type::{Int96, Int96Type};
        use parquet::file::writer::SerializedFileWriter;
        let schema =
            Arc::new(parquet::schema::parser::parse_message_type("message m { required int96 t; }").unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let mut late = Int96::new();
        // 9999-12-31, beyond what 64-bit nanoseconds hold.
        late.set_data(0, 0, 5_373_484);
        column.typed::<Int96Type>().write_batch(&[late], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        let bytes = writer.into_inner().unwrap();
        let dir = folder(&[("t.parquet", &bytes)]);
        let table = open(&TableSource::at(dir.path().join("t.parquet"))).unwrap();
        assert_eq!(table.schema().field(0).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None));
        assert_eq!(shown(&table).1, ["9999-12-31T00:00:00"]);
    }

    #[test]
    fn arrow_files_and_streams() {
        let (a, b) = (batch(0, 70_000), batch(70_000, 5));
        for file in [true, false] {
            let bytes = ipc(&[a.clone(), b.clone()], IpcWriteOptions::default(), file);
            for bytes in [bytes.clone(), gzip(&bytes)] {
                let table = one("t.arrow", &bytes, |_| {}).unwrap();
                let groups: Vec<_> = (0..table.groups()).map(|g| (table.place(g), table.rows(g))).collect();
                assert_eq!(groups, [((0, 1), 65_536), ((0, 65_537), 4_464), ((0, 70_001), 5)]);
                let all = [3, 2, 0];
                assert_eq!(table.read(2, &all, None).unwrap().columns(), plain(&b, &all));
            }
        }
    }
}

pub(in crate::read) use columnar::{batch, ipc, parquet};

/// Tables of real databases, delivered as CSV and as Parquet: both must hold the same.
#[test]
fn real_csv_and_parquet_deliveries_hold_the_same() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases/captured");
    if !cases.is_dir() {
        eprintln!("skipped: the real cases are not here");
        return;
    }
    let mut compared = 0;
    for found in paths::find(&cases.join("*/current/*.parquet")).unwrap() {
        let columns = open(&TableSource::at(&found.path)).unwrap();
        let mut source = TableSource::at(found.path.with_extension("csv.gz"));
        let fields = columns.schema().fields().iter();
        source.types = fields.map(|f| (f.name().clone(), f.data_type().clone())).collect();
        source.csv.null = Some(String::new());
        let text = open(&source).unwrap();
        assert_eq!(text.discrepancies(), &[], "{}", found.path.display());
        assert_eq!(shown(&text), shown(&columns), "{}", found.path.display());
        compared += 1;
        // Without declared types, every type that is found must give the text back.
        source.types.clear();
        assert_eq!(open(&source).unwrap().discrepancies(), &[]);
    }
    assert!(compared > 0);
}

#[test]
fn files_that_differ_in_nested_nullability_are_one_table() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, nullable: bool, text: Option<&str>| {
        let item = Arc::new(Field::new("x", DataType::Utf8, nullable));
        let values: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let inner = StructArray::new(vec![Arc::clone(&item)].into(), vec![values], None);
        let list_item = Arc::new(Field::new("item", inner.data_type().clone(), nullable));
        let offsets = OffsetBuffer::from_lengths([1]);
        let list = ListArray::new(Arc::clone(&list_item), offsets, Arc::new(inner), None);
        let field = Field::new("l", DataType::List(list_item), nullable);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(list)]).unwrap();
        std::fs::write(dir.path().join(name), parquet(&[batch], WriterProperties::builder().build()))
            .unwrap();
    };
    write("a.parquet", false, Some("a"));
    write("b.parquet", true, None);
    write("c.parquet", false, Some("c"));
    let table = Table::open(&TableSource::at(dir.path()), &Spool::new(None)).unwrap();
    let types: Vec<DataType> = (0..3)
        .map(|group| {
            let batch = table.read(group, &[0], None).unwrap();
            assert_eq!(batch.num_rows(), 1);
            batch.column(0).data_type().clone()
        })
        .collect();
    assert!(types.iter().all(|t| t == table.schema().field(0).data_type()), "{types:?}");
    let DataType::List(item) = &types[0] else { panic!("{types:?}") };
    assert!(item.is_nullable() && table.schema().field(0).is_nullable());
    let second = table.read(1, &[0], None).unwrap();
    let inner = second.column(0).as_list::<i32>().values().as_struct().column(0).clone();
    assert!(inner.is_null(0), "a null stays one");
}

#[test]
fn copy_text_is_known_by_its_nulls_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.tsv"), "id\tname\n1\ta\\\\b\n").unwrap();
    std::fs::write(dir.path().join("b.tsv"), "id\tname\n2\t\\N\n\\N\t\n").unwrap();
    let table = Table::open(&TableSource::at(dir.path()), &Spool::new(None)).unwrap();
    assert_eq!(table.null_marker(), Some("\\N"));
    let first = table.read(0, &[0, 1], None).unwrap();
    assert_eq!(first.column(1).as_string::<i32>().value(0), "a\\b");
    let second = table.read(1, &[0, 1], None).unwrap();
    assert!(second.column(1).is_null(0) && second.column(0).is_null(1));
    assert_eq!(second.column(1).as_string::<i32>().value(1), "");
}

#[test]
fn columns_come_in_the_order_asked_for() {
    let text = "a,b,c\n1,x,true\n2,y,false\n";
    let csv = csv(text);
    let all = csv.read(0, &[0, 1, 2], None).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut bytes, all.schema(), None).unwrap();
    writer.write(&all).unwrap();
    writer.close().unwrap();
    let dir = folder(&[("t.parquet", &bytes)]);
    let parquet = open(&TableSource::at(dir.path().join("t.parquet"))).unwrap();
    for table in [csv, parquet] {
        let asked = table.read(0, &[2, 0, 1], None).unwrap();
        assert_eq!(asked.columns(), all.project(&[2, 0, 1]).unwrap().columns());
    }
}
