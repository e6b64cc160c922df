//! wal2json, format versions 1 (one object per transaction) and 2 (one per change).
//!
//! Both come out of the same transaction log in commit order, and differ in what they leave out:
//!
//! | | version 1 | version 2 |
//! |---|---|---|
//! | old row with whole identity | without its nulls | with its nulls |
//! | unchanged large values | left out of the new row | left out of the new row |
//! | position of the commit | `nextlsn` | `lsn` of the `B` marker |
//! | truncates | only if asked for | yes |
//!
//! NaN and infinity are written as null unless all numbers are written as
//! texts, so nulls of float columns, and of numbers kept in text columns, are
//! ambiguous. Decimal columns cannot hold either, so a null there is a null.
//!
//! Without `B` and `C` markers, changes with the same transaction id and time
//! that follow each other are one transaction; without either, each change is
//! its own.
//!
//! Limits: rows that a filter, or a table without identity, dropped leave no
//! trace in the output.

mod records;

use arrow::datatypes::DataType;

use self::records::{Change, Record, RowImage};
use super::chunk;
use super::decode::{Clock, DecodeOptions, Decoded, Facts, Run, TableTarget, add_few};
use super::drift::{self, Shape, Whole};
use super::image::{Meta, Rows, Staged, Stated, Writer};
use super::json;
use super::notes::Notes;
use super::position::{PositionKind, parse_lsn};
use super::route::Routes;
use super::settle::Settle;
use crate::model::Op;
use crate::model::time::parse_instant;
use crate::read::JsonChunk;
use crate::read::cell::{CellBuilder, Misfit};

pub(super) use self::records::is_wal2json;

/// Decodes a chunk.
pub(super) fn decode(chunk: &JsonChunk, targets: &[TableTarget], options: &DecodeOptions) -> Decoded {
    let mut decoder = Decoder::new(targets, options);
    for record in &chunk.records {
        decoder.record = record.number;
        match chunk::value(chunk, record) {
            Ok(text) => decoder.value(text),
            Err(_) => decoder.notes.unparsable(None, record.number, "the record is not valid UTF-8"),
        }
    }
    decoder.finish()
}

struct Decoder<'o> {
    options: &'o DecodeOptions,
    rows: Vec<Rows<'o>>,
    routes: Routes<'o>,
    notes: Notes,
    decoded: Decoded,
    facts: Facts,
    record: u64,
    time: (String, Option<i64>),
}

/// What stands around a change: its transaction.
#[derive(Debug, Clone, Copy, Default)]
struct Around<'a> {
    transaction: Option<&'a str>,
    committed_at: Option<i64>,
}

impl<'o> Decoder<'o> {
    fn new(targets: &'o [TableTarget], options: &'o DecodeOptions) -> Self {
        Self {
            options,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            routes: Routes::new(targets),
            notes: Notes::default(),
            decoded: Decoded::default(),
            facts: Facts::default(),
            record: 0,
            time: (String::new(), None),
        }
    }

    fn value(&mut self, text: &str) {
        if text.trim_ascii() == "null" {
            return;
        }
        let record: Record<'_> = match serde_json::from_str(text) {
            Ok(record) => record,
            Err(error) => {
                let message = format!("expected a JSON object of wal2json: {error}");
                return self.notes.unparsable(None, self.record, message);
            }
        };
        let transaction = json::scalar(record.xid);
        let committed_at = json::scalar(record.timestamp).and_then(|text| self.committed_at(&text));
        let around = Around { transaction: transaction.as_deref(), committed_at };
        let mark = (json::integer(record.xid), committed_at);
        if let Some(changes) = record.change {
            return self.transaction(changes.get(), &record, around, mark);
        }
        match json::scalar(record.action).as_deref() {
            Some("B") => {
                let start = self.decoded.edge.places;
                let commit = json::scalar(record.lsn).and_then(|t| parse_lsn(&t));
                self.decoded.edge.runs.push(Run { start, commit, begins: true, mark, ..Run::default() });
            }
            Some("C") => match self.decoded.edge.runs.last_mut() {
                Some(run) => run.closed = true,
                None => self.decoded.edge.closes_head = true,
            },
            Some("M") => {}
            Some(_) => {
                self.join_run(mark, json::scalar(record.lsn).and_then(|t| parse_lsn(&t)));
                match Change::of_version_2(record) {
                    Ok(change) => self.change(&change, around),
                    Err(message) => self.unreadable(message),
                }
            }
            None => self.notes.unparsable(None, self.record, "expected `action` or `change`, found neither"),
        }
    }

    /// A change that cannot be read still has its place.
    fn unreadable(&mut self, message: String) {
        self.decoded.edge.places += 1;
        self.notes.unparsable(None, self.record, message);
    }

    /// All changes of a transaction in version 1.
    fn transaction(
        &mut self,
        changes: &str,
        record: &Record<'_>,
        around: Around<'_>,
        mark: (Option<u64>, Option<i64>),
    ) {
        let commit = json::scalar(record.nextlsn).and_then(|t| parse_lsn(&t));
        let start = self.decoded.edge.places;
        let read = json::elements(changes, |raw| match Change::of_version_1(raw) {
            Ok(Some(change)) => self.change(&change, around),
            Ok(None) => {}
            Err(message) => self.unreadable(message),
        });
        if let Err(error) = read {
            self.notes.unparsable(None, self.record, format!("expected a list of changes: {error}"));
        }
        if self.decoded.edge.places > start {
            let run = Run { start, commit, begins: true, closed: true, mark, ..Run::default() };
            self.decoded.edge.runs.push(run);
        }
    }

    /// Puts a change of version 2 into the run that it belongs to.
    fn join_run(&mut self, mark: (Option<u64>, Option<i64>), lsn: Option<u64>) {
        let edge = &mut self.decoded.edge;
        let joins = edge.runs.last().is_some_and(|run| {
            // A redelivery begins anew, at a lower LSN.
            !run.closed && (run.begins || run.mark == mark && run.last <= lsn)
        });
        if !joins {
            edge.runs.push(Run { start: edge.places, mark, first: lsn, ..Run::default() });
        }
        if let Some(run) = edge.runs.last_mut() {
            run.last = lsn;
        }
    }

    fn change(&mut self, change: &Change<'_>, around: Around<'_>) {
        let stream = self.decoded.edge.places;
        self.decoded.edge.places += 1;
        let Some(target) = self.routes.find([None, change.schema.clone(), change.table.clone()]) else {
            return;
        };
        let staged = self.stage(target, change);
        let meta = Meta {
            op: Some(change.op),
            record: self.record,
            stream,
            committed_at: around.committed_at,
            // Settled between chunks, from the runs.
            commit_position: Some(0),
            position: Some(0),
            transaction: around.transaction,
            actor: None,
            weak: false,
        };
        let rows = &mut self.rows[target];
        let lacking = match change.op {
            Op::Truncate => None,
            Op::Delete => staged.before.is_none().then_some("old"),
            _ => staged.after.is_none().then_some("new"),
        };
        if let Some(side) = lacking {
            let message = format!("expected the {side} row of this {}, found none", change.op.name());
            rows.shapes.end_record(false);
            return self.notes.unparsable(Some(target), self.record, message);
        }
        if rows.push(&meta, &staged, &mut Plain, &mut self.notes).is_err() {
            let message = "expected all columns of the key in the identity, found some missing";
            self.notes.unparsable(Some(target), self.record, message);
        }
    }

    fn stage<'r>(&mut self, target: usize, change: &Change<'r>) -> Staged<'r> {
        let rows = &mut self.rows[target];
        note_shapes(rows, change);
        let mut staged = Staged::default();
        if let Some(new) = &change.new {
            let mut cells = rows.blank(Stated::Absent);
            if change.op == Op::Update {
                leave_out_large(rows.target, &mut cells);
            }
            fill(rows, &mut self.facts, new, &mut cells);
            staged.after = Some(cells);
        }
        if let Some(old) = &change.old {
            let mut cells = rows.blank(Stated::Absent);
            fill(rows, &mut self.facts, &old.cells, &mut cells);
            if old.leaves_out_nulls {
                left_out_nulls(rows, &mut cells, staged.after.as_deref());
            }
            staged.before = Some(cells);
        } else if change.op == Op::Update && !rows.target.schema.is_keyless() {
            // Without an identity in the record the key did not change.
            staged.before = Some(rows.blank(Stated::Absent));
            rows.share_key(&mut staged);
        }
        if let (Some(before), Some(after)) = (&mut staged.before, &staged.after) {
            // What an update did not touch, it did not touch on either side.
            let pairs = before.iter_mut().zip(after);
            pairs
                .filter(|(b, a)| **a == Stated::LeftOutNew && **b == Stated::Absent)
                .for_each(|(b, a)| *b = *a);
        }
        staged
    }

    fn committed_at(&mut self, text: &str) -> Option<i64> {
        if self.time.0 != text {
            let instant = parse_instant(text, self.options.time_zone);
            if let Err(reason) = instant {
                let message = format!("expected a time with offset, found {text:?} ({reason:?})");
                self.notes.unparsable(None, self.record, message);
            }
            self.time = (text.to_owned(), instant.ok());
        }
        self.time.1
    }

    fn finish(mut self) -> Decoded {
        let edge = &mut self.decoded.edge;
        if !edge.runs.is_empty() {
            let stated = edge.runs.iter().any(|r| r.commit.is_some());
            edge.kind = Some(if stated { PositionKind::Lsn } else { PositionKind::Ordinal });
        }
        edge.clock = Some(Clock::Commit);
        let quoted = self.facts.quoted_numbers || self.options.facts.quoted_numbers;
        let non_finite = if quoted { Some(false) } else { self.options.non_finite };
        for (index, mut rows) in self.rows.into_iter().enumerate() {
            self.decoded.shapes.push(rows.take_shapes());
            let facts = self.options.facts.target(index);
            let settle = Settle { facts: &facts, full_identity: None, non_finite, refused: &[] };
            rows.note_unknown(&mut self.notes);
            let (batch, facts, used) = rows.finish(&settle);
            self.decoded.changes.push(batch);
            self.facts.targets.push(facts);
            edge.used.push(used);
        }
        self.decoded.tables = self.routes.finish();
        self.decoded.facts = self.facts;
        self.decoded.notes = self.notes.finish();
        self.decoded
    }
}

/// Says which columns the images of a change carry. The new row of an insert is whole; that of an update
/// lacks large values that did not change. An old row is whole if it has more than the key and all that
/// the new one has, but in version 1 it lacks its nulls.
fn note_shapes(rows: &mut Rows<'_>, change: &Change<'_>) {
    let hash = |row: &RowImage<'_>| {
        row.iter().fold(0, |sum: u64, c| sum.wrapping_add(drift::column_hash(&c.0, c.1.as_deref())))
    };
    let schema = &rows.target.schema;
    let shape = |row: &RowImage<'_>| {
        Shape::new(schema, row.iter().map(|c| (c.0.as_ref(), c.1.as_deref().map(str::to_owned))))
    };
    if let Some(new) = &change.new {
        let whole = if change.op == Op::Insert { Whole::Yes } else { Whole::FixedWidth };
        rows.shapes.note(1, hash(new), whole, || shape(new));
    }
    if let Some(old) = &change.old {
        let has = |name: &str| old.cells.iter().any(|c| c.0 == name);
        let is_whole = |new: &RowImage<'_>| {
            old.cells.len() > schema.key().len()
                && (hash(new) == hash(&old.cells) || new.iter().all(|c| has(&c.0)))
        };
        let whole = !old.leaves_out_nulls && change.new.as_ref().is_some_and(is_whole);
        let whole = if whole { Whole::Yes } else { Whole::No };
        rows.shapes.note(0, hash(&old.cells), whole, || shape(&old.cells));
    }
}

/// Values as the JSON says, in PostgreSQL's text form.
struct Plain;

impl Writer for Plain {
    fn write(&mut self, cells: &mut CellBuilder, _column: usize, raw: &str) -> Result<(), Misfit> {
        cells.push_json(raw)
    }
}

/// Puts the stated cells of a row in their columns, and learns how its numbers are written.
fn fill<'r>(rows: &mut Rows<'_>, facts: &mut Facts, row: &RowImage<'r>, cells: &mut [Stated<'r>]) {
    let mut expected = 0;
    for (name, kind, raw) in row {
        let Some(column) = rows.names.find(name, expected) else {
            expected += 1;
            continue;
        };
        expected = column + 1;
        cells[column] = raw.map_or(Stated::Null, Stated::Json);
        let quoted = raw.is_some_and(|r| r.starts_with('"'));
        match (number_kind(rows.target.schema.data_type(column)), kind.as_deref()) {
            (Holds::Floats, kind) => {
                rows.facts.non_finite[column] = true;
                rows.facts.quoted[column] |= quoted;
                facts.quoted_numbers |= quoted && kind.is_some_and(is_number);
            }
            (Holds::Texts, Some(kind)) if is_number(kind) => {
                rows.facts.non_finite[column] |= may_be_nan(kind);
                facts.quoted_numbers |= quoted;
            }
            // Without types, only numbers stand there without quotes, other than truth values.
            (Holds::Texts, None) => {
                let number = raw.is_some_and(|r| r.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
                rows.facts.non_finite[column] |= number;
            }
            (Holds::Others, Some(kind)) if quoted && is_number(kind) => facts.quoted_numbers = true,
            _ => {}
        }
    }
}

/// What a column can hold of the values that wal2json cannot write as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Floats,
    Texts,
    Others,
}

fn number_kind(data_type: &DataType) -> Holds {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Holds::Floats,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Holds::Texts,
        _ => Holds::Others,
    }
}

/// Whether a type is one of the seven whose values stand without quotes.
fn is_number(kind: &str) -> bool {
    may_be_nan(kind) || matches!(kind, "smallint" | "integer" | "bigint" | "int2" | "int4" | "int8" | "oid")
}

fn may_be_nan(kind: &str) -> bool {
    let bare = kind.split('(').next().unwrap_or(kind).trim();
    matches!(bare, "numeric" | "decimal" | "double precision" | "real" | "float4" | "float8")
}

/// In the new row of an update, columns that can hold large values may be left out because they did not change.
fn leave_out_large(target: &TableTarget, cells: &mut [Stated<'_>]) {
    for (cell, field) in cells.iter_mut().zip(target.schema.arrow().fields()) {
        let fixed = field.data_type().is_primitive() || *field.data_type() == DataType::Boolean;
        if !fixed {
            *cell = Stated::LeftOutNew;
        }
    }
}

/// Marks what version 1 leaves out of a whole old row, and learns whether old rows are whole.
fn left_out_nulls(rows: &mut Rows<'_>, old: &mut [Stated<'_>], new: Option<&[Stated<'_>]>) {
    let schema = &rows.target.schema;
    let beyond_key = (0..old.len()).any(|c| !schema.is_key(c) && old[c].is_stated());
    let whole_key = schema.key().iter().all(|&k| old[k].is_stated());
    if !beyond_key || !whole_key {
        return;
    }
    if !schema.is_keyless() {
        let list: Vec<u8> = old.iter().map(|c| u8::from(c.is_stated())).collect();
        add_few(&mut rows.facts.old_lists, &[xxhash_rust::xxh3::xxh3_64(&list)], 2);
        if let Some(new) = new {
            let misfit = old.iter().zip(new).any(|(o, n)| !o.is_stated() && matches!(n, Stated::Json(_)));
            *(if misfit { &mut rows.facts.old_misfits } else { &mut rows.facts.old_fits }) += 1;
        }
    }
    old.iter_mut().filter(|c| !c.is_stated()).for_each(|c| *c = Stated::LeftOutOld);
}

#[cfg(test)]
mod tests;
