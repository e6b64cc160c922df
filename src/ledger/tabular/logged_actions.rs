//! `audit.logged_actions`: a trigger's table with the row as hstore and the changed fields over it.
//!
//! For an insert `row_data` is the new row, for an update and a delete the old one;
//! `changed_fields` holds the new values of an update. Key columns are not marked,
//! the plan names them. The order is `event_id`, the order of execution; the
//! commit time is not recorded. The latest `action_tstamp_clk` of a transaction is
//! the nearest to it, so transactions are cut by that, and those that span the
//! moment are told.

use super::super::decode::Clock;
use super::images::{Layout, Shape, Word};
use super::raw::Raw;
use crate::error::Result;
use crate::model::Op;
use crate::plan::Ledger;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    ["event_id", "table_name", "action", "row_data", "changed_fields"]
        .iter()
        .all(|name| names.iter().any(|n| n == name))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger) -> Result<Layout> {
    let declared = &ledger.columns;
    let clocks = ["action_tstamp_clk", "action_tstamp_stm", "action_tstamp_tx", "action_tstamp"];
    let committed_at = raw.find(declared.committed_at.as_ref(), &clocks)?;
    let starts = committed_at.is_some_and(|c| raw.names()[c] == "action_tstamp_tx");
    Ok(Layout {
        op: Some(raw.require(declared.op.as_ref(), &["action"], "the column of actions", "op")?),
        schema: raw.find(None, &["schema_name"])?,
        table: raw.find(declared.table.as_ref(), &["table_name"])?,
        position: raw.find(declared.position.as_ref(), &["event_id"])?,
        transaction: raw.find(declared.transaction.as_ref(), &["transaction_id"])?,
        committed_at,
        actor: raw.find(declared.actor.as_ref(), &["session_user_name"])?,
        statement_only: raw.find(None, &["statement_only"])?,
        first: Some(raw.require(declared.before.as_ref(), &["row_data"], "the column of rows", "before")?),
        second: raw.find(declared.after.as_ref(), &["changed_fields"])?,
        beside: None,
        shape: Shape::Overlay,
        jsonb: true,
        clock: if starts { Clock::Start } else { Clock::Statement },
        ops: ledger.ops.clone(),
        word,
    })
}

fn word(word: &str) -> Word {
    match word {
        "I" | "i" => Word::Op(Op::Insert),
        "U" | "u" => Word::Op(Op::Update),
        "D" | "d" => Word::Op(Op::Delete),
        "T" | "t" => Word::Op(Op::Truncate),
        _ => Word::Unknown,
    }
}
