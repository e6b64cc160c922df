//! [`Feed`]: what the decoders of JSON change streams have in common.
//!
//! ```text
//!  record ──► Producer (one format) ──► target, Staged images, Meta ──► Feed ──► Decoded
//!     └─ wrapped? unwrap, again
//! ```
//!
//! A stream without positions of its own is in the order in which it was
//! delivered, and changes of one transaction are those with its id that follow each
//! other: an id says nothing about records elsewhere.

use std::borrow::Cow;

use arrow::datatypes::DataType;

use super::chunk;
use super::decode::{Clock, DecodeOptions, Decoded, Facts, Missing, Run, TableTarget};
use super::image::{Meta, Rows, Staged, Stated, Writer};
use super::json;
use super::notes::Notes;
use super::position::PositionKind;
use super::route::Routes;
use super::settle::Settle;
use super::unwrap::Message;
use crate::model::time::{NotAnInstant, parse_instant};
use crate::model::{DiscrepancyKind, Op};
use crate::read::cell::{CellBuilder, Misfit};
use crate::read::{ChangeRows, JsonChunk};

/// One format of change streams.
pub(super) trait Producer: Default {
    /// Takes in what a message says; `false` if it is none of this format's.
    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool;

    /// Looks at a chunk before its records are read.
    fn prepare(&mut self, _text: &[u8]) {}

    /// The table that a row is of by its first fields, where rows say so.
    fn table_of<'f>(&self, _fields: &'f [String]) -> Option<[Option<Cow<'f, str>>; 3]> {
        None
    }

    /// Takes in what rows say, where the format writes tables too.
    fn rows(&mut self, _rows: &ChangeRows, _feed: &mut Feed<'_>) {}

    /// What the format is called in messages.
    const NAME: &'static str;
}

/// Decodes a chunk of a format.
pub(super) fn decode<P: Producer>(
    chunk: &JsonChunk,
    targets: &[TableTarget],
    options: &DecodeOptions,
) -> Decoded {
    let mut producer = P::default();
    let mut feed = Feed::new(targets, options);
    producer.prepare(&chunk.text);
    if let Some(of) = &chunk.rows {
        for aside in of.rows.set_aside() {
            feed.record = aside.record;
            // Another table has other columns.
            let table = producer.table_of(&aside.fields);
            let target = table.map(|table| feed.begin(table, &Change::default()));
            if target != Some(None) {
                feed.unparsable(target.flatten(), format!("{}; the record is set aside", aside.message));
            }
        }
        producer.rows(of, &mut feed);
    }
    for record in &chunk.records {
        feed.record = record.number;
        match chunk::value(chunk, record) {
            Ok(text) => {
                let message = Message::new(text, chunk::key(chunk, record));
                take(&message, &mut producer, &mut feed);
            }
            Err(_) => feed.unparsable(None, "the record is not valid UTF-8"),
        }
    }
    feed.finish()
}

fn take<P: Producer>(message: &Message<'_>, producer: &mut P, feed: &mut Feed<'_>) {
    if producer.message(message, feed) || message.is_tombstone() {
        return;
    }
    if !message.unwrap(&mut |inner| take(inner, producer, feed)) {
        feed.unparsable(None, format!("expected a record of {}, found another JSON value", P::NAME));
    }
}

/// Whether a message, however it is wrapped, passes a test.
pub(super) fn any_layer(text: &str, test: &dyn Fn(&Message<'_>) -> bool) -> bool {
    fn layer(message: &Message<'_>, test: &dyn Fn(&Message<'_>) -> bool) -> bool {
        let mut found = test(message);
        if !found {
            message.unwrap(&mut |inner| found |= layer(inner, test));
        }
        found
    }
    layer(&Message::new(text, None), test)
}

/// The changes of one chunk, on their way into a [`Decoded`].
pub(super) struct Feed<'o> {
    pub(super) options: &'o DecodeOptions,
    pub(super) record: u64,
    rows: Vec<Rows<'o>>,
    types: Vec<Vec<DataType>>,
    routes: Routes<'o>,
    notes: Notes,
    pub(super) decoded: Decoded,
    time: (String, Option<i64>),
}

/// Where a change stands, as its format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// Behind the change before it.
    #[default]
    Delivered,
    /// At this position.
    At { commit: Option<u128>, own: u128 },
}

/// A change, without its images.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) op: Option<Op>,
    pub(super) committed_at: Option<i64>,
    pub(super) transaction: Option<Cow<'a, str>>,
    pub(super) actor: Option<Cow<'a, str>>,
    pub(super) place: Place,
    /// The before image is whole only if the stream's images are.
    pub(super) weak: bool,
}

impl<'o> Feed<'o> {
    fn new(targets: &'o [TableTarget], options: &'o DecodeOptions) -> Self {
        let types =
            |t: &TableTarget| t.schema.arrow().fields().iter().map(|f| f.data_type().clone()).collect();
        Self {
            options,
            record: 0,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            types: targets.iter().map(types).collect(),
            routes: Routes::new(targets),
            notes: Notes::default(),
            decoded: Decoded::default(),
            time: (String::new(), None),
        }
    }

    pub(super) fn unparsable(&mut self, target: Option<usize>, message: impl Into<String>) {
        self.notes.unparsable(target, self.record, message);
    }

    /// Says something once per stream and target.
    pub(super) fn once(&mut self, kind: DiscrepancyKind, target: usize, column: &str, message: &str) {
        self.notes.once(kind, target, column, message);
    }

    /// The table's definition changed here.
    pub(super) fn drift(&mut self, table: [Option<Cow<'_, str>>; 3], what: &str) {
        let Some(target) = self.routes.target(&table) else { return };
        let shown: String = what.chars().take(60).collect();
        let message = format!("the table's definition changed here ({shown})");
        self.notes.add(DiscrepancyKind::SchemaDrift, Some(target), self.record, None, message);
    }

    /// The target that a change of a table goes to; it is not counted.
    pub(super) fn target(&self, table: [Option<Cow<'_, str>>; 3]) -> Option<usize> {
        self.routes.target(&table)
    }

    pub(super) fn rows(&mut self, target: usize) -> &mut Rows<'o> {
        &mut self.rows[target]
    }

    /// The place in the stream of a change of a table, and the target that it goes to. Call it once per change, first
    /// of all.
    pub(super) fn begin(&mut self, table: [Option<Cow<'_, str>>; 3], change: &Change<'_>) -> Option<usize> {
        let edge = &mut self.decoded.edge;
        match change.place {
            Place::At { .. } => {}
            Place::Delivered => {
                let mark = change.transaction.as_ref().map(|t| xxhash_rust::xxh3::xxh3_64(t.as_bytes()));
                let joins = edge.runs.last().is_some_and(|run| mark.is_some() && run.mark.0 == mark);
                if !joins {
                    // A change without a transaction is one of its own.
                    let alone = mark.is_none();
                    edge.runs.push(Run {
                        start: edge.places,
                        begins: alone,
                        closed: alone,
                        mark: (mark, None),
                        ..Run::default()
                    });
                }
                self.kind(PositionKind::Ordinal);
            }
        }
        self.decoded.edge.places += 1;
        self.routes.find(table)
    }

    /// What the positions of this chunk mean.
    pub(super) fn kind(&mut self, kind: PositionKind) {
        let edge = &mut self.decoded.edge;
        match &edge.kind {
            Some(known) => edge.incomparable |= *known != kind,
            None => edge.kind = Some(kind),
        }
    }

    /// Adds a change after [`Feed::begin`].
    pub(super) fn push(
        &mut self,
        target: usize,
        change: &Change<'_>,
        staged: &Staged<'_>,
        writer: &mut WriteCell<'_>,
    ) {
        self.push_as(target, change, staged, (writer, CellBuilder::push_json));
    }

    /// The same with images whose cells are texts and no JSON.
    pub(super) fn push_texts(
        &mut self,
        target: usize,
        change: &Change<'_>,
        staged: &Staged<'_>,
        writer: &mut WriteCell<'_>,
    ) {
        self.push_as(target, change, staged, (writer, CellBuilder::push_text));
    }

    fn push_as(
        &mut self,
        target: usize,
        change: &Change<'_>,
        staged: &Staged<'_>,
        (writer, plain): (&mut WriteCell<'_>, PlainCell),
    ) {
        let (commit, own) = match change.place {
            Place::Delivered => (Some(0), 0),
            Place::At { commit, own } => (commit, own),
        };
        let op = change.op.unwrap_or(Op::Upsert);
        let meta = Meta {
            op: Some(op),
            record: self.record,
            stream: self.decoded.edge.places - 1,
            committed_at: change.committed_at,
            commit_position: commit,
            position: Some(own),
            transaction: change.transaction.as_deref(),
            actor: change.actor.as_deref(),
            weak: change.weak,
        };
        let lacking = match op {
            Op::Truncate => None,
            Op::Delete => staged.before.is_none().then_some("before"),
            _ => staged.after.is_none().then_some("after"),
        };
        if let Some(side) = lacking {
            return self.unparsable(
                Some(target),
                format!("expected the {side} image of this {}, found none", op.name()),
            );
        }
        let plain = self.options.as_text.then_some(plain);
        let mut writer = Typed { types: &self.types[target], writer, plain };
        if self.rows[target].push(&meta, staged, &mut writer, &mut self.notes).is_err() {
            self.unparsable(
                Some(target),
                "expected all columns of the key in the images, found some missing",
            );
        }
    }

    /// An instant from a text with offset, or in the declared zone.
    pub(super) fn instant(&mut self, text: &str) -> Option<i64> {
        if self.time.0 != text {
            let instant = parse_instant(text, self.options.time_zone);
            match instant {
                Err(NotAnInstant::NoZone) => {
                    self.decoded.lacks_zone.get_or_insert(self.record);
                }
                Err(reason) => {
                    self.unparsable(None, format!("expected a time, found {text:?} ({reason:?})"));
                }
                Ok(_) => {}
            }
            self.time = (text.to_owned(), instant.ok());
        }
        self.time.1
    }

    pub(super) fn clock(&mut self, clock: Clock) {
        self.decoded.edge.clock.get_or_insert(clock);
    }

    fn finish(mut self) -> Decoded {
        let mut targets = Vec::new();
        for (index, rows) in self.rows.into_iter().enumerate() {
            let facts = self.options.facts.target(index);
            let settle = Settle {
                facts: &facts,
                full_identity: self.options.full_identity,
                non_finite: Some(false),
                refused: &[],
            };
            rows.note_unknown(&mut self.notes);
            let (batch, facts, used) = rows.finish(&settle);
            self.decoded.changes.push(batch);
            targets.push(facts);
            self.decoded.edge.used.push(used);
        }
        self.decoded.facts = Facts { targets, ..Facts::default() };
        self.decoded.tables = self.routes.finish();
        self.decoded.notes = self.notes.finish();
        self.decoded
    }
}

/// Writes the raw text of a cell of a column, given with its type and number.
type WriteCell<'a> = dyn FnMut(&mut CellBuilder, &DataType, usize, &str) -> Result<(), Misfit> + 'a;

/// Writes a value as it stands.
type PlainCell = fn(&mut CellBuilder, &str) -> Result<(), Misfit>;

/// Gives a writer the type of the column.
struct Typed<'a> {
    types: &'a [DataType],
    writer: &'a mut WriteCell<'a>,
    /// Every column takes any value, as it stands.
    plain: Option<PlainCell>,
}

impl Writer for Typed<'_> {
    fn write(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        if let Some(plain) = self.plain {
            return plain(cells, raw);
        }
        (self.writer)(cells, &self.types[column], column, raw)
    }
}

/// Values as JSON says.
pub(super) fn plain(cells: &mut CellBuilder, _: &DataType, _: usize, raw: &str) -> Result<(), Misfit> {
    cells.push_json(raw)
}

/// What a column means that an image leaves out, where the plan says.
pub(super) fn missing(options: &DecodeOptions) -> Stated<'static> {
    match options.missing {
        Missing::Absent => Stated::Absent,
        Missing::Unchanged => Stated::Unchanged,
        Missing::Null => Stated::Null,
    }
}

/// An image as slices of an object, without the members that are none of its columns.
pub(super) fn image_of<'a>(
    rows: &mut Rows<'_>,
    object: &'a str,
    missing: Stated<'a>,
    column: impl Fn(&str) -> Option<&str>,
) -> Option<Vec<Stated<'a>>> {
    let mut cells = rows.blank(missing);
    let mut expected = 0;
    let found = json::checked_members(object, |name, raw| {
        let Some(name) = column(name) else { return };
        if let Some(at) = rows.names.find(name, expected) {
            cells[at] = Stated::raw(raw);
            expected = at;
        }
        expected += 1;
    });
    found.then_some(cells)
}

/// Both images of an update whose record has the row after it, and of the row before it what changed.
///
/// Whether `data` is a whole row, no single record tells: columns that it leaves out are facts about the stream, and
/// a before image made of it is weak.
pub(super) fn overlay<'a>(
    rows: &mut Rows<'_>,
    data: &'a str,
    old: Option<&'a str>,
    options: &DecodeOptions,
) -> Option<Staged<'a>> {
    let after = rows.image(data, missing(options))?;
    let stated_old = match old {
        Some(old) => rows.image(old, Stated::Absent)?,
        None => rows.blank(Stated::Absent),
    };
    let changed = stated_old.iter().any(Stated::is_stated);
    rows.facts.whole_update |= changed;
    let mut before = rows.blank(Stated::Absent);
    for (column, cell) in before.iter_mut().enumerate() {
        let (new, key) = (after[column], rows.target.schema.is_key(column));
        *cell = match (stated_old[column], options.missing) {
            (old, _) if old.is_stated() => old,
            _ if key => new,
            (_, Missing::Unchanged) if new == Stated::Unchanged => new,
            // Without a single old value nothing says that the record would have had them.
            _ if !changed => Stated::Absent,
            (_, Missing::Absent) => new,
            // Nulls are left out of both: what has a value now may have been null.
            (_, Missing::Null) if new == Stated::Null => new,
            _ => Stated::Absent,
        };
        if new == Stated::Absent {
            rows.facts.omitted[column] = true;
        }
    }
    Some(Staged { before: Some(before), after: Some(after) })
}

/// Nanoseconds of a count of units, if it is in range.
pub(super) fn nanoseconds(count: Option<i64>, unit: i64) -> Option<i64> {
    count?.checked_mul(unit).filter(|n| *n != i64::MIN)
}
