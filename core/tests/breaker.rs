//! The breaker against a plain model of its table of states.
#![cfg(not(loom))]

mod random;

use core::time::Duration;

use random::{Random, seed};
use weirpool_core::{
    breaker::{
        Breaker, Cause, Config, LOG_LENGTH, Permit, Recorded, Snapshot, State, Transition, Verdict,
    },
    time::Instant,
};

const NARROW: bool = cfg!(any(weirpool_narrow, not(target_has_atomic = "64")));
/// Bits of the instant in the countdown's word.
const CLOCK_BITS: u32 = if NARROW { 24 } else { 50 };
/// Microseconds after which the times in the log repeat, and their unit.
const LOG_ROUND: i128 = if NARROW { 1000 << 35 } else { 1 << 46 };
const LOG_TICK: i128 = if NARROW { 1000 } else { 1 };

/// One field for each fact; nothing is packed, and a period is never mistaken for another.
struct Model {
    config: Config,
    state: State,
    period: u64,
    /// When the pause or lease ends.
    end: u64,
    failed_probes: u32,
    issued: u8,
    succeeded: u8,
    failures: Vec<bool>,
    slow: Vec<bool>,
    opened: u32,
    stale: u32,
    /// All changes of state, with their times in microseconds.
    changes: Vec<(u64, Transition)>,
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Closed,
            period: 0,
            end: 0,
            failed_probes: 0,
            issued: 0,
            succeeded: 0,
            failures: Vec::new(),
            slow: Vec::new(),
            opened: 0,
            stale: 0,
            changes: Vec::new(),
        }
    }

    fn enter(&mut self, state: State, cause: Cause, now: u64) {
        self.period += 1;
        let change = Transition {
            at: Instant::from_micros(now),
            from: self.state,
            to: state,
            generation: (self.period % (1 << 14)) as u32,
            cause,
        };
        self.changes.push((now, change));
        self.state = state;
        (self.issued, self.succeeded) = (0, 0);
        match state {
            State::Closed => {
                self.failed_probes = 0;
                self.failures.clear();
                self.slow.clear();
            }
            State::Open => {
                let mut pause = self.config.pause.as_micros() as u64;
                for _ in 0..self.failed_probes {
                    pause = (pause * 2).min(self.config.max_pause.as_micros() as u64);
                }
                self.end = now + pause;
                self.opened += 1;
            }
            State::HalfOpen => self.end = now + self.config.lease.as_micros() as u64,
            State::ForcedOpen | State::Disabled => {}
        }
    }

    /// What is left until the end, on a clock of few bits; one that is too far off has passed.
    fn left(&self, now: u64) -> Option<Duration> {
        let left = self.end.wrapping_sub(now) % (1 << CLOCK_BITS);
        let longest = self.config.max_pause.max(self.config.lease).as_micros() as u64;
        (left != 0 && left <= 2 * longest).then(|| Duration::from_micros(left))
    }

    fn refusal(&self, now: u64) -> Option<Duration> {
        match self.state {
            State::Closed | State::Disabled => None,
            State::ForcedOpen => Some(Duration::MAX),
            State::HalfOpen if self.issued < self.config.probes => None,
            State::Open | State::HalfOpen => self.left(now),
        }
    }

    fn acquire(&mut self, now: u64) -> Result<u64, Duration> {
        if let Some(left) = self.refusal(now) {
            return Err(left);
        }
        match self.state {
            State::Open => self.enter(State::HalfOpen, Cause::PauseOver, now),
            State::HalfOpen if self.issued == self.config.probes => {
                self.enter(State::HalfOpen, Cause::LeaseOver, now)
            }
            _ => {}
        }
        if self.state == State::HalfOpen {
            self.issued += 1;
        }
        Ok(self.period)
    }

    /// Whether a report counts.
    fn is_due(&mut self, period: u64) -> bool {
        let due = period == self.period
            && (self.state != State::HalfOpen || self.succeeded < self.issued);
        self.stale += u32::from(!due);
        due
    }

    fn record(&mut self, period: u64, verdict: Verdict, run: Duration, now: u64) -> Recorded {
        if !self.is_due(period) {
            return Recorded::Stale;
        }
        let failure = verdict == Verdict::Failure;
        let slow = self
            .config
            .slow_call
            .is_some_and(|slow_call| run > slow_call);
        match self.state {
            State::Closed => {
                self.failures.push(failure);
                self.slow.push(slow);
                let Some(cause) = self.threshold() else {
                    return Recorded::Counted;
                };
                self.enter(State::Open, cause, now);
                Recorded::Opened
            }
            State::HalfOpen if failure || slow => {
                self.failed_probes += 1;
                self.enter(State::Open, Cause::ProbeFailed, now);
                Recorded::Opened
            }
            State::HalfOpen => {
                self.succeeded += 1;
                if self.succeeded < self.config.probes {
                    return Recorded::Counted;
                }
                self.enter(State::Closed, Cause::ProbesSucceeded, now);
                Recorded::Closed
            }
            State::Disabled => Recorded::Counted,
            State::Open | State::ForcedOpen => unreachable!("nothing is permitted in these"),
        }
    }

    fn release(&mut self, period: u64) -> Recorded {
        if !self.is_due(period) {
            return Recorded::Stale;
        }
        if self.state == State::HalfOpen {
            self.issued -= 1;
        }
        Recorded::Counted
    }

    fn share(&self, outcomes: &[bool]) -> (u32, u32) {
        let of = outcomes.len().min(self.config.window.into());
        let bad = outcomes[outcomes.len() - of..]
            .iter()
            .filter(|&&bad| bad)
            .count();
        (bad as u32, of as u32)
    }

    /// The first threshold that is reached.
    fn threshold(&self) -> Option<Cause> {
        let row = self
            .failures
            .iter()
            .rev()
            .take_while(|&&failure| failure)
            .count() as u32;
        let over = |rate: Option<u8>, outcomes| {
            let (bad, of) = self.share(outcomes);
            rate.is_some_and(|rate| {
                of >= self.config.minimum_calls.into() && bad * 100 >= of * u32::from(rate)
            })
        };
        if self.config.consecutive.is_some_and(|most| row >= most) {
            Some(Cause::Consecutive)
        } else if over(self.config.failure_rate, &self.failures) {
            Some(Cause::FailureRate)
        } else if over(self.config.slow_rate, &self.slow) {
            Some(Cause::SlowRate)
        } else {
            None
        }
    }

    /// The last changes, with times cut to what the log keeps and completed to the ones nearest to now.
    fn log(&self, now: u64) -> Vec<Transition> {
        let now = i128::from(now) / LOG_TICK * LOG_TICK;
        let oldest = self.changes.len().saturating_sub(LOG_LENGTH);
        let log = self.changes[oldest..].iter().map(|&(at, change)| {
            let mut at = i128::from(at) / LOG_TICK * LOG_TICK;
            while at >= now + LOG_ROUND / 2 {
                at -= LOG_ROUND;
            }
            while at < now - LOG_ROUND / 2 {
                at += LOG_ROUND;
            }
            let at = Instant::from_micros(at.max(0) as u64);
            Transition { at, ..change }
        });
        log.collect()
    }

    fn state(&self, now: u64) -> State {
        if self.state == State::Open && self.left(now).is_none() {
            State::HalfOpen
        } else {
            self.state
        }
    }

    fn snapshot(&self, now: u64) -> Snapshot {
        let per_million = |outcomes: &[bool], watched| {
            let (bad, of) = self.share(outcomes);
            if watched && of != 0 {
                bad * 1_000_000 / of
            } else {
                0
            }
        };
        let failures_watched =
            self.config.consecutive.is_some() || self.config.failure_rate.is_some();
        Snapshot {
            state: self.state(now),
            generation: (self.period % (1 << 14)) as u32,
            failure_rate: per_million(&self.failures, failures_watched),
            slow_rate: per_million(&self.slow, self.config.slow_rate.is_some()),
            opened: self.opened,
            stale: self.stale,
            retry_after: self.refusal(now),
        }
    }
}

fn any_config(random: &mut Random) -> Config {
    let window = 1 + random.below(Config::MAX_WINDOW.into()) as u8;
    let pause = 1 + random.below(300);
    let slow = random.below(2) == 0;
    let most_probes = random.one_of([3, 3, 3, Config::MAX_PROBES.into()]);
    let mut maybe = |most: u64| (random.below(3) != 0).then(|| 1 + random.below(most));
    let consecutive = maybe(if window > 6 {
        6
    } else {
        Config::MAX_WINDOW.into()
    })
    .map(|n| n as u32);
    let failure_rate = maybe(100).map(|n| n as u8);
    Config {
        consecutive,
        failure_rate,
        slow_rate: slow.then(|| 1 + random.below(100) as u8),
        slow_call: slow.then(|| Duration::from_micros(50)),
        window,
        minimum_calls: 1 + random.below(window.into()) as u8,
        pause: Duration::from_micros(pause),
        // With narrow words a tick is a microsecond as long as nothing is over 4096 µs.
        max_pause: Duration::from_micros(pause + random.below(3_500)),
        probes: 1 + random.below(most_probes) as u8,
        lease: Duration::from_micros(1 + random.below(1_000)),
    }
}

fn compare(seed: u64) {
    let mut random = Random::new(seed);
    let config = any_config(&mut random);
    let breaker = Breaker::new(config);
    let mut model = Model::new(config);
    let mut permits: Vec<(Permit, u64)> = Vec::new();
    let mut now = random.next() >> (2 + random.below(60));
    // How often calls fail changes now and then, so that every state is reached.
    let mut failing = 50;
    for step in 0..2_000 {
        now = match random.below(50) {
            0 => now.saturating_sub(random.below(300)),
            1 => now + random.below(10_000),
            2 => now + random.below(1 << 40),
            3 => now.saturating_sub(random.below(1 << 30)),
            4 => {
                failing = random.one_of([0, 5, 50, 95, 100]);
                now
            }
            5..25 => now + random.below(60),
            _ => now,
        };
        let at = Instant::from_micros(now);
        let note = format!("seed {seed}, step {step}, {config:?}");
        match random.below(100) {
            0 => {
                let cause =
                    random.one_of([Cause::Tripped, Cause::Reset, Cause::Reset, Cause::Disabled]);
                let state = match cause {
                    Cause::Tripped => {
                        breaker.trip(at);
                        model.opened +=
                            u32::from(!matches!(model.state, State::Open | State::ForcedOpen));
                        State::ForcedOpen
                    }
                    Cause::Reset => {
                        breaker.reset(at);
                        State::Closed
                    }
                    _ => {
                        breaker.disable(at);
                        State::Disabled
                    }
                };
                model.enter(state, cause, now);
            }
            1..45 => {
                let expected = model.acquire(now);
                let got = breaker.acquire(at);
                assert_eq!(got.is_ok(), expected.is_ok(), "{note}");
                match (got, expected) {
                    (Ok(permit), Ok(period)) => permits.push((permit, period)),
                    (got, expected) => {
                        let wait = got.unwrap_err();
                        assert_eq!(Err(wait), expected, "{note}");
                        // Exactly that long is enough, unless it is for ever; a microsecond less is not.
                        if wait != Duration::MAX {
                            assert_eq!(breaker.check(at.saturating_add(wait)), Ok(()), "{note}");
                            let sooner = at.saturating_add(wait - Duration::from_micros(1));
                            assert_eq!(
                                breaker.check(sooner).is_ok(),
                                wait == Duration::ZERO,
                                "{note}"
                            );
                        }
                    }
                }
            }
            _ => {
                let Some(index) = random.index_of(&permits) else {
                    continue;
                };
                let (permit, period) = permits[index];
                // Now and then a permit is reported again, or is lost.
                if random.below(20) != 0 {
                    let _ = permits.swap_remove(index);
                }
                match random.below(12) {
                    0 => assert_eq!(breaker.release(permit), model.release(period), "{note}"),
                    1 => {}
                    _ => {
                        let verdict = if random.below(100) < failing {
                            Verdict::Failure
                        } else {
                            Verdict::Success
                        };
                        let run = Duration::from_micros(random.one_of([0, 10, 50, 51, 500]));
                        assert_eq!(
                            breaker.record(permit, verdict, run, at),
                            model.record(period, verdict, run, now),
                            "{note}"
                        );
                    }
                }
            }
        }
        assert_eq!(breaker.snapshot(at), model.snapshot(now), "{note}");
        assert_eq!(breaker.state(at), model.state(now), "{note}");
        assert_eq!(breaker.check(at).err(), model.refusal(now), "{note}");
        assert_eq!(breaker.transitions(at).as_slice(), model.log(now), "{note}");
    }
}

#[test]
fn agrees_with_the_model() {
    let first = seed();
    println!("WEIRPOOL_SEED={first}");
    for seed in first..first + 400 {
        compare(seed);
    }
}

#[test]
fn bad_configurations_are_refused() {
    let ok = Config::DEFAULT;
    let micro = Duration::from_micros(1);
    assert!(Breaker::try_new(ok).is_ok());
    let bad = [
        Config {
            consecutive: Some(0),
            ..ok
        },
        Config {
            consecutive: Some(u32::from(Config::MAX_WINDOW) + 1),
            ..ok
        },
        Config {
            failure_rate: Some(0),
            ..ok
        },
        Config {
            failure_rate: Some(101),
            ..ok
        },
        Config {
            slow_rate: Some(101),
            slow_call: Some(micro),
            ..ok
        },
        Config {
            slow_rate: Some(50),
            ..ok
        },
        Config {
            slow_call: Some(micro),
            ..ok
        },
        Config { window: 0, ..ok },
        Config {
            window: Config::MAX_WINDOW + 1,
            ..ok
        },
        Config {
            minimum_calls: 0,
            ..ok
        },
        Config {
            minimum_calls: ok.window + 1,
            ..ok
        },
        Config {
            pause: Duration::from_nanos(999),
            ..ok
        },
        Config {
            max_pause: ok.pause - micro,
            ..ok
        },
        Config {
            max_pause: Config::MAX_PAUSE + micro,
            ..ok
        },
        Config { probes: 0, ..ok },
        Config {
            probes: Config::MAX_PROBES + 1,
            ..ok
        },
        Config {
            lease: Duration::ZERO,
            ..ok
        },
        Config {
            lease: Config::MAX_PAUSE + micro,
            ..ok
        },
    ];
    for config in bad {
        assert!(Breaker::try_new(config).is_err(), "{config:?}");
    }
}

#[test]
fn the_pause_doubles_up_to_its_longest() {
    let config = Config {
        consecutive: Some(1),
        probes: 1,
        ..Config::DEFAULT
    };
    let breaker = Breaker::new(config);
    let mut now = Instant::from_micros(1 << 33);
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let permit = breaker.acquire(now).unwrap();
        assert_eq!(
            breaker.record(permit, Verdict::Failure, Duration::ZERO, now),
            Recorded::Opened
        );
        let pause = breaker.acquire(now).unwrap_err();
        pauses.push(pause);
        now = now.saturating_add(pause);
    }
    for (pause, seconds) in pauses
        .into_iter()
        .zip([10, 20, 40].into_iter().chain(core::iter::repeat(60)))
    {
        // With narrow words a pause may be longer by up to a 2048th of the longest.
        let over = pause
            .checked_sub(Duration::from_secs(seconds))
            .expect("never shorter");
        assert!(
            over <= Duration::from_millis(if CLOCK_BITS == 24 { 33 } else { 0 }),
            "{pause:?}"
        );
    }
}

/// The log goes on where the generations begin anew.
#[test]
fn the_log_outlives_the_count_of_generations() {
    let breaker = Breaker::new(Config::DEFAULT);
    assert!(breaker.transitions(Instant::ZERO).is_empty());
    let generations = 1 << 14;
    for change in 1..3 * generations {
        let now = Instant::from_millis(change);
        let (from, to, cause) = if change % 2 == 1 {
            breaker.trip(now);
            (State::Closed, State::ForcedOpen, Cause::Tripped)
        } else {
            breaker.reset(now);
            (State::ForcedOpen, State::Closed, Cause::Reset)
        };
        let log = breaker.transitions(now);
        assert_eq!(log.len(), LOG_LENGTH.min(change as usize));
        let newest = Transition {
            at: now,
            from,
            to,
            generation: (change % generations) as u32,
            cause,
        };
        assert_eq!(log.last(), Some(&newest));
        assert!(log.is_sorted_by(|older, newer| {
            newer.at.saturating_since(older.at) == Duration::from_millis(1)
        }));
    }
}

#[test]
fn a_success_clears_failures_in_a_row() {
    let breaker = Breaker::new(Config {
        consecutive: Some(3),
        failure_rate: None,
        ..Config::DEFAULT
    });
    let now = Instant::from_micros(5);
    for verdict in [
        Verdict::Failure,
        Verdict::Failure,
        Verdict::Success,
        Verdict::Failure,
        Verdict::Failure,
    ] {
        let permit = breaker.acquire(now).unwrap();
        assert_eq!(
            breaker.record(permit, verdict, Duration::ZERO, now),
            Recorded::Counted
        );
    }
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn lost_probes_never_wedge_it() {
    let config = Config {
        consecutive: Some(1),
        ..Config::DEFAULT
    };
    let breaker = Breaker::new(config);
    let mut now = Instant::from_micros(77);
    let first = breaker.acquire(now).unwrap();
    assert_eq!(
        breaker.record(first, Verdict::Failure, Duration::ZERO, now),
        Recorded::Opened
    );
    let mut lost = Vec::new();
    for _ in 0..1_000 {
        match breaker.acquire(now) {
            Ok(permit) => lost.push(permit),
            Err(wait) => now = now.saturating_add(wait),
        }
    }
    // Every lease lets all its probes through.
    assert!(lost.len() >= 600, "{} probes", lost.len());
    // With narrow words a lease may be longer by up to a 2048th of the longest span.
    now = now.saturating_add(config.lease + Duration::from_millis(33));
    for expected in [Recorded::Counted, Recorded::Counted, Recorded::Closed] {
        let probe = breaker.acquire(now).unwrap();
        assert_eq!(
            breaker.record(probe, Verdict::Success, Duration::ZERO, now),
            expected
        );
    }
    for permit in lost {
        assert_eq!(
            breaker.record(permit, Verdict::Failure, Duration::ZERO, now),
            Recorded::Stale
        );
    }
    assert_eq!(breaker.state(now), State::Closed);
}
