//! Discrepancies as text and JSON.

use std::fmt::Write as _;

use asof::model::{CauseShare, Discrepancy, DiscrepancyKind, LedgerPlace, MeasureDifference};
use asof::pipeline::{Discrepancies, KindCount};
use serde_json::{Value, json};

use super::args::FailOnArgs;
use super::failure::Status;
use super::layout::{Align, columns, counted};

/// More than this many are not printed in full.
const SHOWN_MAX: usize = 20;

/// The exit status that discrepancies make. Accepted ones do not count.
pub(crate) fn status(found: &Discrepancies, fail_on: &FailOnArgs) -> Status {
    if found.worst().is_some_and(|worst| fail_on.counts(worst)) { Status::Found } else { Status::Clean }
}

/// A summary by kind, and the worst of them in full. `whole` says where all of them are.
pub(crate) fn text(found: &Discrepancies, whole: &str) -> String {
    let explained = differences(&found.differences);
    if found.is_empty() {
        return format!("{explained}\nno discrepancies\n");
    }
    let mut worst_first: Vec<&Discrepancy> = found.listed.iter().collect();
    worst_first
        .sort_by_key(|d| (d.accepted.is_some(), std::cmp::Reverse((d.severity(), d.material == Some(true)))));
    let shown: String = worst_first.iter().take(SHOWN_MAX).map(|d| one(d)).collect();
    let more = found.total().saturating_sub(SHOWN_MAX as u64);
    let more = if more == 0 { String::new() } else { format!("\n… and {more} more: {whole}\n") };
    let material = match found.material {
        0 => String::new(),
        n => format!("  {} of them material\n", n),
    };
    format!("{explained}\ndiscrepancies\n{}{material}{shown}{more}", summary(found))
}

/// The totals of measures by ledger and current state, and what makes them differ.
fn differences(differences: &[MeasureDifference]) -> String {
    let differs = |d: &&MeasureDifference| {
        !d.causes.is_empty() || d.unexplained.bytes().any(|b| (b'1'..=b'9').contains(&b))
    };
    let differing: Vec<&MeasureDifference> = differences.iter().filter(differs).collect();
    if differing.is_empty() {
        return String::new();
    }
    let mut rows = vec![["difference", "by the ledger", "current", "difference"].map(str::to_owned).to_vec()];
    for d in differing {
        let total = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let name = format!("{}.{}", d.dataset, d.measure);
        rows.push(vec![name, total(&d.ledger), total(&d.current), d.difference.clone()]);
        for share in &d.causes {
            let unknown = match share.unknown {
                0 => String::new(),
                n => format!(" + {n} unknown"),
            };
            let material =
                if share.material > 0 { format!(", {} material", share.material) } else { String::new() };
            let many = counted(share.findings, "finding");
            let note = format!("{many}{material}");
            rows.push(vec![
                format!("  {}", share.cause),
                String::new(),
                String::new(),
                share.amount.clone() + &unknown,
                note,
            ]);
        }
        rows.push(vec!["  unexplained".to_owned(), String::new(), String::new(), d.unexplained.clone()]);
    }
    format!("\n{}", columns(0, &[Align::Left, Align::Right, Align::Right, Align::Right], &rows))
}

fn summary(found: &Discrepancies) -> String {
    let row = |(kind, counts): (&DiscrepancyKind, &KindCount)| {
        let accepted =
            if counts.accepted == 0 { String::new() } else { format!("+ {} accepted", counts.accepted) };
        vec![kind.severity().name().to_owned(), kind.code().to_owned(), counts.open.to_string(), accepted]
    };
    let rows: Vec<Vec<String>> = found.counts.iter().map(row).collect();
    columns(2, &[Align::Left, Align::Left, Align::Right], &rows)
}

/// One discrepancy: a head, what happened, the cells, the places.
fn one(found: &Discrepancy) -> String {
    let accepted = if found.accepted.is_some() { " (accepted)" } else { "" };
    let material = if found.material == Some(true) { " (material)" } else { "" };
    let mut text = format!("\n{} {}{accepted}{material}", found.severity().name(), found.kind.code());
    for part in [&found.dataset, &found.key] {
        if !part.is_empty() {
            let _ = write!(text, " {part}");
        }
    }
    let _ = writeln!(text, "\n    {}\n    cause: {}", found.message, found.cause);
    for cell in &found.cells {
        let (expected, seen) = (shown(cell.expected.as_deref()), shown(cell.found.as_deref()));
        let _ = writeln!(text, "    {}: expected {expected}, found {seen}", cell.column);
    }
    for (measure, amount) in &found.amounts {
        let amount = if amount == "unknown" { "an unknown amount" } else { amount };
        let _ = writeln!(text, "    {measure} differs by {amount}");
    }
    if let Some(place) = &found.ledger {
        let _ = writeln!(text, "    ledger: {}", ledger_place(place));
    }
    if let Some(place) = &found.current {
        let _ = writeln!(text, "    current: {} row {}", place.file, place.row);
    }
    if found.count > 1 {
        let _ = writeln!(text, "    stands for {}", counted(found.count, "occurrence"));
    }
    let _ = writeln!(text, "    fingerprint: {}", found.fingerprint());
    if let Some(reason) = &found.accepted {
        let _ = writeln!(text, "    accepted: {reason}");
    }
    if let Some(limit) = &found.not_accepted {
        let _ = writeln!(text, "    not accepted: {limit}");
    }
    text
}

/// The exact text of a value, or `null`.
pub(crate) fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), str::to_owned)
}

fn ledger_place(place: &LedgerPlace) -> String {
    let mut text = format!("{} record {}", place.file, place.record);
    let parts = [
        ("at", &place.committed_at),
        ("by", &place.actor),
        ("transaction", &place.transaction),
        ("position", &place.position),
    ];
    for (word, value) in parts {
        if let Some(value) = value {
            let _ = write!(text, ", {word} {value}");
        }
    }
    text
}

/// Counts by kind, and those that are listed in full: all, unless there are very many.
pub(crate) fn document(found: &Discrepancies) -> Value {
    let by_kind = |count: fn(&KindCount) -> u64| -> serde_json::Map<String, Value> {
        let counts = found.counts.iter().map(|(kind, c)| (kind.code().to_owned(), count(c)));
        counts.filter(|(_, count)| *count > 0).map(|(code, count)| (code, json!(count))).collect()
    };
    json!({
        "total": found.total(),
        "counts": by_kind(|c| c.open),
        "accepted": by_kind(|c| c.accepted),
        "complete": found.is_complete(),
        "causes": found.causes.iter().map(|(c, n)| (c.code().to_owned(), json!(n.open))).collect::<serde_json::Map<_, _>>(),
        "material": found.material,
        "differences": found.differences.iter().map(difference_document).collect::<Vec<_>>(),
        "listed": found.listed.iter().map(one_document).collect::<Vec<_>>(),
    })
}

fn difference_document(d: &MeasureDifference) -> Value {
    let share = |s: &CauseShare| {
        json!({ "cause": s.cause.code(), "amount": s.amount, "findings": s.findings, "material": s.material,
                "unknown": s.unknown })
    };
    json!({
        "dataset": d.dataset, "measure": d.measure, "ledger": d.ledger, "current": d.current,
        "difference": d.difference, "causes": d.causes.iter().map(share).collect::<Vec<_>>(),
        "unexplained": d.unexplained, "unknown": d.unknown, "materiality": d.materiality,
        "largest": d.largest.iter().map(Discrepancy::fingerprint).collect::<Vec<_>>(),
    })
}

/// One discrepancy as JSON.
pub(crate) fn one_document(found: &Discrepancy) -> Value {
    let cells: Vec<Value> = found
        .cells
        .iter()
        .map(|c| json!({ "column": c.column, "expected": c.expected, "found": c.found }))
        .collect();
    let amounts: serde_json::Map<String, Value> =
        found.amounts.iter().map(|(measure, amount)| (measure.clone(), json!(amount))).collect();
    let effects: serde_json::Map<String, Value> =
        found.effects.iter().map(|(measure, amount)| (measure.clone(), json!(amount))).collect();
    json!({
        "fingerprint": found.fingerprint(),
        "kind": found.kind.code(),
        "severity": found.severity().name(),
        "dataset": found.dataset,
        "key": found.key,
        "message": found.message,
        "cells": cells,
        "amounts": amounts,
        "effects": effects,
        "cause": found.cause.code(),
        "material": found.material,
        "ledger": found.ledger.as_ref().map(|p| json!({
            "file": p.file, "record": p.record, "position": p.position, "transaction": p.transaction,
            "committed_at": p.committed_at, "actor": p.actor,
        })),
        "current": found.current.as_ref().map(|p| json!({ "file": p.file, "row": p.row })),
        "count": found.count,
        "touches_snapshot": found.touches_snapshot,
        "accepted": found.accepted,
        "not_accepted": found.not_accepted,
    })
}
