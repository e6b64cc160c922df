//! The whole ledger against itself and the current state, and this against what the plan expects of it.

use std::path::Path;

use super::checks;
use super::findings::{Findings, Found, Gathered, Known};
use super::outcome::{VerifiedDataset, VerifyOutcome};
use super::postings;
use super::progress::Progress;
use super::request::VerifyRequest;
use super::run::{Run, RunPlan};
use crate::error::{Error, Result};
use crate::export::package::Staged;
use crate::export::tables::DiscrepancyFile;
use crate::model::time;
use crate::read::Spool;

/// Verifies every dataset of a plan.
///
/// # Errors
/// An input cannot be read, or the list of discrepancies cannot be written.
pub fn verify(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyOutcome> {
    super::in_pool(&request.options, || run(request, progress))
}

pub(super) fn run(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyOutcome> {
    let spool = Spool::new(request.options.spool.as_deref());
    let plan = RunPlan {
        plan: &request.plan,
        verify: true,
        now: request.options.now,
        moments: &[],
        memory_limit: None,
        digests: false,
    };
    let file = request.discrepancies.as_deref().map(|path| DiscrepanciesFile::create(path, request.replace));
    let file = file.transpose()?;
    let run = Run::new(plan, &spool, progress)?;
    let mut of_extracts = Findings::new(&spool, &Known::new(&request.plan, request.options.now));
    for (input, analysed) in run.inputs.datasets.iter().zip(&run.analysed) {
        let found = checks::of_extract(input, analysed.standing.count)?;
        of_extracts.push_sorted(found.into_iter().map(Found::always).collect())?;
    }
    let of_extracts = of_extracts.finish()?;
    run.inputs.check_unchanged()?;
    let own = run.analysed.iter().map(|analysed| &analysed.found).chain([&of_extracts]);
    let found = Gathered(own.map(|found| (found, None)).collect());
    let mut discrepancies = found.summary();
    discrepancies.differences = found.explained().equations(&request.plan, &[]);
    if let Some(DiscrepanciesFile { staged, file }) = file {
        found.write(vec![file])?;
        staged.publish_file(NAME)?;
    }
    let instant = |t: Option<i64>| t.map(time::format_instant);
    let datasets = run.inputs.datasets.iter().zip(&run.analysed).zip(&run.windows);
    Ok(VerifyOutcome {
        datasets: datasets
            .map(|((input, analysed), window)| VerifiedDataset {
                name: input.plan.name.clone(),
                changes: analysed.counts.changes,
                keys: analysed.counts.keys,
                agreeing: analysed.counts.agreeing,
                current_rows: analysed.standing.count,
                window: (instant(window.from), instant(window.last)),
            })
            .collect(),
        discrepancies,
        equations: run.inputs.datasets.iter().flat_map(postings::equations).collect(),
        assumptions: run.windows.iter().flat_map(|w| w.assumptions.clone()).collect(),
        types: super::type_decisions(&run.inputs),
    })
}

const NAME: &str = "discrepancies";

/// The list that `--discrepancies` asks for, refused before the work if it cannot be written.
struct DiscrepanciesFile {
    staged: Staged,
    file: DiscrepancyFile,
}

impl DiscrepanciesFile {
    fn create(path: &Path, replace: bool) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let create = match extension.as_str() {
            "csv" => DiscrepancyFile::csv,
            "parquet" => DiscrepancyFile::parquet,
            _ => {
                return Err(Error::Plan {
                    place: path.display().to_string(),
                    message: "expected a file name that ends in .parquet or .csv".to_owned(),
                    hint: None,
                });
            }
        };
        let staged = Staged::folder(path, replace)?;
        let file = create(&staged.path().join(NAME))?;
        Ok(Self { staged, file })
    }
}
