//! All integration tests, in one binary so that the crate is linked once.
//!
//! | module | what belongs there |
//! |---|---|
//! | `bad_input` | files and places that no run can use, full disks, killed runs |
//! | `bridge` | opening + movements = closing, against forward histories and with planted breaks |
//! | `cases` | the text cases under `tests/cases`, their format and their runner |
//! | `cli` | help, exit statuses, wiring of the command line |
//! | `delta_folders` | folders of Delta tables with deletion vectors against forward histories |
//! | `docs` | the page of every discrepancy |
//! | `evidence` | the evidence folder: control totals, digests, what `check` makes of a changed file |
//! | `drill` | rehearsals: reproduced, restated, planted faults |
//! | `field_histories` | histories of fields against a forward history that remembers every state |
//! | `findings` | what becomes of findings: files, memory, terminal, acceptance |
//! | `harness` | temporary folders, hermetic runs of the program |
//! | `init` | proposed plans: right or asking, loadable, never over a file |
//! | `kernel` | the kernel alone against the oracle, without files |
//! | `measures` | amounts: unknown ones, sums that there are not, how far an acceptance goes |
//! | `memory` | record batches in, record batches out |
//! | `memory_limit` | peak memory under a limit, measured; the same bytes |
//! | `movements` | postings against a forward history of balances that remembers every state |
//! | `image_columns` | hashes of images made a column at a time, beside those of whole images |
//! | `one_key` | the history of one key, told from few pages or from the whole ledger |
//! | `packages` | honest evidence folders of any types and formats, sound to both checking programs |
//! | `parquet_output` | what is copied, what is encoded, and what other readers make of both |
//! | `properties` | random histories against oracle, twin, planted faults and thread counts |
//! | `query` | SQL over results (feature `query`), and every shipped query with planted data |
//! | `readme` | the tour of the README, run |
//! | `real` | real ledgers with independent ground truth |
//! | `registry` | every discrepancy kind has a minimal case and a clean twin |
//! | `reports` | what a person opens: report and workbook, with hostile names, nothing wrong, much wrong |
//! | `reperform` | the script that recomputes a package, under DuckDB |
//! | `sample` | how the shipped sample is made |
//! | `skipped_groups` | rebuilds that read nothing of row groups before the moment |
//! | `streams` | real change streams and binary logs with independent ground truth |
//! | `table` | text tables to Arrow and Parquet, and back |
//! | `tidy` | the rules of layout that no compiler holds |
//! | `twin` | the naive second implementation |
//! | `undo` | reversing change sets on real databases |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and reports by printing"
)]

mod bad_input;
mod bridge;
mod cases;
mod cli;
mod delta_folders;
mod docs;
mod drill;
mod evidence;
mod field_histories;
mod findings;
mod harness;
mod image_columns;
mod init;
mod kernel;
mod measures;
mod memory;
mod memory_limit;
mod movements;
mod one_key;
mod packages;
mod parquet_output;
mod properties;
mod query;
mod readme;
mod real;
mod registry;
mod reperform;
mod reports;
mod sample;
mod skipped_groups;
mod streams;
mod table;
mod tidy;
mod twin;
mod undo;
