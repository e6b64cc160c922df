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

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow_row::{RowConverter, Rows};
use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::standing::{Standing, integers, key_order, place};
use crate::error::{Error, Result};
use crate::replay::select::{Fate, NO_ROW, Source};

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

/// Rows of the output that stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Rows of the current group, as they stand.
    Keep(Range<u32>),
    /// The row that a present patch describes.
    Patch {
        /// The number of the patch among the present ones.
        number: u32,
        /// The row of the group that it takes the place of.
        over: Option<u32>,
        /// What supplies its first lane, and mostly all of its cells.
        source: Source,
    },
}

impl Part {
    /// Its rows, one after the other.
    pub(super) fn rows(self) -> impl Iterator<Item = Row> {
        let (kept, patch) = match self {
            Self::Keep(rows) => (rows, None),
            Self::Patch { number, .. } => (0..0, Some(Row::Patch(number))),
        };
        kept.map(Row::Keep).chain(patch)
    }
}

/// What becomes of one row of a group, or a row that joins it there: sixteen bytes, as there are as many as
/// touched keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    /// Row of the group; with [`JOINS`] a row comes in before it.
    at: u32,
    /// Number among the present patches; [`GONE`]: nothing comes in the row's place.
    patch: u32,
    /// What supplies the patch's first lane. Patches are chosen key by key, which is not how rows lie: looked up
    /// among the choices for every row, it would be a miss of the cache each time.
    source: Source,
}

const JOINS: u32 = 1 << 31;
const GONE: u32 = u32::MAX;

impl Edit {
    fn row(self) -> u32 {
        self.at & !JOINS
    }

    fn joins(self) -> bool {
        self.at & JOINS != 0
    }

    /// Whether the output has a row for it.
    fn is_row(self) -> bool {
        self.patch != GONE
    }
}

/// One output row group: the rows of a group of the current state, but for some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The current group that kept rows come from.
    pub group: Option<usize>,
    /// Whether every row stands where it stands in the group, with cells changed at most.
    pub in_place: bool,
    /// Which rows of the group.
    span: Range<u32>,
    /// What differs from them, in order; `None`: nothing, and they are all rows of the group.
    edits: Option<Vec<Edit>>,
}

impl Layout {
    /// A group that stays as it is.
    fn untouched(group: usize, count: usize) -> Self {
        Self { group: Some(group), in_place: true, span: 0..count as u32, edits: None }
    }

    /// A part of it that begins at this row, still without any.
    fn begun_at(&self, row: u32) -> Self {
        Self { group: self.group, in_place: false, span: row..row, edits: Some(Vec::new()) }
    }

    /// Whether it is all rows of the group, in order, untouched.
    pub(super) fn is_untouched(&self) -> bool {
        self.edits.is_none()
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        let edits = self.edits.as_deref().unwrap_or_default();
        let replaced = edits.iter().filter(|edit| !edit.joins()).count();
        self.span.len() - replaced + edits.iter().filter(|edit| edit.is_row()).count()
    }

    /// All rows in order, kept ones as runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = Part> {
        let mut next = self.span.start;
        let edits = self.edits.as_deref().unwrap_or_default().iter().copied().map(Some).chain([None]);
        edits.flat_map(move |edit| {
            let kept = next..edit.map_or(self.span.end, Edit::row);
            next = edit.map_or(kept.end, |edit| kept.end + u32::from(!edit.joins()));
            let patch = edit.filter(|edit| edit.is_row()).map(|edit| Part::Patch {
                number: edit.patch,
                over: (!edit.joins()).then(|| edit.row()),
                source: edit.source,
            });
            let kept = (!kept.is_empty()).then_some(Part::Keep(kept));
            kept.into_iter().chain(patch)
        })
    }

    /// One row after the other; `None`: all rows of the group, in order, untouched.
    pub(super) fn rows(&self) -> Option<Vec<Row>> {
        self.edits.as_ref()?;
        let mut rows = Vec::with_capacity(self.len());
        self.runs().for_each(|run| rows.extend(run.rows()));
        Some(rows)
    }
}

/// The row of a layout at a place, given all of them.
pub(super) fn row_at(rows: Option<&Vec<Row>>, at: usize) -> Row {
    rows.map_or(Row::Keep(at as u32), |rows| rows[at])
}

/// What layout needs to know of a patch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Where the key's current row is; [`NO_ROW`] if nowhere.
    pub row: u64,
    /// Present, absent or unknown.
    pub fate: Fate,
    /// What supplies the first lane of a present one.
    pub source: Source,
}

/// What patches do to the groups of the current state.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Per group, in order.
    groups: Vec<Vec<Edit>>,
    /// How many patches are present.
    present: u32,
    /// Present patches whose row stands nowhere.
    restored: Vec<u32>,
    /// What supplies the first lane of each of them.
    sources: Vec<Source>,
}

impl Touched {
    /// Present patches whose row stands nowhere.
    pub(super) fn restored(&self) -> &[u32] {
        &self.restored
    }

    /// Sorts patches, given in parts in their order, by group and row.
    pub(super) fn of(groups: usize, parts: Vec<impl Iterator<Item = Placed> + Clone + Send>) -> Self {
        let parts: Vec<Self> = parts.into_par_iter().map(|part| Self::of_part(groups, part)).collect();
        let mut touched = Self::default();
        let (mut number, mut edits) = (0, Vec::with_capacity(parts.len()));
        for part in parts {
            touched.restored.extend(part.restored.iter().map(|own| number + own));
            touched.sources.extend(part.sources);
            edits.push((number, part.groups));
            number += part.present;
        }
        let joined = |group: usize| {
            in_order(edits.iter().flat_map(|(number, of)| {
                let numbered = move |patch| if patch == GONE { GONE } else { number + patch };
                of[group].iter().map(move |edit| Edit { patch: numbered(edit.patch), ..*edit })
            }))
        };
        touched.groups = (0..groups).into_par_iter().map(joined).collect();
        touched.present = number;
        touched
    }

    /// Patches by group in the order in which they come, present ones numbered from 0.
    fn of_part(groups: usize, patches: impl Iterator<Item = Placed> + Clone) -> Self {
        let mut counts = vec![0; groups];
        for patch in patches.clone().filter(|patch| patch.row != NO_ROW) {
            counts[place(patch.row).0] += 1;
        }
        let groups = counts.into_iter().map(Vec::with_capacity).collect();
        let mut touched = Self { groups, ..Self::default() };
        for patch in patches {
            let is_present = patch.fate == Fate::Present;
            if patch.row != NO_ROW {
                let (group, row) = place(patch.row);
                let number = if is_present { touched.present } else { GONE };
                touched.groups[group].push(Edit { at: row as u32, patch: number, source: patch.source });
            } else if is_present {
                touched.restored.push(touched.present);
                touched.sources.push(patch.source);
            }
            touched.present += u32::from(is_present);
        }
        touched
    }
}

/// Edits in order of rows, those of one row in order of patches.
///
/// Edits lie among rows about evenly: put down by the leading bits of their row, they need sorting by the few alone.
fn in_order(edits: impl Iterator<Item = Edit> + Clone) -> Vec<Edit> {
    let Some(any) = edits.clone().next() else { return Vec::new() };
    let (count, last) = edits.clone().fold((0, 0), |(count, last), edit| (count + 1, edit.at.max(last)));
    let shift = ((last as usize / count + 1) * EDITS_TOGETHER).ilog2();
    let bucket = |edit: &Edit| (u64::from(edit.at) >> shift) as usize;
    let mut ends = vec![0_u32; (u64::from(last) >> shift) as usize + 1];
    edits.clone().for_each(|edit| ends[bucket(&edit)] += 1);
    let mut next = 0;
    // Until its edits are put down, where the next one of a bucket goes.
    ends.iter_mut().for_each(|end| next += std::mem::replace(end, next));
    let mut ordered = vec![any; count];
    edits.for_each(|edit| {
        let to = &mut ends[bucket(&edit)];
        ordered[*to as usize] = edit;
        *to += 1;
    });
    let mut from = 0;
    for end in ends {
        ordered[from..end as usize].sort_unstable_by_key(|edit| (edit.at, edit.patch));
        from = end as usize;
    }
    ordered
}

/// Edits that are sorted together, if rows are touched evenly.
const EDITS_TOGETHER: usize = 8;

/// Lays out all output groups. `keys` gives the key columns of the present patches in `restored`.
pub(super) fn lay_out(
    input: &DatasetInput,
    standing: &Standing,
    touched: Touched,
    keys: impl FnOnce(&[u32]) -> Result<Vec<ArrayRef>>,
) -> Result<Vec<Layout>> {
    let Touched { groups: touched, restored, sources, .. } = touched;
    let restored = Restored::sort(input, (restored, &sources), keys)?;
    let mut taken = 0;
    let joining: Vec<Range<usize>> = (0..touched.len())
        .map(|group| {
            let upto = restored.upto(standing, group, input.table.groups());
            std::mem::replace(&mut taken, upto)..upto
        })
        .collect();
    let groups: Vec<Result<Vec<Layout>>> = touched
        .into_par_iter()
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
        let edits = (0..restored.numbers.len()).map(|number| restored.edit(number, 0)).collect();
        layouts
            .extend(split(Layout { group: None, in_place: false, span: 0..0, edits: Some(edits) }, ROWS_MAX));
    }
    Ok(layouts)
}

/// Restored rows in key order.
struct Restored {
    numbers: Vec<u32>,
    /// What supplies the first lane of each.
    sources: Vec<Source>,
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
        (numbers, sources): (Vec<u32>, &[Source]),
        keys: impl FnOnce(&[u32]) -> Result<Vec<ArrayRef>>,
    ) -> Result<Self> {
        let converter = key_order(input)?;
        if numbers.is_empty() {
            let keys = converter.empty_rows(0, 0);
            let (sources, order) = (Vec::new(), Vec::new());
            return Ok(Self { numbers, sources, keys, order, integers: None, converter });
        }
        let columns = keys(&numbers)?;
        let rows = converter.convert_columns(&columns).map_err(Error::arrow(input.current_path()))?;
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        // Equal keys cannot be; equal rows of a keyless table are alike. Numbers settle the rest.
        let number = |at: u32| numbers[at as usize];
        let integers = integers(&columns.iter().collect::<Vec<_>>());
        match integers {
            Some(keys) => order.par_sort_unstable_by_key(|&at| (keys[at as usize], number(at))),
            None => order.par_sort_unstable_by(|&a, &b| {
                rows.row(a as usize).cmp(&rows.row(b as usize)).then(number(a).cmp(&number(b)))
            }),
        }
        Ok(Self {
            numbers: order.iter().map(|&at| number(at)).collect(),
            sources: order.iter().map(|&at| sources[at as usize]).collect(),
            integers: integers.map(|keys| order.iter().map(|&at| keys[at as usize]).collect()),
            keys: rows,
            order,
            converter,
        })
    }

    /// One that comes in before a row of a group.
    fn edit(&self, number: usize, row: u32) -> Edit {
        Edit { at: row | JOINS, patch: self.numbers[number], source: self.sources[number] }
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

fn one_group(
    input: &DatasetInput,
    sorted: bool,
    (group, touched): (usize, Vec<Edit>),
    restored: &Restored,
    joining: Range<usize>,
) -> Result<Vec<Layout>> {
    let count = input.rows_of_current(group)?;
    if count >= JOINS as usize {
        let (found, limit) = (count as u64, u64::from(JOINS) - 1);
        return Err(Error::Limit { what: "rows of one group of the current state", found, limit });
    }
    if touched.is_empty() && joining.is_empty() {
        return Ok(if count == 0 { Vec::new() } else { vec![Layout::untouched(group, count)] });
    }
    let in_place = joining.is_empty() && touched.iter().all(|edit| edit.is_row());
    let edits = if joining.is_empty() {
        touched
    } else {
        let places = if sorted {
            joining_places(input, group, count, restored, joining.clone())?
        } else {
            vec![count; joining.len()]
        };
        let joining = joining.zip(places);
        merged(touched, joining.map(|(number, place)| restored.edit(number, place as u32)))
    };
    Ok(split(Layout { group: Some(group), in_place, span: 0..count as u32, edits: Some(edits) }, ROWS_MAX))
}

/// Rows that change and rows that join, each in order, in one order: who joins comes before the row there.
fn merged(touched: Vec<Edit>, joining: impl ExactSizeIterator<Item = Edit>) -> Vec<Edit> {
    let mut merged = Vec::with_capacity(touched.len() + joining.len());
    let mut touched = touched.into_iter().peekable();
    for join in joining {
        while let Some(edit) = touched.next_if(|edit| edit.row() < join.row()) {
            merged.push(edit);
        }
        merged.push(join);
    }
    merged.extend(touched);
    merged
}

/// Before which row of the group, sorted by key, each joining row stands.
fn joining_places(
    input: &DatasetInput,
    group: usize,
    count: usize,
    restored: &Restored,
    joining: Range<usize>,
) -> Result<Vec<usize>> {
    let batch = input.read_current(group, input.schema.key())?;
    let columns: Vec<ArrayRef> = batch.columns().iter().map(Arc::clone).collect();
    let (mut at, mut places) = (0, Vec::with_capacity(joining.len()));
    if let (Some(own), Some(keys)) = (integers(&columns.iter().collect::<Vec<_>>()), &restored.integers) {
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

/// The same rows in output groups of at most so many; none without rows.
fn split(layout: Layout, most: usize) -> Vec<Layout> {
    let rows = layout.len();
    if rows <= most {
        return if rows == 0 { Vec::new() } else { vec![layout] };
    }
    let most = most as u32;
    let (mut part, mut parts) = (layout.begun_at(layout.span.start), Vec::new());
    let mut free = most;
    for edit in layout.edits.iter().flatten().copied().map(Some).chain([None]) {
        let upto = edit.map_or(layout.span.end, Edit::row);
        while upto - part.span.end > free {
            let cut = part.span.end + free;
            part.span.end = cut;
            parts.push(std::mem::replace(&mut part, layout.begun_at(cut)));
            free = most;
        }
        free -= upto - part.span.end;
        part.span.end = upto;
        let Some(edit) = edit else { break };
        if edit.is_row() && free == 0 {
            parts.push(std::mem::replace(&mut part, layout.begun_at(upto)));
            free = most;
        }
        free -= u32::from(edit.is_row());
        part.span.end += u32::from(!edit.joins());
        part.edits.get_or_insert_default().push(edit);
    }
    parts.push(part);
    parts.retain(|part| part.len() > 0);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    #[test]
    fn edits_come_in_order_however_they_lie() {
        let mut random = Prng::new(8);
        let far = Edit { at: JOINS - 1, patch: 0, source: Source::Nothing };
        assert_eq!(in_order([far].into_iter()), [far]);
        for rows in [1, 2, 7, 100, 5_000, 1 << 31] {
            for count in [0, 1, 2, 9, 400] {
                let mut edit = |patch| Edit {
                    // Mostly close together.
                    at: (random.below(rows) >> random.below(20)) as u32,
                    patch,
                    source: Source::Before(patch),
                };
                let edits: Vec<Edit> = (0..count).rev().map(&mut edit).collect();
                let mut expected = edits.clone();
                expected.sort_by_key(|edit| (edit.at, edit.patch));
                assert_eq!(in_order(edits.into_iter()), expected);
            }
        }
    }

    #[test]
    fn edits_are_rows_and_parts_are_the_same_rows() {
        let mut random = Prng::new(5);
        for _ in 0..300 {
            let count = random.index(40) as u32;
            let (mut touched, mut joining, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..=count {
                for patch in 0..random.index(3) as u32 * u32::from(random.below(4) == 0) {
                    joining.push(Edit { at: row | JOINS, patch, source: Source::After(patch) });
                    expected.push(Row::Patch(patch));
                }
                let replaced = row < count && random.below(3) == 0;
                let patch = if random.below(2) == 0 { GONE } else { 100 + row };
                let source = Source::Before(row);
                touched.extend(replaced.then_some(Edit { at: row, patch, source }));
                match (replaced, patch) {
                    (true, GONE) => {}
                    (true, patch) => expected.push(Row::Patch(patch)),
                    (false, _) => expected.extend((row < count).then_some(Row::Keep(row))),
                }
            }
            let edits = Some(merged(touched, joining.into_iter()));
            let layout = Layout { group: Some(0), in_place: false, span: 0..count, edits };
            assert_eq!((layout.len(), layout.rows()), (expected.len(), Some(expected.clone())));
            let most = 1 + random.index(9);
            let parts: Vec<Vec<Row>> = split(layout, most).iter().filter_map(Layout::rows).collect();
            let chunks: Vec<Vec<Row>> = expected.chunks(most).map(<[Row]>::to_vec).collect();
            assert_eq!(parts, chunks);
        }
    }
}
