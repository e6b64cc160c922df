//! [`Halves`]: joins the two rows of an update where a ledger has one row per image.
//!
//! Halves belong together where they follow each other in the stream, in one
//! transaction, with the same key or the same position. A half that stays alone
//! becomes a delete or an upsert, which undo to the same.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{concat, take};
use arrow::error::ArrowError;

use crate::model::{CellState, ChangeBatch, Images, Op, TableSchema, canon};

/// Takes the batches of a ledger in order.
#[derive(Debug)]
pub struct Halves<'a> {
    table: &'a TableSchema,
    /// The last half of the batch before, which may have its other half in the next.
    held: Option<ChangeBatch>,
}

/// What a joined change is made of: rows of the batch before joining.
struct Joined {
    op: Op,
    before: Option<u32>,
    after: Option<u32>,
    /// The row whose time, position, record and actor it has.
    meta: u32,
    /// The row whose place in the stream it has.
    first: u32,
}

impl<'a> Halves<'a> {
    /// For the ledger of this table.
    pub fn new(table: &'a TableSchema) -> Self {
        Self { table, held: None }
    }

    /// The next changes, with the halves of updates joined.
    ///
    /// # Errors
    /// What Arrow says against it, for instance that memory ran out.
    pub fn push(&mut self, batch: ChangeBatch) -> Result<Vec<ChangeBatch>, ArrowError> {
        let mut done = Vec::new();
        let batch = match self.held.take() {
            Some(held) if held.file == batch.file => concat_changes(&held, &batch)?,
            Some(held) => {
                done.push(self.join(&held, held.len())?);
                batch
            }
            None => batch,
        };
        let last = batch.len().checked_sub(1).filter(|&row| is_half(&batch, row));
        let keep = last.filter(|&row| self.chain_start(&batch, row).is_multiple_of(2));
        done.push(self.join(&batch, keep.unwrap_or(batch.len()))?);
        if let Some(row) = keep {
            self.held = Some(super::take_changes(&batch, &[row as u32])?);
        }
        Ok(done)
    }

    /// What is left at the end of the ledger.
    ///
    /// # Errors
    /// As [`Halves::push`].
    pub fn finish(&mut self) -> Result<Option<ChangeBatch>, ArrowError> {
        self.held.take().map(|held| self.join(&held, held.len())).transpose()
    }

    /// How many halves before this one are joined in a row, pair by pair: if even, it is still alone.
    fn chain_start(&self, batch: &ChangeBatch, row: usize) -> usize {
        let mut first = row;
        while first > 0 && self.belong(batch, first - 1, first) {
            first -= 1;
        }
        row - first
    }

    fn join(&self, batch: &ChangeBatch, count: usize) -> Result<ChangeBatch, ArrowError> {
        let mut joined = Vec::with_capacity(count);
        let mut row = 0;
        while row < count {
            let pair = row + 1 < count && self.belong(batch, row, row + 1);
            joined.push(one(batch, row, pair));
            row += if pair { 2 } else { 1 };
        }
        let rows = |of: &dyn Fn(&Joined) -> u32| joined.iter().map(of).collect::<Vec<u32>>();
        let mut changes = super::take_changes(batch, &rows(&|j| j.meta))?;
        changes.ops = joined.iter().map(|j| j.op as u8).collect();
        changes.stream = joined.iter().map(|j| batch.stream[j.first as usize]).collect();
        changes.before = side(&batch.before, &joined, |j| j.before)?;
        changes.after = side(&batch.after, &joined, |j| j.after)?;
        Ok(changes)
    }

    /// Whether two rows are the halves of one update.
    fn belong(&self, batch: &ChangeBatch, a: usize, b: usize) -> bool {
        if !is_half(batch, a)
            || !is_half(batch, b)
            || batch.before.is_present(a) == batch.before.is_present(b)
        {
            return false;
        }
        let same = |array: &ArrayRef| canon::cells_equal(array.as_ref(), a, array.as_ref(), b);
        let adjacent = batch.stream[b] - batch.stream[a] == 1;
        adjacent
            && batch.transaction.as_ref().is_none_or(same)
            && (self.same_key(batch, a, b) || batch.position.as_ref().is_some_and(|p| p[a] == p[b]))
    }

    fn same_key(&self, batch: &ChangeBatch, a: usize, b: usize) -> bool {
        let (old, new) = if batch.before.is_present(a) { (a, b) } else { (b, a) };
        let same = |&column: &usize| match (batch.before.column(column), batch.after.column(column)) {
            (Some(before), Some(after)) => canon::cells_equal(before.as_ref(), old, after.as_ref(), new),
            _ => false,
        };
        !self.table.is_keyless() && self.table.key().iter().all(same)
    }
}

fn is_half(batch: &ChangeBatch, row: usize) -> bool {
    batch.ops[row] == Op::Update as u8 && batch.before.is_present(row) != batch.after.is_present(row)
}

fn one(batch: &ChangeBatch, row: usize, pair: bool) -> Joined {
    let (here, next) = (row as u32, row as u32 + 1);
    let before = batch.before.is_present(row).then_some(here);
    let after = batch.after.is_present(row).then_some(here);
    match (pair, before, after) {
        (true, Some(old), _) => {
            Joined { op: Op::Update, before: Some(old), after: Some(next), meta: next, first: here }
        }
        (true, None, _) => {
            Joined { op: Op::Update, before: Some(next), after: Some(here), meta: here, first: here }
        }
        (false, ..) => {
            let op = match Op::from_code(batch.ops[row]) {
                Some(Op::Update) if after.is_none() => Op::Delete,
                Some(Op::Update) if before.is_none() => Op::Upsert,
                op => op.unwrap_or(Op::Read),
            };
            Joined { op, before, after, meta: here, first: here }
        }
    }
}

fn side(
    images: &Images,
    joined: &[Joined],
    row: impl Fn(&Joined) -> Option<u32>,
) -> Result<Images, ArrowError> {
    let rows: Vec<Option<u32>> = joined.iter().map(row).collect();
    let indices = UInt32Array::from(rows.clone());
    let pick =
        |array: &Option<ArrayRef>| array.as_ref().map(|a| take(a.as_ref(), &indices, None)).transpose();
    let state = |states: &ScalarBuffer<u8>, at: usize| {
        let state = rows[at].map_or(0, |row| states[row as usize]);
        let unchanged = state == CellState::Unchanged as u8;
        // Without the other half, nothing could have stayed as it was.
        if unchanged && joined[at].op != Op::Update { CellState::Absent as u8 } else { state }
    };
    let states =
        |states: &ScalarBuffer<u8>| (0..rows.len()).map(|at| state(states, at)).collect::<ScalarBuffer<u8>>();
    Ok(Images {
        columns: images.columns.iter().map(pick).collect::<Result<_, _>>()?,
        present: Some(rows.iter().map(Option::is_some).collect()),
        states: images.states.iter().map(|s| s.as_ref().map(states)).collect(),
    })
}

/// Two batches of one file, one after the other.
fn concat_changes(a: &ChangeBatch, b: &ChangeBatch) -> Result<ChangeBatch, ArrowError> {
    let arrays = |a: &Option<ArrayRef>, b: &Option<ArrayRef>| match (a, b) {
        (Some(a), Some(b)) => concat(&[a.as_ref() as &dyn Array, b.as_ref()]).map(Some),
        _ => Ok(None),
    };
    let images = |x: &Images, y: &Images| -> Result<Images, ArrowError> {
        let present = (0..a.len()).map(|r| x.is_present(r)).chain((0..b.len()).map(|r| y.is_present(r)));
        let states = |x: &Option<ScalarBuffer<u8>>, y: &Option<ScalarBuffer<u8>>| {
            let of = |s: &Option<ScalarBuffer<u8>>, n| s.as_ref().map_or_else(|| vec![0; n], |s| s.to_vec());
            (x.is_some() || y.is_some()).then(|| [of(x, a.len()), of(y, b.len())].concat().into())
        };
        Ok(Images {
            columns: x.columns.iter().zip(&y.columns).map(|(x, y)| arrays(x, y)).collect::<Result<_, _>>()?,
            present: Some(present.collect::<BooleanBuffer>()),
            states: x.states.iter().zip(&y.states).map(|(x, y)| states(x, y)).collect(),
        })
    };
    fn chained<T: Copy>(a: &[T], b: &[T]) -> Vec<T> {
        [a, b].concat()
    }
    let positions =
        |a: &Option<Vec<u128>>, b: &Option<Vec<u128>>| a.as_ref().zip(b.as_ref()).map(|(a, b)| chained(a, b));
    Ok(ChangeBatch {
        ops: chained(&a.ops, &b.ops),
        before: images(&a.before, &b.before)?,
        after: images(&a.after, &b.after)?,
        committed_at: chained(&a.committed_at, &b.committed_at),
        transaction: arrays(&a.transaction, &b.transaction)?,
        commit_position: positions(&a.commit_position, &b.commit_position),
        position: positions(&a.position, &b.position),
        record: chained(&a.record, &b.record),
        file: b.file,
        stream: chained(&a.stream, &b.stream),
        actor: arrays(&a.actor, &b.actor)?,
    })
}
