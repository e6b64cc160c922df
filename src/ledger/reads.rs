//! [`TableReads`]: the rows of an earlier snapshot as initial reads.
//!
//! Every pass that looks at changes can then look at them: a row is an after
//! image, true at the snapshot's moment. A column that the snapshot does not
//! have is absent in all of them, and so is a value that is no value of the
//! column's type: neither says that the cell was null.

use arrow::array::{ArrayRef, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::mapped::{empty_by_type, exact, same_values};
use super::want::{Columns, Want};
use crate::error::{Error, Result, nearest};
use crate::model::{
    CellState, ChangeBatch, Discrepancy, DiscrepancyKind, Images, LedgerPlace, NO_TIME, Op, TableSchema,
};
use crate::read::{InputFile, Spool, Table, TableFormat, TableSource};

/// The rows of an earlier snapshot of a table.
#[derive(Debug)]
pub struct TableReads {
    table: Table,
    schema: TableSchema,
    /// Per column of the dataset, its number in the snapshot.
    columns: Vec<Option<usize>>,
    /// Columns with a value that is none of their type.
    misfits: Vec<usize>,
    discrepancies: Vec<Discrepancy>,
    /// How many files the ledger has: the snapshot's are numbered behind them.
    files_before: u32,
    at: i64,
}

impl TableReads {
    /// Opens a snapshot of the table with this schema.
    ///
    /// # Errors
    /// It cannot be read, or lacks a column of the key.
    pub fn open(source: &TableSource, dataset: &str, schema: &TableSchema, spool: &Spool) -> Result<Self> {
        let table = open_typed(source, schema, spool)?;
        let fields = table.schema().fields();
        let columns: Vec<Option<usize>> =
            schema.names().map(|name| fields.iter().position(|f| f.name() == name)).collect();
        if let Some(&lacking) = schema.key().iter().find(|&&c| columns[c].is_none()) {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            let name = schema.name(lacking);
            let hint = nearest(name, names.iter().copied()).map_or_else(
                || format!("the opening's columns are {}", names.join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            return Err(Error::UnknownColumn {
                dataset: dataset.to_owned(),
                column: name.to_owned(),
                path: source.pattern.clone(),
                hint: Some(hint),
            });
        }
        let mut discrepancies = table.discrepancies().to_vec();
        discrepancies.iter_mut().for_each(|d| dataset.clone_into(&mut d.dataset));
        let mut reads = Self {
            table,
            schema: schema.clone(),
            columns,
            misfits: Vec::new(),
            discrepancies,
            files_before: 0,
            at: NO_TIME,
        };
        reads.look_over(dataset)?;
        Ok(reads)
    }

    /// Sets when the snapshot was the table (nanoseconds, or [`NO_TIME`]) and how many files the ledger has.
    pub fn place(&mut self, at: i64, files_before: usize) {
        (self.at, self.files_before) = (at, files_before as u32);
    }

    /// Makes columns absent: what the ledger never states of a column does not follow from its past.
    pub fn hide(&mut self, hidden: impl Iterator<Item = usize>) {
        hidden.for_each(|column| self.columns[column] = None);
    }

    /// Finds the values that are none of their column's type.
    fn look_over(&mut self, dataset: &str) -> Result<()> {
        for column in 0..self.schema.len() {
            let Some(own) = self.columns[column] else { continue };
            let (from, to) =
                (self.table.schema().field(own).data_type().clone(), self.schema.data_type(column));
            if from == *to || same_values(&from, to) {
                continue;
            }
            let (mut count, mut first) = (0, None);
            for group in 0..self.table.groups() {
                let batch = self.table.read(group, &[own], None)?;
                let (_, rows) = exact(&self.with_empties(batch.column(0), to), to);
                count += rows.len() as u64;
                first = first.or_else(|| rows.first().map(|&row| self.place_of(group, row)));
            }
            if let Some(place) = first {
                self.misfits.push(column);
                let name = self.schema.name(column);
                let message = format!(
                    "{count} rows of the opening hold a value of {name:?} that is no {to} exactly: it is not used"
                );
                let mut found = Discrepancy::new(DiscrepancyKind::LossyValue, dataset.to_owned(), message);
                found.count = count;
                found.ledger = Some(place);
                self.discrepancies.push(found);
            }
        }
        Ok(())
    }

    /// A column whose empty fields are what the table's column makes of them.
    fn with_empties(&self, array: &ArrayRef, data_type: &DataType) -> ArrayRef {
        let array = ArrayRef::clone(array);
        if self.table.has_empties_by_type() { empty_by_type(array, data_type) } else { array }
    }

    fn place_of(&self, group: usize, row: usize) -> LedgerPlace {
        let file = &self.table.files()[self.table.place(group).0];
        let record = self.table.record(group, row);
        LedgerPlace { file: file.path.display().to_string(), record, ..LedgerPlace::default() }
    }

    /// What reading it found.
    pub fn discrepancies(&self) -> &[Discrepancy] {
        &self.discrepancies
    }

    /// Its files.
    pub fn files(&self) -> &[InputFile] {
        self.table.files()
    }

    /// Whether it has a column of the table.
    pub fn states(&self, column: usize) -> bool {
        self.columns[column].is_some()
    }

    /// Columns of the table that it does not have.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&c| self.columns[c].is_none()).collect()
    }

    /// Columns of which some rows state nothing, as their value is none of the column's type.
    pub fn misfits(&self) -> &[usize] {
        &self.misfits
    }

    /// Names of its columns that the table does not have.
    pub fn unknown(&self) -> Vec<String> {
        let names = self.table.schema().fields().iter().map(|f| f.name().clone());
        names.filter(|name| self.schema.column(name).is_none()).collect()
    }

    /// How many groups of rows it has.
    pub fn segments(&self) -> usize {
        self.table.groups()
    }

    /// How many rows a group has.
    pub fn rows(&self, segment: usize) -> usize {
        self.table.rows(segment)
    }

    /// The rows of a group, or those in `rows`, as reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, segment: usize, want: Want, rows: Option<&[u32]>) -> Result<ChangeBatch> {
        let wanted = |c: &usize| want.after.includes(&self.schema, *c);
        let ours: Vec<usize> =
            (0..self.schema.len()).filter(wanted).filter(|&c| self.columns[c].is_some()).collect();
        let theirs: Vec<usize> = ours.iter().filter_map(|&c| self.columns[c]).collect();
        let count = rows.map_or(self.table.rows(segment), <[u32]>::len);
        let batch = self.table.read(segment, &theirs, rows)?;
        let mut after = Images {
            columns: vec![None; self.schema.len()],
            present: None,
            states: vec![None; self.schema.len()],
        };
        let absent = || ScalarBuffer::from(vec![CellState::Absent as u8; count]);
        for column in 0..self.schema.len() {
            if self.columns[column].is_none() {
                after.states[column] = Some(absent());
                after.columns[column] =
                    wanted(&column).then(|| new_null_array(self.schema.data_type(column), count));
            }
        }
        for (&column, array) in ours.iter().zip(batch.columns()) {
            let data_type = self.schema.data_type(column);
            let (array, misfits) = exact(&self.with_empties(array, data_type), data_type);
            after.columns[column] = Some(array);
            if self.misfits.contains(&column) {
                let mut states = vec![CellState::Known as u8; count];
                misfits.into_iter().for_each(|row| states[row] = CellState::Absent as u8);
                after.states[column] = Some(ScalarBuffer::from(states));
            }
        }
        let number = |at: usize| rows.map_or(at, |r| r[at] as usize);
        let (file, _) = self.table.place(segment);
        Ok(ChangeBatch {
            ops: vec![Op::Read as u8; count],
            before: self.no_images(want.before, count),
            after,
            committed_at: vec![self.at; count],
            record: (0..count).map(|at| self.table.record(segment, number(at))).collect(),
            file: self.files_before + file as u32,
            stream: vec![0; count],
            ..ChangeBatch::default()
        })
    }

    fn no_images(&self, wanted: Columns, count: usize) -> Images {
        let null = |c: usize| -> Option<ArrayRef> {
            wanted.includes(&self.schema, c).then(|| new_null_array(self.schema.data_type(c), count))
        };
        Images {
            columns: (0..self.schema.len()).map(null).collect(),
            present: Some(BooleanBuffer::new_unset(count)),
            states: vec![None; self.schema.len()],
        }
    }
}

/// Opens a table whose texts are read as values of the current state's types, wherever all of them are.
fn open_typed(source: &TableSource, schema: &TableSchema, spool: &Spool) -> Result<Table> {
    let source = TableSource { types: Vec::new(), ..source.clone() };
    let inferred = Table::open(&source, spool)?;
    let is_text = matches!(inferred.format(), TableFormat::Csv | TableFormat::Tsv | TableFormat::Ndjson);
    let fields = inferred.schema().fields();
    let differs =
        fields.iter().any(|f| schema.column(f.name()).is_some_and(|c| schema.data_type(c) != f.data_type()));
    if !is_text || !differs {
        return Ok(inferred);
    }
    let typed = |column: usize| {
        let data_type = schema.data_type(column).clone();
        crate::read::cell::CellBuilder::new(&data_type).map(|_| (schema.name(column).to_owned(), data_type))
    };
    let types = fields.iter().filter_map(|f| schema.column(f.name())).filter_map(typed).collect();
    let declared = Table::open(&TableSource { types, ..source }, spool)?;
    // A text that is no value would be null there, and null is a value.
    let lossy = |d: &Discrepancy| d.kind == DiscrepancyKind::LossyValue;
    Ok(if declared.discrepancies().iter().any(lossy) { inferred } else { declared })
}
