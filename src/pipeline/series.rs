//! What several moments of one run have in common: decoded once, used at each.
//!
//! Every moment of a series needs the same columns of the current state and
//! images of the same ledger. Both are kept while they fit into a budget; what
//! does not fit is read again at each moment, which changes the time taken and
//! nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef};

use super::fetch::Fetched;
use super::memory::Memory;
use super::progress::Progress;
use super::run::Run;
use super::window;
use crate::error::Result;
use crate::plan::Bound;

/// Bytes kept if nobody limits memory.
const BUDGET: u64 = 1 << 30;
/// Bytes that a cell of an image takes, for a decision made before any is read.
const CELL_BYTES: u64 = 16;

/// What the moments of a series share of one dataset.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The images before all changes that some moment undoes.
    pub(super) images: Option<Fetched>,
    /// The limit on memory, if there is one.
    pub(super) memory: Option<Memory>,
    columns: Mutex<HashMap<(usize, usize), ArrayRef>>,
    room: AtomicU64,
}

impl Shared {
    /// Per dataset, what the moments share; nothing for a single one.
    pub(super) fn of_series(
        run: &Run,
        moments: &[&Bound],
        memory_limit: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Vec<Self>> {
        let datasets = run.inputs.datasets.len();
        let of = |limit| Memory::new(limit, &run.inputs, &run.ordered, moments.len());
        let memory = memory_limit.map(of);
        if moments.len() < 2 {
            return Ok((0..datasets).map(|_| Self { memory, ..Self::default() }).collect());
        }
        let budget = memory.map_or(BUDGET / datasets as u64, |memory| memory.shared());
        let of = |number| Self::of_dataset(run, number, moments, budget, progress);
        (0..datasets).map(|number| Ok(Self { memory, ..of(number)? })).collect()
    }

    fn of_dataset(
        run: &Run,
        number: usize,
        moments: &[&Bound],
        budget: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let input = &run.inputs.datasets[number];
        let order = &run.order(number).order;
        let mut earliest = u32::MAX;
        for bound in moments {
            // A moment that cannot be resolved fails for itself, when its turn comes.
            if let Ok(cut) = window::cut(run.source(number), order, bound, &input.plan.name) {
                earliest = earliest.min(cut.rank);
            }
        }
        let mut shared = Self { room: budget.into(), ..Self::default() };
        let first = order.first_index_from(input.member, earliest).filter(|&i| i < input.store.len());
        let Some((first, _)) = first.map(|index| input.store.locate(index)) else { return Ok(shared) };
        let changes = u64::from(input.store.len() - input.store.first(first));
        let bytes = changes * input.schema.len() as u64 * CELL_BYTES;
        let is_simple = !input.schema.is_keyless() && !input.lanes.is_partial();
        if is_simple && bytes <= budget {
            let images = Fetched::all_before(input, first, progress)?;
            // Packed cells take less than was feared, which leaves room for columns.
            *shared.room.get_mut() = budget.saturating_sub(images.bytes());
            shared.images = Some(images);
        }
        Ok(shared)
    }

    /// Whether columns that one moment decodes are kept for the others.
    pub(super) fn keeps_columns(&self) -> bool {
        self.room.load(Ordering::Relaxed) > 0
    }

    /// A column of a group of the current state, as `read` gives it.
    pub(super) fn column(
        &self,
        place: (usize, usize),
        read: impl FnOnce() -> Result<ArrayRef>,
    ) -> Result<ArrayRef> {
        let columns = || self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = columns().get(&place) {
            return Ok(ArrayRef::clone(known));
        }
        let array = read()?;
        let bytes = array.get_array_memory_size() as u64;
        let taken = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |r| r.checked_sub(bytes));
        if taken.is_ok() {
            columns().insert(place, ArrayRef::clone(&array));
        }
        Ok(array)
    }
}
