//! The rows of a snapshot as a bridge needs them: sums by group, and the rows of some keys.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef};
use rayon::prelude::*;

use super::Columns;
use super::figures::{GroupCell, Groups, Row, Sum};
use crate::error::Result;
use crate::model::Amount;
use crate::model::canon::{self, Seed};
use crate::pipeline::layout;
use crate::pipeline::rebuild::Rebuilt;
use crate::replay::select::Source;
use crate::snapshot::GroupSource;

/// What one output group comes to.
#[derive(Default)]
struct Part {
    names: Vec<Vec<GroupCell>>,
    /// Per group of `names`: rows, then each measure.
    sums: Vec<Vec<Sum>>,
    rows: Vec<(u128, Row)>,
}

/// Adds a snapshot to one side of the equations, and returns the rows of wanted keys.
pub(super) fn add(
    rebuilt: &Rebuilt<'_>,
    (columns, seed): (&Columns, Seed),
    wanted: &HashSet<u128>,
    groups: &mut Groups,
    is_closing: bool,
) -> Result<HashMap<u128, Row>> {
    let parts: Vec<Result<Part>> = (0..rebuilt.groups())
        .into_par_iter()
        .map(|group| part(rebuilt, columns, (group, seed), wanted))
        .collect();
    let mut rows = HashMap::with_capacity(wanted.len());
    for part in parts {
        let part = part?;
        let numbers: Vec<u32> = part.names.iter().map(|name| groups.number(name)).collect();
        for (&number, sums) in numbers.iter().zip(&part.sums) {
            for (measure, sum) in sums.iter().enumerate() {
                let figures = groups.at(number, measure);
                if is_closing { figures.closing.merge(*sum) } else { figures.opening.merge(*sum) }
            }
        }
        for (key, mut row) in part.rows {
            row.group = numbers[row.group as usize];
            // Of several rows with one key, which are copied as they stand, the first.
            rows.entry(key).or_insert(row);
        }
    }
    Ok(rows)
}

fn part(
    rebuilt: &Rebuilt<'_>,
    columns: &Columns,
    (group, seed): (usize, Seed),
    wanted: &HashSet<u128>,
) -> Result<Part> {
    let read = |some: &[usize]| some.iter().map(|&c| rebuilt.column(group, c)).collect::<Result<Vec<_>>>();
    let (by, measures) = (read(&columns.by)?, read(&columns.measures)?);
    let count = rebuilt.rows(group);
    let ids = if wanted.is_empty() { Vec::new() } else { key_ids(rebuilt, group, seed)? };
    let rows = rebuilt.layouts[group].rows();
    let is_stated = |row: usize, column: usize| match rows.as_ref().map(|rows| rows[row]) {
        Some(layout::Row::Patch(number)) => rebuilt.choice(number, column).source != Source::Nothing,
        Some(layout::Row::Keep(_)) | None => true,
    };
    let mut part = Part::default();
    let mut numbers: HashMap<Vec<GroupCell>, usize> = HashMap::new();
    for row in 0..count {
        let name = by.iter().zip(&columns.by);
        let name: Vec<GroupCell> =
            name.map(|(a, &c)| is_stated(row, c).then(|| canon::cell_text(a.as_ref(), row))).collect();
        let number = match numbers.get(&name) {
            Some(&number) => number,
            None => part.begin(name, measures.len(), &mut numbers),
        };
        let cells = measures.iter().zip(&columns.measures);
        let cells: Box<[Option<Amount>]> =
            cells.map(|(a, &c)| is_stated(row, c).then(|| amount(a, row)).flatten()).collect();
        let sums = &mut part.sums[number];
        sums[0].add(Amount::from(1));
        for ((sum, cell), &column) in sums[1..].iter_mut().zip(&cells).zip(&columns.measures) {
            match cell {
                Some(amount) => sum.add(*amount),
                None if is_stated(row, column) => sum.known = None,
                None => sum.unknown += 1,
            }
        }
        if ids.get(row).is_some_and(|id| wanted.contains(id)) {
            part.rows.push((ids[row], Row { group: number as u32, cells }));
        }
    }
    Ok(part)
}

impl Part {
    fn begin(
        &mut self,
        name: Vec<GroupCell>,
        measures: usize,
        numbers: &mut HashMap<Vec<GroupCell>, usize>,
    ) -> usize {
        let number = self.names.len();
        numbers.insert(name.clone(), number);
        self.names.push(name);
        self.sums.push(vec![Sum::ZERO; 1 + measures]);
        number
    }
}

fn key_ids(rebuilt: &Rebuilt<'_>, group: usize, seed: Seed) -> Result<Vec<u128>> {
    let key = rebuilt.input.schema.key();
    let keys: Vec<ArrayRef> = key.iter().map(|&c| rebuilt.column(group, c)).collect::<Result<_>>()?;
    let keys = rebuilt.input.normalised_keys(&keys.iter().collect::<Vec<_>>())?;
    Ok(canon::key_ids(&keys.iter().collect::<Vec<_>>(), seed))
}

/// The amount of a cell; null is nothing. `None` if it is no exact decimal.
pub(super) fn amount(array: &dyn Array, row: usize) -> Option<Amount> {
    if array.is_null(row) { Some(Amount::ZERO) } else { Amount::of_cell(array, row) }
}
