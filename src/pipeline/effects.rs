//! By how much what does not tie at the end of the ledger moves the totals of measures:
//! the current value of a row minus the one that the ledger knew last.
//!
//! Rows whose hashes agree move nothing, so only the others are looked at, and the sum of
//! these effects is the whole difference between the two totals.

use arrow::array::{Array, ArrayRef, RecordBatch};

use super::evidence::{CHUNK, Evidence, LOOK_BACK, Records};
use super::standing::{DuplicateKey, Standing};
use crate::error::Result;
use crate::model::{Amount, Discrepancy};
use crate::replay::chain::{Closing, Conflict};
use crate::replay::facts::HAS_AFTER;

/// Stands for an amount that nothing states.
pub(super) const UNKNOWN: &str = "unknown";

impl Evidence<'_> {
    /// By how much conflicts make the current total of each measure differ from the ledger's.
    pub(super) fn total_effects(&self, conflicts: &[Conflict]) -> Result<Vec<(String, String)>> {
        let mut totals: Vec<Option<Amount>> = vec![Some(Amount::ZERO); self.input.plan.measures.len()];
        for chunk in conflicts.chunks(CHUNK) {
            let records = self.records(chunk.iter().flat_map(|c| self.closing_indices(c)))?;
            let rows = self.rows(chunk.iter().map(|c| self.standing.rows[c.slot as usize]))?;
            for conflict in chunk {
                let current = rows.find(self.standing.rows[conflict.slot as usize]);
                for (total, effect) in totals.iter_mut().zip(self.effects(conflict, &records, current)) {
                    *total = total.zip(effect).and_then(|(total, effect)| total.plus(effect));
                }
            }
        }
        Ok(self.named(totals))
    }

    /// Per measure, current minus last known value; `None` where one of them is not known.
    pub(super) fn effects(
        &self,
        conflict: &Conflict,
        records: &Records,
        current: Option<(&RecordBatch, usize)>,
    ) -> Vec<Option<Amount>> {
        let Some((closing, _)) = conflict.closing else { return Vec::new() };
        let indices = self.closing_indices(conflict);
        let effect = |name: &String| {
            let column = self.input.schema.column(name)?;
            let now = match (closing, current) {
                (Closing::Missing, _) => Amount::ZERO,
                (_, Some((batch, row))) => measured(batch.column(column), row)?,
                (_, None) => return None,
            };
            let known = match closing {
                Closing::Unexpected => Amount::ZERO,
                _ => self
                    .last_known(column, &indices, records)
                    .and_then(|(array, row)| measured(array, row))?,
            };
            now.minus(known)
        };
        self.input.plan.measures.iter().map(effect).collect()
    }

    /// Amounts per measure as text. What is nothing is left out.
    pub(super) fn named(&self, amounts: Vec<Option<Amount>>) -> Vec<(String, String)> {
        let measures = self.input.plan.measures.iter().zip(amounts);
        let differs = measures.filter(|(_, amount)| !amount.is_some_and(Amount::is_zero));
        let text = |amount: Option<Amount>| amount.map_or_else(|| UNKNOWN.to_owned(), |a| a.to_string());
        differs.map(|(name, amount)| (name.clone(), text(amount))).collect()
    }

    /// The measures of a row of the current state.
    pub(super) fn measures(&self, (batch, row): (&RecordBatch, usize)) -> Vec<Option<Amount>> {
        let schema = &self.input.schema;
        let amount = |name: &String| schema.column(name).and_then(|c| measured(batch.column(c), row));
        self.input.plan.measures.iter().map(amount).collect()
    }

    /// Of several current rows with one key the ledger means one at most: together they differ from
    /// what it knows of that key. `keys` rise, with a finding each.
    pub(super) fn add_duplicates(
        &self,
        keys: &[DuplicateKey],
        end: u32,
        found: &mut [Discrepancy],
    ) -> Result<()> {
        if self.input.plan.measures.is_empty() {
            return Ok(());
        }
        for (key, discrepancy) in keys.iter().zip(found) {
            // Each of them has a finding of its own.
            if self.standing.unmentioned.binary_search(&key.first).is_ok() {
                continue;
            }
            let mut totals = match key.slot {
                // A key that the ledger never mentions has been as its first row is.
                None => vec![Some(Amount::ZERO); self.input.plan.measures.len()],
                Some(slot) => {
                    let first = self.rows([key.first].into_iter())?;
                    let amounts = first.find(key.first).map(|row| self.measures(row)).unwrap_or_default();
                    let known = self.known_of_slot(slot, end)?;
                    amounts.into_iter().zip(known).map(|(now, known)| now?.minus(known?)).collect()
                }
            };
            for others in copies(self.standing, key.first).chunks(CHUNK) {
                let rows = self.rows(others.iter().map(|&(_, row)| row))?;
                for row in others.iter().filter_map(|&(_, row)| rows.find(row)) {
                    let amounts = self.measures(row);
                    let sums =
                        totals.iter().zip(amounts).map(|(total, amount)| total.as_ref()?.plus(amount?));
                    totals = sums.collect();
                }
            }
            discrepancy.effects = self.named(totals);
            discrepancy.amounts.clone_from(&discrepancy.effects);
        }
        Ok(())
    }

    /// The measures of a key by the ledger's word, before the rank `end`: nothing where it has no row.
    fn known_of_slot(&self, slot: u32, end: u32) -> Result<Vec<Option<Amount>>> {
        let (shard, key) = self.histories.of_slot(slot);
        let shard = &self.histories.shards[shard];
        let facts: Vec<usize> = shard.history(key).filter(|&f| shard.rank(f) < end).collect();
        let emptied = self.histories.truncates.iter().rfind(|&&rank| rank < end);
        let stands = |&last: &usize| {
            shard.facts.has(last, HAS_AFTER) && emptied.is_none_or(|&rank| rank < shard.rank(last))
        };
        let measures = &self.input.plan.measures;
        if !facts.last().is_some_and(stands) {
            return Ok(vec![Some(Amount::ZERO); measures.len()]);
        }
        let indices: Vec<u32> = facts.iter().rev().map(|&f| shard.facts.index[f]).take(LOOK_BACK).collect();
        let records = self.records(indices.iter().copied())?;
        let known = |name: &String| {
            let column = self.input.schema.column(name)?;
            let (array, row) = self.last_known(column, &indices, &records)?;
            measured(array, row)
        };
        Ok(measures.iter().map(known).collect())
    }

    /// A row without a key cannot be one that the ledger knows; where it claims to know all, it is too many.
    pub(super) fn add_null_keys(&self, locators: &[u64], found: &mut [Discrepancy]) -> Result<()> {
        if self.input.plan.measures.is_empty() || !self.input.plan.ledger.from_birth {
            return Ok(());
        }
        let rows = self.rows(locators.iter().copied())?;
        for (&locator, discrepancy) in locators.iter().zip(found) {
            let Some(row) = rows.find(locator) else { continue };
            discrepancy.effects = self.named(self.measures(row));
            discrepancy.amounts.clone_from(&discrepancy.effects);
        }
        Ok(())
    }
}

/// The further rows of the key whose first row this is.
fn copies(standing: &Standing, first: u64) -> &[(u64, u64)] {
    let all = &standing.duplicate_rows;
    let (from, to) = (all.partition_point(|c| c.0 < first), all.partition_point(|c| c.0 <= first));
    &all[from..to]
}

/// The amount in a cell; null is none.
pub(super) fn measured(array: &ArrayRef, row: usize) -> Option<Amount> {
    if array.is_null(row) { Some(Amount::ZERO) } else { Amount::of_cell(array.as_ref(), row) }
}
