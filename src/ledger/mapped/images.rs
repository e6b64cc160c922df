//! Ops and images of the rows of a columnar ledger, from the columns that were read of it.
//!
//! The op says which images a row has; its struct, if images are structs, says whether they are there.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::buffer::ScalarBuffer;

use super::super::columns::Cell;
use super::super::mapping::OpWord;
use super::super::want::{Columns, Want};
use super::exact::{empty_by_type, exact, same_values};
use super::words::image_words;
use super::{MappedTable, missing};
use crate::model::{CellState, Images, Op};

impl MappedTable {
    /// The op of each row, and its images before and after.
    pub(super) fn ops_and_images<'a>(
        &self,
        want: Want,
        words: &ArrayRef,
        root: &impl Fn(usize) -> Option<&'a ArrayRef>,
    ) -> (Vec<u8>, Images, Images) {
        let codes = self.words.read(words);
        let sides = self.sides(&codes, root);
        let images = |side, columns| self.images(side, (columns, want.packed), &sides, &codes, root);
        let (before, after) = (images(Side::Before, want.before), images(Side::After, want.after));
        // An unknown op changes nothing: a read without an image.
        let ops = codes.into_iter().map(|word| word.map_or(Op::Read, |w| w.op) as u8).collect();
        (ops, before, after)
    }

    /// Which images each row has.
    fn sides<'a>(
        &self,
        codes: &[Option<OpWord>],
        root: &impl Fn(usize) -> Option<&'a ArrayRef>,
    ) -> Vec<(bool, bool)> {
        let Some(rows) = self.map.rows else {
            return codes.iter().map(|word| of_op(word.map(|w| w.op))).collect();
        };
        let images = rows.image.and_then(root).map(image_words);
        let side = |(row, word): (usize, &Option<OpWord>)| {
            let stated = word.and_then(|w| w.before).or_else(|| images.as_ref().and_then(|i| i[row]));
            match (word.map(|w| w.op), stated) {
                (Some(Op::Update), Some(before)) => (before, !before),
                (op, _) => of_op(op),
            }
        };
        codes.iter().enumerate().map(side).collect()
    }

    fn images<'a>(
        &self,
        side: Side,
        (wanted, packed): (Columns, bool),
        sides: &[(bool, bool)],
        codes: &[Option<OpWord>],
        root: &impl Fn(usize) -> Option<&'a ArrayRef>,
    ) -> Images {
        let (cells, others, structs) = match side {
            Side::Before => (&self.map.before, &self.map.after, self.map.before_struct),
            Side::After => (&self.map.after, &self.map.before, self.map.after_struct),
        };
        let nulls = structs.and_then(root).and_then(|s| s.logical_nulls());
        let has = |row: usize| if side == Side::Before { sides[row].0 } else { sides[row].1 };
        let present =
            (0..codes.len()).map(|row| has(row) && nulls.as_ref().is_none_or(|n| n.is_valid(row))).collect();
        let mut images = Images {
            columns: vec![None; cells.len()],
            present: Some(present),
            states: vec![None; cells.len()],
        };
        // A row of an update that does not say which image it is holds the after image.
        let blank =
            |row: usize| self.map.rows.is_some() && side == Side::Before && sides[row] == (true, true);
        for (column, cell) in cells.iter().enumerate().filter(|(c, _)| wanted.includes(&self.schema, *c)) {
            // Whoever reads one side alone has chosen its cells by what both sides said of them.
            let other = others[column];
            self.image_column(column, (*cell, other), (codes, root, packed), &mut images);
            if !self.schema.is_key(column) && (0..codes.len()).any(blank) {
                blank_out(&mut images, column, (0..codes.len()).filter(|&row| blank(row)), codes.len());
            }
        }
        images
    }

    fn image_column<'a>(
        &self,
        column: usize,
        (cell, other): (Option<Cell>, Option<Cell>),
        (codes, root, packed): (&[Option<OpWord>], &impl Fn(usize) -> Option<&'a ArrayRef>, bool),
        images: &mut Images,
    ) {
        let (data_type, count) = (self.schema.data_type(column), codes.len());
        let Some(array) = cell.and_then(|cell| cell.array(root)) else {
            images.columns[column] = Some(new_null_array(data_type, count));
            images.states[column] = Some(ScalarBuffer::from(vec![CellState::Absent as u8; count]));
            return;
        };
        let array = if self.empties_by_type { empty_by_type(array, data_type) } else { array };
        let stays = packed && !self.schema.is_key(column) && same_values(array.data_type(), data_type);
        let (array, misfits) = if stays { (array, Vec::new()) } else { exact(&array, data_type) };
        let mut states: Option<Vec<u8>> = None;
        if let (Some(missing), false) = (self.missing, self.schema.is_key(column)) {
            let other = other.and_then(|cell| cell.array(root)).map(|other| match self.empties_by_type {
                true => empty_by_type(other, data_type),
                false => other,
            });
            states = Some(missing::states(missing, (&array, other.as_ref()), codes));
        }
        for row in misfits {
            states.get_or_insert_with(|| vec![0; count])[row] = CellState::Absent as u8;
        }
        images.columns[column] = Some(array);
        images.states[column] = states.map(ScalarBuffer::from);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// The images that a change of this op has, before and after.
fn of_op(op: Option<Op>) -> (bool, bool) {
    match op {
        None | Some(Op::Truncate) => (false, false),
        Some(Op::Insert | Op::Read) => (false, true),
        Some(Op::Delete) => (true, false),
        Some(Op::Update | Op::Upsert) => (true, true),
    }
}

/// Makes the cells of a column absent in these rows.
fn blank_out(images: &mut Images, column: usize, rows: impl Iterator<Item = usize>, count: usize) {
    let stated = images.states[column].take();
    let mut states = stated.map_or_else(|| vec![0; count], |states| states.to_vec());
    rows.for_each(|row| states[row] = CellState::Absent as u8);
    images.states[column] = Some(ScalarBuffer::from(states));
}
