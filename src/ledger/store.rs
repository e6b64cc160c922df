//! [`ChangeStore`]: the changes of one dataset as segments that can be read again.
//!
//! Every pass after the first asks for few columns of few changes. A store
//! answers from where the changes lie: row groups of the user's own Parquet
//! files, or the spool into which a text ledger was parsed. Changes are
//! numbered by a dense *index* over all segments. Rows of an opening, which are
//! evidence and no changes, are numbered behind them and read the same way.

use std::path::Path;
use std::sync::Arc;

use super::drift::Begin;
use super::mapped::MappedTable;
use super::reads::TableReads;
use super::spooled::Shelf;
use super::unread::{TextLedger, Texts, Unread, UnreadWriter};
use super::want::{Columns, SegmentRange, Want};
use crate::error::{Error, Result};
use crate::model::{ChangeBatch, Op, TableSchema};
use crate::read::SpooledTable;

/// The changes of one dataset, in the order of the stream.
#[derive(Debug)]
pub struct ChangeStore {
    schema: TableSchema,
    segments: Segments,
    /// First index of each segment, those of the opening behind the ledger's own.
    firsts: Vec<u32>,
    /// How many segments are the ledger's own.
    own: usize,
    opening: Option<TableReads>,
    begins: Vec<Begin>,
    positions: bool,
    reads: bool,
}

#[derive(Debug)]
enum Segments {
    Spooled(Box<SpooledChanges>),
    Mapped(Box<MappedTable>),
}

impl ChangeStore {
    /// Changes that were parsed into a spool.
    ///
    /// # Errors
    /// More changes than the limit of 2³² − 2.
    fn spooled(schema: TableSchema, changes: SpooledChanges) -> Result<Self> {
        let firsts = firsts(changes.rows())?;
        Ok(Self::new(schema, Segments::Spooled(Box::new(changes)), firsts))
    }

    /// Changes that lie in a columnar table.
    ///
    /// # Errors
    /// More changes than the limit of 2³² − 2.
    pub fn mapped(schema: TableSchema, table: MappedTable) -> Result<Self> {
        let firsts = firsts((0..table.segments()).map(|segment| table.rows(segment)))?;
        Ok(Self::new(schema, Segments::Mapped(Box::new(table)), firsts))
    }

    fn new(schema: TableSchema, segments: Segments, firsts: Vec<u32>) -> Self {
        let own = firsts.len() - 1;
        let (opening, begins) = (None, Vec::new());
        Self { schema, segments, firsts, own, opening, begins, positions: true, reads: false }
    }

    /// Numbers the rows of an opening behind the changes.
    ///
    /// # Errors
    /// More changes and rows together than the limit of 2³² − 2.
    pub fn attach(&mut self, opening: TableReads) -> Result<()> {
        debug_assert!(self.opening.is_none(), "a dataset has one opening");
        let changes = self.firsts.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
        let rows = (0..opening.segments()).map(|segment| opening.rows(segment));
        self.firsts = firsts(changes.chain(rows))?;
        self.opening = Some(opening);
        Ok(())
    }

    /// The opening, if there is one.
    pub fn opening(&self) -> Option<&TableReads> {
        self.opening.as_ref()
    }

    /// The segments that hold the rows of the opening.
    pub fn opening_segments(&self) -> std::ops::Range<usize> {
        self.own..self.firsts.len() - 1
    }

    /// Whether some change is an initial read.
    pub fn has_reads(&self) -> bool {
        match &self.segments {
            Segments::Spooled(_) => self.reads,
            Segments::Mapped(table) => table.has_reads(),
        }
    }

    /// Whether positions may be used; a stream can turn out to have some that do not compare.
    pub fn use_positions(&mut self, usable: bool) {
        self.positions = usable;
    }

    /// Sets what [`Self::begins`] returns.
    pub fn set_begins(&mut self, begins: Vec<Begin>) {
        self.begins = begins;
    }

    /// Columns that began inside the ledger.
    pub fn begins(&self) -> &[Begin] {
        &self.begins
    }

    /// The index of the last change at or before a place in the source's stream, if there is one.
    ///
    /// # Errors
    /// The changes cannot be read.
    pub fn index_upto(&self, stream: u64) -> Result<Option<u32>> {
        let mut found = None;
        for segment in 0..self.segments() {
            let places = self.read(segment, Want::ORDER, None)?.stream;
            let upto = places.partition_point(|&place| place <= stream);
            found = upto.checked_sub(1).map(|row| self.first(segment) + row as u32).or(found);
            if upto < places.len() {
                break;
            }
        }
        Ok(found)
    }

    /// The table that the images are rows of.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// How many segments.
    pub fn segments(&self) -> usize {
        self.own
    }

    /// How many changes.
    pub fn len(&self) -> u32 {
        self.firsts[self.own]
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index of the first change of a segment.
    pub fn first(&self, segment: usize) -> u32 {
        self.firsts[segment]
    }

    /// The segment and the row in it of the change with this index.
    pub fn locate(&self, index: u32) -> (usize, u32) {
        let segment = self.firsts.partition_point(|&first| first <= index) - 1;
        (segment, index - self.firsts[segment])
    }

    /// Reads parts of a segment; all of its rows, or those in `rows` (rising).
    ///
    /// # Errors
    /// The file cannot be read or decoded.
    pub fn read(&self, segment: usize, want: Want, rows: Option<&[u32]>) -> Result<ChangeBatch> {
        let is_by_values = matches!(self.segments, Segments::Mapped(_)) || segment >= self.own;
        let want = if is_by_values { by_values(want) } else { want };
        if let (Some(opening), Some(behind)) = (&self.opening, segment.checked_sub(self.own)) {
            return opening.read(behind, want, rows);
        }
        match &self.segments {
            Segments::Spooled(changes) => {
                let mut batch = changes.read(segment, want, rows)?;
                if !self.positions {
                    (batch.commit_position, batch.position) = (None, None);
                }
                Ok(batch)
            }
            Segments::Mapped(table) => table.read(segment, want, rows),
        }
    }

    /// Reads a segment in parts of about so many changes, if it is one of a columnar table, else in one;
    /// `take` is told the row of the first.
    ///
    /// # Errors
    /// As [`Self::read`], and what `take` returns.
    pub fn read_parts(
        &self,
        segment: usize,
        want: Want,
        rows: usize,
        take: &mut dyn FnMut(usize, ChangeBatch) -> Result<()>,
    ) -> Result<()> {
        match &self.segments {
            Segments::Mapped(table) if segment < self.own => {
                table.read_parts(segment, by_values(want), rows, take)
            }
            _ => take(0, self.read(segment, want, None)?),
        }
    }

    /// The table in which the changes of a segment lie, if columns of their images can be read alone.
    pub fn table_of_columns(&self, segment: usize) -> Option<&MappedTable> {
        match &self.segments {
            Segments::Mapped(table) if segment < self.own && table.has_columns_alone(segment) => Some(table),
            _ => None,
        }
    }

    /// The table in which the changes lie, if they lie in one and none of them is a truncate.
    pub fn table_without_truncates(&self) -> Option<&MappedTable> {
        match &self.segments {
            Segments::Mapped(table) if self.positions && !table.may_truncate() => Some(table),
            _ => None,
        }
    }

    /// What the file's own statistics say of a segment's order; `None` if they do not say enough.
    pub fn range(&self, segment: usize) -> Option<SegmentRange> {
        match &self.segments {
            Segments::Spooled(_) => None,
            Segments::Mapped(_) if !self.positions => None,
            Segments::Mapped(table) => table.range(segment),
        }
    }

    /// Whether every present image is known to have every cell, without looking.
    pub fn is_whole_by_format(&self) -> bool {
        matches!(self.segments, Segments::Mapped(_))
    }
}

/// The same where what is known of a cell is told by its value.
fn by_values(want: Want) -> Want {
    if want.states { Want { before: Columns::All, after: Columns::All, ..want } } else { want }
}

fn firsts(rows: impl Iterator<Item = usize>) -> Result<Vec<u32>> {
    let mut firsts = vec![0];
    let mut total: u64 = 0;
    for rows in rows {
        total += rows as u64;
        let limit = u64::from(u32::MAX) - 2;
        if total > limit {
            return Err(Error::Limit { what: "changes of one dataset", found: total, limit });
        }
        firsts.push(total as u32);
    }
    Ok(firsts)
}

/// Changes in a spool, each batch of them whole or with its images left in the text.
#[derive(Debug)]
struct SpooledChanges {
    shelf: Shelf,
    whole: SpooledTable,
    unread: Option<Unread>,
    batches: Vec<Batch>,
}

/// Where a batch is: its number among those of its kind.
#[derive(Debug, Clone, Copy)]
enum Batch {
    Whole(usize),
    Unread(usize),
}

impl SpooledChanges {
    fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.batches.iter().map(|batch| match (batch, &self.unread) {
            (Batch::Unread(number), Some(unread)) => unread.rows(*number),
            (Batch::Whole(number) | Batch::Unread(number), _) => self.whole.rows(*number),
        })
    }

    fn read(&self, segment: usize, want: Want, rows: Option<&[u32]>) -> Result<ChangeBatch> {
        match (self.batches[segment], &self.unread) {
            (Batch::Unread(number), Some(unread)) => unread.read(number, want, rows),
            (Batch::Whole(number) | Batch::Unread(number), _) => {
                let columns = self.shelf.columns(want, false);
                let record = self.whole.read(number, &columns, rows)?;
                Ok(self.shelf.unpack(&record, &columns))
            }
        }
    }
}

/// Parses nothing itself: turns change batches into the record batches of a spool.
#[derive(Debug)]
pub struct ChangeSpooler {
    table: TableSchema,
    shelf: Shelf,
    writer: crate::read::SpoolWriter,
    unread: Option<UnreadWriter>,
    batches: Vec<Batch>,
    whole: usize,
    reads: bool,
}

impl ChangeSpooler {
    /// A spool for changes of this table.
    ///
    /// # Errors
    /// The spool cannot be created.
    pub fn new(table: TableSchema, spool: &crate::read::Spool) -> Result<Self> {
        let shelf = Shelf::whole(&table);
        let writer = spool.create(Arc::clone(shelf.schema()))?;
        Ok(Self { table, shelf, writer, unread: None, batches: Vec::new(), whole: 0, reads: false })
    }

    /// Lets images stay in this text, of which the table is the target of that number.
    ///
    /// # Errors
    /// The spool cannot be created.
    pub fn leave_in(
        &mut self,
        text: Arc<TextLedger>,
        target: usize,
        spool: &crate::read::Spool,
    ) -> Result<()> {
        self.unread = Some(UnreadWriter::new(text, target, spool)?);
        Ok(())
    }

    /// The table that the images are rows of.
    pub fn table(&self) -> &TableSchema {
        &self.table
    }

    /// Adds the next changes; `texts` says where their images are, if cells outside the key were left there.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub fn push(&mut self, batch: &ChangeBatch, texts: Option<Texts<'_>>) -> Result<()> {
        debug_assert!(batch.is_consistent(), "all parts of a batch have one length");
        if batch.is_empty() {
            return Ok(());
        }
        self.reads |= batch.ops.contains(&(Op::Read as u8));
        if let (Some(texts), Some(unread)) = (texts, &mut self.unread) {
            self.batches.push(Batch::Unread(unread.push(batch, texts)?));
            return Ok(());
        }
        debug_assert!(texts.is_none(), "images are left only where they can be read again");
        let record = self.shelf.pack(batch, &[]).map_err(Error::arrow(Path::new("spooled ledger")))?;
        self.batches.push(Batch::Whole(self.whole));
        self.whole += 1;
        self.writer.push(&record)
    }

    /// The store of all changes added.
    ///
    /// # Errors
    /// The spool cannot be written, or there are more changes than the limit of 2³² − 2.
    pub fn finish(self) -> Result<ChangeStore> {
        let changes = SpooledChanges {
            shelf: self.shelf,
            whole: self.writer.finish()?,
            unread: self.unread.map(UnreadWriter::finish).transpose()?,
            batches: self.batches,
        };
        let mut store = ChangeStore::spooled(self.table, changes)?;
        store.reads = self.reads;
        Ok(store)
    }
}
