//! Field histories: one row per changed field of one record, with its old and its new value.
//!
//! ```text
//!  record  field   old  new  time          change: update of a1
//!  a1      state   1    2    10:00   ─►      before  state=1  note=x  all others unchanged
//!  a1      note    x    y    10:00           after   state=2  note=y  all others unchanged
//! ```
//!
//! Rows of one save are one change, of which only the named cells are known; all
//! others are untouched, so every column has a chain of its own. Rows that only say
//! that a field changed, values that were cut off and values that stand for what was
//! not recorded are absent. Which rows belong together and in which order is found
//! before any value is copied (`field_order`).
//!
//! Limit: a record is named by one text. A key of several columns needs the widths
//! of its parts (`key_widths`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use chrono_tz::Tz;

use super::super::decode::{Clock, DecodeOptions, Decoded, TableTarget};
use super::super::image::{Meta, Rows, Staged, Stated, Writer};
use super::super::notes::Notes;
use super::super::position::PositionKind;
use super::super::route::Routes;
use super::super::settle::Settle;
use super::field_order::{self, Change, Ordered};
use super::raw::{Raw, texts};
use super::{Context, Found};
use crate::error::Result;
use crate::model::{Op, TableSchema};
use crate::plan::Ledger;
use crate::read::cell::{CellBuilder, Misfit};

/// Which column means what. Numbers are columns of the raw table.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// What names the changed record.
    pub(super) record: usize,
    pub(super) table: Option<usize>,
    pub(super) field: usize,
    /// How the field is called where that is not its name.
    pub(super) label: Option<usize>,
    pub(super) old: usize,
    pub(super) new: usize,
    /// The values as people see them, where the others are ids.
    pub(super) labels: Option<(usize, usize)>,
    pub(super) time: Times,
    pub(super) actor: Option<usize>,
    pub(super) kind: Option<usize>,
    /// More that tells what a row is.
    pub(super) flag: Option<usize>,
    /// What tells the changes of a record apart, and orders those of one instant.
    pub(super) change: Option<usize>,
    pub(super) transaction: Option<usize>,
    /// What a row is known by when it comes again.
    pub(super) identity: Vec<usize>,
    /// Number of the record in its file, where a row is only a part of one.
    pub(super) number: Option<usize>,
    pub(super) options: FieldOptions,
    pub(super) system: &'static dyn System,
}

/// Where the time of a row stands.
#[derive(Debug, Clone)]
pub(super) enum Times {
    One(usize),
    /// Date and time of day.
    Two(usize, usize),
    /// In another table, by this column: time and actor.
    Joined(usize, HashMap<String, (String, Option<String>)>),
}

/// What the plan says of values and names.
#[derive(Debug, Clone, Default)]
pub(super) struct FieldOptions {
    /// Values of that many characters may be cut off.
    pub(super) limit: Option<usize>,
    pub(super) placeholder: Option<String>,
    /// Fields that columns are called differently from.
    pub(super) aliases: Vec<(String, String)>,
    pub(super) key_widths: Vec<usize>,
    /// Null texts are empty ones in the dataset's own files.
    pub(super) empty_texts: bool,
}

impl FieldOptions {
    pub(super) fn of(ledger: &Ledger, limit: Option<usize>) -> Self {
        Self {
            limit: ledger.value_limit.or(limit),
            placeholder: ledger.placeholder.clone(),
            aliases: ledger.fields.clone(),
            key_widths: ledger.key_widths.clone(),
            empty_texts: false,
        }
    }

    fn value<'a>(&self, text: Option<&'a str>) -> Value<'a> {
        let Some(text) = text else { return Value::Empty };
        let cut = self.limit.is_some_and(|limit| text.chars().count() >= limit);
        if cut || self.placeholder.as_deref() == Some(text) { Value::Lost } else { Value::Text(text) }
    }
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Means {
    /// The record ceased to be; values are those that it had.
    Deleted,
    /// It came into being; values are those that it got.
    Created,
    Change,
    Unknown,
}

/// What a row says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// There was none.
    Empty,
    /// It is not recorded.
    Lost,
}

/// Of a change told twice, which one a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Ids,
    Names,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) field: &'a str,
    pub(super) label: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) flag: Option<&'a str>,
    pub(super) old: Value<'a>,
    pub(super) new: Value<'a>,
    /// The values as people see them.
    pub(super) labels: (Value<'a>, Value<'a>),
    pub(super) part: Part,
}

/// What a row says of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) column: usize,
    pub(super) old: Value<'a>,
    pub(super) new: Value<'a>,
}

/// One system that keeps field histories.
pub(super) trait System: Debug + Sync {
    fn means(&self, entry: &Entry<'_>) -> Means;

    /// The columns that a row states.
    fn cells<'a>(&self, entry: &Entry<'a>, columns: &Columns<'_>, cells: &mut Vec<Cell<'a>>) {
        if let Some(column) = columns.find(entry.field) {
            cells.push(Cell { column, old: entry.old, new: entry.new });
        }
    }

    /// Writes a value as the system prints it.
    fn write(&self, cells: &mut CellBuilder, _: &DataType, text: &str) -> Result<(), Misfit> {
        cells.push_text(text)
    }

    /// Whether no value means none at all in a column of this type, and not a value that is left out.
    fn empty_is_null(&self, _: &DataType) -> bool {
        true
    }

    /// Whether a row is one with ids, if the system tells some changes twice: with ids and with names.
    fn is_of_ids(&self, _: &Entry<'_>) -> Option<bool> {
        None
    }

    /// Whether changes are ordered by their numbers, not by their times.
    fn is_numbered(&self) -> bool {
        false
    }
}

/// The columns of the table, by the names of fields.
pub(super) struct Columns<'t> {
    pub(super) schema: &'t TableSchema,
    aliases: &'t [(String, String)],
}

impl Columns<'_> {
    /// The column of a field, by the plan's name for it or its own.
    pub(super) fn find(&self, field: &str) -> Option<usize> {
        let alias = self.aliases.iter().find(|(name, _)| name == field).map(|(_, column)| column.as_str());
        self.named(alias.unwrap_or(field))
    }

    /// The column of this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        let same = || self.schema.names().position(|column| column.eq_ignore_ascii_case(name));
        self.schema.column(name).or_else(same)
    }
}

/// Rows of one segment.
pub(super) struct Segment {
    arrays: BTreeMap<usize, StringArray>,
    /// Which rows of the segment they are; all if `None`.
    rows: Option<Vec<u32>>,
}

impl Segment {
    pub(super) fn read(raw: &Raw, segment: usize, layout: &Layout, rows: Option<Vec<u32>>) -> Result<Self> {
        let wanted = layout.columns();
        let batch = raw.read(segment, &wanted, rows.as_deref())?;
        let arrays = wanted.iter().copied().zip(batch.columns().iter().map(texts)).collect();
        Ok(Self { arrays, rows })
    }

    pub(super) fn text(&self, column: Option<usize>, local: u32) -> Option<&str> {
        let array = self.arrays.get(&column?)?;
        let at = match &self.rows {
            Some(rows) => rows.binary_search(&local).ok()?,
            None => local as usize,
        };
        array.is_valid(at).then(|| array.value(at))
    }

    /// What a row says, or why it cannot be told.
    pub(super) fn entry<'a>(&'a self, layout: &Layout, local: u32, part: Part) -> Entry<'a> {
        let text = |column: Option<usize>| self.text(column, local);
        let value = |column: Option<usize>| layout.options.value(text(column));
        let labels = layout.labels;
        Entry {
            field: text(Some(layout.field)).or(text(layout.label)).unwrap_or_default().trim(),
            label: text(layout.label),
            kind: text(layout.kind).map(str::trim),
            flag: text(layout.flag).map(str::trim),
            old: value(Some(layout.old)),
            new: value(Some(layout.new)),
            labels: (value(labels.map(|l| l.0)), value(labels.map(|l| l.1))),
            part,
        }
    }

    /// When, as a text.
    pub(super) fn moment(&self, layout: &Layout, local: u32) -> Option<Cow<'_, str>> {
        match &layout.time {
            Times::One(column) => self.text(Some(*column), local).map(Cow::Borrowed),
            Times::Two(date, time) => {
                let (date, time) = (self.text(Some(*date), local)?, self.text(Some(*time), local)?);
                Some(Cow::Owned(joined(date, time)))
            }
            Times::Joined(by, times) => {
                times.get(self.text(Some(*by), local)?.trim()).map(|(t, _)| Cow::Owned(t.clone()))
            }
        }
    }

    pub(super) fn actor<'a>(&'a self, layout: &'a Layout, local: u32) -> Option<&'a str> {
        let own = self.text(layout.actor, local);
        let Times::Joined(by, times) = &layout.time else { return own };
        own.or_else(|| times.get(self.text(Some(*by), local)?.trim())?.1.as_deref())
    }
}

/// Date and time of day as one text; `20250105` and `101500` get their separators.
pub(super) fn joined(date: &str, time: &str) -> String {
    let (date, time) = (date.trim(), time.trim());
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    let date = match date.split('.').collect::<Vec<_>>().as_slice() {
        [day, month, year] if digits(day, 2) && digits(month, 2) && digits(year, 4) => {
            format!("{year}-{month}-{day}")
        }
        _ if digits(date, 8) => format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]),
        _ => date.to_owned(),
    };
    match digits(time, 6) {
        true => format!("{date} {}:{}:{}", &time[..2], &time[2..4], &time[4..]),
        false => format!("{date} {time}"),
    }
}

impl Layout {
    fn columns(&self) -> Vec<usize> {
        let times = match &self.time {
            Times::One(column) | Times::Joined(column, _) => [Some(*column), None],
            Times::Two(date, time) => [Some(*date), Some(*time)],
        };
        let labels = [self.labels.map(|l| l.0), self.labels.map(|l| l.1)];
        let must = [self.record, self.field, self.old, self.new].map(Some);
        let more = [self.table, self.label, self.actor, self.kind, self.flag, self.change];
        let beside = [self.transaction, self.number];
        let all = must.into_iter().chain(more).chain(times).chain(labels).chain(beside).flatten();
        let mut columns: Vec<usize> = all.chain(self.identity.iter().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// An opened field history.
#[derive(Debug)]
pub(super) struct Fields {
    layout: Layout,
    ordered: Ordered,
}

impl Fields {
    /// Finds which rows are one change, and the order of all.
    pub(super) fn open(
        raw: &Raw,
        mut layout: Layout,
        context: &Context,
        zone: Option<Tz>,
    ) -> Result<(Self, Found)> {
        layout.options.empty_texts = context.empty_texts;
        let mut found = Found::default();
        let ordered = field_order::order(raw, &layout, zone, &mut found)?;
        Ok((Self { layout, ordered }, found))
    }

    /// Decodes the changes whose first row stands in one segment.
    pub(super) fn decode(
        &self,
        raw: &Raw,
        segment: usize,
        targets: &[TableTarget],
        options: &DecodeOptions,
    ) -> Result<Decoded> {
        let changes = self.ordered.of_rows(raw.first(segment), raw.first(segment + 1));
        let pool = self.pool(raw, changes)?;
        let mut decoder = Decoder {
            of: self,
            raw,
            pool: &pool,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            routes: Routes::new(targets),
            notes: Notes::default(),
        };
        for (stream, change) in changes.iter().enumerate() {
            decoder.change(change, stream as u64);
        }
        let mut decoded = decoder.finish(options);
        decoded.edge.places = changes.len() as u64;
        decoded.edge.kind = Some(match self.ordered.numbered {
            true => PositionKind::Number,
            false => PositionKind::Instant,
        });
        decoded.edge.clock = Some(Clock::Declared);
        decoded.edge.whole_seconds = self.ordered.whole_seconds;
        Ok(decoded)
    }

    /// The rows of some changes, by segment.
    fn pool(&self, raw: &Raw, changes: &[Change]) -> Result<BTreeMap<usize, Segment>> {
        let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for &row in changes.iter().flat_map(|c| self.ordered.rows(c)) {
            let (segment, local) = raw.locate(u64::from(row));
            rows.entry(segment).or_default().push(local);
        }
        let read = |(segment, mut rows): (usize, Vec<u32>)| {
            rows.sort_unstable();
            Ok((segment, Segment::read(raw, segment, &self.layout, Some(rows))?))
        };
        rows.into_iter().map(read).collect()
    }
}

struct Decoder<'a, 'o> {
    of: &'a Fields,
    raw: &'a Raw,
    pool: &'a BTreeMap<usize, Segment>,
    rows: Vec<Rows<'o>>,
    routes: Routes<'o>,
    notes: Notes,
}

impl<'a> Decoder<'a, '_> {
    fn at(&self, row: u32) -> Option<(&'a Segment, u32)> {
        let (segment, local) = self.raw.locate(u64::from(row));
        Some((self.pool.get(&segment)?, local))
    }

    fn change(&mut self, change: &Change, stream: u64) {
        let layout = &self.of.layout;
        let Some((part, local)) = self.at(change.row) else { return };
        let name = part.text(layout.table, local).map(Cow::Borrowed);
        let named = layout.table.is_some();
        let routed = self.routes.find([None, None, name]);
        let Some(target) = routed.or((!named && self.rows.len() == 1).then_some(0)) else { return };
        let (segment, _) = self.raw.locate(u64::from(change.row));
        let number = part.text(layout.number, local).and_then(|n| n.parse().ok());
        let meta = Meta {
            op: Some(match change.means {
                Means::Created => Op::Insert,
                Means::Deleted => Op::Delete,
                _ => Op::Update,
            }),
            record: number.unwrap_or_else(|| self.raw.record(segment, local as usize)),
            stream,
            committed_at: Some(change.time),
            commit_position: Some(change.commit),
            position: Some(change.position),
            // What is ordered by instants has one transaction per instant: no order lies between two of one.
            transaction: part.text(layout.transaction, local).filter(|_| self.of.ordered.numbered),
            actor: part.actor(layout, local),
            weak: false,
        };
        let record = part.text(Some(layout.record), local).unwrap_or_default();
        if let Err(message) = self.push(change, target, record, &meta) {
            self.notes.unparsable(Some(target), meta.record, message);
        }
    }

    fn push(
        &mut self,
        change: &Change,
        target: usize,
        record: &'a str,
        meta: &Meta<'_>,
    ) -> Result<(), String> {
        let of = self.of;
        let mut stated: Vec<Cell<'a>> = Vec::new();
        let mut unknown: Vec<&str> = Vec::new();
        let schema = &self.rows[target].target.schema;
        let columns = Columns { schema, aliases: &of.layout.options.aliases };
        for &row in of.ordered.rows(change) {
            let Some((part, local)) = self.at(row) else { continue };
            let entry = part.entry(&of.layout, local, of.ordered.part(row));
            let before = stated.len();
            of.layout.system.cells(&entry, &columns, &mut stated);
            if stated.len() == before && entry.part != Part::Names && !entry.field.is_empty() {
                unknown.push(entry.field);
            }
        }
        let key = key_texts(schema, &of.layout.options, record)?;
        let rows = &mut self.rows[target];
        if change.means == Means::Change {
            unknown.iter().for_each(|field| _ = rows.names.find(field, usize::MAX));
            if stated.is_empty() {
                return Ok(());
            }
        }
        let staged = staged(rows, (change.means, &of.layout), &key, &stated);
        rows.push(meta, &staged, &mut Texts { of: &of.layout, schema }, &mut self.notes)
            .map_err(|_| "expected the key of the changed record, found none".to_owned())
    }

    fn finish(self, options: &DecodeOptions) -> Decoded {
        let mut decoded = Decoded::default();
        let mut notes = self.notes;
        for (index, rows) in self.rows.into_iter().enumerate() {
            let facts = options.facts.target(index);
            let settle = Settle { facts: &facts, full_identity: None, non_finite: Some(false), refused: &[] };
            rows.note_unknown(&mut notes);
            let (batch, facts, used) = rows.finish(&settle);
            decoded.changes.push(batch);
            decoded.facts.targets.push(facts);
            decoded.edge.used.push(used);
        }
        decoded.tables = self.routes.finish();
        decoded.notes = notes.finish();
        decoded
    }
}

/// The parts of a record's name that are the key.
fn key_texts<'a>(
    schema: &TableSchema,
    options: &FieldOptions,
    record: &'a str,
) -> Result<Vec<&'a str>, String> {
    let (columns, widths) = (schema.key().len(), &options.key_widths);
    if widths.is_empty() {
        return match columns {
            1 => Ok(vec![record.trim_end()]),
            _ => Err(format!(
                "the record {record:?} is one text, the key has {columns} columns: declare the ledger's key_widths"
            )),
        };
    }
    let mut parts = Vec::new();
    let mut rest = record;
    for (number, &width) in widths.iter().enumerate() {
        let last = number + 1 == widths.len();
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        if last && end < rest.len() || !last && rest.is_empty() {
            return Err(format!("the record {record:?} does not have the declared key_widths {widths:?}"));
        }
        parts.push(rest[..end].trim_end());
        rest = &rest[end..];
    }
    match parts.len().checked_sub(columns) {
        Some(0) => Ok(parts),
        // The client stands before the key.
        Some(1) => Ok(parts.split_off(1)),
        _ => Err(format!("{} key_widths do not fit a key of {columns} columns", widths.len())),
    }
}

/// The images of a change: its cells over what the others are by its kind.
fn staged<'a>(
    rows: &Rows<'_>,
    (means, layout): (Means, &Layout),
    key: &[&'a str],
    cells: &[Cell<'a>],
) -> Staged<'a> {
    let schema = &rows.target.schema;
    let state = |column: usize, value: Value<'a>| {
        let data_type = schema.data_type(column);
        let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match value {
            Value::Text(text) => Stated::Json(text),
            Value::Lost => Stated::Absent,
            Value::Empty if is_text && layout.options.empty_texts => Stated::Json(""),
            Value::Empty if layout.system.empty_is_null(data_type) => Stated::Null,
            Value::Empty => Stated::Absent,
        }
    };
    let image = |rest: Stated<'a>| {
        let mut image = rows.blank(rest);
        schema.key().iter().zip(key).for_each(|(&column, text)| image[column] = Stated::Json(text));
        image
    };
    let rest = if means == Means::Change { Stated::Unchanged } else { Stated::Absent };
    let mut before = (means != Means::Created).then(|| image(rest));
    let mut after = (means != Means::Deleted).then(|| image(rest));
    let mut first = vec![true; schema.len()];
    for cell in cells {
        let (old, new) = (state(cell.column, cell.old), state(cell.column, cell.new));
        let names = |stated: &Stated<'_>| !schema.is_key(cell.column) || matches!(stated, Stated::Json(_));
        if let Some(before) = before.as_mut().filter(|_| first[cell.column] && names(&old)) {
            before[cell.column] = old;
        }
        if let Some(after) = after.as_mut().filter(|_| names(&new)) {
            after[cell.column] = new;
        }
        first[cell.column] = false;
    }
    Staged { before, after }
}

/// The columns of the table whose fields the first segments name, behind the record.
pub(super) fn tables(raw: &Raw, layout: &Layout, segments: usize) -> Result<Vec<(String, Vec<String>)>> {
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for segment in 0..raw.segments().min(segments) {
        let part = Segment::read(raw, segment, layout, None)?;
        for local in 0..(raw.first(segment + 1) - raw.first(segment)) as u32 {
            let entry = part.entry(layout, local, Part::Whole);
            let name = part.text(layout.table, local).unwrap_or_default();
            let known = tables.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                tables.push((name.to_owned(), vec![raw.names()[layout.record].clone()]));
                tables.len() - 1
            });
            let is_field = layout.system.means(&entry) == Means::Change && !entry.field.is_empty();
            if is_field && !tables[known].1.iter().any(|c| c.eq_ignore_ascii_case(entry.field)) {
                tables[known].1.push(entry.field.to_owned());
            }
        }
    }
    Ok(tables)
}

/// Values are texts as their system prints them.
struct Texts<'l> {
    of: &'l Layout,
    schema: &'l TableSchema,
}

impl Writer for Texts<'_> {
    fn write(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        self.of.system.write(cells, self.schema.data_type(column), raw)
    }
}
