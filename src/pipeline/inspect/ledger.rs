//! Decoding a ledger for its description.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::discover::Tables;
use super::{Coverage, InspectedTable};
use crate::error::Result;
use crate::ledger::{
    Carry, Clock, DecodeOptions, Format, Note, PositionKind, Stream, TableTarget, chunks, decode,
};
use crate::model::time::format_instant;
use crate::model::{CellState, ChangeBatch, Images, NO_TIME, Op, TableSchema};
use crate::pipeline::progress::Progress;
use crate::read::{InputFile, TableSource};

/// More remarks than this are only counted.
pub(super) const REMARKS_MAX: usize = 10;

/// What a ledger of JSON records holds.
pub(super) struct ReadLedger {
    pub(super) records: u64,
    pub(super) tables: Vec<InspectedTable>,
    pub(super) remarks: Vec<String>,
}

/// Decodes the whole file into text columns and describes what comes out.
pub(super) fn read(
    file: &InputFile,
    format: Format,
    tables: &Tables,
    progress: &dyn Progress,
) -> Result<ReadLedger> {
    let targets: Vec<TableTarget> = tables.iter().enumerate().map(target).collect();
    let mut tallies: Vec<Tally> = tables.iter().map(|(name, columns)| Tally::new(name, columns)).collect();
    // Without a table, times without offset would be refused; a description shows them as if UTC.
    let options =
        DecodeOptions { time_zone: Some(chrono_tz::Tz::UTC), as_text: true, ..DecodeOptions::default() };
    let mut carry = Carry::new();
    let mut records = 0;
    let mut notes = Vec::new();
    for chunk in chunks(file, format, &TableSource::default())? {
        let chunk = chunk?;
        let mut decoded = decode(format, &chunk, &targets, &options);
        carry.stitch(&mut decoded);
        // A binary log has no records but its rows.
        records += match format {
            Format::Binlog => decoded.changes.iter().map(|batch| batch.len() as u64).sum(),
            _ => chunk.count() as u64,
        };
        for (tally, batch) in tallies.iter_mut().zip(&decoded.changes) {
            tally.count(batch);
        }
        notes.extend(decoded.notes);
        progress.advance(chunk.size() as u64);
    }
    let stream = carry.finish(&options);
    notes.extend(stream.notes.iter().cloned());
    let mut described: Vec<InspectedTable> = tallies.into_iter().map(Tally::finish).collect();
    // Tables that first occur behind the records that were looked at.
    for (name, (target, changes)) in &stream.tables {
        if target.is_none() && *changes > 0 {
            described.push(InspectedTable { changes: *changes, ..Tally::new(name, &[]).finish() });
        }
    }
    let mut said = nature(format, &stream, &described);
    said.extend(remarks(&notes));
    Ok(ReadLedger { records, tables: described, remarks: said })
}

/// What orders the ledger, what its times are, and what it cannot tell.
pub(super) fn nature(format: Format, stream: &Stream, tables: &[InspectedTable]) -> Vec<String> {
    let order = match &stream.positions {
        None | Some(PositionKind::Ordinal) => {
            "as delivered; a record that comes again is not known".to_owned()
        }
        Some(kind) => format!("by {}", order_field(format, kind)),
    };
    let clock = match (stream.clock, stream.whole_seconds) {
        (None, _) => "none recorded".to_owned(),
        (Some(clock), whole) => {
            let clock = match clock {
                Clock::Commit => "of the commit",
                Clock::Statement => "of the statement or the message",
                Clock::Start => "of the start of the transaction",
                Clock::Declared => "as recorded",
            };
            format!("{clock}{}", if whole { ", in whole seconds" } else { "" })
        }
    };
    let mut said = vec![format!("order: {order}"), format!("times: {clock}")];
    for table in tables {
        let changed = table.ops.iter().filter(|(op, _)| matches!(op, Op::Update | Op::Delete | Op::Upsert));
        let changed: u64 = changed.map(|(_, count)| count).sum();
        if changed > table.before.whole {
            said.push(format!(
                "{}{} of {changed} updates and deletes lack the whole row before them",
                if table.name.is_empty() { String::new() } else { format!("{}: ", table.name) },
                changed - table.before.whole
            ));
        }
    }
    said.extend(untold(format).iter().map(|what| format!("not in this format: {what}")));
    said
}

fn order_field(format: Format, kind: &PositionKind) -> &'static str {
    match (format, kind) {
        (Format::LoggedActions, _) => "event_id, by transaction",
        (Format::RecordVersion, _) => "id, by transaction",
        (Format::PgMemento, _) => "number in the row log, by transaction",
        (Format::Versions, PositionKind::Number) => "begin and end of versions, which are sequence numbers",
        (Format::Versions, _) => "begin and end of versions",
        (Format::SqlServerCdc, _) => "commit and sequence LSN",
        (Format::DeltaCdf, _) => "commit version",
        (Format::SnowflakeStream, _) => "batch",
        (Format::SapChanges, PositionKind::Number) => "change number",
        (format, _) if format.is_field_history() => "time, and inside it by the chain of values",
        (_, PositionKind::Lsn | PositionKind::DebeziumLsn) => "log sequence number",
        (_, PositionKind::Binlog(_)) => "binary log file, offset and row",
        (_, PositionKind::ChangeLsn) => "commit and change sequence number",
        (_, PositionKind::Scn) => "system change number",
        (_, PositionKind::Tso) => "commit time stamp",
        (_, PositionKind::Sequence) => "sequence number",
        _ => "position",
    }
}

/// What a format never records.
fn untold(format: Format) -> &'static [&'static str] {
    match format {
        Format::Binlog => &["rows that a foreign key cascades to"],
        Format::Maxwell => &["truncates"],
        Format::DebeziumFlat => &["rows before a change"],
        Format::DynamoDb => &["transactions"],
        Format::Dms => &["which nulls stand for values that were not logged"],
        Format::LoggedActions => &["commit times", "excluded columns, and updates of them alone"],
        Format::RecordVersion => &["commit times", "the sign of zeros", "a JSON null apart from an SQL null"],
        Format::PgMemento => &["commit times"],
        Format::Versions => {
            &["whether a missing version was lost or the row was away", "what one transaction is"]
        }
        Format::SqlServerCdc => &["commit times, unless lsn_time_mapping is joined or lies beside it"],
        Format::DeltaCdf => &["the order inside a commit"],
        Format::SalesforceHistory => {
            &["deletions", "fields without tracking", "long texts and encrypted values"]
        }
        Format::ServiceNowAudit => &["fields without auditing", "most insertions"],
        Format::SapChanges => &["fields without change documents", "long texts"],
        Format::JiraChangelog => &["deletions", "whole values of fields with several elements"],
        Format::SnowflakeStream => &["what came and went between two batches", "commit times"],
        _ => &[],
    }
}

fn target((index, (name, columns)): (usize, (&String, &Vec<String>))) -> TableTarget {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(c, DataType::Utf8, true)).collect();
    let names = if name.is_empty() { Vec::new() } else { vec![name.clone()] };
    TableTarget { dataset: index, names, schema: TableSchema::new(Arc::new(Schema::new(fields)), Vec::new()) }
}

pub(super) fn remarks(notes: &[Note]) -> Vec<String> {
    let said = notes.iter().take(REMARKS_MAX).map(|note| match note.once {
        true => format!("{}: {}", note.kind, note.message),
        false => format!("record {}: {}: {}", note.record, note.kind, note.message),
    });
    let more = notes.len().saturating_sub(REMARKS_MAX);
    said.chain((more > 0).then(|| format!("… and {more} more"))).collect()
}

/// What is counted of one table's changes.
pub(super) struct Tally {
    name: String,
    columns: Vec<String>,
    ops: [u64; Op::ALL.len()],
    first: Option<i64>,
    last: Option<i64>,
    before: Side,
    after: Side,
}

impl Tally {
    pub(super) fn new(name: &str, columns: &[String]) -> Self {
        let side = || Side { images: 0, whole: 0, stated: vec![false; columns.len()] };
        Self {
            name: name.to_owned(),
            columns: columns.to_vec(),
            ops: [0; Op::ALL.len()],
            first: None,
            last: None,
            before: side(),
            after: side(),
        }
    }

    pub(super) fn count(&mut self, batch: &ChangeBatch) {
        for &op in &batch.ops {
            if let Some(count) = self.ops.get_mut(usize::from(op)) {
                *count += 1;
            }
        }
        for &time in batch.committed_at.iter().filter(|t| **t != NO_TIME) {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        self.before.count(&batch.before, batch.len());
        self.after.count(&batch.after, batch.len());
    }

    pub(super) fn finish(self) -> InspectedTable {
        InspectedTable {
            changes: self.ops.iter().sum(),
            ops: Op::ALL.into_iter().zip(self.ops).filter(|(_, count)| *count > 0).collect(),
            window: (self.first.map(format_instant), self.last.map(format_instant)),
            before: self.before.finish(&self.columns),
            after: self.after.finish(&self.columns),
            name: self.name,
            columns: self.columns,
        }
    }
}

struct Side {
    images: u64,
    whole: u64,
    stated: Vec<bool>,
}

impl Side {
    fn count(&mut self, images: &Images, rows: usize) {
        for row in (0..rows).filter(|&row| images.is_present(row)) {
            self.images += 1;
            let mut whole = true;
            for (column, stated) in self.stated.iter_mut().enumerate() {
                match images.state(column, row) {
                    CellState::Known | CellState::AmbiguousNull => *stated = true,
                    CellState::Unchanged | CellState::Absent => whole = false,
                }
            }
            self.whole += u64::from(whole);
        }
    }

    fn finish(self, columns: &[String]) -> Coverage {
        let unstated = columns.iter().zip(&self.stated).filter(|(_, stated)| !**stated);
        let never = if self.images == 0 { Vec::new() } else { unstated.map(|(c, _)| c.clone()).collect() };
        Coverage { images: self.images, whole: self.whole, never }
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::inspect::tests::inspected;

    #[test]
    fn a_mapped_ledger_is_described_by_its_images() {
        let found = inspected(
            "ledger.ndjson",
            r#"{"seq":1,"op":"I","committed_at":"2025-01-01T00:00:00Z","before":null,"after":{"id":1,"x":"a"}}
{"seq":2,"op":"U","committed_at":"2025-02-01T00:00:00Z","before":{"id":1},"after":{"id":1,"x":"b"}}
"#,
        );
        let ledger = found.ledger.unwrap();
        assert_eq!(ledger.format.name(), "mapped");
        let table = &ledger.tables[0];
        assert_eq!(table.columns, ["id", "x"]);
        assert_eq!(table.changes, 2);
        assert_eq!(table.window.1.as_deref(), Some("2025-02-01T00:00:00Z"));
        assert_eq!((table.after.images, table.after.whole), (2, 2));
        assert_eq!((table.before.images, table.before.whole), (1, 0));
        assert_eq!(table.before.never, ["x"]);
    }

    #[test]
    fn records_without_images_are_a_table() {
        let found = inspected("table.ndjson", "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n");
        assert!(found.ledger.is_none());
        assert_eq!(found.rows, 2);
        assert_eq!(found.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id", "name"]);
    }

    #[test]
    fn a_table_with_images_in_its_columns_is_a_ledger_too() {
        let prefixed = "seq,op,committed_at,old_id,old_x,new_id,new_x\n\
            1,I,2025-01-01T00:00:00Z,,,1,a\n2,D,2025-02-01T00:00:00Z,1,a,,\n";
        let ledger = inspected("ledger.csv", prefixed).ledger.unwrap();
        let table = &ledger.tables[0];
        assert_eq!(table.columns, ["id", "x"]);
        assert_eq!(table.ops, [(crate::model::Op::Insert, 1), (crate::model::Op::Delete, 1)]);
        assert_eq!(table.window.0.as_deref(), Some("2025-01-01T00:00:00Z"));
    }

    #[test]
    fn a_text_table_says_why_its_columns_have_their_types() {
        let found = inspected("table.csv", "id,code\n1,007\n2,010\n");
        assert_eq!(found.columns[1].data_type, "Utf8");
        assert!(found.columns[1].reason.is_some());
    }
}
