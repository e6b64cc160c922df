//! `reperform.sql` of change streams: real captures at every moment of which the truth is known, small ones
//! composed here, altered packages, and what is named as not expressed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Compared, assert_agrees, reperform, snapshot};
use crate::harness::Folder;
use crate::{real, table};

/// The packages of a captured case at all its truth points.
fn captured(case: &str, ledger: &str) -> Option<(Folder, Vec<PathBuf>)> {
    let (plan, moments) = real::captured_plan(case, ledger)?;
    let folder = Folder::new();
    folder.write("plan.toml", plan);
    let packages = real::series(&folder, &["plan.toml"], &moments);
    Some((folder, packages))
}

/// Of one case, at every so-manieth moment: which datasets must be expressed, and which columns of them must not.
fn agrees((case, ledger): (&str, &str), every: usize, expressed: &[&str], not: &[&str]) {
    let Some((_folder, packages)) = captured(case, ledger) else { return };
    for package in packages.iter().step_by(every) {
        let Some((compared, left_out)) = reperform(package, "") else { return };
        assert_agrees(&compared, &format!("{case} {ledger} {}", package.display()));
        let datasets: BTreeSet<&str> = compared.iter().map(|c| c.0.as_str()).collect();
        assert_eq!(datasets, expressed.iter().copied().collect(), "{left_out:?}");
        let named: Vec<&str> = left_out.iter().map(|l| l.0.as_str()).collect();
        assert_eq!(named, not, "{left_out:?}");
    }
}

const ALL: [&str; 6] =
    ["customers", "accounts", "journal_entries", "journal_lines", "fx_ticks", "scratch_import"];

#[test]
fn it_agrees_on_wal2json() {
    let case = "postgres-wal2json-full";
    agrees((case, "ledger/wal2json_v2.ndjson.gz"), 1, &ALL, &[]);
    // Version 1 does not tell of truncates: the script finds the same contradictions.
    agrees((case, "ledger/wal2json_v1.ndjson.gz"), 3, &ALL, &[]);
}

#[test]
fn it_agrees_on_debezium() {
    let numbers = ["accounts.rate", "journal_lines.fx_amount", "journal_lines.amount_abs"];
    for (ledger, not) in [
        ("ledger/debezium_precise_noschema.ndjson.gz", &numbers[..]),
        ("ledger/debezium_precise_schema.ndjson.gz", &numbers),
        ("ledger/debezium_string_noschema_initial.ndjson.gz", &numbers[2..]),
    ] {
        agrees(("debezium-postgres", ledger), 1, &ALL, not);
    }
}

/// Where rows before a change are not recorded, the script says so and computes nothing.
#[test]
fn it_does_not_express_default_identity() {
    for (case, ledger) in [
        ("postgres-wal2json-default", "ledger/wal2json_v2.ndjson.gz"),
        ("postgres-wal2json-default", "ledger/wal2json_v1.ndjson.gz"),
        ("debezium-postgres-default", "ledger/debezium_string_noschema.ndjson.gz"),
    ] {
        let Some((_folder, packages)) = captured(case, ledger) else { return };
        let Some((compared, left_out)) = reperform(&packages[1], "") else { return };
        let whole: BTreeSet<&str> = compared.iter().map(|c| c.0.as_str()).collect();
        assert!(whole.iter().all(|dataset| *dataset == "fx_ticks"), "{case}: {whole:?}");
        assert_agrees(&compared, case);
        let reasons: BTreeMap<&str, &str> =
            left_out.iter().map(|(dataset, reason)| (dataset.as_str(), reason.as_str())).collect();
        for dataset in ["customers", "accounts", "journal_entries", "journal_lines"] {
            assert_eq!(reasons.get(dataset), Some(&"some images are not whole"), "{case}: {reasons:?}");
        }
        let head = std::fs::read_to_string(packages[1].join("reperform.sql")).unwrap();
        assert!(head.contains("-- customers: not expressed here: some images are not whole"), "{head}");
    }
}

/// Rows that differ, by dataset and what is compared.
fn differing(compared: &Compared) -> Vec<(&str, &str)> {
    compared.iter().filter(|c| (c.2, c.3) != (0, 0)).map(|c| (c.0.as_str(), c.1.as_str())).collect()
}

#[test]
fn it_disagrees_where_a_package_of_a_stream_was_altered() {
    let Some((_folder, packages)) = captured("postgres-wal2json-full", "ledger/wal2json_v2.ndjson.gz") else {
        return;
    };
    let package = &packages[6];
    for dataset in &ALL {
        let file = package.join(format!("{dataset}.parquet"));
        let rows = table::read_parquet(&file);
        table::write_parquet(&file, &rows.slice(0, rows.num_rows() - 1));
        let Some((compared, _)) = reperform(package, "") else { return };
        assert_eq!(
            differing(&compared),
            [(*dataset, "rows of the snapshot")],
            "a row of {dataset} is missing"
        );
        // The same number of rows, one of them of another moment.
        let other = table::read_parquet(&packages[3].join(format!("{dataset}.parquet")));
        let (mine, theirs) = (rows.slice(0, rows.num_rows() - 1), other.slice(0, 1));
        let mixed = arrow::compute::concat_batches(&rows.schema(), [&mine, &theirs]).unwrap();
        table::write_parquet(&file, &mixed);
        let (compared, _) = reperform(package, "").unwrap();
        assert_eq!(
            differing(&compared),
            [(*dataset, "rows of the snapshot")],
            "a row of {dataset} is another"
        );
        table::write_parquet(&file, &rows);
    }
    // A cell that is in doubt is no longer said to be.
    let verdicts = package.join("verdicts.parquet");
    let all = table::read_parquet(&verdicts);
    let columns = table::column(&all, "column");
    let doubtful = columns.iter().position(Option::is_some).unwrap();
    let without = arrow::compute::concat_batches(
        &all.schema(),
        [&all.slice(0, doubtful), &all.slice(doubtful + 1, all.num_rows() - doubtful - 1)],
    );
    table::write_parquet(&verdicts, &without.unwrap());
    let (compared, _) = reperform(package, "").unwrap();
    assert_eq!(differing(&compared).len(), 1, "{compared:?}");
    assert_eq!(differing(&compared)[0].1, "cells that are not exact");
}

/// One change of a Debezium topic as PostgreSQL's connector writes it.
fn event(lsn: u32, op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.0.0.Final","connector":"postgresql","name":"s","ts_ms":{ms},"snapshot":"false","db":"d","sequence":"[\"{last}\",\"{lsn}\"]","schema":"public","table":"t","txId":{lsn},"lsn":{lsn}}},"op":"{op}","ts_ms":1}}"#,
        ms = 1_738_368_000_000_u64 + u64::from(lsn) * 86_400_000,
        last = lsn - 1,
    ) + "\n"
}

fn plan(folder: &Folder, ledger: &str, key: &str, current: &str) {
    folder.write(ledger, "");
    folder.write(
        "plan.toml",
        format!(
            "[datasets.t]\nkey = [{key}]\n[datasets.t.current]\npath = {current:?}\n[datasets.t.ledger]\npath = {ledger:?}\n\
             complete_from = \"2025-01-01T00:00:00Z\"\ncomplete_to = \"2025-12-31T00:00:00Z\"\n"
        ),
    );
}

/// Large values that an update leaves out, numbers that no float holds, bytes and lists.
#[test]
fn it_agrees_on_unchanged_values_and_wide_numbers() {
    let folder = Folder::new();
    plan(&folder, "log.ndjson", "\"id\"", "now.parquet");
    let (schema, _) = table::parse_header("*id int64 | amount decimal(38,2) | long text | photo binary");
    let rows = [
        "1 | 123456789012345678901234567890123456.78 | stays | 00ff10",
        "2 | -0.05 | \"\" | ",
        "3 | 1.00 | new | aa",
    ];
    table::write_parquet(&folder.join("now.parquet"), &table::parse_rows(&schema, &rows.map(str::to_owned)));
    let row = |id: u32, amount: &str, long: &str, photo: &str| {
        format!(r#"{{"id":{id},"amount":"{amount}","long":"{long}","photo":"{photo}"}}"#)
    };
    let unavailable = "__debezium_unavailable_value";
    let wide = "123456789012345678901234567890123456.77";
    let log = [
        event(
            1,
            "u",
            &row(1, wide, "stays", "AP8Q"),
            &row(1, "123456789012345678901234567890123456.78", unavailable, "AP8Q"),
        ),
        event(2, "d", &row(4, "-99999999999999999999999999999999.01", "gone \\\"5, 6\\\"", "ESI="), "null"),
        event(3, "c", "null", &row(3, "1.00", "new", "qg==")),
    ];
    folder.write("log.ndjson", log.concat());
    for day in ["2025-02-01", "2025-02-02", "2025-02-03", "2025-02-04"] {
        let package = snapshot(&folder, &folder.join("plan.toml"), day);
        let Some((compared, left_out)) = reperform(&package, "") else { return };
        assert!(left_out.is_empty(), "{left_out:?}");
        assert_eq!(compared.len(), 5, "{compared:?}");
        assert_agrees(&compared, day);
    }
}

/// Records that are delivered again are dropped; with other content they are named, as the first stands.
#[test]
fn it_agrees_on_records_that_are_delivered_again() {
    let folder = Folder::new();
    plan(&folder, "log.ndjson", "\"id\"", "now.csv");
    folder.write("now.csv", "id,v\n1,c\n");
    let row = |v: &str| format!(r#"{{"id":1,"v":"{v}"}}"#);
    let [first, second] = [event(1, "u", &row("a"), &row("b")), event(2, "u", &row("b"), &row("c"))];
    let other = event(1, "u", &row("a"), &row("x"));
    for (log, expressed) in [
        ([&first, &second, &first, &second], true),
        ([&first, &first, &second, &first], true),
        ([&first, &second, &other, &second], false),
    ] {
        folder.write("log.ndjson", log.map(String::as_str).concat());
        for day in ["2025-02-01", "2025-02-02", "2025-02-03"] {
            let package = snapshot(&folder, &folder.join("plan.toml"), day);
            let Some((compared, left_out)) = reperform(&package, "") else { return };
            assert_eq!(compared.len(), if expressed { 5 } else { 0 }, "{left_out:?}");
            assert_agrees(&compared, day);
            let reason = "its ledger repeats positions with other content";
            assert!(expressed || left_out[0].1 == reason, "{left_out:?}");
        }
    }
}

/// What a truncate ended comes back from the records before it, as exact as it is known which rows stood.
#[test]
fn it_agrees_where_a_table_was_truncated() {
    let folder = Folder::new();
    plan(&folder, "log.ndjson", "\"id\"", "now.csv");
    let unproven = std::fs::read_to_string(folder.join("plan.toml")).unwrap();
    folder.write("now.csv", "id,v\n3,z\n");
    let row = |id: u32, v: &str| format!(r#"{{"id":{id},"v":"{v}"}}"#);
    let log = [
        event(1, "c", "null", &row(1, "a")),
        event(2, "c", "null", &row(2, "x")),
        event(3, "u", &row(1, "a"), &row(1, "b")),
        event(4, "u", &row(2, "x"), &row(5, "y")),
        event(5, "t", "null", "null"),
        event(6, "c", "null", &row(1, "n")),
        event(7, "t", "null", "null"),
        event(8, "c", "null", &row(1, "o")),
        event(9, "d", &row(1, "o"), "null"),
        event(10, "c", "null", &row(3, "z")),
    ];
    folder.write("log.ndjson", log.concat());
    for from_birth in ["", "from_birth = true\n"] {
        folder.write("plan.toml", format!("{unproven}{from_birth}"));
        for day in 1..12 {
            let package = snapshot(&folder, &folder.join("plan.toml"), &format!("2025-02-{day:02}"));
            let Some((compared, left_out)) = reperform(&package, "") else { return };
            assert!(left_out.is_empty(), "{left_out:?}");
            assert_eq!(compared.len(), 5, "{compared:?}");
            assert_agrees(&compared, &format!("{day} {from_birth}"));
        }
    }
}

/// Records in another wrapping are named, not misread.
#[test]
fn it_does_not_express_records_in_other_wrappings() {
    let folder = Folder::new();
    plan(&folder, "log.ndjson", "\"id\"", "now.csv");
    folder.write("now.csv", "id,v\n1,b\n");
    let bare = event(1, "u", r#"{"id":1,"v":"a"}"#, r#"{"id":1,"v":"b"}"#);
    let quoted = serde_json::Value::from(bare.trim()).to_string();
    for (records, expressed) in [
        (bare.clone(), true),
        (format!("{{\"topic\":\"s.public.t\",\"key\":null,\"value\":{}}}\n", bare.trim()), true),
        (format!("{{\"schema\":null,\"payload\":{}}}\n", bare.trim()), true),
        (format!("{{\"topic\":\"s.public.t\",\"payload\":{quoted}}}\n"), false),
        (format!("{{\"id\":1}}\t{bare}"), false),
        (format!("[{}]\n", bare.trim()), false),
    ] {
        folder.write("log.ndjson", &records);
        let package = snapshot(&folder, &folder.join("plan.toml"), "2025-02-01");
        let Some((compared, left_out)) = reperform(&package, "") else { return };
        assert_eq!(!compared.is_empty(), expressed, "{records}: {left_out:?}");
        assert_agrees(&compared, &records);
        assert!(expressed || left_out[0].1.contains("wrapped"), "{left_out:?}");
    }
}

/// A ledger that lies about existence: the earliest undone record decides, and the script follows.
#[test]
fn it_agrees_where_a_stream_contradicts_itself() {
    let folder = Folder::new();
    plan(&folder, "log.ndjson", "\"id\"", "now.csv");
    folder.write("now.csv", "id,v\n1,b\n3,x\n");
    let row = |id: u32, v: &str| format!(r#"{{"id":{id},"v":"{v}"}}"#);
    let log = [
        event(1, "c", "null", &row(1, "a")),
        event(2, "c", "null", &row(2, "a")),
        event(3, "c", "null", &row(1, "b")),
        event(4, "u", &row(2, "a"), &row(2, "c")),
        event(5, "d", &row(4, "z"), "null"),
        event(6, "u", &row(4, "z"), &row(4, "y")),
    ];
    folder.write("log.ndjson", log.concat());
    for day in 1..8 {
        let package = snapshot(&folder, &folder.join("plan.toml"), &format!("2025-02-{day:02}"));
        let Some((compared, left_out)) = reperform(&package, "") else { return };
        assert!(left_out.is_empty(), "{left_out:?}");
        assert_agrees(&compared, &day.to_string());
    }
}
