//! `manifest.json`: what went in, what was assumed, what came out, with digests of both.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::inputs::DatasetInput;
use super::outcome::{DatasetOutcome, MomentOutcome};
use super::request::{OutputFormat, SnapshotRequest};
use super::run::Run;
use crate::check;
use crate::error::{Error, Result};
use crate::export::package::{FileDigest, digest};
use crate::model::{
    CauseShare, DigestTotal, GroupTotal, GroupValue, MeasureDifference, MeasureTotal, RowTotal, time,
};
use crate::plan::{Bound, Moment};
use crate::read::InputFile;

/// Writes the manifest of one folder, after everything else in it; `digests` are those that are known already.
pub(super) fn write(
    request: &SnapshotRequest,
    (run, moment): (&Run, &Moment),
    outcome: &MomentOutcome,
    (folder, digests): (&Path, &BTreeMap<String, FileDigest>),
) -> Result<()> {
    let outputs = outputs(folder, digests)?;
    let inputs = run.inputs.datasets.iter().enumerate();
    let datasets: Vec<Value> = inputs
        .map(|(number, input)| {
            let written = outcome.datasets.iter().find(|d| d.name == input.plan.name);
            dataset(request, run, number, written)
        })
        .collect::<Result<_>>()?;
    let counts: Map<String, Value> = outcome
        .discrepancies
        .counts
        .iter()
        .map(|(kind, c)| (kind.code().to_owned(), json!({ "open": c.open, "accepted": c.accepted })))
        .collect();
    let causes: Map<String, Value> = outcome
        .discrepancies
        .causes
        .iter()
        .map(|(cause, c)| (cause.code().to_owned(), json!({ "open": c.open, "accepted": c.accepted })))
        .collect();
    let differences: Vec<Value> = outcome.discrepancies.differences.iter().map(difference).collect();
    let assumptions: Vec<&String> = run.windows.iter().flat_map(|w| &w.assumptions).collect();
    let manifest = json!({
        "asof": env!("CARGO_PKG_VERSION"),
        "plan": { "name": request.plan.name, "path": request.plan.path, "text": request.plan.text },
        "as_of": of_moment(moment),
        "verified": request.verify,
        "trust": request.policy.trust.name(),
        "allow_uncovered": request.policy.allow_uncovered,
        "provenance": request.provenance,
        "schema": request.schema.name(),
        "assumptions": assumptions,
        "notes": super::checks::not_compared(&request.plan, &request.moments),
        "types": super::type_decisions(&run.inputs),
        "datasets": datasets,
        "discrepancies": counts,
        "series": request.moments.iter().map(|m| &m.label).filter(|_| request.moments.len() > 1).collect::<Vec<_>>(),
        "causes": causes,
        "differences": differences,
        "outputs": outputs,
        "volatile": { "created_at": time::format_instant(request.options.now) },
    });
    let path = folder.join(check::MANIFEST);
    let file = File::create(&path).map_err(Error::io(&path, "write"))?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, &manifest).map_err(|e| Error::Io {
        path: path.clone(),
        action: "write",
        source: e.into(),
    })?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(Error::io(&path, "write"))?;
    let beside = folder.join(check::MANIFEST_DIGEST);
    std::fs::write(&beside, check::digest_line(&digest(&path)?.0)).map_err(Error::io(&beside, "write"))
}

/// Every file of a folder, with its size and digest.
fn outputs(folder: &Path, known: &BTreeMap<String, FileDigest>) -> Result<Map<String, Value>> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map_err(Error::io(folder, "read"))?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::io(folder, "read"))?;
    names.sort();
    let digests = names.par_iter().map(|name| {
        let path = folder.join(name);
        let name = name.to_string_lossy().into_owned();
        let size = || std::fs::metadata(&path).map(|m| m.len()).map_err(Error::io(&path, "read"));
        // What was meant to be written is in the file only if that is as long.
        let (sha256, bytes) = match known.get(&name) {
            Some(known) if known.bytes == size()? => (known.sha256.clone(), known.bytes),
            _ => digest(&path)?,
        };
        Ok((name, json!({ "bytes": bytes, "sha256": sha256 })))
    });
    digests.collect::<Result<Vec<_>>>().map(|outputs| outputs.into_iter().collect())
}

/// A moment as it was asked for, in words, and exactly.
fn of_moment(moment: &Moment) -> Value {
    let bound = match &moment.bound {
        Bound::Before(end) => json!({ "before": time::format_instant(*end) }),
        Bound::At(last) => json!({ "at": time::format_instant(*last) }),
        Bound::Position(position) => json!({ "position": position }),
        Bound::Transaction(transaction) => json!({ "transaction": transaction }),
    };
    json!({ "asked": moment.text, "resolved": moment.resolved, "label": moment.label, "bound": bound })
}

/// The moment that a manifest states, whatever the words would mean by now.
pub(super) fn stated_moment(value: &Value) -> Option<Moment> {
    let word = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let bound = value.get("bound")?;
    let instant = |name: &str| word(bound, name).and_then(|at| time::parse_instant(&at, None).ok());
    let bound = instant("before")
        .map(Bound::Before)
        .or_else(|| instant("at").map(Bound::At))
        .or_else(|| word(bound, "position").map(Bound::Position))
        .or_else(|| word(bound, "transaction").map(Bound::Transaction))?;
    let text = word(value, "asked")?;
    Some(Moment { text, label: word(value, "label")?, resolved: word(value, "resolved")?, bound })
}

/// The difference of one measure as an equation, with its terms.
fn difference(d: &MeasureDifference) -> Value {
    let share = |s: &CauseShare| {
        json!({ "cause": s.cause.code(), "amount": s.amount, "findings": s.findings, "material": s.material,
                "unknown": s.unknown })
    };
    let known = d.ledger.as_ref().zip(d.current.as_ref());
    json!({
        "dataset": d.dataset, "measure": d.measure, "ledger": d.ledger, "current": d.current,
        "difference": d.difference, "causes": d.causes.iter().map(share).collect::<Vec<_>>(),
        "unexplained": d.unexplained, "unknown": d.unknown, "materiality": d.materiality,
        "equation": known.map(|(ledger, current)| format!("{current} − {ledger} = {}", d.difference)),
    })
}

fn dataset(
    request: &SnapshotRequest,
    run: &Run,
    number: usize,
    written: Option<&DatasetOutcome>,
) -> Result<Value> {
    let input = &run.inputs.datasets[number];
    let window = &run.windows[number];
    let source = run.source(number);
    let instant = |t: Option<i64>| t.map(time::format_instant);
    let totals = written.map(|d| {
        let undone: Map<String, Value> =
            d.undone.iter().map(|(op, count)| (op.name().to_owned(), json!(count))).collect();
        let v = &d.verdicts;
        json!({
            "rows": rows(&d.row_total()),
            "rows_changed": d.rows_changed,
            "columns_left_out": d.left_out,
            "columns_returned": d.returned,
            "changes": d.changes,
            "undone": undone,
            "measures": d.measures.iter().map(measure).collect::<Vec<_>>(),
            "groups": d.groups.iter().map(group).collect::<Vec<_>>(),
            "verdicts": {
                "unchanged": v.unchanged, "restored": v.restored, "inferred": v.inferred,
                "not_covered": v.not_covered, "unrecoverable": v.unrecoverable, "contradicted": v.contradicted,
            },
            "cells": {
                "inferred": v.inferred_cells, "ambiguous": v.ambiguous_cells,
                "unrecoverable": v.unrecoverable_cells,
            },
        })
    });
    Ok(json!({
        "name": input.plan.name,
        "file": written.and_then(|d| Some(request.output.format()?.file_name(&d.name))),
        "null": null_marker(request, input),
        "csv_safe": request.csv_safe && request.output.format() == Some(OutputFormat::Csv),
        "key": input.plan.key,
        "current": files(input.table.files())?,
        "ledger": {
            "files": files(&source.files)?,
            "format": source.format.name(),
            "clock": source.clock.name(),
            "known_at": input.plan.ledger.postings.known_at.as_ref().map(of_moment),
            "window": {
                "from": instant(window.from), "declared": window.declared, "last_change": instant(window.last),
            },
        },
        "opening": opening(run, number, input)?,
        "refused": written.is_none(),
        "digests": written.map(|d| digests(input, d)),
        "totals": totals,
    }))
}

/// What stands for null in the dataset's file, if that is text.
fn null_marker(request: &SnapshotRequest, input: &DatasetInput) -> Option<String> {
    let is_text = request.output.format() == Some(OutputFormat::Csv);
    is_text.then(|| input.plan.current.source.csv.null.clone().unwrap_or_default())
}

/// The identities of the digests of rows, or why there are none.
fn digests(input: &DatasetInput, written: &DatasetOutcome) -> Value {
    if written.digests.is_empty() {
        return json!(
            "not computed: a cryptographic hash of every row costs more than the rebuild itself; --digest does"
        );
    }
    let identity = |d: &DigestTotal| {
        let mut value = json!({ "column": d.column });
        for (part, hash) in d.parts() {
            value[part] = json!(hash.fingerprint());
        }
        value["changes_included"] = json!(d.included);
        value["changes_excluded"] = json!(d.excluded);
        value["holds"] = json!(d.holds());
        value["residual"] = json!(d.residual);
        value
    };
    json!({
        "construction": "LtHash16, 1024 words, SHAKE128 of canonical cells",
        "identity": "current − after + before = snapshot",
        "columns": input.schema.names().collect::<Vec<_>>(),
        "identities": written.digests.iter().map(identity).collect::<Vec<_>>(),
    })
}

fn rows(r: &RowTotal) -> Value {
    json!({ "current": r.current, "inserts_undone": r.inserts, "deletes_undone": r.deletes,
            "updates_undone": r.updates, "snapshot": r.snapshot, "holds": r.holds(), "equation": r.equation() })
}

fn measure(m: &MeasureTotal) -> Value {
    json!({ "name": m.name, "current": m.current, "inserts_undone": m.inserts, "deletes_undone": m.deletes,
            "updates_undone": m.updates, "snapshot": m.snapshot, "change": m.change,
            "unknown_cells": m.unknown, "holds": m.holds, "equation": m.equation() })
}

/// Values of a group are text, null for null; what nothing states is named beside them.
fn group(g: &GroupTotal) -> Value {
    let text = |value: &GroupValue| match value {
        GroupValue::Value(text) => json!(text),
        GroupValue::Null | GroupValue::Unknown => Value::Null,
    };
    let values: Map<String, Value> = g.group.iter().map(|(c, v)| (c.clone(), text(v))).collect();
    let unknown: Vec<&String> =
        g.group.iter().filter(|(_, v)| *v == GroupValue::Unknown).map(|(c, _)| c).collect();
    json!({ "group": g.label(), "values": values, "unknown": unknown, "rows": rows(&g.rows),
            "measures": g.measures.iter().map(measure).collect::<Vec<_>>() })
}

/// The opening with its digests, and whether it was evidence; null if the plan names none.
fn opening(run: &Run, number: usize, input: &DatasetInput) -> Result<Value> {
    let Some(plan) = &input.plan.opening else { return Ok(Value::Null) };
    let placed = &run.openings[number];
    Ok(json!({
        "as_of": { "asked": plan.as_of.text, "resolved": plan.as_of.resolved },
        "files": files(input.store.opening().map_or(&[], |o| o.files()))?,
        "used": placed.opening.is_some(),
        "remark": placed.remark,
    }))
}

fn files(files: &[InputFile]) -> Result<Vec<Value>> {
    files
        .iter()
        .map(|file| Ok(json!({ "path": file.path, "bytes": file.size, "sha256": file.digest()? })))
        .collect()
}

/// Key-value metadata of a snapshot's footer. Nothing volatile, so that the bytes stay the same.
pub(super) fn footer(run: &Run, moment: &Moment, input: &DatasetInput) -> Vec<(String, String)> {
    let window =
        &run.windows[run.inputs.datasets.iter().position(|d| d.plan.name == input.plan.name).unwrap_or(0)];
    let instant = |t: Option<i64>, none: &str| t.map_or_else(|| none.to_owned(), time::format_instant);
    vec![
        ("asof.dataset".to_owned(), input.plan.name.clone()),
        ("asof.as_of".to_owned(), moment.resolved.clone()),
        (
            "asof.window".to_owned(),
            format!("{} to {}", instant(window.from, "birth"), instant(window.last, "no change")),
        ),
        ("asof.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Calendar;

    #[test]
    fn a_moment_comes_back_exactly() {
        for when in
            ["2025-12", "2025-12-31T18:00:00.000000001Z", "position:0/16B3748", "txn:7", "last-month-end"]
        {
            let moment = &Moment::parse(when, &Calendar::UTC, 0).unwrap()[0];
            let back = stated_moment(&of_moment(moment)).unwrap();
            assert_eq!(&back, moment);
        }
        assert_eq!(
            stated_moment(&json!({ "asked": "2025", "resolved": "before 2026", "label": "2025" })),
            None
        );
    }
}
