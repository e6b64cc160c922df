//! Delta Lake's change data feed: exported rows, or the folder of the table itself.
//!
//! Exported rows bear `_change_type`, `_commit_version` and `_commit_timestamp`. Inside a
//! version rows have no order: deletes and old rows come first, and the halves of an
//! update meet by key. A table without a key is a multiset, which needs no pairs.
//!
//! Of a folder its log says which rows of which files changed: see `delta_log`.

use std::path::Path;

use arrow::array::Array;

use super::super::decode::{Clock, TableTarget};
use super::super::notes::Notes;
use super::super::position::PositionKind;
use super::clock::Instants;
use super::events::{Events, cells_of};
use super::pairs::{self, Alone, Half, Mark};
use super::raw::{Raw, texts};
use super::versions::Keys;
use super::{Context, Found, delta_log};
use crate::error::{Error, Result};
use crate::model::{DiscrepancyKind as Kind, NO_TIME};
use crate::plan::Ledger;
use crate::read::Spool;

pub(super) const TYPE: &str = "_change_type";
pub(super) const VERSION: &str = "_commit_version";
pub(super) const TIME: &str = "_commit_timestamp";

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
        [folder] if is_folder(folder) => {
            let (parts, beside) = delta_log::parts(folder, spool)?;
            Raw::of_parts(parts, beside, folder, spool)
        }
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
