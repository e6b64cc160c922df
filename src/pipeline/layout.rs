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

use arrow::array::ArrayRef;
use arrow_row::{OwnedRow, RowConverter};
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

/// Lays out all output groups. `keys` gives the key columns of the present patches in `restored`.
pub(super) fn lay_out(
    input: &DatasetInput,
    standing: &Standing,
    patches: &[Placed],
    keys: impl FnOnce(&[u32]) -> Result<Vec<ArrayRef>>,
) -> Result<Vec<Layout>> {
    let mut touched: Vec<Vec<(u32, Option<u32>)>> = vec![Vec::new(); input.table.groups()];
    let mut restored = Vec::new();
    for patch in patches {
        let present = (patch.fate == Fate::Present).then_some(patch.number);
        if patch.row == u64::MAX {
            restored.extend(present);
        } else {
            let (group, row) = place(patch.row);
            touched[group].push((row as u32, present));
        }
    }
    touched.par_iter_mut().for_each(|t| t.sort_unstable());
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
    let mut layouts = groups.into_iter().collect::<Result<Vec<_>>>()?.concat();
    if input.table.groups() == 0 && !restored.numbers.is_empty() {
        layouts.extend(split(None, restored.numbers.iter().map(|&n| Row::Patch(n)).collect(), false));
    }
    Ok(layouts)
}

/// Restored rows in key order.
struct Restored {
    numbers: Vec<u32>,
    keys: Vec<OwnedRow>,
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
            return Ok(Self { numbers, keys: Vec::new(), converter });
        }
        let columns = keys(&numbers)?;
        let rows = converter.convert_columns(&columns).map_err(Error::arrow(input.current_path()))?;
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        // Equal keys cannot be; equal rows of a keyless table are alike. Numbers settle the rest.
        order.sort_by(|&a, &b| rows.row(a).cmp(&rows.row(b)).then(numbers[a].cmp(&numbers[b])));
        Ok(Self {
            numbers: order.iter().map(|&o| numbers[o]).collect(),
            keys: order.iter().map(|&o| rows.row(o).owned()).collect(),
            converter,
        })
    }

    /// How many restored rows belong to the groups up to this one: in a table sorted by
    /// key those below the next group's first key, else all of them only at the end.
    fn upto(&self, standing: &Standing, group: usize, groups: usize) -> usize {
        let later = standing.first_keys.get(group + 1..groups).unwrap_or_default();
        match later.iter().flatten().next() {
            None => self.numbers.len(),
            Some(_) if !standing.sorted => 0,
            Some(next) => self.keys.partition_point(|key| key < next),
        }
    }
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
    for row in 0..count as u32 {
        while let Some((number, _)) = joining.next_if(|(_, place)| *place <= row as usize) {
            rows.push(Row::Patch(restored.numbers[number]));
        }
        match touched.next_if(|(at, _)| *at == row) {
            Some((_, None)) => {}
            Some((_, Some(patch))) => rows.push(Row::Patch(*patch)),
            None => rows.push(Row::Keep(row)),
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
    let rows = restored.converter.convert_columns(&columns).map_err(Error::arrow(input.current_path()))?;
    let mut at = 0;
    let mut places = Vec::with_capacity(joining.len());
    for number in joining {
        let key = restored.keys[number].row();
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
