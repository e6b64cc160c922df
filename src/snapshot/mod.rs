//! The snapshot: the table at the as-of, as a lazy sequence of output row groups, with a verdict per key.
//!
//! A snapshot holds no table. It holds, per output row group, which rows stay
//! and which are supplied by a record of the ledger; columns are put together
//! one (group, column) at a time by whoever writes them. Exporters see only
//! [`GroupSource`].

mod gather;
mod pieces;
mod verdict;

pub use gather::{Assembly, Gathering};
pub use pieces::{Kept, Pieces, Run, Supplied};
pub use verdict::Verdict;

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::read::ParquetGroup;

/// A table as row groups whose columns are made on demand, in any order and from any thread.
pub trait GroupSource: Sync {
    /// The columns.
    fn schema(&self) -> &SchemaRef;
    /// How many row groups.
    fn groups(&self) -> usize;
    /// How many rows a group has.
    fn rows(&self, group: usize) -> usize;
    /// Groups in spans, in order. Those of one span share what costs memory, so whoever makes groups in
    /// parallel makes one span of them after the other.
    fn bands(&self) -> Vec<Range<usize>> {
        std::iter::once(0..self.groups()).collect()
    }
    /// Makes ready what the groups of a span share, and lets go what those of others did. Other groups
    /// can be asked for all the same.
    ///
    /// # Errors
    /// An input cannot be read.
    fn enter(&self, band: &Range<usize>) -> Result<()> {
        let _ = band;
        Ok(())
    }
    /// One column of one group.
    ///
    /// # Errors
    /// An input cannot be read.
    fn column(&self, group: usize, column: usize) -> Result<ArrayRef>;
    /// The cells of one column of one group in whatever form costs least: a chunk of an input that
    /// `can_copy` accepts, or an array that may be [`Packing::Packed`](crate::read::Packing::Packed).
    ///
    /// # Errors
    /// An input cannot be read.
    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        let _ = can_copy;
        Ok(Cells::Array(self.column(group, column)?))
    }
}

/// Whether the bytes of a chunk can be taken as they are.
pub type CanCopy<'a> = dyn Fn(&ChunkOfInput<'_>) -> bool + 'a;

/// A column of a row group of an input file.
#[derive(Debug, Clone, Copy)]
pub struct ChunkOfInput<'a> {
    /// The file's row group.
    pub group: ParquetGroup<'a>,
    /// The root column in the file.
    pub column: usize,
}

/// Cells of one column of one output group.
#[derive(Debug)]
pub enum Cells<'a> {
    /// They are exactly those of a chunk of an input.
    Chunk(ChunkOfInput<'a>),
    /// They had to be made.
    Array(ArrayRef),
    /// They are rows of several arrays.
    Parts(Assembly),
}
