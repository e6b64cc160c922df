//! [`Table`]: files of any format → groups of typed rows that can be read again,
//! in any order and in parallel, any column alone.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use rayon::prelude::*;

use super::cell::{CellBuilder, CellOptions};
use super::csv::{CsvReader, delimiter_of};
use super::group::Group;
use super::infer::{Evidence, TypeDecision};
use super::input::{InputFile, read_error};
use super::json_table::JsonReader;
use super::memory::Batches;
use super::nullability;
use super::packed;
use super::parquet::{Packing, ParquetFile, ParquetGroup};
use super::paths::{self, FoundFile};
use super::source::{CsvEscape, CsvOptions, TableFormat, TableSource};
use super::spool::{Spool, SpooledTable, assemble};
use super::typed::{self, Notation, TextReader, TypedTable};
use crate::error::{At, Error, Result};
use crate::model::Discrepancy;

/// Where the values are.
#[derive(Debug)]
enum Body {
    /// In the files themselves.
    Parquet(Vec<ParquetFile>),
    /// In the spool.
    Spooled(SpooledTable),
    /// In the caller's memory.
    Memory(Vec<RecordBatch>),
}

/// Columns that the names of folders state: per column, its value for each file.
#[derive(Debug, Default)]
struct Partitions {
    values: Vec<ArrayRef>,
}

/// An opened table.
///
/// ```
/// use asof::read::{Spool, Table, TableSource};
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("accounts.csv");
/// std::fs::write(&path, "id,code,balance\n1,007,12.50\n2,010,\n").unwrap();
///
/// let table = Table::open(&TableSource::at(path), &Spool::new(None)).unwrap();
/// let types: Vec<String> = table.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
/// assert_eq!(types, ["Int64", "Utf8", "Decimal128(38, 2)"]);
/// let balances = table.read(0, &[2], Some(&[1])).unwrap();
/// assert_eq!(balances.column(0).null_count(), 1);
/// ```
#[derive(Debug)]
pub struct Table {
    format: TableFormat,
    schema: SchemaRef,
    files: Vec<InputFile>,
    groups: Vec<Group>,
    body: Body,
    partitions: Partitions,
    decisions: Vec<TypeDecision>,
    discrepancies: Vec<Discrepancy>,
    null_marker: Option<String>,
}

impl Table {
    /// Finds the files, sees what they are and makes their rows readable.
    ///
    /// Text formats are read wholly here: for their types and into the spool. Of
    /// Parquet only the footers are read.
    ///
    /// # Errors
    /// No file, a file that cannot be read or is not what it should be, or files
    /// whose columns differ.
    pub fn open(source: &TableSource, spool: &Spool) -> Result<Self> {
        if let Some(batches) = &source.batches {
            return Self::in_memory(batches, &source.pattern);
        }
        let found = paths::find(&source.pattern)?;
        let files = found.iter().map(|f| InputFile::open(&f.path, spool)).collect::<Result<Vec<_>>>()?;
        let format = format_of(source, &files)?;
        let mut table = match format {
            TableFormat::Parquet => open_parquet(files)?,
            TableFormat::ArrowIpc => open_ipc(files, spool)?,
            _ => open_text(files, source, format, spool)?,
        };
        table.add_partitions(&found, source)?;
        Ok(table)
    }

    /// The format of the files.
    pub fn format(&self) -> TableFormat {
        self.format
    }

    /// The columns: those of the files, then those of Hive partitions.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many groups of rows there are: row groups of Parquet files, else of at most 65,536 rows.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many rows a group has.
    pub fn rows(&self, group: usize) -> usize {
        self.groups[group].rows
    }

    /// How many rows all groups have.
    pub fn total_rows(&self) -> u64 {
        self.groups.iter().map(|g| g.rows as u64).sum()
    }

    /// The file of a group, and the number of its first row's record there, from 1.
    pub fn place(&self, group: usize) -> (usize, u64) {
        (self.groups[group].file, self.groups[group].first)
    }

    /// The number of a row's record in its file, from 1; counts records that were set aside.
    pub fn record(&self, group: usize, row: usize) -> u64 {
        self.groups[group].record(row)
    }

    /// The files, in the order of their path bytes.
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// Exactly one batch: the columns with these numbers, in this order, of all rows
    /// of a group or of those with the rising numbers `rows`.
    ///
    /// # Errors
    /// The file is damaged, gone or changed, or the temporary file cannot be read.
    pub fn read(&self, group: usize, columns: &[usize], rows: Option<&[u32]>) -> Result<RecordBatch> {
        self.read_as(group, columns, rows, Packing::Plain)
    }

    /// As [`Table::read`], in a layout. Packed columns have the types of [`Table::packed_type`].
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_as(
        &self,
        group: usize,
        columns: &[usize],
        rows: Option<&[u32]>,
        packing: Packing,
    ) -> Result<RecordBatch> {
        debug_assert!(rows.is_none_or(|r| r.is_sorted_by(|a, b| a < b)), "row numbers rise");
        let place = &self.groups[group];
        let path = &self.files[place.file].path;
        if !columns.is_sorted_by(|a, b| a < b) {
            // Readers give columns in the order of the file.
            let rising: Vec<usize> = columns.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            let places: Vec<usize> = columns.iter().map(|c| rising.partition_point(|r| r < c)).collect();
            let batch = self.read_as(group, &rising, rows, packing)?;
            return batch.project(&places).map_err(Error::arrow(path));
        }
        let inner = self.inner(columns);
        let values = match &self.body {
            Body::Parquet(files) => {
                let values = files[place.file].read(place.index, &inner, rows, packing)?;
                self.relabelled(&inner, values, packing).map_err(Error::arrow(path))?
            }
            Body::Spooled(table) => table.read(place.index, &inner, rows)?.columns().to_vec(),
            Body::Memory(batches) => {
                rows_of(&batches[place.index], &inner, rows).map_err(Error::arrow(path))?
            }
        };
        let count = rows.map_or(place.rows, <[u32]>::len);
        self.batch(group, columns, values, count)
    }

    /// As [`Table::read_as`], all rows in parts of about so many; `columns` rise.
    ///
    /// # Errors
    /// As [`Table::read`], and what `take` returns.
    pub fn read_parts(
        &self,
        group: usize,
        columns: &[usize],
        (packing, rows): (Packing, usize),
        take: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let place = &self.groups[group];
        let inner = self.inner(columns);
        match &self.body {
            Body::Parquet(files) if !inner.is_empty() => {
                files[place.file].read_parts(place.index, &inner, (packing, rows), &mut |values| {
                    let count = values[0].len();
                    let values = self.relabelled(&inner, values, packing);
                    let values = values.map_err(Error::arrow(&self.files[place.file].path))?;
                    take(self.batch(group, columns, values, count)?)
                })
            }
            _ => {
                let batch = self.read_as(group, columns, None, packing)?;
                (0..batch.num_rows())
                    .step_by(rows.max(1))
                    .try_for_each(|from| take(batch.slice(from, rows.min(batch.num_rows() - from))))
            }
        }
    }

    /// Whether a column of a group, or a field of one, can be read alone.
    pub fn has_leaf(&self, group: usize, (column, field): (usize, Option<usize>)) -> bool {
        let place = &self.groups[group];
        match &self.body {
            Body::Parquet(files) if !self.inner(&[column]).is_empty() => {
                files[place.file].has_leaf(place.index, (column, field))
            }
            _ => false,
        }
    }

    /// Reads a column of a group, or a field of one, packed and in parts of so many rows; `false` if it cannot be
    /// read alone. `take` is told where the struct around the field is there, if it is not there everywhere.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_leaf_parts(
        &self,
        group: usize,
        (column, field): (usize, Option<usize>),
        rows: usize,
        take: &mut dyn FnMut(&ArrayRef, Option<&NullBuffer>),
    ) -> Result<bool> {
        let place = &self.groups[group];
        match &self.body {
            Body::Parquet(files) if !self.inner(&[column]).is_empty() => {
                files[place.file].read_leaf_parts(place.index, (column, field), rows, take)
            }
            _ => Ok(false),
        }
    }

    /// Those of some columns that are in the files.
    fn inner(&self, columns: &[usize]) -> Vec<usize> {
        let own = self.schema.fields().len() - self.partitions.values.len();
        columns.iter().copied().filter(|c| *c < own).collect()
    }

    fn relabelled(
        &self,
        inner: &[usize],
        values: Vec<ArrayRef>,
        packing: Packing,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let wanted = |&c: &usize| match packing {
            Packing::Plain => self.schema.field(c).data_type(),
            Packing::Packed => self.packed_type(c),
        };
        let values = values.into_iter().zip(inner.iter().map(wanted));
        values.map(|(v, t)| nullability::relabelled(v, t)).collect()
    }

    /// Columns of the files and those that folders state as one batch.
    fn batch(
        &self,
        group: usize,
        columns: &[usize],
        values: Vec<ArrayRef>,
        count: usize,
    ) -> Result<RecordBatch> {
        let own = self.schema.fields().len() - self.partitions.values.len();
        let place = &self.groups[group];
        let path = &self.files[place.file].path;
        let mut values = values.into_iter();
        let of_folder = |c: usize| self.partitions.column(c - own, place.file, count);
        let arrays: Vec<ArrayRef> = columns
            .iter()
            .filter_map(|&c| if c < own { values.next().map(Ok) } else { Some(of_folder(c)) })
            .collect::<Result<_, _>>()
            .map_err(Error::arrow(path))?;
        let field = |(&c, array): (&usize, &ArrayRef)| {
            let field = &self.schema.fields()[c];
            if field.data_type() == array.data_type() {
                return Arc::clone(field);
            }
            Arc::new(field.as_ref().clone().with_data_type(array.data_type().clone()))
        };
        let fields: Vec<_> = columns.iter().zip(&arrays).map(field).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        assemble(schema, arrays, count, None).map_err(Error::arrow(path))
    }

    /// The type of a column in [`Packing::Packed`].
    pub fn packed_type(&self, column: usize) -> &DataType {
        match &self.body {
            Body::Parquet(files) if column < files[0].schema().fields().len() => {
                let packed = files[0].packed_schema().field(column).data_type();
                let is_plain = packed == files[0].schema().field(column).data_type();
                if is_plain { self.schema.field(column).data_type() } else { packed }
            }
            _ => self.schema.field(column).data_type(),
        }
    }

    /// The row group behind a group, if the table is Parquet.
    pub fn parquet(&self, group: usize) -> Option<ParquetGroup<'_>> {
        let Body::Parquet(files) = &self.body else { return None };
        let place = &self.groups[group];
        let file = &files[place.file];
        Some(ParquetGroup { file: &file.file, metadata: file.metadata(), row_group: place.index })
    }

    /// For text formats, how each column came to its type.
    pub fn decisions(&self) -> &[TypeDecision] {
        &self.decisions
    }

    /// For delimited text, the unquoted field that is null; `None` if there is no such marker.
    pub fn null_marker(&self) -> Option<&str> {
        self.null_marker.as_deref()
    }

    /// Whether the text has one way to write null and the empty text, an empty field: in columns that are
    /// no texts it is null.
    pub fn has_empties_by_type(&self) -> bool {
        matches!(self.format, TableFormat::Csv | TableFormat::Tsv) && self.null_marker.is_none()
    }

    /// Records that are no rows, and values that do not fit a declared type.
    /// Their `dataset` is left empty; their place is given as one of the current state.
    pub fn discrepancies(&self) -> &[Discrepancy] {
        &self.discrepancies
    }

    fn in_memory(batches: &Batches, name: &Path) -> Result<Self> {
        let (schema, groups, plain) = batches.plain_groups(name)?;
        Ok(Self {
            format: TableFormat::ArrowIpc,
            schema,
            files: vec![InputFile::in_memory(name, batches)],
            groups,
            body: Body::Memory(plain),
            partitions: Partitions::default(),
            decisions: Vec::new(),
            discrepancies: Vec::new(),
            null_marker: None,
        })
    }

    pub(super) fn of_spooled(format: TableFormat, files: Vec<InputFile>, typed: TypedTable) -> Self {
        Self {
            format,
            schema: typed.schema,
            files,
            groups: typed.groups,
            body: Body::Spooled(typed.spooled),
            partitions: Partitions::default(),
            decisions: typed.decisions,
            discrepancies: typed.discrepancies,
            null_marker: None,
        }
    }

    /// Appends the columns that folder names state and the files do not have.
    fn add_partitions(&mut self, found: &[FoundFile], source: &TableSource) -> Result<()> {
        let mut fields: Vec<Arc<Field>> = self.schema.fields().to_vec();
        for (name, _) in &found[0].partitions {
            if fields.iter().any(|f| f.name() == name) {
                continue;
            }
            let values: Vec<Option<&str>> =
                found.iter().map(|f| partition(f, name)).collect::<Result<_>>()?;
            let (decision, array) = partition_column(name, &values, source, &found[0].path)?;
            fields.push(Arc::new(Field::new(name, decision.data_type.clone(), true)));
            self.partitions.values.push(array);
            self.decisions.push(decision);
        }
        let metadata = self.schema.metadata().clone();
        self.schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        Ok(())
    }
}

/// Some columns of some rows of a batch.
fn rows_of(
    batch: &RecordBatch,
    columns: &[usize],
    rows: Option<&[u32]>,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let arrays = columns.iter().map(|&c| batch.column(c));
    let Some(rows) = rows else { return Ok(arrays.cloned().collect()) };
    let rows = UInt32Array::from(rows.to_vec());
    arrays.map(|array| arrow::compute::take(array, &rows, None)).collect()
}

impl Partitions {
    fn column(&self, column: usize, file: usize, count: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
        let same = UInt32Array::from_value(file as u32, count);
        arrow::compute::take(&self.values[column], &same, None)
    }
}

/// What the folders of a file say about a partition column.
fn partition<'a>(file: &'a FoundFile, name: &str) -> Result<Option<&'a str>> {
    let value = file.partitions.iter().find(|(n, _)| n == name);
    let value = value.ok_or_else(|| Error::Malformed {
        path: file.path.clone(),
        at: At::default().column(name),
        expected: format!("a folder {name}=…, as other files have"),
        found: "none".to_owned(),
        hint: Some("all files of a partitioned table need the same partition folders".to_owned()),
    })?;
    Ok(value.1.as_deref())
}

fn partition_column(
    name: &str,
    values: &[Option<&str>],
    source: &TableSource,
    path: &Path,
) -> Result<(TypeDecision, ArrayRef)> {
    let mut evidence = Evidence::default();
    for (number, value) in values.iter().enumerate() {
        value.iter().for_each(|v| evidence.see(v, || number as u64 + 1));
    }
    let declared = source.types.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
    let (data_type, reason) = match &declared {
        Some(data_type) => (data_type.clone(), "declared in the plan".to_owned()),
        None => evidence.decide(source.numeric.iter().any(|n| n == name)),
    };
    let options = CellOptions { zone: source.time_zone, ..CellOptions::default() };
    let mut cells = CellBuilder::with_options(&data_type, &options).ok_or_else(|| Error::Unsupported {
        path: path.to_owned(),
        feature: format!("type {data_type} of partition column {name:?}"),
        hint: None,
    })?;
    for value in values {
        match value {
            Some(text) => cells.push_text(text).map_err(|misfit| Error::Malformed {
                path: path.to_owned(),
                at: At::default().column(name),
                expected: misfit.expected,
                found: misfit.found,
                hint: Some("declare another type for the partition column".to_owned()),
            })?,
            None => cells.push_null(),
        }
    }
    let reason = format!("from folder names: {reason}");
    let decision = TypeDecision { column: name.to_owned(), data_type, declared: declared.is_some(), reason };
    Ok((decision, cells.finish()))
}

fn open_parquet(files: Vec<InputFile>) -> Result<Table> {
    let mut opened: Vec<ParquetFile> = Vec::with_capacity(files.len());
    // Collected before looking for errors, so that the first one in order is reported.
    let all: Vec<Result<ParquetFile>> = files.par_iter().map(|f| ParquetFile::open(f.clone())).collect();
    for file in all {
        let file = match opened.first() {
            Some(first) => file?.conform(first)?,
            None => file?,
        };
        opened.push(file);
    }
    let opened = packed_alike(opened);
    let mut groups = Vec::new();
    for (number, file) in opened.iter().enumerate() {
        let mut first = 1;
        for (index, group) in file.metadata().row_groups().iter().enumerate() {
            let rows = group.num_rows() as usize;
            groups.push(Group { file: number, first, gaps: Vec::new(), rows, index });
            first += rows as u64;
        }
    }
    let schema = Arc::clone(opened[0].schema());
    Ok(Table {
        format: TableFormat::Parquet,
        schema: all_files_nullable(&schema, &opened),
        files,
        groups,
        body: Body::Parquet(opened),
        partitions: Partitions::default(),
        decisions: Vec::new(),
        discrepancies: Vec::new(),
        null_marker: None,
    })
}

/// Packs the columns that can be packed in every file, and only those.
fn packed_alike(files: Vec<ParquetFile>) -> Vec<ParquetFile> {
    let plain = Arc::clone(files[0].schema());
    let first = Arc::clone(files[0].packed_schema());
    let common = files
        .iter()
        .skip(1)
        .fold(first, |common, file| packed::common(&plain, &common, file.packed_schema()));
    let pack = |file: ParquetFile| {
        if file.packed_schema().fields() == common.fields() { file } else { file.pack(Arc::clone(&common)) }
    };
    files.into_iter().map(pack).collect()
}

/// A column, or a part of one, is nullable if it is in any file.
fn all_files_nullable(schema: &SchemaRef, files: &[ParquetFile]) -> SchemaRef {
    let union = |i: usize, first: &Arc<Field>| {
        let own = files.iter().map(|file| &file.schema().fields()[i]);
        own.fold(Arc::clone(first), |all, own| nullability::union(&all, own))
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().enumerate().map(|(i, f)| union(i, f)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn open_text(
    files: Vec<InputFile>,
    source: &TableSource,
    format: TableFormat,
    spool: &Spool,
) -> Result<Table> {
    let delimiter = match format {
        TableFormat::Tsv => Some(b'\t'),
        _ => delimiter_of(&files[0].path),
    };
    let first = files[0].path.clone();
    let options = match format {
        TableFormat::Ndjson => source.csv.clone(),
        _ => escapes(&files, &source.csv, delimiter)?,
    };
    let csv = |file: &InputFile, names: &[String]| -> Result<Box<dyn TextReader>> {
        let reader = CsvReader::open(file, &options, delimiter)?;
        same_names(file, reader.names(), &first, names)?;
        Ok(Box::new(reader))
    };
    let null = options.null.clone().or_else(|| source.as_text.then(String::new));
    let notation = Notation::Fields { null };
    let typed = match format {
        TableFormat::Ndjson => open_json(&files, source, spool)?,
        _ => typed::read(&files, source, &notation, spool, &csv)?,
    };
    let mut table = Table::of_spooled(format, files, typed);
    table.null_marker = options.null;
    Ok(table)
}

/// The options with the escapes settled: one file that can only be written with backslashes decides
/// for all. Null then is `\N` unless declared.
fn escapes(files: &[InputFile], declared: &CsvOptions, delimiter: Option<u8>) -> Result<CsvOptions> {
    let mut options = declared.clone();
    if options.escape.is_none() && options.null.is_none() {
        for file in files {
            if CsvReader::open(file, declared, delimiter).is_ok_and(|reader| reader.shows_backslashes()) {
                options.escape = Some(CsvEscape::Backslash);
                break;
            }
        }
    }
    if options.escape == Some(CsvEscape::Backslash) {
        options.null.get_or_insert_with(|| "\\N".to_owned());
    }
    Ok(options)
}

/// Checks that a file has the columns of those before it.
fn same_names(file: &InputFile, own: &[String], first: &Path, names: &[String]) -> Result<()> {
    if names.is_empty() || own == names {
        return Ok(());
    }
    let at = own.iter().zip(names).position(|(a, b)| a != b).unwrap_or(own.len().min(names.len()));
    let show = |names: &[String]| names.get(at).map_or("no further column".to_owned(), |n| format!("{n:?}"));
    Err(Error::Malformed {
        path: file.path.clone(),
        at: At { line: Some(1), ..At::default() },
        expected: format!("as column {}, as in {}, {}", at + 1, first.display(), show(names)),
        found: show(own),
        hint: Some("all files of a table need the same columns in the same order".to_owned()),
    })
}

/// The format that the user gave or the first file shows; all files must have it.
fn format_of(source: &TableSource, files: &[InputFile]) -> Result<TableFormat> {
    let mut format = source.format;
    for file in files {
        let own = detect(file)?;
        let expected = *format.get_or_insert(own);
        let is_text = |f| !matches!(f, TableFormat::Parquet | TableFormat::ArrowIpc);
        // Text formats cannot be told from each other for certain.
        if own != expected && !(is_text(own) && is_text(expected)) {
            return Err(Error::Malformed {
                path: file.path.clone(),
                at: At::default(),
                expected: format!("a file of format {}", expected.name()),
                found: format!("one of format {}", own.name()),
                hint: Some("name another --format, or fewer files".to_owned()),
            });
        }
    }
    Ok(format.unwrap_or(TableFormat::Csv))
}

/// What a file's first bytes and, between text formats, its name say.
pub(crate) fn detect(file: &InputFile) -> Result<TableFormat> {
    let mut start = Vec::with_capacity(4096);
    let content = file.content()?;
    content.take(4096).read_to_end(&mut start).map_err(|e| read_error(&file.path, At::default(), e))?;
    let name = file.path.to_string_lossy().to_ascii_lowercase();
    let name = [".gz", ".zst", ".gzip", ".zstd"].iter().find_map(|e| name.strip_suffix(e)).unwrap_or(&name);
    if start.is_empty() && file.size == 0 && !name.ends_with("json") && !name.ends_with("jsonl") {
        return Err(Error::Malformed {
            path: file.path.clone(),
            at: At::default(),
            expected: "a table".to_owned(),
            found: "an empty file".to_owned(),
            hint: Some("a table without rows still has a header or a footer; deliver it again".to_owned()),
        });
    }
    let unsupported = |feature: &str| {
        Err(Error::Unsupported { path: file.path.clone(), feature: feature.to_owned(), hint: None })
    };
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start).trim_ascii_start();
    Ok(match start.as_slice() {
        [b'P', b'A', b'R', b'1', ..] => TableFormat::Parquet,
        [b'P', b'A', b'R', b'E', ..] => return unsupported("an encrypted Parquet file"),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xFF, 0xFF, 0xFF, 0xFF, ..] => TableFormat::ArrowIpc,
        _ if name.ends_with(".parquet") => TableFormat::Parquet,
        _ if name.ends_with(".tsv") => TableFormat::Tsv,
        _ if name.ends_with(".csv") => TableFormat::Csv,
        _ if name.ends_with("json") || name.ends_with(".jsonl") => TableFormat::Ndjson,
        _ if text.starts_with(b"{") || text.starts_with(b"[") => TableFormat::Ndjson,
        _ => TableFormat::Csv,
    })
}

/// The columns of a file, those of text files as texts; of JSON objects those of the first.
pub(crate) fn columns_of(file: &InputFile, source: &TableSource) -> Result<SchemaRef> {
    let format = source.format.map_or_else(|| detect(file), Ok)?;
    let names = match format {
        TableFormat::Parquet => return Ok(open_parquet(vec![file.clone()])?.schema),
        TableFormat::ArrowIpc => return Ok(open_ipc(vec![file.clone()], &Spool::new(None))?.schema),
        TableFormat::Ndjson => super::json_table::first_names(file)?,
        TableFormat::Csv | TableFormat::Tsv => {
            let tab = (format == TableFormat::Tsv).then_some(b'\t');
            let delimiter = tab.or_else(|| delimiter_of(&file.path));
            CsvReader::open(file, &source.csv, delimiter)?.names().to_vec()
        }
    };
    let fields: Vec<Field> = names.iter().map(|n| Field::new(n, DataType::Utf8, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn open_json(files: &[InputFile], source: &TableSource, spool: &Spool) -> Result<TypedTable> {
    let open = |file: &InputFile, names: &[String]| -> Result<Box<dyn TextReader>> {
        Ok(Box::new(JsonReader::open(file, names)?))
    };
    typed::read(files, source, &Notation::Json, spool, &open)
}

fn open_ipc(files: Vec<InputFile>, spool: &Spool) -> Result<Table> {
    let table = super::ipc::read(&files, spool)?;
    Ok(Table {
        format: TableFormat::ArrowIpc,
        schema: table.schema,
        files,
        groups: table.groups,
        body: Body::Spooled(table.spooled),
        partitions: Partitions::default(),
        decisions: Vec::new(),
        discrepancies: Vec::new(),
        null_marker: None,
    })
}

#[cfg(test)]
pub(super) mod tests;
