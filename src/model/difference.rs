//! What makes the total of a measure by the ledger differ from the current one.

use super::{Cause, Discrepancy};

/// By how much the current total of a measure differs from what the ledger last knew, and why:
/// `ledger + difference = current`, and the causes and what is unexplained add up to the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureDifference {
    /// The dataset.
    pub dataset: String,
    /// The column.
    pub measure: String,
    /// The total of the last known value of each row, exact decimal text: that of rows that the
    /// ledger never mentions is the current one. `None` where the current total is not known.
    pub ledger: Option<String>,
    /// The current total; `None` where it was not added up.
    pub current: Option<String>,
    /// Current minus ledger.
    pub difference: String,
    /// What explains it, the largest amount first.
    pub causes: Vec<CauseShare>,
    /// What no cause explains.
    pub unexplained: String,
    /// Rows that differ by an amount that is not known, and is in none of the figures.
    pub unknown: u64,
    /// From which amount on a finding is material, if the plan says so.
    pub materiality: Option<String>,
    /// The findings with the largest amounts, these first; at most 50.
    pub largest: Vec<Discrepancy>,
}

/// One cause's part of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseShare {
    /// Why.
    pub cause: Cause,
    /// How much, exact decimal text.
    pub amount: String,
    /// By how many findings.
    pub findings: u64,
    /// How many of these are material.
    pub material: u64,
    /// Rows whose amount is not known.
    pub unknown: u64,
}
