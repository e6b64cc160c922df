//! [`Notes`]: what is not as it should be, with repetitions folded.

use std::collections::HashMap;

use super::decode::Note;
use crate::model::DiscrepancyKind;

/// How many notes of one kind, target and column a chunk keeps one by one.
const KEPT: u64 = 100;

/// The notes of one chunk. Beyond a limit per kind, target and column the last one counts the rest.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<Note>,
    counts: HashMap<Subject, (u64, usize)>,
}

/// Kind, target and column.
type Subject = (DiscrepancyKind, Option<usize>, Option<String>);

impl Notes {
    pub(super) fn add(
        &mut self,
        kind: DiscrepancyKind,
        target: Option<usize>,
        record: u64,
        column: Option<&str>,
        message: impl Into<String>,
    ) {
        let column = column.map(str::to_owned);
        let (count, last) = self.counts.entry((kind, target, column.clone())).or_insert((0, 0));
        *count += 1;
        if *count > KEPT {
            self.notes[*last].count += 1;
            return;
        }
        *last = self.notes.len();
        self.notes.push(Note {
            transaction: None,
            kind,
            target,
            file: 0,
            record,
            column,
            message: message.into(),
            count: 1,
            once: false,
        });
    }

    /// Something that is said once per stream, not per record.
    pub(super) fn once(
        &mut self,
        kind: DiscrepancyKind,
        target: usize,
        column: &str,
        message: impl Into<String>,
    ) {
        self.add(kind, Some(target), 0, Some(column), message);
        if let Some(note) = self.notes.last_mut() {
            note.once = true;
        }
    }

    /// A record that cannot be understood.
    pub(super) fn unparsable(&mut self, target: Option<usize>, record: u64, message: impl Into<String>) {
        self.add(DiscrepancyKind::UnparsableRecord, target, record, None, message);
    }

    pub(super) fn finish(self) -> Vec<Note> {
        self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted_not_kept() {
        let mut notes = Notes::default();
        for record in 0..1_000 {
            notes.unparsable(None, record, "x");
        }
        notes.add(DiscrepancyKind::LossyValue, Some(0), 7, Some("a"), "y");
        let notes = notes.finish();
        assert_eq!(notes.len(), 101);
        assert_eq!(notes.iter().map(|n| n.count).sum::<u64>(), 1_001);
    }
}
