//! Hashes of images made a column at a time, beside those made of whole images.
//!
//! A Parquet ledger whose images are structs beside the key, in small row groups and with faults in it, is
//! read column by column; an Arrow file of the same rows is read image by image. `verify` must find the same.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, Fields};
use asof::testing::{Prng, parquet};
use serde_json::Value;

use crate::harness::Folder;

const KEYS: usize = 23;
const CHANGES: usize = 400;

/// The values of one row.
#[derive(Clone, PartialEq)]
struct Row {
    name: Option<String>,
    amount: Option<i128>,
    flag: Option<bool>,
    day: Option<i32>,
}

impl Row {
    fn any(random: &mut Prng) -> Self {
        let mut some = |of: u64| (random.below(7) > 0).then(|| random.below(of));
        Self {
            name: some(4).map(|n| format!("n{n}")),
            amount: some(100_000).map(i128::from),
            flag: some(2).map(|n| n == 1),
            day: some(9_000).map(|n| n as i32),
        }
    }
}

/// A record: the key, its images, and whether the file has a struct for each.
struct Record {
    op: &'static str,
    key: i64,
    images: [Option<Row>; 2],
}

/// A history of all keys, one record in a dozen of which tells something else than what was.
fn records(random: &mut Prng) -> (Vec<Record>, Vec<Option<Row>>) {
    let mut standing: Vec<Option<Row>> = vec![None; KEYS];
    let mut record = |_| {
        let key = random.index(KEYS);
        let before = standing[key].take();
        let after = (before.is_none() || random.below(6) > 0).then(|| Row::any(random));
        standing[key] = after.clone();
        let op = match (&before, &after) {
            (None, _) => "I",
            (_, None) => "D",
            _ => "U",
        };
        let mut images = [before, after];
        if random.below(12) == 0 {
            // One side is gone, is there for nothing, or says something else.
            let side = random.index(2);
            images[side] = if random.below(2) == 0 { None } else { Some(Row::any(random)) };
        }
        Record { op, key: key as i64, images }
    };
    ((0..CHANGES).map(&mut record).collect(), standing)
}

fn columns(rows: &[Option<Row>]) -> Vec<(&'static str, ArrayRef)> {
    let rows: Vec<Option<&Row>> = rows.iter().map(Option::as_ref).collect();
    let of = || rows.iter().copied();
    let amounts: Decimal128Array = of().map(|row| row?.amount).collect();
    vec![
        ("name", Arc::new(of().map(|row| row?.name.clone()).collect::<StringArray>())),
        ("amount", Arc::new(amounts.with_precision_and_scale(12, 2).unwrap())),
        ("flag", Arc::new(of().map(|row| row?.flag).collect::<BooleanArray>())),
        ("day", Arc::new(of().map(|row| row?.day).collect::<Date32Array>())),
    ]
}

fn structs(rows: &[Option<Row>]) -> ArrayRef {
    let columns = columns(rows);
    let fields: Fields = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let there = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Arc::new(StructArray::new(fields, arrays, Some(there)))
}

fn ledger(records: &[Record]) -> RecordBatch {
    let side = |side: usize| structs(&records.iter().map(|r| r.images[side].clone()).collect::<Vec<_>>());
    let places = || (0..records.len() as i64).map(|n| 1_000_000 * (n + 1));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("op", Arc::new(records.iter().map(|r| Some(r.op)).collect::<StringArray>())),
        ("seq", Arc::new(Int64Array::from_iter_values(places()))),
        (
            "committed_at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(places()).with_timezone("UTC")),
        ),
        ("id", Arc::new(Int64Array::from_iter_values(records.iter().map(|r| r.key)))),
        ("before", side(0)),
        ("after", side(1)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn current(standing: &[Option<Row>]) -> RecordBatch {
    let kept = || (0..standing.len()).filter(|&key| standing[key].is_some());
    let rows: Vec<Option<Row>> = kept().map(|key| standing[key].clone()).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(kept().map(|key| key as i64)));
    RecordBatch::try_from_iter(std::iter::once(("id", ids)).chain(columns(&rows))).unwrap()
}

fn ipc(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// What `verify` says of a ledger file, in which every name of the file is `ledger`.
fn found(folder: &Folder, file: &str) -> Value {
    let arguments = [
        "verify",
        "--current",
        "current.parquet",
        "--ledger",
        file,
        "--key",
        "id",
        "--json",
        "--threads",
        "2",
    ];
    let output = folder.run(&arguments);
    assert!(!output.stdout.is_empty(), "{}", output.stderr);
    serde_json::from_str(&output.stdout.replace(file, "ledger")).unwrap()
}

#[test]
fn columns_one_behind_the_other_give_the_findings_of_whole_images() {
    let mut found_some = 0;
    for seed in 0..6 {
        let mut random = Prng::new(seed);
        let (records, standing) = records(&mut random);
        let (ledger, folder) = (ledger(&records), Folder::new());
        folder.write("current.parquet", parquet(&current(&standing), 7).unwrap());
        folder.write("ledger.parquet", parquet(&ledger, 64).unwrap());
        folder.write("ledger.arrow", ipc(&ledger));
        let (columns, images) = (found(&folder, "ledger.parquet"), found(&folder, "ledger.arrow"));
        assert_eq!(columns, images, "seed {seed}");
        found_some += usize::from(columns.to_string().contains("chain"));
    }
    assert_eq!(found_some, 6, "faults are found in every ledger");
}
