//! `asof check`: re-verifies an evidence package offline.

use std::path::PathBuf;

use asof::check::{CheckOutcome, CheckRequest, CheckedPackage, Fault, Signature};
use serde_json::{Value, json};

use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};
use super::layout::{counted, list};

/// Check an evidence folder without its inputs
///
/// Compares every file with the digest that the manifest states, and the manifest with
/// its own; finds what is missing and what was added; recomputes rows, totals and counts
/// from the tables. Needs nothing but the folder. Names each file that does not hold, and why.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof check evidence/2025-12-31
    asof check evidence --json        every folder of a series
    asof check evidence/2025-12-31 --public-key meyer.key.pub

EXIT STATUS
    0 sound; 1 something does not hold; 2 could not run")]
pub(crate) struct Args {
    /// Folder that `asof snapshot --out` wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Public key that must have signed the package (can be repeated)
    ///
    /// Without it signatures are listed, but prove nothing.
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

/// Checks, and prints what does not hold.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let request = CheckRequest { folder: args.folder.clone(), public_keys: args.public_key.clone() };
    let outcome = asof::check::check(&request)?;
    let status = if outcome.is_sound() { Status::Clean } else { Status::Found };
    console.result(&text(&outcome), || document(&outcome))?;
    Ok(status)
}

fn text(outcome: &CheckOutcome) -> String {
    let mut text: String = outcome.packages.iter().map(package_text).collect();
    for fault in &outcome.faults {
        text += &format!("{}: {}\n", fault.file, fault.what);
    }
    let faults = outcome.packages.iter().map(|p| p.faults.len()).sum::<usize>() + outcome.faults.len();
    text + &match faults {
        0 => "\nsound\n".to_owned(),
        1 => "\n1 thing does not hold\n".to_owned(),
        many => format!("\n{many} things do not hold\n"),
    }
}

fn package_text(package: &CheckedPackage) -> String {
    let as_of = package.as_of.as_deref().unwrap_or("unknown moment");
    let faults: Vec<String> = package.faults.iter().map(|f| format!("{}: {}", f.file, f.what)).collect();
    let signature = |s: &Signature| {
        let proof = if s.verified {
            "holds"
        } else {
            "not verified: its public key was not given, or it does not hold"
        };
        format!("{} ({}): {proof}", s.comment, s.file)
    };
    let signatures: Vec<String> = package.signatures.iter().map(signature).collect();
    format!("{}: {as_of}, {} as stated\n", package.folder.display(), counted(package.files, "file"))
        + &list("recomputed", &package.recomputed)
        + &list("signatures", &signatures)
        + &list("does not hold", &faults)
}

fn document(outcome: &CheckOutcome) -> Value {
    let fault = |f: &Fault| json!({ "file": f.file, "what": f.what });
    let signature = |s: &Signature| json!({ "file": s.file, "comment": s.comment, "verified": s.verified });
    let package = |p: &CheckedPackage| {
        json!({
            "folder": p.folder,
            "as_of": p.as_of,
            "files": p.files,
            "recomputed": p.recomputed,
            "signatures": p.signatures.iter().map(signature).collect::<Vec<_>>(),
            "faults": p.faults.iter().map(fault).collect::<Vec<_>>(),
        })
    };
    json!({
        "exit_status": u8::from(!outcome.is_sound()),
        "sound": outcome.is_sound(),
        "packages": outcome.packages.iter().map(package).collect::<Vec<_>>(),
        "faults": outcome.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
