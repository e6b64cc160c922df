//! Change tables in which an update is two rows: the row before and the row after.
//!
//! The halves are found by what links them (a sequence number, a row id), else by
//! key; within one commit only. A half that stays alone is what it says: its row went,
//! or came, or was changed without its old values.

use std::collections::{HashMap, VecDeque};

use super::events::{Event, NONE};
use crate::model::Op;

/// What one row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Insert,
    Delete,
    /// The row before an update.
    Before,
    /// The row after an update.
    After,
    /// The row after an insert or an update.
    Upsert,
}

/// One row with its place in the order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) row: u32,
    pub(super) half: Half,
    pub(super) commit: u128,
    /// Place within the commit, which also identifies the change if the source numbers them.
    pub(super) position: u128,
    pub(super) time: i64,
    /// What the halves of one update share; with equal links the first of each side belong together.
    pub(super) link: u128,
}

/// How halves that stay alone are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// The source leaves old rows out on request: the new one alone is an update without its old values.
    IsUpdate,
    /// It is a row that went or came, for instance under another key.
    IsHalf,
}

/// The changes that rows are, in any order.
pub(super) fn events(mut marks: Vec<Mark>, keyless: bool, alone: Alone) -> Vec<Event> {
    marks.sort_unstable_by_key(|m| (m.commit, m.position, m.row));
    let mut events = Vec::with_capacity(marks.len());
    for commit in marks.chunk_by(|a, b| a.commit == b.commit) {
        let mut befores: HashMap<u128, VecDeque<Mark>> = HashMap::new();
        for mark in commit.iter().filter(|m| m.half == Half::Before) {
            befores.entry(mark.link).or_default().push_back(*mark);
        }
        for mark in commit {
            let before = match mark.half {
                Half::After => befores.get_mut(&mark.link).and_then(VecDeque::pop_front),
                _ => None,
            };
            match (mark.half, before) {
                (Half::Before, _) => {}
                (_, Some(before)) => {
                    events.push(Event { before: before.row, after: mark.row, ..event(mark, Op::Update) });
                }
                (Half::Insert, None) => events.push(Event { after: mark.row, ..event(mark, Op::Insert) }),
                (Half::Delete, None) => events.push(Event { before: mark.row, ..event(mark, Op::Delete) }),
                (Half::Upsert, None) => events.push(Event { after: mark.row, ..event(mark, Op::Upsert) }),
                (Half::After, None) if alone == Alone::IsUpdate && !keyless => {
                    let update = event(mark, Op::Update);
                    events.push(Event { before: mark.row, after: mark.row, key_only: true, ..update });
                }
                (Half::After, None) => events.push(Event { after: mark.row, ..event(mark, Op::Insert) }),
            }
        }
        let mut left: Vec<Mark> = befores.into_values().flatten().collect();
        left.sort_unstable_by_key(|m| m.row);
        events.extend(left.iter().map(|m| Event { before: m.row, ..event(m, Op::Delete) }));
    }
    events.sort_unstable_by_key(|e| (e.row, e.commit, e.position));
    events
}

fn event(mark: &Mark, op: Op) -> Event {
    Event {
        row: mark.row,
        op,
        before: NONE,
        after: NONE,
        key_only: false,
        time: mark.time,
        commit: mark.commit,
        position: mark.position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(row: u32, half: Half, commit: u128, link: u128) -> Mark {
        Mark { row, half, commit, position: u128::from(row), time: 0, link }
    }

    #[test]
    fn halves_meet_by_their_link_within_one_commit() {
        use Half::{After, Before, Delete, Insert};
        let marks = vec![
            mark(0, After, 1, 7),
            mark(1, Before, 1, 8),
            mark(2, After, 1, 8),
            mark(3, Before, 1, 7),
            mark(4, Delete, 2, 7),
            mark(5, Insert, 2, 7),
            mark(6, Before, 2, 9),
            mark(7, After, 3, 9),
        ];
        let shown: Vec<(Op, u32, u32)> =
            events(marks.clone(), false, Alone::IsHalf).iter().map(|e| (e.op, e.before, e.after)).collect();
        let expected = [
            (Op::Update, 3, 0),
            (Op::Update, 1, 2),
            (Op::Delete, 4, NONE),
            (Op::Insert, NONE, 5),
            (Op::Delete, 6, NONE),
            (Op::Insert, NONE, 7),
        ];
        assert_eq!(shown, expected);
        let alone = events(marks, false, Alone::IsUpdate);
        let last = alone.last().unwrap();
        assert_eq!((last.op, last.before, last.key_only), (Op::Update, 7, true));
    }
}
