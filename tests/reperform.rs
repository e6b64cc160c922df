//! `reperform.sql` under DuckDB: it agrees with every package that it can express, and with no altered one.
//! That of the captured change streams is in `reperform/streams.rs`.
//!
//! Where python3 has no duckdb module the tests say so and pass.

mod streams;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};

use crate::harness::{Folder, run_in};
use crate::{real, table};

/// What the script's tables hold: dataset, what, rows only here, rows only in the package.
type Compared = Vec<(String, String, u64, u64)>;

const RUN: &str = r"
import sys, json, duckdb
d = duckdb.connect()
d.execute('SET enable_progress_bar = false')
d.execute('SET VARIABLE package = ' + repr(sys.argv[1]))
d.execute('SET VARIABLE inputs = ' + repr(sys.argv[2]))
d.execute(open(sys.argv[1] + '/reperform.sql').read())
print(json.dumps([d.execute('FROM compare').fetchall(), d.execute('FROM not_expressed').fetchall()]))
";

/// Runs the script of a package whose inputs are named from `inputs` on. `None` without DuckDB.
fn reperform(package: &Path, inputs: &str) -> Option<(Compared, Vec<(String, String)>)> {
    let has = Command::new("python3").args(["-c", "import duckdb"]).output();
    if !has.is_ok_and(|o| o.status.success()) {
        println!("\n!!!! NOT TESTED: python3 has no duckdb module, so reperform.sql was not run !!!!\n");
        return None;
    }
    let output = Command::new("python3").args(["-c", RUN]).arg(package).arg(inputs).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_str(&text).unwrap())
}

fn snapshot(folder: &Folder, plan: &Path, moment: &str) -> std::path::PathBuf {
    let out = folder.join(moment.replace(':', "-"));
    let arguments =
        ["snapshot", plan.to_str().unwrap(), "--as-of", moment, "--out", out.to_str().unwrap(), "--replace"];
    let output = run_in(folder.path(), &arguments);
    assert!(output.status < 2, "{output:?}");
    out
}

fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/plan.toml")
}

/// Rows only here and only in the package, of one comparison.
fn of(compared: &Compared, dataset: &str, what: &str) -> (u64, u64) {
    let found = compared.iter().find(|c| c.0 == dataset && c.1 == what).unwrap();
    (found.2, found.3)
}

fn assert_agrees(compared: &Compared, whose: &str) {
    for (dataset, what, here, there) in compared {
        assert_eq!((*here, *there), (0, 0), "{whose}: {what} of {dataset}");
    }
}

#[test]
fn it_agrees_on_the_sample_at_every_moment() {
    let folder = Folder::new();
    for moment in ["2025-03-31", "2025-09-30", "2025-12-31", "2025-10-17T09:30:00Z"] {
        let package = snapshot(&folder, &sample(), moment);
        let Some((compared, left_out)) = reperform(&package, "") else { return };
        assert_agrees(&compared, moment);
        let expressed: Vec<&str> = compared.iter().map(|c| c.0.as_str()).collect();
        let streamed = |name| [name; 5].to_vec();
        let both = [streamed("customers"), streamed("accounts")].concat();
        let all = [both, ["payments"; 3].to_vec(), streamed("invoices"), ["journal_lines"; 3].to_vec()];
        assert_eq!(expressed, all.concat(), "{left_out:?}");
    }
}

#[test]
fn it_disagrees_where_a_package_was_altered() {
    let folder = Folder::new();
    let package = snapshot(&folder, &sample(), "2025-09-30");
    let file = package.join("journal_lines.parquet");
    let rows = table::read_parquet(&file);
    table::write_parquet(&file, &rows.slice(1, rows.num_rows() - 1));
    let Some((compared, _)) = reperform(&package, "") else { return };
    let rows = |compared: &Compared| of(compared, "journal_lines", "rows of the snapshot");
    assert_eq!(rows(&compared), (1, 0), "a row is missing: {compared:?}");
    // A row of another place: one too many there, one too few here.
    let other = snapshot(&folder, &sample(), "2025-06-30");
    std::fs::copy(other.join("journal_lines.parquet"), &file).unwrap();
    let (compared, _) = reperform(&package, "").unwrap();
    let (here, there) = rows(&compared);
    assert!(here > 0 && there > 0, "another moment's table: {compared:?}");
    let listed = package.join("discrepancies.parquet");
    let all: RecordBatch = table::read_parquet(&listed);
    table::write_parquet(&listed, &all.slice(0, 0));
    let (compared, _) = reperform(&package, "").unwrap();
    let keys = of(&compared, "payments", "keys that are contradicted");
    assert!(keys.0 > 0, "findings were taken out: {compared:?}");
}

/// Columns of other types, which a cast would make the same, and one too many or too few.
#[test]
fn it_disagrees_where_columns_were_altered() {
    let folder = Folder::new();
    let (schema, _) = table::parse_header(
        "*id int64 | amount decimal(12,2) | ratio float64 | n int32 | flag bool | day date | at timestamp | note text",
    );
    let rows = [
        "1 | 10.00 | -0.0 | 1 | true | 2025-01-01 | 2025-01-01T00:00:00 | \"\"",
        "2 | 20.00 | 1.5 | 2 | false | 2025-01-02 | 2025-01-01T00:00:00.000001 | x",
    ];
    table::write_parquet(&folder.join("now.parquet"), &table::parse_rows(&schema, &rows.map(str::to_owned)));
    let image = |amount: &str| {
        format!(
            r#"{{"id":2,"amount":"{amount}","ratio":1.5,"n":2,"flag":false,"day":"2025-01-02","at":"2025-01-01T00:00:00.000001","note":"x"}}"#
        )
    };
    let record = r#"{"seq":1,"txid":"a","op":"u","committed_at":"2025-02-05T00:00:00Z""#;
    folder.write(
        "log.ndjson",
        format!("{record},\"before\":{},\"after\":{}}}\n", image("19.00"), image("20.00")),
    );
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\ncurrent = \"now.parquet\"\n[datasets.t.ledger]\npath = \"log.ndjson\"\n\
         complete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    let package = snapshot(&folder, &folder.join("plan.toml"), "2025-02-01");
    let Some((compared, left_out)) = reperform(&package, "") else { return };
    assert!(left_out.is_empty(), "{left_out:?}");
    assert_agrees(&compared, "as written");
    assert_eq!(compared.len(), 3, "columns, rows and keys: {compared:?}");
    let file = package.join("t.parquet");
    let written = table::read_parquet(&file);
    let instead = |column: &str, cells: ArrayRef| {
        let place = written.schema().index_of(column).unwrap();
        let mut columns = written.columns().to_vec();
        columns[place] = cells;
        let names = written.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap()
    };
    let cast = |column: &str, to: DataType| {
        instead(column, arrow::compute::cast(written.column_by_name(column).unwrap(), &to).unwrap())
    };
    let mut more: Vec<(String, ArrayRef)> = written
        .schema()
        .fields()
        .iter()
        .zip(written.columns())
        .map(|(f, c)| (f.name().clone(), c.clone()))
        .collect();
    more.push(("extra".to_owned(), written.column(3).clone()));
    let order: Vec<usize> = (0..written.num_columns()).rev().collect();
    for (what, altered) in [
        ("a wider decimal", cast("amount", DataType::Decimal128(13, 3))),
        ("a decimal as a float", cast("amount", DataType::Float64)),
        ("another sign of zero", instead("ratio", Arc::new(Float64Array::from(vec![0.0, 1.5])))),
        ("an integer as a float", instead("n", Arc::new(Float64Array::from(vec![1.4, 2.0])))),
        ("a flag as a number", instead("flag", Arc::new(Int32Array::from(vec![7, 0])))),
        ("a day as a time", cast("day", DataType::Timestamp(TimeUnit::Microsecond, None))),
        ("a finer time", cast("at", DataType::Timestamp(TimeUnit::Nanosecond, None))),
        ("one more column", RecordBatch::try_from_iter(more).unwrap()),
        ("one column less", written.project(&order[1..]).unwrap()),
        ("another order", written.project(&order).unwrap()),
    ] {
        table::write_parquet(&file, &altered);
        let (compared, _) = reperform(&package, "").unwrap();
        assert!(compared.iter().any(|(.., here, there)| here + there > 0), "{what}: {compared:?}");
    }
    table::write_parquet(&file, &written);
    assert_agrees(&reperform(&package, "").unwrap().0, "as it was");
}

#[test]
fn it_agrees_with_columns_that_the_program_adds() {
    let folder = Folder::new();
    let out = folder.join("p");
    let plan = sample();
    let arguments = ["snapshot", plan.to_str().unwrap(), "--as-of", "2025-09-30", "--provenance", "--out"];
    assert!(run_in(folder.path(), &[&arguments[..], &[out.to_str().unwrap()]].concat()).status < 2);
    let Some((compared, _)) = reperform(&out, "") else { return };
    assert_agrees(&compared, "with provenance");
}

/// Keys that change places, rows that die and come back, and transactions out of order.
#[test]
fn it_agrees_where_keys_move() {
    let folder = Folder::new();
    folder.write("now.csv", "id,qty,note\n1,20,b\n2,10,a\n3,31,c\n5,50,\n");
    let change = |seq: u32, txn: &str, at: &str, op: &str, before: &str, after: &str| {
        format!(
            r#"{{"seq":{seq},"txid":"{txn}","committed_at":"2025-02-{at}T00:00:00Z","op":"{op}","before":{before},"after":{after}}}"#
        ) + "\n"
    };
    let row = |id: u32, qty: u32, note: &str| format!(r#"{{"id":{id},"qty":{qty},"note":"{note}"}}"#);
    let log = [
        change(1, "a", "01", "insert", "null", &row(3, 30, "c")),
        change(2, "b", "02", "update", &row(1, 10, "a"), &row(2, 10, "a")),
        change(3, "b", "02", "update", &row(2, 20, "b"), &row(1, 20, "b")),
        change(4, "c", "03", "delete", &row(3, 30, "c"), "null"),
        change(5, "c", "03", "insert", "null", &row(3, 31, "c")),
        change(6, "d", "04", "insert", "null", &row(5, 50, "")),
        change(7, "e", "05", "insert", "null", &row(6, 60, "x")),
        change(8, "e", "05", "delete", &row(6, 60, "x"), "null"),
    ];
    folder.write("log.ndjson", log.concat());
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\ncurrent = \"now.csv\"\n[datasets.t.ledger]\npath = \"log.ndjson\"\n\
         complete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    for day in ["2025-01-31", "2025-02-01", "2025-02-02", "2025-02-03", "2025-02-04", "2025-02-05"] {
        let package = snapshot(&folder, &folder.join("plan.toml"), day);
        let Some((compared, left_out)) = reperform(&package, "") else { return };
        assert!(left_out.is_empty(), "{left_out:?}");
        assert_agrees(&compared, day);
    }
}

/// The public histories, as far as plain SQL can express them.
#[test]
fn it_agrees_on_real_cases() {
    let Some(cases) = real::cases() else { return };
    let folder = Folder::new();
    for name in ["countries", "regions", "airport-frequencies"] {
        let case = cases.join("ourairports").join(name);
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(case.join("MANIFEST.json")).unwrap()).unwrap();
        let truths = manifest["truths"].as_array().unwrap();
        let moments: Vec<&str> = truths.iter().map(|t| t["as_of"].as_str().unwrap()).collect();
        let (current, ledger) = (case.join("current.csv"), case.join("ledger.ndjson.gz"));
        let mut arguments = vec!["snapshot", "--current", current.to_str().unwrap(), "--ledger"];
        let (asked, out) = (moments.join(","), folder.join(name));
        arguments.extend([ledger.to_str().unwrap(), "--key", "id", "--as-of", &asked]);
        arguments.extend(["--out", out.to_str().unwrap()]);
        let output = run_in(folder.path(), &arguments);
        assert!(output.status < 2, "{output:?}");
        let mut packages: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).collect();
        packages.sort();
        assert_eq!(packages.len(), moments.len());
        for package in packages {
            let Some((compared, left_out)) = reperform(&package, "") else { return };
            println!("{name}: {compared:?} {left_out:?}");
            assert_agrees(&compared, name);
        }
    }
}
