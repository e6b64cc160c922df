//! Honest packages, whatever their types and formats: `asof check` and the package's own
//! `verify.py` both find them sound.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use serde_json::Value;

use crate::harness::{Folder, Output};
use crate::table;

const PLAN: &str = "\
[datasets.t]
key = [\"id\"]
current = { path = \"CURRENT\", at = \"2026-01-10T00:00:00Z\" }
MORE
[datasets.t.ledger]
path = \"t.ndjson\"
complete_from = \"2025-01-01T00:00:00Z\"
complete_to = \"2026-01-10T00:00:00Z\"
";

/// A current state in this file, a ledger of which nothing is undone, and a plan with these lines.
fn plan(folder: &Folder, current: &str, more: &str) {
    folder.write("t.ndjson", "");
    folder.write("plan.toml", PLAN.replace("CURRENT", current).replace("MORE", more));
}

fn parquet(columns: Vec<(&str, ArrayRef)>, more: &str) -> Folder {
    let folder = Folder::new();
    let rows = columns[0].1.len() as i64;
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_from_iter([("id", id)].into_iter().chain(columns)).unwrap();
    table::write_parquet(&folder.join("t.parquet"), &batch);
    plan(&folder, "t.parquet", more);
    folder
}

fn delimited(text: &str, more: &str) -> Folder {
    let folder = Folder::new();
    folder.write("t.csv", text);
    plan(&folder, "t.csv", more);
    folder
}

fn snapshot(folder: &Folder, more: &[&str]) -> Output {
    let fixed = ["snapshot", "plan.toml", "--as-of", "2025-06-30", "--out", "out", "--replace"];
    folder.run(&[&fixed, more].concat())
}

fn manifest(folder: &Folder) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("out/manifest.json")).unwrap()).unwrap()
}

/// What the package's own program says: its exit status and lines; `None` where it cannot run here.
fn by_itself(package: &Path) -> Option<(i32, String)> {
    let output = Command::new("python3").arg(package.join("verify.py")).output().ok()?;
    let status = output.status.code().unwrap_or(-1);
    if status == 2 {
        println!("verify.py cannot run here: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some((status, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Both programs find the package of this folder sound.
fn assert_sound(folder: &Folder, what: &str) {
    let checked = folder.run(&["check", "out"]);
    assert_eq!(checked.status, 0, "{what}: {}", checked.stdout);
    if let Some((status, text)) = by_itself(&folder.join("out")) {
        assert_eq!(status, 0, "{what}: {text}");
    }
}

const SUMMED: &str = "measures = [\"v\"]";
const GROUPED: &str = "measures = [\"v\"]\ngroup_by = [\"g\"]";

fn decimals(values: Vec<i128>, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(18, scale).unwrap())
}

/// Symptom: verify.py broke down, or found faults, where `asof check` found none. Causes: columns read that
/// no check needs, values written as Python writes them, other notations taken for numbers.
#[test]
fn packages_of_any_types_are_sound_to_both_programs() {
    let v = || ("v", decimals(vec![150, 250], 2));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("nanoseconds", Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789, 1]))),
        ("time", Arc::new(Time64NanosecondArray::from(vec![1, 2]))),
        ("far", Arc::new(TimestampMicrosecondArray::from(vec![400_000_000_000_000_000, 0]))),
        ("day", Arc::new(Date32Array::from(vec![4_000_000, 0]))),
        ("yes", Arc::new(BooleanArray::from(vec![true, false]))),
        ("small", decimals(vec![10, 0], 8)),
    ];
    for (name, array) in columns {
        let folder = parquet(vec![("g", array), v()], GROUPED);
        for flags in [&[][..], &["--format", "arrow"], &["--format", "csv"]] {
            assert_eq!(snapshot(&folder, flags).status, 0, "{name}");
            assert_sound(&folder, name);
        }
    }
    for text in ["1e3", " 5 ", "1_000", "\u{0661}", "5.", "+.5", &"9".repeat(78)] {
        let folder = parquet(vec![("v", Arc::new(StringArray::from(vec![text, "1.00"])))], SUMMED);
        assert_eq!(snapshot(&folder, &[]).status, 0);
        assert_sound(&folder, text);
    }
}

#[test]
fn a_sum_too_large_says_so_and_is_sound() {
    let large = "9".repeat(76);
    let folder = parquet(vec![("v", Arc::new(StringArray::from(vec![large; 10])))], SUMMED);
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let total = &manifest(&folder)["datasets"][0]["totals"]["measures"][0];
    assert_eq!(total["snapshot"], "not summed: more than 256 bits");
    assert_sound(&folder, "ten times 76 digits");
}

#[test]
fn delimited_packages_are_sound_to_both_programs() {
    let long = format!("id,g,v\n1,{},1.5\n2,\"a \"\"b\"\",\n\",c\",2.5\n", "a".repeat(140_000));
    let cases = [
        ("one column", "id\n1\n\n3\n", ""),
        ("long", long.replace("2,\"a \"\"b\"\",\n\",c\"", "2,\"a \"\"b\"\",\n,c\"").as_str(), GROUPED),
        ("words", "id,g,v\n1,NULL,1.5\n2,\"NULL\",2.5\n", "group_by = [\"g\"]\nmeasures = [\"v\"]"),
    ]
    .map(|(name, text, more)| (name.to_owned(), text.to_owned(), more.to_owned()));
    for (name, text, more) in cases {
        let folder = delimited(&text, &more);
        if name == "words" {
            let null = "current = { path = \"t.csv\", null = \"NULL\",";
            let plan = std::fs::read_to_string(folder.join("plan.toml")).unwrap();
            folder.write("plan.toml", plan.replace("current = { path = \"t.csv\",", null));
        }
        let output = snapshot(&folder, &["--format", "csv", "--fail-on", "never"]);
        assert_ne!(output.status, 2, "{name}: {output:?}");
        assert_sound(&folder, &name);
    }
}

/// Symptom: a package written with --csv-safe was not sound. Cause: nothing recorded that its text is escaped.
#[test]
fn a_package_of_escaped_text_is_sound_to_both_programs() {
    let text = "id,g,=v\n1,=1+1,1.50\n2,'=1+1,2.00\n3,-5,3.00\n4,+x,4.00\n";
    let folder = delimited(text, "measures = [\"=v\"]\ngroup_by = [\"g\"]");
    let output = snapshot(&folder, &["--format", "csv", "--csv-safe"]);
    assert_eq!(output.status, 0, "{output:?}");
    let written = std::fs::read_to_string(folder.join("out/t.csv")).unwrap();
    assert!(written.contains("\"'=1+1\"") && written.contains("\n3,-5,"), "{written}");
    assert_eq!(manifest(&folder)["datasets"][0]["csv_safe"], true);
    assert_sound(&folder, "escaped");
    assert_eq!(snapshot(&folder, &["--format", "csv"]).status, 0);
    assert_eq!(manifest(&folder)["datasets"][0]["csv_safe"], false);
    assert_sound(&folder, "as it is");
}

#[test]
fn what_is_called_a_signature_must_be_one() {
    let folder = parquet(vec![("v", decimals(vec![1], 2))], SUMMED);
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let place = "out/manifest.json.evil.minisig";
    folder.write(place, "anything");
    assert_eq!(folder.run(&["check", "out"]).status, 1);
    if let Some((status, text)) = by_itself(&folder.join("out")) {
        assert_eq!((status, text.contains("manifest.json.evil.minisig")), (1, true), "{text}");
    }
    std::fs::remove_file(folder.join(place)).unwrap();
    assert_eq!(folder.run(&["sign", "--new-key", "a.key"]).status, 0);
    assert_eq!(folder.run(&["sign", "out", "--key", "a.key", "--name", "A. Meyer"]).status, 0);
    assert_sound(&folder, "signed");
}

/// Symptom: two packages of a series that changed places were sound, each standing for the other's moment.
#[test]
fn packages_of_a_series_stay_in_their_places() {
    let folder = parquet(vec![("v", decimals(vec![1], 2))], SUMMED);
    let series = ["snapshot", "plan.toml", "--as-of", "2025-06..2025-09", "--out", "out"];
    assert_eq!(folder.run(&series).status, 0);
    assert_eq!(folder.run(&["check", "out"]).status, 0);
    let place = |name: &str| folder.join(format!("out/{name}"));
    std::fs::rename(place("2025-06"), folder.join("aside")).unwrap();
    std::fs::rename(place("2025-09"), place("2025-06")).unwrap();
    std::fs::rename(folder.join("aside"), place("2025-09")).unwrap();
    let output = folder.run(&["check", "out"]);
    assert_eq!(output.status, 1, "{output:?}");
    assert!(output.stdout.contains("2025-06: its manifest is that of 2025-09"), "{}", output.stdout);
    assert!(output.stdout.contains("2025-09: its manifest is that of 2025-06"), "{}", output.stdout);
}

#[test]
fn figures_of_other_moments_are_named_and_those_of_this_one_compared() {
    let reported = "measures = [\"v\"]\nreported = [{ as_of = \"2025-06-30\", rows = 77 }, { as_of = \"2025-03\", rows = 1 }]";
    let folder = parquet(vec![("v", decimals(vec![1], 2))], reported);
    let run = |when: &str| {
        folder.run(&["snapshot", "plan.toml", "--as-of", when, "--out", "out", "--replace", "--json"])
    };
    // The same cut in other words.
    for when in ["2025-06-30", "2025-06", "2025-06-30T23:59:59.999999999Z"] {
        let output = run(when);
        let document: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(document["moments"][0]["discrepancies"]["counts"]["total-mismatch"], 1, "{when}");
        let notes = document["notes"].as_array().unwrap();
        assert!(
            notes.len() == 1 && notes[0].as_str().unwrap().contains("reported as of 2025-03 ("),
            "{notes:?}"
        );
    }
    let output = run("2025-05-31");
    assert_eq!(output.status, 0, "{output:?}");
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let note = document["notes"][0].as_str().unwrap();
    assert!(note.contains("2025-06-30 (before 2025-07-01T00:00:00Z), 2025-03 ("), "{note}");
    assert_eq!(manifest(&folder)["notes"], document["notes"]);
    let html = std::fs::read_to_string(folder.join("out/report.html")).unwrap();
    assert!(html.contains("are compared with nothing, as no snapshot of this run"), "{html}");
    assert!(html.contains("<b>Everything ties.</b>"), "nothing is assumed");
}

#[test]
fn groups_of_null_and_of_the_word_are_told_apart() {
    let g: ArrayRef = Arc::new(StringArray::from(vec![Some("null"), None]));
    let folder = parquet(vec![("g", g), ("v", decimals(vec![100, 250], 2))], GROUPED);
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let totals = std::fs::read_to_string(folder.join("out/totals.csv")).unwrap();
    let lines: Vec<&str> =
        totals.lines().filter(|line| line.starts_with("t,measure,v,") && line.contains("g=")).collect();
    assert_eq!(lines.len(), 2, "{totals}");
    assert!(lines[0].contains("\"g=\"\"null\"\"\"") && lines[0].contains(",1.00,"), "{totals}");
    assert!(lines[1].contains(",g=null,") && lines[1].contains(",2.50,"), "{totals}");
    assert_sound(&folder, "null and null");
}

#[test]
fn a_column_that_provenance_would_repeat_is_refused() {
    let g: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let folder = parquet(vec![("asof_verdict", g)], "");
    let output = snapshot(&folder, &["--provenance"]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("t has a column \"asof_verdict\" of its own"), "{output:?}");
    assert!(output.stderr.contains("hint: leave out --provenance"), "{output:?}");
    assert_eq!(snapshot(&folder, &[]).status, 0);
}

#[test]
fn decimals_of_negative_scale_are_refused_as_parquet_and_exact_elsewhere() {
    let folder = Folder::new();
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("id", id), ("v", decimals(vec![12], -2))]).unwrap();
    table::write_ipc(&folder.join("t.arrow"), &batch);
    plan(&folder, "t.arrow", SUMMED);
    let output = snapshot(&folder, &[]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(
        output.stderr.contains("column \"v\" is Decimal128(18, -2), a decimal of negative scale"),
        "{output:?}"
    );
    assert!(output.stderr.contains("hint: write it as --format arrow"), "{output:?}");
    assert_eq!(snapshot(&folder, &["--format", "arrow"]).status, 0);
    assert_eq!(manifest(&folder)["datasets"][0]["totals"]["measures"][0]["snapshot"], "1200");
    assert_sound(&folder, "negative scale");
}
