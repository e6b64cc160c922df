//! What is said of columns that began, ended or changed their type inside the ledger, and which
//! columns did not exist yet at a cut.

use super::inputs::{DatasetInput, ReadLedger};
use crate::error::Result;
use crate::ledger::order::Order;
use crate::ledger::{Begin, Drift, Place};
use crate::model::rank::DROPPED;
use crate::model::{CellDifference, Discrepancy, DiscrepancyKind, LedgerPlace, TableSchema};
use crate::plan::Dataset;
use crate::read::InputFile;

/// Takes what a whole stream showed about the columns of a dataset into what reading it found.
pub(super) fn settle(
    read: &mut ReadLedger,
    drifts: Vec<Drift>,
    (plan, schema): (&Dataset, &TableSchema),
    files: &[InputFile],
) {
    let mut begins: Vec<Begin> = Vec::new();
    for drift in drifts {
        if let Drift::Ends { name, .. } = &drift {
            let told = |d: &Discrepancy| {
                d.kind == DiscrepancyKind::UnknownColumn && d.cells.iter().any(|c| &c.column == name)
            };
            read.discrepancies.retain(|d| !told(d));
        }
        read.discrepancies.push(finding(&drift, (plan, schema), files));
        if let (Drift::Begins(begin), false) = (drift, schema.is_keyless()) {
            begins.push(begin);
        }
    }
    read.store.set_begins(begins);
}

fn finding(drift: &Drift, (plan, schema): (&Dataset, &TableSchema), files: &[InputFile]) -> Discrepancy {
    let file = |place: &Place| {
        files.get(place.file as usize).map_or_else(String::new, |f| f.path.display().to_string())
    };
    let (column, place, message) = match drift {
        Drift::Begins(begin) => {
            let elsewhere = if begin.without.file == begin.with.file {
                String::new()
            } else {
                format!(" of {}", file(&begin.without))
            };
            let message = format!(
                "whole rows up to record {}{elsewhere} lack this column, this record is the first to have it: it \
                 did not exist before, so it is null at moments before that, and nothing of it is unknown there",
                begin.without.record
            );
            (schema.name(begin.column), begin.with, message)
        }
        Drift::Ends { name, last } => {
            let message = "this record is the last to have this column, whole rows after it lack it, and so does \
                           the table: it was dropped; its values are left out, unless the snapshot has the columns in force at its \
                           moment (--schema at-date)";
            (name.as_str(), *last, message.to_owned())
        }
        Drift::Retyped { column, from, to, first } => {
            let data_type = schema.data_type(*column);
            let message = format!(
                "the type of this column is {from} up to here and {to} from this record on; values of both are read \
                 into the table's type {data_type}, and one that does not fit it exactly is a lossy-value of its own"
            );
            (schema.name(*column), *first, message)
        }
    };
    let mut found = Discrepancy::new(DiscrepancyKind::SchemaDrift, plan.name.clone(), message);
    found.ledger = Some(LedgerPlace { file: file(&place), record: place.record, ..LedgerPlace::default() });
    found.cells.push(CellDifference { column: column.to_owned(), expected: None, found: None });
    found
}

/// Per column, whether it did not exist yet at a cut: a change at or behind it proves that.
pub(super) fn unborn(input: &DatasetInput, order: &Order, cut: u32) -> Result<Vec<bool>> {
    let mut unborn = vec![false; input.schema.len()];
    for begin in input.store.begins() {
        let index = input.store.index_upto(begin.without.stream)?;
        let rank = index.map(|index| order.rank(input.member, index)).filter(|&rank| rank != DROPPED);
        unborn[begin.column] = rank.is_some_and(|rank| rank >= cut);
    }
    Ok(unborn)
}
