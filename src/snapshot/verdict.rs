//! How sure the snapshot is of a row or a cell.

/// How sure the snapshot is, the strongest that applies. Greater is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing was undone, the ledger agrees, coverage holds.
    Unchanged,
    /// Undone along an intact chain.
    Restored,
    /// Some cell was filled from an earlier after image, or stands for a value the log cannot express.
    Inferred,
    /// The ledger carries no evidence.
    NotCovered,
    /// Some cell is stated by nothing.
    Unrecoverable,
    /// Ledger and current state, or the ledger and itself, disagree.
    Contradicted,
}

impl Verdict {
    /// The word for it, as used in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Restored => "restored",
            Self::Inferred => "inferred",
            Self::NotCovered => "not-covered",
            Self::Unrecoverable => "unrecoverable",
            Self::Contradicted => "contradicted",
        }
    }
}

/// The verdict on one touched key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVerdict {
    /// The key as `column=value` pairs.
    pub key: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the snapshot has the row; `None` if that cannot be known.
    pub present: Option<bool>,
    /// Which record supplies the row: `file:record`, or `current`.
    pub source: Option<String>,
}

/// The verdict on one cell that is not exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellVerdict {
    /// The key of its row.
    pub key: String,
    /// The column.
    pub column: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Which record supplies the cell, if any does.
    pub source: Option<String>,
}
