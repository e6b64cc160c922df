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
    /// All of them, by rising strength.
    pub const ALL: [Self; 6] = [
        Self::Unchanged,
        Self::Restored,
        Self::Inferred,
        Self::NotCovered,
        Self::Unrecoverable,
        Self::Contradicted,
    ];

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
