//! Which rows of a field history are one change, and in which order the changes came.
//!
//! ```text
//!  rows of one record and instant        changes
//!   r1  state  2 → 3                      1: r2 r3
//!   r2  state  1 → 2              ─►      2: r1
//!   r3  note   x → y
//! ```
//!
//! Rows of one record with one time (and one number of the save, where the system
//! keeps one) are one change, unless a field occurs twice: then each change begins
//! where the one before ended, whatever the order in which they were delivered. Only
//! hashes of values are looked at.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::super::notes::Notes;
use super::super::position::{PositionKind, parse_position};
use super::clock::Instants;
use super::fields::{Entry, Layout, Means, Part, Segment, Value};
use super::raw::Raw;
use super::{Found, check_rows};
use crate::error::Result;
use crate::model::DiscrepancyKind as Kind;
use crate::model::canon::Seed;

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Its first row.
    pub(super) row: u32,
    pub(super) means: Means,
    pub(super) time: i64,
    pub(super) commit: u128,
    pub(super) position: u128,
    /// Where its rows are listed.
    first: u32,
    count: u32,
}

/// All changes.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    /// By rising first row.
    changes: Vec<Change>,
    members: Vec<u32>,
    /// Rows of changes that are told twice: whether they hold the ids.
    told_twice: HashMap<u32, bool>,
    /// Commit positions are numbers of changes, not times.
    pub(super) numbered: bool,
    pub(super) whole_seconds: bool,
}

impl Ordered {
    /// The changes whose first row lies between these.
    pub(super) fn of_rows(&self, start: u64, end: u64) -> &[Change] {
        let at = |row: u64| self.changes.partition_point(|c| u64::from(c.row) < row);
        &self.changes[at(start)..at(end)]
    }

    /// The rows of a change.
    pub(super) fn rows(&self, change: &Change) -> &[u32] {
        &self.members[change.first as usize..(change.first + change.count) as usize]
    }

    /// Which part of its change a row tells.
    pub(super) fn part(&self, row: u32) -> Part {
        match self.told_twice.get(&row) {
            None => Part::Whole,
            Some(true) => Part::Ids,
            Some(false) => Part::Names,
        }
    }
}

/// One row, as far as order depends on it.
#[derive(Debug, Clone)]
struct Row {
    row: u32,
    means: Means,
    time: i64,
    commit: u128,
    /// Number of the change, if the system keeps one that is a number.
    number: Option<u64>,
    record: u128,
    cell: u128,
    change: u128,
    actor: u128,
    old: u128,
    new: u128,
    /// It holds no values that could be followed.
    blind: bool,
    ids: Option<bool>,
}

/// Finds the order.
pub(super) fn order(
    raw: &Raw,
    layout: &Layout,
    zone: Option<chrono_tz::Tz>,
    found: &mut Found,
) -> Result<Ordered> {
    check_rows(raw)?;
    let mut reader = Reader {
        raw,
        layout,
        seed: Seed::random().column(0),
        instants: Instants::new(zone),
        notes: Notes::default(),
        known: HashMap::new(),
        repeated: None,
        rows: Vec::new(),
    };
    for segment in 0..raw.segments() {
        reader.segment(segment, found)?;
    }
    if reader.instants.lacks_zone.is_some() {
        return Err(super::lacks_zone(raw));
    }
    found.notes(raw, reader.notes.finish());
    found.discrepancies.extend(reader.repeated);
    let mut rows = reader.rows;
    let numbered = layout.system.is_numbered() && rows.iter().all(|r| r.number.is_some());
    for row in &mut rows {
        row.commit = match row.number.filter(|_| numbered) {
            Some(number) => u128::from(number),
            None => PositionKind::of_instant(row.time),
        };
    }
    let whole_seconds = !rows.is_empty() && rows.iter().all(|r| r.time % 1_000_000_000 == 0);
    let mut ordered = Ordered { numbered, whole_seconds, ..Ordered::default() };
    rows.sort_unstable_by_key(|r| (r.record, r.commit, r.number, r.change, r.row));
    for record in rows.chunk_by_mut(|a, b| a.record == b.record) {
        ordered.record(record);
    }
    ordered.changes.sort_unstable_by_key(|c| (c.row, c.position));
    Ok(ordered)
}

struct Reader<'r> {
    raw: &'r Raw,
    layout: &'r Layout,
    seed: u64,
    instants: Instants,
    notes: Notes,
    /// Per identity of a row, what it said.
    known: HashMap<u128, u128>,
    /// Rows that came again, as one finding.
    repeated: Option<crate::model::Discrepancy>,
    rows: Vec<Row>,
}

impl Reader<'_> {
    fn segment(&mut self, segment: usize, found: &mut Found) -> Result<()> {
        let part = Segment::read(self.raw, segment, self.layout, None)?;
        let first = self.raw.first(segment);
        for local in 0..(self.raw.first(segment + 1) - first) as u32 {
            let row = (first + u64::from(local)) as u32;
            match self.row(&part, local, row) {
                Ok(Some(read)) => {
                    if self.is_new(&part, local, &read, found) {
                        self.rows.push(read);
                    }
                }
                Ok(None) => {}
                Err(message) => found.push(self.raw, Kind::UnparsableRecord, row, message),
            }
        }
        Ok(())
    }

    fn hash(&self, parts: &[Option<&str>]) -> u128 {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.push(u8::from(part.is_some()));
            let text = part.unwrap_or_default();
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        xxh3_128_with_seed(&bytes, self.seed)
    }

    fn row(&mut self, part: &Segment, local: u32, row: u32) -> Result<Option<Row>, String> {
        let layout = self.layout;
        let entry = part.entry(layout, local, Part::Whole);
        let means = layout.system.means(&entry);
        if means == Means::Unknown {
            let kind = entry.kind.unwrap_or_default();
            return Err(format!(
                "unknown kind of change {kind:?} of field {:?}: it is set aside",
                entry.field
            ));
        }
        let text = |column: Option<usize>| part.text(column, local);
        let name =
            text(Some(layout.record)).ok_or("expected what names the changed record, found nothing")?;
        let moment = part.moment(layout, local).ok_or("expected when it was changed, found nothing")?;
        let record_number = u64::from(row) + 1;
        let Some(time) = self.instants.read(&moment, None, record_number, &mut self.notes) else {
            // Told by whoever read the time; without a zone the run ends.
            return Ok(None);
        };
        let table = text(layout.table);
        let change = text(layout.change);
        let number = change.and_then(|c| parse_position(c.trim())).and_then(|n| u64::try_from(n).ok());
        let (old, new) = values(&entry);
        Ok(Some(Row {
            row,
            means,
            time,
            commit: 0,
            number,
            record: self.hash(&[table, Some(name)]),
            cell: self.hash(&[table, Some(name), Some(entry.field)]),
            change: self.hash(&[change]),
            actor: self.hash(&[part.actor(layout, local)]),
            old: self.hash(&[old.0, old.1]),
            new: self.hash(&[new.0, new.1]),
            blind: entry.old == Value::Lost || entry.new == Value::Lost,
            ids: layout.system.is_of_ids(&entry),
        }))
    }

    /// Whether a row has not come before.
    fn is_new(&mut self, part: &Segment, local: u32, row: &Row, found: &mut Found) -> bool {
        if self.layout.identity.is_empty() {
            return true;
        }
        let parts: Vec<Option<&str>> =
            self.layout.identity.iter().map(|&column| part.text(Some(column), local)).collect();
        let said = row.cell ^ row.old.rotate_left(1) ^ row.new.rotate_left(2) ^ row.time as u128;
        let Some(before) = self.known.insert(self.hash(&parts), said) else { return true };
        if before != said {
            self.known.insert(self.hash(&parts), before);
            let message = "the same record came before with other content; the first one stands";
            found.push(self.raw, Kind::ConflictingDuplicate, row.row, message);
        } else if let Some(repeated) = &mut self.repeated {
            repeated.count += 1;
        } else {
            found.push(
                self.raw,
                Kind::DuplicateChange,
                row.row,
                "the same record came before; it counts once",
            );
            self.repeated = found.discrepancies.pop();
        }
        false
    }
}

/// A value and its label.
type Stated<'a> = (Option<&'a str>, Option<&'a str>);

/// What a row states, as far as it can be compared with the row after it.
fn values<'a>(entry: &Entry<'a>) -> (Stated<'a>, Stated<'a>) {
    let text = |value: Value<'a>| if let Value::Text(text) = value { Some(text) } else { None };
    ((text(entry.old), text(entry.labels.0)), (text(entry.new), text(entry.labels.1)))
}

impl Ordered {
    /// The changes of one record, whose rows are in order but for those of one instant.
    fn record(&mut self, rows: &mut [Row]) {
        let mut last: HashMap<u128, u128> = HashMap::new();
        for instant in rows.chunk_by_mut(|a, b| a.commit == b.commit) {
            let mut place = 0;
            for save in instant.chunk_by_mut(|a, b| a.number == b.number && a.change == b.change) {
                self.tell_apart(save);
                save.sort_unstable_by_key(|r| (r.means, r.cell, r.row));
                for kind in save.chunk_by_mut(|a, b| a.means == b.means) {
                    place = match kind[0].means {
                        Means::Change => self.changes(kind, &mut last, place),
                        means => {
                            if means == Means::Deleted {
                                last.clear();
                            }
                            kind.sort_unstable_by_key(|r| r.row);
                            self.push(kind, place)
                        }
                    };
                }
            }
        }
    }

    /// Gives rows that only repeat others in names a chain of their own.
    fn tell_apart(&mut self, rows: &mut [Row]) {
        rows.sort_unstable_by_key(|r| (r.cell, r.row));
        for cell in rows.chunk_by_mut(|a, b| a.cell == b.cell) {
            let of = |ids: bool| cell.iter().filter(|r| r.ids == Some(ids)).count();
            if of(true) == 0 || of(true) != of(false) || of(true) + of(false) != cell.len() {
                continue;
            }
            for row in cell {
                self.told_twice.insert(row.row, row.ids == Some(true));
                if row.ids == Some(false) {
                    row.cell = row.cell.wrapping_add(1);
                }
            }
        }
    }

    /// Changes of one save: as many as its busiest field has, each by one person.
    fn changes(&mut self, rows: &mut [Row], last: &mut HashMap<u128, u128>, mut place: u64) -> u64 {
        rows.sort_unstable_by_key(|r| (r.cell, r.row));
        let mut layers: Vec<(usize, u128, Row)> = Vec::with_capacity(rows.len());
        for cell in rows.chunk_by_mut(|a, b| a.cell == b.cell) {
            follow(cell, last.get(&cell[0].cell).copied());
            if let Some(end) = cell.last() {
                last.insert(end.cell, end.new);
            }
            layers.extend(cell.iter().enumerate().map(|(layer, row)| (layer, row.actor, row.clone())));
        }
        layers.sort_unstable_by_key(|(layer, actor, row)| (*layer, *actor, row.row));
        for layer in layers.chunk_by(|a, b| a.0 == b.0) {
            let mut next = place;
            for by_one in layer.chunk_by(|a, b| a.1 == b.1) {
                let rows: Vec<Row> = by_one.iter().map(|(_, _, row)| row.clone()).collect();
                next = self.push(&rows, place);
            }
            place = next;
        }
        place
    }

    /// Adds a change of these rows, and says the place after it.
    fn push(&mut self, rows: &[Row], place: u64) -> u64 {
        let Some(first) = rows.first() else { return place };
        self.changes.push(Change {
            row: first.row,
            means: first.means,
            time: first.time,
            commit: first.commit,
            position: u128::from(place) << 32 | u128::from(first.row),
            first: self.members.len() as u32,
            count: rows.len() as u32,
        });
        self.members.extend(rows.iter().map(|r| r.row));
        place + 1
    }
}

/// Puts changes of one field into the order in which each begins where the one before ended: a way through all
/// of them, begun at what was last held. Without such a way they stay as delivered.
fn follow(rows: &mut [Row], held: Option<u128>) {
    if rows.len() < 2 || rows.iter().any(|r| r.blind) {
        return;
    }
    let degree = |value: u128| {
        let count = |of: fn(&Row) -> u128| rows.iter().filter(|r| of(r) == value).count() as i64;
        count(|r| r.old) - count(|r| r.new)
    };
    let leaves = |value: &u128| rows.iter().any(|r| r.old == *value);
    let begin = held.filter(leaves).or_else(|| rows.iter().map(|r| r.old).find(|&v| degree(v) > 0));
    let mut leaving: HashMap<u128, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate().rev() {
        leaving.entry(row.old).or_default().push(at);
    }
    let mut stack = vec![(begin.unwrap_or(rows[0].old), None)];
    let mut way = Vec::with_capacity(rows.len());
    while let Some(&(value, by)) = stack.last() {
        match leaving.get_mut(&value).and_then(Vec::pop) {
            Some(next) => stack.push((rows[next].new, Some(next))),
            None => {
                way.extend(by);
                stack.pop();
            }
        }
    }
    way.reverse();
    let joined = way.windows(2).all(|pair: &[usize]| rows[pair[0]].new == rows[pair[1]].old);
    if way.len() == rows.len() && joined {
        let ordered: Vec<Row> = way.iter().map(|&at| rows[at].clone()).collect();
        rows.clone_from_slice(&ordered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: u32, old: u128, new: u128) -> Row {
        Row {
            row,
            means: Means::Change,
            time: 0,
            commit: 0,
            number: None,
            record: 1,
            cell: 2,
            change: 0,
            actor: 0,
            old,
            new,
            blind: false,
            ids: None,
        }
    }

    fn followed(rows: &[(u128, u128)], held: Option<u128>) -> Vec<u32> {
        let mut rows: Vec<Row> = (0..).zip(rows).map(|(n, &(old, new))| row(n, old, new)).collect();
        follow(&mut rows, held);
        rows.iter().map(|r| r.row).collect()
    }

    #[test]
    fn changes_of_one_instant_follow_each_other() {
        assert_eq!(followed(&[(2, 3), (1, 2), (3, 4)], Some(1)), [1, 0, 2]);
        assert_eq!(followed(&[(2, 3), (1, 2)], None), [1, 0]);
        // A way that must come back before it goes on.
        assert_eq!(followed(&[(1, 3), (1, 2), (2, 1)], Some(1)), [1, 2, 0]);
        // No way through all: as delivered.
        assert_eq!(followed(&[(5, 6), (1, 2)], Some(1)), [0, 1]);
    }

    #[test]
    fn a_field_that_occurs_twice_makes_two_changes() {
        let mut other = row(2, 8, 9);
        other.cell = 3;
        let mut rows = vec![row(0, 2, 3), row(1, 1, 2), other];
        let mut ordered = Ordered::default();
        ordered.record(&mut rows);
        let shown: Vec<(u128, Vec<u32>)> =
            ordered.changes.iter().map(|c| (c.position >> 32, ordered.rows(c).to_vec())).collect();
        assert_eq!(shown, [(0, vec![1, 2]), (1, vec![0])]);
    }
}
