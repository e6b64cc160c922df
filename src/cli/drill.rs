//! `asof drill`: the rehearsal, and its certificate.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use asof::pipeline::HistoryStep;
use asof::pipeline::drill::{
    DrillRequest, DrilledDataset, DrilledPackage, Extent, FaultRate, Restatement, drill, self_test,
};
use serde_json::{Value, json};

use super::args::RunArgs;
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Rebuild earlier packages from today's inputs, compare, and certify
///
/// Takes folders that `asof snapshot` wrote, checks their own digests, rebuilds each as its
/// manifest says from the inputs as they are today, and compares cell by cell. A figure that has moved since is a
/// restatement: it is named with row, column, amount, and the record that supplies it now.
/// Run it where the packages were made, as their paths are those of that place.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof drill evidence/2025-12-31 --out certificate
    asof drill evidence/2025-* --out certificate --self-test 5

OUTPUT
    DIR/certificate.md     what was rebuilt and compared, what moved and why, how long it took
    DIR/certificate.json   the same for machines

EXIT STATUS
    0 every figure is what it was; 1 some moved, or could not be compared; 2 could not run")]
pub(crate) struct Args {
    /// Folders of packages
    #[arg(value_name = "PACKAGE", required = true)]
    packages: Vec<PathBuf>,

    /// Folder for the certificate
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Plant this many known faults of each kind in a copy of the inputs, and count those found
    ///
    /// The inputs are those of the first package. They are copied; nothing is written to them.
    #[arg(long, value_name = "N")]
    self_test: Option<u32>,

    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// A package, and how long its rebuild and comparison took.
type Timed = (DrilledPackage, u128);

/// Rebuilds, compares, certifies.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(asof::Error::OutputExists { path: out.clone() }.into());
    }
    let request = |package: &PathBuf| DrillRequest { package: package.clone(), options: args.run.options() };
    let mut packages: Vec<Timed> = Vec::new();
    for package in &args.packages {
        let begun = Instant::now();
        let drilled = drill(&request(package), console.progress())?;
        packages.push((drilled, begun.elapsed().as_millis()));
    }
    let faults = match (args.self_test, args.packages.first()) {
        (Some(planted), Some(package)) => self_test(&request(package), planted, console.progress())?,
        _ => Vec::new(),
    };
    let text = certificate(&packages, &faults);
    let document = document(&packages, &faults);
    if let Some(out) = &args.out {
        let failed = |source| Failure::Io { path: out.clone(), source };
        std::fs::create_dir_all(out).map_err(failed)?;
        std::fs::write(out.join("certificate.md"), &text).map_err(failed)?;
        std::fs::write(out.join("certificate.json"), format!("{document:#}\n")).map_err(failed)?;
    }
    console.result(&text, || document)?;
    let moved = packages.iter().any(|(p, _)| !p.is_reproduced());
    Ok(if moved { Status::Found } else { Status::Clean })
}

fn certificate(packages: &[Timed], faults: &[FaultRate]) -> String {
    let mut text = format!("# Certificate of a rehearsal\n\nMade by asof {}.\n", env!("CARGO_PKG_VERSION"));
    for (package, milliseconds) in packages {
        text += &of_package(package, *milliseconds);
    }
    if !faults.is_empty() {
        text += "\n## Self-test\n\nKnown faults, one at a time, in a copy of the first package's inputs.\n\n\
                 | fault | planted | found | rate |\n|---|---:|---:|---:|\n";
        for f in faults {
            let rate =
                (f.found * 100).checked_div(f.planted).map_or("–".to_owned(), |rate| format!("{rate} %"));
            let _ = writeln!(text, "| {} | {} | {} | {rate} |", f.fault.name(), f.planted, f.found);
        }
        for missed in faults.iter().flat_map(|f| f.missed.iter().map(move |m| (f.fault.name(), m))) {
            let _ = writeln!(text, "\nNot found: {} in {}", missed.0, one_line(missed.1));
        }
        if faults.iter().any(|f| !f.missed.is_empty()) {
            text += "\nA change to a row that no ledger mentions leaves nothing to compare it with, unless the plan \
                     states a total that it moves.\n";
        }
    }
    text + "\n| role | name | date | signature |\n|---|---|---|---|\n| run by | | | |\n| reviewed by | | | |\n"
}

fn of_package(p: &DrilledPackage, milliseconds: u128) -> String {
    let verdict = match p.restatements.len() {
        0 if p.is_reproduced() => "**Reproduced**: every cell is what it was.".to_owned(),
        0 if !p.faults.is_empty() => {
            "**Not trusted**: its own digests do not hold, so nothing was compared with it.".to_owned()
        }
        0 => "**Not reproduced**: not everything in it could be compared.".to_owned(),
        count => format!("**Restated**: {count} columns, rows or figures are not what they were."),
    };
    let mut text = format!(
        "\n## {}\n\n{}, as of {}: {}. {verdict}\n\nRebuilt and compared in {milliseconds} ms.\n",
        one_line(&p.path.display().to_string()),
        one_line(&p.plan),
        one_line(&p.as_of.0),
        one_line(&p.as_of.1)
    );
    text += match p.faults.as_slice() {
        [] => "\nIts own digests hold: every file is the one that its manifest states.\n",
        _ => "\nWhat does not hold of it (`asof check` says more):\n\n",
    };
    for fault in &p.faults {
        let _ = writeln!(text, "- {}: {}", one_line(&fault.file), one_line(&fault.what));
    }
    text += "\n| dataset | rows | cells compared |\n|---|---:|---:|\n";
    for DrilledDataset { name, extent } in &p.datasets {
        let extent = match extent {
            Extent::Cells { rows, cells } => format!("{rows} | {cells}"),
            Extent::Refused(why) => format!("– | none: refused then and now: {}", one_line(why)),
            Extent::Nothing(why) => format!("– | **none**: {}", one_line(why)),
        };
        let _ = writeln!(text, "| {} | {extent} |", one_line(name));
    }
    text += "\n| input | since |\n|---|---|\n";
    for (path, then, now) in &p.inputs {
        let since = match now {
            None => "no longer there",
            Some(now) if now == then => "the same",
            Some(_) => "changed",
        };
        let _ = writeln!(text, "| {} | {since} |", one_line(path));
    }
    if !p.restatements.is_empty() {
        text += "\n| dataset | row | column | was | is | amount | supplied now by |\n|---|---|---|---|---|---:|---|\n";
    }
    for r in &p.restatements {
        let cells = [&r.was, &r.is].map(|cell| one_line(cell.as_deref().unwrap_or("null")));
        let [was, is] = cells;
        let (column, amount) = (r.column.as_deref().unwrap_or("(row)"), r.amount.as_deref().unwrap_or(""));
        let key = if r.key.is_empty() { "(every row)".to_owned() } else { one_line(&r.key) };
        let by = one_line(&supplied(r));
        let _ = writeln!(
            text,
            "| {} | {key} | {} | {was} | {is} | {amount} | {by} |",
            r.dataset,
            one_line(column)
        );
    }
    text
}

fn supplied(r: &Restatement) -> String {
    let Some(HistoryStep { op, committed_at, transaction, actor, file, record, .. }) = &r.entry else {
        let none = "no record: the current row was edited, or a record is missing";
        return if r.looked_up { none.to_owned() } else { "not looked up".to_owned() };
    };
    let mut text = op.name().to_owned();
    for (word, value) in [("at", committed_at), ("in transaction", transaction), ("by", actor)] {
        if let Some(value) = value {
            let _ = write!(text, " {word} {value}");
        }
    }
    text + &format!(" ({file} record {record})")
}

/// A text that ends neither a cell nor a line of a table.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().replace('|', "\\|")
}

fn document(packages: &[Timed], faults: &[FaultRate]) -> Value {
    let restatement = |r: &Restatement| {
        let entry = r.entry.as_ref().map(|s| {
            json!({ "op": s.op.name(), "committed_at": s.committed_at, "transaction": s.transaction,
                    "actor": s.actor, "file": s.file, "record": s.record })
        });
        json!({ "dataset": r.dataset, "key": r.key, "column": r.column, "was": r.was, "is": r.is,
                "amount": r.amount, "entry": entry, "looked_up": r.looked_up })
    };
    let package = |(p, milliseconds): &Timed| {
        let inputs: Vec<Value> = p
            .inputs
            .iter()
            .map(|(path, then, now)| json!({ "path": path, "sha256_then": then, "sha256_now": now }))
            .collect();
        let dataset = |DrilledDataset { name, extent }: &DrilledDataset| match extent {
            Extent::Cells { rows, cells } => json!({ "name": name, "rows": rows, "cells": cells }),
            Extent::Refused(why) => json!({ "name": name, "compared": "refused", "reason": why }),
            Extent::Nothing(why) => json!({ "name": name, "compared": "nothing", "reason": why }),
        };
        let datasets: Vec<Value> = p.datasets.iter().map(dataset).collect();
        json!({ "path": p.path, "plan": p.plan, "as_of": { "asked": p.as_of.0, "resolved": p.as_of.1 },
                "inputs": inputs, "datasets": datasets, "digests_hold": p.faults.is_empty(),
                "faults": p.faults.iter().map(|f| json!({ "file": f.file, "what": f.what })).collect::<Vec<_>>(),
                "reproduced": p.is_reproduced(), "milliseconds": *milliseconds as u64,
                "restatements": p.restatements.iter().map(restatement).collect::<Vec<_>>() })
    };
    let fault = |f: &FaultRate| json!({ "fault": f.fault.name(), "planted": f.planted, "found": f.found, "missed": f.missed });
    json!({
        "asof": env!("CARGO_PKG_VERSION"),
        "packages": packages.iter().map(package).collect::<Vec<_>>(),
        "self_test": faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
