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
fn mariadb_type(declared: &str) -> &'static str {
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
fn binlog_truth(path: &Path, table: &Value) -> Truth {
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
