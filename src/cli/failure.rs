//! Why a command ends other than clean: kinds, hints, exit statuses.

use std::any::Any;
use std::error::Error as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

/// How a command that could run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing at or above the threshold was found.
    Clean,
    /// Discrepancies at or above the threshold were found.
    Found,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Clean => Self::SUCCESS,
            Status::Found => Self::from(1),
        }
    }
}

/// Why a command could not run. Always exit status 2.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The flags contradict each other or miss something.
    Usage { message: String, hint: Option<String> },
    /// The library could not go on.
    Run(asof::Error),
    /// A file of the command's own could not be written.
    Io { path: PathBuf, source: std::io::Error },
    /// Standard output could not be written, other than because nobody reads it.
    Output(std::io::Error),
    /// A mistake in this program.
    Internal(String),
}

impl Failure {
    /// Flags that cannot stand as they are, and what to write instead.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage { message, .. } => message.clone(),
            Self::Run(error) => error.to_string(),
            Self::Io { path, source } => format!("{}: cannot write: {source}", path.display()),
            Self::Output(source) => format!("standard output: cannot write: {source}"),
            Self::Internal(message) => format!("internal error: {message}"),
        }
    }

    /// What lies below the message, unless the message says it already.
    pub(crate) fn causes(&self) -> Vec<String> {
        let Self::Run(error) = self else { return Vec::new() };
        let mut shown = error.to_string();
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !shown.contains(&text) {
                causes.push(text.clone());
                shown = text;
            }
            next = cause.source();
        }
        causes
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => hint.clone(),
            Self::Run(error) => error.hint(),
            Self::Io { .. } => Some("check that the folder is there and may be written".to_owned()),
            Self::Output(_) => None,
            Self::Internal(_) => Some(
                "this is a mistake in asof; please report it with the command and this message".to_owned(),
            ),
        }
    }
}

impl From<asof::Error> for Failure {
    fn from(error: asof::Error) -> Self {
        Self::Run(error)
    }
}

/// Prints what clap says about the arguments (or the help that was asked for).
pub(crate) fn report_usage(usage: &clap::Error) -> ExitCode {
    // A closed pipe behind `--help` is the reader's decision.
    let _ = usage.print();
    if usage.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// The last panic of any thread, with its place.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the place of a panic for [`catch`] and prints nothing by itself: readers
/// that break down on hostile input are caught by the library and become errors.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        let text = said(info.payload());
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
            let trace = std::backtrace::Backtrace::force_capture();
            let _ = writeln!(std::io::stderr(), "{text}{place}\n{trace}");
        }
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = Some(format!("{text}{place}"));
        }
    }));
}

/// Runs a command; a mistake in this program becomes a failure like any other, so
/// that the exit status stays 2 and outputs under way are removed.
pub(crate) fn catch<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let told = said(payload.as_ref());
        // The place kept may be that of an earlier panic, which the library has caught.
        let placed = LAST_PANIC.lock().ok().and_then(|mut last| last.take()).filter(|p| p.starts_with(&told));
        Err(Failure::Internal(placed.unwrap_or(told)))
    })
}

/// The message of a panic.
fn said(payload: &(dyn Any + Send)) -> String {
    let told = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let told = told.or_else(|| payload.downcast_ref::<String>().cloned());
    told.unwrap_or_else(|| "panic".to_owned())
}
