//! What the nulls of a log mean that leaves out what did not change.
//!
//! In which cells its images have gaps is asked for twice: of all of them, before anything is replayed, to
//! find the columns that are always known together, and of each, when changes are read.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use rayon::prelude::*;

use super::MappedTable;
use crate::error::Result;
use crate::ledger::columns::ColumnMap;
use crate::ledger::mapping::OpWord;
use crate::ledger::want::Want;
use crate::model::lanes::{LaneFinder, Lanes};
use crate::model::{CellState, Op, TableSchema};
use crate::plan::MissingCells;

/// Changes of a segment that are looked at first: in most logs with gaps they show that each column has its own.
const FIRST: usize = 1 << 12;
/// Segments of which these are looked at, as what changes is not the same throughout.
const SEGMENTS: usize = 4;
/// Changes whose images are looked at at a time: they should stay in the cache.
const ROWS: usize = 1 << 13;

impl MappedTable {
    /// How columns fall into lanes where nulls can be gaps. No more is read than it takes to know.
    pub(super) fn lanes_by_gaps(&self) -> Result<Lanes> {
        let want = Want { packed: !self.converts(), ..Want::IMAGES };
        let mut finder = LaneFinder::new(&self.schema);
        let apart = self.segments.len().div_ceil(SEGMENTS).max(1);
        for segment in (0..self.segments.len()).step_by(apart) {
            let first: Vec<u32> = (0..self.rows(segment).min(FIRST) as u32).collect();
            finder.observe(&self.read(segment, want, Some(&first))?);
            if let Some(lanes) = finder.settled() {
                return Ok(lanes);
            }
        }
        let of_segment = |segment: usize| {
            let mut finder = LaneFinder::new(&self.schema);
            self.read_parts(segment, want, ROWS, &mut |_, batch| {
                finder.observe(&batch);
                Ok(())
            })?;
            Ok(finder)
        };
        let found = (0..self.segments.len()).into_par_iter().with_max_len(1).map(of_segment);
        for found in found.collect::<Vec<Result<LaneFinder>>>() {
            finder.merge(&found?);
        }
        Ok(finder.finish())
    }
}

/// The states of the cells of a column of images, of rows with these ops. `other`: the column on the other side.
pub(super) fn states(
    missing: MissingCells,
    (array, other): (&ArrayRef, Option<&ArrayRef>),
    codes: &[Option<OpWord>],
) -> Vec<u8> {
    let Some(nulls) = array.logical_nulls() else { return vec![CellState::Known as u8; codes.len()] };
    let gap = |word: &Option<OpWord>| match (missing, word.map(|word| word.op)) {
        // Without a row on the other side, nothing could have stayed as it was.
        (MissingCells::Unchanged | MissingCells::UnchangedIfBoth, Some(Op::Update)) => CellState::Unchanged,
        (MissingCells::UnchangedIfBoth, Some(Op::Insert | Op::Delete | Op::Read)) => CellState::Known,
        _ => CellState::Absent,
    };
    let mut states: Vec<u8> = codes.iter().map(|word| gap(word) as u8).collect();
    let mut known = nulls.into_inner();
    if let (MissingCells::UnchangedIfBoth, Some(other)) = (missing, other) {
        // Where the other side has a value, the null is what it came from or went to.
        known = match other.logical_nulls() {
            Some(others) => &known | others.inner(),
            None => BooleanBuffer::new_set(known.len()),
        };
    }
    known.set_indices().for_each(|row| states[row] = CellState::Known as u8);
    states
}

/// Why a map of columns does not allow for what missing cells are said to mean.
pub(super) fn misfit(missing: MissingCells, map: &ColumnMap, schema: &TableSchema) -> Option<&'static str> {
    if missing != MissingCells::UnchangedIfBoth {
        return None;
    }
    if map.rows.is_some() {
        return Some("a row for each image");
    }
    let one_sided = |c: usize| !schema.is_key(c) && map.before[c].is_some() != map.after[c].is_some();
    (0..schema.len()).any(one_sided).then_some("a column that only one side has")
}
