//! Parquet files: footers parsed and checked once and shared, row groups read by
//! column and row.
//!
//! Columns without nesting are read straight from their pages ([`flat`](super::flat)),
//! all others by the library's general reader.
//!
//! A footer is believed only after its row counts, offsets and sizes have been
//! compared with each other and with the file. Types are those of the file, with
//! three exceptions: dictionaries that a writer noted are read as their values,
//! INT96 is read as microseconds, and text or bytes of a row group beyond 2 GiB
//! get 64-bit offsets.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowSelection,
};
use parquet::basic::{Compression, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescriptor;
use rayon::prelude::*;

use super::columns::{first_difference, same_columns};
use super::flat::{Flat, FlatColumn, FlatLeaf};
use super::guard::guarded;
use super::input::InputFile;
use super::nullability;
use super::packed;
use crate::error::{At, Error, Result};

/// One row group of a table's Parquet files, for everything below the level of values.
#[derive(Debug, Clone, Copy)]
pub struct ParquetGroup<'a> {
    /// The file.
    pub file: &'a InputFile,
    /// The file's footer.
    pub metadata: &'a Arc<ParquetMetaData>,
    /// Which of its row groups.
    pub row_group: usize,
}

/// How cells are laid out in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// In the types of the schema.
    Plain,
    /// As the file's pages have them, where that costs less: text as dictionaries, decimals in 64 bits.
    Packed,
}

/// A Parquet file whose footer has been parsed and checked.
#[derive(Debug, Clone)]
pub(crate) struct ParquetFile {
    pub(crate) file: InputFile,
    metadata: ArrowReaderMetadata,
    /// The same with packed layouts.
    packed: ArrowReaderMetadata,
}

impl ParquetFile {
    pub(crate) fn open(file: InputFile) -> Result<Self> {
        let path = file.path.clone();
        guarded(&path, || {
            let metadata = load(&file)?;
            check(&path, metadata.metadata(), file.size)?;
            let plain = || without_hints(&metadata).and_then(simplified);
            let metadata =
                simplified(metadata.clone()).or_else(|_| plain()).map_err(|e| footer_error(&path, e))?;
            Ok(Self::with_packed(file, metadata))
        })
    }

    /// The same file read with the column types of another one.
    ///
    /// # Errors
    /// Names the first column that differs.
    pub(crate) fn conform(self, first: &Self) -> Result<Self> {
        same_columns(&self.file.path, self.schema(), &first.file.path, first.schema())?;
        let types = first.schema().fields().iter();
        // What may be null is the file's own; it need not be as in the first.
        let with_type = |(own, other): (&Arc<Field>, &Arc<Field>)| {
            let data_type = nullability::as_in(other, own).data_type().clone();
            Arc::new(own.as_ref().clone().with_data_type(data_type))
        };
        let fields: Fields = self.schema().fields().iter().zip(types).map(with_type).collect();
        if fields == *self.schema().fields() {
            return Ok(self);
        }
        let wanted = Arc::new(Schema::new_with_metadata(fields, self.schema().metadata().clone()));
        let options = ArrowReaderOptions::new().with_schema(wanted);
        let metadata = Arc::clone(self.metadata.metadata());
        match ArrowReaderMetadata::try_new(metadata, options) {
            Ok(metadata) => Ok(Self::with_packed(self.file, metadata)),
            Err(_) => Err(first_difference(&self.file.path, self.schema(), &first.file.path, first.schema())),
        }
    }

    fn with_packed(file: InputFile, metadata: ArrowReaderMetadata) -> Self {
        let packed = packed::packed_schema(metadata.metadata(), metadata.schema());
        let unpacked = Self { file, packed: metadata.clone(), metadata };
        unpacked.pack(packed)
    }

    /// The same file with its columns packed as in this schema; as they are, if they cannot be.
    pub(crate) fn pack(mut self, schema: SchemaRef) -> Self {
        let options = ArrowReaderOptions::new().with_schema(schema);
        let packed = ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options);
        self.packed = packed.unwrap_or_else(|_| self.metadata.clone());
        self
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The columns as [`Packing::Packed`] gives them.
    pub(crate) fn packed_schema(&self) -> &SchemaRef {
        self.packed.schema()
    }

    pub(crate) fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// The columns asked for, in this order, of all or some rows of a row group.
    pub(crate) fn read(
        &self,
        group: usize,
        columns: &[usize],
        rows: Option<&[u32]>,
        packing: Packing,
    ) -> Result<Vec<ArrayRef>> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        guarded(&self.file.path, || {
            let schema = self.of(packing).schema();
            let flat = |&c: &usize| Flat::of(self.metadata(), (group, c), schema.field(c).data_type());
            let flat: Vec<Option<Flat>> = columns.iter().map(flat).collect();
            let rest: Vec<usize> =
                columns.iter().zip(&flat).filter(|(_, f)| f.is_none()).map(|(c, _)| *c).collect();
            let general =
                if rest.is_empty() { Vec::new() } else { self.general(group, &rest, rows, packing)? };
            let (mut own, mut general) = (self.flat(group, &flat, rows)?.into_iter(), general.into_iter());
            Ok(flat
                .iter()
                .filter_map(|flat| if flat.is_some() { own.next() } else { general.next() })
                .collect())
        })
    }

    /// Columns that are read straight from their pages. Each leaf is a task, which is through with a
    /// chunk and its pages before it begins the next, so that few buffers serve all of them.
    fn flat(&self, group: usize, columns: &[Option<Flat>], rows: Option<&[u32]>) -> Result<Vec<ArrayRef>> {
        let columns = columns.iter().flatten();
        let tasks: Vec<(&Flat, usize)> =
            columns.clone().flat_map(|column| (0..column.leaves()).map(move |leaf| (column, leaf))).collect();
        let group = self.metadata().row_group(group);
        let taken = tasks.par_iter().with_max_len(1).map(|(column, leaf)| {
            let mut file = self.file.handle()?;
            column.leaf(*leaf, (&mut file, group), rows).map_err(|e| self.page_error(e))
        });
        let mut taken = taken.collect::<Result<Vec<_>>>()?.into_iter();
        columns
            .map(|column| column.array(taken.by_ref().take(column.leaves()).collect()))
            .collect::<Result<_, _>>()
            .map_err(|e| self.page_error(e))
    }

    /// Those columns of a group that are read straight from their pages; those that are not.
    fn flat_columns(
        &self,
        group: usize,
        columns: &[usize],
        packing: Packing,
    ) -> Result<(Vec<Option<FlatColumn>>, Vec<usize>)> {
        let mut file = self.file.handle()?;
        let schema = self.of(packing).schema();
        let open = |&c: &usize| {
            FlatColumn::open(&mut file, self.metadata(), (group, c), schema.field(c).data_type())
                .map_err(|e| self.page_error(e))
        };
        let flat = columns.iter().map(open).collect::<Result<Vec<_>>>()?;
        let rest = columns.iter().zip(&flat).filter(|(_, f)| f.is_none()).map(|(c, _)| *c).collect();
        Ok((flat, rest))
    }

    fn of(&self, packing: Packing) -> &ArrowReaderMetadata {
        match packing {
            Packing::Plain => &self.metadata,
            Packing::Packed => &self.packed,
        }
    }

    /// The columns asked for by the library's general reader.
    fn general(
        &self,
        group: usize,
        columns: &[usize],
        rows: Option<&[u32]>,
        packing: Packing,
    ) -> Result<Vec<ArrayRef>> {
        let total = self.metadata().row_group(group).num_rows() as usize;
        let chosen = rows.filter(|rows| rows.len() < total);
        // Pages are decompressed whole either way; picking scattered rows afterwards costs
        // less than stopping and starting the decoders at each.
        let scattered = chosen.filter(|rows| runs(rows).count() > total / RUNS_SELECTED);
        let rows = if scattered.is_some() { None } else { chosen };
        let mut batch = self.read_group(group, columns, rows, packing)?;
        if let Some(rows) = scattered {
            let rows = UInt32Array::from(rows.to_vec());
            batch = take_record_batch(&batch, &rows).map_err(Error::arrow(&self.file.path))?;
        }
        // The batch has each column once, in the order of the file.
        let mut present: Vec<usize> = columns.to_vec();
        present.sort_unstable();
        present.dedup();
        let place = |c: &usize| present.partition_point(|p| p < c);
        Ok(columns.iter().map(|c| Arc::clone(batch.column(place(c)))).collect())
    }

    /// Reads a group in parts of so many rows, without ever holding the whole of it.
    pub(crate) fn read_parts(
        &self,
        group: usize,
        columns: &[usize],
        (packing, rows): (Packing, usize),
        take: &mut dyn FnMut(Vec<ArrayRef>) -> Result<()>,
    ) -> Result<()> {
        debug_assert!(columns.is_sorted_by(|a, b| a < b), "columns rise");
        let path = &self.file.path;
        let total = self.metadata().row_group(group).num_rows() as usize;
        let (mut flat, mut general) = guarded(path, || {
            let (flat, rest) = self.flat_columns(group, columns, packing)?;
            let general = || self.reader(group, &rest, (None, rows), packing);
            Ok((flat, if rest.is_empty() { None } else { Some(general()?) }))
        })?;
        let mut count = 0;
        while count < total {
            let wanted = rows.max(1).min(total - count);
            let arrays = guarded(path, || self.part(&mut flat, general.as_mut(), wanted))?;
            let Some(arrays) = arrays else { return Err(self.miscounted(group, total, count)) };
            count += wanted;
            take(arrays)?;
        }
        Ok(())
    }

    /// Whether a column of a group, or a field of one, can be read alone.
    pub(crate) fn has_leaf(&self, group: usize, (column, field): (usize, Option<usize>)) -> bool {
        self.leaf(group, (column, field)).is_some()
    }

    fn leaf(&self, group: usize, (column, field): (usize, Option<usize>)) -> Option<Flat> {
        let data_type = self.packed.schema().field(column).data_type();
        let flat = Flat::of(self.metadata(), (group, column), data_type)?;
        (flat.is_struct() == field.is_some()).then_some(flat)
    }

    /// Reads a column of a group, or a field of one, in parts of so many rows; `false` if it cannot be read
    /// alone. `take` is told where the struct around the field is there, if it is not there everywhere.
    pub(crate) fn read_leaf_parts(
        &self,
        group: usize,
        (column, field): (usize, Option<usize>),
        rows: usize,
        take: &mut dyn FnMut(&ArrayRef, Option<&NullBuffer>),
    ) -> Result<bool> {
        let metadata = self.metadata().row_group(group);
        let Some(flat) = self.leaf(group, (column, field)) else { return Ok(false) };
        let path = &self.file.path;
        let mut leaf = guarded(path, || {
            let mut file = self.file.handle()?;
            FlatLeaf::open(flat, field.unwrap_or(0), (&mut file, metadata)).map_err(|e| self.page_error(e))
        })?;
        let mut left = metadata.num_rows() as usize;
        while left > 0 {
            let count = rows.max(1).min(left);
            let (array, around) = guarded(path, || leaf.take(count).map_err(|error| self.page_error(error)))?;
            take(&array, around.as_ref());
            left -= count;
        }
        Ok(true)
    }

    /// The next rows of all columns; `None` if they are not as many in each.
    fn part(
        &self,
        flat: &mut [Option<FlatColumn>],
        general: Option<&mut ParquetRecordBatchReader>,
        wanted: usize,
    ) -> Result<Option<Vec<ArrayRef>>> {
        let batch = match general.map(Iterator::next) {
            Some(Some(batch)) => Some(batch.map_err(|error| arrow_error(&self.file.path, error))?),
            Some(None) => return Ok(None),
            None => None,
        };
        if batch.as_ref().is_some_and(|b| b.num_rows() != wanted) {
            return Ok(None);
        }
        let mut general = batch.iter().flat_map(RecordBatch::columns);
        let array = |column: &mut Option<FlatColumn>| match column {
            Some(column) => column.take(wanted, None).map(Some).map_err(|e| self.page_error(e)),
            None => Ok(general.next().cloned()),
        };
        let arrays = flat.iter_mut().map(array).collect::<Result<Vec<_>>>()?;
        Ok(Some(arrays.into_iter().flatten().collect()))
    }

    fn page_error(&self, error: ParquetError) -> Error {
        let found = match error {
            ParquetError::General(what) => what,
            other => other.to_string(),
        };
        malformed(&self.file.path, At::default(), "readable pages".to_owned(), found)
    }

    fn miscounted(&self, group: usize, wanted: usize, found: usize) -> Error {
        let expected = format!("{wanted} rows in row group {}", group + 1);
        malformed(&self.file.path, At::default(), expected, found.to_string())
    }

    fn reader(
        &self,
        group: usize,
        columns: &[usize],
        (rows, batch): (Option<&[u32]>, usize),
        packing: Packing,
    ) -> Result<ParquetRecordBatchReader> {
        let metadata = self.of(packing);
        let total = self.metadata().row_group(group).num_rows() as usize;
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.handle()?, metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(batch.max(1));
        let builder = match rows.filter(|r| r.len() < total) {
            Some(rows) => {
                builder.with_row_selection(RowSelection::from_consecutive_ranges(runs(rows), total))
            }
            None => builder,
        };
        builder.build().map_err(Error::parquet(&self.file.path))
    }

    fn read_group(
        &self,
        group: usize,
        columns: &[usize],
        rows: Option<&[u32]>,
        packing: Packing,
    ) -> Result<RecordBatch> {
        let path = &self.file.path;
        let total = self.metadata().row_group(group).num_rows() as usize;
        let wanted = rows.map_or(total, <[u32]>::len);
        let reader = self.reader(group, columns, (rows, wanted), packing)?;
        let schema = arrow::record_batch::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| arrow_error(path, e))?;
        let batch = match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => batch,
            Err(batches) => concat_batches(&schema, &batches).map_err(Error::arrow(path))?,
        };
        if batch.num_rows() != wanted {
            return Err(self.miscounted(group, wanted, batch.num_rows()));
        }
        Ok(batch)
    }
}

/// More runs of chosen rows than one in so many rows are not selected while decoding.
const RUNS_SELECTED: usize = 64;

/// Rising row numbers as runs.
fn runs(rows: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> {
    rows.chunk_by(|a, b| a + 1 == *b).map(|run| run[0] as usize..run[0] as usize + run.len())
}

fn load(file: &InputFile) -> Result<ArrowReaderMetadata> {
    let handle = file.handle()?;
    if file.size < 12 {
        return Err(cut_off(&file.path, format!("{} bytes", file.size)));
    }
    // Copied chunks take the counts of their pages along.
    let options = || ArrowReaderOptions::new().with_encoding_stats_as_mask(false);
    let whole = ArrowReaderMetadata::load(&handle, options());
    // The Arrow schema that a writer may note is a hint; a wrong one is left aside.
    let plain = |_| ArrowReaderMetadata::load(&handle, options().with_skip_arrow_metadata(true));
    whole.or_else(plain).map_err(|e| footer_error(&file.path, e))
}

fn cut_off(path: &Path, found: String) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        at: At::default(),
        expected: "a Parquet file with its footer".to_owned(),
        found,
        hint: Some("the file is cut off or damaged; fetch it again".to_owned()),
    }
}

fn footer_error(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(feature) => Error::Unsupported { path: path.to_owned(), feature, hint: None },
        other => cut_off(path, other.to_string()),
    }
}

/// Takes errors of the operating system apart from those of the content.
fn arrow_error(path: &Path, error: arrow::error::ArrowError) -> Error {
    match error {
        arrow::error::ArrowError::ParquetError(message) => {
            malformed(path, At::default(), "readable pages".to_owned(), message)
        }
        other => Error::arrow(path)(other),
    }
}

fn malformed(path: &Path, at: At, expected: String, found: String) -> Error {
    let hint = Some("the file is damaged; fetch it again".to_owned());
    Error::Malformed { path: path.to_owned(), at, expected, found, hint }
}

/// Compares the counts, offsets and sizes of a footer with each other and the file.
fn check(path: &Path, metadata: &ParquetMetaData, size: u64) -> Result<()> {
    let mut rows = 0_i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 || group.num_rows() > i64::from(u32::MAX) {
            let expected = format!("at most {} rows in row group {}", u32::MAX, number + 1);
            return Err(malformed(path, At::default(), expected, group.num_rows().to_string()));
        }
        rows += group.num_rows();
        for column in group.columns() {
            check_chunk(path, number, group, column, size)?;
        }
    }
    if rows != metadata.file_metadata().num_rows() {
        let expected = format!("{} rows in all row groups", metadata.file_metadata().num_rows());
        return Err(malformed(path, At::default(), expected, rows.to_string()));
    }
    Ok(())
}

fn check_chunk(
    path: &Path,
    group: usize,
    rows: &RowGroupMetaData,
    column: &ColumnChunkMetaData,
    size: u64,
) -> Result<()> {
    let name = column.column_path().string();
    let unsupported = |feature: String| {
        let hint = Some("rewrite the file, for instance with DuckDB or pyarrow".to_owned());
        Err(Error::Unsupported { path: path.to_owned(), feature, hint })
    };
    if column.file_path().is_some() {
        return unsupported(format!("column {name:?}, which lies in another file,"));
    }
    if matches!(column.compression(), Compression::LZO) {
        return unsupported(format!("column {name:?}, which is compressed by LZO,"));
    }
    let wrong = |expected: String, found: String| {
        Err(malformed(path, At::default().column(name.clone()), expected, found))
    };
    let in_group = format!("in row group {}", group + 1);
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let (length, first_data) = (column.compressed_size(), column.data_page_offset());
    let end = u64::try_from(start).ok().zip(u64::try_from(length).ok()).and_then(|(s, l)| s.checked_add(l));
    if end.is_none_or(|end| end > size) || first_data < 0 || column.uncompressed_size() < 0 {
        let found = format!("{length} bytes at {start}");
        return wrong(format!("a chunk within the file's {size} bytes {in_group}"), found);
    }
    let is_flat = column.column_descr().max_rep_level() == 0;
    if column.num_values() < 0 || (is_flat && column.num_values() != rows.num_rows()) {
        return wrong(format!("{} values {in_group}", rows.num_rows()), column.num_values().to_string());
    }
    Ok(())
}

/// The same metadata with the exceptions to the file's types that the module names.
fn simplified(metadata: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let parquet = metadata.parquet_schema();
    let schema = metadata.schema();
    let of_root = |root: usize| Exceptions {
        is_int96: has_leaf(parquet, root, |leaf| parquet.column(leaf).physical_type() == PhysicalType::INT96),
        is_long: has_leaf(parquet, root, |leaf| {
            let bytes = |g: &RowGroupMetaData| g.column(leaf).uncompressed_size();
            metadata.metadata().row_groups().iter().any(|g| bytes(g) > i64::from(i32::MAX))
        }),
    };
    let fields = schema.fields().iter().enumerate();
    let fields: Fields = fields.map(|(root, field)| plain_field(field, of_root(root))).collect();
    if fields == *schema.fields() {
        return Ok(metadata);
    }
    let wanted = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(wanted);
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// The same metadata with the types of the Parquet schema alone.
fn without_hints(metadata: &ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

fn has_leaf(parquet: &SchemaDescriptor, root: usize, is: impl Fn(usize) -> bool) -> bool {
    (0..parquet.num_columns()).any(|leaf| parquet.get_column_root_idx(leaf) == root && is(leaf))
}

/// What makes a column's type differ from the one that the file suggests.
#[derive(Clone, Copy)]
struct Exceptions {
    is_int96: bool,
    is_long: bool,
}

fn plain_field(field: &Arc<Field>, exceptions: Exceptions) -> Arc<Field> {
    let plain = plain_type(field.data_type(), exceptions);
    if plain == *field.data_type() { Arc::clone(field) } else { Arc::new(rebuilt(field, plain)) }
}

/// The field with another type; a dictionary's marks go with the dictionary.
fn rebuilt(field: &Field, data_type: DataType) -> Field {
    Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone())
}

fn plain_type(data_type: &DataType, exceptions: Exceptions) -> DataType {
    use DataType as D;
    match data_type {
        D::Dictionary(_, values) => plain_type(values, exceptions),
        D::RunEndEncoded(_, values) => plain_type(values.data_type(), exceptions),
        D::Timestamp(TimeUnit::Nanosecond, None) if exceptions.is_int96 => {
            D::Timestamp(TimeUnit::Microsecond, None)
        }
        D::Utf8 if exceptions.is_long => D::LargeUtf8,
        D::Binary if exceptions.is_long => D::LargeBinary,
        D::List(item) => D::List(plain_field(item, exceptions)),
        D::LargeList(item) => D::LargeList(plain_field(item, exceptions)),
        D::FixedSizeList(item, n) => D::FixedSizeList(plain_field(item, exceptions), *n),
        D::Struct(fields) => D::Struct(fields.iter().map(|f| plain_field(f, exceptions)).collect()),
        D::Map(entries, ordered) => D::Map(plain_field(entries, exceptions), *ordered),
        other => other.clone(),
    }
}
