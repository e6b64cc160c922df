//! The whole order of a run; nothing else knows it.
//!
//! ```text
//! inputs ── tables opened, text ledgers parsed into a spool, lanes found
//!    │
//! scan ──── order of each source, facts per key                    pass 1  (scan → facts)
//!    │
//! standing  which keys stand, where, with what hash
//!    │
//! run ───── conflicts, evidence
//!    │
//! rebuild ─ per moment: choices, then the images that survive      pass 2, 3  (select, fetch)
//!    │
//! snapshot  output groups, verdicts, checks, manifest              pass 4  (emit)
//! ```

mod absent;
mod bands;
mod bridge;
mod checks;
mod columnar;
mod contested;
mod copies;
mod coverage;
mod differences;
mod digests;
mod dossier;
mod drift;
pub mod drill;
mod dropped;
mod effects;
mod emit;
mod evidence;
mod explain;
mod fetch;
mod findings;
mod history;
mod image_hashes;
mod in_force;
mod in_memory;
mod in_order;
mod inputs;
mod inspect;
mod layout;
mod manifest;
mod memory;
mod notes;
mod one_key;
mod opening;
mod outcome;
mod passes;
mod past;
mod places;
mod postings;
mod prefix;
pub mod progress;
mod propose;
mod provenance;
#[cfg(feature = "query")]
mod query;
mod rebuild;
mod reperform;
pub mod request;
mod run;
mod scan;
mod scope;
mod selected;
mod series;
mod snapshot;
mod standing;
mod timeline;
mod totals;
pub mod undo;
mod verdicts;
mod verify;
mod window;

pub use bridge::{
    BridgeFigures, BridgeGroup, BridgeLine, BridgeOutcome, BridgedDataset, BridgedMeasure, bridge,
};
pub use explain::{DatasetExplanation, ExplainedInput, Explanation, MomentExplanation, UndoneBy, explain};
pub use history::{ChangedCell, HistoryOutcome, HistoryStep, history};
pub use inspect::{Coverage, Inspected, InspectedColumn, InspectedLedger, InspectedTable, inspect};
pub use outcome::{
    DatasetOutcome, Discrepancies, KindCount, MomentOutcome, SnapshotBatches, SnapshotOutcome, TableBatches,
    VerifiedDataset, VerifyOutcome,
};
pub use propose::{Proposal, ProposeRequest, ProposedDataset, QUESTION, propose};
#[cfg(feature = "query")]
pub use query::{QueryOutcome, query};
pub use snapshot::snapshot;
pub use verdicts::VerdictCounts;
pub use verify::verify;

use crate::error::{Error, Result};
use request::RunOptions;

/// Runs in a thread pool of its own, so that nothing depends on a process-wide one.
fn in_pool<T: Send>(options: &RunOptions, run: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let threads = options.threads.map_or(0, std::num::NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| Error::Io {
        path: "thread pool".into(),
        action: "start",
        source: std::io::Error::other(e),
    })?;
    pool.install(run)
}

/// What was decided about the types of text columns, in words.
fn type_decisions(inputs: &inputs::Inputs) -> Vec<String> {
    let mut decisions = Vec::new();
    for dataset in &inputs.datasets {
        for decision in dataset.table.decisions() {
            let how = if decision.declared { "declared" } else { "inferred" };
            let (name, data_type) = (&decision.column, &decision.data_type);
            decisions.push(format!("{}.{name}: {data_type}, {how} ({})", dataset.plan.name, decision.reason));
        }
    }
    decisions
}
