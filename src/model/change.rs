//! Changes as columns: [`ChangeBatch`], its two sides of [`Images`], and the
//! four things a cell of an image can be.
//!
//! ```text
//!  row   op        before                     after
//!            ┌─────────┬─────────┐      ┌─────────┬─────────┐
//!   0  insert│         none      │      │  id=7   │ qty=1   │
//!   1  update│  id=7   │ absent  │      │  id=7   │ qty=2   │
//!   2  update│  id=7   │ qty=2   │      │  id=7   │unchanged│
//!   3  delete│  id=7   │ qty=2   │      │         none      │
//! ```

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};

/// What a change did to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// The row came into being.
    Insert = 0,
    /// The row went on with other values, or under another key.
    Update = 1,
    /// The row ceased to be.
    Delete = 2,
    /// Insert or update; the log does not say which.
    Upsert = 3,
    /// Every row then standing ceased to be. Has no images.
    Truncate = 4,
    /// A source's initial read: evidence of state, not a change. Has an after image only.
    Read = 5,
}

impl Op {
    /// All ops, in the order of their codes.
    pub const ALL: [Self; 6] =
        [Self::Insert, Self::Update, Self::Delete, Self::Upsert, Self::Truncate, Self::Read];

    /// The op with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The word for it, as used in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Upsert => "upsert",
            Self::Truncate => "truncate",
            Self::Read => "read",
        }
    }
}

/// What is known of one cell of an image. None of these is ever taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CellState {
    /// The record states the cell: a value, or null where the array is null.
    Known = 0,
    /// The record says, or its format implies, that the change did not touch it.
    Unchanged = 1,
    /// Not recorded. It may have changed.
    Absent = 2,
    /// The record states null, but its producer writes null for values it cannot
    /// express (NaN, infinity). The array is null there.
    AmbiguousNull = 3,
}

/// One side, before or after, of all changes of a batch.
///
/// Every array has the batch's length. Cells whose state is not
/// [`CellState::Known`], and all cells of rows without an image, are null in
/// the arrays.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// One array per table column, in table order, of exactly the column's type.
    /// `None` where the column was not asked for.
    pub columns: Vec<Option<ArrayRef>>,
    /// Which rows have an image at all. `None`: every row.
    pub present: Option<BooleanBuffer>,
    /// Per table column, the [`CellState`] codes. `None`: every cell of a
    /// present image is known.
    pub states: Vec<Option<ScalarBuffer<u8>>>,
}

impl Images {
    /// Whether this row has an image.
    pub fn is_present(&self, row: usize) -> bool {
        self.present.as_ref().is_none_or(|p| p.value(row))
    }

    /// What is known of a cell. A row without an image has only absent cells.
    pub fn state(&self, column: usize, row: usize) -> CellState {
        if !self.is_present(row) {
            return CellState::Absent;
        }
        match self.states.get(column).and_then(Option::as_ref).map(|s| s[row]) {
            None | Some(0) => CellState::Known,
            Some(1) => CellState::Unchanged,
            Some(2) => CellState::Absent,
            Some(_) => CellState::AmbiguousNull,
        }
    }

    /// The array of a column that was asked for.
    pub fn column(&self, column: usize) -> Option<&ArrayRef> {
        self.columns.get(column).and_then(Option::as_ref)
    }
}

/// The commit time of a change whose ledger does not record one.
pub const NO_TIME: i64 = i64::MIN;

/// The time of a change that lies behind every moment that can be asked about, as it was not known
/// yet when the question was.
pub const NEVER: i64 = i64::MAX;

/// Consecutive changes of one dataset, as columns of equal length.
///
/// A key update carries the old key in its before image and the new key in its
/// after image. Key columns of a present image are always known; a decoder
/// fills them from the other image where the record leaves them out and says
/// by its format that the key did not change.
#[derive(Debug, Clone, Default)]
pub struct ChangeBatch {
    /// [`Op`] codes.
    pub ops: Vec<u8>,
    /// Images before each change.
    pub before: Images,
    /// Images after each change.
    pub after: Images,
    /// Commit time in nanoseconds since the epoch, or [`NO_TIME`]. Like [`record`](Self::record) and
    /// [`stream`](Self::stream) empty where neither order nor provenance was asked for.
    pub committed_at: Vec<i64>,
    /// Transaction id as the ledger writes it: any integer or text array.
    pub transaction: Option<ArrayRef>,
    /// Position of the commit, comparable within the source.
    pub commit_position: Option<Vec<u128>>,
    /// The change's own position, comparable within a transaction (and, where
    /// there is no commit position, within the source).
    pub position: Option<Vec<u128>>,
    /// Number of the record in its file, from 1.
    pub record: Vec<u64>,
    /// Index of the file in the source's list of files.
    pub file: u32,
    /// Place of each change in the source's stream, rising; counts all datasets of the source.
    pub stream: Vec<u64>,
    /// Who did it, if recorded: a text array.
    pub actor: Option<ArrayRef>,
}

impl ChangeBatch {
    /// How many changes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Checks that all parts have one length; for `debug_assert!`.
    pub fn is_consistent(&self) -> bool {
        let n = self.len();
        let images = |i: &Images| {
            i.columns.iter().flatten().all(|c| c.len() == n)
                && i.present.as_ref().is_none_or(|p| p.len() == n)
                && i.states.iter().flatten().all(|s| s.len() == n)
        };
        images(&self.before)
            && images(&self.after)
            && [self.committed_at.len(), self.record.len(), self.stream.len()]
                .iter()
                .all(|len| [0, n].contains(len))
            && self.transaction.as_ref().is_none_or(|t| t.len() == n)
            && self.actor.as_ref().is_none_or(|t| t.len() == n)
            && self.position.as_ref().is_none_or(|p| p.len() == n)
            && self.commit_position.as_ref().is_none_or(|p| p.len() == n)
    }
}
