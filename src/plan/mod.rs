//! The plan: what the datasets are, where their files lie, and what others say about them.
//!
//! A [`Plan`] is the documented procedure of a run. It comes from a TOML file
//! ([`Plan::open`], [`Plan::parse`]), for one dataset from a few paths
//! ([`OneDataset::into_plan`]), or for tables in memory from their batches
//! ([`Dataset::in_memory`], [`Plan::of`]), and is validated before any data is read: unknown keys
//! name the nearest valid one with its line and column. Nothing here opens a
//! data file; columns are checked against the data by those who read it.
//!
//! ```text
//! Plan ── calendar (time zone, fiscal year)
//!  ├ Dataset ── key, measures, references, tie-outs
//!  │   ├ Current ── files, extract moment, scope
//!  │   ├ Ledger ── files, format, mapping, window
//!  │   └ Opening ── a trusted earlier snapshot
//!  └ Accepted ── known findings
//! ```

mod calendar;
mod declaration;
mod file;
mod filter;
mod flags;
mod ledger;
mod period;
mod postings;
mod when;
mod zone;

pub use crate::read::{Batches, CsvEscape, CsvOptions, TableFormat, TableSource};
pub use calendar::Calendar;
pub use declaration::{
    Accepted, Current, Dataset, Figures, Normalisation, Opening, Plan, Reference, Reported, UpTo,
};
pub use filter::{BoundFilter, Filter, FilterError};
pub use flags::OneDataset;
pub use ledger::{HashChain, Ledger, LedgerClock, LedgerColumns, LedgerFormat, MissingCells, ValueCoding};
pub use postings::{AmountColumns, Closing, DateOrder, DecimalSign, OpeningEntries, Postings, RowsExist};
pub use when::{Bound, Moment};
pub use zone::parse_zone;
