//! [`Group`]: consecutive rows of one file, the unit in which tables are read.

use super::block::record_of;

/// Consecutive rows of one file.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) file: usize,
    /// Number of the first row's record in the file, from 1.
    pub(crate) first: u64,
    /// Numbers of the records between that are no rows.
    pub(crate) gaps: Vec<u64>,
    pub(crate) rows: usize,
    /// Which row group of its file, or which batch of the spool.
    pub(crate) index: usize,
}

impl Group {
    /// The number of a row's record in its file, from 1; counts records that were set aside.
    pub(crate) fn record(&self, row: usize) -> u64 {
        record_of(self.first, &self.gaps, row)
    }
}
