//! The manifest of a package as it was written, and the parts that are compared.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Faults, MANIFEST, MANIFEST_DIGEST};
use crate::error::{Error, Result};
use crate::export::csv::is_formula;
use crate::export::package;

/// A manifest that could be read, whether or not it is as it was written.
pub(super) struct Manifest {
    pub(super) folder: PathBuf,
    value: Value,
}

impl Manifest {
    /// Reads it and compares it with its own digest. `None`: nothing further can be said.
    pub(super) fn read(folder: &Path, faults: &mut Faults) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let (sha256, _) = package::digest(&path)?;
        let beside = folder.join(MANIFEST_DIGEST);
        match std::fs::read(&beside) {
            Ok(text) if text == digest_line(&sha256).as_bytes() => {}
            Ok(text) => {
                let stated = String::from_utf8_lossy(&text);
                let stated = stated.split_whitespace().next().unwrap_or("nothing").to_owned();
                let what = format!("its SHA-256 is {sha256}, {MANIFEST_DIGEST} states {stated}");
                faults.say(MANIFEST, what);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                faults.say(MANIFEST_DIGEST, "missing: the manifest's own digest is not there");
            }
            Err(error) => return Err(Error::io(&beside, "read")(error)),
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path, "read"))?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if value.is_object() => Ok(Some(Self { folder: folder.to_owned(), value })),
            Ok(_) => {
                faults.say(MANIFEST, "it is no JSON object, so nothing else could be checked");
                Ok(None)
            }
            Err(error) => {
                faults.say(MANIFEST, format!("it is not JSON, so nothing else could be checked: {error}"));
                Ok(None)
            }
        }
    }

    pub(super) fn as_of(&self) -> Option<String> {
        text(&self.value["as_of"]["asked"])
    }

    /// The files that the manifest states: name, size, digest.
    pub(super) fn outputs(&self) -> Vec<(&str, Option<u64>, &str)> {
        let outputs = self.value["outputs"].as_object();
        outputs
            .into_iter()
            .flatten()
            .map(|(name, of)| {
                (name.as_str(), of["bytes"].as_u64(), of["sha256"].as_str().unwrap_or("nothing"))
            })
            .collect()
    }

    /// The datasets that were not refused.
    pub(super) fn datasets(&self) -> Vec<Dataset<'_>> {
        let all = self.value["datasets"].as_array().into_iter().flatten();
        all.filter(|dataset| !dataset["totals"].is_null())
            .map(|value| Dataset { name: value["name"].as_str().unwrap_or_default(), value })
            .collect()
    }

    /// How many discrepancies of a kind there are: open, accepted.
    pub(super) fn discrepancies(&self) -> Vec<(&str, u64, u64)> {
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let kinds = self.value["discrepancies"].as_object().into_iter().flatten();
        kinds.map(|(code, c)| (code.as_str(), count(&c["open"]), count(&c["accepted"]))).collect()
    }
}

/// What the manifest says of one dataset.
#[derive(Clone, Copy)]
pub(super) struct Dataset<'a> {
    pub(super) name: &'a str,
    value: &'a Value,
}

impl<'a> Dataset<'a> {
    /// The file that holds its snapshot.
    pub(super) fn file(&self) -> Option<&'a str> {
        self.value["file"].as_str()
    }

    /// What stands for null in that file, if it is text.
    pub(super) fn null(&self) -> Option<&'a str> {
        self.value["null"].as_str()
    }

    /// A text as it stands in that file: where text is written safely, formulas are preceded by a quote.
    pub(super) fn as_written(&self, text: &str) -> String {
        let is_safe = self.value["csv_safe"].as_bool() == Some(true) && is_formula(text);
        if is_safe { format!("'{text}") } else { text.to_owned() }
    }

    /// Whether rows are identified by a key.
    pub(super) fn has_key(&self) -> bool {
        self.value["key"].as_array().is_some_and(|key| !key.is_empty())
    }

    /// Its digests of rows, if there are any.
    pub(super) fn digests(&self) -> Option<&'a Value> {
        Some(&self.value["digests"]).filter(|digests| digests.is_object())
    }

    /// Its figures.
    pub(super) fn totals(&self) -> &'a Value {
        &self.value["totals"]
    }
}

/// The line in `manifest.sha256`, as `sha256sum` writes and reads it.
pub(crate) fn digest_line(sha256: &str) -> String {
    format!("{sha256}  {MANIFEST}\n")
}

/// The label of a package, and those of all packages of the series that it belongs to; none if it is of no series.
pub(super) fn series(folder: &Path) -> (Option<String>, Vec<String>) {
    let bytes = std::fs::read(folder.join(MANIFEST)).unwrap_or_default();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let label = text(&value["as_of"]["label"]);
    // A name that leads out of the folder is none.
    let is_name = |label: &String| Path::new(label).components().count() == 1 && !label.contains("..");
    let all = value["series"].as_array().into_iter().flatten().filter_map(text).filter(is_name).collect();
    (label, all)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
