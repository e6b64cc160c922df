//! Delta Lake's change data feed: exported rows, or the folder of the table itself.
//!
//! Exported rows bear `_change_type`, `_commit_version` and `_commit_timestamp`. Inside a
//! version rows have no order: deletes and old rows come first, and the halves of an
//! update meet by key. A table without a key is a multiset, which needs no pairs.
//!
//! Of a folder the log says which files hold the changes of each version: the
//! `cdc` files, else every row of the files that were added or removed by a change
//! of data. Values of partition columns are in the log alone. The commit time is
//! `inCommitTimestamp`, else the `timestamp` that the writer put into the log.
//!
//! Limits, refused and never guessed: deletion vectors in versions without
//! `cdc` files, column mapping, and versions whose log or files are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::Array;
use serde_json::Value;

use super::super::decode::{Clock, TableTarget};
use super::super::notes::Notes;
use super::super::position::PositionKind;
use super::clock::Instants;
use super::events::{Events, cells_of};
use super::pairs::{self, Alone, Half, Mark};
use super::raw::{Part, Raw, texts};
use super::versions::Keys;
use super::{Context, Found};
use crate::error::{At, Error, Result};
use crate::model::{DiscrepancyKind as Kind, NO_TIME};
use crate::plan::Ledger;
use crate::read::Spool;

const TYPE: &str = "_change_type";
const VERSION: &str = "_commit_version";
const TIME: &str = "_commit_timestamp";
/// What a reader may meet in a log without misreading its changes.
const FEATURES: &[&str] =
    &["deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "columnMapping"];

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    [TYPE, VERSION].iter().all(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Whether a column is one of the feed, not of the table.
pub(super) fn is_beside(name: &str) -> bool {
    [TYPE, VERSION, TIME, "_commit_timestamp_ms"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Whether a path is the folder of a Delta table.
pub(super) fn is_folder(path: &Path) -> bool {
    path.join("_delta_log").is_dir()
}

/// The rows of a ledger: of plain files, or of the files that a table's log names.
pub(super) fn raw(ledger: &Ledger, spool: &Spool) -> Result<Raw> {
    match ledger.paths.as_slice() {
        [folder] if is_folder(folder) => Raw::of_parts(parts(folder)?, folder, spool),
        _ => Raw::open(ledger, spool),
    }
}

/// Finds the changes.
pub(super) fn open(
    raw: &Raw,
    ledger: &Ledger,
    target: &TableTarget,
    context: &Context,
) -> Result<(Events, Found)> {
    let declared = &ledger.columns;
    let kind = raw.require(declared.op.as_ref(), &[TYPE], "the kind of change", "op")?;
    let version =
        raw.require(declared.commit_position.as_ref(), &[VERSION], "the commit version", "commit_position")?;
    let times = [TIME, "_commit_timestamp_ms"];
    let time = raw.find(declared.committed_at.as_ref(), &times)?;
    let own: Vec<usize> = [Some(kind), Some(version), time].into_iter().flatten().collect();
    let (cells, unknown) = cells_of(raw, target, &own);
    let mut found = Found::default();
    found.unknown_columns(unknown);
    let key = super::key_cells(raw, target, &cells)?;
    let keys = Keys::read(raw, target, &key, context)?;
    let keyless = target.schema.is_keyless();
    let mut instants = Instants::new(ledger.table.time_zone);
    let mut notes = Notes::default();
    let mut marks = Vec::new();
    for segment in 0..raw.segments() {
        let read = |column: usize| Ok::<_, Error>(texts(raw.read(segment, &[column], None)?.column(0)));
        let (kinds, versions) = (read(kind)?, read(version)?);
        let times = time.map(read).transpose()?;
        for local in 0..kinds.len() {
            let row = (raw.first(segment) + local as u64) as u32;
            let half = kinds.is_valid(local).then(|| kinds.value(local)).and_then(|word| half(word, keyless));
            let commit =
                versions.is_valid(local).then(|| versions.value(local).trim().parse::<u64>().ok()).flatten();
            let (Some(half), Some(commit)) = (half, commit) else {
                let word = if kinds.is_valid(local) { kinds.value(local) } else { "null" };
                let message = match commit {
                    None => "expected a commit version, found none: the record is set aside".to_owned(),
                    Some(_) => format!("unknown change type {word:?}: the record is set aside"),
                };
                found.push(raw, Kind::UnparsableRecord, row, message);
                continue;
            };
            let text = times.as_ref().filter(|t| t.is_valid(local)).map(|t| t.value(local));
            let time = text.and_then(|t| instants.read(t, None, u64::from(row) + 1, &mut notes));
            // Old rows before new ones; a row gives its changes an order that stays the same.
            let class = u128::from(matches!(half, Half::Insert | Half::After));
            let position = class << 64 | u128::from(row);
            let (time, commit) = (time.unwrap_or(NO_TIME), u128::from(commit) + 1);
            marks.push(Mark { row, half, commit, position, time, link: keys.ids[row as usize] });
        }
    }
    if instants.lacks_zone.is_some() {
        return Err(super::lacks_zone(raw));
    }
    found.notes(raw, notes.finish());
    let events = Events {
        events: pairs::events(marks, keyless, Alone::IsHalf),
        unlogged: vec![None; cells.len()],
        cells,
        mask: None,
        transaction: None,
        actor: None,
        kind: Some(PositionKind::Version),
        clock: Clock::Commit,
        empty_texts: context.empty_texts,
    };
    Ok((events, found))
}

/// Words of Delta, DuckLake and Iceberg.
fn half(word: &str, keyless: bool) -> Option<Half> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "insert" => Half::Insert,
        "delete" => Half::Delete,
        // Without a key an old row is one that went, and a new one that came.
        "update_preimage" | "update_before" if keyless => Half::Delete,
        "update_postimage" | "update_after" if keyless => Half::Insert,
        "update_preimage" | "update_before" => Half::Before,
        "update_postimage" | "update_after" => Half::After,
        _ => return None,
    })
}

// ---- the folder of a table ----

/// What the log says about one version.
#[derive(Debug, Default)]
struct Commit {
    timestamp: Option<i64>,
    in_commit: Option<i64>,
    changes: Vec<DataFile>,
    added: Vec<DataFile>,
    removed: Vec<DataFile>,
}

#[derive(Debug, Clone)]
struct DataFile {
    path: PathBuf,
    partitions: BTreeMap<String, Option<String>>,
    vector: bool,
}

/// The files that hold the changes of every version, with what the log says of them.
fn parts(folder: &Path) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut last: Option<u64> = None;
    for (version, path) in logs(folder)? {
        if let Some(gap) = last.filter(|l| l + 1 != version) {
            let found = format!("none of version {}", gap + 1);
            return Err(damaged(&path, "the log of every version in between", found));
        }
        last = Some(version);
        let commit = commit(folder, &path)?;
        let time = commit.in_commit.or(commit.timestamp).map(|t| t.to_string());
        let mut add = |file: &DataFile, kind: Option<&str>| {
            if !file.path.is_file() {
                let found = format!("no file {}", file.path.display());
                return Err(damaged(&path, "the files that it names", found));
            }
            let own = [(VERSION, Some(version.to_string())), (TIME, time.clone())];
            let own = own.into_iter().map(|(n, v)| (n.to_owned(), v));
            let kind = kind.map(|k| (TYPE.to_owned(), Some(k.to_owned())));
            let partitions = file.partitions.iter().map(|(n, v)| (n.clone(), v.clone()));
            let constants = own.chain(kind).chain(partitions).collect();
            parts.push(Part { path: file.path.clone(), constants });
            Ok(())
        };
        if !commit.changes.is_empty() {
            commit.changes.iter().try_for_each(|file| add(file, None))?;
            continue;
        }
        if let Some(file) = commit.added.iter().chain(&commit.removed).find(|f| f.vector) {
            let found = format!("a deletion vector of {}", file.path.display());
            return Err(damaged(&path, "change files or whole data files", found));
        }
        commit.removed.iter().try_for_each(|file| add(file, Some("delete")))?;
        commit.added.iter().try_for_each(|file| add(file, Some("insert")))?;
    }
    if parts.is_empty() {
        return Err(damaged(
            &folder.join("_delta_log"),
            "the log of a version with changes",
            "none".to_owned(),
        ));
    }
    Ok(parts)
}

fn damaged(path: &Path, expected: &str, found: String) -> Error {
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

fn commit(folder: &Path, path: &Path) -> Result<Commit> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
    let mut commit = Commit::default();
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
            "remove" if data => commit.removed.push(data_file(folder, path, body)?),
            "protocol" | "metaData" => check(path, body)?,
            _ => {}
        }
    }
    Ok(commit)
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
    let partitions = partitions.into_iter().flatten().map(|(name, value)| {
        // An empty text is null.
        (name.clone(), value.as_str().filter(|v| !v.is_empty()).map(str::to_owned))
    });
    let vector = body.get("deletionVector").is_some_and(|v| !v.is_null());
    Ok(DataFile { path: folder.join(relative), partitions: partitions.collect(), vector })
}

/// A path with its `%20` and the like undone.
fn url_decoded(text: &str) -> String {
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
        assert!(file("x/part.parquet").is_ok_and(|f| f.partitions["p"].is_none()));
        for outside in ["../x", "/etc/x", "", "%2e%2e/x"] {
            assert!(file(outside).is_err(), "{outside}");
        }
    }
}
