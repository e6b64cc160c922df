//! Changes by time, from what the scan knows of them: their ranks, and the commit times of
//! transactions. Nothing is decoded for it.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeZone};
use chrono_tz::Tz;
use rayon::prelude::*;

use super::run::Run;
use super::window::transaction_ids;
use crate::ledger::order::Order;
use crate::model::{DiscrepancyKind, NEVER, NO_TIME, Op};
use crate::plan::{Bound, Moment};
use crate::replay::facts::LEAVES;
use crate::report::{Bar, Timeline};

/// Bars beyond which a coarser unit is taken.
const BARS: i64 = 120;

/// The changes of one dataset through time, cut at this rank.
pub(super) fn timeline(
    run: &Run,
    dataset: usize,
    moment: &Moment,
    (cut, zone, verified): (u32, Tz, bool),
) -> Timeline {
    let order = &run.order(dataset).order;
    let window = &run.windows[dataset];
    let as_of = match moment.bound {
        Bound::Before(at) | Bound::At(at) => Some(at),
        Bound::Position(_) | Bound::Transaction(_) => None,
    };
    let mut timeline = Timeline {
        as_of,
        complete_from: window.from,
        complete_to: window.to,
        declared: window.declared,
        undone_only: !verified,
        ..Timeline::default()
    };
    (timeline.gaps, timeline.gaps_untimed) = gaps(run, dataset, order);
    let times = order.transactions.iter().map(|t| t.time).filter(|&t| is_time(t));
    let Some((first, last)) = times.fold(None, |range: Option<(i64, i64)>, time| {
        Some(range.map_or((time, time), |(first, last)| (first.min(time), last.max(time))))
    }) else {
        timeline.untimed = run.analysed[dataset].counts.changes;
        return timeline;
    };
    // The picture shows the as-of and the declared span too, as far as they lie near.
    let near = |time: &i64| (*time - first).abs() < YEARS && (*time - last).abs() < YEARS;
    let marks = [as_of, window.from, window.to].into_iter().flatten().filter(near);
    let (first, last) = marks.fold((first, last), |(f, l), mark| (f.min(mark), l.max(mark)));
    let (unit, starts) = bars(first, last, zone);
    timeline.unit = unit;
    timeline.end = starts.last().map_or(last, |s| s.1);
    timeline.bars = starts
        .iter()
        .take(starts.len().saturating_sub(1))
        .map(|(day, start)| Bar { start: *start, label: day.to_string(), in_force: 0, undone: 0 })
        .collect();
    count(run, dataset, cut, order, &mut timeline);
    timeline
}

/// When the transactions were of which the dataset's ledger lacks records, and how many gaps have no time.
fn gaps(run: &Run, dataset: usize, order: &Order) -> (Vec<i64>, u64) {
    let source = run.source(dataset);
    let found = source.datasets.iter().flat_map(|&d| &run.inputs.datasets[d].discrepancies);
    let (mut times, mut untimed) = (Vec::new(), 0);
    for gap in found.filter(|d| d.kind == DiscrepancyKind::SequenceGap) {
        let ids = gap.ledger.as_ref().and_then(|place| Some(transaction_ids(place.transaction.as_deref()?)));
        let at = ids.and_then(|ids| order.transactions.iter().find(|t| t.id != 0 && ids.contains(&t.id)));
        match at.map(|t| t.time).filter(|&time| is_time(time)) {
            Some(time) => times.push(time),
            None => untimed += gap.count,
        }
    }
    times.sort_unstable();
    times.dedup();
    (times, untimed)
}

/// Marks further away than this do not widen the picture.
const YEARS: i64 = 3 * 366 * 86_400 * 1_000_000_000;

fn is_time(time: i64) -> bool {
    time != NO_TIME && time != NEVER
}

/// The days on which bars begin, with their instants, and where the last one ends.
fn bars(first: i64, last: i64, zone: Tz) -> (&'static str, Vec<(NaiveDate, i64)>) {
    let day = |time: i64| DateTime::from_timestamp_nanos(time).with_timezone(&zone).date_naive();
    let (from, to) = (day(first), day(last));
    let days = to.signed_duration_since(from).num_days() + 1;
    let (unit, months) = match days {
        n if n <= BARS => ("day", 0),
        n if n <= 7 * BARS => ("week", 0),
        n if n <= 30 * BARS => ("month", 1),
        n if n <= 91 * BARS => ("quarter", 3),
        _ => ("year", 12),
    };
    let mut start = match unit {
        "day" => from,
        "week" => from - Days::new(u64::from(from.weekday().num_days_from_monday())),
        _ => {
            let month = from.month0().checked_div(months).unwrap_or(0) * months;
            NaiveDate::from_ymd_opt(from.year(), month + 1, 1).unwrap_or(from)
        }
    };
    let mut starts = vec![(start, instant(start, zone))];
    while start <= to && (starts.len() as i64) < 4 * BARS {
        let next = match unit {
            "day" => start.checked_add_days(Days::new(1)),
            "week" => start.checked_add_days(Days::new(7)),
            _ => start.checked_add_months(Months::new(months)),
        };
        let Some(next) = next else { break };
        start = next;
        starts.push((start, instant(start, zone)));
    }
    (unit, starts)
}

/// When a day begins. Where clocks skip midnight, an hour to either side is not seen in a picture.
fn instant(day: NaiveDate, zone: Tz) -> i64 {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    let local = zone.from_local_datetime(&midnight).earliest();
    let time = local.map_or_else(|| midnight.and_utc().timestamp_nanos_opt(), |t| t.timestamp_nanos_opt());
    time.unwrap_or(if day.year() > 2000 { i64::MAX } else { i64::MIN })
}

/// Adds the changes to their bars. Transactions that follow each other mostly lie in one bar, so
/// ranks are looked up in runs of them.
fn count(run: &Run, dataset: usize, cut: u32, order: &Order, timeline: &mut Timeline) {
    let analysed = &run.analysed[dataset];
    let starts: Vec<i64> = timeline.bars.iter().map(|b| b.start).collect();
    let (none, undone_only) = (starts.len(), timeline.undone_only);
    let mut runs: Vec<(u32, usize)> = Vec::new();
    for transaction in &order.transactions {
        let bar = match is_time(transaction.time) {
            true => starts.partition_point(|&s| s <= transaction.time).saturating_sub(1),
            false => none,
        };
        if runs.last().is_none_or(|r| r.1 != bar) {
            runs.push((transaction.first, bar));
        }
    }
    let bar_of = |rank: u32| match runs.partition_point(|r| r.0 <= rank) {
        0 => none,
        at => runs[at - 1].1,
    };
    // One more for what has no time, and another for initial reads.
    let empty = || vec![[0_u64; 2]; none + 2];
    let mut counts = analysed
        .histories
        .shards
        .par_iter()
        .map(|shard| {
            let mut counts = empty();
            for fact in 0..shard.facts.len() {
                let rank = shard.rank(fact);
                let of_opening = u64::from(shard.facts.index[fact]) >= analysed.counts.changes;
                // What lies after the extract moment is neither in force nor undone.
                if rank < analysed.end && !shard.facts.has(fact, LEAVES) && !of_opening {
                    let read = shard.facts.op(fact) == Op::Read;
                    let bar = if read { none + 1 } else { bar_of(rank) };
                    // Of what is in force, only some is known without verification.
                    counts[bar][usize::from(rank >= cut)] += u64::from(read || rank >= cut || !undone_only);
                }
            }
            counts
        })
        .reduce(empty, |mut all, part| {
            all.iter_mut().zip(part).for_each(|(a, b)| (a[0], a[1]) = (a[0] + b[0], a[1] + b[1]));
            all
        });
    for &rank in analysed.histories.truncates.iter().filter(|&&rank| rank < analysed.end) {
        counts[bar_of(rank)][usize::from(rank >= cut)] += 1;
    }
    timeline.untimed = counts[none][0] + counts[none][1];
    timeline.reads = counts[none + 1][0] + counts[none + 1][1];
    for (bar, [in_force, undone]) in timeline.bars.iter_mut().zip(counts) {
        (bar.in_force, bar.undone) = (in_force, undone);
    }
}
