//! [`MappedTable`]: a columnar table (Parquet, CSV, Arrow IPC) read as changes.
//!
//! Nothing is copied ahead: each pass reads the columns it needs from the
//! user's own files. Images are structs (`before`, `after`), or columns with a
//! common prefix or suffix (`old_*`, `new_*`); key columns may stand beside them
//! once for both. The op decides which images a record has, as an insert's
//! before columns are null and mean nothing.
//!
//! With one row per image, the two halves of an update are changes of their own
//! here; [`Halves`](super::Halves) joins them.

mod alone;
mod clock;
mod exact;
mod images;
mod missing;
mod one_key;
mod unknown;
mod words;

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use parquet::file::statistics::Statistics;
use rayon::prelude::*;

use self::clock::{positions, times};
pub(super) use self::exact::{empty_by_type, exact, same_values};
pub use self::one_key::RisingMarks;
use self::words::OpWords;
use super::columns::{Cell, ColumnMap};
use super::mapping::OpWord;
use super::want::{SegmentRange, Want};
use crate::error::{At, Error, Result};
use crate::model::lanes::{LaneFinder, Lanes};
use crate::model::{
    CellState, ChangeBatch, Discrepancy, DiscrepancyKind, Images, LedgerPlace, NO_TIME, Op, TableSchema,
    canon,
};
use crate::plan::{Dataset, MissingCells};
use crate::read::{Packing, Spool, Table};

/// A commit time that its zone's clocks showed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwiceTime {
    /// The earlier instant; the change is taken to have been committed then.
    pub earlier: i64,
    /// The later one.
    pub later: i64,
    /// The file.
    pub file: String,
    /// The record in it, from 1.
    pub record: u64,
}

/// A columnar ledger of one dataset.
#[derive(Debug)]
pub struct MappedTable {
    tables: Vec<Table>,
    /// Per segment: its table and group.
    segments: Vec<(usize, usize)>,
    /// Per segment: the rows of this dataset; `None` for all.
    selected: Vec<Option<Vec<u32>>>,
    /// Number of rows before each segment, over all datasets: places in the stream.
    bases: Vec<u64>,
    map: ColumnMap,
    schema: TableSchema,
    words: OpWords,
    /// The tables that a column names, and how many records each has.
    named: BTreeMap<String, u64>,
    twice: Vec<TwiceTime>,
    missing: Option<MissingCells>,
    /// Whether an empty field is null or the empty text by its column's type.
    empties_by_type: bool,
    zone: Option<chrono_tz::Tz>,
    discrepancies: Vec<Discrepancy>,
    lanes: Option<Lanes>,
    /// Set while the ops are looked over, from several threads.
    reads: std::sync::atomic::AtomicBool,
    truncates: std::sync::atomic::AtomicBool,
}

impl MappedTable {
    /// Opens a dataset's ledger files as changes. `shared` says that the files hold several tables.
    ///
    /// # Errors
    /// A file cannot be read, or no column can be an op or an image.
    pub fn open(plan: &Dataset, schema: &TableSchema, shared: bool, spool: &Spool) -> Result<Self> {
        let mut tables = Vec::new();
        for path in &plan.ledger.paths {
            let source = crate::plan::TableSource { pattern: path.clone(), ..plan.ledger.table.clone() };
            tables.push(Table::open(&source, spool)?);
        }
        let Some(first) = tables.first() else {
            return Err(Error::NoInput { path: plan.ledger.table.pattern.clone() });
        };
        let map = ColumnMap::find(&plan.ledger.columns, first.schema(), schema, &plan.ledger.paths[0])?;
        for (table, path) in tables.iter().zip(&plan.ledger.paths).skip(1) {
            if table.schema().fields() != first.schema().fields() {
                return Err(Error::Malformed {
                    path: path.clone(),
                    at: At::default(),
                    expected: format!("the columns of {}", plan.ledger.paths[0].display()),
                    found: "other columns or types".to_owned(),
                    hint: Some("declare one ledger per shape, or bring the files to one shape".to_owned()),
                });
            }
        }
        if let Some(found) = plan.ledger.missing.and_then(|m| missing::misfit(m, &map, schema)) {
            return Err(Error::Malformed {
                path: plan.ledger.paths[0].clone(),
                at: At::default(),
                expected:
                    "old and new values of each column in one row, as missing = \"unchanged-if-both\" says"
                        .to_owned(),
                found: found.to_owned(),
                hint: Some("declare missing = \"unchanged\" or \"absent\"".to_owned()),
            });
        }
        let op_name = first.schema().field(map.op).name().clone();
        let mut mapped = Self {
            segments: tables
                .iter()
                .enumerate()
                .flat_map(|(t, x)| (0..x.groups()).map(move |g| (t, g)))
                .collect(),
            empties_by_type: tables.iter().all(Table::has_empties_by_type),
            tables,
            selected: Vec::new(),
            bases: Vec::new(),
            map,
            schema: schema.clone(),
            words: OpWords::new(&plan.ledger.ops, &op_name),
            named: BTreeMap::new(),
            twice: Vec::new(),
            missing: plan.ledger.missing.filter(|m| *m != MissingCells::Null),
            zone: plan.ledger.table.time_zone,
            discrepancies: Vec::new(),
            lanes: None,
            reads: std::sync::atomic::AtomicBool::new(false),
            truncates: std::sync::atomic::AtomicBool::new(false),
        };
        mapped.select_rows(plan, shared)?;
        mapped.look_over(plan)?;
        Ok(mapped)
    }

    /// Finds the rows of this dataset where a column names the table. A dataset that is alone takes
    /// every row, until the column shows several tables.
    fn select_rows(&mut self, plan: &Dataset, shared: bool) -> Result<()> {
        let mut base = 0;
        for &(table, group) in &self.segments {
            self.bases.push(base);
            base += self.tables[table].rows(group) as u64;
        }
        self.selected = vec![None; self.segments.len()];
        let Some(column) = self.map.table else { return Ok(()) };
        let mut texts = Vec::with_capacity(self.segments.len());
        for &(table, group) in &self.segments {
            let batch = self.tables[table].read(group, &[column], None)?;
            let names = TableNames::of(batch.column(0), &mut self.named);
            texts.push(names);
        }
        if !shared && plan.ledger.names.is_empty() && self.named.len() < 2 {
            return Ok(());
        }
        let names = match plan.ledger.names.is_empty() {
            true => std::slice::from_ref(&plan.name),
            false => &plan.ledger.names,
        };
        let is_ours = |text: &str| names.iter().any(|name| same_table(name, text));
        for (selected, texts) in self.selected.iter_mut().zip(texts) {
            *selected = Some(texts.rows(|text| is_ours(text)));
        }
        Ok(())
    }

    /// The tables that the ledger names, and whether their changes are taken as this dataset's.
    pub fn named(&self, plan: &Dataset) -> Vec<(String, bool)> {
        let names =
            if plan.ledger.names.is_empty() { std::slice::from_ref(&plan.name) } else { &plan.ledger.names };
        let all = self.selected.iter().all(Option::is_none);
        let taken = |text: &String| all || names.iter().any(|name| same_table(name, text));
        self.named.keys().map(|text| (text.clone(), taken(text))).collect()
    }

    /// Looks once at ops and commit times (and, where nulls can be gaps, at images), so
    /// that what is wrong with them is known before anything is replayed.
    fn look_over(&mut self, plan: &Dataset) -> Result<()> {
        let mut unknown: HashMap<String, (u64, u64, String)> = HashMap::new();
        let words: Vec<Result<Vec<(usize, String)>>> =
            (0..self.segments.len()).into_par_iter().map(|segment| self.unknown_words(segment)).collect();
        for (segment, words) in words.into_iter().enumerate() {
            for (row, text) in words? {
                let place = self.place(segment, row);
                unknown.entry(text).or_insert((0, place.1, place.0)).0 += 1;
            }
            self.note_twice(segment)?;
        }
        let mut unknown: Vec<_> = unknown.into_iter().collect();
        unknown.sort();
        for (word, (count, record, file)) in unknown {
            let mut discrepancy = Discrepancy::new(
                DiscrepancyKind::UnparsableRecord,
                plan.name.clone(),
                format!("unknown op {word:?}: the records are set aside; declare what it means in `ops`"),
            );
            discrepancy.count = count;
            discrepancy.ledger = Some(LedgerPlace { file, record, ..LedgerPlace::default() });
            self.discrepancies.push(discrepancy);
        }
        self.note_unknown(&plan.name);
        self.lanes = Some(if self.missing.is_some() { self.lanes_by_gaps()? } else { self.lanes_by_shape() });
        Ok(())
    }

    /// Keeps the local times that occur twice in their zone.
    fn note_twice(&mut self, segment: usize) -> Result<()> {
        let (table, group) = self.segments[segment];
        let Some(column) = self.map.committed_at else { return Ok(()) };
        if self.zone.is_none() || !clock::is_local(self.tables[table].schema().field(column).data_type()) {
            return Ok(());
        }
        let batch = self.tables[table].read(group, &[column], self.selected[segment].as_deref())?;
        let (_, twice) = self.times(batch.column(0), segment, None)?;
        for (row, earlier, later) in twice {
            let (file, record) = self.place(segment, row);
            self.twice.push(TwiceTime { earlier, later, file, record });
        }
        Ok(())
    }

    /// Changes whose commit time may be one of two instants.
    pub fn twice(&self) -> &[TwiceTime] {
        &self.twice
    }

    /// Whether each row holds one image, so that updates are two rows.
    pub fn has_halves(&self) -> bool {
        self.map.rows.is_some()
    }

    /// Records of the files that are no rows.
    pub fn set_aside(&self) -> impl Iterator<Item = &Discrepancy> {
        self.tables.iter().flat_map(|table| table.discrepancies())
    }

    /// Whether some image column has another type than the table's, so that values must be converted.
    pub fn converts(&self) -> bool {
        let fields = self.tables[0].schema();
        let differs = |(column, cell): (usize, &Option<Cell>)| {
            let data_type = self.schema.data_type(column);
            cell.and_then(|cell| cell.data_type(fields))
                .is_some_and(|own| own != *data_type && !same_values(&own, data_type))
        };
        self.map.before.iter().enumerate().any(differs) || self.map.after.iter().enumerate().any(differs)
    }

    /// Whether both images have this column and a null in it is a null: an absent cell is then one that did not fit.
    pub fn is_stated(&self, column: usize) -> bool {
        self.missing.is_none() && self.map.before[column].is_some() && self.map.after[column].is_some()
    }

    /// The first file, for messages.
    pub fn path(&self) -> String {
        self.tables[0].files().first().map_or_else(String::new, |f| f.path.display().to_string())
    }

    /// Whether some change is an initial read.
    pub fn has_reads(&self) -> bool {
        self.reads.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Rows of a segment whose op nobody declared, with its word.
    fn unknown_words(&self, segment: usize) -> Result<Vec<(usize, String)>> {
        let (table, group) = self.segments[segment];
        let rows = self.selected[segment].as_deref();
        let op = self.tables[table].read_as(group, &[self.map.op], rows, Packing::Packed)?;
        let words = op.column(0);
        let text = |row| canon::cell_text(words.as_ref(), row).unwrap_or_else(|| "null".to_owned());
        Ok(self.unknown_ops(words).into_iter().map(|row| (row, text(row))).collect())
    }

    fn unknown_ops(&self, words: &ArrayRef) -> Vec<usize> {
        if let (Some(dictionary), 0) = (words.as_any_dictionary_opt(), words.null_count()) {
            let entries = self.words.read(dictionary.values());
            self.note_truncates(&entries);
            // A read among the entries may not be used; then the rows are looked at after all.
            if entries.iter().all(|word| word.is_some_and(|w| w.op != Op::Read)) {
                return Vec::new();
            }
        }
        let codes = self.words.read(words);
        self.note_truncates(&codes);
        if codes.iter().flatten().any(|word| word.op == Op::Read) {
            self.reads.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        (0..codes.len()).filter(|&row| codes[row].is_none()).collect()
    }

    fn note_truncates(&self, words: &[Option<OpWord>]) {
        if words.iter().flatten().any(|word| word.op == Op::Truncate) {
            self.truncates.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Whether some change may be a truncate.
    pub fn may_truncate(&self) -> bool {
        self.truncates.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Lanes as the columns alone determine them: a column that one side lacks is absent there.
    fn lanes_by_shape(&self) -> Lanes {
        let absent = |cells: &[Option<Cell>]| -> Vec<Option<ScalarBuffer<u8>>> {
            let state = |cell: &Option<Cell>| {
                cell.is_none().then(|| ScalarBuffer::from(vec![CellState::Absent as u8; 1]))
            };
            cells.iter().map(state).collect()
        };
        let side = |cells: &[Option<Cell>]| Images {
            columns: vec![None; cells.len()],
            present: None,
            states: absent(cells),
        };
        let batch = ChangeBatch {
            ops: vec![Op::Update as u8],
            before: side(&self.map.before),
            after: side(&self.map.after),
            ..ChangeBatch::default()
        };
        let mut finder = LaneFinder::new(&self.schema);
        finder.observe(&batch);
        finder.finish()
    }

    /// How its columns fall into lanes.
    pub fn lanes(&self) -> Lanes {
        self.lanes.clone().unwrap_or_else(|| Lanes::whole(&self.schema))
    }

    /// Whether changes carry a position of their own.
    pub fn has_position(&self) -> bool {
        self.map.position.is_some()
    }

    /// What looking at the files found.
    pub fn discrepancies(&self) -> &[Discrepancy] {
        &self.discrepancies
    }

    /// How many segments.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// What the footer says of a segment's order; `None` if it does not say enough.
    pub fn range(&self, segment: usize) -> Option<SegmentRange> {
        let column = |column| self.integers_between(segment, column);
        if self.selected[segment].is_some() || self.map.commit_position.is_some() || self.map.rows.is_some() {
            return None;
        }
        let position = column(self.map.position?)?;
        let committed_at = self.map.committed_at?;
        let DataType::Timestamp(unit, Some(_)) = self.tables[0].schema().field(committed_at).data_type()
        else {
            return None;
        };
        let time = column(committed_at)?;
        let nanoseconds = |time: i64| time.checked_mul(clock::scale(unit));
        let transaction = match self.map.transaction {
            None => None,
            Some(id) => Some(column(id)?),
        };
        Some(SegmentRange {
            position: (u128::try_from(position.0).ok()?, u128::try_from(position.1).ok()?),
            time: (nanoseconds(time.0)?, nanoseconds(time.1)?),
            transaction,
        })
    }

    /// The smallest and largest value of a 64-bit integer column without nulls.
    fn integers_between(&self, segment: usize, column: usize) -> Option<(i64, i64)> {
        let (table, group) = self.segments[segment];
        let table = &self.tables[table];
        let is_signed =
            matches!(table.schema().field(column).data_type(), DataType::Int64 | DataType::Timestamp(_, _));
        let group = table.parquet(group).filter(|_| is_signed)?;
        let leaves = group.metadata.file_metadata().schema_descr();
        let leaf = (0..leaves.num_columns()).find(|&leaf| leaves.get_column_root_idx(leaf) == column)?;
        match group.metadata.row_group(group.row_group).column(leaf).statistics()? {
            Statistics::Int64(range) if range.null_count_opt() == Some(0) => {
                Some((*range.min_opt()?, *range.max_opt()?))
            }
            _ => None,
        }
    }

    /// How many changes a segment has.
    pub fn rows(&self, segment: usize) -> usize {
        let (table, group) = self.segments[segment];
        self.selected[segment].as_ref().map_or_else(|| self.tables[table].rows(group), Vec::len)
    }

    fn place(&self, segment: usize, row: usize) -> (String, u64) {
        let (table, group) = self.segments[segment];
        let (file, _) = self.tables[table].place(group);
        let row = self.selected[segment].as_ref().map_or(row, |s| s[row] as usize);
        let path =
            self.tables[table].files().get(file).map_or_else(String::new, |f| f.path.display().to_string());
        (path, self.tables[table].record(group, row))
    }

    /// Reads parts of a segment; all of its changes, or those in `rows` (rising).
    ///
    /// # Errors
    /// The file cannot be read or decoded, or a time has no zone.
    pub fn read(&self, segment: usize, want: Want, rows: Option<&[u32]>) -> Result<ChangeBatch> {
        let (table, group) = self.segments[segment];
        let chosen: Option<Vec<u32>> = match (&self.selected[segment], rows) {
            (None, rows) => rows.map(<[u32]>::to_vec),
            (Some(selected), None) => Some(selected.clone()),
            (Some(selected), Some(rows)) => Some(rows.iter().map(|&r| selected[r as usize]).collect()),
        };
        let order_alone = want == Want::ORDER && !self.has_reads();
        let columns = self.map.roots(want, &self.schema, !order_alone);
        let packing = if want.packed { Packing::Packed } else { Packing::Plain };
        let batch = self.tables[table].read_as(group, &columns, chosen.as_deref(), packing)?;
        let numbers: Vec<u32> = chosen.unwrap_or_else(|| (0..batch.num_rows() as u32).collect());
        self.changes(segment, want, (&columns, &batch), &numbers, rows)
    }

    /// Reads a segment in parts of about so many changes; `take` is told the row of the first.
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
        // Halves of one change, and rows that are left out, are sorted out in whole segments.
        if self.map.rows.is_some() || self.selected[segment].is_some() {
            return take(0, self.read(segment, want, None)?);
        }
        let (table, group) = self.segments[segment];
        let columns = self.map.roots(want, &self.schema, want != Want::ORDER || self.has_reads());
        let packing = if want.packed { Packing::Packed } else { Packing::Plain };
        let mut from = 0;
        self.tables[table].read_parts(group, &columns, (packing, rows), &mut |batch| {
            let numbers: Vec<u32> = (from as u32..(from + batch.num_rows()) as u32).collect();
            take(from, self.changes(segment, want, (&columns, &batch), &numbers, Some(&numbers))?)?;
            from += batch.num_rows();
            Ok(())
        })
    }

    /// The changes in some rows of a segment's table, which have these numbers there; `rows`: those asked for.
    fn changes(
        &self,
        segment: usize,
        want: Want,
        (columns, batch): (&[usize], &RecordBatch),
        numbers: &[u32],
        rows: Option<&[u32]>,
    ) -> Result<ChangeBatch> {
        let (table, group) = self.segments[segment];
        let root = |column: usize| columns.binary_search(&column).ok().map(|at| batch.column(at));
        let count = batch.num_rows();
        let (file, _) = self.tables[table].place(group);
        let ordered = want.order || want.provenance;
        let optional = |column: Option<usize>| column.filter(|_| ordered).and_then(root);
        let first_file: usize = self.tables[..table].iter().map(|t| t.files().len()).sum();
        let (ops, before, after) = match root(self.map.op) {
            Some(words) => self.ops_and_images(want, words, &root),
            // The order alone does not depend on ops, unless initial reads are among them.
            None => (vec![Op::Update as u8; count], Images::default(), Images::default()),
        };
        // Whoever asks for images alone is spared a vector of each.
        let numbered = if ordered { numbers } else { &[] };
        Ok(ChangeBatch {
            ops,
            before,
            after,
            committed_at: match optional(self.map.committed_at) {
                Some(times) => self.times(times, segment, rows)?.0,
                None => vec![NO_TIME; numbered.len()],
            },
            transaction: optional(self.map.transaction).cloned(),
            commit_position: optional(self.map.commit_position)
                .map(|p| self.positions(p, segment, rows))
                .transpose()?,
            position: optional(self.map.position).map(|p| self.positions(p, segment, rows)).transpose()?,
            record: numbered.iter().map(|&n| self.tables[table].record(group, n as usize)).collect(),
            file: (first_file + file) as u32,
            stream: numbered.iter().map(|&n| self.bases[segment] + u64::from(n)).collect(),
            actor: self.map.actor.filter(|_| want.provenance).and_then(root).cloned(),
        })
    }

    /// The place of the row with this number among those that were asked for.
    fn place_of(&self, segment: usize, row: usize, rows: Option<&[u32]>) -> (String, At) {
        let (path, record) = self.place(segment, rows.map_or(row, |rows| rows[row] as usize));
        (path, At::record(record))
    }

    /// Positions as numbers; one that is none would put its change in a wrong place.
    fn positions(&self, array: &ArrayRef, segment: usize, rows: Option<&[u32]>) -> Result<Vec<u128>> {
        positions(array).map_err(|row| {
            let (path, at) = self.place_of(segment, row, rows);
            let name = self.map.position.map(|c| self.tables[0].schema().field(c).name().clone());
            Error::Malformed {
                path: path.into(),
                at: at.column(name.unwrap_or_default()),
                expected: "a position that is a whole number, not negative".to_owned(),
                found: canon::cell_text(array.as_ref(), row).unwrap_or_else(|| "null".to_owned()),
                hint: Some(
                    "name another column under ledger.columns.position, or repair the record".to_owned(),
                ),
            }
        })
    }

    fn times(
        &self,
        array: &ArrayRef,
        segment: usize,
        rows: Option<&[u32]>,
    ) -> Result<(Vec<i64>, Vec<clock::Twice>)> {
        times(array, self.zone).map_err(|wrong| {
            let (path, at) = self.place_of(segment, wrong.row, rows);
            Error::Malformed {
                path: path.into(),
                at: at.column(self.map.committed_at_name.clone()),
                expected: "a commit time".to_owned(),
                found: wrong.found,
                hint: Some(wrong.hint.to_owned()),
            }
        })
    }
}

/// Which table each row of a segment names: a few texts, and a number of one of them per row.
struct TableNames {
    texts: Vec<String>,
    of_row: Vec<u32>,
}

impl TableNames {
    /// Reads a column and adds its texts to the counts of all.
    fn of(column: &ArrayRef, counts: &mut BTreeMap<String, u64>) -> Self {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut names = Self { texts: Vec::new(), of_row: Vec::with_capacity(column.len()) };
        for row in 0..column.len() {
            let text = canon::cell_text(column.as_ref(), row).unwrap_or_default();
            let next = names.texts.len() as u32;
            let number = *numbers.entry(text).or_insert_with_key(|text| {
                names.texts.push(text.clone());
                next
            });
            names.of_row.push(number);
        }
        for &number in &names.of_row {
            let text = &names.texts[number as usize];
            match counts.get_mut(text) {
                Some(count) => *count += 1,
                None => drop(counts.insert(text.clone(), 1)),
            }
        }
        names
    }

    fn rows(&self, wanted: impl Fn(&str) -> bool) -> Vec<u32> {
        let wanted: Vec<bool> = self.texts.iter().map(|text| wanted(text)).collect();
        (0..self.of_row.len() as u32).filter(|&row| wanted[self.of_row[row as usize] as usize]).collect()
    }
}

/// Whether a declared name means the table that a record names: equal from the last part on.
fn same_table(name: &str, text: &str) -> bool {
    let mut name = name.rsplit('.');
    let mut text = text.rsplit('.');
    loop {
        match (name.next(), text.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, _) | (_, None) => return true,
            _ => return false,
        }
    }
}
