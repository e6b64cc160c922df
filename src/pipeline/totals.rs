//! Control totals of one dataset at one cut, whole and by group.
//!
//! ```text
//! current rows      kept ────────────────► snapshot
//!                   gone:    inserts
//!                   changed: updates  ───► snapshot   (its figure there − its figure here)
//! records           back:    deletes  ───► snapshot
//! ```
//!
//! Figures of the snapshot are read from the columns as they are written, those of
//! the parts from the rows that they name, so that each checks the other. Row groups
//! of the current state are worked through in parallel; a column is decoded once.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use rayon::prelude::*;

use super::layout::Row;
use super::rebuild::Rebuilt;
use super::standing::place;
use crate::error::Result;
use crate::model::{Amount, Amounts, GroupTotal, GroupValue, MeasureTotal, RowTotal, Sum, canon};
use crate::replay::select::NO_ROW;
use crate::snapshot::GroupSource;

/// A part of the equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Current,
    Inserts,
    Deletes,
    Updates,
    Snapshot,
}

const PARTS: usize = 5;

/// Figures of some rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) rows: RowTotal,
    /// Per measure, the sum of each part.
    sums: Vec<[Sum; PARTS]>,
    /// Per measure, how many cells of the snapshot are not known.
    unknown: Vec<u64>,
}

impl Figures {
    fn none(measures: usize) -> Self {
        Self {
            rows: RowTotal::default(),
            sums: vec![[Sum::ZERO; PARTS]; measures],
            unknown: vec![0; measures],
        }
    }

    fn add(&mut self, other: &Self) {
        let (rows, more) = (&mut self.rows, &other.rows);
        rows.current += more.current;
        rows.inserts += more.inserts;
        rows.deletes += more.deletes;
        rows.updates += more.updates;
        rows.snapshot += more.snapshot;
        for (sums, more) in self.sums.iter_mut().zip(&other.sums) {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.plus(*more));
        }
        self.unknown.iter_mut().zip(&other.unknown).for_each(|(all, more)| *all += more);
    }
}

/// The control totals of a dataset.
#[derive(Debug, Default)]
pub(super) struct Totals {
    measures: Vec<String>,
    group_by: Vec<String>,
    whole: Figures,
    groups: BTreeMap<Vec<GroupValue>, Figures>,
}

impl Totals {
    /// Sums up a snapshot. `rows` are those of the whole dataset.
    pub(super) fn new(rebuilt: &Rebuilt<'_>, rows: RowTotal) -> Result<Self> {
        let plan = &rebuilt.input.plan;
        let of = |names: &[String]| names.iter().filter_map(|n| rebuilt.input.schema.column(n)).collect();
        let walk = Walk { rebuilt, by: of(&plan.group_by), measures: of(&plan.measures) };
        let mut totals = Self {
            measures: plan.measures.clone(),
            group_by: plan.group_by.clone(),
            whole: Figures::none(walk.measures.len()),
            groups: BTreeMap::new(),
        };
        if !walk.by.is_empty() || !walk.measures.is_empty() {
            for (group, figures) in walk.groups()? {
                totals.whole.add(&figures);
                totals.groups.insert(group, figures);
            }
        }
        totals.whole.rows = rows;
        Ok(totals)
    }

    /// The figures of the whole dataset.
    pub(super) fn whole(&self) -> &Figures {
        &self.whole
    }

    /// The figures of all groups with these values.
    pub(super) fn of_groups(&self, wanted: &[(String, String)]) -> Figures {
        let mut all = Figures::none(self.measures.len());
        let wants = |column: &String, value: &GroupValue| {
            let wanted = wanted.iter().find(|(name, _)| name == column);
            wanted.is_none_or(|(_, text)| matches!(value, GroupValue::Value(v) if v == text))
        };
        for (values, figures) in &self.groups {
            if self.group_by.iter().zip(values).all(|(column, value)| wants(column, value)) {
                all.add(figures);
            }
        }
        all
    }

    /// Per measure: its name, the sum of a part, and how many cells of the snapshot are not known, where
    /// that part is the snapshot.
    pub(super) fn sums(&self, figures: &Figures, part: Part) -> Vec<(&str, Sum, u64)> {
        let unknown = |m: usize| if part == Part::Snapshot { figures.unknown[m] } else { 0 };
        let names = self.measures.iter().enumerate();
        names.map(|(m, name)| (name.as_str(), figures.sums[m][part as usize], unknown(m))).collect()
    }

    /// The equations of the measures, as plain data.
    pub(super) fn measures(&self, figures: &Figures) -> Vec<MeasureTotal> {
        let parts = self.measures.iter().zip(&figures.sums).zip(&figures.unknown);
        parts.map(|((name, sums), &unknown)| measure(name, sums, unknown)).collect()
    }

    /// The equations of the groups, in the order of their values.
    pub(super) fn groups(&self) -> Vec<GroupTotal> {
        let total = |(values, figures): (&Vec<GroupValue>, &Figures)| GroupTotal {
            group: self.group_by.iter().cloned().zip(values.iter().cloned()).collect(),
            rows: figures.rows,
            measures: self.measures(figures),
        };
        if self.group_by.is_empty() { Vec::new() } else { self.groups.iter().map(total).collect() }
    }
}

/// The equation of a measure. All amounts are written with the same number of decimals.
fn measure(name: &str, sums: &[Sum; PARTS], unknown: u64) -> MeasureTotal {
    let amounts = sums.map(Sum::amount);
    let finest = amounts.iter().flatten().fold(Amount::ZERO, |all, &amount| all.as_fine_as(amount));
    let text = |part: Part| match amounts[part as usize] {
        Some(amount) => amount.as_fine_as(finest).to_string(),
        None => sums[part as usize].text(),
    };
    let [current, inserts, deletes, updates, snapshot] = amounts;
    let left = || current?.minus(inserts?)?.plus(deletes?)?.plus(updates?);
    let change = || snapshot?.minus(current?);
    MeasureTotal {
        name: name.to_owned(),
        current: text(Part::Current),
        inserts: text(Part::Inserts),
        deletes: text(Part::Deletes),
        updates: text(Part::Updates),
        snapshot: text(Part::Snapshot),
        change: change().map_or_else(|| "not summed".to_owned(), |c| c.as_fine_as(finest).to_string()),
        unknown,
        is_summed: amounts.iter().all(Option::is_some),
        holds: left().zip(snapshot).is_some_and(|(left, right)| left == right),
    }
}

/// Goes through a dataset, one group of the current state after the other.
struct Walk<'a> {
    rebuilt: &'a Rebuilt<'a>,
    /// The columns to group by.
    by: Vec<usize>,
    measures: Vec<usize>,
}

/// The columns looked at, of rows before or after the cut.
struct Side {
    groups: Vec<u32>,
    amounts: Vec<Amounts>,
}

/// Figures under way: those of one group of the current state, by number of group.
struct Sums<'a> {
    walk: &'a Walk<'a>,
    numbers: Numbers,
    figures: Vec<Figures>,
}

impl Walk<'_> {
    fn groups(&self) -> Result<BTreeMap<Vec<GroupValue>, Figures>> {
        let mut all: BTreeMap<Vec<GroupValue>, Figures> = BTreeMap::new();
        let mut left = self.units();
        let bands = self.rebuilt.bands();
        for (number, band) in bands.iter().enumerate() {
            self.rebuilt.enter(band)?;
            let is_last = number + 1 == bands.len();
            let later = left.split_off(left.partition_point(|unit| is_last || unit.1.start < band.end));
            let units: Vec<Result<BTreeMap<Vec<GroupValue>, Figures>>> = std::mem::replace(&mut left, later)
                .into_par_iter()
                .with_max_len(1)
                .map(|(group, layouts)| self.one_group(group, layouts))
                .collect();
            for unit in units {
                for (group, figures) in unit? {
                    all.entry(group).or_insert_with(|| Figures::none(self.measures.len())).add(&figures);
                }
            }
        }
        Ok(all)
    }

    /// Groups of the current state, and the output groups that come from each; last those from none.
    fn units(&self) -> Vec<(Option<usize>, Range<usize>)> {
        let layouts = &self.rebuilt.layouts;
        let mut next = 0;
        let mut units: Vec<(Option<usize>, Range<usize>)> = (0..self.rebuilt.input.table.groups())
            .map(|group| {
                let from = next;
                next += layouts[from..].iter().take_while(|l| l.group == Some(group)).count();
                (Some(group), from..next)
            })
            .collect();
        units.push((None, next..layouts.len()));
        units
    }

    fn one_group(
        &self,
        group: Option<usize>,
        layouts: Range<usize>,
    ) -> Result<BTreeMap<Vec<GroupValue>, Figures>> {
        let mut sums = Sums { walk: self, numbers: Numbers::new(self.by.len()), figures: Vec::new() };
        let own = |column: &usize| group.map(|g| self.rebuilt.own_column(g, *column)).transpose();
        let arrays: Vec<Option<ArrayRef>> =
            self.by.iter().chain(&self.measures).map(own).collect::<Result<_>>()?;
        let current = match group {
            Some(_) => sums.side(arrays.iter().flatten(), |_, _| false),
            None => Side { groups: Vec::new(), amounts: Vec::new() },
        };
        let mut stays = vec![false; current.groups.len()];
        for row in 0..stays.len() {
            sums.at(&current, row).rows.current += 1;
        }
        (0..stays.len()).for_each(|row| sums.add(Part::Current, &current, row));
        for layout in layouts {
            let columns = self.by.iter().chain(&self.measures).zip(&arrays);
            let arrays: Vec<ArrayRef> = columns
                .map(|(&column, own)| self.rebuilt.column_from(layout, column, own.as_ref()))
                .collect::<Result<_>>()?;
            self.one_layout(layout, &arrays, &current, (&mut stays, &mut sums));
        }
        for row in (0..stays.len()).filter(|&row| !stays[row]) {
            sums.at(&current, row).rows.inserts += 1;
            sums.add(Part::Inserts, &current, row);
        }
        Ok(sums.numbers.named().into_iter().zip(sums.figures).collect())
    }

    /// Adds the rows of one output group, and marks those of the current state that stay.
    fn one_layout(
        &self,
        layout: usize,
        arrays: &[ArrayRef],
        current: &Side,
        (stays, sums): (&mut [bool], &mut Sums<'_>),
    ) {
        let rows = self.rebuilt.layouts[layout].rows();
        let from = |at: usize| rows.as_ref().map_or(Row::Keep(at as u32), |rows| rows[at]);
        let is_unknown = |at: usize, column: usize| self.is_unknown(layout, from(at), column);
        let snapshot = sums.side(arrays.iter(), |at, by| is_unknown(at, self.by[by]));
        let has_unborn = self.by.iter().chain(&self.measures).any(|&column| self.rebuilt.unborn[column]);
        for at in 0..snapshot.groups.len() {
            sums.at(&snapshot, at).rows.snapshot += 1;
            sums.add(Part::Snapshot, &snapshot, at);
            let own = match from(at) {
                Row::Keep(row) => Some(row as usize),
                Row::Patch(number) => self.own_row(number),
            };
            match own {
                Some(row) => {
                    stays[row] = true;
                    if has_unborn || matches!(from(at), Row::Patch(_)) {
                        sums.update((current, row), (&snapshot, at));
                    }
                }
                None => {
                    sums.at(&snapshot, at).rows.deletes += 1;
                    sums.add(Part::Deletes, &snapshot, at);
                }
            }
            for (number, &measure) in self.measures.iter().enumerate() {
                if snapshot.amounts[number].is_null(at) && is_unknown(at, measure) {
                    sums.at(&snapshot, at).unknown[number] += 1;
                }
            }
        }
    }

    /// The current row of a patch's key, in its group.
    fn own_row(&self, number: u32) -> Option<usize> {
        let rebuilt = self.rebuilt;
        if rebuilt.input.schema.is_keyless() {
            return None;
        }
        let patch = &rebuilt.patches[rebuilt.present[number as usize] as usize];
        let row = rebuilt.standing.rows[patch.slot as usize];
        (row != NO_ROW).then(|| place(row).1)
    }

    /// Whether the null in a column of an output row stands for a value that is not known.
    fn is_unknown(&self, layout: usize, row: Row, column: usize) -> bool {
        let rebuilt = self.rebuilt;
        match row {
            Row::Patch(number) => rebuilt.is_unknown(number, column),
            Row::Keep(row) => {
                let base = rebuilt.layouts[layout].group.map_or(0, |group| (group as u64) << 32);
                rebuilt.input.lanes.is_ambiguous(column)
                    && rebuilt.doubtful.binary_search(&(base | u64::from(row))).is_ok()
            }
        }
    }
}

impl Sums<'_> {
    fn side<'b>(
        &mut self,
        arrays: impl Iterator<Item = &'b ArrayRef>,
        is_unknown: impl Fn(usize, usize) -> bool,
    ) -> Side {
        let arrays: Vec<&ArrayRef> = arrays.collect();
        let (by, measures) = arrays.split_at(self.walk.by.len());
        let rows = arrays.first().map_or(0, |array| array.len());
        let groups = self.numbers.of(by, rows, is_unknown);
        let none = || Figures::none(self.walk.measures.len());
        self.figures.resize_with(self.numbers.count(), none);
        Side { groups, amounts: measures.iter().map(|array| Amounts::of(array.as_ref())).collect() }
    }

    fn at(&mut self, side: &Side, row: usize) -> &mut Figures {
        &mut self.figures[side.groups[row] as usize]
    }

    fn add(&mut self, part: Part, side: &Side, row: usize) {
        let figures = self.at(side, row);
        for (sums, amounts) in figures.sums.iter_mut().zip(&side.amounts) {
            sums[part as usize].add(amounts, row);
        }
    }

    fn update(&mut self, (current, row): (&Side, usize), (snapshot, at): (&Side, usize)) {
        let before = self.at(current, row);
        before.rows.updates -= 1;
        for (sums, amounts) in before.sums.iter_mut().zip(&current.amounts) {
            sums[Part::Updates as usize].subtract(amounts, row);
        }
        self.at(snapshot, at).rows.updates += 1;
        self.add(Part::Updates, snapshot, at);
    }
}

/// Numbers for the groups that rows fall into: a tree with a level per column.
struct Numbers {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    /// Canonical bytes of a value to its number.
    known: HashMap<Vec<u8>, u32>,
    values: Vec<GroupValue>,
    /// A group of the level above and a value, to the group here.
    nodes: HashMap<(u32, u32), u32>,
    /// Per group here, the group above and the value.
    from: Vec<(u32, u32)>,
}

/// The canonical bytes of no value: what is not known is neither null nor a value.
const UNKNOWN: &[u8] = &[2];

impl Numbers {
    fn new(levels: usize) -> Self {
        Self { levels: (0..levels).map(|_| Level::default()).collect() }
    }

    fn count(&self) -> usize {
        self.levels.last().map_or(1, |level| level.from.len())
    }

    /// The group of every row. `is_unknown` is asked of nulls alone.
    fn of(
        &mut self,
        columns: &[&ArrayRef],
        rows: usize,
        is_unknown: impl Fn(usize, usize) -> bool,
    ) -> Vec<u32> {
        let mut groups = vec![0; rows];
        for (number, (level, array)) in self.levels.iter_mut().zip(columns).enumerate() {
            let values = level.values_of(array.as_ref(), |row| is_unknown(row, number));
            for (group, value) in groups.iter_mut().zip(values) {
                *group = level.node(*group, value);
            }
        }
        groups
    }

    /// The values of every group.
    fn named(&self) -> Vec<Vec<GroupValue>> {
        let mut names = vec![Vec::new()];
        for level in &self.levels {
            let name = |&(above, value): &(u32, u32)| {
                let mut name: Vec<GroupValue> = names[above as usize].clone();
                name.push(level.values[value as usize].clone());
                name
            };
            names = level.from.iter().map(name).collect();
        }
        names
    }
}

impl Level {
    fn node(&mut self, above: u32, value: u32) -> u32 {
        let next = self.from.len() as u32;
        let node = *self.nodes.entry((above, value)).or_insert(next);
        if node == next {
            self.from.push((above, value));
        }
        node
    }

    fn value(&mut self, bytes: &[u8], make: impl FnOnce() -> GroupValue) -> u32 {
        if let Some(&known) = self.known.get(bytes) {
            return known;
        }
        let number = self.values.len() as u32;
        self.values.push(make());
        self.known.insert(bytes.to_vec(), number);
        number
    }

    /// The number of every cell's value; entries of a dictionary are looked at once each.
    fn values_of(&mut self, array: &dyn Array, is_unknown: impl Fn(usize) -> bool) -> Vec<u32> {
        let mut bytes = Vec::new();
        let mut cell = |level: &mut Self, array: &dyn Array, row: usize, unknown: bool| {
            bytes.clear();
            if unknown {
                return level.value(UNKNOWN, || GroupValue::Unknown);
            }
            canon::canonical_bytes(array, row, &mut bytes);
            level.value(&bytes, || canon::cell_text(array, row).map_or(GroupValue::Null, GroupValue::Value))
        };
        let nulls = array.logical_nulls();
        let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let entries = match array.data_type() {
            DataType::Dictionary(..) => array.as_dictionary_opt::<Int32Type>(),
            _ => None,
        };
        let Some(entries) = entries else {
            let rows = 0..array.len();
            return rows.map(|row| cell(self, array, row, is_null(row) && is_unknown(row))).collect();
        };
        let mut known = vec![None; entries.values().len()];
        let number = |row: usize| {
            if is_null(row) {
                return cell(self, array, row, is_unknown(row));
            }
            let entry = entries.keys().value(row) as usize;
            *known[entry].get_or_insert_with(|| cell(self, entries.values().as_ref(), entry, false))
        };
        (0..array.len()).map(number).collect()
    }
}
