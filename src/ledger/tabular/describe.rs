//! What a table-shaped ledger is, from its files alone.

use super::images::{self, Layout};
use super::{
    TabularLedger, delta_cdf, detect, documents, logged_actions, pgmemento, record_version, snowflake,
    versions,
};
use crate::error::Result;
use crate::ledger::Format;
use crate::ledger::mapping::MappingHints;
use crate::plan::{Ledger, TableSource};
use crate::read::{InputFile, Spool, columns_of};

/// How many segments show the tables and their columns.
const SEGMENTS_LOOKED_AT: usize = 4;

/// The format of a file that is a table-shaped ledger by its columns.
///
/// # Errors
/// The file cannot be read.
pub fn tabular_format(file: &InputFile) -> Result<Option<Format>> {
    // What is no table has no columns that could tell.
    let Ok(columns) = columns_of(file, &TableSource::at(&file.path)) else { return Ok(None) };
    Ok(detect(&columns, &MappingHints::default()))
}

impl TabularLedger {
    /// The tables that a ledger's first rows name, with the columns of their images.
    ///
    /// # Errors
    /// A file cannot be read, or a column is missing.
    pub fn tables(format: Format, ledger: &Ledger, spool: &Spool) -> Result<Vec<(String, Vec<String>)>> {
        let raw = super::raw(format, ledger, spool)?;
        if format.is_field_history() {
            let layout = super::field_layout((format, ledger), &raw, &[], spool)?;
            return super::fields::tables(&raw, &layout, SEGMENTS_LOOKED_AT);
        }
        let layout: Option<Layout> = match format {
            Format::LoggedActions => Some(logged_actions::layout(&raw, ledger)?),
            Format::RecordVersion => Some(record_version::layout(&raw, ledger)?),
            Format::PgMemento => Some(pgmemento::layout(&raw, ledger)?),
            Format::Mapped => Some(documents::layout(&raw, &MappingHints::default(), &[])?),
            _ => None,
        };
        if let Some(layout) = layout {
            return images::tables(&raw, &layout, SEGMENTS_LOOKED_AT);
        }
        let beside = |name: &&String| match format {
            Format::SqlServerCdc => name.starts_with("__$"),
            Format::DeltaCdf => delta_cdf::is_beside(name),
            Format::SnowflakeStream => snowflake::is_beside(name),
            _ => versions::is_beside(name),
        };
        let columns = raw.names().iter().filter(|name| !beside(name)).cloned().collect();
        Ok(vec![(String::new(), columns)])
    }

    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.raw.len()
    }
}
