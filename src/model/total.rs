//! Control totals: how a figure of the current state becomes that of the snapshot.
//!
//! ```text
//! current − inserts + deletes ± updates = snapshot
//! ```
//!
//! *Inserts* are rows that the cut took away, *deletes* rows that it gave back, *updates*
//! rows on both sides: what their figure is at the cut less what it is now. Each part is
//! summed on its own, from the current file, from records of the ledger and from the
//! snapshot, so that the equation can fail.

use std::fmt;

/// How the number of rows came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowTotal {
    /// Rows of the current state.
    pub current: u64,
    /// Rows that the cut took away.
    pub inserts: u64,
    /// Rows that the cut gave back.
    pub deletes: u64,
    /// Rows that came from other groups by an undone update, less those that went to others.
    /// Zero for a whole dataset.
    pub updates: i64,
    /// Rows of the snapshot.
    pub snapshot: u64,
}

impl RowTotal {
    /// Whether both sides of the equation are the same.
    pub fn holds(&self) -> bool {
        i128::from(self.current) - i128::from(self.inserts)
            + i128::from(self.deletes)
            + i128::from(self.updates)
            == i128::from(self.snapshot)
    }

    /// The equation in words: `12 − 2 + 1 = 11`.
    pub fn equation(&self) -> String {
        let updates = if self.updates == 0 { String::new() } else { signed(&self.updates.to_string()) };
        format!("{} − {} + {}{updates} = {}", self.current, self.inserts, self.deletes, self.snapshot)
    }
}

/// How the total of one measure came about, as exact decimal text.
///
/// Cells whose value is not known are in no total; they are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureTotal {
    /// The column.
    pub name: String,
    /// Its sum over the current state.
    pub current: String,
    /// Its current sum over rows that the cut took away.
    pub inserts: String,
    /// Its sum over rows that the cut gave back.
    pub deletes: String,
    /// Over rows on both sides, its sum at the cut less its current one; in a group, rows that
    /// came from another group or went to one are part of it.
    pub updates: String,
    /// Its sum over the known cells of the snapshot.
    pub snapshot: String,
    /// Snapshot less current.
    pub change: String,
    /// How many cells of the snapshot are not known.
    pub unknown: u64,
    /// Whether all of these are sums. A cell that is no exact decimal makes its sums impossible, and
    /// their texts say so.
    pub is_summed: bool,
    /// Whether both sides of the equation are sums and the same.
    pub holds: bool,
}

impl MeasureTotal {
    /// The equation in words: `70.00 − 5.00 + 0 − 20.00 = 45.00 + 1 unknown`.
    pub fn equation(&self) -> String {
        let unknown = if self.unknown == 0 { String::new() } else { format!(" + {} unknown", self.unknown) };
        format!(
            "{} − {} + {}{} = {}{unknown}",
            self.current,
            bracketed(&self.inserts),
            bracketed(&self.deletes),
            signed(&self.updates),
            self.snapshot
        )
    }
}

/// A negative operand in brackets.
fn bracketed(amount: &str) -> String {
    if amount.starts_with('-') { format!("({amount})") } else { amount.to_owned() }
}

/// A further summand with its sign.
fn signed(amount: &str) -> String {
    amount.strip_prefix('-').map_or_else(|| format!(" + {amount}"), |less| format!(" − {less}"))
}

/// The value of a column by which rows are grouped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupValue {
    /// Exact text of a value.
    Value(String),
    /// Null.
    Null,
    /// Nothing states it.
    Unknown,
}

impl fmt::Display for GroupValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(text) => text,
            Self::Null => "null",
            Self::Unknown => "(unknown)",
        })
    }
}

/// The totals of the rows that agree in the columns of the plan's `group_by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTotal {
    /// Column and value, in the order of `group_by`.
    pub group: Vec<(String, GroupValue)>,
    /// Of its rows.
    pub rows: RowTotal,
    /// Of each measure, in the order of the dataset's.
    pub measures: Vec<MeasureTotal>,
}

impl GroupTotal {
    /// The group as one text: `currency=EUR, region=null`.
    pub fn label(&self) -> String {
        self.group.iter().map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_written_as_one_would_write_them() {
        let total = |updates: &str, unknown| MeasureTotal {
            name: "balance".to_owned(),
            current: "70.00".to_owned(),
            inserts: "-5.00".to_owned(),
            deletes: "0".to_owned(),
            updates: updates.to_owned(),
            snapshot: "55.00".to_owned(),
            change: "-15.00".to_owned(),
            unknown,
            is_summed: true,
            holds: true,
        };
        assert_eq!(total("-20.00", 0).equation(), "70.00 − (-5.00) + 0 − 20.00 = 55.00");
        assert_eq!(total("1.00", 2).equation(), "70.00 − (-5.00) + 0 + 1.00 = 55.00 + 2 unknown");
        let rows = RowTotal { current: 12, inserts: 2, deletes: 1, updates: -1, snapshot: 10 };
        assert!(rows.holds());
        assert_eq!(rows.equation(), "12 − 2 + 1 − 1 = 10");
        assert!(!RowTotal { snapshot: 11, ..rows }.holds());
    }
}
