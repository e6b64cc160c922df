//! One row through time: what changed, when, by whom.

use std::sync::Arc;

use arrow::array::ArrayRef;
use rayon::prelude::*;

use super::inputs::Inputs;
use super::progress::Progress;
use super::request::HistoryRequest;
use super::scan;
use crate::error::{Error, Result};
use crate::ledger::want::Want;
use crate::model::canon::{self, Seed};
use crate::model::{CellState, NO_TIME, Op, time};
use crate::read::Spool;
use crate::read::cell::CellBuilder;

/// A row through time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryOutcome {
    /// The key as `column=value` pairs.
    pub key: String,
    /// Its changes, in the order of the ledger.
    pub steps: Vec<HistoryStep>,
    /// The current row, column by column; `None` if there is none.
    pub current: Option<Vec<(String, Option<String>)>>,
}

/// One change of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// The op.
    pub op: Op,
    /// Commit time, RFC 3339.
    pub committed_at: Option<String>,
    /// The source's own position.
    pub position: Option<String>,
    /// The transaction.
    pub transaction: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The ledger file.
    pub file: String,
    /// Number of the record in the file.
    pub record: u64,
    /// What changed: column, exact text before and after. An outer `None` is a cell
    /// that the record does not state, an inner one null.
    pub cells: Vec<(String, Option<Option<String>>, Option<Option<String>>)>,
}

/// Finds all changes of one key.
///
/// # Errors
/// The dataset or a key value does not exist, or an input cannot be read.
pub fn history(request: &HistoryRequest, progress: &dyn Progress) -> Result<HistoryOutcome> {
    super::in_pool(&request.options, || run(request, progress))
}

fn run(request: &HistoryRequest, progress: &dyn Progress) -> Result<HistoryOutcome> {
    let spool = Spool::new(request.options.spool.as_deref());
    let mut plan = request.plan.clone();
    plan.datasets.retain(|d| d.name == request.dataset);
    if plan.datasets.is_empty() {
        let names: Vec<&str> = request.plan.datasets.iter().map(|d| d.name.as_str()).collect();
        return Err(Error::Plan {
            place: "--dataset".to_owned(),
            message: format!("there is no dataset {:?}", request.dataset),
            hint: Some(format!("the plan has {}", names.join(", "))),
        });
    }
    let inputs = Inputs::open(&plan, &spool, progress)?;
    let input = &inputs.datasets[0];
    let seed = Seed::random();
    let wanted = wanted_key(input, &request.key)?;
    let refs: Vec<&ArrayRef> = wanted.iter().collect();
    let normalised = input.normalised_keys(&refs)?;
    let id = canon::key_ids(&normalised.iter().collect::<Vec<_>>(), seed)[0];
    let found: Vec<Result<Vec<u32>>> = (0..input.store.segments())
        .into_par_iter()
        .map(|segment| {
            let batch = input.read_for_scan(segment, false)?;
            let first = input.store.first(segment);
            let ids = |images: &crate::model::Images| {
                let keys: Vec<&ArrayRef> =
                    input.schema.key().iter().filter_map(|&c| images.column(c)).collect();
                canon::key_ids(&keys, seed)
            };
            let (before, after) = (ids(&batch.before), ids(&batch.after));
            let ours = |row: &usize| {
                batch.before.is_present(*row) && before[*row] == id
                    || batch.after.is_present(*row) && after[*row] == id
                    || batch.ops[*row] == Op::Truncate as u8
            };
            Ok((0..batch.len()).filter(ours).map(|row| first + row as u32).collect())
        })
        .collect();
    let mut indices = Vec::new();
    for part in found {
        indices.extend(part?);
    }
    let order = scan::order(&inputs.sources[0], &inputs.datasets)?.order;
    let ranks = order.ranks(0);
    indices.retain(|&i| ranks.of(i) != crate::model::rank::DROPPED);
    indices.sort_by_key(|&i| ranks.of(i));
    let steps = indices.iter().map(|&i| step(&inputs, i)).collect::<Result<Vec<_>>>()?;
    Ok(HistoryOutcome { key: input.key_text(&refs, 0), steps, current: current(&inputs, id, seed)? })
}

fn wanted_key(input: &super::inputs::DatasetInput, texts: &[String]) -> Result<Vec<ArrayRef>> {
    let names: Vec<&str> = input.schema.key().iter().map(|&c| input.schema.name(c)).collect();
    let wrong = |message: String| Error::Plan {
        place: "--key".to_owned(),
        message,
        hint: Some(format!("give one value per key column, in this order: {}", names.join(","))),
    };
    if texts.len() != input.schema.key().len() || texts.is_empty() {
        return Err(wrong(format!("expected {} values, found {}", names.len(), texts.len())));
    }
    input
        .schema
        .key()
        .iter()
        .zip(texts)
        .map(|(&column, text)| {
            let data_type = input.schema.data_type(column);
            let mut builder = CellBuilder::new(data_type)
                .ok_or_else(|| wrong(format!("a key of type {data_type} has no text")))?;
            builder
                .push_text(text)
                .map_err(|m| wrong(format!("expected {}, found {}", m.expected, m.found)))?;
            Ok(builder.finish())
        })
        .collect()
}

fn step(inputs: &Inputs, index: u32) -> Result<HistoryStep> {
    let input = &inputs.datasets[0];
    let source = &inputs.sources[0];
    let (segment, row) = input.store.locate(index);
    let batch = input.store.read(segment, Want::EVIDENCE, Some(&[row]))?;
    let cell = |images: &crate::model::Images, column: usize| {
        let known = matches!(images.state(column, 0), CellState::Known | CellState::AmbiguousNull);
        images.column(column).filter(|_| known).map(|array| canon::cell_text(array.as_ref(), 0))
    };
    let cells = (0..input.schema.len())
        .map(|c| (input.schema.name(c).to_owned(), cell(&batch.before, c), cell(&batch.after, c)))
        .filter(|(_, before, after)| before != after)
        .collect();
    let text = |array: &Option<Arc<dyn arrow::array::Array>>| {
        array.as_ref().and_then(|a| canon::cell_text(a.as_ref(), 0))
    };
    let commit = batch.commit_position.as_ref().map(|p| p[0]);
    let own = batch.position.as_ref().map(|p| p[0]);
    Ok(HistoryStep {
        op: Op::from_code(batch.ops[0]).unwrap_or(Op::Update),
        committed_at: Some(batch.committed_at[0]).filter(|&t| t != NO_TIME).map(time::format_instant),
        position: source
            .positions
            .as_ref()
            .filter(|_| commit.is_some() || own.is_some())
            .map(|kind| kind.format(commit, own)),
        transaction: text(&batch.transaction),
        actor: text(&batch.actor),
        file: source
            .files
            .get(batch.file as usize)
            .map_or_else(String::new, |f| f.path.display().to_string()),
        record: batch.record[0],
        cells,
    })
}

/// The text of each cell of a row, by column.
type RowText = Vec<(String, Option<String>)>;

fn current(inputs: &Inputs, id: u128, seed: Seed) -> Result<Option<RowText>> {
    let input = &inputs.datasets[0];
    for group in 0..input.table.groups() {
        let batch = input.read_current(group, input.schema.key())?;
        let keys: Vec<&ArrayRef> = batch.columns().iter().collect();
        let keys = input.normalised_keys(&keys)?;
        let ids = canon::key_ids(&keys.iter().collect::<Vec<_>>(), seed);
        if let Some(row) = ids.iter().position(|&i| i == id) {
            let all: Vec<usize> = (0..input.schema.len()).collect();
            let batch = input.read_current(group, &all)?;
            let cell =
                |c: usize| (input.schema.name(c).to_owned(), canon::cell_text(batch.column(c).as_ref(), row));
            return Ok(Some(all.into_iter().map(cell).collect()));
        }
    }
    Ok(None)
}
