//! [`in_order`]: work on the parts of a stream in parallel, whose results are taken in order.
//!
//! ```text
//!  next part ─┬─► work ─┐              every thread of the pool reads a part, works on it, and
//!  next part ─┴─► work ─┴─► take 1, 2… takes what is due if nobody else is at it
//! ```
//!
//! No thread waits for another one's part, and few parts are in memory at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;

/// How many results per thread may wait for an earlier one.
const WAITING: usize = 3;

/// Works on every part of a stream, and takes parts with their results in the order of the stream. Stops at the
/// first error in that order.
pub(super) fn in_order<P: Send, R: Send>(
    parts: impl Iterator<Item = Result<P>> + Send,
    work: impl Fn(&P) -> R + Sync,
    take: impl FnMut(P, R) -> Result<()> + Send,
) -> Result<()> {
    let flow = Flow {
        parts: Mutex::new((parts, 0)),
        waiting: Mutex::new(BTreeMap::new()),
        taking: Mutex::new(Taking { take, next: 0, failed: None }),
        stopped: AtomicBool::new(false),
    };
    rayon::broadcast(|_| flow.run(&work));
    flow.drain(&mut locked(&flow.taking));
    let taking = flow.taking.into_inner().unwrap_or_else(PoisonError::into_inner);
    taking.failed.map_or(Ok(()), Err)
}

struct Flow<P, R, I, T> {
    parts: Mutex<(I, usize)>,
    waiting: Mutex<BTreeMap<usize, Result<(P, R)>>>,
    taking: Mutex<Taking<T>>,
    stopped: AtomicBool,
}

struct Taking<T> {
    take: T,
    next: usize,
    failed: Option<crate::error::Error>,
}

impl<P: Send, R: Send, I, T> Flow<P, R, I, T>
where
    I: Iterator<Item = Result<P>> + Send,
    T: FnMut(P, R) -> Result<()> + Send,
{
    fn run(&self, work: &(impl Fn(&P) -> R + Sync)) {
        let _stop = StopOnPanic(&self.stopped);
        while let Some((number, part)) = self.next() {
            let done = part.map(|part| {
                let result = work(&part);
                (part, result)
            });
            locked(&self.waiting).insert(number, done);
            // Whoever is at it looks again before it is done, or the next one does.
            if let Ok(mut taking) = self.taking.try_lock() {
                self.drain(&mut taking);
            }
            self.let_others_catch_up();
        }
    }

    /// The next part, unless the stream is over.
    fn next(&self) -> Option<(usize, Result<P>)> {
        let mut parts = locked(&self.parts);
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let part = parts.0.next()?;
        if part.is_err() {
            self.stopped.store(true, Ordering::Relaxed);
        }
        parts.1 += 1;
        Some((parts.1 - 1, part))
    }

    /// Takes every result that is due.
    fn drain(&self, taking: &mut Taking<T>) {
        while taking.failed.is_none() {
            let Some(due) = locked(&self.waiting).remove(&taking.next) else { return };
            taking.next += 1;
            if let Err(error) = due.and_then(|(part, result)| (taking.take)(part, result)) {
                self.stopped.store(true, Ordering::Relaxed);
                taking.failed = Some(error);
            }
        }
    }

    /// Waits while too many results wait for one that another thread is still working on.
    fn let_others_catch_up(&self) {
        let most = WAITING * rayon::current_num_threads();
        while locked(&self.waiting).len() > most && !self.stopped.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_micros(100));
            if let Ok(mut taking) = self.taking.try_lock() {
                self.drain(&mut taking);
            }
        }
    }
}

/// A thread that panics takes a part with it, for which the others would wait for ever.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The lock, whatever became of its last holder: a panic goes on to the caller anyway.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn limit(found: u64) -> Error {
        Error::Limit { what: "test", found, limit: 0 }
    }

    #[test]
    fn results_come_in_order_however_long_the_work_takes() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut taken = Vec::new();
            let parts = (0..200_u64).map(Ok);
            let slow = |n: &u64| {
                std::thread::sleep(std::time::Duration::from_micros(n * 7919 % 300));
                n * 2
            };
            let done = pool.install(|| {
                in_order(parts, slow, |n, double| {
                    taken.push((n, double));
                    Ok(())
                })
            });
            done.unwrap();
            assert_eq!(taken, (0..200).map(|n| (n, n * 2)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_in_order_counts() {
        let parts = (0..100_u64).map(|n| if n == 50 { Err(limit(n)) } else { Ok(n) });
        let mut taken = 0;
        let failed = in_order(
            parts,
            |_| (),
            |n, ()| {
                taken = n;
                if n == 30 { Err(limit(n)) } else { Ok(()) }
            },
        );
        assert!(matches!(failed, Err(Error::Limit { found: 30, .. })));
        assert_eq!(taken, 30);
        let parts = (0..100_u64).map(|n| if n == 50 { Err(limit(n)) } else { Ok(n) });
        let failed = in_order(
            parts,
            |_| (),
            |n, ()| {
                taken = n;
                Ok(())
            },
        );
        assert!(matches!(failed, Err(Error::Limit { found: 50, .. })));
        assert_eq!(taken, 49);
    }

    #[test]
    fn a_panic_ends_all() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let run = || in_order((0..1000_u64).map(Ok), |n| assert!(*n != 3, "planted"), |_, ()| Ok(()));
        let run = std::panic::AssertUnwindSafe(|| pool.install(run));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
