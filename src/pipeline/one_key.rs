//! One key's changes and their order, where neither needs the whole ledger.
//!
//! Which changes name a key, the key's column tells. Where they stand among each
//! other, and which of them share a transaction, follows from the marks of all
//! changes; but where positions rise from change to change and ids of
//! transactions never fall, the ledger is in order as it lies, and only the
//! transactions of the key's own changes have to be known.
//!
//! A segment without the key may even be out of order in itself: where the footer
//! shows that its marks lie between those of its neighbours, no change of it can come
//! between two of the key's, share a position with one, or share a transaction,
//! unless a transaction of the key reaches the segment's edge. So marks are looked at in segments
//! that have the key, in those that such a transaction reaches, and nowhere else.
//!
//! Limits: ledgers in Parquet without truncates, marks that are integers, and
//! nothing declared that cuts the ledger at a position. All others are ordered as a whole.

use arrow::array::{ArrayRef, RecordBatch};
use rayon::prelude::*;

use super::inputs::DatasetInput;
use crate::error::Result;
use crate::ledger::order::{Order, Transaction};
use crate::ledger::{MappedTable, RisingMarks};
use crate::model::NO_TIME;
use crate::read::Packing;

/// Current rows whose keys are compared at a time.
const PART: usize = 1 << 13;

/// Rows of segments that may name the key.
pub(super) type Candidates = Vec<(usize, Vec<u32>)>;

/// The rows that may name a key, and the order as far as it concerns them: transactions of other changes are joined.
pub(super) fn find(input: &DatasetInput, key: &[ArrayRef]) -> Result<Option<(Candidates, Order)>> {
    let plan = &input.plan;
    let declared = [&plan.ledger.complete_from, &plan.ledger.complete_to];
    let by_time = declared.into_iter().flatten().all(|bound| bound.last_nanosecond().is_some());
    let is_bound = plan.current.at.is_some() || plan.opening.is_some() || input.postings.is_some();
    let Some(table) = input.store.table_without_truncates().filter(|_| by_time && !is_bound) else {
        return Ok(None);
    };
    if input.normalise.iter().any(|how| !how.is_empty()) {
        return Ok(None);
    }
    let segments: Vec<Result<Option<Segment>>> = (0..input.store.segments())
        .into_par_iter()
        .with_max_len(1)
        .map(|segment| Segment::read(table, segment, key))
        .collect();
    let Some(mut segments) = segments.into_iter().collect::<Result<Option<Vec<_>>>>()? else {
        return Ok(None);
    };
    let order = loop {
        if !segments.windows(2).all(|pair| pair[0].comes_before(&pair[1])) {
            return Ok(None);
        }
        match order(&segments) {
            Ok(order) => break order,
            Err(EdgesOf(number)) => match table.rising_marks(number, &[])? {
                Some(marks) => segments[number].look_at(marks),
                None => return Ok(None),
            },
        }
    };
    let candidates = segments.into_iter().map(|segment| segment.rows).enumerate();
    Ok(Some((candidates.filter(|(_, rows)| !rows.is_empty()).collect(), order)))
}

/// What is known of a segment.
struct Segment {
    rows: Vec<u32>,
    /// Per such row, the rows of its transaction: the first, and one past the last.
    runs: Vec<(u32, u32)>,
    /// The lowest and the highest.
    positions: (u128, u128),
    /// The lowest and the highest transaction.
    ids: Option<(i64, i64)>,
    /// Where the first transaction ends and the last one begins, if its marks were looked at.
    edges: Option<(u32, u32)>,
    len: u32,
}

impl Segment {
    fn read(table: &MappedTable, segment: usize, key: &[ArrayRef]) -> Result<Option<Self>> {
        let Some(range) = table.range(segment) else { return Ok(None) };
        let Some(rows) = table.rows_naming(segment, key)? else { return Ok(None) };
        let marks = if rows.is_empty() { None } else { Some(table.rising_marks(segment, &rows)?) };
        let len = table.rows(segment) as u32;
        let (positions, ids) = (range.position, range.transaction);
        let mut found = Self { rows, runs: Vec::new(), positions, ids, edges: None, len };
        match marks {
            Some(None) => return Ok(None),
            Some(Some(marks)) => found.look_at(marks),
            None => {}
        }
        Ok(Some(found))
    }

    /// What was seen stands above what the footer says.
    fn look_at(&mut self, marks: RisingMarks) {
        let RisingMarks { positions, ids, edges, runs } = marks;
        self.positions = (positions.0.unsigned_abs().into(), positions.1.unsigned_abs().into());
        (self.ids, self.edges, self.runs) = (ids, Some(edges), runs);
    }

    fn comes_before(&self, next: &Self) -> bool {
        self.positions.1 < next.positions.0 && self.ids.zip(next.ids).is_none_or(|(a, b)| a.1 <= b.0)
    }

    /// Whether a transaction goes on in the next segment.
    fn goes_on_in(&self, next: &Self) -> bool {
        self.ids.zip(next.ids).is_some_and(|(a, b)| a.1 == b.0)
    }
}

/// The order cannot be told before the marks of a segment were looked at.
#[derive(Debug, PartialEq, Eq)]
struct EdgesOf(usize);

/// The order of all changes as they lie, with the bounds of the transactions that concern the key.
fn order(segments: &[Segment]) -> Result<Order, EdgesOf> {
    let mut bases = vec![0_u32];
    for segment in segments {
        bases.push(bases[bases.len() - 1] + segment.len);
    }
    let len = bases[segments.len()];
    let edges = |number: usize| segments[number].edges.ok_or(EdgesOf(number));
    let goes_on =
        |number: usize| segments.get(number + 1).is_some_and(|next| segments[number].goes_on_in(next));
    let mut firsts = vec![0];
    for (number, segment) in segments.iter().enumerate() {
        for &(start, end) in &segment.runs {
            let (mut from, mut start) = (number, start);
            while start == 0 && from > 0 && goes_on(from - 1) {
                from -= 1;
                start = edges(from)?.1;
            }
            let (mut upto, mut end) = (number, end);
            while end == segments[upto].len && goes_on(upto) {
                upto += 1;
                end = edges(upto)?.0;
            }
            firsts.extend([bases[from] + start, bases[upto] + end]);
        }
    }
    firsts.sort_unstable();
    firsts.dedup();
    firsts.retain(|&first| first < len);
    let of = |first| Transaction { first, time: NO_TIME, earliest: NO_TIME, id: 0, position: 0 };
    let transactions = firsts.into_iter().map(of).collect();
    Ok(Order { ranks: vec![None], transactions, repeats: Vec::new(), len })
}

/// Whether the footer shows that a group of the current state does not have this key.
pub(super) fn is_excluded(input: &DatasetInput, group: usize, key: &[ArrayRef]) -> bool {
    let (&[column], [wanted]) = (input.schema.key(), key) else { return false };
    let plain = input.normalise.iter().all(Vec::is_empty);
    let footer = input.table.parquet(group).filter(|_| plain);
    footer.is_some_and(|footer| !footer.may_hold(column, wanted))
}

/// The key's columns of a group of the current state, in parts that stay in the cache; `take` is told
/// the first row.
pub(super) fn key_parts(
    input: &DatasetInput,
    group: usize,
    take: &mut dyn FnMut(usize, &RecordBatch) -> Result<()>,
) -> Result<()> {
    let key = input.schema.key();
    if input.scope.is_some() || !key.is_sorted_by(|a, b| a < b) {
        return take(0, &input.read_current(group, key)?);
    }
    let mut from = 0;
    input.table.read_parts(group, key, (Packing::Plain, PART), &mut |batch| {
        take(from, &batch)?;
        from += batch.num_rows();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(rows: &[u32], ids: &[i64], position: u128) -> Segment {
        let run = |id: i64| {
            let (start, end) = (ids.partition_point(|&i| i < id), ids.partition_point(|&i| i <= id));
            (start as u32, end as u32)
        };
        let len = ids.len();
        Segment {
            rows: rows.to_vec(),
            runs: rows.iter().map(|&row| run(ids[row as usize])).collect(),
            positions: (position, position + len as u128 - 1),
            ids: Some((ids[0], ids[len - 1])),
            edges: (!rows.is_empty()).then(|| (run(ids[0]).1, run(ids[len - 1]).0)),
            len: len as u32,
        }
    }

    fn firsts(segments: &[Segment]) -> Result<Vec<u32>, EdgesOf> {
        Ok(order(segments)?.transactions.iter().map(|t| t.first).collect())
    }

    #[test]
    fn transactions_of_the_key_are_told_apart_from_all_others() {
        assert_eq!(firsts(&[segment(&[3], &[1, 2, 2, 3, 3, 4], 0)]).unwrap(), [0, 3, 5]);
        assert_eq!(firsts(&[segment(&[0, 5], &[1, 2, 2, 3, 3, 4], 0)]).unwrap(), [0, 1, 5]);
        assert_eq!(firsts(&[segment(&[], &[1, 2], 0)]).unwrap(), [0]);
    }

    #[test]
    fn a_transaction_goes_on_in_the_next_segment() {
        let mut segments = [
            segment(&[], &[1, 2, 5, 5], 0),
            segment(&[1], &[5, 5, 5], 4),
            segment(&[2], &[5, 6, 6], 7),
            segment(&[], &[6, 7], 10),
        ];
        assert_eq!(firsts(&segments), Err(EdgesOf(0)));
        segments[0].edges = Some((1, 2));
        assert_eq!(firsts(&segments), Err(EdgesOf(3)));
        segments[3].edges = Some((1, 1));
        assert_eq!(firsts(&segments).unwrap(), [0, 2, 8, 11]);
        let apart = [segment(&[1], &[1, 2], 0), segment(&[0], &[3, 3], 2), segment(&[], &[4, 4], 4)];
        assert_eq!(firsts(&apart).unwrap(), [0, 1, 2, 4]);
    }
}
