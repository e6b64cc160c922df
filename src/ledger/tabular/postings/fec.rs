//! The French ledger file (fichier des écritures comptables, A47 A-1 of the LPF): 18 columns
//! in fixed order, separated by tabs or bars, amounts as debit and credit or as amount and
//! direction (`Montant`, `Sens`), dates as `YYYYMMDD`.
//!
//! A document is numbered within its journal, so both together are the transaction.
//! `EcritureDate` is the posting date; `ValidDate`, the day on which the entry was made
//! unalterable, is the nearest thing to a commit.

use super::layout::{Preset, Usual};

pub(super) const PRESET: Preset = Preset {
    transaction: &[&["JournalCode"], &["EcritureNum"]],
    id: &[],
    effective: &["EcritureDate"],
    committed: &["ValidDate"],
    actor: &[],
    currency: &[],
    keys: &["CompteNum", "CompAuxNum"],
    amounts: &[Usual::Sides("Debit", "Credit"), Usual::Flagged("Montant", "Sens")],
    opening: None,
    balanced: true,
    by_posting_date: true,
};

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n.trim().eq_ignore_ascii_case(name));
    ["JournalCode", "EcritureNum", "EcritureDate", "CompteNum"].into_iter().all(has)
}
