//! [`Rows`]: the changes of one target, grown row by row into a [`ChangeBatch`].
//!
//! A decoder stages both images of a record as slices of its text, one
//! [`Stated`] per column; `push` turns them into typed cells. Cells whose meaning
//! depends on the rest of the chunk get a provisional state, which `finish`
//! settles:
//!
//! ```text
//!  LEFT_OUT_OLD  wal2json 1 leaves the column out of the old row   → null or absent
//!  LEFT_OUT_NEW  an update leaves the column out of the new row    → unchanged or absent
//!  WEAK          a before image that may hold made-up values       → known or absent
//! ```

use std::collections::HashMap;

use arrow::array::StringBuilder;
use arrow::datatypes::DataType;

use super::decode::{DecodeOptions, TableTarget, TargetFacts};
use super::drift::{self, ShapeLog, Shapes};
use super::json::{self, Member};
use super::notes::Notes;
use crate::model::{CellState, ChangeBatch, DiscrepancyKind, NO_TIME, Op};
use crate::read::cell::{BinaryText, CellBuilder, CellOptions, Misfit};

pub(super) const KNOWN: u8 = CellState::Known as u8;
pub(super) const UNCHANGED: u8 = CellState::Unchanged as u8;
pub(super) const ABSENT: u8 = CellState::Absent as u8;
pub(super) const AMBIGUOUS: u8 = CellState::AmbiguousNull as u8;
pub(super) const LEFT_OUT_OLD: u8 = 16;
pub(super) const LEFT_OUT_NEW: u8 = 17;

/// What a record says about one cell of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stated<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// The change did not touch it.
    Unchanged,
    /// It is left out of the old row of wal2json 1.
    LeftOutOld,
    /// It is left out of the new row of an update.
    LeftOutNew,
    /// It is null.
    Null,
    /// It is null, or its producer had no value to write.
    DoubtfulNull,
    /// A raw JSON value that is not null.
    Json(&'a str),
}

impl<'a> Stated<'a> {
    /// What a raw JSON value says.
    pub(super) fn raw(raw: &'a str) -> Self {
        if raw == "null" { Self::Null } else { Self::Json(raw) }
    }

    /// Whether it is a value or null.
    pub(super) fn is_stated(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Null | Self::DoubtfulNull)
    }
}

/// The images of one record.
#[derive(Debug, Default)]
pub(super) struct Staged<'a> {
    pub(super) before: Option<Vec<Stated<'a>>>,
    pub(super) after: Option<Vec<Stated<'a>>>,
}

/// What a record says beside its images.
#[derive(Debug, Default)]
pub(super) struct Meta<'a> {
    pub(super) op: Option<Op>,
    pub(super) record: u64,
    pub(super) stream: u64,
    pub(super) committed_at: Option<i64>,
    pub(super) commit_position: Option<u128>,
    pub(super) position: Option<u128>,
    pub(super) transaction: Option<&'a str>,
    pub(super) actor: Option<&'a str>,
    /// The before image may hold values that the producer made up.
    pub(super) weak: bool,
}

/// How a format writes a value of a column, into its typed builder.
pub(super) trait Writer {
    /// Pushes a value that is not null.
    ///
    /// # Errors
    /// The column cannot hold exactly that value; nothing has been pushed.
    fn write(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit>;

    /// Whether a value that is not null surely goes into a column of this type; `false` says nothing.
    fn fits(&self, _column: usize, _data_type: &DataType, _raw: &str) -> bool {
        false
    }
}

/// The names of a table's columns, found fast when they come in order.
#[derive(Debug)]
pub(super) struct Names {
    names: Vec<String>,
    exact: HashMap<String, usize>,
    folded: HashMap<String, Option<usize>>,
    pub(super) unknown: Vec<String>,
}

impl Names {
    fn new(target: &TableTarget) -> Self {
        let names: Vec<String> = target.schema.names().map(str::to_owned).collect();
        let exact = names.iter().cloned().zip(0..).collect();
        let mut folded: HashMap<String, Option<usize>> = HashMap::new();
        for (column, name) in names.iter().enumerate() {
            folded.entry(name.to_lowercase()).and_modify(|c| *c = None).or_insert(Some(column));
        }
        Self { names, exact, folded, unknown: Vec::new() }
    }

    /// The column of this name, tried first at the place `expected`; else any one
    /// that differs in case alone.
    pub(super) fn find(&mut self, name: &str, expected: usize) -> Option<usize> {
        if self.names.get(expected).is_some_and(|n| n == name) {
            return Some(expected);
        }
        if let Some(&column) = self.exact.get(name) {
            return Some(column);
        }
        let folded = self.folded.get(&name.to_lowercase()).copied().flatten();
        if folded.is_none() && !self.unknown.iter().any(|u| u == name) {
            self.unknown.push(name.to_owned());
        }
        folded
    }
}

/// One column of one side.
pub(super) struct Column {
    /// `None` if the type has no text form.
    pub(super) cells: Option<CellBuilder>,
    pub(super) data_type: DataType,
    pub(super) states: Vec<u8>,
    /// Whether a record states a cell of it.
    pub(super) stated: bool,
    /// Its cells stay in the text: nothing is pushed but what has to be tried.
    pub(super) left: bool,
    /// Whether a cell that stays in the text is null.
    pub(super) left_null: bool,
}

impl Column {
    fn null(&mut self, state: u8) {
        if self.left {
            return;
        }
        if let Some(cells) = &mut self.cells {
            cells.push_null();
        }
        self.states.push(state);
    }
}

/// One side of all rows.
pub(super) struct Side {
    pub(super) columns: Vec<Column>,
    pub(super) present: Vec<bool>,
    /// Only which rows have an image is asked for.
    skipped: bool,
    /// Some image stated every column.
    stated: bool,
}

impl Side {
    fn new(target: &TableTarget, options: &DecodeOptions) -> Self {
        let cell_options = CellOptions { zone: options.time_zone, binary: BinaryText::Hex };
        let columns = target.schema.arrow().fields().iter().map(|field| Column {
            cells: CellBuilder::with_options(field.data_type(), &cell_options),
            data_type: field.data_type().clone(),
            states: Vec::new(),
            stated: false,
            left: false,
            left_null: false,
        });
        Self { columns: columns.collect(), present: Vec::new(), skipped: false, stated: false }
    }
}

/// The changes of one target.
pub(super) struct Rows<'o> {
    pub(super) target: &'o TableTarget,
    pub(super) index: usize,
    pub(super) names: Names,
    laid: Vec<Laid>,
    pub(super) facts: TargetFacts,
    pub(super) shapes: ShapeLog,
    pub(super) before: Side,
    pub(super) after: Side,
    pub(super) batch: ChangeBatch,
    pub(super) transactions: StringBuilder,
    pub(super) actors: StringBuilder,
    pub(super) commit_positions: Vec<Option<u128>>,
    pub(super) positions: Vec<Option<u128>>,
    pub(super) weak: Vec<bool>,
    pub(super) set_aside: Vec<bool>,
    /// Where the texts of the changes are, if cells are left there.
    pub(super) left: Option<Left>,
}

/// Changes whose cells outside the key stay in the text.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Where the record at hand begins and ends.
    pub(super) record: [u32; 2],
    /// The same for each change.
    pub(super) texts: Vec<[u32; 2]>,
    /// Some cell is not simply a value of its column: the chunk has to be decoded after all.
    pub(super) doubtful: bool,
}

/// The columns that a list of names stands for.
struct Laid {
    number: usize,
    columns: Vec<Option<usize>>,
    /// The names as the hash of a shape.
    carried: u64,
    /// Where in the list the columns of the key are, if every column is there once.
    key: Option<Vec<usize>>,
}

/// The raw values of an object, in the order in which they stand there.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaidValues<'a> {
    /// The object.
    pub(super) text: &'a str,
    /// Where each begins and ends in it.
    pub(super) places: &'a [[u32; 2]],
    /// Of each, whether it is another than that of the image before.
    pub(super) fresh: &'a [bool],
}

impl<'a> LaidValues<'a> {
    pub(super) fn get(&self, number: usize) -> &'a str {
        let [start, end] = self.places[number];
        &self.text[start as usize..end as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a str> + '_ {
        (0..self.places.len()).map(|number| self.get(number))
    }
}

/// An image that states every column, by the values of a known list of names.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaidImage<'a> {
    /// The place of the list of names.
    laid: usize,
    pub(super) values: LaidValues<'a>,
}

/// A record that has no usable key, or none of the images that its op needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoKey;

impl<'o> Rows<'o> {
    pub(super) fn new(index: usize, target: &'o TableTarget, options: &DecodeOptions) -> Self {
        let columns = target.schema.len();
        let facts = TargetFacts {
            delete_values: vec![Vec::new(); columns],
            stated: vec![false; columns],
            non_finite: vec![false; columns],
            scale_lost: vec![false; columns],
            quoted: vec![false; columns],
            omitted: vec![false; columns],
            ..TargetFacts::default()
        };
        Self {
            target,
            index,
            names: Names::new(target),
            laid: Vec::new(),
            facts,
            shapes: ShapeLog::default(),
            before: Side::new(target, options),
            after: Side::new(target, options),
            batch: ChangeBatch::default(),
            transactions: StringBuilder::new(),
            actors: StringBuilder::new(),
            commit_positions: Vec::new(),
            positions: Vec::new(),
            weak: Vec::new(),
            set_aside: Vec::new(),
            left: None,
        }
    }

    /// Leaves the cells outside the key in the text.
    pub(super) fn leave(&mut self) {
        self.left = Some(Left::default());
        for side in [&mut self.before, &mut self.after] {
            for (index, column) in side.columns.iter_mut().enumerate() {
                column.left = !self.target.schema.is_key(index);
            }
        }
    }

    /// Goes past the cells of the sides that are not asked for.
    pub(super) fn skip(&mut self, sides: [bool; 2]) {
        for (side, skipped) in [&mut self.before, &mut self.after].into_iter().zip(sides) {
            side.skipped = skipped;
            side.columns.iter_mut().filter(|_| skipped).for_each(|column| column.left = true);
        }
    }

    /// An image of which nothing is stated yet.
    pub(super) fn blank<'a>(&self, all: Stated<'a>) -> Vec<Stated<'a>> {
        vec![all; self.target.schema.len()]
    }

    /// An image as slices of an object in a record that has been found to be JSON; what the object leaves out is
    /// `missing`. `None` if it is no object.
    pub(super) fn image<'a>(&mut self, object: &'a str, missing: Stated<'a>) -> Option<Vec<Stated<'a>>> {
        let mut cells = self.blank(missing);
        let (mut expected, mut carried) = (0, 0_u64);
        let found = json::checked_members(object, |name, raw| {
            carried = carried.wrapping_add(drift::column_hash(name, None));
            if let Some(column) = self.names.find(name, expected) {
                cells[column] = Stated::raw(raw);
                expected = column;
            }
            expected += 1;
        });
        self.shapes.read_last = carried;
        found.then_some(cells)
    }

    /// The same for an object that has been taken apart.
    pub(super) fn image_of<'a>(&mut self, members: &[Member<'a>], missing: Stated<'a>) -> Vec<Stated<'a>> {
        let mut cells = self.blank(missing);
        let (mut expected, mut carried) = (0, 0_u64);
        for (name, raw) in members {
            carried = carried.wrapping_add(drift::column_hash(name, None));
            if let Some(column) = self.names.find(name, expected) {
                cells[column] = Stated::raw(raw);
                expected = column;
            }
            expected += 1;
        }
        self.shapes.read_last = carried;
        cells
    }

    /// The same for the values of an object whose list of names has a number and is known by it.
    pub(super) fn image_laid<'a>(
        &mut self,
        (number, names): (usize, &[String]),
        values: LaidValues<'a>,
        missing: Stated<'a>,
    ) -> Vec<Stated<'a>> {
        let laid = self.place_of_names(number, names);
        let mut cells = self.blank(missing);
        for (column, raw) in self.laid[laid].columns.iter().zip(values.iter()) {
            if let Some(column) = column {
                cells[*column] = Stated::raw(raw);
            }
        }
        self.shapes.read_last = self.laid[laid].carried;
        cells
    }

    /// Where the columns of a numbered list of names are kept.
    fn place_of_names(&mut self, number: usize, names: &[String]) -> usize {
        if let Some(at) = self.laid.iter().position(|laid| laid.number == number) {
            return at;
        }
        let mut laid = Laid { number, columns: Vec::new(), carried: 0, key: None };
        let mut expected = 0;
        for name in names {
            let column = self.names.find(name, expected);
            expected = column.unwrap_or(expected) + 1;
            laid.carried = laid.carried.wrapping_add(drift::column_hash(name, None));
            laid.columns.push(column);
        }
        let schema = &self.target.schema;
        let once = |column: usize| laid.columns.iter().filter(|c| **c == Some(column)).count() == 1;
        if (0..schema.len()).all(once) {
            let place = |key: &usize| laid.columns.iter().position(|c| *c == Some(*key));
            laid.key = schema.key().iter().map(place).collect();
        }
        self.laid.push(laid);
        self.laid.len() - 1
    }

    /// An image of the values of a numbered list of names, if these are every column once.
    pub(super) fn laid_whole<'a>(
        &mut self,
        (number, names): (usize, &[String]),
        values: LaidValues<'a>,
    ) -> Option<LaidImage<'a>> {
        let laid = self.place_of_names(number, names);
        self.laid[laid].key.as_ref().map(|_| LaidImage { laid, values })
    }

    /// The columns of a numbered list of names, if these are every column once.
    pub(super) fn columns_of_names(&mut self, number: usize, names: &[String]) -> Option<&[Option<usize>]> {
        let laid = self.place_of_names(number, names);
        self.laid[laid].key.as_ref().map(|_| self.laid[laid].columns.as_slice())
    }

    /// The column that each value of an image is of.
    pub(super) fn columns_of(&self, image: &LaidImage<'_>) -> impl Iterator<Item = Option<usize>> + '_ {
        self.laid[image.laid].columns.iter().copied()
    }

    /// The names of an image as the hash of a shape.
    pub(super) fn carried(&self, image: &LaidImage<'_>) -> u64 {
        self.laid[image.laid].carried
    }

    /// Adds a change whose cells outside the key stay in the text, all of them values of their columns but for
    /// `nulls`, which are null in some image.
    pub(super) fn push_left(
        &mut self,
        meta: &Meta<'_>,
        (images, nulls): (&[Option<LaidImage<'_>>; 2], &[usize]),
        record: [u32; 2],
        writer: &mut impl Writer,
        notes: &mut Notes,
    ) {
        self.shapes.end_record(true);
        let mut place = Place::new((self.index, self.target), meta, notes);
        let key = self.target.schema.key();
        for (side, image) in [&mut self.before, &mut self.after].into_iter().zip(images) {
            side.present.push(image.is_some());
            let places = image.and_then(|image| Some((image, self.laid[image.laid].key.as_ref()?)));
            let Some((image, places)) = places else {
                key.iter().for_each(|&column| side.columns[column].null(KNOWN));
                continue;
            };
            for (&column, &at) in key.iter().zip(places) {
                push_value(&mut side.columns[column], column, image.values.get(at), writer, &mut place);
            }
            if !std::mem::replace(&mut side.stated, true) {
                side.columns.iter_mut().for_each(|column| column.stated = true);
            }
            nulls.iter().for_each(|&column| side.columns[column].left_null = true);
        }
        if let Some(left) = &mut self.left {
            left.doubtful |= place.key_lost;
            left.texts.push(record);
        }
        let key_lost = place.key_lost;
        self.push_meta(meta, key_lost);
    }

    /// Adds a change whose cells are all values of their columns, or null outside the key.
    pub(super) fn push_plain(
        &mut self,
        meta: &Meta<'_>,
        images: &[Option<LaidImage<'_>>; 2],
        writer: &mut impl Writer,
        notes: &mut Notes,
    ) {
        self.shapes.end_record(true);
        let mut place = Place::new((self.index, self.target), meta, notes);
        for (side, image) in [&mut self.before, &mut self.after].into_iter().zip(images) {
            side.present.push(image.is_some());
            if side.skipped {
                continue;
            }
            let Some(image) = image else {
                side.columns.iter_mut().for_each(|column| column.null(KNOWN));
                continue;
            };
            for (column, raw) in self.laid[image.laid].columns.iter().zip(image.values.iter()) {
                let Some(index) = *column else { continue };
                let column = &mut side.columns[index];
                if raw == "null" {
                    column.stated = true;
                    column.null(KNOWN);
                } else {
                    push_value(column, index, raw, writer, &mut place);
                }
            }
        }
        let key_lost = place.key_lost;
        self.push_meta(meta, key_lost);
    }

    /// Fills key cells that one image leaves out from the other one.
    pub(super) fn share_key(&self, staged: &mut Staged<'_>) {
        let (Some(before), Some(after)) = (&mut staged.before, &mut staged.after) else { return };
        for &column in self.target.schema.key() {
            if !before[column].is_stated() {
                before[column] = after[column];
            } else if !after[column].is_stated() {
                after[column] = before[column];
            }
        }
    }

    /// Adds a change.
    ///
    /// # Errors
    /// A present image has no key; nothing has been added.
    pub(super) fn push(
        &mut self,
        meta: &Meta<'_>,
        staged: &Staged<'_>,
        writer: &mut impl Writer,
        notes: &mut Notes,
    ) -> Result<(), NoKey> {
        let keyed = |image: &Option<Vec<Stated<'_>>>| {
            image.as_ref().is_none_or(|cells| self.target.schema.key().iter().all(|&k| cells[k].is_stated()))
        };
        if !keyed(&staged.before) || !keyed(&staged.after) {
            self.shapes.end_record(false);
            return Err(NoKey);
        }
        self.shapes.end_record(true);
        let mut place = Place::new((self.index, self.target), meta, notes);
        push_side(&mut self.before, staged.before.as_deref(), writer, &mut place);
        push_side(&mut self.after, staged.after.as_deref(), writer, &mut place);
        if let Some(left) = &mut self.left {
            left.doubtful |= place.doubtful || place.key_lost;
            left.texts.push(left.record);
        }
        let key_lost = place.key_lost;
        self.push_meta(meta, key_lost);
        Ok(())
    }

    fn push_meta(&mut self, meta: &Meta<'_>, key_lost: bool) {
        self.set_aside.push(key_lost);
        self.weak.push(meta.weak);
        self.batch.ops.push(meta.op.unwrap_or(Op::Upsert) as u8);
        self.batch.committed_at.push(meta.committed_at.unwrap_or(NO_TIME));
        self.batch.record.push(meta.record);
        self.batch.stream.push(meta.stream);
        self.commit_positions.push(meta.commit_position);
        self.positions.push(meta.position);
        self.transactions.append_option(meta.transaction);
        self.actors.append_option(meta.actor);
    }

    /// Which columns the images of all changes carry.
    pub(super) fn take_shapes(&mut self) -> Shapes {
        self.shapes.take(&self.set_aside)
    }

    /// Notes ledger columns that the table does not have.
    pub(super) fn note_unknown(&self, notes: &mut Notes) {
        for name in &self.names.unknown {
            let message = "the ledger has this column, the table does not; it is left out";
            notes.once(DiscrepancyKind::UnknownColumn, self.index, name, message);
        }
    }
}

struct Place<'n, 'o> {
    index: usize,
    target: &'o TableTarget,
    record: u64,
    notes: &'n mut Notes,
    key_lost: bool,
    /// A cell that should stay in the text is more than a value or null.
    doubtful: bool,
}

impl<'n, 'o> Place<'n, 'o> {
    fn new((index, target): (usize, &'o TableTarget), meta: &Meta<'_>, notes: &'n mut Notes) -> Self {
        Self { index, target, record: meta.record, notes, key_lost: false, doubtful: false }
    }
}

fn push_side(
    side: &mut Side,
    image: Option<&[Stated<'_>]>,
    writer: &mut impl Writer,
    place: &mut Place<'_, '_>,
) {
    side.present.push(image.is_some());
    if side.skipped {
        return;
    }
    let Some(image) = image else {
        side.columns.iter_mut().for_each(|c| c.null(KNOWN));
        return;
    };
    for (index, (column, stated)) in side.columns.iter_mut().zip(image).enumerate() {
        if column.left {
            place.doubtful |= !leave_value(column, index, stated, writer);
            continue;
        }
        match stated {
            Stated::Absent => column.null(ABSENT),
            Stated::Unchanged => column.null(UNCHANGED),
            Stated::LeftOutOld => column.null(LEFT_OUT_OLD),
            Stated::LeftOutNew => column.null(LEFT_OUT_NEW),
            Stated::Null => {
                column.stated = true;
                column.null(KNOWN);
            }
            Stated::DoubtfulNull => {
                column.stated = true;
                column.null(AMBIGUOUS);
            }
            Stated::Json(raw) => push_value(column, index, raw, writer, place),
        }
    }
}

/// Looks at a cell that stays in the text. Returns whether it is a value that its column holds, or null.
#[inline]
fn leave_value(column: &mut Column, index: usize, stated: &Stated<'_>, writer: &mut impl Writer) -> bool {
    column.stated = true;
    match stated {
        Stated::Null => {
            column.left_null = true;
            true
        }
        Stated::Json(raw) => {
            writer.fits(index, &column.data_type, raw)
                || column.cells.as_mut().is_some_and(|cells| writer.write(cells, index, raw).is_ok())
        }
        _ => false,
    }
}

fn push_value(
    column: &mut Column,
    index: usize,
    raw: &str,
    writer: &mut impl Writer,
    place: &mut Place<'_, '_>,
) {
    column.stated = true;
    let Some(cells) = &mut column.cells else {
        column.states.push(ABSENT);
        return;
    };
    match writer.write(cells, index, raw) {
        Ok(()) => column.states.push(KNOWN),
        Err(misfit) => {
            column.null(ABSENT);
            let schema = &place.target.schema;
            let name = schema.name(index);
            let mut message = format!("{misfit}; the cell counts as not recorded");
            if schema.is_key(index) {
                place.key_lost = true;
                message = format!("{misfit} in the key; the record is set aside");
            }
            place.notes.add(
                DiscrepancyKind::LossyValue,
                Some(place.index),
                place.record,
                Some(name),
                message,
            );
        }
    }
}
