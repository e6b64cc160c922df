//! Files → typed tables and JSON records.

mod block;
pub mod cell;
mod csv;
mod guard;
#[cfg(test)]
mod hostile_tests;
mod infer;
mod input;
mod ipc;
mod json_chunks;
mod json_table;
pub mod json_text;
mod parquet;
pub mod paths;
mod source;
mod spool;
mod table;
mod text;
mod typed;

pub use guard::is_guarded;
pub use infer::TypeDecision;
pub use input::{InputFile, open_bytes};
pub use json_chunks::{JsonChunk, JsonChunks, JsonRecord};
pub use parquet::ParquetGroup;
pub use source::{CsvOptions, TableFormat, TableSource};
pub use spool::{Spool, SpoolWriter, SpooledTable};
pub use table::Table;
