//! What every command that replays has in common: inputs opened, ledgers ordered
//! and scanned, the current state read against them, conflicts found.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::evidence::{self, Evidence};
use super::findings::{Collected, Findings, Found, Known};
use super::inputs::{DatasetInput, Inputs, Scan, SourceInput};
use super::opening::{self, Added};
use super::passes::{later_passes, undone_by_op};
use super::progress::{Progress, Silent};
use super::rebuild::world;
use super::scan::{self, FactOptions, Histories, Ordered};
use super::standing::{self, Standing};
use super::window::{self, Window};
use super::{contested, copies, past, postings};
use crate::error::{Error, Result};
use crate::model::canon::Seed;
use crate::model::{DiscrepancyKind as Kind, Op};
use crate::plan::{Bound, Plan};
use crate::read::{DigestsMeanwhile, Spool};
use crate::replay::chain::{self, Cause, Conflict};
use crate::replay::facts::{self, ScanOptions};
use crate::replay::history::{Opening, Timeline};
use crate::replay::select::{NO_ROW, World};

/// What a run needs to know before it scans.
#[derive(Clone, Copy)]
pub(super) struct RunPlan<'a> {
    pub plan: &'a Plan,
    pub verify: bool,
    /// The present moment, for the expiry of accepted findings.
    pub now: i64,
    /// The moments whose cuts the scan serves; none for a verification.
    pub moments: &'a [&'a Bound],
    /// Bytes of memory to stay below, where the caller can work in passes.
    pub memory_limit: Option<u64>,
    /// Whether digests of the inputs will be asked for at the end.
    pub digests: bool,
}

/// Everything that the scan of all inputs found.
pub(super) struct Run {
    pub inputs: Inputs,
    pub ordered: Vec<Ordered>,
    pub analysed: Vec<Analysed>,
    pub windows: Vec<Window>,
    /// Per dataset, where its opening lies.
    pub openings: Vec<opening::Placed>,
    /// Per source, the first rank of each transaction.
    pub firsts: Vec<Vec<u32>>,
    /// Findings that concern no single dataset or moment.
    pub seed: Seed,
    /// What takes the digests of the inputs, if they are asked for.
    digests: Option<DigestsMeanwhile>,
}

/// What was found out about one dataset.
pub(super) struct Analysed {
    pub histories: Histories,
    pub standing: Standing,
    /// Ranks from here on lie after the extract moment.
    pub end: u32,
    /// The opening, if its rows are in the histories.
    pub opening: Option<Opening>,
    /// Current rows that the ledger never mentions and that are not the opening's. Sorted.
    pub unmet: Vec<u64>,
    pub found: Collected,
    /// Slots that disagree with the current state, for `--trust ledger`. Sorted.
    pub distrusted: Vec<u32>,
    /// Highest rank at which each contradicted slot is contradicted.
    pub contradicted: BTreeMap<u32, u32>,
    /// Slots that the ledger states in two ways for a while.
    pub contested: contested::Spans,
    pub counts: Counts,
}

/// How many keys were compared and how many agreed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub changes: u64,
    pub keys: u64,
    pub agreeing: u64,
}

/// Moments are given where nothing but keys is scanned.
fn scan_for(bounds: &[&Bound]) -> Scan {
    if bounds.is_empty() { Scan::Images } else { Scan::Keys }
}

/// At the end of a run digests would be waited for.
fn digest_meanwhile(inputs: &Inputs) -> DigestsMeanwhile {
    let ledgers = inputs.sources.iter().flat_map(|source| &source.files);
    let tables = inputs.datasets.iter().flat_map(|dataset| dataset.table.files());
    DigestsMeanwhile::start(ledgers.chain(tables).cloned(), rayon::current_num_threads())
}

impl Run {
    /// Opens, orders, scans and, if asked, verifies.
    pub(super) fn new(options: RunPlan<'_>, spool: &Spool, progress: &dyn Progress) -> Result<Self> {
        let bounds = if options.verify { &[] } else { options.moments };
        let mut digests = None;
        let mut run =
            Self::open_with(options.plan, scan_for(bounds), (spool, progress), |source, inputs| {
                if options.digests && digests.is_none() {
                    digests = Some(digest_meanwhile(inputs));
                }
                scan::order(source, &inputs.datasets, bounds)
            })?;
        run.digests = digests;
        let known = Known::new(options.plan, options.now);
        let total: u64 = run.inputs.datasets.iter().map(|d| u64::from(d.store.len()) + rows(d)).sum();
        progress.stage("scan changes and current state", Some(total));
        // Verdicts want the keys again; for a plain file they would be memory for little.
        if options.digests && options.memory_limit.is_none() {
            let datasets = &run.inputs.datasets;
            datasets.iter().for_each(|dataset| dataset.kept.allow(datasets.len()));
        }
        for dataset in 0..run.inputs.datasets.len() {
            let findings = Findings::new(spool, &known);
            let narrow = run.narrow(dataset, options, progress)?;
            if narrow.is_none() && run.order(dataset).abridged {
                run.order_wholly(dataset, options.plan)?;
            }
            let analysed = run.analyse(dataset, options, narrow, findings, progress)?;
            run.analysed.push(analysed);
        }
        Ok(run)
    }

    /// Opens, and orders each source in a way of the caller's; nothing is scanned yet.
    pub(super) fn open_with(
        plan: &Plan,
        scan: Scan,
        (spool, progress): (&Spool, &dyn Progress),
        mut order: impl FnMut(&SourceInput, &Inputs) -> Result<Ordered>,
    ) -> Result<Self> {
        progress.stage("read ledgers", None);
        let inputs = Inputs::open(plan, scan, spool, progress)?;
        let seed = Seed::random();
        progress.stage("order changes", None);
        let ordered =
            inputs.sources.iter().map(|source| order(source, &inputs)).collect::<Result<Vec<_>>>()?;
        let firsts: Vec<Vec<u32>> = ordered.iter().map(|o| o.order.firsts()).collect();
        let mut windows = window::windows(plan, &inputs, &ordered)?;
        let mut openings = Vec::new();
        for (input, window) in inputs.datasets.iter().zip(&mut windows) {
            let order = &ordered[input.source].order;
            openings.push(opening::place(input, &inputs.sources[input.source], order, window)?);
        }
        Ok(Self { inputs, ordered, analysed: Vec::new(), windows, openings, firsts, seed, digests: None })
    }

    pub(super) fn source(&self, dataset: usize) -> &SourceInput {
        &self.inputs.sources[self.inputs.datasets[dataset].source]
    }

    pub(super) fn order(&self, dataset: usize) -> &Ordered {
        &self.ordered[self.inputs.datasets[dataset].source]
    }

    /// What all histories of a dataset share.
    pub(super) fn timeline<'a>(&'a self, dataset: usize, truncates: &'a [u32], end: u32) -> Timeline<'a> {
        let input = &self.inputs.datasets[dataset];
        Timeline {
            truncates,
            transactions: &self.firsts[input.source],
            from_birth: input.plan.ledger.from_birth,
            end,
            opening: None,
        }
    }

    /// The first rank behind the extract moment.
    pub(super) fn extract_rank(&self, dataset: usize) -> Result<u32> {
        let input = &self.inputs.datasets[dataset];
        let order = &self.order(dataset).order;
        match &input.plan.current.at {
            // What was posted after it is left out already, by whichever clock says so.
            Some(_) if input.postings.is_some() => Ok(u32::MAX - 1),
            Some(bound) => Ok(window::cut(self.source(dataset), order, bound, &input.plan.name)?.rank),
            None => Ok(u32::MAX - 1),
        }
    }

    /// The same as far as a run has analysed it, with the opening where its rows are in the histories.
    pub(super) fn timeline_of<'a>(&'a self, dataset: usize, analysed: &'a Analysed) -> Timeline<'a> {
        let timeline = self.timeline(dataset, &analysed.histories.truncates, analysed.end);
        Timeline { opening: analysed.opening, ..timeline }
    }

    fn analyse(
        &self,
        dataset: usize,
        options: RunPlan<'_>,
        narrow: Option<Histories>,
        mut findings: Findings,
        progress: &dyn Progress,
    ) -> Result<Analysed> {
        let input = &self.inputs.datasets[dataset];
        let end = self.extract_rank(dataset)?;
        // Whether a null is one throughout is told by hashes alone.
        let hashed = options.verify || input.lanes.needs_hashes();
        let facts = FactOptions { seed: self.seed, verify: hashed, from_rank: 0 };
        // What needs nothing of the past needs no opening either.
        let opening = self.openings[dataset].opening.filter(|_| narrow.is_none());
        let may_lack_past = narrow.is_some() && input.lanes.is_partial();
        let all = |progress| self.all_histories(dataset, options, facts, progress);
        let mut histories = narrow.map_or_else(|| all(progress), Ok)?;
        refuse_partial_multiset(input, &histories)?;
        let scan = ScanOptions {
            schema: &input.schema,
            lanes: &input.lanes,
            seed: self.seed,
            verify: hashed && !input.schema.is_keyless(),
        };
        let added = match opening {
            Some(opening) => opening::add(input, &mut histories, opening, scan)?,
            None => Added::default(),
        };
        histories.summed_lanes = opening.map(|_| opening::stated_lanes(input));
        let is_emptied = opening.is_none() && histories.truncates.iter().any(|&rank| rank < end);
        let knows_all = input.plan.ledger.from_birth || input.covers_current || is_emptied;
        let scan_of = (scan, options.verify && knows_all);
        let mut standing = standing::read(input, &histories, scan_of, progress)?;
        if may_lack_past && past::lacks_rows(&histories, &standing, end) {
            histories = all(&Silent)?;
            standing = standing::read(input, &histories, scan_of, &Silent)?;
        }
        if let Some(passes) = histories.passes.clone() {
            later_passes(input, &passes, (&mut histories, &mut standing), scan)?;
        }
        let (changes, keys) = (u64::from(input.store.len()), histories.slots() as u64);
        let mut analysed = Analysed {
            counts: Counts { changes, keys, agreeing: 0 },
            histories,
            standing,
            end,
            opening,
            unmet: Vec::new(),
            found: Collected::default(),
            distrusted: Vec::new(),
            contradicted: BTreeMap::new(),
            contested: contested::Spans::new(),
        };
        self.note_reading(dataset, (&analysed, options.verify), &mut findings)?;
        self.note_opening(dataset, &analysed, &added, &mut findings)?;
        let ranks = self.order(dataset).order.ranks(input.member);
        analysed.contested = contested::slots(input, &analysed.histories)?;
        analysed.contradicted = postings::contradicted(input, &analysed.histories, &ranks);
        if options.verify {
            self.verify(dataset, &mut analysed, &mut findings)?;
            if analysed.opening.is_some() {
                let evidence = self.evidence(dataset, &analysed.histories, &analysed.standing);
                let sums = &analysed.standing.sums;
                analysed.unmet = opening::compare(&evidence, &added, (sums, scan), &mut findings)?;
            }
        }
        analysed.found = findings.finish()?;
        Ok(analysed)
    }

    /// Orders the changes that were gone past, as something depends on them after all.
    fn order_wholly(&mut self, dataset: usize, plan: &Plan) -> Result<()> {
        let source = self.inputs.datasets[dataset].source;
        let ordered = scan::order(&self.inputs.sources[source], &self.inputs.datasets, &[])?;
        self.firsts[source] = ordered.order.firsts();
        self.ordered[source] = ordered;
        self.windows = window::windows(plan, &self.inputs, &self.ordered)?;
        Ok(())
    }

    /// The earliest cut, if changes before it need not all become facts: no verification.
    pub(super) fn earliest_cut(&self, dataset: usize, options: RunPlan<'_>) -> Result<Option<u32>> {
        let input = &self.inputs.datasets[dataset];
        let past = input.lanes.needs_hashes() || !input.contested.is_empty();
        if options.verify || past || options.moments.is_empty() {
            return Ok(None);
        }
        let mut earliest = u32::MAX;
        for bound in options.moments {
            let order = &self.order(dataset).order;
            let cut = window::cut(self.source(dataset), order, bound, &input.plan.name)?;
            earliest = earliest.min(cut.rank);
        }
        Ok(Some(earliest))
    }

    pub(super) fn evidence<'a>(
        &'a self,
        dataset: usize,
        histories: &'a Histories,
        standing: &'a Standing,
    ) -> Evidence<'a> {
        Evidence { input: &self.inputs.datasets[dataset], source: self.source(dataset), histories, standing }
    }

    fn verify(&self, dataset: usize, analysed: &mut Analysed, findings: &mut Findings) -> Result<()> {
        let input = &self.inputs.datasets[dataset];
        if input.schema.is_keyless() {
            copies::verify(self, dataset, analysed, findings)?;
            return unmentioned(
                &self.evidence(dataset, &analysed.histories, &analysed.standing),
                analysed,
                findings,
            );
        }
        let timeline = self.timeline_of(dataset, analysed);
        let recorded = outside_as_gone(analysed);
        let standing = recorded.as_deref().unwrap_or(&analysed.standing.rows);
        let world =
            World { standing, ..world(input, &analysed.histories, &analysed.standing, timeline, &[]) };
        let shards = analysed.histories.shards.len();
        let chained: Vec<chain::Chained> = (0..shards)
            .into_par_iter()
            .map(|shard| chain::verify(world, shard, &analysed.standing.hashes))
            .collect();
        let (mut no_ops, mut sample, mut alive, mut standing, mut agreeing) = (0, Vec::new(), 0, 0, 0);
        let mut conflicts = Vec::new();
        for part in chained {
            no_ops += part.no_ops;
            sample.extend(part.no_op_sample);
            alive += part.alive;
            standing += part.alive_and_standing;
            agreeing += part.agreeing;
            conflicts.extend(part.conflicts);
        }
        self.stop_if_no_key_matches(input, analysed, (alive, standing))?;
        let (skew, skewed) = self.take_skew(&mut conflicts, timeline, analysed).unzip();
        analysed.counts.agreeing = agreeing.saturating_sub(analysed.contradicted.len() as u64);
        for conflict in &conflicts {
            let rank = analysed.contradicted.entry(conflict.slot).or_default();
            *rank = (*rank).max(conflict.rank);
            if conflict.rank == u32::MAX && conflict.kind != Kind::OpeningDiffers {
                analysed.distrusted.push(conflict.slot);
            }
        }
        analysed.distrusted.sort_unstable();
        analysed.distrusted.dedup();
        let evidence = self.evidence(dataset, &analysed.histories, &analysed.standing);
        if let Some(message) = skew {
            let mut discrepancy = input.discrepancy(Kind::ExtractSkew, message);
            discrepancy.count = skewed.as_ref().map_or(0, |s: &Vec<Conflict>| s.len() as u64);
            discrepancy.effects = evidence.total_effects(skewed.as_deref().unwrap_or_default())?;
            discrepancy.amounts.clone_from(&discrepancy.effects);
            findings.add_whole(&input.plan.name, &discrepancy.effects);
            discrepancy.touches_snapshot = true;
            findings.push([Found::always(discrepancy)])?;
        }
        if no_ops > 0 {
            sample.sort_unstable();
            let first = sample.first().copied();
            let mut one = evidence.changes(Kind::NoOpChange, first.as_slice(), |_| {
                format!("{no_ops} changes have equal before and after images; this is the first")
            })?;
            one.iter_mut().for_each(|d| d.count = no_ops);
            findings.push(one.into_iter().map(Found::always))?;
        }
        unmentioned(&evidence, analysed, findings)?;
        evidence.conflicts(conflicts, findings)
    }

    /// Where hardly any standing key of the ledger is in the current state, keys are
    /// written differently on both sides, and a million findings would hide that.
    fn stop_if_no_key_matches(
        &self,
        input: &DatasetInput,
        analysed: &Analysed,
        (alive, standing): (u64, u64),
    ) -> Result<()> {
        let hardly = alive >= 10 && analysed.standing.count >= 10 && standing * 50 < alive;
        if !hardly || analysed.standing.unmentioned_count * 2 < analysed.standing.count {
            return Ok(());
        }
        let ledger = input.store.read(0, crate::ledger::want::Want::KEYS, None)?;
        let sample = |images: &crate::model::Images| {
            let keys: Vec<_> = input.schema.key().iter().filter_map(|&c| images.column(c)).collect();
            let rows = (0..ledger.len()).filter(|&r| images.is_present(r)).take(3);
            rows.map(|row| input.key_text(&keys, row)).collect::<Vec<_>>().join("; ")
        };
        let current = input.read_current(0, input.schema.key())?;
        let keys: Vec<_> = current.columns().iter().collect();
        let rows = (0..current.num_rows().min(3)).map(|row| input.key_text(&keys, row));
        Err(Error::KeysDoNotMatch {
            dataset: input.plan.name.clone(),
            matched: standing,
            keys: alive,
            ledger_sample: sample(&ledger.after),
            current_sample: rows.collect::<Vec<_>>().join("; "),
        })
    }

    /// Where one earlier extract moment explains most disagreements with the current
    /// state, they become one finding.
    fn take_skew(
        &self,
        conflicts: &mut Vec<Conflict>,
        timeline: Timeline<'_>,
        analysed: &Analysed,
    ) -> Option<(String, Vec<Conflict>)> {
        if analysed.end != u32::MAX - 1 {
            return None;
        }
        let against: Vec<&Conflict> =
            conflicts.iter().filter(|c| c.index == u32::MAX && c.kind != Kind::OpeningDiffers).collect();
        let mut edges: Vec<(u32, i64)> = against
            .iter()
            .filter_map(|c| c.skew)
            .flat_map(|(from, upto)| [(from, 1), (upto + 1, -1)])
            .collect();
        edges.sort_unstable();
        let (mut depth, mut best, mut moment) = (0, 0, 0);
        for (rank, change) in edges {
            depth += change;
            if depth > best {
                (best, moment) = (depth, rank);
            }
        }
        let explained = best as u64;
        // Keys that changed after that moment and agree all the same speak against it.
        let later = analysed.later_and_agreeing(moment, conflicts);
        if explained < 2 || explained * 2 < against.len() as u64 || later >= explained {
            return None;
        }
        let covers = |c: &Conflict| {
            c.index == u32::MAX && c.skew.is_some_and(|(from, upto)| (from..=upto).contains(&moment))
        };
        let taken: Vec<Conflict> = conflicts.extract_if(.., |c| covers(c)).collect();
        debug_assert!(
            conflicts.iter().all(|c| c.cause != Cause::Swapped || c.index != u32::MAX),
            "positions only"
        );
        let transaction = timeline.transactions.partition_point(|&first| first < moment);
        Some((
            format!(
                "the current state was read before the ledger's end: {explained} rows are as they were before \
                 transaction number {}; declare `current.at`",
                transaction + 1
            ),
            taken,
        ))
    }
}

/// Where keys stand as far as a filtered ledger knows: one that left its filter, and stands outside
/// of it, is gone. `None` without any such key.
fn outside_as_gone(analysed: &Analysed) -> Option<Vec<u64>> {
    if analysed.standing.outside.is_empty() {
        return None;
    }
    let mut rows = analysed.standing.rows.clone();
    for &slot in &analysed.standing.outside {
        let (shard, key) = analysed.histories.of_slot(slot);
        let shard = &analysed.histories.shards[shard];
        let last = shard.history(key).end - 1;
        if !shard.facts.has(last, facts::HAS_AFTER) {
            rows[slot as usize] = NO_ROW;
        }
    }
    Some(rows)
}

impl Analysed {
    /// How many changes at or behind a cut are undone, by op; `counted` are those of passes.
    pub(super) fn undone(&self, cut: u32, counted: Option<&[u64]>) -> Vec<(Op, u64)> {
        let undone = cut..self.end;
        let mut counts = match counted {
            Some(counted) => counted.to_vec(),
            None => undone_by_op(&self.histories.shards, undone.clone(), self.counts.changes),
        };
        let truncates = self.histories.truncates.iter().filter(|rank| undone.contains(rank));
        counts[Op::Truncate as usize] += truncates.count() as u64;
        Op::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    fn later_and_agreeing(&self, moment: u32, conflicts: &[Conflict]) -> u64 {
        let disagreeing: std::collections::BTreeSet<u32> =
            conflicts.iter().filter(|c| c.index == u32::MAX).map(|c| c.slot).collect();
        let mut count = 0;
        for (number, shard) in self.histories.shards.iter().enumerate() {
            for key in 0..shard.keys() {
                let slot = self.histories.bases[number] + key as u32;
                let of_ledger = |&f: &usize| !self.opening.is_some_and(|o| o.has(shard.facts.index[f]));
                let Some(last) = shard.history(key).rev().find(of_ledger) else { continue };
                let last = shard.rank(last);
                count += u64::from(last >= moment && !disagreeing.contains(&slot));
            }
        }
        count
    }
}

fn rows(input: &DatasetInput) -> u64 {
    (0..input.table.groups()).map(|g| input.table.rows(g) as u64).sum()
}

pub(super) const UNMENTIONED: &str =
    "the ledger is complete from birth and never mentions this row: it was created without a record";
const UNMENTIONED_SINCE: &str =
    "the ledger empties the table and never mentions this row: it was created without a record";
pub(super) const DUPLICATE_KEY: &str = "several current rows have this key: they are copied as they stand";

/// From birth, or since the table was emptied, every current row has a record.
fn unmentioned(evidence: &Evidence<'_>, analysed: &Analysed, findings: &mut Findings) -> Result<()> {
    let message = match (evidence.input.covers_current, evidence.input.plan.ledger.from_birth) {
        (true, _) => "the history has no version of this row, though it holds one for every current row",
        (false, true) => UNMENTIONED,
        (false, false) => UNMENTIONED_SINCE,
    };
    for chunk in analysed.standing.unmentioned.chunks(evidence::CHUNK) {
        let found = evidence.current_rows(Kind::CurrentUnexpected, chunk, message)?;
        found.iter().for_each(|d| findings.add_whole(&d.dataset, &d.effects));
        findings.push(found.into_iter().map(Found::always))?;
    }
    Ok(())
}

fn refuse_partial_multiset(input: &DatasetInput, histories: &Histories) -> Result<()> {
    let partial = input.lanes.is_partial() || histories.lacks_before;
    if input.schema.is_keyless() && partial {
        return Err(Error::Refused {
            dataset: input.plan.name.clone(),
            reason: "it has no key, and its ledger has images with unknown cells, which identify no row"
                .to_owned(),
            hint: Some("declare a key, or record whole images (REPLICA IDENTITY FULL)".to_owned()),
        });
    }
    debug_assert!(histories.slots() < NO_ROW as usize, "slots are 32-bit");
    Ok(())
}
