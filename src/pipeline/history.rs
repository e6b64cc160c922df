//! One row through time: what changed, when, by whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use rayon::prelude::*;

use super::evidence::Evidence;
use super::findings::{Findings, Gathered, Known};
use super::inputs::{DatasetInput, Scan};
use super::one_key;
use super::progress::Progress;
use super::rebuild::world;
use super::request::HistoryRequest;
use super::run::{DUPLICATE_KEY, Run, UNMENTIONED};
use super::scan::{self, Histories, Ordered, Repeated};
use super::standing::{Standing, locator, place};
use crate::error::{Error, Result};
use crate::ledger::take_changes;
use crate::ledger::want::Want;
use crate::model::rank::DROPPED;
use crate::model::{CellState, ChangeBatch, Discrepancy, DiscrepancyKind as Kind, NO_TIME, Op, canon, time};
use crate::plan::Plan;
use crate::read::Spool;
use crate::read::cell::CellBuilder;
use crate::replay::chain;
use crate::replay::facts::{self, ScanOptions};
use crate::replay::select::NO_ROW;

/// A row through time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryOutcome {
    /// The key as `column=value` pairs.
    pub key: String,
    /// Its changes, in the order of the ledger.
    pub steps: Vec<HistoryStep>,
    /// The current row, column by column; `None` if there is none.
    pub current: Option<Vec<(String, Option<String>)>>,
    /// Where the current state contradicts the ledger on this key.
    pub breaks: Vec<Discrepancy>,
}

/// One change of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// The op.
    pub op: Op,
    /// Commit time, RFC 3339.
    pub committed_at: Option<String>,
    /// The source's own position.
    pub position: Option<String>,
    /// The transaction.
    pub transaction: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The ledger file.
    pub file: String,
    /// Number of the record in the file.
    pub record: u64,
    /// What changed.
    pub cells: Vec<ChangedCell>,
    /// Where the ledger contradicts itself at this change.
    pub breaks: Vec<Discrepancy>,
}

/// One cell of a change: the exact text before and after. An outer `None` is a cell
/// that the record does not state, an inner one null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedCell {
    /// The column.
    pub column: String,
    /// What stood before.
    pub before: Option<Option<String>>,
    /// What stands after.
    pub after: Option<Option<String>>,
}

/// Finds all changes of one key, and where they contradict each other or the current row.
///
/// # Errors
/// The dataset or a key value does not exist, or an input cannot be read.
pub fn history(request: &HistoryRequest, progress: &dyn Progress) -> Result<HistoryOutcome> {
    super::in_pool(&request.options, || run(request, progress))
}

fn run(request: &HistoryRequest, progress: &dyn Progress) -> Result<HistoryOutcome> {
    let spool = Spool::new(request.options.spool.as_deref());
    let plan = one_dataset(request)?;
    let mut candidates = None;
    let run = Run::open_with(&plan, Scan::Images, (&spool, progress), |source, inputs| {
        let found = match inputs.datasets.as_slice() {
            [input] => one_key::find(input, &wanted_key(input, &request.key)?)?,
            _ => None,
        };
        let Some((rows, order)) = found else { return scan::order(source, &inputs.datasets, &[]) };
        candidates = Some(rows);
        Ok(Ordered { order, repeats: vec![Vec::new()], abridged: false })
    })?;
    let input = &run.inputs.datasets[0];
    let wanted = wanted_key(input, &request.key)?;
    let refs: Vec<&ArrayRef> = wanted.iter().collect();
    let normalised = input.normalised_keys(&refs)?;
    let id = canon::key_ids(&normalised.iter().collect::<Vec<_>>(), run.seed)[0];
    let (records, current) =
        rayon::join(|| mentioning(&run, id, candidates), || Current::read(&run, id, &wanted));
    let (records, current) = (records?, current?);
    let ranks = run.order(0).order.ranks(input.member);
    let mut indices: Vec<u32> = records.keys().copied().collect();
    indices.sort_by_key(|&i| ranks.of(i));
    let one = OneKey { run: &run, id, indices: &indices, records: &records, current: &current };
    let known = Known::new(&plan, request.options.now);
    let breaks = one.breaks(Findings::new(&spool, &known))?;
    let mut outcome = HistoryOutcome {
        key: input.key_text(&refs, 0),
        steps: indices.iter().filter_map(|i| records.get(i)).map(|record| step_of(&run, 0, record)).collect(),
        current: current.first.as_ref().map(|row| row_text(input, row)),
        breaks: Vec::new(),
    };
    for one in breaks {
        let at = one.ledger.as_ref().filter(|_| !concerns_current(one.kind));
        let step = at.and_then(|at| {
            outcome.steps.iter_mut().find(|step| (step.record, &step.file) == (at.record, &at.file))
        });
        step.map_or(&mut outcome.breaks, |step| &mut step.breaks).push(one);
    }
    Ok(outcome)
}

fn concerns_current(kind: Kind) -> bool {
    matches!(kind, Kind::CurrentDiffers | Kind::CurrentMissing | Kind::CurrentUnexpected | Kind::DuplicateKey)
}

/// The plan without its other datasets.
fn one_dataset(request: &HistoryRequest) -> Result<Plan> {
    let mut plan = request.plan.clone();
    plan.datasets.retain(|d| d.name == request.dataset);
    if plan.datasets.is_empty() {
        let names: Vec<&str> = request.plan.datasets.iter().map(|d| d.name.as_str()).collect();
        return Err(Error::Plan {
            place: "--dataset".to_owned(),
            message: format!("there is no dataset {:?}", request.dataset),
            hint: Some(format!("the plan has {}", names.join(", "))),
        });
    }
    Ok(plan)
}

/// The records of the changes that name this key on either side, and of truncates, but for those that
/// were dropped from the order. No others than the candidates need be looked at, if there are some.
fn mentioning(
    run: &Run,
    id: u128,
    candidates: Option<one_key::Candidates>,
) -> Result<BTreeMap<u32, ChangeBatch>> {
    let input = &run.inputs.datasets[0];
    let Some(candidates) = candidates else { return records(input, &mentions(run, id)?) };
    let index = |(segment, rows): (usize, Vec<u32>)| {
        let first = input.store.first(segment);
        rows.into_iter().map(move |row| first + row)
    };
    let indices: Vec<u32> = candidates.into_iter().flat_map(index).collect();
    let mut found = records(input, &indices)?;
    let ranks = run.order(0).order.ranks(input.member);
    found.retain(|&index, record| ranks.of(index) != DROPPED && !naming(run, id, record).is_empty());
    Ok(found)
}

/// The indices of these changes, from a ledger that is looked through wholly.
fn mentions(run: &Run, id: u128) -> Result<Vec<u32>> {
    let input = &run.inputs.datasets[0];
    let ranks = run.order(0).order.ranks(input.member);
    let found: Vec<Result<Vec<u32>>> = (0..input.store.segments())
        .into_par_iter()
        .map(|segment| {
            let batch = input.read_for_scan(segment, false)?;
            let first = input.store.first(segment);
            let indices = naming(run, id, &batch).into_iter().map(|row| first + row as u32);
            Ok(indices.filter(|&i| ranks.of(i) != DROPPED).collect())
        })
        .collect();
    Ok(found.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The rows of a batch that name this key on either side or are truncates.
fn naming(run: &Run, id: u128, batch: &ChangeBatch) -> Vec<usize> {
    let schema = &run.inputs.datasets[0].schema;
    let ids = |images: &crate::model::Images| {
        let keys: Vec<&ArrayRef> = schema.key().iter().filter_map(|&c| images.column(c)).collect();
        canon::key_ids(&keys, run.seed)
    };
    let (before, after) = (ids(&batch.before), ids(&batch.after));
    let ours = |row: &usize| {
        batch.before.is_present(*row) && before[*row] == id
            || batch.after.is_present(*row) && after[*row] == id
            || batch.ops[*row] == Op::Truncate as u8
    };
    (0..batch.len()).filter(ours).collect()
}

/// Where the current state has this key: locators, rising.
fn current_rows(run: &Run, id: u128, wanted: &[ArrayRef]) -> Result<Vec<u64>> {
    let input = &run.inputs.datasets[0];
    let found: Vec<Result<Vec<u64>>> = (0..input.table.groups())
        .into_par_iter()
        .filter(|&group| !one_key::is_excluded(input, group, wanted))
        .map(|group| {
            let mut rows = Vec::new();
            one_key::key_parts(input, group, &mut |from, keys| {
                let keys = input.normalised_keys(&keys.columns().iter().collect::<Vec<_>>())?;
                let ids = canon::key_ids(&keys.iter().collect::<Vec<_>>(), run.seed);
                let found = ids.iter().enumerate().filter(|(_, other)| **other == id);
                rows.extend(found.map(|(row, _)| locator(group, from + row)));
                Ok(())
            })?;
            Ok(rows)
        })
        .collect();
    Ok(found.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// What is known of one key, to be verified as a run would verify it.
struct OneKey<'a> {
    run: &'a Run,
    id: u128,
    /// In the order of the ledger.
    indices: &'a [u32],
    records: &'a BTreeMap<u32, ChangeBatch>,
    current: &'a Current,
}

/// The rows of the key in the current state.
struct Current {
    /// Where they are.
    rows: Vec<u64>,
    /// The first of them.
    first: Option<RecordBatch>,
}

impl Current {
    fn read(run: &Run, id: u128, wanted: &[ArrayRef]) -> Result<Self> {
        let rows = current_rows(run, id, wanted)?;
        let first = rows.first().map(|&row| {
            let (group, row) = place(row);
            run.inputs.datasets[0].read_current_rows(group, &[row as u32])
        });
        Ok(Self { first: first.transpose()?, rows })
    }
}

impl OneKey<'_> {
    /// Everything that does not tie on this key.
    fn breaks(&self, mut findings: Findings) -> Result<Vec<Discrepancy>> {
        let input = &self.run.inputs.datasets[0];
        let scan =
            ScanOptions { schema: &input.schema, lanes: &input.lanes, seed: self.run.seed, verify: true };
        let histories = self.histories(scan)?;
        // A change of the key leaves a fact with the other key as well.
        let slot = histories.shards.first().and_then(|shard| shard.find(self.id)).map(|key| key as u32);
        let standing = self.standing(&histories, slot, scan);
        let evidence = self.run.evidence(0, &histories, &standing);
        if let Some(slot) = slot {
            let end = self.run.extract_rank(0)?;
            let timeline = self.run.timeline(0, &histories.truncates, end);
            let world = world(input, &histories, &standing, timeline, &[]);
            let mut conflicts = chain::verify(world, 0, &standing.hashes).conflicts;
            conflicts.retain(|conflict| conflict.slot == slot);
            evidence.conflicts(conflicts, &mut findings)?;
        }
        let others = self.others(&evidence, slot.is_some())?;
        findings.push(others.into_iter().map(super::findings::Found::always))?;
        Ok(Gathered(vec![(&findings.finish()?, None)]).summary().listed)
    }

    /// Rows without a record, several rows of the key, and records of one position that differ.
    fn others(&self, evidence: &Evidence<'_>, mentioned: bool) -> Result<Vec<Discrepancy>> {
        let mut found = Vec::new();
        if let [first, _, ..] = self.current.rows[..] {
            found.extend(evidence.current_rows(Kind::DuplicateKey, &[first], DUPLICATE_KEY)?);
        }
        if !mentioned && evidence.input.plan.ledger.from_birth {
            found.extend(evidence.current_rows(Kind::CurrentUnexpected, &self.current.rows, UNMENTIONED)?);
        }
        let repeats = &self.run.order(0).repeats[evidence.input.member];
        let ours = |r: &&Repeated| r.kind == Kind::ConflictingDuplicate && self.indices.contains(&r.first);
        for repeat in repeats.iter().filter(ours) {
            let mut conflicting = evidence.repeats(repeat.kind, &[*repeat])?;
            // The dropped record is no step; it is told of at the one that stands.
            let at = evidence.changes(repeat.kind, &[repeat.first], |_| String::new())?;
            for (discrepancy, at) in conflicting.iter_mut().zip(at) {
                discrepancy.ledger = at.ledger;
            }
            found.extend(conflicting);
        }
        Ok(found)
    }

    /// The history of this key alone, from the records that mention it.
    fn histories(&self, scan: ScanOptions<'_>) -> Result<Histories> {
        let input = &self.run.inputs.datasets[0];
        let scanned = self.records.iter().map(|(&index, record)| {
            let mut record = record.clone();
            input.normalise_keys(&mut record);
            Ok(facts::scan(&record, index, 1, scan, |_| true))
        });
        let scanned: Vec<Result<facts::Scanned>> = scanned.collect();
        let ranks = self.run.order(0).order.ranks(input.member);
        super::scan::collect(scanned, 1, input.lanes.count(), &ranks)
    }

    fn standing(&self, histories: &Histories, slot: Option<u32>, scan: ScanOptions<'_>) -> Standing {
        let input = &self.run.inputs.datasets[0];
        let lanes = input.lanes.count();
        let mut standing = Standing {
            rows: vec![NO_ROW; histories.slots()],
            hashes: vec![0; histories.slots() * lanes],
            ..Standing::default()
        };
        match (slot, &self.current.rows[..], &self.current.first) {
            (Some(slot), [row], Some(batch)) => {
                standing.rows[slot as usize] = *row;
                let mut sums = vec![vec![0]; lanes];
                for (column, array) in batch.columns().iter().enumerate() {
                    if let Some(lane) = input.lanes.of_column(column) {
                        facts::add_column(array, column, scan, &mut sums[lane]);
                    }
                }
                let to = slot as usize * lanes;
                sums.iter().enumerate().for_each(|(lane, sum)| standing.hashes[to + lane] = sum[0]);
            }
            (Some(slot), [_, ..], _) => standing.duplicate_slots.push(slot),
            _ => {}
        }
        standing
    }
}

pub(super) fn wanted_key(input: &DatasetInput, texts: &[String]) -> Result<Vec<ArrayRef>> {
    let names: Vec<&str> = input.schema.key().iter().map(|&c| input.schema.name(c)).collect();
    let wrong = |message: String| Error::Plan {
        place: "--key".to_owned(),
        message,
        hint: Some(format!("give one value per key column, in this order: {}", names.join(","))),
    };
    if texts.len() != input.schema.key().len() || texts.is_empty() {
        return Err(wrong(format!("expected {} values, found {}", names.len(), texts.len())));
    }
    input
        .schema
        .key()
        .iter()
        .zip(texts)
        .map(|(&column, text)| {
            let data_type = input.schema.data_type(column);
            let mut builder = CellBuilder::new(data_type)
                .ok_or_else(|| wrong(format!("a key of type {data_type} has no text")))?;
            builder
                .push_text(text)
                .map_err(|m| wrong(format!("expected {}, found {}", m.expected, m.found)))?;
            Ok(builder.finish())
        })
        .collect()
}

/// The records of changes, one by one; each segment is read once.
pub(super) fn records(input: &DatasetInput, indices: &[u32]) -> Result<BTreeMap<u32, ChangeBatch>> {
    let mut places: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for &index in indices {
        let (segment, row) = input.store.locate(index);
        places.entry(segment).or_default().push(row);
    }
    let read: Vec<Result<Vec<(u32, ChangeBatch)>>> = places
        .into_par_iter()
        .map(|(segment, mut rows)| {
            rows.sort_unstable();
            rows.dedup();
            let batch = input.store.read(segment, Want::EVIDENCE, Some(&rows))?;
            let one = |(at, row): (u32, &u32)| {
                let record = take_changes(&batch, &[at]).map_err(Error::arrow(input.current_path()))?;
                Ok((input.store.first(segment) + row, record))
            };
            (0..).zip(&rows).map(one).collect()
        })
        .collect();
    Ok(read.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// What a record of one change says.
pub(super) fn step_of(run: &Run, number: usize, batch: &ChangeBatch) -> HistoryStep {
    let (input, source) = (&run.inputs.datasets[number], run.source(number));
    let cell = |images: &crate::model::Images, column: usize| {
        let known = matches!(images.state(column, 0), CellState::Known | CellState::AmbiguousNull);
        images.column(column).filter(|_| known).map(|array| canon::cell_text(array.as_ref(), 0))
    };
    let cells = (0..input.schema.len())
        .map(|c| ChangedCell {
            column: input.schema.name(c).to_owned(),
            before: cell(&batch.before, c),
            after: cell(&batch.after, c),
        })
        .filter(|cell| cell.before != cell.after)
        .collect();
    let text = |array: &Option<Arc<dyn arrow::array::Array>>| {
        array.as_ref().and_then(|a| canon::cell_text(a.as_ref(), 0))
    };
    let commit = batch.commit_position.as_ref().map(|p| p[0]);
    let own = batch.position.as_ref().map(|p| p[0]);
    HistoryStep {
        op: Op::from_code(batch.ops[0]).unwrap_or(Op::Update),
        committed_at: Some(batch.committed_at[0]).filter(|&t| t != NO_TIME).map(time::format_instant),
        position: source
            .positions
            .as_ref()
            .filter(|_| commit.is_some() || own.is_some())
            .map(|kind| kind.format(commit, own)),
        transaction: text(&batch.transaction),
        actor: text(&batch.actor),
        file: source
            .files
            .get(batch.file as usize)
            .map_or_else(String::new, |f| f.path.display().to_string()),
        record: batch.record[0],
        cells,
        breaks: Vec::new(),
    }
}

/// The text of each cell of a current row, by column.
fn row_text(input: &DatasetInput, row: &RecordBatch) -> Vec<(String, Option<String>)> {
    let columns = row.columns().iter().enumerate();
    columns.map(|(c, a)| (input.schema.name(c).to_owned(), canon::cell_text(a.as_ref(), 0))).collect()
}
