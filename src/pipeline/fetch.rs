//! Third pass: the images that survive, read once each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::progress::Progress;
use super::scan::release_buffers;
use crate::error::Result;
use crate::ledger::store::ChangeStore;
use crate::ledger::want::{Columns, Want};
use crate::model::{CellState, ChangeBatch};
use crate::read::unpacked;
use crate::replay::select::{Choice, Source};

/// Images of chosen changes, by segment. Clones share them.
#[derive(Debug, Default, Clone)]
pub(super) struct Fetched {
    segments: Arc<Vec<Segment>>,
}

#[derive(Debug, Clone)]
struct Segment {
    first: u32,
    /// Per change of the segment, its row in the batch, [`NOT_FETCHED`] for most; none: all are there.
    places: Option<Arc<Vec<u32>>>,
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
                Ok(Segment { first, places: Some(Arc::new(places)), batch })
            })
            .collect();
        Self::of(segments)
    }

    /// Reads the images before all changes from a segment on.
    pub(super) fn all_before(input: &DatasetInput, from: usize, progress: &dyn Progress) -> Result<Self> {
        let want = Want { before: Columns::All, packed: true, ..Want::default() };
        let read = |segment: usize| {
            let batch = input.read_changes(segment, want, None)?;
            progress.advance(batch.len() as u64);
            Ok(Segment { first: input.store.first(segment), places: None, batch })
        };
        Self::of((from..input.store.segments()).into_par_iter().with_max_len(1).map(read).collect())
    }

    fn of(segments: Vec<Result<Segment>>) -> Result<Self> {
        release_buffers();
        Ok(Self { segments: Arc::new(segments.into_iter().collect::<Result<_>>()?) })
    }

    /// Whether all images that the choices name are here, if all images before changes are.
    pub(super) fn serves(&self, input: &DatasetInput, choices: &[Choice]) -> bool {
        let first = self.segments.first().map_or(u32::MAX, |segment| segment.first);
        choices.par_iter().all(|choice| match choice.source {
            Source::Before(index) => index >= first && index < input.store.len(),
            Source::After(_) => false,
            Source::Current(_) | Source::Nothing => true,
        })
    }

    /// Where the image of a change stands: 1 + 2 × segment (+ 1 for after), and its row.
    pub(super) fn find(&self, index: u32, after: bool) -> Reference {
        let segment = self.segments.partition_point(|s| s.first <= index).wrapping_sub(1);
        let Some(found) = self.segments.get(segment) else { return NOTHING };
        let row = index - found.first;
        let row = match &found.places {
            Some(places) => places.get(row as usize).copied().filter(|&row| row != NOT_FETCHED),
            None => Some(row).filter(|_| (row as usize) < found.batch.len()),
        };
        debug_assert!(row.is_some(), "every chosen image is fetched");
        row.map_or(NOTHING, |row| (1 + 2 * segment as u32 + u32::from(after), row))
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
        let is_of = |(array, data_type): (&Option<ArrayRef>, &DataType)| {
            array.as_ref().is_none_or(|array| array.data_type() == data_type)
        };
        let mut sides = self.segments.iter().flat_map(|s| [&s.batch.before, &s.batch.after]);
        if sides.all(|images| images.columns.iter().zip(types).all(is_of)) {
            return Ok(());
        }
        drop(sides);
        for segment in Arc::make_mut(&mut self.segments) {
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

    /// One of those arrays.
    pub(super) fn array(&self, number: u32, column: usize) -> Option<&ArrayRef> {
        let batch = &self.segments[number as usize / 2].batch;
        if number.is_multiple_of(2) { batch.before.column(column) } else { batch.after.column(column) }
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

#[derive(Debug)]
struct Needed {
    rows: Vec<u32>,
    before: Columns,
    after: Columns,
}

/// Which images of each segment the choices name. Bits by index of the change spare sorting them.
fn wanted(store: &ChangeStore, choices: &[Choice]) -> Vec<(usize, Needed)> {
    let segments = store.opening_segments().end;
    let words = (store.first(segments) as usize).div_ceil(64);
    let mut images = [vec![0_u64; words], vec![0_u64; words]];
    for choice in choices {
        let (index, side) = match choice.source {
            Source::Before(index) => (index as usize, 0),
            Source::After(index) => (index as usize, 1),
            Source::Current(_) | Source::Nothing => continue,
        };
        images[side][index / 64] |= 1 << (index % 64);
    }
    let [before, after] = images;
    let needed = |segment: usize| {
        let (first, next) = (store.first(segment), store.first(segment + 1));
        let has = |bits: &[u64], index: u32| bits[index as usize / 64] >> (index % 64) & 1 == 1;
        let any = |bits: &[u64]| {
            if (first..next).any(|index| has(bits, index)) { Columns::All } else { Columns::default() }
        };
        let rows = (first..next).filter(|&index| has(&before, index) || has(&after, index));
        let rows: Vec<u32> = rows.map(|index| index - first).collect();
        let sides = Needed { before: any(&before), after: any(&after), rows };
        (!sides.rows.is_empty()).then_some((segment, sides))
    };
    (0..segments).into_par_iter().filter_map(needed).collect()
}
