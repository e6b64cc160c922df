//! [`Want`]: which parts of changes a read needs; [`SegmentRange`]: what is known of them without reading.
//!
//! Readers of all kinds of segments understand it, so that each pass decodes
//! only what it looks at.

use crate::model::TableSchema;

/// Which columns of an image a read needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Columns {
    /// None; only whether there is an image.
    #[default]
    None,
    /// The key columns.
    Key,
    /// All columns.
    All,
}

impl Columns {
    /// Whether a column is among them. Without a key, all columns identify a row.
    pub fn includes(self, table: &TableSchema, column: usize) -> bool {
        match self {
            Self::None => false,
            Self::Key => table.is_key(column) || table.is_keyless(),
            Self::All => true,
        }
    }
}

/// Which parts of changes a read needs. The op always comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// Times, transactions, positions, places in the stream.
    pub order: bool,
    /// Those, and file, record and actor.
    pub provenance: bool,
    /// Before images.
    pub before: Columns,
    /// After images.
    pub after: Columns,
    /// What is known of every cell, also where its value is not asked for.
    pub states: bool,
    /// Whether cells of images may be [`Packing::Packed`](crate::read::Packing::Packed).
    pub packed: bool,
}

impl Want {
    /// What the order of a source depends on.
    pub const ORDER: Self = Self {
        order: true,
        provenance: false,
        before: Columns::None,
        after: Columns::None,
        packed: false,
        states: false,
    };
    /// What a fact needs without hashes.
    pub const KEYS: Self = Self {
        order: false,
        provenance: false,
        before: Columns::Key,
        after: Columns::Key,
        packed: false,
        states: false,
    };
    /// Both images whole.
    pub const IMAGES: Self = Self {
        order: false,
        provenance: false,
        before: Columns::All,
        after: Columns::All,
        packed: false,
        states: false,
    };
    /// Everything.
    pub const EVIDENCE: Self = Self {
        order: true,
        provenance: true,
        before: Columns::All,
        after: Columns::All,
        packed: false,
        states: false,
    };
}

/// Smallest and largest marks of a segment's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRange {
    /// Of positions.
    pub position: (u128, u128),
    /// Of commit times, in nanoseconds.
    pub time: (i64, i64),
    /// Of transaction ids; `None` if the ledger names no transactions.
    pub transaction: Option<(i64, i64)>,
}
