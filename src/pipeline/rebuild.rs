//! Second pass for one dataset at one cut: what becomes of each key, and where
//! its cells are.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::bands::{self, Bands, Sizes};
use super::emit::RecentPieces;
use super::fetch::{FOREIGN, Fetched, NOTHING, Reference, Wanted};
use super::inputs::DatasetInput;
use super::layout::{self, Layout, Touched};
use super::memory::Held;
use super::postings;
use super::progress::{Progress, Silent};
use super::scan::Histories;
use super::selected::{FirstFact, Selected};
use super::series::Shared;
use super::standing::{Standing, place};
use crate::error::{Error, Result};
use crate::ledger::want::Columns;
use crate::model::canon;
use crate::replay::history::Timeline;
use crate::replay::multiset;
use crate::replay::select::{self, Choice, Cuts, Fate, NO_ROW, Patch, Source, World};
use crate::replay::shard::Shard;
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
    /// Per present patch: one choice for the key, one per lane; a single one where all patches have the
    /// same for all of them.
    choices: Vec<Choice>,
    /// Entries per present patch in `choices`.
    stride: usize,
    /// Whether key and lanes of every patch lie together, so that all columns have the same pieces. Not looked
    /// at where one choice per patch tells all.
    pub(super) is_whole: bool,
    /// Whether what supplies the lanes of every patch is one and the same, and stands in the layout. It supplies
    /// the key too, or does so unless `keys_by_row`.
    pub(super) has_one_source: bool,
    /// Whether the key of each patch whose row stands is that of the row.
    keys_by_row: bool,
    pub fetched: Fetched,
    /// Rows of the current state that stand under another key now.
    pub(super) foreign: Option<RecordBatch>,
    /// The slots of these rows, in their order. Sorted.
    foreign_slots: Vec<u32>,
    /// The type of each column's cells while they are put together: that of the schema, or packed.
    pub(super) types: Vec<DataType>,
    pub layouts: Vec<Layout>,
    /// In which groups of these images are read, if not all at once.
    pub(super) bands: Bands,
    /// Changes undone by op, if they were counted in passes.
    pub(super) undone: Option<Vec<u64>>,
    /// The first facts of keys without any row, if facts were gone through in passes.
    firsts: Vec<FirstFact>,
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
    /// Per column, whether some cell of it was seen to differ from the current one.
    pub(super) has_changed: Vec<AtomicBool>,
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
        let select = |world: World<'_>, shards: Range<usize>| -> Vec<select::Selection> {
            let one = |shard| {
                let selection = select::select(world, shard, cuts);
                wanted.add(&selection.choices);
                selection
            };
            shards.into_par_iter().with_max_len(1).map(one).collect()
        };
        if let Some(passes) = &histories.passes {
            let mut parts = Selected { undone: Some(Vec::new()), ..Selected::default() };
            for range in &passes.ranges {
                let part = passes.load(input, range)?;
                let selections = select(World { shards: &part.shards, ..world }, range.clone());
                let from = parts.patches.len();
                parts.add(selections, input, standing);
                parts.note_pass(&part, (world, cuts), from);
            }
            return Self::assemble(input, histories, standing, (parts, Wants::All(&wanted)), shared);
        }
        let selections = select(world, 0..histories.shards.len());
        let is_disowned = distrusted.is_some() && input.plan.ledger.from_birth;
        if shared.memory.is_some() {
            let parts = Selected::of(selections, input, standing, is_disowned)?;
            return Self::assemble(input, histories, standing, (parts, Wants::All(&wanted)), shared);
        }
        // Putting the selections together is work for one thread; the others read images meanwhile.
        let (fetched, parts) = rayon::join(
            || fetched(input, &wanted, (shared, progress)),
            || Selected::of(selections, input, standing, is_disowned),
        );
        Self::assemble(input, histories, standing, (parts?, Wants::Fetched(fetched?)), shared)
    }

    fn keyless(
        input: &'a DatasetInput,
        histories: &'a Histories,
        standing: &'a Standing,
        (timeline, cut): (Timeline<'a>, u32),
        shared: (&'a Shared, &dyn Progress),
    ) -> Result<Self> {
        let mut parts = Selected::default();
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
        let images = Wants::Fetched(fetched);
        let mut rebuilt = Self::assemble(input, histories, standing, (parts, images), shared.0)?;
        rebuilt.overdrawn = overdrawn;
        rebuilt.doubtful = doubtful;
        Ok(rebuilt)
    }

    fn assemble(
        input: &'a DatasetInput,
        histories: &'a Histories,
        standing: &'a Standing,
        (parts, images): (Selected, Wants<'_>),
        shared: &'a Shared,
    ) -> Result<Self> {
        let never_mentioned = parts.never_mentioned.len() as u64;
        let stride = if parts.keys_by_row { 1 } else { 1 + input.lanes.count() };
        let touched = Touched::of(input.table.groups(), parts.placed(standing, stride));
        let Selected { patches, choices, keys_by_row, undone, firsts, .. } = parts;
        let mut rebuilt = Self {
            input,
            histories,
            standing,
            present: (0..patches.len() as u32)
                .into_par_iter()
                .filter(|&p| patches[p as usize].fate == Fate::Present)
                .collect(),
            patches,
            is_whole: false,
            has_one_source: keys_by_row,
            keys_by_row,
            choices,
            stride,
            fetched: Fetched::default(),
            foreign: None,
            foreign_slots: Vec::new(),
            types: Vec::new(),
            may_be_ambiguous: (0..input.schema.len()).any(|c| input.lanes.is_ambiguous(c)),
            lacks_columns: (0..input.schema.len()).any(|c| postings::says_nothing_of(input, c)),
            unborn: vec![false; input.schema.len()],
            layouts: Vec::new(),
            bands: Bands::default(),
            undone,
            firsts,
            overdrawn: Vec::new(),
            doubtful: Vec::new(),
            never_mentioned,
            schema: Arc::clone(input.schema.arrow()),
            recent: RecentPieces::default(),
            has_changed: (0..input.schema.len()).map(|_| AtomicBool::new(false)).collect(),
            shared,
        };
        rebuilt.resolve()?;
        let banded = rebuilt.take_images(images, touched.restored())?;
        rebuilt.layouts = layout::lay_out(input, standing, touched, |numbers| rebuilt.keys(numbers))?;
        if let Some((sizes, room)) = banded {
            rebuilt.set_bands(&sizes, room)?;
        }
        rebuilt.schema = rebuilt.output_schema();
        Ok(rebuilt)
    }

    /// Takes or reads the images. Where memory has no room for all of them, reads the keys of restored rows
    /// alone, and says how large images are and how much room there is for them.
    fn take_images(&mut self, images: Wants<'_>, restored: &[u32]) -> Result<Option<(Sizes, u64)>> {
        let wanted = match images {
            Wants::Fetched(fetched) => {
                self.fetched = fetched;
                self.settle_types(&[])?;
                return Ok(None);
            }
            Wants::All(wanted) => wanted,
        };
        let sizes = Sizes::of(self.input, wanted)?;
        let held = self.held();
        let room = self.shared.memory.map_or(u64::MAX, |memory| memory.room_for_images(held));
        if sizes.whole() <= room || self.may_be_ambiguous {
            if let Some(memory) = self.shared.memory {
                memory.check(self.input, held, sizes.whole())?;
            }
            self.fetched = fetched(self.input, wanted, (self.shared, &Silent))?;
            self.settle_types(&[])?;
            return Ok(None);
        }
        let keys = Wanted::nothing(&self.input.store);
        restored.iter().for_each(|&number| keys.add(&self.choices_of(number)[..1]));
        self.fetched = Fetched::read_columns(self.input, &keys, Columns::Key, &Silent)?;
        self.is_whole = false;
        self.settle_types(&sizes.packed)?;
        Ok(Some((sizes, room)))
    }

    /// Cuts the output groups into bands whose images there is room for.
    fn set_bands(&mut self, sizes: &Sizes, room: u64) -> Result<()> {
        let images: Vec<u64> =
            self.layouts.iter().map(|layout| bands::images_of(layout, |n| self.lanes_of(n))).collect();
        let bands = Bands::new(&self.layouts, &images, sizes, room);
        let of = |band: &Range<usize>| sizes.fixed + sizes.image * images[band.clone()].iter().sum::<u64>();
        let most = bands.ranges.iter().map(of).max().unwrap_or(0);
        if let Some(memory) = self.shared.memory {
            memory.check(self.input, self.held(), most)?;
        }
        self.bands = bands;
        Ok(())
    }

    /// What is held beside the images.
    fn held(&self) -> Held {
        let count = |of: fn(&Shard) -> usize| self.histories.shards.iter().map(|s| of(s) as u64).sum();
        let facts: u64 = count(|shard| shard.facts.len());
        let hashes: u64 = count(|shard| shard.facts.hash_count());
        // No pass is under way while images are.
        let passes = self.histories.passes.as_ref();
        Held {
            facts,
            passed: passes
                .map_or(0, |p| u64::from(self.input.store.len().saturating_sub(p.options.from_rank))),
            hashed: hashes.div_ceil(2 * facts.max(1)),
            touched: self.histories.slots() as u64,
            choices: self.choices.len() as u64,
        }
    }

    /// The choices of a present patch: that of the key, then those of the lanes, or one for all.
    fn choices_of(&self, number: u32) -> &[Choice] {
        &self.choices[number as usize * self.stride..][..self.stride]
    }

    /// The choices of a present patch for its lanes, or one for all.
    pub(super) fn lanes_of(&self, number: u32) -> &[Choice] {
        &self.choices_of(number)[usize::from(self.stride > 1)..]
    }

    /// What supplies the first lane of a present patch, as its layout has it.
    pub(super) fn source_of_lanes(&self, number: u32) -> Source {
        self.lanes_of(number)[0].source
    }

    /// The slot of a present patch.
    pub(super) fn slot(&self, number: u32) -> u32 {
        self.patches[self.present[number as usize] as usize].slot
    }

    /// How a patch's cells of a lane (0: the key) were chosen.
    pub(super) fn choice_of_lane(&self, number: u32, lane: usize) -> Choice {
        if lane == 0 && self.keys_by_row {
            let slot = self.slot(number);
            if self.standing.rows[slot as usize] != NO_ROW {
                return Choice { source: Source::Current(slot), inferred: false };
            }
        }
        self.choices_of(number)[if self.stride > 1 { lane } else { 0 }]
    }

    /// Whether the key of a patch that takes the place of a row is that row's.
    pub(super) fn is_key_of_row(&self, lane: usize) -> bool {
        lane == 0 && self.keys_by_row
    }

    /// Index of the first change of a key that has no row, and whether its before image has the key.
    pub(super) fn first_fact(&self, slot: u32) -> (u32, bool) {
        if let Ok(at) = self.firsts.binary_search_by_key(&slot, |first| first.slot) {
            return (self.firsts[at].index, self.firsts[at].before);
        }
        let (shard, key) = self.histories.of_slot(slot);
        FirstFact::of(&self.histories.shards[shard], key)
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

    /// Finds out whether the cells of each patch lie together, and reads what lies under other keys.
    fn resolve(&mut self) -> Result<()> {
        if !self.has_one_source {
            let is_whole = |of: &[Choice]| of.iter().all(|choice| choice.source == of[0].source);
            self.is_whole = self.choices.par_chunks(self.stride).all(is_whole);
            let is_one = |of: &[Choice]| of.iter().all(|choice| choice == &of[0]);
            if self.is_whole && self.choices.par_chunks(self.stride).all(is_one) {
                self.keep_one_choice();
            }
        }
        if self.histories.moves.is_empty() {
            return Ok(());
        }
        let standing = self.standing;
        let mut slots: Vec<u32> = Vec::new();
        for (&patch, choices) in self.present.iter().zip(self.choices.chunks(self.stride)) {
            let own = self.patches[patch as usize].slot;
            let foreign = choices.iter().filter_map(|choice| match choice.source {
                Source::Current(slot) if slot != own && standing.rows[slot as usize] != NO_ROW => Some(slot),
                _ => None,
            });
            slots.extend(foreign);
        }
        slots.sort_unstable();
        slots.dedup();
        let rows: Vec<u64> = slots.iter().map(|&slot| standing.rows[slot as usize]).collect();
        self.foreign = self.read_foreign(&rows)?;
        self.foreign_slots = slots;
        Ok(())
    }

    /// What supplies a patch's cell of a lane (0: the key).
    pub(super) fn source(&self, number: u32, lane: usize) -> Source {
        self.choice_of_lane(number, lane).source
    }

    /// Where a cell is, given what supplies it and where its patch's own current row is.
    pub(super) fn reference(&self, images: &Fetched, source: Source, own: u64) -> Reference {
        match source {
            Source::Before(index) => images.find(index, false),
            Source::After(index) => images.find(index, true),
            Source::Nothing => NOTHING,
            Source::Current(slot) => match self.standing.rows[slot as usize] {
                NO_ROW => NOTHING,
                row if row == own => (0, place(row).1 as u32),
                _ => (FOREIGN, self.foreign_slots.partition_point(|&foreign| foreign < slot) as u32),
            },
        }
    }

    /// Where the current state and all images of a column are packed alike, its cells stay packed. `others`
    /// says of images that are not here yet whether they are.
    fn settle_types(&mut self, others: &[bool]) -> Result<()> {
        let packed = |column: usize| -> DataType {
            let own = self.input.table.packed_type(column);
            let alike = self.foreign.is_none()
                && others.get(column).is_none_or(|packed| *packed)
                && self.fetched.arrays(column).into_iter().flatten().all(|array| array.data_type() == own);
            if alike { own.clone() } else { self.input.schema.data_type(column).clone() }
        };
        self.types = (0..self.input.schema.len()).map(packed).collect();
        self.fetched.bring_to(&self.types).map_err(Error::arrow(self.input.current_path()))
    }

    /// Keeps one choice of each patch alone, as all are alike: the less there is of them the better.
    fn keep_one_choice(&mut self) {
        let count = self.choices.len() / self.stride;
        (0..count).for_each(|number| self.choices[number] = self.choices[number * self.stride]);
        self.choices.truncate(count);
        self.choices.shrink_to_fit();
        (self.stride, self.has_one_source) = (1, true);
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

    /// Whether a patch's cell of a column is a null that may stand for a value that is not known.
    pub(super) fn is_ambiguous(&self, number: u32, column: usize) -> bool {
        let image = match self.choice(number, column).source {
            _ if !self.may_be_ambiguous => return false,
            Source::Before(index) => self.fetched.find(index, false),
            Source::After(index) => self.fetched.find(index, true),
            Source::Current(_) | Source::Nothing => return false,
        };
        self.fetched.is_ambiguous(image, column)
    }

    /// Whether every cell of a patch is stated by a record or by the current row.
    pub(super) fn is_stated(&self, number: u32) -> bool {
        let choices = self.choices_of(number);
        !self.may_be_ambiguous
            && !self.lacks_columns
            && choices.iter().all(|c| !c.inferred && c.source != Source::Nothing)
    }

    /// How a patch's cell of a column was chosen.
    pub(super) fn choice(&self, number: u32, column: usize) -> Choice {
        self.choice_of_lane(number, self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane))
    }

    /// Whether the null in a patch's cell of a column stands for a value that is not known.
    pub(super) fn is_unknown(&self, number: u32, column: usize) -> bool {
        let is_nothing = || self.choice(number, column).source == Source::Nothing;
        !self.unborn[column] && (is_nothing() || self.is_ambiguous(number, column))
    }

    /// The columns of the snapshot: those of the current state, nullable where a cell may be unknown.
    fn output_schema(&self) -> SchemaRef {
        let stride = self.stride;
        let note = |mut unknown: Vec<bool>, choices: &[Choice]| {
            let nothing = choices.iter().map(|choice| choice.source == Source::Nothing);
            unknown.iter_mut().zip(nothing).for_each(|(unknown, nothing)| *unknown |= nothing);
            unknown
        };
        let either = |a: Vec<bool>, b: Vec<bool>| a.into_iter().zip(b).map(|(a, b)| a | b).collect();
        let none = || vec![false; stride];
        let mut unknown = self.choices.par_chunks(stride).fold(none, note).reduce(none, either);
        let one = unknown[0];
        unknown.resize(1 + self.input.lanes.count(), one);
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

/// Images that are here, or those that shall be.
enum Wants<'a> {
    Fetched(Fetched),
    All(&'a Wanted),
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
