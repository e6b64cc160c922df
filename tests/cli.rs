//! The command line: its help, its exit statuses, and that it is wired to the library.
//!
//! What the library computes is tested by the cases; here only that the right
//! thing reaches the terminal, and that a failed run leaves nothing behind.

use std::process::{Command, Stdio};

use crate::harness::{Folder, Output};
use crate::table;

/// Two rows, one changed on the 5th. With `broken` the current state was edited past the log.
fn folder(broken: bool) -> Folder {
    let folder = Folder::new();
    let (schema, _) = table::parse_header("*id int64 | qty int64");
    let rows = [if broken { "1 | 1000" } else { "1 | 9" }.to_owned(), "2 | 7".to_owned()];
    table::write_parquet(&folder.join("items.parquet"), &table::parse_rows(&schema, &rows));
    folder.write(
        "items.ndjson",
        concat!(
            r#"{"seq":1,"txid":"a","committed_at":"2025-01-03T00:00:00Z","op":"I","before":null,"after":{"id":2,"qty":7}}"#,
            "\n",
            r#"{"seq":2,"txid":"b","committed_at":"2025-01-05T00:00:00Z","op":"U","before":{"id":1,"qty":5},"after":{"id":1,"qty":9}}"#,
            "\n",
        ),
    );
    folder.write(
        "plan.toml",
        concat!(
            "[datasets.items]\nkey = [\"id\"]\nmeasures = [\"qty\"]\n",
            "current = { path = \"items.parquet\", at = \"2025-02-01T00:00:00Z\" }\n",
            "[datasets.items.ledger]\npath = \"items.ndjson\"\n",
            "complete_from = \"2025-01-01T00:00:00Z\"\ncomplete_to = \"2025-02-01T00:00:00Z\"\n",
        ),
    );
    folder
}

fn snapshot(folder: &Folder, more: &[&str]) -> Output {
    let mut arguments = vec!["snapshot", "plan.toml", "--as-of", "2025-01-04", "--out", "out"];
    arguments.extend(more);
    folder.run(&arguments)
}

#[test]
fn help_of_all_commands() {
    let folder = Folder::new();
    let mut all = String::new();
    for command in [
        "", "snapshot", "verify", "explain", "inspect", "init", "history", "bridge", "query", "undo",
        "drill", "check", "sign", "demo",
    ] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|a| !a.is_empty()).collect();
        let output = folder.run(&arguments);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "help of {command:?}");
        all += &format!("───── asof {command}\n{}\n", output.stdout);
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn clean_is_zero_and_leaves_a_whole_package() {
    let folder = folder(false);
    let output = snapshot(&folder, &[]);
    assert_eq!(output.status, 0, "{output:?}");
    let files = [
        "discrepancies.csv",
        "discrepancies.parquet",
        "items.parquet",
        "manifest.json",
        "report.html",
        "verdicts.parquet",
        "workbook.xlsx",
    ];
    for file in files {
        assert!(folder.join("out").join(file).is_file(), "{file} is missing");
    }
    assert_eq!(folder.names(), ["items.ndjson", "items.parquet", "out", "plan.toml"], "nothing else is left");
}

#[test]
fn discrepancies_are_one_as_far_as_asked() {
    let folder = folder(true);
    for (flags, status) in [
        (&[][..], 1),
        (&["--fail-on", "error"], 1),
        (&["--fail-on", "info"], 1),
        (&["--fail-on", "never"], 0),
    ] {
        let all: Vec<&str> = flags.iter().copied().chain(["--replace"]).collect();
        assert_eq!(snapshot(&folder, &all).status, status, "{flags:?}");
        assert!(folder.join("out/items.parquet").is_file(), "{flags:?}");
    }
    assert_eq!(folder.run(&["verify", "plan.toml"]).status, 1);
}

#[test]
fn what_cannot_run_is_two_and_leaves_nothing() {
    let folder = folder(false);
    let runs: [(&[&str], &str); 5] = [
        (&["snapshot", "plan.toml", "--as-of", "2024-06-30", "--out", "out"], "2025-01-01"),
        (&["snapshot", "plan.toml", "--as-of", "2025-13", "--out", "out"], "2025-13"),
        (&["snapshot", "plam.toml", "--as-of", "2025-01-04", "--out", "out"], "plam.toml"),
        (&["snapshot", "plan.toml", "--as-of", "2025-01-04", "--oot", "out"], "--out"),
        (&["inspect", "nothing.parquet"], "nothing.parquet"),
    ];
    for (arguments, says) in runs {
        let output = folder.run(arguments);
        assert_eq!(output.status, 2, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(says), "{arguments:?} does not say {says:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{arguments:?}");
        assert_eq!(folder.names(), ["items.ndjson", "items.parquet", "plan.toml"], "{arguments:?}");
    }
}

#[test]
fn a_typo_in_the_plan_names_its_place_and_the_nearest_key() {
    let folder = folder(false);
    let plan = std::fs::read_to_string(folder.join("plan.toml")).unwrap();
    folder.write("plan.toml", plan.replace("measures", "mesures"));
    let output = snapshot(&folder, &[]);
    assert_eq!(output.status, 2);
    insta::assert_snapshot!(output.stderr, @r#"
    error: plan.toml:3:1: unknown key "mesures" in datasets.items
    hint: did you mean measures?
    "#);
}

#[test]
fn an_existing_output_stays_unless_replaced() {
    let folder = folder(false);
    folder.write("out/mine.txt", "keep");
    let output = snapshot(&folder, &[]);
    assert_eq!(output.status, 2);
    insta::assert_snapshot!(output.stderr, @r"
    error: out: already exists
    hint: use --replace to overwrite it, or name another --out
    ");
    assert_eq!(std::fs::read_to_string(folder.join("out/mine.txt")).unwrap(), "keep");
}

#[test]
fn a_series_is_one_folder_per_moment() {
    let folder = folder(false);
    let output = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-01-03,2025-01-05", "--out", "out"]);
    assert_eq!(output.status, 0, "{output:?}");
    let rows =
        |day: &str| table::texts(&table::read_parquet(&folder.join(format!("out/{day}/items.parquet"))));
    let show = |rows: Vec<Vec<table::Cell>>| rows.iter().map(|r| table::show_row(r)).collect::<Vec<_>>();
    assert_eq!(show(rows("2025-01-03")), ["1 | 5", "2 | 7"]);
    assert_eq!(show(rows("2025-01-05")), ["1 | 9", "2 | 7"]);
}

#[test]
fn a_series_of_files_is_one_per_moment_and_all_or_none() {
    let folder = folder(false);
    let run = |more: &[&str]| {
        let mut all = vec!["snapshot", "plan.toml", "--as-of", "2025-01-03,2025-01-05"];
        all.extend(more);
        folder.run(&all)
    };
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let one = run(&["--out", "items.csv"]);
    assert_eq!(one.status, 2);
    assert!(one.stderr.contains("2 moments") && one.stderr.contains("{moment}"), "{}", one.stderr);
    assert_eq!(run(&["--out", "then/of-{moment}.csv"]).status, 0);
    let of_both = ["id,qty\n1,5\n2,7\n", "id,qty\n1,9\n2,7\n"];
    assert_eq!([text("then/of-2025-01-03.csv"), text("then/of-2025-01-05.csv")], of_both);
    // One of the places is taken: neither is written.
    std::fs::remove_file(folder.join("then/of-2025-01-03.csv")).unwrap();
    std::fs::write(folder.join("then/of-2025-01-05.csv"), "other").unwrap();
    assert_eq!(run(&["--out", "then/of-{moment}.csv"]).status, 2);
    let names = || {
        let entries = std::fs::read_dir(folder.join("then")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(), text("then/of-2025-01-05.csv")),
        (vec!["of-2025-01-05.csv".to_owned()], "other".into())
    );
    assert_eq!(run(&["--out", "then/of-{moment}.csv", "--replace"]).status, 0);
    assert_eq!([text("then/of-2025-01-03.csv"), text("then/of-2025-01-05.csv")], of_both);
    assert_eq!(names(), ["of-2025-01-03.csv", "of-2025-01-05.csv"]);
    // What stands in the way of the second is no file: the first is what it was.
    std::fs::remove_file(folder.join("then/of-2025-01-05.csv")).unwrap();
    std::fs::write(folder.join("then/of-2025-01-03.csv"), "mine").unwrap();
    std::fs::create_dir(folder.join("then/of-2025-01-05.csv")).unwrap();
    assert_eq!(run(&["--out", "then/of-{moment}.csv", "--replace"]).status, 2);
    assert_eq!(text("then/of-2025-01-03.csv"), "mine");
}

#[test]
fn one_file_is_just_the_snapshot() {
    let folder = folder(false);
    let arguments = [
        "snapshot",
        "--current",
        "items.parquet",
        "--ledger",
        "items.ndjson",
        "--key",
        "id",
        "--as-of",
        "2025-01-04",
    ];
    let run = |file: &str| {
        let mut all = arguments.to_vec();
        all.extend(["--out", file]);
        folder.run(&all)
    };
    assert_eq!(run("then.csv").status, 0);
    assert_eq!(std::fs::read_to_string(folder.join("then.csv")).unwrap(), "id,qty\n1,5\n2,7\n");
    assert_eq!(run("then.parquet").status, 0);
    assert_eq!(table::read_parquet(&folder.join("then.parquet")).num_rows(), 2);
}

#[test]
fn json_is_json_and_quiet_is_quiet() {
    let folder = folder(false);
    let output = snapshot(&folder, &["--json"]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(serde_json::from_str::<serde_json::Value>(&output.stdout).is_ok(), "{}", output.stdout);
    for command in
        [&["verify", "plan.toml", "--json"][..], &["explain", "plan.toml", "--as-of", "2025-01-04", "--json"]]
    {
        let output = folder.run(command);
        assert_eq!(output.status, 0, "{command:?}: {output:?}");
        assert!(serde_json::from_str::<serde_json::Value>(&output.stdout).is_ok(), "{}", output.stdout);
    }
    let output = snapshot(&folder, &["--quiet", "--replace"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
}

#[test]
fn without_verification_the_manifest_says_so() {
    let folder = folder(true);
    assert_eq!(snapshot(&folder, &["--no-verify"]).status, 0);
    let manifest = std::fs::read_to_string(folder.join("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert!(manifest.to_string().contains("\"verified\":false"), "{manifest:#}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = folder(false);
    let mut child = Command::new(env!("CARGO_BIN_EXE_asof"))
        .args(["snapshot", "--help"])
        .current_dir(folder.path())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_ne!(output.status.code(), Some(101), "a panic");
}

#[test]
fn the_demo_runs() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["demo", "sample"]).status, 0);
    let output = folder.run(&["snapshot", "sample", "--as-of", "2025-09-30", "--out", "out"]);
    assert_eq!(output.status, 1, "the sample has planted discrepancies: {output:?}");
}

#[test]
fn the_manifest_has_all_that_a_run_rests_on() {
    let folder = folder(true);
    assert_eq!(snapshot(&folder, &[]).status, 1);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&read("out/manifest.json")).unwrap();
    assert_eq!(manifest["asof"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["plan"]["text"].as_str().unwrap().as_bytes(), read("plan.toml"));
    assert_eq!(manifest["as_of"]["asked"], "2025-01-04");
    assert_eq!(manifest["as_of"]["resolved"], "before 2025-01-05T00:00:00Z");
    assert_eq!(manifest["verified"], true);
    assert_eq!(manifest["assumptions"], serde_json::json!([]), "all is declared");
    let dataset = &manifest["datasets"][0];
    for (input, name) in
        [(&dataset["current"][0], "items.parquet"), (&dataset["ledger"]["files"][0], "items.ndjson")]
    {
        assert_eq!(input["path"], name);
        assert_eq!(input["bytes"], read(name).len());
        assert_eq!(input["sha256"], sha256(&read(name)), "{name}");
    }
    assert_eq!(dataset["ledger"]["window"]["from"], "2025-01-01T00:00:00Z");
    let totals = &dataset["totals"];
    assert_eq!(totals["rows"]["equation"], "2 − 0 + 0 = 2");
    assert_eq!(totals["undone"], serde_json::json!({ "update": 1 }));
    assert_eq!(totals["measures"][0]["equation"], "1007 − 0 + 0 − 995 = 12");
    assert_eq!(manifest["discrepancies"]["current-differs"], serde_json::json!({ "open": 1, "accepted": 0 }));
    let outputs = manifest["outputs"].as_object().unwrap();
    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    let expected = [
        "discrepancies.csv",
        "discrepancies.parquet",
        "items.parquet",
        "reperform.sql",
        "report.html",
        "totals.csv",
        "totals.parquet",
        "verdicts.parquet",
        "verify.py",
        "workbook.xlsx",
    ];
    assert_eq!(names, expected);
    for (name, output) in outputs {
        assert_eq!(output["sha256"], sha256(&read(&format!("out/{name}"))), "{name}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// `added` begins on the 5th: every event of Debezium has all columns of its table.
#[test]
fn the_schema_at_the_date_has_no_column_that_was_not_there_yet() {
    let folder = Folder::new();
    let (schema, _) = table::parse_header("*id int64 | qty int64 | added text");
    let rows = ["1 | 9 | x".to_owned(), "2 | 4 | new".to_owned()];
    table::write_parquet(&folder.join("t.parquet"), &table::parse_rows(&schema, &rows));
    let event = |before: &str, after: &str, at: &str, lsn: u64, last: &str| {
        let millis = asof::model::time::parse_instant(at, None).unwrap() / 1_000_000;
        format!(
            "{{\"before\":{before},\"after\":{after},\"source\":{{\"connector\":\"postgresql\",\"name\":\"s\",\
             \"ts_ms\":{millis},\"snapshot\":\"false\",\"db\":\"d\",\"sequence\":\"[{last}, \\\"{lsn}\\\"]\",\
             \"schema\":\"public\",\"table\":\"t\",\"txId\":{lsn},\"lsn\":{lsn}}},\"op\":\"u\",\"ts_ms\":{millis}}}\n"
        )
    };
    let first = event(r#"{"id":1,"qty":4}"#, r#"{"id":1,"qty":5}"#, "2025-01-03T00:00:00Z", 101, "null");
    let (old, new) = (r#"{"id":1,"qty":5,"added":"new"}"#, r#"{"id":1,"qty":9,"added":"x"}"#);
    let second = event(old, new, "2025-01-05T00:00:00Z", 201, "\\\"101\\\"");
    folder.write("t.ndjson", first + &second);
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\ncurrent = { path = \"t.parquet\", at = \"2025-02-01T00:00:00Z\" }\n\
         [datasets.t.ledger]\npath = \"t.ndjson\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n\
         complete_to = \"2025-02-01T00:00:00Z\"\n",
    );
    let run = |more: &[&str]| {
        let moments = "2025-01-01,2025-01-05";
        let mut all = vec!["snapshot", "plan.toml", "--as-of", moments, "--out", "out", "--replace"];
        all.extend(more);
        let output = folder.run(&all);
        assert_eq!(output.status, 0, "{output:?}");
        output.stdout
    };
    let columns = |day: &str| {
        let batch = table::read_parquet(&folder.join("out").join(day).join("t.parquet"));
        let names = batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(" ");
        (names, table::texts(&batch).iter().map(|row| table::show_row(row)).collect::<Vec<_>>())
    };
    run(&[]);
    assert_eq!(columns("2025-01-01").0, "id qty added");
    let said = run(&["--schema", "at-date"]);
    assert!(said.contains("t: left out, as not there yet: added"), "{said}");
    assert_eq!(columns("2025-01-01"), ("id qty".to_owned(), vec!["1 | 4".to_owned(), "2 | 4".to_owned()]));
    let later = vec!["1 | 9 | x".to_owned(), "2 | 4 | new".to_owned()];
    assert_eq!(columns("2025-01-05"), ("id qty added".to_owned(), later));
    let manifest = std::fs::read_to_string(folder.join("out/2025-01-01/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["schema"], "at-date");
    assert_eq!(manifest["datasets"][0]["totals"]["columns_left_out"], serde_json::json!(["added"]));
    run(&["--schema", "at-date", "--provenance"]);
    assert_eq!(columns("2025-01-01").0, "id qty asof_verdict asof_source");
    run(&["--schema", "at-date", "--format", "csv"]);
    let text = std::fs::read_to_string(folder.join("out/2025-01-01/t.csv")).unwrap();
    assert_eq!(text, "id,qty\n1,4\n2,4\n");
}

#[test]
fn the_procedure_names_inputs_changes_and_roles() {
    let folder = folder(false);
    let explain =
        ["explain", "plan.toml", "--as-of", "2025-01-04", "--format", "markdown", "--out", "procedure.md"];
    let output = folder.run(&explain);
    assert_eq!(output.status, 0, "{output:?}");
    let text = std::fs::read_to_string(folder.join("procedure.md")).unwrap();
    let digest = sha256(&std::fs::read(folder.join("items.ndjson")).unwrap());
    for part in [
        "| items | ledger | items.ndjson | ",
        &digest,
        "1 changes in 1 transactions; 1 transactions stay in force.",
        "| update | 1 |",
        "| transaction | changes |\n|---|---:|\n| b | 1 |",
        "| 2025-01-05 | 1 |",
        "None is declared in the plan.",
        "| reviewed by | | | |",
        "An estimate: about 1 s per moment, for 4 rows and changes at 1000000 per second.",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert_eq!(folder.run(&explain).status, 2, "a procedure that is there stays");
    let plain = folder.run(&["explain", "plan.toml", "--as-of", "2025-01-04", "--out", "procedure.txt"]);
    assert_eq!(plain.status, 2, "only a procedure is written: {plain:?}");
}
