//! [`Raw`]: the files of a table-shaped ledger as one sequence of rows.
//!
//! Text files are read as text throughout: what a field means only its format and
//! the dataset's column types say, and a guess in between could lose a zero.
//! Rows are numbered over all files, so that a row is one number wherever it lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};

use crate::error::{At, Error, Result, nearest};
use crate::model::canon;
use crate::plan::{Ledger, TableSource};
use crate::read::{Spool, Table};

/// One file of a ledger whose log says more of it than its columns.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Columns that the file does not have, with their one value.
    pub(super) constants: Vec<(String, Option<String>)>,
}

/// All tables of a ledger, one after the other.
#[derive(Debug)]
pub(super) struct Raw {
    tables: Vec<Table>,
    /// Per table, where it has each column.
    places: Vec<Vec<Place>>,
    /// Per segment: its table and group.
    segments: Vec<(usize, usize)>,
    /// Number of the first row of each segment, and one past the last row.
    firsts: Vec<u64>,
    names: Vec<String>,
    path: PathBuf,
}

/// Where a table has a column.
#[derive(Debug, Clone)]
enum Place {
    Column(usize),
    Constant(Option<String>),
}

fn names_of(table: &Table) -> Vec<String> {
    table.schema().fields().iter().map(|f| f.name().clone()).collect()
}

impl Raw {
    /// Opens the files.
    ///
    /// # Errors
    /// A file cannot be read, or files have different columns.
    pub(super) fn open(ledger: &Ledger, spool: &Spool) -> Result<Self> {
        Self::of_files(&ledger.paths, &ledger.table, spool)
    }

    /// Opens these files, read as `source` says.
    pub(super) fn of_files(paths: &[PathBuf], source: &TableSource, spool: &Spool) -> Result<Self> {
        let mut tables: Vec<Table> = Vec::new();
        for path in paths {
            let own = TableSource { pattern: path.clone(), as_text: true, ..source.clone() };
            tables.push(Table::open(&own, spool)?);
        }
        let Some(first) = tables.first() else {
            return Err(Error::NoInput { path: source.pattern.clone() });
        };
        let names = names_of(first);
        if let Some(at) = tables.iter().position(|t| names_of(t) != names) {
            return Err(Error::Malformed {
                path: paths[at].clone(),
                at: At::default(),
                expected: format!("the columns of {}", paths[0].display()),
                found: names_of(&tables[at]).join(", "),
                hint: Some("declare a dataset for each shape, with the same current, or bring the files to one shape".to_owned()),
            });
        }
        let places = vec![(0..names.len()).map(Place::Column).collect(); tables.len()];
        Ok(Self::of_tables(tables, places, names, paths[0].clone()))
    }

    /// Opens files that may lack columns: those of later files are null in earlier ones.
    pub(super) fn of_parts(parts: Vec<Part>, path: &Path, spool: &Spool) -> Result<Self> {
        let mut tables = Vec::with_capacity(parts.len());
        let mut names: Vec<String> = Vec::new();
        for part in &parts {
            let table = Table::open(&TableSource::at(&part.path), spool)?;
            let own = names_of(&table).into_iter();
            for name in own.chain(part.constants.iter().map(|(n, _)| n.clone())) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            tables.push(table);
        }
        let place = |table: &Table, part: &Part, name: &String| {
            // What the log says of a file goes before what the file or its folder says.
            let constant = part.constants.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            let column = table.schema().fields().iter().position(|f| f.name() == name);
            match (constant, column) {
                (Some(value), _) => Place::Constant(value),
                (None, Some(column)) => Place::Column(column),
                (None, None) => Place::Constant(None),
            }
        };
        let places =
            tables.iter().zip(&parts).map(|(t, p)| names.iter().map(|n| place(t, p, n)).collect()).collect();
        Ok(Self::of_tables(tables, places, names, path.to_owned()))
    }

    /// One table that was made of the files.
    pub(super) fn of_table(table: Table, path: &Path) -> Self {
        let names = names_of(&table);
        let places = vec![(0..names.len()).map(Place::Column).collect()];
        Self::of_tables(vec![table], places, names, path.to_owned())
    }

    /// Tables of the same columns, one after the other.
    pub(super) fn of_alike(tables: Vec<Table>, path: &Path) -> Self {
        let names = tables.first().map(names_of).unwrap_or_default();
        let places = vec![(0..names.len()).map(Place::Column).collect(); tables.len()];
        Self::of_tables(tables, places, names, path.to_owned())
    }

    fn of_tables(tables: Vec<Table>, places: Vec<Vec<Place>>, names: Vec<String>, path: PathBuf) -> Self {
        let segments: Vec<(usize, usize)> =
            tables.iter().enumerate().flat_map(|(t, x)| (0..x.groups()).map(move |g| (t, g))).collect();
        let mut firsts = vec![0];
        for &(table, group) in &segments {
            let next = firsts.last().copied().unwrap_or(0) + tables[table].rows(group) as u64;
            firsts.push(next);
        }
        Self { tables, places, segments, firsts, names, path }
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The first file, for messages about all of them.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many segments.
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// How many rows.
    pub(super) fn len(&self) -> u64 {
        self.firsts.last().copied().unwrap_or(0)
    }

    /// Number of the first row of a segment.
    pub(super) fn first(&self, segment: usize) -> u64 {
        self.firsts[segment]
    }

    /// The segment of a row, and the row in it.
    pub(super) fn locate(&self, row: u64) -> (usize, u32) {
        let segment = self.firsts.partition_point(|&first| first <= row) - 1;
        (segment, (row - self.firsts[segment]) as u32)
    }

    /// Some columns of a segment, in this order.
    pub(super) fn read(&self, segment: usize, columns: &[usize], rows: Option<&[u32]>) -> Result<Columns> {
        let (table, group) = self.segments[segment];
        let places = &self.places[table];
        let mut own: Vec<usize> = columns
            .iter()
            .filter_map(|&c| match places[c] {
                Place::Column(column) => Some(column),
                Place::Constant(_) => None,
            })
            .collect();
        own.sort_unstable();
        own.dedup();
        let count = rows.map_or(self.tables[table].rows(group), <[u32]>::len);
        let batch = self.tables[table].read(group, &own, rows)?;
        let array = |&column: &usize| match &places[column] {
            Place::Column(inner) => Arc::clone(batch.column(own.partition_point(|o| o < inner))),
            Place::Constant(value) => {
                Arc::new((0..count).map(|_| value.as_deref()).collect::<StringArray>()) as ArrayRef
            }
        };
        Ok(Columns { arrays: columns.iter().map(array).collect(), rows: count })
    }

    /// Number of a row's record in its file, from 1.
    pub(super) fn record(&self, segment: usize, row: usize) -> u64 {
        let (table, group) = self.segments[segment];
        self.tables[table].record(group, row)
    }

    /// The place of a segment's file among all files, and its path.
    pub(super) fn file(&self, segment: usize) -> (u32, PathBuf) {
        let (table, group) = self.segments[segment];
        let before: usize = self.tables[..table].iter().map(|t| t.files().len()).sum();
        let (file, _) = self.tables[table].place(group);
        let path = self.tables[table].files().get(file).map_or_else(PathBuf::new, |f| f.path.clone());
        ((before + file) as u32, path)
    }

    /// What reading the files as tables found.
    pub(super) fn discrepancies(&self) -> Vec<crate::model::Discrepancy> {
        self.tables.iter().flat_map(|t| t.discrepancies().iter().cloned()).collect()
    }

    /// The column of this name, in the same case if there is one.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        let exact = self.names.iter().position(|n| n == name);
        exact.or_else(|| self.names.iter().position(|n| n.eq_ignore_ascii_case(name)))
    }

    /// The column that the plan names, else the first of the usual ones that is there.
    ///
    /// # Errors
    /// The plan names a column that is not there.
    pub(super) fn find(&self, declared: Option<&String>, usual: &[&str]) -> Result<Option<usize>> {
        let Some(name) = declared else { return Ok(usual.iter().find_map(|name| self.column(name))) };
        self.column(name).map(Some).ok_or_else(|| Error::Malformed {
            path: self.path.clone(),
            at: At::default(),
            expected: format!("a column {name:?}"),
            found: format!("columns {}", self.names.join(", ")),
            hint: nearest(name, self.names.iter().map(String::as_str))
                .map(|n| format!("did you mean {n:?}?")),
        })
    }

    /// The same for a column without which nothing can be read.
    pub(super) fn require(
        &self,
        declared: Option<&String>,
        usual: &[&str],
        what: &str,
        key: &str,
    ) -> Result<usize> {
        self.find(declared, usual)?.ok_or_else(|| self.missing(what, key))
    }

    /// That a column is missing, and how to name it.
    pub(super) fn missing(&self, what: &str, key: &str) -> Error {
        Error::Malformed {
            path: self.path.clone(),
            at: At::default(),
            expected: what.to_owned(),
            found: format!("columns {}", self.names.join(", ")),
            hint: Some(format!("name it in the plan under ledger.columns.{key}")),
        }
    }
}

/// Columns of one segment.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    arrays: Vec<ArrayRef>,
    rows: usize,
}

impl Columns {
    /// The column that was asked for at this place.
    pub(super) fn column(&self, at: usize) -> &ArrayRef {
        &self.arrays[at]
    }

    /// All of them.
    pub(super) fn columns(&self) -> &[ArrayRef] {
        &self.arrays
    }

    /// How many rows.
    pub(super) fn num_rows(&self) -> usize {
        self.rows
    }
}

/// The cells of a column as texts; empty ones count as null.
pub(super) fn texts(array: &ArrayRef) -> StringArray {
    (0..array.len()).map(|row| canon::cell_text(array.as_ref(), row).filter(|t| !t.is_empty())).collect()
}
