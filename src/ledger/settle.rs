//! What becomes of doubtful cells at the end of a chunk, and the batch made of all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringBuilder, UInt32Array, make_array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::decode::{TargetFacts, Used};
use super::image::{ABSENT, AMBIGUOUS, Column, KNOWN, LEFT_OUT_NEW, LEFT_OUT_OLD, Rows, Side, UNCHANGED};
use crate::model::{ChangeBatch, Images, TableSchema};
use crate::read::cell::CellBuilder;

/// What `finish` needs to know beyond the rows.
pub(super) struct Settle<'a> {
    /// What other chunks told about the target.
    pub(super) facts: &'a TargetFacts,
    /// Whether before images are whole, if declared.
    pub(super) full_identity: Option<bool>,
    /// Whether nulls can stand for NaN or infinity, if declared.
    pub(super) non_finite: Option<bool>,
    /// Per column, whether its values turned out to be unreadable.
    pub(super) refused: &'a [bool],
}

impl Rows<'_> {
    /// Where the texts of all changes are, if cells were left there and none of them is in doubt.
    pub(super) fn left_texts(&mut self, settle: &Settle<'_>) -> Option<Vec<[u32; 2]>> {
        let left = self.left.as_mut().filter(|left| !left.doubtful)?;
        let texts = std::mem::take(&mut left.texts);
        let mut known = settle.facts.clone();
        known.merge(&self.facts);
        let whole = settle.full_identity.or(known.whole_images()) == Some(true);
        let is = |flags: &[bool], column: usize| flags.get(column) == Some(&true);
        let ambiguous = |(index, column): (usize, &Column)| {
            column.left_null && is(&known.non_finite, index) && settle.non_finite != Some(false)
        };
        let columns = || [&self.before, &self.after].into_iter().flat_map(|s| s.columns.iter().enumerate());
        let sound = (whole || !self.weak.contains(&true))
            && !settle.refused.contains(&true)
            && !columns().any(ambiguous);
        sound.then_some(texts)
    }

    /// The whole chunk, with every doubtful cell settled.
    pub(super) fn finish(mut self, settle: &Settle<'_>) -> (ChangeBatch, TargetFacts, Used) {
        for (column, stated) in self.facts.stated.iter_mut().enumerate() {
            *stated = self.before.columns[column].stated || self.after.columns[column].stated;
        }
        let mut known = settle.facts.clone();
        known.merge(&self.facts);
        let columns = self.target.schema.len();
        let mut used =
            Used { plain_nulls: vec![false; columns], unseen: vec![false; columns], ..Used::default() };
        let whole = settle.full_identity.or(known.whole_images()).unwrap_or(self.target.schema.is_keyless());
        let weak: &[bool] = if self.weak.contains(&true) { &self.weak } else { &[] };
        if !weak.is_empty() {
            (used.whole, used.key_only) = (whole, !whole);
        }
        let mut context =
            SideContext { known: &known, settle, schema: &self.target.schema, weak: &[], used: &mut used };
        self.batch.after = finish_side(self.after, &mut context);
        context.weak = if whole { &[] } else { weak };
        self.batch.before = finish_side(self.before, &mut context);
        self.batch.commit_position = all(&self.commit_positions);
        self.batch.position = all(&self.positions);
        self.batch.transaction = text_array(self.transactions);
        self.batch.actor = text_array(self.actors);
        let batch =
            if self.set_aside.contains(&true) { filter(&self.batch, &self.set_aside) } else { self.batch };
        debug_assert!(batch.is_consistent(), "every part has one entry per change");
        (batch, self.facts, used)
    }
}

struct SideContext<'a> {
    known: &'a TargetFacts,
    settle: &'a Settle<'a>,
    schema: &'a TableSchema,
    weak: &'a [bool],
    used: &'a mut Used,
}

fn finish_side(side: Side, context: &mut SideContext<'_>) -> Images {
    let rows = side.present.len();
    let mut images = Images::default();
    if side.present.contains(&false) {
        images.present = Some(BooleanBuffer::from(side.present.as_slice()));
    }
    for (index, column) in side.columns.into_iter().enumerate() {
        if column.left {
            context.used.plain_nulls[index] |= column.left_null;
            images.columns.push(None);
            images.states.push(None);
            continue;
        }
        let Column { cells, data_type, mut states, .. } = column;
        let array = cells.map_or_else(|| new_null_array(&data_type, rows), CellBuilder::finish);
        let array = settle_column(index, array, &mut states, context);
        ambiguous_nulls(index, &array, &side.present, &mut states, context);
        images.columns.push(Some(array));
        images.states.push(states.iter().any(|&s| s != KNOWN).then(|| ScalarBuffer::from(states)));
    }
    images
}

/// Resolves provisional states, and takes weak cells back where images turn out not to be whole.
fn settle_column(
    index: usize,
    array: ArrayRef,
    states: &mut [u8],
    context: &mut SideContext<'_>,
) -> ArrayRef {
    if states.contains(&LEFT_OUT_OLD) {
        let null = context.known.left_out_is_null();
        context.used.left_out = Some(null);
        replace(states, LEFT_OUT_OLD, if null { KNOWN } else { ABSENT });
    }
    if states.contains(&LEFT_OUT_NEW) {
        let seen = context.known.stated[index];
        context.used.unseen[index] |= !seen;
        replace(states, LEFT_OUT_NEW, if seen { UNCHANGED } else { ABSENT });
    }
    if context.settle.refused.get(index) == Some(&true) {
        let valued = array.nulls().map_or(vec![true; array.len()], |n| n.iter().collect());
        states.iter_mut().zip(&valued).filter(|(s, v)| **v && **s == KNOWN).for_each(|(s, _)| *s = ABSENT);
        return new_null_array(array.data_type(), array.len());
    }
    if context.weak.is_empty() || context.schema.is_key(index) {
        return array;
    }
    for (state, weak) in states.iter_mut().zip(context.weak) {
        // A cell that is known to be unchanged stays so: that is not a value.
        if *weak && *state == KNOWN {
            *state = ABSENT;
        }
    }
    without(&array, context.weak)
}

fn replace(states: &mut [u8], from: u8, to: u8) {
    states.iter_mut().filter(|s| **s == from).for_each(|s| *s = to);
}

fn ambiguous_nulls(
    index: usize,
    array: &ArrayRef,
    present: &[bool],
    states: &mut [u8],
    context: &mut SideContext<'_>,
) {
    let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) else { return };
    let doubtful = context.known.non_finite[index] && !context.known.quoted[index];
    let possible = doubtful && context.settle.non_finite != Some(false);
    for (row, state) in states.iter_mut().enumerate() {
        if *state == KNOWN && present[row] && nulls.is_null(row) {
            if possible {
                *state = AMBIGUOUS;
            } else {
                context.used.plain_nulls[index] = true;
            }
        }
    }
}

/// The array with more nulls.
fn without(array: &ArrayRef, rows: &[bool]) -> ArrayRef {
    let more = NullBuffer::from_iter(rows.iter().map(|&gone| !gone));
    let nulls = NullBuffer::union(array.nulls(), Some(&more));
    if array.data_type() == &DataType::Null {
        return Arc::clone(array);
    }
    match array.to_data().into_builder().nulls(nulls).build() {
        Ok(data) => make_array(data),
        // Cannot happen with a null buffer of the array's length; all nulls claim nothing.
        Err(_) => new_null_array(array.data_type(), array.len()),
    }
}

fn all(values: &[Option<u128>]) -> Option<Vec<u128>> {
    if values.is_empty() { None } else { values.iter().copied().collect() }
}

fn text_array(mut texts: StringBuilder) -> Option<ArrayRef> {
    let array = texts.finish();
    (array.null_count() < array.len()).then(|| Arc::new(array) as ArrayRef)
}

/// The batch without the rows that are set aside. Rare, so it may be slow.
fn filter(batch: &ChangeBatch, set_aside: &[bool]) -> ChangeBatch {
    let keep: Vec<u32> = (0..).zip(set_aside).filter(|(_, gone)| !**gone).map(|(row, _)| row).collect();
    let rows = UInt32Array::from(keep.clone());
    let array = |a: &ArrayRef| {
        arrow::compute::take(a, &rows, None).unwrap_or_else(|_| new_null_array(a.data_type(), rows.len()))
    };
    let pick = |values: &[u64]| keep.iter().map(|&r| values[r as usize]).collect();
    let images = |i: &Images| Images {
        columns: i.columns.iter().map(|c| c.as_ref().map(&array)).collect(),
        present: i.present.as_ref().map(|p| keep.iter().map(|&r| p.value(r as usize)).collect()),
        states: i
            .states
            .iter()
            .map(|s| s.as_ref().map(|s| keep.iter().map(|&r| s[r as usize]).collect()))
            .collect(),
    };
    ChangeBatch {
        ops: keep.iter().map(|&r| batch.ops[r as usize]).collect(),
        before: images(&batch.before),
        after: images(&batch.after),
        committed_at: keep.iter().map(|&r| batch.committed_at[r as usize]).collect(),
        transaction: batch.transaction.as_ref().map(&array),
        commit_position: batch
            .commit_position
            .as_ref()
            .map(|p| keep.iter().map(|&r| p[r as usize]).collect()),
        position: batch.position.as_ref().map(|p| keep.iter().map(|&r| p[r as usize]).collect()),
        record: pick(&batch.record),
        file: batch.file,
        stream: pick(&batch.stream),
        actor: batch.actor.as_ref().map(array),
    }
}
