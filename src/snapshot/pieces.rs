//! [`Pieces`]: which row of which array each cell of an output column is.
//!
//! ```text
//! output row   0    1    2    3    4    5    6
//! kept         └── rows 0 to 2 ──┘    └ 4, 5 ┘     of array 0, the group of the current state
//! supplied          3·17      1·4                  row 17 of array 3, row 4 of array 1: images
//! ```
//!
//! Most rows of a snapshot stay as they are, so kept rows are few long runs. A
//! run goes on beneath cells that a record supplies for a row that stays: the
//! run is copied in one go and those cells are written over it.

use std::ops::Range;

/// Rows of one array that stand together in the output too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Which array.
    pub array: u32,
    /// Its first row.
    pub from: u32,
    /// How many rows.
    pub len: u32,
}

/// Rows of array 0 at some rows of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// First row of the output.
    pub at: u32,
    /// First row of the array.
    pub from: u32,
    /// How many rows.
    pub len: u32,
}

/// One row of any array at one row of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supplied {
    /// Row of the output.
    pub at: u32,
    /// Which array.
    pub array: u32,
    /// Its row.
    pub row: u32,
}

/// Where the cells of an output column come from.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    kept: Vec<Kept>,
    supplied: Vec<Supplied>,
    rows: usize,
}

impl Pieces {
    /// All rows of array 0.
    pub fn whole(rows: usize) -> Self {
        let kept = vec![Kept { at: 0, from: 0, len: rows as u32 }];
        Self { kept, supplied: Vec::new(), rows }
    }

    /// Adds rows of array 0 that follow each other.
    pub fn keep(&mut self, rows: Range<u32>) {
        let (at, from, len) = (self.rows as u32, rows.start, rows.len() as u32);
        self.rows += rows.len();
        match self.kept.last_mut() {
            _ if len == 0 => {}
            // The same distance in both: everything between was supplied for rows that stay.
            Some(last) if from >= last.from && from - last.from == at - last.at => {
                last.len = at - last.at + len;
            }
            _ => self.kept.push(Kept { at, from, len }),
        }
    }

    /// Adds a row of any array.
    pub fn supply(&mut self, array: u32, row: u32) {
        if array == 0 {
            return self.keep(row..row + 1);
        }
        self.supplied.push(Supplied { at: self.rows as u32, array, row });
        self.rows += 1;
    }

    /// Numbers the arrays that single cells are of anew, from 1 on without gaps; their old numbers in that order.
    pub fn number_arrays(&mut self) -> Vec<u32> {
        let arrays = self.supplied.iter().map(|cell| cell.array as usize + 1).max().unwrap_or(0);
        if arrays > self.supplied.len() {
            let mut named: Vec<u32> = self.supplied.iter().map(|cell| cell.array).collect();
            named.sort_unstable();
            named.dedup();
            let number = |array: u32| 1 + named.partition_point(|&named| named < array) as u32;
            self.supplied.iter_mut().for_each(|cell| cell.array = number(cell.array));
            return named;
        }
        let mut numbers = vec![0_u32; arrays];
        self.supplied.iter().for_each(|cell| numbers[cell.array as usize] = 1);
        let named: Vec<u32> = (0..arrays as u32).filter(|&array| numbers[array as usize] > 0).collect();
        named.iter().zip(1..).for_each(|(&array, number)| numbers[array as usize] = number);
        self.supplied.iter_mut().for_each(|cell| cell.array = numbers[cell.array as usize]);
        named
    }

    /// How many rows the output has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Runs of array 0, in order; cells supplied at the same rows win.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Single cells, in order.
    pub fn supplied(&self) -> &[Supplied] {
        &self.supplied
    }

    /// The rows of the output that single cells are at, and those cells over these rows alone, taken together as
    /// array 0.
    pub fn singled_out(&self) -> (Vec<u32>, Self) {
        let rows: Vec<u32> = self.supplied.iter().map(|cell| cell.at).collect();
        let mut alone = Self::whole(rows.len());
        alone.supplied = (0..).zip(&self.supplied).map(|(at, cell)| Supplied { at, ..*cell }).collect();
        (rows, alone)
    }

    /// All rows in order, as runs that do not overlap.
    pub fn in_order(&self) -> impl Iterator<Item = Run> {
        InOrder { kept: &self.kept, supplied: &self.supplied, at: 0, rows: self.rows as u32 }
    }

    /// Which of some arrays a row is taken from.
    pub fn named(&self, arrays: usize) -> Vec<bool> {
        let mut named = vec![false; arrays];
        // A run may lie wholly beneath supplied cells; naming its array all the same costs nothing.
        named.iter_mut().take(1).for_each(|own| *own = !self.kept.is_empty());
        self.supplied.iter().for_each(|cell| named[cell.array as usize] = true);
        named
    }
}

struct InOrder<'a> {
    kept: &'a [Kept],
    supplied: &'a [Supplied],
    at: u32,
    rows: u32,
}

impl Iterator for InOrder<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.at == self.rows {
            return None;
        }
        let upto = match self.supplied.split_first() {
            Some((cell, rest)) if cell.at == self.at => {
                self.supplied = rest;
                self.at += 1;
                return Some(Run { array: cell.array, from: cell.row, len: 1 });
            }
            Some((cell, _)) => cell.at,
            None => self.rows,
        };
        while let Some((run, rest)) = self.kept.split_first() {
            if run.at + run.len > self.at {
                let from = run.from + (self.at - run.at);
                let len = (run.at + run.len).min(upto) - self.at;
                self.at += len;
                return Some(Run { array: 0, from, len });
            }
            self.kept = rest;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    #[test]
    fn rows_come_out_in_the_order_in_which_they_went_in() {
        let mut random = Prng::new(3);
        for _ in 0..200 {
            let (mut pieces, mut expected, mut own) = (Pieces::default(), Vec::new(), 0);
            for _ in 0..random.index(60) {
                let array = if random.below(3) == 0 { 1 + random.index(3) as u32 } else { 0 };
                // Rows of the current state are left out, replaced, or joined by others.
                own += random.index(2) as u32;
                let row = if array == 0 { own } else { random.index(90) as u32 };
                own += u32::from(random.below(2) == 0);
                pieces.supply(array, row);
                expected.push((array, row));
            }
            let found: Vec<(u32, u32)> = pieces
                .in_order()
                .flat_map(|r| (r.from..r.from + r.len).map(move |row| (r.array, row)))
                .collect();
            assert_eq!(found, expected);
            assert_eq!(pieces.rows(), expected.len());
        }
    }

    #[test]
    fn arrays_are_numbered_anew_without_gaps() {
        for more in [0, 40] {
            let mut pieces = Pieces::default();
            pieces.keep(0..3);
            [(4, 1), (more + 9, 2), (4, 3), (0, 7), (6, 0)]
                .into_iter()
                .for_each(|(a, r)| pieces.supply(a, r));
            // Few cells of many arrays, and many of few.
            (0..60 * u32::from(more == 0)).for_each(|row| pieces.supply(6, row));
            assert_eq!(pieces.number_arrays(), [4, 6, more + 9]);
            let numbers: Vec<u32> = pieces.supplied().iter().take(4).map(|cell| cell.array).collect();
            assert_eq!(numbers, [1, 3, 1, 2]);
        }
    }

    #[test]
    fn a_run_goes_on_beneath_rows_that_are_supplied() {
        let mut pieces = Pieces::default();
        pieces.keep(5..6);
        pieces.supply(2, 9);
        pieces.keep(7..8);
        assert_eq!(pieces.kept(), [Kept { at: 0, from: 5, len: 3 }]);
        assert_eq!(pieces.supplied(), [Supplied { at: 1, array: 2, row: 9 }]);
    }
}
