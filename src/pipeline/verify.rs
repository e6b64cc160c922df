//! The whole ledger against itself and the current state.

use super::checks;
use super::outcome::{VerifiedDataset, VerifyOutcome};
use super::progress::Progress;
use super::request::VerifyRequest;
use super::run::{Run, RunPlan};
use super::snapshot::sort;
use crate::error::{Error, Result};
use crate::export::package::Staged;
use crate::export::tables;
use crate::model::{Discrepancy, time};
use crate::read::Spool;

/// Verifies every dataset of a plan.
///
/// # Errors
/// An input cannot be read, or the list of discrepancies cannot be written.
pub fn verify(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyOutcome> {
    super::in_pool(&request.options, || run(request, progress))
}

fn run(request: &VerifyRequest, progress: &dyn Progress) -> Result<VerifyOutcome> {
    let spool = Spool::new(request.options.spool.as_deref());
    let plan = RunPlan { plan: &request.plan, verify: true, moments: &[] };
    let run = Run::new(plan, &spool, progress)?;
    run.inputs.check_unchanged()?;
    let mut discrepancies: Vec<Discrepancy> =
        run.analysed.iter().flat_map(|a| a.found.iter().map(|f| f.discrepancy.clone())).collect();
    discrepancies.iter_mut().for_each(|d| d.touches_snapshot = false);
    checks::accept(&request.plan, request.options.now, &mut discrepancies);
    sort(&mut discrepancies);
    if let Some(path) = &request.discrepancies {
        let staged = Staged::folder(path, request.replace)?;
        let csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let file = staged.path().join("discrepancies");
        if csv {
            tables::write_discrepancies_csv(&discrepancies, &file)?;
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) {
            tables::write_discrepancies_parquet(&discrepancies, &file)?;
        } else {
            return Err(Error::Plan {
                place: path.display().to_string(),
                message: "expected a file name that ends in .parquet or .csv".to_owned(),
                hint: None,
            });
        }
        staged.publish_file("discrepancies")?;
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
        assumptions: run.windows.iter().flat_map(|w| w.assumptions.clone()).collect(),
        types: super::type_decisions(&run.inputs),
    })
}
