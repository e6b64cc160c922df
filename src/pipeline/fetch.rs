//! Third pass: the images that survive, read once each.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::progress::Progress;
use crate::error::Result;
use crate::ledger::store::ChangeStore;
use crate::ledger::want::{Columns, Want};
use crate::model::{CellState, ChangeBatch};
use crate::replay::select::{Choice, Source};

/// Images of chosen changes, by segment.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    first: u32,
    rows: Vec<u32>,
    batch: ChangeBatch,
}

/// A cell's place among the arrays that an output column is put together from.
pub(super) type Reference = (u32, u32);

/// The reference of a cell that nothing supplies.
pub(super) const NOTHING: Reference = (u32::MAX, 0);

impl Fetched {
    /// Reads the images that the choices name.
    pub(super) fn read(input: &DatasetInput, choices: &[Choice], progress: &dyn Progress) -> Result<Self> {
        let wanted = wanted(&input.store, choices);
        let segments: Vec<Result<Segment>> = wanted
            .into_par_iter()
            .map(|(segment, needed)| {
                let want = Want { before: needed.before, after: needed.after, ..Want::default() };
                let batch = input.read_changes(segment, want, Some(&needed.rows))?;
                progress.advance(needed.rows.len() as u64);
                Ok(Segment { first: input.store.first(segment), rows: needed.rows, batch })
            })
            .collect();
        Ok(Self { segments: segments.into_iter().collect::<Result<_>>()? })
    }

    /// Where the image of a change stands: 1 + 2 × segment (+ 1 for after), and its row.
    pub(super) fn find(&self, index: u32, after: bool) -> Reference {
        let segment = self.segments.partition_point(|s| s.first <= index).wrapping_sub(1);
        let Some(found) = self.segments.get(segment) else { return NOTHING };
        match found.rows.binary_search(&(index - found.first)) {
            Ok(row) => (1 + 2 * segment as u32 + u32::from(after), row as u32),
            Err(_) => NOTHING,
        }
    }

    /// The arrays of one column, in the order of references from 1 on.
    pub(super) fn arrays(&self, column: usize) -> Vec<Option<&ArrayRef>> {
        self.segments
            .iter()
            .flat_map(|s| [s.batch.before.column(column), s.batch.after.column(column)])
            .collect()
    }

    /// How many arrays [`Fetched::arrays`] gives.
    pub(super) fn array_count(&self) -> usize {
        2 * self.segments.len()
    }

    /// Whether the referenced cell is a null that may stand for a value its producer cannot express.
    pub(super) fn is_ambiguous(&self, reference: Reference, column: usize) -> bool {
        let Some(at) = reference.0.checked_sub(1).filter(|_| reference != NOTHING) else { return false };
        let Some(segment) = self.segments.get(at as usize / 2) else { return false };
        let images = if at % 2 == 0 { &segment.batch.before } else { &segment.batch.after };
        images.state(column, reference.1 as usize) == CellState::AmbiguousNull
    }
}

#[derive(Debug, Default)]
struct Needed {
    rows: Vec<u32>,
    before: Columns,
    after: Columns,
}

fn wanted(store: &ChangeStore, choices: &[Choice]) -> Vec<(usize, Needed)> {
    let mut by_segment: BTreeMap<usize, Needed> = BTreeMap::new();
    for choice in choices {
        let (index, after) = match choice.source {
            Source::Before(index) => (index, false),
            Source::After(index) => (index, true),
            Source::Current(_) | Source::Nothing => continue,
        };
        let (segment, row) = store.locate(index);
        let needed = by_segment.entry(segment).or_default();
        // Key and lanes of one change follow each other.
        if needed.rows.last() != Some(&row) {
            needed.rows.push(row);
        }
        if after {
            needed.after = Columns::All;
        } else {
            needed.before = Columns::All;
        }
    }
    for needed in by_segment.values_mut() {
        needed.rows.sort_unstable();
        needed.rows.dedup();
    }
    by_segment.into_iter().collect()
}
