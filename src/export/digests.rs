//! The table of digests: one row per dataset, column and part of the identity.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::tables;
use crate::error::{Error, Result};
use crate::model::DigestTotal;

/// The name of the file in a package.
pub const DIGESTS: &str = "digests.parquet";

/// Writes the table into a folder. `column` is null for whole rows; `state` has 1,024 little-endian
/// 16-bit numbers, of which `sha256` is the digest.
///
/// # Errors
/// The file cannot be written.
pub fn write_digests(digests: &[(&str, &[DigestTotal])], folder: &Path) -> Result<()> {
    let path = folder.join(DIGESTS);
    let mut rows = Vec::new();
    for (dataset, totals) in digests {
        for total in *totals {
            rows.extend(total.parts().map(|(part, hash)| (*dataset, total.column.as_deref(), part, hash)));
        }
    }
    let states: Vec<Vec<u8>> = rows.iter().map(|row| row.3.to_bytes()).collect();
    let prints: Vec<String> = rows.iter().map(|row| row.3.fingerprint()).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        Arc::new(BinaryArray::from_iter_values(&states)),
        Arc::new(StringArray::from_iter_values(&prints)),
    ];
    let schema = Arc::new(Schema::new(vec![
        Field::new("dataset", DataType::Utf8, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("part", DataType::Utf8, false),
        Field::new("state", DataType::Binary, false),
        Field::new("sha256", DataType::Utf8, false),
    ]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(Error::arrow(&path))?;
    let mut writer = tables::parquet_writer(&path, &schema)?;
    writer.write(&batch).map_err(Error::parquet(&path))?;
    writer.close().map(|_| ()).map_err(Error::parquet(&path))
}
