//! What a person opens: `report.html` and `workbook.xlsx`.

use std::fmt::Write as _;
use std::io::Read as _;

use crate::harness::{Folder, Output};
use crate::table;

const PLAN: &str = "\
name = \"<script>alert('plan')</script>\"
[datasets.items]
key = [\"id\"]
measures = [\"qty\"]
group_by = [\"city\"]
materiality = \"5\"
current = { path = \"items.csv\", at = \"2026-01-05T00:00:00Z\" }
[datasets.items.ledger]
path = \"items.ndjson\"
complete_from = \"2025-01-01T00:00:00Z\"
complete_to = \"2026-01-05T00:00:00Z\"
";

/// Rows `id,city,qty` now, and an insert of each row of the ledger, the second half after the as-of.
fn folder(current: &[(u32, &str, i64)], ledger: &[(u32, &str, i64)]) -> Folder {
    let folder = Folder::new();
    let mut csv = "id,city,qty\n".to_owned();
    for (id, city, qty) in current {
        writeln!(csv, "{id},\"{}\",{qty}", city.replace('"', "\"\"")).unwrap();
    }
    let mut lines = String::new();
    for (number, (id, city, qty)) in ledger.iter().enumerate() {
        let at = if number * 2 < ledger.len() { "2025-03-01T10:00:00Z" } else { "2026-01-03T10:00:00Z" };
        let record = serde_json::json!({
            "seq": number + 1, "op": "I", "committed_at": at, "actor": "<img src=x onerror=alert(1)>",
            "before": null, "after": { "id": id, "city": city, "qty": qty },
        });
        writeln!(lines, "{record}").unwrap();
    }
    folder.write("items.csv", csv);
    folder.write("items.ndjson", lines);
    folder.write("plan.toml", PLAN);
    folder
}

fn snapshot(folder: &Folder, more: &[&str]) -> Output {
    let fixed = ["snapshot", "plan.toml", "--as-of", "2025-12-31", "--out", "out", "--replace"];
    folder.run(&[&fixed, more].concat())
}

fn report(folder: &Folder) -> String {
    std::fs::read_to_string(folder.join("out/report.html")).unwrap()
}

/// A part of a workbook.
fn part(folder: &Folder, name: &str) -> String {
    let file = std::fs::File::open(folder.join("out/workbook.xlsx")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

const HOSTILE: &str = "<script>alert(\"cell\")</script>";

#[test]
fn hostile_names_are_text() {
    let folder = folder(&[(1, HOSTILE, 7), (2, "=1+1", 9)], &[(1, HOSTILE, 7), (2, "=cmd()", 2)]);
    assert_eq!(snapshot(&folder, &[]).status, 1);
    let html = report(&folder);
    for markup in ["<script", "<img", "<iframe", "onload=", "javascript:"] {
        assert!(!html.contains(markup), "{markup} in the page");
    }
    assert!(
        html.contains("&lt;script&gt;alert(&#39;plan&#39;)&lt;/script&gt;"),
        "the name of the plan is shown"
    );
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"), "the actor of the finding is shown");
    let addresses: Vec<&str> = html.match_indices("://").map(|(at, _)| &html[at - 4..at + 22]).collect();
    assert!(addresses.iter().all(|a| *a == "http://www.w3.org/2000/svg"), "nothing is loaded: {addresses:?}");
    assert!(html.contains("default-src 'none'"), "nor could it be");
}

#[test]
fn a_page_says_first_whether_it_ties_and_then_why_not() {
    let clean = folder(&[(1, "A", 7), (2, "B", 9)], &[(1, "A", 7), (2, "B", 9)]);
    assert_eq!(snapshot(&clean, &[]).status, 0);
    let html = report(&clean);
    assert!(html.contains("<div class=\"verdict good\"><b>Everything ties.</b>"), "{html}");
    assert!(html.contains("Discrepancies</h2>\n<p>None.</p>"));
    assert!(html.contains("<span class=\"ok\">yes</span>"));
    let wrong = folder(&[(1, "A", 7), (2, "B", 9)], &[(1, "A", 7), (2, "B", 2)]);
    assert_eq!(snapshot(&wrong, &[]).status, 1);
    let html = report(&wrong);
    assert!(html.contains("<div class=\"verdict bad\"><b>One thing does not tie.</b>"), "{html}");
    let verdict = html.find("One thing does not tie").unwrap();
    let order: Vec<usize> = [
        "Control totals</h2>",
        "Differences between",
        "Discrepancies</h2>",
        "<svg",
        "What was not proven",
        "SHA-256",
        "The plan</h2>",
    ]
    .iter()
    .map(|part| html.find(part).unwrap_or_else(|| panic!("{part} is missing")))
    .collect();
    assert!(verdict < order[0] && order.is_sorted(), "{order:?}");
    assert!(
        html.contains("<td class=\"n\">9</td><td class=\"n\">16</td><td class=\"n\">7</td>"),
        "9 + 7 = 16"
    );
    assert!(html.contains("1 finding, 1 material"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(wrong.join("out/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["differences"][0]["equation"], "16 − 9 = 7");
    let sha256 = manifest["datasets"][0]["ledger"]["files"][0]["sha256"].as_str().unwrap();
    assert!(html.contains(sha256), "the digest of the ledger");
}

#[test]
fn of_very_many_findings_the_page_lists_the_largest_and_names_the_file() {
    let many: Vec<(u32, &str, i64)> = (0..1500).map(|id| (id, "A", i64::from(id))).collect();
    let other: Vec<(u32, &str, i64)> = (0..1500).map(|id| (id, "A", 0)).collect();
    let folder = folder(&many, &other);
    let output = snapshot(&folder, &["--json"]);
    assert_eq!(output.status, 1);
    let html = report(&folder);
    assert_eq!(html.matches("<div class=\"finding error\">").count(), 200);
    assert!(html.contains("The 200 gravest and largest of 1,499; discrepancies.csv and .parquet have all."));
    let first = html.find("<div class=\"finding").unwrap();
    assert!(
        html[first..first + 400].contains("id=1499"),
        "the largest of all comes first: {}",
        &html[first..first + 400]
    );
    let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let found = &document["moments"][0]["discrepancies"];
    assert_eq!(found["material"], 1495, "of 5 and more");
    let explained = &found["differences"][0];
    assert_eq!(explained["difference"], (1499 * 1500 / 2).to_string());
    assert_eq!(explained["causes"][0]["amount"], explained["difference"]);
    assert_eq!(explained["causes"][0]["material"], 1495);
}

#[test]
fn a_workbook_recomputes_and_runs_nothing() {
    let folder = folder(&[(1, "=1+1", 7), (2, "B", 1_234_567_890_123_456)], &[(1, "=1+1", 7), (2, "B", 2)]);
    assert_eq!(snapshot(&folder, &[]).status, 1);
    let names = part(&folder, "xl/workbook.xml");
    for name in ["Cover", "Totals", "Movements", "Differences", "Discrepancies", "items"] {
        assert!(names.contains(&format!("name=\"{name}\"")), "{names}");
    }
    let table = part(&folder, "xl/worksheets/sheet6.xml");
    assert!(!table.contains("<f>"), "no cell of data is a formula");
    assert!(table.contains("<t>=1+1</t>"), "{table}");
    assert!(table.contains("<v>7</v>"), "numbers are numbers");
    let totals = part(&folder, "xl/worksheets/sheet2.xml");
    assert!(totals.contains("<f>ROUND(C2-D2+E2+F2,0)</f><v>1</v>"), "{totals}");
    assert!(totals.contains("<f>ROUND(H2-G2,0)</f><v>0</v>"), "{totals}");
    assert!(totals.contains("ROWS('items'!A2:A2)-G2"), "{totals}");
    let shared = part(&folder, "xl/sharedStrings.xml");
    assert!(shared.contains("<t>1234567890123463</t>"), "16 digits stay text: {shared}");
    let before = std::fs::read(folder.join("out/workbook.xlsx")).unwrap();
    assert_eq!(snapshot(&folder, &[]).status, 1);
    assert_eq!(std::fs::read(folder.join("out/workbook.xlsx")).unwrap(), before, "same bytes again");
}

#[test]
fn a_table_too_long_for_the_workbook_is_named_and_not_cut() {
    let rows: Vec<(u32, &str, i64)> = (0..8).map(|id| (id, "A", 1)).collect();
    let folder = folder(&rows, &rows);
    assert_eq!(snapshot(&folder, &["--workbook-rows", "3"]).status, 0);
    let table = part(&folder, "xl/worksheets/sheet6.xml");
    assert_eq!(table.matches("<row ").count(), 1, "{table}");
    assert!(table.contains("items.parquet beside this workbook has all of them"), "{table}");
    let other = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-12-31", "--out", "one.xlsx"]);
    assert_eq!(other.status, 0, "{other:?}");
    let file = std::fs::File::open(folder.join("one.xlsx")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut text = String::new();
    archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("<row ").count(), 5, "the head and four rows");
}

/// Symptom: recalculated, the workbook said that its own totals do not foot. Causes: cells written as text,
/// which SUM leaves out, and sums of very many hundredths, which drift.
#[test]
fn a_workbook_adds_up_only_what_a_spreadsheet_adds_exactly() {
    let folder = Folder::new();
    let (schema, _) = table::parse_header(
        "*id int64 | big decimal(20,2) | text text | money decimal(12,2) | whole int64 | huge int64",
    );
    let rows = [
        "1 | 1234567890123456.78  | 1.50 | 98765432.19 | 1 | 999999999999999",
        "2 | -1234567890123450.00 | 2.25 | null        | 2 | 999999999999999",
        "3 | 5.00                 | 3.00 | -0.01       | 3 | 999999999999999",
    ];
    table::write_parquet(
        &folder.join("items.parquet"),
        &table::parse_rows(&schema, &rows.map(str::to_owned)),
    );
    folder.write("items.ndjson", "");
    let measures = "measures = [\"big\", \"text\", \"money\", \"whole\", \"huge\"]";
    folder.write(
        "plan.toml",
        PLAN.replace("items.csv", "items.parquet")
            .replace("measures = [\"qty\"]", measures)
            .replace("group_by = [\"city\"]\nmateriality = \"5\"\n", ""),
    );
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let totals = part(&folder, "xl/worksheets/sheet2.xml");
    let formulas: Vec<&str> = totals
        .split("<c r=\"J")
        .skip(1)
        .filter_map(|cell| cell.split("</c>").next()?.split("<f>").nth(1)?.split("</f>").next())
        .collect();
    let expected = [
        "ROUND(ROWS('items'!A2:A4)-G2,0)",
        "ROUND(SUMPRODUCT(ROUND('items'!D2:D4*100,0))/100-G5,2)",
        "ROUND(SUM('items'!E2:E4)-G6,0)",
    ];
    assert_eq!(formulas, expected, "neither cells of text nor sums beyond exact ones");
    let shared = part(&folder, "xl/sharedStrings.xml");
    assert!(
        shared.contains("the sheet of the table has not every value as a number: not added up"),
        "{shared}"
    );
}

#[test]
fn names_that_a_spreadsheet_cannot_take_are_cut_or_changed() {
    let rows = [(1, "A", 7)];
    let folder = folder(&rows, &rows);
    let plan =
        PLAN.replace("<script>alert('plan')</script>", &"n".repeat(40_000)).replace("items]", "history]");
    folder.write("plan.toml", plan.replace("datasets.items", "datasets.history"));
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let names = part(&folder, "xl/workbook.xml");
    assert!(names.contains("name=\"history 2\"") && !names.contains("name=\"history\""), "{names}");
    let shared = part(&folder, "xl/sharedStrings.xml");
    assert!(shared.contains("n… (cut: 40017 characters)"), "{}", &shared[..500]);
}

/// Symptom: the picture showed a ledger as complete of which records are known to be missing.
#[test]
fn the_picture_marks_where_records_are_missing() {
    let folder = Folder::new();
    folder.write("items.csv", "id,qty\n1,9\n2,4\n");
    let change = |transaction: u32, number: u32, day: &str, id: u32, before: u32, after: u32| {
        let at =
            chrono::DateTime::parse_from_rfc3339(&format!("{day}T00:00:00Z")).unwrap().timestamp_millis();
        format!(
            "{{\"before\":{{\"id\":{id},\"qty\":{before}}},\"after\":{{\"id\":{id},\"qty\":{after}}},\"source\":{{\
             \"connector\":\"postgresql\",\"name\":\"s\",\"ts_ms\":{at},\"snapshot\":\"false\",\"db\":\"d\",\
             \"sequence\":\"[null, \\\"{transaction}{number}\\\"]\",\"schema\":\"public\",\"table\":\"items\",\
             \"txId\":{transaction},\"lsn\":{transaction}{number}}},\"op\":\"u\",\"ts_ms\":{at},\
             \"transaction\":{{\"id\":\"{transaction}:{number}\",\"total_order\":{number},\"data_collection_order\":{number}}}}}\n"
        )
    };
    let end = |transaction: u32, count: u32| {
        format!(
            "{{\"status\":\"END\",\"id\":\"{transaction}:9\",\"event_count\":{count},\"data_collections\":\
             [{{\"data_collection\":\"public.items\",\"event_count\":{count}}}],\"ts_ms\":1}}\n"
        )
    };
    let ledger = |lost: bool| {
        let second = if lost { String::new() } else { change(8, 2, "2025-06-15", 2, 3, 4) };
        [
            change(7, 1, "2025-03-01", 1, 5, 8),
            end(7, 1),
            change(8, 1, "2025-06-15", 1, 8, 9),
            second,
            end(8, 2),
        ]
        .concat()
    };
    folder.write("plan.toml", PLAN.replace("group_by = [\"city\"]\n", ""));
    for lost in [false, true] {
        folder.write("items.ndjson", ledger(lost));
        assert_eq!(snapshot(&folder, &[]).status, i32::from(lost));
        let html = report(&folder);
        assert_eq!(html.contains("Records of 1 transaction are missing"), lost, "{html}");
        // One mark in the cover, one in the legend, in their own colour.
        assert_eq!(html.matches("#7A1F5C").count(), if lost { 2 } else { 0 }, "{html}");
    }
}
