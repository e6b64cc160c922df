//! [`Discrepancy`]: one thing that does not tie, with kind, severity, place and evidence.

use std::fmt;

use super::Cause;

/// How bad a discrepancy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// The result rests on an assumption or an inference.
    Warning,
    /// Ledger and current state contradict each other or themselves.
    Error,
}

impl Severity {
    /// The word for it, as used in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $severity:ident;)+) => {
        /// The kind of a discrepancy. Codes are stable and part of the output contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DiscrepancyKind {
            $($(#[$doc])* $variant,)+
        }

        impl DiscrepancyKind {
            /// Every kind, in the order in which they are reported.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable code, for instance `chain-break`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

kinds! {
    /// The current row is not the ledger's last known image.
    CurrentDiffers = "current-differs", Error;
    /// The ledger says the row exists, the current state does not have it.
    CurrentMissing = "current-missing", Error;
    /// The ledger says the row is deleted (or, from birth, never was), the current state has it.
    CurrentUnexpected = "current-unexpected", Error;
    /// A before image is not the last known image of that life.
    ChainBreak = "chain-break", Error;
    /// An insert of a row that already exists.
    InsertOverExisting = "insert-over-existing", Error;
    /// An update of a row that does not exist.
    UpdateOfAbsent = "update-of-absent", Error;
    /// A delete of a row that does not exist.
    DeleteOfAbsent = "delete-of-absent", Error;
    /// A repeated position with other content.
    ConflictingDuplicate = "conflicting-duplicate", Error;
    /// A recorded hash chain does not verify.
    HashChainBreak = "hash-chain-break", Error;
    /// Forward from the opening and backward from the current state do not meet.
    OpeningDiffers = "opening-differs", Error;
    /// A tie-out fails.
    TotalMismatch = "total-mismatch", Error;
    /// Debits and credits of a transaction differ.
    UnbalancedTransaction = "unbalanced-transaction", Error;
    /// A cell of the snapshot that nothing in the inputs states.
    UnrecoverableValue = "unrecoverable-value", Error;
    /// Rows of a truncated table were refilled from the ledger, or could not be.
    TruncatedTable = "truncated-table", Error;
    /// Positions that should be dense are not, or a transaction's own record count is not met.
    SequenceGap = "sequence-gap", Error;
    /// A row whose key is null.
    NullKey = "null-key", Error;
    /// Several current rows with one key.
    DuplicateKey = "duplicate-key", Error;
    /// A record that cannot be understood, set aside with its place.
    UnparsableRecord = "unparsable-record", Error;
    /// A ledger value that does not fit the column's type exactly.
    LossyValue = "lossy-value", Error;
    /// A reference to a row that is not in the snapshot.
    OrphanReference = "orphan-reference", Error;
    /// Two versions of one row overlap in time.
    OverlappingVersions = "overlapping-versions", Error;
    /// A version ends before it begins.
    ReversedInterval = "reversed-interval", Error;
    /// A cell was filled from an earlier after image.
    InferredValue = "inferred-value", Warning;
    /// A null that its producer also writes for values it cannot express.
    AmbiguousNull = "ambiguous-null", Warning;
    /// A column that no image carries.
    ColumnNotCovered = "column-not-covered", Warning;
    /// A bound of the window or the extract moment is an assumption.
    CoverageAssumed = "coverage-assumed", Warning;
    /// The current state matches an earlier ledger position.
    ExtractSkew = "extract-skew", Warning;
    /// A transaction that lies on both sides of the as-of under some clock.
    AmbiguousCut = "ambiguous-cut", Warning;
    /// Commit times go backwards along the order.
    TimeRegression = "time-regression", Warning;
    /// Effective in a closed period, committed after it.
    LatePosting = "late-posting", Warning;
    /// The ledger's columns or types changed on the way.
    SchemaDrift = "schema-drift", Warning;
    /// A ledger column that the current state does not have.
    UnknownColumn = "unknown-column", Warning;
    /// Two versions of one row leave a hole in time.
    HoleBetweenVersions = "hole-between-versions", Warning;
    /// A version that begins after the extract moment.
    FutureVersion = "future-version", Warning;
    /// A redelivered change, dropped.
    DuplicateChange = "duplicate-change", Info;
    /// A change whose before equals its after.
    NoOpChange = "no-op-change", Info;
}

impl DiscrepancyKind {
    /// The cause that the kind alone tells; evidence may tell more.
    pub fn cause(self) -> Cause {
        match self {
            Self::CurrentDiffers => Cause::UnloggedOrAltered,
            Self::CurrentMissing | Self::CurrentUnexpected => Cause::Unlogged,
            Self::ChainBreak | Self::UpdateOfAbsent | Self::DeleteOfAbsent => Cause::RemovedOrAltered,
            Self::InsertOverExisting => Cause::RemovedOrRedelivered,
            Self::ConflictingDuplicate | Self::HashChainBreak => Cause::AlteredRecord,
            Self::OpeningDiffers => Cause::OpeningOrRemoved,
            Self::TotalMismatch => Cause::StatedFigure,
            Self::UnbalancedTransaction => Cause::UnbalancedEntry,
            Self::SequenceGap => Cause::RemovedRecord,
            Self::UnrecoverableValue | Self::InferredValue | Self::AmbiguousNull | Self::ColumnNotCovered => {
                Cause::SourceLimits
            }
            Self::TruncatedTable | Self::CoverageAssumed => Cause::Coverage,
            Self::NullKey | Self::DuplicateKey | Self::UnparsableRecord | Self::LossyValue => {
                Cause::InputDamage
            }
            Self::OverlappingVersions | Self::ReversedInterval | Self::HoleBetweenVersions => {
                Cause::InputDamage
            }
            Self::OrphanReference => Cause::MissingReference,
            Self::ExtractSkew | Self::FutureVersion => Cause::ExtractMoment,
            Self::AmbiguousCut | Self::TimeRegression => Cause::Clock,
            Self::LatePosting => Cause::LatePosting,
            Self::SchemaDrift | Self::UnknownColumn => Cause::SchemaDrift,
            Self::DuplicateChange => Cause::Redelivery,
            Self::NoOpChange => Cause::NoEffect,
        }
    }
}

impl fmt::Display for DiscrepancyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where in the ledger something stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerPlace {
    /// Path of the file, as given.
    pub file: String,
    /// Number of the record in the file, from 1.
    pub record: u64,
    /// The source's own position, in its own notation.
    pub position: Option<String>,
    /// The transaction id, in the ledger's own notation.
    pub transaction: Option<String>,
    /// Commit time, RFC 3339.
    pub committed_at: Option<String>,
    /// Who did it, if recorded.
    pub actor: Option<String>,
}

/// Where in the current state something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentPlace {
    /// Path of the file, as given.
    pub file: String,
    /// Number of the row in the file, from 1.
    pub row: u64,
}

/// One column that does not tie: what one side says and what the other says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellDifference {
    /// The column.
    pub column: String,
    /// The exact text of the expected value; `None` is null.
    pub expected: Option<String>,
    /// The exact text of the value found; `None` is null.
    pub found: Option<String>,
}

/// One thing that does not tie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// What kind of thing.
    pub kind: DiscrepancyKind,
    /// The dataset; empty if it concerns the whole run.
    pub dataset: String,
    /// The key as `column=value` pairs, exact text; empty if it concerns no row.
    pub key: String,
    /// Place in the ledger, if there is one.
    pub ledger: Option<LedgerPlace>,
    /// Place in the current state, if there is one.
    pub current: Option<CurrentPlace>,
    /// Columns that differ, with both values.
    pub cells: Vec<CellDifference>,
    /// What happened, in one sentence: candidate causes in order of likelihood,
    /// and what would decide between them.
    pub message: String,
    /// How many like this one it stands for (echoes, counts per column); at least 1.
    pub count: u64,
    /// Whether it touches the snapshot asked for.
    pub touches_snapshot: bool,
    /// Per measure, found minus expected, as exact decimal text, or a word if that is not known.
    pub amounts: Vec<(String, String)>,
    /// Per measure, by how much it makes the current total differ from the ledger's last known
    /// one, as exact decimal text, or a word if that is not known. Only what differs at the end
    /// of the ledger has any: these add up to the whole difference.
    pub effects: Vec<(String, String)>,
    /// Why it does not tie.
    pub cause: Cause,
    /// Whether an amount of it reaches the plan's materiality; `None` without an amount or a
    /// materiality to compare it with.
    pub material: Option<bool>,
    /// The reason given in the plan's `accepted` list, if it is a known finding.
    pub accepted: Option<String>,
    /// If the list names it and does not go as far as its amount: how far it goes, in words.
    pub not_accepted: Option<String>,
}

impl Discrepancy {
    /// A discrepancy of this kind with nothing else said yet.
    pub fn new(kind: DiscrepancyKind, dataset: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            dataset: dataset.into(),
            key: String::new(),
            ledger: None,
            current: None,
            cells: Vec::new(),
            message: message.into(),
            count: 1,
            touches_snapshot: false,
            amounts: Vec::new(),
            effects: Vec::new(),
            cause: kind.cause(),
            material: None,
            accepted: None,
            not_accepted: None,
        }
    }

    /// How bad it is: the severity of its kind.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// What identifies a finding from run to run, for the plan's `[[accepted]]`: 16 hex
    /// digits of its kind, dataset, key, columns and place in the ledger.
    ///
    /// The place is the source's own position, else commit time and transaction, else
    /// the number of the record. Folders, values and counts have no part in it, with
    /// one exception: what has nothing else to be told by (a figure that does not tie,
    /// a transaction on both sides of the clock) is identified by its message. So a
    /// finding keeps its fingerprint as its amount grows; how large it may become is
    /// for the acceptance to say.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let columns: Vec<&str> = self.cells.iter().map(|c| c.column.as_str()).collect();
        let said = match self.kind {
            DiscrepancyKind::TotalMismatch | DiscrepancyKind::AmbiguousCut => self.message.as_str(),
            _ => "",
        };
        let mut hasher = Sha256::new();
        let parts = [self.kind.code(), &self.dataset, &self.key, &self.place(), &columns.join(","), said];
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    /// The place as far as it outlasts a new delivery of the files.
    fn place(&self) -> String {
        let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        // One finding for a whole column only samples its place.
        if self.key.is_empty() && !self.cells.is_empty() {
            return String::new();
        }
        match (&self.ledger, &self.current) {
            (Some(place), _) => match (&place.position, &place.committed_at, &place.transaction) {
                (Some(position), ..) => position.clone(),
                (None, None, None) => format!("{}#{}", name(&place.file), place.record),
                (None, at, transaction) => {
                    format!("{} {}", at.as_deref().unwrap_or(""), transaction.as_deref().unwrap_or(""))
                }
            },
            (None, Some(place)) if self.kind == DiscrepancyKind::NullKey => {
                format!("{}#{}", name(&place.file), place.row)
            }
            (None, _) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(record: u64, position: Option<&str>) -> Discrepancy {
        let mut one = Discrepancy::new(DiscrepancyKind::ChainBreak, "accounts", "text");
        one.key = "id=1".to_owned();
        let position = position.map(str::to_owned);
        one.ledger =
            Some(LedgerPlace { file: "a/log.csv".to_owned(), record, position, ..LedgerPlace::default() });
        one
    }

    #[test]
    fn a_fingerprint_outlasts_a_new_delivery_and_tells_findings_apart() {
        let base = placed(7, Some("0/1F"));
        assert_eq!(base.fingerprint().len(), 16);
        assert_eq!(base.fingerprint(), placed(8, Some("0/1F")).fingerprint(), "record numbers may shift");
        let mut moved = base.clone();
        moved.ledger.as_mut().unwrap().file = "b/log.csv".to_owned();
        moved.message = "other words".to_owned();
        moved.touches_snapshot = true;
        assert_eq!(base.fingerprint(), moved.fingerprint());
        assert_ne!(base.fingerprint(), placed(7, Some("0/20")).fingerprint());
        assert_ne!(
            placed(7, None).fingerprint(),
            placed(8, None).fingerprint(),
            "nothing but the record tells"
        );
        let total =
            |text: &str| Discrepancy::new(DiscrepancyKind::TotalMismatch, "accounts", text).fingerprint();
        assert_ne!(total("rows of the extract: 1"), total("rows of the trial balance: 1"));
    }
}
