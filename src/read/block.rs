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
        self.rows >= ROWS || self.text.len() >= TEXT
    }

    pub(crate) fn text(&self, value: &Value) -> &str {
        self.text.get(value.start as usize..value.end as usize).unwrap_or_default()
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
        self.set_aside.push(SetAside { record, line, message });
    }

    /// The record from which a row comes.
    pub(crate) fn record(&self, row: usize) -> u64 {
        record_of(self.first, &self.gaps, row)
    }
}

/// The record of a row, where rows begin at record `first` and leave out `gaps`.
pub(crate) fn record_of(first: u64, gaps: &[u64], row: usize) -> u64 {
    let mut record = first + row as u64;
    for &gap in gaps {
        if gap > record {
            break;
        }
        record += 1;
    }
    record
}
