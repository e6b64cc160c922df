//! The net difference per key between the current state and a rebuilt table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};

use super::UndoRequest;
use crate::error::{Error, Result};
use crate::export::change_set::{ChangeKind, ChangePart, ChangeSet};
use crate::pipeline::layout::Row;
use crate::pipeline::rebuild::Rebuilt;
use crate::pipeline::standing::{locator, place};
use crate::pipeline::verdicts::Judge;
use crate::replay::select::{Fate, NO_ROW, Source};
use crate::snapshot::{GroupSource, Verdict};

/// The changes of one dataset, and rows that are not certain enough.
pub(super) struct Net {
    pub set: ChangeSet,
    /// Key and reason, in words.
    pub refused: Vec<String>,
}

/// A row of an output group that a patch describes.
struct Patched {
    /// Where it is in the output group.
    at: u32,
    /// Where it stands; `None` if it has to come back.
    now: Option<u32>,
    number: u32,
}

impl Net {
    /// Compares patch by patch.
    pub(super) fn of(rebuilt: &Rebuilt<'_>, judge: &Judge<'_>, request: &UndoRequest) -> Result<Self> {
        let input = rebuilt.input;
        let set = ChangeSet {
            dataset: input.plan.name.clone(),
            schema: input.schema.all_nullable(),
            key: input.schema.key().to_vec(),
            parts: Vec::new(),
        };
        let mut net = Self { set, refused: Vec::new() };
        let gone = net.gone(rebuilt, judge)?;
        for group in 0..rebuilt.groups() {
            net.group(rebuilt, judge, group)?;
        }
        net.set.parts.splice(0..0, gone);
        net.take_out_refused(request)?;
        Ok(net)
    }

    /// Rows that stand and did not.
    fn gone(&mut self, rebuilt: &Rebuilt<'_>, judge: &Judge<'_>) -> Result<Vec<ChangePart>> {
        let mut rows: BTreeMap<u64, Verdict> = BTreeMap::new();
        for patch in rebuilt.patches.iter().filter(|patch| patch.fate != Fate::Present) {
            let row = rebuilt.standing.rows[patch.slot as usize];
            let entered = rebuilt.input.entered.binary_search(&patch.first).is_ok();
            let verdict = match patch.fate {
                Fate::Unknown => Verdict::Unrecoverable,
                _ if entered => Verdict::NotCovered,
                _ if patch.contradicted || judge.contradicted(patch.slot) => Verdict::Contradicted,
                _ => Verdict::Restored,
            };
            if row != NO_ROW {
                rows.insert(row, verdict);
            }
        }
        let mut parts = Vec::new();
        for group in 0..rebuilt.input.table.groups() {
            let own = rows.range(locator(group, 0)..locator(group + 1, 0));
            let (rows, verdicts): (Vec<u32>, Vec<Verdict>) =
                own.map(|(&row, &v)| (place(row).1 as u32, v)).unzip();
            if !rows.is_empty() {
                let now = Some(self.of_schema(rebuilt.input.read_current_rows(group, &rows)?)?);
                parts.push(ChangePart { kind: ChangeKind::Delete, now, then: None, verdicts });
            }
        }
        Ok(parts)
    }

    /// Rows of one output group that come back or get other values.
    fn group(&mut self, rebuilt: &Rebuilt<'_>, judge: &Judge<'_>, group: usize) -> Result<()> {
        let layout = &rebuilt.layouts[group];
        let Some(rows) = layout.rows() else { return Ok(()) };
        let mut patched = Vec::new();
        for (at, row) in rows.into_iter().enumerate() {
            let Row::Patch(number) = row else { continue };
            let slot = rebuilt.patches[rebuilt.present[number as usize] as usize].slot;
            let standing = rebuilt.standing.rows[slot as usize];
            let now = (standing != NO_ROW).then(|| place(standing).1 as u32);
            patched.push(Patched { at: at as u32, now, number });
        }
        if patched.is_empty() {
            return Ok(());
        }
        let columns = (0..rebuilt.input.schema.len()).map(|column| rebuilt.column(group, column));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let (back, stay): (Vec<&Patched>, Vec<&Patched>) = patched.iter().partition(|p| p.now.is_none());
        let then = |of: &[&Patched]| -> Result<RecordBatch> {
            let at = UInt32Array::from_iter_values(of.iter().map(|p| p.at));
            let taken = columns.iter().map(|column| take(column, &at, None)).collect::<Result<Vec<_>, _>>();
            taken
                .and_then(|taken| RecordBatch::try_new(Arc::clone(&self.set.schema), taken))
                .map_err(Error::arrow(rebuilt.input.current_path()))
        };
        let verdicts = |of: &[&Patched]| of.iter().map(|p| verdict(rebuilt, judge, p.number)).collect();
        let mut parts = Vec::new();
        if !back.is_empty() {
            let kind = ChangeKind::Insert;
            parts.push(ChangePart { kind, now: None, then: Some(then(&back)?), verdicts: verdicts(&back) });
        }
        if let (false, Some(own)) = (stay.is_empty(), layout.group) {
            let rows: Vec<u32> = stay.iter().filter_map(|p| p.now).collect();
            let now = Some(self.of_schema(rebuilt.input.read_current_rows(own, &rows)?)?);
            let kind = ChangeKind::Update;
            parts.push(ChangePart { kind, now, then: Some(then(&stay)?), verdicts: verdicts(&stay) });
        }
        for part in parts {
            self.push(rebuilt, part)?;
        }
        Ok(())
    }

    /// Takes a part without the rows that stay as they are.
    fn push(&mut self, rebuilt: &Rebuilt<'_>, part: ChangePart) -> Result<()> {
        let columns = self.set.schema.fields().len();
        let unknown = |verdict: Verdict| matches!(verdict, Verdict::Unrecoverable | Verdict::NotCovered);
        let differs = |&row: &usize| {
            part.kind != ChangeKind::Update
                || unknown(part.verdicts[row])
                || (0..columns).any(|column| part.differs(column, row))
        };
        let rows: Vec<usize> = (0..part.rows()).filter(differs).collect();
        if rows.len() == part.rows() {
            self.set.parts.push(part);
        } else if !rows.is_empty() {
            self.set.parts.push(only(&part, &rows).map_err(Error::arrow(rebuilt.input.current_path()))?);
        }
        Ok(())
    }

    fn of_schema(&self, batch: RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::clone(&self.set.schema), batch.columns().to_vec())
            .map_err(Error::arrow(std::path::Path::new(&self.set.dataset)))
    }

    /// Names rows that are not certain enough for the request.
    fn take_out_refused(&mut self, request: &UndoRequest) -> Result<()> {
        for part in &self.set.parts {
            for (row, verdict) in part.verdicts.iter().enumerate() {
                let reason = match verdict {
                    Verdict::Contradicted if !request.allow_contradicted => {
                        "contradicted: ledger and current state disagree on it"
                    }
                    Verdict::Inferred if !request.allow_inferred => {
                        "inferred: no record states all of its values"
                    }
                    Verdict::Unrecoverable | Verdict::NotCovered => {
                        "unrecoverable: nothing in the inputs states whether it stood, or all of its values"
                    }
                    _ => continue,
                };
                self.refused.push(format!(
                    "{} ({}, {reason})",
                    self.set.key_text(part, row),
                    part.kind.name()
                ));
            }
        }
        Ok(())
    }
}

/// The verdict on a present row; a contradiction hides no cell that nothing states.
fn verdict(rebuilt: &Rebuilt<'_>, judge: &Judge<'_>, number: u32) -> Verdict {
    let columns = 0..rebuilt.input.schema.len();
    let stated = |c: usize| rebuilt.unborn[c] || rebuilt.choice(number, c).source != Source::Nothing;
    if columns.into_iter().all(stated) { judge.patch_verdict(number) } else { Verdict::Unrecoverable }
}

fn only(part: &ChangePart, rows: &[usize]) -> Result<ChangePart, arrow::error::ArrowError> {
    let at = UInt32Array::from_iter_values(rows.iter().map(|&row| row as u32));
    let side = |side: &Option<RecordBatch>| side.as_ref().map(|b| take_record_batch(b, &at)).transpose();
    Ok(ChangePart {
        kind: part.kind,
        now: side(&part.now)?,
        then: side(&part.then)?,
        verdicts: rows.iter().map(|&row| part.verdicts[row]).collect(),
    })
}
