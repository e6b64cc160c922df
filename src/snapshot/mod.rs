//! The snapshot: the table at the as-of, as a lazy sequence of output row groups, with a verdict per key.
//!
//! A snapshot holds no table. It holds, per output row group, which rows stay
//! and which are supplied by a record of the ledger; columns are put together
//! one (group, column) at a time by whoever writes them. Exporters see only
//! [`GroupSource`].

mod verdict;

pub use verdict::{CellVerdict, KeyVerdict, Verdict};

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use crate::error::Result;

/// A table as row groups whose columns are made on demand, in any order and from any thread.
pub trait GroupSource: Sync {
    /// The columns.
    fn schema(&self) -> &SchemaRef;
    /// How many row groups.
    fn groups(&self) -> usize;
    /// How many rows a group has.
    fn rows(&self, group: usize) -> usize;
    /// One column of one group.
    ///
    /// # Errors
    /// An input cannot be read.
    fn column(&self, group: usize, column: usize) -> Result<ArrayRef>;
}
