//! The log of a Delta table: which rows of which files changed in each version.
//!
//! ```text
//!  _delta_log/00000000000000000007.json
//!    cdc …                                        ─► these files, which say what happened to each row
//!    remove a.parquet {3}   add a.parquet {3, 8}  ─► row 8 went
//!    remove b.parquet       add c.parquet {0}     ─► all rows of b went, all of c but 0 came
//! ```
//!
//! Versions with `cdc` actions are what those files say. In others every row of a file that was removed by a change of
//! data went, and every row of one that was added came, but for those that its deletion vector leaves out. Values of
//! partition columns are in the log alone. The commit time is `inCommitTimestamp`, else the `timestamp` that the writer
//! put into the log.
//!
//! Limits, refused and never guessed: column mapping, unknown reader features, versions whose log or files are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::deletion_vectors::DeletionVector;
use super::delta_cdf::{TIME, TYPE, VERSION};
use super::raw::{Part, Rows};
use crate::error::{At, Error, Result};
use crate::read::{InputFile, Spool, Table, TableSource};

/// What a reader may meet in a log without misreading its changes.
const FEATURES: &[&str] =
    &["deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "columnMapping"];

/// Values of partition columns, by name.
type Partitions = BTreeMap<String, Option<String>>;

/// What the log says about one version.
#[derive(Debug, Default)]
struct Commit {
    path: PathBuf,
    version: u64,
    timestamp: Option<i64>,
    in_commit: Option<i64>,
    changes: Vec<DataFile>,
    added: Vec<DataFile>,
    removed: Vec<DataFile>,
    /// Files that hold rows which stood elsewhere before.
    rewritten: Vec<DataFile>,
}

#[derive(Debug, Clone)]
struct DataFile {
    path: PathBuf,
    /// `None` if the action does not say.
    partitions: Option<Partitions>,
    vector: Option<Value>,
}

/// The files that hold the changes of every version, with what the log says of them, and the files that say so.
pub(super) fn parts(folder: &Path, spool: &Spool) -> Result<(Vec<Part>, Vec<InputFile>)> {
    let mut commits = Vec::new();
    let mut reading = Reading { folder, spool, beside: Vec::new(), vectors: HashMap::new() };
    let mut last: Option<u64> = None;
    for (version, path) in logs(folder)? {
        if let Some(gap) = last.filter(|l| l + 1 != version) {
            let found = format!("none of version {}", gap + 1);
            return Err(damaged(&path, "the log of every version in between", found));
        }
        last = Some(version);
        commits.push(reading.commit(version, &path)?);
    }
    complete_partitions(&mut commits)?;
    let mut parts = Vec::new();
    for commit in &commits {
        for (file, kind, rows) in reading.changed(commit)? {
            is_there(commit, folder, &file.path)?;
            parts.push(part(commit, &file, kind, rows));
        }
    }
    if parts.is_empty() {
        return Err(damaged(
            &folder.join("_delta_log"),
            "the log of a version with changes",
            "none".to_owned(),
        ));
    }
    Ok((parts, reading.beside))
}

/// Refuses a data file that is not there, or to which a link leads that goes out of the folder.
fn is_there(commit: &Commit, folder: &Path, file: &Path) -> Result<()> {
    let found = match (file.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) if path.starts_with(&folder) && path.is_file() => return Ok(()),
        (Ok(path), _) if path.is_file() => format!("a link out of the folder as {}", file.display()),
        _ => format!("no file {}", file.display()),
    };
    Err(damaged(&commit.path, "the files that it names", found))
}

/// Rows of a file, with the columns that are in the log alone.
fn part(commit: &Commit, file: &DataFile, kind: Option<&str>, rows: Rows) -> Part {
    let time = commit.in_commit.or(commit.timestamp).map(|t| t.to_string());
    let own = [(VERSION, Some(commit.version.to_string())), (TIME, time)];
    let own = own.into_iter().map(|(n, v)| (n.to_owned(), v));
    let kind = kind.map(|k| (TYPE.to_owned(), Some(k.to_owned())));
    let partitions = file.partitions.iter().flatten().map(|(n, v)| (n.clone(), v.clone()));
    Part { path: file.path.clone(), constants: own.chain(kind).chain(partitions).collect(), rows }
}

/// A `remove` may leave out the partition of its file, which the `add` before it states.
fn complete_partitions(commits: &mut [Commit]) -> Result<()> {
    let stated = |file: &DataFile| file.partitions.as_ref().is_some_and(|p| !p.is_empty());
    let partitioned = commits.iter().any(|c| c.added.iter().chain(&c.removed).chain(&c.changes).any(stated));
    let mut known: HashMap<PathBuf, Partitions> = HashMap::new();
    for commit in commits {
        for file in commit.removed.iter_mut().filter(|file| file.partitions.is_none()) {
            file.partitions = known.get(&file.path).cloned();
            if partitioned && file.partitions.is_none() {
                let found = format!("none of {}", file.path.display());
                return Err(damaged(&commit.path, "the partition of every file", found));
            }
        }
        for file in commit.added.iter().chain(&commit.rewritten) {
            known.extend(file.partitions.clone().map(|partitions| (file.path.clone(), partitions)));
        }
    }
    Ok(())
}

pub(super) fn damaged(path: &Path, expected: &str, found: String) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        at: At::default(),
        expected: expected.to_owned(),
        found,
        hint: Some(
            "export the change feed from the first version that is whole (table_changes), and read that"
                .to_owned(),
        ),
    }
}

/// The log files of all versions, by version.
fn logs(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let log = folder.join("_delta_log");
    let entries = std::fs::read_dir(&log).map_err(Error::io(&log, "list"))?;
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(Error::io(&log, "list"))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let version =
            name.strip_suffix(".json").filter(|n| n.len() == 20).and_then(|n| n.parse::<u64>().ok());
        found.extend(version.map(|v| (v, path)));
    }
    Ok(found.into_iter().collect())
}

/// Reading a table's log.
struct Reading<'a> {
    folder: &'a Path,
    spool: &'a Spool,
    /// The files that say which rows changed, in the order in which they are met.
    beside: Vec<InputFile>,
    /// Where in that list each file with vectors is.
    vectors: HashMap<PathBuf, usize>,
}

impl Reading<'_> {
    fn commit(&mut self, version: u64, path: &Path) -> Result<Commit> {
        let file = InputFile::open(path, self.spool)?;
        let mut text = String::new();
        file.handle()?.read_to_string(&mut text).map_err(Error::io(path, "read"))?;
        self.beside.push(file);
        let folder = self.folder;
        let mut commit = Commit { path: path.to_owned(), version, ..Commit::default() };
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let action: Value = serde_json::from_str(line).map_err(|error| Error::Malformed {
                path: path.to_owned(),
                at: At::record(number as u64 + 1),
                expected: "an action as a JSON object".to_owned(),
                found: error.to_string(),
                hint: None,
            })?;
            let Some((name, body)) = action.as_object().and_then(|o| o.iter().next()) else { continue };
            let data = body.get("dataChange").and_then(Value::as_bool).unwrap_or(true);
            match name.as_str() {
                "commitInfo" => {
                    commit.timestamp = body.get("timestamp").and_then(Value::as_i64);
                    commit.in_commit = body.get("inCommitTimestamp").and_then(Value::as_i64);
                }
                "cdc" => commit.changes.push(data_file(folder, path, body)?),
                "add" if data => commit.added.push(data_file(folder, path, body)?),
                "add" => commit.rewritten.push(data_file(folder, path, body)?),
                "remove" if data => commit.removed.push(data_file(folder, path, body)?),
                "protocol" | "metaData" => check(path, body)?,
                _ => {}
            }
        }
        Ok(commit)
    }

    /// The rows that changed in a version: of which file, how unless it says so itself, and which.
    fn changed<'c>(&mut self, commit: &'c Commit) -> Result<Vec<(DataFile, Option<&'c str>, Rows)>> {
        if !commit.changes.is_empty() {
            return Ok(commit.changes.iter().map(|file| (file.clone(), None, Rows::All)).collect());
        }
        let added = by_path(commit, &commit.added)?;
        let removed = by_path(commit, &commit.removed)?;
        let mut changed = Vec::new();
        let sides = [
            ("delete", &commit.removed, &added),
            // Rows that came stand behind those that went.
            ("insert", &commit.added, &removed),
        ];
        for (kind, files, others) in sides {
            for file in files {
                let out = self.deleted(commit, file)?;
                let rows = match others.get(file.path.as_path()) {
                    // The file stays: what changed is what one vector leaves out and the other does not.
                    Some(other) => Rows::Only(left_over(&self.deleted(commit, other)?, &out)),
                    None if out.is_empty() => Rows::All,
                    None => Rows::Without(out),
                };
                if !matches!(&rows, Rows::Only(rows) if rows.is_empty()) {
                    changed.push((file.clone(), Some(kind), rows));
                }
            }
        }
        Ok(changed)
    }

    /// The rows that a file's vector leaves out.
    fn deleted(&mut self, commit: &Commit, file: &DataFile) -> Result<Vec<u64>> {
        let Some(described) = &file.vector else { return Ok(Vec::new()) };
        let wrong = |path: &Path, found| {
            damaged(path, &format!("the deletion vector of {}", file.path.display()), found)
        };
        let vector = DeletionVector::described(described, self.folder);
        let vector = vector.map_err(|found| wrong(&commit.path, found))?;
        is_there(commit, self.folder, &file.path)?;
        // No more rows are made of a vector than its file has.
        let rows = Table::open(&TableSource::at(&file.path), self.spool)?.total_rows();
        let mut place = None;
        if let Some(path) = vector.file() {
            is_there(commit, self.folder, path)?;
            place = Some(self.vectors_in(path)?);
        }
        let deleted = vector.rows(place.map(|at| &self.beside[at]), rows)?;
        deleted.map_err(|found| wrong(vector.file().unwrap_or(&commit.path), found))
    }

    fn vectors_in(&mut self, path: &Path) -> Result<usize> {
        if let Some(&at) = self.vectors.get(path) {
            return Ok(at);
        }
        self.beside.push(InputFile::open(path, self.spool)?);
        self.vectors.insert(path.to_owned(), self.beside.len() - 1);
        Ok(self.beside.len() - 1)
    }
}

/// The files of one side of a version. A path that stands there twice does not say which rows of it are meant.
fn by_path<'f>(commit: &Commit, files: &'f [DataFile]) -> Result<HashMap<&'f Path, &'f DataFile>> {
    let mut found = HashMap::new();
    for file in files {
        if found.insert(file.path.as_path(), file).is_some() {
            let twice = format!("{} twice", file.path.display());
            return Err(damaged(&commit.path, "every file added or removed once", twice));
        }
    }
    Ok(found)
}

/// Those of some rising rows that are not among others.
fn left_over(rows: &[u64], others: &[u64]) -> Vec<u64> {
    rows.iter().copied().filter(|row| others.binary_search(row).is_err()).collect()
}

/// Refuses what would be misread.
fn check(path: &Path, body: &Value) -> Result<()> {
    let unsupported = |feature: String| Error::Unsupported { path: path.to_owned(), feature, hint: None };
    let features = body.get("readerFeatures").and_then(Value::as_array);
    for feature in features.into_iter().flatten().filter_map(Value::as_str) {
        if !FEATURES.contains(&feature) {
            return Err(unsupported(format!("the Delta reader feature {feature:?}")));
        }
    }
    let mode = body.pointer("/configuration/delta.columnMapping.mode").and_then(Value::as_str);
    match mode.filter(|m| *m != "none") {
        Some(mode) => Err(unsupported(format!("Delta column mapping by {mode}"))),
        None => Ok(()),
    }
}

fn data_file(folder: &Path, log: &Path, body: &Value) -> Result<DataFile> {
    let text = body.get("path").and_then(Value::as_str).unwrap_or_default();
    let decoded = url_decoded(text);
    let relative = Path::new(&decoded);
    // A log is input like any other: it must not lead out of its folder.
    let inside = relative.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if text.is_empty() || !inside {
        return Err(damaged(log, "paths inside the table's folder", format!("{text:?}")));
    }
    let partitions = body.get("partitionValues").and_then(Value::as_object);
    let partitions = partitions.map(|stated| {
        // An empty text is null.
        let value = |value: &Value| value.as_str().filter(|v| !v.is_empty()).map(str::to_owned);
        stated.iter().map(|(name, of)| (name.clone(), value(of))).collect()
    });
    let path = folder.join(relative);
    let vector = body.get("deletionVector").filter(|vector| !vector.is_null()).cloned();
    Ok(DataFile { path, partitions, vector })
}

/// A path with its `%20` and the like undone.
pub(super) fn url_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_log_are_decoded_and_stay_inside() {
        assert_eq!(url_decoded("a%20b/c%3D1.parquet"), "a b/c=1.parquet");
        assert_eq!(url_decoded("100%"), "100%");
        let file = |path: &str| {
            let body = serde_json::json!({ "path": path, "partitionValues": { "p": "" } });
            data_file(Path::new("/t"), Path::new("/t/_delta_log/0.json"), &body)
        };
        assert!(file("x/part.parquet").is_ok_and(|f| f.partitions.unwrap()["p"].is_none()));
        for outside in ["../x", "/etc/x", "", "%2e%2e/x"] {
            assert!(file(outside).is_err(), "{outside}");
        }
    }
}
