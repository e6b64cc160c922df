//! Interval histories: one row per version of a key, valid on a half-open period.
//!
//! System-versioned tables of SQL Server and MariaDB, PostgreSQL's temporal tables,
//! dbt snapshots, Fivetran's history mode and hand-made SCD2 tables differ in the names of
//! the period columns, in how an open end is written, and in whether the end belongs
//! to the version. A boundary becomes a change: a version that begins where another
//! ends is an update, any other begin an insert, an end that nothing follows a delete.
//!
//! Whether ends are inclusive is told by the rows: if versions end one tick (a
//! microsecond, a millisecond, a second, a day) before the next begins more often
//! than they meet it, they are.

use arrow::array::ArrayRef;
use chrono_tz::Tz;

use super::super::decode::{Clock, TableTarget};
use super::super::position::PositionKind;
use super::chain::{Fault, Faults, Rules, Span, Version, chain};
use super::convert::convert;
use super::events::{Event, Events, NONE, cells_of};
use super::period::{EVER, Habits, OPEN, Period, PeriodColumns, Periods};
use super::raw::{Raw, texts};
use super::{Contested, Context, Found};
use crate::error::Result;
use crate::model::canon::{self, Seed};
use crate::model::{DiscrepancyKind as Kind, NO_TIME, Op};
use crate::plan::Ledger;
use crate::read::cell::CellOptions;

/// Pairs of period columns by names that nothing else has.
const PAIRS: &[(&str, &str)] = &[
    ("row_start", "row_end"),
    ("validfrom", "validto"),
    ("valid_from", "valid_to"),
    ("sysstarttime", "sysendtime"),
    ("sys_start_time", "sys_end_time"),
    ("sys_start", "sys_end"),
    ("dbt_valid_from", "dbt_valid_to"),
    ("_fivetran_start", "_fivetran_end"),
    ("__start_at", "__end_at"),
];
/// Pairs that are looked for once the format is declared.
const MORE_PAIRS: &[(&str, &str)] = &[
    ("effective_from", "effective_to"),
    ("valid_start", "valid_end"),
    ("start_date", "end_date"),
    ("from_date", "to_date"),
    ("begda", "endda"),
];
const RANGES: &[&str] = &["sys_period"];
/// Columns that histories have beside the table's.
const BESIDE: &[&str] = &[
    "dbt_scd_id",
    "dbt_updated_at",
    "dbt_is_deleted",
    "_fivetran_active",
    "_fivetran_synced",
    "_fivetran_deleted",
];
/// Columns that make a table a ledger of changes, whatever else it has.
const OPS: &[&str] = &["op", "operation", "action", "change_type", "_change_type", "__$operation"];
const TICKS: [i64; 5] = [100, 1_000, 1_000_000, 1_000_000_000, 86_400_000_000_000];
/// Holes in more keys than one in so many are told together: rows come back as a matter of course.
const ORDINARY_HOLES: usize = 50;
/// Fewer than these are told one by one however few keys there are.
const FEW_HOLES: usize = 20;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    let period = PAIRS.iter().any(|(a, b)| has(a) && has(b)) || RANGES.iter().any(|r| has(r));
    period && !OPS.iter().any(|op| has(op))
}

/// Whether a column is one of the history, not of the table.
pub(super) fn is_beside(name: &str) -> bool {
    let pairs = PAIRS.iter().flat_map(|(a, b)| [*a, *b]);
    pairs.chain(RANGES.iter().chain(BESIDE).copied()).any(|own| name.eq_ignore_ascii_case(own))
}

fn period_columns(raw: &Raw, ledger: &Ledger) -> Result<PeriodColumns> {
    let declared = (&ledger.columns.valid_from, &ledger.columns.valid_to);
    if let (Some(range), None) = declared {
        return Ok(PeriodColumns::Range(raw.require(Some(range), &[], "", "valid_from")?));
    }
    if declared.0.is_some() || declared.1.is_some() {
        let from = raw.require(declared.0.as_ref(), &[], "the begin of versions", "valid_from")?;
        let to = raw.require(declared.1.as_ref(), &[], "the end of versions", "valid_to")?;
        return Ok(PeriodColumns::Pair(from, to));
    }
    let pair = PAIRS.iter().chain(MORE_PAIRS).find_map(|(a, b)| Some((raw.column(a)?, raw.column(b)?)));
    if let Some((from, to)) = pair {
        return Ok(PeriodColumns::Pair(from, to));
    }
    let range = RANGES.iter().find_map(|r| raw.column(r)).map(PeriodColumns::Range);
    range.ok_or_else(|| raw.missing("columns with begin and end of each version", "valid_from and valid_to"))
}

/// Finds the changes of a history.
pub(super) fn open(
    raw: &Raw,
    ledger: &Ledger,
    target: &TableTarget,
    context: &Context,
) -> Result<(Events, Found)> {
    let columns = period_columns(raw, ledger)?;
    let deleted = raw.find(ledger.columns.deleted.as_ref(), &["dbt_is_deleted"])?;
    let mut found = Found::default();
    let own: Vec<usize> = match columns {
        PeriodColumns::Pair(from, to) => vec![from, to],
        PeriodColumns::Range(range) => vec![range],
    };
    // The table may hold its own period columns, as extracts of SQL Server do.
    let beside: Vec<usize> =
        own.iter().copied().filter(|&c| target.schema.column(&raw.names()[c]).is_none()).collect();
    let (cells, unknown) = cells_of(raw, target, &beside);
    let unknown = unknown.into_iter().filter(|n| !BESIDE.iter().any(|b| n.eq_ignore_ascii_case(b)));
    found.unknown_columns(unknown);
    let mut habits = Habits::default();
    let cells_of_key = super::key_cells(raw, target, &cells)?;
    let periods = settled_periods(raw, columns, ledger.table.time_zone, &mut habits)?;
    let keys = Keys::read(raw, target, &cells_of_key, context)?;
    let flags = flags(raw, deleted)?;
    let mut versions = Vec::with_capacity(periods.len());
    for (row, period) in periods.into_iter().enumerate() {
        match period {
            Ok((from, to)) => {
                let (key, deleted) = (keys.ids[row], flags.get(row).copied().unwrap_or(false));
                versions.push(Version { key, from, to, row: row as u32, deleted });
            }
            Err(message) => found.push(raw, Kind::UnparsableRecord, row as u32, message),
        }
    }
    versions.sort_unstable_by_key(|v| (v.key, v.from, v.to, v.row));
    let fivetran = raw.column("_fivetran_start").is_some();
    if let Some(tick) = inclusive_tick(&versions).or(fivetran.then_some(1_000_000)) {
        versions.iter_mut().filter(|v| v.to != OPEN && v.from <= v.to).for_each(|v| v.to += tick);
    }
    found.covers_current = Some(versions.iter().any(|v| v.to == OPEN) || versions.is_empty());
    let rules = Rules { extract: context.extract, no_empty: habits.mariadb };
    let Chained { mut events, faults, contested } =
        events(&versions, rules, habits.sequence, target.schema.is_keyless());
    events.sort_unstable_by_key(|e| (e.row, e.commit, e.position));
    found.add_faults(raw, target, &cells_of_key, faults, (versions_of(&versions), context))?;
    found.contested = contested.into_iter().map(|of| in_place(raw, of, habits.sequence)).collect();
    let clock = clock(habits, columns);
    let kind = if habits.sequence { PositionKind::Number } else { PositionKind::Instant };
    let unlogged = vec![None; target.schema.len()];
    let empty_texts = context.empty_texts;
    let events = Events {
        events,
        cells,
        unlogged,
        mask: None,
        transaction: None,
        actor: None,
        kind: Some(kind),
        clock,
        empty_texts,
    };
    Ok((events, found))
}

/// Which clock the periods are, as far as their notation tells.
fn clock(habits: Habits, columns: PeriodColumns) -> Clock {
    if habits.sql_server || matches!(columns, PeriodColumns::Range(_)) {
        Clock::Start
    } else if habits.mariadb {
        Clock::Statement
    } else {
        Clock::Declared
    }
}

fn settled_periods(
    raw: &Raw,
    columns: PeriodColumns,
    zone: Option<Tz>,
    habits: &mut Habits,
) -> Result<Vec<Period>> {
    let mut lacks_zone = false;
    let mut periods = all_periods(raw, columns, (zone, habits, &mut lacks_zone))?;
    if lacks_zone && habits.sql_server {
        // SQL Server's period columns are UTC by definition.
        lacks_zone = false;
        periods = all_periods(raw, columns, (Some(Tz::UTC), habits, &mut lacks_zone))?;
    }
    if lacks_zone { Err(super::lacks_zone(raw)) } else { Ok(periods) }
}

/// How many different keys there are.
fn versions_of(versions: &[Version]) -> usize {
    versions.chunk_by(|a, b| a.key == b.key).count()
}

fn all_periods(
    raw: &Raw,
    columns: PeriodColumns,
    (zone, habits, lacks_zone): (Option<Tz>, &mut Habits, &mut bool),
) -> Result<Vec<Period>> {
    let mut all = Vec::new();
    for segment in 0..raw.segments() {
        let mut periods = Periods { zone, habits: &mut *habits, lacks_zone: &mut *lacks_zone };
        all.extend(match columns {
            PeriodColumns::Pair(from, to) => {
                let batch = raw.read(segment, &[from, to], None)?;
                periods.pairs(&texts(batch.column(0)), &texts(batch.column(1)))
            }
            PeriodColumns::Range(range) => {
                periods.ranges(&texts(raw.read(segment, &[range], None)?.column(0)))
            }
        });
    }
    Ok(all)
}

fn flags(raw: &Raw, column: Option<usize>) -> Result<Vec<bool>> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let mut flags = Vec::new();
    for segment in 0..raw.segments() {
        let texts = texts(raw.read(segment, &[column], None)?.column(0));
        let is_true = |t: Option<&str>| {
            t.is_some_and(|t| matches!(t.to_ascii_lowercase().as_str(), "true" | "t" | "1" | "y" | "yes"))
        };
        flags.extend(texts.iter().map(is_true));
    }
    Ok(flags)
}

/// The identities of all rows' keys, and their values where they must be shown.
pub(super) struct Keys {
    pub(super) ids: Vec<u128>,
}

impl Keys {
    /// Reads the key of every row; one that is null, or has no key at all, stands alone.
    pub(super) fn read(
        raw: &Raw,
        target: &TableTarget,
        cells: &[Option<usize>],
        context: &Context,
    ) -> Result<Self> {
        let seed = Seed::random();
        let columns: Vec<usize> = cells.iter().copied().flatten().collect();
        let mut ids = Vec::new();
        for segment in 0..raw.segments() {
            let rows = (raw.first(segment + 1) - raw.first(segment)) as usize;
            let first = ids.len() as u128;
            if columns.is_empty() {
                ids.extend((0..rows as u128).map(|row| first + row));
                continue;
            }
            let arrays = key_arrays(raw, segment, target, &columns, context, None)?;
            let arrays: Vec<&ArrayRef> = arrays.iter().collect();
            let start = ids.len();
            ids.extend(canon::key_ids(&arrays, seed));
            for row in canon::null_keys(&arrays) {
                ids[start + row] = u128::MAX - (start + row) as u128;
            }
        }
        Ok(Self { ids })
    }
}

fn key_arrays(
    raw: &Raw,
    segment: usize,
    target: &TableTarget,
    columns: &[usize],
    context: &Context,
    rows: Option<&[u32]>,
) -> Result<Vec<ArrayRef>> {
    // Columns are read once each, and a key may name one twice.
    let mut wanted = columns.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let batch = raw.read(segment, &wanted, rows)?;
    let options = CellOptions { zone: context.zone, ..CellOptions::default() };
    let array = |(column, key): (&usize, &usize)| {
        let at = wanted.partition_point(|w| w < column);
        convert(batch.column(at), target.schema.data_type(*key), &options, context.empty_texts).array
    };
    Ok(columns.iter().zip(target.schema.key()).map(array).collect())
}

/// The tick between the end of a version and the begin of the next, if ends belong to their versions.
fn inclusive_tick(versions: &[Version]) -> Option<i64> {
    let mut touching = 0_u64;
    let mut ticks = [0_u64; TICKS.len()];
    let closed = |v: &Version| v.from <= v.to && v.to != OPEN;
    for pair in versions.windows(2).filter(|p| p[0].key == p[1].key && closed(&p[0])) {
        match pair[1].from.checked_sub(pair[0].to) {
            Some(0) => touching += 1,
            Some(gap) => {
                if let Some(at) = TICKS.iter().position(|&t| t == gap) {
                    ticks[at] += 1;
                }
            }
            None => {}
        }
    }
    let (at, &count) = ticks.iter().enumerate().max_by_key(|(_, count)| **count)?;
    // One pair alone can as well be a hole.
    (count > touching.max(1)).then_some(TICKS[at])
}

/// The order mark of a bound.
fn mark(at: i64, sequence: bool) -> u128 {
    if sequence { at.max(0) as u128 } else { PositionKind::of_instant(at) }
}

/// A contested span as order marks, with the place of a change of its key.
fn in_place(raw: &Raw, (row, (from, to)): (u32, Span), sequence: bool) -> Contested {
    let (segment, row) = raw.locate(u64::from(row));
    Contested {
        file: raw.file(segment).0,
        record: raw.record(segment, row as usize),
        from: mark(from, sequence),
        to: mark(to, sequence),
    }
}

/// What the versions of all keys are as changes.
#[derive(Debug, Default)]
struct Chained {
    events: Vec<Event>,
    /// What does not fit.
    faults: Vec<Fault>,
    /// Spans that versions contest, with the row of a change of the same key.
    contested: Vec<(u32, Span)>,
}

/// The changes of all keys, and what does not fit.
fn events(versions: &[Version], rules: Rules, sequence: bool, keyless: bool) -> Chained {
    let mut all = Chained::default();
    for one in versions.chunk_by(|a, b| a.key == b.key && !keyless) {
        let (mut faults, first) = (Faults::default(), all.events.len());
        let events = &mut all.events;
        let kept = chain(one, rules, &mut faults);
        for (number, version) in kept.iter().enumerate() {
            let before = number.checked_sub(1).map(|n| &kept[n]).filter(|b| b.to == version.from);
            let event = |op, class: u128, at: i64| Event {
                row: version.row,
                op,
                before: NONE,
                after: NONE,
                key_only: false,
                time: if sequence { NO_TIME } else { at },
                commit: mark(at, sequence),
                position: class << 96 | (number as u128) << 32 | u128::from(version.row),
            };
            match before {
                Some(before) => {
                    let update = event(Op::Update, 1, version.from);
                    events.push(Event { before: before.row, after: version.row, ..update });
                }
                None if version.from == EVER => {}
                None => events.push(Event { after: version.row, ..event(Op::Insert, 1, version.from) }),
            }
            let followed = kept.get(number + 1).is_some_and(|next| next.from == version.to);
            if version.to != OPEN && !followed {
                // A row that came and went at one instant comes first.
                let class = if version.from == version.to { 2 } else { 0 };
                events.push(Event { before: version.row, ..event(Op::Delete, class, version.to) });
            }
        }
        // A key without any change has no history that a verdict could be about.
        let row = all.events.get(first).map(|event| event.row);
        all.contested.extend(row.into_iter().flat_map(|row| faults.contested.iter().map(move |&s| (row, s))));
        all.faults.extend(faults.list);
    }
    all
}

impl Found {
    /// Tells faults with key and place; holes of a table whose rows often come back are told together.
    fn add_faults(
        &mut self,
        raw: &Raw,
        target: &TableTarget,
        cells: &[Option<usize>],
        mut faults: Vec<Fault>,
        (keys, context): (usize, &Context),
    ) -> Result<()> {
        faults.sort_unstable_by_key(|f| (f.row, f.kind));
        let hole = |f: &Fault| f.kind == Kind::HoleBetweenVersions && !TICKS.contains(&f.length);
        let holes = faults.iter().filter(|f| hole(f)).count();
        if holes >= FEW_HOLES && holes * ORDINARY_HOLES > keys {
            let first = faults.iter().find(|f| hole(f)).map_or(0, |f| f.row);
            let message = format!(
                "{holes} times a row of this table ends and begins again later: deleted and inserted anew, or a \
                 version between is missing; the history alone cannot tell which"
            );
            self.push(raw, Kind::HoleBetweenVersions, first, message);
            if let Some(last) = self.discrepancies.last_mut() {
                last.count = holes as u64;
            }
            faults.retain(|f| !hole(f));
        }
        let columns: Vec<usize> = cells.iter().copied().flatten().collect();
        let names: Vec<&str> = target.schema.key().iter().map(|&k| target.schema.name(k)).collect();
        for fault in faults {
            let (segment, row) = raw.locate(u64::from(fault.row));
            let message = message(raw, &fault);
            self.push(raw, fault.kind, fault.row, message);
            if columns.is_empty() {
                continue;
            }
            let arrays = key_arrays(raw, segment, target, &columns, context, Some(&[row]))?;
            let arrays: Vec<&ArrayRef> = arrays.iter().collect();
            if let Some(last) = self.discrepancies.last_mut() {
                last.key = canon::key_text(&names, &arrays, 0);
            }
        }
        Ok(())
    }
}

fn message(raw: &Raw, fault: &Fault) -> String {
    let record = |row: u32| {
        let (segment, row) = raw.locate(u64::from(row));
        raw.record(segment, row as usize)
    };
    let other = fault.other.map_or_else(String::new, |row| format!(" (the other is record {})", record(row)));
    match fault.kind {
        Kind::HoleBetweenVersions => {
            let next = fault.other.map_or(0, record);
            format!(
                "between this version and the next of the key, record {next}, there is a hole: the row was deleted \
                 and inserted anew, or a version is missing or was altered; the source's own log would decide"
            )
        }
        _ => format!("of this version: {}{other}", fault.what),
    }
}
