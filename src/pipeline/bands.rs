//! Images of chosen changes for some output groups at a time.
//!
//! Output groups are made one after the other, and each takes its cells from few
//! images. Where memory is limited, the images of consecutive groups (a *band*)
//! are read, these groups are made, and the images of the next band take their
//! place. Every band reads its ledger segments anew, which changes the time taken
//! and nothing else: how many images a band may have follows from the sizes of a
//! sample. Keys of rows that come back are held throughout, as their order
//! decides what the groups are.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef};
use rayon::prelude::*;

use super::fetch::{Fetched, Wanted};
use super::inputs::DatasetInput;
use super::layout::{Layout, Part};
use super::scan::release_buffers;
use crate::error::Result;
use crate::ledger::want::Want;
use crate::model::ChangeBatch;
use crate::replay::select::{Choice, Source};

/// Which output groups share their images, and the images of those under way.
#[derive(Debug, Default)]
pub(super) struct Bands {
    /// Output groups of each band, in order; none: all images are held throughout.
    pub(super) ranges: Vec<Range<usize>>,
    held: Mutex<Option<(usize, Fetched)>>,
}

impl Bands {
    /// Bands of as many groups as their images fit into `room` bytes, each of at least one group. Output
    /// groups of one group of the current state stay together.
    pub(super) fn new(layouts: &[Layout], images: &[u64], sizes: &Sizes, room: u64) -> Self {
        let most = room.saturating_sub(sizes.fixed) / sizes.image.max(1);
        let (mut ranges, mut from, mut upto, mut held) = (Vec::new(), 0, 0, 0);
        for unit in layouts.chunk_by(|a, b| a.group.is_some() && a.group == b.group) {
            let next = upto + unit.len();
            let own: u64 = images[upto..next].iter().sum();
            if upto > from && held + own > most {
                ranges.push(from..upto);
                (from, held) = (upto, 0);
            }
            (upto, held) = (next, held + own);
        }
        ranges.push(from..upto);
        Self { ranges, held: Mutex::default() }
    }

    /// The band of an output group; `None`: all images are held throughout.
    pub(super) fn of(&self, group: usize) -> Option<usize> {
        let band = self.ranges.partition_point(|range| range.end <= group);
        (band < self.ranges.len()).then_some(band)
    }

    /// The images of a band, if they are here.
    pub(super) fn held(&self, band: usize) -> Option<Fetched> {
        self.lock().as_ref().filter(|(held, _)| *held == band).map(|(_, images)| images.clone())
    }

    /// Puts the images of a band in the place of others, which are let go before. No lock is held while
    /// they are read: reading is work for all threads, and one of them may come here again.
    pub(super) fn replace(&self, band: usize, read: impl FnOnce() -> Result<Fetched>) -> Result<Fetched> {
        drop(self.lock().take());
        let images = read()?;
        *self.lock() = Some((band, images.clone()));
        Ok(images)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(usize, Fetched)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many images each output group takes cells from; `choices` gives those of a patch.
pub(super) fn images_of<'a>(layout: &Layout, choices: impl Fn(u32) -> &'a [Choice]) -> u64 {
    let is_image = |choice: &Choice| matches!(choice.source, Source::Before(_) | Source::After(_));
    let patches = layout.runs().filter_map(|part| match part {
        Part::Patch { number, .. } => Some(number),
        Part::Keep(_) => None,
    });
    patches.map(|number| choices(number).iter().filter(|choice| is_image(choice)).count() as u64).sum()
}

/// What images take in memory, and in which types they come.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    /// Bytes for what is read with however few images: dictionaries.
    pub(super) fixed: u64,
    /// Bytes per image, of the segment with the most of them.
    pub(super) image: u64,
    /// How many images are wanted.
    pub(super) count: u64,
    /// Per column, whether its cells come packed as in the current state wherever they are.
    pub(super) packed: Vec<bool>,
}

impl Sizes {
    /// Looks at one image of each segment, and at all of the one with the most.
    pub(super) fn of(input: &DatasetInput, wanted: &Wanted) -> Result<Self> {
        let segments = wanted.by_segment(&input.store);
        let read = |number: usize, images: usize| {
            let (segment, needed) = &segments[number];
            let rows = &needed.rows[..images.min(needed.rows.len())];
            let want = Want { before: needed.before, after: needed.after, packed: true, ..Want::default() };
            input.read_changes(*segment, want, Some(rows))
        };
        let one = |number: usize| {
            let batch = read(number, 1)?;
            Ok((of_values(&batch), packed(input, &batch)))
        };
        let ones =
            (0..segments.len()).into_par_iter().with_max_len(1).map(one).collect::<Result<Vec<_>>>()?;
        let mut sizes = Self { fixed: 0, image: 0, count: 0, packed: vec![true; input.schema.len()] };
        for (fixed, packed) in &ones {
            sizes.fixed += fixed;
            sizes.packed.iter_mut().zip(packed).for_each(|(all, own)| *all &= own);
        }
        sizes.count = segments.iter().map(|(_, needed)| needed.rows.len() as u64).sum();
        let most = (0..segments.len()).max_by_key(|&number| segments[number].1.rows.len());
        if let Some(most) = most {
            let count = segments[most].1.rows.len().min(SAMPLE);
            let sample = bytes(&read(most, count)?).saturating_sub(ones[most].0);
            sizes.image = sample.div_ceil(count as u64) + 1;
        }
        release_buffers();
        Ok(sizes)
    }

    /// Bytes for all images at once.
    pub(super) fn whole(&self) -> u64 {
        self.fixed + self.image * self.count
    }
}

/// Images that are looked at for their size.
const SAMPLE: usize = 1 << 16;

fn columns(batch: &ChangeBatch) -> impl Iterator<Item = (usize, &ArrayRef)> {
    let sides = [&batch.before, &batch.after].into_iter();
    sides.flat_map(|images| (0..images.columns.len()).filter_map(|c| Some((c, images.column(c)?))))
}

fn bytes(batch: &ChangeBatch) -> u64 {
    columns(batch).map(|(_, array)| array.get_array_memory_size() as u64).sum()
}

/// The same without room that was made for more values, whose pages are never touched.
fn of_values(batch: &ChangeBatch) -> u64 {
    let of = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or(0) as u64;
    columns(batch).map(|(_, array)| of(array)).sum()
}

fn packed(input: &DatasetInput, batch: &ChangeBatch) -> Vec<bool> {
    let mut packed = vec![true; input.schema.len()];
    for (column, array) in columns(batch) {
        packed[column] &= array.data_type() == input.table.packed_type(column);
    }
    packed
}
