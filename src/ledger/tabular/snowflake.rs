//! Snowflake streams, copied into a table: `METADATA$ACTION`, `METADATA$ISUPDATE`, `METADATA$ROW_ID`.
//!
//! A stream is the net change between two moments: several updates of a row are one
//! pair, and a row that came and went between them is not there. It has no time and no
//! order of its own, so each batch that was consumed is one step; a column that
//! says when (a load time) or which (a batch number) tells batches apart. Without one
//! the whole ledger is a single step without a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};

use super::super::decode::{Clock, TableTarget};
use super::super::notes::Notes;
use super::super::position::{PositionKind, parse_position};
use super::clock::Instants;
use super::events::{Events, cells_of};
use super::pairs::{self, Alone, Half, Mark};
use super::raw::{Raw, texts};
use super::versions::Keys;
use super::{Context, Found};
use crate::error::{Error, Result};
use crate::model::canon::{self, Seed};
use crate::model::{DiscrepancyKind as Kind, NO_TIME};
use crate::plan::Ledger;

const ACTION: &[&str] = &["METADATA$ACTION", "METADATA_ACTION", "METADATA__ACTION"];
const IS_UPDATE: &[&str] = &["METADATA$ISUPDATE", "METADATA_ISUPDATE", "METADATA__ISUPDATE"];
const ROW_ID: &[&str] = &["METADATA$ROW_ID", "METADATA_ROW_ID", "METADATA__ROW_ID"];
const TIMES: &[&str] = &["loaded_at", "load_time", "load_ts", "consumed_at", "batch_time", "committed_at"];
const BATCHES: &[&str] = &["batch_id", "batch", "load_id", "run_id"];

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |usual: &[&str]| names.iter().any(|n| usual.iter().any(|u| n.eq_ignore_ascii_case(u)));
    has(ACTION) && has(IS_UPDATE)
}

/// Whether a column is one of the stream, or tells its batches apart, and not one of the table.
pub(super) fn is_beside(name: &str) -> bool {
    let own = [ACTION, IS_UPDATE, ROW_ID, TIMES, BATCHES].into_iter().flatten();
    own.into_iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Finds the changes of a consumed stream.
pub(super) fn open(
    raw: &Raw,
    ledger: &Ledger,
    target: &TableTarget,
    context: &Context,
) -> Result<(Events, Found)> {
    let declared = &ledger.columns;
    let action = raw.require(declared.op.as_ref(), ACTION, "the column METADATA$ACTION", "op")?;
    let update = raw.require(None, IS_UPDATE, "the column METADATA$ISUPDATE", "op")?;
    let row_id = raw.find(None, ROW_ID)?;
    let beside = |usual: &'static [&'static str]| -> Vec<&'static str> {
        // A column of the table is data, whatever its name.
        usual.iter().copied().filter(|n| !target.schema.names().any(|t| t.eq_ignore_ascii_case(n))).collect()
    };
    let time = raw.find(declared.committed_at.as_ref(), &beside(TIMES))?;
    let batch = raw.find(declared.position.as_ref(), &beside(BATCHES))?;
    let own: Vec<usize> = [Some(action), Some(update), row_id, time, batch].into_iter().flatten().collect();
    let (cells, unknown) = cells_of(raw, target, &own);
    let mut found = Found::default();
    found.unknown_columns(unknown);
    let key = super::key_cells(raw, target, &cells)?;
    let keys = Keys::read(raw, target, &key, context)?;
    let keyless = target.schema.is_keyless();
    let columns = MarkColumns { action, update, row_id, time, batch };
    let marks = columns.marks(raw, ledger, (&keys, keyless), &mut found)?;
    let kind = match (batch, time) {
        (Some(_), _) => PositionKind::Version,
        (None, _) => PositionKind::Instant,
    };
    let events = Events {
        events: pairs::events(marks, keyless, Alone::IsHalf),
        unlogged: vec![None; cells.len()],
        cells,
        mask: None,
        transaction: None,
        actor: None,
        kind: Some(kind),
        clock: Clock::Declared,
        empty_texts: context.empty_texts,
    };
    Ok((events, found))
}

/// The columns that say what rows are.
struct MarkColumns {
    action: usize,
    update: usize,
    row_id: Option<usize>,
    time: Option<usize>,
    batch: Option<usize>,
}

/// The same of one segment.
struct Columns {
    actions: Option<StringArray>,
    updates: Option<StringArray>,
    ids: Option<StringArray>,
    times: Option<StringArray>,
    batches: Option<StringArray>,
}

fn text(array: &Option<StringArray>, row: usize) -> Option<&str> {
    array.as_ref().filter(|a| a.is_valid(row)).map(|a| a.value(row).trim())
}

impl MarkColumns {
    fn marks(
        &self,
        raw: &Raw,
        ledger: &Ledger,
        (keys, keyless): (&Keys, bool),
        found: &mut Found,
    ) -> Result<Vec<Mark>> {
        let mut instants = Instants::new(ledger.table.time_zone);
        let (mut notes, mut marks, seed) = (Notes::default(), Vec::new(), Seed::random());
        for segment in 0..raw.segments() {
            let read = |column: Option<usize>| -> Result<Option<StringArray>> {
                column.map(|c| Ok::<_, Error>(texts(raw.read(segment, &[c], None)?.column(0)))).transpose()
            };
            let columns = Columns {
                actions: read(Some(self.action))?,
                updates: read(Some(self.update))?,
                ids: read(self.row_id)?,
                times: read(self.time)?,
                batches: read(self.batch)?,
            };
            let rows = (raw.first(segment + 1) - raw.first(segment)) as usize;
            for local in 0..rows {
                let row = (raw.first(segment) + local as u64) as u32;
                let time = text(&columns.times, local)
                    .and_then(|t| instants.read(t, None, u64::from(row) + 1, &mut notes));
                match columns.mark(local, row, (keys, keyless), (time, seed)) {
                    Ok(mark) => marks.push(mark),
                    Err(message) => found.push(raw, Kind::UnparsableRecord, row, message),
                }
            }
        }
        if instants.lacks_zone.is_some() {
            return Err(super::lacks_zone(raw));
        }
        found.notes(raw, notes.finish());
        Ok(marks)
    }
}

impl Columns {
    fn mark(
        &self,
        local: usize,
        row: u32,
        (keys, keyless): (&Keys, bool),
        (time, seed): (Option<i64>, Seed),
    ) -> Result<Mark, String> {
        let word = text(&self.updates, local).unwrap_or_default().to_ascii_lowercase();
        let is_update = matches!(word.as_str(), "true" | "t" | "1") && !keyless;
        let half = match text(&self.actions, local).unwrap_or_default().to_ascii_uppercase().as_str() {
            "INSERT" if is_update => Half::After,
            "DELETE" if is_update => Half::Before,
            "INSERT" => Half::Insert,
            "DELETE" => Half::Delete,
            other => return Err(format!("unknown action {other:?}: the record is set aside")),
        };
        let number = match text(&self.batches, local) {
            None => None,
            Some(text) => Some(parse_position(text).ok_or_else(|| {
                format!("expected a batch number, found {text:?}: the record is set aside")
            })?),
        };
        // Batch numbers and times do not compare, and a row without its mark would come before all others.
        let commit = match (&self.batches, &self.times) {
            (Some(_), _) => {
                number.map(|n| n + 1).ok_or("expected a batch number, found none: the record is set aside")?
            }
            (None, Some(_)) => time
                .map(PositionKind::of_instant)
                .ok_or("expected a commit time, found none: the record is set aside")?,
            (None, None) => 0,
        };
        let link = match text(&self.ids, local).filter(|_| is_update) {
            Some(id) => {
                let id: ArrayRef = Arc::new(StringArray::from(vec![id]));
                canon::key_ids(&[&id], seed)[0]
            }
            None => keys.ids[row as usize],
        };
        let class = u128::from(matches!(half, Half::Insert | Half::After));
        let position = class << 64 | u128::from(row);
        Ok(Mark { row, half, commit, position, time: time.unwrap_or(NO_TIME), link })
    }
}
