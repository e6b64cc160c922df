//! Deliveries in the forms in which the rest of the crate takes them.

mod columns;
mod text;

pub use columns::{parquet, rows_batch};
