//! Re-verifies an evidence package offline, from its own files alone.
//!
//! ```text
//! manifest.json ── manifest.sha256           the manifest is what was written
//!   └ outputs ──── every file of the folder  nothing changed, missing or added
//!       ├ tables ── rows, totals, groups     recomputed, compared with manifest and totals.parquet
//!       ├ verdicts, discrepancies            counted, compared with the manifest
//!       ├ totals.csv, discrepancies.csv      compared with the Parquet files of that name
//!       └ digests ─ rows hashed again        the identity of the undone changes holds
//! ```
//!
//! It shows that a package is whole and agrees with itself. That nobody wrote it anew
//! only a signature can show; that the inputs were these, only their digests. What does
//! not hold is a [`Fault`], never an error. [`sign`] puts a name under what holds.

mod counts;
mod digests;
mod figures;
mod files;
mod manifest;
mod signature;
mod texts;

use std::path::{Path, PathBuf};

use crate::error::{At, Error, Result};
use manifest::Manifest;
pub(crate) use manifest::digest_line;
pub use signature::{Role, SignRequest, Signature, new_key, sign};

/// A program that checks a package without this one; every package has it.
pub(crate) const VERIFIER: (&str, &str) = ("verify.py", include_str!("verify.py"));

/// The name of the manifest in its folder.
pub const MANIFEST: &str = "manifest.json";
/// The name of the file with the manifest's own digest, as `sha256sum` writes it.
pub const MANIFEST_DIGEST: &str = "manifest.sha256";

/// What a check is asked to do.
#[derive(Debug, Clone, Default)]
pub struct CheckRequest {
    /// An evidence folder, or a folder of those of a series.
    pub folder: PathBuf,
    /// Files of public keys; each must have signed every package.
    pub public_keys: Vec<PathBuf>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The packages, by name of their folder.
    pub packages: Vec<CheckedPackage>,
    /// What does not hold of the folder around them.
    pub faults: Vec<Fault>,
}

impl CheckOutcome {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.packages.iter().all(|package| package.faults.is_empty())
    }
}

/// One package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedPackage {
    /// Its folder.
    pub folder: PathBuf,
    /// The moment that it is of, as its manifest says.
    pub as_of: Option<String>,
    /// How many files have the digest that the manifest states.
    pub files: u64,
    /// Per dataset, what was recomputed, in words.
    pub recomputed: Vec<String>,
    /// The signatures that it has.
    pub signatures: Vec<Signature>,
    /// What does not hold, in the order of the checks.
    pub faults: Vec<Fault>,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file in the package.
    pub file: String,
    /// What does not hold, in words.
    pub what: String,
}

/// Faults on their way.
#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn say(&mut self, file: impl Into<String>, what: impl Into<String>) {
        self.0.push(Fault { file: file.into(), what: what.into() });
    }

    /// What could not be read of a file that should be there is a fault of that file.
    fn take<T>(&mut self, file: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.say(file, error.to_string())).ok()
    }
}

/// Checks a package, or all packages of a series.
///
/// # Errors
/// The folder cannot be read, or there is no package in it.
pub fn check(request: &CheckRequest) -> Result<CheckOutcome> {
    let folder = &request.folder;
    let keys = signature::keys(&request.public_keys)?;
    let mut outcome = CheckOutcome::default();
    if folder.join(MANIFEST).exists() {
        outcome.packages.push(package(folder, &keys)?);
        return Ok(outcome);
    }
    let mut names: Vec<PathBuf> = entries(folder)?.into_iter().map(|entry| entry.path).collect();
    names.sort();
    let is_package = |path: &PathBuf| path.join(MANIFEST).exists();
    if !names.iter().any(is_package) {
        return Err(Error::Malformed {
            path: folder.clone(),
            at: At::default(),
            expected: "an evidence package, or a folder of them".to_owned(),
            found: format!("no {MANIFEST}"),
            hint: Some("name the folder that `asof snapshot --out` wrote".to_owned()),
        });
    }
    let mut faults = Faults::default();
    let mut stated: Vec<String> = Vec::new();
    for path in names {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_package(&path) {
            faults.say(name, format!("belongs to no package: it has no {MANIFEST}"));
            continue;
        }
        outcome.packages.push(package(&path, &keys)?);
        let (label, series) = manifest::series(&path);
        // Each may be sound by itself and yet stand for another moment.
        if !series.is_empty() && label.as_ref() != Some(&name) {
            let label = label.unwrap_or_else(|| "no moment".to_owned());
            faults.say(name, format!("its manifest is that of {label}: packages of the series were moved"));
        }
        stated.extend(series);
    }
    stated.sort();
    stated.dedup();
    for label in stated {
        if !folder.join(&label).join(MANIFEST).exists() {
            faults.say(label, "missing: the other packages of the series name it");
        }
    }
    outcome.faults = faults.0;
    Ok(outcome)
}

/// What does not hold of the digests of a package: those that the manifest states of the files, and its own.
/// What the files say is not looked at.
///
/// # Errors
/// The folder cannot be read, or has no manifest.
pub fn check_digests(folder: &Path) -> Result<Vec<Fault>> {
    let mut faults = Faults::default();
    if let Some(manifest) = Manifest::read(folder, &mut faults)? {
        files::check(&manifest, &mut faults)?;
    }
    Ok(faults.0)
}

fn package(folder: &Path, keys: &[signature::Key]) -> Result<CheckedPackage> {
    let mut faults = Faults::default();
    let mut checked = CheckedPackage { folder: folder.to_owned(), ..CheckedPackage::default() };
    if let Some(manifest) = Manifest::read(folder, &mut faults)? {
        checked.as_of = manifest.as_of();
        checked.files = files::check(&manifest, &mut faults)?;
        checked.recomputed = figures::check(&manifest, &mut faults);
        counts::check(&manifest, &mut faults);
        texts::check(&manifest, &mut faults);
        checked.recomputed.extend(digests::check(&manifest, &mut faults));
    }
    checked.signatures = signature::check_all(folder, keys, &mut faults)?;
    checked.faults = faults.0;
    Ok(checked)
}

/// Something in a folder.
struct Entry {
    name: String,
    path: PathBuf,
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let failed = || Error::io(folder, "read");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        found.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), path: entry.path() });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
