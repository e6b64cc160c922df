//! Verdicts on keys that have no row at the cut, in key order.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use arrow::array::ArrayRef;
use arrow_row::RowConverter;
use rayon::prelude::*;

use super::standing::{key_order, place};
use super::verdicts::{Judge, ROWS, VerdictCounts, printed};
use crate::error::{Error, Result};
use crate::export::in_order::in_order;
use crate::export::verdicts::{VerdictRows, VerdictWriter};
use crate::ledger::want::Want;
use crate::replay::select::{Fate, NO_ROW};
use crate::snapshot::Verdict;

/// Where a key is wanted, its row in a group or segment, and whether the before image has it.
type Wanted = (usize, u32, bool);

impl Judge<'_> {
    /// Keys that have no row at the cut, in key order.
    pub(super) fn judge_absent(
        &self,
        counts: &mut VerdictCounts,
        writer: Option<&mut VerdictWriter>,
    ) -> Result<()> {
        let rebuilt = self.rebuilt;
        let absent: Vec<usize> =
            (0..rebuilt.patches.len()).filter(|&p| rebuilt.patches[p].fate != Fate::Present).collect();
        let mut missing: Vec<u32> = self
            .contradicted_slots()
            .filter(|&slot| rebuilt.standing.rows[slot as usize] == NO_ROW)
            .filter(|slot| rebuilt.patches.binary_search_by_key(slot, |p| p.slot).is_err())
            .collect();
        if rebuilt.input.schema.is_keyless() {
            missing.clear();
        }
        let judged: Vec<(u32, Verdict, Option<bool>)> = absent
            .iter()
            .map(|&p| {
                let patch = &rebuilt.patches[p];
                let (verdict, present) = match patch.fate {
                    Fate::Unknown => (Verdict::Unrecoverable, None),
                    // It stood outside what the ledger was recorded of, if it stood.
                    _ if rebuilt.input.entered.binary_search(&patch.first).is_ok() => {
                        (Verdict::NotCovered, None)
                    }
                    _ => (Verdict::Restored, Some(false)),
                };
                let verdict = if self.contradicted(patch.slot) { Verdict::Contradicted } else { verdict };
                (patch.slot, verdict, present)
            })
            .chain(missing.iter().map(|&slot| (slot, Verdict::Contradicted, Some(false))))
            .collect();
        judged.iter().for_each(|&(_, verdict, _)| counts.add(verdict));
        let Some(writer) = writer else { return Ok(()) };
        if rebuilt.input.schema.is_keyless() {
            return Ok(());
        }
        let slots: Vec<u32> = judged.iter().map(|j| j.0).collect();
        let (keys, order) = self.keys_of(&slots)?;
        let maker = writer.maker();
        let make = |part: usize| {
            let texts = rebuilt.input.key_texts(&keys);
            let mut rows = VerdictRows::default();
            for &at in &order[part * ROWS..((part + 1) * ROWS).min(order.len())] {
                let (_, verdict, present) = judged[at];
                let no_source = None::<fn(&mut dyn Write) -> fmt::Result>;
                printed(rows.push((None, verdict, present), |out| texts.write(at, out), no_source));
            }
            self.make(&maker, rows)
        };
        in_order(order.len().div_ceil(ROWS), make, |made| writer.write(made))
    }

    /// The key columns of some slots, from the current row or else from a record, and their order.
    fn keys_of(&self, slots: &[u32]) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        let input = self.rebuilt.input;
        let path = input.current_path();
        let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
        let mut spots: Vec<(usize, usize)> = Vec::with_capacity(slots.len());
        let mut groups: BTreeMap<(bool, usize), Vec<Wanted>> = BTreeMap::new();
        for (at, &slot) in slots.iter().enumerate() {
            spots.push((0, 0));
            let row = self.rebuilt.standing.rows[slot as usize];
            if row == NO_ROW {
                let (index, before) = self.rebuilt.first_fact(slot);
                let (segment, row) = input.store.locate(index);
                groups.entry((false, segment)).or_default().push((at, row, before));
            } else {
                let (group, row) = place(row);
                groups.entry((true, group)).or_default().push((at, row as u32, false));
            }
        }
        for ((current, number), wanted) in groups {
            if current {
                let batch = input.read_current(number, input.schema.key())?;
                wanted.iter().for_each(|&(at, row, _)| spots[at] = (parts.len(), row as usize));
                parts.push(batch.columns().to_vec());
                continue;
            }
            let batch = input.store.read(number, Want::KEYS, None)?;
            for (side, images) in [(true, &batch.before), (false, &batch.after)] {
                let keys: Vec<ArrayRef> =
                    input.schema.key().iter().filter_map(|&c| images.column(c).cloned()).collect();
                wanted
                    .iter()
                    .filter(|w| w.2 == side)
                    .for_each(|&(at, row, _)| spots[at] = (parts.len(), row as usize));
                parts.push(keys);
            }
        }
        if slots.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut columns = Vec::new();
        for key in 0..input.schema.key().len() {
            let arrays: Vec<&dyn arrow::array::Array> = parts.iter().map(|p| p[key].as_ref()).collect();
            columns.push(arrow::compute::interleave(&arrays, &spots).map_err(Error::arrow(path))?);
        }
        let converter: RowConverter = key_order(input)?;
        let rows = converter.convert_columns(&columns).map_err(Error::arrow(path))?;
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.par_sort_by(|&a, &b| rows.row(a).cmp(&rows.row(b)));
        Ok((columns, order))
    }
}
