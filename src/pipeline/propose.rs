//! A plan proposed from the files themselves.
//!
//! ```text
//!  files ─► look (inspect each) ─► match tables with ledgers ─► key, columns ─► trial run ─► TOML
//!                                                                  └── what stays open is a question
//! ```
//!
//! What is proposed was found in the files: by names, and by what is in the columns.
//! Where two answers are possible nothing is chosen; the plan then has a question in
//! its place, a line that begins with `# ?` and is completed by removing that mark. A trial
//! run over each dataset shows whether the proposal reads the files without
//! contradicting them.
//!
//! Limit: the trial reads the whole of the files. When an extract was read and since when
//! a ledger is complete no file says, so these are always questions.

mod files;
mod keys;
mod mapping;
mod matching;
mod measures;
mod text;

use std::path::{Path, PathBuf};

use super::progress::Progress;
use super::request::RunOptions;
use crate::error::{Error, Result};
use crate::read::Spool;

/// A request for a plan.
#[derive(Debug, Clone)]
pub struct ProposeRequest {
    /// The files, folders or wildcards to look at.
    pub files: Vec<PathBuf>,
    /// The folder in which the plan will lie: its paths are relative to it.
    pub folder: PathBuf,
    /// How to run.
    pub options: RunOptions,
}

/// A proposed plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The plan, with its comments and questions.
    pub text: String,
    /// The datasets in it.
    pub datasets: Vec<ProposedDataset>,
    /// Questions without whose answers the plan cannot run.
    pub open: Vec<String>,
}

/// A dataset of a proposed plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedDataset {
    /// Its name.
    pub name: String,
    /// Where its current state lies.
    pub current: String,
    /// Where its ledger lies; empty if that is a question.
    pub ledger: Vec<String>,
    /// Its key; `None` if that is a question.
    pub key: Option<Vec<String>>,
    /// Who wrote the ledger, if it was found.
    pub format: Option<String>,
}

/// What stands at the beginning of a line that is a question.
pub const QUESTION: &str = "# ? ";

/// Looks at files and proposes a plan for them.
///
/// # Errors
/// A named file cannot be read, or there is no table and ledger that fit each other.
pub fn propose(request: &ProposeRequest, progress: &dyn Progress) -> Result<Proposal> {
    super::in_pool(&request.options, || run(request, progress))
}

fn run(request: &ProposeRequest, progress: &dyn Progress) -> Result<Proposal> {
    let spool = Spool::new(request.options.spool.as_deref());
    let looked = files::look(request, progress)?;
    let matched = matching::matched(&looked, &spool)?;
    if matched.datasets.is_empty() {
        return Err(Error::Malformed {
            path: request.files.first().cloned().unwrap_or_else(|| PathBuf::from(".")),
            at: crate::At::default(),
            expected: "a current table and a ledger of its changes".to_owned(),
            found: looked.summary(),
            hint: Some(
                "name both: asof init EXTRACT LEDGER; see what a file is with asof inspect FILE".to_owned(),
            ),
        });
    }
    let mut drafts = Vec::new();
    for dataset in &matched.datasets {
        drafts.push(text::Draft::of(dataset, &request.folder, &spool)?);
    }
    for draft in &mut drafts {
        draft.try_out(request, progress);
    }
    Ok(Proposal {
        text: text::plan(&drafts, &looked, &matched, &request.folder),
        open: drafts.iter().flat_map(text::Draft::open).collect(),
        datasets: drafts.into_iter().map(text::Draft::into_proposed).collect(),
    })
}

/// A path from the root on; the empty one is the current folder.
fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A path as it is written in a plan in this folder.
fn relative(path: &Path, folder: &Path) -> String {
    let (path, folder) = (absolute(path), absolute(folder));
    let (mut own, mut base) = (path.components().peekable(), folder.components().peekable());
    while own.peek().is_some() && own.peek() == base.peek() {
        own.next();
        base.next();
    }
    let mut parts: Vec<String> = base.map(|_| "..".to_owned()).collect();
    parts.extend(own.map(|part| part.as_os_str().to_string_lossy().into_owned()));
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}
