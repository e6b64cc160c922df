//! `asof init`: a plan proposed from the files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use asof::pipeline::{Proposal, ProposeRequest};
use serde_json::json;

use super::args::RunArgs;
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::layout::list;

/// Propose a plan for tables and ledgers, from the files themselves
///
/// Looks at the files, finds which ledger holds the changes of which table, which columns are
/// the key and what the ledger's columns mean, tries it out, and writes a plan with comments.
/// What the files do not say is a question in it: a line that begins with "# ?", to be
/// completed and unmarked. An existing file is never overwritten.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof init
    asof init extract ledger --out year-end.toml
    asof init accounts.parquet 'changes-*.ndjson.gz'")]
pub(crate) struct Args {
    /// Files, folders and quoted wildcards to look at (can be repeated)
    #[arg(value_name = "FILE", default_value = ".")]
    files: Vec<PathBuf>,

    /// File to write the plan into; its paths are relative to it
    #[arg(long, value_name = "PLAN", default_value = "plan.toml")]
    out: PathBuf,

    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Writes the proposed plan.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    if args.out.exists() {
        return Err(exists(&args.out));
    }
    let folder = args.out.parent().map(Path::to_owned).unwrap_or_default();
    let request = ProposeRequest { files: args.files.clone(), folder, options: args.run.options() };
    let proposal = asof::pipeline::propose(&request, console.progress())?;
    write(&args.out, &proposal.text)?;
    console.result(&summary(&args.out, &proposal), || document(&args.out, &proposal))?;
    Ok(Status::Clean)
}

fn exists(path: &Path) -> Failure {
    let error = asof::Error::OutputExists { path: path.to_owned() };
    Failure::usage(error.to_string(), "name another file with --out")
}

/// Made anew or not at all: somebody may have written the file in the meantime.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::Io { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(|source| Failure::Io { path: path.to_owned(), source })
}

fn summary(path: &Path, proposal: &Proposal) -> String {
    let mut text = format!("wrote {}\n\n", path.display());
    for dataset in &proposal.datasets {
        let key = match &dataset.key {
            Some(key) if key.is_empty() => "no key".to_owned(),
            Some(key) => format!("key {}", key.join(", ")),
            None => "key ?".to_owned(),
        };
        let ledger = match dataset.ledger.as_slice() {
            [] => "?".to_owned(),
            some => some.join(", "),
        };
        text += &format!("{}: {key}\n    current {}\n    ledger  {ledger}\n", dataset.name, dataset.current);
    }
    if proposal.open.is_empty() {
        text += &format!("\nnothing is open; see how it would run: asof verify {}\n", path.display());
    }
    text + &list("questions to answer in the plan before it runs", &proposal.open)
}

fn document(path: &Path, proposal: &Proposal) -> serde_json::Value {
    let datasets: Vec<serde_json::Value> = proposal
        .datasets
        .iter()
        .map(|d| {
            json!({ "name": d.name, "current": d.current, "ledger": d.ledger, "key": d.key, "format": d.format })
        })
        .collect();
    json!({ "plan": path, "datasets": datasets, "questions": proposal.open })
}
