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
    /// The group as one text: `currency=EUR, region=null`. Different groups have different ones: a text
    /// that could be taken for more or other than it is stands in quotes, as `region="null"`.
    pub fn label(&self) -> String {
        let value = |value: &GroupValue| match value {
            GroupValue::Value(text) => quoted(text),
            other => other.to_string(),
        };
        let pair = |(column, of): &(String, GroupValue)| format!("{}={}", quoted(column), value(of));
        self.group.iter().map(pair).collect::<Vec<_>>().join(", ")
    }
}

/// A text, in quotes where it would not be told from what stands around it or from what is no value.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.trim() == text
        && !text.contains(['=', ',', '"'])
        && !text.contains(char::is_control)
        && !["null", "(unknown)"].contains(&text);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_groups_have_different_labels() {
        let label = |values: &[(&str, GroupValue)]| {
            let group = values.iter().map(|(column, value)| ((*column).to_owned(), value.clone())).collect();
            GroupTotal { group, rows: RowTotal::default(), measures: Vec::new() }.label()
        };
        let text = |text: &str| GroupValue::Value(text.to_owned());
        assert_eq!(label(&[("a", text("EUR")), ("b", GroupValue::Null)]), "a=EUR, b=null");
        assert_eq!(label(&[("a", text("null"))]), "a=\"null\"");
        assert_eq!(label(&[("a", text("(unknown)"))]), "a=\"(unknown)\"");
        assert_eq!(label(&[("a", text("x, b=y"))]), "a=\"x, b=y\"");
        assert_eq!(label(&[("a", text("x")), ("b", text("y"))]), "a=x, b=y");
        assert_eq!(label(&[("a", text("5\" pipe"))]), "a=\"5\"\" pipe\"");
        assert_eq!(label(&[("a", text(""))]), "a=\"\"");
    }

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
