//! What images of a columnar ledger carry beyond the table's columns.

use super::MappedTable;
use crate::model::{CellDifference, Discrepancy, DiscrepancyKind};

impl MappedTable {
    /// Notes columns of images that the table does not have.
    pub(super) fn note_unknown(&mut self, dataset: &str) {
        for column in self.map.unknown(self.tables[0].schema(), &self.schema) {
            let mut discrepancy = Discrepancy::new(
                DiscrepancyKind::UnknownColumn,
                dataset.to_owned(),
                "the ledger has this column, the table does not; it is left out",
            );
            discrepancy.cells.push(CellDifference { column, expected: None, found: None });
            self.discrepancies.push(discrepancy);
        }
    }
}
