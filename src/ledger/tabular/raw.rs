//! [`Raw`]: the files of a table-shaped ledger as one sequence of rows.
//!
//! Text files are read as text throughout: what a field means only its format and
//! the dataset's column types say, and a guess in between could lose a zero.
//! Rows are numbered over all files, so that a row is one number wherever it lies.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};

use crate::error::{At, Error, Result, nearest};
use crate::model::canon;
use crate::plan::{Ledger, TableSource};
use crate::read::{InputFile, Spool, Table};

/// One file of a ledger whose log says more of it than its columns.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Columns that the file does not have, with their one value.
    pub(super) constants: Vec<(String, Option<String>)>,
    /// Which of its rows are meant.
    pub(super) rows: Rows,
}

/// Rows of a file, by rising numbers from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    All,
    Only(Vec<u64>),
    Without(Vec<u64>),
}

impl Rows {
    /// Those among `count` rows from `first` on, as numbers from there; `None`: all of them.
    fn among(&self, first: u64, count: usize) -> Option<Vec<u32>> {
        let end = first + count as u64;
        let inside = |rows: &Vec<u64>| -> Vec<u32> {
            let from = rows.partition_point(|&row| row < first);
            rows[from..].iter().take_while(|&&row| row < end).map(|&row| (row - first) as u32).collect()
        };
        match self {
            Self::All => None,
            Self::Only(rows) => Some(inside(rows)),
            Self::Without(rows) => {
                let out = inside(rows);
                let stays = |row: &u32| out.binary_search(row).is_err();
                (!out.is_empty()).then(|| (0..count as u32).filter(stays).collect())
            }
        }
    }
}

/// All tables of a ledger, one after the other.
#[derive(Debug)]
pub(super) struct Raw {
    tables: Vec<Table>,
    /// Per part of the ledger, its table and where that has each column.
    parts: Vec<(usize, Vec<Place>)>,
    segments: Vec<Segment>,
    /// Number of the first row of each segment, and one past the last row.
    firsts: Vec<u64>,
    names: Vec<String>,
    path: PathBuf,
    /// The tables' files and those that say what they mean, if the ledger's paths do not name them.
    files: Option<Vec<InputFile>>,
}

/// Rows of one group of a part's table.
#[derive(Debug)]
struct Segment {
    part: usize,
    group: usize,
    /// Which, if not all.
    rows: Option<Vec<u32>>,
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
        Ok(Self::of_tables(tables, names, paths[0].clone()))
    }

    /// Opens files that may lack columns: those of later files are null in earlier ones. `beside` are the files that
    /// say what they mean.
    pub(super) fn of_parts(
        parts: Vec<Part>,
        beside: Vec<InputFile>,
        path: &Path,
        spool: &Spool,
    ) -> Result<Self> {
        let (mut tables, mut of_part) = (Vec::<Table>::new(), Vec::new());
        let mut known: HashMap<&Path, usize> = HashMap::new();
        let mut names: Vec<String> = Vec::new();
        for part in &parts {
            let at = match known.get(part.path.as_path()) {
                Some(&at) => at,
                None => {
                    tables.push(Table::open(&TableSource::at(&part.path), spool)?);
                    known.insert(&part.path, tables.len() - 1);
                    tables.len() - 1
                }
            };
            of_part.push(at);
            let own = names_of(&tables[at]).into_iter();
            for name in own.chain(part.constants.iter().map(|(n, _)| n.clone())) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
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
        let mut segments = Vec::new();
        for (number, (part, &at)) in parts.iter().zip(&of_part).enumerate() {
            for group in 0..tables[at].groups() {
                let first = tables[at].place(group).1.saturating_sub(1);
                let rows = part.rows.among(first, tables[at].rows(group));
                if rows.as_ref().is_none_or(|rows| !rows.is_empty()) {
                    segments.push(Segment { part: number, group, rows });
                }
            }
        }
        let places = |(part, &at): (&Part, &usize)| {
            (at, names.iter().map(|name| place(&tables[at], part, name)).collect())
        };
        let placed = parts.iter().zip(&of_part).map(places).collect();
        let read = tables.iter().flat_map(|table| table.files().iter().cloned());
        let files = Some(read.chain(beside).collect());
        Ok(Self { files, ..Self::new(tables, placed, segments, names, path.to_owned()) })
    }

    /// One table that was made of the files.
    pub(super) fn of_table(table: Table, path: &Path) -> Self {
        let names = names_of(&table);
        Self::of_tables(vec![table], names, path.to_owned())
    }

    /// Tables of the same columns, one after the other.
    pub(super) fn of_alike(tables: Vec<Table>, path: &Path) -> Self {
        let names = tables.first().map(names_of).unwrap_or_default();
        Self::of_tables(tables, names, path.to_owned())
    }

    fn of_tables(tables: Vec<Table>, names: Vec<String>, path: PathBuf) -> Self {
        let of = |(part, table): (usize, &Table)| {
            (0..table.groups()).map(move |group| Segment { part, group, rows: None })
        };
        let segments = tables.iter().enumerate().flat_map(of).collect();
        let places: Vec<Place> = (0..names.len()).map(Place::Column).collect();
        let parts = (0..tables.len()).map(|table| (table, places.clone())).collect();
        Self::new(tables, parts, segments, names, path)
    }

    fn new(
        tables: Vec<Table>,
        parts: Vec<(usize, Vec<Place>)>,
        segments: Vec<Segment>,
        names: Vec<String>,
        path: PathBuf,
    ) -> Self {
        let mut firsts = vec![0];
        for segment in &segments {
            let all = || tables[parts[segment.part].0].rows(segment.group);
            let rows = segment.rows.as_ref().map_or_else(all, Vec::len);
            firsts.push(firsts.last().copied().unwrap_or(0) + rows as u64);
        }
        Self { tables, parts, segments, firsts, names, path, files: None }
    }

    /// The files that are read, in the order of their numbers, and those that say what they mean; `None` if they are
    /// those that the ledger's paths name.
    pub(super) fn files(&self) -> Option<&[InputFile]> {
        self.files.as_deref()
    }

    /// The table of a segment, and its group there.
    fn table(&self, segment: usize) -> (usize, usize) {
        let Segment { part, group, .. } = self.segments[segment];
        (self.parts[part].0, group)
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
        let (table, group) = self.table(segment);
        let places = &self.parts[self.segments[segment].part].1;
        let mut own: Vec<usize> = columns
            .iter()
            .filter_map(|&c| match places[c] {
                Place::Column(column) => Some(column),
                Place::Constant(_) => None,
            })
            .collect();
        own.sort_unstable();
        own.dedup();
        let meant = match (&self.segments[segment].rows, rows) {
            (Some(own), Some(rows)) => Some(Cow::Owned(rows.iter().map(|&row| own[row as usize]).collect())),
            (Some(own), None) => Some(Cow::Borrowed(own.as_slice())),
            (None, rows) => rows.map(Cow::Borrowed),
        };
        let rows: Option<&[u32]> = meant.as_deref();
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
        let (table, group) = self.table(segment);
        let row = self.segments[segment].rows.as_ref().map_or(row, |rows| rows[row] as usize);
        self.tables[table].record(group, row)
    }

    /// The place of a segment's file among all files, and its path.
    pub(super) fn file(&self, segment: usize) -> (u32, PathBuf) {
        let (table, group) = self.table(segment);
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
