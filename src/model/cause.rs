//! [`Cause`]: why something does not tie, once per discrepancy.
//!
//! What the data decides is one plain cause. Where it cannot decide, the cause says
//! between which: an open one has its candidates, the likeliest first, and is never
//! passed off as one of them.

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $words:literal $(, between $($of:ident)+)?;)+) => {
        /// Why something does not tie. Codes are stable and part of the output contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Cause {
            $($(#[$doc])* $variant,)+
        }

        impl Cause {
            /// Every cause, in the order in which they are reported.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable code, for instance `altered-record`, or `direct-edit or removed-record`
            /// where the data cannot decide.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it means, in a phrase for people.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)+ }
            }

            /// Between which causes the data cannot decide, the likeliest first; empty if it decides.
            pub fn candidates(self) -> &'static [Self] {
                match self { $(Self::$variant => &[$($(Self::$of),+)?],)+ }
            }
        }
    };
}

causes! {
    /// A record is missing from the ledger.
    RemovedRecord = "removed-record", "a record is missing from the ledger";
    /// The current state was changed past the ledger.
    DirectEdit = "direct-edit", "the current state was changed past the ledger";
    /// A record of the ledger was altered after it was written, or was made up.
    AlteredRecord = "altered-record", "a record of the ledger was altered or made up";
    /// The current row was changed past the ledger, or the record of the change is missing.
    Unlogged = "direct-edit or removed-record",
        "changed past the ledger, or the record of the change is missing: the data cannot decide",
        between DirectEdit RemovedRecord;
    /// As [`Self::Unlogged`], or the last record of the row was altered.
    UnloggedOrAltered = "direct-edit or removed-record or altered-record",
        "changed past the ledger, or the last record of the row is missing or altered: the data cannot decide",
        between DirectEdit RemovedRecord AlteredRecord;
    /// A record is missing, or one beside it was altered.
    RemovedOrAltered = "removed-record or altered-record",
        "a record is missing, or one beside it was altered: the data cannot decide",
        between RemovedRecord AlteredRecord;
    /// The delete before an insert is missing, or the insert was recorded twice.
    RemovedOrRedelivered = "removed-record or redelivery",
        "a record is missing, or one was recorded twice: the data cannot decide",
        between RemovedRecord Redelivery;
    /// The opening is of another moment than declared or was edited, or a record is missing.
    OpeningOrRemoved = "wrong-opening or removed-record",
        "the opening is not the table of its moment, or a record is missing: the data cannot decide",
        between WrongOpening RemovedRecord;
    /// The opening is of another moment than declared, or was edited.
    WrongOpening = "wrong-opening", "the opening is not the table of its moment";
    /// A change was recorded more than once.
    Redelivery = "redelivery", "a change was recorded more than once";
    /// Records stand in another order than the changes were made in.
    Reordering = "reordering", "records stand in the wrong order";
    /// Entered after the period that it counts in was over.
    LatePosting = "late-posting", "entered after its period was over";
    /// Debits and credits of one entry differ.
    UnbalancedEntry = "unbalanced-entry", "debits and credits of one entry differ";
    /// Columns began, ended or changed their type on the way.
    SchemaDrift = "schema-drift", "columns began, ended or changed on the way";
    /// The source does not record what would be needed.
    SourceLimits = "source-limits", "the source does not record what would be needed";
    /// The ledger does not cover the whole span, or that it does is an assumption.
    Coverage = "coverage", "the ledger does not cover the whole span, or that it does is assumed";
    /// The current state was read at another moment than assumed.
    ExtractMoment = "extract-moment", "the current state was read at another moment than assumed";
    /// The clock of the source contradicts its order.
    Clock = "clock", "the clock of the source contradicts its order";
    /// A file holds what cannot be read, or rows that cannot be told apart.
    InputDamage = "input-damage", "an input holds what cannot be read or told apart";
    /// A figure that somebody states is not what the data gives.
    StatedFigure = "stated-figure", "a stated figure is not what the data gives";
    /// A row refers to one that is not there.
    MissingReference = "missing-reference", "a row refers to one that is not there";
    /// Nothing is wrong: the change changed nothing.
    NoEffect = "no-effect", "nothing is wrong: the change changed nothing";
}

impl Cause {
    /// Whether the data decides it.
    pub fn is_decided(self) -> bool {
        self.candidates().is_empty()
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_cause_is_called_after_its_candidates() {
        for cause in Cause::ALL.iter().filter(|c| !c.is_decided()) {
            let codes: Vec<&str> = cause.candidates().iter().map(|c| c.code()).collect();
            assert_eq!(cause.code(), codes.join(" or "));
            assert!(cause.candidates().iter().all(|c| c.is_decided()));
        }
    }
}
