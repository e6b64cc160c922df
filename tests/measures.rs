//! Measures that are no exact decimals, and what a report and a plan make of amounts.

use serde_json::Value;

use crate::harness::{Folder, Output};
use crate::table;

const PLAN: &str = "\
[datasets.t]
key = [\"id\"]
measures = [\"v\"]
materiality = \"MATERIALITY\"
current = { path = \"t.parquet\", at = \"2026-01-10T00:00:00Z\" }
[datasets.t.ledger]
path = \"t.ndjson\"
complete_from = \"2025-01-01T00:00:00Z\"
complete_to = \"2026-01-10T00:00:00Z\"
";

/// A row `1 | current`, of a column of this type, and changes of it: op, before and after as JSON.
fn folder(kind: &str, current: &str, changes: &[(&str, &str, &str)], materiality: &str) -> Folder {
    let folder = Folder::new();
    let (schema, _) = table::parse_header(&format!("*id int64 | v {kind}"));
    let rows = [format!("1 | {current}")];
    table::write_parquet(&folder.join("t.parquet"), &table::parse_rows(&schema, &rows));
    let image = |v: &str| if v.is_empty() { "null".to_owned() } else { format!("{{\"id\":1,\"v\":{v}}}") };
    let line = |(number, (op, before, after)): (usize, &(&str, &str, &str))| {
        format!(
            "{{\"seq\":{},\"op\":\"{op}\",\"committed_at\":\"2025-03-0{}T00:00:00Z\",\"before\":{},\"after\":{}}}\n",
            number + 1,
            number + 1,
            image(before),
            image(after)
        )
    };
    folder.write("t.ndjson", changes.iter().enumerate().map(line).collect::<String>());
    folder.write("plan.toml", PLAN.replace("MATERIALITY", materiality));
    folder
}

fn snapshot(folder: &Folder, more: &[&str]) -> Output {
    let fixed = ["snapshot", "plan.toml", "--as-of", "2025-06-30", "--out", "out", "--replace"];
    folder.run(&[&fixed, more].concat())
}

fn found(folder: &Folder) -> Value {
    let document: Value = serde_json::from_str(&snapshot(folder, &["--json"]).stdout).unwrap();
    document["moments"][0]["discrepancies"].clone()
}

fn report(folder: &Folder) -> String {
    std::fs::read_to_string(folder.join("out/report.html")).unwrap()
}

/// Symptom: "v differs by 0" between 4000.0 and 10.0, and the finding was not material. Cause: a value
/// that is no exact decimal was taken for nothing.
#[test]
fn a_difference_of_what_is_no_exact_decimal_is_unknown_and_may_be_material() {
    let broken = [("I", "", "10.0"), ("U", "4000.0", "5000.0")];
    let of_floats = folder("float64", "5000.0", &broken, "1.00");
    let listed = found(&of_floats)["listed"][0].clone();
    assert_eq!((&listed["kind"], &listed["amounts"]["v"]), (&"chain-break".into(), &"unknown".into()));
    assert_eq!(listed["material"], true, "{listed:#}");
    let text = snapshot(&of_floats, &[]).stdout;
    assert!(text.contains("v differs by an unknown amount"), "{text}");
    assert!(report(&of_floats).contains("v differs by <b>an unknown amount</b>"));
    let of_texts = folder("text", "-1.00", &[("I", "", "\"n/a\"")], "1.00");
    let listed = found(&of_texts)["listed"][0].clone();
    assert_eq!((&listed["amounts"]["v"], &listed["material"]), (&"unknown".into(), &true.into()));
    let of_decimals = folder("decimal(10,2)", "5000.00", &[broken[0], ("U", "4000", "5000")], "3990.01");
    let listed = found(&of_decimals)["listed"][0].clone();
    assert_eq!((&listed["amounts"]["v"], &listed["material"]), (&"3990.00".into(), &false.into()));
}

#[test]
fn rows_on_one_side_differ_by_an_unknown_amount_of_floats() {
    let gone = folder("float64", "2.5", &[("I", "", "2.5"), ("D", "2.5", "")], "1.00");
    let listed = found(&gone)["listed"][0].clone();
    assert_eq!((&listed["kind"], &listed["amounts"]["v"]), (&"current-unexpected".into(), &"unknown".into()));
    let null = folder("float64", "null", &[("I", "", "null"), ("D", "null", "")], "1.00");
    assert_eq!(found(&null)["listed"][0]["amounts"], serde_json::json!({}), "null is no amount");
}

#[test]
fn what_is_not_summed_is_said_not_to_be_and_not_to_fail() {
    let folder = folder("float64", "2.5", &[("I", "", "2.5")], "1.00");
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let html = report(&folder);
    assert!(html.contains("1 measure is not summed, as not every value is an exact decimal"), "{html}");
    assert!(!html.contains("not foot"), "{html}");
}

/// The only row stands at 12.00 now and at 10.00 by the ledger.
fn accepted(current: &str, more: &str) -> Folder {
    let folder = folder("decimal(10,2)", current, &[("I", "", "10.00")], "100.00");
    let fingerprint = found(&folder)["listed"][0]["fingerprint"].as_str().unwrap().to_owned();
    let plan = std::fs::read_to_string(folder.join("plan.toml")).unwrap();
    let accepted = format!("[[accepted]]\nfingerprint = \"{fingerprint}\"\nreason = \"migration\"\n{more}\n");
    folder.write("plan.toml", accepted + &plan);
    folder
}

#[test]
fn a_report_never_says_that_all_ties_where_the_plan_accepts_what_does_not() {
    let folder = accepted("12.00", "");
    assert_eq!(snapshot(&folder, &[]).status, 0);
    let html = report(&folder);
    let headline = "<div class=\"verdict remark\"><b>Everything ties but for 1 accepted discrepancy.</b>";
    assert!(html.contains(headline), "{html}");
}

/// Symptom: an acceptance of a difference of 2.00 also covered 1,000,000.00 in the next delivery.
#[test]
fn an_acceptance_covers_a_material_amount_only_where_it_says_so() {
    let larger = "1000010.00";
    let silent = accepted(larger, "");
    let output = snapshot(&silent, &[]);
    assert_eq!(output.status, 1, "{output:?}");
    let why = "not accepted: the plan accepts it without `up_to`, so only as long as it is not material";
    assert!(output.stdout.contains(why), "{}", output.stdout);
    assert!(report(&silent).contains("One thing does not tie."));
    for (up_to, status) in [("\"1000000.00\"", 0), ("\"999999.99\"", 1), ("\"any\"", 0)] {
        let folder = accepted(larger, &format!("up_to = {up_to}"));
        let output = snapshot(&folder, &[]);
        assert_eq!(output.status, status, "{up_to}: {output:?}");
        let refused =
            output.stdout.contains("not accepted: the plan accepts it up to an amount of 999999.99");
        assert_eq!(refused, status == 1, "{up_to}: {}", output.stdout);
        // The same as a column of the table, beside the reason of what is accepted.
        let listed = table::read_parquet(&folder.join("out/discrepancies.parquet"));
        let [reason, limit] =
            ["accepted", "not_accepted"].map(|name| table::column(&listed, name)[0].clone());
        let refusal = "the plan accepts it up to an amount of 999999.99".to_owned();
        assert_eq!((reason.is_some(), limit), (status == 0, (status == 1).then_some(refusal)), "{up_to}");
    }
    let wrong = accepted("12.00", "up_to = \"-1\"");
    let output = snapshot(&wrong, &[]);
    assert_eq!((output.status, output.stderr.contains("leave out the sign")), (2, true), "{output:?}");
}

/// Symptom: "Everything ties." of a moment before anything that the ledger proves.
#[test]
fn rows_outside_of_the_window_do_not_tie() {
    let folder = folder("decimal(10,2)", "10.00", &[("U", "9.00", "10.00")], "100.00");
    let (schema, _) = table::parse_header("*id int64 | v decimal(10,2)");
    let rows = ["1 | 10.00", "2 | 7.00"].map(str::to_owned);
    table::write_parquet(&folder.join("t.parquet"), &table::parse_rows(&schema, &rows));
    let early = ["snapshot", "plan.toml", "--as-of", "2024-06-30", "--out", "out", "--allow-uncovered"];
    assert_eq!(folder.run(&early).status, 0);
    let html = report(&folder);
    assert!(!html.contains("<b>Everything ties."), "{html}");
    let headline = "What the ledger covers ties, on the assumptions below; 1 row is outside of it.";
    assert!(html.contains(headline), "{html}");
}
