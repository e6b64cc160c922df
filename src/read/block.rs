//! [`Block`]: consecutive records of a text table, by column, not yet typed.

/// No block has more rows, and so no group of a text table.
pub(crate) const ROWS: usize = 65_536;
/// A block ends when its text is longer.
pub(crate) const TEXT: usize = 64 << 20;

/// The text of one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    /// The row within the block.
    pub(crate) row: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Whether quotes stood around it.
    pub(crate) quoted: bool,
}

/// A record that is set aside, and why.
#[derive(Debug, Clone)]
pub(crate) struct SetAside {
    pub(crate) record: u64,
    pub(crate) line: u64,
    pub(crate) message: String,
    /// Its first fields, if only their number is wrong.
    pub(crate) fields: Vec<String>,
}

/// Consecutive records of one file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    pub(crate) text: String,
    /// Per column, the cells that records have, by rising row.
    pub(crate) columns: Vec<Vec<Value>>,
    pub(crate) rows: usize,
    /// Number of the first row's record.
    pub(crate) first: u64,
    /// Numbers of the records between that are no rows.
    pub(crate) gaps: Vec<u64>,
    pub(crate) set_aside: Vec<SetAside>,
}

impl Block {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns: vec![Vec::new(); columns], ..Self::default() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows + self.set_aside.len() >= ROWS || self.text.len() >= TEXT
    }

    pub(crate) fn text(&self, value: &Value) -> &str {
        self.text.get(value.start as usize..value.end as usize).unwrap_or_default()
    }

    /// About how much memory it takes.
    pub(crate) fn memory(&self) -> usize {
        let values: usize = self.columns.iter().map(Vec::len).sum();
        self.text.len() + values * size_of::<Value>() + self.set_aside.len() * 100
    }

    /// Counts one more row that comes from this record.
    pub(crate) fn end_row(&mut self, record: u64) {
        if self.rows == 0 {
            self.first = record;
        }
        self.rows += 1;
    }

    /// Notes that a record is no row.
    pub(crate) fn set_aside(&mut self, record: u64, line: u64, message: String) {
        if self.rows > 0 {
            self.gaps.push(record);
        }
        self.set_aside.push(SetAside { record, line, message, fields: Vec::new() });
    }

    /// The record from which a row comes.
    pub(crate) fn record(&self, row: usize) -> u64 {
        record_of(self.first, &self.gaps, row)
    }
}

/// The record of a row, where rows begin at record `first` and leave out the rising `gaps`.
pub(crate) fn record_of(first: u64, gaps: &[u64], row: usize) -> u64 {
    let row = row as u64;
    // So many rows stand before a gap.
    let before = |(number, gap): (usize, &u64)| gap - first - number as u64;
    let (mut low, mut high) = (0, gaps.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if before((middle, &gaps[middle])) <= row { low = middle + 1 } else { high = middle }
    }
    first + row + low as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_what_was_set_aside() {
        for gaps in [vec![], vec![6], vec![6, 7, 8], vec![6, 8, 20, 21, 40]] {
            let records: Vec<u64> = (5..60).filter(|r| !gaps.contains(r)).collect();
            for (row, record) in records.iter().enumerate() {
                assert_eq!(record_of(5, &gaps, row), *record, "row {row} without {gaps:?}");
            }
        }
    }
}
