//! The program on its own sample: everything planted is found, nothing else,
//! and what is not contradicted is true.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, RecordBatch};
use asof::model::Severity;
use asof::model::canon::canonical_bytes;
use asof::pipeline::progress::Silent;
use asof::pipeline::request::{Output, OutputFormat, Policy, RunOptions, SnapshotRequest};
use asof::plan::{Moment, Plan};
use asof::testing::rows_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::data;
use super::files::{QUARTER_END, Sample, sample, truth};

type Cells = BTreeSet<Vec<Vec<u8>>>;

fn cells(batch: &RecordBatch) -> Cells {
    let bytes = |column: &dyn Array, row| {
        let mut bytes = Vec::new();
        canonical_bytes(column, row, &mut bytes);
        bytes
    };
    let row = |row: usize| batch.columns().iter().map(|c| bytes(c.as_ref(), row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn snapshot_cells(path: &Path) -> Cells {
    let file = File::open(path).expect("a snapshot");
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file").build().expect("readable");
    reader.flat_map(|batch| cells(&batch.expect("a readable batch"))).collect()
}

fn run(moment: &str, folder: &Path) -> asof::pipeline::SnapshotOutcome {
    let plan = Plan::open(&data().join("plan.toml")).expect("a valid plan");
    let request = SnapshotRequest {
        moments: Moment::parse(moment, &plan.calendar, 0).expect("a moment"),
        plan,
        output: Output::Folder { path: folder.join("evidence"), format: OutputFormat::Parquet },
        replace: false,
        verify: true,
        provenance: false,
        csv_safe: false,
        schema: asof::pipeline::request::SchemaAt::Current,
        policy: Policy::default(),
        options: RunOptions::at(0),
    };
    asof::pipeline::snapshot(&request, &Silent).expect("the sample can be rebuilt")
}

/// How many rows of each dataset differ from the truth at the quarter's end, and why:
/// one edited balance, one lost customer, one revived invoice, one altered before image.
const DIFFERING: [(&str, usize, usize); 5] = [
    ("customers", 1, 0),
    ("accounts", 1, 1),
    ("payments", 0, 0),
    ("invoices", 0, 1),
    ("journal_lines", 1, 1),
];

#[test]
fn snapshot_of_the_quarter_is_true_but_for_what_was_planted() {
    let Sample { history, .. } = sample();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let outcome = run("2025-09-30", folder.path());
    for (table, (name, missing, unexpected)) in DIFFERING.iter().enumerate() {
        let rows = truth(&history, table, QUARTER_END);
        let truth = cells(&rows_batch(&history.tables[table], rows.iter()).expect("a table of the sample"));
        let found = snapshot_cells(&outcome.moments[0].path.join(format!("{name}.parquet")));
        assert_eq!(truth.difference(&found).count(), *missing, "{name}: rows missing");
        assert_eq!(found.difference(&truth).count(), *unexpected, "{name}: rows too many");
    }
}

#[test]
fn everything_planted_is_found_and_no_other_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let outcome = run("2025-09-30", folder.path());
    let found = &outcome.moments[0].discrepancies.listed;
    let findings = sample().findings;
    for finding in &findings {
        let named = |d: &&asof::model::Discrepancy| {
            d.kind.code() == finding.code && d.dataset == finding.dataset && d.key.contains(&finding.key)
        };
        assert!(found.iter().any(|d| named(&d)), "{finding:?} was not found");
    }
    let errors = found.iter().filter(|d| d.severity() == Severity::Error).count();
    let planted = findings.iter().filter(|f| f.code != "duplicate-change").count();
    assert_eq!(errors, planted, "{found:#?}");
    assert!(found.iter().all(|d| d.severity() != Severity::Warning), "the plan leaves nothing to assume");
}
