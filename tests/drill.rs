//! `asof drill`: what is reproduced, what is restated and by which entry, and planted faults.

use crate::harness::Folder;
use crate::table;

/// Two rows, one changed on the 5th, and the package as of the 4th.
fn folder() -> Folder {
    let folder = Folder::new();
    current(&folder, 7);
    ledger(&folder, 5);
    folder.write(
        "plan.toml",
        concat!(
            "[datasets.items]\nkey = [\"id\"]\nmeasures = [\"qty\"]\n",
            "current = { path = \"items.parquet\", at = \"2025-02-01T00:00:00Z\" }\n",
            "[datasets.items.ledger]\npath = \"items.ndjson\"\n",
            "complete_from = \"2025-01-01T00:00:00Z\"\ncomplete_to = \"2025-02-01T00:00:00Z\"\n",
        ),
    );
    let made = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-01-04", "--out", "package"]);
    assert_eq!(made.status, 0, "{made:?}");
    folder
}

fn current(folder: &Folder, second: u32) {
    let (schema, _) = table::parse_header("*id int64 | qty int64");
    let rows = ["1 | 9".to_owned(), format!("2 | {second}")];
    table::write_parquet(&folder.join("items.parquet"), &table::parse_rows(&schema, &rows));
}

fn ledger(folder: &Folder, before: u32) {
    let first = r#"{"seq":1,"txid":"a","committed_at":"2025-01-03T00:00:00Z","op":"I","actor":"ann","before":null,"after":{"id":2,"qty":7}}"#;
    let second = r#"{"seq":2,"txid":"b","committed_at":"2025-01-05T00:00:00Z","op":"U","actor":"bob","before":{"id":1,"qty":BEFORE},"after":{"id":1,"qty":9}}"#;
    folder.write("items.ndjson", format!("{first}\n{}\n", second.replace("BEFORE", &before.to_string())));
}

fn certificate(folder: &Folder) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("certificate/certificate.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_did_not_move_is_reproduced() {
    let folder = folder();
    let output = folder.run(&["drill", "package", "--out", "certificate"]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(output.stdout.contains("**Reproduced**: every cell is what it was."), "{}", output.stdout);
    let package = &certificate(&folder)["packages"][0];
    assert_eq!(package["datasets"][0], serde_json::json!({ "name": "items", "rows": 2, "cells": 4 }));
    for input in package["inputs"].as_array().unwrap() {
        assert_eq!(input["sha256_then"], input["sha256_now"]);
    }
    assert_eq!(folder.run(&["drill", "package", "--out", "certificate"]).status, 2, "a certificate stays");
}

#[test]
fn what_moved_is_named_with_entry_user_time_row_and_amount() {
    let folder = folder();
    ledger(&folder, 6);
    current(&folder, 70);
    let output = folder.run(&["drill", "package", "--out", "certificate"]);
    assert_eq!(output.status, 1, "{output:?}");
    let package = &certificate(&folder)["packages"][0];
    let found = package["restatements"].as_array().unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    let altered = &found[0];
    assert_eq!((&altered["key"], &altered["column"]), (&"id=1".into(), &"qty".into()));
    assert_eq!(
        (&altered["was"], &altered["is"], &altered["amount"]),
        (&"5".into(), &"6".into(), &"1".into())
    );
    let entry = &altered["entry"];
    assert_eq!((&entry["actor"], &entry["transaction"]), (&"bob".into(), &"b".into()));
    assert_eq!(entry["committed_at"], "2025-01-05T00:00:00Z");
    let edited = &found[1];
    assert_eq!((&edited["key"], &edited["amount"]), (&"id=2".into(), &"63".into()));
    assert_eq!((&edited["entry"], &edited["looked_up"]), (&serde_json::Value::Null, &true.into()));
    assert!(output.stdout.contains("no record: the current row was edited"), "{}", output.stdout);
    for input in package["inputs"].as_array().unwrap() {
        assert_ne!(input["sha256_then"], input["sha256_now"], "both files are others");
    }
}

#[test]
fn a_row_that_is_new_is_named() {
    let folder = folder();
    let (schema, _) = table::parse_header("*id int64 | qty int64");
    let rows = ["1 | 9".to_owned(), "2 | 7".to_owned(), "3 | 1".to_owned()];
    table::write_parquet(&folder.join("items.parquet"), &table::parse_rows(&schema, &rows));
    let output = folder.run(&["drill", "package", "--json"]);
    assert_eq!(output.status, 1, "{output:?}");
    let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let row = &found["packages"][0]["restatements"][0];
    assert_eq!((&row["key"], &row["column"]), (&"id=3".into(), &serde_json::Value::Null));
}

#[test]
fn planted_faults_are_found_and_inputs_stay_as_they_are() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["demo", "data"]).status, 0);
    let inputs = || {
        let files = ["extract/payments.csv", "ledger/payments.ndjson", "extract/accounts.parquet"];
        files.map(|file| std::fs::read(folder.join("data").join(file)).unwrap())
    };
    let before = inputs();
    assert!(folder.run(&["snapshot", "data", "--as-of", "2025-09-30", "--out", "package"]).status < 2);
    let output = folder.run(&["drill", "package", "--self-test", "2", "--out", "certificate"]);
    assert_eq!(output.status, 0, "{output:?}");
    let certificate = certificate(&folder);
    let faults = certificate["self_test"].as_array().unwrap();
    assert_eq!(faults.len(), 6);
    for fault in faults {
        assert!(fault["planted"].as_u64().unwrap() > 0, "{fault}");
        let missed = fault["missed"].as_array().unwrap();
        let found = fault["found"].as_u64().unwrap();
        assert_eq!(Some(found + missed.len() as u64), fault["planted"].as_u64(), "{fault}");
        assert!(found > 0, "{fault}");
        // Opening lines of the journal are in no ledger: nothing can say that two of them changed places.
        let is_in_no_ledger = |place: &serde_json::Value| {
            place.as_str().is_some_and(|place| place.starts_with("journal_lines: amount of row 7"))
        };
        assert!(missed.iter().all(is_in_no_ledger), "{fault}");
    }
    assert!(inputs() == before, "faults go into copies");
}

#[test]
fn a_folder_that_is_no_package_is_refused() {
    let folder = Folder::new();
    folder.write("other/manifest.json", "{}");
    for name in ["missing", "other"] {
        assert_eq!(folder.run(&["drill", name]).status, 2);
    }
}
