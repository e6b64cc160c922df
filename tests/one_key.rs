//! The history of one key, where the footer and a few pages tell it, beside the same ledger ordered as a whole.
//!
//! A Parquet ledger in small row groups, in order or with one thing wrong with it, against an Arrow file of
//! the same rows, of whose order no footer says anything.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use asof::pipeline::history;
use asof::pipeline::progress::Silent;
use asof::pipeline::request::{HistoryRequest, RunOptions};
use asof::plan::Plan;
use asof::testing::Prng;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::harness::Folder;
use crate::table;

const ROWS: usize = 60;
const KEYS: u64 = 6;

const PLAN: &str = "[datasets.t]\nkey = [\"id\"]\ncurrent = \"t.parquet\"\n[datasets.t.ledger]\npath = \"ledger\"\n\
                    format = \"mapped\"\ncolumns = { position = \"seq\", transaction = \"txid\" }\n";

/// One record: position, transaction, key, the values before and after.
#[derive(Clone, Copy)]
struct Record {
    seq: i64,
    txid: i64,
    key: i64,
    values: [i64; 2],
}

/// Records whose keys stay near each other for a while, in short transactions.
fn records(prng: &mut Prng) -> Vec<Record> {
    let (mut txid, mut values) = (0, [0; KEYS as usize + 2]);
    let mut record = |number: usize| {
        txid += i64::from(prng.below(3) == 0);
        let key = number as u64 * KEYS / ROWS as u64 + prng.below(3);
        let before = values[key as usize] + i64::from(prng.below(12) == 0);
        let after = prng.below(50) as i64;
        values[key as usize] = after;
        Record { seq: 10 * number as i64, txid, key: key as i64, values: [before, after] }
    };
    (0..ROWS).map(&mut record).collect()
}

/// One thing wrong with them, or nothing.
fn disturb(records: &mut [Record], prng: &mut Prng) {
    let (a, b) = (prng.index(ROWS), prng.index(ROWS));
    let near = (a + 1 + prng.index(6)).min(ROWS - 1);
    match prng.below(8) {
        0 => records.swap(a, near),
        1 => records.swap(a, b),
        2 => (records[a].seq, records[near].seq) = (records[near].seq, records[a].seq),
        3 => records[near].seq = records[a].seq,
        4 => records[near] = records[a],
        5 => records[b].txid = records[a].txid,
        6 => (records[a].txid, records[b].txid) = (records[b].txid, records[a].txid),
        _ => {}
    }
}

fn batch(records: &[Record]) -> RecordBatch {
    let numbers = |of: fn(&Record) -> i64| -> ArrayRef {
        Arc::new(records.iter().map(|r| Some(of(r))).collect::<Int64Array>())
    };
    let times: TimestampMicrosecondArray =
        records.iter().map(|r| Some(1_735_689_600_000_000 + r.txid * 1_000_000)).collect();
    RecordBatch::try_from_iter([
        ("seq", numbers(|r| r.seq)),
        ("txid", numbers(|r| r.txid)),
        ("committed_at", Arc::new(times.with_timezone("UTC")) as ArrayRef),
        ("op", Arc::new(StringArray::from_iter_values(records.iter().map(|_| "U")))),
        ("id", numbers(|r| r.key)),
        ("old_v", numbers(|r| r.values[0])),
        ("new_v", numbers(|r| r.values[1])),
    ])
    .unwrap()
}

/// What `history` says of a key of the files in a folder, without the folder's name.
fn told(folder: &Folder, key: u64) -> String {
    let plan = Plan::parse(PLAN, folder.path()).unwrap();
    let options = RunOptions { threads: NonZeroUsize::new(2), ..RunOptions::at(0) };
    let request = HistoryRequest { plan, dataset: "t".to_owned(), key: vec![key.to_string()], options };
    let outcome = history(&request, &Silent).unwrap();
    format!("{outcome:#?}").replace(&*folder.path().to_string_lossy(), "")
}

#[test]
fn one_key_is_told_as_from_the_whole_ledger() {
    let (mut steps, mut breaks) = (0, 0);
    for seed in 1..=60 {
        let mut prng = Prng::new(seed);
        let mut records = records(&mut prng);
        let mut last = std::collections::BTreeMap::new();
        last.extend(records.iter().map(|r| (r.key, r.values[1])));
        disturb(&mut records, &mut prng);
        let (ids, values): (Vec<i64>, Vec<i64>) = last.into_iter().unzip();
        let current = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
            ("v", Arc::new(Int64Array::from(values))),
        ])
        .unwrap();
        let ledger = batch(&records);
        let folders = [Folder::new(), Folder::new()];
        folders.iter().for_each(|f| table::write_parquet(&f.join("t.parquet"), &current));
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(2 + prng.index(9))).build();
        let file = std::fs::File::create(folders[0].join("ledger")).unwrap();
        let mut writer = ArrowWriter::try_new(file, ledger.schema(), Some(properties)).unwrap();
        writer.write(&ledger).unwrap();
        writer.close().unwrap();
        table::write_ipc(&folders[1].join("ledger"), &ledger);
        for key in 0..KEYS + 2 {
            let [found, expected] = [&folders[0], &folders[1]].map(|folder| told(folder, key));
            assert!(found == expected, "seed {seed}, key {key}\n{found}\nexpected\n{expected}");
            steps += found.matches("HistoryStep").count();
            breaks += found.matches("Discrepancy {").count();
        }
    }
    assert!(steps > 2_000 && breaks > 100, "{steps} steps with {breaks} breaks");
}
