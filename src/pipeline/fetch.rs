//! Third pass: the images that survive, read once each.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::progress::Progress;
use crate::error::Result;
use crate::ledger::store::ChangeStore;
use crate::ledger::want::{Columns, Want};
use crate::model::{CellState, ChangeBatch};
use crate::read::unpacked;
use crate::replay::select::{Choice, Source};

/// Images of chosen changes, by segment.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    first: u32,
    /// Per change of the segment, its row in the batch; [`NOT_FETCHED`] for most.
    places: Vec<u32>,
    batch: ChangeBatch,
}

const NOT_FETCHED: u32 = u32::MAX;

/// A cell's place among the arrays that an output column is put together from.
pub(super) type Reference = (u32, u32);

/// The array number of rows of the current state that stand under another key now.
pub(super) const FOREIGN: u32 = u32::MAX - 1;

/// The reference of a cell that nothing supplies.
pub(super) const NOTHING: Reference = (u32::MAX, 0);

impl Fetched {
    /// Reads the images that the choices name.
    pub(super) fn read(input: &DatasetInput, choices: &[Choice], progress: &dyn Progress) -> Result<Self> {
        let wanted = wanted(&input.store, choices);
        let segments: Vec<Result<Segment>> = wanted
            .into_par_iter()
            .with_max_len(1)
            .map(|(segment, needed)| {
                let want =
                    Want { before: needed.before, after: needed.after, packed: true, ..Want::default() };
                let batch = input.read_changes(segment, want, Some(&needed.rows))?;
                progress.advance(needed.rows.len() as u64);
                let first = input.store.first(segment);
                let mut places = vec![NOT_FETCHED; (input.store.first(segment + 1) - first) as usize];
                needed.rows.iter().zip(0..).for_each(|(&row, place)| places[row as usize] = place);
                Ok(Segment { first, places, batch })
            })
            .collect();
        Ok(Self { segments: segments.into_iter().collect::<Result<_>>()? })
    }

    /// Where the image of a change stands: 1 + 2 × segment (+ 1 for after), and its row.
    pub(super) fn find(&self, index: u32, after: bool) -> Reference {
        let segment = self.segments.partition_point(|s| s.first <= index).wrapping_sub(1);
        let Some(found) = self.segments.get(segment) else { return NOTHING };
        match found.places.get((index - found.first) as usize) {
            Some(&row) if row != NOT_FETCHED => (1 + 2 * segment as u32 + u32::from(after), row),
            _ => {
                debug_assert!(false, "every chosen image is fetched");
                NOTHING
            }
        }
    }

    /// The arrays of one column, in the order of references from 1 on.
    pub(super) fn arrays(&self, column: usize) -> Vec<Option<&ArrayRef>> {
        self.segments
            .iter()
            .flat_map(|s| [s.batch.before.column(column), s.batch.after.column(column)])
            .collect()
    }

    /// Brings the arrays of every column to the type given for it.
    pub(super) fn bring_to(&mut self, types: &[DataType]) -> Result<(), ArrowError> {
        for segment in &mut self.segments {
            for images in [&mut segment.batch.before, &mut segment.batch.after] {
                for (array, data_type) in images.columns.iter_mut().zip(types) {
                    if let Some(array) = array {
                        *array = unpacked(array, data_type)?;
                    }
                }
            }
        }
        Ok(())
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
