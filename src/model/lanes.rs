//! [`Lanes`]: columns that are always known or unknown together.
//!
//! Whole images need one hash per side. Images with unknown cells would need
//! one per cell, were it not that coverage comes in few shapes: a replica
//! identity leaves out all columns but the key, a large value is left out on
//! its own. So the columns outside the key are cut into *lanes*, the coarsest
//! partition in which every image of the ledger knows all of a lane or nothing
//! of it, in one state. The kernel works on lanes alone; a ledger of whole
//! images has exactly one.

use std::borrow::Cow;

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
        let present = images.present.as_ref().map_or(rows, |present| present.count_set_bits());
        if present == 0 {
            return;
        }
        let mut states: Vec<Option<Cow<'_, [u8]>>> = Vec::with_capacity(self.lanes.lane_of.len());
        for column in 0..self.lanes.lane_of.len() {
            let of_column = images.states.get(column).and_then(Option::as_ref);
            if of_column.is_none() {
                self.lanes.covered[column] = true;
            }
            let of_column = of_column.map(|states| of_present(images, states));
            let differs =
                of_column.as_ref().is_some_and(|of| self.observe_column(column, of, present, is_before));
            states.push(of_column.filter(|_| differs));
        }
        // Mostly every image knows every cell, or the same is known of all.
        if states.iter().any(Option::is_some) {
            self.refine(&states);
        }
    }

    /// Notes what the images of a column show, of which so many are there; whether some cell is not just known.
    fn observe_column(&mut self, column: usize, states: &[u8], present: usize, is_before: bool) -> bool {
        let mut counts = [0_usize; AMBIGUOUS as usize + 1];
        states.iter().for_each(|&state| counts[usize::from(state.min(AMBIGUOUS))] += 1);
        let [_, unchanged, absent, ambiguous] = counts;
        let lanes = &mut self.lanes;
        lanes.ambiguous[column] |= ambiguous > 0;
        lanes.covered[column] |= unchanged + absent < present;
        lanes.unstated[column] |= absent > 0 || is_before && unchanged > 0;
        lanes.partial |= lanes.lane_of[column].is_some() && unchanged + absent > 0;
        unchanged + absent + ambiguous > 0
    }

    /// Keeps columns together that were, and whose cells are in the same states; `None`: all are known.
    fn refine(&mut self, states: &[Option<Cow<'_, [u8]>>]) {
        let mut classes: Vec<(u16, usize)> = Vec::with_capacity(self.lanes.count);
        for column in 0..self.lanes.lane_of.len() {
            let Some(lane) = self.lanes.lane_of[column] else { continue };
            let is_alike = |&(of, first): &(u16, usize)| of == lane && states[first] == states[column];
            let refined = classes.iter().position(is_alike).unwrap_or_else(|| {
                classes.push((lane, column));
                classes.len() - 1
            });
            self.lanes.lane_of[column] = Some(refined as u16);
        }
        self.lanes.count = classes.len().max(1);
    }

    /// Adds what was found of other images of the same table.
    pub fn merge(&mut self, other: &Self) {
        let mut classes: Vec<(u16, u16)> = Vec::new();
        let (lanes, other) = (&mut self.lanes, &other.lanes);
        for (own, other) in lanes.lane_of.iter_mut().zip(&other.lane_of) {
            let Some(class) = own.zip(*other) else { continue };
            let refined = classes.iter().position(|&c| c == class).unwrap_or_else(|| {
                classes.push(class);
                classes.len() - 1
            });
            *own = Some(refined as u16);
        }
        lanes.count = classes.len().max(1);
        lanes.partial |= other.partial;
        let either = |own: &mut [bool], other: &[bool]| own.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
        either(&mut lanes.ambiguous, &other.ambiguous);
        either(&mut lanes.covered, &other.covered);
        either(&mut lanes.unstated, &other.unstated);
        either(&mut lanes.numbers, &other.numbers);
    }

    /// The lanes, if no unchanged or absent cell of whatever images come can make them others: each column has its
    /// own. So it is once most columns of a wide table, or some of a narrow one, were seen to have gaps of their
    /// own; what is spared then, to know which of the others go together, is a look at all images.
    pub fn settled(&self) -> Option<Lanes> {
        let lanes = &self.lanes;
        let values: Vec<usize> = (0..lanes.lane_of.len()).filter(|&c| lanes.lane_of[c].is_some()).collect();
        let is_settled = lanes.partial
            && (lanes.count * 4 >= values.len() * 3 || lanes.count > 1 && values.len() <= NARROW)
            && lanes.covered.iter().all(|covered| *covered);
        is_settled.then(|| {
            let mut lanes = lanes.clone();
            (0..).zip(&values).for_each(|(lane, &column)| lanes.lane_of[column] = Some(lane));
            values.iter().for_each(|&column| lanes.unstated[column] = true);
            lanes.count = values.len();
            lanes
        })
    }

    /// The lanes of all batches observed.
    pub fn finish(self) -> Lanes {
        self.lanes
    }
}

/// So many columns cost less as lanes than a look at all images does.
const NARROW: usize = 32;

/// The code of [`CellState::AmbiguousNull`], the last of all.
const AMBIGUOUS: u8 = CellState::AmbiguousNull as u8;

/// States of a column, with those of images that are not there as if known.
fn of_present<'a>(images: &Images, states: &'a [u8]) -> Cow<'a, [u8]> {
    match &images.present {
        Some(present) if present.count_set_bits() < states.len() => {
            let of = |(state, is_present): (&u8, bool)| if is_present { *state } else { 0 };
            Cow::Owned(states.iter().zip(present).map(of).collect())
        }
        _ => Cow::Borrowed(states),
    }
}

/// The code of a state as far as lanes care: an ambiguous null is known to be of one class.
fn coverage(state: u8) -> u8 {
    if state >= AMBIGUOUS { CellState::Known as u8 } else { state }
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
    /// may not state this column.
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

    /// What is known of the lanes in images.
    pub fn states<'a>(&self, images: &'a Images) -> LaneStates<'a> {
        let mut first: Vec<Option<usize>> = vec![None; self.count];
        for (column, lane) in self.lane_of.iter().enumerate() {
            if let Some(lane) = lane {
                first[usize::from(*lane)].get_or_insert(column);
            }
        }
        let of = |column: Option<usize>| images.states.get(column?)?.as_deref();
        LaneStates { images, lanes: first.into_iter().map(of).collect() }
    }
}

/// What is known of each lane in images: its cells are all in one state.
#[derive(Debug)]
pub struct LaneStates<'a> {
    images: &'a Images,
    /// Per lane the states of its first column; `None`: all cells are known.
    lanes: Vec<Option<&'a [u8]>>,
}

impl LaneStates<'_> {
    /// Per lane, the [`CellState`] code that all of its cells have in one image.
    pub fn of(&self, row: usize) -> impl ExactSizeIterator<Item = u8> {
        let is_present = self.images.is_present(row);
        self.lanes.iter().map(move |states| match states {
            _ if !is_present => CellState::Absent as u8,
            Some(states) => coverage(states[row]),
            None => CellState::Known as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::buffer::{BooleanBuffer, ScalarBuffer};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::model::Op;
    use crate::testing::Prng;

    fn table(columns: usize) -> TableSchema {
        let fields: Vec<Field> =
            (0..columns).map(|c| Field::new(format!("c{c}"), DataType::Int64, true)).collect();
        TableSchema::new(Arc::new(Schema::new(fields)), vec![0])
    }

    /// Images whose columns are in few different states, some of them together.
    fn images(random: &mut Prng, columns: usize, rows: usize) -> Images {
        let kinds: Vec<Vec<u8>> = (0..3)
            .map(|_| {
                let most = 1 + random.index(4);
                (0..rows).map(|_| random.index(most) as u8).collect()
            })
            .collect();
        let of = |column: usize, random: &mut Prng| {
            let states = || ScalarBuffer::from(kinds[column % kinds.len()].clone());
            (column > 0 && random.below(4) > 0).then(states)
        };
        let states = (0..columns).map(|column| of(column, random)).collect();
        let present = (0..rows).map(|_| random.below(5) > 0).collect::<Vec<bool>>();
        let present = (random.below(3) > 0).then(|| BooleanBuffer::from(present));
        Images { columns: vec![None; columns], present, states }
    }

    fn batch(random: &mut Prng, columns: usize) -> ChangeBatch {
        let rows = random.index(6);
        let (before, after) = (images(random, columns, rows), images(random, columns, rows));
        ChangeBatch { ops: vec![Op::Update as u8; rows], before, after, ..ChangeBatch::default() }
    }

    /// The state of every cell of every image that is there.
    fn cells(batches: &[ChangeBatch], column: usize) -> Vec<(bool, CellState)> {
        let sides = batches.iter().flat_map(|b| [(&b.before, true, b.len()), (&b.after, false, b.len())]);
        let of_side = |(images, is_before, rows): (&Images, bool, usize)| {
            let there: Vec<usize> = (0..rows).filter(|&row| images.is_present(row)).collect();
            there.into_iter().map(|row| (is_before, images.state(column, row))).collect::<Vec<_>>()
        };
        sides.flat_map(of_side).collect()
    }

    fn check(lanes: &Lanes, batches: &[ChangeBatch], columns: usize) {
        let all: Vec<Vec<(bool, CellState)>> = (0..columns).map(|column| cells(batches, column)).collect();
        for a in 1..columns {
            let any = |of: fn(&(bool, CellState)) -> bool| all[a].iter().any(of);
            assert_eq!(lanes.is_ambiguous(a), any(|c| c.1 == CellState::AmbiguousNull));
            assert_eq!(lanes.is_covered(a), any(|c| coverage(c.1 as u8) == 0));
            let unstated =
                |c: &(bool, CellState)| c.1 == CellState::Absent || c == &(true, CellState::Unchanged);
            assert_eq!(lanes.is_unstated(a), any(unstated));
            for b in 1..columns {
                assert_eq!(lanes.of_column(a) == lanes.of_column(b), all[a] == all[b], "{a} and {b}");
            }
        }
        let has_gap = |c: &(bool, CellState)| coverage(c.1 as u8) != 0;
        assert_eq!(lanes.is_partial(), all[1..].iter().flatten().any(has_gap));
        let used: std::collections::BTreeSet<_> = (1..columns).filter_map(|c| lanes.of_column(c)).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), (0..lanes.count()).collect::<Vec<_>>());
    }

    #[test]
    fn columns_share_a_lane_exactly_if_their_cells_share_all_states() {
        let mut random = Prng::new(11);
        let mut settled = 0;
        for _ in 0..400 {
            let columns = 2 + random.index(5);
            let batches: Vec<ChangeBatch> =
                (0..random.index(4)).map(|_| batch(&mut random, columns)).collect();
            let mut finder = LaneFinder::new(&table(columns));
            batches.iter().for_each(|batch| finder.observe(batch));
            check(&finder.clone().finish(), &batches, columns);
            let mut merged = LaneFinder::new(&table(columns));
            for batch in &batches {
                let mut own = LaneFinder::new(&table(columns));
                own.observe(batch);
                merged.merge(&own);
            }
            assert_eq!(merged.finish(), finder.clone().finish());
            if let Some(lanes) = finder.settled() {
                settled += 1;
                assert_eq!(lanes.count(), columns - 1);
                let found = finder.finish();
                let are_open = (1..columns).all(|column| lanes.is_unstated(column));
                assert!(are_open && !lanes.is_unstated(0), "what was not looked at may state nothing");
                let whole = Lanes {
                    lane_of: lanes.lane_of.clone(),
                    count: lanes.count,
                    unstated: lanes.unstated.clone(),
                    ..found
                };
                assert_eq!(lanes, whole, "all else is as it was found");
            }
        }
        assert!(settled > 0, "some were settled");
    }

    #[test]
    fn lanes_of_an_image_are_in_the_state_of_their_columns() {
        let mut random = Prng::new(12);
        for _ in 0..100 {
            let columns = 2 + random.index(5);
            let batch = batch(&mut random, columns);
            let mut finder = LaneFinder::new(&table(columns));
            finder.observe(&batch);
            let lanes = finder.finish();
            for images in [&batch.before, &batch.after] {
                let states = lanes.states(images);
                for row in 0..batch.len() {
                    let of_row: Vec<u8> = states.of(row).collect();
                    for column in 1..columns {
                        let lane = lanes.of_column(column).unwrap();
                        let state = images.state(column, row);
                        assert_eq!(of_row[lane], coverage(state as u8));
                    }
                }
            }
        }
    }
}
