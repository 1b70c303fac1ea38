//! Models of `TakeAllList`, `Progress`, `Runners` and the news of retries under every interleaving:
//! `RUSTFLAGS="--cfg loom" cargo test -p weirpool-wasm --release --test loom`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicU32, fence};
use loom::thread;
use weirpool_wasm::list::TakeAllList;
use weirpool_wasm::progress::Progress;
use weirpool_wasm::runners::Runners;

struct Items {
    list: TakeAllList,
    /// Link and content of each item; an item's number is its place + 1.
    links: [UnsafeCell<u32>; 3],
    contents: [UnsafeCell<u32>; 3],
}

// SAFETY: an item's cells belong to its pusher until `push`, then to whoever takes the list.
unsafe impl Sync for Items {}
// SAFETY: plain numbers.
unsafe impl Send for Items {}

impl Items {
    fn new() -> Self {
        Self {
            list: TakeAllList::new(),
            links: [0; 3].map(UnsafeCell::new),
            contents: [0; 3].map(UnsafeCell::new),
        }
    }

    fn push(&self, item: u32) {
        let place = item as usize - 1;
        // SAFETY: the item is not on the list.
        self.contents[place].with_mut(|content| unsafe { *content = 10 * item });
        self.list.push(item, |next| {
            // SAFETY: as above, until the push succeeds.
            self.links[place].with_mut(|link| unsafe { *link = next });
        });
    }

    fn take_all(&self) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut item = self.list.take_all();
        while item != 0 {
            let place = item as usize - 1;
            // SAFETY: the item was taken.
            let content = self.contents[place].with(|content| unsafe { *content });
            assert_eq!(content, 10 * item, "the content travels with the item");
            taken.push(item);
            // SAFETY: the item was taken.
            item = self.links[place].with(|link| unsafe { *link });
        }
        taken
    }
}

#[test]
fn nothing_is_lost_or_doubled_and_each_pusher_keeps_its_order() {
    loom::model(|| {
        let items = Arc::new(Items::new());
        let one = {
            let items = items.clone();
            thread::spawn(move || {
                items.push(1);
                items.push(2);
            })
        };
        let other = {
            let items = items.clone();
            thread::spawn(move || items.push(3))
        };
        let mut oldest_first = Vec::new();
        for _ in 0..2 {
            oldest_first.extend(items.take_all().into_iter().rev());
        }
        one.join().unwrap();
        other.join().unwrap();
        oldest_first.extend(items.take_all().into_iter().rev());
        let place = |item| oldest_first.iter().position(|taken| *taken == item);
        assert!(place(1) < place(2), "{oldest_first:?}");
        oldest_first.sort_unstable();
        assert_eq!(oldest_first, [1, 2, 3]);
    });
}

#[test]
fn a_reader_sees_one_whole_report_or_none() {
    loom::model(|| {
        let progress = Arc::new(Progress::default());
        progress.report(1, 1e9, 1e99);
        let writer = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || progress.report(2, 2e9, 2e99))
        };
        if let Some((job, done, total)) = progress.read() {
            assert_eq!((done, total), (f64::from(job) * 1e9, f64::from(job) * 1e99));
        }
        writer.join().unwrap();
        assert_eq!(progress.read(), Some((2, 2e9, 2e99)));
    });
}

/// What runners and page share: the queue and the permits are one counter each.
struct Work {
    runners: Runners,
    /// As in the pool: the newest generation, for the runners' loop.
    generation: AtomicU32,
    queued: AtomicU32,
    permits: AtomicU32,
    done: AtomicU32,
}

/// Runners of one generation, and jobs that may run at once.
const MOST: u32 = 1;

impl Work {
    fn take(counter: &AtomicU32) -> bool {
        counter
            .fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1))
            .is_ok()
    }

    fn enlist(&self, generation: u32) -> bool {
        fence(SeqCst);
        self.runners.has_room(generation, MOST)
            && self.queued.load(SeqCst) > 0
            && self.permits.load(SeqCst) > 0
            && self.runners.join(generation, MOST)
    }

    /// `runner::run`.
    fn run(&self, generation: u32) {
        while self.generation.load(Relaxed) == generation {
            if Self::take(&self.permits) {
                if Self::take(&self.queued) {
                    self.done.fetch_add(1, SeqCst);
                    self.permits.fetch_add(1, SeqCst);
                    continue;
                }
                self.permits.fetch_add(1, SeqCst);
            }
            self.runners.leave(generation);
            if !self.enlist(generation) {
                return;
            }
        }
    }
}

/// A job is submitted and the generation changes while a runner of the old one works: `wake`, at the change and again
/// when the page has heard of the end of the old runner's last job, finds every job a runner.
fn jobs_survive_a_change_of_generation(at_rest: bool) {
    loom::model(move || {
        let work = Arc::new(Work {
            runners: Runners::new(),
            generation: AtomicU32::new(0),
            queued: AtomicU32::new(1),
            permits: AtomicU32::new(MOST),
            done: AtomicU32::new(0),
        });
        assert!(work.runners.join(0, MOST));
        let old = {
            let work = work.clone();
            thread::spawn(move || work.run(0))
        };
        // The page: `submit`, then a resize.
        work.queued.fetch_add(1, SeqCst);
        let mut woken = Vec::new();
        if work.enlist(0) {
            woken.push(0);
        }
        let next = work.runners.advance(at_rest);
        if let Some(next) = next {
            work.generation.store(next, Relaxed);
            if at_rest {
                assert!(!work.runners.join(0, MOST), "it never has one again");
            }
            if work.enlist(next) {
                woken.push(next);
            }
        }
        old.join().unwrap();
        // The doorbell: every job's end is heard.
        let newest = next.unwrap_or(0);
        if work.enlist(newest) {
            woken.push(newest);
        }
        for generation in woken {
            work.run(generation);
        }
        assert_eq!(work.done.load(SeqCst), 2);
        assert!(work.runners.has_room(newest, 1), "each counted itself out");
    });
}

#[test]
fn no_job_is_forgotten_when_the_generation_changes_under_a_runner() {
    jobs_survive_a_change_of_generation(false);
}

#[test]
fn no_job_is_forgotten_when_the_generation_changes_at_rest() {
    jobs_survive_a_change_of_generation(true);
}

/// A job whose first attempt fails while its backoff is over at once, and what the page has of it.
struct Retried {
    /// The slot of the core.
    stage: AtomicU32,
    news: Items,
    ended: Items,
}

const RUNNING: u32 = 0;
const DELAYED: u32 = 1;
const QUEUED: u32 = 2;
const TAKEN: u32 = 3;
/// The news.
const FAILED: u32 = 1;
const WAITS: u32 = 2;

impl Retried {
    /// `SharedPool::finish`.
    fn fail(&self) {
        self.news.push(FAILED);
        self.stage.store(DELAYED, Release);
        self.news.push(WAITS);
    }

    /// `Pool::poll`, and the first half of `Pool::take`.
    fn promote(&self) {
        let _ = self.change(DELAYED, QUEUED);
    }

    /// `Pool::take`, and the end of the second attempt.
    fn run(&self) {
        self.promote();
        if self.change(QUEUED, TAKEN) {
            self.ended.push(1);
        }
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.stage
            .compare_exchange(from, to, AcqRel, Relaxed)
            .is_ok()
    }

    /// The page: `wasm/ts/drain.ts`, and the timer that the news set. Whether it saw the job's end.
    fn look(&self, told: &mut bool) -> bool {
        let ended = self.ended.take_all();
        for item in self.news.take_all() {
            *told |= item == FAILED;
            self.promote();
        }
        assert!(*told || ended.is_empty(), "a failed attempt is untold");
        !ended.is_empty()
    }
}

#[test]
fn the_page_hears_of_a_failed_attempt_before_the_end_and_forgets_no_job_that_waits() {
    loom::model(|| {
        let job = Arc::new(Retried {
            stage: AtomicU32::new(RUNNING),
            news: Items::new(),
            ended: Items::new(),
        });
        let first = {
            let job = job.clone();
            thread::spawn(move || job.fail())
        };
        let next = {
            let job = job.clone();
            thread::spawn(move || job.run())
        };
        // In a thread of its own, too: loom does not hold the first one up for the others.
        let page = {
            let job = job.clone();
            thread::spawn(move || {
                let mut told = false;
                (job.look(&mut told), told)
            })
        };
        first.join().unwrap();
        next.join().unwrap();
        let (mut ended, mut told) = page.join().unwrap();
        // The doorbell: whatever was pushed is seen.
        ended |= job.look(&mut told);
        assert!(told);
        assert!(ended || job.change(QUEUED, TAKEN), "nobody looks for it");
    });
}
