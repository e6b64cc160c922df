//! Two snapshots of one dataset, cell by cell.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};

use crate::error::Result;
use crate::export::package::digest;
use crate::model::{Amount, canon};
use crate::read::{Spool, Table, TableSource};

/// What was compared, and what differs.
pub(super) struct Compared {
    pub rows: u64,
    pub cells: u64,
    pub differences: Vec<Difference>,
}

/// A cell or a row that is not the same.
pub(super) struct Difference {
    /// `column=value` pairs.
    pub key: String,
    /// The values alone.
    pub key_values: Vec<String>,
    /// `None`: the row is new or gone.
    pub column: Option<String>,
    pub was: Option<String>,
    pub is: Option<String>,
    /// Whether the row is there now.
    pub is_there: bool,
    pub amount: Option<String>,
}

/// A table in memory, its rows by key.
struct Rows {
    batches: Vec<RecordBatch>,
    places: BTreeMap<Vec<u8>, Vec<(usize, usize)>>,
    key: Vec<usize>,
}

impl Rows {
    fn read(path: &Path, key: &[String]) -> Result<Self> {
        let spool = Spool::new(None);
        let table = Table::open(&TableSource::at(path), &spool)?;
        let all: Vec<usize> = (0..table.schema().fields().len()).collect();
        let named: Vec<usize> = key.iter().filter_map(|name| table.schema().index_of(name).ok()).collect();
        // Without a key a row is identified by all of its cells.
        let key = if named.is_empty() { all.clone() } else { named };
        let mut rows = Self { batches: Vec::new(), places: BTreeMap::new(), key };
        for group in 0..table.groups() {
            let batch = table.read(group, &all, None)?;
            for row in 0..batch.num_rows() {
                let mut bytes = Vec::new();
                for &column in &rows.key {
                    canon::canonical_bytes(batch.column(column).as_ref(), row, &mut bytes);
                    bytes.push(0xff);
                }
                rows.places.entry(bytes).or_default().push((group, row));
            }
            rows.batches.push(batch);
        }
        Ok(rows)
    }

    fn column(&self, place: (usize, usize), column: usize) -> (&ArrayRef, usize) {
        (self.batches[place.0].column(column), place.1)
    }

    fn text(&self, place: (usize, usize), column: usize) -> Option<String> {
        let (array, row) = self.column(place, column);
        canon::cell_text(array.as_ref(), row)
    }

    fn count(&self) -> u64 {
        self.batches.iter().map(|b| b.num_rows() as u64).sum()
    }

    fn difference(&self, place: (usize, usize), column: Option<usize>) -> Difference {
        let batch = &self.batches[place.0];
        let schema = batch.schema();
        let names: Vec<&str> = self.key.iter().map(|&c| schema.field(c).name().as_str()).collect();
        let columns: Vec<&ArrayRef> = self.key.iter().map(|&c| batch.column(c)).collect();
        Difference {
            key: canon::key_text(&names, &columns, place.1),
            key_values: self.key.iter().map(|&c| self.text(place, c).unwrap_or_default()).collect(),
            column: column.map(|c| schema.field(c).name().clone()),
            was: None,
            is: None,
            is_there: true,
            amount: None,
        }
    }
}

/// Compares the snapshot in a package with the one made today.
pub(super) fn compare(then: &Path, now: &Path, key: &[String]) -> Result<Compared> {
    let was = Rows::read(then, key)?;
    let width = was.batches.first().map_or(0, |b| b.num_columns() as u64);
    let mut compared = Compared { rows: was.count(), cells: was.count() * width, differences: Vec::new() };
    if now.is_file() && digest(then)? == digest(now)? {
        return Ok(compared);
    }
    let is = if now.is_file() { Rows::read(now, key)? } else { Rows::empty(&was) };
    for (key, places) in &was.places {
        let others = is.places.get(key).map_or(&[][..], Vec::as_slice);
        for (number, &place) in places.iter().enumerate() {
            match others.get(number) {
                Some(&other) => cells((&was, place), (&is, other), &mut compared.differences),
                None => {
                    let gone = Difference { is_there: false, ..was.difference(place, None) };
                    compared.differences.push(Difference { was: Some("a row".to_owned()), ..gone });
                }
            }
        }
    }
    for (key, places) in &is.places {
        let known = was.places.get(key).map_or(0, Vec::len);
        for &place in places.iter().skip(known) {
            compared
                .differences
                .push(Difference { is: Some("a row".to_owned()), ..is.difference(place, None) });
        }
    }
    Ok(compared)
}

impl Rows {
    fn empty(like: &Self) -> Self {
        Self { batches: Vec::new(), places: BTreeMap::new(), key: like.key.clone() }
    }
}

fn cells(was: (&Rows, (usize, usize)), is: (&Rows, (usize, usize)), differences: &mut Vec<Difference>) {
    let schema = was.0.batches[was.1.0].schema();
    for column in 0..schema.fields().len() {
        let Some(other) = is.0.batches[is.1.0].schema().index_of(schema.field(column).name()).ok() else {
            continue;
        };
        let ((a, i), (b, j)) = (was.0.column(was.1, column), is.0.column(is.1, other));
        if canon::cells_equal(a.as_ref(), i, b.as_ref(), j) {
            continue;
        }
        let amounts = Amount::of_cell(a.as_ref(), i).zip(Amount::of_cell(b.as_ref(), j));
        differences.push(Difference {
            was: was.0.text(was.1, column),
            is: is.0.text(is.1, other),
            amount: amounts.and_then(|(a, b)| b.minus(a)).map(|a| a.to_string()),
            ..was.0.difference(was.1, Some(column))
        });
    }
}
