//! Second pass for one dataset at one cut: what becomes of each key, and where
//! its cells are.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::emit::RecentPieces;
use super::fetch::{FOREIGN, Fetched, NOTHING, Reference, Wanted};
use super::inputs::DatasetInput;
use super::layout::{self, Layout, Placed, Touched};
use super::postings;
use super::progress::Progress;
use super::scan::Histories;
use super::series::Shared;
use super::standing::{Standing, locator, place};
use crate::error::{Error, Result};
use crate::model::canon;
use crate::replay::history::Timeline;
use crate::replay::multiset;
use crate::replay::select::{self, Choice, Cuts, Fate, NO_ROW, Patch, Source, World};
use crate::snapshot::GroupSource;

/// One dataset as of one cut. A [`GroupSource`] of its rows.
pub(super) struct Rebuilt<'a> {
    pub input: &'a DatasetInput,
    pub histories: &'a Histories,
    pub standing: &'a Standing,
    /// All patches, in order of slots.
    pub patches: Vec<Patch>,
    /// Which patches have a row: places in `patches`, by number among them.
    pub present: Vec<u32>,
    /// Per present patch: one choice for the key, one per lane.
    pub choices: Vec<Choice>,
    /// Per choice: where its cells are.
    pub(super) references: Vec<Reference>,
    /// Whether key and lanes of every patch lie together, so that all columns have the same pieces.
    pub(super) is_whole: bool,
    pub fetched: Fetched,
    /// Rows of the current state that stand under another key now.
    pub(super) foreign: Option<RecordBatch>,
    /// The type of each column's cells while they are put together: that of the schema, or packed.
    pub(super) types: Vec<DataType>,
    pub layouts: Vec<Layout>,
    /// Rows undone more often than they exist, in tables without a key.
    pub overdrawn: Vec<multiset::Recount>,
    /// Kept rows of tables without a key that an ambiguous null may have meant instead. Sorted.
    pub doubtful: Vec<u64>,
    /// How many rows are left out as a trusted ledger, complete from birth, never mentions them.
    pub never_mentioned: u64,
    /// Whether nulls of some column may stand for values that the ledger cannot express.
    may_be_ambiguous: bool,
    /// Whether some column is one that postings say nothing of.
    lacks_columns: bool,
    /// Per column, whether it did not exist yet: all of its cells are null, and exact.
    pub(super) unborn: Vec<bool>,
    pub(super) schema: SchemaRef,
    pub(super) recent: RecentPieces,
    /// What this moment has in common with others.
    pub(super) shared: &'a Shared,
}

/// The kernel's view of a dataset.
pub(super) fn world<'a>(
    input: &'a DatasetInput,
    histories: &'a Histories,
    standing: &'a Standing,
    timeline: Timeline<'a>,
    distrusted: &'a [u32],
) -> World<'a> {
    World {
        shards: &histories.shards,
        bases: &histories.bases,
        standing: &standing.rows,
        moves: &histories.moves,
        timeline,
        lanes: input.lanes.count(),
        duplicates: &standing.duplicate_slots,
        null_lanes: &histories.null_lanes,
        distrusted,
    }
}

impl<'a> Rebuilt<'a> {
    /// Selects, fetches and lays out.
    pub(super) fn new<'c>(
        input: &'a DatasetInput,
        histories: &'a Histories,
        standing: &'a Standing,
        (timeline, cuts): (Timeline<'a>, impl Into<Cuts<'c>>),
        distrusted: Option<&[u32]>,
        (shared, progress): (&'a Shared, &dyn Progress),
    ) -> Result<Self> {
        let cuts = cuts.into();
        if let (true, Cuts::One(cut)) = (input.schema.is_keyless(), cuts) {
            return Self::keyless(input, histories, standing, (timeline, cut), (shared, progress));
        }
        let world = world(input, histories, standing, timeline, distrusted.unwrap_or_default());
        let wanted = Wanted::nothing(&input.store);
        let selections: Vec<select::Selection> = (0..histories.shards.len())
            .into_par_iter()
            .with_max_len(1)
            .map(|shard| {
                let selection = select::select(world, shard, cuts);
                wanted.add(&selection.choices);
                selection
            })
            .collect();
        let is_disowned = distrusted.is_some() && input.plan.ledger.from_birth;
        // Putting the selections together is work for one thread; the others read images meanwhile.
        let (fetched, parts) = rayon::join(
            || fetched(input, &wanted, (shared, progress)),
            || Parts::of(selections, input, standing, is_disowned),
        );
        let parts = parts?;
        let never_mentioned = (parts.placed.len() - parts.patches.len()) as u64;
        let rebuilt = Self::assemble(input, histories, standing, (parts, fetched?), shared)?;
        Ok(Self { never_mentioned, ..rebuilt })
    }

    fn keyless(
        input: &'a DatasetInput,
        histories: &'a Histories,
        standing: &'a Standing,
        (timeline, cut): (Timeline<'a>, u32),
        shared: (&'a Shared, &dyn Progress),
    ) -> Result<Self> {
        let mut parts = Parts::default();
        let mut overdrawn = Vec::new();
        let mut copies: Vec<(u32, u64)> = standing.copy_rows.clone();
        copies.sort_unstable();
        for (shard, base) in histories.shards.iter().zip(&histories.bases) {
            for recount in multiset::recount(shard, *base, cut, timeline, &standing.copies) {
                if recount.missing > 0 {
                    overdrawn.push(recount);
                }
                parts.recount(recount, &copies, 1 + input.lanes.count());
            }
        }
        let doubtful = doubtful(input, std::mem::take(&mut parts.left))?;
        let wanted = Wanted::nothing(&input.store);
        wanted.add(&parts.choices);
        let fetched = fetched(input, &wanted, shared)?;
        let mut rebuilt = Self::assemble(input, histories, standing, (parts, fetched), shared.0)?;
        rebuilt.overdrawn = overdrawn;
        rebuilt.doubtful = doubtful;
        Ok(rebuilt)
    }

    fn assemble(
        input: &'a DatasetInput,
        histories: &'a Histories,
        standing: &'a Standing,
        (parts, fetched): (Parts, Fetched),
        shared: &'a Shared,
    ) -> Result<Self> {
        let Parts { patches, choices, placed, .. } = parts;
        let (own_rows, touched) = rayon::join(
            || placed.iter().filter(|p| p.fate == Fate::Present).map(|p| p.row).collect::<Vec<u64>>(),
            || Touched::of(input.table.groups(), &placed),
        );
        drop(placed);
        let mut rebuilt = Self {
            input,
            histories,
            standing,
            present: (0..patches.len() as u32)
                .into_par_iter()
                .filter(|&p| patches[p as usize].fate == Fate::Present)
                .collect(),
            patches,
            references: Vec::new(),
            is_whole: false,
            choices,
            fetched,
            foreign: None,
            types: Vec::new(),
            may_be_ambiguous: (0..input.schema.len()).any(|c| input.lanes.is_ambiguous(c)),
            lacks_columns: (0..input.schema.len()).any(|c| postings::says_nothing_of(input, c)),
            unborn: vec![false; input.schema.len()],
            layouts: Vec::new(),
            overdrawn: Vec::new(),
            doubtful: Vec::new(),
            never_mentioned: 0,
            schema: Arc::clone(input.schema.arrow()),
            recent: RecentPieces::default(),
            shared,
        };
        rebuilt.resolve(&own_rows)?;
        rebuilt.settle_types()?;
        rebuilt.layouts = layout::lay_out(input, standing, touched, |numbers| rebuilt.keys(numbers))?;
        rebuilt.schema = rebuilt.output_schema();
        Ok(rebuilt)
    }

    /// Marks columns that did not exist yet.
    pub(super) fn set_unborn(&mut self, unborn: Vec<bool>) {
        self.unborn = unborn;
        self.schema = self.output_schema();
    }

    /// Whether no column of a lane existed yet.
    pub(super) fn is_unborn(&self, lane: usize) -> bool {
        let mut columns = self.input.lanes.columns(lane).peekable();
        columns.peek().is_some() && columns.all(|column| self.unborn[column])
    }

    /// Entries per present patch in `choices`.
    pub(super) fn stride(&self) -> usize {
        1 + self.input.lanes.count()
    }

    /// Finds where the cells of every choice are. Rows of the current state are
    /// their group's own rows, unless the row stands under another key now.
    fn resolve(&mut self, own_rows: &[u64]) -> Result<()> {
        let stride = self.stride();
        let mut references = vec![NOTHING; self.choices.len()];
        references.par_chunks_mut(stride).zip(self.choices.par_chunks(stride)).zip(own_rows).for_each(
            |((references, choices), &own)| {
                for (reference, choice) in references.iter_mut().zip(choices) {
                    *reference = self.reference_of(choice.source, own);
                }
            },
        );
        let mut foreign: Vec<u64> = Vec::new();
        for reference in references.iter_mut().filter(|r| r.0 == FOREIGN) {
            // Until here it names the slot.
            foreign.push(self.standing.rows[reference.1 as usize]);
            reference.1 = foreign.len() as u32 - 1;
        }
        self.is_whole = references.par_chunks(stride).all(|of| of.iter().all(|r| r == &of[0]));
        self.references = references;
        self.foreign = self.read_foreign(&foreign)?;
        Ok(())
    }

    fn reference_of(&self, source: Source, own: u64) -> Reference {
        match source {
            Source::Before(index) => self.fetched.find(index, false),
            Source::After(index) => self.fetched.find(index, true),
            Source::Nothing => NOTHING,
            Source::Current(slot) => match self.standing.rows[slot as usize] {
                NO_ROW => NOTHING,
                row if row == own => (0, place(row).1 as u32),
                _ => (FOREIGN, slot),
            },
        }
    }

    /// Where the current state and all images of a column are packed alike, its cells stay packed.
    fn settle_types(&mut self) -> Result<()> {
        let packed = |column: usize| -> DataType {
            let own = self.input.table.packed_type(column);
            let alike = self.foreign.is_none()
                && self.fetched.arrays(column).into_iter().flatten().all(|array| array.data_type() == own);
            if alike { own.clone() } else { self.input.schema.data_type(column).clone() }
        };
        self.types = (0..self.input.schema.len()).map(packed).collect();
        self.fetched.bring_to(&self.types).map_err(Error::arrow(self.input.current_path()))
    }

    fn read_foreign(&self, rows: &[u64]) -> Result<Option<RecordBatch>> {
        let all: Vec<usize> = (0..self.input.schema.len()).collect();
        let mut parts = Vec::new();
        for &row in rows {
            let (group, row) = place(row);
            parts.push(self.input.read_current(group, &all)?.slice(row, 1));
        }
        let Some(first) = parts.first() else { return Ok(None) };
        let joined = arrow::compute::concat_batches(&first.schema(), &parts);
        Ok(Some(joined.map_err(Error::arrow(self.input.current_path()))?))
    }

    /// Where a patch's cell of a column is.
    pub(super) fn reference(&self, number: u32, column: usize) -> Reference {
        let lane = self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane);
        self.references[number as usize * self.stride() + lane]
    }

    /// Whether every cell of a patch is stated by a record or by the current row.
    pub(super) fn is_stated(&self, number: u32) -> bool {
        let choices = &self.choices[number as usize * self.stride()..][..self.stride()];
        !self.may_be_ambiguous
            && !self.lacks_columns
            && choices.iter().all(|c| !c.inferred && c.source != Source::Nothing)
    }

    /// How a patch's cell of a column was chosen.
    pub(super) fn choice(&self, number: u32, column: usize) -> Choice {
        let lane = self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane);
        self.choices[number as usize * self.stride() + lane]
    }

    /// Whether the null in a patch's cell of a column stands for a value that is not known.
    pub(super) fn is_unknown(&self, number: u32, column: usize) -> bool {
        let is_ambiguous = || self.fetched.is_ambiguous(self.reference(number, column), column);
        !self.unborn[column] && (self.choice(number, column).source == Source::Nothing || is_ambiguous())
    }

    /// The columns of the snapshot: those of the current state, nullable where a cell may be unknown.
    fn output_schema(&self) -> SchemaRef {
        let stride = self.stride();
        let mut unknown = vec![false; stride];
        for choices in self.choices.chunks(stride) {
            for (unknown, choice) in unknown.iter_mut().zip(choices) {
                *unknown |= choice.source == Source::Nothing;
            }
        }
        let fields = self.input.schema.arrow().fields().iter().enumerate();
        let fields: Vec<Field> = fields
            .map(|(column, field)| {
                let lane = self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane);
                let unknown = unknown[lane] || self.unborn[column];
                let nullable = field.is_nullable() || unknown || self.input.lanes.is_ambiguous(column);
                field.as_ref().clone().with_nullable(nullable)
            })
            .collect();
        Arc::new(Schema::new_with_metadata(fields, self.input.schema.arrow().metadata().clone()))
    }

    /// How many rows the snapshot has.
    pub(super) fn count(&self) -> u64 {
        (0..self.layouts.len()).map(|g| self.rows(g) as u64).sum()
    }
}

/// The wanted images: those that the moments share, if they are among them.
fn fetched(
    input: &DatasetInput,
    wanted: &Wanted,
    (shared, progress): (&Shared, &dyn Progress),
) -> Result<Fetched> {
    match &shared.images {
        Some(images) if images.serves(input, wanted) => Ok(images.clone()),
        _ => Fetched::read(input, wanted, progress),
    }
}

/// Of rows that stay although rows equal to them but for ambiguous nulls come and go, those with such
/// a cell: which one of them the ledger meant is not known.
fn doubtful(input: &DatasetInput, mut left: Vec<u64>) -> Result<Vec<u64>> {
    let columns: Vec<usize> = (0..input.schema.len()).filter(|&c| input.lanes.is_ambiguous(c)).collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    left.sort_unstable();
    let mut found = Vec::new();
    for rows in left.chunk_by(|a, b| place(*a).0 == place(*b).0) {
        let batch = input.read_current(place(rows[0]).0, &columns)?;
        let open = |row: &&u64| {
            let row = place(**row).1;
            batch.columns().iter().any(|c| c.is_null(row) || canon::is_non_finite(c.as_ref(), row))
        };
        found.extend(rows.iter().filter(open));
    }
    Ok(found)
}

/// Rows that a ledger complete from birth never mentions: by its word they never were.
fn never_mentioned(input: &DatasetInput, standing: &Standing) -> Result<Vec<Placed>> {
    let mentioned: HashSet<u64> = standing.rows.iter().copied().collect();
    let mut placed = Vec::new();
    for group in 0..input.table.groups() {
        for row in 0..input.rows_of_current(group)? {
            let row = locator(group, row);
            let stays = mentioned.contains(&row)
                || standing.duplicates.binary_search(&row).is_ok()
                || standing.null_keys.contains(&row);
            if !stays {
                placed.push(Placed { row, fate: Fate::Absent, number: u32::MAX });
            }
        }
    }
    Ok(placed)
}

/// What a rebuild is put together from.
#[derive(Default)]
struct Parts {
    patches: Vec<Patch>,
    choices: Vec<Choice>,
    placed: Vec<Placed>,
    /// Copies that stay of rows with undone changes.
    left: Vec<u64>,
}

impl Parts {
    /// The selections of all shards, one behind the other.
    fn of(
        selections: Vec<select::Selection>,
        input: &DatasetInput,
        standing: &Standing,
        is_disowned: bool,
    ) -> Result<Self> {
        let mut parts = Self::default();
        for selection in selections {
            parts.patches.extend(selection.patches);
            parts.choices.extend(selection.choices);
        }
        let mut number = 0;
        let mut place = |patch: &Patch| {
            let here = if patch.fate == Fate::Present { number } else { u32::MAX };
            number += u32::from(patch.fate == Fate::Present);
            Placed { row: standing.rows[patch.slot as usize], fate: patch.fate, number: here }
        };
        parts.placed = parts.patches.iter().map(&mut place).collect();
        if is_disowned {
            parts.placed.extend(never_mentioned(input, standing)?);
        }
        Ok(parts)
    }

    /// Turns a recount of a distinct row into rows that go (the last copies) or come back.
    fn recount(&mut self, recount: multiset::Recount, copies: &[(u32, u64)], stride: usize) {
        let from = copies.partition_point(|c| c.0 < recount.slot);
        let upto = copies.partition_point(|c| c.0 <= recount.slot);
        let gone = (-recount.change).max(0).min((upto - from) as i64) as usize;
        self.left.extend(copies[from..upto - gone].iter().map(|&(_, row)| row));
        for &(_, row) in &copies[upto - gone..upto] {
            let placed = Placed { row, fate: Fate::Absent, number: u32::MAX };
            self.push(&recount, placed, recount.after);
        }
        for _ in 0..recount.change.max(0) {
            let number = (self.choices.len() / stride) as u32;
            let first = match recount.holder {
                Source::Before(index) | Source::After(index) => index,
                Source::Current(_) | Source::Nothing => u32::MAX,
            };
            self.push(&recount, Placed { row: NO_ROW, fate: Fate::Present, number }, first);
            // Images of a table without key are whole: every lane comes from the same one.
            let choice = Choice { source: recount.holder, inferred: false };
            self.choices.extend(std::iter::repeat_n(choice, stride));
        }
    }

    fn push(&mut self, recount: &multiset::Recount, placed: Placed, first: u32) {
        let &multiset::Recount { slot, refilled, .. } = recount;
        let fate = placed.fate;
        self.patches.push(Patch { slot, fate, first, contradicted: false, refilled });
        self.placed.push(placed);
    }
}
