//! What a run is asked to do: one request per command, every choice a named field.
//!
//! A request holds only resolved things (a [`Plan`], [`Moment`]s, paths): clocks,
//! environment and terminal stay with the front end that builds it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::plan::{Moment, Plan};

/// Rows of a dataset that a workbook shows unless it is told otherwise.
pub const WORKBOOK_ROWS: u32 = 100_000;

/// How a run works, whatever it does. Nothing here changes a result, but for how much of it the workbook repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Threads to use; `None`: as many as the machine has cores.
    pub threads: Option<NonZeroUsize>,
    /// Bytes of memory to stay below, by estimate; `None`: no limit. A snapshot works in more steps, and is
    /// refused with the least that would do where that is not enough; what verifies needs the identity of
    /// every change at once. Bridges and change sets only share less between moments.
    pub memory_limit: Option<u64>,
    /// Where inputs that cannot be read twice are spooled; `None`: the system's temporary folder.
    pub spool: Option<PathBuf>,
    /// Rows of a dataset up to which the workbook of an evidence folder shows its snapshot.
    pub workbook_rows: u32,
    /// The present moment in nanoseconds since the epoch, for the expiry of
    /// accepted findings and the manifest's volatile fields.
    pub now: i64,
    /// Which cryptographic digests of rows are computed, and their identity checked.
    pub digest: DigestDepth,
}

/// Which digests of rows are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestDepth {
    /// None: hashing every row costs more than rebuilding it.
    #[default]
    None,
    /// Of whole rows.
    Rows,
    /// Of whole rows, and of each column.
    Columns,
}

impl RunOptions {
    /// Every default, at this moment (nanoseconds since the epoch).
    pub fn at(now: i64) -> Self {
        let digest = DigestDepth::None;
        Self { threads: None, memory_limit: None, spool: None, workbook_rows: WORKBOOK_ROWS, now, digest }
    }
}

/// Which side supplies the cells that no undone image supplies, where ledger
/// and current state disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// The current state as delivered.
    #[default]
    Current,
    /// The ledger's last known value and existence.
    Ledger,
}

impl Trust {
    /// The word for it, as flags and outputs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Ledger => "ledger",
        }
    }
}

/// Which columns a snapshot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaAt {
    /// Those of the current state: one that did not exist yet is null.
    #[default]
    Current,
    /// Those in force at the moment: one that did not exist yet is left out. A column that was
    /// dropped since does not come back, as the current state lacks it.
    AtDate,
}

impl SchemaAt {
    /// The word for it, as flags and outputs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::AtDate => "at-date",
        }
    }
}

/// What rebuilding does in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Refuse a snapshot with unrecoverable cells.
    pub strict: bool,
    /// Go on without a dataset that has to be refused.
    pub partial: bool,
    /// Rebuild an as-of before the window as far as the ledger goes, and mark the rest.
    pub allow_uncovered: bool,
    /// The base where ledger and current state disagree.
    pub trust: Trust,
}

/// The file format of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OutputFormat {
    /// Apache Parquet, with the source's schema.
    #[default]
    Parquet,
    /// Comma-separated text, exact.
    Csv,
    /// Arrow IPC file.
    ArrowIpc,
    /// Spreadsheet: up to 1,048,575 rows; numbers of more than 15 digits as text.
    Xlsx,
}

impl OutputFormat {
    /// All formats, in the order in which they are listed to people.
    pub const ALL: [Self; 4] = [Self::Parquet, Self::Csv, Self::ArrowIpc, Self::Xlsx];

    /// The word for it, as `--format` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::ArrowIpc => "arrow",
            Self::Xlsx => "xlsx",
        }
    }

    /// The file name extension, without a dot; equal to the name.
    pub fn extension(self) -> &'static str {
        self.name()
    }

    /// The name of the file that holds a dataset's snapshot.
    pub fn file_name(self, dataset: &str) -> String {
        // A name is a file name here, whatever the plan calls the dataset.
        let safe: String =
            dataset.chars().map(|c| if matches!(c, '/' | '\\' | '\0') { '_' } else { c }).collect();
        format!("{safe}.{}", self.extension())
    }
}

/// Where a snapshot goes. Written beside and then renamed: complete or not there at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// An evidence folder: snapshot, verdicts, discrepancies, manifest. With several
    /// moments, one such folder per moment under it, named by [`Moment::label`].
    Folder {
        /// The folder.
        path: PathBuf,
        /// The format of the snapshot files in it.
        format: OutputFormat,
    },
    /// Nothing is written: tables, verdicts and discrepancies come back as record batches,
    /// in [`MomentOutcome::batches`](super::MomentOutcome::batches).
    Memory,
    /// Just the snapshot of the one dataset.
    File {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: OutputFormat,
    },
}

impl Output {
    /// The format of snapshot files, if there are any.
    pub fn format(&self) -> Option<OutputFormat> {
        match self {
            Self::Folder { format, .. } | Self::File { format, .. } => Some(*format),
            Self::Memory => None,
        }
    }
}

/// A request to rebuild, verify and export.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// What to rebuild.
    pub plan: Plan,
    /// The moments, in the order given; at least one, with distinct labels.
    pub moments: Vec<Moment>,
    /// Where to.
    pub output: Output,
    /// Whether an output that is already there is replaced.
    pub replace: bool,
    /// Whether the whole ledger is verified in the same run.
    pub verify: bool,
    /// Whether verdict and supplying position are added to the snapshot as columns.
    pub provenance: bool,
    /// Whether text that starts a formula is escaped in CSV output.
    pub csv_safe: bool,
    /// Which columns the snapshot has.
    pub schema: SchemaAt,
    /// What to do in doubt.
    pub policy: Policy,
    /// How to run.
    pub options: RunOptions,
}

/// A request to check the whole ledger against itself and the current state.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// What to verify.
    pub plan: Plan,
    /// Where to write all discrepancies as a table (`.parquet` or `.csv`), if wanted.
    pub discrepancies: Option<PathBuf>,
    /// Whether an output that is already there is replaced.
    pub replace: bool,
    /// How to run.
    pub options: RunOptions,
}

/// A request for the documented procedure of a run, which writes nothing.
#[derive(Debug, Clone)]
pub struct ExplainRequest {
    /// What would be rebuilt.
    pub plan: Plan,
    /// The moments, in the order given.
    pub moments: Vec<Moment>,
    /// What would be done in doubt.
    pub policy: Policy,
    /// Whether inputs are digested and what would be undone is counted by transaction, actor and day.
    pub procedure: bool,
    /// How to run.
    pub options: RunOptions,
}

/// A request to say what files are.
#[derive(Debug, Clone)]
pub struct InspectRequest {
    /// The files, folders or wildcards.
    pub files: Vec<PathBuf>,
    /// How to run.
    pub options: RunOptions,
}

/// A request for one row through time.
#[derive(Debug, Clone)]
pub struct HistoryRequest {
    /// Where the row is.
    pub plan: Plan,
    /// Name of the dataset.
    pub dataset: String,
    /// The key: the exact text of one value per key column, in key order.
    pub key: Vec<String>,
    /// How to run.
    pub options: RunOptions,
}

/// What a bridge leads from and to.
#[derive(Debug, Clone)]
pub enum BridgeSpan {
    /// From one moment to a later one.
    Moments {
        /// The opening.
        from: Moment,
        /// The closing.
        to: Moment,
    },
    /// From what was known of a moment to what was known of it later; for postings with two clocks.
    Known {
        /// The moment, on the clock of posting dates.
        as_of: Moment,
        /// As it was known then: the opening.
        from: Moment,
        /// As it is known then: the closing.
        to: Moment,
    },
}

/// A request for opening + movements = closing.
#[derive(Debug, Clone)]
pub struct BridgeRequest {
    /// Where the datasets are; all of its datasets are bridged.
    pub plan: Plan,
    /// From where to where.
    pub span: BridgeSpan,
    /// The columns whose values are the groups; `None`: the plan's `group_by`.
    pub by: Option<Vec<String>>,
    /// Where to write the figures as a table (`.parquet`, `.csv`, `.arrow`), if wanted.
    pub output: Option<PathBuf>,
    /// Where to write every change with what it moves, if wanted.
    pub changes: Option<PathBuf>,
    /// Whether an output that is already there is replaced.
    pub replace: bool,
    /// Whether a moment before the window is bridged as far as the ledger goes.
    pub allow_uncovered: bool,
    /// Which side both ends rest on where ledger and current state disagree. That of the ledger takes a
    /// verification of the whole ledger, which says where.
    pub trust: Trust,
    /// How to run.
    pub options: RunOptions,
}

/// A request to ask SQL of a snapshot, its ledger and its discrepancies.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// What to rebuild.
    pub plan: Plan,
    /// The moment.
    pub moment: Moment,
    /// The query, with its parameters as it declares them.
    pub sql: String,
    /// Values of its parameters.
    pub set: Vec<(String, String)>,
    /// Where to write the result (`.parquet`, `.csv`, `.arrow`), if wanted.
    pub output: Option<PathBuf>,
    /// Whether an output that is already there is replaced.
    pub replace: bool,
    /// What to do in doubt.
    pub policy: Policy,
    /// How to run.
    pub options: RunOptions,
}
