//! Real ledgers with independent ground truth: every cell of every truth, compared one by one.
//!
//! The comparer shares nothing with the program but the column types of its
//! output: it has its own reader of PostgreSQL's COPY CSV and its own notion of
//! equal values. A cell that differs must be *flagged*: its own entry in
//! `verdicts.parquet`, or one of its whole row that does not claim exactness.
//! Wrong and not flagged must be nowhere.
//!
//! The cases lie beside the project, in `../shared/cases`. Where they are
//! missing the tests say so and pass. `REAL_CASES` names another folder.

mod plans;
mod tables;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

pub(crate) use self::plans::captured_plan;
use self::plans::captured_text;
use crate::harness::{Folder, run_in};
use crate::table;

pub(crate) fn cases() -> Option<PathBuf> {
    let folder = std::env::var_os("REAL_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder.canonicalize().unwrap());
    }
    println!("\n!!!! NOT TESTED: {} is not there, so no real case was run !!!!\n", folder.display());
    None
}

/// What a comparison of one dataset at one truth found, in cells; a row too many or
/// too few counts all of its cells.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) cells: usize,
    pub(crate) equal: usize,
    pub(crate) flagged: usize,
    pub(crate) wrong: usize,
    pub(crate) examples: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.cells += other.cells;
        self.equal += other.equal;
        self.flagged += other.flagged;
        self.wrong += other.wrong;
        self.examples.extend(other.examples.iter().cloned());
    }

    /// Counts `cells` cells that differ.
    fn differ(&mut self, cells: usize, flagged: bool, example: impl FnOnce() -> String) {
        self.cells += cells;
        if flagged {
            self.flagged += cells;
        } else {
            self.wrong += cells;
            self.examples.push(example());
        }
    }
}

// ---- truths ----

/// A cell of a truth; `None` is null.
pub(crate) type Cell = Option<String>;
/// A row of a truth, or of a snapshot in the same canonical texts.
pub(crate) type Row = Vec<Cell>;

/// A table as published: names and rows.
pub(crate) struct Truth {
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

pub(crate) fn read_bytes(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if path.extension().is_some_and(|e| e == "gz") {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
        return plain;
    }
    bytes
}

/// Reads CSV in which an unquoted empty field is null and a quoted one the empty text.
pub(crate) fn read_csv(path: &Path) -> Truth {
    let text = String::from_utf8(read_bytes(path)).unwrap();
    let mut records: Vec<Row> = Vec::new();
    let (mut record, mut field, mut was_quoted, mut inside) = (Row::new(), String::new(), false, false);
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => {
                inside = !inside;
                was_quoted = true;
            }
            '\r' if !inside && chars.peek() == Some(&'\n') => {}
            ',' | '\n' if !inside => {
                let null = field.is_empty() && !was_quoted;
                let text = std::mem::take(&mut field);
                record.push((!null).then_some(text));
                was_quoted = false;
                if c == '\n' {
                    records.push(std::mem::take(&mut record));
                }
            }
            other => field.push(other),
        }
    }
    if !record.is_empty() || !field.is_empty() || was_quoted {
        record.push((!field.is_empty() || was_quoted).then_some(field));
        records.push(record);
    }
    let mut records = records.into_iter();
    let names = records.next().unwrap().into_iter().map(Option::unwrap_or_default).collect();
    Truth { names, rows: records.collect() }
}

/// A truth's text in the canonical form of a column's type.
fn canonical(text: &str, data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => match text {
            "t" | "true" => "true".to_owned(),
            _ => "false".to_owned(),
        },
        DataType::Float64 => {
            let value: f64 = text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"));
            float_text(value)
        }
        DataType::Timestamp(_, Some(_)) => {
            let moment = chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z");
            moment.unwrap_or_else(|e| panic!("{text:?}: {e}")).timestamp_micros().to_string()
        }
        DataType::Timestamp(_, None) => {
            let moment = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f");
            moment.unwrap_or_else(|e| panic!("{text:?}: {e}")).and_utc().timestamp_micros().to_string()
        }
        DataType::Date32 => {
            let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
            date.signed_duration_since(chrono::NaiveDate::default()).num_days().to_string()
        }
        DataType::Binary | DataType::LargeBinary => text.trim_start_matches("\\x").to_owned(),
        DataType::List(_) => format!("{:?}", array_literal(text)),
        _ => text.to_owned(),
    }
}

fn float_text(value: f64) -> String {
    if value.is_nan() { "NaN".to_owned() } else { format!("{value:?}") }
}

/// The elements of a one-dimensional PostgreSQL array literal.
fn array_literal(text: &str) -> Vec<Cell> {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap();
    let (mut items, mut item, mut quoted, mut inside) = (Vec::new(), String::new(), false, false);
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => item.extend(chars.next()),
            '"' => {
                inside = !inside;
                quoted = true;
            }
            ',' if !inside => {
                items.push((quoted || item != "NULL").then(|| std::mem::take(&mut item)));
                item.clear();
                quoted = false;
            }
            other => item.push(other),
        }
    }
    if !inner.is_empty() {
        items.push((quoted || item != "NULL").then_some(item));
    }
    items
}

/// A column of a snapshot in the same canonical form.
fn column_cells(array: &dyn Array) -> Vec<Cell> {
    let cell = |i: usize, text: &dyn Fn(usize) -> String| array.is_valid(i).then(|| text(i));
    let all = |text: &dyn Fn(usize) -> String| (0..array.len()).map(|i| cell(i, text)).collect();
    match array.data_type() {
        DataType::Float64 => {
            let floats = array.as_primitive::<arrow::datatypes::Float64Type>();
            all(&|i| float_text(floats.value(i)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let moments = array.as_primitive::<TimestampMicrosecondType>();
            all(&|i| moments.value(i).to_string())
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            all(&|i| days.value(i).to_string())
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            all(&|i| bytes.value(i).iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}")))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            all(&|i| format!("{:?}", column_cells(lists.value(i).as_ref())))
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options).unwrap();
            all(&|i| formatter.value(i).to_string())
        }
    }
}

// ---- what the program says of its own result ----

/// Verdicts of one dataset: by key text, then by column; the empty column is the row.
pub(crate) type Verdicts = HashMap<String, HashMap<String, String>>;

pub(crate) fn verdicts(out: &Path) -> HashMap<String, Verdicts> {
    let batch = table::read_parquet(&out.join("verdicts.parquet"));
    let columns = ["dataset", "key", "column", "verdict"].map(|name| table::column(&batch, name));
    let mut all: HashMap<String, Verdicts> = HashMap::new();
    let cell = |column: usize, row: usize| columns[column][row].clone().unwrap_or_default();
    for row in 0..batch.num_rows() {
        all.entry(cell(0, row))
            .or_default()
            .entry(cell(1, row))
            .or_default()
            .insert(cell(2, row), cell(3, row));
    }
    all
}

/// Codes per dataset.
pub(crate) fn codes(out: &Path) -> BTreeMap<String, BTreeMap<String, u64>> {
    let batch = table::read_parquet(&out.join("discrepancies.parquet"));
    let columns = ["dataset", "code", "count"].map(|name| table::column(&batch, name));
    let mut all: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let cell = |column: usize, row: usize| columns[column][row].clone().unwrap_or_default();
    for row in 0..batch.num_rows() {
        *all.entry(cell(0, row)).or_default().entry(cell(1, row)).or_default() +=
            cell(2, row).parse::<u64>().unwrap_or(1);
    }
    all
}

/// Whether the program marked this cell itself, or its whole row, as not exact.
fn is_flagged(verdicts: &Verdicts, key: &str, column: &str) -> bool {
    let Some(row) = verdicts.get(key) else { return false };
    let whole = row.get("").map(String::as_str);
    row.contains_key(column) || matches!(whole, Some("contradicted" | "not-covered"))
}

/// Whether the program marked this row, present or not, as anything but exact.
fn is_row_flagged(verdicts: &Verdicts, key: &str) -> bool {
    let row = verdicts.get(key).and_then(|row| row.get(""));
    row.is_some_and(|v| !matches!(v.as_str(), "restored" | "unchanged"))
}

// ---- comparing ----

/// How a dataset is compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) key: Vec<String>,
    /// Columns whose values are compared as numbers: the source lost their trailing zeros.
    pub(crate) scale_lost: Vec<String>,
    /// Null and empty are one: the files know no null.
    pub(crate) empty_is_null: bool,
    /// Columns of floats whose zeros lost their sign on the way.
    pub(crate) sign_lost: Vec<String>,
}

pub(crate) fn compare(truth: &Truth, snapshot: &RecordBatch, verdicts: &Verdicts, rules: &Rules) -> Tally {
    let names: Vec<String> = snapshot.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, truth.names, "columns");
    let form = |row: Row| -> Row {
        row.into_iter().zip(&names).map(|(cell, name)| adjust(cell, name, rules)).collect()
    };
    let columns: Vec<Vec<Cell>> = snapshot.columns().iter().map(|c| column_cells(c.as_ref())).collect();
    let found: Vec<Row> =
        (0..snapshot.num_rows()).map(|i| form(columns.iter().map(|c| c[i].clone()).collect())).collect();
    let types: Vec<DataType> = snapshot.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    let typed =
        |row: &Row| row.iter().zip(&types).map(|(c, t)| c.as_deref().map(|c| typed_cell(c, t))).collect();
    let expected: Vec<Row> = truth.rows.iter().map(|row| form(typed(row))).collect();
    if rules.key.is_empty() {
        return compare_multisets(&names, &expected, &found, &row_texts(snapshot), verdicts);
    }
    compare_by_key(&names, &expected, &found, verdicts, &rules.key)
}

/// An empty field of a typed column is null, whatever the quotes say.
fn typed_cell(text: &str, data_type: &DataType) -> String {
    if text.is_empty() { String::new() } else { canonical(text, data_type) }
}

fn adjust(cell: Cell, name: &str, rules: &Rules) -> Cell {
    if rules.empty_is_null && cell.as_deref() == Some("") {
        return None;
    }
    if rules.sign_lost.iter().any(|n| n == name) && cell.as_deref() == Some("-0.0") {
        return Some("0.0".to_owned());
    }
    if rules.scale_lost.iter().any(|n| n == name) { cell.map(|c| without_zeros(&c)) } else { cell }
}

fn without_zeros(number: &str) -> String {
    if !number.contains('.') {
        return number.to_owned();
    }
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn compare_by_key(
    names: &[String],
    expected: &[Row],
    found: &[Row],
    verdicts: &Verdicts,
    key: &[String],
) -> Tally {
    let places: Vec<usize> = key.iter().map(|k| names.iter().position(|n| n == k).unwrap()).collect();
    let key_of = |row: &Row| {
        let parts = places.iter().map(|&p| format!("{}={}", names[p], row[p].as_deref().unwrap_or("null")));
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut rest: HashMap<String, &Row> = found.iter().map(|row| (key_of(row), row)).collect();
    let mut tally = Tally::default();
    for row in expected {
        let key = key_of(row);
        let Some(other) = rest.remove(&key) else {
            tally.differ(names.len(), is_row_flagged(verdicts, &key), || format!("{key}: missing"));
            continue;
        };
        for (column, (want, have)) in row.iter().zip(other).enumerate() {
            if want == have {
                tally.cells += 1;
                tally.equal += 1;
            } else {
                let flagged = is_flagged(verdicts, &key, &names[column]);
                tally.differ(1, flagged, || {
                    format!("{key} {}: expected {want:?}, found {have:?}", names[column])
                });
            }
        }
    }
    for key in rest.keys() {
        tally.differ(names.len(), is_row_flagged(verdicts, key), || format!("{key}: unexpected"));
    }
    tally
}

/// Every row as the verdicts of a dataset without a key name it.
fn row_texts(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let cell = |name: &str, cell: &Cell| match cell.as_deref() {
        Some(text) if text.starts_with("NaN:") => format!("{name}=NaN"),
        text => format!("{name}={}", text.unwrap_or("null")),
    };
    let row = |cells: &Row| {
        let parts = schema.fields().iter().zip(cells).map(|(field, c)| cell(field.name(), c));
        parts.collect::<Vec<_>>().join(", ")
    };
    table::texts(batch).iter().map(row).collect()
}

/// Rows without a key are compared as a multiset; what remains on both sides is
/// paired where it differs only in cells that the snapshot marks.
fn compare_multisets(
    names: &[String],
    expected: &[Row],
    found: &[Row],
    texts: &[String],
    verdicts: &Verdicts,
) -> Tally {
    let mut counts: HashMap<&Row, i64> = HashMap::new();
    expected.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    let mut tally = Tally::default();
    let mut extra: Vec<(&Row, &str)> = Vec::new();
    for (row, text) in found.iter().zip(texts) {
        match counts.get_mut(row).filter(|n| **n > 0) {
            Some(n) => {
                *n -= 1;
                tally.cells += names.len();
                tally.equal += names.len();
            }
            None => extra.push((row, text)),
        }
    }
    for (row, count) in counts {
        for _ in 0..count {
            let marked = |column: usize, key: &str| is_flagged(verdicts, key, &names[column]);
            let near = |other: &Row, key: &str| (0..row.len()).all(|c| row[c] == other[c] || marked(c, key));
            match extra.iter().position(|(other, key)| near(other, key)) {
                None => tally.differ(names.len(), false, || format!("{row:?}: missing")),
                Some(at) => {
                    let (other, _) = extra.swap_remove(at);
                    let same = row.iter().zip(other).filter(|(a, b)| a == b).count();
                    tally.cells += row.len();
                    tally.equal += same;
                    tally.flagged += row.len() - same;
                }
            }
        }
    }
    for (row, key) in extra {
        tally.differ(names.len(), is_row_flagged(verdicts, key), || format!("{row:?}: unexpected"));
    }
    tally
}

// ---- reporting ----

/// The table over all datasets and truths of one case.
pub(crate) struct Report {
    title: String,
    lines: Vec<(String, String, Tally, String)>,
}

impl Report {
    pub(crate) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), lines: Vec::new() }
    }

    pub(crate) fn push(
        &mut self,
        dataset: &str,
        truth: &str,
        tally: Tally,
        codes: Option<&BTreeMap<String, u64>>,
    ) {
        let codes =
            codes.map(|c| c.iter().map(|(code, n)| format!("{code} {n}")).collect::<Vec<_>>().join(", "));
        self.lines.push((dataset.to_owned(), truth.to_owned(), tally, codes.unwrap_or_default()));
    }

    fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.lines.iter().for_each(|line| total.add(&line.2));
        total
    }

    /// Prints the table and fails if anything is wrong and not flagged.
    pub(crate) fn settle(self) {
        let mut text = format!("\n{}\n", self.title);
        let _ = writeln!(
            text,
            "{:<22} {:>5} {:>9} {:>9} {:>8} {:>6}  discrepancies",
            "dataset", "truth", "cells", "equal", "flagged", "wrong"
        );
        for (dataset, truth, tally, codes) in &self.lines {
            let Tally { cells, equal, flagged, wrong, .. } = tally;
            let _ = writeln!(
                text,
                "{dataset:<22} {truth:>5} {cells:>9} {equal:>9} {flagged:>8} {wrong:>6}  {codes}"
            );
        }
        let Tally { cells, equal, flagged, wrong, examples } = self.total();
        let _ = writeln!(text, "{:<22} {:>5} {cells:>9} {equal:>9} {flagged:>8} {wrong:>6}", "total", "");
        println!("{text}");
        let shown = &examples[..examples.len().min(20)];
        assert_eq!(wrong, 0, "{}: wrong and not flagged: {shown:#?}", self.title);
    }
}

fn rfc3339(text: &str) -> String {
    text.replace(' ', "T").replace("+00", "Z")
}

/// Rebuilds all moments in one run; their folders, in the order of the moments, which rise.
pub(crate) fn series(folder: &Folder, inputs: &[&str], moments: &[String]) -> Vec<PathBuf> {
    let moments_text = moments.join(",");
    let mut all = vec!["snapshot"];
    all.extend(inputs);
    all.extend(["--as-of", &moments_text, "--partial", "--out", "out", "--replace", "--quiet"]);
    let output = run_in(folder.path(), &all);
    assert!(matches!(output.status, 0 | 1), "{all:?}: exit status {}\n{}", output.status, output.stderr);
    let folders = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert_eq!(folders.len(), moments.len(), "one folder per moment");
    folders
}

// ---- the cases ----

fn published(name: &str) {
    let Some(cases) = cases() else { return };
    let case = cases.join("ourairports").join(name);
    let manifest: Value = serde_json::from_slice(&read_bytes(&case.join("MANIFEST.json"))).unwrap();
    let rules = Rules { key: vec!["id".to_owned()], empty_is_null: true, ..Rules::default() };
    let mut report = Report::new(&format!("ourairports/{name}"));
    let folder = Folder::new();
    let truths = manifest["truths"].as_array().unwrap();
    let moments: Vec<String> = truths.iter().map(|t| t["as_of"].as_str().unwrap().to_owned()).collect();
    let file = |name: &str| case.join(name).to_str().unwrap().to_owned();
    let (current, ledger) = (file("current.csv"), file("ledger.ndjson.gz"));
    let inputs = ["--current", &current, "--ledger", &ledger, "--key", "id"];
    for ((number, truth), out) in truths.iter().enumerate().zip(series(&folder, &inputs, &moments)) {
        let dataset = only_dataset(&out);
        let found = table::read_parquet(&out.join(format!("{dataset}.parquet")));
        let expected = read_csv(&case.join(truth["file"].as_str().unwrap()));
        let marks = verdicts(&out).remove(&dataset).unwrap_or_default();
        let tally = compare(&expected, &found, &marks, &rules);
        assert_eq!(tally.flagged, 0, "{name} at {}: every cell is exact", truth["as_of"]);
        report.push(name, &format!("{number:02}"), tally, codes(&out).get(&dataset));
    }
    report.settle();
}

/// The name that a run by flags gave its dataset: its snapshot is the only other Parquet file.
fn only_dataset(out: &Path) -> String {
    let names =
        std::fs::read_dir(out).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut names = names.filter_map(|n| n.strip_suffix(".parquet").map(str::to_owned));
    names.find(|n| n != "verdicts" && n != "discrepancies").unwrap()
}

/// What is particular about a captured case.
#[derive(Default)]
struct Captured {
    case: &'static str,
    ledger: &'static str,
    /// Columns whose trailing zeros the source lost.
    scale_lost: &'static [&'static str],
    /// Columns whose zeros lost their sign.
    sign_lost: &'static [&'static str],
    /// Datasets of which the ledger does not say that it lacks their changes: nobody can know.
    unknowable: &'static [&'static str],
}

impl Captured {
    fn run(&self) {
        let Some(cases) = cases() else { return };
        let case = cases.join("captured").join(self.case);
        let manifest: Value = serde_json::from_slice(&read_bytes(&case.join("MANIFEST.json"))).unwrap();
        let folder = Folder::new();
        folder.write("plan.toml", captured_text(&case, &manifest, self.ledger));
        let mut report = Report::new(&format!("{} {}", self.case, self.ledger));
        let truths = manifest["truth_points"].as_array().unwrap();
        let moments: Vec<String> =
            truths.iter().map(|t| rfc3339(t["clock_timestamp"].as_str().unwrap())).collect();
        for (truth, out) in truths.iter().zip(series(&folder, &["plan.toml"], &moments)) {
            let (marks, codes) = (verdicts(&out), codes(&out));
            for (dataset, table) in manifest["tables"].as_object().unwrap() {
                if self.unknowable.contains(&dataset.as_str()) {
                    continue;
                }
                let file = case.join(truth["files"][dataset]["csv"].as_str().unwrap());
                let tally = self.compare(&out, dataset, table, &file, &marks);
                report.push(dataset, truth["id"].as_str().unwrap(), tally, codes.get(dataset));
            }
        }
        report.settle();
    }

    fn compare(
        &self,
        out: &Path,
        dataset: &str,
        table: &Value,
        truth: &Path,
        marks: &HashMap<String, Verdicts>,
    ) -> Tally {
        let truth = read_csv(truth);
        let path = out.join(format!("{dataset}.parquet"));
        if !path.is_file() {
            // Refused with a reason: nothing is claimed about any of its cells.
            let cells = truth.rows.len() * truth.names.len();
            return Tally { cells, flagged: cells, ..Tally::default() };
        }
        let key = table["key"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned()).collect();
        let scale_lost = self.scale_lost.iter().map(|&n| n.to_owned()).collect();
        let sign_lost = self.sign_lost.iter().map(|&n| n.to_owned()).collect();
        let rules = Rules { key, scale_lost, sign_lost, empty_is_null: false };
        let none = Verdicts::new();
        compare(&truth, &crate::table::read_parquet(&path), marks.get(dataset).unwrap_or(&none), &rules)
    }
}

#[test]
fn ourairports_countries() {
    published("countries");
}

#[test]
fn ourairports_regions() {
    published("regions");
}

#[test]
fn ourairports_airport_frequencies() {
    published("airport-frequencies");
}

#[test]
fn postgres_wal2json_full_v2() {
    let case = Captured {
        case: "postgres-wal2json-full",
        ledger: "ledger/wal2json_v2.ndjson.gz",
        ..Captured::default()
    };
    case.run();
}

#[test]
fn postgres_wal2json_full_v1() {
    let case = Captured {
        case: "postgres-wal2json-full",
        ledger: "ledger/wal2json_v1.ndjson.gz",
        ..Captured::default()
    };
    case.run();
}

#[test]
fn postgres_wal2json_default() {
    for ledger in [
        "ledger/wal2json_v2.ndjson.gz",
        "ledger/wal2json_v1.ndjson.gz",
        "ledger/wal2json_v2_no_tx_no_pk.ndjson.gz",
    ] {
        // Updates and deletes of a table without key were never written, only warned about elsewhere.
        let unknowable = &["fx_ticks"];
        Captured { case: "postgres-wal2json-default", ledger, unknowable, ..Captured::default() }.run();
    }
}

#[test]
fn debezium_postgres_precise() {
    for ledger in ["ledger/debezium_precise_noschema.ndjson.gz", "ledger/debezium_precise_schema.ndjson.gz"] {
        let scale_lost = &["rate", "fx_amount"];
        Captured { case: "debezium-postgres", ledger, scale_lost, ..Captured::default() }.run();
    }
}

#[test]
fn debezium_postgres_string() {
    let ledger = "ledger/debezium_string_noschema_initial.ndjson.gz";
    Captured { case: "debezium-postgres", ledger, ..Captured::default() }.run();
}

#[test]
fn debezium_postgres_default() {
    let ledger = "ledger/debezium_string_noschema.ndjson.gz";
    Captured { case: "debezium-postgres-default", ledger, ..Captured::default() }.run();
}
