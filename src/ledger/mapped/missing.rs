//! What the nulls of a log mean that leaves out what did not change.
//!
//! In which cells its images have gaps is asked for twice: of all of them, before anything is replayed, to
//! find the columns that are always known together, and of each, when changes are read.

use arrow::array::{Array, ArrayRef};
use rayon::prelude::*;

use super::MappedTable;
use crate::error::Result;
use crate::ledger::mapping::OpWord;
use crate::ledger::want::Want;
use crate::model::lanes::{LaneFinder, Lanes};
use crate::model::{CellState, Op};
use crate::plan::MissingCells;

/// Changes that are looked at first: in most logs with gaps they show that each column has its own.
const FIRST: usize = 1 << 12;
/// Changes whose images are looked at at a time: they should stay in the cache.
const ROWS: usize = 1 << 13;

impl MappedTable {
    /// How columns fall into lanes where nulls can be gaps. No more is read than it takes to know.
    pub(super) fn lanes_by_gaps(&self) -> Result<Lanes> {
        let want = Want { packed: !self.converts(), ..Want::IMAGES };
        let mut finder = LaneFinder::new(&self.schema);
        let Some(segment) = (0..self.segments.len()).find(|&segment| self.rows(segment) > 0) else {
            return Ok(finder.finish());
        };
        let first: Vec<u32> = (0..self.rows(segment).min(FIRST) as u32).collect();
        finder.observe(&self.read(segment, want, Some(&first))?);
        if let Some(lanes) = finder.settled() {
            return Ok(lanes);
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

/// The states of the cells of a column of images, of rows with these ops.
pub(super) fn states(missing: MissingCells, array: &ArrayRef, codes: &[Option<OpWord>]) -> Vec<u8> {
    let Some(nulls) = array.logical_nulls() else { return vec![CellState::Known as u8; codes.len()] };
    let gap = |word: &Option<OpWord>| match missing {
        // Without a row on the other side, nothing could have stayed as it was.
        MissingCells::Unchanged if word.is_some_and(|word| word.op == Op::Update) => {
            CellState::Unchanged as u8
        }
        _ => CellState::Absent as u8,
    };
    let mut states: Vec<u8> = codes.iter().map(gap).collect();
    nulls.inner().set_indices().for_each(|row| states[row] = CellState::Known as u8);
    states
}
