//! [`Ranks`]: where each change of a dataset stands in its source's order.

/// The rank of a change that is not part of the ledger's order: a dropped redelivery.
pub const DROPPED: u32 = u32::MAX;

/// Where each change of a dataset stands in its source's order.
///
/// Ranks count all datasets of the source, so that one cut serves them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranks {
    /// Index and rank are the same: one dataset, delivered in order.
    AsRead,
    /// The rank of each index.
    Table(Vec<u32>),
}

impl Ranks {
    /// The rank of the change with this index.
    pub fn of(&self, index: u32) -> u32 {
        match self {
            Self::AsRead => index,
            Self::Table(ranks) => ranks[index as usize],
        }
    }
}
