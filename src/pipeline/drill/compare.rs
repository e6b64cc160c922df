//! Two snapshots of one dataset, cell by cell.

use std::collections::BTreeMap;

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
    /// `column=value` pairs; empty: a column is new or gone.
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
    names: Vec<String>,
    batches: Vec<RecordBatch>,
    places: BTreeMap<Vec<u8>, Vec<(usize, usize)>>,
    key: Vec<usize>,
}

impl Rows {
    fn read(source: &TableSource, key: &[String], ignored: &[&str]) -> Result<Self> {
        let spool = Spool::new(None);
        let table = Table::open(source, &spool)?;
        let fields = table.schema().fields();
        let compared: Vec<usize> =
            (0..fields.len()).filter(|&c| !ignored.contains(&fields[c].name().as_str())).collect();
        let names: Vec<String> = compared.iter().map(|&c| fields[c].name().clone()).collect();
        let named: Vec<usize> = key.iter().filter_map(|k| names.iter().position(|n| n == k)).collect();
        // Without a key a row is identified by all of its cells.
        let key = if named.is_empty() { (0..names.len()).collect() } else { named };
        let mut rows = Self { names, batches: Vec::new(), places: BTreeMap::new(), key };
        for group in 0..table.groups() {
            let batch = table.read(group, &compared, None)?;
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
        let names: Vec<&str> = self.key.iter().map(|&c| self.names[c].as_str()).collect();
        let columns: Vec<&ArrayRef> = self.key.iter().map(|&c| batch.column(c)).collect();
        Difference {
            key: canon::key_text(&names, &columns, place.1),
            key_values: self.key.iter().map(|&c| self.text(place, c).unwrap_or_default()).collect(),
            column: column.map(|c| self.names[c].clone()),
            was: None,
            is: None,
            is_there: true,
            amount: None,
        }
    }

    /// One difference for each column that the other table does not have.
    fn columns_beside<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Difference> + 'a {
        self.names.iter().filter(|name| !other.names.contains(name)).map(|name| Difference {
            key: String::new(),
            key_values: Vec::new(),
            column: Some(name.clone()),
            was: None,
            is: None,
            is_there: true,
            amount: None,
        })
    }
}

/// Compares the snapshot in a package with the one made today, but for some columns.
pub(super) fn compare(
    then: &TableSource,
    now: &TableSource,
    key: &[String],
    ignored: &[&str],
) -> Result<Compared> {
    let was = Rows::read(then, key, ignored)?;
    let cells = was.count() * was.names.len() as u64;
    let mut compared = Compared { rows: was.count(), cells, differences: Vec::new() };
    if digest(&then.pattern)? == digest(&now.pattern)? {
        return Ok(compared);
    }
    let is = Rows::read(now, key, ignored)?;
    let there = || Some("a column".to_owned());
    let gone = was.columns_beside(&is).map(|d| Difference { was: there(), is_there: false, ..d });
    let new = is.columns_beside(&was).map(|d| Difference { is: there(), ..d });
    compared.differences.extend(gone.chain(new));
    rows(&was, &is, &mut compared.differences);
    Ok(compared)
}

fn rows(was: &Rows, is: &Rows, differences: &mut Vec<Difference>) {
    let both = was.names.iter().enumerate();
    let both = both.filter_map(|(n, name)| Some((n, is.names.iter().position(|other| other == name)?)));
    let both: Vec<(usize, usize)> = both.collect();
    for (key, places) in &was.places {
        let others = is.places.get(key).map_or(&[][..], Vec::as_slice);
        for (number, &place) in places.iter().enumerate() {
            match others.get(number) {
                Some(&other) => cells((was, place), (is, other), &both, differences),
                None => {
                    let gone = Difference { is_there: false, ..was.difference(place, None) };
                    differences.push(Difference { was: Some("a row".to_owned()), ..gone });
                }
            }
        }
    }
    for (key, places) in &is.places {
        let known = was.places.get(key).map_or(0, Vec::len);
        for &place in places.iter().skip(known) {
            differences.push(Difference { is: Some("a row".to_owned()), ..is.difference(place, None) });
        }
    }
}

fn cells(
    was: (&Rows, (usize, usize)),
    is: (&Rows, (usize, usize)),
    both: &[(usize, usize)],
    differences: &mut Vec<Difference>,
) {
    for &(column, other) in both {
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
