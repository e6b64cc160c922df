//! Which rows each output row group has, in order.
//!
//! ```text
//! current group        patches                 layout of the output group
//!   row 0  id 1                                  keep 0
//!   row 1  id 3        id 3: absent
//!   row 2  id 4        id 4: present             patch(id 4)
//!                      id 5: present (restored)  patch(id 5)   ◄ joins its predecessor
//!   row 3  id 8                                  keep 3
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use arrow_row::{RowConverter, Rows};
use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::standing::{Standing, key_order, place};
use crate::error::{Error, Result};
use crate::replay::select::Fate;

/// Rows per output group at most; a source group grown beyond it is split.
const ROWS_MAX: usize = 1 << 20;

/// One row of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// The row of the current group, as it stands.
    Keep(u32),
    /// The row that this present patch describes.
    Patch(u32),
}

/// One output row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The current group that kept rows come from.
    pub group: Option<usize>,
    /// Its rows; `None`: all rows of the group, in order, untouched.
    pub rows: Option<Vec<Row>>,
    /// Whether every row stands where it stands in the group, with cells changed at most.
    pub in_place: bool,
}

/// What layout needs to know of a patch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Where the key's current row is; `u64::MAX` if nowhere.
    pub row: u64,
    /// Present, absent or unknown.
    pub fate: Fate,
    /// Number among the present patches.
    pub number: u32,
}

/// What patches do to the groups of the current state.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Per group: rows in order, with the number of the present patch that they become.
    groups: Vec<Vec<(u32, Option<u32>)>>,
    /// Present patches whose row stands nowhere.
    restored: Vec<u32>,
}

impl Touched {
    /// Sorts patches by group and row.
    pub(super) fn of(groups: usize, patches: &[Placed]) -> Self {
        let mut touched = Self { groups: vec![Vec::new(); groups], restored: Vec::new() };
        for patch in patches {
            let present = (patch.fate == Fate::Present).then_some(patch.number);
            if patch.row == u64::MAX {
                touched.restored.extend(present);
            } else {
                let (group, row) = place(patch.row);
                touched.groups[group].push((row as u32, present));
            }
        }
        touched.groups.par_iter_mut().for_each(|t| t.sort_unstable());
        touched
    }
}

/// Lays out all output groups. `keys` gives the key columns of the present patches in `restored`.
pub(super) fn lay_out(
    input: &DatasetInput,
    standing: &Standing,
    touched: Touched,
    keys: impl FnOnce(&[u32]) -> Result<Vec<ArrayRef>>,
) -> Result<Vec<Layout>> {
    let Touched { groups: touched, restored } = touched;
    let restored = Restored::sort(input, restored, keys)?;
    let mut taken = 0;
    let joining: Vec<std::ops::Range<usize>> = (0..touched.len())
        .map(|group| {
            let upto = restored.upto(standing, group, input.table.groups());
            std::mem::replace(&mut taken, upto)..upto
        })
        .collect();
    let groups: Vec<Result<Vec<Layout>>> = touched
        .par_iter()
        .with_max_len(1)
        .zip(joining)
        .enumerate()
        .map(|(group, (touched, joining))| {
            one_group(input, standing.sorted, (group, touched), &restored, joining)
        })
        .collect();
    let groups = groups.into_iter().collect::<Result<Vec<_>>>()?;
    let mut layouts: Vec<Layout> = groups.into_iter().flatten().collect();
    if input.table.groups() == 0 && !restored.numbers.is_empty() {
        layouts.extend(split(None, restored.numbers.iter().map(|&n| Row::Patch(n)).collect(), false));
    }
    Ok(layouts)
}

/// Restored rows in key order.
struct Restored {
    numbers: Vec<u32>,
    /// Their keys, comparable, in the order in which they came.
    keys: Rows,
    /// Per restored row, where its key is.
    order: Vec<u32>,
    /// The keys in order, if they are single numbers.
    integers: Option<Vec<i64>>,
    converter: RowConverter,
}

impl Restored {
    fn sort(
        input: &DatasetInput,
        numbers: Vec<u32>,
        keys: impl FnOnce(&[u32]) -> Result<Vec<ArrayRef>>,
    ) -> Result<Self> {
        let converter = key_order(input)?;
        if numbers.is_empty() {
            let keys = converter.empty_rows(0, 0);
            return Ok(Self { numbers, keys, order: Vec::new(), integers: None, converter });
        }
        let columns = keys(&numbers)?;
        let rows = converter.convert_columns(&columns).map_err(Error::arrow(input.current_path()))?;
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        // Equal keys cannot be; equal rows of a keyless table are alike. Numbers settle the rest.
        let number = |at: u32| numbers[at as usize];
        let integers = integers(&columns);
        match integers {
            Some(keys) => order.par_sort_unstable_by_key(|&at| (keys[at as usize], number(at))),
            None => order.par_sort_unstable_by(|&a, &b| {
                rows.row(a as usize).cmp(&rows.row(b as usize)).then(number(a).cmp(&number(b)))
            }),
        }
        Ok(Self {
            numbers: order.iter().map(|&at| number(at)).collect(),
            integers: integers.map(|keys| order.iter().map(|&at| keys[at as usize]).collect()),
            keys: rows,
            order,
            converter,
        })
    }

    fn key(&self, number: usize) -> arrow_row::Row<'_> {
        self.keys.row(self.order[number] as usize)
    }

    /// How many restored rows belong to the groups up to this one: in a table sorted by
    /// key those below the next group's first key, else all of them only at the end.
    fn upto(&self, standing: &Standing, group: usize, groups: usize) -> usize {
        let later = standing.first_keys.get(group + 1..groups).unwrap_or_default();
        match later.iter().flatten().next() {
            None => self.numbers.len(),
            Some(_) if !standing.sorted => 0,
            Some(next) => {
                let below = |&at: &u32| self.keys.row(at as usize) < next.row();
                self.order.partition_point(below)
            }
        }
    }
}

/// The values of a key of one 64-bit integer column without nulls.
fn integers(key: &[ArrayRef]) -> Option<&[i64]> {
    let [column] = key else { return None };
    let column = column.as_primitive_opt::<Int64Type>()?;
    (column.null_count() == 0).then(|| column.values().as_ref())
}

fn one_group(
    input: &DatasetInput,
    sorted: bool,
    (group, touched): (usize, &[(u32, Option<u32>)]),
    restored: &Restored,
    joining: std::ops::Range<usize>,
) -> Result<Vec<Layout>> {
    let count = input.rows_of_current(group)?;
    if touched.is_empty() && joining.is_empty() {
        return Ok(if count == 0 {
            Vec::new()
        } else {
            vec![Layout { group: Some(group), rows: None, in_place: true }]
        });
    }
    let mut rows: Vec<Row> = Vec::with_capacity(count + joining.len());
    let in_place = joining.is_empty() && touched.iter().all(|(_, present)| present.is_some());
    let places = if sorted && !joining.is_empty() {
        joining_places(input, group, count, restored, joining.clone())?
    } else {
        vec![count; joining.len()]
    };
    let mut joining = joining.zip(places).peekable();
    let mut touched = touched.iter().peekable();
    let mut row = 0;
    loop {
        let joins = joining.peek().map_or(count, |(_, place)| *place) as u32;
        let changes = touched.peek().map_or(count as u32, |(at, _)| *at);
        let next = joins.min(changes);
        rows.extend((row..next).map(Row::Keep));
        row = next;
        if row == count as u32 {
            break;
        }
        match joining.next_if(|(_, place)| *place as u32 == row) {
            Some((number, _)) => rows.push(Row::Patch(restored.numbers[number])),
            None => {
                rows.extend(touched.next().and_then(|(_, present)| *present).map(Row::Patch));
                row += 1;
            }
        }
    }
    rows.extend(joining.map(|(number, _)| Row::Patch(restored.numbers[number])));
    Ok(split(Some(group), rows, in_place))
}

/// Before which row of the group, sorted by key, each joining row stands.
fn joining_places(
    input: &DatasetInput,
    group: usize,
    count: usize,
    restored: &Restored,
    joining: std::ops::Range<usize>,
) -> Result<Vec<usize>> {
    let batch = input.read_current(group, input.schema.key())?;
    let columns: Vec<ArrayRef> = batch.columns().iter().map(Arc::clone).collect();
    let (mut at, mut places) = (0, Vec::with_capacity(joining.len()));
    if let (Some(own), Some(keys)) = (integers(&columns), &restored.integers) {
        for &key in &keys[joining] {
            at += own[at..].iter().take_while(|&&own| own < key).count();
            places.push(at);
        }
        return Ok(places);
    }
    let rows = restored.converter.convert_columns(&columns).map_err(Error::arrow(input.current_path()))?;
    for number in joining {
        let key = restored.key(number);
        while at < count && rows.row(at) < key {
            at += 1;
        }
        places.push(at);
    }
    Ok(places)
}

fn split(group: Option<usize>, rows: Vec<Row>, in_place: bool) -> Vec<Layout> {
    if rows.len() <= ROWS_MAX {
        return if rows.is_empty() { Vec::new() } else { vec![Layout { group, rows: Some(rows), in_place }] };
    }
    let part = |part: &[Row]| Layout { group, rows: Some(part.to_vec()), in_place: false };
    rows.chunks(ROWS_MAX).map(part).collect()
}
