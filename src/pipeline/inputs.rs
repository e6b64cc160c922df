//! Opening what a plan names: tables, ledgers grouped into sources, and everything
//! that is wrong with them before a single change is looked at.

mod current;
mod hash_chain;
mod parse;
mod postings;
mod stream;
mod tabular;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::DataType;

use self::current::KeptKeys;
use self::parse::{Parse, parse};
pub(super) use self::stream::Streamed;
use self::stream::{lacks_zone, source_of, take_notes};
use super::columnar;
use super::opening;
use super::postings::ReadPostings;
use super::progress::Progress;
use super::scope::{ScopeFilter, ScopeOf, scope};
use crate::error::{Error, Result, nearest};
use crate::ledger::order::OrderRules;
use crate::ledger::store::{ChangeSpooler, ChangeStore};
use crate::ledger::want::{Columns, Want};
use crate::ledger::{
    self, Contested, DriftFinder, Format, PositionKind, Shape, TableTarget, Texts, TwiceTime,
};
use crate::model::lanes::{LaneFinder, Lanes};
use crate::model::{ChangeBatch, Discrepancy, DiscrepancyKind, Op, TableSchema, canon};
use crate::plan::{Dataset, LedgerClock, LedgerFormat, Normalisation, Plan};
use crate::read::{InputFile, Spool, Table};

/// Changes that are decoded and hashed at a time: their cells should stay in the cache between the two.
pub(super) const SCAN_ROWS: usize = 1 << 13;

/// One dataset, opened.
pub(super) struct DatasetInput {
    pub plan: Dataset,
    pub table: Table,
    pub schema: TableSchema,
    pub store: ChangeStore,
    pub lanes: Lanes,
    /// Number of its source.
    pub source: usize,
    /// Its number within the source.
    pub member: usize,
    /// What reading found.
    pub discrepancies: Vec<Discrepancy>,
    /// Changes whose commit time may be one of two instants.
    pub twice: Vec<TwiceTime>,
    /// Indices of changes that brought a row into the filter of the ledger. Sorted.
    pub entered: Vec<u32>,
    /// The ledger holds a row for every current one.
    pub covers_current: bool,
    /// Spans in which its ledger states a row in two ways.
    pub contested: Vec<Contested>,
    pub normalise: Vec<Vec<Normalisation>>,
    pub scope: Option<ScopeFilter>,
    /// The filter under which the ledger was recorded.
    pub recorded: Option<ScopeFilter>,
    /// What its ledger says beyond its changes, if it holds postings.
    pub postings: Option<ReadPostings>,
    /// Key columns of the current state that were read already.
    pub kept: KeptKeys,
}

/// Ledgers with one order and one cut.
pub(super) struct SourceInput {
    pub datasets: Vec<usize>,
    pub files: Vec<InputFile>,
    pub format: Format,
    pub rules: OrderRules,
    pub positions: Option<PositionKind>,
    pub clock: LedgerClock,
    /// Its commit times are whole seconds.
    pub whole_seconds: bool,
    /// What its records told, if it is a stream of JSON records.
    pub streamed: Option<Streamed>,
}

/// What the first pass will look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// All images.
    Images,
    /// Keys; images may be left to be read when they are chosen.
    Keys,
}

/// Everything a run reads.
pub(super) struct Inputs {
    pub datasets: Vec<DatasetInput>,
    pub sources: Vec<SourceInput>,
}

impl Inputs {
    /// Opens all datasets of a plan.
    pub(super) fn open(plan: &Plan, scan: Scan, spool: &Spool, progress: &dyn Progress) -> Result<Self> {
        let mut opened = Vec::new();
        for dataset in &plan.datasets {
            opened.push(open_current(dataset, spool)?);
        }
        let mut inputs = Self { datasets: Vec::new(), sources: Vec::new() };
        let mut ready: Vec<Option<DatasetInput>> = opened.iter().map(|_| None).collect();
        let mut opened: Vec<Option<OpenedTable>> = opened.into_iter().map(Some).collect();
        for (number, members) in sources(plan).into_iter().enumerate() {
            let tables: Vec<OpenedTable> = members.iter().filter_map(|&d| opened[d].take()).collect();
            let plans: Vec<&Dataset> = members.iter().map(|&d| &plan.datasets[d]).collect();
            let (source, stores) = open_source(&plans, &tables, &members, scan, (spool, progress))?;
            for (member, (table, read)) in tables.into_iter().zip(stores).enumerate() {
                let dataset = members[member];
                ready[dataset] = Some(dataset_input(&plan.datasets[dataset], table, read, (number, member)));
            }
            inputs.sources.push(source);
        }
        inputs.datasets = ready.into_iter().flatten().collect();
        for input in &mut inputs.datasets {
            super::postings::settle(input);
            opening::open(input, inputs.sources[input.source].files.len(), spool)?;
        }
        hash_chain::check(&mut inputs, spool)?;
        Ok(inputs)
    }

    /// When the last initial read of a source took place, if it has any. Changes go on between
    /// reads, so only what comes after the last of them is proven without a declaration.
    pub(super) fn reads_end(&self, source: usize) -> Result<Option<i64>> {
        let mut end = None;
        for &dataset in &self.sources[source].datasets {
            let store = &self.datasets[dataset].store;
            for segment in (0..store.segments()).filter(|_| store.has_reads()) {
                let batch = store.read(segment, Want::ORDER, None)?;
                let read =
                    |&(&op, &time): &(&u8, &i64)| op == Op::Read as u8 && time != crate::model::NO_TIME;
                end = end.max(batch.ops.iter().zip(&batch.committed_at).filter(read).map(|(_, &t)| t).max());
            }
        }
        Ok(end)
    }

    /// Fails if an input changed since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        for input in &self.datasets {
            let opening = input.store.opening().map_or(&[][..], |o| o.files());
            input.table.files().iter().chain(opening).try_for_each(InputFile::check_unchanged)?;
        }
        self.sources.iter().try_for_each(|s| s.files.iter().try_for_each(InputFile::check_unchanged))
    }
}

pub(super) struct OpenedTable {
    table: Table,
    pub schema: TableSchema,
    scope: Option<ScopeFilter>,
    recorded: Option<ScopeFilter>,
}

/// The changes of one dataset, with what reading them found.
pub(super) struct ReadLedger {
    pub store: ChangeStore,
    pub lanes: Lanes,
    pub discrepancies: Vec<Discrepancy>,
    /// Changes whose commit time may be one of two instants.
    pub twice: Vec<TwiceTime>,
    /// Indices of changes that brought a row into the filter of the ledger.
    pub entered: Vec<u32>,
    /// It holds a row for every current one.
    pub covers_current: bool,
    /// Spans in which it states a row in two ways.
    pub contested: Vec<Contested>,
    /// What it says beyond its changes, if it holds postings.
    pub postings: Option<ReadPostings>,
}

pub(super) fn open_current(dataset: &Dataset, spool: &Spool) -> Result<OpenedTable> {
    let mut source = dataset.current.source.clone();
    source.numeric = dataset.measures.clone();
    let table = Table::open(&source, spool)?;
    let schema = Arc::clone(table.schema());
    let column = |name: &String| {
        schema.fields().iter().position(|f| f.name() == name).ok_or_else(|| {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let hint = nearest(name, names.iter().copied()).map_or_else(
                || format!("its columns are {}", names.join(", ")),
                |n| format!("did you mean {n:?}?"),
            );
            Error::UnknownColumn {
                dataset: dataset.name.clone(),
                column: name.clone(),
                path: dataset.current.source.pattern.clone(),
                hint: Some(hint),
            }
        })
    };
    let key = dataset.key.iter().map(column).collect::<Result<Vec<_>>>()?;
    dataset.measures.iter().chain(&dataset.group_by).try_for_each(|name| column(name).map(|_| ()))?;
    dataset.references.iter().flat_map(|r| &r.columns).try_for_each(|name| column(name).map(|_| ()))?;
    dataset.normalise.iter().try_for_each(|(name, _)| column(name).map(|_| ()))?;
    let schema = TableSchema::new(schema, key);
    let bind = |filter| ScopeFilter::bind(filter, dataset, &schema);
    let scope = dataset.current.filter.as_ref().map(bind).transpose()?;
    let recorded = dataset.ledger.filter.as_ref().map(bind).transpose()?;
    Ok(OpenedTable { table, schema, scope, recorded })
}

fn dataset_input(
    plan: &Dataset,
    table: OpenedTable,
    read: ReadLedger,
    (source, member): (usize, usize),
) -> DatasetInput {
    let normalise = table
        .schema
        .key()
        .iter()
        .map(|&c| {
            let name = table.schema.name(c);
            plan.normalise.iter().find(|(n, _)| n == name).map(|(_, how)| how.clone()).unwrap_or_default()
        })
        .collect();
    let mut discrepancies: Vec<Discrepancy> = table.table.discrepancies().to_vec();
    discrepancies.iter_mut().for_each(|d| d.dataset.clone_from(&plan.name));
    discrepancies.extend(read.discrepancies);
    DatasetInput {
        plan: plan.clone(),
        table: table.table,
        schema: table.schema,
        store: read.store,
        lanes: read.lanes,
        source,
        member,
        discrepancies,
        twice: read.twice,
        entered: read.entered,
        covers_current: read.covers_current,
        contested: read.contested,
        normalise,
        scope: table.scope,
        recorded: table.recorded,
        postings: read.postings,
        kept: KeptKeys::default(),
    }
}

/// Datasets whose ledgers are the same files in the same format share a source.
fn sources(plan: &Plan) -> Vec<Vec<usize>> {
    let mut sources: Vec<Vec<usize>> = Vec::new();
    for (number, dataset) in plan.datasets.iter().enumerate() {
        let same = |members: &&mut Vec<usize>| {
            let first = &plan.datasets[members[0]].ledger;
            first.paths == dataset.ledger.paths && first.format == dataset.ledger.format
        };
        match sources.iter_mut().find(same) {
            Some(members) => members.push(number),
            None => sources.push(vec![number]),
        }
    }
    sources
}

pub(super) fn open_source(
    plans: &[&Dataset],
    tables: &[OpenedTable],
    members: &[usize],
    scan: Scan,
    (spool, progress): (&Spool, &dyn Progress),
) -> Result<(SourceInput, Vec<ReadLedger>)> {
    let ledger = &plans[0].ledger;
    if let Some(batches) = &ledger.table.batches {
        if let Some(format) = ledger.format.filter(|f| *f != LedgerFormat::Mapped) {
            return Err(Error::Plan {
                place: ledger.table.pattern.display().to_string(),
                message: format!("record batches are a mapped ledger, not one of format {}", format.name()),
                hint: Some("leave the format out, or write the records to a file".to_owned()),
            });
        }
        let files = vec![InputFile::in_memory(&ledger.table.pattern, batches)];
        return columnar::open(plans, tables, members, (files, spool));
    }
    let files = ledger::input_files(&ledger.paths, spool)?;
    let shape = ledger::detect(&files, ledger)?;
    super::postings::refuse_second_clock(plans, shape)?;
    match shape {
        Shape::Tabular(format) if format.is_postings() => {
            postings::open(plans, tables, members, (files, format), (spool, progress))
        }
        Shape::Columnar => columnar::open(plans, tables, members, (files, spool)),
        Shape::Tabular(format) => tabular::open(plans, tables, members, (files, format), spool, progress),
        Shape::Json(format) => open_json(plans, tables, members, (files, format, scan), (spool, progress)),
    }
}

fn open_json(
    plans: &[&Dataset],
    tables: &[OpenedTable],
    members: &[usize],
    (files, format, scan): (Vec<InputFile>, Format, Scan),
    (spool, progress): (&Spool, &dyn Progress),
) -> Result<(SourceInput, Vec<ReadLedger>)> {
    let alone = plans.len() == 1;
    let mut targets: Vec<TableTarget> =
        plans.iter().zip(tables).zip(members).map(|of| target(of, alone)).collect();
    ledger::refuse_meanings_of_columns(&plans[0].ledger)?;
    let mut options = ledger::decode_options(&plans[0].ledger);
    if format == Format::Mapped {
        options.mapping = ledger::mapping(&files, &targets, &plans[0].ledger)?;
    }
    let numbers = match format {
        Format::Debezium => {
            tables.iter().map(|t| ledger::numeric_texts(&t.table, &t.schema)).collect::<Result<_>>()?
        }
        _ => vec![Vec::new(); tables.len()],
    };
    options.labels = plans.iter().map(|plan| plan.ledger.labels.clone()).collect();
    if format == Format::Binlog {
        options.uuids =
            tables.iter().map(|t| ledger::uuid_texts(&t.table, &t.schema)).collect::<Result<_>>()?;
    }
    let how = Parse { plans, numbers: &numbers, files: &files, format, scan, spool, progress };
    let mut parsed = parse(how, &targets, &options)?;
    if parsed.stream.read_again {
        options.facts = parsed.stream.facts.clone();
        parsed = parse(how, &targets, &options)?;
    }
    if let [only] = plans
        && only.ledger.names.is_empty()
        && parsed.stream.tables.len() > 1
    {
        targets[0].names = vec![only.name.clone()];
        options.facts = ledger::Facts::default();
        parsed = parse(how, &targets, &options)?;
        if parsed.stream.read_again {
            options.facts = parsed.stream.facts.clone();
            parsed = parse(how, &targets, &options)?;
        }
    }
    refuse_no_table(plans, &parsed.stream)?;
    refuse_two_tables(plans, &parsed.stream)?;
    let source = source_of(members, files, format, &parsed.stream, plans[0].ledger.clock);
    Ok((source, parsed.ledgers))
}

fn target(((plan, table), dataset): ((&&Dataset, &OpenedTable), &usize), alone: bool) -> TableTarget {
    // A dataset that is alone takes every record, until the stream shows several tables.
    let names = match plan.ledger.names.is_empty() {
        true if alone => Vec::new(),
        true => vec![plan.name.clone()],
        false => plan.ledger.names.clone(),
    };
    TableTarget { dataset: *dataset, names, schema: table.schema.clone() }
}

struct Parsed {
    ledgers: Vec<ReadLedger>,
    stream: ledger::Stream,
}

/// One dataset's changes on their way into the spool.
pub(super) struct Intake {
    spooler: ChangeSpooler,
    lanes: LaneFinder,
    pub discrepancies: Vec<Discrepancy>,
    entered: Vec<u32>,
    taken: u32,
    drift: DriftFinder,
}

/// A stream that names tables, none of them a dataset's, says nothing about that dataset.
fn refuse_no_table(plans: &[&Dataset], stream: &ledger::Stream) -> Result<()> {
    let matched = stream.tables.values().any(|(target, _)| target.is_some());
    if matched || stream.tables.is_empty() {
        return Ok(());
    }
    Err(no_table(plans[0], &mut stream.tables.keys().map(String::as_str)))
}

/// What is said where a ledger names tables, but not this dataset's.
pub(super) fn no_table(plan: &Dataset, names: &mut dyn Iterator<Item = &str>) -> Error {
    let names: Vec<&str> = names.collect();
    let wanted = plan.ledger.names.first().map_or(plan.name.as_str(), String::as_str);
    let near = nearest(wanted, names.iter().copied());
    let more = names.len().saturating_sub(20);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let shown = names.iter().take(20).copied().collect::<Vec<_>>().join(", ");
    Error::Refused {
        dataset: plan.name.clone(),
        reason: format!("its ledger has no table {wanted:?}, but {shown}{more}"),
        hint: Some(near.map_or_else(
            || "name its table with --table, or under ledger.table in the plan".to_owned(),
            |near| format!("did you mean {near:?}?"),
        )),
    }
}

/// Two tables of a stream whose names both mean one dataset would be mixed into one.
fn refuse_two_tables(plans: &[&Dataset], stream: &ledger::Stream) -> Result<()> {
    for (target, plan) in plans.iter().enumerate() {
        let ours = |(name, (to, count)): (&String, &(Option<usize>, u64))| {
            (*to == Some(target) && *count > 0).then(|| name.clone())
        };
        let names: Vec<String> = stream.tables.iter().filter_map(ours).collect();
        if names.len() > 1 {
            return Err(two_tables(plan, &names));
        }
    }
    Ok(())
}

/// What is said where several tables of a ledger have a dataset's name.
pub(super) fn two_tables(plan: &Dataset, names: &[String]) -> Error {
    Error::Refused {
        dataset: plan.name.clone(),
        reason: format!("its ledger holds several tables of that name: {}", names.join(", ")),
        hint: Some("name one of them with its schema under ledger.table".to_owned()),
    }
}

impl Intake {
    pub(super) fn new(schema: &TableSchema, spool: &Spool) -> Result<Self> {
        Ok(Self {
            spooler: ChangeSpooler::new(schema.clone(), spool)?,
            lanes: LaneFinder::new(schema),
            discrepancies: Vec::new(),
            entered: Vec::new(),
            taken: 0,
            drift: DriftFinder::default(),
        })
    }

    pub(super) fn take(&mut self, batch: ChangeBatch, file: u32, plan: &Dataset) -> Result<()> {
        self.take_with(batch, None, file, plan)
    }

    /// The same for changes some of whose cells may have been left in the ledger's text.
    pub(super) fn take_with(
        &mut self,
        mut batch: ChangeBatch,
        texts: Option<Texts<'_>>,
        file: u32,
        plan: &Dataset,
    ) -> Result<()> {
        batch.file = file;
        if let Some(filter) = &plan.current.filter {
            let filter = ScopeFilter::bind(filter, plan, self.spooler.table())?;
            scope(&mut batch, (&filter, ScopeOf::Dataset), self.spooler.table())?;
        }
        if let Some(filter) = &plan.ledger.filter {
            let filter = ScopeFilter::bind(filter, plan, self.spooler.table())?;
            let entered = scope(&mut batch, (&filter, ScopeOf::Ledger), self.spooler.table())?;
            self.entered.extend(entered.into_iter().map(|row| self.taken + row));
        }
        // The store refuses what a number of 32 bits cannot count.
        self.taken = self.taken.saturating_add(batch.len() as u32);
        self.lanes.observe(&batch);
        self.spooler.push(&batch, texts)
    }

    pub(super) fn finish(self, positions: bool) -> Result<ReadLedger> {
        let mut store = self.spooler.finish()?;
        store.use_positions(positions);
        Ok(ReadLedger {
            store,
            lanes: self.lanes.finish(),
            discrepancies: self.discrepancies,
            twice: Vec::new(),
            entered: self.entered,
            covers_current: false,
            contested: Vec::new(),
            postings: None,
        })
    }
}

impl DatasetInput {
    /// The file that stands for the current state in messages.
    pub(super) fn current_path(&self) -> &Path {
        &self.plan.current.source.pattern
    }

    /// The filters of the dataset and of its ledger: what neither keeps, the ledger says nothing of.
    pub(super) fn filters(&self) -> impl Iterator<Item = &ScopeFilter> {
        self.scope.iter().chain(&self.recorded)
    }

    /// Changes with the dataset's scope applied.
    pub(super) fn read_changes(
        &self,
        segment: usize,
        want: Want,
        rows: Option<&[u32]>,
    ) -> Result<ChangeBatch> {
        self.store.read(segment, want, rows)
    }

    /// Changes as the scan needs them: keys normalised.
    pub(super) fn read_for_scan(&self, segment: usize, verify: bool) -> Result<ChangeBatch> {
        let mut batch = self.store.read(segment, self.wanted_by_scan(verify), None)?;
        self.normalise_keys(&mut batch);
        Ok(batch)
    }

    /// As [`Self::read_for_scan`], in parts that stay in the cache; `take` is told the row of the first change.
    pub(super) fn scan_parts(
        &self,
        segment: usize,
        verify: bool,
        take: &mut dyn FnMut(usize, ChangeBatch),
    ) -> Result<()> {
        self.store.read_parts(segment, self.wanted_by_scan(verify), SCAN_ROWS, &mut |from, mut batch| {
            self.normalise_keys(&mut batch);
            take(from, batch);
            Ok(())
        })
    }

    /// As [`Self::scan_parts`], of keys alone.
    pub(super) fn scan_keys(&self, segment: usize, take: &mut dyn FnMut(usize, ChangeBatch)) -> Result<()> {
        let want = Want { packed: true, ..Want::KEYS };
        self.store.read_parts(segment, want, SCAN_ROWS, &mut |from, mut batch| {
            self.normalise_keys(&mut batch);
            take(from, batch);
            Ok(())
        })
    }

    fn wanted_by_scan(&self, verify: bool) -> Want {
        // Without hashes, a fact still says which cells its images know.
        let keys = Want { states: self.lanes.is_partial(), ..Want::KEYS };
        let mut want = if verify { Want::IMAGES } else { keys };
        if self.schema.is_keyless() {
            want = Want { before: Columns::All, after: Columns::All, ..want };
        }
        Want { packed: true, ..want }
    }

    /// Brings the keys of images to the form in which they are compared.
    pub(super) fn normalise_keys(&self, batch: &mut ChangeBatch) {
        for images in [&mut batch.before, &mut batch.after] {
            for (&column, how) in self.schema.key().iter().zip(&self.normalise) {
                if let (false, Some(array)) = (how.is_empty(), images.columns[column].as_mut()) {
                    *array = normalise(array, how);
                }
            }
        }
    }

    /// Key columns as they are compared.
    pub(super) fn normalised_keys(&self, keys: &[&ArrayRef]) -> Result<Vec<ArrayRef>> {
        Ok(keys
            .iter()
            .zip(&self.normalise)
            .map(|(array, how)| if how.is_empty() { Arc::clone(array) } else { normalise(array, how) })
            .collect())
    }

    /// `column=value` pairs of a row's key.
    pub(super) fn key_text(&self, keys: &[&ArrayRef], row: usize) -> String {
        let names: Vec<&str> = if self.schema.is_keyless() {
            self.schema.names().collect()
        } else {
            self.schema.key().iter().map(|&c| self.schema.name(c)).collect()
        };
        canon::key_text(&names, keys, row)
    }

    /// As [`Self::key_text`], for many rows.
    pub(super) fn key_texts<'a>(&'a self, keys: &'a [ArrayRef]) -> canon::KeyTexts<'a> {
        let names: Vec<&str> = if self.schema.is_keyless() {
            self.schema.names().collect()
        } else {
            self.schema.key().iter().map(|&c| self.schema.name(c)).collect()
        };
        canon::KeyTexts::new(&names, keys)
    }

    /// The place in the current state's files of a row, as people count.
    pub(super) fn current_place(&self, group: usize, row: usize) -> crate::model::CurrentPlace {
        let (file, first) = self.table.place(group);
        let file = self.table.files().get(file).map_or_else(String::new, |f| f.path.display().to_string());
        crate::model::CurrentPlace { file, row: first + row as u64 }
    }

    /// A discrepancy of this dataset.
    pub(super) fn discrepancy(&self, kind: DiscrepancyKind, message: impl Into<String>) -> Discrepancy {
        Discrepancy::new(kind, self.plan.name.clone(), message)
    }
}

/// The texts of a column as declared normalisations make them comparable.
fn normalise(array: &ArrayRef, how: &[Normalisation]) -> ArrayRef {
    let text = |row| {
        canon::cell_text(array.as_ref(), row).map(|text| {
            how.iter().fold(text, |text, step| match step {
                Normalisation::Trim => text.trim().to_owned(),
                Normalisation::Case => text.to_lowercase(),
                Normalisation::LeadingZeros => {
                    let trimmed = text.trim_start_matches('0');
                    if trimmed.is_empty() && !text.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
                }
            })
        })
    };
    debug_assert!(!matches!(array.data_type(), DataType::Null), "key columns have a type");
    Arc::new((0..array.len()).map(text).collect::<StringArray>())
}
