//! The types of a plan, as plain data.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use super::{Batches, Bound, Calendar, Filter, Ledger, Moment, TableSource};
use crate::error::{Error, Result};

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
    /// A plan of datasets that a program has put together, in UTC and with calendar years.
    ///
    /// # Errors
    /// There is no dataset, or two have one name.
    pub fn of(datasets: Vec<Dataset>) -> Result<Self> {
        let wrong = |message: &str| Error::Plan {
            place: "datasets".to_owned(),
            message: message.to_owned(),
            hint: Some("give each dataset a name of its own".to_owned()),
        };
        if datasets.is_empty() {
            return Err(wrong("there is none"));
        }
        let mut names: Vec<&str> = datasets.iter().map(|d| d.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(wrong(&format!("two are called {:?}", twice[0])));
        }
        Ok(Self {
            name: None,
            path: None,
            folder: PathBuf::new(),
            text: String::new(),
            calendar: Calendar::default(),
            datasets,
            accepted: Vec::new(),
        })
    }

    /// Asks all datasets as known at a second moment. Those whose ledgers carry images have none,
    /// and are refused by the run.
    pub fn ask_as_known_at(&mut self, moment: &Moment) {
        for dataset in &mut self.datasets {
            dataset.ledger.postings.known_at = Some(moment.clone());
        }
    }

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
    /// From which amount on a difference in a measure matters, as plain decimal text. Measures
    /// without one are left out.
    pub materiality: Vec<(String, String)>,
    /// Columns by which totals are also given.
    pub group_by: Vec<String>,
    /// Columns whose values must be keys of other datasets.
    pub references: Vec<Reference>,
    /// What others say about the extract.
    pub expected: Option<Figures>,
    /// What others say about the table at some moment.
    pub reported: Vec<Reported>,
}

impl Dataset {
    /// A table in memory: its current rows and its changes as record batches, and the
    /// columns that identify a row (none: a multiset).
    ///
    /// The changes are a mapped ledger: one record per change with columns for the op,
    /// the order, the time and the images, found by their usual names (`op`, `seq`,
    /// `committed_at`, `before` and `after` as structs, or `old_*` and `new_*`) or named
    /// in [`Ledger::columns`]. Everything else a plan can say is a field to be set.
    ///
    /// # Errors
    /// One side has no batch at all, or its batches have different columns. Whether the
    /// columns are what the plan says is checked by the run.
    pub fn in_memory(
        name: impl Into<String>,
        key: &[&str],
        current: Vec<RecordBatch>,
        changes: Vec<RecordBatch>,
    ) -> Result<Self> {
        let name = name.into();
        let current = TableSource::in_memory(format!("current state of {name}"), Batches::new(current)?);
        let changes = TableSource::in_memory(format!("change ledger of {name}"), Batches::new(changes)?);
        Ok(Self {
            key: key.iter().map(|&column| column.to_owned()).collect(),
            normalise: Vec::new(),
            current: Current { source: current, at: None, filter: None },
            ledger: Ledger { paths: vec![changes.pattern.clone()], table: changes, ..Ledger::default() },
            opening: None,
            measures: Vec::new(),
            materiality: Vec::new(),
            group_by: Vec::new(),
            references: Vec::new(),
            expected: None,
            reported: Vec::new(),
            name,
        })
    }
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
    /// Up to which amount. `None`: as long as it is not material.
    pub up_to: Option<UpTo>,
}

/// Up to which amount a finding is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpTo {
    /// Whatever the amount is or becomes, known or not.
    Any,
    /// As long as no amount of it is larger, whatever its sign; exact decimal text.
    Amount(String),
}
