//! A change set on its way to disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{UndoFormat, UndoRequest};
use crate::error::{Error, Result};
use crate::export::change_set::{ChangeKind, ChangeSet};
use crate::export::package::{Staged, digest};
use crate::export::sql::{self, ScriptTable, Unwritten};
use crate::model::time;
use crate::pipeline::run::Run;

const SCRIPT: &str = "undo.sql";

/// Writes everything beside its place. Returns how many statements a script has.
pub(super) fn write(
    request: &UndoRequest,
    run: &Run,
    sets: &[ChangeSet],
    staged: &Staged,
) -> Result<Option<usize>> {
    match &request.format {
        UndoFormat::Parquet => {
            for set in sets {
                set.write_parquet(&staged.path().join(file_name(&set.dataset)))?;
            }
            if !is_file(request) {
                manifest(request, sets, staged.path())?;
            }
            Ok(None)
        }
        UndoFormat::Sql { .. } => script(request, run, sets, &staged.path().join(SCRIPT)).map(Some),
    }
}

/// Puts what was written in its place.
pub(super) fn publish(request: &UndoRequest, staged: Staged) -> Result<()> {
    match &request.format {
        UndoFormat::Sql { .. } => staged.publish_file(SCRIPT),
        UndoFormat::Parquet if is_file(request) => {
            if let [dataset] = request.plan.datasets.as_slice() {
                return staged.publish_file(&file_name(&dataset.name));
            }
            Err(Error::Plan {
                place: "--out".to_owned(),
                message: format!("{} is one file, and the plan has several datasets", request.path.display()),
                hint: Some("name a folder".to_owned()),
            })
        }
        UndoFormat::Parquet => staged.publish(),
    }
}

fn is_file(request: &UndoRequest) -> bool {
    request.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"))
}

fn file_name(dataset: &str) -> String {
    let safe: String =
        dataset.chars().map(|c| if matches!(c, '/' | '\\' | '\0') { '_' } else { c }).collect();
    format!("{safe}.parquet")
}

fn script(request: &UndoRequest, run: &Run, sets: &[ChangeSet], path: &Path) -> Result<usize> {
    let UndoFormat::Sql { dialect, targets, unique } = &request.format else { return Ok(0) };
    let table = |(number, set)| of_dataset(run, number, set, targets, unique);
    let tables = sets.iter().enumerate().map(table).collect::<Result<Vec<_>>>()?;
    let mut remarks = vec![
        format!("Made by asof {} from {}", env!("CARGO_PKG_VERSION"), named(request)),
        format!("Undoes {} after {}: {}", what(request), request.moment.text, request.moment.resolved),
        "Each statement changes one row, if it is still as it was in the current state; else nothing is changed"
            .to_owned(),
    ];
    for set in sets {
        let count = |kind| set.count(kind);
        let (deletes, inserts) = (count(ChangeKind::Delete), count(ChangeKind::Insert));
        let updates = count(ChangeKind::Update);
        remarks.push(format!("{}: {deletes} deleted, {inserts} inserted, {updates} updated", set.dataset));
    }
    let mut out = BufWriter::new(File::create(path).map_err(Error::io(path, "write"))?);
    let written = sql::write(*dialect, &tables, &remarks, &mut out);
    let statements = written.map_err(|error| match error {
        Unwritten::Io(source) => Error::io(path, "write")(source),
        Unwritten::Row { dataset, reason } => {
            Error::Refused { dataset, reason, hint: Some("--format parquet holds every value".to_owned()) }
        }
    })?;
    out.flush().map_err(Error::io(path, "write"))?;
    Ok(statements)
}

fn named(request: &UndoRequest) -> String {
    let path: Option<&PathBuf> = request.plan.path.as_ref();
    let path = path.map_or_else(|| "flags".to_owned(), |p| p.display().to_string());
    request.plan.name.as_ref().map_or_else(|| path.clone(), |name| format!("{name} ({path})"))
}

fn what(request: &UndoRequest) -> &'static str {
    if request.only.is_empty() { "everything committed" } else { "a selection of what was committed" }
}

fn of_dataset<'a>(
    run: &Run,
    number: usize,
    set: &'a ChangeSet,
    targets: &[(String, Vec<String>)],
    unique: &[(String, String)],
) -> Result<ScriptTable<'a>> {
    let input = &run.inputs.datasets[number];
    let target = targets.iter().find(|(dataset, _)| *dataset == set.dataset);
    let target = target.map_or_else(|| vec![set.dataset.clone()], |(_, parts)| parts.clone());
    let of = |reference: &crate::plan::Reference| {
        let to = run.inputs.datasets.iter().position(|d| d.plan.name == reference.to)?;
        Some((reference.columns.iter().filter_map(|c| input.schema.column(c)).collect(), to))
    };
    let mut columns = Vec::new();
    for (_, name) in unique.iter().filter(|(dataset, _)| *dataset == set.dataset) {
        columns.push(input.schema.column(name).ok_or_else(|| Error::UnknownColumn {
            dataset: set.dataset.clone(),
            column: name.clone(),
            path: input.current_path().to_owned(),
            hint: Some(input.schema.names().collect::<Vec<_>>().join(", ")),
        })?);
    }
    let references = input.plan.references.iter().filter_map(of).collect();
    Ok(ScriptTable { target, changes: set, references, unique: columns })
}

fn manifest(request: &UndoRequest, sets: &[ChangeSet], folder: &Path) -> Result<()> {
    let mut outputs = serde_json::Map::new();
    for set in sets {
        let name = file_name(&set.dataset);
        let (sha256, bytes) = digest(&folder.join(&name))?;
        outputs.insert(name, json!({ "bytes": bytes, "sha256": sha256 }));
    }
    let count = |set: &ChangeSet| {
        json!({ "name": set.dataset, "deletes": set.count(ChangeKind::Delete),
                "inserts": set.count(ChangeKind::Insert), "updates": set.count(ChangeKind::Update) })
    };
    let manifest = json!({
        "asof": env!("CARGO_PKG_VERSION"),
        "content": "undo",
        "plan": { "name": request.plan.name, "path": request.plan.path, "text": request.plan.text },
        "as_of": { "asked": request.moment.text, "resolved": request.moment.resolved },
        "datasets": sets.iter().map(count).collect::<Vec<_>>(),
        "outputs": outputs,
        "volatile": { "created_at": time::format_instant(request.options.now) },
    });
    let path = folder.join("manifest.json");
    std::fs::write(&path, format!("{manifest:#}\n")).map_err(Error::io(&path, "write"))
}
