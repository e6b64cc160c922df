//! What files are: format, columns, and for ledgers window, ops and image coverage.
//!
//! Every file stands for itself and nothing is declared, so a ledger is decoded
//! into text columns named by its own images. What comes out is a description for
//! people; a run decides by the same rules but with the table at hand.

mod columnar;
mod discover;
mod ledger;
mod postings;
mod streams;
mod tabular;

use std::io::Read as _;
use std::path::Path;

use super::progress::Progress;
use super::request::InspectRequest;
use crate::error::{Error, Result};
use crate::ledger::{
    Format, binlog_tables, chunks, is_binlog, is_dms_table, is_ticdc_csv, refuse_frames, usual_postings,
    with_records,
};
use crate::model::Op;
use crate::read::{InputFile, JsonChunk, JsonChunks, Spool, Table, TableFormat, TableSource, paths};

/// What one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The path.
    pub path: String,
    /// Size in bytes, as it lies there.
    pub bytes: u64,
    /// The file format, and the producer of a ledger: `parquet`, `ndjson`.
    pub format: TableFormat,
    /// Rows of a table, records of a ledger.
    pub rows: u64,
    /// The columns of a table; empty for a ledger of JSON records.
    pub columns: Vec<InspectedColumn>,
    /// What it is as a ledger, if it is one.
    pub ledger: Option<InspectedLedger>,
    /// What reading it found, in words.
    pub remarks: Vec<String>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: String,
    /// Why a column of a text file has this type, in words.
    pub reason: Option<String>,
}

/// What a file is as a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedLedger {
    /// Who wrote it.
    pub format: Format,
    /// Its tables, by name.
    pub tables: Vec<InspectedTable>,
}

/// The changes of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedTable {
    /// Its name as the ledger writes it; empty if the ledger names no tables.
    pub name: String,
    /// The columns of its images.
    pub columns: Vec<String>,
    /// How many changes.
    pub changes: u64,
    /// Of these, how many of each op.
    pub ops: Vec<(Op, u64)>,
    /// First and last commit time, RFC 3339.
    pub window: (Option<String>, Option<String>),
    /// What its before images hold.
    pub before: Coverage,
    /// What its after images hold.
    pub after: Coverage,
}

/// How much the images of one side tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many changes have an image on this side.
    pub images: u64,
    /// How many of these state every column.
    pub whole: u64,
    /// Columns that none of them states.
    pub never: Vec<String>,
}

/// Looks at files.
///
/// # Errors
/// A file cannot be read, or is nothing that this program reads.
pub fn inspect(request: &InspectRequest, progress: &dyn Progress) -> Result<Vec<Inspected>> {
    let spool = Spool::new(request.options.spool.as_deref());
    let mut found = Vec::new();
    for pattern in &request.files {
        if let Some(table) = tabular::folder(pattern, &spool)? {
            found.push(table);
            continue;
        }
        for file in with_records(paths::find(pattern)?) {
            let file = InputFile::open(&file.path, &spool)?;
            progress.stage(&format!("read {}", file.path.display()), Some(file.size));
            found.push(one(&file, &spool, progress)?);
        }
    }
    Ok(found)
}

fn one(file: &InputFile, spool: &Spool, progress: &dyn Progress) -> Result<Inspected> {
    if is_binlog(file)?
        && let Some(first) = chunks(file, Format::Binlog, &TableSource::default())?.next().transpose()?
    {
        return described(file, Format::Binlog, &binlog_tables(&first), progress);
    }
    refuse_frames(file)?;
    if is_ticdc_csv(file)? {
        return change_table(file, Format::TiCdc, progress);
    }
    if let Some(found) = tabular::read(file, spool)? {
        progress.advance(file.size);
        return Ok(found);
    }
    if is_dms_table(file)? {
        return change_table(file, Format::Dms, progress);
    }
    if looks_like_json(file)?
        && let Some(found) = json(file, progress)?
    {
        return Ok(found);
    }
    let table = Table::open(&TableSource::at(&file.path), spool)?;
    progress.advance(file.size / 2);
    let ledger = columnar::read(file, &table, spool)?;
    let columns = table.schema().fields().iter().map(|field| InspectedColumn {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
        reason: table.decisions().iter().find(|d| d.column == *field.name()).map(|d| d.reason.clone()),
    });
    let names: Vec<String> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    let postings = usual_postings(&names).filter(|_| ledger.is_none()).map(|what| {
        format!("may be postings ({what}): as a ledger, declare format = \"postings\" and the key of what they move")
    });
    let found = table.discrepancies().iter().map(|d| d.message.clone());
    Ok(Inspected {
        path: file.path.display().to_string(),
        bytes: file.size,
        format: table.format(),
        rows: table.total_rows(),
        columns: columns.collect(),
        ledger,
        remarks: postings.into_iter().chain(found).collect(),
    })
}

/// A file of JSON records, if they are changes.
fn json(file: &InputFile, progress: &dyn Progress) -> Result<Option<Inspected>> {
    let Some(first) = JsonChunks::open(file)?.next().transpose()? else { return Ok(None) };
    let records = || first.records.iter().filter_map(|r| text(&first, r.start, r.end));
    let Some(format) = Format::detect(records().take(64)) else { return Ok(None) };
    let keyed = first.records.iter().filter_map(|r| {
        let key = r.key.clone().and_then(|key| text(&first, key.start, key.end));
        Some((text(&first, r.start, r.end)?, key))
    });
    let discovered = discover::tables(format, keyed);
    if discovered.is_empty() {
        return Ok(None);
    }
    described(file, format, &discovered, progress).map(Some)
}

/// A table whose rows are the messages of a change stream.
fn change_table(file: &InputFile, format: Format, progress: &dyn Progress) -> Result<Inspected> {
    let first = chunks(file, format, &TableSource::default())?.next().transpose()?.unwrap_or_default();
    let mut tables = discover::Tables::new();
    if let Some(of) = &first.rows {
        streams::rows(format, of, &mut tables);
    }
    let mut found = described(file, format, &tables, progress)?;
    found.format = crate::read::table_format(file)?;
    Ok(found)
}

/// A text ledger of these tables.
fn described(
    file: &InputFile,
    format: Format,
    tables: &discover::Tables,
    progress: &dyn Progress,
) -> Result<Inspected> {
    let read = ledger::read(file, format, tables, progress)?;
    Ok(Inspected {
        path: file.path.display().to_string(),
        bytes: file.size,
        format: if format == Format::Binlog { TableFormat::Csv } else { TableFormat::Ndjson },
        rows: read.records,
        columns: Vec::new(),
        ledger: Some(InspectedLedger { format, tables: read.tables }),
        remarks: read.remarks,
    })
}

fn text(chunk: &JsonChunk, start: usize, end: usize) -> Option<&str> {
    std::str::from_utf8(chunk.text.get(start..end)?).ok()
}

/// Whether the first thing in a file could be a JSON record, alone or behind a key and a tab.
fn looks_like_json(file: &InputFile) -> Result<bool> {
    let mut head = Vec::new();
    let failed = |path: &Path| Error::io(path, "read");
    file.content()?.take(4096).read_to_end(&mut head).map_err(failed(&file.path))?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let line = head.split(|b| *b == b'\n').next().unwrap_or(head);
    Ok(matches!(head.first(), Some(b'{' | b'[')) || line.windows(2).any(|pair| pair == b"\t{"))
}

#[cfg(test)]
mod tests {
    use super::{Inspected, inspect};
    use crate::pipeline::progress::Silent;
    use crate::pipeline::request::{InspectRequest, RunOptions};

    /// What a file of this name and text is found to be.
    pub(super) fn inspected(name: &str, text: &str) -> Inspected {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let request = InspectRequest { files: vec![path], options: RunOptions::at(0) };
        inspect(&request, &Silent).unwrap().remove(0)
    }

    #[test]
    fn files_of_a_storage_target_are_change_streams() {
        let dms = inspected(
            "t.csv",
            "Op,commit_ts,id,name,BI_name\nI,2025-01-02 00:00:00.000000,9,a,NULL\nU,2025-01-05 00:00:00.000000,9,b,a\n",
        );
        let ledger = dms.ledger.unwrap();
        assert_eq!((ledger.format.name(), dms.format.name()), ("dms", "csv"));
        let table = &ledger.tables[0];
        assert_eq!(table.columns, ["id", "name"]);
        assert_eq!(table.window.1.as_deref(), Some("2025-01-05T00:00:00Z"));
        let ticdc = inspected("CDC000001.csv", "\"I\",\"t\",\"hr\",455023263744000000,true,7,\"a\"\n");
        let ledger = ticdc.ledger.unwrap();
        assert_eq!((ledger.format.name(), ticdc.format.name()), ("ticdc", "csv"));
        assert_eq!((ledger.tables[0].name.as_str(), ledger.tables[0].columns.len()), ("hr.t", 2));
        assert!(
            inspected("t.csv", "Op,old_id,new_id\nI,,7\n").ledger.is_none_or(|l| l.format.name() == "mapped")
        );
    }
}
