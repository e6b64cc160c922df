//! Ledgers that are tables: audit tables, histories of versions, change tables, histories of fields.
//!
//! ```text
//!  files ─► Raw (rows as they stand) ─► decode (per segment, parallel, pure) ─► Decoded ─► Carry::stitch
//!             │                           ▲
//!             └── what needs all rows ────┘   pairs, neighbours in time: row numbers, no values
//! ```
//!
//! A format is one file here: how its columns are found and what a row means.
//! `images` serves those with one document per image.

mod chain;
mod clock;
mod convert;
mod deletion_vectors;
mod delta_cdf;
mod delta_log;
mod describe;
mod documents;
mod events;
mod field_order;
mod fields;
mod hstore;
mod images;
mod jira;
mod logged_actions;
mod pairs;
mod period;
mod pgmemento;
pub(super) mod postings;
mod raw;
mod record_version;
mod salesforce;
mod sap_changes;
mod servicenow;
mod snowflake;
mod sqlserver_cdc;
mod versions;

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;

pub use self::describe::tabular_format;
use self::raw::Raw;
use super::mapping::MappingHints;
use super::{DecodeOptions, Decoded, Format, Note, TableTarget};
use crate::error::{At, Error, Result};
use crate::model::{CellDifference, Discrepancy, DiscrepancyKind, LedgerPlace};
use crate::plan::Ledger;
use crate::read::{InputFile, Spool};

/// The format of a table with these columns; `None` if it is none of those read here.
pub(super) fn detect(columns: &SchemaRef, hints: &MappingHints) -> Option<Format> {
    let names: Vec<String> = columns.fields().iter().map(|f| f.name().clone()).collect();
    if logged_actions::is_one(&names) {
        return Some(Format::LoggedActions);
    }
    if record_version::is_one(&names) {
        return Some(Format::RecordVersion);
    }
    if pgmemento::is_one(&names) {
        return Some(Format::PgMemento);
    }
    if sqlserver_cdc::is_one(&names) {
        return Some(Format::SqlServerCdc);
    }
    if delta_cdf::is_one(&names) {
        return Some(Format::DeltaCdf);
    }
    if snowflake::is_one(&names) {
        return Some(Format::SnowflakeStream);
    }
    let histories = [
        (Format::SalesforceHistory, salesforce::is_one(&names)),
        (Format::ServiceNowAudit, servicenow::is_one(&names)),
        (Format::SapChanges, sap_changes::is_one(&names)),
        (Format::JiraChangelog, jira::is_one(&names)),
    ];
    if let Some((format, _)) = histories.into_iter().find(|(_, is)| *is) {
        return Some(format);
    }
    if let Some(format) = postings::detect(&names) {
        return Some(format);
    }
    if documents::is_one(columns, hints) {
        return Some(Format::Mapped);
    }
    versions::is_one(&names).then_some(Format::Versions)
}

pub use self::postings::saft::is_saft;

/// Whether a path is a folder that is one table with a log of its own.
pub fn is_table_folder(path: &std::path::Path) -> bool {
    delta_cdf::is_folder(path)
}

/// What a ledger's reader must know of its dataset beside the columns.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// When the current state was read, if declared as a time.
    pub extract: Option<i64>,
    /// The current state is delimited text that knows no null texts, only empty ones.
    pub empty_texts: bool,
    /// The zone of times without an offset.
    pub zone: Option<Tz>,
    /// Per column, whether the current state has values in it; empty if nobody looked.
    pub has_values: Vec<bool>,
}

/// A span of a key's past that its records state in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contested {
    /// The file and the record of a change of the key.
    pub file: u32,
    /// The record in it, from 1.
    pub record: u64,
    /// The order mark of its begin, inclusive.
    pub from: u128,
    /// That of its end, exclusive.
    pub to: u128,
}

/// What finding the changes of a table found beside them.
#[derive(Debug, Default)]
struct Found {
    /// Without the name of the dataset.
    discrepancies: Vec<Discrepancy>,
    /// Whether every current row should be among the ledger's rows; `None` if the format does not say.
    covers_current: Option<bool>,
    /// Spans in which a row is stated in two ways.
    contested: Vec<Contested>,
}

impl Found {
    /// Something about one row.
    fn push(&mut self, raw: &Raw, kind: DiscrepancyKind, row: u32, message: impl Into<String>) {
        let (segment, row) = raw.locate(u64::from(row));
        let mut discrepancy = Discrepancy::new(kind, "", message);
        discrepancy.ledger = Some(LedgerPlace {
            file: raw.file(segment).1.display().to_string(),
            record: raw.record(segment, row as usize),
            ..LedgerPlace::default()
        });
        self.discrepancies.push(discrepancy);
    }

    /// Something about a whole column.
    fn column(&mut self, kind: DiscrepancyKind, column: &str, message: impl Into<String>) {
        let mut discrepancy = Discrepancy::new(kind, "", message);
        discrepancy.cells.push(CellDifference { column: column.to_owned(), expected: None, found: None });
        self.discrepancies.push(discrepancy);
    }

    /// What decoding marks noted.
    fn notes(&mut self, raw: &Raw, notes: Vec<Note>) {
        for note in notes {
            self.push(raw, note.kind, note.record.saturating_sub(1) as u32, note.message);
            if let Some(last) = self.discrepancies.last_mut() {
                last.count = note.count;
            }
        }
    }

    /// Columns of the ledger that nobody reads.
    fn unknown_columns(&mut self, names: impl IntoIterator<Item = String>) {
        for column in names {
            let message = "the ledger has this column, the table does not; it is left out";
            self.column(DiscrepancyKind::UnknownColumn, &column, message);
        }
    }
}

/// An opened table-shaped ledger.
#[derive(Debug)]
pub struct TabularLedger {
    raw: Raw,
    reader: Reader,
    found: Found,
}

#[derive(Debug)]
enum Reader {
    Images(Box<images::Layout>),
    Events(Box<events::Events>),
    Fields(Box<fields::Fields>),
}

impl TabularLedger {
    /// Opens a ledger's files and finds what their columns mean.
    ///
    /// # Errors
    /// A file cannot be read, or a column is missing.
    pub fn open(
        format: Format,
        ledger: &Ledger,
        targets: &[TableTarget],
        context: &Context,
        spool: &Spool,
    ) -> Result<Self> {
        let raw = raw(format, ledger, spool)?;
        let mut found = Found::default();
        let reader = match format {
            Format::LoggedActions => images(logged_actions::layout(&raw, ledger)?),
            Format::RecordVersion => images(record_version::layout(&raw, ledger)?),
            Format::PgMemento => images(pgmemento::layout(&raw, ledger)?),
            Format::Versions => {
                let events;
                (events, found) = versions::open(&raw, ledger, one_target(&raw, targets)?, context)?;
                Reader::Events(Box::new(events))
            }
            Format::DeltaCdf | Format::SnowflakeStream => {
                let events;
                let target = one_target(&raw, targets)?;
                (events, found) = match format {
                    Format::DeltaCdf => delta_cdf::open(&raw, ledger, target, context)?,
                    _ => snowflake::open(&raw, ledger, target, context)?,
                };
                Reader::Events(Box::new(events))
            }
            history if history.is_field_history() => {
                let layout = field_layout((format, ledger), &raw, targets, spool)?;
                let utc = (format == Format::ServiceNowAudit).then_some(Tz::UTC);
                let zone = ledger.table.time_zone.or(utc);
                let fields;
                (fields, found) = fields::Fields::open(&raw, layout, context, zone)?;
                Reader::Fields(Box::new(fields))
            }
            Format::SqlServerCdc => {
                let events;
                let target = one_target(&raw, targets)?;
                (events, found) = sqlserver_cdc::open(&raw, ledger, target, context, spool)?;
                Reader::Events(Box::new(events))
            }
            _ => {
                let names: Vec<&str> = targets.iter().flat_map(|t| t.schema.names()).collect();
                images(documents::layout(&raw, &super::open::hints(ledger), &names)?)
            }
        };
        found.discrepancies.extend(raw.discrepancies().into_iter().map(of_ledger));
        Ok(Self { raw, reader, found })
    }

    /// How many segments.
    pub fn segments(&self) -> usize {
        self.raw.segments()
    }

    /// The place of a segment's file among all files, and its path.
    pub fn file(&self, segment: usize) -> (u32, PathBuf) {
        self.raw.file(segment)
    }

    /// The files that are read, in the order of their numbers, and those that say what they mean; `None` if they are
    /// those that the ledger's paths name.
    pub fn files(&self) -> Option<&[InputFile]> {
        self.raw.files()
    }

    /// What finding the changes found, without the name of the dataset.
    pub fn discrepancies(&self) -> &[Discrepancy] {
        &self.found.discrepancies
    }

    /// Whether every current row should be among the ledger's rows; `None` if the format does not say.
    pub fn covers_current(&self) -> Option<bool> {
        self.found.covers_current
    }

    /// Spans in which a row is stated in two ways.
    pub fn contested(&self) -> &[Contested] {
        &self.found.contested
    }

    /// Decodes a segment. Pure, so segments can be decoded in parallel.
    ///
    /// # Errors
    /// The file cannot be read. Bad records never fail: they are [`Decoded::notes`].
    pub fn decode(
        &self,
        segment: usize,
        targets: &[TableTarget],
        options: &DecodeOptions,
    ) -> Result<Decoded> {
        match &self.reader {
            Reader::Images(layout) => images::decode(&self.raw, segment, layout, targets, options),
            Reader::Events(events) => events.decode(&self.raw, segment, targets, options),
            Reader::Fields(fields) => fields.decode(&self.raw, segment, targets, options),
        }
    }
}

/// The rows of a ledger's files.
fn raw(format: Format, ledger: &Ledger, spool: &Spool) -> Result<Raw> {
    match format {
        Format::DeltaCdf => delta_cdf::raw(ledger, spool),
        Format::JiraChangelog => jira::raw(ledger, spool),
        _ => Raw::open(ledger, spool),
    }
}

fn field_layout(
    (format, ledger): (Format, &Ledger),
    raw: &Raw,
    targets: &[TableTarget],
    spool: &Spool,
) -> Result<fields::Layout> {
    match format {
        Format::SalesforceHistory => salesforce::layout(raw, ledger),
        Format::ServiceNowAudit => servicenow::layout(raw, ledger),
        Format::SapChanges => sap_changes::layout(raw, ledger, spool),
        _ => jira::layout(raw, ledger, targets),
    }
}

fn images(layout: images::Layout) -> Reader {
    Reader::Images(Box::new(layout))
}

/// Rows are numbers of 32 bits.
fn check_rows(raw: &Raw) -> Result<()> {
    let limit = u64::from(u32::MAX) - 1;
    match raw.len() > limit {
        true => Err(Error::Limit { what: "rows of one ledger", found: raw.len(), limit }),
        false => Ok(()),
    }
}

/// The dataset of a ledger whose rows are one table's.
fn one_target<'t>(raw: &Raw, targets: &'t [TableTarget]) -> Result<&'t TableTarget> {
    check_rows(raw)?;
    match targets {
        [one] => Ok(one),
        _ => Err(Error::Malformed {
            path: raw.path().to_owned(),
            at: At::default(),
            expected: "the ledger of one dataset, as its rows name no table".to_owned(),
            found: format!("{} datasets that share it", targets.len()),
            hint: Some("give every dataset a ledger of its own".to_owned()),
        }),
    }
}

/// A record of the ledger's files that is no row: its place is one of the ledger.
fn of_ledger(mut discrepancy: Discrepancy) -> Discrepancy {
    discrepancy.ledger = discrepancy.current.take().map(|place| LedgerPlace {
        file: place.file,
        record: place.row,
        ..LedgerPlace::default()
    });
    discrepancy
}

/// Times without offset while no zone is declared.
fn lacks_zone(raw: &Raw) -> Error {
    Error::Malformed {
        path: raw.path().to_owned(),
        at: At::default(),
        expected: "times with an offset".to_owned(),
        found: "local times, and no declared zone".to_owned(),
        hint: Some("declare the ledger's `time_zone` in the plan".to_owned()),
    }
}

/// That numbers which must be exact are floating-point ones.
fn no_floats(raw: &Raw, array: &arrow::array::ArrayRef, column: usize) -> Result<()> {
    if !array.data_type().is_floating() {
        return Ok(());
    }
    Err(Error::Malformed {
        path: raw.path().to_owned(),
        at: At::default().column(&raw.names()[column]),
        expected: "exact amounts".to_owned(),
        found: format!("a column of {}, which holds no decimal exactly", array.data_type()),
        hint: Some("export the amounts as decimals or as text".to_owned()),
    })
}

/// The raw columns of a table's key.
fn key_cells(raw: &Raw, target: &TableTarget, cells: &[Option<usize>]) -> Result<Vec<Option<usize>>> {
    let key: Vec<Option<usize>> = target.schema.key().iter().map(|&k| cells[k]).collect();
    let Some(missing) = key.iter().position(Option::is_none) else { return Ok(key) };
    Err(Error::Malformed {
        path: raw.path().to_owned(),
        at: At::default().column(target.schema.name(target.schema.key()[missing])),
        expected: "the key column among the ledger's".to_owned(),
        found: format!("columns {}", raw.names().join(", ")),
        hint: Some("export the column too, or declare another key".to_owned()),
    })
}
