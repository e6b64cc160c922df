//! The verdict on every touched key and every cell that is not exact.

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::ops::Range;

use arrow::array::{Array, ArrayRef, BooleanArray};
use rayon::prelude::*;

use super::dropped::Returned;
use super::layout::{Part, Row};
use super::postings;
use super::rebuild::Rebuilt;
use super::run::Analysed;
use crate::error::Result;
use crate::export::in_order::in_order;
use crate::export::verdicts::{MadeVerdicts, VerdictMaker, VerdictRows, VerdictWriter};
use crate::replay::select::{NO_ROW, Patch, Source};
use crate::snapshot::{GroupSource, Verdict};

/// How many keys and cells have each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerdictCounts {
    /// Rows of the snapshot that nothing touched.
    pub unchanged: u64,
    /// Keys by verdict, present or not.
    pub restored: u64,
    /// Keys with an inferred cell.
    pub inferred: u64,
    /// Keys without evidence.
    pub not_covered: u64,
    /// Keys with a cell that nothing states.
    pub unrecoverable: u64,
    /// Keys on which ledger and current state disagree.
    pub contradicted: u64,
    /// Cells filled from an earlier after image.
    pub inferred_cells: u64,
    /// Cells whose null may stand for a value that the log cannot express.
    pub ambiguous_cells: u64,
    /// Cells that nothing states.
    pub unrecoverable_cells: u64,
}

fn merge(all: &mut [u64; 3], own: [u64; 3]) {
    all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
}

impl VerdictCounts {
    fn merge(&mut self, other: Self) {
        self.unchanged += other.unchanged;
        self.restored += other.restored;
        self.inferred += other.inferred;
        self.not_covered += other.not_covered;
        self.unrecoverable += other.unrecoverable;
        self.contradicted += other.contradicted;
        self.inferred_cells += other.inferred_cells;
        self.ambiguous_cells += other.ambiguous_cells;
        self.unrecoverable_cells += other.unrecoverable_cells;
    }

    pub(super) fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Unchanged => self.unchanged += 1,
            Verdict::Restored => self.restored += 1,
            Verdict::Inferred => self.inferred += 1,
            Verdict::NotCovered => self.not_covered += 1,
            Verdict::Unrecoverable => self.unrecoverable += 1,
            Verdict::Contradicted => self.contradicted += 1,
        }
    }
}

/// Per column: how many cells are inferred, ambiguous, unrecoverable.
pub(super) type ColumnCounts = Vec<[u64; 3]>;

/// Rows of the snapshot whose verdicts are made at a time.
pub(super) const ROWS: usize = 1 << 18;

/// Patches that one task judges.
const PATCHES: u32 = 1 << 15;

/// Why a cell that a patch supplies is not exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The ledger says nothing of its column.
    NotCovered,
    /// Filled from an earlier after image, or by a truncate.
    Inferred,
    /// A null that may stand for a value which the log cannot express.
    Ambiguous,
    /// Stated by nothing.
    Unrecoverable,
}

impl Mark {
    fn verdict(self) -> Verdict {
        match self {
            Self::NotCovered => Verdict::NotCovered,
            Self::Inferred | Self::Ambiguous => Verdict::Inferred,
            Self::Unrecoverable => Verdict::Unrecoverable,
        }
    }
}

/// What is known of a present patch before its row is looked at. Small: rows take it from anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    /// Index of the change that supplies the row, if one does.
    first: u32,
    verdict: Verdict,
    /// Whether some of its cells are not exact.
    is_marked: bool,
}

impl Told {
    /// A row that a change restores exactly.
    fn plain(first: u32) -> Self {
        Self { first, verdict: Verdict::Restored, is_marked: false }
    }
}

/// A row with a verdict.
struct JudgedRow {
    /// Its number in the output group.
    at: usize,
    row: Row,
    verdict: Verdict,
    /// What supplies its first lane, if it comes from a patch.
    source: Option<Source>,
}

/// What was found in some output groups.
#[derive(Debug, Default)]
struct Judged {
    counts: VerdictCounts,
    columns: ColumnCounts,
    /// Every touched key; empty unless listed.
    rows: VerdictRows,
    /// Every cell that is not exact; empty unless listed.
    cells: VerdictRows,
}

impl Judged {
    fn of(columns: usize) -> Self {
        Self { columns: vec![[0; 3]; columns], ..Self::default() }
    }

    /// Adds the numbers of others.
    fn merge(&mut self, other: Self) {
        self.counts.merge(other.counts);
        self.columns.iter_mut().zip(other.columns).for_each(|(all, own)| merge(all, own));
    }
}

/// What judging a group looks up.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// Current rows whose key is contradicted, sorted.
    contradicted: &'a [u64],
    /// Current rows whose key the ledger mentions.
    mentioned: &'a HashSet<u64>,
    told: OfPatches<'a>,
}

/// What is known of the present patches before their rows are looked at.
#[derive(Clone, Copy)]
enum OfPatches<'a> {
    /// Each is restored, with no cell that is not exact, by the change that its first undone one is. Rows need
    /// nothing of them then that their layouts do not say.
    Plain,
    /// This, by number.
    Each(&'a [Told]),
    /// They are judged as rows need them.
    Nothing,
}

impl OfPatches<'_> {
    /// What is known of the patch with this number, whose first lane this supplies.
    fn of(self, number: u32, source: Option<Source>) -> Option<Told> {
        match (self, source) {
            (Self::Plain, Some(Source::Before(first))) => Some(Told::plain(first)),
            (Self::Each(told), _) => Some(told[number as usize]),
            _ => None,
        }
    }
}

/// Judges one rebuilt dataset.
pub(super) struct Judge<'a> {
    pub analysed: &'a Analysed,
    pub rebuilt: &'a Rebuilt<'a>,
    pub cut: u32,
    /// The order mark of the last change in force, where the source's order can say.
    pub mark: Option<u128>,
    /// The as-of lies outside the window: keys that the ledger never mentions have no evidence.
    pub uncovered: bool,
    /// All rows that stood at the last undone truncate are known, so refilled rows are exact.
    pub refill_proven: bool,
    /// Columns that the snapshot has beyond those of the current state.
    pub returned: Option<&'a Returned>,
}

impl Judge<'_> {
    /// Judges all keys; verdicts go to `writer` if there is one.
    pub(super) fn judge(
        &self,
        mut writer: Option<&mut VerdictWriter>,
    ) -> Result<(VerdictCounts, ColumnCounts)> {
        let contradicted = self.kept_contradictions();
        let are_patches_all = writer.is_none() && self.is_sure_of_kept(&contradicted);
        let (told, is_plain, mut all) = self.tell_patches(are_patches_all);
        if are_patches_all {
            let patches = self.rebuilt.present.len() as u64;
            all.counts.unchanged += self.rebuilt.count().saturating_sub(patches);
        } else {
            let mentioned = self.mentioned();
            let told = if is_plain { OfPatches::Plain } else { OfPatches::Each(&told) };
            let known = Known { contradicted: &contradicted, mentioned: &mentioned, told };
            let maker = writer.as_ref().map(|writer| writer.maker());
            let parts = self.parts();
            let make = |part: usize| self.judge_groups(parts[part].clone(), known, maker.as_ref());
            let take = |(judged, made): (Judged, Vec<MadeVerdicts>)| {
                all.merge(judged);
                match &mut writer {
                    Some(writer) => made.into_iter().try_for_each(|made| writer.write(made)),
                    None => Ok(()),
                }
            };
            in_order(parts.len(), make, take)?;
        }
        self.judge_absent(&mut all.counts, writer)?;
        Ok((all.counts, all.columns))
    }

    /// Nothing counted yet, of any column.
    fn nothing_judged(&self) -> Judged {
        let more = self.returned.map_or(0, |returned| returned.names().count());
        Judged::of(self.rebuilt.input.schema.len() + more)
    }

    /// The output groups in parts of a fair number of rows.
    fn parts(&self) -> Vec<Range<usize>> {
        let (mut parts, mut from, mut rows) = (Vec::new(), 0, 0);
        for group in 0..self.rebuilt.groups() {
            rows += self.rebuilt.rows(group);
            if rows >= ROWS {
                parts.push(from..group + 1);
                (from, rows) = (group + 1, 0);
            }
        }
        parts.push(from..self.rebuilt.groups());
        parts
    }

    /// Judges some groups, and makes the table's rows if they are wanted.
    fn judge_groups(
        &self,
        groups: Range<usize>,
        known: Known<'_>,
        maker: Option<&VerdictMaker>,
    ) -> Result<(Judged, Vec<MadeVerdicts>)> {
        let mut all = self.nothing_judged();
        for group in groups {
            self.judge_group(group, known, maker.is_some(), &mut all)?;
        }
        let lists = [std::mem::take(&mut all.rows), std::mem::take(&mut all.cells)];
        let Some(maker) = maker else { return Ok((all, Vec::new())) };
        let made = lists.into_iter().filter(|rows| !rows.is_empty()).map(|rows| self.make(maker, rows));
        let made = made.collect::<Result<_>>()?;
        Ok((all, made))
    }

    pub(super) fn make(&self, maker: &VerdictMaker, rows: VerdictRows) -> Result<MadeVerdicts> {
        let input = self.rebuilt.input;
        let more = self.returned.into_iter().flat_map(Returned::names);
        let columns: Vec<&str> = input.schema.names().chain(more).collect();
        maker.make(&input.plan.name, &columns, rows)
    }

    pub(super) fn contradicted(&self, slot: u32) -> bool {
        self.analysed.contradicted.get(&slot).is_some_and(|&rank| rank >= self.cut) || self.is_contested(slot)
    }

    /// Whether the ledger itself states the slot in two ways at the cut.
    fn is_contested(&self, slot: u32) -> bool {
        let Some((spans, mark)) = self.analysed.contested.get(&slot).zip(self.mark) else { return false };
        spans.iter().any(|&(from, to)| (from..to).contains(&mark))
    }

    /// All slots that are contradicted at the cut.
    pub(super) fn contradicted_slots(&self) -> impl Iterator<Item = u32> {
        let conflicts = self.analysed.contradicted.keys();
        let contested =
            self.analysed.contested.keys().filter(|s| !self.analysed.contradicted.contains_key(s));
        conflicts.chain(contested).copied().filter(|&slot| self.contradicted(slot))
    }

    /// Current rows whose key is contradicted, sorted.
    fn kept_contradictions(&self) -> Vec<u64> {
        let standing = self.rebuilt.standing;
        let slots = self.contradicted_slots();
        let mut rows: Vec<u64> =
            slots.map(|slot| standing.rows[slot as usize]).filter(|&r| r != NO_ROW).collect();
        rows.extend(&standing.duplicates);
        rows.extend(&standing.null_keys);
        rows.extend(&self.analysed.unmet);
        // A history that has no version of a row says less than one without a record of it.
        if !self.rebuilt.input.covers_current {
            rows.extend(&standing.unmentioned);
        }
        let copies = standing.copy_rows.iter().filter(|&&(slot, _)| self.contradicted(slot));
        rows.extend(copies.map(|&(_, row)| row));
        rows.sort_unstable();
        rows
    }

    /// Whether every row that no record supplies is as the ledger has it.
    fn is_sure_of_kept(&self, touched: &[u64]) -> bool {
        touched.is_empty()
            && self.returned.is_none()
            && !self.uncovered
            && self.uncovered_columns().is_empty()
            && self.rebuilt.doubtful.is_empty()
            && self.rebuilt.input.recorded.is_none()
    }

    /// Judges all patches and counts their cells, in the order in which they lie, unlike their rows; also says
    /// whether all are [`OfPatches::Plain`]. `are_all`: there is nothing else to judge, so verdicts are counted
    /// too, and not kept.
    fn tell_patches(&self, are_all: bool) -> (Vec<Told>, bool, Judged) {
        let present = self.rebuilt.present.len() as u32;
        let tell = |part: u32| {
            let (mut judged, mut is_plain) = (self.nothing_judged(), true);
            let numbers = part * PATCHES..((part + 1) * PATCHES).min(present);
            let mut told = Vec::with_capacity(if are_all { 0 } else { numbers.len() });
            for number in numbers {
                let one = self.tell(number, &mut judged);
                let source = Some(self.rebuilt.source_of_lanes(number));
                is_plain &= OfPatches::Plain.of(number, source) == Some(one);
                if are_all { judged.counts.add(one.verdict) } else { told.push(one) }
            }
            (told, is_plain, judged)
        };
        let parts: Vec<_> = (0..present.div_ceil(PATCHES)).into_par_iter().map(tell).collect();
        let is_plain = parts.iter().all(|(_, is_plain, _)| *is_plain);
        let mut told = Vec::with_capacity(if are_all || is_plain { 0 } else { present as usize });
        let mut all = self.nothing_judged();
        for (part, _, judged) in parts {
            if !is_plain {
                told.extend(part);
            }
            all.merge(judged);
        }
        (told, is_plain, all)
    }

    /// Judges a patch, and counts its cells that are not exact.
    fn tell(&self, number: u32, Judged { counts, columns, .. }: &mut Judged) -> Told {
        let rebuilt = self.rebuilt;
        let patch = &rebuilt.patches[rebuilt.present[number as usize] as usize];
        let mut strongest = None;
        for (column, mark) in self.marks(number) {
            strongest = strongest.max(Some(mark.verdict()));
            let counted = match mark {
                Mark::NotCovered => continue,
                // One finding for the truncate stands for all cells that it made the ledger supply.
                Mark::Inferred => (u64::from(!patch.refilled), &mut counts.inferred_cells, 0),
                Mark::Ambiguous => (1, &mut counts.ambiguous_cells, 1),
                Mark::Unrecoverable => (1, &mut counts.unrecoverable_cells, 2),
            };
            columns[column][counted.2] += counted.0;
            *counted.1 += 1;
        }
        let verdict = self.verdict_of(patch, strongest);
        Told { first: patch.first, verdict, is_marked: strongest.is_some() }
    }

    fn verdict_of(&self, patch: &Patch, strongest: Option<Verdict>) -> Verdict {
        if patch.contradicted || self.contradicted(patch.slot) {
            return Verdict::Contradicted;
        }
        let own = match patch.refilled && !self.refill_proven {
            true => Verdict::Inferred,
            false => Verdict::Restored,
        };
        strongest.map_or(own, |mark| mark.max(own))
    }

    pub(super) fn patch_verdict(&self, number: u32) -> Verdict {
        let patch = &self.rebuilt.patches[self.rebuilt.present[number as usize] as usize];
        self.verdict_of(patch, self.marks(number).map(|(_, mark)| mark.verdict()).max())
    }

    /// The cells of a patch that are not exact, and why.
    fn marks(&self, number: u32) -> impl Iterator<Item = (usize, Mark)> {
        let rebuilt = self.rebuilt;
        let columns = if rebuilt.is_stated(number) { 0 } else { rebuilt.input.schema.len() };
        (0..columns).filter(|&c| !rebuilt.unborn[c]).filter_map(move |column| {
            let patch = &rebuilt.patches[rebuilt.present[number as usize] as usize];
            let choice = rebuilt.choice(number, column);
            if patch.refilled && self.refill_proven && choice.source != Source::Nothing {
                return None;
            }
            let by_current = || choice.inferred && matches!(choice.source, Source::Current(_));
            let is_ambiguous = || by_current() || rebuilt.is_ambiguous(number, column);
            let mark = match choice.source {
                _ if postings::says_nothing_of(rebuilt.input, column) => Mark::NotCovered,
                Source::Nothing if rebuilt.input.lanes.is_covered(column) => Mark::Unrecoverable,
                Source::Nothing => Mark::NotCovered,
                _ if is_ambiguous() => Mark::Ambiguous,
                _ if choice.inferred => Mark::Inferred,
                _ => return None,
            };
            Some((column, mark))
        })
    }

    fn judge_group(&self, group: usize, known: Known<'_>, listed: bool, all: &mut Judged) -> Result<()> {
        let counts = &mut all.counts;
        let mut judged: Vec<JudgedRow> = Vec::new();
        if self.is_sure_of_kept(known.contradicted) && self.rebuilt.layouts[group].is_untouched() {
            counts.unchanged += self.rebuilt.rows(group) as u64;
            return Ok(());
        }
        let of_rows = self.of_rows(group, known)?;
        let mut at = 0;
        for part in self.rebuilt.layouts[group].runs() {
            let source = match &part {
                Part::Keep(rows) if of_rows.is_sure => {
                    counts.unchanged += rows.len() as u64;
                    at += rows.len();
                    continue;
                }
                Part::Keep(_) => None,
                Part::Patch { source, .. } => Some(*source),
            };
            for row in part.rows() {
                let verdict = of_rows.verdict(row);
                counts.add(verdict);
                if verdict == Verdict::Inferred && source.is_none() {
                    self.count_doubtful(counts, &mut all.columns);
                }
                if verdict != Verdict::Unchanged || source.is_some() {
                    judged.push(JudgedRow { at, row, verdict, source });
                }
                at += 1;
            }
        }
        if (listed || self.returned.is_some()) && !judged.is_empty() {
            self.list_rows(group, judged, (known, listed), all)?;
        }
        Ok(())
    }

    /// The verdicts on the rows of an output group.
    fn of_rows<'j>(&'j self, group: usize, known: Known<'j>) -> Result<OfRows<'j>> {
        let current = self.rebuilt.layouts[group].group;
        Ok(OfRows {
            judge: self,
            group,
            known,
            is_sure: self.is_sure_of_kept(known.contradicted),
            lacks_columns: !self.uncovered_columns().is_empty(),
            recorded: current.map(|group| self.rebuilt.input.recorded_of(group)).transpose()?.flatten(),
        })
    }

    /// The verdict on every row of every output group, as the table of verdicts has it.
    pub(super) fn row_verdicts(&self, group: usize) -> Result<Vec<Verdict>> {
        let (contradicted, mentioned) = (self.kept_contradictions(), self.mentioned());
        let known = Known { contradicted: &contradicted, mentioned: &mentioned, told: OfPatches::Nothing };
        let of_rows = self.of_rows(group, known)?;
        let rows = self.rebuilt.layouts[group].runs().flat_map(Part::rows);
        Ok(rows.map(|row| of_rows.verdict(row)).collect())
    }

    /// Lists judged rows of a group, and those of their cells that are not exact. Cells of columns that
    /// were dropped since are counted here, listed or not.
    fn list_rows(
        &self,
        group: usize,
        judged: Vec<JudgedRow>,
        (known, listed): (Known<'_>, bool),
        all: &mut Judged,
    ) -> Result<()> {
        let keys = if listed { self.key_columns(group)? } else { Vec::new() };
        let texts = self.rebuilt.input.key_texts(&keys);
        let uncovered = self.uncovered_columns();
        let Judged { counts, columns, rows, cells } = all;
        for JudgedRow { at, row, verdict, source } in judged {
            let key = |out: &mut dyn Write| texts.write(at, out);
            let patch = if let Row::Patch(number) = row { Some(number) } else { None };
            let told = patch.and_then(|n| known.told.of(n, source).map(|told| (n, told)));
            if let Some((number, _)) = told.filter(|(_, told)| listed && told.is_marked) {
                self.list_cells(number, &key, cells);
            }
            self.judge_returned((group, row), &key, columns, counts, listed.then_some(&mut *cells));
            if !listed {
                continue;
            }
            if patch.is_none() {
                let doubtful = verdict == Verdict::Inferred && !self.rebuilt.doubtful.is_empty();
                self.list_kept(doubtful, &uncovered, &key, cells);
            }
            let first = told.map(|(_, told)| told.first).filter(|&first| first != u32::MAX);
            let source = |out: &mut dyn Write| match first {
                Some(first) => self.rebuilt.input.record_name(first).write(out),
                None => out.write_str("current"),
            };
            printed(rows.push((None, verdict, Some(true)), key, Some(source)));
        }
        Ok(())
    }

    /// What the columns that were dropped since make of a row.
    fn returned_verdict(&self, group: usize, row: Row) -> Verdict {
        let Some(returned) = self.returned else { return Verdict::Unchanged };
        let worst = returned.verdicts(self.rebuilt, group, row).max();
        // A cell that an image states exactly makes no row a restored one.
        worst.filter(|&worst| worst > Verdict::Restored).unwrap_or(Verdict::Unchanged)
    }

    /// Judges the cells of a row in columns that were dropped since.
    fn judge_returned(
        &self,
        (group, row): (usize, Row),
        key: &Printer<'_>,
        columns: &mut ColumnCounts,
        counts: &mut VerdictCounts,
        mut cells: Option<&mut VerdictRows>,
    ) {
        let first = self.rebuilt.input.schema.len();
        let judged = self.returned.into_iter().flat_map(|r| r.verdicts(self.rebuilt, group, row));
        for (column, verdict) in (first..).zip(judged) {
            match verdict {
                Verdict::Unrecoverable => {
                    columns[column][2] += 1;
                    counts.unrecoverable_cells += 1;
                }
                Verdict::Inferred => {
                    columns[column][0] += 1;
                    counts.inferred_cells += 1;
                }
                _ => continue,
            }
            if let Some(cells) = cells.as_deref_mut() {
                let no_source = None::<fn(&mut dyn Write) -> fmt::Result>;
                printed(cells.push((Some(column), verdict, Some(true)), key, no_source));
            }
        }
    }

    /// Lists the marks on the cells of a row that stays: columns that no image carries, and, in a row that
    /// an ambiguous null may have meant, those that such nulls occur in.
    fn list_kept(&self, doubtful: bool, uncovered: &[usize], key: &Printer<'_>, cells: &mut VerdictRows) {
        let input = self.rebuilt.input;
        let ambiguous = (0..input.schema.len()).filter(|&c| doubtful && input.lanes.is_ambiguous(c));
        let marks = ambiguous
            .map(|c| (c, Verdict::Inferred))
            .chain(uncovered.iter().map(|&c| (c, Verdict::NotCovered)));
        for (column, verdict) in marks {
            let source = |out: &mut dyn Write| out.write_str("current");
            printed(cells.push((Some(column), verdict, Some(true)), key, Some(source)));
        }
    }

    fn count_doubtful(&self, counts: &mut VerdictCounts, columns: &mut ColumnCounts) {
        if self.rebuilt.doubtful.is_empty() {
            return;
        }
        for (column, counted) in columns.iter_mut().enumerate() {
            if self.rebuilt.input.lanes.is_ambiguous(column) {
                counted[1] += 1;
                counts.ambiguous_cells += 1;
            }
        }
    }

    /// Columns that no image carries: every one of their cells is marked.
    fn uncovered_columns(&self) -> Vec<usize> {
        let input = self.rebuilt.input;
        let uncovered = |&c: &usize| !input.lanes.is_covered(c) && !input.schema.is_key(c);
        (0..input.schema.len()).filter(uncovered).filter(|_| !input.store.is_empty()).collect()
    }

    /// Current rows whose key the ledger mentions; looked at only outside the window.
    fn mentioned(&self) -> HashSet<u64> {
        let rows = self.rebuilt.standing.rows.iter().copied();
        if self.uncovered { rows.filter(|&row| row != NO_ROW).collect() } else { HashSet::new() }
    }

    fn key_columns(&self, group: usize) -> Result<Vec<ArrayRef>> {
        let schema = &self.rebuilt.input.schema;
        let columns: Vec<usize> =
            if schema.is_keyless() { (0..schema.len()).collect() } else { schema.key().to_vec() };
        columns.into_iter().map(|column| self.rebuilt.column(group, column)).collect()
    }

    /// Lists the cells of a patch that are not exact.
    fn list_cells(&self, number: u32, key: &Printer<'_>, cells: &mut VerdictRows) {
        let rebuilt = self.rebuilt;
        for (column, mark) in self.marks(number) {
            let source = rebuilt.input.source_name(rebuilt.choice(number, column).source);
            let source = source.map(|source| move |out: &mut dyn Write| out.write_str(&source));
            printed(cells.push((Some(column), mark.verdict(), Some(true)), key, source));
        }
    }
}

/// Tells the verdicts on the rows of one output group.
struct OfRows<'j> {
    judge: &'j Judge<'j>,
    group: usize,
    known: Known<'j>,
    is_sure: bool,
    lacks_columns: bool,
    /// Which rows of the current group the ledger was recorded of.
    recorded: Option<BooleanArray>,
}

impl OfRows<'_> {
    fn verdict(&self, row: Row) -> Verdict {
        let verdict = match row {
            Row::Keep(_) if self.is_sure => return Verdict::Unchanged,
            Row::Keep(kept) => self.kept(self.judge.rebuilt.layouts[self.group].group, kept),
            Row::Patch(number) => match self.known.told {
                OfPatches::Plain => Verdict::Restored,
                OfPatches::Each(told) => told[number as usize].verdict,
                OfPatches::Nothing => self.judge.patch_verdict(number),
            },
        };
        verdict.max(self.judge.returned_verdict(self.group, row))
    }

    fn kept(&self, current: Option<usize>, row: u32) -> Verdict {
        let judge = self.judge;
        let place = current.map_or(0, |g| (g as u64) << 32) | u64::from(row);
        let is_recorded = |r: &BooleanArray| r.is_valid(row as usize) && r.value(row as usize);
        if self.known.contradicted.binary_search(&place).is_ok() {
            Verdict::Contradicted
        } else if judge.uncovered && !self.known.mentioned.contains(&place)
            || self.recorded.as_ref().is_some_and(|r| !is_recorded(r))
        {
            Verdict::NotCovered
        } else if judge.rebuilt.doubtful.binary_search(&place).is_ok() {
            Verdict::Inferred
        } else if self.lacks_columns {
            Verdict::NotCovered
        } else {
            Verdict::Unchanged
        }
    }
}

/// Prints the key of a row.
type Printer<'a> = dyn Fn(&mut dyn Write) -> fmt::Result + 'a;

pub(super) fn printed(result: fmt::Result) {
    debug_assert!(result.is_ok(), "a column in memory takes what is printed into it");
}
