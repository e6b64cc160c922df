//! Row groups of a Parquet ledger that lie before the moment are not read where nobody verifies: the rebuild is the
//! one from a file without statistics, of which everything is read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use asof::testing::Prng;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::harness::Folder;
use crate::table;

const START: i64 = 1_735_689_600_000_000;
const SECOND: i64 = 1_000_000;

/// One change of the value of a key, or its first.
struct Change {
    transaction: i64,
    key: i64,
    before: Option<i64>,
    after: i64,
}

/// Transactions of one change to many, so that some fill whole row groups.
fn history(random: &mut Prng) -> (Vec<Change>, BTreeMap<i64, i64>) {
    let (mut changes, mut state) = (Vec::new(), BTreeMap::new());
    for transaction in 1..=4 + random.index(8) as i64 {
        let longest = if random.below(3) == 0 { 12 } else { 2 };
        for _ in 0..1 + random.index(longest) {
            let (key, after) = (random.index(6) as i64, random.index(1000) as i64);
            changes.push(Change { transaction, key, before: state.insert(key, after), after });
        }
    }
    (changes, state)
}

/// The changes as a table; each was recorded a second after the one before it.
fn ledger(changes: &[Change]) -> RecordBatch {
    let integers = |of: &dyn Fn(&Change) -> Option<i64>| -> ArrayRef {
        Arc::new(changes.iter().map(of).collect::<Int64Array>())
    };
    let times = (0..changes.len() as i64).map(|row| START + row * SECOND);
    let ops = changes.iter().map(|c| if c.before.is_some() { "U" } else { "I" });
    RecordBatch::try_from_iter([
        ("seq", Arc::new(Int64Array::from_iter_values(1..=changes.len() as i64)) as ArrayRef),
        ("txid", integers(&|c| Some(c.transaction))),
        ("committed_at", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("op", Arc::new(StringArray::from_iter_values(ops))),
        ("id", integers(&|c| Some(c.key))),
        ("old_v", integers(&|c| c.before)),
        ("new_v", integers(&|c| Some(c.after))),
    ])
    .unwrap()
}

fn write_groups(path: &Path, batch: &RecordBatch, rows: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn rebuilt(folder: &Folder, ledger: &str, moment: &str) -> String {
    let output = folder.run(&[
        "snapshot",
        "--current",
        "t.parquet",
        "--ledger",
        ledger,
        "--key",
        "id",
        "--as-of",
        moment,
        "--no-verify",
        "--quiet",
        "--replace",
        "--out",
        "then.csv",
    ]);
    assert_eq!(output.status, 0, "{output:?}");
    std::fs::read_to_string(folder.join("then.csv")).unwrap()
}

#[test]
fn a_transaction_is_never_cut_by_a_group_that_is_not_read() {
    let mut kinds = [0, 0];
    for seed in 1..=40 {
        let mut random = Prng::new(seed);
        let (changes, state) = history(&mut random);
        let folder = Folder::new();
        let (keys, values): (Vec<i64>, Vec<i64>) = state.into_iter().unzip();
        let current = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(keys)) as ArrayRef),
            ("v", Arc::new(Int64Array::from(values))),
        ]);
        table::write_parquet(&folder.join("t.parquet"), &current.unwrap());
        let ledger = ledger(&changes);
        write_groups(&folder.join("groups.parquet"), &ledger, 1 + random.index(4));
        table::write_ipc(&folder.join("whole.arrow"), &ledger);
        for _ in 0..3 {
            // Behind the first transaction: before it, nothing is proven.
            let first = changes.iter().take_while(|c| c.transaction == 1).count() - 1;
            let row = first + random.index(changes.len() - first);
            let moment = format!("2025-01-01T00:{:02}:{:02}.5Z", row / 60, row % 60);
            let [found, expected] = ["groups.parquet", "whole.arrow"].map(|l| rebuilt(&folder, l, &moment));
            assert_eq!(found, expected, "seed {seed}, {moment}");
            let next = changes.get(row + 1);
            kinds[usize::from(next.is_some_and(|c| c.transaction == changes[row].transaction))] += 1;
        }
    }
    assert!(kinds[0] > 20 && kinds[1] > 40, "between and inside transactions: {kinds:?}");
}
