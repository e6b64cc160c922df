//! Table-shaped ledgers: audit tables, histories, change tables.
//!
//! Nothing is declared, so the table has no key: versions count as inserts and
//! deletes, and the halves of an update too where only the key joins them.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::ledger::{REMARKS_MAX, Tally, nature, remarks};
use super::{Inspected, InspectedLedger, InspectedTable};
use crate::error::{Error, Result};
use crate::ledger::{
    Carry, DecodeOptions, Format, TableTarget, TabularContext, TabularLedger, is_saft, is_table_folder,
    tabular_format,
};
use crate::model::{Discrepancy, TableSchema};
use crate::plan::{Ledger, TableSource};
use crate::read::{InputFile, Spool, Table, TableFormat, paths};

/// What a file is as a table-shaped ledger; `None` if its columns are not those of one.
pub(super) fn read(file: &InputFile, spool: &Spool) -> Result<Option<Inspected>> {
    if is_saft(file)? {
        return super::postings::described(file, Format::SafT, TableFormat::Csv, spool).map(Some);
    }
    let container = crate::read::table_format(file)?;
    // JSON objects are told by their members.
    let is_read = |format: &Format| *format != Format::Mapped || container != TableFormat::Ndjson;
    let Some(format) = tabular_format(file)?.filter(is_read) else { return Ok(None) };
    if format.is_postings() {
        return super::postings::described(file, format, container, spool).map(Some);
    }
    match described(&file.path, format, (file.size, container), spool) {
        // Its columns are those of the format, but for what lies in another file.
        Err(Error::Malformed { expected, hint, .. }) => {
            let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
            Ok(Some(Inspected {
                path: file.path.display().to_string(),
                bytes: file.size,
                format: container,
                rows: Table::open(&TableSource::at(&file.path), spool)?.total_rows(),
                columns: Vec::new(),
                ledger: Some(InspectedLedger { format, tables: Vec::new() }),
                remarks: vec![format!("alone it cannot be read: it lacks {expected}{hint}")],
            }))
        }
        described => described.map(Some),
    }
}

/// What a folder is that is one table with a log of its own; `None` for any other path.
pub(super) fn folder(path: &Path, spool: &Spool) -> Result<Option<Inspected>> {
    if !is_table_folder(path) {
        return Ok(None);
    }
    let mut bytes = 0;
    for file in paths::find(path)? {
        bytes += InputFile::open(&file.path, spool)?.size;
    }
    described(path, Format::DeltaCdf, (bytes, TableFormat::Parquet), spool).map(Some)
}

fn described(
    path: &Path,
    format: Format,
    (bytes, container): (u64, TableFormat),
    spool: &Spool,
) -> Result<Inspected> {
    let utc = Some(chrono_tz::Tz::UTC);
    // Times without offset are shown as if UTC.
    let table = TableSource { time_zone: utc, ..TableSource::at(path) };
    let ledger = Ledger { paths: vec![path.to_owned()], table, ..Ledger::default() };
    let context = TabularContext { zone: utc, ..TabularContext::default() };
    let tables = TabularLedger::tables(format, &ledger, spool)?;
    let targets: Vec<TableTarget> =
        tables.iter().enumerate().map(|(index, table)| target(format, index, table)).collect();
    let opened = TabularLedger::open(format, &ledger, &targets, &context, spool)?;
    let options = DecodeOptions { time_zone: utc, ..DecodeOptions::default() };
    let mut tallies: Vec<Tally> = tables.iter().map(|(name, columns)| Tally::new(name, columns)).collect();
    let (mut carry, mut notes) = (Carry::new(), Vec::new());
    for segment in 0..opened.segments() {
        let mut decoded = opened.decode(segment, &targets, &options)?;
        carry.stitch(&mut decoded);
        tallies.iter_mut().zip(&decoded.changes).for_each(|(tally, batch)| tally.count(batch));
        notes.extend(decoded.notes);
    }
    let stream = carry.finish(&options);
    notes.extend(stream.notes.iter().cloned());
    let tables: Vec<InspectedTable> = tallies.into_iter().map(Tally::finish).collect();
    let mut said = nature(format, &stream, &tables);
    if matches!(format, Format::Versions | Format::DeltaCdf | Format::SnowflakeStream) {
        said.push("without its key, which joins them, an update counts as a delete and an insert".to_owned());
    }
    said.extend(found(opened.discrepancies()));
    said.extend(remarks(&notes));
    Ok(Inspected {
        path: path.display().to_string(),
        bytes,
        format: container,
        rows: opened.rows(),
        columns: Vec::new(),
        ledger: Some(InspectedLedger { format, tables }),
        remarks: said,
    })
}

/// What finding the changes found, in words.
fn found(all: &[Discrepancy]) -> impl Iterator<Item = String> {
    let said = all.iter().take(REMARKS_MAX).map(|d| match &d.ledger {
        Some(place) => format!("record {}: {}: {}", place.record, d.kind, d.message),
        None => format!("{}: {}", d.kind, d.message),
    });
    let more = all.len().saturating_sub(REMARKS_MAX);
    said.chain((more > 0).then(|| format!("… and {more} more")))
}

fn target(format: Format, index: usize, (name, columns): &(String, Vec<String>)) -> TableTarget {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(c, DataType::Utf8, true)).collect();
    let names = if name.is_empty() { Vec::new() } else { vec![name.clone()] };
    // A history of fields names its record, and that comes first.
    let key = if format.is_field_history() { vec![0] } else { Vec::new() };
    TableTarget { dataset: index, names, schema: TableSchema::new(Arc::new(Schema::new(fields)), key) }
}

#[cfg(test)]
mod tests {
    use crate::model::Op;
    use crate::pipeline::inspect::tests::inspected;

    #[test]
    fn an_audit_table_is_described_by_its_documents() {
        let found = inspected(
            "audit.ndjson",
            r#"{"id":1,"op":"INSERT","ts":"2025-01-02T00:00:00Z","table_schema":"public","table_name":"t","record":{"id":7,"x":"a"},"old_record":null}
{"id":2,"op":"DELETE","ts":"2025-01-03T00:00:00Z","table_schema":"public","table_name":"t","record":null,"old_record":{"id":7,"x":"a"}}
"#,
        );
        let ledger = found.ledger.unwrap();
        assert_eq!(ledger.format.name(), "record_version");
        let table = &ledger.tables[0];
        assert_eq!((table.name.as_str(), table.columns.len()), ("public.t", 2));
        assert_eq!(table.ops, [(Op::Insert, 1), (Op::Delete, 1)]);
        assert_eq!(table.window.1.as_deref(), Some("2025-01-03T00:00:00Z"));
        assert!(found.remarks.iter().any(|r| r == "order: by id, by transaction"), "{:?}", found.remarks);
        assert!(found.remarks.iter().any(|r| r == "times: of the start of the transaction"));
    }

    #[test]
    fn a_history_is_described_by_its_periods() {
        let found = inspected(
            "history.csv",
            "id,x,row_start,row_end\n1,a,2025-01-02 00:00:00,2025-01-03 00:00:00\n\
             1,b,2025-01-03 00:00:00,2038-01-19 03:14:07\n",
        );
        let ledger = found.ledger.unwrap();
        assert_eq!(ledger.format.name(), "versions");
        let table = &ledger.tables[0];
        assert_eq!(table.columns, ["id", "x"]);
        assert_eq!(table.ops, [(Op::Insert, 2), (Op::Delete, 1)]);
    }

    /// Format, columns, ops and first line of the order, of a ledger that names no table or one.
    fn summary(name: &str, text: &str) -> (String, String, String, String) {
        let found = inspected(name, text);
        let ledger = found.ledger.unwrap();
        let table = &ledger.tables[0];
        let ops: Vec<String> = table.ops.iter().map(|(op, n)| format!("{n} {}", op.name())).collect();
        (ledger.format.name().to_owned(), table.columns.join(","), ops.join(","), found.remarks[0].clone())
    }

    fn same(found: &(String, String, String, String), format: &str, columns: &str, ops: &str, order: &str) {
        let expected = (format.to_owned(), columns.to_owned(), ops.to_owned(), format!("order: by {order}"));
        assert_eq!(*found, expected);
    }

    #[test]
    fn every_table_shaped_format_is_described() {
        let actions = "event_id,schema_name,table_name,transaction_id,action_tstamp_tx,action,row_data,changed_fields\n\
            1,public,t,5,2025-01-02 00:00:00+00,U,\"\"\"id\"\"=>\"\"7\"\", \"\"x\"\"=>\"\"a\"\"\",\"\"\"x\"\"=>\"\"b\"\"\"\n";
        same(&summary("a.csv", actions), "logged_actions", "id,x", "1 update", "event_id, by transaction");
        let memento = r#"{"row_log_id":1,"audit_id":7,"op_id":4,"table_name":"t","txid_time":"2025-01-02T00:00:00Z","old_data":{"x":1},"new_data":{"x":2}}
"#;
        let order = "number in the row log, by transaction";
        same(&summary("m.ndjson", memento), "pgmemento", "audit_id,x", "1 update", order);
        let cdc = "__$start_lsn,__$seqval,__$operation,__$update_mask,id,x\n\
            0x0000002A000001C80003,0x0000002A000001C80002,3,0x02,7,a\n\
            0x0000002A000001C80003,0x0000002A000001C80002,4,0x02,7,b\n";
        same(&summary("c.csv", cdc), "sqlserver-cdc", "id,x", "1 update", "commit and sequence LSN");
        let feed = "id,x,_change_type,_commit_version,_commit_timestamp\n7,a,insert,3,2025-01-02T00:00:00Z\n";
        same(&summary("f.csv", feed), "delta-cdf", "id,x", "1 insert", "commit version");
        let stream = "id,x,loaded_at,METADATA$ACTION,METADATA$ISUPDATE,METADATA$ROW_ID\n\
            7,a,2025-01-02T00:00:00Z,DELETE,false,r1\n";
        let fields = "Id,AccountId,CreatedDate,Field,OldValue,NewValue\nh1,a1,2025-01-02T00:00:00Z,Fax,1,2\n";
        let order = "time, and inside it by the chain of values";
        same(&summary("h.csv", fields), "salesforce-history", "AccountId,Fax", "1 update", order);
        same(&summary("s.csv", stream), "snowflake-stream", "id,x", "1 delete", "batch");
    }

    #[test]
    fn a_stream_of_json_changes_is_no_table() {
        let maxwell = r#"{"database":"d","table":"t","type":"insert","ts":1735776000,"xid":1,"commit":true,"data":{"id":7,"valid_from":"a","valid_to":"b"}}
"#;
        assert_eq!(inspected("x.ndjson", maxwell).ledger.unwrap().format.name(), "maxwell");
    }

    #[test]
    fn documents_in_columns_are_the_images_of_a_mapped_ledger() {
        let found = inspected(
            "audit.csv",
            "op,old_values,new_values,changed_at\n\
             UPDATE,\"{\"\"id\"\":7,\"\"x\"\":1}\",\"{\"\"id\"\":7,\"\"x\"\":2}\",2025-01-02T00:00:00Z\n",
        );
        let ledger = found.ledger.unwrap();
        assert_eq!(ledger.format.name(), "mapped");
        assert_eq!(ledger.tables[0].columns, ["id", "x"]);
        assert_eq!(ledger.tables[0].ops, [(Op::Update, 1)]);
    }

    #[test]
    fn what_lies_in_another_file_is_asked_for() {
        let found = inspected(
            "cdpos.csv",
            "CHANGENR,TABNAME,TABKEY,FNAME,CHNGIND,VALUE_NEW,VALUE_OLD\n1,T,7,NAME,U,a,b\n",
        );
        assert_eq!(found.ledger.unwrap().format.name(), "sap-changes");
        assert!(found.remarks[0].contains("CDHDR"), "{:?}", found.remarks);
    }

    #[test]
    fn usual_columns_of_postings_are_named() {
        let found = inspected("journal.csv", "account,posting_date,debit,credit\n1,2025-01-02,5.00,\n");
        assert!(found.ledger.is_none());
        let said = "may be postings (debit less credit, counting at posting_date)";
        assert!(found.remarks[0].starts_with(said), "{:?}", found.remarks);
    }
}
