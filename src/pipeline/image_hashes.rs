//! Hashes of the images of a segment, made a column at a time.
//!
//! A row group of a ledger is tens of megabytes of decompressed pages. Decoded side
//! by side, all of them are under way at a time and none stays in the cache; one
//! behind the other they need the memory of one. As hashes of cells are summed up,
//! nothing but the sums has to be kept between two columns.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::inputs::{DatasetInput, SCAN_ROWS};
use crate::error::Result;
use crate::ledger::MappedTable;
use crate::model::ChangeBatch;
use crate::replay::facts::{self, Hashed, ScanOptions};

/// Hashes of whole images, and which of them there are.
pub(super) struct ImageHashes {
    before: SideHashes,
    after: SideHashes,
}

/// One side of them.
struct SideHashes {
    sums: Vec<u64>,
    /// Where the file says that there is an image; `None`: it does not say.
    there: Option<BooleanBuffer>,
}

impl ImageHashes {
    /// Those of a segment; `None` where its columns cannot be read alone.
    pub(super) fn of(input: &DatasetInput, segment: usize, scan: ScanOptions<'_>) -> Result<Option<Self>> {
        let is_whole = scan.lanes.count() == 1 && !scan.lanes.is_partial() && !input.schema.is_keyless();
        let Some(table) = input.store.table_of_columns(segment).filter(|_| is_whole) else { return Ok(None) };
        let rows = (input.store.first(segment + 1) - input.store.first(segment)) as usize;
        let side = |after| SideHashes::of(table, (segment, rows, after), scan);
        let Some(before) = side(false)? else { return Ok(None) };
        Ok(side(true)?.map(|after| Self { before, after }))
    }

    /// Leaves out the images of a batch that are not there, whose first row is this one of the segment.
    pub(super) fn mark(&self, batch: &mut ChangeBatch, from: usize) {
        let rows = batch.len();
        for (images, side) in [(&mut batch.before, &self.before), (&mut batch.after, &self.after)] {
            if let Some(there) = &side.there {
                let there = there.slice(from, rows);
                images.present = Some(images.present.take().map_or_else(|| there.clone(), |p| &p & &there));
            }
        }
    }

    /// Those of some rows.
    pub(super) fn rows(&self, rows: Range<usize>) -> Hashed<'_> {
        Hashed { before: &self.before.sums[rows.clone()], after: &self.after.sums[rows] }
    }
}

impl SideHashes {
    fn of(
        table: &MappedTable,
        (segment, rows, after): (usize, usize, bool),
        scan: ScanOptions<'_>,
    ) -> Result<Option<Self>> {
        let mut side = Self { sums: vec![0; rows], there: None };
        for column in (0..scan.schema.len()).filter(|&c| scan.lanes.of_column(c).is_some()) {
            let (mut from, mut there) = (0, Vec::new());
            let add = &mut |array: &ArrayRef, around: Option<&NullBuffer>| {
                facts::add_column(array, column, scan, &mut side.sums[from..from + array.len()]);
                if let Some(around) = around.filter(|_| side.there.is_none()) {
                    there.push((from, around.inner().clone()));
                }
                from += array.len();
            };
            if !table.read_image_column(segment, (column, after), SCAN_ROWS, add)? {
                return Ok(None);
            }
            if !there.is_empty() {
                side.there = Some(joined(rows, &there));
            }
        }
        Ok(Some(side))
    }
}

/// Bits of which these parts are given, each with its first place; all others are set.
fn joined(rows: usize, parts: &[(usize, BooleanBuffer)]) -> BooleanBuffer {
    let mut bits = arrow::array::BooleanBufferBuilder::new(rows);
    for (from, part) in parts {
        bits.append_n(from - bits.len(), true);
        bits.append_buffer(part);
    }
    bits.append_n(rows - bits.len(), true);
    bits.finish()
}
