//! Deliveries as text: mapped NDJSON, Debezium, wal2json and CSV.

use std::collections::BTreeMap;

use super::super::delivery::{Delivery, Image, Record};
use super::super::value::{JsonDialect, Kind, TableDef, quoted};
use crate::model::Op;
use crate::model::time::format_instant;

impl Delivery {
    /// The current rows of a table as CSV with a header. Null is the unquoted empty field, text is quoted.
    pub fn csv(&self, table: usize) -> String {
        let columns = &self.tables[table].columns;
        let header: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let mut text = header.join(",") + "\n";
        for row in &self.current[table] {
            let fields: Vec<String> = columns.iter().zip(row.iter()).map(|(c, v)| c.kind.csv(v)).collect();
            text += &fields.join(",");
            text.push('\n');
        }
        text
    }

    /// The ledger of a table as NDJSON: `seq, commit_seq, txid, committed_at, op, actor, before, after`. Cells that
    /// are not known are left out of the images.
    pub fn mapped_ndjson(&self, table: usize) -> String {
        self.of(table).map(|(_, record)| self.mapped_record(record) + "\n").collect()
    }

    fn mapped_record(&self, record: &Record) -> String {
        let table = &self.tables[record.table];
        let image = |image: &Option<Image>| object(table, image.as_ref(), JsonDialect::Mapped);
        format!(
            r#"{{"seq":{},"commit_seq":{},"txid":{},"committed_at":"{}","op":"{}","actor":{},"before":{},"after":{}}}"#,
            record.position,
            record.commit_position,
            record.transaction,
            format_instant(record.committed_at),
            record.op.name(),
            quoted(&record.actor),
            image(&record.before),
            image(&record.after),
        )
    }

    /// The whole ledger as Debezium envelopes without schemas, as its PostgreSQL connector writes them.
    pub fn debezium(&self) -> String {
        let mut commits: Vec<u64> = self.records.iter().map(|r| r.commit_position).collect();
        commits.sort_unstable();
        commits.dedup();
        // `sequence` names the last commit before the transaction, not its own.
        let before: BTreeMap<u64, u64> =
            commits.iter().copied().zip(std::iter::once(0).chain(commits.iter().copied())).collect();
        let last_commit = |r: &Record| before.get(&r.commit_position).copied().unwrap_or_default();
        self.records.iter().map(|r| self.debezium_record(r, last_commit(r)) + "\n").collect()
    }

    fn debezium_record(&self, record: &Record, last_commit: u64) -> String {
        let table = &self.tables[record.table];
        let image = |image: &Option<Image>| object(table, image.as_ref(), JsonDialect::Debezium);
        let op = match record.op {
            Op::Insert => "c",
            Op::Update | Op::Upsert => "u",
            Op::Delete => "d",
            Op::Truncate => "t",
            Op::Read => "r",
        };
        let source = format!(
            concat!(
                r#"{{"version":"3.1.0.Final","connector":"postgresql","name":"erp","ts_ms":{ms},"snapshot":"{snapshot}","#,
                r#""db":"erp","sequence":"[\"{last}\",\"{lsn}\"]","ts_us":{us},"ts_ns":{ns},"schema":"public","#,
                r#""table":{table},"txId":{tx},"lsn":{lsn},"xmin":null}}"#
            ),
            ms = record.committed_at / 1_000_000,
            us = record.committed_at / 1_000,
            ns = record.committed_at,
            snapshot = record.op == Op::Read,
            last = last_commit,
            lsn = record.position,
            table = quoted(&table.name),
            tx = record.transaction,
        );
        format!(
            r#"{{"before":{},"after":{},"source":{source},"transaction":null,"op":"{op}","ts_ms":{}}}"#,
            image(&record.before),
            image(&record.after),
            record.committed_at / 1_000_000 + 350,
        )
    }

    /// The whole ledger as wal2json format 2 with begin and commit markers. Records must be in commit order;
    /// initial reads, which this format lacks, are left out.
    pub fn wal2json(&self) -> String {
        let mut text = String::new();
        let records: Vec<&Record> = self.records.iter().filter(|r| r.op != Op::Read).collect();
        for transaction in records.chunk_by(|a, b| a.transaction == b.transaction) {
            let Some(last) = transaction.last() else { continue };
            let stamp = format!(
                r#""xid":{},"timestamp":{}"#,
                last.transaction,
                quoted(&Kind::Timestamp.plain(&super::super::value::Value::Int(last.committed_at / 1000)))
            );
            let lsns = format!(
                r#""lsn":"{}","nextlsn":"{}""#,
                lsn(last.commit_position),
                lsn(last.commit_position + 4)
            );
            text += &format!("{{\"action\":\"B\",{stamp},{lsns}}}\n");
            for record in transaction {
                text += &format!("{{{}}}\n", self.wal2json_change(record, &stamp));
            }
            text += &format!("{{\"action\":\"C\",{stamp},{lsns}}}\n");
        }
        text
    }

    fn wal2json_change(&self, record: &Record, stamp: &str) -> String {
        let table = &self.tables[record.table];
        let action = match record.op {
            Op::Insert | Op::Read => "I",
            Op::Update | Op::Upsert => "U",
            Op::Delete => "D",
            Op::Truncate => "T",
        };
        let mut text = format!(
            r#""action":"{action}",{stamp},"lsn":"{}","schema":"public","table":{}"#,
            lsn(record.position),
            quoted(&table.name)
        );
        if let Some(after) = &record.after {
            text += &format!(r#","columns":{}"#, wal2json_columns(table, after, |_| true));
        }
        match (&record.before, &record.after) {
            (Some(before), _) => {
                text += &format!(r#","identity":{}"#, wal2json_columns(table, before, |_| true));
            }
            (None, Some(after)) if record.op == Op::Update => {
                let key = wal2json_columns(table, after, |c| table.key.contains(&c));
                text += &format!(r#","identity":{key}"#);
            }
            _ => {}
        }
        text
    }
}

fn object(table: &TableDef, image: Option<&Image>, dialect: JsonDialect) -> String {
    let Some(image) = image else { return "null".to_owned() };
    let member = |i: usize, kind: Kind, name: &str| {
        image.known(i).map(|value| format!("{}:{}", quoted(name), kind.json(value, dialect)))
    };
    let members: Vec<String> =
        table.columns.iter().enumerate().filter_map(|(i, c)| member(i, c.kind, &c.name)).collect();
    format!("{{{}}}", members.join(","))
}

fn wal2json_columns(table: &TableDef, image: &Image, wanted: impl Fn(usize) -> bool) -> String {
    let column = |i: usize| {
        let c = &table.columns[i];
        let value = c.kind.json(image.known(i)?, JsonDialect::Wal2json);
        Some(format!(r#"{{"name":{},"type":"{}","value":{value}}}"#, quoted(&c.name), postgres_type(c.kind)))
    };
    let columns: Vec<String> = (0..table.columns.len()).filter(|&i| wanted(i)).filter_map(column).collect();
    format!("[{}]", columns.join(","))
}

fn postgres_type(kind: Kind) -> String {
    match kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Small => "smallint".to_owned(),
        Kind::Int => "bigint".to_owned(),
        Kind::Decimal(precision, scale) => format!("numeric({precision},{scale})"),
        Kind::Float => "double precision".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Uuid => "uuid".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Timestamp => "timestamp with time zone".to_owned(),
        Kind::LocalTimestamp => "timestamp without time zone".to_owned(),
        Kind::Binary => "bytea".to_owned(),
        Kind::TextList => "text[]".to_owned(),
    }
}

/// A position as PostgreSQL prints it: two hexadecimal halves.
fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}
