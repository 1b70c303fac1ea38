//! The concurrency limits against a plain model of them: random operations by one thread, every answer compared.
//!
//! The seed of a failing run is printed; `WEIRPOOL_SEED=… cargo test -p weirpool-core --test concurrency` replays it.
#![cfg(not(loom))]

mod random;

use std::time::Duration;

use random::{Random, seed};
use weirpool_core::{
    adaptive::{AdaptiveLimit, Config},
    concurrency::ConcurrencyLimit,
    pool::{self, Outcome, Poll, Pool, Running, Submit, Take, WorkerId},
    time::Instant,
};

/// Bits of the instant in the countdown's word.
const CLOCK_BITS: u32 = if cfg!(any(weirpool_narrow, not(target_has_atomic = "64"))) {
    24
} else {
    50
};

/// One field for each fact.
struct Model {
    config: Option<Config>,
    limit: u16,
    maximum: u16,
    in_flight: u16,
    /// When the present window ends, once it has begun.
    end: Option<u64>,
    runs: u32,
    overloads: u32,
    reached: bool,
}

/// What a window led to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verdict {
    Cut,
    Raised,
    Stays,
}

impl Model {
    fn try_acquire(&mut self) -> bool {
        let granted = self.in_flight < self.limit;
        self.in_flight += u16::from(granted);
        granted
    }

    fn set_maximum(&mut self, maximum: u16) {
        self.maximum = maximum;
        self.limit = match self.config {
            Some(_) => self.limit.min(maximum),
            None => maximum,
        };
    }

    fn observe(&mut self, run: Duration, now: u64) -> Option<Verdict> {
        let config = self.config?;
        let window = config.window.as_micros() as u64;
        let end = *self.end.get_or_insert(now.saturating_add(window));
        // A clock of few bits; an end that is too far off has passed.
        let left = end.wrapping_sub(now) % (1 << CLOCK_BITS);
        let over = left == 0 || left > 2 * window;
        if self.runs == 2047 {
            self.runs = 1023;
            self.overloads /= 2;
        }
        self.runs += 1;
        self.overloads += u32::from(run > config.target);
        self.reached |= self.in_flight >= self.limit;
        if !over || self.runs < 10 {
            return None;
        }
        let verdict = if f64::from(self.overloads) > 0.1 * f64::from(self.runs) {
            let cut = (f64::from(self.limit) * 7.0 / 8.0).floor() as u16;
            // A maximum that was set below the minimum holds.
            self.limit = self.limit.min(cut.max(config.min));
            Verdict::Cut
        } else if self.reached && self.limit < self.maximum {
            self.limit += 1;
            Verdict::Raised
        } else {
            Verdict::Stays
        };
        (self.end, self.runs, self.overloads, self.reached) = (None, 0, 0, false);
        Some(verdict)
    }
}

fn any_config(random: &mut Random, maximum: u16) -> Option<Config> {
    if random.below(5) == 0 {
        return None;
    }
    let target = 1 + random.below(100);
    Some(Config {
        target: Duration::from_micros(target),
        // With narrow words a tick is a microsecond up to here.
        window: Duration::from_micros(target + random.below(3_900)),
        min: 1 + random.below(maximum.min(4).into()) as u16,
    })
}

fn compare(seed: u64, verdicts: &mut Vec<Verdict>, halved: &mut bool) {
    let mut random = Random::new(seed);
    let maximum = 1 + random.below(12) as u16;
    let config = any_config(&mut random, maximum);
    let limit = AdaptiveLimit::new(maximum, config);
    let mut model = Model {
        config,
        limit: maximum,
        maximum,
        in_flight: 0,
        end: None,
        runs: 0,
        overloads: 0,
        reached: false,
    };
    let mut now = random.next() >> random.below(60);
    // How often time moves, runs are slow and places are taken differs, so that every verdict is reached.
    let pace = random.one_of([1, 100, 500]);
    let mut slow = 50;
    let mut eager = 50;
    for step in 0..6_000 {
        if random.below(1000) < pace {
            now = match random.below(50) {
                0 => now.saturating_sub(random.below(300)),
                1 => now.saturating_add(random.below(1 << 40)),
                2 => now.saturating_sub(random.below(1 << 30)),
                _ => now.saturating_add(random.below(500)),
            };
        }
        let at = Instant::from_micros(now);
        let note = format!("WEIRPOOL_SEED={seed}, step {step}, {config:?}, {maximum}");
        match random.below(200) {
            0 => slow = random.one_of([0, 5, 10, 15, 50, 100]),
            1 => eager = random.one_of([20, 50, 80]),
            2 => {
                let maximum = random.below(16) as u16;
                model.set_maximum(maximum);
                limit.set_maximum(maximum);
            }
            3..100 if random.below(100) < eager => {
                assert_eq!(limit.try_acquire(), model.try_acquire(), "{note}");
            }
            3..100 if model.in_flight > 0 => {
                model.in_flight -= 1;
                limit.release();
            }
            _ => {
                let run = match random.below(100) < slow {
                    true => random.one_of([Duration::from_micros(101), Duration::MAX]),
                    false => Duration::from_micros(random.one_of([0, 1])),
                };
                *halved |= model.runs == 2047;
                verdicts.extend(model.observe(run, now));
                limit.observe(run, at);
            }
        }
        assert_eq!(limit.limit(), model.limit, "{note}");
        assert_eq!(limit.maximum(), model.maximum, "{note}");
        assert_eq!(limit.in_flight(), model.in_flight, "{note}");
        assert_eq!(limit.is_full(), model.in_flight >= model.limit, "{note}");
    }
}

#[test]
fn agrees_with_the_model() {
    let first = seed();
    println!("WEIRPOOL_SEED={first}");
    let (mut verdicts, mut halved) = (Vec::new(), false);
    for run in 0..200 {
        compare(first.wrapping_add(run), &mut verdicts, &mut halved);
    }
    // The comparison has seen everything, often.
    for verdict in [Verdict::Cut, Verdict::Raised, Verdict::Stays] {
        let times = verdicts.iter().filter(|&&seen| seen == verdict).count();
        assert!(times > 100, "{verdict:?} {times} times");
    }
    assert!(halved, "no window was ever full");
}

/// Runs `count` jobs of a duration, one after the other, with the limit full or not.
fn play(limit: &AdaptiveLimit, now: &mut u64, count: u32, run: u64, full: bool) {
    let places = if full { limit.limit() } else { 1 };
    for _ in 0..count {
        for _ in 0..places {
            assert!(limit.try_acquire());
        }
        *now += run;
        limit.observe(Duration::from_micros(run), Instant::from_micros(*now));
        for _ in 0..places {
            limit.release();
        }
    }
}

const HUNDRED: Config = Config {
    target: Duration::from_micros(100),
    window: Duration::from_micros(1_000),
    min: 2,
};

#[test]
fn it_falls_by_an_eighth_a_window_and_rises_by_one() {
    let limit = AdaptiveLimit::new(64, Some(HUNDRED));
    let mut now = 0;
    let mut seen = Vec::new();
    // A window of runs of 101 µs is eleven of them: the first begins it, the eleventh is after its 1 000 µs.
    for _ in 0..30 {
        play(&limit, &mut now, 11, 101, true);
        seen.push(limit.limit());
    }
    assert_eq!(seen[..12], [56, 49, 42, 36, 31, 27, 23, 20, 17, 14, 12, 10]);
    assert_eq!(seen[29], 2, "never below the minimum");
    seen.clear();
    for _ in 0..70 {
        play(&limit, &mut now, 11, 100, true);
        seen.push(limit.limit());
    }
    assert_eq!(seen[..4], [3, 4, 5, 6]);
    assert_eq!(seen[69], 64, "never above the maximum");
}

#[test]
fn a_straggler_in_ten_cuts_nothing_and_two_do() {
    for (stragglers, expected) in [(1, 8), (2, 7)] {
        let limit = AdaptiveLimit::new(8, Some(HUNDRED));
        for run in 0..10 {
            let length = if run < stragglers { 500 } else { 5 };
            limit.observe(
                Duration::from_micros(length),
                Instant::from_micros(run * 200),
            );
        }
        assert_eq!(limit.limit(), expected, "{stragglers}");
    }
}

#[test]
fn what_does_not_fill_the_limit_does_not_raise_it() {
    let limit = AdaptiveLimit::new(8, Some(HUNDRED));
    let mut now = 0;
    play(&limit, &mut now, 11, 101, true);
    assert_eq!(limit.limit(), 7);
    play(&limit, &mut now, 1_000, 50, false);
    assert_eq!(limit.limit(), 7);
    play(&limit, &mut now, 21, 50, true);
    assert_eq!(limit.limit(), 8);
}

/// However long nothing ran, the window begins with the next run and lasts its time.
#[test]
fn idle_time_decides_nothing() {
    let mut now = 0;
    for pause in 0..45 {
        let limit = AdaptiveLimit::new(8, Some(HUNDRED));
        for expected in [7, 6] {
            now += 1 << pause;
            for _ in 0..20 {
                limit.observe(Duration::MAX, Instant::from_micros(now));
            }
            assert_eq!(limit.limit(), expected + 1, "after {pause}");
            now += 1_000;
            limit.observe(Duration::MAX, Instant::from_micros(now));
            assert_eq!(limit.limit(), expected, "after {pause}");
        }
    }
}

#[test]
fn bad_configurations_are_refused() {
    let ok = Config::DEFAULT;
    assert!(AdaptiveLimit::try_new(1, Some(ok)).is_ok());
    assert!(AdaptiveLimit::try_new(0, None).is_ok());
    let bad = [
        Config { min: 0, ..ok },
        Config { min: 5, ..ok },
        Config {
            target: Duration::from_nanos(999),
            ..ok
        },
        Config {
            target: ok.window + Duration::from_micros(1),
            ..ok
        },
        Config {
            window: Config::MAX_WINDOW + Duration::from_micros(1),
            ..ok
        },
    ];
    for config in bad {
        assert!(
            AdaptiveLimit::try_new(4, Some(config)).is_err(),
            "{config:?}"
        );
    }
}

/// Four threads, a limit that is changed under them: never more in flight than the greatest limit, and nothing left.
#[test]
fn a_limit_that_moves_under_threads_is_kept() {
    use std::sync::atomic::{AtomicU32, Ordering};

    static LIMIT: ConcurrencyLimit = ConcurrencyLimit::new(1);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut granted = 0;
                while granted < 20_000 {
                    if LIMIT.try_acquire() {
                        assert!(INSIDE.fetch_add(1, Ordering::SeqCst) < 3);
                        INSIDE.fetch_sub(1, Ordering::SeqCst);
                        LIMIT.release();
                        granted += 1;
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
        }
        scope.spawn(|| {
            for change in 0..20_000 {
                LIMIT.set(1 + change % 3);
            }
        });
    });
    assert_eq!((LIMIT.in_flight(), LIMIT.limit()), (0, 2));
}

/// The limit of a pool falls when its jobs run into their time-outs, whose handlers may never return; and when it rises,
/// the pool wants one worker more.
#[test]
fn a_pools_limit_follows_its_jobs() {
    const MOST: u16 = 8;
    let pool = Pool::<u32, { 4 + MOST as usize }>::new(pool::Config {
        capacity: 4,
        limit: MOST,
        most_running: MOST,
        adaptive: Some(Config {
            target: Duration::from_millis(2),
            window: Duration::from_millis(2),
            min: 1,
        }),
        ..pool::Config::DEFAULT
    });
    let at = Instant::from_millis;
    let submit = |run_timeout, now| {
        let options = Submit {
            run_timeout,
            ..Submit::DEFAULT
        };
        pool.submit(7, options, now).unwrap();
    };
    let take = |now| match pool.take(WorkerId(0), now) {
        Take::Job(running) => running,
        other => panic!("a job waits and one more may run: {other:?}"),
    };
    let finish = |running: Running<u32>, now| drop(pool.finish(running, Outcome::Success, now));
    let limit = || pool.snapshot().limit;

    // Ten runs end, two of them by their time-outs while their handlers go on.
    let lost = [at(0), at(0)].map(|now| {
        submit(Some(Duration::from_millis(1)), now);
        take(now)
    });
    for _ in 0..8 {
        submit(None, at(0));
        finish(take(at(0)), at(0));
    }
    for expected in [8, 7] {
        assert!(matches!(pool.poll(at(3)), Poll::TimedOut(_)));
        assert_eq!(limit(), expected);
    }
    // Their late ends say nothing more, and cancelled jobs nothing at all.
    for running in lost {
        finish(running, at(4));
    }
    for _ in 0..20 {
        submit(None, at(4));
        let running = take(at(4));
        let _ = pool.cancel(running.handle(), at(4));
        finish(running, at(90));
    }
    assert_eq!(limit(), 7);

    // A lower maximum holds at once, a higher one is reached as runs allow.
    pool.set_limit(2).unwrap();
    pool.set_limit(MOST).unwrap();
    submit(None, at(100));
    let _other = take(at(100));
    submit(None, at(100));
    for end in [100, 100, 100, 100, 100, 100, 100, 100, 100, 103] {
        let running = take(at(100));
        submit(None, at(100));
        assert!(limit() == 2 && !pool.wants_worker());
        finish(running, at(end));
    }
    assert_eq!(limit(), 3);
    let _running = take(at(103));
    submit(None, at(103));
    assert!(pool.wants_worker(), "one more than before");
}
