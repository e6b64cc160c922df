//! [`MappedTable`]: a columnar table (Parquet, CSV, Arrow IPC) read as changes.
//!
//! Nothing is copied ahead: each pass reads the columns it needs from the
//! user's own files. Images are structs (`before`, `after`), or columns with a
//! common prefix or suffix (`old_*`, `new_*`); key columns may stand beside them
//! once for both. The op decides which images a record has, as an insert's
//! before columns are null and mean nothing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, UInt64Type};

use super::columns::{Cell, ColumnMap};
use super::want::{Columns, Want};
use rayon::prelude::*;

use crate::error::{At, Error, Result};
use crate::model::lanes::{LaneFinder, Lanes};
use crate::model::time::{self, NotAnInstant};
use crate::model::{
    CellState, ChangeBatch, Discrepancy, DiscrepancyKind, Images, LedgerPlace, NO_TIME, Op, TableSchema,
    canon,
};
use crate::plan::{Dataset, MissingCells};
use crate::read::cell::CellBuilder;
use crate::read::{Spool, Table};

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
    ops: HashMap<String, Op>,
    missing: Option<MissingCells>,
    zone: Option<chrono_tz::Tz>,
    discrepancies: Vec<Discrepancy>,
    lanes: Option<Lanes>,
    /// Set while the ops are looked over, from several threads.
    reads: std::sync::atomic::AtomicBool,
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
        let mut mapped = Self {
            segments: tables
                .iter()
                .enumerate()
                .flat_map(|(t, x)| (0..x.groups()).map(move |g| (t, g)))
                .collect(),
            tables,
            selected: Vec::new(),
            bases: Vec::new(),
            map,
            schema: schema.clone(),
            ops: op_words(&plan.ledger.ops),
            missing: plan.ledger.missing.filter(|m| *m != MissingCells::Null),
            zone: plan.ledger.table.time_zone,
            discrepancies: Vec::new(),
            lanes: None,
            reads: std::sync::atomic::AtomicBool::new(false),
        };
        mapped.select_rows(plan, shared)?;
        mapped.look_over(plan)?;
        Ok(mapped)
    }

    /// Finds the rows of this dataset where a column names the table.
    fn select_rows(&mut self, plan: &Dataset, shared: bool) -> Result<()> {
        let mut base = 0;
        for &(table, group) in &self.segments {
            self.bases.push(base);
            base += self.tables[table].rows(group) as u64;
            let named = self.map.table.filter(|_| shared || !plan.ledger.names.is_empty());
            self.selected.push(match named {
                None => None,
                Some(column) => {
                    let batch = self.tables[table].read(group, &[column], None)?;
                    let names = if plan.ledger.names.is_empty() {
                        std::slice::from_ref(&plan.name)
                    } else {
                        &plan.ledger.names
                    };
                    let ours = |row: &u32| {
                        canon::cell_text(batch.column(0).as_ref(), *row as usize)
                            .is_some_and(|text| names.iter().any(|name| same_table(name, &text)))
                    };
                    Some((0..batch.num_rows() as u32).filter(ours).collect())
                }
            });
        }
        Ok(())
    }

    /// Looks once at ops and commit times (and, where nulls can be gaps, at images), so
    /// that what is wrong with them is known before anything is replayed.
    fn look_over(&mut self, plan: &Dataset) -> Result<()> {
        let mut finder = LaneFinder::new(&self.schema);
        let mut unknown: HashMap<String, (u64, u64, String)> = HashMap::new();
        let words: Vec<Result<Vec<(usize, String)>>> =
            (0..self.segments.len()).into_par_iter().map(|segment| self.unknown_words(segment)).collect();
        for (segment, words) in words.into_iter().enumerate() {
            for (row, text) in words? {
                let place = self.place(segment, row);
                unknown.entry(text).or_insert((0, place.1, place.0)).0 += 1;
            }
            if self.missing.is_some() {
                finder.observe(&self.read(segment, Want::IMAGES, None)?);
            }
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
        self.lanes = Some(if self.missing.is_some() { finder.finish() } else { self.lanes_by_shape() });
        Ok(())
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
        let op = self.tables[table].read(group, &[self.map.op], self.selected[segment].as_deref())?;
        let words = op.column(0);
        let text = |row| canon::cell_text(words.as_ref(), row).unwrap_or_else(|| "null".to_owned());
        Ok(self.unknown_ops(words).into_iter().map(|row| (row, text(row))).collect())
    }

    fn unknown_ops(&self, words: &ArrayRef) -> Vec<usize> {
        let codes = self.op_codes(words);
        if codes.contains(&Some(Op::Read)) {
            self.reads.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        (0..codes.len()).filter(|&row| codes[row].is_none()).collect()
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

    /// How many changes a segment has.
    pub fn rows(&self, segment: usize) -> usize {
        let (table, group) = self.segments[segment];
        self.selected[segment].as_ref().map_or_else(|| self.tables[table].rows(group), Vec::len)
    }

    fn place(&self, segment: usize, row: usize) -> (String, u64) {
        let (table, group) = self.segments[segment];
        let (file, first) = self.tables[table].place(group);
        let row = self.selected[segment].as_ref().map_or(row as u64, |s| u64::from(s[row]));
        let path =
            self.tables[table].files().get(file).map_or_else(String::new, |f| f.path.display().to_string());
        (path, first + row)
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
        let batch = self.tables[table].read(group, &columns, chosen.as_deref())?;
        let root = |column: usize| columns.binary_search(&column).ok().map(|at| batch.column(at));
        let count = batch.num_rows();
        // The order alone does not depend on ops, unless initial reads are among them.
        let codes = match root(self.map.op) {
            Some(words) => self.op_codes(words),
            None => vec![Some(Op::Update); count],
        };
        let numbers: Vec<u64> = match &chosen {
            Some(rows) => rows.iter().map(|&r| u64::from(r)).collect(),
            None => (0..count as u64).collect(),
        };
        let (file, first) = self.tables[table].place(group);
        let ordered = want.order || want.provenance;
        let optional = |column: Option<usize>| column.filter(|_| ordered).and_then(root);
        let first_file: usize = self.tables[..table].iter().map(|t| t.files().len()).sum();
        Ok(ChangeBatch {
            before: self.images(&self.map.before, want.before, &codes, &root, true)?,
            after: self.images(&self.map.after, want.after, &codes, &root, false)?,
            committed_at: match optional(self.map.committed_at) {
                Some(times) => self.times(times, segment, &numbers)?,
                None => vec![NO_TIME; count],
            },
            transaction: optional(self.map.transaction).cloned(),
            commit_position: optional(self.map.commit_position)
                .map(|p| self.positions(p, segment, &numbers))
                .transpose()?,
            position: optional(self.map.position)
                .map(|p| self.positions(p, segment, &numbers))
                .transpose()?,
            record: numbers.iter().map(|n| first + n).collect(),
            file: (first_file + file) as u32,
            stream: numbers.iter().map(|n| self.bases[segment] + n).collect(),
            actor: self.map.actor.filter(|_| want.provenance).and_then(root).cloned(),
            // An unknown op changes nothing: a read without an image.
            ops: codes.into_iter().map(|op| op.unwrap_or(Op::Read) as u8).collect(),
        })
    }

    fn op_codes(&self, words: &ArrayRef) -> Vec<Option<Op>> {
        let meaning =
            |text: Option<String>| text.and_then(|t| self.ops.get(&t.trim().to_lowercase()).copied());
        if let DataType::Dictionary(_, _) = words.data_type() {
            let dictionary = words.as_any_dictionary();
            let entries: Vec<Option<Op>> = (0..dictionary.values().len())
                .map(|e| meaning(canon::cell_text(dictionary.values().as_ref(), e)))
                .collect();
            let keys = dictionary.normalized_keys().into_iter().enumerate();
            return keys
                .map(|(row, key)| entries.get(key).copied().flatten().filter(|_| words.is_valid(row)))
                .collect();
        }
        if let DataType::Utf8 = words.data_type() {
            let words = words.as_string::<i32>();
            let letters: Vec<Option<Op>> =
                (0..=u8::MAX).map(|b| meaning(Some(char::from(b).to_string()))).collect();
            let mut known: Vec<(&str, Option<Op>)> = Vec::new();
            let look_up = |row| {
                let word = if words.is_null(row) { "" } else { words.value(row) };
                if let [letter] = word.as_bytes() {
                    return letters[usize::from(*letter)];
                }
                if let Some((_, op)) = known.iter().find(|(w, _)| *w == word) {
                    return *op;
                }
                let op = meaning(Some(word.to_owned()));
                if known.len() < 16 {
                    known.push((word, op));
                }
                op
            };
            return (0..words.len()).map(look_up).collect();
        }
        (0..words.len()).map(|row| meaning(canon::cell_text(words.as_ref(), row))).collect()
    }

    fn images<'a>(
        &self,
        cells: &[Option<Cell>],
        wanted: Columns,
        codes: &[Option<Op>],
        root: &impl Fn(usize) -> Option<&'a ArrayRef>,
        before: bool,
    ) -> Result<Images> {
        let count = codes.len();
        let has = |op: Option<Op>| match op {
            None | Some(Op::Truncate) => false,
            Some(Op::Insert | Op::Read) => !before,
            Some(Op::Delete) => before,
            Some(Op::Update | Op::Upsert) => true,
        };
        let structs = if before { self.map.before_struct } else { self.map.after_struct };
        let nulls = structs.and_then(root).and_then(|s| s.logical_nulls());
        let present: BooleanBuffer =
            (0..count).map(|row| has(codes[row]) && nulls.as_ref().is_none_or(|n| n.is_valid(row))).collect();
        let mut images = Images {
            columns: vec![None; cells.len()],
            present: Some(present),
            states: vec![None; cells.len()],
        };
        for (column, cell) in cells.iter().enumerate().filter(|(c, _)| wanted.includes(&self.schema, *c)) {
            self.image_column(column, *cell, (count, root), &mut images)?;
        }
        Ok(images)
    }

    fn image_column<'a>(
        &self,
        column: usize,
        cell: Option<Cell>,
        (count, root): (usize, &impl Fn(usize) -> Option<&'a ArrayRef>),
        images: &mut Images,
    ) -> Result<()> {
        let data_type = self.schema.data_type(column);
        let Some(array) = cell.and_then(|cell| cell.array(root)) else {
            images.columns[column] = Some(new_null_array(data_type, count));
            images.states[column] = Some(ScalarBuffer::from(vec![CellState::Absent as u8; count]));
            return Ok(());
        };
        let (array, misfits) = exact(&array, data_type);
        let mut states: Option<Vec<u8>> = None;
        if let (Some(missing), false) = (self.missing, self.schema.is_key(column)) {
            let code =
                if missing == MissingCells::Unchanged { CellState::Unchanged } else { CellState::Absent };
            let state = |row| if array.is_null(row) { code as u8 } else { CellState::Known as u8 };
            states = Some((0..count).map(state).collect());
        }
        for row in misfits {
            states.get_or_insert_with(|| vec![0; count])[row] = CellState::Absent as u8;
        }
        images.columns[column] = Some(array);
        images.states[column] = states.map(ScalarBuffer::from);
        Ok(())
    }

    /// Positions as numbers; one that is none would put its change in a wrong place.
    fn positions(&self, array: &ArrayRef, segment: usize, rows: &[u64]) -> Result<Vec<u128>> {
        positions(array).map_err(|row| Error::Malformed {
            path: self.place(segment, 0).0.into(),
            at: At::record(rows[row] + 1),
            expected: "a position that is a number".to_owned(),
            found: canon::cell_text(array.as_ref(), row).unwrap_or_else(|| "null".to_owned()),
            hint: Some("name another column under ledger.columns.position, or repair the record".to_owned()),
        })
    }

    fn times(&self, array: &ArrayRef, segment: usize, rows: &[u64]) -> Result<Vec<i64>> {
        let wrong = |row: usize, found: String, hint: &str| {
            let (path, _) = self.place(segment, 0);
            let column = self.map.committed_at_name.clone();
            Error::Malformed {
                path: path.into(),
                at: At::record(rows[row] + 1).column(column),
                expected: "a commit time".to_owned(),
                found,
                hint: Some(hint.to_owned()),
            }
        };
        let zone_hint = "declare the ledger's `time_zone` in the plan";
        match array.data_type() {
            DataType::Timestamp(unit, zone) => {
                if zone.is_none() && self.zone.is_none() {
                    return Err(wrong(0, "a timestamp without a zone".to_owned(), zone_hint));
                }
                let values = arrow::compute::cast(array, &DataType::Int64)
                    .map_err(Error::arrow(&self.tables[0].files()[0].path))?;
                let values = values.as_primitive::<Int64Type>();
                let scale = scale(unit);
                (0..values.len())
                    .map(|row| {
                        if values.is_null(row) {
                            return Ok(NO_TIME);
                        }
                        let out =
                            || wrong(row, "a time outside the years 1677 to 2262".to_owned(), zone_hint);
                        let nanoseconds = values.value(row).checked_mul(scale).ok_or_else(out)?;
                        match (zone, self.zone) {
                            (None, Some(declared)) => {
                                let local = chrono::DateTime::from_timestamp_nanos(nanoseconds).naive_utc();
                                instant(time::in_zone(local, declared))
                                    .map_err(|found| wrong(row, found, zone_hint))
                            }
                            _ => Ok(nanoseconds),
                        }
                    })
                    .collect()
            }
            data_type if data_type.is_integer() => {
                let values = arrow::compute::cast(array, &DataType::Int64)
                    .map_err(Error::arrow(&self.tables[0].files()[0].path))?;
                let values = values.as_primitive::<Int64Type>();
                let read = |row| if values.is_null(row) { NO_TIME } else { epoch(values.value(row)) };
                Ok((0..values.len()).map(read).collect())
            }
            _ => (0..array.len())
                .map(|row| match canon::cell_text(array.as_ref(), row) {
                    None => Ok(NO_TIME),
                    Some(text) => instant(time::parse_instant(&text, self.zone))
                        .map_err(|why| wrong(row, format!("{text:?} ({why})"), zone_hint)),
                })
                .collect(),
        }
    }
}

/// An hour that occurs twice is taken as the earlier; the cut near it is ambiguous either way.
fn instant(parsed: Result<i64, NotAnInstant>) -> Result<i64, String> {
    match parsed {
        Ok(nanoseconds) => Ok(nanoseconds),
        Err(NotAnInstant::Twice(earlier, _)) => Ok(earlier),
        Err(NotAnInstant::NoZone) => Err("no offset and no declared zone".to_owned()),
        Err(NotAnInstant::Skipped) => Err("a local time that its zone skips".to_owned()),
        Err(NotAnInstant::OutOfRange) => Err("outside the years 1677 to 2262".to_owned()),
        Err(NotAnInstant::Malformed) => Err("not a date and time".to_owned()),
    }
}

fn scale(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Commit clocks tick in this era, so the magnitude of an epoch number tells its unit.
fn epoch(value: i64) -> i64 {
    let scale = match value.unsigned_abs() {
        0..=99_999_999_999 => 1_000_000_000,
        100_000_000_000..=99_999_999_999_999 => 1_000_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000,
        _ => 1,
    };
    value.saturating_mul(scale)
}

/// Positions as numbers, or the row of the first that is none.
fn positions(array: &ArrayRef) -> Result<Vec<u128>, usize> {
    if let (DataType::Int64, 0) = (array.data_type(), array.null_count()) {
        let values = array.as_primitive::<Int64Type>().values();
        return values.iter().enumerate().map(|(row, &v)| u128::try_from(v).map_err(|_| row)).collect();
    }
    if let (DataType::UInt64, 0) = (array.data_type(), array.null_count()) {
        return Ok(array.as_primitive::<UInt64Type>().values().iter().map(|&v| u128::from(v)).collect());
    }
    let read = |row| canon::cell_text(array.as_ref(), row).and_then(|t| super::position::parse_position(&t));
    (0..array.len()).map(|row| read(row).ok_or(row)).collect()
}

/// An array in exactly the column's type, and the rows whose value does not fit it.
fn exact(array: &ArrayRef, data_type: &DataType) -> (ArrayRef, Vec<usize>) {
    if array.data_type() == data_type {
        return (Arc::clone(array), Vec::new());
    }
    if same_values(array.data_type(), data_type) {
        if let Ok(cast) = arrow::compute::cast(array, data_type) {
            return (cast, Vec::new());
        }
    }
    let Some(mut builder) = CellBuilder::new(data_type) else {
        return (new_null_array(data_type, array.len()), (0..array.len()).collect());
    };
    let mut misfits = Vec::new();
    for row in 0..array.len() {
        let pushed = match canon::cell_text(array.as_ref(), row) {
            None => false,
            Some(text) => {
                let fits = builder.push_text(&text).is_ok();
                if !fits {
                    misfits.push(row);
                }
                fits
            }
        };
        if !pushed {
            builder.push_null();
        }
    }
    (builder.finish(), misfits)
}

/// Whether two types hold the same values in other layouts, so that a cast loses nothing.
fn same_values(from: &DataType, to: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let bytes = |t: &DataType| matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    match (from, to) {
        (DataType::Dictionary(_, values), to) => values.as_ref() == to || same_values(values, to),
        (from, to) if text(from) && text(to) || bytes(from) && bytes(to) => true,
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => s == t && p <= q,
        (DataType::Int8 | DataType::Int16 | DataType::Int32, DataType::Int64)
        | (DataType::Int8 | DataType::Int16, DataType::Int32)
        | (DataType::Int8, DataType::Int16) => true,
        _ => false,
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

fn op_words(declared: &[(String, Op)]) -> HashMap<String, Op> {
    let usual: [(&[&str], Op); 6] = [
        (&["i", "c", "insert", "create", "created", "add", "+i"], Op::Insert),
        (&["u", "update", "updated", "modify", "change"], Op::Update),
        (&["d", "delete", "deleted", "remove", "-d"], Op::Delete),
        (&["upsert", "merge", "replace"], Op::Upsert),
        (&["t", "truncate"], Op::Truncate),
        (&["r", "read", "snapshot"], Op::Read),
    ];
    let usual = usual.into_iter().flat_map(|(words, op)| words.iter().map(move |w| ((*w).to_owned(), op)));
    usual.chain(declared.iter().map(|(word, op)| (word.to_lowercase(), *op))).collect()
}
