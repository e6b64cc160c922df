//! The sample in `data/`: it is exactly what its generator writes, and what is
//! planted in it is written down. `UPDATE=1` writes it again.

mod check;
mod company;
mod files;
mod planted;
mod rows;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use files::{packed, sample};
use planted::Finding;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// The content of a file of `data/`, decompressed: compressors may pack differently on other processors.
fn content(path: &str) -> Vec<u8> {
    let bytes = std::fs::read(data().join(path)).unwrap_or_default();
    let mut content = Vec::new();
    if path.ends_with(".gz") {
        let read = flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut content);
        return if read.is_ok() { content } else { bytes };
    }
    bytes
}

fn paths_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of data/") {
        let path = entry.expect("an entry of data/").path();
        if path.is_dir() {
            paths_below(&path, found);
        } else {
            let relative =
                path.strip_prefix(data()).expect("below data/").to_string_lossy().replace('\\', "/");
            found.insert(relative);
        }
    }
}

#[test]
fn data_is_what_the_generator_writes() {
    let sample = sample();
    for (path, expected) in &sample.files {
        if std::env::var_os("UPDATE").is_some() && content(path) != *expected {
            let file = data().join(path);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("data/ can be written");
            std::fs::write(&file, packed(path, expected)).expect("data/ can be written");
        }
        assert!(
            content(path) == *expected,
            "data/{path} is not what the generator writes; run with UPDATE=1"
        );
    }
    let mut found = BTreeSet::new();
    paths_below(&data(), &mut found);
    let known: BTreeSet<String> =
        sample.files.keys().map(|path| (*path).to_owned()).chain(["README.md".to_owned()]).collect();
    assert_eq!(found, known, "files in data/");
}

#[test]
fn data_is_small() {
    let bytes: usize = sample().files.iter().map(|(path, content)| packed(path, content).len()).sum();
    assert!(bytes < 1_500_000, "{bytes} bytes");
}

#[test]
fn catalogue_names_every_file_and_every_planted_thing() {
    let catalogue = std::fs::read_to_string(data().join("README.md")).expect("data/README.md");
    let sample = sample();
    let unnamed: Vec<&&str> =
        sample.files.keys().filter(|path| !catalogue.contains(&format!("`{path}`"))).collect();
    assert!(unnamed.is_empty(), "data/README.md does not name {unnamed:?}");
    let has_row = |f: &Finding| {
        let code = format!("`{}`", f.code);
        catalogue.lines().any(|l| l.contains(&code) && l.contains(f.dataset) && l.contains(&f.key))
    };
    let missing: Vec<&Finding> = sample.findings.iter().filter(|f| !has_row(f)).collect();
    assert!(missing.is_empty(), "data/README.md has no row for {missing:#?}");
}

#[test]
fn plan_is_valid() {
    let plan = asof::plan::Plan::open(&data().join("plan.toml")).expect("a valid plan");
    let names: Vec<&str> = plan.datasets.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["customers", "accounts", "payments", "invoices", "journal_lines"]);
    assert_eq!(plan.dataset("accounts").map(|d| d.reported.len()), Some(3));
}

#[test]
fn nothing_refers_to_a_missing_row_but_the_planted_account() {
    use asof::testing::Value;
    use company::{ACCOUNTS, CUSTOMERS, INVOICES, PAYMENTS};
    let state = sample().history.current();
    let keys = |table: usize| state[table].values().map(|row| row[0].clone()).collect::<BTreeSet<Value>>();
    let orphans = |table: usize, to: usize| {
        let known = keys(to);
        state[table].values().map(|row| row[1].clone()).filter(|key| !known.contains(key)).collect::<Vec<_>>()
    };
    assert_eq!(orphans(ACCOUNTS, CUSTOMERS), [Value::Int(999_001)]);
    assert_eq!(orphans(INVOICES, CUSTOMERS), []);
    assert_eq!(orphans(PAYMENTS, ACCOUNTS), []);
}
