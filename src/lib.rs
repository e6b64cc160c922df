//! Rebuilds a table exactly as it stood at any past moment, from its current
//! state and its change ledger, and proves it.
//!
//! Nothing has to be installed before the changes happened: any extract of the
//! table plus any record of its changes will do. Changes committed after the
//! moment asked about (the *as-of*) are undone; every touched row gets a verdict;
//! everything that does not tie is collected as a [`Discrepancy`], with its place.
//!
//! # Flow
//!
//! The path through the modules is the algorithm:
//!
//! ```text
//!  read ──► ledger ──► replay ──► verify ──► snapshot ──► report ──► export
//!  typed    one total  which      what is    value with   views      Parquet
//!  tables   order      cells      wrong      verdict      of it      CSV, Arrow
//!
//!            all speak `model`;  `plan` says what to read;
//!            `pipeline` alone knows the whole order
//! ```
//!
//! A change is never applied backwards one by one. [`replay`] *selects*: for each
//! cell of the snapshot it finds the one record that supplies it, and values are
//! copied only when a file is written. So neither a ledger nor a table is ever
//! held whole.
//!
//! # Map
//!
//! | module | job |
//! |---|---|
//! | [`model`] | the nouns that all stages share, and the one definition of equal cells |
//! | [`plan`] | what the datasets are, where their files lie, and `WHEN` |
//! | [`read`] | files of any supported format as groups of typed rows that can be read again |
//! | [`ledger`] | records of any supported format as typed changes, in one total order |
//! | [`replay`] | the kernel: which record supplies which cell, and where the ledger contradicts itself |
//! | [`verify`] | what is wrong, in words |
//! | [`mod@snapshot`] | the table at the as-of as a lazy sequence of row groups, and its verdicts |
//! | [`report`] | views of results for people |
//! | [`export`] | results as files, complete or not there at all |
//! | [`pipeline`] | the runs: snapshot, verify, explain, history, inspect |
//! | [`check`] | evidence packages re-verified from their own files |
//!
//! # What holds everywhere
//!
//! - Bad data is a [`Discrepancy`] that is returned; an [`Error`] only means that
//!   the run cannot proceed.
//! - No value passes through floating point unless it is one.
//! - Equal inputs give equal bytes, for any number of threads.
//! - The library never prints, exits or reads the environment, and uses no
//!   process-wide thread pool.
//!
//! # Example
//!
//! Two accounts today, and the changes since the table was created. How did the
//! table stand at the end of the year?
//!
//! ```
//! use std::fs;
//!
//! use asof::pipeline::{self, progress::Silent};
//! use asof::{Moment, Output, OutputFormat, Plan, Policy, RunOptions, SnapshotRequest};
//!
//! let folder = tempfile::tempdir()?;
//! fs::write(folder.path().join("accounts.csv"), "id,balance\n1,70.00\n2,5.00\n")?;
//! fs::write(
//!     folder.path().join("ledger.ndjson"),
//!     r#"{"seq":1,"op":"insert","committed_at":"2025-11-03T09:00:00Z","before":null,"after":{"id":1,"balance":"50.00"}}
//! {"seq":2,"op":"update","committed_at":"2026-01-02T10:00:00Z","before":{"id":1,"balance":"50.00"},"after":{"id":1,"balance":"70.00"}}
//! {"seq":3,"op":"insert","committed_at":"2026-01-05T16:30:00Z","before":null,"after":{"id":2,"balance":"5.00"}}
//! "#,
//! )?;
//!
//! let text = r#"
//!     [datasets.accounts]
//!     key = ["id"]
//!     measures = ["balance"]
//!     current = { path = "accounts.csv", at = "2026-01-10T08:00:00Z" }
//!     ledger = { path = "ledger.ndjson", from_birth = true, complete_to = "2026-01-10T08:00:00Z" }
//! "#;
//! let plan = Plan::parse(text, folder.path())?;
//! let now = 1_768_000_000_000_000_000; // nanoseconds since the epoch
//! let moments = Moment::parse("2025-12-31", &plan.calendar, now)?;
//! let out = folder.path().join("evidence");
//! let request = SnapshotRequest {
//!     plan,
//!     moments,
//!     output: Output::Folder { path: out.clone(), format: OutputFormat::Csv },
//!     replace: false,
//!     verify: true,
//!     provenance: false,
//!     csv_safe: false,
//!     schema: asof::pipeline::request::SchemaAt::Current,
//!     policy: Policy::default(),
//!     options: RunOptions::at(now),
//! };
//! let outcome = pipeline::snapshot(&request, &Silent)?;
//!
//! let moment = &outcome.moments[0];
//! assert!(moment.discrepancies.is_empty());
//! let accounts = &moment.datasets[0];
//! assert_eq!((accounts.current_rows, accounts.inserts_undone, accounts.rows), (2, 1, 1));
//! assert_eq!(accounts.measures[0].snapshot, "50.00");
//! assert_eq!(fs::read_to_string(out.join("accounts.csv"))?, "id,balance\n1,50.00\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One table without a plan file: [`OneDataset::into_plan`](plan::OneDataset::into_plan).
//!
//! # In memory
//!
//! The same from record batches to record batches, without a file: inputs from
//! [`Dataset::in_memory`](plan::Dataset::in_memory), the result by [`Output::Memory`].
//! The changes are a table with a row per change; here with the cells of both images
//! as columns named `old_*` and `new_*`. Inputs from files and results in memory, or
//! the other way round, go together too.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
//! use arrow::datatypes::Int64Type;
//! use asof::pipeline::{self, progress::Silent};
//! use asof::plan::Dataset;
//! use asof::{Moment, Output, Plan, Policy, RunOptions, SnapshotRequest};
//!
//! let numbers = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
//! let texts = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
//! let current = RecordBatch::try_from_iter([
//!     ("id", numbers(&[Some(1), Some(2)])),
//!     ("balance", numbers(&[Some(70), Some(5)])),
//! ])?;
//! let changes = RecordBatch::try_from_iter([
//!     ("seq", numbers(&[Some(1), Some(2), Some(3)])),
//!     ("op", texts(&["insert", "update", "insert"])),
//!     ("committed_at", texts(&["2025-11-03T09:00:00Z", "2026-01-02T10:00:00Z", "2026-01-05T16:30:00Z"])),
//!     ("old_id", numbers(&[None, Some(1), None])),
//!     ("old_balance", numbers(&[None, Some(50), None])),
//!     ("new_id", numbers(&[Some(1), Some(1), Some(2)])),
//!     ("new_balance", numbers(&[Some(50), Some(70), Some(5)])),
//! ])?;
//!
//! let mut accounts = Dataset::in_memory("accounts", &["id"], vec![current], vec![changes])?;
//! accounts.measures = vec!["balance".to_owned()];
//! accounts.ledger.from_birth = true;
//! let plan = Plan::of(vec![accounts])?;
//! let now = 1_768_000_000_000_000_000; // nanoseconds since the epoch
//! let moments = Moment::parse("2025-12-31", &plan.calendar, now)?;
//! let request = SnapshotRequest {
//!     plan,
//!     moments,
//!     output: Output::Memory,
//!     replace: false,
//!     verify: true,
//!     provenance: false,
//!     csv_safe: false,
//!     schema: asof::pipeline::request::SchemaAt::Current,
//!     policy: Policy::default(),
//!     options: RunOptions::at(now),
//! };
//! let outcome = pipeline::snapshot(&request, &Silent)?;
//!
//! let moment = &outcome.moments[0];
//! assert!(moment.discrepancies.is_empty());
//! assert_eq!(moment.datasets[0].verdicts.restored, 2);
//! let batches = moment.batches.as_ref().expect("asked for in memory");
//! let accounts = &batches.tables[0].batches;
//! assert_eq!(accounts.len(), 1);
//! assert_eq!(accounts[0]["balance"].as_primitive::<Int64Type>().values(), &[50]);
//! let verdicts = &batches.verdicts[0];
//! assert_eq!(verdicts["key"].as_string::<i32>().value(0), "id=1");
//! assert_eq!(verdicts["verdict"].as_string::<i32>().value(0), "restored");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod check;
mod error;
pub mod export;
pub mod ledger;
pub mod model;
pub mod pipeline;
pub mod plan;
#[cfg(feature = "query")]
pub mod query;
pub mod read;
pub mod replay;
pub mod report;
pub mod snapshot;
#[doc(hidden)]
pub mod testing;
pub mod verify;

pub use error::{At, Error, Result, nearest};
pub use model::{Discrepancy, DiscrepancyKind, Severity};
pub use pipeline::request::{Output, OutputFormat, Policy, RunOptions, SnapshotRequest};
pub use pipeline::{Discrepancies, SnapshotBatches, SnapshotOutcome};
pub use plan::{Dataset, Moment, OneDataset, Plan};
pub use snapshot::Verdict;
