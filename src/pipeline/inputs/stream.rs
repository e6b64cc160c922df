//! What decoded streams of any format have in common.

use std::path::Path;

use super::{Intake, SourceInput};
use crate::error::{At, Error};
use crate::ledger::order::{Identity, OrderRules};
use crate::ledger::{self, Clock, Format, Note, PositionIdentity, PositionKind, TextEncoding};
use crate::model::{CellDifference, Discrepancy, LedgerPlace};
use crate::plan::{Dataset, LedgerClock};
use crate::read::InputFile;

/// What the records of a stream told about themselves.
pub(in crate::pipeline) struct Streamed {
    /// The tables that they name, each with the number of its dataset within the source.
    pub tables: Vec<(String, usize)>,
    /// How decimals and bytes are written, if something proved it.
    pub decimals: Option<TextEncoding>,
    pub binary: Option<TextEncoding>,
}

/// What a decoded stream told about its order and its clock.
pub(super) fn source_of(
    members: &[usize],
    files: Vec<InputFile>,
    format: Format,
    stream: &ledger::Stream,
    declared: LedgerClock,
) -> SourceInput {
    let clock = match stream.clock {
        Some(Clock::Statement) => LedgerClock::Statement,
        Some(Clock::Start) => LedgerClock::Start,
        _ => declared,
    };
    let identity = match stream.positions.as_ref().map(PositionKind::identity) {
        Some(PositionIdentity::Change) => Identity::Position,
        Some(PositionIdentity::ChangeAndKey) => Identity::PositionOpKey,
        Some(PositionIdentity::Nothing) | None => Identity::None,
    };
    SourceInput {
        datasets: members.to_vec(),
        files,
        format,
        rules: OrderRules { commit_clock: clock == LedgerClock::Commit, identity },
        positions: stream.positions.clone(),
        clock,
        whole_seconds: stream.whole_seconds,
        streamed: Some(Streamed {
            tables: stream.tables.iter().filter_map(|(name, (to, _))| Some((name.clone(), (*to)?))).collect(),
            decimals: stream.facts.decimals(),
            binary: stream.facts.binary(),
        }),
    }
}

/// A commit time without an offset, while no zone is declared.
pub(super) fn lacks_zone(path: &Path, record: u64) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        at: At::record(record),
        expected: "a commit time with an offset".to_owned(),
        found: "a local time, and no declared zone".to_owned(),
        hint: Some("declare the ledger's `time_zone` in the plan".to_owned()),
    }
}

/// What reading told, as discrepancies of the datasets that it concerns.
pub(super) fn take_notes(intakes: &mut [Intake], plans: &[&Dataset], notes: &[Note], path: &Path) {
    for note in notes {
        // What concerns no dataset in particular is told of the first.
        let target = note.target.unwrap_or(0);
        let Some(intake) = intakes.get_mut(target) else { continue };
        let same = |d: &&mut Discrepancy| {
            d.kind == note.kind
                && d.message == note.message
                && d.cells.first().map(|c| &c.column) == note.column.as_ref()
        };
        if let Some(known) = intake.discrepancies.iter_mut().rev().take(64).find(same) {
            known.count += note.count;
            continue;
        }
        let mut discrepancy = Discrepancy::new(note.kind, plans[target].name.clone(), note.message.clone());
        discrepancy.count = note.count;
        discrepancy.ledger = Some(LedgerPlace {
            file: path.display().to_string(),
            record: note.record,
            transaction: note.transaction.clone(),
            ..LedgerPlace::default()
        });
        discrepancy.cells = note
            .column
            .iter()
            .map(|column| CellDifference { column: column.clone(), expected: None, found: None })
            .collect();
        intake.discrepancies.push(discrepancy);
    }
}
