//! `asof demo`: a sample plan with data, ready to run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Write a sample plan with data, ready to run
///
/// A small payments house over a year: five related tables from four systems, each
/// with an extract and a ledger of changes, and a few discrepancies planted on purpose.
/// README.md in the folder says what they are.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof demo
    asof demo sample && asof snapshot sample --as-of 2025-09-30 --out evidence")]
pub(crate) struct Args {
    /// Folder to write the sample into
    #[arg(value_name = "DIR", default_value = "asof-demo")]
    folder: PathBuf,

    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

macro_rules! sample {
    ($($path:literal,)+) => {
        &[$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/", $path)))),+]
    };
}

/// Every file of `data/`: its path there, and its bytes.
const SAMPLE: &[(&str, &[u8])] = sample![
    "README.md",
    "plan.toml",
    "extract/accounts.parquet",
    "extract/customers.parquet",
    "extract/invoices.parquet",
    "extract/journal_lines.parquet",
    "extract/payments.csv",
    "ledger/core-2025-h1.ndjson.gz",
    "ledger/core-2025-h2.ndjson.gz",
    "ledger/invoices.ndjson.gz",
    "ledger/journal_lines.parquet",
    "ledger/payments.ndjson",
];

/// Writes the sample and says what to do with it.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let folder = &args.folder;
    for (path, _) in SAMPLE {
        if folder.join(path).exists() {
            let error = asof::Error::OutputExists { path: folder.join(path) };
            let hint = "name another folder: asof demo DIR";
            return Err(Failure::usage(error.to_string(), hint));
        }
    }
    for (path, bytes) in SAMPLE {
        write(&folder.join(path), bytes)?;
    }
    let files: Vec<&str> = SAMPLE.iter().map(|(path, _)| *path).collect();
    console.result(&summary(folder), || json!({ "folder": folder, "files": files }))?;
    Ok(Status::Clean)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |source| Failure::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    std::fs::write(path, bytes).map_err(fail)
}

fn summary(folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!("wrote the sample to {folder} ({} files)\n\n", SAMPLE.len());
    for (command, why) in [
        (
            format!("asof snapshot {folder} --as-of 2025-09-30 --out evidence"),
            "all tables at the quarter's end",
        ),
        (format!("asof verify {folder}"), "everything that does not tie"),
        (format!("asof history {folder} --dataset accounts --key 70002"), "one account through the year"),
    ] {
        let _ = writeln!(text, "{command}\n    {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, within: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{within}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }

    #[test]
    fn the_whole_sample_is_embedded_and_its_plan_is_valid() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let mut found = Vec::new();
        files(&data, "", &mut found);
        found.sort();
        let mut embedded: Vec<&str> = SAMPLE.iter().map(|(path, _)| *path).collect();
        embedded.sort_unstable();
        assert_eq!(embedded, found);
        let plan = asof::plan::Plan::open(&data.join("plan.toml")).unwrap();
        assert_eq!(plan.datasets.len(), 5);
    }
}
