//! MySQL's and MariaDB's binary log as `mysqlbinlog -vv --base64-output=decode-rows` prints it.
//!
//! ```text
//!  text ──► chunks ──► lines ──► transactions of row texts ──► here: columns, ops, cells
//! ```
//!
//! Rows name their columns by number, so a row belongs to the table's columns in
//! order, unless the log describes them (`--print-table-metadata`). A table WITH
//! SYSTEM VERSIONING has two more, hidden columns at its end: a row that gets an
//! end is deleted, and rows that come with one are history and no changes.
//! Position is file, offset of the first rows event of a statement, and row.
//!
//! Limits: header times are whole seconds of the tool's time zone, unless the
//! server records commit times (MySQL 8). Changes that a foreign key cascades to,
//! and statements logged as such, are not in the log; the latter are reported.
//! A column order that an `ALTER TABLE` changed without changing the number of
//! columns cannot be seen in a log without metadata.

mod chunks;
mod described;
mod lines;
mod sizes;
mod statement;
mod text;
mod values;
mod versioned;

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

pub(super) use self::chunks::BinlogChunks;
use self::described::DescribedColumn;
use self::lines::{Cell, Change, Escapes, Reader, Said, Transaction, split_comment};
use self::statement::{Kind, statement};
use self::values::{Columns, Values};
use self::versioned::{Versioned, versioned_op};
use super::decode::{Clock, DecodeOptions, Decoded, TableTarget};
use super::image::{Meta, Rows, Staged, Stated};
use super::notes::Notes;
use super::position::{PositionKind, binlog_file, binlog_position};
use super::route::Routes;
use super::settle::Settle;
use crate::model::time::parse_instant;
use crate::model::{DiscrepancyKind, Op};
use crate::read::JsonChunk;

/// Whether a text begins like a decoded binary log.
pub(super) fn is_binlog(head: &[u8]) -> bool {
    let has = |part: &[u8]| head.windows(part.len()).any(|w| w == part);
    has(b"DELIMITER /*!*/;") && (has(b"# at ") || has(b"PSEUDO_SLAVE_MODE") || has(b"PSEUDO_REPLICA_MODE"))
}

/// Decodes a chunk.
pub(super) fn decode(chunk: &JsonChunk, targets: &[TableTarget], options: &DecodeOptions) -> Decoded {
    let mut decoder = Decoder::new(targets, options);
    for record in &chunk.records {
        let mut reader = Reader::default();
        let before = chunk.text.get(..record.start).unwrap_or_default();
        for line in lines(before) {
            reader.read(line);
        }
        reader.line = record.line.saturating_sub(1);
        for line in lines(chunk.bytes(record)) {
            reader.line += 1;
            for said in reader.read(line) {
                decoder.said(said, &reader);
            }
        }
        if let Some(said) = reader.finish() {
            decoder.said(said, &reader);
        }
    }
    decoder.finish()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|l| !l.is_empty())
}

/// The tables that a text names with their columns, by name where it describes them, else by number.
pub(super) fn tables(chunk: &JsonChunk) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut versioned = Versioned::default();
    let mut reader = Reader::default();
    for line in lines(&chunk.text) {
        for said in reader.read(line) {
            let (Said::Committed(transaction) | Said::Abandoned(transaction)) = said else { continue };
            versioned.learn(&transaction);
            for change in &transaction.changes {
                let key = (change.database.clone().into_owned(), change.table.clone().into_owned());
                let described = reader.described.get(&key).map(|d| d.columns.as_slice()).unwrap_or_default();
                let highest = change.before.iter().chain(&change.after).map(|c| c.ordinal).max().unwrap_or(0);
                let shown = if versioned.has(change) { highest.saturating_sub(2) } else { highest };
                let name = |at: usize| {
                    let name = described.get(at).and_then(|column| column.name.clone());
                    name.unwrap_or_else(|| format!("@{}", at + 1))
                };
                let columns = tables.entry(format!("{}.{}", change.database, change.table)).or_default();
                columns.extend((columns.len()..shown).map(name));
            }
        }
    }
    tables
}

struct Decoder<'o> {
    options: &'o DecodeOptions,
    rows: Vec<Rows<'o>>,
    types: Vec<Vec<DataType>>,
    columns: Vec<Columns>,
    routes: Routes<'o>,
    notes: Notes,
    decoded: Decoded,
    time: (String, Option<i64>),
    versioned: Versioned,
}

/// Which columns of a table the numbers of a record mean.
struct Order<'d> {
    columns: Vec<Option<usize>>,
    described: Option<Vec<Option<&'d DescribedColumn>>>,
    /// The number of the hidden column in which a version's end stands.
    end: Option<usize>,
}

impl<'o> Decoder<'o> {
    fn new(targets: &'o [TableTarget], options: &'o DecodeOptions) -> Self {
        let types =
            |t: &TableTarget| t.schema.arrow().fields().iter().map(|f| f.data_type().clone()).collect();
        let columns = |(index, target): (usize, &TableTarget)| {
            let label = |name: &str| {
                let mut declared = options.labels.get(index).into_iter().flatten();
                let found = declared.find(|(column, _)| column == name);
                found.map(|(_, labels)| labels.clone()).unwrap_or_default()
            };
            Columns {
                uuids: options.uuids.get(index).cloned().unwrap_or_default(),
                labels: target.schema.names().map(label).collect(),
            }
        };
        Self {
            options,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            types: targets.iter().map(types).collect(),
            columns: targets.iter().enumerate().map(columns).collect(),
            routes: Routes::new(targets),
            notes: Notes::default(),
            decoded: Decoded::default(),
            time: (String::new(), None),
            versioned: Versioned::default(),
        }
    }

    fn said(&mut self, said: Said<'_>, reader: &Reader<'_>) {
        match said {
            Said::Committed(transaction) => self.transaction(&transaction, reader),
            Said::Abandoned(transaction) => {
                let message = format!(
                    "{} changes whose transaction was rolled back, or whose end the text does not have",
                    transaction.changes.len()
                );
                let line = transaction.changes.first().map_or(0, |change| change.line);
                self.notes.unparsable(None, line, message);
            }
            Said::Statement { sql, database, transaction, offset, file, line } => {
                self.transaction(&transaction, reader);
                self.statement(&sql, &database, &transaction, (offset, file, line), reader);
            }
        }
    }

    fn transaction(&mut self, transaction: &Transaction<'_>, reader: &Reader<'_>) {
        self.versioned.learn(transaction);
        for change in &transaction.changes {
            let committed_at = match transaction.committed_us {
                Some(_) => self.committed_at(transaction),
                None => transaction.time.or(change.time).and_then(|time| self.instant(time)),
            };
            let parts = [None, Some(change.database.clone()), Some(change.table.clone())];
            let stream = self.decoded.edge.places;
            self.decoded.edge.places += 1;
            let Some(target) = self.routes.find(parts) else { continue };
            let position = self.position(change.file, reader, change.offset, change.row);
            let meta = Meta {
                op: Some(change.op),
                record: change.line,
                stream,
                committed_at,
                position,
                transaction: transaction.id.as_deref(),
                ..Meta::default()
            };
            self.change(target, change, meta, reader);
        }
    }

    fn change(&mut self, target: usize, change: &Change<'_>, mut meta: Meta<'_>, reader: &Reader<'_>) {
        let key = (change.database.clone().into_owned(), change.table.clone().into_owned());
        let described = reader.described.get(&key).map(|d| d.columns.as_slice());
        let order = match self.order(target, change, described) {
            Ok(order) => order,
            Err(message) => return self.notes.unparsable(Some(target), change.line, message),
        };
        let Some(op) = versioned_op(change, order.end) else { return };
        meta.op = Some(op);
        let staged = self.stage(target, change, op, &order);
        let mut values = Values {
            types: &self.types[target],
            columns: &self.columns[target],
            described: order.described.as_deref(),
            escapes: change.escapes,
            zone: self.options.time_zone,
            as_text: self.options.as_text,
        };
        if self.rows[target].push(&meta, &staged, &mut values, &mut self.notes).is_err() {
            let message = "expected the key in the row's images, found none";
            self.notes.unparsable(Some(target), change.line, message);
        }
    }

    /// Which columns a change's numbers mean.
    fn order<'d>(
        &self,
        target: usize,
        change: &Change<'_>,
        described: Option<&'d [DescribedColumn]>,
    ) -> Result<Order<'d>, String> {
        let schema = &self.rows[target].target.schema;
        let names =
            described.filter(|columns| columns.iter().all(|c| c.name.is_some()) && !columns.is_empty());
        if let Some(columns) = names {
            let place = |c: &DescribedColumn| c.name.as_deref().and_then(|name| schema.column(name));
            let places: Vec<Option<usize>> = columns.iter().map(place).collect();
            let of = |column| columns.iter().zip(&places).find(|(_, p)| **p == Some(column)).map(|(c, _)| c);
            let hidden = columns.len() >= 2 && places[columns.len() - 2..] == [None, None];
            let end = hidden.then_some(columns.len()).filter(|_| self.versioned.has(change));
            return Ok(Order { described: Some((0..schema.len()).map(of).collect()), columns: places, end });
        }
        let highest = change.before.iter().chain(&change.after).map(|c| c.ordinal).max().unwrap_or(0);
        let columns = (0..schema.len()).map(Some).collect();
        let whole = [&change.before, &change.after].into_iter().any(|image| image.len() == highest);
        match highest.checked_sub(schema.len()) {
            Some(0) | None if highest == schema.len() || !whole => {
                Ok(Order { columns, described: None, end: None })
            }
            Some(2) if self.versioned.has(change) => {
                Ok(Order { columns, described: None, end: Some(highest) })
            }
            _ => Err(format!(
                "expected a row of the table's {} columns, found one of {highest}, and the log does not name \
                 them (print it with --print-table-metadata)",
                schema.len()
            )),
        }
    }

    fn stage<'r>(&mut self, target: usize, change: &'r Change<'_>, op: Op, order: &Order<'_>) -> Staged<'r> {
        let unproven = change.escapes == Escapes::Unproven;
        let mut lost = Vec::new();
        let rows = &mut self.rows[target];
        let mut image = |cells: &'r [Cell<'_>], missing: Stated<'static>| {
            let mut image = rows.blank(missing);
            for cell in cells {
                let column =
                    cell.ordinal.checked_sub(1).and_then(|at| order.columns.get(at).copied().flatten());
                let Some(column) = column else { continue };
                image[column] = match split_comment(&cell.text).0 {
                    "NULL" => Stated::Null,
                    _ if unproven && cell.escaped && !is_uuid(&self.columns[target], column, cell) => {
                        lost.push(column);
                        Stated::Absent
                    }
                    _ => Stated::Json(&cell.text),
                };
            }
            image
        };
        let mut staged = Staged::default();
        if op != Op::Insert {
            let missing = if op == Op::Update { Stated::Unchanged } else { Stated::Absent };
            staged.before = Some(image(&change.before, missing));
        }
        if op != Op::Delete {
            // A row image leaves out what the statement did not set.
            let missing = if op == Op::Update { Stated::Unchanged } else { Stated::Absent };
            staged.after = Some(image(&change.after, missing));
        }
        if let (Some(before), Some(after)) = (&mut staged.before, &mut staged.after) {
            for (old, new) in before.iter_mut().zip(after) {
                if *old == Stated::Unchanged && *new != Stated::Unchanged {
                    *old = Stated::Absent;
                }
            }
        }
        rows.share_key(&mut staged);
        for column in lost {
            let name = rows.target.schema.name(column).to_owned();
            let message = "a backslash that may be one or begin an escape, and the size of the event does not \
                           tell; the cell counts as not recorded";
            self.notes.add(DiscrepancyKind::LossyValue, Some(target), change.line, Some(&name), message);
        }
        staged
    }

    /// A statement: it empties a table, changes its definition, or is one whose changes are not here.
    fn statement(
        &mut self,
        sql: &str,
        database: &str,
        transaction: &Transaction<'_>,
        (offset, file, line): (u64, Option<usize>, u64),
        reader: &Reader<'_>,
    ) {
        let Some((kind, tables)) = statement(sql, database) else { return };
        for (row, [database, table]) in (0..).zip(tables) {
            let parts = [None, Some(database.into()), Some(table.into())];
            if kind != Kind::Empties {
                let Some(target) = self.routes.target(&parts) else { continue };
                let shown: String = sql.chars().take(60).collect();
                match kind {
                    Kind::Defines => self.notes.add(
                        DiscrepancyKind::SchemaDrift,
                        Some(target),
                        line,
                        None,
                        format!(
                            "the table's definition changed here ({shown}); rows before it are read by the columns of today"
                        ),
                    ),
                    _ => self.notes.unparsable(
                        Some(target),
                        line,
                        format!("a statement stands here instead of its rows ({shown}); what it changed is not known"),
                    ),
                }
                continue;
            }
            let stream = self.decoded.edge.places;
            self.decoded.edge.places += 1;
            let Some(target) = self.routes.find(parts) else { continue };
            let meta = Meta {
                op: Some(Op::Truncate),
                record: line,
                stream,
                committed_at: self.committed_at(transaction),
                position: self.position(file, reader, offset, row),
                transaction: transaction.id.as_deref(),
                ..Meta::default()
            };
            let mut values = Values {
                types: &self.types[target],
                columns: &self.columns[target],
                described: None,
                escapes: Escapes::Controls,
                zone: None,
                as_text: false,
            };
            // A truncate has no image that could lack a key.
            let _ = self.rows[target].push(&meta, &Staged::default(), &mut values, &mut self.notes);
        }
    }

    fn position(&mut self, file: Option<usize>, reader: &Reader<'_>, offset: u64, row: u32) -> Option<u128> {
        let name = file.and_then(|file| reader.files.get(file)).map_or("log.000001", String::as_str);
        let (stem, number) = binlog_file(name).unwrap_or(("log.", 1));
        let edge = &mut self.decoded.edge;
        match &edge.kind {
            Some(PositionKind::Binlog(known)) => edge.incomparable |= known != stem,
            _ => edge.kind = Some(PositionKind::Binlog(stem.to_owned())),
        }
        Some(binlog_position(number, offset, row))
    }

    fn committed_at(&mut self, transaction: &Transaction<'_>) -> Option<i64> {
        if let Some(micros) = transaction.committed_us {
            self.decoded.edge.clock = Some(Clock::Commit);
            return micros.checked_mul(1_000);
        }
        self.instant(transaction.time?)
    }

    /// `261122  6:34:32`, in the time zone of the tool.
    fn instant(&mut self, (text, line): (&str, u64)) -> Option<i64> {
        self.decoded.edge.clock.get_or_insert(Clock::Statement);
        self.decoded.edge.whole_seconds = true;
        if self.time.0 != text {
            let (date, time) = text.split_once(' ')?;
            let parts = [date.get(..2)?, date.get(2..4)?, date.get(4..6)?];
            let time = time.trim();
            let pad = if time.len() == 7 { "0" } else { "" };
            let instant = format!("20{}-{}-{} {pad}{time}", parts[0], parts[1], parts[2]);
            let instant = parse_instant(&instant, self.options.time_zone);
            if instant == Err(crate::model::time::NotAnInstant::NoZone) {
                self.decoded.lacks_zone.get_or_insert(line);
            } else if let Err(reason) = instant {
                let message = format!("expected a time, found {text:?} ({reason:?})");
                self.notes.unparsable(None, line, message);
            }
            self.time = (text.to_owned(), instant.ok());
        }
        self.time.1
    }

    fn finish(mut self) -> Decoded {
        for (index, rows) in self.rows.into_iter().enumerate() {
            let facts = self.options.facts.target(index);
            let settle = Settle { facts: &facts, full_identity: None, non_finite: Some(false), refused: &[] };
            rows.note_unknown(&mut self.notes);
            let (batch, facts, used) = rows.finish(&settle);
            self.decoded.changes.push(batch);
            self.decoded.facts.targets.push(facts);
            self.decoded.edge.used.push(used);
        }
        self.decoded.tables = self.routes.finish();
        self.decoded.notes = self.notes.finish();
        self.decoded
    }
}

/// The bytes of a UUID have a length of their own, which proves how they are read.
fn is_uuid(columns: &Columns, column: usize, cell: &Cell<'_>) -> bool {
    let kind = split_comment(&cell.text).1.unwrap_or("");
    columns.uuids.get(column) == Some(&true) && kind.starts_with("STRING(16)")
}

#[cfg(test)]
mod tests;
