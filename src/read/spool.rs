//! [`Spool`]: record batches written once and read again, any column alone.
//!
//! What arrives as a stream (text, compressed files, pipes) must be read more
//! than once and out of order. Batches stay in memory as long as all tables of a
//! spool together stay below its allowance; those beyond it go to an unnamed
//! temporary file per table, column by column, so that reading one column of one
//! batch reads only that. The operating system removes the files on every way out.
//!
//! ```text
//!   push ─► [batch][batch][batch] in memory │ file: [b3.c0][b3.c1][b4.c0][b4.c1]…
//!                                           └ index: (batch, column) → offset, length
//! ```

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// What all tables of a spool may keep in memory, unless told otherwise.
const ALLOWANCE: usize = 64 << 20;

/// A place for batches that must be read again.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: Option<PathBuf>,
    used: Arc<AtomicUsize>,
    allowance: usize,
}

impl Spool {
    /// A spool that keeps its files in this folder, or the system's temporary one.
    pub fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_owned), used: Arc::default(), allowance: ALLOWANCE }
    }

    /// The same with another allowance of memory, in bytes.
    pub fn with_allowance(mut self, bytes: usize) -> Self {
        self.allowance = bytes;
        self
    }

    /// A new table of this schema.
    ///
    /// # Errors
    /// None as yet; a file is only made when memory does not suffice.
    pub fn create(&self, schema: SchemaRef) -> Result<SpoolWriter> {
        Ok(SpoolWriter {
            spool: self.clone(),
            file: None,
            table: SpooledTable {
                schema,
                batches: Vec::new(),
                file: None,
                folder: self.folder(),
                memory: None,
            },
            memory: Reserved { used: Arc::clone(&self.used), bytes: 0 },
        })
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// A temporary file that has a name for as long as it lives.
    pub(crate) fn named_file(&self) -> Result<NamedTempFile> {
        let folder = self.folder();
        NamedTempFile::new_in(&folder).map_err(Error::io(&folder, "write temporary files"))
    }

    /// Whether so many bytes more may stay in memory; if so they are reserved.
    fn reserve(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.allowance);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// Memory that is given back when the table goes.
#[derive(Debug)]
struct Reserved {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where a batch lies.
#[derive(Debug)]
enum Stored {
    Memory(RecordBatch),
    /// Offset and length of each column in the table's file.
    File {
        rows: usize,
        columns: Vec<(u64, usize)>,
    },
}

/// Writes the batches of one table.
#[derive(Debug)]
pub struct SpoolWriter {
    spool: Spool,
    file: Option<(File, u64)>,
    table: SpooledTable,
    memory: Reserved,
}

impl SpoolWriter {
    /// Adds a batch of the table's schema.
    ///
    /// # Errors
    /// The temporary file cannot be written, for instance because the disk is full.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let bytes = batch.get_array_memory_size();
        let stored = if self.file.is_none() && self.spool.reserve(bytes) {
            self.memory.bytes += bytes;
            Stored::Memory(batch.clone())
        } else {
            self.write(batch)?
        };
        self.table.batches.push(stored);
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Stored> {
        let folder = &self.table.folder;
        if self.file.is_none() {
            let file = tempfile::tempfile_in(folder).map_err(Error::io(folder, "write temporary files"))?;
            self.file = Some((file, 0));
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for column in 0..batch.num_columns() {
            let bytes = encode(batch, column).map_err(Error::arrow(folder))?;
            if let Some((file, end)) = &mut self.file {
                file.write_all(&bytes).map_err(Error::io(folder, "write temporary files"))?;
                columns.push((*end, bytes.len()));
                *end += bytes.len() as u64;
            }
        }
        Ok(Stored::File { rows: batch.num_rows(), columns })
    }

    /// How many rows have been pushed.
    pub fn rows(&self) -> usize {
        (0..self.table.batches()).map(|b| self.table.rows(b)).sum()
    }

    /// The table, ready to be read.
    ///
    /// # Errors
    /// None as yet; writing may become delayed.
    pub fn finish(self) -> Result<SpooledTable> {
        let mut table = self.table;
        table.file = self.file.map(|(file, _)| Arc::new(file));
        table.memory = Some(Arc::new(self.memory));
        Ok(table)
    }
}

/// Batches that can be read in any order, by any thread.
#[derive(Debug)]
pub struct SpooledTable {
    schema: SchemaRef,
    batches: Vec<Stored>,
    file: Option<Arc<File>>,
    folder: PathBuf,
    /// Held only to be given back.
    memory: Option<Arc<Reserved>>,
}

impl SpooledTable {
    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many batches there are.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    /// How many rows a batch has.
    pub fn rows(&self, batch: usize) -> usize {
        match &self.batches[batch] {
            Stored::Memory(batch) => batch.num_rows(),
            Stored::File { rows, .. } => *rows,
        }
    }

    /// The columns asked for, in this order, of all rows or of those with the rising numbers `rows`.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn read(&self, batch: usize, columns: &[usize], rows: Option<&[u32]>) -> Result<RecordBatch> {
        let fields: Vec<_> = columns.iter().map(|&c| Arc::clone(&self.schema.fields()[c])).collect();
        let arrays = columns.iter().map(|&c| self.column(batch, c)).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        assemble(schema, arrays, self.rows(batch), rows).map_err(Error::arrow(&self.folder))
    }

    fn column(&self, batch: usize, column: usize) -> Result<ArrayRef> {
        match (&self.batches[batch], &self.file) {
            (Stored::Memory(batch), _) => Ok(Arc::clone(batch.column(column))),
            (Stored::File { columns, .. }, Some(file)) => {
                let (offset, length) = columns[column];
                let mut bytes = vec![0; length];
                read_at(file, &mut bytes, offset).map_err(Error::io(&self.folder, "read temporary files"))?;
                decode(bytes).map_err(Error::arrow(&self.folder))
            }
            (Stored::File { .. }, None) => {
                let lost = std::io::Error::other("the temporary file is not there");
                Err(Error::io(&self.folder, "read temporary files")(lost))
            }
        }
    }
}

/// A batch of these columns, cut down to the rows asked for.
pub(crate) fn assemble(
    schema: SchemaRef,
    mut arrays: Vec<ArrayRef>,
    count: usize,
    rows: Option<&[u32]>,
) -> Result<RecordBatch, ArrowError> {
    if let Some(rows) = rows.filter(|r| r.len() != count) {
        let rows = UInt32Array::from(rows.to_vec());
        for array in &mut arrays {
            *array = arrow::compute::take(array, &rows, None)?;
        }
    }
    let count = rows.map_or(count, <[u32]>::len);
    RecordBatch::try_new_with_options(schema, arrays, &RecordBatchOptions::new().with_row_count(Some(count)))
}

/// One column of a batch as an IPC stream of its own, dictionaries included.
fn encode(batch: &RecordBatch, column: usize) -> Result<Vec<u8>, ArrowError> {
    let one = batch.project(&[column])?;
    let mut writer = StreamWriter::try_new(Vec::new(), &one.schema())?;
    writer.write(&one)?;
    writer.finish()?;
    writer.into_inner()
}

fn decode(bytes: Vec<u8>) -> Result<ArrayRef, ArrowError> {
    let mut buffer = Buffer::from_vec(bytes);
    match StreamDecoder::new().decode(&mut buffer)? {
        Some(batch) if batch.num_columns() == 1 => Ok(Arc::clone(batch.column(0))),
        _ => Err(ArrowError::IpcError("the temporary file was changed by somebody else".to_owned())),
    }
}

/// Fills `bytes` from a place in a file; handles are shared, so none has a place of its own.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` from a place in a file; handles are shared, so none has a place of its own.
#[cfg(windows)]
pub(crate) fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[n..];
        offset += n as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type};

    use super::*;

    fn batch(schema: &SchemaRef, start: i64) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(start..start + 100);
        let texts =
            StringArray::from_iter((start..start + 100).map(|i| (i % 3 != 0).then(|| format!("t{i}"))));
        let codes = arrow::compute::cast(&texts, schema.field(2).data_type()).unwrap();
        RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(numbers), Arc::new(texts), codes]).unwrap()
    }

    #[test]
    fn batches_come_back_from_memory_and_from_disk() {
        let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("t", DataType::Utf8, true),
            Field::new("d", codes, true),
        ]));
        for allowance in [0, 20_000, 1 << 30] {
            let spool = Spool::new(None).with_allowance(allowance);
            let mut writer = spool.create(Arc::clone(&schema)).unwrap();
            for start in 0..10 {
                writer.push(&batch(&schema, start * 100)).unwrap();
            }
            let table = writer.finish().unwrap();
            assert_eq!((table.batches(), table.rows(3)), (10, 100));
            assert_eq!(table.read(7, &[0, 1, 2], None).unwrap(), batch(&schema, 700));
            let some = table.read(9, &[1, 0], Some(&[0, 5, 99])).unwrap();
            assert_eq!(some.column(1).as_primitive::<Int64Type>().values().to_vec(), [900, 905, 999]);
            assert_eq!(table.read(2, &[], Some(&[1, 2])).unwrap().num_rows(), 2);
            drop(table);
            assert_eq!(spool.used.load(Ordering::Relaxed), 0, "memory is given back");
        }
    }
}
