//! [`Lanes`]: columns that are always known or unknown together.
//!
//! Whole images need one hash per side. Images with unknown cells would need
//! one per cell, were it not that coverage comes in few shapes: a replica
//! identity leaves out all columns but the key, a large value is left out on
//! its own. So the columns outside the key are cut into *lanes*, the coarsest
//! partition in which every image of the ledger knows all of a lane or nothing
//! of it, in one state. The kernel works on lanes alone; a ledger of whole
//! images has exactly one.

use super::{CellState, ChangeBatch, Images, TableSchema};

/// The partition of a table's value columns by coverage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lanes {
    lane_of: Vec<Option<u16>>,
    count: usize,
    partial: bool,
    ambiguous: Vec<bool>,
    covered: Vec<bool>,
    unstated: Vec<bool>,
    numbers: Vec<bool>,
}

/// Finds the lanes of a ledger, batch by batch.
#[derive(Debug, Clone)]
pub struct LaneFinder {
    lanes: Lanes,
}

impl LaneFinder {
    /// All value columns in one lane, until a batch shows otherwise.
    pub fn new(schema: &TableSchema) -> Self {
        let value = |column| !schema.is_key(column) || schema.is_keyless();
        let lane_of = (0..schema.len()).map(|c| value(c).then_some(0)).collect();
        let columns = schema.len();
        let none = || vec![false; columns];
        let (ambiguous, covered, unstated, numbers) = (none(), none(), none(), none());
        Self { lanes: Lanes { lane_of, count: 1, partial: false, ambiguous, covered, unstated, numbers } }
    }

    /// Refines the partition until every image of this batch is uniform on each lane.
    pub fn observe(&mut self, batch: &ChangeBatch) {
        self.observe_side(&batch.before, batch.len(), true);
        self.observe_side(&batch.after, batch.len(), false);
    }

    fn observe_side(&mut self, images: &Images, rows: usize, is_before: bool) {
        let any_image = (0..rows).any(|row| images.is_present(row));
        let stated: Vec<usize> = (0..self.lanes.lane_of.len())
            .filter(|&c| images.states.get(c).is_some_and(Option::is_some))
            .collect();
        if any_image {
            for column in (0..self.lanes.covered.len()).filter(|c| !stated.contains(c)) {
                self.lanes.covered[column] = true;
            }
        }
        for row in (0..rows).filter(|_| !stated.is_empty()).filter(|&row| images.is_present(row)) {
            self.observe_row(images, row, &stated, is_before);
        }
    }

    fn observe_row(&mut self, images: &Images, row: usize, stated: &[usize], is_before: bool) {
        let mut uniform = true;
        let mut first: Vec<Option<u8>> = vec![None; self.lanes.count];
        for column in 0..self.lanes.lane_of.len() {
            let state = images.state(column, row);
            if state == CellState::AmbiguousNull {
                self.lanes.ambiguous[column] = true;
            }
            let coarse = coverage(state);
            if coarse == 0 && stated.contains(&column) {
                self.lanes.covered[column] = true;
            }
            self.lanes.unstated[column] |= coarse == ABSENT || coarse != 0 && is_before;
            let Some(lane) = self.lanes.lane_of[column].map(usize::from) else { continue };
            self.lanes.partial |= coarse != 0;
            uniform &= *first[lane].get_or_insert(state as u8) == state as u8;
        }
        if !uniform {
            self.refine(images, row);
        }
    }

    fn refine(&mut self, images: &Images, row: usize) {
        let mut classes: Vec<(u16, u8)> = Vec::new();
        for column in 0..self.lanes.lane_of.len() {
            let Some(lane) = self.lanes.lane_of[column] else { continue };
            let class = (lane, images.state(column, row) as u8);
            let refined = classes.iter().position(|&c| c == class).unwrap_or_else(|| {
                classes.push(class);
                classes.len() - 1
            });
            self.lanes.lane_of[column] = Some(refined as u16);
        }
        self.lanes.count = classes.len();
    }

    /// The lanes of all batches observed.
    pub fn finish(self) -> Lanes {
        self.lanes
    }
}

/// What [`coverage`] says of a cell that is not recorded.
const ABSENT: u8 = 2;

/// The state of a cell as far as lanes care: an ambiguous null is known to be of one class.
fn coverage(state: CellState) -> u8 {
    match state {
        CellState::Known | CellState::AmbiguousNull => 0,
        CellState::Unchanged => 1,
        CellState::Absent => ABSENT,
    }
}

impl Lanes {
    /// The lanes of a ledger whose images are whole.
    pub fn whole(schema: &TableSchema) -> Self {
        let mut lanes = LaneFinder::new(schema).finish();
        lanes.covered.fill(true);
        lanes
    }

    /// Counts a column as known to some image.
    pub fn cover(&mut self, column: usize) {
        self.covered[column] = true;
    }

    /// Cuts lanes further: images will come that know these columns not, and the others of their lanes.
    pub fn split(&mut self, columns: &[usize]) {
        for lane in 0..self.count as u16 {
            let inside = |c: &usize| self.lane_of[*c] == Some(lane) && columns.contains(c);
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..self.lane_of.len()).filter(|&c| self.lane_of[c] == Some(lane)).partition(inside);
            self.partial |= !inside.is_empty();
            if !inside.is_empty() && !outside.is_empty() {
                inside.into_iter().for_each(|c| self.lane_of[c] = Some(self.count as u16));
                self.count += 1;
            }
        }
    }

    /// How many lanes; at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The lane of a column; `None` for key columns.
    pub fn of_column(&self, column: usize) -> Option<usize> {
        self.lane_of[column].map(usize::from)
    }

    /// The columns of a lane.
    pub fn columns(&self, lane: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.lane_of.len()).filter(move |&c| self.of_column(c) == Some(lane))
    }

    /// Whether some present image leaves out a cell.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Whether the ledger holds a null in this column that may stand for a value it cannot express.
    pub fn is_ambiguous(&self, column: usize) -> bool {
        self.ambiguous[column]
    }

    /// Whether some image before a change, or an image after it that does not leave it out as unchanged,
    /// does not state this column.
    pub fn is_unstated(&self, column: usize) -> bool {
        self.unstated[column]
    }

    /// Makes a text column count as numbers: its producer drops trailing zeros.
    pub fn compare_as_number(&mut self, column: usize) {
        self.numbers[column] = true;
    }

    /// The one column of a lane, if there is just one and its nulls are ambiguous.
    pub fn ambiguous_alone(&self, lane: usize) -> Option<usize> {
        let mut columns = self.columns(lane);
        columns.next().filter(|&c| self.ambiguous[c] && columns.next().is_none())
    }

    /// Whether some lane is one column whose nulls are ambiguous: what they stand for is told by hashes.
    pub fn needs_hashes(&self) -> bool {
        (0..self.count).any(|lane| self.ambiguous_alone(lane).is_some())
    }

    /// Whether texts of this column that denote one number are equal.
    pub fn is_number(&self, column: usize) -> bool {
        self.numbers[column]
    }

    /// Whether some image knows this column.
    pub fn is_covered(&self, column: usize) -> bool {
        self.covered[column]
    }

    /// The [`CellState`] code that all cells of a lane have in one image.
    pub fn state(&self, images: &Images, lane: usize, row: usize) -> u8 {
        if !images.is_present(row) {
            return CellState::Absent as u8;
        }
        self.columns(lane).next().map_or(0, |column| coverage(images.state(column, row)))
    }
}
