//! The main job: rebuild, verify, export, with evidence.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use rayon::prelude::*;

use super::checks;
use super::dossier::{self, WrittenDataset};
use super::dropped::{self, Dropped, Returned, WithReturned};
use super::findings::{Findings, Found, Gathered, Known};
use super::in_force::InForce;
use super::in_memory;
use super::inputs::DatasetInput;
use super::manifest;
use super::outcome::{DatasetOutcome, MomentOutcome, SnapshotBatches, SnapshotOutcome, TableBatches};
use super::places::{file_of, publish, stage};
use super::postings;
use super::progress::Progress;
use super::provenance::{self, WithProvenance};
use super::rebuild::Rebuilt;
use super::request::{DigestDepth, Output, OutputFormat, SchemaAt, SnapshotRequest, Trust};
use super::run::{Analysed, Run, RunPlan};
use super::series::Shared;
use super::totals::Totals;
use super::verdicts::{Judge, VerdictCounts};
use super::window::{self, SourceCut};
use super::{columnar, contested, coverage, digests, drift, reperform, timeline};
use crate::check;
use crate::error::{Error, Result};
use crate::export::Workbook;
use crate::export::digests::write_digests;
use crate::export::package::{FileDigest, Staged};
use crate::export::tables::DiscrepancyFile;
use crate::export::totals::{DatasetTotals, totals_batch, write_totals};
use crate::export::verdicts::VerdictWriter;
use crate::export::{self, CsvStyle, ParquetStyle, TableStyle};
use crate::model::{Discrepancy, DiscrepancyKind as Kind, NO_TIME, time};
use crate::plan::{Bound, Moment};
use crate::read::Spool;
use crate::replay::select::{Fate, NO_ROW, Patch};
use crate::report;
use crate::snapshot::GroupSource;

/// Rebuilds every dataset at every moment and writes the output.
///
/// # Errors
/// An input cannot be read, a rule refuses a dataset, or the output cannot be
/// written; then nothing is left behind.
pub fn snapshot(request: &SnapshotRequest, progress: &dyn Progress) -> Result<SnapshotOutcome> {
    super::in_pool(&request.options, || run(request, progress, |_| Ok(()))).map(|(outcome, ())| outcome)
}

/// The same; `also` takes out of the run what else a caller wants of it.
pub(super) fn run<T>(
    request: &SnapshotRequest,
    progress: &dyn Progress,
    also: impl FnOnce(&Run) -> Result<T>,
) -> Result<(SnapshotOutcome, T)> {
    let staged = stage(request)?;
    let spool = Spool::new(request.options.spool.as_deref());
    let bounds: Vec<&Bound> = request.moments.iter().map(|m| &m.bound).collect();
    let at_date = request.schema == SchemaAt::AtDate;
    // What a dropped column held may stand long before the moment.
    let moments: &[&Bound] = if at_date { &[] } else { &bounds };
    let plan = RunPlan {
        plan: &request.plan,
        verify: request.verify,
        now: request.options.now,
        moments,
        memory_limit: request.options.memory_limit,
        digests: matches!(request.output, Output::Folder { .. }),
    };
    let run = Run::new(plan, &spool, progress)?;
    let dropped = match at_date {
        true => dropped::read(&run, &request.plan, &spool, progress)?,
        false => run.inputs.datasets.iter().map(|_| None).collect(),
    };
    if request.provenance {
        provenance::check(&run.inputs.datasets)?;
    }
    let mut outcome = SnapshotOutcome {
        moments: Vec::new(),
        assumptions: run.windows.iter().flat_map(|w| w.assumptions.clone()).collect(),
        notes: checks::not_compared(&request.plan, &request.moments),
        types: super::type_decisions(&run.inputs),
        verified: request.verify,
        refused: Vec::new(),
    };
    let shared = Shared::of_series(&run, &bounds, request.options.memory_limit, progress)?;
    for moment in &request.moments {
        let series = request.moments.len() > 1;
        let place = |s: &Staged| if series { s.path().join(&moment.label) } else { s.path().to_owned() };
        let folder = staged.as_ref().map(place);
        if let Some(folder) = folder.as_ref().filter(|_| series) {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "write"))?;
        }
        let folder = folder.as_deref();
        let writing = Writing {
            request,
            run: &run,
            shared: &shared,
            dropped: &dropped,
            moment,
            folder,
            spool: &spool,
            progress,
        };
        let written = writing.moment(&mut outcome.refused)?;
        outcome.moments.push(written);
    }
    let taken = also(&run)?;
    run.inputs.check_unchanged()?;
    if let Some(staged) = staged {
        publish(request, staged)?;
    }
    Ok((outcome, taken))
}

/// One moment on its way into a folder, or into memory.
struct Writing<'a> {
    request: &'a SnapshotRequest,
    run: &'a Run,
    /// Per dataset, what the moments have in common.
    shared: &'a [Shared],
    /// Per dataset, the columns that were dropped since, if the snapshot shall have them.
    dropped: &'a [Option<Dropped>],
    moment: &'a Moment,
    /// `None`: nothing is written.
    folder: Option<&'a Path>,
    spool: &'a Spool,
    progress: &'a dyn Progress,
}

/// What the datasets of one moment add to.
struct Parts {
    /// `None`: nobody wants them.
    verdicts: Option<VerdictWriter>,
    keys: checks::Keys,
    findings: Findings,
    /// Tables that are not written.
    tables: Vec<TableBatches>,
    /// The workbook of an evidence folder.
    workbook: Option<Workbook>,
    /// What the datasets of an evidence folder are told by.
    written: Vec<WrittenDataset>,
    /// Files whose digest was taken as they were written.
    digests: BTreeMap<String, FileDigest>,
}

impl Writing<'_> {
    fn moment(&self, refused: &mut Vec<(String, String)>) -> Result<MomentOutcome> {
        let known = Known::new(&self.request.plan, self.request.options.now);
        let mut parts = Parts {
            verdicts: self.verdict_writer()?,
            keys: checks::Keys::default(),
            findings: Findings::new(self.spool, &known),
            tables: Vec::new(),
            workbook: self.workbook()?,
            written: Vec::new(),
            digests: BTreeMap::new(),
        };
        let mut datasets = Vec::new();
        let mut origins = Vec::new();
        for number in 0..self.run.inputs.datasets.len() {
            match self.dataset(number, &mut parts) {
                Ok((written, cut)) => {
                    datasets.push(written);
                    origins.push((&self.run.analysed[number].found, Some(cut)));
                }
                Err(Error::Refused { dataset, reason, .. }) if self.request.policy.partial => {
                    let mut discrepancy = Discrepancy::new(
                        Kind::TruncatedTable,
                        dataset.clone(),
                        format!("left out: {reason}"),
                    );
                    discrepancy.touches_snapshot = true;
                    parts.findings.push([Found::always(discrepancy)])?;
                    origins.push((&self.run.analysed[number].found, None));
                    refused.push((dataset, reason));
                }
                Err(error) => return Err(error),
            }
        }
        let orphans = checks::references(&self.request.plan, &parts.keys);
        parts.findings.push_sorted(orphans.into_iter().map(Found::always).collect())?;
        let own = parts.findings.finish()?;
        origins.push((&own, Some(0)));
        let found = Gathered(origins);
        let verdicts = parts.verdicts.map(VerdictWriter::finish).transpose()?;
        let batches = self.deliver(&found, &datasets, (parts.tables, verdicts))?;
        let path = match &self.request.output {
            Output::Folder { path, .. } if self.request.moments.len() > 1 => path.join(&self.moment.label),
            Output::Folder { path, .. } => path.clone(),
            Output::File { path, .. } => file_of(path, self.moment),
            Output::Memory => PathBuf::new(),
        };
        let mut discrepancies = found.summary();
        if self.request.verify {
            let explained = found.explained();
            discrepancies.differences = explained.equations(&self.request.plan, &datasets);
        }
        let outcome = MomentOutcome {
            text: self.moment.text.clone(),
            resolved: self.moment.resolved.clone(),
            path,
            datasets,
            discrepancies,
            batches,
        };
        if let (Output::Folder { .. }, Some(folder)) = (&self.request.output, self.folder) {
            self.file(&outcome, (&parts.written, refused), (parts.workbook, &parts.digests), folder)?;
        }
        Ok(outcome)
    }

    /// Writes what a person reads and what proves the rest: report, workbook, script and manifest.
    fn file(
        &self,
        outcome: &MomentOutcome,
        (written, refused): (&[WrittenDataset], &[(String, String)]),
        (workbook, digests): (Option<Workbook>, &BTreeMap<String, FileDigest>),
        folder: &Path,
    ) -> Result<()> {
        let report = dossier::report(self.request, self.run, self.moment, outcome, (written, refused))?;
        let place = folder.join("report.html");
        std::fs::write(&place, report::page(&report)).map_err(Error::io(&place, "write"))?;
        workbook.map(|workbook| workbook.finish(&report)).transpose()?;
        let is_parquet = matches!(self.request.output, Output::Folder { format: OutputFormat::Parquet, .. });
        let is_comparable = is_parquet && self.request.policy.trust == Trust::Current;
        let snapshot = |input: &DatasetInput| {
            let name = &input.plan.name;
            let is_whole = outcome
                .datasets
                .iter()
                .any(|o| o.name == *name && o.left_out.is_empty() && o.returned.is_empty());
            (is_whole && is_comparable).then(|| OutputFormat::Parquet.file_name(name))
        };
        let snapshots: Vec<Option<String>> = self.run.inputs.datasets.iter().map(snapshot).collect();
        let added: &[&str] = if self.request.provenance { &provenance::COLUMNS } else { &[] };
        reperform::write(self.run, self.moment, (&snapshots, added), folder)?;
        manifest::write(self.request, (self.run, self.moment), outcome, (folder, digests))
    }

    /// Writes the tables that all datasets share, or collects them.
    fn deliver(
        &self,
        found: &Gathered<'_>,
        datasets: &[DatasetOutcome],
        (tables, verdicts): (Vec<TableBatches>, Option<Vec<RecordBatch>>),
    ) -> Result<Option<SnapshotBatches>> {
        match (&self.request.output, self.folder) {
            (Output::Folder { .. }, Some(folder)) => {
                let parquet = DiscrepancyFile::parquet(&folder.join("discrepancies.parquet"))?;
                found.write(vec![parquet, DiscrepancyFile::csv(&folder.join("discrepancies.csv"))?])?;
                write_totals(&dataset_totals(datasets), folder)?;
                let digests: Vec<_> = datasets.iter().map(|d| (d.name.as_str(), &*d.digests)).collect();
                if digests.iter().any(|(_, totals)| !totals.is_empty()) {
                    write_digests(&digests, folder)?;
                }
                let (name, program) = check::VERIFIER;
                let path = folder.join(name);
                std::fs::write(&path, program).map_err(Error::io(&path, "write"))?;
                Ok(None)
            }
            (Output::Memory, _) => {
                let mut discrepancies = Vec::new();
                found.each(|batch| {
                    discrepancies.push(batch.clone());
                    Ok(())
                })?;
                let verdicts = verdicts.unwrap_or_default();
                let totals =
                    totals_batch(&dataset_totals(datasets)).map_err(Error::arrow(Path::new("totals")))?;
                Ok(Some(SnapshotBatches { tables, verdicts, discrepancies, totals: vec![totals] }))
            }
            _ => Ok(None),
        }
    }

    fn workbook(&self) -> Result<Option<Workbook>> {
        match (&self.request.output, self.folder) {
            (Output::Folder { .. }, Some(folder)) => Workbook::new(&folder.join("workbook.xlsx")).map(Some),
            _ => Ok(None),
        }
    }

    /// Adds a dataset to the workbook and to what the report shows.
    fn present(&self, number: usize, judge: &Judge<'_>, parts: &mut Parts) -> Result<()> {
        let (Output::Folder { format, .. }, Some(workbook)) = (&self.request.output, &mut parts.workbook)
        else {
            return Ok(());
        };
        let plan = &judge.rebuilt.input.plan;
        let file = format.file_name(&plan.name);
        let limit = self.request.options.workbook_rows;
        self.exported(judge, |source| {
            workbook.add_table((&plan.name, &file), source, &plan.measures, limit)
        })?;
        let zone = self.request.plan.calendar.zone_or_utc();
        let shown = (judge.cut, zone, self.request.verify);
        let timeline = timeline::timeline(self.run, number, self.moment, shown);
        parts.written.push(WrittenDataset { number, file, timeline });
        Ok(())
    }

    fn verdict_writer(&self) -> Result<Option<VerdictWriter>> {
        match (&self.request.output, self.folder) {
            (Output::Folder { .. }, Some(folder)) => {
                Ok(Some(VerdictWriter::create(&folder.join("verdicts.parquet"))?))
            }
            (Output::Memory, _) => Ok(Some(VerdictWriter::in_memory())),
            _ => Ok(None),
        }
    }

    /// Rebuilds, judges, checks and writes one dataset; also says at which rank it was cut.
    fn dataset(&self, number: usize, parts: &mut Parts) -> Result<(DatasetOutcome, u32)> {
        let run = self.run;
        let input = &run.inputs.datasets[number];
        let analysed = &run.analysed[number];
        if self.request.output.format() == Some(OutputFormat::Parquet) {
            refuse_unwritable(input)?;
        }
        let order = &run.order(number).order;
        let cut = window::cut(run.source(number), order, &self.moment.bound, &input.plan.name)?;
        let uncovered =
            coverage::is_uncovered(run, number, (self.moment, &cut), self.request.policy.allow_uncovered)?;
        let distrusted =
            (self.request.policy.trust == Trust::Ledger).then_some(analysed.distrusted.as_slice());
        refuse_disowned_copies(input, analysed, distrusted.is_some())?;
        let mut found = self.cut_findings(number, &cut);
        found.extend(coverage::truncates(run, number, &cut)?);
        found.extend(uncovered.then(|| coverage::uncovered(run, number, self.moment)));
        let timeline = run.timeline_of(number, analysed);
        self.progress.stage(&format!("rebuild {}", input.plan.name), None);
        let mut rebuilt = Rebuilt::new(
            input,
            &analysed.histories,
            &analysed.standing,
            (timeline, cut.rank.min(analysed.end)),
            distrusted,
            (&self.shared[number], self.progress),
        )?;
        rebuilt.set_unborn(drift::unborn(input, order, cut.rank)?);
        let refill_proven = coverage::refill_proven(run, number, &cut);
        let mark = contested::mark(run.source(number), &self.moment.bound);
        let returned = match &self.dropped[number] {
            Some(dropped) => dropped.at(&rebuilt, timeline, cut.rank.min(analysed.end))?,
            None => None,
        };
        let returned = returned.as_ref();
        let judge =
            Judge { analysed, rebuilt: &rebuilt, cut: cut.rank, mark, uncovered, refill_proven, returned };
        let (counts, columns) = judge.judge(parts.verdicts.as_mut())?;
        if self.request.policy.strict {
            refuse_unrecoverable(input, &counts)?;
        }
        match self.folder {
            Some(folder) => parts.digests.extend(self.write(&judge, folder)?),
            None => parts.tables.push(self.table(&judge)?),
        }
        self.present(number, &judge, parts)?;
        parts.keys.collect(&self.request.plan, number, &rebuilt)?;
        let mut outcome = outcome(&rebuilt, counts, analysed);
        outcome.undone = analysed.undone(cut.rank, rebuilt.undone.as_deref());
        outcome.left_out = self.left_out(&rebuilt);
        outcome.returned = returned.into_iter().flat_map(Returned::names).map(str::to_owned).collect();
        let totals = Totals::new(&rebuilt, outcome.row_total())?;
        outcome.measures = totals.measures(totals.whole());
        outcome.groups = totals.groups();
        if self.request.options.digest != DigestDepth::None {
            let depth = (self.request.options.digest, &counts);
            outcome.digests = digests::digests(run, number, (&rebuilt, cut.rank), depth)?;
        }
        found.extend(checks::cells(input, &outcome.returned, &columns));
        found.extend(checks::tie_outs(input, self.moment, &totals));
        parts.findings.push_sorted(found.into_iter().map(Found::always).collect())?;
        let evidence = run.evidence(number, &analysed.histories, &analysed.standing);
        if !self.request.verify {
            checks::overdrawn(&evidence, &rebuilt, &mut parts.findings)?;
        }
        Ok((outcome, cut.rank))
    }

    /// Transactions on both sides of the clock, and an as-of behind everything recorded.
    fn cut_findings(&self, number: usize, cut: &SourceCut) -> Vec<Discrepancy> {
        let input = &self.run.inputs.datasets[number];
        let order = &self.run.order(number).order;
        let mut found = Vec::new();
        if input.member == 0 {
            for &transaction in &cut.ambiguous {
                let at = &order.transactions[transaction];
                let side = if transaction < cut.transaction { "in force" } else { "undone" };
                let times = match at.earliest == at.time {
                    true if at.time == NO_TIME => "no recorded time".to_owned(),
                    true => time::format_instant(at.time),
                    false => {
                        format!("{} to {}", time::format_instant(at.earliest), time::format_instant(at.time))
                    }
                };
                let mut discrepancy = input.discrepancy(
                    Kind::AmbiguousCut,
                    format!(
                        "a transaction of {times} ({} clock) is {side}, though its clock says otherwise, or nothing, of \
                             a part of it or of its neighbours",
                        self.run.source(number).clock.name()
                    ),
                );
                discrepancy.touches_snapshot = true;
                found.push(discrepancy);
            }
        }
        found.extend(columnar::ambiguous(input, &self.moment.bound));
        found.extend(postings::late(input, self.run.source(number), &self.moment.bound));
        let window = &self.run.windows[number];
        if input.plan.current.at.is_none() && window.to.is_none() && window.is_after_end(&self.moment.bound) {
            let last = window.last.map_or_else(|| "nothing".to_owned(), time::format_instant);
            let mut discrepancy = input.discrepancy(
                Kind::CoverageAssumed,
                format!(
                    "the as-of lies after the ledger's last change ({last}): assumed that nothing changed since; \
                     declare `current.at` or `ledger.complete_to`"
                ),
            );
            discrepancy.touches_snapshot = true;
            found.push(discrepancy);
        }
        found
    }

    /// The table in memory, in the types that it came in.
    fn table(&self, judge: &Judge<'_>) -> Result<TableBatches> {
        let rebuilt = judge.rebuilt;
        let source = &rebuilt.input.plan.current.source;
        let given = source.batches.as_ref().map(|batches| batches.schema().as_ref());
        self.progress.stage(&format!("collect {}", rebuilt.input.plan.name), Some(rebuilt.count()));
        let (schema, batches) =
            self.exported(judge, |source| in_memory::batches(source, given, self.progress))?;
        Ok(TableBatches { name: rebuilt.input.plan.name.clone(), schema, batches })
    }

    /// Writes the table; returns name and digest of the file if the digest was taken on the way.
    fn write(&self, judge: &Judge<'_>, folder: &Path) -> Result<Option<(String, FileDigest)>> {
        let format = match &self.request.output {
            Output::Folder { format, .. } | Output::File { format, .. } => *format,
            Output::Memory => return Ok(None),
        };
        let rebuilt = judge.rebuilt;
        let name = format.file_name(&rebuilt.input.plan.name);
        let path = folder.join(&name);
        let style = self.style(format, rebuilt);
        let file = File::create(&path).map_err(Error::io(&path, "write"))?;
        self.progress.stage(&format!("write {}", rebuilt.input.plan.name), Some(rebuilt.count()));
        let done = |rows| self.progress.advance(rows);
        let digest =
            self.exported(judge, |source| export::write_table(source, &style, file, &path, &done))?;
        Ok(digest.map(|digest| (name, digest)))
    }

    /// Hands the table with the columns that were asked for to `export`.
    fn exported<T>(
        &self,
        judge: &Judge<'_>,
        export: impl FnOnce(&dyn GroupSource) -> Result<T>,
    ) -> Result<T> {
        let rebuilt = judge.rebuilt;
        let whole = judge.returned.map(|returned| WithReturned::new(rebuilt, returned));
        let source: &dyn GroupSource = match &whole {
            Some(with_returned) => with_returned,
            None => rebuilt,
        };
        let provenance = self.request.provenance.then(|| WithProvenance::new(source, judge));
        let source: &dyn GroupSource = match &provenance {
            Some(with_provenance) => with_provenance,
            None => source,
        };
        match self.left_out(rebuilt).as_slice() {
            [] => export(source),
            some => export(&InForce::without(source, some)),
        }
    }

    /// The columns that did not exist yet, if the snapshot shall not have them.
    fn left_out(&self, rebuilt: &Rebuilt<'_>) -> Vec<String> {
        let schema = &rebuilt.input.schema;
        let unborn = |&column: &usize| rebuilt.unborn[column] && !schema.is_key(column);
        match self.request.schema {
            SchemaAt::Current => Vec::new(),
            SchemaAt::AtDate => (0..schema.len()).filter(unborn).map(|c| schema.name(c).to_owned()).collect(),
        }
    }

    fn style(&self, format: OutputFormat, rebuilt: &Rebuilt<'_>) -> TableStyle {
        let input = rebuilt.input;
        match format {
            OutputFormat::Parquet => TableStyle::Parquet(ParquetStyle {
                like: (input.table.groups() > 0)
                    .then(|| input.table.parquet(0).map(|group| group.metadata.clone()))
                    .flatten(),
                metadata: manifest::footer(self.run, self.moment, input),
                plain: false,
                digest: matches!(self.request.output, Output::Folder { .. }),
            }),
            OutputFormat::Csv => {
                let csv = &input.plan.current.source.csv;
                let text_source = input.table.parquet(0).is_none() && input.table.null_marker().is_none();
                TableStyle::Csv(CsvStyle {
                    delimiter: b',',
                    null: csv.null.clone().unwrap_or_default(),
                    empty_unquoted: text_source,
                    safe: self.request.csv_safe,
                })
            }
            OutputFormat::ArrowIpc => TableStyle::ArrowIpc,
            OutputFormat::Xlsx => TableStyle::Xlsx,
        }
    }
}

/// Refuses a snapshot with cells that nothing states.
fn refuse_unrecoverable(input: &DatasetInput, counts: &VerdictCounts) -> Result<()> {
    if counts.unrecoverable_cells == 0 {
        return Ok(());
    }
    Err(Error::Refused {
        dataset: input.plan.name.clone(),
        reason: format!("{} cells of the snapshot are unrecoverable", counts.unrecoverable_cells),
        hint: Some("without --strict they are null in the file and marked".to_owned()),
    })
}

/// Refuses a table that no Parquet file can hold: its decimals have no negative scale.
fn refuse_unwritable(input: &DatasetInput) -> Result<()> {
    let fields = input.table.schema().fields();
    let Some(field) = fields.iter().find(|field| has_negative_scale(field.data_type())) else {
        return Ok(());
    };
    Err(Error::Refused {
        dataset: input.plan.name.clone(),
        reason: format!(
            "column {:?} is {}, a decimal of negative scale, which a Parquet file cannot hold",
            field.name(),
            field.data_type()
        ),
        hint: Some("write it as --format arrow or --format csv, which hold it exactly".to_owned()),
    })
}

fn has_negative_scale(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale < 0,
        DataType::Struct(fields) => fields.iter().any(|field| has_negative_scale(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            has_negative_scale(item.data_type())
        }
        DataType::Dictionary(_, value) => has_negative_scale(value),
        _ => false,
    }
}

/// Which of several equal rows a trusted ledger disowns cannot be told.
pub(super) fn refuse_disowned_copies(
    input: &DatasetInput,
    analysed: &Analysed,
    is_ledger_trusted: bool,
) -> Result<()> {
    let is_contradicted = !analysed.contradicted.is_empty() || !analysed.standing.unmentioned.is_empty();
    if is_ledger_trusted && input.schema.is_keyless() && is_contradicted {
        return Err(Error::Refused {
            dataset: input.plan.name.clone(),
            reason:
                "it has no key, so rows that ledger and current state disagree on cannot be taken from the \
                     ledger"
                    .to_owned(),
            hint: Some("declare a key, or leave out --trust ledger".to_owned()),
        });
    }
    Ok(())
}

fn dataset_totals(datasets: &[DatasetOutcome]) -> Vec<DatasetTotals<'_>> {
    let mut totals = Vec::with_capacity(datasets.len());
    for d in datasets {
        let rows = d.row_total();
        totals.push(DatasetTotals { dataset: &d.name, rows, measures: &d.measures, groups: &d.groups });
    }
    totals
}

fn outcome(rebuilt: &Rebuilt<'_>, verdicts: VerdictCounts, analysed: &Analysed) -> DatasetOutcome {
    let keyless = rebuilt.input.schema.is_keyless();
    let counted = |[inserts, deletes, changed]: [u64; 3], patch: &Patch| {
        let standing = !keyless && rebuilt.standing.rows[patch.slot as usize] != NO_ROW;
        match (patch.fate, standing || keyless) {
            (Fate::Present, true) if !keyless => [inserts, deletes, changed + 1],
            (Fate::Present, _) => [inserts, deletes + 1, changed],
            (Fate::Absent | Fate::Unknown, true) => [inserts + 1, deletes, changed],
            (Fate::Absent | Fate::Unknown, false) => [inserts, deletes, changed],
        }
    };
    let added = |a: [u64; 3], b: [u64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
    let counts = rebuilt.patches.par_iter().fold(|| [0; 3], counted).reduce(|| [0; 3], added);
    let [inserts_undone, deletes_undone, rows_changed] = counts;
    DatasetOutcome {
        name: rebuilt.input.plan.name.clone(),
        current_rows: rebuilt.standing.count,
        inserts_undone: rebuilt.never_mentioned + inserts_undone,
        deletes_undone,
        rows_changed,
        rows: rebuilt.count(),
        changes: analysed.counts.changes,
        undone: Vec::new(),
        left_out: Vec::new(),
        returned: Vec::new(),
        verdicts,
        measures: Vec::new(),
        groups: Vec::new(),
        digests: Vec::new(),
    }
}
