//! What goes into decoding a chunk of a JSON ledger and what comes out.
//!
//! Decoding is pure and per chunk, so chunks decode in parallel. Some questions
//! no single record answers (does a PostgreSQL table log whole before images?
//! can a null of this column stand for NaN?). Their answers are [`Facts`]:
//! each chunk contributes what it saw, and reads doubtful cells by what it
//! saw itself and by the facts it was given. Every doubt is resolved to the side
//! that claims less. [`Carry`](super::Carry) collects the facts of all chunks and
//! says at the end whether a chunk would read differently in their light.

use std::collections::BTreeMap;

use arrow::datatypes::TimeUnit;
use chrono_tz::Tz;

use super::drift::Shapes;
use super::mapping::Mapping;
use super::position::PositionKind;
use crate::model::{ChangeBatch, DiscrepancyKind, TableSchema};

/// A dataset that a ledger's records are decoded for.
#[derive(Debug, Clone)]
pub struct TableTarget {
    /// Which dataset of the run it is.
    pub dataset: usize,
    /// The names it answers to, with or without schema and database: `accounts`, `public.accounts`.
    /// Compared from the last part on. A single target without names takes every record.
    pub names: Vec<String>,
    /// Its columns and key.
    pub schema: TableSchema,
}

/// How a Debezium ledger writes decimals and bytes, where its records do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextEncoding {
    /// `decimal.handling.mode=string`: plain text.
    Plain,
    /// Base64, with the standard or the URL-safe alphabet.
    Base64,
    /// `binary.handling.mode=hex`.
    Hex,
}

/// What a column that a mapped record leaves out means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Not recorded; it may have changed.
    #[default]
    Absent,
    /// The change did not touch it.
    Unchanged,
    /// It is null.
    Null,
}

/// How much of the images is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// All cells.
    #[default]
    Whole,
    /// Those of the key, where all others of the chunk go into their columns without doubt: these stay in the
    /// text. Debezium alone; elsewhere it is the same as [`Depth::Whole`].
    Keys,
    /// All cells of these sides, of records of which a first reading left some in the text: what could be doubtful
    /// is settled.
    Again {
        /// Of the images before changes.
        before: bool,
        /// Of the images after changes.
        after: bool,
    },
}

/// What the plan says about reading a ledger, and what earlier chunks told.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// Zone of times without offset.
    pub time_zone: Option<Tz>,
    /// Whether nulls can stand for NaN or infinity, where the format leaves that open. `Some(false)`: a null is a null.
    pub non_finite: Option<bool>,
    /// Debezium's `unavailable.value.placeholder`, also as `hex:…`.
    pub placeholder: String,
    /// How decimals are written where records do not say. `None`: found out.
    pub decimals: Option<TextEncoding>,
    /// How bytes are written where records do not say. `None`: found out.
    pub binary: Option<TextEncoding>,
    /// Unit of integer timestamps where records do not say. `None`: the column's own.
    pub epoch: Option<TimeUnit>,
    /// Whether update and delete images are whole (`REPLICA IDENTITY FULL`). `None`: found out per table.
    pub full_identity: Option<bool>,
    /// What a column that a mapped record leaves out means.
    pub missing: Missing,
    /// Whether an empty text is null in columns that are no texts, as in ledgers made from text files.
    pub empty_is_null: bool,
    /// Which column means what, for mapped ledgers. `None`: found out from the first record.
    pub mapping: Option<Mapping>,
    /// Every column is text, and takes any value: for the description of a ledger without its table.
    pub as_text: bool,
    /// Per target, the words of enum and set columns, where records hold their numbers. Empty: none.
    pub labels: Vec<Vec<(String, Vec<String>)>>,
    /// Per target and column, whether it is a text column in which only UUIDs stand. Empty: none.
    pub uuids: Vec<Vec<bool>>,
    /// What other chunks of the same stream told.
    pub facts: Facts,
    /// How much of the images is decoded.
    pub depth: Depth,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            time_zone: None,
            non_finite: None,
            placeholder: "__debezium_unavailable_value".to_owned(),
            decimals: None,
            binary: None,
            epoch: None,
            full_identity: None,
            missing: Missing::default(),
            empty_is_null: true,
            mapping: None,
            as_text: false,
            labels: Vec::new(),
            uuids: Vec::new(),
            facts: Facts::default(),
            depth: Depth::Whole,
        }
    }
}

/// What a stream tells about its tables and its producer, collected over chunks. Only ever grows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// One per target.
    pub(super) targets: Vec<TargetFacts>,
    /// How decimals proved to be written.
    pub(super) decimals: Option<TextEncoding>,
    /// How bytes proved to be written.
    pub(super) binary: Option<TextEncoding>,
    /// Numbers proved to be written as strings, NaN and infinity too.
    pub(super) quoted_numbers: bool,
}

/// What a stream tells about one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TargetFacts {
    /// An update without before image, or with its key alone.
    pub(super) partial_update: bool,
    /// An update with a whole before image.
    pub(super) whole_update: bool,
    /// Per column, hashes of up to three different values in the before images of deletes.
    pub(super) delete_values: Vec<Vec<u64>>,
    /// Per column, whether some image states it.
    pub(super) stated: Vec<bool>,
    /// Per column, whether a null of it can stand for NaN or infinity.
    pub(super) non_finite: Vec<bool>,
    /// Per column, whether numbers stand in it although it is a text.
    pub(super) scale_lost: Vec<bool>,
    /// Per column, whether its numbers were written as texts.
    pub(super) quoted: Vec<bool>,
    /// Per column, whether an update made of changed values leaves it out of the row after it.
    pub(super) omitted: Vec<bool>,
    /// wal2json 1: hashes of up to two different lists of old columns.
    pub(super) old_lists: Vec<u64>,
    /// wal2json 1: updates whose left-out old columns are null in the new row too.
    pub(super) old_fits: u64,
    /// wal2json 1: updates where one of them is not.
    pub(super) old_misfits: u64,
}

impl Facts {
    /// How decimals proved to be written, if something did.
    pub fn decimals(&self) -> Option<TextEncoding> {
        self.decimals
    }

    /// How bytes proved to be written, if something did.
    pub fn binary(&self) -> Option<TextEncoding> {
        self.binary
    }
}

impl TargetFacts {
    /// Whether before images of this table are whole; `None` if nothing tells.
    pub(super) fn whole_images(&self) -> Option<bool> {
        // Columns that no image has are not part of the stream, and say nothing about its images.
        let omits = self.omitted.iter().zip(&self.stated).any(|(omitted, stated)| *omitted && *stated);
        if self.partial_update || omits {
            return Some(false);
        }
        let varied = self.delete_values.iter().any(|v| v.len() >= 3);
        (self.whole_update || varied).then_some(true)
    }

    /// Whether a column left out of wal2json 1's old row is null there.
    ///
    /// With whole old rows only nulls are left out; with an index as identity, everything outside the index.
    /// Telling them apart: an index's columns are always the same, and the other columns then are not null
    /// in the new row.
    pub(super) fn left_out_is_null(&self) -> bool {
        self.old_lists.len() > 1 || self.old_fits > 0 || self.old_misfits < 3
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.partial_update |= other.partial_update;
        self.whole_update |= other.whole_update;
        self.delete_values.resize(self.delete_values.len().max(other.delete_values.len()), Vec::new());
        for (mine, theirs) in self.delete_values.iter_mut().zip(&other.delete_values) {
            add_few(mine, theirs, 3);
        }
        or(&mut self.stated, &other.stated);
        or(&mut self.non_finite, &other.non_finite);
        or(&mut self.scale_lost, &other.scale_lost);
        or(&mut self.quoted, &other.quoted);
        or(&mut self.omitted, &other.omitted);
        add_few(&mut self.old_lists, &other.old_lists, 2);
        self.old_fits += other.old_fits;
        self.old_misfits += other.old_misfits;
    }
}

fn or(mine: &mut Vec<bool>, theirs: &[bool]) {
    mine.resize(mine.len().max(theirs.len()), false);
    mine.iter_mut().zip(theirs).for_each(|(m, t)| *m |= t);
}

/// Adds values not yet there, up to a number of different ones.
pub(super) fn add_few(mine: &mut Vec<u64>, theirs: &[u64], limit: usize) {
    for value in theirs {
        if mine.len() < limit && !mine.contains(value) {
            mine.push(*value);
        }
    }
}

impl Facts {
    /// Adds what another chunk told.
    pub fn merge(&mut self, other: &Self) {
        self.targets.resize(self.targets.len().max(other.targets.len()), TargetFacts::default());
        for (mine, theirs) in self.targets.iter_mut().zip(&other.targets) {
            mine.merge(theirs);
        }
        self.decimals = self.decimals.or(other.decimals);
        self.binary = self.binary.or(other.binary);
        self.quoted_numbers |= other.quoted_numbers;
    }

    /// Whether a text column of a target holds numbers whose trailing zeros this producer drops: equal values
    /// then have different texts.
    pub fn scale_lost(&self, target: usize, column: usize) -> bool {
        self.targets.get(target).and_then(|t| t.scale_lost.get(column)).is_some_and(|&lost| lost)
    }

    /// Whether these facts doubt the nulls of the same columns as others.
    pub fn doubts_as(&self, other: &Self) -> bool {
        let doubtful = |facts: &Self| {
            let columns = facts.targets.iter().enumerate().flat_map(|(target, of)| {
                of.non_finite.iter().enumerate().filter(|(_, d)| **d).map(move |(column, _)| (target, column))
            });
            columns.collect::<Vec<_>>()
        };
        doubtful(self) == doubtful(other)
    }

    /// Whether a null of a target's column can stand for NaN or infinity.
    pub(super) fn ambiguous(&self, target: usize, column: usize) -> bool {
        let is = |flags: &Vec<bool>| flags.get(column) == Some(&true);
        let doubtful = |t: &TargetFacts| is(&t.non_finite) && !is(&t.quoted);
        !self.quoted_numbers && self.targets.get(target).is_some_and(doubtful)
    }

    pub(super) fn target(&self, target: usize) -> TargetFacts {
        self.targets.get(target).cloned().unwrap_or_default()
    }
}

/// Something about the ledger's content that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What kind of thing.
    pub kind: DiscrepancyKind,
    /// Which target it concerns, if one.
    pub target: Option<usize>,
    /// Which file of the stream, from 0, for what the whole stream shows; else it is in that of its chunk.
    pub file: usize,
    /// Number of the record in its file, from 1; the first one where `count` is more than 1.
    pub record: u64,
    /// Which column it concerns, if one.
    pub column: Option<String>,
    /// Which transaction it concerns, if one, as the ledger names it.
    pub transaction: Option<String>,
    /// What is the matter, in words.
    pub message: String,
    /// How many records it stands for.
    pub count: u64,
    /// It concerns the whole stream, is said once, and names no record.
    pub once: bool,
}

/// What a producer says about a transaction outside of its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Number of the record in its file, from 1.
    pub record: u64,
    /// The transaction id as written there.
    pub transaction: String,
    /// How many changes the transaction has, by table, as `schema.table`.
    pub changes: Vec<(String, u64)>,
}

/// What one chunk holds.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The changes, one batch per target in the same order; `stream` counts within the chunk, all targets together,
    /// until [`Carry::stitch`](super::Carry::stitch) makes it count from the start of the stream.
    pub changes: Vec<ChangeBatch>,
    /// Which columns their images carry, one per target; empty for formats that prove nothing by that.
    pub shapes: Vec<Shapes>,
    /// Per target, where in the chunk the record of each change begins and ends; empty unless cells outside the
    /// key were left there.
    pub texts: Vec<Vec<[u32; 2]>>,
    /// What is not as it should be.
    pub notes: Vec<Note>,
    /// What the producer says about whole transactions.
    pub controls: Vec<Control>,
    /// The tables that records name, as written, with the target they go to and their number of changes.
    pub tables: BTreeMap<String, (Option<usize>, u64)>,
    /// What the chunk tells about tables and producer.
    pub facts: Facts,
    /// A record whose commit time has no offset while no zone is declared: the run cannot know when it was.
    pub lacks_zone: Option<u64>,
    /// What is settled between chunks.
    pub(super) edge: Edge,
}

/// What a chunk leaves open, or has decided without knowing the rest.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// How many places in the stream the chunk takes.
    pub(super) places: u64,
    /// wal2json: runs of changes of one transaction, without gaps; every change gets its positions from them.
    pub(super) runs: Vec<Run>,
    /// wal2json 2: the chunk begins with the end of a transaction that has no changes in it.
    pub(super) closes_head: bool,
    /// Debezium for PostgreSQL: runs of changes that state no previous commit.
    pub(super) resets: Vec<Reset>,
    /// The highest previous commit that a change states.
    pub(super) last_commit: u64,
    /// What the positions mean, if there are any.
    pub(super) kind: Option<PositionKind>,
    /// The server whose binlog positions these are.
    pub(super) server: Option<u64>,
    /// Positions are those of several servers or files that do not compare.
    pub(super) incomparable: bool,
    /// Some changes have no position.
    pub(super) unplaced: bool,
    /// Runs of changes of one table and transaction, by the numbers that the producer gives them.
    pub(super) events: Vec<Numbered>,
    /// Which clock the commit times are read from.
    pub(super) clock: Option<Clock>,
    /// The commit times are whole seconds: a change may be up to one later.
    pub(super) whole_seconds: bool,
    /// Decisions made on what was known, per target.
    pub(super) used: Vec<Used>,
}

/// Consecutive changes of one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    /// First place in the chunk's stream.
    pub(super) start: u64,
    /// Where it committed, if stated.
    pub(super) commit: Option<u64>,
    /// Whether the chunk shows where it begins.
    pub(super) begins: bool,
    /// Whether the chunk shows where it ends.
    pub(super) closed: bool,
    /// Transaction id and commit time, by which runs without markers are told apart.
    pub(super) mark: (Option<u64>, Option<i64>),
    /// The first change's own LSN, by which a redelivered run without a commit LSN is known again.
    pub(super) first: Option<u64>,
    /// The last one's. Inside a transaction they never fall.
    pub(super) last: Option<u64>,
}

/// Consecutive changes of one table in one transaction: their numbers there, from 1, both inclusive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbered {
    pub(super) transaction: String,
    /// As `schema.table`.
    pub(super) table: String,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Consecutive changes of one transaction, or initial reads, that come before any commit that the
/// connector has seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reset {
    /// First place in the chunk's stream.
    pub(super) start: u64,
    /// Place after the last one.
    pub(super) end: u64,
    /// The first one's LSN.
    pub(super) lsn: u64,
    /// The highest previous commit stated before in this chunk.
    pub(super) before: u64,
    /// These are initial reads.
    pub(super) read: bool,
    /// The transaction.
    pub(super) transaction: Option<u64>,
}

/// Which clock a ledger's commit times are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The time of the commit.
    Commit,
    /// The time of the statement, which can be earlier.
    Statement,
    /// The time at which the transaction began.
    Start,
    /// As the mapping says.
    Declared,
}

/// Decisions that a chunk made about doubtful cells of one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Used {
    /// Non-key cells of before images were taken as not recorded.
    pub(super) key_only: bool,
    /// They were taken as data.
    pub(super) whole: bool,
    /// Per column, a null was taken as a null although it may stand for something else.
    pub(super) plain_nulls: Vec<bool>,
    /// Per column, a cell was taken as absent because nothing had stated the column yet.
    pub(super) unseen: Vec<bool>,
    /// wal2json 1: a left-out old column was taken as null (`Some(true)`) or absent.
    pub(super) left_out: Option<bool>,
}
