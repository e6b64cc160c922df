//! Page headers of a column chunk, walked without decoding what they head.
//!
//! A chunk that is copied as bytes is never decoded, so this is where one that
//! is cut off, or does not hold what its footer says, is noticed. Damage inside
//! the compressed bytes of a page is seen only by whoever decodes it.

use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::serialized_reader::SerializedPageReader;

use super::guard::guarded;
use super::parquet::ParquetGroup;
use crate::error::{At, Error, Result};

impl ParquetGroup<'_> {
    /// Checks that the pages of a leaf's chunk hold as many values as its footer says.
    ///
    /// # Errors
    /// They do not, a header cannot be read, or the file has changed.
    pub fn walk_pages(&self, leaf: usize) -> Result<()> {
        let group = self.metadata.row_group(self.row_group);
        let chunk = group.column(leaf);
        let file = Arc::new(self.file.handle()?);
        let wrong = |found: String| Error::Malformed {
            path: self.file.path.clone(),
            at: At::default().column(chunk.column_path().string()),
            expected: format!("pages of {} values in row group {}", chunk.num_values(), self.row_group + 1),
            found,
            hint: Some("the file is damaged; fetch it again".to_owned()),
        };
        guarded(&self.file.path, || {
            let values = || -> Result<usize, ParquetError> {
                let rows = usize::try_from(group.num_rows()).unwrap_or(0);
                let mut pages = SerializedPageReader::new(Arc::clone(&file), chunk, rows, None)?;
                let mut values = 0;
                while let Some(page) = pages.peek_next_page()? {
                    values += if page.is_dict { 0 } else { page.num_levels.unwrap_or(0) };
                    pages.skip_next_page()?;
                }
                Ok(values)
            };
            match values() {
                Ok(values) if i64::try_from(values) == Ok(chunk.num_values()) => Ok(()),
                Ok(values) => Err(wrong(values.to_string())),
                Err(error) => Err(wrong(error.to_string())),
            }
        })
    }
}
