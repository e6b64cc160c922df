//! What a ledger's files are, and how its declaration steers their decoding.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::binlog::{self, BinlogChunks};
use super::dms_tables::{self, DmsTables};
use super::ticdc_csv::{self, TicdcTables};
use super::ticdc_open;
use super::{
    DecodeOptions, Format, Mapping, MappingHints, Missing, TableTarget, TextEncoding, mapped_json, tabular,
};
use crate::error::{At, Error, Result};
use crate::model::{ChangeBatch, Images};
use crate::plan::{Ledger, LedgerColumns, LedgerFormat, MissingCells, ValueCoding};
use crate::read::paths::FoundFile;
use crate::read::{InputFile, JsonChunk, JsonChunks, Spool, TableFormat, TableSource, read_error};

/// How a ledger's files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As tables, column by column.
    Columnar,
    /// As JSON records of this format.
    Json(Format),
    /// As tables of this format, row by row.
    Tabular(Format),
}

/// The files of a ledger: those of each pattern in the order of their path bytes.
///
/// # Errors
/// A pattern names no file, or a file cannot be opened.
pub fn input_files(paths: &[PathBuf], spool: &Spool) -> Result<Vec<InputFile>> {
    let mut files = Vec::new();
    for path in paths {
        for found in with_records(crate::read::paths::find(path)?) {
            files.push(InputFile::open(&found.path, spool)?);
        }
    }
    Ok(files)
}

/// Those of some files that hold records: storage sinks keep books of their own beside them.
pub fn with_records(mut files: Vec<FoundFile>) -> Vec<FoundFile> {
    if files.iter().any(|file| ticdc_csv::is_data_file(&file.path)) {
        files.retain(|file| !ticdc_csv::is_bookkeeping(&file.path));
    }
    files
}

/// Whether a file, no JSON, holds the changes that DMS writes to S3.
///
/// # Errors
/// It cannot be read.
pub fn is_dms_table(file: &InputFile) -> Result<bool> {
    if crate::read::table_format(file)? == TableFormat::Ndjson {
        return Ok(false);
    }
    // What is no table has no columns that could tell.
    Ok(crate::read::columns_of(file, &TableSource::at(&file.path))
        .is_ok_and(|columns| dms_tables::is_one(&columns)))
}

/// Whether a file holds rows of TiCDC's CSV protocol.
///
/// # Errors
/// It cannot be read.
pub fn is_ticdc_csv(file: &InputFile) -> Result<bool> {
    ticdc_csv::is_ticdc_csv(file)
}

/// The records of a text ledger, in chunks; `declared` is what the plan says about its files.
///
/// # Errors
/// The file cannot be opened, or is in an encoding that is not supported.
pub fn chunks(
    file: &InputFile,
    format: Format,
    declared: &TableSource,
) -> Result<Box<dyn Iterator<Item = Result<JsonChunk>> + Send>> {
    Ok(match format {
        Format::Binlog => Box::new(BinlogChunks::open(file)?),
        // DMS writes tables to S3, and messages everywhere else.
        Format::Dms if crate::read::table_format(file)? != TableFormat::Ndjson => {
            Box::new(DmsTables::open(file, declared)?)
        }
        Format::TiCdc if is_ticdc_csv(file)? => Box::new(TicdcTables::open(file, declared)?),
        _ => Box::new(JsonChunks::open(file)?),
    })
}

/// Refuses the binary frames that messages of TiCDC's open protocol have in Kafka.
///
/// # Errors
/// The file has them, or cannot be read.
pub fn refuse_frames(file: &InputFile) -> Result<()> {
    let mut head = Vec::new();
    let read = file.content()?.take(32).read_to_end(&mut head);
    read.map_err(|e| read_error(&file.path, At::default(), e))?;
    match ticdc_open::is_framed(&head) {
        false => Ok(()),
        true => Err(Error::Malformed {
            path: file.path.clone(),
            at: At::default(),
            expected: "change records as text".to_owned(),
            found: "the binary frames of TiCDC's open protocol".to_owned(),
            hint: Some(
                "have the changefeed write canal-json (with enable-tidb-extension) or simple, or take the frames off: \
                 one line of key, tab and value per row"
                    .to_owned(),
            ),
        }),
    }
}

/// Whether a file is the text of a binary log.
///
/// # Errors
/// It cannot be read.
pub fn is_binlog(file: &InputFile) -> Result<bool> {
    let mut head = Vec::new();
    let read = file.content()?.take(4096).read_to_end(&mut head);
    read.map_err(|e| read_error(&file.path, At::default(), e))?;
    Ok(binlog::is_binlog(&head))
}

/// How many records decide what a stream is.
const RECORDS_LOOKED_AT: usize = 64;

/// Finds out what a ledger's files are, unless the plan says.
///
/// # Errors
/// A file cannot be read, or its records are of no known format.
pub fn detect(files: &[InputFile], ledger: &Ledger) -> Result<Shape> {
    let Some(first) = files.first() else {
        return Err(Error::NoInput { path: ledger.table.pattern.clone() });
    };
    refuse_frames(first)?;
    if let Some(named) = ledger.format.filter(|f| *f != LedgerFormat::Mapped) {
        // Both enums have the same words.
        if let Some(format) = Format::ALL.iter().find(|format| format.name() == named.name()) {
            return Ok(if format.is_tabular() { Shape::Tabular(*format) } else { Shape::Json(*format) });
        }
    }
    if ledger.format.is_none() && !ledger.postings.amounts.is_empty() {
        return Ok(Shape::Tabular(Format::Postings));
    }
    if ledger.paths.iter().any(|path| tabular::is_table_folder(path)) {
        return Ok(Shape::Tabular(Format::DeltaCdf));
    }
    if ledger.format.is_none() && tabular::is_saft(first)? {
        return Ok(Shape::Tabular(Format::SafT));
    }
    if ledger.format.is_none() && is_binlog(first)? {
        return Ok(Shape::Json(Format::Binlog));
    }
    let data = files.iter().find(|file| ticdc_csv::is_data_file(&file.path)).unwrap_or(first);
    if ledger.format.is_none() && is_ticdc_csv(data)? {
        return Ok(Shape::Json(Format::TiCdc));
    }
    let table = match ledger.table.format {
        Some(format) => format,
        None => crate::read::table_format(first)?,
    };
    let columns = crate::read::columns_of(first, &ledger.table)?;
    match tabular::detect(&columns, &hints(ledger)) {
        Some(Format::Mapped) if table != TableFormat::Ndjson => return Ok(Shape::Tabular(Format::Mapped)),
        Some(format) if format != Format::Mapped && ledger.format.is_none() => {
            return Ok(Shape::Tabular(format));
        }
        _ => {}
    }
    if table != TableFormat::Ndjson {
        let is_dms = ledger.format.is_none()
            && ledger.columns == LedgerColumns::default()
            && dms_tables::is_one(&columns);
        return Ok(if is_dms { Shape::Json(Format::Dms) } else { Shape::Columnar });
    }
    if ledger.format == Some(LedgerFormat::Mapped) {
        return Ok(Shape::Json(Format::Mapped));
    }
    for file in files {
        for chunk in JsonChunks::open(file)? {
            let chunk = chunk?;
            let texts = chunk.records.iter().take(RECORDS_LOOKED_AT);
            let texts = texts.filter_map(|record| std::str::from_utf8(chunk.bytes(record)).ok());
            if let Some(format) = Format::detect(texts) {
                return Ok(Shape::Json(format));
            }
        }
    }
    empty(&first.path, files)
}

/// A ledger without a single record is a ledger without changes.
fn empty(path: &Path, files: &[InputFile]) -> Result<Shape> {
    if files.iter().all(|f| f.size == 0) {
        return Ok(Shape::Json(Format::Mapped));
    }
    Err(Error::Malformed {
        path: path.to_owned(),
        at: At::default(),
        expected: "change records of a known format".to_owned(),
        found: "none".to_owned(),
        hint: Some("name the format with --format, for instance mapped or debezium".to_owned()),
    })
}

/// Which column of a mapped JSON ledger means what, from its first records and its declaration.
/// `None` for a ledger without records.
///
/// # Errors
/// A file cannot be read, or there is no op and no image to be found.
pub fn mapping(files: &[InputFile], targets: &[TableTarget], ledger: &Ledger) -> Result<Option<Mapping>> {
    let hints = hints(ledger);
    for file in files {
        let Some(chunk) = JsonChunks::open(file)?.next() else { continue };
        let chunk = chunk?;
        let texts = chunk.records.iter().filter_map(|record| std::str::from_utf8(chunk.bytes(record)).ok());
        let found = mapped_json::detect(texts, targets, &hints);
        return found.map(Some).map_err(|found| Error::Malformed {
            path: file.path.clone(),
            at: At::default(),
            expected: "records with an op and images".to_owned(),
            found,
            hint: Some("name the columns in the plan under ledger.columns, or another --format".to_owned()),
        });
    }
    Ok(None)
}

/// What the plan says about a mapped ledger's columns.
pub(super) fn hints(ledger: &Ledger) -> MappingHints {
    MappingHints { columns: ledger.columns.clone(), ops: ledger.ops.clone() }
}

/// Refuses a meaning of missing cells that records have no need of, as they tell null from left out.
///
/// # Errors
/// The declaration asks for it.
pub fn refuse_meanings_of_columns(ledger: &Ledger) -> Result<()> {
    if ledger.missing != Some(MissingCells::UnchangedIfBoth) {
        return Ok(());
    }
    Err(Error::Unsupported {
        path: ledger.table.pattern.clone(),
        feature: "missing = \"unchanged-if-both\" in records that tell null from left out".to_owned(),
        hint: Some("declare missing = \"unchanged\"".to_owned()),
    })
}

/// The decoding options that a ledger's declaration asks for.
pub fn decode_options(ledger: &Ledger) -> DecodeOptions {
    let mut options = DecodeOptions {
        time_zone: ledger.table.time_zone,
        non_finite: ledger.non_finite,
        decimals: ledger.decimals.map(coding),
        binary: ledger.binary.map(coding),
        full_identity: ledger.full_images,
        epoch: ledger.timestamps,
        missing: match ledger.missing {
            Some(MissingCells::Unchanged | MissingCells::UnchangedIfBoth) => Missing::Unchanged,
            Some(MissingCells::Null) => Missing::Null,
            Some(MissingCells::Absent) | None => Missing::Absent,
        },
        ..DecodeOptions::default()
    };
    if let Some(placeholder) = &ledger.placeholder {
        options.placeholder.clone_from(placeholder);
    }
    options
}

fn coding(coding: ValueCoding) -> TextEncoding {
    match coding {
        ValueCoding::Base64 => TextEncoding::Base64,
        ValueCoding::Hex => TextEncoding::Hex,
        _ => TextEncoding::Plain,
    }
}

/// The changes at `rows` (rising) of a batch.
///
/// # Errors
/// What Arrow says against it, for instance that memory ran out.
pub fn take_changes(batch: &ChangeBatch, rows: &[u32]) -> Result<ChangeBatch, arrow::error::ArrowError> {
    let indices = arrow::array::UInt32Array::from(rows.to_vec());
    let arrays = |array: &Option<arrow::array::ArrayRef>| {
        array.as_ref().map(|a| arrow::compute::take(a.as_ref(), &indices, None)).transpose()
    };
    let images = |images: &Images| -> Result<Images, arrow::error::ArrowError> {
        let pick = |s: &arrow::buffer::ScalarBuffer<u8>| rows.iter().map(|&r| s[r as usize]).collect();
        Ok(Images {
            columns: images.columns.iter().map(arrays).collect::<Result<_, _>>()?,
            present: images.present.as_ref().map(|p| rows.iter().map(|&r| p.value(r as usize)).collect()),
            states: images.states.iter().map(|s| s.as_ref().map(pick)).collect(),
        })
    };
    fn pick<T: Copy>(rows: &[u32], values: &[T]) -> Vec<T> {
        // What was not asked for is not there.
        rows.iter().take_while(|_| !values.is_empty()).map(|&r| values[r as usize]).collect()
    }
    Ok(ChangeBatch {
        ops: pick(rows, &batch.ops),
        before: images(&batch.before)?,
        after: images(&batch.after)?,
        committed_at: pick(rows, &batch.committed_at),
        transaction: arrays(&batch.transaction)?,
        commit_position: batch.commit_position.as_ref().map(|p| pick(rows, p)),
        position: batch.position.as_ref().map(|p| pick(rows, p)),
        record: pick(rows, &batch.record),
        file: batch.file,
        stream: pick(rows, &batch.stream),
        actor: arrays(&batch.actor)?,
    })
}
