//! pgMemento: `row_log` joined with `table_event_log` and `transaction_log`.
//!
//! Of an update `old_data` holds the changed columns alone, so every other column is
//! untouched; of a delete or a truncate it holds the whole row. New values are
//! logged only if that is switched on. Rows are identified by `audit_id`, a
//! column of the audited table itself, so that column must be the dataset's key.

use super::super::decode::Clock;
use super::images::{Layout, Shape, Word};
use super::raw::Raw;
use crate::error::Result;
use crate::model::Op;
use crate::plan::Ledger;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n == name);
    has("audit_id") && has("old_data") && (has("op_id") || has("table_operation"))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger) -> Result<Layout> {
    let declared = &ledger.columns;
    let audit_id = raw.require(None, &["audit_id"], "the column audit_id", "position")?;
    let ops = ["op_id", "table_operation"];
    let times = ["txid_time", "stmt_time"];
    let committed_at = raw.find(declared.committed_at.as_ref(), &times)?;
    let starts = committed_at.is_some_and(|c| raw.names()[c] == "txid_time");
    Ok(Layout {
        op: Some(raw.require(declared.op.as_ref(), &ops, "the column op_id or table_operation", "op")?),
        schema: raw.find(None, &["schema_name"])?,
        table: raw.find(declared.table.as_ref(), &["table_name"])?,
        position: raw.find(declared.position.as_ref(), &["row_log_id", "row_id", "id"])?,
        transaction: raw.find(declared.transaction.as_ref(), &["transaction_id", "txid"])?,
        committed_at,
        actor: raw.find(declared.actor.as_ref(), &["user_name"])?,
        statement_only: None,
        first: raw.find(declared.before.as_ref(), &["old_data"])?,
        second: raw.find(declared.after.as_ref(), &["new_data"])?,
        beside: Some((audit_id, "audit_id".to_owned())),
        shape: Shape::Changed,
        jsonb: true,
        clock: if starts { Clock::Start } else { Clock::Statement },
        ops: ledger.ops.clone(),
        word,
    })
}

fn word(word: &str) -> Word {
    match word.to_ascii_uppercase().as_str() {
        "3" | "INSERT" => Word::Op(Op::Insert),
        "4" | "UPDATE" => Word::Op(Op::Update),
        // A truncate and the end of a table log every row that went.
        "7" | "DELETE" | "8" | "TRUNCATE" | "9" | "DROP TABLE" => Word::Op(Op::Delete),
        "2" | "ADD COLUMN" | "22" | "RENAME COLUMN" | "5" | "ALTER COLUMN" | "6" | "DROP COLUMN" | "12"
        | "RENAME TABLE" => Word::Drift,
        "1" | "CREATE TABLE" | "RECREATE TABLE" | "11" | "REINIT TABLE" | "21" | "ADD AUDIT_ID" | "81"
        | "DROP AUDIT_ID" => Word::Control,
        _ => Word::Unknown,
    }
}
