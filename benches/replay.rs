//! How fast does the kernel decide? From decoded changes to selected records
//! and verified chains, without any I/O. Throughput is in changes.
#![allow(missing_docs, clippy::expect_used, reason = "a bench is a program of its own")]

mod workload;

use asof::model::canon::Seed;
use asof::model::lanes::{LaneFinder, Lanes};
use asof::model::rank::Ranks;
use asof::model::{ChangeBatch, Images, Op};
use asof::replay::chain;
use asof::replay::facts::{self, Facts, ScanOptions, shard_of};
use asof::replay::history::Timeline;
use asof::replay::select::{self, NO_ROW, World};
use asof::replay::shard::Shard;
use asof::testing::Delivery;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use workload::{Spread, delivery, keys};

const SHARDS: usize = 8;
const BATCH: usize = 8_192;

/// Everything that a selection needs, and what it came from.
struct Kernel {
    batches: Vec<ChangeBatch>,
    schema: asof::model::TableSchema,
    lanes: Lanes,
    shards: Vec<Shard>,
    bases: Vec<u32>,
    standing: Vec<u64>,
    hashes: Vec<u64>,
    transactions: Vec<u32>,
}

impl Kernel {
    fn new(delivery: &Delivery) -> Self {
        let batches = delivery.changes(0, BATCH);
        let schema = delivery.tables[0].schema();
        let mut finder = LaneFinder::new(&schema);
        batches.iter().for_each(|batch| finder.observe(batch));
        let lanes = finder.finish();
        let transactions = (0..delivery.records.len() as u32).collect();
        let mut kernel = Self {
            batches,
            schema,
            lanes,
            shards: Vec::new(),
            bases: vec![0],
            standing: Vec::new(),
            hashes: Vec::new(),
            transactions,
        };
        kernel.shards = kernel.scan(true).iter().map(|facts| Shard::new(facts, &Ranks::AsRead)).collect();
        for shard in &kernel.shards {
            kernel.bases.push(kernel.bases[kernel.bases.len() - 1] + shard.keys() as u32);
        }
        kernel.stand(delivery);
        kernel
    }

    fn options(&self, verify: bool) -> ScanOptions<'_> {
        ScanOptions { schema: &self.schema, lanes: &self.lanes, seed: Seed::fixed(1), verify }
    }

    /// Facts of all batches, by shard.
    fn scan(&self, verify: bool) -> Vec<Facts> {
        let mut shards: Vec<Facts> = (0..SHARDS).map(|_| Facts::new(self.lanes.count())).collect();
        for (number, batch) in self.batches.iter().enumerate() {
            let first = (number * BATCH) as u32;
            let scanned = facts::scan(batch, first, SHARDS, self.options(verify), |_| true);
            shards.iter_mut().zip(scanned.shards).for_each(|(all, part)| all.append(part));
        }
        shards
    }

    /// Which keys stand, and with what hash: the current rows, scanned as initial reads.
    fn stand(&mut self, delivery: &Delivery) {
        let rows = delivery.current_batch(0).expect("the workload fits its own types");
        let n = rows.num_rows();
        let reads = ChangeBatch {
            ops: vec![Op::Read as u8; n],
            before: Images { present: Some((0..n).map(|_| false).collect()), ..images(&rows) },
            after: images(&rows),
            committed_at: vec![0; n],
            record: vec![0; n],
            stream: vec![0; n],
            ..ChangeBatch::default()
        };
        let scanned = facts::scan(&reads, 0, SHARDS, self.options(true), |_| true);
        let slots = self.bases[SHARDS] as usize;
        self.standing = vec![NO_ROW; slots];
        self.hashes = vec![0; slots * self.lanes.count()];
        for facts in &scanned.shards {
            for fact in 0..facts.len() {
                let shard = shard_of(facts.key[fact], SHARDS);
                let Some(number) = self.shards[shard].find(facts.key[fact]) else { continue };
                let slot = self.bases[shard] as usize + number;
                self.standing[slot] = u64::from(facts.index[fact]);
                self.hashes[slot] = facts.hash_after(fact, 0).unwrap_or_default();
            }
        }
    }

    fn world(&self) -> World<'_> {
        let end = self.transactions.len() as u32;
        World {
            shards: &self.shards,
            bases: &self.bases,
            standing: &self.standing,
            moves: &[],
            timeline: Timeline {
                truncates: &[],
                transactions: &self.transactions,
                from_birth: false,
                end,
                opening: None,
            },
            lanes: self.lanes.count(),
            duplicates: &[],
            null_lanes: &[],
            distrusted: &[],
        }
    }
}

fn images(rows: &arrow::array::RecordBatch) -> Images {
    Images {
        columns: rows.columns().iter().cloned().map(Some).collect(),
        present: None,
        states: vec![None; rows.num_columns()],
    }
}

fn replay(criterion: &mut Criterion) {
    for spread in Spread::ALL {
        let delivery = delivery(keys(), spread);
        let kernel = Kernel::new(&delivery);
        let changes = delivery.records.len() as u64;
        let mut group = criterion.benchmark_group(format!("replay/{}", spread.name()));
        group.throughput(Throughput::Elements(changes)).sample_size(20);
        group.bench_function("scan-keys", |b| b.iter(|| kernel.scan(false)));
        group.bench_function("scan-images", |b| b.iter(|| kernel.scan(true)));
        let facts = kernel.scan(true);
        group.bench_function("sort-into-histories", |b| {
            b.iter(|| facts.iter().map(|facts| Shard::new(facts, &Ranks::AsRead)).collect::<Vec<_>>());
        });
        let cut = (changes * 3 / 4) as u32;
        group.bench_function("select", |b| {
            b.iter(|| {
                (0..SHARDS).map(|s| select::select(kernel.world(), s, cut).patches.len()).sum::<usize>()
            });
        });
        group.bench_function("verify-chains", |b| {
            b.iter(|| {
                let chained = (0..SHARDS).map(|s| chain::verify(kernel.world(), s, &kernel.hashes));
                let conflicts: usize = chained.map(|c| c.conflicts.len()).sum();
                assert_eq!(conflicts, 0, "the workload is true");
            });
        });
        group.finish();
    }
}

criterion_group!(benches, replay);
criterion_main!(benches);
