//! How long does the whole job take, from files to files? Throughput is in
//! rows of the current table and changes of the ledger together.
#![allow(missing_docs, clippy::expect_used, reason = "a bench is a program of its own")]

mod workload;

use std::num::NonZeroUsize;
use std::path::Path;

use asof::pipeline;
use asof::pipeline::progress::Silent;
use asof::pipeline::request::{Output, OutputFormat, Policy, RunOptions, SnapshotRequest, VerifyRequest};
use asof::plan::{Calendar, Moment, OneDataset, Plan};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use workload::{AS_OF, Spread, delivery, files, keys};

fn plan(folder: &Path, ledger: &str) -> Plan {
    OneDataset {
        current: folder.join("current.parquet"),
        ledger: vec![folder.join(ledger)],
        key: vec!["account_id".to_owned()],
        table: Some("accounts".to_owned()),
        ..OneDataset::default()
    }
    .into_plan()
}

fn options(threads: usize) -> RunOptions {
    RunOptions { threads: NonZeroUsize::new(threads), ..RunOptions::at(0) }
}

fn snapshot(plan: &Plan, moments: &[Moment], path: &Path, verify: bool, threads: usize) {
    let request = SnapshotRequest {
        plan: plan.clone(),
        moments: moments.to_vec(),
        output: Output::Folder { path: path.join("evidence"), format: OutputFormat::Parquet },
        replace: true,
        verify,
        provenance: false,
        csv_safe: false,
        schema: asof::pipeline::request::SchemaAt::Current,
        policy: Policy::default(),
        options: options(threads),
    };
    pipeline::snapshot(&request, &Silent).expect("the workload can be rebuilt");
}

fn verify(plan: &Plan, threads: usize) {
    let request =
        VerifyRequest { plan: plan.clone(), discrepancies: None, replace: false, options: options(threads) };
    pipeline::verify(&request, &Silent).expect("the workload can be verified");
}

fn end_to_end(criterion: &mut Criterion) {
    let calendar = Calendar::default();
    let at = |when: &str| Moment::parse(when, &calendar, 0).expect("a moment of the workload");
    for spread in Spread::ALL {
        let delivery = delivery(keys(), spread);
        let folder = files(&delivery);
        let path = folder.path();
        let (parquet, ndjson) = (plan(path, "ledger.parquet"), plan(path, "ledger.ndjson"));
        let mut group = criterion.benchmark_group(format!("end_to_end/{}", spread.name()));
        let size = delivery.current[0].len() + delivery.records.len();
        group.throughput(Throughput::Elements(size as u64)).sample_size(10);
        let (one, months) = (at(AS_OF), at("2025-02..2025-11"));
        group.bench_function("snapshot-no-verify", |b| b.iter(|| snapshot(&parquet, &one, path, false, 2)));
        group.bench_function("snapshot", |b| b.iter(|| snapshot(&parquet, &one, path, true, 2)));
        group.bench_function("snapshot-one-thread", |b| b.iter(|| snapshot(&parquet, &one, path, true, 1)));
        group.bench_function("snapshot-debezium", |b| b.iter(|| snapshot(&ndjson, &one, path, true, 2)));
        group.bench_function("series-of-ten", |b| b.iter(|| snapshot(&parquet, &months, path, false, 2)));
        group.bench_function("verify", |b| b.iter(|| verify(&parquet, 2)));
        group.finish();
    }
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
