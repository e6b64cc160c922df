//! Files → typed tables and JSON records.

pub mod cell;
mod input;
mod json_chunks;
pub mod json_text;
pub mod paths;
mod source;
mod spool;
mod text;

pub use input::{InputFile, open_bytes};
pub use json_chunks::{JsonChunk, JsonChunks, JsonRecord};
pub use source::{CsvOptions, TableFormat, TableSource};
pub use spool::{Spool, SpoolWriter, SpooledTable};
