//! The types of a plan, as plain data.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::{Bound, Calendar, Filter, Ledger, Moment, TableSource};

/// Everything that a run has to know about its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The title of the procedure, if it has one.
    pub name: Option<String>,
    /// The plan file; `None` if the plan was built from flags.
    pub path: Option<PathBuf>,
    /// The folder that relative paths were resolved against.
    pub folder: PathBuf,
    /// The plan as TOML, for the manifest.
    pub text: String,
    /// Time zone and fiscal year.
    pub calendar: Calendar,
    /// The datasets, in the order of the plan; at least one, with distinct names.
    pub datasets: Vec<Dataset>,
    /// Findings that are known and must not fail a run.
    pub accepted: Vec<Accepted>,
}

impl Plan {
    /// The dataset of this name.
    pub fn dataset(&self, name: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|d| d.name == name)
    }
}

/// One table: its current state, its ledger, and what is known about both.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The name, used in outputs and as the name of its snapshot file.
    pub name: String,
    /// Columns that identify a row; empty declares a multiset.
    pub key: Vec<String>,
    /// What is done to key values on both sides before they are compared, per column.
    pub normalise: Vec<(String, Vec<Normalisation>)>,
    /// The table as delivered.
    pub current: Current,
    /// The changes.
    pub ledger: Ledger,
    /// A trusted earlier snapshot, for the two-direction proof.
    pub opening: Option<Opening>,
    /// Numeric columns whose totals matter.
    pub measures: Vec<String>,
    /// Columns by which totals are also given.
    pub group_by: Vec<String>,
    /// Columns whose values must be keys of other datasets.
    pub references: Vec<Reference>,
    /// What others say about the extract.
    pub expected: Option<Figures>,
    /// What others say about the table at some moment.
    pub reported: Vec<Reported>,
}

/// What is done to a key value before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalisation {
    /// Blanks at both ends do not count.
    Trim,
    /// Upper and lower case are the same.
    Case,
    /// Leading zeros do not count.
    LeadingZeros,
}

impl Normalisation {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Trim, Self::Case, Self::LeadingZeros];

    /// The word for it in a plan.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::Case => "case",
            Self::LeadingZeros => "leading-zeros",
        }
    }
}

/// The table as delivered, where backward replay starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Current {
    /// Its files.
    pub source: TableSource,
    /// The extract moment, if declared: when the table was read.
    pub at: Option<Bound>,
    /// The part of the table that the dataset holds; applies to current rows and both images.
    pub filter: Option<Filter>,
}

/// A trusted earlier snapshot of the dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// Its files.
    pub source: TableSource,
    /// The moment at which it was the table.
    pub as_of: Moment,
}

/// Columns of a dataset whose values must be keys of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The referring columns, in the order of the other dataset's key.
    pub columns: Vec<String>,
    /// Name of the dataset referred to.
    pub to: String,
}

/// Figures that somebody else states about a table: a number of rows, and sums of measures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many rows.
    pub rows: Option<u64>,
    /// Sums by measure, as plain decimal text (`-12.50`), exact.
    pub sums: Vec<(String, String)>,
}

/// Figures about the table at a moment: a trial balance, a filed balance.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// The moment.
    pub as_of: Moment,
    /// Where the figures come from, in words.
    pub source: Option<String>,
    /// The group that they are about: values of some `group_by` columns, as exact text.
    /// Empty: the whole table.
    pub group: Vec<(String, String)>,
    /// The figures.
    pub figures: Figures,
}

/// A finding that is known. It stays listed and does not fail a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The fingerprint of the discrepancy, as outputs show it.
    pub fingerprint: String,
    /// Why it is accepted.
    pub reason: String,
    /// Who accepted it.
    pub approver: Option<String>,
    /// The last day on which it is accepted, in the plan's time zone.
    pub expires: Option<NaiveDate>,
}
