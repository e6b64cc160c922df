//! The generator itself: same seed, same history; deliveries that are true to it; faults that change one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::model::{CellState, Op};

fn all_options(seed: u64) -> impl Iterator<Item = Options> {
    KeyShape::ALL.into_iter().map(move |key| Options {
        truncates: seed.is_multiple_of(2),
        rows: 30 * (seed as usize % 2),
        transactions: 80,
        ..Options::new(seed, key)
    })
}

/// Undoes full images one by one in reverse ledger order, as a multiset of rows.
fn undo(delivery: &Delivery, table: usize, behind: impl Fn(&Record) -> bool) -> BTreeMap<Row, i64> {
    let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
    delivery.current[table].iter().for_each(|r| *rows.entry(r.as_ref().clone()).or_default() += 1);
    for (_, record) in delivery.of(table).filter(|(_, r)| behind(r) && r.op != Op::Read) {
        if let Some(after) = &record.after {
            *rows.entry(after.row.as_ref().clone()).or_default() -= 1;
        }
        if let Some(before) = &record.before {
            *rows.entry(before.row.as_ref().clone()).or_default() += 1;
        }
    }
    rows.retain(|_, count| *count != 0);
    rows
}

fn multiset<'a>(rows: impl Iterator<Item = &'a Arc<Row>>) -> BTreeMap<Row, i64> {
    let mut counts = BTreeMap::new();
    rows.for_each(|r| *counts.entry(r.as_ref().clone()).or_default() += 1);
    counts
}

#[test]
fn every_state_follows_from_current_and_full_images() {
    for options in (0..12).flat_map(all_options).map(|o| Options { truncates: false, ..o }) {
        let history = generate(&options);
        let shape = Shape { order: RecordOrder::ByStatement, ..Shape::default() };
        let delivery = history.deliver(&shape);
        for (commits, state) in history.states().enumerate() {
            let last = commits.checked_sub(1).map_or(0, |i| history.transactions[i].commit_position);
            let undone = undo(&delivery, 0, |r| r.commit_position > last);
            assert_eq!(undone, multiset(state[0].values()), "seed {} after {commits}", options.seed);
        }
    }
}

#[test]
fn keys_are_unique_after_every_commit() {
    for options in (0..12).flat_map(all_options).filter(|o| o.tables != [KeyShape::Keyless]) {
        let history = generate(&options);
        for (commits, state) in history.states().enumerate() {
            let keys: BTreeSet<Row> = state[0].values().map(|r| history.tables[0].key_of(r)).collect();
            assert_eq!(keys.len(), state[0].len(), "seed {} after {commits}", options.seed);
        }
    }
}

#[test]
fn histories_hold_what_they_promise() {
    let history =
        generate(&Options { truncates: true, transactions: 400, ..Options::new(3, KeyShape::Text) });
    let ops: BTreeSet<Op> = history.transactions.iter().flat_map(|t| &t.changes).map(|c| c.op).collect();
    assert_eq!(ops, BTreeSet::from([Op::Insert, Op::Update, Op::Delete, Op::Truncate]));
    let last_positions: Vec<u64> =
        history.transactions.iter().filter_map(|t| t.changes.last()).map(|c| c.position).collect();
    assert!(!last_positions.is_sorted(), "some transaction commits late");
    assert!(history.boundaries().len() < history.transactions.len(), "some commit times are equal");
    let key = |row: &Arc<Row>| history.tables[0].key_of(row);
    let updates = history.transactions.iter().flat_map(|t| &t.changes).filter(|c| c.op == Op::Update);
    let (moved, same): (Vec<&Change>, Vec<&Change>) =
        updates.partition(|c| c.before.as_ref().map(key) != c.after.as_ref().map(key));
    assert!(moved.len() > 10 && same.iter().any(|c| c.before == c.after), "key changes and no-op updates");
}

#[test]
fn same_seed_same_bytes() {
    let make = |seed| {
        let delivery = generate(&Options::new(seed, KeyShape::Composite)).deliver(&Shape::default());
        (delivery.mapped_ndjson(0), delivery.debezium(), delivery.wal2json(), delivery.csv(0))
    };
    assert_eq!(make(5), make(5));
    assert_ne!(make(5).0, make(6).0);
}

#[test]
fn partial_images_state_only_what_their_mode_allows() {
    let history = generate(&Options::new(9, KeyShape::Int));
    for images in ImageMode::ALL {
        let delivery = history.deliver(&Shape { images, ..Shape::default() });
        for record in &delivery.records {
            for image in [&record.before, &record.after].into_iter().flatten() {
                assert_eq!(image.state(0), CellState::Known, "keys are always known");
            }
        }
        let batches = delivery.changes(0, 16);
        assert!(batches.iter().all(crate::model::ChangeBatch::is_consistent));
        assert_eq!(batches.iter().map(|b| b.len()).sum::<usize>(), delivery.records.len());
    }
}

#[test]
fn text_ledgers_are_json() {
    let shape = Shape { reads: InitialReads::After(7), redeliveries: 3, ..Shape::default() };
    let delivery = generate(&Options { truncates: true, ..Options::new(4, KeyShape::Uuid) }).deliver(&shape);
    for line in
        [delivery.mapped_ndjson(0), delivery.debezium(), delivery.wal2json()].iter().flat_map(|t| t.lines())
    {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    assert_eq!(delivery.debezium().lines().count(), delivery.records.len());
    assert!(delivery.mapped_batch(0).is_ok() && delivery.current_batch(0).is_ok());
}

#[test]
fn every_fault_finds_a_place_and_changes_something() {
    for fault in Fault::ALL {
        let planted = (0..20).filter_map(|seed| {
            let options = Options { transactions: 200, rows: 10, ..Options::new(seed, KeyShape::Int) };
            let mut delivery = generate(&options).deliver(&Shape::default());
            let clean = (delivery.current.clone(), delivery.records.clone());
            let planted = fault.plant(&mut delivery, 0, &mut Prng::new(seed))?;
            assert_ne!(clean, (delivery.current, delivery.records), "{planted:?}");
            Some(planted)
        });
        assert!(planted.count() > 3, "{fault:?} hardly ever finds a place");
    }
}
