//! The changes between two cuts, as far as a bridge looks at them, in their order.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use arrow::array::{Array, ArrayRef};

use super::Columns;
use super::figures::{GroupCell, Row};
use super::standing::amount;
use crate::error::Result;
use crate::ledger::want::{Columns as Images, Want};
use crate::model::canon::Seed;
use crate::model::rank::Ranks;
use crate::model::{Amount, CellState, ChangeBatch, NO_TIME, Op, canon, time};
use crate::pipeline::run::Run;

/// What an image says of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said<T> {
    /// This.
    Value(T),
    /// That it is as on the other side.
    Unchanged,
    /// Nothing.
    Nothing,
}

/// One side of a change.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) group: Vec<Said<GroupCell>>,
    /// `None`: no exact decimal.
    pub(super) cells: Vec<Said<Option<Amount>>>,
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) rank: u32,
    pub(super) op: Op,
    /// The identity of the key before and after.
    pub(super) keys: [Option<u128>; 2],
    pub(super) before: Option<Side>,
    pub(super) after: Option<Side>,
    /// Who, when and where, if it is to be told.
    pub(super) told: Option<Box<Told>>,
}

/// Where a change stands, for the list of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) key: String,
    pub(super) transaction: Option<String>,
    pub(super) position: Option<String>,
    pub(super) committed_at: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) file: String,
    pub(super) record: u64,
}

/// The changes of a dataset between two cuts.
pub(super) struct Between<'a> {
    pub(super) run: &'a Run,
    pub(super) number: usize,
    pub(super) columns: &'a Columns,
    pub(super) ranks: Range<u32>,
    /// Whether their places are told.
    pub(super) told: bool,
    /// Which of them count, by their place in the stream; `None`: all.
    pub(super) only: Option<&'a dyn Fn(u64) -> bool>,
}

impl Between<'_> {
    /// Hands over all changes in the order of their ranks. Where the ledger was delivered in another
    /// order, all of them are kept until they are sorted.
    pub(super) fn each(&self, take: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let input = &self.run.inputs.datasets[self.number];
        let ranks = self.run.order(self.number).order.ranks(input.member);
        let rises = match &ranks {
            Ranks::AsRead => true,
            Ranks::Table(table) => table.iter().filter(|rank| self.ranks.contains(*rank)).is_sorted(),
        };
        let want = Want {
            order: true,
            provenance: true,
            before: Images::All,
            after: Images::All,
            ..Want::default()
        };
        let mut held = Vec::new();
        for (segment, rows) in self.places() {
            let first = input.store.first(segment);
            let batch = input.read_changes(segment, want, Some(&rows))?;
            let entries = self.entries(&batch, |at| ranks.of(first + rows[at]))?;
            match rises {
                true => entries.into_iter().try_for_each(&mut *take)?,
                false => held.extend(entries),
            }
        }
        held.sort_by_key(|entry| entry.rank);
        held.into_iter().try_for_each(take)
    }

    /// The segments that hold changes between the cuts, with the rows of these.
    fn places(&self) -> Vec<(usize, Vec<u32>)> {
        let input = &self.run.inputs.datasets[self.number];
        let ranks = self.run.order(self.number).order.ranks(input.member);
        let place = |segment: usize| {
            let first = input.store.first(segment);
            let inside =
                (first..input.store.first(segment + 1)).filter(|&i| self.ranks.contains(&ranks.of(i)));
            (segment, inside.map(|index| index - first).collect::<Vec<u32>>())
        };
        (0..input.store.segments()).map(place).filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// The keys that the changes name, under the seed of a run over the same ledger.
    pub(super) fn touched(&self, run: &Run) -> Result<HashSet<u128>> {
        let mut touched = HashSet::new();
        if run.inputs.datasets[self.number].schema.is_keyless() {
            return Ok(touched);
        }
        self.keys(run.seed, &mut |ids| touched.extend(ids))?;
        Ok(touched)
    }

    /// Rows by their keys under the seed of this run, which another run found under its own.
    pub(super) fn reseeded(&self, other: &Run, mut rows: HashMap<u128, Row>) -> Result<HashMap<u128, Row>> {
        let mut found = HashMap::with_capacity(rows.len());
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        self.keys(other.seed, &mut |ids| theirs.extend(ids))?;
        self.keys(self.run.seed, &mut |ids| ours.extend(ids))?;
        for (their, our) in theirs.into_iter().zip(ours) {
            if let Some(row) = rows.remove(&their) {
                found.insert(our, row);
            }
        }
        Ok(found)
    }

    /// Hands over, segment by segment, the identities of the keys of both sides of the changes.
    fn keys(&self, seed: Seed, take: &mut dyn FnMut(Vec<u128>)) -> Result<()> {
        let input = &self.run.inputs.datasets[self.number];
        let want = Want { order: self.only.is_some(), ..Want::KEYS };
        for (segment, rows) in self.places() {
            let batch = input.read_changes(segment, want, Some(&rows))?;
            let mut found = Vec::with_capacity(2 * batch.len());
            for images in [&batch.before, &batch.after] {
                let keys: Vec<&ArrayRef> =
                    input.schema.key().iter().filter_map(|&c| images.column(c)).collect();
                let keys = input.normalised_keys(&keys)?;
                let ids = canon::key_ids(&keys.iter().collect::<Vec<_>>(), seed);
                let ours = |&row: &usize| {
                    images.is_present(row) && self.only.is_none_or(|only| only(batch.stream[row]))
                };
                found.extend((0..batch.len()).filter(ours).map(|row| ids[row]));
            }
            take(found);
        }
        Ok(())
    }

    fn entries(&self, batch: &ChangeBatch, rank: impl Fn(usize) -> u32) -> Result<Vec<Entry>> {
        let input = &self.run.inputs.datasets[self.number];
        let side = |images: &crate::model::Images| -> Result<(Vec<ArrayRef>, Vec<u128>, Vec<usize>)> {
            let keys: Vec<&ArrayRef> = input.schema.key().iter().filter_map(|&c| images.column(c)).collect();
            let plain = keys.iter().map(|k| ArrayRef::clone(k)).collect();
            let keys = input.normalised_keys(&keys)?;
            let keys: Vec<&ArrayRef> = keys.iter().collect();
            Ok((plain, canon::key_ids(&keys, self.run.seed), canon::null_keys(&keys)))
        };
        let sides = [side(&batch.before)?, side(&batch.after)?];
        let images = [&batch.before, &batch.after];
        let mut entries = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            if self.only.is_some_and(|only| !only(batch.stream[row])) {
                continue;
            }
            let present = [0, 1].map(|s| images[s].is_present(row));
            // A change without a key is set aside.
            if (0..2).any(|s| present[s] && sides[s].2.binary_search(&row).is_ok()) {
                continue;
            }
            let keyed = !input.schema.is_keyless();
            let key = |s: usize| (present[s] && keyed).then(|| sides[s].1[row]);
            let told = self.told.then(|| {
                Box::new(self.tell(
                    batch,
                    row,
                    usize::from(present[1]),
                    &sides.each_ref().map(|s| s.0.as_slice()),
                ))
            });
            entries.push(Entry {
                rank: rank(row),
                op: Op::from_code(batch.ops[row]).unwrap_or(Op::Update),
                keys: [key(0), key(1)],
                before: present[0].then(|| self.side(&batch.before, row)),
                after: present[1].then(|| self.side(&batch.after, row)),
                told,
            });
        }
        Ok(entries)
    }

    fn side(&self, images: &crate::model::Images, row: usize) -> Side {
        let group =
            self.columns.by.iter().map(|&c| said(images, c, row, |array| Some(canon::cell_text(array, row))));
        let cells = self.columns.measures.iter().map(|&c| said(images, c, row, |array| amount(array, row)));
        Side { group: group.collect(), cells: cells.collect() }
    }

    fn tell(&self, batch: &ChangeBatch, row: usize, side: usize, keys: &[&[ArrayRef]; 2]) -> Told {
        let source = self.run.source(self.number);
        let input = &self.run.inputs.datasets[self.number];
        let text = |array: &Option<ArrayRef>| array.as_ref().and_then(|a| canon::cell_text(a.as_ref(), row));
        let commit = batch.commit_position.as_ref().map(|p| p[row]);
        let own = batch.position.as_ref().map(|p| p[row]);
        let places = source.positions.as_ref().filter(|_| commit.is_some() || own.is_some());
        let file = source.files.get(batch.file as usize);
        Told {
            key: match input.schema.is_keyless() {
                true => String::new(),
                false => input.key_text(&keys[side].iter().collect::<Vec<_>>(), row),
            },
            transaction: text(&batch.transaction),
            position: places.map(|kind| kind.format(commit, own)),
            committed_at: Some(batch.committed_at[row]).filter(|&t| t != NO_TIME).map(time::format_instant),
            actor: text(&batch.actor),
            file: file.map_or_else(String::new, |f| f.path.display().to_string()),
            record: batch.record[row],
        }
    }
}

fn said<T>(
    images: &crate::model::Images,
    column: usize,
    row: usize,
    value: impl FnOnce(&dyn Array) -> T,
) -> Said<T> {
    match (images.state(column, row), images.column(column)) {
        (CellState::Known | CellState::AmbiguousNull, Some(array)) => Said::Value(value(array.as_ref())),
        (CellState::Unchanged, _) => Said::Unchanged,
        _ => Said::Nothing,
    }
}
