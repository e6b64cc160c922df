//! The kernel: which record supplies which cell, and where the ledger contradicts itself.
//!
//! ```text
//! ChangeBatch ──facts::scan──► Facts ──Shard::new──► histories ──┬─ select ──► Choices per lane
//!                                                                └─ chain ───► Conflicts
//! ```
//!
//! Everything here works on identities, ranks and hashes. It does no I/O, reads
//! no clock, prints nothing and knows no format; values are copied elsewhere.

pub mod chain;
pub mod facts;
pub mod history;
pub mod multiset;
pub mod select;
pub mod shard;
mod straight;
