//! [`DigestsMeanwhile`]: digests of inputs, taken beside the work of a run.
//!
//! Taking one is mostly waiting for a disk, so it has threads of its own: one that did it for the run's
//! pool would be missing there, and others would wait for it where all of them have to meet. What
//! is not ready when it is asked for is taken by whoever asks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::InputFile;

/// Threads of the run per thread that takes digests.
const SHARE: usize = 4;

/// Threads that take digests. Dropped, they end without finishing.
#[derive(Debug)]
pub(crate) struct DigestsMeanwhile {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DigestsMeanwhile {
    /// Begins with the first of the files, beside a run on so many threads. What goes wrong is told by
    /// [`InputFile::digest`].
    pub(crate) fn start(files: impl Iterator<Item = InputFile>, threads: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let files: Arc<Mutex<VecDeque<InputFile>>> = Arc::new(Mutex::new(files.collect()));
        let work = || {
            let (files, is_over) = (Arc::clone(&files), Arc::clone(&is_over));
            move || {
                let next = || files.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(file) = next().filter(|_| !is_over.load(Ordering::Relaxed)) {
                    let _told_when_asked_for = file.digest_unless(&is_over);
                }
            }
        };
        // A run that was given a single thread gets no second one; one that the system refuses is not missed.
        let count = if threads > 1 { threads.div_ceil(SHARE) } else { 0 };
        let named = || std::thread::Builder::new().name("asof digests".to_owned());
        let threads = (0..count).filter_map(|_| named().spawn(work()).ok()).collect();
        Self { is_over, threads }
    }
}

impl Drop for DigestsMeanwhile {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A digest that could not be taken is taken again by whoever needs it.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::read::Spool;

    #[test]
    fn a_digest_taken_meanwhile_is_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "abc").unwrap();
        let open = || InputFile::open(&path, &Spool::new(None)).unwrap();
        let (input, changed) = (open(), open());
        let meanwhile = DigestsMeanwhile::start([input.clone()].into_iter(), 2);
        while !input.has_digest() {
            std::thread::yield_now();
        }
        assert!(input.digest().unwrap().starts_with("ba7816bf"), "taken before it was asked for");
        drop(meanwhile);
        std::fs::write(&path, "abcd").unwrap();
        drop(DigestsMeanwhile::start([changed.clone()].into_iter(), 2));
        let told = changed.digest();
        assert!(matches!(told, Err(Error::InputChanged { what: "size", .. })), "{told:?}");
    }

    #[test]
    fn a_run_that_ends_early_waits_for_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "abc").unwrap();
        let input = InputFile::open(&path, &Spool::new(None)).unwrap();
        assert_eq!(input.digest_unless(&AtomicBool::new(true)).unwrap(), None);
        assert!(!input.has_digest());
        drop(DigestsMeanwhile::start([input.clone()].into_iter(), 1));
        assert!(!input.has_digest(), "one thread is one thread");
        assert!(input.digest().unwrap().starts_with("ba7816bf"));
    }
}
