//! [`Batches`]: a table that a program holds in memory, read like any other.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use sha2::{Digest, Sha256};

use super::block::ROWS;
use super::columns::{first_difference, of_types, plain_schema};
use super::group::Group;
use crate::error::{Error, Result};

/// Record batches of one table. Cheap to clone: nothing is copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Batches {
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
}

impl Batches {
    /// Batches with the same columns; at least one, which may be without rows.
    ///
    /// # Errors
    /// There is none, so nothing says what the columns are, or columns differ.
    pub fn new(batches: Vec<RecordBatch>) -> Result<Self> {
        let Some(first) = batches.first() else {
            return Err(Error::NoInput { path: "no record batch".into() });
        };
        let schema = first.schema();
        let same = |a: &Arc<Field>, b: &Arc<Field>| a.name() == b.name() && a.data_type() == b.data_type();
        for (number, batch) in batches.iter().enumerate() {
            let (own, expected) = (batch.schema(), schema.fields());
            let equal = own.fields().iter().zip(expected).all(|(a, b)| same(a, b));
            if own.fields().len() != expected.len() || !equal {
                let place = format!("record batch {}", number + 1);
                return Err(first_difference(Path::new(&place), &own, Path::new("record batch 1"), &schema));
            }
        }
        Ok(Self { schema, batches: batches.into() })
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Groups of at most as many rows as those of a spool, without dictionaries, as every
    /// batch may have its own.
    pub(super) fn plain_groups(&self, name: &Path) -> Result<(SchemaRef, Vec<Group>, Vec<RecordBatch>)> {
        let schema = Arc::new(plain_schema(&self.schema));
        let (mut groups, mut plain) = (Vec::new(), Vec::new());
        let mut first = 1;
        for batch in self.batches.iter() {
            let whole = of_types(batch, &schema).map_err(Error::arrow(name))?;
            for start in (0..whole.num_rows()).step_by(ROWS) {
                let rows = ROWS.min(whole.num_rows() - start);
                groups.push(Group { file: 0, first, gaps: Vec::new(), rows, index: plain.len() });
                plain.push(whole.slice(start, rows));
                first += rows as u64;
            }
        }
        Ok((schema, groups, plain))
    }

    /// Size in bytes of the values, however much memory stands behind them.
    pub(super) fn size(&self) -> u64 {
        let columns = self.batches.iter().flat_map(RecordBatch::columns);
        columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum()
    }

    /// SHA-256 of the batches as an Arrow IPC stream, in hexadecimal.
    pub(super) fn digest(&self) -> Result<String, ArrowError> {
        let mut writer = StreamWriter::try_new(Hashing(Sha256::new()), &self.schema)?;
        self.batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()?;
        Ok(writer.into_inner()?.0.finalize().iter().map(|b| format!("{b:02x}")).collect())
    }
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
