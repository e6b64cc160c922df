//! Arguments that several commands share, and what they resolve to.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use asof::model::Severity;
use asof::pipeline::request::{OutputFormat, Policy, RunOptions, Trust};
use asof::plan::{Bound, Calendar, LedgerFormat, Moment, OneDataset, Plan};
use clap::ValueEnum;

use super::failure::Failure;
use super::size::parse_size;

/// Where the datasets come from: a plan, or flags for one dataset.
#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// Plan file, or a folder with a plan.toml
    ///
    /// The plan names datasets, keys, files and what others say about them. For one
    /// table without a plan, use --current, --ledger and --key instead.
    #[arg(value_name = "PLAN", conflicts_with_all = ["current", "ledger", "table", "time_zone", "extracted_at"])]
    plan: Option<PathBuf>,

    /// Current state of the table, in place of a plan
    ///
    /// A file, a folder or a quoted wildcard: Parquet, CSV or TSV (also .gz and .zst),
    /// NDJSON, Arrow IPC. The format is detected.
    #[arg(long, value_name = "FILE", help_heading = "Input without a plan")]
    current: Option<PathBuf>,

    /// Change ledger (can be repeated)
    ///
    /// Files, folders or quoted wildcards, in the order in which they were written.
    /// The format is detected from the content.
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Input without a plan")]
    ledger: Vec<PathBuf>,

    /// Format that is not to be detected (can be repeated)
    ///
    /// A ledger's: debezium, wal2json, mapped (any table with columns for op, time and
    /// images). For snapshot also the output's: parquet, csv, arrow; for explain: markdown. Default: the ledger's
    /// is detected; the output's follows the extension of --out, and is parquet in a folder.
    #[arg(long, value_name = "NAME", value_parser = parse_format, help_heading = "Input without a plan")]
    format: Vec<FormatName>,

    /// Name of the table in a ledger of several tables
    ///
    /// As the ledger writes it: accounts or public.accounts. Default: the name of the
    /// current file, and every change if the ledger names no tables.
    #[arg(long, value_name = "NAME", help_heading = "Input without a plan")]
    table: Option<String>,

    /// Time zone of days, and of ledger times without an offset
    ///
    /// A name such as Europe/Berlin. Default: UTC for days; a ledger time without an
    /// offset is then an error.
    #[arg(long, value_name = "ZONE", help_heading = "Input without a plan")]
    time_zone: Option<String>,

    /// Moment at which the current state was read
    ///
    /// An instant, or position:… or txn:… of the ledger. Changes after it are not undone.
    /// Default: assumed to be at or after the ledger's end, and the output says so.
    #[arg(long, value_name = "WHEN", help_heading = "Input without a plan")]
    extracted_at: Option<String>,
}

/// A name that `--format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatName {
    Ledger(LedgerFormat),
    Output(OutputFormat),
    Markdown,
}

fn parse_format(text: &str) -> Result<FormatName, String> {
    let ledgers = LedgerFormat::ALL.iter().map(|f| (f.name(), FormatName::Ledger(*f)));
    let outputs = OutputFormat::ALL.iter().map(|f| (f.name(), FormatName::Output(*f)));
    let known: Vec<_> = ledgers.chain(outputs).chain([("markdown", FormatName::Markdown)]).collect();
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, format)| *format).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let meant = asof::nearest(text, names.iter().copied());
        let meant = meant.map(|m| format!("; did you mean {m}?")).unwrap_or_default();
        format!("expected one of {}{meant}", names.join(", "))
    })
}

impl InputArgs {
    /// The plan that these arguments name or stand for. `key` are the key columns of
    /// a table without a plan.
    pub(crate) fn plan(&self, key: Option<&[String]>) -> Result<Plan, Failure> {
        match (&self.plan, &self.current) {
            (Some(path), _) if key.is_some() => Err(Failure::usage(
                format!("--key cannot be used with the plan {}", path.display()),
                "the plan names the key of each dataset",
            )),
            (Some(path), _) => match self.ledger_format() {
                None => Ok(Plan::open(&plan_file(path))?),
                Some(format) => Err(Failure::usage(
                    format!("--format {} cannot be used with the plan {}", format.name(), path.display()),
                    "the plan names the format of each ledger",
                )),
            },
            (None, Some(current)) => self.one_dataset(current, key),
            (None, None) => Err(Failure::usage(
                "no input: neither a plan nor --current is given",
                "name a plan file, or give --current FILE --ledger FILE --key COLUMN; \
                 `asof demo` writes a sample of both",
            )),
        }
    }

    /// Whether the inputs come from flags.
    pub(crate) fn is_flags(&self) -> bool {
        self.plan.is_none()
    }

    /// The output format among the formats given, if there is one.
    pub(crate) fn output_format(&self) -> Option<OutputFormat> {
        self.format.iter().rev().find_map(|f| match f {
            FormatName::Output(format) => Some(*format),
            FormatName::Ledger(_) | FormatName::Markdown => None,
        })
    }

    /// Whether Markdown is asked for.
    pub(crate) fn is_markdown(&self) -> bool {
        self.format.contains(&FormatName::Markdown)
    }

    fn ledger_format(&self) -> Option<LedgerFormat> {
        self.format.iter().rev().find_map(|f| match f {
            FormatName::Ledger(format) => Some(*format),
            FormatName::Output(_) | FormatName::Markdown => None,
        })
    }

    fn one_dataset(&self, current: &Path, key: Option<&[String]>) -> Result<Plan, Failure> {
        if self.ledger.is_empty() {
            return Err(Failure::usage("--ledger is missing", "name the files that hold the changes"));
        }
        let key = key.ok_or_else(|| {
            let hint = "name the columns that identify a row, for instance --key id; \
                        --key '' declares a table without a key";
            Failure::usage("--key is missing", hint)
        })?;
        let time_zone = self.time_zone.as_deref().map(parse_zone).transpose()?;
        let calendar = Calendar { zone: time_zone, fiscal_year_start: None };
        let at = self.extracted_at.as_deref().map(|text| Bound::parse_point(text, &calendar)).transpose()?;
        let one = OneDataset {
            current: current.to_owned(),
            ledger: self.ledger.clone(),
            key: key.iter().filter(|k| !k.is_empty()).cloned().collect(),
            format: self.ledger_format(),
            table: self.table.clone(),
            time_zone,
            at,
        };
        Ok(one.into_plan())
    }
}

fn plan_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("plan.toml") } else { path.to_owned() }
}

fn parse_zone(name: &str) -> Result<chrono_tz::Tz, Failure> {
    asof::plan::parse_zone(name).map_err(|hint| Failure::usage(format!("{name:?} is not a time zone"), hint))
}

/// The key of a table without a plan, for commands whose `--key` means nothing else.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Columns that identify a row, separated by commas
    ///
    /// '' declares a table without a key, whose equal rows are counted.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', help_heading = "Input without a plan")]
    key: Option<Vec<String>>,
}

impl KeyArgs {
    /// The columns, if given.
    pub(crate) fn columns(&self) -> Option<&[String]> {
        self.key.as_deref()
    }
}

/// How to run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Threads to use
    ///
    /// The result is the same bytes for any number. Default: one per core.
    #[arg(long, value_name = "N", help_heading = "Run")]
    threads: Option<NonZeroUsize>,

    /// Memory to stay below, for instance 8GiB
    ///
    /// The work is done in more steps and reads more again; the result is the same bytes. Where
    /// that is not enough, `snapshot` says what would be. What verifies holds the identity of every
    /// change at once. Default: none.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Run")]
    memory_limit: Option<u64>,
}

impl RunArgs {
    /// The options of a run that begins now.
    pub(crate) fn options(&self) -> RunOptions {
        let mut options = RunOptions::at(now());
        options.threads = self.threads;
        options.memory_limit = self.memory_limit;
        options
    }
}

/// What to do in doubt.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Refuse a snapshot with values that nothing in the inputs states
    #[arg(long, help_heading = "In doubt")]
    strict: bool,

    /// Go on without the datasets that have to be refused
    #[arg(long, help_heading = "In doubt")]
    partial: bool,

    /// Rebuild a moment before the ledger's window as far as the ledger goes
    ///
    /// Rows without evidence get the verdict not-covered. Default: such a moment is
    /// refused, naming the nearest that can be proven.
    #[arg(long, help_heading = "In doubt")]
    allow_uncovered: bool,

    /// Side that supplies values where ledger and current state disagree
    ///
    /// Such rows are contradicted either way, with both values in the evidence.
    #[arg(long, value_name = "SIDE", default_value = "current", help_heading = "In doubt")]
    trust: TrustArg,
}

/// Which side is trusted where ledger and current state disagree.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TrustArg {
    Current,
    Ledger,
}

impl TrustArg {
    /// The side.
    pub(crate) fn side(self) -> Trust {
        match self {
            Self::Current => Trust::Current,
            Self::Ledger => Trust::Ledger,
        }
    }
}

impl PolicyArgs {
    /// The policy that these flags stand for.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            strict: self.strict,
            partial: self.partial,
            allow_uncovered: self.allow_uncovered,
            trust: self.trust.side(),
        }
    }
}

/// Which findings make a command end with status 1.
#[derive(Debug, clap::Args)]
pub(crate) struct FailOnArgs {
    /// Least severity of a discrepancy that makes the exit status 1
    ///
    /// Findings that the plan accepts do not count.
    #[arg(long, value_name = "SEVERITY", default_value = "error", help_heading = "In doubt")]
    fail_on: FailOn,
}

/// The severities, and none of them.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
    Never,
}

impl FailOnArgs {
    /// Whether a discrepancy of this severity makes the exit status 1.
    pub(crate) fn counts(&self, severity: Severity) -> bool {
        match self.fail_on {
            FailOn::Error => severity >= Severity::Error,
            FailOn::Warning => severity >= Severity::Warning,
            FailOn::Info => true,
            FailOn::Never => false,
        }
    }
}

/// The moments asked about.
#[derive(Debug, clap::Args)]
pub(crate) struct AsOfArgs {
    /// Moment to go back to: a day, period, instant, position, list or range
    ///
    /// 2025-12-31, 2025-12, 2025-Q4, 2025, FY2025, FY2025-Q3, last-month-end,
    /// 2025-12-31T18:00:00Z, position:…, txn:…; several as a,b; a range as
    /// 2025-01..2025-12. See WHEN in `asof --help`.
    #[arg(long, value_name = "WHEN")]
    as_of: String,

    /// Second moment, for postings: as known then
    ///
    /// --as-of is then asked by the posting date, and postings that were entered after this
    /// moment are undone too, whenever they count. A ledger of row images has no second clock.
    #[arg(long, value_name = "WHEN")]
    known_at: Option<String>,
}

impl AsOfArgs {
    /// Puts the second moment into the plan, if one is given.
    pub(crate) fn settle(&self, plan: &mut Plan) -> Result<(), Failure> {
        if let Some(text) = &self.known_at {
            plan.ask_as_known_at(&Moment::parse_one(text, &plan.calendar)?);
        }
        Ok(())
    }

    /// The moments, on the clocks of the plan.
    pub(crate) fn moments(&self, plan: &Plan) -> Result<Vec<Moment>, Failure> {
        Ok(Moment::parse(&self.as_of, &plan.calendar, now())?)
    }
}

/// The present moment, in nanoseconds since the epoch.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}
