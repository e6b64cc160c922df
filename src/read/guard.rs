//! A panic inside a reader on hostile input becomes an error of that file.
//!
//! Readers of columnar formats have many thousand lines that trust their input
//! in places. Their panics are caught here, one file at a time; the front end's
//! panic hook can ask [`is_guarded`] and stay silent about them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::{Error, Result};

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is inside a reader whose panics become errors.
pub fn is_guarded() -> bool {
    DEPTH.get() > 0
}

/// What `read` returns, or [`Error::ReaderPanic`] of the file if it panics.
pub(crate) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    DEPTH.set(DEPTH.get() + 1);
    // `read` returns everything it makes: what a panic leaves half-made is dropped with it.
    let outcome = catch_unwind(AssertUnwindSafe(read));
    DEPTH.set(DEPTH.get() - 1);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = text.unwrap_or_else(|| "no message".to_owned());
        Err(Error::ReaderPanic { path: path.to_owned(), message })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_the_file() {
        let failed: Result<()> = guarded(Path::new("a.parquet"), || {
            assert!(is_guarded());
            panic!("index {} out of range", 7)
        });
        assert_eq!(
            failed.unwrap_err().to_string(),
            "a.parquet: the reader broke down on this file: index 7 out of range"
        );
        assert!(!is_guarded());
    }
}
