//! What one key needs of a segment: where it is named, and how the segment's marks rise.
//!
//! Both come from few columns, read as they are and in parts that stay in the cache;
//! where a footer shows that a segment does not have the key, not even that. What cannot be
//! told this way (keys inside structs, marks that are no plain integers) is not told.

use arrow::array::{Array, ArrayRef, AsArray, Scalar};
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{DataType, Int64Type};

use super::MappedTable;
use crate::error::{Error, Result};
use crate::ledger::columns::Cell;
use crate::read::Packing;

/// Rows that are compared at a time.
const PART: usize = 1 << 13;

/// The marks of a segment that is in order in itself: positions rise, ids of transactions do not fall.
#[derive(Debug, Clone)]
pub struct RisingMarks {
    /// The first and the last position.
    pub positions: (i64, i64),
    /// The first and the last transaction; `None` if the ledger names none.
    pub ids: Option<(i64, i64)>,
    /// Where the first transaction ends and the last one begins.
    pub edges: (u32, u32),
    /// Per row asked for, the rows of its transaction: the first, and one past the last.
    pub runs: Vec<(u32, u32)>,
}

impl MappedTable {
    /// Rows of a segment that may name a key, given as arrays of one cell; `None` if that is not told so cheaply.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rows_naming(&self, segment: usize, key: &[ArrayRef]) -> Result<Option<Vec<u32>>> {
        let (&[column], [wanted]) = (self.schema.key(), key) else { return Ok(None) };
        let Some(mut columns) = self.roots_of_key(column, wanted.data_type()) else { return Ok(None) };
        if self.selected[segment].is_some() {
            return Ok(None);
        }
        let (table, group) = self.segments[segment];
        let table = &self.tables[table];
        columns.retain(|&c| table.parquet(group).is_none_or(|footer| footer.may_hold(c, wanted)));
        if columns.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let as_dictionary = |c: &usize| matches!(table.packed_type(*c), DataType::Dictionary(..));
        let packing = if columns.iter().all(as_dictionary) { Packing::Packed } else { Packing::Plain };
        let (wanted, mut rows, mut from) = (Scalar::new(wanted), Vec::new(), 0);
        table.read_parts(group, &columns, (packing, PART), &mut |batch| {
            for array in batch.columns() {
                let equal = eq(array, &wanted).map_err(Error::arrow(self.path().as_ref()))?;
                let found = equal.values().set_indices().filter(|&row| equal.is_valid(row));
                rows.extend(found.map(|row| (from + row) as u32));
            }
            from += batch.num_rows();
            Ok(())
        })?;
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(rows))
    }

    /// The columns of the ledger that hold a key of this type, rising, if its values are compared as they stand.
    fn roots_of_key(&self, column: usize, data_type: &DataType) -> Option<Vec<usize>> {
        let fields = self.tables[0].schema();
        let root = |cell: Cell| match cell {
            Cell::Root(column) if fields.field(column).data_type() == data_type => Some(column),
            _ => None,
        };
        let cells = [self.map.before[column], self.map.after[column]].into_iter().flatten();
        let mut columns = cells.map(root).collect::<Option<Vec<_>>>()?;
        columns.sort_unstable();
        columns.dedup();
        (!columns.is_empty() && is_compared_as_it_stands(data_type)).then_some(columns)
    }

    /// The marks of a segment, if they are plain integers and in order, and the transactions of some
    /// of its rows (rising).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rising_marks(&self, segment: usize, rows: &[u32]) -> Result<Option<RisingMarks>> {
        let (table, group) = self.segments[segment];
        let fields = self.tables[table].schema();
        let whole = |column: usize| *fields.field(column).data_type() == DataType::Int64;
        let Some(position) = self.map.position.filter(|&p| whole(p)) else { return Ok(None) };
        // What the footer says of times covers what reading them could find wrong.
        if self.range(segment).is_none() || self.map.transaction.is_some_and(|id| !whole(id)) {
            return Ok(None);
        }
        let mut columns = vec![position];
        columns.extend(self.map.transaction.filter(|&id| id != position));
        columns.sort_unstable();
        let at = |column| columns.binary_search(&column).unwrap_or(0);
        let (position, transaction) = (at(position), self.map.transaction.map(at));
        let mut walk = Walk::new(rows, self.rows(segment));
        self.tables[table].read_parts(group, &columns, (Packing::Plain, PART), &mut |batch| {
            walk.rises &= batch.columns().iter().all(|array| array.null_count() == 0);
            let values = |at: usize| batch.column(at).as_primitive::<Int64Type>().values();
            walk.take(values(position), transaction.map(|at| &values(at)[..]));
            Ok(())
        })?;
        Ok(walk.finish())
    }
}

/// Whether cells of this type are equal where their stored values are.
fn is_compared_as_it_stands(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Decimal128(..)
                | DataType::Boolean
        )
}

/// Marks looked at part by part.
struct Walk {
    /// The rows whose transactions are wanted: the first, those asked for, the last.
    rows: Vec<u32>,
    /// The runs of the first of them; those from `open` on have no known end yet.
    runs: Vec<(u32, u32)>,
    open: usize,
    done: u32,
    rises: bool,
    positions: Option<(i64, i64)>,
    ids: Option<(i64, i64)>,
    /// Where the last run of equal ids begins.
    start: u32,
}

impl Walk {
    fn new(rows: &[u32], len: usize) -> Self {
        let mut wanted = vec![0];
        wanted.extend_from_slice(rows);
        wanted.push((len as u32).saturating_sub(1));
        Self {
            rows: wanted,
            runs: Vec::new(),
            open: 0,
            done: 0,
            rises: true,
            positions: None,
            ids: None,
            start: 0,
        }
    }

    fn take(&mut self, positions: &[i64], ids: Option<&[i64]>) {
        let (&[first, ..], &[.., last]) = (positions, positions) else { return };
        let rising = positions.windows(2).fold(true, |rising, pair| rising & (pair[0] < pair[1]));
        self.rises &= rising && first >= 0 && self.positions.is_none_or(|(_, before)| before < first);
        self.positions = Some((self.positions.map_or(first, |p| p.0), last));
        let len = positions.len() as u32;
        match ids {
            Some(ids) => self.take_ids(ids),
            None => {
                let here = self.rows[self.runs.len()..].iter().take_while(|&&row| row < self.done + len);
                self.runs.extend(here.map(|&row| (row, row + 1)));
            }
        }
        self.done += len;
    }

    fn take_ids(&mut self, ids: &[i64]) {
        let (&[first, ..], &[.., last]) = (ids, ids) else { return };
        let falls = ids.windows(2).fold(false, |falls, pair| falls | (pair[0] > pair[1]));
        let before = self.ids.map(|(_, before)| before);
        self.rises &= !falls && before.is_none_or(|before| before <= first);
        self.ids = Some((self.ids.map_or(first, |i| i.0), last));
        if !self.rises {
            return;
        }
        let done = self.done;
        let start = if before == Some(first) { self.start } else { done };
        let upto = |id: i64| ids.partition_point(|&i| i <= id);
        // Those that were open end here, unless this part has the same id throughout.
        let end = if before == Some(first) { upto(first) } else { 0 };
        self.runs[self.open..].iter_mut().for_each(|run| run.1 = done + end as u32);
        if end < ids.len() {
            self.open = self.runs.len();
        }
        while let Some(&row) = self.rows.get(self.runs.len()).filter(|&&row| row < done + ids.len() as u32) {
            let id = ids[(row - done) as usize];
            let from = ids.partition_point(|&i| i < id);
            let end = upto(id);
            self.runs.push((if from == 0 { start } else { done + from as u32 }, done + end as u32));
            if end < ids.len() {
                self.open = self.runs.len();
            }
        }
        let from = ids.partition_point(|&i| i < last);
        self.start = if from == 0 { start } else { done + from as u32 };
    }

    fn finish(mut self) -> Option<RisingMarks> {
        let positions = self.positions.filter(|_| self.rises && self.runs.len() == self.rows.len())?;
        let (last, first) = (self.runs.pop()?, self.runs.remove(0));
        // Without transactions nothing goes on beyond the segment.
        let edges = if self.ids.is_some() { (first.1, last.0) } else { (0, self.done) };
        Some(RisingMarks { positions, ids: self.ids, edges, runs: self.runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    /// The marks of ids taken in parts of a length.
    fn walked(ids: &[i64], rows: &[u32], part: usize) -> Option<RisingMarks> {
        let mut walk = Walk::new(rows, ids.len());
        let positions: Vec<i64> = (0..ids.len() as i64).collect();
        ids.chunks(part).zip(positions.chunks(part)).for_each(|(ids, p)| walk.take(p, Some(ids)));
        walk.finish()
    }

    #[test]
    fn runs_of_ids_are_the_same_in_any_parts() {
        let mut random = Prng::new(7);
        for _ in 0..200 {
            let mut id = 0;
            let ids: Vec<i64> = (0..1 + random.below(40))
                .map(|_| {
                    id += i64::from(random.below(3) == 0);
                    id
                })
                .collect();
            let rows: Vec<u32> = (0..ids.len() as u32).filter(|_| random.below(4) == 0).collect();
            let run = |row: usize| {
                let same = |i: &i64| *i == ids[row];
                let first = ids.iter().position(same).unwrap();
                (first as u32, (first + ids.iter().filter(|i| same(i)).count()) as u32)
            };
            for part in [1, 2, 3, 7, 100] {
                let marks = walked(&ids, &rows, part).unwrap();
                assert_eq!(marks.runs, rows.iter().map(|&r| run(r as usize)).collect::<Vec<_>>(), "{ids:?}");
                assert_eq!(marks.edges, (run(0).1, run(ids.len() - 1).0), "{ids:?}");
                assert_eq!(marks.ids, Some((ids[0], ids[ids.len() - 1])));
            }
        }
    }

    #[test]
    fn what_falls_is_told_in_any_parts() {
        for part in [1, 2, 3, 10] {
            assert!(walked(&[1, 2, 2, 1, 3], &[2], part).is_none());
            let mut walk = Walk::new(&[1], 4);
            [0, 5, 5, 6].chunks(part).for_each(|positions| walk.take(positions, None));
            assert!(walk.finish().is_none());
            let mut walk = Walk::new(&[1], 4);
            [0, 4, 5, 6].chunks(part).for_each(|positions| walk.take(positions, None));
            assert_eq!(walk.finish().unwrap().runs, [(1, 2)]);
        }
        assert!(walked(&[], &[], 1).is_none());
    }
}
