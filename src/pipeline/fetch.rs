//! Third pass: the images that survive, read once each.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// The first change of each, side by side as they are searched for every cell.
    firsts: Arc<[u32]>,
}

#[derive(Debug, Clone)]
struct Segment {
    first: u32,
    /// Which changes of the segment are in the batch; none: all are.
    places: Option<Arc<Places>>,
    batch: ChangeBatch,
}

/// Some changes of a segment, each with its number among them. Bits, as most changes are not among them.
#[derive(Debug)]
struct Places {
    bits: Vec<u64>,
    /// Per word of bits, how many stand before it.
    before: Vec<u32>,
}

impl Places {
    fn new(changes: usize, rows: &[u32]) -> Self {
        let mut bits = vec![0_u64; changes.div_ceil(64)];
        rows.iter().for_each(|&row| bits[row as usize / 64] |= 1 << (row % 64));
        let mut before = Vec::with_capacity(bits.len());
        let mut count = 0;
        for word in &bits {
            before.push(count);
            count += word.count_ones();
        }
        Self { bits, before }
    }

    fn find(&self, row: u32) -> Option<u32> {
        let (word, bit) = (*self.bits.get(row as usize / 64)?, 1_u64 << (row % 64));
        (word & bit != 0).then(|| self.before[row as usize / 64] + (word & (bit - 1)).count_ones())
    }
}

/// A cell's place among the arrays that an output column is put together from.
pub(super) type Reference = (u32, u32);

/// The array number of rows of the current state that stand under another key now.
pub(super) const FOREIGN: u32 = u32::MAX - 1;

/// The reference of a cell that nothing supplies.
pub(super) const NOTHING: Reference = (u32::MAX, 0);

impl Fetched {
    /// Reads the wanted images.
    pub(super) fn read(input: &DatasetInput, wanted: &Wanted, progress: &dyn Progress) -> Result<Self> {
        Self::read_columns(input, wanted, Columns::All, progress)
    }

    /// Reads some columns of the wanted images.
    pub(super) fn read_columns(
        input: &DatasetInput,
        wanted: &Wanted,
        columns: Columns,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let segments: Vec<Result<Segment>> = wanted
            .by_segment(&input.store)
            .into_par_iter()
            .with_max_len(1)
            .map(|(segment, needed)| {
                let of = |side: Columns| if side == Columns::All { columns } else { side };
                let (before, after) = (of(needed.before), of(needed.after));
                let want = Want { before, after, packed: true, ..Want::default() };
                let batch = input.read_changes(segment, want, Some(&needed.rows))?;
                progress.advance(needed.rows.len() as u64);
                let first = input.store.first(segment);
                let changes = (input.store.first(segment + 1) - first) as usize;
                Ok(Segment { first, places: Some(Arc::new(Places::new(changes, &needed.rows))), batch })
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
        let segments: Vec<Segment> = segments.into_iter().collect::<Result<_>>()?;
        let firsts = segments.iter().map(|segment| segment.first).collect();
        Ok(Self { segments: Arc::new(segments), firsts })
    }

    /// Whether all wanted images are here, if all images before changes are.
    pub(super) fn serves(&self, input: &DatasetInput, wanted: &Wanted) -> bool {
        let first = self.segments.first().map_or(u32::MAX, |segment| segment.first);
        wanted.only_before(first..input.store.len())
    }

    /// Where the image of a change stands: 1 + 2 × segment (+ 1 for after), and its row.
    pub(super) fn find(&self, index: u32, after: bool) -> Reference {
        let segment = self.firsts.partition_point(|first| *first <= index).wrapping_sub(1);
        let Some(found) = self.segments.get(segment) else { return NOTHING };
        let row = index - self.firsts[segment];
        let row = match &found.places {
            Some(places) => places.find(row),
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

    /// How much memory the arrays take.
    pub(super) fn bytes(&self) -> u64 {
        let sides = self.segments.iter().flat_map(|s| [&s.batch.before, &s.batch.after]);
        let arrays = sides.flat_map(|images| images.columns.iter().flatten());
        arrays.map(|array| array.get_array_memory_size() as u64).sum()
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

/// Which rows of a segment are wanted, and which sides of them.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) rows: Vec<u32>,
    pub(super) before: Columns,
    pub(super) after: Columns,
}

/// Which images choices name. Bits by index of the change spare sorting them, and many threads may
/// set them at a time.
pub(super) struct Wanted {
    before: Vec<AtomicU64>,
    after: Vec<AtomicU64>,
}

impl Wanted {
    /// None yet.
    pub(super) fn nothing(store: &ChangeStore) -> Self {
        let words = (store.first(store.opening_segments().end) as usize).div_ceil(64);
        let bits = || (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { before: bits(), after: bits() }
    }

    /// Adds the images that these choices name.
    pub(super) fn add(&self, choices: &[Choice]) {
        for choice in choices {
            let (index, bits) = match choice.source {
                Source::Before(index) => (index as usize, &self.before),
                Source::After(index) => (index as usize, &self.after),
                Source::Current(_) | Source::Nothing => continue,
            };
            bits[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
    }

    /// The wanted images by segment, of segments that hold any.
    pub(super) fn by_segment(&self, store: &ChangeStore) -> Vec<(usize, Needed)> {
        let needed = |segment: usize| {
            let (first, next) = (store.first(segment), store.first(segment + 1));
            let (mut before, mut after, mut rows) = (0, 0, Vec::new());
            for word in first / 64..next.div_ceil(64) {
                let own = |index: u32| first <= word * 64 + index && word * 64 + index < next;
                let [b, a] =
                    [&self.before, &self.after].map(|bits| bits[word as usize].load(Ordering::Relaxed));
                let mut bits = b | a;
                while bits != 0 {
                    let index = bits.trailing_zeros();
                    let bit = bits & bits.wrapping_neg();
                    bits ^= bit;
                    if own(index) {
                        (before, after) = (before | b & bit, after | a & bit);
                        rows.push(word * 64 + index - first);
                    }
                }
            }
            let any = |bits: u64| if bits != 0 { Columns::All } else { Columns::default() };
            let sides = Needed { before: any(before), after: any(after), rows };
            (!sides.rows.is_empty()).then_some((segment, sides))
        };
        (0..store.opening_segments().end).into_par_iter().filter_map(needed).collect()
    }

    /// Whether all are images before changes of this range.
    fn only_before(&self, range: Range<u32>) -> bool {
        let nothing = |word: &AtomicU64| word.load(Ordering::Relaxed) == 0;
        let all = self.before.len() as u32 * 64;
        self.after.iter().all(nothing)
            && (0..range.start.min(all)).all(|index| !has(&self.before, index))
            && (range.end..all).all(|index| !has(&self.before, index))
    }
}

fn has(bits: &[AtomicU64], index: u32) -> bool {
    bits[index as usize / 64].load(Ordering::Relaxed) >> (index % 64) & 1 == 1
}
