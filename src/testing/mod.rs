//! Seeded histories for tests and benches: what really happened, and what a
//! user is handed of it.
//!
//! ```text
//!  Options ──generate──► History ──deliver(Shape)──► Delivery ──► ChangeBatch, Parquet, NDJSON, CSV
//!  (seed)                every true state            current + ledger    ▲
//!                        after each commit                │              │
//!                                                         └─ Fault::plant┘
//! ```
//!
//! A [`History`] is played forward by a toy database and knows the true state
//! after every commit: the oracle. A [`Delivery`] is what its producer tells:
//! images may be partial, transactions interleaved, records repeated. A
//! [`Fault`] then corrupts exactly one thing and says what must be found.
//!
//! Not part of the promised interface of the crate.
//!
//! ```
//! use asof::testing::{KeyShape, Options, Shape, generate};
//!
//! let history = generate(&Options::new(1, KeyShape::Int));
//! let delivery = history.deliver(&Shape::default());
//! assert_eq!(delivery.current[0].len(), history.current()[0].len());
//! assert_eq!(delivery.records.len(), history.changes());
//! ```

mod database;
mod delivery;
mod emit;
mod fault;
mod history;
mod prng;
mod value;

pub use database::{Change, Database, History, State, Transaction};
pub use delivery::{Delivery, Image, ImageMode, InitialReads, Record, RecordOrder, Shape};
pub use emit::{parquet, rows_batch};
pub use fault::{Fault, Planted};
pub use history::{KeyShape, Options, START, cell, generate, uuid};
pub use prng::Prng;
pub use value::{Column, JsonDialect, Kind, Row, TableDef, Value, array, decimal_text, quoted};

#[cfg(test)]
mod tests;
