//! Digests of rows: what is hashed of a row, and the identity of the undone changes.
//!
//! ```text
//! digest(current) − Σ digest(after) + Σ digest(before) = digest(snapshot)
//! ```

use std::collections::HashMap;

use arrow::array::ArrayRef;

use super::{LtHash, canon};

/// What precedes the cells of a whole row. Keeps rows and cells of columns apart.
const ROW: &[u8] = b"asof row 1\n";
/// What precedes a single cell.
const CELL: &[u8] = b"asof cell 1\n";

/// Digests of some rows: of whole rows, and of each column if asked for.
#[derive(Debug, Clone)]
pub struct RowDigests {
    /// Of whole rows.
    pub rows: LtHash,
    /// Per column; empty unless asked for.
    pub columns: Vec<LtHash>,
}

impl RowDigests {
    /// Of no rows of so many columns.
    pub fn none(columns: usize) -> Self {
        Self { rows: LtHash::default(), columns: vec![LtHash::default(); columns] }
    }

    /// Adds rows, given as all columns in table order.
    pub fn add_rows(&mut self, arrays: &[ArrayRef], rows: impl Iterator<Item = usize>) {
        let mut bytes = Vec::new();
        for row in rows {
            bytes.clear();
            bytes.extend_from_slice(ROW);
            arrays.iter().for_each(|array| canon::canonical_bytes(array.as_ref(), row, &mut bytes));
            self.rows.add(&bytes, 1);
        }
    }

    /// Adds cells of a column, if columns are asked for. Equal cells are hashed once.
    pub fn add_cells(&mut self, column: usize, array: &ArrayRef, rows: impl Iterator<Item = usize>) {
        let Some(hash) = self.columns.get_mut(column) else { return };
        let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut bytes = Vec::new();
        for row in rows {
            bytes.clear();
            bytes.extend_from_slice(CELL);
            canon::canonical_bytes(array.as_ref(), row, &mut bytes);
            match counts.get_mut(bytes.as_slice()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(bytes.clone(), 1)),
            }
        }
        // Sums do not depend on the order.
        counts.iter().for_each(|(element, &times)| hash.add(element, times));
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let columns = self.columns.into_iter().zip(&other.columns);
        Self { rows: self.rows.plus(&other.rows), columns: columns.map(|(a, b)| a.plus(b)).collect() }
    }
}

/// The identity of the undone changes, of whole rows or of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestTotal {
    /// The column; `None`: whole rows.
    pub column: Option<String>,
    /// Of the current state.
    pub current: LtHash,
    /// Over undone changes, of rows after them.
    pub after: LtHash,
    /// Over undone changes, of rows before them.
    pub before: LtHash,
    /// Of the snapshot.
    pub snapshot: LtHash,
    /// How many undone changes are in it.
    pub included: u64,
    /// How many are not, as an image is missing or partial, or as they are truncates.
    pub excluded: u64,
    /// If it does not hold: what is known of why, in words. If it holds without some changes: that
    /// nothing is proven of these.
    pub residual: Option<String>,
}

impl DigestTotal {
    /// The parts by name, in the order of the equation.
    pub fn parts(&self) -> [(&'static str, &LtHash); 4] {
        [
            ("current", &self.current),
            ("after", &self.after),
            ("before", &self.before),
            ("snapshot", &self.snapshot),
        ]
    }

    /// Whether both sides of the equation are the same.
    pub fn holds(&self) -> bool {
        self.current.clone().minus(&self.after).plus(&self.before) == self.snapshot
    }
}
