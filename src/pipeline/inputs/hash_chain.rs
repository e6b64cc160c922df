//! Hash chains of ledgers, where the plan names their columns: followed once per source.

use super::Inputs;
use crate::error::Result;
use crate::ledger;
use crate::model::DiscrepancyKind as Kind;
use crate::read::Spool;

/// Follows the chains that datasets declare, and tells the first of each source what does not hold.
pub(super) fn check(inputs: &mut Inputs, spool: &Spool) -> Result<()> {
    for source in &inputs.sources {
        let declares = |&&dataset: &&usize| inputs.datasets[dataset].plan.ledger.hash_chain.is_some();
        let Some(&dataset) = source.datasets.iter().find(declares) else { continue };
        let input = &inputs.datasets[dataset];
        let Some(chain) = input.plan.ledger.hash_chain.clone() else { continue };
        let found = ledger::follow_hashes(&source.files, &input.plan.ledger, &chain, spool)?;
        let own = [&chain.hash, &chain.previous];
        for &member in &source.datasets {
            // A column that the plan gives a meaning is not unknown.
            inputs.datasets[member].discrepancies.retain(|d| {
                let column = d.cells.first().map(|cell| &cell.column);
                d.kind != Kind::UnknownColumn || column.is_none_or(|column| !own.contains(&column))
            });
        }
        let input = &mut inputs.datasets[dataset];
        for mut discrepancy in found {
            discrepancy.dataset.clone_from(&input.plan.name);
            input.discrepancies.push(discrepancy);
        }
    }
    Ok(())
}
