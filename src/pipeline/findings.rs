//! Findings on their way into the file: all are counted and spooled, a sample of
//! each kind and dataset stays in memory.
//!
//! ```text
//!   push ─► section (severity, kind, dataset) ─► counts, sample
//!                                             └► spool: rows of the discrepancies table, with their rank
//! ```
//!
//! A section keeps the order in which findings were pushed, so who pushes decides
//! it; sections follow each other worst first. A row is spooled once, whatever the
//! number of moments: only whether it touches a snapshot depends on the cut, and is
//! filled in as the row is written.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use chrono::TimeZone;

use super::differences::{Explained, Materiality};
use super::outcome::{Discrepancies, KindCount};
use crate::error::{Error, Result};
use crate::export::tables::{self, DiscrepancyFile};
use crate::model::{Amount, Cause, Discrepancy, DiscrepancyKind, Severity};
use crate::plan::{Plan, UpTo};
use crate::read::{Spool, SpoolWriter, SpooledTable};

/// Findings of one kind and dataset that stay in memory in full.
pub(super) const SAMPLE: usize = 1000;
/// Rows spooled at a time.
const BATCH: usize = 4096;

/// A discrepancy with what decides whether it touches a snapshot.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub discrepancy: Discrepancy,
    /// Snapshots at cuts up to this rank are touched; `None`: decided already.
    pub rank: Option<u32>,
}

impl Found {
    pub(super) fn always(discrepancy: Discrepancy) -> Self {
        Self { discrepancy, rank: None }
    }

    fn at(&self, cut: Option<u32>) -> Discrepancy {
        let mut discrepancy = self.discrepancy.clone();
        let by_rank = |cut| discrepancy.touches_snapshot || self.rank.is_some_and(|rank| rank >= cut);
        discrepancy.touches_snapshot = cut.is_some_and(by_rank);
        discrepancy
    }
}

/// Orders findings by place and key: an order that no thread and no hash decides.
pub(super) fn sort(found: &mut [Found]) {
    found.sort_by_cached_key(|f| {
        let d = &f.discrepancy;
        let ledger = d.ledger.as_ref().map(|l| (l.file.clone(), l.record));
        let current = d.current.as_ref().map(|c| (c.file.clone(), c.row));
        (ledger, current, d.key.clone(), d.cells.first().map(|c| c.column.clone()), d.message.clone())
    });
}

/// What the plan says of findings: fingerprints that it accepts at this moment, each with its reason, and
/// from which amounts on one is material.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// By fingerprint, in the order of the plan.
    accepted: Arc<BTreeMap<String, Vec<Acceptance>>>,
    materiality: Arc<Materiality>,
}

impl Known {
    pub(super) fn new(plan: &Plan, now: i64) -> Self {
        let today = plan.calendar.zone.unwrap_or(chrono_tz::UTC).timestamp_nanos(now).date_naive();
        let holds = |a: &&crate::plan::Accepted| a.expires.is_none_or(|last| today <= last);
        let mut accepted: BTreeMap<String, Vec<Acceptance>> = BTreeMap::new();
        for one in plan.accepted.iter().filter(holds) {
            let acceptance = Acceptance { reason: one.reason.clone(), up_to: one.up_to.clone() };
            accepted.entry(one.fingerprint.clone()).or_default().push(acceptance);
        }
        Self { accepted: Arc::new(accepted), materiality: Arc::new(Materiality::new(plan)) }
    }

    /// Marks a finding as material, and as accepted by the first that covers its amount.
    fn judge(&self, found: &mut Discrepancy) {
        found.material = self.materiality.judge(found);
        if self.accepted.is_empty() {
            return;
        }
        let Some(naming) = self.accepted.get(&found.fingerprint()) else { return };
        match naming.iter().find(|acceptance| acceptance.covers(found)) {
            Some(acceptance) => found.accepted = Some(acceptance.reason.clone()),
            None => found.not_accepted = naming.first().map(Acceptance::limit),
        }
    }
}

/// One entry of the plan that accepts a finding.
#[derive(Debug, Clone)]
struct Acceptance {
    reason: String,
    up_to: Option<UpTo>,
}

impl Acceptance {
    /// Whether it goes as far as a finding's amounts. A fingerprint tells which finding it is, not how large.
    fn covers(&self, found: &Discrepancy) -> bool {
        let within = |limit: Amount, text: &str| {
            Amount::parse(text).and_then(Amount::magnitude).is_some_and(|amount| amount <= limit)
        };
        match &self.up_to {
            Some(UpTo::Any) => true,
            Some(UpTo::Amount(limit)) => Amount::parse(limit).is_some_and(|limit| {
                found.amounts.iter().chain(&found.effects).all(|(_, text)| within(limit, text))
            }),
            None => found.material != Some(true),
        }
    }

    /// How far it goes, in words.
    fn limit(&self) -> String {
        match &self.up_to {
            None => "the plan accepts it without `up_to`, so only as long as it is not material".to_owned(),
            Some(UpTo::Amount(limit)) => format!("the plan accepts it up to an amount of {limit}"),
            Some(UpTo::Any) => "the plan accepts any amount".to_owned(),
        }
    }
}

/// What findings are sorted by: worst first, then by kind, then by dataset.
type Place = (Reverse<Severity>, DiscrepancyKind, String);

/// Takes findings as they come.
pub(super) struct Findings {
    spool: Spool,
    known: Known,
    schema: SchemaRef,
    sections: BTreeMap<Place, Open>,
    explained: Explained,
}

struct Open {
    counts: KindCount,
    causes: BTreeMap<Cause, KindCount>,
    material: u64,
    sample: Vec<Found>,
    waiting: Vec<Found>,
    writer: SpoolWriter,
}

impl Findings {
    pub(super) fn new(spool: &Spool, known: &Known) -> Self {
        let table = tables::discrepancy_schema();
        let rank = Arc::new(Field::new("rank", DataType::UInt32, true));
        let fields: Vec<_> = table.fields().iter().cloned().chain([rank]).collect();
        Self {
            spool: spool.clone(),
            known: known.clone(),
            schema: Arc::new(Schema::new(fields)),
            sections: BTreeMap::new(),
            explained: Explained::default(),
        }
    }

    /// Adds findings, within each kind and dataset in this order.
    pub(super) fn push(&mut self, found: impl IntoIterator<Item = Found>) -> Result<()> {
        for mut one in found {
            self.known.judge(&mut one.discrepancy);
            self.explained.add(&one);
            let kind = one.discrepancy.kind;
            let place = (Reverse(kind.severity()), kind, one.discrepancy.dataset.clone());
            if !self.sections.contains_key(&place) {
                self.sections.insert(place.clone(), Open::new(self.spool.create(Arc::clone(&self.schema))?));
            }
            if let Some(section) = self.sections.get_mut(&place) {
                section.push(one, &self.schema)?;
            }
        }
        Ok(())
    }

    /// Adds the effect of rows to the whole difference that findings explain.
    pub(super) fn add_whole(&mut self, dataset: &str, effects: &[(String, String)]) {
        self.explained.add_whole(dataset, effects);
    }

    /// Adds findings that are few, sorted by place and key.
    pub(super) fn push_sorted(&mut self, mut found: Vec<Found>) -> Result<()> {
        sort(&mut found);
        self.push(found)
    }

    /// All of them, ready to be written as often as needed.
    pub(super) fn finish(self) -> Result<Collected> {
        let schema = self.schema;
        let finish = |(place, mut open): (Place, Open)| {
            open.flush(&schema)?;
            let Open { counts, causes, material, sample, writer, .. } = open;
            let section = Section { counts, causes, material, sample, rows: writer.finish()? };
            Ok((place, section))
        };
        let sections = self.sections.into_iter().map(finish).collect::<Result<_>>()?;
        Ok(Collected { sections, explained: self.explained })
    }
}

impl Open {
    fn new(writer: SpoolWriter) -> Self {
        Self {
            counts: KindCount::default(),
            causes: BTreeMap::new(),
            material: 0,
            sample: Vec::new(),
            waiting: Vec::new(),
            writer,
        }
    }

    fn push(&mut self, found: Found, schema: &SchemaRef) -> Result<()> {
        let of_cause = self.causes.entry(found.discrepancy.cause).or_default();
        for counts in [&mut self.counts, of_cause] {
            match found.discrepancy.accepted {
                None => counts.open += 1,
                Some(_) => counts.accepted += 1,
            }
        }
        self.material += u64::from(found.discrepancy.material == Some(true));
        if self.sample.len() < SAMPLE {
            self.sample.push(found.clone());
        }
        self.waiting.push(found);
        if self.waiting.len() == BATCH { self.flush(schema) } else { Ok(()) }
    }

    fn flush(&mut self, schema: &SchemaRef) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let rank: ArrayRef = Arc::new(waiting.iter().map(|f| f.rank).collect::<UInt32Array>());
        let discrepancies: Vec<Discrepancy> = waiting.into_iter().map(|f| f.discrepancy).collect();
        let batch = tables::discrepancy_batch(&discrepancies).and_then(|table| {
            let columns = table.columns().iter().cloned().chain([rank]).collect();
            RecordBatch::try_new(Arc::clone(schema), columns)
        });
        self.writer.push(&batch.map_err(Error::arrow(Path::new("discrepancies")))?)
    }
}

/// Findings that are complete.
#[derive(Debug, Default)]
pub(super) struct Collected {
    sections: BTreeMap<Place, Section>,
    explained: Explained,
}

#[derive(Debug)]
struct Section {
    counts: KindCount,
    causes: BTreeMap<Cause, KindCount>,
    material: u64,
    sample: Vec<Found>,
    rows: SpooledTable,
}

/// Findings of several origins, each seen from a cut; `None` asks about no snapshot.
pub(super) struct Gathered<'a>(pub Vec<(&'a Collected, Option<u32>)>);

impl Gathered<'_> {
    /// The sections of all origins, worst first.
    fn sections(&self) -> Vec<(&Place, &Section, Option<u32>)> {
        let all = self.0.iter().flat_map(|(c, cut)| c.sections.iter().map(move |(p, s)| (p, s, *cut)));
        let mut sections: Vec<_> = all.collect();
        sections.sort_by_key(|(place, ..)| *place);
        sections
    }

    /// What the findings of all origins explain.
    pub(super) fn explained(&self) -> Explained {
        let mut explained = Explained::default();
        self.0.iter().for_each(|(collected, _)| explained.merge(&collected.explained));
        explained
    }

    /// The counts and the sample.
    pub(super) fn summary(&self) -> Discrepancies {
        let mut summary = Discrepancies::default();
        for (place, section, cut) in self.sections() {
            let counts = summary.counts.entry(place.1).or_default();
            counts.open += section.counts.open;
            counts.accepted += section.counts.accepted;
            for (cause, of_cause) in &section.causes {
                let counts = summary.causes.entry(*cause).or_default();
                counts.open += of_cause.open;
                counts.accepted += of_cause.accepted;
            }
            summary.material += section.material;
            summary.listed.extend(section.sample.iter().map(|f| f.at(cut)));
        }
        summary
    }

    /// Hands over all of them, worst first, as batches of the discrepancies table.
    pub(super) fn each(&self, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        for (_, section, cut) in self.sections() {
            let columns: Vec<usize> = (0..section.rows.schema().fields().len()).collect();
            for number in 0..section.rows.batches() {
                let spooled = section.rows.read(number, &columns, None)?;
                let batch = seen_from(&spooled, cut).map_err(Error::arrow(Path::new("discrepancies")))?;
                take(&batch)?;
            }
        }
        Ok(())
    }

    /// Writes all of them into files of the discrepancies table.
    pub(super) fn write(&self, mut files: Vec<DiscrepancyFile>) -> Result<()> {
        self.each(|batch| files.iter_mut().try_for_each(|file| file.write(batch)))?;
        files.into_iter().try_for_each(DiscrepancyFile::finish)
    }
}

/// Spooled rows as they read for a snapshot at this cut, without their ranks.
fn seen_from(spooled: &RecordBatch, cut: Option<u32>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = tables::discrepancy_schema();
    let mut columns = spooled.columns().to_vec();
    let ranks = columns.pop();
    let touches = schema.index_of("touches_snapshot")?;
    let decided = columns[touches].as_boolean();
    let ranks = ranks.as_ref().map(|ranks| ranks.as_primitive::<UInt32Type>());
    let touched = |row: usize, cut: u32| {
        decided.value(row) || ranks.is_some_and(|r| r.is_valid(row) && r.value(row) >= cut)
    };
    let rows = 0..spooled.num_rows();
    let seen: BooleanArray = rows.map(|row| Some(cut.is_some_and(|cut| touched(row, cut)))).collect();
    columns[touches] = Arc::new(seen);
    RecordBatch::try_new(schema, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: DiscrepancyKind, key: usize, rank: Option<u32>) -> Found {
        let mut discrepancy = Discrepancy::new(kind, "t", "m");
        discrepancy.key = format!("id={key}");
        Found { discrepancy, rank }
    }

    #[test]
    fn all_are_in_the_table_and_a_sample_in_memory() {
        let spool = Spool::new(None).with_allowance(0);
        let mut findings = Findings::new(&spool, &Known::default());
        let many = 2 * BATCH + 7;
        let warnings = [found(DiscrepancyKind::AmbiguousCut, 0, None)];
        findings.push(warnings).unwrap();
        findings.push((0..many).map(|n| found(DiscrepancyKind::ChainBreak, n, Some(n as u32)))).unwrap();
        let collected = findings.finish().unwrap();
        let gathered = Gathered(vec![(&collected, Some(5000))]);
        let summary = gathered.summary();
        assert_eq!((summary.total(), summary.listed.len()), (many as u64 + 1, SAMPLE + 1));
        assert!(!summary.is_complete());
        let (mut keys, mut touching) = (Vec::new(), 0);
        gathered
            .each(|batch| {
                keys.extend(batch["key"].as_string::<i32>().iter().flatten().map(str::to_owned));
                touching += batch["touches_snapshot"].as_boolean().true_count();
                Ok(())
            })
            .unwrap();
        let expected: Vec<String> = (0..many).map(|n| format!("id={n}")).chain(["id=0".to_owned()]).collect();
        assert_eq!(keys, expected, "worst first, then as pushed");
        assert_eq!(touching, many - 5000);
    }

    #[test]
    fn what_the_plan_accepts_is_counted_apart() {
        let one = found(DiscrepancyKind::ChainBreak, 1, None);
        let acceptance = Acceptance { reason: "known".to_owned(), up_to: None };
        let accepted = [(one.discrepancy.fingerprint(), vec![acceptance])].into();
        let known = Known { accepted: Arc::new(accepted), ..Known::default() };
        let mut findings = Findings::new(&Spool::new(None), &known);
        findings.push([one, found(DiscrepancyKind::ChainBreak, 2, None)]).unwrap();
        let collected = findings.finish().unwrap();
        let summary = Gathered(vec![(&collected, None)]).summary();
        let counts = summary.counts[&DiscrepancyKind::ChainBreak];
        assert_eq!((counts.open, counts.accepted), (1, 1));
        assert_eq!(summary.listed[0].accepted.as_deref(), Some("known"));
    }

    #[test]
    fn an_acceptance_goes_as_far_as_its_amount() {
        let mut found = found(DiscrepancyKind::CurrentDiffers, 1, None).discrepancy;
        let covers = |up_to: Option<UpTo>, found: &Discrepancy| {
            Acceptance { reason: String::new(), up_to }.covers(found)
        };
        let up_to = |text: &str| Some(UpTo::Amount(text.to_owned()));
        assert!(covers(up_to("0"), &found), "it has no amount");
        found.amounts.push(("v".to_owned(), "-990.00".to_owned()));
        found.effects.push(("v".to_owned(), "12".to_owned()));
        assert!(covers(up_to("990"), &found) && !covers(up_to("989.99"), &found));
        assert!(covers(None, &found), "nothing says from which amount on it is material");
        found.material = Some(true);
        assert!(!covers(None, &found) && covers(up_to("990"), &found));
        found.effects[0].1 = "unknown".to_owned();
        assert!(!covers(up_to("990"), &found) && covers(Some(UpTo::Any), &found));
    }
}
