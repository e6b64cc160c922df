//! Tables without a key, verified: each distinct row must stand as often as its records add up to.
//!
//! Where the ledger does not know how many copies there were at first, more than it
//! adds up to is no contradiction; fewer always is.

use rayon::prelude::*;

use super::evidence::{CHUNK, Evidence, Records};
use super::findings::{Findings, Found};
use super::run::{Analysed, Run};
use crate::error::Result;
use crate::model::{Amount, DiscrepancyKind as Kind};
use crate::replay::multiset::{self, Miscount};

const MISSING: &str = "the ledger's records leave more copies of this row than the current state has: copies were \
                       removed without a record, or values were altered";
const UNEXPECTED: &str = "the current state has more copies of this row than the ledger's records leave: this one was \
                          created without a record, or its insert is missing from the ledger";
const ABSENT: &str = "deletes a copy of a row that, by the ledger, does not exist: its insert is missing from the \
                      ledger, or values were altered";

/// Compares counts, marks rows whose count differs as contradicted, and says what differs.
pub(super) fn verify(
    run: &Run,
    dataset: usize,
    analysed: &mut Analysed,
    findings: &mut Findings,
) -> Result<()> {
    let timeline = run.timeline_of(dataset, analysed);
    let histories = &analysed.histories;
    let shards: Vec<Vec<Miscount>> = (0..histories.shards.len())
        .into_par_iter()
        .map(|s| {
            multiset::verify(&histories.shards[s], histories.bases[s], timeline, &analysed.standing.copies)
        })
        .collect();
    let mut miscounts = shards.concat();
    // Slots follow a random hash and must steer nothing.
    miscounts.sort_unstable_by_key(|m| m.last);
    analysed.contradicted.extend(miscounts.iter().map(|m| (m.slot, u32::MAX)));
    analysed.counts.agreeing = analysed.counts.keys.saturating_sub(miscounts.len() as u64);
    let evidence = run.evidence(dataset, &analysed.histories, &analysed.standing);
    say_absent(run, dataset, (&evidence, &miscounts), findings)?;
    say_missing(&evidence, &miscounts, findings)?;
    say_unexpected(&evidence, &miscounts, findings)
}

/// Deletes of what was not there.
fn say_absent(
    run: &Run,
    dataset: usize,
    (evidence, miscounts): (&Evidence<'_>, &[Miscount]),
    findings: &mut Findings,
) -> Result<()> {
    let ranks = run.order(dataset).order.ranks(evidence.input.member);
    let mut absent: Vec<(u64, u32)> = miscounts.iter().filter_map(|m| m.absent).collect();
    absent.sort_unstable_by_key(|&(_, index)| index);
    for chunk in absent.chunks(CHUNK) {
        let indices: Vec<u32> = chunk.iter().map(|&(_, index)| index).collect();
        let found = evidence.changes(Kind::DeleteOfAbsent, &indices, |_| ABSENT.to_owned())?;
        let found = found.into_iter().zip(chunk).map(|(mut discrepancy, &(count, index))| {
            discrepancy.count = count;
            Found { discrepancy, rank: Some(ranks.of(index)) }
        });
        findings.push(found)?;
    }
    Ok(())
}

/// Copies that the ledger has and the current state has not.
fn say_missing(evidence: &Evidence<'_>, miscounts: &[Miscount], findings: &mut Findings) -> Result<()> {
    let missing: Vec<&Miscount> = miscounts.iter().filter(|m| m.surplus < 0).collect();
    for chunk in missing.chunks(CHUNK) {
        let indices: Vec<u32> = chunk.iter().map(|m| m.last).collect();
        let records = evidence.records(indices.iter().copied())?;
        let mut found = evidence.changes(Kind::CurrentMissing, &indices, |_| MISSING.to_owned())?;
        for (discrepancy, miscount) in found.iter_mut().zip(chunk) {
            discrepancy.count = miscount.surplus.unsigned_abs();
            let amounts = amounts(evidence, miscount.last, &records).into_iter();
            let differences = amounts.map(|a| a.and_then(|a| a.times(miscount.surplus)));
            discrepancy.effects = evidence.named(differences.collect());
            discrepancy.amounts.clone_from(&discrepancy.effects);
            findings.add_whole(&discrepancy.dataset, &discrepancy.effects);
        }
        let against_current = |discrepancy| Found { discrepancy, rank: Some(u32::MAX) };
        findings.push(found.into_iter().map(against_current))?;
    }
    Ok(())
}

/// Copies that the current state has and the ledger has not; of equal rows, the last ones.
fn say_unexpected(evidence: &Evidence<'_>, miscounts: &[Miscount], findings: &mut Findings) -> Result<()> {
    let mut copies = evidence.standing.copy_rows.clone();
    copies.sort_unstable();
    let mut rows = Vec::new();
    for miscount in miscounts.iter().filter(|m| m.surplus > 0) {
        let upto = copies.partition_point(|c| c.0 <= miscount.slot);
        let surplus = usize::try_from(miscount.surplus).unwrap_or(upto).min(upto);
        rows.extend(copies[upto - surplus..upto].iter().map(|&(_, row)| row));
    }
    rows.sort_unstable();
    for chunk in rows.chunks(CHUNK) {
        let found = evidence.current_rows(Kind::CurrentUnexpected, chunk, UNEXPECTED)?;
        found.iter().for_each(|d| findings.add_whole(&d.dataset, &d.effects));
        findings.push(found.into_iter().map(Found::always))?;
    }
    Ok(())
}

/// The measures of a row by a record of it; `None` where they are no amounts.
fn amounts(evidence: &Evidence<'_>, index: u32, records: &Records) -> Vec<Option<Amount>> {
    let input = evidence.input;
    let amount = |name: &String| {
        let column = input.schema.column(name)?;
        let (array, row) = evidence.last_known(column, &[index], records)?;
        super::effects::measured(array, row)
    };
    input.plan.measures.iter().map(amount).collect()
}
