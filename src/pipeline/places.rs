//! Where the output of a snapshot is put: a folder, or a file per moment.

use std::path::{Path, PathBuf};

use super::request::{Output, SnapshotRequest, Trust};
use crate::error::{Error, Result};
use crate::export::package::Staged;
use crate::plan::Moment;

/// Prepares the output, if the request makes sense.
pub(super) fn stage(request: &SnapshotRequest) -> Result<Option<Staged>> {
    if request.policy.trust == Trust::Ledger && !request.verify {
        return Err(Error::Plan {
            place: "--trust ledger".to_owned(),
            message: "where ledger and current state disagree is only known by verifying".to_owned(),
            hint: Some("leave out --no-verify".to_owned()),
        });
    }
    refuse_twice(&request.moments)?;
    match &request.output {
        Output::Memory => Ok(None),
        Output::Folder { path, .. } => Staged::folder(path, request.replace).map(Some),
        Output::File { path, .. } => {
            let places: Vec<PathBuf> = request.moments.iter().map(|m| file_of(path, m)).collect();
            let mut distinct = places.clone();
            distinct.sort();
            distinct.dedup();
            if distinct.len() < places.len().max(1) {
                return Err(Error::Plan {
                    place: "--out".to_owned(),
                    message: format!(
                        "{} is one file, but {} moments are asked for",
                        path.display(),
                        places.len()
                    ),
                    hint: Some(format!("name a folder, or put {MOMENT} into the name of the file")),
                });
            }
            Staged::files(&places, request.replace).map(Some)
        }
    }
}

/// Refuses moments of one name, whose outputs would stand in one place.
fn refuse_twice(moments: &[Moment]) -> Result<()> {
    for (number, moment) in moments.iter().enumerate() {
        if let Some(earlier) = moments[..number].iter().find(|m| m.label == moment.label) {
            return Err(Error::Plan {
                place: "--as-of".to_owned(),
                message: format!(
                    "{:?} and {:?} are both named {:?}, which is where their output would stand",
                    earlier.text, moment.text, moment.label
                ),
                hint: Some("ask for a moment once, and for two of one name in separate runs".to_owned()),
            });
        }
    }
    Ok(())
}

/// What stands for the moment in the name of a file.
const MOMENT: &str = "{moment}";

/// The file of a moment.
pub(super) fn file_of(path: &Path, moment: &Moment) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if name.contains(MOMENT) {
        path.with_file_name(name.replace(MOMENT, &moment.label))
    } else {
        path.to_owned()
    }
}

/// Puts what was written in its place.
pub(super) fn publish(request: &SnapshotRequest, staged: Staged) -> Result<()> {
    let Output::File { path, format } = &request.output else { return staged.publish() };
    let name = format.file_name(&request.plan.datasets[0].name);
    let is_series = request.moments.len() > 1;
    let written = |m: &Moment| if is_series { Path::new(&m.label).join(&name) } else { PathBuf::from(&name) };
    let files: Vec<_> = request.moments.iter().map(|m| (written(m), file_of(path, m))).collect();
    staged.publish_files(&files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Calendar;

    #[test]
    fn moments_of_one_name_are_refused_by_it() {
        let moment = |text| Moment::parse_one(text, &Calendar::UTC).unwrap();
        assert!(refuse_twice(&[moment("2025-01"), moment("2025")]).is_ok());
        let told = refuse_twice(&[moment("2025"), moment("2024"), moment("2025")]).unwrap_err();
        assert!(told.to_string().contains("both named \"2025\""), "{told}");
    }
}
