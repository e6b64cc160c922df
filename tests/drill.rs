//! `asof drill`: what is reproduced, what is restated and by which entry, and planted faults.

use crate::evidence::cover_up;
use crate::harness::Folder;
use crate::{real, table};

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

/// A package in each format, with a text and a null in it.
#[test]
fn every_format_is_compared_cell_by_cell() {
    let header = "*id int64 | amt decimal(12,2) | note text";
    for format in ["parquet", "csv", "arrow"] {
        let folder = Folder::new();
        let (schema, _) = table::parse_header(header);
        let current = |rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(|r| (*r).to_owned()).collect();
            table::write_parquet(&folder.join("c.parquet"), &table::parse_rows(&schema, &rows));
        };
        current(&["1 | 10.00 | a", "2 | 20.00 | null"]);
        let record = r#"{"seq":1,"op":"u","committed_at":"2025-06-01T00:00:00Z","before":{"id":1,"amt":"9.00","note":"=a"},"after":{"id":1,"amt":"10.00","note":"a"}}"#;
        folder.write("l.ndjson", format!("{record}\n"));
        folder.write(
            "plan.toml",
            "[datasets.t]\nkey = [\"id\"]\ncurrent = \"c.parquet\"\n[datasets.t.ledger]\npath = \"l.ndjson\"\n\
             complete_from = \"2025-01-01T00:00:00Z\"\n",
        );
        let made = folder.run(&[
            "snapshot",
            "plan.toml",
            "--as-of",
            "2025-05-01",
            "--format",
            format,
            "--csv-safe",
            "--provenance",
            "--out",
            "p",
        ]);
        assert_eq!(made.status, 0, "{made:?}");
        let drilled = |status: i32| {
            let output = folder.run(&["drill", "p", "--json"]);
            assert_eq!(output.status, status, "{format}: {output:?}");
            let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
            found["packages"][0].clone()
        };
        let same = drilled(0);
        let whole = serde_json::json!({ "name": "t", "rows": 2, "cells": 6 });
        assert_eq!((&same["datasets"][0], &same["reproduced"]), (&whole, &true.into()), "{format}");
        current(&["1 | 10.00 | a", "2 | 99.00 | null"]);
        let other = drilled(1);
        assert_eq!(other["reproduced"], false, "{format}");
        let found = other["restatements"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{format}: {found:?}");
        assert_eq!((&found[0]["key"], &found[0]["amount"]), (&"id=2".into(), &"79.00".into()));
        std::fs::remove_file(folder.join(format!("p/t.{format}"))).unwrap();
        let output = folder.run(&["drill", "p"]);
        assert_eq!(output.status, 1, "{format}: what is stated is not there");
        assert!(output.stdout.contains("**Not trusted**"), "{}", output.stdout);
    }
}

#[test]
fn a_dataset_that_cannot_be_compared_is_not_reproduced() {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.join("package/manifest.json")).unwrap();
    assert!(manifest.contains("\"file\": \"items.parquet\""), "{manifest}");
    folder.write("package/manifest.json", manifest.replace("\"file\": \"items.parquet\"", "\"file\": null"));
    cover_up(&folder.join("package"));
    let output = folder.run(&["drill", "package"]);
    assert_eq!(output.status, 1, "{output:?}");
    assert!(output.stdout.contains("**Not reproduced**"), "{}", output.stdout);
}

#[test]
fn a_column_that_is_gone_or_new_is_named() {
    let folder = folder();
    let current = |note: bool| {
        let (header, rest) = if note { (" | note text", [" | a", " | b"]) } else { ("", ["", ""]) };
        let (schema, _) = table::parse_header(&format!("*id int64 | qty int64{header}"));
        let rows = [format!("1 | 9{}", rest[0]), format!("2 | 7{}", rest[1])];
        table::write_parquet(&folder.join("items.parquet"), &table::parse_rows(&schema, &rows));
    };
    let column = |package: &str| {
        let output = folder.run(&["drill", package, "--json"]);
        assert_eq!(output.status, 1, "{output:?}");
        let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let found = found["packages"][0]["restatements"].as_array().unwrap().clone();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["key"], &found[0]["column"]), (&"".into(), &"note".into()));
        (found[0]["was"].clone(), found[0]["is"].clone())
    };
    current(true);
    assert_eq!(column("package"), (serde_json::Value::Null, "a column".into()));
    assert!(folder.run(&["snapshot", "plan.toml", "--as-of", "2025-01-04", "--out", "more"]).status < 2);
    assert_eq!(folder.run(&["drill", "more"]).status, 0);
    current(false);
    assert_eq!(column("more"), ("a column".into(), serde_json::Value::Null));
    assert!(folder.run(&["drill", "more"]).stdout.contains("(every row)"));
}

#[test]
fn a_package_is_rebuilt_as_of_what_its_words_meant() {
    let folder = folder();
    let plan = std::fs::read_to_string(folder.join("plan.toml")).unwrap();
    let open =
        plan.replace(", at = \"2025-02-01T00:00:00Z\"", "").replace("\ncomplete_to", "\n# complete_to");
    folder.write("open.toml", open);
    let made = folder.run(&["snapshot", "open.toml", "--as-of", "last-month-end", "--out", "ended"]);
    assert!(made.status < 2, "{made:?}");
    let manifest = folder.join("ended/manifest.json");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(folder.run(&["drill", "ended"]).status, 0);
    assert_eq!(manifest["as_of"]["asked"], "last-month-end");
    // As if it had been made a long time ago: the words would mean another month.
    let text = manifest.to_string();
    let bound = manifest["as_of"]["bound"]["before"].as_str().unwrap();
    folder.write("ended/manifest.json", text.replace(bound, "2025-01-05T00:00:00Z"));
    let then = std::fs::read(folder.join("package/items.parquet")).unwrap();
    std::fs::write(folder.join("ended/items.parquet"), then).unwrap();
    cover_up(&folder.join("ended"));
    let output = folder.run(&["drill", "ended"]);
    assert_eq!(output.status, 0, "{output:?}");
}

/// Symptom: a package that somebody had edited was rebuilt as its manifest said, and the inputs were blamed for the difference.
#[test]
fn a_package_whose_own_digests_do_not_hold_is_not_trusted() {
    let folder = folder();
    for (file, from, to) in [
        ("package/totals.csv", "items", "itens"),
        ("package/manifest.json", "\"verified\": true", "\"verified\": false"),
    ] {
        let whole = std::fs::read_to_string(folder.join(file)).unwrap();
        folder.write(file, whole.replacen(from, to, 1));
        let output = folder.run(&["drill", "package", "--json"]);
        assert_eq!(output.status, 1, "{output:?}");
        let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let package = &found["packages"][0];
        assert_eq!((&package["digests_hold"], &package["reproduced"]), (&false.into(), &false.into()));
        assert_eq!(package["faults"][0]["file"], file.strip_prefix("package/").unwrap(), "{package}");
        assert_eq!(package["datasets"][0]["compared"], "nothing");
        folder.write(file, whole);
    }
    let output = folder.run(&["drill", "package"]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(output.stdout.contains("Its own digests hold"), "{}", output.stdout);
}

/// What a package of an earlier version lacks, and what to do about it.
#[test]
fn a_package_without_an_exact_moment_says_what_to_do() {
    let folder = folder();
    let text = std::fs::read(folder.join("package/manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    manifest["as_of"].as_object_mut().unwrap().remove("bound");
    folder.write("package/manifest.json", manifest.to_string());
    cover_up(&folder.join("package"));
    let output = folder.run(&["drill", "package"]);
    assert_eq!(output.status, 2, "{output:?}");
    for said in ["as_of.bound", "--as-of 2025-01-04", "an earlier version made it"] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
}

const POSTINGS: &str = r#"
[datasets.accounts]
key = ["account"]
types = { balance = "decimal(12,2)" }
measures = ["balance"]
current = { path = "bal.csv", at = "2025-07-01T00:00:00Z" }
[datasets.accounts.ledger]
path = "post.csv"
format = "postings"
complete_from = "2025-01-01"
columns = { id = ["id"], effective_at = "posting_date", committed_at = "entered_at" }
[datasets.accounts.ledger.postings]
amounts = { balance = "amount" }
effective_from = "2025-01-01"
committed_from = "2025-01-01"
"#;

#[test]
fn a_package_as_known_at_a_moment_is_rebuilt_as_known_then() {
    let folder = Folder::new();
    folder.write("bal.csv", "account,balance\nA,100.00\n");
    folder.write(
        "post.csv",
        "id,account,amount,posting_date,entered_at\n1,A,60.00,2025-03-01,2025-03-01T10:00:00Z\n\
         2,A,30.00,2025-03-15,2025-05-20T10:00:00Z\n3,A,10.00,2025-06-01,2025-06-01T10:00:00Z\n",
    );
    folder.write("plan.toml", POSTINGS);
    for (known_at, out) in [("2025-06-30", "late"), ("2025-04-30", "early")] {
        let made = folder.run(&[
            "snapshot",
            "plan.toml",
            "--as-of",
            "2025-03-31",
            "--known-at",
            known_at,
            "--out",
            out,
        ]);
        assert!(made.status < 2, "{made:?}");
        let output = folder.run(&["drill", out]);
        assert_eq!(output.status, 0, "{known_at}: {output:?}");
    }
    let balance =
        |out: &str| table::texts(&table::read_parquet(&folder.join(format!("{out}/accounts.parquet"))));
    assert_ne!(balance("late"), balance("early"), "the second moment matters");
}

/// Whether a ledger of the sample has a change of the current row of a place, as in `payments: amount of row 5`.
fn is_in_a_ledger(folder: &Folder, place: &str) -> bool {
    let (dataset, rest) = place.split_once(':').unwrap();
    let row: usize = rest.rsplit(' ').next().unwrap().parse().unwrap();
    let data = folder.join("data");
    let extract = data.join(format!("extract/{dataset}.parquet"));
    let key: Vec<String> = match dataset {
        "payments" => {
            let text = std::fs::read_to_string(data.join("extract/payments.csv")).unwrap();
            vec![text.lines().nth(row).unwrap().split(',').next().unwrap().to_owned()]
        }
        _ => {
            let cells = table::texts(&table::read_parquet(&extract)).swap_remove(row - 1);
            cells.into_iter().take(if dataset == "journal_lines" { 2 } else { 1 }).flatten().collect()
        }
    };
    match dataset {
        "journal_lines" => {
            let ledger = table::read_parquet(&data.join("ledger/journal_lines.parquet"));
            ["before", "after"].iter().any(|side| {
                let image = arrow::array::AsArray::as_struct(ledger.column_by_name(side).unwrap());
                let (fields, columns, _) = image.clone().into_parts();
                let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
                let image = arrow::array::RecordBatch::try_new(schema, columns).unwrap();
                table::texts(&image)
                    .iter()
                    .any(|cells| cells[..2] == [Some(key[0].clone()), Some(key[1].clone())])
            })
        }
        _ => std::fs::read_dir(data.join("ledger")).unwrap().any(|file| {
            let bytes = real::read_bytes(&file.unwrap().path());
            bytes.windows(key[0].len()).any(|text| text == key[0].as_bytes())
        }),
    }
}

/// Whether a place is in a table of the sample whose plan states the sum of what was edited.
fn of_stated_sum(place: &str) -> bool {
    ["accounts: balance", "payments: amount", "journal_lines: amount"]
        .iter()
        .any(|figure| place.contains(figure))
}

/// Whether a place is in a table of the sample whose plan states how many rows it has.
fn of_stated_rows(place: &str) -> bool {
    ["customers: ", "accounts: ", "payments: ", "journal_lines: "].iter().any(|table| place.contains(table))
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
    let output = folder.run(&["drill", "package", "--self-test", "5", "--out", "certificate"]);
    assert_eq!(output.status, 0, "{output:?}");
    let certificate = certificate(&folder);
    let faults = certificate["self_test"].as_array().unwrap();
    assert_eq!(faults.len(), 6);
    for fault in faults {
        assert_eq!(fault["planted"], 5, "{fault}");
        let missed: Vec<&str> =
            fault["missed"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
        let found = fault["found"].as_u64().unwrap();
        assert!(found > 0 && found + missed.len() as u64 == 5, "{fault}");
        match fault["fault"].as_str().unwrap() {
            // The only record of a row, or one that was delivered twice, leaves nothing behind that could tell.
            "removed record" => {}
            "repeated record" | "altered image" => assert!(missed.is_empty(), "{fault}"),
            // What no ledger mentions cannot be told from what it should be, unless the plan states a figure of it.
            "edited current row" if missed.iter().any(|place| of_stated_sum(place)) => panic!("{fault}"),
            "removed current row" if missed.iter().any(|place| of_stated_rows(place)) => panic!("{fault}"),
            _ => missed.iter().for_each(|place| assert!(!is_in_a_ledger(&folder, place), "{fault}")),
        }
    }
    assert!(inputs() == before, "faults go into copies");
}

/// Symptom: faults in ledgers were only planted in JSON lines.
#[test]
fn faults_are_planted_in_ledgers_that_are_tables() {
    for ending in ["parquet", "csv"] {
        let folder = Folder::new();
        let (schema, _) = table::parse_header("*id int64 | qty int64");
        let rows: Vec<String> = (1..=9).map(|id| format!("{id} | {}", 10 * id)).collect();
        table::write_parquet(&folder.join("items.parquet"), &table::parse_rows(&schema, &rows));
        let (schema, _) = table::parse_header(
            "*seq int64 | op text | committed_at text | old_id int64 | old_qty int64 | new_id int64 | new_qty int64",
        );
        let rows: Vec<String> = (1..=9)
            .map(|id| format!("{id} | U | 2025-01-0{id}T00:00:00Z | {id} | {id} | {id} | {}", 10 * id))
            .collect();
        let ledger = table::parse_rows(&schema, &rows);
        let name = format!("ledger.{ending}");
        match ending {
            "parquet" => table::write_parquet(&folder.join(&name), &ledger),
            _ => {
                let lines: Vec<String> = rows.iter().map(|row| row.replace(" | ", ",") + "\n").collect();
                let head = "seq,op,committed_at,old_id,old_qty,new_id,new_qty\n";
                folder.write(&name, head.to_owned() + &lines.concat());
            }
        }
        folder.write(
            "plan.toml",
            format!(
                "[datasets.items]\nkey = [\"id\"]\nmeasures = [\"qty\"]\ncurrent = \"items.parquet\"\n\
                 [datasets.items.ledger]\npath = {name:?}\ncomplete_from = \"2025-01-01T00:00:00Z\"\n"
            ),
        );
        let made = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-01-04", "--out", "package"]);
        assert_eq!(made.status, 0, "{made:?}");
        let before = std::fs::read(folder.join(&name)).unwrap();
        let output = folder.run(&["drill", "package", "--self-test", "6", "--json"]);
        assert_eq!(output.status, 0, "{output:?}");
        let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        for fault in &found["self_test"].as_array().unwrap()[..3] {
            assert_eq!(fault["planted"], 6, "{ending}: {fault}");
            let found = fault["found"].as_u64().unwrap();
            // Each row has one change: if its record is gone nothing tells of it, nor is there anything before it
            // that its old figure could be compared with.
            match fault["fault"].as_str().unwrap() {
                "removed record" => {}
                "altered image" => assert!(found > 0, "{ending}: {fault}"),
                _ => assert_eq!(found, 6, "{ending}: {fault}"),
            }
        }
        assert_eq!(std::fs::read(folder.join(&name)).unwrap(), before, "faults go into copies");
    }
}

#[test]
fn a_folder_that_is_no_package_is_refused() {
    let folder = Folder::new();
    folder.write("other/manifest.json", "{}");
    for name in ["missing", "other"] {
        assert_eq!(folder.run(&["drill", name]).status, 2);
    }
}
