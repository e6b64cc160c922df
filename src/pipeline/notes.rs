//! What reading and ordering found wrong, before any history is followed.

use super::evidence;
use super::findings::{Findings, Found};
use super::inputs::DatasetInput;
use super::opening::Added;
use super::run::{Analysed, DUPLICATE_KEY, Run};
use super::{postings, scan};
use crate::error::Result;
use crate::ledger::want::Want;
use crate::model::{Discrepancy, DiscrepancyKind as Kind, time};

impl Run {
    /// What reading and ordering found wrong.
    pub(super) fn note_reading(
        &self,
        dataset: usize,
        (analysed, is_verified): (&Analysed, bool),
        findings: &mut Findings,
    ) -> Result<()> {
        let input = &self.inputs.datasets[dataset];
        let mut few = Vec::new();
        for discrepancy in &input.discrepancies {
            let rank = self.rank_of_note(dataset, discrepancy)?;
            few.push(Found { discrepancy: discrepancy.clone(), rank });
        }
        few.extend(postings::findings(input, &self.order(dataset).order.ranks(input.member)));
        few.extend(self.note_columns(input).into_iter().map(Found::always));
        few.extend(self.note_regressions(dataset).map(Found::always));
        findings.push_sorted(few)?;
        self.note_keys(dataset, (analysed, is_verified), findings)?;
        self.note_repeats(dataset, analysed, findings)
    }

    /// Changes and current rows whose key is null, and keys of several current rows.
    fn note_keys(
        &self,
        dataset: usize,
        (analysed, is_verified): (&Analysed, bool),
        findings: &mut Findings,
    ) -> Result<()> {
        let evidence = self.evidence(dataset, &analysed.histories, &analysed.standing);
        let message = "a current row whose key is null: it is copied as it stands";
        for chunk in analysed.standing.null_keys.chunks(evidence::CHUNK) {
            let mut found = evidence.current_rows(Kind::NullKey, chunk, message)?;
            if is_verified {
                evidence.add_null_keys(chunk, &mut found)?;
            }
            found.iter().for_each(|d| findings.add_whole(&d.dataset, &d.effects));
            findings.push(found.into_iter().map(Found::always))?;
        }
        let mut null_keys = analysed.histories.null_keys.clone();
        null_keys.sort_unstable();
        let message = |_| "a change whose key is null: it is set aside".to_owned();
        for chunk in null_keys.chunks(evidence::CHUNK) {
            let found = evidence.changes(Kind::NullKey, chunk, message)?;
            findings.push(found.into_iter().map(Found::always))?;
        }
        for chunk in analysed.standing.duplicate_keys.chunks(evidence::CHUNK) {
            let firsts: Vec<u64> = chunk.iter().map(|d| d.first).collect();
            let mut found = evidence.current_rows(Kind::DuplicateKey, &firsts, DUPLICATE_KEY)?;
            found.iter_mut().zip(chunk).for_each(|(d, key)| d.count = key.count);
            // What the ledger knows of a key is told by all of its changes, which only a verification has.
            if is_verified {
                evidence.add_duplicates(chunk, analysed.end, &mut found)?;
            }
            found.iter().for_each(|d| findings.add_whole(&d.dataset, &d.effects));
            findings.push(found.into_iter().map(Found::always))?;
        }
        Ok(())
    }

    /// Changes that were delivered more than once.
    fn note_repeats(&self, dataset: usize, analysed: &Analysed, findings: &mut Findings) -> Result<()> {
        let input = &self.inputs.datasets[dataset];
        let ordered = self.order(dataset);
        let ranks = ordered.order.ranks(input.member);
        let evidence = self.evidence(dataset, &analysed.histories, &analysed.standing);
        for kind in [Kind::DuplicateChange, Kind::ConflictingDuplicate] {
            let ours = ordered.repeats[input.member].iter().filter(|r| r.kind == kind);
            let mut ours: Vec<scan::Repeated> = ours.copied().collect();
            ours.sort_unstable_by_key(|r| r.again);
            for chunk in ours.chunks(evidence::CHUNK) {
                let found = evidence.repeats(kind, chunk)?;
                let rank = |first| (kind == Kind::ConflictingDuplicate).then(|| ranks.of(first));
                let ranked = found.into_iter().zip(chunk);
                findings.push(ranked.map(|(discrepancy, r)| Found { discrepancy, rank: rank(r.first) }))?;
            }
        }
        Ok(())
    }

    /// What is wrong with the opening itself, and what using it assumes.
    pub(super) fn note_opening(
        &self,
        dataset: usize,
        analysed: &Analysed,
        added: &Added,
        findings: &mut Findings,
    ) -> Result<()> {
        let evidence = self.evidence(dataset, &analysed.histories, &analysed.standing);
        findings.push(self.openings[dataset].found.iter().cloned().map(Found::always))?;
        let null = "a row of the opening whose key is null: it is set aside";
        let again = "another row of the opening has this key: the first stands";
        for (kind, rows, message) in
            [(Kind::NullKey, &added.null_keys, null), (Kind::DuplicateKey, &added.repeated, again)]
        {
            for chunk in rows.chunks(evidence::CHUNK) {
                let found = evidence.changes(kind, chunk, |_| message.to_owned())?;
                findings.push(found.into_iter().map(Found::always))?;
            }
        }
        Ok(())
    }

    /// Where in the order a finding about a ledger record falls: at the last change up to that record.
    /// What a record that nobody can read said is not known, so it always touches.
    fn rank_of_note(&self, dataset: usize, discrepancy: &Discrepancy) -> Result<Option<u32>> {
        let input = &self.inputs.datasets[dataset];
        let Some(place) = discrepancy.ledger.as_ref() else { return Ok(None) };
        match discrepancy.kind {
            Kind::UnparsableRecord => return Ok(Some(u32::MAX)),
            // The record tells of others, which are nowhere and so could be of any place.
            Kind::SequenceGap => return Ok(Some(u32::MAX)),
            Kind::LossyValue => {}
            Kind::OverlappingVersions | Kind::ReversedInterval => {}
            Kind::HoleBetweenVersions | Kind::FutureVersion => {}
            _ => return Ok(None),
        }
        let named = |f: &crate::read::InputFile| f.path.display().to_string() == place.file;
        if input.store.opening().is_some_and(|o| o.files().iter().any(named)) {
            return Ok(None);
        }
        let files = &self.source(dataset).files;
        let file = files.iter().position(|f| f.path.display().to_string() == place.file).unwrap_or(0) as u32;
        let ranks = self.order(dataset).order.ranks(input.member);
        let want = Want { provenance: true, ..Want::default() };
        let mut rank = None;
        for segment in 0..input.store.segments() {
            let batch = input.store.read(segment, want, None)?;
            let upto = |&&record: &&u64| (batch.file, record) <= (file, place.record);
            let count = batch.record.iter().take_while(upto).count();
            rank = count.checked_sub(1).map(|row| ranks.of(input.store.first(segment) + row as u32)).or(rank);
            if count < batch.len() {
                break;
            }
        }
        Ok(rank)
    }

    fn note_columns(&self, input: &DatasetInput) -> Vec<Discrepancy> {
        if input.store.is_empty() {
            return Vec::new();
        }
        let uncovered =
            (0..input.schema.len()).filter(|&c| !input.lanes.is_covered(c) && !input.schema.is_key(c));
        uncovered
            .map(|column| {
                let name = input.schema.name(column);
                let message = format!(
                    "no image carries {name:?}: its cells are the current ones where nothing was undone, and \
                     unknown elsewhere"
                );
                let mut discrepancy = input.discrepancy(Kind::ColumnNotCovered, message);
                discrepancy.cells.push(crate::model::CellDifference {
                    column: name.to_owned(),
                    expected: None,
                    found: None,
                });
                discrepancy.touches_snapshot = true;
                discrepancy
            })
            .collect()
    }

    fn note_regressions(&self, dataset: usize) -> Option<Discrepancy> {
        let input = &self.inputs.datasets[dataset];
        let order = &self.order(dataset).order;
        // Told once per source, of its first dataset.
        let (count, first) = (input.member == 0).then(|| order.regressions())?;
        let first = &order.transactions[first?];
        let mut discrepancy = input.discrepancy(
            Kind::TimeRegression,
            format!(
                "commit times go backwards along the order at {count} transactions, first at one of {}",
                time::format_instant(first.time)
            ),
        );
        discrepancy.count = count;
        Some(discrepancy)
    }
}
