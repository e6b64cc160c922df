//! Conflicts, which are positions, become discrepancies, which are evidence: the
//! records and rows in question are read again and compared value by value.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch};
use rayon::prelude::*;

use super::effects::{UNKNOWN, measured};
use super::findings::{Findings, Found};
use super::inputs::{DatasetInput, SourceInput};
use super::scan::{Histories, Repeated};
use super::standing::{Standing, place};
use crate::error::Result;
use crate::ledger::want::Want;
use crate::model::{
    Amount, CellDifference, CellState, ChangeBatch, CurrentPlace, Discrepancy, DiscrepancyKind, LedgerPlace,
    NO_TIME, canon, time,
};
use crate::replay::chain::Conflict;
use crate::replay::select::NO_ROW;
use crate::verify::words;

/// How far back a last known cell is looked for.
pub(super) const LOOK_BACK: usize = 64;
/// Findings worked out at a time. Fewer means more passes over files whose places lie
/// scattered, more means more memory.
pub(super) const CHUNK: usize = 1 << 15;
/// Records read for them at a time, but for those of one conflict.
const RECORDS: usize = 1 << 17;

/// A conflict with everything that it is judged by.
struct Case<'a> {
    conflict: &'a Conflict,
    /// The changes that it is judged by, the latest first.
    records: Vec<(&'a ChangeBatch, usize)>,
    /// Of these, all but the one at which it shows.
    earlier: Vec<(&'a ChangeBatch, usize)>,
    /// The one at which it shows.
    shown: Option<(&'a ChangeBatch, usize)>,
    /// The current row, if there is one.
    current: Option<(&'a RecordBatch, usize)>,
}

/// Reads records and rows of one dataset for evidence.
pub(super) struct Evidence<'a> {
    pub input: &'a DatasetInput,
    pub source: &'a SourceInput,
    pub histories: &'a Histories,
    pub standing: &'a Standing,
}

/// The rows of a segment or group that were read again, rising, and what they hold.
type ReadAgain<T> = (Vec<u32>, T);

/// Records read again, by segment.
pub(super) struct Records {
    segments: BTreeMap<usize, ReadAgain<ChangeBatch>>,
}

impl Records {
    pub(super) fn find(&self, evidence: &Evidence<'_>, index: u32) -> Option<(&ChangeBatch, usize)> {
        let (segment, row) = evidence.input.store.locate(index);
        let (rows, batch) = self.segments.get(&segment)?;
        rows.binary_search(&row).ok().map(|at| (batch, at))
    }
}

/// Rows of the current state read again, by group.
pub(super) struct Rows {
    groups: BTreeMap<usize, ReadAgain<RecordBatch>>,
}

impl Rows {
    pub(super) fn find(&self, locator: u64) -> Option<(&RecordBatch, usize)> {
        let (group, row) = place(locator);
        let (rows, batch) = self.groups.get(&group)?;
        rows.binary_search(&(row as u32)).ok().map(|at| (batch, at))
    }
}

impl Evidence<'_> {
    /// Works out conflicts, by kind and then in the order of the ledger, a bounded number at a time.
    pub(super) fn conflicts(&self, mut conflicts: Vec<Conflict>, findings: &mut Findings) -> Result<()> {
        // Slots follow a random hash and must steer nothing.
        conflicts.par_sort_by_key(|c| self.order(c));
        let mut rest = conflicts.as_slice();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.chunk(rest));
            let records = self.records(chunk.iter().flat_map(|c| self.all_indices(c)))?;
            let rows = self.rows(chunk.iter().map(|c| self.standing.rows[c.slot as usize]))?;
            let found = chunk.par_iter().map(|c| (self.order(c), self.conflict(c, &records, &rows)));
            let mut found: Vec<_> = found.collect();
            found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.discrepancy.key.cmp(&b.1.discrepancy.key)));
            for conflict in chunk.iter().filter(|c| c.closing.is_some()) {
                let current = rows.find(self.standing.rows[conflict.slot as usize]);
                let effects = self.named(self.effects(conflict, &records, current));
                findings.add_whole(&self.input.plan.name, &effects);
            }
            findings.push(found.into_iter().map(|(_, found)| found))?;
            rest = after;
        }
        Ok(())
    }

    /// By kind, then by the change at which it shows, then by place in the current state.
    fn order(&self, conflict: &Conflict) -> (DiscrepancyKind, u32, u64) {
        // What has no place in the ledger comes first.
        let place = shown_at(conflict).wrapping_add(1);
        (conflict.kind, place, self.standing.rows[conflict.slot as usize])
    }

    /// How many of these conflicts are worked out next. Those of one place stay together.
    fn chunk(&self, conflicts: &[Conflict]) -> usize {
        let (mut count, mut records) = (0, 0);
        while count < conflicts.len() && count < CHUNK && records < RECORDS {
            records += self.all_indices(&conflicts[count]).len();
            count += 1;
        }
        while count < conflicts.len() && self.order(&conflicts[count]) == self.order(&conflicts[count - 1]) {
            count += 1;
        }
        count
    }

    /// The changes that a conflict is judged by: the one at which it shows and those before it.
    fn indices(&self, conflict: &Conflict) -> Vec<u32> {
        let (shard, key) = self.histories.of_slot(conflict.slot);
        let shard = &self.histories.shards[shard];
        if conflict.rank == u32::MAX {
            return self.closing_indices(conflict);
        }
        let upto = |f: &usize| shard.rank(*f) <= conflict.rank;
        let mut indices: Vec<u32> =
            shard.history(key).filter(upto).map(|f| shard.facts.index[f]).rev().take(LOOK_BACK).collect();
        indices.extend(Some(conflict.index).filter(|&i| i != u32::MAX));
        indices
    }

    /// The changes that tell what the ledger knew last, the latest first.
    pub(super) fn closing_indices(&self, conflict: &Conflict) -> Vec<u32> {
        let (shard, key) = self.histories.of_slot(conflict.slot);
        let shard = &self.histories.shards[shard];
        // What lies after the extract moment is not compared.
        let last = conflict.closing.map_or(u32::MAX, |(_, last)| last);
        let later = |index: &u32| last != u32::MAX && *index != last;
        let indices = shard.history(key).rev().map(|f| shard.facts.index[f]);
        indices.skip_while(later).take(LOOK_BACK).collect()
    }

    /// All changes that a conflict needs.
    fn all_indices(&self, conflict: &Conflict) -> Vec<u32> {
        let mut indices = self.indices(conflict);
        if conflict.rank != u32::MAX && conflict.closing.is_some() {
            indices.extend(self.closing_indices(conflict));
        }
        indices
    }

    pub(super) fn records(&self, indices: impl Iterator<Item = u32>) -> Result<Records> {
        let mut by_segment: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for index in indices {
            let (segment, row) = self.input.store.locate(index);
            by_segment.entry(segment).or_default().push(row);
        }
        let read: Vec<Result<_>> = by_segment
            .into_par_iter()
            .map(|(segment, mut rows)| {
                rows.sort_unstable();
                rows.dedup();
                let batch = self.input.store.read(segment, Want::EVIDENCE, Some(&rows))?;
                Ok((segment, (rows, batch)))
            })
            .collect();
        Ok(Records { segments: read.into_iter().collect::<Result<_>>()? })
    }

    pub(super) fn rows(&self, locators: impl Iterator<Item = u64>) -> Result<Rows> {
        let mut groups: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (group, row) in locators.filter(|&l| l != NO_ROW).map(place) {
            groups.entry(group).or_default().push(row as u32);
        }
        let read: Vec<Result<_>> = groups
            .into_par_iter()
            .map(|(group, mut rows)| {
                rows.sort_unstable();
                rows.dedup();
                let batch = self.input.read_current_rows(group, &rows)?;
                Ok((group, (rows, batch)))
            })
            .collect();
        Ok(Rows { groups: read.into_iter().collect::<Result<_>>()? })
    }

    fn conflict(&self, conflict: &Conflict, records: &Records, rows: &Rows) -> Found {
        let mut discrepancy = self.input.discrepancy(conflict.kind, words::conflict(conflict));
        discrepancy.count = 1 + u64::from(conflict.echoes);
        discrepancy.cause = words::cause(conflict);
        let at = shown_at(conflict);
        discrepancy.ledger = (at != u32::MAX).then(|| self.ledger_place(records, at)).flatten();
        let standing = self.standing.rows[conflict.slot as usize];
        let current = rows.find(standing);
        discrepancy.key = self.key(conflict, records, current);
        let against_current = conflict.index == u32::MAX;
        if against_current && standing != NO_ROW {
            let (group, row) = place(standing);
            discrepancy.current = Some(self.input.current_place(group, row));
        }
        let indices = self.indices(conflict);
        let earlier: Vec<u32> = indices.iter().copied().filter(|&index| index != conflict.index).collect();
        let case = Case {
            conflict,
            records: self.found(&indices, records),
            earlier: self.found(&earlier, records),
            shown: Some(conflict.index).filter(|&i| i != u32::MAX).and_then(|i| records.find(self, i)),
            current,
        };
        let compared = !matches!(
            conflict.kind,
            DiscrepancyKind::UpdateOfAbsent
                | DiscrepancyKind::DeleteOfAbsent
                | DiscrepancyKind::CurrentUnexpected
        );
        if compared {
            for column in 0..self.input.schema.len() {
                self.compare(column, &case, &mut discrepancy);
            }
        }
        self.add_whole_amounts(&case, &mut discrepancy);
        discrepancy.effects = self.named(self.effects(conflict, records, current));
        let rank = Some(conflict.rank);
        Found { discrepancy, rank }
    }

    /// Compares the last known cell with what the conflicting record or row says.
    fn compare(&self, column: usize, case: &Case<'_>, discrepancy: &mut Discrepancy) {
        let (array, row): (&ArrayRef, usize) = if case.conflict.index == u32::MAX {
            match case.current {
                Some((batch, row)) => (batch.column(column), row),
                None => return,
            }
        } else {
            let Some((batch, row)) = case.shown else { return };
            let images = if batch.before.is_present(row) { &batch.before } else { &batch.after };
            match images.column(column) {
                Some(array) if known(images.state(column, row)) => (array, row),
                _ => return,
            }
        };
        let Some((held, held_row)) = latest_stated(column, &case.earlier) else { return };
        let loose = self.input.lanes.is_ambiguous(column);
        let open = |a: &ArrayRef, r| a.is_null(r) || canon::is_non_finite(a.as_ref(), r);
        let number =
            |a: &ArrayRef, r| canon::cell_text(a.as_ref(), r).map(|t| canon::number_text(&t).to_owned());
        if canon::cells_equal(held.as_ref(), held_row, array.as_ref(), row)
            || self.input.lanes.is_number(column) && number(held, held_row) == number(array, row)
            || loose && open(held, held_row) && open(array, row)
        {
            return;
        }
        let name = self.input.schema.name(column);
        if self.input.plan.measures.iter().any(|m| m == name) {
            let (expected, found) = (measured(held, held_row), measured(array, row));
            discrepancy.amounts.push((name.to_owned(), differing(expected, found)));
        }
        discrepancy.cells.push(CellDifference {
            column: name.to_owned(),
            expected: canon::cell_text(held.as_ref(), held_row),
            found: canon::cell_text(array.as_ref(), row),
        });
    }

    /// The latest stated cell among changes given from the latest back.
    pub(super) fn last_known<'r>(
        &self,
        column: usize,
        indices: &[u32],
        records: &'r Records,
    ) -> Option<(&'r ArrayRef, usize)> {
        latest_stated(column, &self.found(indices, records))
    }

    /// Where these changes are, up to the first that was not read.
    fn found<'r>(&self, indices: &[u32], records: &'r Records) -> Vec<(&'r ChangeBatch, usize)> {
        indices.iter().map_while(|&index| records.find(self, index)).collect()
    }

    /// A row that is there on one side only differs by all of its measures.
    fn add_whole_amounts(&self, case: &Case<'_>, discrepancy: &mut Discrepancy) {
        for name in &self.input.plan.measures {
            let Some(column) = self.input.schema.column(name) else { continue };
            let amount = match (case.conflict.kind, case.current) {
                (DiscrepancyKind::CurrentMissing, _) => latest_stated(column, &case.records)
                    .filter(|(array, row)| array.is_valid(*row))
                    .map(|(array, row)| differing(measured(array, row), Some(Amount::ZERO))),
                (DiscrepancyKind::CurrentUnexpected, Some((batch, row))) => Some(batch.column(column))
                    .filter(|array| array.is_valid(row))
                    .map(|array| differing(Some(Amount::ZERO), measured(array, row))),
                _ => None,
            };
            discrepancy.amounts.extend(amount.map(|amount| (name.clone(), amount)));
        }
    }

    fn key(&self, conflict: &Conflict, records: &Records, current: Option<(&RecordBatch, usize)>) -> String {
        let key = self.input.schema.key();
        if let Some((batch, row)) = current {
            let keys: Vec<&ArrayRef> = key.iter().map(|&c| batch.column(c)).collect();
            return self.input.key_text(&keys, row);
        }
        let (shard, number) = self.histories.of_slot(conflict.slot);
        let shard = &self.histories.shards[shard];
        for fact in shard.history(number) {
            let Some((batch, row)) = records.find(self, shard.facts.index[fact]) else { continue };
            use crate::replay::facts::HAS_BEFORE;
            let images = if shard.facts.has(fact, HAS_BEFORE) { &batch.before } else { &batch.after };
            let keys: Vec<&ArrayRef> = key.iter().filter_map(|&c| images.column(c)).collect();
            return self.input.key_text(&keys, row);
        }
        String::new()
    }

    fn ledger_place(&self, records: &Records, index: u32) -> Option<LedgerPlace> {
        let (batch, row) = records.find(self, index)?;
        Some(self.place_of(batch, row))
    }

    pub(super) fn place_of(&self, batch: &ChangeBatch, row: usize) -> LedgerPlace {
        let commit = batch.commit_position.as_ref().map(|p| p[row]);
        let position = batch.position.as_ref().map(|p| p[row]);
        LedgerPlace {
            file: self.input.ledger_file(self.source, batch.file),
            record: batch.record[row],
            position: self
                .source
                .positions
                .as_ref()
                .filter(|_| commit.is_some() || position.is_some())
                .map(|kind| kind.format(commit, position)),
            transaction: batch.transaction.as_ref().and_then(|t| canon::cell_text(t.as_ref(), row)),
            committed_at: Some(batch.committed_at[row]).filter(|&t| t != NO_TIME).map(time::format_instant),
            actor: batch.actor.as_ref().and_then(|a| canon::cell_text(a.as_ref(), row)),
        }
    }

    /// The columns that identify a row: the key, or all where there is none.
    fn identifying(&self) -> Vec<usize> {
        let schema = &self.input.schema;
        if schema.is_keyless() { (0..schema.len()).collect() } else { schema.key().to_vec() }
    }

    /// One discrepancy per repeated position, with what differs if the content does.
    pub(super) fn repeats(&self, kind: DiscrepancyKind, repeats: &[Repeated]) -> Result<Vec<Discrepancy>> {
        let message = match kind {
            DiscrepancyKind::DuplicateChange => {
                "delivered again with the same position, op, key and images: dropped"
            }
            _ => "delivered again with the same position and other content: the first stands",
        };
        let again: Vec<u32> = repeats.iter().map(|r| r.again).collect();
        let mut found = self.changes(kind, &again, |_| message.to_owned())?;
        if kind == DiscrepancyKind::ConflictingDuplicate {
            let records = self.records(repeats.iter().flat_map(|r| [r.first, r.again]))?;
            for (discrepancy, repeat) in found.iter_mut().zip(repeats) {
                discrepancy.cells = self.differences(&records, repeat.first, repeat.again);
            }
        }
        Ok(found)
    }

    /// The columns in which two records of one position differ, in either image.
    fn differences(&self, records: &Records, first: u32, again: u32) -> Vec<CellDifference> {
        let (Some((a, i)), Some((b, j))) = (records.find(self, first), records.find(self, again)) else {
            return Vec::new();
        };
        let mut cells = Vec::new();
        for column in 0..self.input.schema.len() {
            for (x, y) in [(&a.after, &b.after), (&a.before, &b.before)] {
                let text = |images: &crate::model::Images, row: usize| {
                    let stated = images.is_present(row) && known(images.state(column, row));
                    images.column(column).filter(|_| stated).and_then(|c| canon::cell_text(c.as_ref(), row))
                };
                let (expected, found) = (text(x, i), text(y, j));
                if expected != found {
                    let column = self.input.schema.name(column).to_owned();
                    cells.push(CellDifference { column, expected, found });
                    break;
                }
            }
        }
        cells
    }

    /// One discrepancy per change, with its place and key; at most [`CHUNK`] at a time.
    pub(super) fn changes(
        &self,
        kind: DiscrepancyKind,
        indices: &[u32],
        message: impl Fn(u32) -> String,
    ) -> Result<Vec<Discrepancy>> {
        debug_assert!(indices.len() <= CHUNK, "memory is bounded by the caller");
        let records = self.records(indices.iter().copied())?;
        let one = |&index: &u32| {
            let mut discrepancy = self.input.discrepancy(kind, message(index));
            if let Some((batch, row)) = records.find(self, index) {
                discrepancy.ledger = Some(self.place_of(batch, row));
                let images = if batch.before.is_present(row) { &batch.before } else { &batch.after };
                let keys: Vec<&ArrayRef> =
                    self.identifying().into_iter().filter_map(|c| images.column(c)).collect();
                if images.is_present(row) {
                    discrepancy.key = self.input.key_text(&keys, row);
                }
            }
            discrepancy
        };
        Ok(indices.iter().map(one).collect())
    }

    /// One discrepancy per row of the current state, with its place and key; at most [`CHUNK`] at a time.
    pub(super) fn current_rows(
        &self,
        kind: DiscrepancyKind,
        locators: &[u64],
        message: &str,
    ) -> Result<Vec<Discrepancy>> {
        debug_assert!(locators.len() <= CHUNK, "memory is bounded by the caller");
        let rows = self.rows(locators.iter().copied())?;
        let one = |&locator: &u64| {
            let mut discrepancy = self.input.discrepancy(kind, message);
            let (group, row) = place(locator);
            discrepancy.current = Some(self.current_place(group, row));
            if let Some((batch, row)) = rows.find(locator) {
                let keys: Vec<&ArrayRef> = self.identifying().into_iter().map(|c| batch.column(c)).collect();
                discrepancy.key = self.input.key_text(&keys, row);
                if kind == DiscrepancyKind::CurrentUnexpected {
                    discrepancy.amounts = self.named(self.measures((batch, row)));
                    discrepancy.effects.clone_from(&discrepancy.amounts);
                }
            }
            discrepancy.touches_snapshot = true;
            discrepancy
        };
        Ok(locators.iter().map(one).collect())
    }

    fn current_place(&self, group: usize, row: usize) -> CurrentPlace {
        self.input.current_place(group, row)
    }
}

/// Found minus expected as text. A cell that is no exact decimal makes it unknown, which is not nothing.
fn differing(expected: Option<Amount>, found: Option<Amount>) -> String {
    let Some((expected, found)) = expected.zip(found) else { return UNKNOWN.to_owned() };
    found.minus(expected).map_or_else(|| "overflow".to_owned(), |amount| amount.to_string())
}

/// The first cell of a column that is stated among changes given from the latest back.
fn latest_stated<'r>(column: usize, changes: &[(&'r ChangeBatch, usize)]) -> Option<(&'r ArrayRef, usize)> {
    for &(batch, row) in changes {
        for images in [&batch.after, &batch.before] {
            if images.is_present(row) && known(images.state(column, row)) {
                return images.column(column).map(|array| (array, row));
            }
        }
    }
    None
}

fn known(state: CellState) -> bool {
    matches!(state, CellState::Known | CellState::AmbiguousNull)
}

/// Index of the change that stands for a conflict: where it shows, else the last one before.
fn shown_at(conflict: &Conflict) -> u32 {
    if conflict.index == u32::MAX { conflict.previous } else { conflict.index }
}
