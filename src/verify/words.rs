//! What discrepancies say: what happened, the candidate causes in order of
//! likelihood, and what would decide between them. All wording in one place.

use crate::model::Cause as Root;
use crate::model::DiscrepancyKind as Kind;
use crate::replay::chain::{Cause, Conflict};

/// The message of a conflict.
pub fn conflict(conflict: &Conflict) -> String {
    if conflict.kind == Kind::OpeningDiffers {
        return opening_differs(conflict);
    }
    let cause = match conflict.cause {
        Cause::Swapped => {
            "this change and the next one of the row fit in the other order: they were recorded in the wrong order"
        }
        Cause::Altered => "the changes around this one fit each other: an image of this record was altered",
        Cause::Repeated => "the same change stands just before: it was recorded twice",
        Cause::MissingOrAltered => {
            "a change between the two is missing from the ledger, or an image of one of them was altered; \
             the source's own log would decide"
        }
        Cause::Unrecorded => {
            "the row was changed without a record after the ledger's last change of it, or the last record is \
             missing or altered; the source's own log would decide"
        }
    };
    let what = match conflict.kind {
        Kind::ChainBreak => "the row before this change is not the row that the ledger last knew",
        Kind::InsertOverExisting => "inserts a row that, by the ledger, already exists",
        Kind::UpdateOfAbsent => "updates a row that, by the ledger, does not exist",
        Kind::DeleteOfAbsent => "deletes a row that, by the ledger, does not exist",
        Kind::CurrentDiffers => "the current row is not the ledger's last known image",
        Kind::CurrentMissing => "by the ledger the row exists, the current state does not have it",
        Kind::CurrentUnexpected => "by the ledger the row does not exist, the current state has it",
        _ => "ledger and held row disagree",
    };
    match conflict.kind {
        Kind::UpdateOfAbsent | Kind::DeleteOfAbsent if conflict.cause == Cause::MissingOrAltered => {
            format!("{what}: its insert is missing from the ledger, or the delete before it never happened")
        }
        Kind::InsertOverExisting if conflict.cause == Cause::MissingOrAltered => {
            format!("{what}: a delete before it is missing from the ledger, or the insert was recorded twice")
        }
        Kind::CurrentMissing => format!(
            "{what}: it was removed without a record (a direct delete, or a truncate that the log leaves out), or \
             its delete is missing from the ledger"
        ),
        Kind::CurrentUnexpected => {
            format!("{what}: it was created without a record, or its insert is missing from the ledger")
        }
        _ => format!("{what}: {cause}"),
    }
}

/// The one cause of a conflict, as far as its kind and its neighbourhood tell.
pub fn cause(conflict: &Conflict) -> Root {
    match (conflict.kind, conflict.cause) {
        (Kind::OpeningDiffers, Cause::Altered) => Root::WrongOpening,
        (Kind::OpeningDiffers, _) => Root::OpeningOrRemoved,
        (_, Cause::Swapped) => Root::Reordering,
        (_, Cause::Repeated) => Root::Redelivery,
        (_, Cause::Altered) => Root::AlteredRecord,
        (kind, Cause::MissingOrAltered | Cause::Unrecorded) => kind.cause(),
    }
}

/// Forward from the opening, the row does not become what the ledger or the current state has.
fn opening_differs(conflict: &Conflict) -> String {
    let parts = match (conflict.cause, conflict.index) {
        (Cause::Altered, _) => {
            return "the ledger contradicts the opening on both sides of it: the opening was taken at another moment \
                    than declared, or was edited"
                .to_owned();
        }
        (_, u32::MAX) => "the current row is not the opening's, and no change of it since is on record",
        _ => "the first change of the row since the opening does not start from the opening's row",
    };
    format!(
        "{parts}: a change is missing from the ledger, the opening was taken at another moment than declared, or one \
         of the two was edited"
    )
}
