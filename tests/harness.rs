//! A folder of its own and a hermetic run of the program for every test.
//!
//! The environment is cleared, so that neither the terminal's width nor the
//! user's settings can change what a test sees.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run left behind: its exit status and both of its streams.
#[must_use = "assert the status, or that the run succeeded"]
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit status; 101 stands for a panic, and nothing expects that.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// A temporary folder, removed when dropped.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    /// A fresh one. `KEEP=1` keeps it and says where it is.
    pub(crate) fn new() -> Self {
        let keep = std::env::var_os("KEEP").is_some();
        let dir = tempfile::Builder::new().prefix("asof-test-").disable_cleanup(keep).tempdir().unwrap();
        if keep {
            println!("kept {}", dir.path().display());
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Runs the program in this folder.
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Output {
        run_in(self.path(), arguments)
    }

    /// Names of everything directly inside, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Runs the program with `cwd` as its current folder and an empty environment.
pub(crate) fn run_in<S: AsRef<std::ffi::OsStr>>(cwd: &Path, arguments: &[S]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_asof"))
        .args(arguments)
        .current_dir(cwd)
        .env_clear()
        .env("COLUMNS", "100")
        .env("TMPDIR", std::env::temp_dir())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(&*cwd.to_string_lossy(), "$DIR");
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
