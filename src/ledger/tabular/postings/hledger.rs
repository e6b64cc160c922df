//! The journal as `hledger print -O csv` prints it: one row per posting, `amount` signed.
//!
//! `credit` and `debit` repeat the amount by its sign and are not read. `txnidx` numbers the
//! transactions of one printout and is no identity beyond it.

use super::layout::{Preset, Usual};

pub(super) const PRESET: Preset = Preset {
    transaction: &[&["txnidx"]],
    id: &[],
    effective: &["date"],
    committed: &[],
    actor: &[],
    currency: &["commodity"],
    keys: &["account", "commodity"],
    amounts: &[Usual::Signed("amount")],
    opening: None,
    balanced: true,
    by_posting_date: true,
};

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n == name);
    ["txnidx", "date", "account", "amount", "commodity", "posting-status"].into_iter().all(has)
}
