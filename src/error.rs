//! Why a run cannot proceed, with the place and what to do about it.
//!
//! An [`Error`] never describes bad *data*: that is a
//! [`Discrepancy`](crate::model::Discrepancy), collected while the run goes on.
//! Messages are lower-case, name the file, record and column where there is
//! one, and leave the remedy to [`Error::hint`], which a front end prints on a
//! line of its own.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a file something stands. All numbers are 1-based, as people count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At {
    /// Number of the record (row, JSON value) within the file.
    pub record: Option<u64>,
    /// Number of the line on which the record starts.
    pub line: Option<u64>,
    /// Name of the column.
    pub column: Option<String>,
}

impl At {
    /// A place known only by its record number.
    pub fn record(record: u64) -> Self {
        Self { record: Some(record), ..Self::default() }
    }

    /// The same place, narrowed to a column.
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(record) = self.record {
            write!(f, "record {record}")?;
            separator = ", ";
        }
        if let Some(line) = self.line {
            write!(f, "{separator}line {line}")?;
            separator = ", ";
        }
        if let Some(column) = &self.column {
            write!(f, "{separator}column {column:?}")?;
        }
        Ok(())
    }
}

/// Why a run cannot proceed. Nothing has been written when one is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb: `open`, `read`, `write`.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A path or wildcard names no file at all.
    #[error("{}: no such file, and nothing matches it as a folder or wildcard", path.display())]
    NoInput {
        /// The path as given.
        path: PathBuf,
    },
    /// The bytes are not what the format says they must be.
    #[error("{}: {}expected {expected}, found {found}", path.display(), spaced(at))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: At,
        /// What the format requires there.
        expected: String,
        /// What stands there.
        found: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A valid file uses something that this program does not read.
    #[error("{}: {feature} is not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature, as its format calls it.
        feature: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A Parquet file cannot be decoded or written.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        source: parquet::errors::ParquetError,
    },
    /// A columnar operation failed, for instance because memory ran out.
    #[error("{}: {source}", path.display())]
    Arrow {
        /// The file whose data was worked on.
        path: PathBuf,
        /// What the Arrow library said.
        source: arrow::error::ArrowError,
    },
    /// A reader broke down on hostile input; caught so that it stays an error of this file.
    #[error("{}: the reader broke down on this file: {message}", path.display())]
    ReaderPanic {
        /// The file.
        path: PathBuf,
        /// The message of the panic.
        message: String,
    },
    /// The plan file, or a flag that stands for a part of it, is wrong.
    #[error("{place}: {message}")]
    Plan {
        /// Where: `plan.toml:12:3`, or the flag.
        place: String,
        /// What is wrong with it.
        message: String,
        /// The nearest valid thing, or what to write instead.
        hint: Option<String>,
    },
    /// A column that the plan names is not in the data.
    #[error("{dataset}: no column {column:?} in {}", path.display())]
    UnknownColumn {
        /// The dataset.
        dataset: String,
        /// The column as named.
        column: String,
        /// The file that was expected to have it.
        path: PathBuf,
        /// The nearest existing column, or the list of all.
        hint: Option<String>,
    },
    /// A `WHEN` could not be understood.
    #[error("{text:?} is not a moment: {reason}")]
    When {
        /// What was given.
        text: String,
        /// Why it is none.
        reason: String,
        /// An example of what would be one.
        hint: Option<String>,
    },
    /// The as-of lies outside what ledger and current state can prove.
    #[error("{dataset}: as-of {as_of} is outside the provable window: {reason}")]
    Uncovered {
        /// The dataset.
        dataset: String,
        /// The as-of, resolved.
        as_of: String,
        /// Which edge, and why it is one.
        reason: String,
        /// The nearest provable instant.
        nearest: Option<String>,
    },
    /// Hardly any key of the ledger occurs in the current state or the other way round.
    #[error(
        "{dataset}: hardly any key matches: {matched} of {keys} ledger keys are in the current state \
         (ledger: {ledger_sample}; current: {current_sample})"
    )]
    KeysDoNotMatch {
        /// The dataset.
        dataset: String,
        /// How many of the ledger's standing keys were found.
        matched: u64,
        /// How many were looked for.
        keys: u64,
        /// A few keys as the ledger writes them.
        ledger_sample: String,
        /// A few keys as the current state writes them.
        current_sample: String,
    },
    /// A dataset cannot be rebuilt, for a reason that lies in its data or its declaration.
    #[error("{dataset}: refused: {reason}")]
    Refused {
        /// The dataset.
        dataset: String,
        /// The rule that it runs into.
        reason: String,
        /// The option or declaration that would change it.
        hint: Option<String>,
    },
    /// The output is already there.
    #[error("{}: already exists", path.display())]
    OutputExists {
        /// The folder or file.
        path: PathBuf,
    },
    /// An input changed while it was being read.
    #[error("{}: changed during the run ({what})", path.display())]
    InputChanged {
        /// The file.
        path: PathBuf,
        /// Which property changed: size or time.
        what: &'static str,
    },
    /// A limit of this program is exceeded.
    #[error("{what}: {found} is more than the limit of {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
}

impl Error {
    /// What the user can do about it, as one line without a final period.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed { hint, .. }
            | Self::Unsupported { hint, .. }
            | Self::Plan { hint, .. }
            | Self::UnknownColumn { hint, .. }
            | Self::When { hint, .. }
            | Self::Refused { hint, .. } => hint.clone(),
            Self::Uncovered { nearest, .. } => {
                let nearest = nearest.as_ref().map(|n| format!("the nearest provable as-of is {n}"));
                let allow = "--allow-uncovered rebuilds as far as the ledger goes and marks the rest";
                Some(nearest.map_or_else(|| allow.to_owned(), |n| format!("{n}; {allow}")))
            }
            Self::KeysDoNotMatch { .. } => Some(
                "check --key, and declare `normalise` in the plan if both sides write keys differently"
                    .to_owned(),
            ),
            Self::OutputExists { .. } => {
                Some("use --replace to overwrite it, or name another --out".to_owned())
            }
            Self::InputChanged { .. } => Some("run again when nothing writes to the inputs".to_owned()),
            Self::NoInput { .. } => {
                Some("check the path; paths in a plan are relative to the plan".to_owned())
            }
            Self::Io { source, .. } => io_hint(source),
            _ => None,
        }
    }

    /// Wraps an operating-system error with its file.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// Wraps a Parquet error with its file.
    pub(crate) fn parquet(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source {
            parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(source) => Self::Io { path, action: "read or write", source: *source },
                Err(cause) => Self::Parquet { path, source: parquet::errors::ParquetError::External(cause) },
            },
            source => Self::Parquet { path, source },
        }
    }

    /// Wraps an Arrow error with the file whose data was worked on.
    pub(crate) fn arrow(path: &Path) -> impl FnOnce(arrow::error::ArrowError) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source {
            arrow::error::ArrowError::IoError(_, source) => {
                Self::Io { path, action: "read or write", source }
            }
            source => Self::Arrow { path, source },
        }
    }
}

/// What helps against an error of the operating system.
fn io_hint(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind as K;
    let hint = match error.kind() {
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge | K::WriteZero => {
            "make room, or name an --out (for temporary files, TMPDIR) where there is more"
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            "check who may read and write there, or name another --out"
        }
        K::AlreadyExists | K::NotADirectory => {
            "a part of this path is a file and no folder; name another place"
        }
        K::NotFound | K::InvalidInput => "check the path; what is in it must exist and allow files inside",
        _ => "try again, and if it stays so, check the disk or name another place",
    };
    Some(hint.to_owned())
}

fn spaced(at: &At) -> String {
    if *at == At::default() { String::new() } else { format!("{at}: ") }
}

/// The candidate that `word` was probably meant to be, if one is near.
///
/// Used wherever a message names the nearest valid thing. Distance is
/// Levenshtein on lower-cased characters; farther than a third of the word's
/// length is not near.
///
/// ```
/// assert_eq!(asof::nearest("ledgr", ["current", "ledger"]), Some("ledger"));
/// assert_eq!(asof::nearest("zzz", ["current", "ledger"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.chars().count() / 3;
    candidates
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
