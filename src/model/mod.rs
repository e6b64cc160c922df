//! The nouns that all stages share. Nothing here computes beyond its own invariants.
//!
//! ```text
//! TableSchema ── columns and key of a dataset
//! ChangeBatch ── ops, places and two sides of Images
//!   └ Images ── one array per column, and a CellState per cell
//! Discrepancy ── kind, place, evidence
//!   └ Cause   ── why it does not tie
//! Lanes      ── columns that are always known or unknown together
//! Ranks      ── where a change stands in its source's order
//! canon      ── the one definition of equal cells
//! LtHash     ── order-free digests of rows that can be added and subtracted
//! Sum        ── exact totals of cells; MeasureTotal and others: equations of them
//! ```

mod amount;
pub mod canon;
mod cause;
mod change;
mod difference;
mod digest;
mod discrepancy;
pub mod lanes;
mod lthash;
pub mod rank;
mod schema;
mod sum;
pub mod time;
mod total;

pub use amount::Amount;
pub use cause::Cause;
pub use change::{CellState, ChangeBatch, Images, NEVER, NO_TIME, Op};
pub use difference::{CauseShare, MeasureDifference};
pub use digest::{DigestTotal, RowDigests};
pub use discrepancy::{CellDifference, CurrentPlace, Discrepancy, DiscrepancyKind, LedgerPlace, Severity};
pub use lthash::LtHash;
pub use schema::TableSchema;
pub use sum::{Amounts, Sum};
pub use total::{GroupTotal, GroupValue, MeasureTotal, RowTotal};
