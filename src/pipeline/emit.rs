//! Fourth pass: the columns of output groups, put together on demand.
//!
//! A column of a group that no change touched is a chunk of the current state
//! and never decoded. One whose rows stand where they stood is decoded, and is
//! still the same chunk if every cell that a record supplies equals the current
//! one; until a column has shown a change, the rows that records are for are all
//! that is decoded of it. Only what is left is put together and encoded anew.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;

use super::fetch::{FOREIGN, Fetched, NOTHING, Reference, Wanted};
use super::layout::{Layout, Part};
use super::progress::Silent;
use super::rebuild::Rebuilt;
use super::standing::locator;
use crate::error::{Error, Result};
use crate::model::canon;
use crate::read::{Packing, unpacked};
use crate::replay::select::{NO_ROW, Source};
use crate::snapshot::{Assembly, CanCopy, Cells, ChunkOfInput, Gathering, GroupSource, Pieces};

/// Groups under way at a time need no more than this.
const RECENT_MAX: usize = 16;
/// Cells of no more than one row in so many are compared alone.
const SINGLED_OUT_SHARE: usize = 2;

/// Groups whose sources are kept: columns are made group by group.
const RECENT_GROUPS: usize = 4;

/// Pieces of output groups and lanes, made once for all columns of a lane.
#[derive(Debug, Default)]
pub(super) struct RecentPieces {
    pieces: Mutex<VecDeque<OfLane>>,
    sources: Mutex<VecDeque<OfGroup>>,
}

/// Group, lane, and their pieces.
type OfLane = ((usize, usize), Arc<GroupPieces>);

/// Group, and what supplies its patches.
type OfGroup = (usize, Arc<OnceLock<GroupSources>>);

/// Per lane, what supplies the cells of the patches of a group: place among them, and source. Cells that the row
/// supplies over which their patch stands, mostly nearly all of them, are left out.
type GroupSources = Vec<Vec<(u32, Source)>>;

/// Where the cells of some rows come from.
#[derive(Debug, Default)]
struct GroupPieces {
    /// Array 0 is the group's own; the others are those of `named`, in order, from 1.
    pieces: Arc<Pieces>,
    /// The numbers, among all arrays, of those that a piece names. A ledger of many row groups has many
    /// more arrays than a group of the output takes cells from.
    named: Vec<u32>,
}

impl RecentPieces {
    /// The pieces of a group and lane, made if they are not known.
    fn of(&self, key: (usize, usize), make: impl FnOnce() -> GroupPieces) -> Arc<GroupPieces> {
        let lock = || self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = lock().iter().find(|(k, _)| *k == key) {
            return Arc::clone(known);
        }
        let made = Arc::new(make());
        let mut recent = lock();
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((key, Arc::clone(&made)));
        made
    }

    /// What supplies the patches of a group, in a place for it that whoever comes first fills.
    fn sources(&self, group: usize) -> Arc<OnceLock<GroupSources>> {
        let mut recent = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = recent.iter().find(|(of, _)| *of == group) {
            return Arc::clone(known);
        }
        if recent.len() >= RECENT_GROUPS {
            recent.pop_front();
        }
        let place = Arc::default();
        recent.push_back((group, Arc::clone(&place)));
        place
    }
}

/// The patches among the rows of a layout, in order.
fn patches(layout: &Layout) -> impl Iterator<Item = OfPatch> {
    layout.runs().filter_map(|part| match part {
        Part::Patch { number, over, source } => Some((number, over, source)),
        Part::Keep(_) => None,
    })
}

impl Rebuilt<'_> {
    fn lane(&self, column: usize) -> usize {
        if self.is_whole {
            return 0;
        }
        self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane)
    }

    /// The array and row of a cell, given what supplies it and where the current row is that its patch takes
    /// the place of. Arrays: the group's own, images, foreign rows, a null.
    fn cell(&self, images: &Fetched, (source, own): (Source, u64)) -> Reference {
        let count = images.array_count() as u32;
        match self.reference(images, source, own) {
            NOTHING => (2 + count, 0),
            (FOREIGN, row) => (1 + count, row),
            place => place,
        }
    }

    fn pieces(&self, images: &Fetched, group: usize, lane: usize) -> GroupPieces {
        let layout = &self.layouts[group];
        let from = layout.group.unwrap_or(0);
        let own = |row: Option<u32>| row.map_or(NO_ROW, |row| locator(from, row as usize));
        if self.has_one_source {
            let of_row = self.is_key_of_row(lane);
            return pieces_of(layout.runs(), |(_, over, source)| match over {
                Some(row) if of_row => (0, row),
                over => self.cell(images, (source, own(over))),
            });
        }
        if self.is_whole {
            let source = |number| self.source(number, lane);
            return pieces_of(layout.runs(), |(number, over, _)| {
                self.cell(images, (source(number), own(over)))
            });
        }
        let sources = self.recent.sources(group);
        let listed = &sources.get_or_init(|| self.group_sources(layout))[lane];
        let mut listed = listed.iter().copied().peekable();
        let mut next = 0;
        pieces_of(layout.runs(), |(_, over, _)| {
            let place = next;
            next += 1;
            let source = listed.next_if(|(at, _)| *at == place).map(|(_, source)| source);
            match (source, over) {
                (None, Some(row)) => (0, row),
                (source, over) => self.cell(images, (source.unwrap_or(Source::Nothing), own(over))),
            }
        })
    }

    /// What supplies the patches of a group, all lanes of a patch at a time: choices lie all over memory, but
    /// those of one patch together.
    fn group_sources(&self, layout: &Layout) -> GroupSources {
        let mut sources = vec![Vec::new(); 1 + self.input.lanes.count()];
        for (place, (number, over, _)) in (0..).zip(patches(layout)) {
            let own = Source::Current(self.slot(number));
            for (lane, listed) in sources.iter_mut().enumerate() {
                let source = self.source(number, lane);
                if over.is_none() || source != own {
                    listed.push((place, source));
                }
            }
        }
        sources
    }

    /// The arrays that the cells of a column come from: the group's own, those named, and a null that
    /// only tells their type where there are no others.
    fn arrays<'a>(
        &'a self,
        images: &'a Fetched,
        column: usize,
        own: Option<&'a ArrayRef>,
        (named, null): (&[u32], &'a ArrayRef),
    ) -> Vec<Option<&'a ArrayRef>> {
        let count = images.array_count() as u32;
        let array = |&number: &u32| match number.checked_sub(1 + count) {
            None => images.array(number - 1, column),
            Some(0) => self.foreign.as_ref().map(|batch| batch.column(column)),
            Some(_) => Some(null),
        };
        std::iter::once(own).chain(named.iter().map(array)).chain([Some(null)]).collect()
    }

    /// The key columns of present patches without a current row; all columns where there is no key.
    pub(super) fn keys(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let part = |&number: &u32| Part::Patch { number, over: None, source: self.source(number, 0) };
        let columns: Vec<usize> = if self.input.schema.is_keyless() {
            (0..self.input.schema.len()).collect()
        } else {
            self.input.schema.key().to_vec()
        };
        columns
            .into_iter()
            .map(|column| {
                let images = &self.fetched;
                let lane = self.lane(column);
                let cell = |&number: &u32| self.cell(images, (self.source(number, lane), NO_ROW));
                let of = pieces_of(numbers.iter().map(part), |(number, ..)| cell(&number));
                let null = new_null_array(&self.types[column], 1);
                let cells = Gathering::new(self.arrays(images, column, None, (&of.named, &null)), &of.pieces)
                    .and_then(|cells| cells.array())
                    .map_err(Error::arrow(self.input.current_path()))?;
                self.plain(column, &cells)
            })
            .collect()
    }

    fn plain(&self, column: usize, array: &ArrayRef) -> Result<ArrayRef> {
        unpacked(array, self.input.schema.data_type(column)).map_err(Error::arrow(self.input.current_path()))
    }

    /// A column of the group of the current state that an output group comes from.
    fn own(&self, group: usize, column: usize) -> Result<Option<ArrayRef>> {
        self.layouts[group].group.map(|group| self.own_column(group, column)).transpose()
    }

    /// A column of a group of the current state, in the type in which cells are put together.
    pub(super) fn own_column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        let read = || {
            let batch = self.input.read_current_as(group, &[column], Packing::Packed)?;
            Ok(ArrayRef::clone(batch.column(0)))
        };
        let own = unpacked(&self.shared.column((group, column), read)?, &self.types[column]);
        own.map_err(Error::arrow(self.input.current_path()))
    }

    /// A column of an output group, in the type in which cells are put together; `own` is that of the
    /// current state.
    pub(super) fn column_from(
        &self,
        group: usize,
        column: usize,
        own: Option<&ArrayRef>,
    ) -> Result<ArrayRef> {
        if self.unborn[column] {
            return Ok(new_null_array(&self.types[column], self.rows(group)));
        }
        match self.assembly(group, column, own)? {
            Some(parts) => parts
                .gathering()
                .and_then(|cells| cells.array())
                .map_err(Error::arrow(self.input.current_path())),
            None => Ok(own.map_or_else(|| new_null_array(&self.types[column], 0), ArrayRef::clone)),
        }
    }

    /// A column of an output group in parts; `own` is that of the current state. `None`: it is `own`.
    fn assembly(&self, group: usize, column: usize, own: Option<&ArrayRef>) -> Result<Option<Assembly>> {
        let layout = &self.layouts[group];
        if layout.is_untouched() {
            return Ok(None);
        }
        let lane = self.lane(column);
        let images = self.images(group, lane)?;
        let of = self.recent.of((group, lane), || self.pieces(&images, group, lane));
        let null = new_null_array(&self.types[column], 1);
        let arrays = self.arrays(&images, column, own, (&of.named, &null));
        let arrays = arrays.into_iter().map(|array| array.cloned()).collect();
        Ok(Some(Assembly { arrays, pieces: Arc::clone(&of.pieces) }))
    }

    /// Whether every cell that a record supplies is the one of the row that it stands over, all rows standing
    /// where they stood. Only those rows are decoded; `None` where that spares too little.
    fn repeats_own(&self, group: usize, column: usize) -> Result<Option<bool>> {
        let layout = &self.layouts[group];
        let Some(from) = layout.group.filter(|_| !self.shared.keeps_columns()) else { return Ok(None) };
        let lane = self.lane(column);
        let images = self.images(group, lane)?;
        let of = self.recent.of((group, lane), || self.pieces(&images, group, lane));
        if of.pieces.supplied().len() > layout.len() / SINGLED_OUT_SHARE {
            return Ok(None);
        }
        let (rows, alone) = of.pieces.singled_out();
        let own = self.input.read_current_cells((from, &rows), column, Packing::Packed)?;
        let failed = Error::arrow(self.input.current_path());
        let own = unpacked(&own, &self.types[column]).map_err(failed)?;
        let null = new_null_array(&self.types[column], 1);
        let arrays = self.arrays(&images, column, Some(&own), (&of.named, &null));
        let is_own = Gathering::new(arrays, &alone).and_then(|cells| cells.is_array_0());
        is_own.map(Some).map_err(Error::arrow(self.input.current_path()))
    }

    /// The images that cells of a lane of an output group come from.
    fn images(&self, group: usize, lane: usize) -> Result<Fetched> {
        match self.bands.of(group).filter(|_| lane > 0) {
            None => Ok(self.fetched.clone()),
            Some(band) => self.bands.held(band).map_or_else(|| self.read_band(band), Ok),
        }
    }

    /// Reads the images of a band, in the place of those of another.
    fn read_band(&self, band: usize) -> Result<Fetched> {
        self.bands.replace(band, || {
            let wanted = Wanted::nothing(&self.input.store);
            for layout in &self.layouts[self.bands.ranges[band].clone()] {
                for part in layout.runs() {
                    if let Part::Patch { number, .. } = part {
                        wanted.add(self.lanes_of(number));
                    }
                }
            }
            let mut images = Fetched::read(self.input, &wanted, &Silent)?;
            images.bring_to(&self.types).map_err(Error::arrow(self.input.current_path()))?;
            Ok(images)
        })
    }

    /// Whether rows that stand where they stood have the same cell by being the same row.
    fn is_identity(&self, column: usize) -> bool {
        let schema = &self.input.schema;
        let is_plain = self.input.normalise.iter().all(|how| how.is_empty());
        schema.key() == [column] && is_plain && canon::is_ordered_id(schema.data_type(column))
    }

    /// The chunk of the current state that a column of an output group may be.
    fn chunk(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Option<ChunkOfInput<'_>> {
        let layout = &self.layouts[group];
        let from = layout.group.filter(|_| layout.in_place && self.input.scope.is_none())?;
        // Columns that folders state are no columns of the file.
        let group = self.input.table.parquet(from)?;
        let chunk = ChunkOfInput { group, column };
        let in_file = column < group.metadata.file_metadata().schema_descr().root_schema().get_fields().len();
        (in_file && can_copy(&chunk)).then_some(chunk)
    }
}

/// A patch: its number, the row that it stands over, and what supplies its first lane.
type OfPatch = (u32, Option<u32>, Source);

/// The pieces of rows, given where the cell of each patch among them is.
fn pieces_of(rows: impl Iterator<Item = Part>, mut cell: impl FnMut(OfPatch) -> Reference) -> GroupPieces {
    let mut pieces = Pieces::default();
    rows.for_each(|part| match part {
        Part::Keep(rows) => pieces.keep(rows),
        Part::Patch { number, over, source } => {
            let (array, row) = cell((number, over, source));
            pieces.supply(array, row);
        }
    });
    let named = pieces.number_arrays();
    GroupPieces { pieces: Arc::new(pieces), named }
}

impl GroupSource for Rebuilt<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn groups(&self) -> usize {
        self.layouts.len()
    }

    fn rows(&self, group: usize) -> usize {
        self.layouts[group].len()
    }

    fn bands(&self) -> Vec<Range<usize>> {
        match self.bands.ranges.as_slice() {
            [] => std::iter::once(0..self.groups()).collect(),
            bands => bands.to_vec(),
        }
    }

    fn enter(&self, band: &Range<usize>) -> Result<()> {
        let number = self.bands.of(band.start).filter(|&number| self.bands.held(number).is_none());
        number.map_or(Ok(()), |number| self.read_band(number).map(drop))
    }

    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        if self.unborn[column] {
            return Ok(new_null_array(self.input.schema.data_type(column), self.rows(group)));
        }
        let own = self.own(group, column)?;
        self.plain(column, &self.column_from(group, column, own.as_ref())?)
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        if self.unborn[column] {
            return Ok(Cells::Array(self.column(group, column)?));
        }
        let chunk = self.chunk(group, column, can_copy);
        if let Some(chunk) = chunk.filter(|_| self.layouts[group].is_untouched() || self.is_identity(column))
        {
            return Ok(Cells::Chunk(chunk));
        }
        if let (Some(chunk), false) = (chunk, self.has_changed[column].load(Ordering::Relaxed)) {
            match self.repeats_own(group, column)? {
                Some(true) => return Ok(Cells::Chunk(chunk)),
                Some(false) => self.has_changed[column].store(true, Ordering::Relaxed),
                None => {}
            }
        }
        let own = self.own(group, column)?;
        let Some(parts) = self.assembly(group, column, own.as_ref())? else {
            return Ok(Cells::Array(own.unwrap_or_else(|| new_null_array(&self.types[column], 0))));
        };
        let is_own = || parts.gathering()?.is_array_0();
        match chunk {
            Some(chunk) if is_own().map_err(Error::arrow(self.input.current_path()))? => {
                Ok(Cells::Chunk(chunk))
            }
            _ => Ok(Cells::Parts(parts)),
        }
    }
}
