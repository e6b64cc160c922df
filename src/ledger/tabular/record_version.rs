//! `audit.record_version`: a trigger's table with the whole row before and after as jsonb.
//!
//! Its one clock, `ts`, is the start of the transaction, and it names no
//! transaction: rows of one start are taken as one, which is so unless two
//! transactions began in the same microsecond. An export with a transaction
//! id beside (`xmin::text as transaction_id`) is exact; it is used if it is there.

use super::super::decode::Clock;
use super::images::{Layout, Shape, Word};
use super::raw::Raw;
use crate::error::Result;
use crate::model::Op;
use crate::plan::Ledger;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    ["op", "table_name", "record", "old_record"].iter().all(|name| names.iter().any(|n| n == name))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger) -> Result<Layout> {
    let declared = &ledger.columns;
    let committed_at = raw.find(declared.committed_at.as_ref(), &["ts"])?;
    Ok(Layout {
        op: Some(raw.require(declared.op.as_ref(), &["op"], "the column of ops", "op")?),
        schema: raw.find(None, &["table_schema"])?,
        table: raw.find(declared.table.as_ref(), &["table_name"])?,
        position: raw.find(declared.position.as_ref(), &["id"])?,
        transaction: raw
            .find(declared.transaction.as_ref(), &["transaction_id", "txid", "xid", "xmin"])?
            .or(committed_at),
        committed_at,
        actor: raw.find(declared.actor.as_ref(), &["auth_uid", "auth_role"])?,
        statement_only: None,
        first: Some(raw.require(declared.before.as_ref(), &["old_record"], "old records", "before")?),
        second: Some(raw.require(declared.after.as_ref(), &["record"], "new records", "after")?),
        beside: None,
        shape: Shape::Sides,
        jsonb: true,
        clock: Clock::Start,
        ops: ledger.ops.clone(),
        word,
    })
}

fn word(word: &str) -> Word {
    match word.to_ascii_uppercase().as_str() {
        "INSERT" => Word::Op(Op::Insert),
        "UPDATE" => Word::Op(Op::Update),
        "DELETE" => Word::Op(Op::Delete),
        "TRUNCATE" => Word::Op(Op::Truncate),
        "SNAPSHOT" => Word::Op(Op::Read),
        _ => Word::Unknown,
    }
}
