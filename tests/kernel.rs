//! The kernel alone against the oracle: seeded histories, every commit a cut,
//! every cell traced to the record that supplies it.
//!
//! The twin is the naive undo in `asof::testing`, which the same histories
//! satisfy; here the selection has to reach the same states without undoing.

use std::collections::BTreeMap;

use asof::model::canon::{Seed, key_ids};
use asof::model::lanes::{LaneFinder, Lanes};
use asof::model::rank::Ranks;
use asof::model::{ChangeBatch, Op};
use asof::replay::chain;
use asof::replay::facts::{self, Facts, ScanOptions, shard_of};
use asof::replay::history::Timeline;
use asof::replay::select::{self, Choice, Fate, NO_ROW, Source, World};
use asof::replay::shard::Shard;
use asof::testing::{Delivery, History, ImageMode, KeyShape, Options, Row, Shape, Value, generate};

const SHARDS: usize = 4;

struct Kernel {
    delivery: Delivery,
    lanes: Lanes,
    shards: Vec<Shard>,
    bases: Vec<u32>,
    standing: Vec<u64>,
    moves: Vec<(u32, u128, u128)>,
    truncates: Vec<u32>,
    transactions: Vec<u32>,
    from_birth: bool,
}

impl Kernel {
    fn new(delivery: Delivery, from_birth: bool, batch_rows: usize) -> Self {
        let schema = delivery.tables[0].schema();
        let batches = delivery.changes(0, batch_rows);
        let mut finder = LaneFinder::new(&schema);
        batches.iter().for_each(|batch| finder.observe(batch));
        let lanes = finder.finish();
        let options = ScanOptions { schema: &schema, lanes: &lanes, seed: Seed::fixed(3), verify: true };
        let mut parts: Vec<Facts> = (0..SHARDS).map(|_| Facts::new(lanes.count())).collect();
        let (mut moves, mut truncates) = (Vec::new(), Vec::new());
        for (number, batch) in batches.iter().enumerate() {
            let scanned = facts::scan(batch, (number * batch_rows) as u32, SHARDS, options, |_| true);
            parts.iter_mut().zip(scanned.shards).for_each(|(all, part)| all.append(part));
            moves.extend(scanned.moves);
            truncates.extend(scanned.truncates);
        }
        moves.sort_unstable();
        let shards: Vec<Shard> = parts.iter().map(|facts| Shard::new(facts, &Ranks::AsRead)).collect();
        let bases = std::iter::once(0)
            .chain(shards.iter().scan(0, |sum, shard| {
                *sum += shard.keys() as u32;
                Some(*sum)
            }))
            .collect::<Vec<u32>>();
        let standing = standing(&delivery, &shards, &bases);
        let commits: Vec<u64> = delivery.records.iter().map(|r| r.commit_position).collect();
        let begins = |&i: &usize| i == 0 || commits[i - 1] != commits[i];
        let transactions = (0..commits.len()).filter(begins).map(|i| i as u32).collect();
        Self { delivery, lanes, shards, bases, standing, moves, truncates, transactions, from_birth }
    }

    fn world(&self) -> World<'_> {
        World {
            shards: &self.shards,
            bases: &self.bases,
            standing: &self.standing,
            moves: &self.moves,
            timeline: Timeline {
                truncates: &self.truncates,
                transactions: &self.transactions,
                from_birth: self.from_birth,
                end: self.delivery.records.len() as u32,
                opening: None,
            },
            lanes: self.lanes.count(),
            duplicates: &[],
            null_lanes: &[],
            distrusted: &[],
        }
    }

    /// The selected rows after so many commits, by key; `None` for cells that nothing states.
    fn rebuild(&self, commits: usize) -> BTreeMap<Row, Vec<Option<Value>>> {
        let end = self.delivery.records.len() as u32;
        let cut = self.transactions.get(commits).copied().unwrap_or(end);
        let table = &self.delivery.tables[0];
        let current = &self.delivery.current[0];
        let mut rows: Vec<Vec<Option<Value>>> = Vec::new();
        let mut untouched = vec![true; current.len()];
        for shard in 0..SHARDS {
            let selection = select::select(self.world(), shard, cut);
            let mut choices = selection.choices.chunks(1 + self.lanes.count());
            for patch in &selection.patches {
                if self.standing[patch.slot as usize] != NO_ROW {
                    untouched[self.standing[patch.slot as usize] as usize] = false;
                }
                if patch.fate == Fate::Present {
                    rows.push(self.row(choices.next().expect("choices of a present patch")));
                }
            }
        }
        let kept = current.iter().zip(untouched).filter(|(_, untouched)| *untouched);
        rows.extend(kept.map(|(row, _)| row.iter().cloned().map(Some).collect()));
        let key = |row: &[Option<Value>]| -> Row {
            table.key.iter().map(|&c| row[c].clone().expect("a key is always known")).collect()
        };
        let count = rows.len();
        let keyed: BTreeMap<Row, _> = rows.into_iter().map(|row| (key(&row), row)).collect();
        assert_eq!(keyed.len(), count, "keys are unique");
        keyed
    }

    fn row(&self, choices: &[Choice]) -> Vec<Option<Value>> {
        let cell = |column: usize| {
            let choice = self.lanes.of_column(column).map_or(choices[0], |lane| choices[1 + lane]);
            let records = &self.delivery.records;
            let image = |image: &Option<asof::testing::Image>| {
                image.as_ref().and_then(|image| image.known(column)).cloned()
            };
            match choice.source {
                Source::Current(slot) => {
                    let row = &self.delivery.current[0][self.standing[slot as usize] as usize];
                    Some(row[column].clone())
                }
                Source::Before(index) => image(&records[index as usize].before),
                Source::After(index) => image(&records[index as usize].after),
                Source::Nothing => None,
            }
        };
        (0..self.delivery.tables[0].columns.len()).map(cell).collect()
    }
}

/// Per slot, the index of the current row with its key.
fn standing(delivery: &Delivery, shards: &[Shard], bases: &[u32]) -> Vec<u64> {
    let rows = delivery.current_batch(0).expect("a table of the generator");
    let columns: Vec<_> = delivery.tables[0].key.iter().map(|&c| rows.column(c)).collect();
    let mut standing = vec![NO_ROW; bases[SHARDS] as usize];
    for (row, id) in key_ids(&columns, Seed::fixed(3)).into_iter().enumerate() {
        let shard = shard_of(id, SHARDS);
        if let Some(number) = shards[shard].find(id) {
            standing[bases[shard] as usize + number] = row as u64;
        }
    }
    standing
}

fn keyed_shapes() -> impl Iterator<Item = KeyShape> {
    KeyShape::ALL.into_iter().filter(|key| *key != KeyShape::Keyless)
}

/// Compares every state of a history; `exact` if every cell must be stated.
fn check(options: &Options, shape: &Shape, exact: bool) {
    let history: History = generate(options);
    let kernel = Kernel::new(history.deliver(shape), options.rows == 0, 32);
    let table = &history.tables[0];
    for (commits, state) in history.states().enumerate() {
        let what = format!("seed {} {:?} {:?} after {commits}", options.seed, options.tables, shape.images);
        let found = kernel.rebuild(commits);
        let truth: BTreeMap<Row, &Row> = state[0].values().map(|r| (table.key_of(r), r.as_ref())).collect();
        let keys = found.keys().collect::<Vec<_>>();
        assert_eq!(keys, truth.keys().collect::<Vec<_>>(), "{what}: keys");
        for (key, row) in &truth {
            for (c, value) in row.iter().enumerate() {
                let cell = &found[key][c];
                let right = cell.as_ref() == Some(value) || (!exact && cell.is_none());
                let column = &table.columns[c].name;
                assert!(right, "{what}: {key:?} {column}: expected {value:?}, found {cell:?}");
            }
        }
    }
}

#[test]
fn selects_every_state_from_whole_images() {
    for (seed, key) in (0..15).flat_map(|seed| keyed_shapes().map(move |key| (seed, key))) {
        check(&Options::new(seed, key), &Shape::default(), true);
    }
}

#[test]
fn selects_every_state_from_changed_columns() {
    let shape = Shape { images: ImageMode::ChangedOnly, ..Shape::default() };
    for (seed, key) in (20..35).flat_map(|seed| keyed_shapes().map(move |key| (seed, key))) {
        check(&Options::new(seed, key), &shape, true);
    }
}

#[test]
fn never_selects_a_wrong_cell_from_partial_images() {
    for images in [ImageMode::KeyOnlyBefore, ImageMode::AfterOnly] {
        for (seed, key) in (40..50).flat_map(|seed| keyed_shapes().map(move |key| (seed, key))) {
            check(&Options::new(seed, key), &Shape { images, ..Shape::default() }, false);
        }
    }
}

#[test]
fn selects_every_state_of_truncated_tables_from_birth() {
    for (seed, key) in (60..75).flat_map(|seed| keyed_shapes().map(move |key| (seed, key))) {
        let options = Options { truncates: true, rows: 0, transactions: 120, ..Options::new(seed, key) };
        check(&options, &Shape::default(), true);
    }
}

#[test]
fn finds_no_conflict_in_a_true_ledger() {
    for (seed, key) in (80..95).flat_map(|seed| keyed_shapes().map(move |key| (seed, key))) {
        for images in ImageMode::ALL {
            let delivery = generate(&Options::new(seed, key)).deliver(&Shape { images, ..Shape::default() });
            let kernel = Kernel::new(delivery, false, 50);
            let hashes = current_hashes(&kernel);
            for shard in 0..SHARDS {
                let chained = chain::verify(kernel.world(), shard, &hashes);
                assert!(
                    chained.conflicts.is_empty(),
                    "seed {seed} {key:?} {images:?}: {:?}",
                    chained.conflicts
                );
            }
        }
    }
}

/// Hashes of current rows per slot and lane: the rows scanned as if the source had read them.
fn current_hashes(kernel: &Kernel) -> Vec<u64> {
    let schema = kernel.delivery.tables[0].schema();
    let rows = kernel.delivery.current_batch(0).expect("a table of the generator");
    let n = rows.num_rows();
    let images = || asof::model::Images {
        columns: rows.columns().iter().cloned().map(Some).collect(),
        present: None,
        states: vec![None; rows.num_columns()],
    };
    let reads = ChangeBatch {
        ops: vec![Op::Read as u8; n],
        before: asof::model::Images { present: Some((0..n).map(|_| false).collect()), ..images() },
        after: images(),
        committed_at: vec![0; n],
        record: vec![0; n],
        stream: vec![0; n],
        ..ChangeBatch::default()
    };
    let options = ScanOptions { schema: &schema, lanes: &kernel.lanes, seed: Seed::fixed(3), verify: true };
    let lanes = kernel.lanes.count();
    let mut hashes = vec![0; kernel.standing.len() * lanes];
    for facts in facts::scan(&reads, 0, SHARDS, options, |_| true).shards {
        for fact in 0..facts.len() {
            let shard = shard_of(facts.key[fact], SHARDS);
            let Some(number) = kernel.shards[shard].find(facts.key[fact]) else { continue };
            let slot = kernel.bases[shard] as usize + number;
            (0..lanes).for_each(|lane| hashes[slot * lanes + lane] = facts.hash_after(fact, lane).unwrap());
        }
    }
    hashes
}
