//! Real ledgers that are tables: audit triggers, system-versioned tables, change data feeds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{Captured, Report, Rules, Verdicts, cases, codes, compare, read_bytes, series, verdicts};
use crate::harness::{Folder, run_in};
use crate::streams::{binlog_truth, mariadb_type};
use crate::table;

#[test]
fn postgres_audit_logged_actions() {
    for ledger in ["ledger/logged_actions.csv.gz", "ledger/logged_actions.jsonl.gz"] {
        Captured { case: "postgres-audit-trigger", ledger, ..Captured::default() }.run();
    }
}

#[test]
fn postgres_audit_record_version() {
    for ledger in ["ledger/record_version.csv.gz", "ledger/record_version.jsonl.gz"] {
        // Tables without a key have no trigger of this design: nothing in the ledger tells that they changed.
        let unknowable = &["fx_ticks"];
        let sign_lost = &["risk_score"];
        Captured { case: "postgres-audit-trigger", ledger, unknowable, sign_lost, ..Captured::default() }
            .run();
    }
}

// ---- MariaDB's system-versioned tables ----

/// The versioned tables of a case, their histories as ledgers.
fn history_plan(case: &Path, manifest: &Value, history: &str) -> String {
    let mut plan = "name = \"history\"\n".to_owned();
    let at = manifest["current_point"]["timestamp"].as_str().unwrap().replace(' ', "T") + "Z";
    for (dataset, of) in versioned(manifest) {
        let columns = of["columns"].as_object().unwrap();
        let types: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{name} = {:?}", mariadb_type(kind.as_str().unwrap())))
            .collect();
        let current = case.join(manifest["current"][dataset]["csv"].as_str().unwrap());
        let ledger = case.join(format!("ledger/history_{dataset}.{history}"));
        let _ = write!(
            plan,
            "\n[datasets.{dataset}]\nkey = {}\ntypes = {{ {} }}\n[datasets.{dataset}.current]\n\
             path = {current:?}\nat = {at:?}\nnull = \"\"\ntime_zone = \"UTC\"\n[datasets.{dataset}.ledger]\n\
             path = {ledger:?}\ntime_zone = \"UTC\"\ncomplete_from = \"2026-11-22T06:34:32Z\"\n",
            of["key"],
            types.join(", ")
        );
    }
    plan
}

fn versioned(manifest: &Value) -> Vec<(&String, &Value)> {
    let tables = manifest["tables"].as_object().unwrap().iter();
    tables.filter(|(_, table)| table["versioned"] == Value::Bool(true)).collect()
}

#[test]
fn mariadb_history() {
    let Some(cases) = cases() else { return };
    let case = cases.join("captured/mariadb-system-versioned");
    let manifest: Value = serde_json::from_slice(&read_bytes(&case.join("MANIFEST.json"))).unwrap();
    let folder = Folder::new();
    folder.write("plan.toml", history_plan(&case, &manifest, "csv.gz"));
    let truths = manifest["truth_points"].as_array().unwrap();
    let moments: Vec<String> =
        truths.iter().map(|t| t["timestamp"].as_str().unwrap().replace(' ', "T") + "Z").collect();
    let mut report = Report::new("mariadb-system-versioned, history against the server's own answers");
    for (truth, out) in truths.iter().zip(series(&folder, &["plan.toml"], &moments)) {
        let (marks, codes) = (verdicts(&out), codes(&out));
        for (dataset, of) in versioned(&manifest) {
            let file = case.join(truth["files"][dataset]["asof"].as_str().unwrap());
            let key = of["key"].as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned());
            let rules = Rules { key: key.collect(), ..Rules::default() };
            let found = table::read_parquet(&out.join(format!("{dataset}.parquet")));
            let none = Verdicts::new();
            let marks = marks.get(dataset).unwrap_or(&none);
            let tally = compare(&binlog_truth(&file, of), &found, marks, &rules);
            assert_eq!(tally.flagged, 0, "{dataset} at {}: every cell is exact", truth["id"]);
            report.push(dataset, truth["id"].as_str().unwrap(), tally, codes.get(dataset));
        }
    }
    report.settle();
}

/// What the answer key of planted faults asks for, per fault: the codes of which one must be reported
/// at its key.
fn codes_of(fault: &Value) -> &'static [&'static str] {
    match fault["class"].as_str().unwrap() {
        "current_row_deleted" => &["current-missing"],
        "current_row_inserted" => &["current-unexpected"],
        "ledger_record_removed" => &["current-unexpected", "hole-between-versions"],
        "ledger_record_duplicated" | "double_insert" => &["overlapping-versions"],
        "timestamp_out_of_order" => &["reversed-interval", "overlapping-versions", "future-version"],
        "sequence_gap" => &["reversed-interval", "hole-between-versions"],
        "key_changed" if fault["place"] == "current" => &["current-missing"],
        "key_changed" => &["hole-between-versions"],
        _ => &["current-differs"],
    }
}

#[test]
fn mariadb_history_with_planted_faults() {
    let Some(cases) = cases() else { return };
    let case = cases.join("captured/mariadb-system-versioned-tampered");
    let manifest: Value = serde_json::from_slice(&read_bytes(&case.join("MANIFEST.json"))).unwrap();
    let key: Value = serde_json::from_slice(&read_bytes(&case.join("FAULTS.json"))).unwrap();
    let folder = Folder::new();
    folder.write("plan.toml", history_plan(&case, &manifest, "csv.gz"));
    let at = "2026-11-22T06:34:40Z";
    let output = run_in(folder.path(), &["snapshot", "plan.toml", "--as-of", at, "--out", "out", "--quiet"]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let found = table::read_parquet(&folder.join("out/discrepancies.parquet"));
    let columns = ["dataset", "code", "severity", "key", "record"].map(|n| table::column(&found, n));
    let mut rest: BTreeSet<(String, String, String, String)> = BTreeSet::new();
    let rows =
        (0..found.num_rows()).map(|row| columns.each_ref().map(|c| c[row].clone().unwrap_or_default()));
    for row in rows {
        let cell = |column: usize| row[column].clone();
        if cell(2) != "info" {
            rest.insert((cell(0), cell(3), cell(1), cell(4)));
        }
    }
    let mut wrong = String::new();
    for fault in key["faults"].as_array().unwrap() {
        let dataset = fault["table"].as_str().unwrap();
        let of = fault["key"].as_object().unwrap();
        let text: Vec<String> = of.iter().map(|(n, v)| format!("{n}={}", v.as_str().unwrap())).collect();
        let text = text.join(", ");
        let hit = rest
            .iter()
            .find(|(d, k, code, _)| d == dataset && *k == text && codes_of(fault).contains(&code.as_str()));
        let hit = hit.cloned();
        let contradicts = fault["contradiction_exists_in_current_plus_history"] == Value::Bool(true);
        if contradicts && hit.is_none() {
            let _ = writeln!(wrong, "not found: {} {} {dataset} {text}", fault["id"], fault["class"]);
        }
        // Records of the answer key count the header. A hole is told at the version before it.
        let line = fault["line"].as_u64().map(|l| (l - 1).to_string());
        if let (Some(hit), Some(line)) = (&hit, line)
            && hit.2.contains("version") | hit.2.contains("interval")
            && fault["class"] != "key_changed"
            && hit.3 != line
        {
            let _ = writeln!(wrong, "place: {} {dataset} {text}: {} instead of {line}", fault["id"], hit.3);
        }
        hit.map(|hit| rest.remove(&hit));
    }
    // Rows of some tables come back as a matter of course; and of a changed key in the current state, the other half.
    let ordinary = |(_, key, code, _): &(String, String, String, String)| {
        code == "hole-between-versions" || key == "id=99777001"
    };
    for extra in rest.iter().filter(|extra| !ordinary(extra)) {
        let _ = writeln!(wrong, "not planted: {extra:?}");
    }
    println!("{} findings beside the planted faults: {rest:#?}", rest.len());
    assert!(wrong.is_empty(), "{wrong}");
}

// ---- Delta's change data feed ----

/// Every version of a Delta table, from its folder and from its exported feed, with and without a key.
fn delta(name: &str, key: &[&str], versions: &[u64]) {
    let Some(cases) = cases() else { return };
    let fixtures = cases.join("fixtures/delta_cdf");
    let derived = fixtures.join("derived").join(name);
    let snapshot = |version: u64| derived.join(format!("snapshot_v{version}.csv"));
    // The snapshots write booleans as Python does.
    let plain = |version: u64| String::from_utf8(read_bytes(&snapshot(version))).unwrap();
    let plain = |version: u64| plain(version).replace("True", "true").replace("False", "false");
    let mut report = Report::new(&format!("delta {name}, key {key:?}"));
    for ledger in [fixtures.join(name), derived.join("cdf.ndjson")] {
        let folder = Folder::new();
        let plan = format!(
            "[datasets.t]\nkey = {key:?}\ncurrent = \"current.csv\"\n[datasets.t.ledger]\npath = {ledger:?}\n\
             format = \"delta-cdf\"\n"
        );
        folder.write("plan.toml", format!("name = \"delta\"\n{plan}"));
        folder.write("current.csv", plain(*versions.last().unwrap()));
        let moments: Vec<String> = versions.iter().map(|v| format!("position:{v}")).collect();
        for (version, out) in versions.iter().zip(series(&folder, &["plan.toml"], &moments)) {
            let found = table::read_parquet(&out.join("t.parquet"));
            let rules = Rules { key: key.iter().map(|k| (*k).to_owned()).collect(), ..Rules::default() };
            let none = Verdicts::new();
            let marks = verdicts(&out);
            folder.write("truth.csv", plain(*version));
            let expected = super::read_csv(&folder.join("truth.csv"));
            let tally = compare(&expected, &found, marks.get("t").unwrap_or(&none), &rules);
            report.push(name, &format!("v{version}"), tally, codes(&out).get("t"));
        }
    }
    report.settle();
}

#[test]
fn delta_change_data_feeds() {
    delta("cdf-table", &["id"], &[0, 1, 2, 3]);
    delta("cdf-table", &[], &[0, 1, 2, 3]);
    delta("cdf-table-non-partitioned", &["id"], &[0, 1, 2, 3, 4]);
    delta("cdf-table-non-partitioned", &[], &[0, 1, 2, 3, 4]);
    delta("cdc_ict_table", &["name"], &[1, 2, 3]);
    delta("cdc_ict_table", &[], &[1, 2, 3]);
}
