//! One key's changes and their order, where neither needs the whole ledger.
//!
//! Which changes name a key, the key's column tells. Where they stand among each
//! other, and which of them share a transaction, follows from the marks of all
//! changes; but where positions rise from change to change and ids of
//! transactions never fall, the ledger is in order as it lies, and only the
//! transactions of the key's own changes have to be known. Two plain columns show that.
//!
//! Limits: ledgers in Parquet without truncates, marks that are integers, and
//! nothing declared that cuts the ledger at a position. All others are ordered as a whole.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use parquet::file::statistics::Statistics;
use rayon::prelude::*;

use super::inputs::DatasetInput;
use crate::error::Result;
use crate::ledger::order::{Order, Transaction};
use crate::ledger::{MappedTable, RisingMarks};
use crate::model::NO_TIME;

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
    let Some(segments) = segments.into_iter().collect::<Result<Option<Vec<_>>>>()? else { return Ok(None) };
    let apart = |pair: &[Segment]| {
        let ids = pair[0].ids.zip(pair[1].ids);
        pair[0].positions.1 < pair[1].positions.0 && ids.is_none_or(|(a, b)| a.1 <= b.0)
    };
    if !segments.windows(2).all(apart) {
        return Ok(None);
    }
    let order = order(&segments);
    let candidates = segments.into_iter().map(|segment| segment.rows).enumerate();
    Ok(Some((candidates.filter(|(_, rows)| !rows.is_empty()).collect(), order)))
}

/// What is known of a segment.
struct Segment {
    rows: Vec<u32>,
    /// Per such row, the rows of its transaction: the first, and one past the last.
    runs: Vec<(u32, u32)>,
    positions: (i64, i64),
    /// The first and the last transaction.
    ids: Option<(i64, i64)>,
    /// Where the first transaction ends and the last one begins.
    edges: (u32, u32),
    len: u32,
}

impl Segment {
    fn read(table: &MappedTable, segment: usize, key: &[ArrayRef]) -> Result<Option<Self>> {
        let Some(RisingMarks { positions, transactions }) = table.rising_marks(segment)? else {
            return Ok(None);
        };
        let Some(rows) = table.rows_naming(segment, key)? else { return Ok(None) };
        let len = table.rows(segment) as u32;
        let Some(ids) = transactions.as_deref() else {
            let runs = rows.iter().map(|&row| (row, row + 1)).collect();
            return Ok(Some(Self { rows, runs, positions, ids: None, edges: (0, len), len }));
        };
        let run = |id: i64| {
            let (start, end) = (ids.partition_point(|&i| i < id), ids.partition_point(|&i| i <= id));
            (start as u32, end as u32)
        };
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        let runs = rows.iter().map(|&row| run(ids[row as usize])).collect();
        let edges = (run(first).1, run(last).0);
        Ok(Some(Self { rows, runs, positions, ids: Some((first, last)), edges, len }))
    }
}

/// The order of all changes as they lie, with the bounds of the transactions that concern the key.
fn order(segments: &[Segment]) -> Order {
    let mut bases = vec![0_u32];
    for segment in segments {
        bases.push(bases[bases.len() - 1] + segment.len);
    }
    let len = bases[segments.len()];
    let mut firsts = vec![0];
    for (number, segment) in segments.iter().enumerate() {
        for &(start, end) in &segment.runs {
            let joined = |a: usize, b: usize| {
                let ids = segments.get(a).zip(segments.get(b)).and_then(|(a, b)| a.ids.zip(b.ids));
                ids.is_some_and(|(a, b)| a.1 == b.0)
            };
            let (mut from, mut start) = (number, start);
            while start == 0 && from > 0 && joined(from - 1, from) {
                from -= 1;
                start = segments[from].edges.1;
            }
            let (mut upto, mut end) = (number, end);
            while end == segments[upto].len && joined(upto, upto + 1) {
                upto += 1;
                end = segments[upto].edges.0;
            }
            firsts.extend([bases[from] + start, bases[upto] + end]);
        }
    }
    firsts.sort_unstable();
    firsts.dedup();
    firsts.retain(|&first| first < len);
    let of = |first| Transaction { first, time: NO_TIME, earliest: NO_TIME, id: 0, position: 0 };
    let transactions = firsts.into_iter().map(of).collect();
    Order { ranks: vec![None], transactions, repeats: Vec::new(), len }
}

/// Whether the footer shows that a group of the current state does not have this key.
pub(super) fn is_excluded(input: &DatasetInput, group: usize, key: &[ArrayRef]) -> bool {
    let (&[column], [wanted]) = (input.schema.key(), key) else { return false };
    let plain = input.normalise.iter().all(Vec::is_empty) && *wanted.data_type() == DataType::Int64;
    let Some(group) = input.table.parquet(group).filter(|_| plain) else { return false };
    let wanted = wanted.as_primitive::<Int64Type>().value(0);
    let leaves = group.metadata.file_metadata().schema_descr();
    let leaf = (0..leaves.num_columns()).find(|&leaf| leaves.get_column_root_idx(leaf) == column);
    let columns = group.metadata.row_group(group.row_group);
    match leaf.and_then(|leaf| columns.column(leaf).statistics()) {
        Some(Statistics::Int64(range)) => match (range.min_opt(), range.max_opt()) {
            (Some(min), Some(max)) => wanted < *min || *max < wanted,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(rows: &[u32], ids: &[i64], position: i64) -> Segment {
        let run = |id: i64| {
            let (start, end) = (ids.partition_point(|&i| i < id), ids.partition_point(|&i| i <= id));
            (start as u32, end as u32)
        };
        let len = ids.len();
        Segment {
            rows: rows.to_vec(),
            runs: rows.iter().map(|&row| run(ids[row as usize])).collect(),
            positions: (position, position + len as i64 - 1),
            ids: Some((ids[0], ids[len - 1])),
            edges: (run(ids[0]).1, run(ids[len - 1]).0),
            len: len as u32,
        }
    }

    fn firsts(segments: &[Segment]) -> Vec<u32> {
        order(segments).transactions.iter().map(|t| t.first).collect()
    }

    #[test]
    fn transactions_of_the_key_are_told_apart_from_all_others() {
        assert_eq!(firsts(&[segment(&[3], &[1, 2, 2, 3, 3, 4], 0)]), [0, 3, 5]);
        assert_eq!(firsts(&[segment(&[0, 5], &[1, 2, 2, 3, 3, 4], 0)]), [0, 1, 5]);
        assert_eq!(firsts(&[segment(&[], &[1, 2], 0)]), [0]);
    }

    #[test]
    fn a_transaction_goes_on_in_the_next_segment() {
        let segments = [
            segment(&[], &[1, 2, 5, 5], 0),
            segment(&[1], &[5, 5, 5], 4),
            segment(&[2], &[5, 6, 6], 7),
            segment(&[], &[6, 7], 10),
        ];
        assert_eq!(firsts(&segments), [0, 2, 8, 11]);
        let apart = [segment(&[1], &[1, 2], 0), segment(&[0], &[3, 3], 2)];
        assert_eq!(firsts(&apart), [0, 1, 2]);
    }
}
