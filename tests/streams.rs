//! Real change streams with independent ground truth: MariaDB's binary log as text, and the event files of
//! public test suites.
//!
//! Compared with the means of [`real`](crate::real), and skipped as loudly where the cases are not there.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::harness::Folder;
use crate::real::{
    Report, Rules, Tally, Truth, Verdicts, cases, codes, compare, read_bytes, read_csv, series, verdicts,
};
use crate::table;

// ---- MariaDB's binary log ----

const BINLOG: &str = "ledger/binlog.000002.decoded.txt.gz";

/// The column types of a current state as CSV, as MariaDB declares them.
pub(crate) fn mariadb_type(declared: &str) -> &'static str {
    match declared {
        "bigint(20)" => "int64",
        "smallint(6)" => "int16",
        "tinyint(1)" => "int8",
        "date" => "date",
        "timestamp" | "timestamp(6)" => "timestamp(us, UTC)",
        "datetime" | "datetime(6)" => "timestamp",
        "double" => "float64",
        "varbinary(64)" | "bit(1)" => "binary",
        "decimal(18,2)" => "decimal(18,2)",
        "decimal(30,10)" => "decimal(30,10)",
        "decimal(20,8)" => "decimal(20,8)",
        _ => "text",
    }
}

fn binlog_plan(case: &Path, manifest: &Value) -> String {
    let mut plan = "name = \"binlog\"\n".to_owned();
    let ledger = case.join(BINLOG);
    for (dataset, table) in manifest["tables"].as_object().unwrap() {
        let columns = table["columns"].as_object().unwrap();
        let types: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{name} = {:?}", mariadb_type(kind.as_str().unwrap())))
            .collect();
        let current = case.join(manifest["current"][dataset]["csv"].as_str().unwrap());
        let _ = write!(
            plan,
            "\n[datasets.{dataset}]\nkey = {}\ntypes = {{ {} }}\n[datasets.{dataset}.current]\n\
             path = {current:?}\nnull = \"\"\ntime_zone = \"UTC\"\n[datasets.{dataset}.ledger]\n\
             path = {ledger:?}\ntime_zone = \"UTC\"\ncomplete_from = \"2026-11-22T06:34:32Z\"\n",
            table["key"],
            types.join(", ")
        );
        if dataset == "customers" {
            plan += "labels = { kind = [\"retail\", \"corp\", \"bank\"], flags = [\"vip\", \"pep\", \"frozen\"] }\n";
        }
    }
    plan
}

/// A truth in the notation of the comparer: times of instants with an offset, bytes as bare digits.
pub(crate) fn binlog_truth(path: &Path, table: &Value) -> Truth {
    let mut truth = read_csv(path);
    for row in &mut truth.rows {
        for (cell, name) in row.iter_mut().zip(&truth.names) {
            let kind = mariadb_type(table["columns"][name].as_str().unwrap());
            *cell = match (cell.take(), kind) {
                (Some(text), "timestamp(us, UTC)") => Some(format!("{text}+00")),
                (Some(text), "binary") => Some(text.trim_start_matches("0x").to_lowercase()),
                (cell, _) => cell,
            };
        }
    }
    truth
}

#[test]
fn mariadb_binlog_text() {
    let Some(cases) = cases() else { return };
    let case = cases.join("captured/mariadb-system-versioned");
    let manifest: Value = serde_json::from_slice(&read_bytes(&case.join("MANIFEST.json"))).unwrap();
    let folder = Folder::new();
    folder.write("plan.toml", binlog_plan(&case, &manifest));
    let mut truths: Vec<&Value> = manifest["truth_points"].as_array().unwrap().iter().collect();
    let place = |t: &Value| format!("position:{}:{}", t["binlog_file"].as_str().unwrap(), t["binlog_pos"]);
    // The folders of a series are listed by name, so the moments are too.
    truths.sort_by_key(|t| place(t));
    let moments: Vec<String> = truths.iter().map(|t| place(t)).collect();
    let mut report = Report::new("mariadb-system-versioned, binlog text");
    let mut untold = 0;
    for (truth, out) in truths.iter().zip(series(&folder, &["plan.toml"], &moments)) {
        let (marks, codes) = (verdicts(&out), codes(&out));
        for (dataset, table) in manifest["tables"].as_object().unwrap() {
            let file = case.join(truth["files"][dataset]["live"].as_str().unwrap());
            let expected = binlog_truth(&file, table);
            let key = table["key"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned());
            let rules = Rules { key: key.collect(), ..Rules::default() };
            let found = table::read_parquet(&out.join(format!("{dataset}.parquet")));
            let none = Verdicts::new();
            let mut tally = compare(&expected, &found, marks.get(dataset).unwrap_or(&none), &rules);
            if dataset == "journal_lines" {
                untold += without_untold(&mut tally, table["columns"].as_object().unwrap().len());
                let reported = codes.get(dataset).and_then(|c| c.get("current-missing")).copied();
                assert!(reported > Some(800), "deletes that a foreign key cascaded are reported");
            }
            report.push(dataset, truth["id"].as_str().unwrap(), tally, codes.get(dataset));
        }
    }
    println!("journal_lines: {untold} rows over all truths that no event of the log ever names");
    report.settle();
}

/// Rows of a child table whose delete was cascaded are in the log only if something else touched them. Those that
/// were never touched are missing, and nothing in log or current state could tell.
fn without_untold(tally: &mut Tally, columns: usize) -> usize {
    let before = tally.examples.len();
    tally.examples.retain(|example| !example.ends_with(": missing"));
    let rows = before - tally.examples.len();
    tally.wrong -= rows * columns;
    tally.cells -= rows * columns;
    rows
}

// ---- event files of public test suites ----

/// Who wrote a fixture, as far as its times and transactions matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fixture {
    Maxwell,
    Canal,
    GoldenGate,
    Debezium,
}

/// The first moment: 2025-01-01T00:00:00Z.
const START: i64 = 1_735_689_600;

impl Fixture {
    /// The tables of the rows that a record changes, by their names in the states, and its transaction.
    fn rows(self, record: &Value, number: usize) -> (Vec<String>, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let named = |schema: &Value, table: &Value| format!("{}.{}", text(schema), text(table));
        match self {
            Self::Maxwell => {
                let change = matches!(record["type"].as_str(), Some("insert" | "update" | "delete"));
                let table = named(&record["database"], &record["table"]);
                (if change { vec![table] } else { Vec::new() }, record["xid"].to_string())
            }
            Self::Canal => {
                let rows = record["data"].as_array().map_or(0, Vec::len);
                (vec![named(&record["database"], &record["table"]); rows], number.to_string())
            }
            Self::GoldenGate => (vec![text(&record["table"])], number.to_string()),
            Self::Debezium => {
                let source = &record["source"];
                let schema =
                    source.get("schema").map(|schema| format!("{}.{}", text(&source["db"]), text(schema)));
                let schema = schema.unwrap_or_else(|| text(&source["db"]));
                (vec![format!("{schema}.{}", text(&source["table"]))], number.to_string())
            }
        }
    }

    /// Gives a record another time, in its own notation.
    fn retime(self, record: &mut Value, seconds: i64) {
        match self {
            Self::Maxwell => record["ts"] = seconds.into(),
            Self::Canal => record["es"] = (seconds * 1000).into(),
            Self::GoldenGate => {
                let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
                record["op_ts"] = time.format("%Y-%m-%d %H:%M:%S%.6f").to_string().into();
            }
            Self::Debezium => record["source"]["ts_ms"] = (seconds * 1000).into(),
        }
    }

    /// Whether a record is an initial read.
    fn is_read(self, record: &Value) -> bool {
        self == Self::Debezium && (record["op"] == "r" || record["source"]["snapshot"] == "true")
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = String::from_utf8(read_bytes(path)).unwrap();
    text.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Rebuilds every state at the end of a transaction from the last state. Times are replaced by one minute per
/// transaction: the real ones are mostly the same.
fn fixture(path: &str, fixture: Fixture, wrap: impl Fn(&Value) -> String) {
    let Some(cases) = cases() else { return };
    let states = lines(
        &cases
            .join("fixtures/derived_states")
            .join(path.replace('/', "__").replace(".ndjson", ".states.ndjson")),
    );
    let mut records = lines(&cases.join("fixtures").join(path));
    let tracked = states.last().unwrap()["state"].as_object().unwrap();
    let (mut events, mut minute, mut last) = (0, 0, String::new());
    // Per transaction: its minute, and how many events it ends with.
    let mut ends: Vec<(i64, usize)> = Vec::new();
    let mut reads = 0;
    for (number, record) in records.iter_mut().enumerate() {
        let (tables, transaction) = fixture.rows(record, number);
        let count = tables.iter().filter(|table| tracked.contains_key(*table)).count();
        let read = fixture.is_read(record);
        if transaction != last {
            minute += 1;
            last = transaction;
        }
        fixture.retime(record, START + minute * 60);
        events += count;
        reads += if read { count } else { 0 };
        if count > 0 {
            ends.retain(|(m, _)| *m != minute);
            ends.push((minute, events));
        }
    }
    assert_eq!(events, states.len() - 1, "{path}: every event of the states is in the file");
    let folder = Folder::new();
    let ledger: Vec<String> = records.iter().map(wrap).collect();
    folder.write("ledger.ndjson", ledger.join("\n") + "\n");
    folder.write("plan.toml", fixture_plan(&folder, &states, reads == 0));
    let ends: Vec<(i64, usize)> = ends.into_iter().filter(|(_, n)| *n >= reads).collect();
    let moments: Vec<String> = ends
        .iter()
        .map(|(minute, _)| {
            let moment = chrono::DateTime::from_timestamp(START + minute * 60 + 30, 0).unwrap();
            moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
        })
        .collect();
    let mut compared = 0;
    for ((_, n), out) in ends.iter().zip(series(&folder, &["plan.toml"], &moments)) {
        for (table, rows) in states[*n]["state"].as_object().unwrap() {
            let found = table::read_parquet(&out.join(format!("{}.parquet", dataset(table))));
            compared += same_rows(path, *n, rows.as_object().unwrap(), &found);
        }
        assert_eq!(
            verdicts(&out)
                .values()
                .flat_map(|v| v.values())
                .filter(|row| row.keys().any(|c| !c.is_empty()))
                .count(),
            0,
            "{path}: every cell is exact"
        );
    }
    println!("{path}: {} states, {compared} cells compared, all equal", ends.len());
    assert!(compared > 0);
}

fn dataset(table: &str) -> String {
    table.rsplit('.').next().unwrap().to_lowercase()
}

/// The last state as current tables, and a plan for them.
fn fixture_plan(folder: &Folder, states: &[Value], from_birth: bool) -> String {
    let mut plan = "name = \"fixture\"\n".to_owned();
    for (table, rows) in states.last().unwrap()["state"].as_object().unwrap() {
        let (name, rows) = (dataset(table), rows.as_object().unwrap());
        let current: Vec<String> = rows.values().map(Value::to_string).collect();
        folder.write(&format!("{name}.ndjson"), current.join("\n") + "\n");
        let columns = rows.values().next().unwrap().as_object().unwrap();
        let whole = |column: &String| rows.values().all(|row| row[column].is_i64() || row[column].is_null());
        let kind = |column: &String| if whole(column) { "int64" } else { "text" };
        let types: Vec<String> = columns.keys().map(|c| format!("{c} = {:?}", kind(c))).collect();
        let _ = write!(
            plan,
            "\n[datasets.{name}]\nkey = [{:?}]\ntypes = {{ {} }}\n[datasets.{name}.current]\npath = \"{name}.ndjson\"\n\
             [datasets.{name}.ledger]\npath = \"ledger.ndjson\"\ntable = {table:?}\ntime_zone = \"UTC\"\nfrom_birth = {from_birth}\n",
            columns.keys().next().unwrap(),
            types.join(", ")
        );
    }
    plan
}

/// Compares a snapshot with a state; returns the number of cells.
fn same_rows(
    path: &str,
    n: usize,
    expected: &serde_json::Map<String, Value>,
    found: &arrow::array::RecordBatch,
) -> usize {
    let names: Vec<String> = found.schema().fields().iter().map(|f| f.name().clone()).collect();
    let columns: Vec<Vec<Option<String>>> = names.iter().map(|name| table::column(found, name)).collect();
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let mut want: Vec<Vec<Option<String>>> =
        expected.values().map(|row| names.iter().map(|name| text(&row[name])).collect()).collect();
    let mut have: Vec<Vec<Option<String>>> =
        (0..found.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect();
    want.sort();
    have.sort();
    assert_eq!(have, want, "{path} after {n} events");
    want.len() * names.len()
}

#[test]
fn fixtures_of_maxwell() {
    for path in ["maxwell/products-captured.ndjson", "maxwell/product-with-other-tables.ndjson"] {
        fixture(path, Fixture::Maxwell, Value::to_string);
    }
}

#[test]
fn fixtures_of_canal() {
    for path in ["canal/products-captured.ndjson", "canal/mydb-product-and-orders.ndjson"] {
        fixture(path, Fixture::Canal, Value::to_string);
    }
}

#[test]
fn fixtures_of_goldengate() {
    fixture("ogg/ogg_test-products.ndjson", Fixture::GoldenGate, Value::to_string);
}

#[test]
fn fixtures_of_debezium() {
    for path in [
        "debezium/mysql-1.1.1-products.ndjson",
        "debezium/mysql-1.9.5-customers.ndjson",
        "debezium/postgres-1.2.1-products-full-before.ndjson",
    ] {
        fixture(path, Fixture::Debezium, Value::to_string);
    }
}

/// The wrappers change nothing of what is inside.
#[test]
fn fixtures_in_wrappers() {
    let kcat = |record: &Value| {
        serde_json::json!({
            "topic": "t", "partition": 0, "offset": 1, "tstype": "create", "ts": 1, "broker": 0, "key": null,
            "payload": record.to_string(),
        })
        .to_string()
    };
    let cloud = |record: &Value| {
        serde_json::json!({ "specversion": "1.0", "id": "x", "source": "/s", "type": "t", "data": record })
            .to_string()
    };
    let connect =
        |record: &Value| serde_json::json!({ "topic": "t", "key": null, "value": record }).to_string();
    fixture("maxwell/products-captured.ndjson", Fixture::Maxwell, kcat);
    fixture("canal/products-captured.ndjson", Fixture::Canal, cloud);
    fixture("ogg/ogg_test-products.ndjson", Fixture::GoldenGate, connect);
    fixture("debezium/mysql-1.9.5-customers.ndjson", Fixture::Debezium, kcat);
}
