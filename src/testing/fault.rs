//! Planted faults: each corrupts exactly one thing of an otherwise true
//! delivery and says which discrepancy must appear, and where.
//!
//! They need full images, no redeliveries and rows whose key never changed, so
//! that one repair would undo each: that is what "exactly one" rests on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::delivery::{Delivery, Image, Record};
use super::prng::Prng;
use super::value::{Kind, Row, TableDef, Value};
use crate::model::{Cause, DiscrepancyKind, Op};

/// A way of corrupting a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A current row is edited past the log.
    EditCurrent,
    /// A current row is deleted past the log.
    RemoveCurrent,
    /// A row that the log has deleted is back in the current state.
    ReviveCurrent,
    /// A current row occurs twice.
    RepeatCurrent,
    /// The record of an update between two others is missing.
    RemoveUpdate,
    /// The record of a delete is missing, and the key was inserted again.
    RemoveDelete,
    /// The record of the last delete of a key is missing.
    RemoveLastDelete,
    /// The record of a repeated insert is missing.
    RemoveReinsert,
    /// A before image is edited.
    EditBefore,
    /// An after image is edited that a later before image contradicts.
    EditAfter,
    /// The last after image of a row that still stands is edited.
    EditLastAfter,
    /// A record is delivered twice.
    Redeliver,
    /// A record is delivered twice, the second time with another image.
    RedeliverEdited,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::EditCurrent,
        Self::RemoveCurrent,
        Self::ReviveCurrent,
        Self::RepeatCurrent,
        Self::RemoveUpdate,
        Self::RemoveDelete,
        Self::RemoveLastDelete,
        Self::RemoveReinsert,
        Self::EditBefore,
        Self::EditAfter,
        Self::EditLastAfter,
        Self::Redeliver,
        Self::RedeliverEdited,
    ];

    /// Corrupts a delivery at a place drawn from `prng`; `None` if nothing in the table lends itself to it.
    pub fn plant(self, delivery: &mut Delivery, table: usize, prng: &mut Prng) -> Option<Planted> {
        let mut sites = self.sites(delivery, table);
        (!sites.is_empty()).then(|| sites.swap_remove(prng.index(sites.len()))).map(|site| {
            let kind = self.expected(delivery, &site);
            self.corrupt(delivery, table, &site);
            let key = key_text(&delivery.tables[table], &site.key);
            Planted { fault: self, kind, cause: self.cause(), table, key, record: site.found_at }
        })
    }

    /// Every place where this fault could be planted.
    fn sites(self, delivery: &Delivery, table: usize) -> Vec<Site> {
        let def = &delivery.tables[table];
        let standing: BTreeMap<Row, usize> =
            delivery.current[table].iter().enumerate().map(|(i, row)| (def.key_of(row), i)).collect();
        let mut sites = Vec::new();
        for (key, chain) in chains(delivery, table) {
            let current = standing.get(&key).copied();
            for at in 0..chain.len() {
                let window = Window { delivery, chain: &chain, at, current };
                if self.fits(&window) {
                    let found_at = self.found_at(&window);
                    sites.push(Site {
                        key: key.clone(),
                        record: chain[at],
                        next: window.next(),
                        current,
                        found_at,
                    });
                }
            }
        }
        sites
    }

    /// Whether the record at this place of its chain lends itself to the fault.
    fn fits(self, w: &Window<'_>) -> bool {
        let last_and_standing = w.is_last() && w.current.is_some() && w.op(0) != Some(Op::Delete);
        let deleted = w.op(0) == Some(Op::Delete);
        match self {
            Self::EditCurrent | Self::RemoveCurrent | Self::RepeatCurrent | Self::EditLastAfter => {
                last_and_standing
            }
            Self::ReviveCurrent | Self::RemoveLastDelete => w.is_last() && deleted && w.is_preceded(),
            Self::RemoveUpdate => {
                w.op(0) == Some(Op::Update) && w.is_preceded() && !w.is_last() && w.changes_something()
            }
            Self::RemoveDelete => deleted && w.is_preceded() && w.op(1) == Some(Op::Insert),
            Self::RemoveReinsert => {
                w.op(-1) == Some(Op::Delete) && w.op(0) == Some(Op::Insert) && !w.is_last()
            }
            Self::EditBefore => matches!(w.op(0), Some(Op::Update | Op::Delete)) && w.is_preceded(),
            Self::EditAfter => !deleted && !w.is_last(),
            Self::Redeliver | Self::RedeliverEdited => true,
        }
    }

    /// The record at which the discrepancy shows, if it shows in the ledger.
    fn found_at(self, w: &Window<'_>) -> Option<usize> {
        match self {
            Self::EditBefore => Some(w.chain[w.at]),
            Self::RemoveUpdate | Self::RemoveDelete | Self::RemoveReinsert => w.next().map(|next| next - 1),
            Self::EditAfter => w.next(),
            Self::Redeliver | Self::RedeliverEdited => Some(w.chain[w.at] + 1),
            _ => None,
        }
    }

    fn expected(self, delivery: &Delivery, site: &Site) -> DiscrepancyKind {
        match self {
            Self::EditCurrent | Self::EditLastAfter => DiscrepancyKind::CurrentDiffers,
            Self::RemoveCurrent | Self::RemoveLastDelete => DiscrepancyKind::CurrentMissing,
            Self::ReviveCurrent => DiscrepancyKind::CurrentUnexpected,
            Self::RepeatCurrent => DiscrepancyKind::DuplicateKey,
            Self::RemoveUpdate | Self::EditBefore | Self::EditAfter => DiscrepancyKind::ChainBreak,
            Self::RemoveDelete => DiscrepancyKind::InsertOverExisting,
            Self::RemoveReinsert => match site.next.map(|next| delivery.records[next].op) {
                Some(Op::Delete) => DiscrepancyKind::DeleteOfAbsent,
                _ => DiscrepancyKind::UpdateOfAbsent,
            },
            Self::Redeliver => DiscrepancyKind::DuplicateChange,
            Self::RedeliverEdited => DiscrepancyKind::ConflictingDuplicate,
        }
    }

    /// What the data can tell of it: never more, as other faults look the same.
    fn cause(self) -> Cause {
        match self {
            Self::EditCurrent | Self::EditLastAfter => Cause::UnloggedOrAltered,
            Self::RemoveCurrent | Self::ReviveCurrent | Self::RemoveLastDelete => Cause::Unlogged,
            Self::RepeatCurrent => Cause::InputDamage,
            Self::RemoveUpdate | Self::RemoveReinsert | Self::EditBefore | Self::EditAfter => {
                Cause::RemovedOrAltered
            }
            Self::RemoveDelete => Cause::RemovedOrRedelivered,
            Self::Redeliver => Cause::Redelivery,
            Self::RedeliverEdited => Cause::AlteredRecord,
        }
    }

    fn corrupt(self, delivery: &mut Delivery, table: usize, site: &Site) {
        let def = delivery.tables[table].clone();
        let rows = &mut delivery.current[table];
        let records = &mut delivery.records;
        match (self, site.current) {
            (Self::EditCurrent, Some(row)) => edit(&def, Arc::make_mut(&mut rows[row])),
            (Self::RemoveCurrent, Some(row)) => drop(rows.remove(row)),
            (Self::RepeatCurrent, Some(row)) => rows.push(Arc::clone(&rows[row])),
            (Self::ReviveCurrent, _) => {
                rows.extend(records[site.record].before.clone().map(|image| image.row))
            }
            (Self::EditBefore, _) => edit_image(&def, &mut records[site.record].before),
            (Self::EditAfter | Self::EditLastAfter, _) => edit_image(&def, &mut records[site.record].after),
            (Self::Redeliver | Self::RedeliverEdited, _) => {
                let mut again = records[site.record].clone();
                if self == Self::RedeliverEdited {
                    let side = if again.after.is_some() { &mut again.after } else { &mut again.before };
                    edit_image(&def, side);
                }
                records.insert(site.record + 1, again);
            }
            _ => drop(records.remove(site.record)),
        }
    }
}

/// What was planted, and what must be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    /// The fault.
    pub fault: Fault,
    /// The discrepancy that must appear, and no other error.
    pub kind: DiscrepancyKind,
    /// Its cause, as far as the data can tell.
    pub cause: Cause,
    /// Index of the table.
    pub table: usize,
    /// The key as discrepancies write it: `column=value, column=value`.
    pub key: String,
    /// Index, in the corrupted ledger, of the record at which it shows, if it shows in the ledger.
    pub record: Option<usize>,
}

struct Site {
    key: Row,
    record: usize,
    next: Option<usize>,
    current: Option<usize>,
    found_at: Option<usize>,
}

/// A record within the chain of records of its key.
struct Window<'a> {
    delivery: &'a Delivery,
    chain: &'a [usize],
    at: usize,
    current: Option<usize>,
}

impl Window<'_> {
    fn record(&self, offset: isize) -> Option<&Record> {
        let place = self.at.checked_add_signed(offset)?;
        self.chain.get(place).map(|&i| &self.delivery.records[i])
    }

    fn op(&self, offset: isize) -> Option<Op> {
        self.record(offset).map(|r| r.op)
    }

    fn next(&self) -> Option<usize> {
        self.chain.get(self.at + 1).copied()
    }

    fn is_last(&self) -> bool {
        self.at + 1 == self.chain.len()
    }

    /// Whether the ledger knows what stood before this record, from the record before it.
    fn is_preceded(&self) -> bool {
        self.record(-1).is_some_and(|r| r.after.is_some())
    }

    fn changes_something(&self) -> bool {
        self.record(0).is_some_and(|r| r.before != r.after)
    }
}

/// Per key that never changed, the places of its records in ledger order.
fn chains(delivery: &Delivery, table: usize) -> BTreeMap<Row, Vec<usize>> {
    let def = &delivery.tables[table];
    let mut chains: BTreeMap<Row, Vec<usize>> = BTreeMap::new();
    let mut moved: Vec<Row> = Vec::new();
    for (place, record) in delivery.of(table) {
        let keys: Vec<Row> =
            [&record.before, &record.after].into_iter().flatten().map(|i| def.key_of(&i.row)).collect();
        match keys.as_slice() {
            [a, b] if a != b => moved.extend([a.clone(), b.clone()]),
            [key, ..] => chains.entry(key.clone()).or_default().push(place),
            [] => {}
        }
    }
    moved.iter().for_each(|key| drop(chains.remove(key)));
    chains
}

/// Adds 1.00 to the first decimal column outside the key.
fn edit(table: &TableDef, row: &mut Row) {
    let money = |c: &usize| matches!(table.columns[*c].kind, Kind::Decimal(..)) && !table.key.contains(c);
    if let Some(column) = (0..row.len()).find(money) {
        match &mut row[column] {
            Value::Decimal(amount) => *amount += 100,
            other => *other = Value::Decimal(100),
        }
    }
}

fn edit_image(table: &TableDef, image: &mut Option<Image>) {
    if let Some(image) = image {
        edit(table, Arc::make_mut(&mut image.row));
    }
}

fn key_text(table: &TableDef, key: &Row) -> String {
    let part = |(c, value): (&usize, &Value)| {
        let column = &table.columns[*c];
        format!("{}={}", column.name, column.kind.plain(value))
    };
    table.key.iter().zip(key).map(part).collect::<Vec<_>>().join(", ")
}
