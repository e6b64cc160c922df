//! `asof sign`: puts a name and a date under an evidence package.

use std::path::PathBuf;

use asof::check::{Role, SignRequest, new_key, sign};
use serde_json::json;

use super::args;
use super::console::{Console, ConsoleArgs};
use super::failure::{Failure, Status};

/// Sign an evidence folder, as preparer or reviewer
///
/// Checks the package first and signs only what is sound. The signature covers the manifest
/// and so, by its digests, every file; it names role, person and date. It is a detached
/// Ed25519 signature in the format of minisign, which can check it too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
    asof sign --new-key meyer.key
    asof sign evidence/2025-12-31 --key meyer.key --role preparer --name 'A. Meyer'
    asof check evidence/2025-12-31 --public-key meyer.key.pub

EXIT STATUS
    0 signed; 2 could not run, for instance as the package does not hold")]
pub(crate) struct Args {
    /// Folder that `asof snapshot --out` wrote
    #[arg(value_name = "DIR", required_unless_present = "new_key")]
    folder: Option<PathBuf>,

    /// Make a pair of keys: FILE, to be kept secret, and FILE.pub, to be given away
    #[arg(long, value_name = "FILE", conflicts_with_all = ["folder", "key", "name"])]
    new_key: Option<PathBuf>,

    /// Secret key to sign with
    #[arg(long, value_name = "FILE", required_unless_present = "new_key")]
    key: Option<PathBuf>,

    /// File whose first line is the password of the secret key
    ///
    /// For keys made by minisign. Default: the key is not encrypted.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Role in which you sign
    #[arg(long, value_name = "ROLE", default_value = "preparer")]
    role: RoleArg,

    /// Your name
    #[arg(long, value_name = "NAME", required_unless_present = "new_key")]
    name: Option<String>,

    /// Replace an earlier signature in that role
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoleArg {
    Preparer,
    Reviewer,
}

/// Signs, or makes keys, and says what was written.
pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Status, Failure> {
    let written = match (&args.new_key, &args.folder, &args.key) {
        (Some(path), ..) => vec![path.clone(), new_key(path)?],
        (None, Some(folder), Some(key)) => sign(&SignRequest {
            folder: folder.clone(),
            key: key.clone(),
            password: password(args)?,
            role: match args.role {
                RoleArg::Preparer => Role::Preparer,
                RoleArg::Reviewer => Role::Reviewer,
            },
            name: args.name.clone().unwrap_or_default(),
            now: args::now(),
            replace: args.replace,
        })?,
        _ => return Err(Failure::usage("nothing to sign", "name a folder and --key, or --new-key")),
    };
    let text: String = written.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    console.result(&text, || json!({ "exit_status": 0, "written": written }))?;
    Ok(Status::Clean)
}

fn password(args: &Args) -> Result<Option<String>, Failure> {
    let Some(path) = &args.password_file else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| Failure::Run(asof::Error::Io { path: path.clone(), action: "read", source }))?;
    Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
}
