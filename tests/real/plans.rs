//! Plans of captured cases, with their truth points.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{cases, read_bytes, rfc3339};

/// The plan of a captured case with one of its ledgers.
pub(super) fn captured_text(case: &Path, manifest: &Value, ledger: &str) -> String {
    let from = rfc3339(manifest["truth_points"][0]["clock_timestamp"].as_str().unwrap());
    let at = rfc3339(manifest["current_point"]["clock_timestamp"].as_str().unwrap());
    let ledger = case.join(ledger);
    let mut plan = format!("name = {:?}\n", manifest["case"].as_str().unwrap());
    for (dataset, table) in manifest["tables"].as_object().unwrap() {
        let current = &manifest["current"][dataset];
        let file = current.get("parquet").unwrap_or(&current["csv"]).as_str().unwrap();
        let csv = current.get("parquet").is_none();
        let _ = write!(plan, "\n[datasets.{dataset}]\nkey = {}\n", table["key"]);
        plan += &if csv { declared_types(table) } else { String::new() };
        let path = case.join(file);
        let _ = write!(plan, "[datasets.{dataset}.current]\npath = {path:?}\nat = {at:?}\n");
        plan += if csv { "null = \"\"\n" } else { "" };
        let _ = write!(
            plan,
            "[datasets.{dataset}.ledger]\npath = {ledger:?}\ncomplete_from = {from:?}\ncomplete_to = {at:?}\n"
        );
    }
    plan
}
/// The types of a current state that is CSV, as its database declares them.
fn declared_types(table: &Value) -> String {
    let mut types = Vec::new();
    for (name, kind) in table["columns"].as_object().unwrap() {
        let kind = match kind.as_str().unwrap() {
            "bigint" => "int64",
            "smallint" => "int16",
            "boolean" => "bool",
            "date" => "date",
            "timestamp with time zone" => "timestamp(us, UTC)",
            "timestamp without time zone" => "timestamp",
            "double precision" => "float64",
            "bytea" => "binary",
            "text[]" => "list<text>",
            "numeric(18,2)" => "decimal(18,2)",
            _ => "text",
        };
        types.push(format!("{name} = {kind:?}"));
    }
    format!("types = {{ {} }}\n", types.join(", "))
}

/// The plan of a captured case with one of its ledgers, and its truth points.
pub(crate) fn captured_plan(case: &str, ledger: &str) -> Option<(String, Vec<String>)> {
    let folder = cases()?.join("captured").join(case);
    let manifest: Value = serde_json::from_slice(&read_bytes(&folder.join("MANIFEST.json"))).unwrap();
    let truths = manifest["truth_points"].as_array().unwrap();
    let moments = truths.iter().map(|t| rfc3339(t["clock_timestamp"].as_str().unwrap())).collect();
    Some((captured_text(&folder, &manifest, ledger), moments))
}
