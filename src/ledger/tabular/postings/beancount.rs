//! Postings as `bean-query -f csv` prints them: `SELECT id, date, account, number, currency`.
//!
//! `number` is signed as Beancount signs it: assets and expenses positive, income,
//! liabilities and equity negative. `id` is a hash of the transaction's content, shared by
//! its postings. Entries that `pad` creates are postings like any other.

use super::layout::{Preset, Usual};

pub(super) const PRESET: Preset = Preset {
    transaction: &[&["id"]],
    id: &[],
    effective: &["date"],
    committed: &[],
    actor: &[],
    currency: &["currency"],
    keys: &["account", "currency"],
    amounts: &[Usual::Signed("number")],
    opening: None,
    balanced: true,
    by_posting_date: true,
};

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n.trim() == name);
    ["id", "date", "account", "number", "currency"].into_iter().all(has)
}
