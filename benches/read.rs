//! How fast do inputs become columns? Tables of each format, all columns, and
//! JSON cut into records. Throughput is in bytes of the file.
#![allow(missing_docs, clippy::expect_used, reason = "a bench is a program of its own")]

mod workload;

use std::path::Path;

use asof::read::{InputFile, JsonChunks, Spool, Table, TableSource};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use workload::{Spread, delivery, files, keys};

/// Rows of a table, every column of every group decoded.
fn read_table(path: &Path) -> usize {
    let spool = Spool::new(None);
    let table = Table::open(&TableSource::at(path), &spool).expect("a table of the workload");
    let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
    (0..table.groups()).map(|g| table.read(g, &columns, None).expect("a readable group").num_rows()).sum()
}

/// Records of a JSON file, found but not decoded.
fn cut_json(path: &Path) -> usize {
    let file = InputFile::open(path, &Spool::new(None)).expect("a ledger of the workload");
    let chunks = JsonChunks::open(&file).expect("a readable ledger");
    chunks.map(|chunk| chunk.expect("a readable chunk").records.len()).sum()
}

fn read(criterion: &mut Criterion) {
    let delivery = delivery(keys(), Spread::Scattered);
    let folder = files(&delivery);
    let rows = delivery.current[0].len();
    let records = delivery.records.len();
    let mut bench = |id: &str, name: &str, expected: usize, run: fn(&Path) -> usize| {
        let path = folder.path().join(name);
        let bytes = std::fs::metadata(&path).expect("a file of the workload").len();
        let (stage, config) = id.rsplit_once('/').expect("an id of three parts");
        let mut group = criterion.benchmark_group(stage);
        group.throughput(Throughput::Bytes(bytes)).sample_size(20);
        group.bench_function(config, |b| b.iter(|| assert_eq!(run(&path), expected)));
        group.finish();
    };
    bench("read/current/parquet", "current.parquet", rows, read_table);
    bench("read/current/csv", "current.csv", rows, read_table);
    bench("read/ledger/parquet", "ledger.parquet", records, read_table);
    bench("read/ledger/json-records", "ledger.ndjson", records, cut_json);
}

criterion_group!(benches, read);
criterion_main!(benches);
