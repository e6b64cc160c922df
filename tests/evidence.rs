//! The evidence folder: control totals that add up, and what becomes of a changed file.

use crate::harness::Folder;
use crate::table;

/// Rows that go, come back, move between groups, and cells that nothing states.
fn groups() -> Folder {
    let folder = Folder::new();
    let (schema, _) = table::parse_header("*id int64 | city text | qty decimal(10,2)");
    let rows = ["1 | A | 10.00", "2 | B | 5.50", "3 | null | 1.00", "4 | A | 2.00", "6 | B | 4.00"];
    table::write_parquet(&folder.join("t.parquet"), &table::parse_rows(&schema, &rows.map(str::to_owned)));
    let change = |seq: u32, op: &str, before: &str, after: &str| {
        format!(
            "{{\"seq\":{seq},\"op\":\"{op}\",\"committed_at\":\"2026-01-0{seq}T00:00:00Z\",\"before\":{before},\
             \"after\":{after}}}\n"
        )
    };
    let ledger = [
        change(1, "U", r#"{"id":1,"city":"B","qty":"7.00"}"#, r#"{"id":1,"city":"A","qty":"10.00"}"#),
        change(2, "I", "null", r#"{"id":2,"city":"B","qty":"5.50"}"#),
        change(3, "D", r#"{"id":5,"city":"C","qty":"3.25"}"#, "null"),
        change(4, "U", r#"{"id":4,"city":"A"}"#, r#"{"id":4,"city":"A","qty":"2.00"}"#),
        change(5, "U", r#"{"id":6,"qty":"4.00"}"#, r#"{"id":6,"city":"B","qty":"4.00"}"#),
    ];
    folder.write("ledger.ndjson", ledger.concat());
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\nmeasures = [\"qty\"]\ngroup_by = [\"city\"]\n\
         current = { path = \"t.parquet\", at = \"2026-02-01T00:00:00Z\" }\n\
         [datasets.t.ledger]\npath = \"ledger.ndjson\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n\
         complete_to = \"2026-02-01T00:00:00Z\"\n",
    );
    folder
}

const TOTALS: &str = "\
dataset,figure,measure,group,current,inserts,deletes,updates,snapshot,unknown_cells
t,rows,,,5,1,1,0,5,0
t,measure,qty,,22.50,5.50,3.25,-5.00,15.25,1
t,rows,,city=A,2,0,0,-1,1,0
t,measure,qty,city=A,12.00,0.00,0.00,-12.00,0.00,1
t,rows,,city=B,2,1,0,0,1,0
t,measure,qty,city=B,9.50,5.50,0.00,3.00,7.00,0
t,rows,,city=C,0,0,1,0,1,0
t,measure,qty,city=C,0.00,0.00,3.25,0.00,3.25,0
t,rows,,city=null,1,0,0,0,1,0
t,measure,qty,city=null,1.00,0.00,0.00,0.00,1.00,0
t,rows,,city=(unknown),0,0,0,1,1,0
t,measure,qty,city=(unknown),0.00,0.00,0.00,4.00,4.00,0
";

#[test]
fn control_totals_add_up_by_group_and_say_what_is_not_known() {
    let folder = groups();
    let output = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-12-31", "--out", "out"]);
    assert_eq!(output.status, 1, "{output:?}");
    assert_eq!(std::fs::read_to_string(folder.join("out/totals.csv")).unwrap(), TOTALS);
    let totals = table::read_parquet(&folder.join("out/totals.parquet"));
    let rows: Vec<Vec<Option<String>>> =
        totals.schema().fields().iter().map(|f| table::column(&totals, f.name())).collect();
    let lines: Vec<String> = (0..totals.num_rows())
        .map(|row| rows.iter().map(|c| c[row].clone().unwrap_or_default()).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(lines, TOTALS.lines().skip(1).collect::<Vec<_>>());
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("out/manifest.json")).unwrap()).unwrap();
    let totals = &manifest["datasets"][0]["totals"];
    let equation = "22.50 − 5.50 + 3.25 − 5.00 = 15.25 + 1 unknown";
    assert_eq!(totals["measures"][0]["equation"], equation);
    assert_eq!(totals["groups"][1]["rows"]["equation"], "2 − 1 + 0 = 1");
    assert_eq!(totals["groups"][4]["unknown"], serde_json::json!(["city"]));
    assert!(
        output.stdout.contains("t.qty      22.50        5.50       3.25      -5.00       15.25  + 1 unknown")
    );
}
