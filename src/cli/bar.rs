//! A line of progress on a terminal, with an estimate of what remains.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use asof::pipeline::progress::Progress;

/// Draw at most this often.
const INTERVAL_MS: u64 = 120;

/// Draws the present stage on stderr, from whichever thread advances it.
pub(crate) struct Bar {
    started: Instant,
    done: AtomicU64,
    next_draw_ms: AtomicU64,
    drawn: AtomicBool,
    stage: Mutex<Stage>,
}

#[derive(Default)]
struct Stage {
    name: String,
    total: Option<u64>,
    began_ms: u64,
}

impl Bar {
    /// A bar that has drawn nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            done: AtomicU64::new(0),
            // Runs that are over at once show nothing.
            next_draw_ms: AtomicU64::new(2 * INTERVAL_MS),
            drawn: AtomicBool::new(false),
            stage: Mutex::default(),
        }
    }

    /// Takes the line off the terminal.
    pub(crate) fn clear(&self) {
        if self.drawn.swap(false, Ordering::Relaxed) {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn draw(&self, now_ms: u64) {
        // Whoever holds the stage is changing or drawing it; this drawing can be left out.
        let Ok(stage) = self.stage.try_lock() else { return };
        let elapsed = Duration::from_millis(now_ms.saturating_sub(stage.began_ms));
        let line = line(&stage.name, self.done.load(Ordering::Relaxed), stage.total, elapsed);
        self.drawn.store(true, Ordering::Relaxed);
        let _ = write!(std::io::stderr(), "\r{line}\u{1b}[K");
    }
}

impl Progress for Bar {
    fn stage(&self, name: &str, total: Option<u64>) {
        let now_ms = self.now_ms();
        if let Ok(mut stage) = self.stage.lock() {
            *stage = Stage { name: name.to_owned(), total, began_ms: now_ms };
            self.done.store(0, Ordering::Relaxed);
        }
        self.advance(0);
    }

    fn advance(&self, units: u64) {
        self.done.fetch_add(units, Ordering::Relaxed);
        let now_ms = self.now_ms();
        let due = self.next_draw_ms.load(Ordering::Relaxed);
        let next = now_ms + INTERVAL_MS;
        // One thread wins the right to draw; the others go on.
        if now_ms >= due
            && self.next_draw_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.draw(now_ms);
        }
    }
}

fn line(name: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let Some(total) = total.filter(|t| *t > 0) else {
        return format!("{name} … {}", clock(elapsed));
    };
    let percent = (u128::from(done.min(total)) * 100 / u128::from(total)).min(100);
    let remaining = match done.min(total) {
        0 => String::new(),
        done => {
            let whole = elapsed.as_millis().saturating_mul(u128::from(total)) / u128::from(done);
            let left = u64::try_from(whole.saturating_sub(elapsed.as_millis())).unwrap_or(u64::MAX);
            format!(", about {} left", clock(Duration::from_millis(left)))
        }
    };
    format!("{name} {percent:3} %{remaining}")
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_share_and_estimate() {
        let seconds = Duration::from_secs;
        assert_eq!(line("scan", 25, Some(100), seconds(30)), "scan  25 %, about 1 min 30 s left");
        assert_eq!(line("scan", 0, Some(100), seconds(1)), "scan   0 %");
        assert_eq!(line("scan", 120, Some(100), seconds(7200)), "scan 100 %, about 0 s left");
        assert_eq!(line("spool", 7, None, seconds(7260)), "spool … 2 h 01 min");
    }
}
