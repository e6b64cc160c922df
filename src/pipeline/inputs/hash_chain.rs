//! Hash chains of ledgers, where the plan names their columns: followed once per source.

use super::Inputs;
use crate::error::Result;
use crate::ledger;
use crate::model::DiscrepancyKind as Kind;
use crate::plan::HashChain;
use crate::read::Spool;

/// Follows the chains that datasets declare, each once, and tells the first dataset of each what does not hold.
pub(super) fn check(inputs: &mut Inputs, spool: &Spool) -> Result<()> {
    for source in &inputs.sources {
        let mut chains: Vec<(usize, HashChain)> = Vec::new();
        for &dataset in &source.datasets {
            let declared = inputs.datasets[dataset].plan.ledger.hash_chain.clone();
            let new = declared.filter(|chain| chains.iter().all(|(_, known)| known != chain));
            chains.extend(new.map(|chain| (dataset, chain)));
        }
        for (dataset, chain) in chains {
            let ledger = &inputs.datasets[dataset].plan.ledger;
            let found = ledger::follow_hashes(&source.files, ledger, &chain, spool)?;
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
    }
    Ok(())
}
