//! The evidence folder: control totals that add up, and what becomes of a changed file.

use std::path::{Path, PathBuf};
use std::process::Command;

use asof::check::{CheckOutcome, CheckRequest, check};

use crate::harness::{Folder, run_in};
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

fn sample(folder: &Folder, as_of: &str, out: &str) -> PathBuf {
    sample_with(folder, as_of, out, &[])
}

fn sample_with(folder: &Folder, as_of: &str, out: &str, flags: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join(out);
    let mut arguments = vec!["snapshot", "data/plan.toml", "--as-of", as_of, "--out", path.to_str().unwrap()];
    arguments.extend(flags);
    assert_eq!(run_in(root, &arguments).status, 1, "the sample has discrepancies");
    path
}

fn checked(package: &Path) -> CheckOutcome {
    check(&CheckRequest { folder: package.to_owned(), ..CheckRequest::default() }).unwrap()
}

/// The files that do not hold, each once.
fn faulty(package: &Path) -> Vec<String> {
    let mut files: Vec<String> =
        checked(package).packages[0].faults.iter().map(|fault| fault.file.clone()).collect();
    files.sort();
    files.dedup();
    files
}

/// What the package's own program says: its exit status and lines; `None` where it cannot run here.
fn by_itself(package: &Path) -> Option<(i32, String)> {
    let output = Command::new("python3").arg(package.join("verify.py")).output().ok()?;
    let status = output.status.code().unwrap_or(-1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if status == 2 {
        println!("verify.py cannot run here: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some((status, text))
}

fn names(package: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(package)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn one_byte_changed_in_any_file_is_found_and_named() {
    let folder = Folder::new();
    let package = sample(&folder, "2025-09-30", "evidence");
    let output = folder.run(&["check", "evidence"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{}", output.stdout);
    assert!(output.stdout.ends_with("\nsound\n"), "{}", output.stdout);
    if let Some((status, text)) = by_itself(&package) {
        assert_eq!(status, 0, "{text}");
    }
    let names = names(&package);
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let path = package.join(&name);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let output = folder.run(&["check", "evidence", "--json"]);
            assert_eq!(output.status, 1, "{name}, byte {at}: {}{}", output.stdout, output.stderr);
            // The manifest and its own digest are one pair: whichever is changed, they differ.
            let named = if name == "manifest.sha256" { "manifest.json" } else { &name };
            assert!(faulty(&package).contains(&named.to_owned()), "{name}, byte {at}: {}", output.stdout);
        }
        // A changed verify.py may do anything; all others it finds itself.
        if let Some((status, text)) = by_itself(&package).filter(|_| name != "verify.py") {
            let named = if name == "manifest.sha256" { "manifest.json" } else { &name };
            assert_eq!((status, text.contains(named)), (1, true), "{name}: {text}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert!(checked(&package).is_sound(), "every file is as it was");
}

#[test]
fn what_is_missing_or_added_is_named() {
    let folder = Folder::new();
    let package = sample(&folder, "2025-09-30", "evidence");
    std::fs::write(package.join("notes.txt"), "seen").unwrap();
    std::fs::create_dir(package.join("more")).unwrap();
    std::fs::remove_file(package.join("totals.csv")).unwrap();
    assert_eq!(faulty(&package), ["more", "notes.txt", "totals.csv"]);
    assert!(folder.run(&["check", "evidence"]).stdout.ends_with("\n3 things do not hold\n"));
    if let Some((status, text)) = by_itself(&package) {
        assert_eq!((status, text.lines().count()), (1, 3), "{text}");
    }
    std::fs::remove_file(package.join("manifest.sha256")).unwrap();
    assert!(faulty(&package).contains(&"manifest.sha256".to_owned()));
    std::fs::remove_file(package.join("manifest.json")).unwrap();
    let output = folder.run(&["check", "evidence"]);
    assert_eq!(output.status, 2, "{output:?}");
}

/// Rewrites the digests of a package, as somebody would who wants a changed file to pass.
pub(crate) fn cover_up(package: &Path) {
    use sha2::{Digest, Sha256};
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let path = package.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (name, stated) in manifest["outputs"].as_object_mut().unwrap() {
        let bytes = std::fs::read(package.join(name)).unwrap();
        *stated = serde_json::json!({ "bytes": bytes.len(), "sha256": hex(&bytes) });
    }
    let text = serde_json::to_vec_pretty(&manifest).unwrap();
    std::fs::write(package.join("manifest.sha256"), format!("{}  manifest.json\n", hex(&text))).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn tables_of_another_day_do_not_pass_even_with_new_digests() {
    let folder = Folder::new();
    let package = sample(&folder, "2025-09-30", "evidence");
    let other = sample(&folder, "2025-06-30", "other");
    let tables = [
        "accounts.parquet",
        "invoices.parquet",
        "totals.parquet",
        "verdicts.parquet",
        "discrepancies.parquet",
    ];
    for name in tables {
        let own = std::fs::read(package.join(name)).unwrap();
        std::fs::copy(other.join(name), package.join(name)).unwrap();
        cover_up(&package);
        // What stands in a package twice then differs from itself, too.
        let twice = ["totals.parquet", "discrepancies.parquet"].contains(&name);
        let text = name.replace(".parquet", ".csv");
        let expected: Vec<&str> = twice.then_some(text.as_str()).into_iter().chain([name]).collect();
        assert_eq!(faulty(&package), expected);
        if let Some((status, text)) = by_itself(&package) {
            assert_eq!((status, text.contains(name)), (1, true), "{name}: {text}");
        }
        std::fs::write(package.join(name), own).unwrap();
    }
    cover_up(&package);
    assert!(checked(&package).is_sound(), "only the digests were written anew");
}

/// Symptom: totals.csv and discrepancies.csv could say anything, as long as the manifest had their digests.
#[test]
fn text_that_says_something_else_than_its_table_does_not_pass_even_with_new_digests() {
    let folder = Folder::new();
    let package = sample(&folder, "2025-09-30", "evidence");
    for name in ["totals.csv", "discrepancies.csv"] {
        let path = package.join(name);
        let whole = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = whole.split_once('\n').unwrap();
        let digit = rest.rfind(|c: char| c.is_ascii_digit()).unwrap() + head.len() + 1;
        let other = if whole[digit..].starts_with('7') { "8" } else { "7" };
        let without_last = &whole[..whole.trim_end().rfind('\n').unwrap() + 1];
        for altered in [
            format!("{}{other}{}", &whole[..digit], &whole[digit + 1..]),
            without_last.to_owned(),
            format!("{whole}{}\n", rest.lines().next().unwrap()),
            whole.replacen("dataset", "table", 1),
        ] {
            std::fs::write(&path, &altered).unwrap();
            cover_up(&package);
            assert_eq!(faulty(&package), [name], "{altered}");
            if let Some((status, text)) = by_itself(&package) {
                assert_eq!((status, text.contains(name)), (1, true), "{name}: {text}");
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    cover_up(&package);
    assert!(checked(&package).is_sound(), "only the digests were written anew");
}

#[test]
fn figures_of_the_manifest_are_recomputed() {
    let folder = Folder::new();
    let package = sample(&folder, "2025-09-30", "evidence");
    let path = package.join("manifest.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    // A snapshot figure, a part of an equation, a count of verdicts, a count of discrepancies.
    let edits = [
        ("\"snapshot\": \"6128727.76\"", "\"snapshot\": \"6128727.77\"", "accounts.parquet"),
        ("\"updates_undone\": \"-14736.97\"", "\"updates_undone\": \"-14736.98\"", "manifest.json"),
        ("\"restored\": 67", "\"restored\": 66", "verdicts.parquet"),
        ("\"open\": 5", "\"open\": 4", "discrepancies.parquet"),
    ];
    for (from, to, file) in edits {
        assert!(whole.contains(from), "{from}");
        std::fs::write(&path, whole.replacen(from, to, 1)).unwrap();
        cover_up(&package);
        assert!(faulty(&package).contains(&file.to_owned()), "{from}: {:?}", checked(&package));
        if let Some((status, text)) = by_itself(&package) {
            assert_eq!((status, text.contains(file)), (1, true), "{from}: {text}");
        }
    }
}

#[test]
fn a_series_is_checked_whole() {
    let folder = Folder::new();
    let series = sample(&folder, "2025-09..2025-11", "series");
    let outcome = checked(&series);
    assert!(outcome.is_sound(), "{outcome:?}");
    assert_eq!(outcome.packages.len(), 3);
    std::fs::write(series.join("notes.txt"), "seen").unwrap();
    std::fs::remove_dir_all(series.join("2025-10")).unwrap();
    let outcome = checked(&series);
    let files: Vec<&str> = outcome.faults.iter().map(|fault| fault.file.as_str()).collect();
    assert_eq!(files, ["notes.txt", "2025-10"]);
}

fn manifest(package: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(package.join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn digests_of_rows_telescope_where_images_are_whole_and_say_why_not_where_they_are_not() {
    let folder = Folder::new();
    // Before the last recorded change of the account that was edited since, so that its image counts.
    let package = sample_with(&folder, "2025-06-30", "evidence", &["--digest", "columns"]);
    let outcome = checked(&package);
    assert!(outcome.is_sound(), "{outcome:?}");
    if let Some((status, text)) = by_itself(&package) {
        assert_eq!(status, 0, "{text}");
    }
    let manifest = manifest(&package);
    let identity =
        |dataset: usize, number: usize| &manifest["datasets"][dataset]["digests"]["identities"][number];
    // Payments are whole and tie; of accounts one row was edited past the ledger.
    assert_eq!((&identity(2, 0)["holds"], &identity(2, 0)["changes_excluded"]), (&true.into(), &0.into()));
    assert_eq!(identity(1, 0)["holds"], false);
    let residual = identity(1, 0)["residual"].as_str().unwrap();
    assert!(residual.contains("1 keys are contradicted"), "{residual}");
    // Its key column is as it should be: only the balance was edited.
    let columns = manifest["datasets"][1]["digests"]["columns"].as_array().unwrap();
    for (number, name) in columns.iter().enumerate() {
        assert_eq!(identity(1, 1 + number)["holds"], name != "balance", "{name}");
    }
}

#[test]
fn a_partial_image_is_counted_out_of_the_digests() {
    let folder = groups();
    let output = folder.run(&[
        "snapshot",
        "plan.toml",
        "--as-of",
        "2025-12-31",
        "--out",
        "out",
        "--digest",
        "columns",
    ]);
    assert_eq!(output.status, 1, "{output:?}");
    let identities = manifest(&folder.join("out"))["datasets"][0]["digests"]["identities"].clone();
    let counts = |number: usize| {
        let identity = &identities[number];
        let number = |name: &str| identity[name].as_u64().unwrap();
        (number("changes_included"), number("changes_excluded"), identity["holds"] == true)
    };
    // Rows; then id, city and qty: one update lacks each of the latter two before it.
    assert_eq!([0, 1, 2, 3].map(counts), [(3, 2, false), (5, 0, true), (4, 1, false), (4, 1, false)]);
    assert!(checked(&folder.join("out")).is_sound());
}

/// Symptom: "over 0 undone changes hold" beside a change that is in no digest.
#[test]
fn an_identity_that_holds_without_a_change_says_that_it_proves_nothing_of_it() {
    let folder = groups();
    let update = r#"{"seq":1,"op":"U","committed_at":"2026-01-01T00:00:00Z","before":{"id":1,"city":"A","qty":"10.00"},"after":{"id":1}}"#;
    folder.write("ledger.ndjson", format!("{update}\n"));
    let output = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-12-31", "--out", "out", "--digest"]);
    let identity = manifest(&folder.join("out"))["datasets"][0]["digests"]["identities"][0].clone();
    assert_eq!((&identity["holds"], &identity["changes_excluded"]), (&true.into(), &1.into()), "{output:?}");
    assert!(identity["residual"].as_str().unwrap().contains("proves nothing of them"), "{identity}");
    let said = "; 1 undone change is not in them, so nothing is proven of it";
    assert!(output.stdout.contains(said), "{}", output.stdout);
}

#[test]
fn a_swapped_row_changes_the_digest_though_every_total_stays() {
    let folder = Folder::new();
    let package = sample_with(&folder, "2025-09-30", "evidence", &["--digest"]);
    let path = package.join("payments.parquet");
    let batch = table::read_parquet(&path);
    // The same cells in every column, in other rows.
    let mut columns = batch.columns().to_vec();
    let text = (0..columns.len()).find(|&c| batch.schema().field(c).name() == "account_id").unwrap();
    let order: Vec<u32> = (0..batch.num_rows() as u32).rev().collect();
    let order = arrow::array::UInt32Array::from(order);
    columns[text] = arrow::compute::take(&columns[text], &order, None).unwrap();
    let swapped = arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap();
    table::write_parquet(&path, &swapped);
    cover_up(&package);
    assert_eq!(faulty(&package), ["payments.parquet"]);
    if let Some((status, text)) = by_itself(&package) {
        assert_eq!((status, text.contains("payments.parquet: the digest")), (1, true), "{text}");
    }
}

/// Symptom: the first packages of a series were signed, the rest not. Cause: whether a signature is
/// there already was asked one package at a time.
#[test]
fn a_series_is_signed_whole_or_not_at_all() {
    let folder = Folder::new();
    let series = sample(&folder, "2025-09..2025-11", "series");
    assert_eq!(folder.run(&["sign", "--new-key", "a.key"]).status, 0);
    let sign = |folder_name: &str, more: &[&str]| {
        folder.run(&[&["sign", folder_name, "--key", "a.key", "--name", "A. Meyer"], more].concat())
    };
    assert_eq!(sign("series/2025-10", &[]).status, 0);
    assert_eq!(sign("series", &[]).status, 2);
    assert!(!series.join("2025-09/manifest.json.preparer.minisig").exists(), "none of the series");
    let replaced = sign("series", &["--replace"]);
    assert_eq!((replaced.status, replaced.stdout.lines().count()), (0, 3), "{replaced:?}");
}

#[test]
fn signatures_of_preparer_and_reviewer_hold_until_anything_is_changed() {
    let folder = Folder::new();
    let package = sample(&folder, "2025-09-30", "evidence");
    for key in ["a.key", "b.key", "stranger.key"] {
        assert_eq!(folder.run(&["sign", "--new-key", key]).status, 0);
    }
    let sign = |key: &str, role: &str, name: &str| {
        folder.run(&["sign", "evidence", "--key", key, "--role", role, "--name", name])
    };
    assert_eq!(sign("a.key", "preparer", "A. Meyer").status, 0);
    assert_eq!(sign("a.key", "preparer", "A. Meyer").status, 2, "it is signed already");
    assert_eq!(sign("b.key", "reviewer", "B. Ortiz").status, 0);
    let check = |keys: &[&str]| {
        let mut arguments = vec!["check", "evidence"];
        keys.iter().for_each(|key| arguments.extend(["--public-key", key]));
        folder.run(&arguments)
    };
    let both = check(&["a.key.pub", "b.key.pub"]);
    assert_eq!(both.status, 0, "{}", both.stdout);
    assert!(both.stdout.contains("asof preparer: A. Meyer, "), "{}", both.stdout);
    assert!(both.stdout.contains("asof reviewer: B. Ortiz, "), "{}", both.stdout);
    assert_eq!(both.stdout.matches(": holds").count(), 2);
    assert_eq!(check(&[]).status, 0);
    let stranger = check(&["stranger.key.pub"]);
    assert_eq!((stranger.status, stranger.stdout.contains("no signature of it holds")), (1, true));
    // Covering up a change does not help: the signature is over the manifest.
    let path = package.join("report.html");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.push(b'\n');
    std::fs::write(&path, bytes).unwrap();
    cover_up(&package);
    assert_eq!(check(&[]).status, 0, "without a key nothing shows it");
    assert_eq!(check(&["a.key.pub"]).status, 1);
    std::fs::write(package.join("notes.txt"), "seen").unwrap();
    std::fs::remove_file(package.join("manifest.json.preparer.minisig")).unwrap();
    assert_eq!(sign("a.key", "preparer", "A. Meyer").status, 2, "what does not hold is not signed");
}
