//! Tables with one row per change, whose images are documents in a column: hstore or JSON.
//!
//! ```text
//!  Overlay   row_data  changed_fields   before = row_data, after = row_data with changed_fields over it
//!  Sides     old       new              each a whole image, or what `missing` says of left-out columns
//!  Changed   old_data  new_data         of an update the changed columns alone, the others untouched
//! ```
//!
//! jsonb knows less than its columns: it writes −0 as 0, and a JSON null like an SQL null. Both are told.

use std::borrow::Cow;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;

use super::super::decode::{Clock, DecodeOptions, Decoded, Missing, TableTarget};
use super::super::image::{Meta, Rows, Staged, Stated, Writer};
use super::super::json;
use super::super::notes::Notes;
use super::super::position::{PositionKind, parse_position};
use super::super::route::Routes;
use super::super::settle::Settle;
use super::clock::Instants;
use super::hstore;
use super::raw::{Raw, texts};
use crate::error::Result;
use crate::model::{DiscrepancyKind, Op};
use crate::read::cell::{CellBuilder, Misfit};

/// Which column means what. Numbers are columns of the raw table.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) op: Option<usize>,
    pub(super) schema: Option<usize>,
    pub(super) table: Option<usize>,
    pub(super) position: Option<usize>,
    pub(super) transaction: Option<usize>,
    pub(super) committed_at: Option<usize>,
    pub(super) actor: Option<usize>,
    /// A column that says that a record stands for a whole statement and has no images.
    pub(super) statement_only: Option<usize>,
    /// The first of the two documents.
    pub(super) first: Option<usize>,
    /// The second.
    pub(super) second: Option<usize>,
    /// A key column beside the documents, and its name in the table.
    pub(super) beside: Option<(usize, String)>,
    pub(super) shape: Shape,
    /// The documents are jsonb: signs of zeros and JSON nulls are lost.
    pub(super) jsonb: bool,
    pub(super) clock: Clock,
    /// Words of the op column that the plan declares.
    pub(super) ops: Vec<(String, Op)>,
    /// What any other word in it says.
    pub(super) word: fn(&str) -> Word,
}

impl Layout {
    fn says(&self, word: &str) -> Word {
        let declared = self.ops.iter().find(|(w, _)| w.eq_ignore_ascii_case(word));
        declared.map_or_else(|| (self.word)(word), |(_, op)| Word::Op(*op))
    }
}

/// The tables that the first segments name, with the members of their documents, in the order in which they occur.
pub(super) fn tables(raw: &Raw, layout: &Layout, segments: usize) -> Result<Vec<(String, Vec<String>)>> {
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for segment in 0..raw.segments().min(segments) {
        let read = |column: Option<usize>| -> Result<Option<StringArray>> {
            column.map(|c| Ok(texts(raw.read(segment, &[c], None)?.column(0)))).transpose()
        };
        let [schemas, names, first, second] =
            [read(layout.schema)?, read(layout.table)?, read(layout.first)?, read(layout.second)?];
        let rows = (raw.first(segment + 1) - raw.first(segment)) as usize;
        let text = |array: &Option<StringArray>, row: usize| {
            array.as_ref().filter(|a| a.is_valid(row)).map(|a| a.value(row).to_owned())
        };
        for row in 0..rows {
            let parts = [text(&schemas, row), text(&names, row)];
            let name = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
            let known = tables.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
                let beside = layout.beside.iter().map(|(_, key)| key.clone()).collect();
                tables.push((name, beside));
                tables.len() - 1
            });
            for document in [text(&first, row), text(&second, row)].iter().flatten() {
                let Ok(Some(document)) = Document::read(Some(document)) else { continue };
                for (member, _) in &document.members {
                    if !tables[known].1.iter().any(|c| c == member) {
                        tables[known].1.push(member.clone().into_owned());
                    }
                }
            }
        }
    }
    Ok(tables)
}

/// How the two documents make the two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The row, and the new values of changed columns.
    Overlay,
    /// Before and after.
    Sides,
    /// Old and new values of changed columns.
    Changed,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// A change of a row.
    Op(Op),
    /// No change of a row; rows stay as they are.
    Control,
    /// The table's columns changed.
    Drift,
    /// Nobody knows.
    Unknown,
}

/// The columns of one segment as texts.
struct Columns<'l> {
    layout: &'l Layout,
    arrays: Vec<(usize, StringArray)>,
}

impl Columns<'_> {
    fn text(&self, column: Option<usize>, row: usize) -> Option<&str> {
        let array = &self.arrays.iter().find(|(c, _)| Some(*c) == column)?.1;
        array.is_valid(row).then(|| array.value(row))
    }
}

/// Decodes one segment.
pub(super) fn decode(
    raw: &Raw,
    segment: usize,
    layout: &Layout,
    targets: &[TableTarget],
    options: &DecodeOptions,
) -> Result<Decoded> {
    let mut wanted: Vec<usize> = [
        layout.op,
        layout.schema,
        layout.table,
        layout.position,
        layout.transaction,
        layout.committed_at,
        layout.actor,
        layout.statement_only,
        layout.first,
        layout.second,
        layout.beside.as_ref().map(|b| b.0),
    ]
    .into_iter()
    .flatten()
    .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let batch = raw.read(segment, &wanted, None)?;
    let arrays = wanted.iter().copied().zip(batch.columns().iter().map(texts)).collect();
    let columns = Columns { layout, arrays };
    let mut decoder = Decoder::new(targets, options);
    for row in 0..batch.num_rows() {
        decoder.record = raw.record(segment, row);
        decoder.row(&columns, row);
    }
    Ok(decoder.finish(layout))
}

struct Decoder<'o> {
    options: &'o DecodeOptions,
    rows: Vec<Rows<'o>>,
    routes: Routes<'o>,
    notes: Notes,
    instants: Instants,
    places: u64,
    record: u64,
    unplaced: bool,
    /// Per target and column, whether other segments hold JSON documents in it.
    documents: Vec<Vec<bool>>,
}

impl<'o> Decoder<'o> {
    fn new(targets: &'o [TableTarget], options: &'o DecodeOptions) -> Self {
        Self {
            options,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            routes: Routes::new(targets),
            notes: Notes::default(),
            instants: Instants::new(options.time_zone),
            places: 0,
            record: 0,
            unplaced: false,
            documents: (0..targets.len()).map(|t| options.facts.target(t).non_finite).collect(),
        }
    }

    fn row(&mut self, columns: &Columns<'_>, row: usize) {
        let layout = columns.layout;
        let stream = self.places;
        self.places += 1;
        let part = |column| columns.text(column, row).map(Cow::Borrowed);
        let named = layout.table.is_some();
        let Some(target) = self
            .routes
            .find([None, part(layout.schema), part(layout.table)])
            .or_else(|| (!named && self.rows.len() == 1).then_some(0))
        else {
            return;
        };
        let word = columns.text(layout.op, row);
        let op = match word.map(|w| layout.says(w.trim())) {
            None if layout.op.is_none() => None,
            Some(Word::Op(op)) => Some(op),
            Some(Word::Control) => return,
            Some(Word::Drift) => {
                let message = format!(
                    "the table's columns changed here ({}): values before it stand as they were recorded",
                    word.unwrap_or_default()
                );
                return self.notes.add(
                    DiscrepancyKind::SchemaDrift,
                    Some(target),
                    self.record,
                    None,
                    message,
                );
            }
            None | Some(Word::Unknown) => {
                let message = format!("unknown op {:?}: the record is set aside", word.unwrap_or_default());
                return self.notes.unparsable(Some(target), self.record, message);
            }
        };
        if let Err(message) = self.change(columns, row, (target, stream), op) {
            self.notes.unparsable(Some(target), self.record, message);
        }
    }

    fn change(
        &mut self,
        columns: &Columns<'_>,
        row: usize,
        (target, stream): (usize, u64),
        op: Option<Op>,
    ) -> Result<(), String> {
        let layout = columns.layout;
        let statement = columns.text(layout.statement_only, row).is_some_and(is_true);
        if statement && op != Some(Op::Truncate) {
            return Err("an entry for a whole statement: which rows it changed is not recorded".to_owned());
        }
        let first = Document::read(columns.text(layout.first, row))?;
        let second = Document::read(columns.text(layout.second, row))?;
        let op = op.unwrap_or(match (&first, &second) {
            (Some(_), Some(_)) => Op::Update,
            (None, Some(_)) => Op::Insert,
            (Some(_), None) => Op::Delete,
            (None, None) => Op::Truncate,
        });
        let missing = match self.options.missing {
            Missing::Absent => Stated::Absent,
            Missing::Unchanged => Stated::Unchanged,
            Missing::Null => Stated::Null,
        };
        let rows = &mut self.rows[target];
        let mut staged = staged(rows, layout.shape, op, [first.as_ref(), second.as_ref()], missing);
        if let Some((column, name)) = &layout.beside
            && let Some(text) = columns.text(Some(*column), row)
        {
            fill_key(rows, name, text, &mut staged);
        }
        fit(rows, op, &mut staged)?;
        let meta = self.meta(columns, row, (target, stream), op)?;
        let plain = first.as_ref().or(second.as_ref()).is_some_and(|d| d.plain);
        self.push(target, &meta, &staged, layout.jsonb && !plain, plain)
    }

    /// What a record says beside its images.
    fn meta<'c>(
        &mut self,
        columns: &'c Columns<'_>,
        row: usize,
        (target, stream): (usize, u64),
        op: Op,
    ) -> Result<Meta<'c>, String> {
        let layout = columns.layout;
        let position = columns.text(layout.position, row).map(|text| {
            parse_position(text).ok_or_else(|| format!("expected a whole number as position, found {text:?}"))
        });
        let position = position.transpose()?;
        self.unplaced |= position.is_none();
        let time = columns.text(layout.committed_at, row);
        Ok(Meta {
            op: Some(op),
            record: self.record,
            stream,
            committed_at: time
                .and_then(|t| self.instants.read(t, Some(target), self.record, &mut self.notes)),
            commit_position: None,
            position,
            transaction: columns.text(layout.transaction, row),
            actor: columns.text(layout.actor, row),
            weak: false,
        })
    }

    fn push(
        &mut self,
        target: usize,
        meta: &Meta<'_>,
        staged: &Staged<'_>,
        jsonb: bool,
        plain: bool,
    ) -> Result<(), String> {
        let rows = &mut self.rows[target];
        let known = match jsonb {
            true => self.documents.get(target).map_or(&[][..], Vec::as_slice),
            false => &[],
        };
        let (zeros, documents) = (Vec::new(), Vec::new());
        let mut cells = Cells { target: rows.target, plain, jsonb, known, zeros, documents };
        rows.push(meta, staged, &mut cells, &mut self.notes)
            .map_err(|_| "expected all columns of the key, found some missing".to_owned())?;
        for column in cells.documents {
            rows.facts.non_finite[column] = true;
        }
        for column in cells.zeros {
            rows.facts.scale_lost[column] = true;
            let message = "jsonb writes −0 as 0: the sign of zeros in this column is not known";
            let name = rows.target.schema.name(column);
            self.notes.once(DiscrepancyKind::AmbiguousNull, target, name, message);
        }
        Ok(())
    }

    fn finish(self, layout: &Layout) -> Decoded {
        let mut decoded = Decoded { lacks_zone: self.instants.lacks_zone, ..Decoded::default() };
        let mut notes = self.notes;
        let edge = &mut decoded.edge;
        edge.places = self.places;
        edge.clock = Some(layout.clock);
        edge.unplaced = self.unplaced;
        edge.kind = (!self.unplaced && layout.position.is_some()).then_some(PositionKind::Number);
        for (index, rows) in self.rows.into_iter().enumerate() {
            let facts = self.options.facts.target(index);
            let non_finite = self.options.non_finite;
            let settle = Settle { facts: &facts, full_identity: None, non_finite, refused: &[] };
            rows.note_unknown(&mut notes);
            let (batch, facts, used) = rows.finish(&settle);
            decoded.changes.push(batch);
            decoded.facts.targets.push(facts);
            edge.used.push(used);
        }
        decoded.tables = self.routes.finish();
        decoded.notes = notes.finish();
        decoded
    }
}

/// A document's members; JSON values stay raw, hstore values are texts.
struct Document<'a> {
    members: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    /// Values are texts, not JSON.
    plain: bool,
}

impl<'a> Document<'a> {
    fn read(text: Option<&'a str>) -> Result<Option<Self>, String> {
        let Some(text) = text.filter(|t| !matches!(t.trim(), "" | "null" | "NULL")) else { return Ok(None) };
        if text.trim_start().starts_with('{') {
            let mut members = Vec::new();
            json::members(text, |name, raw| {
                let value = (raw != "null").then_some(Cow::Borrowed(raw));
                members.push((Cow::Owned(name.to_owned()), value));
            })
            .map_err(|error| format!("expected a JSON object: {error}"))?;
            return Ok(Some(Self { members, plain: false }));
        }
        let pairs = hstore::parse(text).ok_or_else(|| {
            let start: String = text.chars().take(40).collect();
            format!("expected an image as hstore or JSON object, found {start:?}")
        })?;
        let members = pairs.into_iter().map(|(n, v)| (Cow::Owned(n), v.map(Cow::Owned))).collect();
        Ok(Some(Self { members, plain: true }))
    }

    /// Puts the members over the cells of an image.
    fn lay<'d>(&'d self, rows: &mut Rows<'_>, cells: &mut [Stated<'d>]) {
        let mut expected = 0;
        for (name, value) in &self.members {
            if let Some(column) = rows.names.find(name, expected) {
                cells[column] = value.as_deref().map_or(Stated::Null, Stated::Json);
                expected = column + 1;
            }
        }
    }
}

/// The images of a record.
fn staged<'d>(
    rows: &mut Rows<'_>,
    shape: Shape,
    op: Op,
    [first, second]: [Option<&'d Document<'d>>; 2],
    missing: Stated<'d>,
) -> Staged<'d> {
    let mut image = |documents: [Option<&'d Document<'d>>; 2], rest| {
        let mut cells = rows.blank(rest);
        documents.into_iter().flatten().for_each(|d| d.lay(rows, &mut cells));
        cells
    };
    match (shape, op) {
        (_, Op::Truncate) => Staged::default(),
        (Shape::Overlay, Op::Delete) => {
            Staged { before: first.map(|f| image([Some(f), None], missing)), after: None }
        }
        (Shape::Overlay, Op::Update | Op::Upsert) => Staged {
            before: first.map(|f| image([Some(f), None], missing)),
            after: first.map(|f| image([Some(f), second], missing)),
        },
        (Shape::Overlay, Op::Insert | Op::Read) => {
            Staged { before: None, after: first.map(|f| image([Some(f), second], missing)) }
        }
        (Shape::Sides, _) => Staged {
            before: first.map(|d| image([Some(d), None], missing)),
            after: second.map(|d| image([Some(d), None], missing)),
        },
        (Shape::Changed, Op::Update) => {
            let before = image([first, None], Stated::Unchanged);
            // A changed column without a new value has one that is not recorded.
            let mut after: Vec<Stated<'d>> = before
                .iter()
                .map(|c| if *c == Stated::Unchanged { Stated::Unchanged } else { Stated::Absent })
                .collect();
            if let Some(second) = second {
                second.lay(rows, &mut after);
            }
            Staged { before: Some(before), after: Some(after) }
        }
        (Shape::Changed, Op::Delete) => {
            Staged { before: Some(image([first, None], Stated::Absent)), after: None }
        }
        (Shape::Changed, _) => Staged { before: None, after: Some(image([second, None], Stated::Absent)) },
    }
}

/// Puts a key that stands beside the documents into both images.
fn fill_key<'d>(rows: &Rows<'_>, name: &str, text: &'d str, staged: &mut Staged<'d>) {
    let Some(column) = rows.target.schema.column(name) else { return };
    for image in [&mut staged.before, &mut staged.after].into_iter().flatten() {
        if !image[column].is_stated() {
            image[column] = Stated::Json(text);
        }
    }
}

/// Gives a change the images that its op has.
fn fit(rows: &Rows<'_>, op: Op, staged: &mut Staged<'_>) -> Result<(), String> {
    let keyless = rows.target.schema.is_keyless();
    match op {
        Op::Insert | Op::Read => staged.before = None,
        Op::Delete => staged.after = None,
        Op::Update if !keyless && staged.before.is_none() => staged.before = Some(rows.blank(Stated::Absent)),
        _ => {}
    }
    rows.share_key(staged);
    if op != Op::Update {
        let cells = staged.before.iter_mut().chain(&mut staged.after).flatten();
        cells.filter(|c| **c == Stated::Unchanged).for_each(|c| *c = Stated::Absent);
    }
    let lacking = match op {
        Op::Truncate => None,
        Op::Delete => staged.before.is_none().then_some("before"),
        _ => staged.after.is_none().then_some("after"),
    };
    lacking.map_or(Ok(()), |side| Err(format!("expected the {side} image of this {}, found none", op.name())))
}

/// Writes values as their document states them, and remembers where jsonb may have lost something.
struct Cells<'t> {
    target: &'t TableTarget,
    plain: bool,
    jsonb: bool,
    /// Per column, whether all of its texts are JSON documents.
    known: &'t [bool],
    /// Columns of floats in which a zero stands.
    zeros: Vec<usize>,
    /// Columns of text in which JSON documents stand.
    documents: Vec<usize>,
}

impl Writer for Cells<'_> {
    fn write(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        let data_type = self.target.schema.data_type(column);
        if self.plain {
            return cells.push_text(raw);
        }
        let text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let document = raw.starts_with(['{', '[']);
        if text && (document || self.known.get(column) == Some(&true)) {
            if self.jsonb && document {
                self.documents.push(column);
            }
            // As the database prints it: blanks and quotes are part of the text in the table too.
            return cells.push_text(raw);
        }
        if self.jsonb && raw == "0" && data_type.is_floating() {
            self.zeros.push(column);
        }
        cells.push_json(raw)
    }
}

fn is_true(text: &str) -> bool {
    matches!(text.trim(), "t" | "true" | "TRUE" | "True" | "1")
}
