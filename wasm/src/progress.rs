//! `Progress`: how far a worker's present job is, for the page to read at any time.
//!
//! A sequence lock (as Linux calls it) with one writer: the version is odd while the writer is at work, and a reader
//! that has seen the same even version before and after has read one report. It never makes the writer wait; a reader
//! that fails looks again later. `wasm/ts/progress.ts` reads and writes the same words.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

/// How far a worker's present job is. Written by the worker alone.
#[repr(C)]
pub struct Progress {
    /// Odd while a report is written.
    version: AtomicU32,
    /// Which of the worker's jobs reported: how many it had run before, modulo 2³². A report of an earlier job is not
    /// taken for one of the present job.
    job: AtomicU32,
    /// `done` and `total` as the bits of two `f64`, lower half first.
    words: [AtomicU32; 4],
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            version: AtomicU32::new(0),
            job: AtomicU32::new(0),
            words: [0; 4].map(AtomicU32::new),
        }
    }
}

impl Progress {
    /// Replaces the report.
    pub fn report(&self, job: u32, done: f64, total: f64) {
        // Relaxed: only this thread writes it.
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        let [done, total] = [done, total].map(f64::to_bits);
        let words = [done, done >> 32, total, total >> 32].map(|word| word as u32);
        // Release: a reader that sees any of these (acquire) sees the odd version when it looks again.
        self.job.store(job, Ordering::Release);
        for (to, word) in self.words.iter().zip(words) {
            to.store(word, Ordering::Release);
        }
        // Release: a reader that sees this version sees all of its report.
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// The last report, unless one is being written. The page does the same in JavaScript.
    #[cfg(any(test, loom))]
    pub fn read(&self) -> Option<(u32, f64, f64)> {
        // Acquire, all of them: none of the later loads comes before an earlier one.
        let before = self.version.load(Ordering::Acquire);
        let job = self.job.load(Ordering::Acquire);
        let words = [0, 1, 2, 3].map(|i: usize| u64::from(self.words[i].load(Ordering::Acquire)));
        let after = self.version.load(Ordering::Acquire);
        let float = |low: u64, high: u64| f64::from_bits(high << 32 | low);
        (before == after && before & 1 == 0)
            .then(|| (job, float(words[0], words[1]), float(words[2], words[3])))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_report_is_read_as_it_was_written() {
        let progress = Progress::default();
        for (job, done, total) in [(1, 0.5, 1e300), (2, 2f64.powi(53) - 1.0, -0.25)] {
            progress.report(job, done, total);
            assert_eq!(progress.read(), Some((job, done, total)));
        }
    }
}
