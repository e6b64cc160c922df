//! What runs SQL.

use std::path::Path;

use serde_json::Value;

use super::queries;
use crate::harness::{Folder, Output, run_in};

const COLUMNS: [&str; 6] = ["entry_no", "line_no", "ledger_account", "amount", "posted_on", "memo"];

/// A row of the journal's ledger: time, actor, and the lines before and after.
fn record(seq: usize, at: &str, actor: &str, before: &str, after: &str) -> String {
    let op = match (before, after) {
        ("", _) => "I",
        (_, "") => "D",
        _ => "U",
    };
    let nothing = ",,,,,";
    let side = |text: &str| if text.is_empty() { nothing.to_owned() } else { text.to_owned() };
    format!("{seq},{seq},{at},{op},{actor},{},{}\n", side(before), side(after))
}

/// Books of a month: one entry for each criterion, one on the wrong side of the close on either side, and
/// an edit behind it. `edited` makes the extract differ from the ledger.
fn books(edited: bool) -> Folder {
    let entries = [
        ("2025-12-15T10:00:00Z", "ana", 1, "1000", "1234.56", "2025-12-15", "rent"),
        ("2025-12-20T10:00:00Z", "ana", 2, "1000", "321.10", "2025-12-20", "on a Saturday"),
        // 23:30 in Berlin.
        ("2025-12-22T22:30:00Z", "ana", 3, "1000", "77.77", "2025-12-22", "late at night"),
        ("2025-12-23T09:00:00Z", "ana", 4, "1000", "5000.00", "2025-12-23", "round"),
        ("2025-12-29T09:00:00Z", "zoe", 5, "9999", "12.34", "2025-12-29", "seldom"),
        ("2025-12-30T09:00:00Z", "ana", 6, "1000", "45.67", "2025-12-30", ""),
        ("2025-12-31T09:00:00Z", "ana", 7, "1000", "60.80", "2026-01-02", "early"),
        ("2025-12-31T10:00:00Z", "ana", 9, "1000", "774.56", "2025-12-31", "an ending"),
        ("2026-01-05T09:00:00Z", "max", 8, "1000", "88.90", "2025-12-30", "forgotten"),
    ];
    let mut ledger = format!(
        "seq,txid,committed_at,op,actor,{},{}\n",
        COLUMNS.map(|c| format!("old_{c}")).join(","),
        COLUMNS.map(|c| format!("new_{c}")).join(",")
    );
    let mut current = COLUMNS.join(",") + "\n";
    let mut seq = 0;
    for (at, actor, entry, account, amount, dated, memo) in entries {
        for (line, account, amount) in [(1, account, amount.to_owned()), (2, "4000", format!("-{amount}"))] {
            let row = format!("{entry},{line},{account},{amount},{dated},{memo}");
            seq += 1;
            ledger += &record(seq, at, actor, "", &row);
            if entry != 1 {
                current += &format!("{row}\n");
            }
        }
    }
    for (line, account, before, after) in
        [(1, "1000", "1234.56", "1300.00"), (2, "4000", "-1234.56", "-1300.00")]
    {
        let row = |amount: &str| format!("1,{line},{account},{amount},2025-12-15,rent");
        seq += 1;
        ledger += &record(seq, "2026-01-06T09:00:00Z", "max", &row(before), &row(after));
        current += &format!("{}\n", row(if edited && line == 1 { "1300.01" } else { after }));
    }
    let folder = Folder::new();
    folder.write("journal.csv", current);
    folder.write("journal-ledger.csv", ledger);
    folder.write(
        "invoices.csv",
        "invoice_no,due_on,amount,paid,status\nA,2026-01-15,100.00,,open\nB,2025-12-20,200.00,50.00,open\n\
         C,2025-11-15,300.00,,open\nD,2025-10-10,400.00,,open\nE,2025-01-01,500.00,0.01,open\n\
         F,2025-06-01,999.00,999.00,paid\nG,2025-06-01,7.00,7.00,paid\n",
    );
    folder.write(
        "invoices-ledger.csv",
        "seq,committed_at,op,old_invoice_no,old_due_on,old_amount,old_paid,old_status,new_invoice_no,new_due_on,\
         new_amount,new_paid,new_status\n\
         1,2026-01-05T09:00:00Z,U,F,2025-06-01,999.00,,open,F,2025-06-01,999.00,999.00,paid\n\
         2,2026-01-05T09:00:00Z,U,G,2025-06-01,7.00,6.00,paid,G,2025-06-01,7.00,7.00,paid\n",
    );
    folder.write(
        "plan.toml",
        "time_zone = \"Europe/Berlin\"\n\
         [datasets.journal]\nkey = [\"entry_no\", \"line_no\"]\nmeasures = [\"amount\"]\n\
         group_by = [\"ledger_account\"]\ntypes = { ledger_account = \"text\" }\n\
         current = { path = \"journal.csv\", at = \"2026-02-01T00:00:00Z\" }\n\
         [datasets.journal.ledger]\npath = \"journal-ledger.csv\"\nfrom_birth = true\n\
         [datasets.invoices]\nkey = [\"invoice_no\"]\nmeasures = [\"amount\", \"paid\"]\n\
         current = { path = \"invoices.csv\", at = \"2026-02-01T00:00:00Z\" }\n\
         [datasets.invoices.ledger]\npath = \"invoices-ledger.csv\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    folder
}

fn asked(folder: &Folder, more: &[&str]) -> Output {
    folder.run(&[&["query", "plan.toml", "--as-of", "2025-12-31", "--json"][..], more].concat())
}

/// The rows of a shipped query, each as its cells in order, null as nothing.
fn rows(folder: &Folder, query: &str, set: &[&str], status: i32) -> Vec<Vec<String>> {
    let path = queries().join(query);
    let path = path.to_str().unwrap();
    let sets: Vec<&str> = set.iter().flat_map(|s| ["--set", s]).collect();
    rows_of(&asked(folder, &[&[path][..], &sets].concat()), status)
}

fn rows_of(output: &Output, status: i32) -> Vec<Vec<String>> {
    assert_eq!(output.status, status, "{}{}", output.stdout, output.stderr);
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let columns: Vec<&str> =
        document["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    let cell = |row: &Value, column: &&str| match &row[*column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = document["rows"].as_array().unwrap();
    rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect()
}

fn sql(folder: &Folder, text: &str) -> Vec<Vec<String>> {
    rows_of(&asked(folder, &["--sql", text]), 0)
}

/// Some columns of rows, joined.
fn only(rows: &[Vec<String>], columns: &[usize]) -> Vec<String> {
    rows.iter().map(|row| columns.iter().map(|&c| row[c].as_str()).collect::<Vec<_>>().join(" | ")).collect()
}

#[test]
fn sums_of_decimals_are_exact() {
    let folder = Folder::new();
    // As floats neither of these is what it says, let alone their sum.
    folder.write("t.csv", "id,amount\n1,90071992547409931.01\n2,0.02\n3,0.10\n4,0.20\n");
    folder.write(
        "ledger.csv",
        "seq,committed_at,op,old_id,old_amount,new_id,new_amount\n1,2026-01-05T00:00:00Z,U,2,0.01,2,0.02\n",
    );
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\nmeasures = [\"amount\"]\ncurrent = { path = \"t.csv\", at = \"2026-02-01T00:00:00Z\" }\n\
         [datasets.t.ledger]\npath = \"ledger.csv\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    let found =
        sql(&folder, "SELECT SUM(amount) AS a, MIN(amount) AS b, SUM(amount) - MAX(amount) AS c FROM t");
    assert_eq!(found, [["90071992547409931.32", "0.01", "0.31"]]);
    let found = sql(&folder, "SELECT SUM(amount) AS a FROM t__current");
    assert_eq!(found, [["90071992547409931.33"]]);
    let found = sql(
        &folder,
        "SELECT op, undone, key, before_amount, after_amount, after_amount - before_amount AS d FROM t__changes",
    );
    assert_eq!(found, [["update", "true", "id=2", "0.01", "0.02", "0.01"]]);
}

#[test]
fn results_go_to_files_in_their_types() {
    let folder = books(false);
    let text = "SELECT entry_no, amount, posted_on, memo FROM journal ORDER BY entry_no, line_no";
    for out in ["out.parquet", "out.csv", "out.arrow"] {
        let output =
            folder.run(&["query", "plan.toml", "--as-of", "2025-12-31", "--sql", text, "--out", out]);
        assert_eq!(output.status, 0, "{output:?}");
        assert!(output.stdout.contains("(16 rows)"), "{output:?}");
    }
    let batch = crate::table::read_parquet(&folder.join("out.parquet"));
    let types: Vec<String> = batch.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Int64", "Decimal128(38, 2)", "Date32", "Utf8"]);
    let csv = std::fs::read_to_string(folder.join("out.csv")).unwrap();
    assert!(csv.starts_with("entry_no,amount,posted_on,memo\n1,1234.56,2025-12-15,rent\n"), "{csv}");
    let again =
        folder.run(&["query", "plan.toml", "--as-of", "2025-12-31", "--sql", text, "--out", "out.csv"]);
    assert_eq!((again.status, again.stderr.contains("already exists")), (2, true), "{again:?}");
}

#[test]
fn parameters_are_values_and_nothing_else() {
    let folder = books(false);
    folder.write(
        "q.sql",
        "-- Who?\n--   $who = 'ana'\nSELECT COUNT(*) AS n FROM journal__changes WHERE actor = $who",
    );
    let count = |set: &str| asked(&folder, &["q.sql", "--set", set]);
    assert_eq!(rows_of(&count("who=max"), 0), [["4"]]);
    assert_eq!(rows_of(&count("who=x' OR '1'='1"), 0), [["0"]]);
    let wrong = count("whom=max");
    assert_eq!((wrong.status, wrong.stderr.contains("did you mean who?")), (2, true), "{wrong:?}");
    let nonsense =
        folder.run(&["query", "plan.toml", "--as-of", "2025-12-31", "--sql", "SELECT * FROM nowhere"]);
    assert_eq!(nonsense.status, 2, "{nonsense:?}");
    assert!(nonsense.stderr.contains("the tables are journal__current"), "{nonsense:?}");
}

const JOURNAL: &str = "journal=journal";

#[test]
fn the_trial_balance_ties() {
    let found = rows(&books(false), "trial-balance.sql", &[JOURNAL], 0);
    let expected = [
        "1000 | 7 | 7514.46 |  | 7514.46 | 7514.46 | 0.00",
        "4000 | 8 |  | -7526.80 | -7526.80 | -7526.80 | 0.00",
        "9999 | 1 | 12.34 |  | 12.34 | 12.34 | 0.00",
        "TOTAL | 16 | 7526.80 | -7526.80 | 0.00 | 0.00 | 0.00",
    ];
    assert_eq!(only(&found, &[0, 1, 2, 3, 4, 5, 6]), expected);
}

#[test]
fn period_end_balances_are_those_of_then() {
    let set = ["table=journal", "group=ledger_account", "balance=amount"];
    let found = rows(&books(false), "period-end-balances.sql", &set, 0);
    let expected = [
        "1000 | 7 | 7514.46 | 8 | 7668.80 | 154.34",
        "4000 | 8 | -7526.80 | 9 | -7681.14 | -154.34",
        "9999 | 1 | 12.34 | 1 | 12.34 | 0.00",
    ];
    assert_eq!(only(&found, &[0, 1, 2, 3, 4, 5]), expected);
}

#[test]
fn items_age_from_the_period_end_as_they_were_then() {
    let found = rows(&books(false), "aged-items.sql", &[], 0);
    // F was paid after the period end, so it was open at it.
    let expected = [
        "0 | 1 | 2026-01-15 | 100.00 | 0.00 | 100.00",
        "1 | 1 | 2025-12-20 | 200.00 | 50.00 | 150.00",
        "2 | 1 | 2025-11-15 | 300.00 | 0.00 | 300.00",
        "3 | 1 | 2025-10-10 | 400.00 | 0.00 | 400.00",
        "4 | 2 | 2025-01-01 | 1499.00 | 0.01 | 1498.99",
    ];
    assert_eq!(only(&found, &[0, 1, 2, 3, 4, 5]), expected);
}

#[test]
fn dates_on_different_sides_of_the_close_are_found_and_no_others() {
    let folder = books(false);
    let expected = [
        "early | entry_no=7, line_no=1 | ana | 2026-01-02 | 60.80",
        "early | entry_no=7, line_no=2 | ana | 2026-01-02 | -60.80",
        "late | entry_no=8, line_no=1 | max | 2025-12-30 | 88.90",
        "late | entry_no=8, line_no=2 | max | 2025-12-30 | -88.90",
    ];
    assert_eq!(only(&rows(&folder, "cut-off.sql", &[JOURNAL], 0), &[0, 3, 4, 7, 8]), expected);
    // Nothing of the late entry lies within half a day of the close.
    let near = rows(&folder, "cut-off.sql", &[JOURNAL, "span=0d"], 0);
    assert_eq!(only(&near, &[0, 3]), ["early | entry_no=7, line_no=1", "early | entry_no=7, line_no=2"]);
}

/// Symptom: of a ledger of postings nothing was ever found. Cause: only inserts were looked at, and the posting date was
/// taken as a day in UTC, which is the day before in zones east of it.
#[test]
fn postings_whose_effective_date_is_on_the_other_side_of_the_close_are_found() {
    let folder = Folder::new();
    folder.write("t.csv", "account,balance\n1000,100.00\n2000,-100.00\n");
    folder.write(
        "journal.csv",
        "line,account,posting_date,entered_at,amount\n1,1000,2025-12-30,2025-12-30T10:00:00Z,60.00\n\
         2,2000,2025-12-30,2025-12-30T10:00:00Z,-60.00\n3,1000,2025-12-31,2026-01-02T10:00:00Z,30.00\n\
         4,2000,2025-12-31,2026-01-02T10:00:00Z,-30.00\n5,1000,2026-01-01,2025-12-31T10:00:00Z,10.00\n\
         6,2000,2026-01-01,2025-12-31T10:00:00Z,-10.00\n",
    );
    folder.write(
        "plan.toml",
        "time_zone = \"Europe/Berlin\"\n[datasets.t]\nkey = [\"account\"]\nmeasures = [\"balance\"]\n\
         types = { balance = \"decimal(12,2)\" }\ncurrent = { path = \"t.csv\", at = \"2026-02-01T00:00:00Z\" }\n\
         [datasets.t.ledger]\npath = \"journal.csv\"\nformat = \"postings\"\nfrom_birth = true\n\
         columns = { id = \"line\", effective_at = \"posting_date\", committed_at = \"entered_at\" }\n\
         [datasets.t.ledger.postings]\namounts = { balance = \"amount\" }\n",
    );
    let set = ["journal=t", "date=effective_local", "amount=balance"];
    let found = only(&rows(&folder, "cut-off.sql", &set, 0), &[0, 3, 7, 8]);
    let expected = [
        "early | account=1000 | 2026-01-01 | 10.00",
        "early | account=2000 | 2026-01-01 | -10.00",
        "late | account=1000 | 2025-12-31 | 30.00",
        "late | account=2000 | 2025-12-31 | -30.00",
    ];
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn late_postings_show_their_effect_on_each_closed_period() {
    let folder = books(false);
    let found = rows(&folder, "late-postings.sql", &[JOURNAL], 0);
    let expected = [
        "2025-12 | 1000 | 2 | 1 | 1388.90 | 1234.56 | 154.34",
        "2025-12 | 4000 | 2 | 1 | -1388.90 | -1234.56 | -154.34",
    ];
    assert_eq!(only(&found, &[0, 1, 2, 5, 6, 7, 8]), expected);
    // The effect is what the balance has moved by since the close.
    let moved = rows(
        &folder,
        "period-end-balances.sql",
        &["table=journal", "group=ledger_account", "balance=amount"],
        0,
    );
    assert_eq!(only(&moved, &[5])[0], only(&found, &[8])[0]);
}

#[test]
fn journal_entry_tests_find_what_was_planted_in_a_population_proven_complete() {
    let set = [JOURNAL, "repeats=4", "seldom=1", "user_lines=2"];
    let found = rows(&books(false), "journal-entry-tests.sql", &set, 0);
    assert_eq!(found[0][8], "complete: 16 lines in the snapshot, 16 by the control totals, 0 open errors");
    let lines = only(&found[1..], &[0, 2]);
    let pair = |test: &'static str, entry: u32| {
        [1, 2].map(|line| format!("{test} | entry_no={entry}, line_no={line}"))
    };
    let mut expected: Vec<String> = Vec::new();
    expected.extend(pair("1 weekend", 2));
    expected.extend(pair("2 night", 3));
    expected.extend(pair("3 round amount", 4));
    expected.extend(pair("4 repeated ending", 1));
    expected.extend(pair("4 repeated ending", 9));
    expected.push("5 seldom used account | entry_no=5, line_no=1".to_owned());
    expected.extend(pair("6 unusual user", 5));
    expected.extend(pair("7 no description", 6));
    expected.extend(pair("8 after close", 8));
    assert_eq!(lines, expected);
    // An amount that was changed past the ledger: the population is not proven any more.
    let found = rows(&books(true), "journal-entry-tests.sql", &set, 1);
    assert!(found[0][8].starts_with("NOT PROVEN"), "{:?}", found[0]);
}

#[test]
fn changes_after_the_close_name_who_made_them() {
    let found = rows(&books(false), "after-close.sql", &["table=journal"], 0);
    let expected = [
        "max | insert | entry_no=8, line_no=1 |  | 88.90",
        "max | insert | entry_no=8, line_no=2 |  | -88.90",
        "max | update | entry_no=1, line_no=1 | 1234.56 | 1300.00",
        "max | update | entry_no=1, line_no=2 | -1234.56 | -1300.00",
    ];
    assert_eq!(only(&found, &[2, 4, 5, 8, 9]), expected);
}

#[test]
fn first_digits_are_counted() {
    let found = rows(&books(false), "benford.sql", &["table=invoices"], 0);
    let expected = ["1 | 1 | 0.3010", "2 | 1 | 0.1761", "3 | 1 | 0.1249", "4 | 1 | 0.0969", "5 | 1 | 0.0792"];
    let padded = |row: &String| {
        let (head, share) = row.rsplit_once(" | ").unwrap();
        format!("{head} | {:.4}", share.parse::<f64>().unwrap())
    };
    let lines: Vec<String> = only(&found, &[0, 1, 3]).iter().map(padded).collect();
    assert_eq!(lines[..5], expected);
    assert_eq!(only(&found, &[0, 1])[5..], ["7 | 1", "9 | 1"]);
}

#[test]
fn every_query_runs_on_the_shipped_sample() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for query in [
        "trial-balance.sql",
        "period-end-balances.sql",
        "aged-items.sql",
        "cut-off.sql",
        "late-postings.sql",
        "journal-entry-tests.sql",
        "after-close.sql",
        "benford.sql",
    ] {
        let path = queries().join(query);
        let output =
            run_in(root, &["query", "data", "--as-of", "2025-09-30", path.to_str().unwrap(), "--json"]);
        assert!(matches!(output.status, 0 | 1), "{query}: {}", output.stderr);
        // Every entry of the sample was committed on the side of its own date.
        let is_empty = rows_of(&output, output.status).is_empty();
        assert_eq!(is_empty, query == "cut-off.sql", "{query}: {}", output.stdout);
    }
}
