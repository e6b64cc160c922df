//! Untyped blocks of text records → a spooled table of typed columns.
//!
//! Files are read twice: once to see what kinds of texts each column has, once to
//! build the columns. Small ones are kept in between, and columns that are all
//! declared need no first pass. Within a
//! block, columns are independent of each other and worked on in parallel.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::block::Block;
use super::cell::{CellBuilder, CellOptions, Misfit};
use super::group::Group;
use super::infer::{Evidence, TypeDecision};
use super::input::InputFile;
use super::source::TableSource;
use super::{Spool, SpoolWriter, SpooledTable};
use crate::error::{At, Error, Result};
use crate::model::{CellDifference, CurrentPlace, Discrepancy, DiscrepancyKind};

/// Findings of one kind in one column beyond this many are only counted.
const SAMPLE: u64 = 100;
/// How much untyped text may be kept between the passes, in bytes.
const KEPT: usize = 64 << 20;

/// The records of one text file.
pub(crate) trait TextReader {
    /// The columns seen so far.
    fn names(&self) -> &[String];
    /// The next records; `None` at the end.
    fn next_block(&mut self) -> Result<Option<Block>>;
}

/// How cells are written.
#[derive(Debug, Clone)]
pub(crate) enum Notation {
    /// As fields, where this unquoted text is null.
    Fields { null: Option<String> },
    /// As raw JSON values.
    Json,
}

/// A text table, read.
pub(crate) struct TypedTable {
    pub(crate) schema: SchemaRef,
    pub(crate) spooled: SpooledTable,
    pub(crate) groups: Vec<Group>,
    pub(crate) decisions: Vec<TypeDecision>,
    pub(crate) discrepancies: Vec<Discrepancy>,
}

/// Opens one of the files; `names` are the columns known from files before it.
pub(crate) type Open<'a> = dyn Fn(&InputFile, &[String]) -> Result<Box<dyn TextReader>> + 'a;

/// Reads all files of a text table.
pub(crate) fn read(
    files: &[InputFile],
    source: &TableSource,
    notation: &Notation,
    spool: &Spool,
    open: &Open<'_>,
) -> Result<TypedTable> {
    let Seen { decisions, blocks } = decide(files, source, notation, open)?;
    let fields: Vec<Field> =
        decisions.iter().map(|d| Field::new(&d.column, d.data_type.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let names: Vec<String> = decisions.iter().map(|d| d.column.clone()).collect();
    let options = CellOptions { zone: source.time_zone, ..CellOptions::default() };
    let columns = Columns { schema: &schema, notation, options, verbatim: source.as_text };
    let writer = spool.create(Arc::clone(&schema))?;
    let mut target = Target { columns, writer, groups: Vec::new(), findings: Findings::default() };
    match blocks {
        Some(blocks) => blocks.into_iter().try_for_each(|(n, block)| target.push(n, &files[n], block))?,
        None => {
            for (number, file) in files.iter().enumerate() {
                let mut reader = open(file, &names)?;
                while let Some(block) = reader.next_block()? {
                    target.push(number, file, block)?;
                }
            }
        }
    }
    let Target { writer, groups, findings, .. } = target;
    Ok(TypedTable { schema, spooled: writer.finish()?, groups, decisions, discrepancies: findings.finish() })
}

/// Where typed batches go.
struct Target<'a> {
    columns: Columns<'a>,
    writer: SpoolWriter,
    groups: Vec<Group>,
    findings: Findings,
}

impl Target<'_> {
    fn push(&mut self, number: usize, file: &InputFile, block: Block) -> Result<()> {
        self.findings.set_aside(file, &block);
        if block.rows == 0 {
            return Ok(());
        }
        self.writer.push(&self.columns.batch(&block, file, &mut self.findings)?)?;
        let (first, rows, index) = (block.first, block.rows, self.groups.len());
        self.groups.push(Group { file: number, first, gaps: block.gaps, rows, index });
        Ok(())
    }
}

/// What the first pass finds.
struct Seen {
    decisions: Vec<TypeDecision>,
    /// All blocks with the number of their file, if they are small enough to be kept.
    blocks: Option<Vec<(usize, Block)>>,
}

/// The type of every column: declared, or from what its texts are.
fn decide(files: &[InputFile], source: &TableSource, notation: &Notation, open: &Open<'_>) -> Result<Seen> {
    let mut names: Vec<String> = Vec::new();
    let mut evidence: Vec<Evidence> = Vec::new();
    let mut kept = Kept { blocks: Some(Vec::new()), memory: 0 };
    let is_declared = |name: &String| source.as_text || source.types.iter().any(|(n, _)| n == name);
    for (number, file) in files.iter().enumerate() {
        let mut reader = open(file, &names)?;
        // Fields have fixed columns: if all are declared, nothing remains to be seen.
        if matches!(notation, Notation::Fields { .. }) && reader.names().iter().all(is_declared) {
            kept.blocks = None;
        } else {
            while let Some(block) = reader.next_block()? {
                let seen: Vec<Evidence> =
                    (0..block.columns.len()).into_par_iter().map(|c| see(&block, c, notation)).collect();
                evidence.resize(evidence.len().max(seen.len()), Evidence::default());
                evidence.iter_mut().zip(seen).for_each(|(all, part)| all.merge(part));
                kept.keep(number, block);
            }
        }
        names = reader.names().to_vec();
    }
    evidence.resize(names.len(), Evidence::default());
    check_declared(files, source, &names)?;
    let decisions = names.into_iter().zip(evidence).map(|(n, e)| decision(n, &e, source)).collect();
    Ok(Seen { decisions, blocks: kept.blocks })
}

fn decision(column: String, evidence: &Evidence, source: &TableSource) -> TypeDecision {
    let as_text = source.as_text.then_some(DataType::Utf8);
    let declared = source.types.iter().find(|(n, _)| *n == column).map(|(_, t)| t.clone()).or(as_text);
    let is_declared = declared.is_some();
    let (data_type, reason) = match declared {
        Some(data_type) => (data_type, "declared in the plan".to_owned()),
        None => evidence.decide(source.numeric.contains(&column)),
    };
    TypeDecision { column, data_type, declared: is_declared, reason }
}

/// Blocks of the first pass, kept for the second as long as they are small together.
struct Kept {
    blocks: Option<Vec<(usize, Block)>>,
    memory: usize,
}

impl Kept {
    fn keep(&mut self, file: usize, block: Block) {
        self.memory += block.memory();
        if self.memory > KEPT {
            self.blocks = None;
        }
        if let Some(blocks) = &mut self.blocks {
            blocks.push((file, block));
        }
    }
}

fn check_declared(files: &[InputFile], source: &TableSource, names: &[String]) -> Result<()> {
    let path = files.first().map(|f| f.path.clone()).unwrap_or_default();
    for (name, data_type) in &source.types {
        if !names.contains(name) {
            let near = crate::error::nearest(name, names.iter().map(String::as_str));
            let hint = near
                .map_or_else(|| format!("columns: {}", names.join(", ")), |n| format!("did you mean {n:?}?"));
            return Err(Error::Malformed {
                path,
                at: At::default().column(name),
                expected: "the column whose type the plan declares".to_owned(),
                found: "none of this name".to_owned(),
                hint: Some(hint),
            });
        }
        if CellBuilder::new(data_type).is_none() {
            return Err(Error::Unsupported {
                path,
                feature: format!("type {data_type} of column {name:?} in a text file"),
                hint: Some("declare it as text, or convert the file to Parquet".to_owned()),
            });
        }
    }
    Ok(())
}

fn see(block: &Block, column: usize, notation: &Notation) -> Evidence {
    let mut evidence = Evidence::default();
    for value in &block.columns[column] {
        let (text, record) = (block.text(value), || block.record(value.row as usize));
        match notation {
            Notation::Json => evidence.see_json(text, record),
            Notation::Fields { null } if is_null(text, value.quoted, null.as_deref(), false) => {}
            Notation::Fields { .. } => evidence.see(text, record),
        }
    }
    evidence
}

/// Whether a field is null: the marker, or an empty field where none is declared
/// and the column is not text.
fn is_null(text: &str, quoted: bool, marker: Option<&str>, is_text: bool) -> bool {
    match marker {
        Some(marker) => !quoted && text == marker,
        None => text.is_empty() && !is_text,
    }
}

/// Builds the columns of blocks.
struct Columns<'a> {
    schema: &'a SchemaRef,
    notation: &'a Notation,
    options: CellOptions,
    /// JSON objects and arrays in text columns keep their blanks.
    verbatim: bool,
}

/// A value that did not fit: its row, and why.
type Lost = (usize, Misfit);

impl Columns<'_> {
    fn batch(&self, block: &Block, file: &InputFile, findings: &mut Findings) -> Result<RecordBatch> {
        let columns: Vec<(ArrayRef, Vec<Lost>)> = (0..self.schema.fields().len())
            .into_par_iter()
            .map(|c| self.column(block, c, file))
            .collect::<Result<_>>()?;
        let mut arrays = Vec::with_capacity(columns.len());
        for (number, (array, lost)) in columns.into_iter().enumerate() {
            for (row, misfit) in lost {
                findings.lossy(file, block.record(row), self.schema.field(number).name(), &misfit);
            }
            arrays.push(array);
        }
        RecordBatch::try_new(Arc::clone(self.schema), arrays).map_err(Error::arrow(&file.path))
    }

    fn column(&self, block: &Block, column: usize, file: &InputFile) -> Result<(ArrayRef, Vec<Lost>)> {
        let data_type = self.schema.field(column).data_type();
        let Some(mut cells) = CellBuilder::with_options(data_type, &self.options) else {
            let feature = format!("type {data_type} in a text file");
            return Err(Error::Unsupported { path: file.path.clone(), feature, hint: None });
        };
        let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let mut lost = Vec::new();
        for value in block.columns.get(column).map_or(&[][..], Vec::as_slice) {
            let (text, row) = (block.text(value), value.row as usize);
            // Records may leave members out.
            (cells.len()..row).for_each(|_| cells.push_null());
            let pushed = match self.notation {
                Notation::Json if self.verbatim && text.starts_with(['{', '[']) => cells.push_text(text),
                Notation::Json => cells.push_json(text),
                Notation::Fields { null } if is_null(text, value.quoted, null.as_deref(), is_text) => {
                    cells.push_null();
                    Ok(())
                }
                Notation::Fields { .. } => cells.push_text(text),
            };
            if let Err(misfit) = pushed {
                cells.push_null();
                lost.push((row, misfit));
            }
        }
        (cells.len()..block.rows).for_each(|_| cells.push_null());
        Ok((cells.finish(), lost))
    }
}

/// Discrepancies of a text table: a sample of each kind and column, and how many more.
#[derive(Default)]
struct Findings {
    kept: Vec<Discrepancy>,
    counts: BTreeMap<(DiscrepancyKind, String), (u64, usize)>,
}

impl Findings {
    fn set_aside(&mut self, file: &InputFile, block: &Block) {
        for aside in &block.set_aside {
            let place = format!("record {}, line {}", aside.record, aside.line);
            let message = format!("{place}: {}; the record is set aside", aside.message);
            self.add(DiscrepancyKind::UnparsableRecord, file, aside.record, "", message);
        }
    }

    fn lossy(&mut self, file: &InputFile, record: u64, column: &str, misfit: &Misfit) {
        let message = format!("record {record}, column {column:?}: {misfit}; the cell is taken as null");
        if let Some(found) = self.add(DiscrepancyKind::LossyValue, file, record, column, message) {
            let (expected, value) = (Some(misfit.expected.clone()), Some(misfit.found.clone()));
            found.cells.push(CellDifference { column: column.to_owned(), expected, found: value });
        }
    }

    fn add(
        &mut self,
        kind: DiscrepancyKind,
        file: &InputFile,
        record: u64,
        column: &str,
        message: String,
    ) -> Option<&mut Discrepancy> {
        let last = self.kept.len();
        let (count, at) = self.counts.entry((kind, column.to_owned())).or_insert((0, last));
        *count += 1;
        if *count > SAMPLE {
            // The last of the sample stands for all that follow.
            self.kept[*at].count += 1;
            return None;
        }
        *at = last;
        let mut found = Discrepancy::new(kind, "", message);
        found.current = Some(CurrentPlace { file: file.path.display().to_string(), row: record });
        self.kept.push(found);
        self.kept.last_mut()
    }

    fn finish(mut self) -> Vec<Discrepancy> {
        for d in self.kept.iter_mut().filter(|d| d.count > 1) {
            d.message = format!("{} (and {} more like it)", d.message, d.count - 1);
        }
        self.kept
    }
}
