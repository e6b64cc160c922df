//! Files → typed tables and JSON records.
//!
//! ```text
//!  path, folder, wildcard ─► paths ─► InputFile (size, time, digest; gzip and zstd by content)
//!                                        │
//!              ┌─────────────┬───────────┼──────────────┬──────────────┐
//!           parquet         ipc      csv, json_table              json_chunks
//!         footer checked  messages    untyped blocks            whole records of
//!         once, read in    checked   infer ─► typed              a text ledger
//!           place            │        (cell)  │                        │
//!              └─────────────┴─── spool ──────┘                        ▼
//!                              │                                  JSON decoders
//!                              ▼
//!         Table: groups of rows, any column alone, in any order, as often as needed
//! ```
//!
//! Limits: text is UTF-8, or UTF-16 with a byte order mark. A record has at most
//! 1 GiB. Everything that a file claims about itself (offsets, lengths, counts) is
//! compared with the file before memory is asked for; a panic in a columnar reader
//! becomes an error of its file. Bad values and records never stop the reading:
//! they are discrepancies of the table.

mod block;
pub mod cell;
mod columns;
mod csv;
mod flat;
mod footer;
mod group;
mod guard;
#[cfg(test)]
mod hostile_tests;
mod infer;
mod input;
mod ipc;
pub(crate) mod json_bytes;
mod json_chunks;
pub(crate) mod json_scan;
mod json_table;
pub mod json_text;
mod meanwhile;
mod memory;
mod nullability;
mod packed;
mod pages;
mod parquet;
pub mod paths;
mod record_rows;
mod source;
mod spool;
mod table;
mod taken;
mod text;
mod typed;

pub(crate) use columns::of_types;
pub(crate) use flat::release_buffers;
pub use guard::is_guarded;
pub use infer::TypeDecision;
pub(crate) use input::read_error;
pub use input::{InputFile, open_bytes};
pub(crate) use json_chunks::find as find_byte;
pub use json_chunks::{ChangeRows, JsonChunk, JsonChunks, JsonRecord};
pub(crate) use meanwhile::DigestsMeanwhile;
pub use memory::Batches;
pub use packed::{leaf_count, plain_type, unpacked};
pub use parquet::{Packing, ParquetGroup};
pub use record_rows::RecordRows;
pub(crate) use record_rows::RowReader;
pub use source::{CsvEscape, CsvOptions, TableFormat, TableSource};
pub(crate) use spool::read_at;
pub use spool::{Spool, SpoolWriter, SpooledTable};
pub use table::Table;
pub(crate) use table::{columns_of, detect as table_format};
pub(crate) use taken::TextRows;
pub(crate) use text::{is_plain as is_plain_text, utf8 as utf8_text, xml as xml_text};
