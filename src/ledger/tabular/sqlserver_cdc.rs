//! SQL Server's change tables, `cdc.<schema>_<table>_CT`.
//!
//! `__$operation` 1 is a delete, 2 an insert, 3 and 4 the two halves of an update, which
//! share `__$seqval`; 5 stands for insert or update in net changes. Order is
//! `__$start_lsn` (the commit), `__$command_id` where the table has it, `__$seqval`,
//! `__$operation`. The commit time is in `cdc.lsn_time_mapping` alone: joined into the
//! table as `tran_end_time`, or as a file of its own (`times` in the plan).
//!
//! What the table leaves out: large values are null in the old half of an update
//! unless they changed, which `__$update_mask` tells; `text`, `ntext` and `image` are
//! null in every old row, and computed columns in all. Such nulls are not data.

use std::collections::HashMap;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use base64::Engine as _;

use super::super::decode::{Clock, TableTarget};
use super::super::notes::Notes;
use super::super::position::{PositionKind, parse_change_lsn};
use super::clock::Instants;
use super::events::{Events, Mask, Unlogged, cells_of};
use super::pairs::{self, Alone, Half, Mark};
use super::raw::{Raw, texts};
use super::{Context, Found};
use crate::error::{At, Error, Result};
use crate::model::{DiscrepancyKind as Kind, NO_TIME};
use crate::plan::Ledger;
use crate::read::Spool;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    ["__$start_lsn", "__$operation"].iter().all(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Finds the changes of a change table.
pub(super) fn open(
    raw: &Raw,
    ledger: &Ledger,
    target: &TableTarget,
    context: &Context,
    spool: &Spool,
) -> Result<(Events, Found)> {
    let declared = &ledger.columns;
    let start = raw.require(
        declared.commit_position.as_ref(),
        &["__$start_lsn"],
        "the commit LSN",
        "commit_position",
    )?;
    let operation = raw.require(declared.op.as_ref(), &["__$operation"], "the operation", "op")?;
    let sequence = raw.find(declared.position.as_ref(), &["__$seqval"])?;
    let command = raw.find(None, &["__$command_id"])?;
    let mask = raw.find(None, &["__$update_mask"])?;
    let times = ["tran_end_time", "committed_at", "commit_time"];
    let time = raw.find(declared.committed_at.as_ref(), &times)?;
    let own: Vec<usize> = (0..raw.names().len())
        .filter(|&c| raw.names()[c].starts_with("__$") || Some(c) == time)
        .chain(["tran_begin_time", "tran_id"].iter().filter_map(|n| raw.column(n)))
        .collect();
    let (cells, unknown) = cells_of(raw, target, &own);
    let mut found = Found::default();
    found.unknown_columns(unknown);
    let mapping = match &ledger.times {
        Some(path) => Some(time_mapping(path, ledger, spool)?),
        None => None,
    };
    let columns = MarkColumns { start, operation, sequence, command, time, mask };
    let (marks, captured) = columns.marks(raw, (ledger, mapping), &mut found)?;
    let unlogged = unlogged(raw, target, &cells, &marks, context)?;
    tell_unlogged(target, &unlogged, &mut found);
    // Bits of the mask number the captured columns; an export without some of them cannot be read by it.
    let data: Vec<usize> = (0..raw.names().len()).filter(|c| !own.contains(c)).collect();
    let mask = mask.filter(|_| captured == Some(data.len())).map(|column| Mask {
        column,
        bits: cells.iter().map(|c| data.iter().position(|d| Some(*d) == *c)).collect(),
    });
    let large = |c: usize| large_type(target.schema.data_type(c)) && !target.schema.is_key(c);
    let unlogged = (0..target.schema.len())
        .map(|c| {
            unlogged[c].or_else(|| {
                large(c).then_some(if mask.is_some() { Unlogged::ByMask } else { Unlogged::Doubtful })
            })
        })
        .collect();
    let events = Events {
        events: pairs::events(marks, target.schema.is_keyless(), Alone::IsUpdate),
        cells,
        unlogged,
        mask,
        transaction: None,
        actor: None,
        kind: Some(PositionKind::ChangeTable),
        clock: Clock::Commit,
        empty_texts: context.empty_texts,
    };
    Ok((events, found))
}

fn tell_unlogged(target: &TableTarget, unlogged: &[Option<Unlogged>], found: &mut Found) {
    for (column, unlogged) in unlogged.iter().enumerate() {
        if *unlogged == Some(Unlogged::Before) {
            let name = target.schema.name(column);
            let message = format!(
                "old rows never hold {name:?}: its type is not logged before a change, so nulls there are not data"
            );
            found.column(Kind::AmbiguousNull, name, message);
        }
    }
}

/// The columns that say what rows are.
struct MarkColumns {
    start: usize,
    operation: usize,
    sequence: Option<usize>,
    command: Option<usize>,
    time: Option<usize>,
    mask: Option<usize>,
}

impl MarkColumns {
    /// What every row is, and how many columns are captured if a mask tells.
    fn marks(
        &self,
        raw: &Raw,
        (ledger, mapping): (&Ledger, Option<HashMap<u128, String>>),
        found: &mut Found,
    ) -> Result<(Vec<Mark>, Option<usize>)> {
        let (mut marks, mut captured) = (Vec::new(), None);
        let instants = Instants::new(ledger.table.time_zone);
        let mut clock = Times { instants, mapping, notes: Notes::default() };
        for segment in 0..raw.segments() {
            let read = |column: Option<usize>| -> Result<Option<StringArray>> {
                column.map(|c| Ok(texts(raw.read(segment, &[c], None)?.column(0)))).transpose()
            };
            let columns = Columns {
                start: read(Some(self.start))?,
                operation: read(Some(self.operation))?,
                sequence: read(self.sequence)?,
                command: read(self.command)?,
                time: read(self.time)?,
                mask: read(self.mask)?,
            };
            let rows = (raw.first(segment + 1) - raw.first(segment)) as usize;
            for local in 0..rows {
                let row = (raw.first(segment) + local as u64) as u32;
                match columns.mark(local, row, &mut clock) {
                    Ok(mark) => {
                        captured = captured.or_else(|| columns.captured(local, mark.half));
                        marks.push(mark);
                    }
                    Err(message) => found.push(raw, Kind::UnparsableRecord, row, message),
                }
            }
        }
        if clock.instants.lacks_zone.is_some() {
            return Err(super::lacks_zone(raw));
        }
        found.notes(raw, clock.notes.finish());
        Ok((marks, captured))
    }
}

/// The columns of one segment that say what its rows are.
struct Columns {
    start: Option<StringArray>,
    operation: Option<StringArray>,
    sequence: Option<StringArray>,
    command: Option<StringArray>,
    time: Option<StringArray>,
    mask: Option<StringArray>,
}

struct Times {
    instants: Instants,
    mapping: Option<HashMap<u128, String>>,
    notes: Notes,
}

fn at(array: &Option<StringArray>, row: usize) -> Option<&str> {
    array.as_ref().filter(|a| a.is_valid(row)).map(|a| a.value(row).trim())
}

impl Columns {
    fn mark(&self, local: usize, row: u32, times: &mut Times) -> Result<Mark, String> {
        let (half, number) = match at(&self.operation, local) {
            Some("1") => (Half::Delete, 1),
            Some("2") => (Half::Insert, 2),
            Some("3") => (Half::Before, 3),
            Some("4") => (Half::After, 4),
            Some("5") => (Half::Upsert, 5),
            other => {
                let other = other.unwrap_or("null");
                return Err(format!("unknown operation {other}: expected 1 to 5; the record is set aside"));
            }
        };
        let text = at(&self.start, local).ok_or("expected a commit LSN, found null")?;
        let commit = lsn(text).ok_or_else(|| format!("expected an LSN of 10 bytes, found {text:?}"))?;
        let sequence = match at(&self.sequence, local) {
            Some(text) => lsn(text).ok_or_else(|| format!("expected an LSN of 10 bytes, found {text:?}"))?,
            None => 0,
        };
        let command: u128 = match at(&self.command, local) {
            Some(text) => {
                text.parse::<u32>().map_err(|_| format!("expected a command id, found {text:?}"))?.into()
            }
            None => 0,
        };
        let text = match &times.mapping {
            Some(mapping) => mapping.get(&commit).map(String::as_str),
            None => at(&self.time, local),
        };
        let record = u64::from(row) + 1;
        let time = text.and_then(|t| times.instants.read(t, None, record, &mut times.notes));
        Ok(Mark {
            row,
            half,
            commit,
            position: command << 84 | sequence << 4 | number,
            time: time.unwrap_or(NO_TIME),
            link: sequence,
        })
    }

    /// How many columns are captured: inserts and deletes have all bits set.
    fn captured(&self, local: usize, half: Half) -> Option<usize> {
        let mask = at(&self.mask, local).filter(|_| matches!(half, Half::Insert | Half::Delete))?;
        bytes(mask).map(|bytes| bytes.iter().map(|b| b.count_ones() as usize).sum())
    }
}

/// Ten bytes as hexadecimal digits, with or without a leading `0x`, or as base64.
pub(super) fn lsn(text: &str) -> Option<u128> {
    parse_change_lsn(text).or_else(|| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok().filter(|b| b.len() == 10)?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte)))
    })
}

/// Bytes as hexadecimal digits or base64.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digit = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    if digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return (0..digits.len()).step_by(2).map(digit).collect();
    }
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// `cdc.lsn_time_mapping`: when the transaction of each commit LSN ended.
fn time_mapping(path: &std::path::Path, ledger: &Ledger, spool: &Spool) -> Result<HashMap<u128, String>> {
    let raw = Raw::of_files(&[path.to_owned()], &ledger.table, spool)?;
    let start =
        raw.require(None, &["start_lsn", "__$start_lsn"], "the column start_lsn", "commit_position")?;
    let end = raw.require(None, &["tran_end_time"], "the column tran_end_time", "committed_at")?;
    let mut mapping = HashMap::new();
    for segment in 0..raw.segments() {
        let starts = texts(raw.read(segment, &[start], None)?.column(0));
        let ends = texts(raw.read(segment, &[end], None)?.column(0));
        for row in (0..starts.len()).filter(|&r| starts.is_valid(r) && ends.is_valid(r)) {
            let lsn = lsn(starts.value(row)).ok_or_else(|| Error::Malformed {
                path: path.to_owned(),
                at: At::record(raw.record(segment, row)).column("start_lsn"),
                expected: "an LSN of 10 bytes".to_owned(),
                found: starts.value(row).to_owned(),
                hint: None,
            })?;
            mapping.insert(lsn, ends.value(row).to_owned());
        }
    }
    Ok(mapping)
}

/// Whether a column can be one of those that are logged in part only.
fn large_type(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}

/// Columns whose nulls say nothing: of old rows, or of all.
fn unlogged(
    raw: &Raw,
    target: &TableTarget,
    cells: &[Option<usize>],
    marks: &[Mark],
    context: &Context,
) -> Result<Vec<Option<Unlogged>>> {
    let mut halves: Vec<Option<Half>> = vec![None; raw.len() as usize];
    marks.iter().for_each(|m| halves[m.row as usize] = Some(m.half));
    let mut found = vec![None; cells.len()];
    for (column, cell) in cells.iter().enumerate().filter(|(c, _)| !target.schema.is_key(*c)) {
        let Some(cell) = cell else { continue };
        let (mut old, mut old_values, mut new_values) = (0_u64, 0_u64, 0_u64);
        for segment in 0..raw.segments() {
            let texts = texts(raw.read(segment, &[*cell], None)?.column(0));
            let first = raw.first(segment) as usize;
            for row in 0..texts.len() {
                match halves[first + row] {
                    Some(Half::Delete | Half::Before) => {
                        old += 1;
                        old_values += u64::from(texts.is_valid(row));
                    }
                    Some(_) => new_values += u64::from(texts.is_valid(row)),
                    None => {}
                }
            }
        }
        let filled = context.has_values.get(column) == Some(&true);
        found[column] = if old_values == 0 && new_values == 0 && filled && !marks.is_empty() {
            Some(Unlogged::Always)
        } else if old > 0 && old_values == 0 && new_values > 0 && large_type(target.schema.data_type(column))
        {
            Some(Unlogged::Before)
        } else {
            None
        };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_is_ten_bytes_in_any_notation() {
        let hex = lsn("0x0000002A000001C80003");
        assert!(hex.is_some());
        assert_eq!(lsn("0000002a000001c80003"), hex);
        assert_eq!(lsn("0000002a:000001c8:0003"), hex);
        assert_eq!(lsn("AAAAKgAAAcgAAw=="), hex);
        assert_eq!(lsn("0x2A"), None);
        assert_eq!(bytes("0x06"), Some(vec![6]));
    }
}
