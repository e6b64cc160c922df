//! Tasks on all threads, their results taken one after the other.
//!
//! Threads draw tasks by number, so that results come nearly in order and few of
//! them wait. Whoever finishes one also takes what has come due, if nobody else
//! is at it; no thread waits for another until so much waits that memory would
//! grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;

/// Results waiting per thread, beyond which threads wait for those that take them.
const WAITING_MAX: usize = 16;

/// Makes the results of tasks `0..count` in parallel; `take` gets each, in order.
///
/// # Errors
/// The first error, by number of task among those seen, of making or taking.
pub(crate) fn in_order<T: Send>(
    count: usize,
    make: impl Fn(usize) -> Result<T> + Sync,
    take: impl FnMut(T) -> Result<()> + Send,
) -> Result<()> {
    let line = Line {
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        waiting: Mutex::new(BTreeMap::new()),
        taking: Mutex::new(Taking { next: 0, take }),
    };
    let ended = rayon::broadcast(|_| line.work(count, &make));
    ended.into_iter().collect::<Result<Vec<()>>>()?;
    // What came due while another thread had just stopped looking.
    let mut taking = lock(&line.taking);
    line.take_due(&mut taking)
}

struct Line<T, F> {
    next: AtomicUsize,
    failed: AtomicBool,
    /// Results by number of their task.
    waiting: Mutex<BTreeMap<usize, T>>,
    taking: Mutex<Taking<F>>,
}

struct Taking<F> {
    next: usize,
    take: F,
}

impl<T: Send, F: FnMut(T) -> Result<()> + Send> Line<T, F> {
    fn work(&self, count: usize, make: &(impl Fn(usize) -> Result<T> + Sync)) -> Result<()> {
        while !self.failed.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let worked = make(number).and_then(|made| self.pass_on(number, made));
            if worked.is_err() {
                self.failed.store(true, Ordering::Relaxed);
                return worked;
            }
        }
        Ok(())
    }

    fn pass_on(&self, number: usize, made: T) -> Result<()> {
        let waiting = {
            let mut waiting = lock(&self.waiting);
            waiting.insert(number, made);
            waiting.len()
        };
        if waiting > WAITING_MAX * rayon::current_num_threads() {
            return self.take_due(&mut lock(&self.taking));
        }
        match self.taking.try_lock() {
            Ok(mut taking) => self.take_due(&mut taking),
            Err(_) => Ok(()),
        }
    }

    fn take_due(&self, taking: &mut Taking<F>) -> Result<()> {
        loop {
            let Some(due) = lock(&self.waiting).remove(&taking.next) else { return Ok(()) };
            taking.next += 1;
            (taking.take)(due)?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::Error;

    #[test]
    fn results_are_taken_in_order_by_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut taken = Vec::new();
            let make = |number: usize| {
                // Early tasks take longer than late ones.
                std::thread::sleep(std::time::Duration::from_micros(if number.is_multiple_of(5) {
                    300
                } else {
                    0
                }));
                Ok(number)
            };
            let take = |number| {
                taken.push(number);
                Ok(())
            };
            pool.install(|| in_order(300, make, take)).unwrap();
            assert_eq!(taken, (0..300).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_failure_ends_the_work_and_nothing_behind_it_is_taken() {
        let failure = || Error::io(Path::new("x"), "write")(std::io::Error::other("full"));
        let made = AtomicUsize::new(0);
        let mut taken = Vec::new();
        let make = |number: usize| {
            made.fetch_add(1, Ordering::Relaxed);
            if number == 20 { Err(failure()) } else { Ok(number) }
        };
        let take = |number: usize| {
            taken.push(number);
            Ok(())
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert!(pool.install(|| in_order(100_000, make, take)).is_err());
        assert!(taken.iter().all(|&number| number < 20), "{taken:?}");
        assert!(made.load(Ordering::Relaxed) < 100_000);
        let refused =
            pool.install(|| in_order(9, Ok, |number| if number == 4 { Err(failure()) } else { Ok(()) }));
        assert!(refused.is_err());
    }
}
