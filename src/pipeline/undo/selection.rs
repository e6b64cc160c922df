//! Which changes a selection names, from where on each key is undone, and what depends on it.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef};

use super::{Dependent, NAMED, UndoRequest};
use crate::error::{Error, Result};
use crate::ledger::want::{Columns, Want};
use crate::model::{ChangeBatch, canon, rank::DROPPED};
use crate::pipeline::history::{HistoryStep, records, step_of, wanted_key};
use crate::pipeline::run::Run;
use crate::pipeline::window;

/// What a selection names. Several are a union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    /// Changes of this transaction, as the ledger writes its id.
    Transaction(String),
    /// Changes by this actor.
    Actor(String),
    /// Changes of this row.
    Key {
        /// The dataset; may be left out if there is only one.
        dataset: Option<String>,
        /// The text of each key column, in key order.
        values: Vec<String>,
    },
}

impl Only {
    /// Reads `txn=…`, `actor=…`, `key=…` or `key=DATASET:…`; values of several key columns are separated
    /// by commas.
    ///
    /// # Errors
    /// The text is none of these; what was expected, in words.
    ///
    /// ```
    /// use asof::pipeline::undo::Only;
    /// let key = Only::Key { dataset: Some("prices".to_owned()), values: vec!["7".to_owned(), "EUR".to_owned()] };
    /// assert_eq!(Only::parse("key=prices:7,EUR", &["prices"]), Ok(key));
    /// assert!(Only::parse("user=x", &[]).is_err());
    /// ```
    pub fn parse(text: &str, datasets: &[&str]) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("txn", id)) => Ok(Self::Transaction(id.to_owned())),
            Some(("actor", name)) => Ok(Self::Actor(name.to_owned())),
            Some(("key", key)) => {
                let named = key.split_once(':').filter(|(name, _)| datasets.contains(name));
                let (dataset, values) =
                    named.map_or((None, key), |(name, rest)| (Some(name.to_owned()), rest));
                Ok(Self::Key { dataset, values: values.split(',').map(str::to_owned).collect() })
            }
            _ => Err(format!("expected txn=…, actor=…, key=… or key=DATASET:…, found {text:?}")),
        }
    }
}

/// The selected changes of all datasets.
pub(super) struct Selection {
    /// Per dataset and slot, the rank from which on its changes are undone; `u32::MAX` for none.
    pub cuts: Vec<Vec<u32>>,
    /// Per dataset, the indices of the changes.
    pub selected: Vec<BTreeSet<u32>>,
    /// Changes that came in because they depend on others.
    pub dependents: Vec<Dependent>,
}

impl Selection {
    /// Finds the changes, and refuses a selection on which changes outside of it depend.
    pub(super) fn of(run: &Run, request: &UndoRequest, only: &[Only]) -> Result<Self> {
        let mut selection = Self { cuts: Vec::new(), selected: Vec::new(), dependents: Vec::new() };
        for number in 0..run.inputs.datasets.len() {
            let selected = named(run, request, number, only)?;
            let (all, cuts) = closed(run, number, selected.clone())?;
            let later: Vec<u32> = all.difference(&selected).copied().collect();
            selection.dependents.extend(described(run, number, &later)?);
            selection.selected.push(all);
            selection.cuts.push(cuts);
        }
        if selection.selected.iter().all(BTreeSet::is_empty) {
            return Err(Error::Plan {
                place: "--only".to_owned(),
                message: format!("no change after {} is named by it", request.moment.text),
                hint: Some(
                    "`asof history` shows transactions and actors as the ledger writes them".to_owned(),
                ),
            });
        }
        match selection.dependents.first() {
            Some(first) if !request.with_dependents => {
                let dataset = first.dataset.clone();
                let listed: String = selection.dependents.iter().take(NAMED).map(line).collect();
                let more = selection.dependents.len().saturating_sub(NAMED);
                let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
                let count = selection.dependents.len();
                Err(Error::Refused {
                    dataset,
                    reason: format!("{count} later changes depend on the selection{listed}{more}"),
                    hint: Some("--with-dependents takes them back too; or add them with --only".to_owned()),
                })
            }
            _ => Ok(selection),
        }
    }
}

fn line(dependent: &Dependent) -> String {
    let HistoryStep { op, committed_at, transaction, actor, .. } = &dependent.step;
    let mut line = format!("\n  {} of {} {}", op.name(), dependent.dataset, dependent.key);
    let parts = [("at", committed_at), ("in transaction", transaction), ("by", actor)];
    for (word, value) in parts.into_iter().filter_map(|(word, value)| value.as_ref().map(|v| (word, v))) {
        line += &format!(" {word} {value}");
    }
    line
}

/// Indices of the changes behind the moment that the selection names.
fn named(run: &Run, request: &UndoRequest, number: usize, only: &[Only]) -> Result<BTreeSet<u32>> {
    let input = &run.inputs.datasets[number];
    let order = &run.order(number).order;
    let cut = window::cut(run.source(number), order, &request.moment.bound, &input.plan.name)?.rank;
    let ranks = order.ranks(input.member);
    let end = run.analysed[number].end;
    let keys = keys(run, request, number, only)?;
    let want =
        Want { order: true, provenance: true, before: Columns::Key, after: Columns::Key, ..Want::default() };
    let mut found = BTreeSet::new();
    for segment in 0..input.store.segments() {
        let mut batch = input.store.read(segment, want, None)?;
        input.normalise_keys(&mut batch);
        let first = input.store.first(segment);
        let matches = Matching::of(run, number, &batch, only, &keys);
        for row in 0..batch.len() {
            let rank = ranks.of(first + row as u32);
            if rank != DROPPED && rank >= cut && rank < end && matches.is_named(&batch, row) {
                found.insert(first + row as u32);
            }
        }
    }
    Ok(found)
}

/// Identities of the rows that the selection names in a dataset.
fn keys(run: &Run, request: &UndoRequest, number: usize, only: &[Only]) -> Result<Vec<u128>> {
    let input = &run.inputs.datasets[number];
    let mut ids = Vec::new();
    for one in only {
        let Only::Key { dataset, values } = one else { continue };
        let alone = request.plan.datasets.len() == 1;
        if dataset.is_none() && !alone {
            return Err(Error::Plan {
                place: "--only".to_owned(),
                message: format!("key={} names no dataset", values.join(",")),
                hint: Some("write key=DATASET:VALUE".to_owned()),
            });
        }
        if dataset.as_ref().is_none_or(|name| *name == input.plan.name) {
            let wanted = wanted_key(input, values)?;
            let keys = input.normalised_keys(&wanted.iter().collect::<Vec<_>>())?;
            ids.extend(canon::key_ids(&keys.iter().collect::<Vec<_>>(), run.seed));
        }
    }
    Ok(ids)
}

/// What is needed to tell which changes of a batch are named.
struct Matching<'a> {
    only: &'a [Only],
    keys: &'a [u128],
    before: Vec<u128>,
    after: Vec<u128>,
}

impl<'a> Matching<'a> {
    fn of(run: &Run, number: usize, batch: &ChangeBatch, only: &'a [Only], keys: &'a [u128]) -> Self {
        let ids = |images: &crate::model::Images| {
            let key = run.inputs.datasets[number].schema.key().iter();
            let columns: Vec<&ArrayRef> = key.filter_map(|&c| images.column(c)).collect();
            if keys.is_empty() { Vec::new() } else { canon::key_ids(&columns, run.seed) }
        };
        Self { only, keys, before: ids(&batch.before), after: ids(&batch.after) }
    }

    fn is_named(&self, batch: &ChangeBatch, row: usize) -> bool {
        let text = |array: &Option<ArrayRef>| {
            array.as_ref().and_then(|a| canon::cell_text(a.as_ref() as &dyn Array, row))
        };
        let has = |ids: &[u128], images: &crate::model::Images| {
            images.is_present(row) && ids.get(row).is_some_and(|id| self.keys.contains(id))
        };
        self.only.iter().any(|one| match one {
            Only::Transaction(id) => text(&batch.transaction).as_ref() == Some(id),
            Only::Actor(name) => text(&batch.actor).as_ref() == Some(name),
            Only::Key { .. } => has(&self.before, &batch.before) || has(&self.after, &batch.after),
        })
    }
}

/// The selection with every later change of its rows, and from where on each row is undone.
fn closed(run: &Run, number: usize, mut selected: BTreeSet<u32>) -> Result<(BTreeSet<u32>, Vec<u32>)> {
    let analysed = &run.analysed[number];
    let histories = &analysed.histories;
    let firsts = &run.firsts[run.inputs.datasets[number].source];
    if histories.truncate_indices.iter().any(|index| selected.contains(index)) {
        return Err(Error::Refused {
            dataset: run.inputs.datasets[number].plan.name.clone(),
            reason: "the selection holds a truncate, which ended every row".to_owned(),
            hint: Some("undo everything since the moment before it, without --only".to_owned()),
        });
    }
    let mut cuts = vec![u32::MAX; histories.slots()];
    loop {
        let before = selected.len();
        for (shard, base) in histories.shards.iter().zip(&histories.bases) {
            for key in 0..shard.keys() {
                let cut = &mut cuts[*base as usize + key];
                let own = shard.history(key).filter(|&f| selected.contains(&shard.facts.index[f]));
                let Some(first) = own.map(|f| shard.rank(f)).min() else { continue };
                // A transaction is undone as a whole, as far as this row goes.
                let start = firsts.partition_point(|&rank| rank <= first).saturating_sub(1);
                *cut = (*cut).min(firsts.get(start).copied().unwrap_or(first));
                let later =
                    shard.history(key).filter(|&f| shard.rank(f) >= *cut && shard.rank(f) < analysed.end);
                let recorded =
                    later.map(|f| shard.facts.index[f]).filter(|&i| u64::from(i) < analysed.counts.changes);
                selected.extend(recorded);
                let truncated = histories.truncates.iter().any(|&rank| rank >= *cut && rank < analysed.end);
                if truncated {
                    return Err(Error::Refused {
                        dataset: run.inputs.datasets[number].plan.name.clone(),
                        reason:
                            "the table was truncated after a selected change, so its rows ended otherwise"
                                .to_owned(),
                        hint: Some("undo everything since the moment before it, without --only".to_owned()),
                    });
                }
            }
        }
        if selected.len() == before {
            return Ok((selected, cuts));
        }
    }
}

/// What some changes were.
fn described(run: &Run, number: usize, indices: &[u32]) -> Result<Vec<Dependent>> {
    let input = &run.inputs.datasets[number];
    let ranks = run.order(number).order.ranks(input.member);
    let records: BTreeMap<u32, ChangeBatch> = records(input, indices)?;
    let mut sorted: Vec<(u32, &ChangeBatch)> = records.iter().map(|(&i, b)| (ranks.of(i), b)).collect();
    sorted.sort_by_key(|(rank, _)| *rank);
    Ok(sorted
        .into_iter()
        .map(|(_, batch)| {
            let images = if batch.before.is_present(0) { &batch.before } else { &batch.after };
            let keys: Vec<&ArrayRef> = input.schema.key().iter().filter_map(|&c| images.column(c)).collect();
            Dependent {
                dataset: input.plan.name.clone(),
                key: input.key_text(&keys, 0),
                step: step_of(run, number, batch),
            }
        })
        .collect())
}
