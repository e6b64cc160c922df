use std::io::Write as _;

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
    let whole = gzip(&b"a,b\n1,2\n".repeat(10_000));
    assert!(
        message(&whole[..whole.len() - 9]).contains("expected more data"),
        "{}",
        message(&whole[..whole.len() - 9])
    );
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
