//! The pool against a plain model of it: random operations by one thread, every answer and every counter compared.
//!
//! The seed of a failing run is printed; `WEIRPOOL_SEED=… cargo test -p weirpool-core --test model` replays it.
#![cfg(not(loom))]

mod random;

use std::{collections::BTreeMap, time::Duration};

use random::Random;
use weirpool_core::{
    adaptive, breaker,
    pool::{
        Allowance, Cancel, Completion, Config, Expired, Failure, Finish, Handle, Kind, Order,
        Outcome, Phase, Policy, Poll, Pool, Priority, Refusal, Refused, Retry, Running, Settled,
        State, Submit, Take, WorkerId,
    },
    rate::Quota,
    time::Instant,
};

const SLOTS: usize = 24;
const KINDS: usize = 2;
const CAPACITY: usize = 12;
const MOST_RUNNING: u16 = 8;
const STEPS: usize = 4_000;
const RUNS: u64 = if cfg!(debug_assertions) { 40 } else { 400 };

/// With 32-bit words time-outs are kept in milliseconds, rounded up.
const NARROW: bool = cfg!(any(weirpool_narrow, not(target_has_atomic = "64")));
const TICK: u64 = if NARROW { 1000 } else { 1 };

#[test]
fn random_operations_agree_with_the_model() {
    let first = random::seed();
    for run in 0..RUNS {
        let seed = first.wrapping_add(run);
        let mut random = Random::new(seed);
        let config = random_config(&mut random);
        let case = format!("WEIRPOOL_SEED={seed} with {config:?}");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Scene::new(config, random).play()
        }));
        if let Err(panic) = outcome {
            eprintln!("replay by {case}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The inputs that the fuzzer found, each a choice of operations; `fuzz/README.md` says how.
#[test]
fn fuzzed_operations_agree_with_the_model() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/pool");
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is there") {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        play_chosen(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus is empty");
}

/// Plays the operations that these bytes choose.
pub fn play_chosen(bytes: &[u8]) {
    let mut random = Random::chosen(bytes);
    let config = random_config(&mut random);
    Scene::new(config, random).play();
}

fn random_config(random: &mut Random) -> Config {
    let limit = 1 + random.below(u64::from(MOST_RUNNING)) as u16;
    // With 32-bit words the gates round times up; their own tests know how.
    fn gate<T>(config: Option<T>) -> Option<T> {
        config.filter(|_| !NARROW)
    }
    Config {
        capacity: 1 + random.below(CAPACITY as u64) as usize,
        limit,
        most_running: MOST_RUNNING,
        adaptive: gate(random.one_of([None, Some(adaptive(1)), Some(adaptive(limit.min(3)))])),
        ageing: random.one_of([
            None,
            Some(Duration::ZERO),
            Some(Duration::from_millis(5)),
            Some(Duration::from_secs(1)),
        ]),
        max_in_flight: random.one_of([None, None, Some(1), Some(7)]),
        rate: gate(random.one_of([None, None, Some(Quota::per_second(100))])),
        breaker: gate(random.one_of([None, Some(BREAKER)])),
        kind_breaker: gate(random.one_of([None, Some(KIND_BREAKER)])),
        order: random.one_of([
            Order::Fifo,
            Order::Fifo,
            Order::Deadline {
                horizon: Duration::from_millis(30),
            },
            Order::Deadline {
                horizon: Duration::ZERO,
            },
        ]),
        count_submit_timeouts: random.below(2) == 0,
        retry: random.one_of([None, Some(QUICK), Some(SLOW)]),
        retry_budget: random.one_of([
            Allowance::DEFAULT,
            Allowance {
                percent: 50,
                reserve: 1,
            },
            Allowance {
                percent: 1000,
                reserve: u16::MAX,
            },
        ]),
    }
}

/// After errors only, at once.
const QUICK: Policy = policy(2, Duration::ZERO, Duration::ZERO);
/// After everything.
const SLOW: Policy = policy(
    4,
    Duration::from_micros(SLOW_FIRST),
    Duration::from_micros(SLOW_LONGEST),
)
.after_panics()
.after_timeouts();
const SLOW_FIRST: u64 = 4_000;
const SLOW_LONGEST: u64 = 10_000;

const fn policy(attempts: u8, first: Duration, longest: Duration) -> Policy {
    match Policy::new(attempts, first, longest) {
        Ok(policy) => policy,
        Err(_) => panic!("it is within the bounds"),
    }
}

/// The longest pause after an attempt; the shortest is half of it.
fn longest_backoff(policy: Policy, attempt: u32) -> u64 {
    if policy == QUICK {
        0
    } else {
        (SLOW_FIRST << (attempt - 1)).min(SLOW_LONGEST)
    }
}

const BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(3),
    failure_rate: None,
    slow_rate: None,
    slow_call: None,
    pause: Duration::from_millis(20),
    max_pause: Duration::from_millis(60),
    probes: 2,
    lease: Duration::from_millis(50),
    ..breaker::Config::DEFAULT
};

const KIND_BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(2),
    pause: Duration::from_millis(5),
    max_pause: Duration::from_millis(40),
    probes: 1,
    lease: Duration::from_millis(30),
    ..BREAKER
};

const fn adaptive(min: u16) -> adaptive::Config {
    adaptive::Config {
        target: Duration::from_millis(3),
        window: Duration::from_millis(4),
        min,
    }
}

/// A job as the model knows it.
#[derive(Clone, Debug)]
struct Job {
    id: u64,
    /// Its turn: least first.
    turn: (u64, u64, u64),
    submitted: u64,
    policy: Option<Policy>,
    kind: Option<Kind>,
    /// How many began.
    attempts: u32,
    /// Since when it could run.
    ready: u64,
    /// Whether a rate token is reserved for it.
    token: bool,
    run_timeout: Option<Duration>,
    /// When it must have started, and when it must be over; `u64::MAX` for never.
    queue_deadline: u64,
    total_deadline: u64,
}

impl Job {
    /// When it is due while it waits, and as what.
    fn waiting_due(&self) -> (u64, Phase) {
        if self.total_deadline <= self.queue_deadline {
            (due(self.total_deadline), Phase::Total)
        } else {
            (due(self.queue_deadline), Phase::Queue)
        }
    }
}

impl Job {
    /// Whether its run time-out is left to its handler.
    fn is_lenient(&self) -> bool {
        self.policy.is_some_and(|policy| {
            policy.retries_timeouts() && self.attempts < policy.attempts().into()
        })
    }
}

/// A job that waits for a time.
#[derive(Clone, Debug)]
struct Delayed {
    job: Job,
    at: u64,
}

/// A job that runs, as the model knows it.
#[derive(Debug)]
struct Run {
    job: Job,
    worker: WorkerId,
    started: u64,
    /// What the pool watches, and as what.
    watched: u64,
    phase: Phase,
    /// Whether it was cancelled or timed out meanwhile, and by what.
    settled: Option<Settled>,
    permits: [u64; 2],
}

/// What is counted.
#[derive(Default)]
struct Counts {
    accepted: u64,
    refused: u64,
    started: u64,
    completed: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    retried: u64,
    panicked: u64,
    stale: u64,
}

/// A breaker, closed, open or half-open, opened by failures in a row; without rules it is disabled.
struct BreakerModel {
    rules: Option<breaker::Config>,
    generation: u64,
    state: BreakerState,
    failures: u32,
    trips: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum BreakerState {
    Closed,
    Open {
        until: u64,
    },
    HalfOpen {
        issued: u8,
        succeeded: u8,
        until: u64,
    },
}

impl BreakerModel {
    fn new(rules: Option<breaker::Config>) -> Self {
        Self {
            rules,
            generation: 0,
            state: BreakerState::Closed,
            failures: 0,
            trips: 0,
        }
    }

    fn enter(&mut self, state: BreakerState) {
        self.generation += 1;
        self.failures = 0;
        self.state = state;
    }

    /// What keeps a call out at this time. An end further off than twice the longest pause is of another clock.
    fn refusal(&self, now: u64) -> Option<u64> {
        let rules = self.rules?;
        let until = match self.state {
            BreakerState::Open { until } => until,
            BreakerState::HalfOpen { issued, until, .. } if issued == rules.probes => until,
            _ => return None,
        };
        let left = until.saturating_sub(now);
        let longest = micros(rules.max_pause.max(rules.lease));
        (1..=2 * longest).contains(&left).then_some(left)
    }

    /// How long a job waits that it refuses, at least and at most.
    fn wait(&self, policy: Policy, now: u64) -> (u64, u64) {
        let refusal = self.refusal(now).unwrap_or(0);
        if matches!(self.state, BreakerState::HalfOpen { .. }) {
            let most = longest_backoff(policy, 1);
            (
                refusal.min(1_000.max(most / 2)),
                refusal.min(1_000.max(most)),
            )
        } else {
            (refusal, refusal)
        }
    }

    fn acquire(&mut self, now: u64) -> Option<u64> {
        let Some(rules) = self.rules else {
            return Some(self.generation);
        };
        if self.refusal(now).is_some() {
            return None;
        }
        let until = now.saturating_add(micros(rules.lease));
        match &mut self.state {
            BreakerState::Closed => {}
            BreakerState::HalfOpen { issued, .. } if *issued < rules.probes => *issued += 1,
            _ => self.enter(BreakerState::HalfOpen {
                issued: 1,
                succeeded: 0,
                until,
            }),
        }
        Some(self.generation)
    }

    fn release(&mut self, permit: u64) {
        if let BreakerState::HalfOpen { issued, .. } = &mut self.state
            && permit == self.generation
        {
            *issued -= 1;
        }
    }

    fn record(&mut self, permit: u64, success: bool, now: u64) {
        let Some(rules) = self.rules.filter(|_| permit == self.generation) else {
            return;
        };
        match &mut self.state {
            BreakerState::Closed if success => self.failures = 0,
            BreakerState::Closed => {
                self.failures += 1;
                if Some(self.failures) == rules.consecutive {
                    self.open(rules, now);
                }
            }
            BreakerState::Open { .. } => unreachable!("no permit is given while open"),
            BreakerState::HalfOpen { succeeded, .. } if success => {
                *succeeded += 1;
                if *succeeded == rules.probes {
                    self.trips = 0;
                    self.enter(BreakerState::Closed);
                }
            }
            BreakerState::HalfOpen { .. } => self.open(rules, now),
        }
    }

    fn open(&mut self, rules: breaker::Config, now: u64) {
        let pause = micros(rules.pause) << self.trips.min(6);
        self.trips += 1;
        self.enter(BreakerState::Open {
            until: now.saturating_add(pause.min(micros(rules.max_pause))),
        });
    }

    fn expected_state(&self, now: u64) -> breaker::State {
        match self.state {
            _ if self.rules.is_none() => breaker::State::Disabled,
            BreakerState::Closed => breaker::State::Closed,
            BreakerState::Open { .. } if self.refusal(now).is_some() => breaker::State::Open,
            _ => breaker::State::HalfOpen,
        }
    }
}

/// The pool's breaker and those of its kinds.
struct BreakersModel {
    pool: BreakerModel,
    kinds: [BreakerModel; KINDS],
}

impl BreakersModel {
    /// That of the kind, if there is one, and that of the pool.
    fn of(&mut self, kind: Option<Kind>) -> impl Iterator<Item = &mut BreakerModel> {
        let of_kind = kind.and_then(|kind| self.kinds.get_mut(usize::from(kind.0)));
        of_kind.into_iter().chain([&mut self.pool])
    }

    fn refusal(&mut self, kind: Option<Kind>, now: u64) -> Option<Duration> {
        let refusals = self.of(kind).filter_map(|breaker| breaker.refusal(now));
        refusals.max().map(Duration::from_micros)
    }

    /// Permits of both, or of none.
    fn acquire(&mut self, kind: Option<Kind>, now: u64) -> Result<[u64; 2], Duration> {
        let refusal = self.refusal(kind, now);
        let mut permits = [0; 2];
        let mut granted = 0;
        for breaker in self.of(kind) {
            let Some(permit) = breaker.acquire(now) else {
                break;
            };
            permits[granted] = permit;
            granted += 1;
        }
        match refusal {
            None => Ok(permits),
            Some(retry_after) => {
                for (breaker, permit) in self.of(kind).zip(permits).take(granted) {
                    breaker.release(permit);
                }
                Err(retry_after)
            }
        }
    }

    fn release(&mut self, kind: Option<Kind>, permits: [u64; 2]) {
        for (breaker, permit) in self.of(kind).zip(permits) {
            breaker.release(permit);
        }
    }

    fn record(&mut self, kind: Option<Kind>, permits: [u64; 2], success: bool, now: u64) {
        for (breaker, permit) in self.of(kind).zip(permits) {
            breaker.record(permit, success, now);
        }
    }
}

/// The limit on running jobs: a number that is set or, with rules, one that adapts up to it.
struct LimitModel {
    rules: Option<adaptive::Config>,
    limit: u16,
    maximum: u16,
    /// When the present window ends; it begins with its first run.
    until: Option<u64>,
    runs: u32,
    overloads: u32,
    reached: bool,
}

impl LimitModel {
    fn new(limit: u16, rules: Option<adaptive::Config>) -> Self {
        Self {
            rules,
            limit,
            maximum: limit,
            until: None,
            runs: 0,
            overloads: 0,
            reached: false,
        }
    }

    fn set(&mut self, maximum: u16) {
        self.maximum = maximum;
        self.limit = match self.rules {
            Some(_) => self.limit.min(maximum),
            None => maximum,
        };
    }

    /// A run ends while so many are in flight, itself included.
    fn observe(&mut self, run: Duration, in_flight: usize, now: u64) {
        let Some(rules) = self.rules else {
            return;
        };
        let window = micros(rules.window);
        let until = *self.until.get_or_insert(now.saturating_add(window));
        self.runs += 1;
        self.overloads += u32::from(run > rules.target);
        self.reached |= in_flight >= usize::from(self.limit);
        // An end further off than twice the window is of another clock.
        let is_over = !(1..=2 * window).contains(&until.saturating_sub(now));
        if !is_over || self.runs < 10 {
            return;
        }
        if self.overloads * 10 > self.runs {
            let lower = self.limit - self.limit.div_ceil(8);
            self.limit = lower.max(rules.min).min(self.limit);
        } else if self.reached && self.limit < self.maximum {
            self.limit += 1;
        }
        *self = Self {
            limit: self.limit,
            maximum: self.maximum,
            ..Self::new(0, self.rules)
        };
    }
}

/// The rate limit of 100 a second with a burst of as many, as the time at which it would be idle.
struct RateModel {
    on: bool,
    idle_at: u64,
}

impl RateModel {
    const EACH: u64 = 10_000;
    const AHEAD: u64 = 99 * Self::EACH;

    fn check(&mut self, now: u64) -> Result<(), Duration> {
        if !self.on {
            return Ok(());
        }
        let ahead = self.idle_at.saturating_sub(now);
        if ahead > Self::AHEAD {
            return Err(Duration::from_micros(ahead - Self::AHEAD));
        }
        self.idle_at = now + ahead + Self::EACH;
        Ok(())
    }

    fn refund(&mut self, now: u64) {
        if self.on && self.idle_at > now {
            self.idle_at = self.idle_at.saturating_sub(Self::EACH).max(now);
        }
    }

    /// Takes a token that is not there yet.
    fn reserve(&mut self, now: u64) -> Duration {
        let ahead = self.idle_at.saturating_sub(now);
        self.idle_at = now + ahead + Self::EACH;
        Duration::from_micros(ahead.saturating_sub(Self::AHEAD))
    }
}

/// What successes have paid in and retries taken out, in hundredths of a retry.
struct BudgetModel {
    allowance: Allowance,
    balance: u32,
}

impl BudgetModel {
    fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            balance: u32::from(allowance.reserve) * 100,
        }
    }

    fn deposit(&mut self) {
        let most = u32::from(self.allowance.reserve) * 100;
        self.balance = (self.balance + u32::from(self.allowance.percent)).min(most);
    }

    fn withdraw(&mut self) -> bool {
        let enough = self.balance >= 100;
        self.balance -= if enough { 100 } else { 0 };
        enough
    }
}

struct Scene {
    pool: Pool<u64, SLOTS, KINDS>,
    random: Random,
    config: Config,
    now: u64,
    state: State,
    waiting: BTreeMap<u64, Job>,
    delayed: BTreeMap<u64, Delayed>,
    running: BTreeMap<u64, Run>,
    /// What the handlers hold, by handle.
    held: BTreeMap<u64, Running<u64>>,
    /// Handles of settled jobs.
    stale: Vec<Handle>,
    counts: Counts,
    next_id: u64,
    stamp: u64,
    breakers: BreakersModel,
    limit: LimitModel,
    rate: RateModel,
    budget: BudgetModel,
}

impl Scene {
    fn new(config: Config, random: Random) -> Self {
        Self {
            pool: Pool::new(config),
            random,
            config,
            now: 50_000_000,
            state: State::Running,
            waiting: BTreeMap::new(),
            delayed: BTreeMap::new(),
            running: BTreeMap::new(),
            held: BTreeMap::new(),
            stale: Vec::new(),
            counts: Counts::default(),
            next_id: 0,
            stamp: 0,
            breakers: BreakersModel {
                pool: BreakerModel::new(config.breaker),
                kinds: [(); KINDS].map(|()| BreakerModel::new(config.kind_breaker)),
            },
            limit: LimitModel::new(config.limit, config.adaptive),
            rate: RateModel {
                on: config.rate.is_some(),
                idle_at: 0,
            },
            budget: BudgetModel::new(config.retry_budget),
        }
    }

    fn play(mut self) {
        for step in 0..STEPS {
            if self.random.is_over() {
                break;
            }
            self.pass_time();
            match self.random.below(100) {
                0..35 => self.submit(),
                35..60 => self.take(),
                60..80 => self.finish(),
                80..86 => self.cancel(),
                86..95 => self.poll(),
                95 => self.switch(step),
                96 => self.abort_next(),
                97 => self.limits(),
                98 if self.random.below(4) == 0 => self.submit_too_late(),
                _ => self.ask(),
            }
            self.compare();
        }
        self.end();
    }

    fn pass_time(&mut self) {
        self.now = match self.random.below(1000) {
            0..500 => self.now,
            500..900 => self.now + self.random.below(3_000),
            900..940 => self.now + self.random.below(200_000),
            940..995 => self.now - self.random.below(5_000).min(self.now),
            995..998 => self.now + 60_000_000,
            _ => self.now - self.random.below(20_000_000).min(self.now),
        };
    }

    fn submit(&mut self) {
        let mut timeout = || match self.random.below(8) {
            0 => Some(Duration::from_micros(self.random.below(20_000))),
            1 => Some(Duration::from_millis(self.random.below(100))),
            2 if self.random.below(10) == 0 => Some(Duration::MAX),
            _ => None,
        };
        let (queue_timeout, run_timeout, total_timeout) = (timeout(), timeout(), timeout());
        let priority = self.random.one_of([
            Priority::Low,
            Priority::Normal,
            Priority::Normal,
            Priority::High,
            Priority::Critical,
        ]);
        let options = Submit {
            priority,
            queue_timeout,
            run_timeout,
            total_timeout,
            retry: self.random.one_of([
                Retry::Pool,
                Retry::Pool,
                Retry::Off,
                Retry::Policy(QUICK),
                Retry::Policy(SLOW),
            ]),
            // The last is one that the pool has no breaker for.
            kind: self
                .random
                .one_of([None, Some(Kind(0)), Some(Kind(1)), Some(Kind(2))]),
        };
        let id = self.next_id;
        self.next_id += 1;
        let answer = self.pool.submit(id, options, self.at());

        let closed = matches!(self.state, State::Draining | State::Closed);
        let expected = if closed {
            Err(Refused::Closed(id))
        } else if let Some(retry_after) = self.breakers.refusal(options.kind, self.now) {
            Err(Refused::Open {
                job: id,
                retry_after,
            })
        } else if let Err(retry_after) = self.rate.check(self.now) {
            Err(Refused::Limited {
                job: id,
                retry_after,
            })
        } else if self.in_flight() >= self.config.max_in_flight.unwrap_or(u32::MAX) as usize {
            self.rate.refund(self.now);
            Err(Refused::InFlight(id))
        } else if self.waiting.len() + self.delayed.len() >= self.config.capacity {
            self.rate.refund(self.now);
            Err(Refused::Full(id))
        } else {
            Ok(())
        };
        match (answer, expected) {
            (Err(answer), Err(expected)) => {
                assert_eq!(answer, expected);
                self.counts.refused += 1;
            }
            (Ok(handle), Ok(())) => {
                self.counts.accepted += 1;
                let total_deadline = after(self.now, total_timeout);
                let job = Job {
                    id,
                    turn: self.turn(priority, total_deadline),
                    submitted: self.now,
                    policy: match options.retry {
                        Retry::Pool => self.config.retry,
                        Retry::Off => None,
                        Retry::Policy(policy) => Some(policy),
                    },
                    kind: options.kind,
                    attempts: 0,
                    ready: self.now,
                    token: false,
                    run_timeout,
                    queue_deadline: after(self.now, queue_timeout),
                    total_deadline,
                };
                let mut used = self.waiting.keys().chain(self.delayed.keys());
                let is_this = |bits: &u64| Handle::from_bits(*bits).index() == handle.index();
                assert!(
                    !used.any(is_this) && !self.running.keys().any(is_this),
                    "the slot is in use"
                );
                assert!(!self.stale.contains(&handle), "the handle was used before");
                self.waiting.insert(handle.to_bits(), job);
            }
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
    }

    /// A job's turn by the rules in the documentation of `Config::ageing` and `Order`.
    fn turn(&mut self, priority: Priority, deadline: u64) -> (u64, u64, u64) {
        let (steps, ticket) = (3 - priority as u64, self.next_id);
        let ageing = self.config.ageing.map(|ageing| ageing.as_micros() as u64);
        if NARROW {
            self.stamp = self.stamp.max(self.now / 1000);
            let place = match self.config.order {
                Order::Fifo => self.stamp,
                Order::Deadline { horizon } => deadline
                    .div_ceil(1000)
                    .clamp(self.stamp, self.stamp + horizon.as_millis() as u64),
            };
            return match (ageing, self.config.order) {
                (Some(ageing), _) => (place + steps * ageing / 1000, 0, ticket),
                (None, Order::Fifo) => (steps, 0, ticket),
                (None, Order::Deadline { .. }) => (steps, place, ticket),
            };
        }
        self.stamp = (self.stamp + 1).max(self.now * 16);
        let place = match self.config.order {
            Order::Fifo => self.stamp,
            Order::Deadline { horizon } => {
                let first = self.stamp / 16;
                16 * deadline.clamp(first, first + horizon.as_micros() as u64)
            }
        };
        match ageing {
            Some(ageing) => (place + steps * 16 * ageing, steps, ticket),
            None => (steps, place, ticket),
        }
    }

    /// A submission that waited for room too long.
    fn submit_too_late(&mut self) {
        let kind = self.random.one_of([None, Some(Kind(0)), Some(Kind(1))]);
        self.pool.note_refused(Refusal::Timeout, kind, self.at());
        self.counts.refused += 1;
        if self.config.count_submit_timeouts {
            for breaker in self.breakers.of(kind) {
                if let Some(permit) = breaker.acquire(self.now) {
                    breaker.record(permit, false, self.now);
                }
            }
        }
    }

    /// The delayed job whose time comes first; of equal ones that of the first slot.
    fn first_delayed(&self) -> Option<(u64, u64)> {
        let delayed = self.delayed.iter();
        delayed
            .map(|(&bits, delayed)| (due(delayed.at), bits))
            .min_by_key(|&(at, bits)| (at, Handle::from_bits(bits).index()))
    }

    /// The first delayed job goes in line if its time has come.
    fn promote(&mut self) -> Option<Handle> {
        let (_, bits) = self
            .first_delayed()
            .filter(|&(at, _)| is_due(at, self.now))?;
        let job = self.delayed.remove(&bits).unwrap().job;
        self.waiting.insert(bits, job);
        Some(Handle::from_bits(bits))
    }

    fn take(&mut self) {
        let worker = WorkerId(self.random.below(4) as u16);
        let answer = self.pool.take(worker, self.at());
        if self.state != State::Paused {
            let _ = (self.promote(), self.promote());
        }
        let head = self
            .waiting
            .iter()
            .min_by_key(|(_, job)| job.turn)
            .map(|(&bits, _)| bits);
        let free =
            self.running.len() < usize::from(self.limit.limit) && self.state != State::Paused;
        let Some(bits) = head.filter(|_| free) else {
            let Take::Empty { next } = answer else {
                panic!("{answer:?} although nothing may run")
            };
            assert_eq!(next, self.next_due());
            return;
        };
        let mut job = self.waiting.remove(&bits).unwrap();
        let (due_at, phase) = job.waiting_due();
        if is_due(due_at, self.now) {
            let Take::Settled(done) = answer else {
                panic!("{answer:?} although its time-out passed")
            };
            self.settled_waiting(&done, bits, &job, Settled::TimedOut(phase));
            return;
        }
        let permits = match self.breakers.acquire(job.kind, self.now) {
            Ok(permits) => permits,
            Err(retry_after) => {
                let waits = job.policy.map(|policy| {
                    let waits = self.breakers.of(job.kind);
                    let waits = waits.map(|breaker| breaker.wait(policy, self.now));
                    let longer = |(a, b): (u64, u64), (c, d)| (a.max(c), b.max(d));
                    waits.reduce(longer).expect("the pool's")
                });
                match answer {
                    Take::Delayed { handle, at } => {
                        assert_eq!(handle.to_bits(), bits);
                        let (least, most) = waits.expect("a policy");
                        let at = at.as_micros();
                        assert!((self.now + least..=self.now + most).contains(&at), "{at}");
                        assert!(!is_due(due_at, at), "it will time out first");
                        self.delayed.insert(bits, Delayed { job, at });
                    }
                    Take::Settled(done) => {
                        let times_out = |(_, most)| is_due(due_at, self.now + most);
                        assert!(waits.is_none_or(times_out), "it could wait");
                        let failure = Failure::CircuitOpen { retry_after };
                        self.settled_waiting(&done, bits, &job, Settled::Failed(failure));
                    }
                    answer => panic!("{answer:?} although the breaker is open"),
                }
                return;
            }
        };
        if job.attempts > 0 && !std::mem::take(&mut job.token) && self.rate.check(self.now).is_err()
        {
            let expected = self.now + self.rate.reserve(self.now).as_micros() as u64;
            if is_due(due_at, expected) {
                self.rate.refund(self.now);
            } else {
                job.token = true;
            }
            self.breakers.release(job.kind, permits);
            let Take::Delayed { handle, at } = answer else {
                panic!("{answer:?} although there is no token")
            };
            assert_eq!((handle.to_bits(), at.as_micros()), (bits, expected));
            self.delayed.insert(bits, Delayed { job, at: expected });
            return;
        }
        let Take::Job(running) = answer else {
            panic!("{answer:?} instead of {job:?}")
        };
        self.counts.started += 1;
        job.attempts += 1;
        let run_deadline = after(self.now, job.run_timeout);
        let deadline = run_deadline.min(job.total_deadline);
        let (watched, phase) = if job.is_lenient() || job.total_deadline < run_deadline {
            (job.total_deadline, Phase::Total)
        } else {
            (run_deadline, Phase::Run)
        };
        assert_eq!((*running.job(), running.handle().to_bits()), (job.id, bits));
        assert_eq!(
            (running.worker(), running.attempt()),
            (worker, job.attempts)
        );
        assert_eq!(
            (
                running.submitted().as_micros(),
                running.started().as_micros()
            ),
            (job.submitted, self.now)
        );
        assert_eq!(
            running.deadline().map(Instant::as_micros),
            (deadline != u64::MAX).then_some(deadline)
        );
        self.held.insert(bits, running);
        self.running.insert(
            bits,
            Run {
                job,
                worker,
                started: self.now,
                watched,
                phase,
                settled: None,
                permits,
            },
        );
    }

    fn finish(&mut self) {
        let Some(bits) = self.random.key_of(&self.held) else {
            return;
        };
        let outcome = self.random.one_of([
            Outcome::Success,
            Outcome::Success,
            Outcome::Success,
            Outcome::Failure,
            Outcome::Failure,
            Outcome::Ignored,
            Outcome::Permanent { ignored: false },
            Outcome::Permanent { ignored: true },
            Outcome::Panic,
        ]);
        self.finish_one(bits, outcome);
    }

    fn finish_one(&mut self, bits: u64, outcome: Outcome) {
        let running = self.held.remove(&bits).unwrap();
        let answer = self.pool.finish(running, outcome, self.at());
        let in_flight = self.running.len();
        let run = self.running.remove(&bits).unwrap();
        if let Some(settled) = run.settled {
            let Finish::Stale(job) = answer else {
                panic!("{answer:?} although it was settled")
            };
            assert_eq!(job, run.job.id);
            self.counts.stale += 1;
            if settled == Settled::Cancelled {
                self.breakers.release(run.job.kind, run.permits);
            }
            return;
        }
        let (error, ignored) = (
            Settled::Failed(Failure::Error),
            Settled::Failed(Failure::Ignored),
        );
        let mut job = run.job;
        let ran = since(self.now, run.started);
        let too_late = job.is_lenient() && job.run_timeout.is_some_and(|most| ran >= most);
        // What it ends as, whether it may be tried again, and what the breaker is told.
        let (result, retryable, verdict) = match outcome {
            Outcome::Success => (Settled::Completed, false, Some(true)),
            Outcome::Failure | Outcome::Ignored if too_late => {
                (Settled::TimedOut(Phase::Run), true, Some(false))
            }
            Outcome::Failure => (error, true, Some(false)),
            Outcome::Ignored => (ignored, true, None),
            Outcome::Permanent { ignored: false } => (error, false, Some(false)),
            Outcome::Permanent { ignored: true } => (ignored, false, None),
            Outcome::Panic => (
                Settled::Failed(Failure::Panic),
                job.policy.is_some_and(|policy| policy.retries_panics()),
                Some(false),
            ),
        };
        let mut tell = |kind| {
            match verdict {
                Some(success) => self.breakers.record(kind, run.permits, success, self.now),
                None => self.breakers.release(kind, run.permits),
            }
            let timed_out = result == Settled::TimedOut(Phase::Run);
            let load = if timed_out { Duration::MAX } else { ran };
            self.limit.observe(load, in_flight, self.now);
        };
        if let Finish::Retry { at } = answer {
            let policy = job.policy.expect("a policy");
            assert!(retryable && job.attempts < policy.attempts().into());
            let (at, most) = (at.as_micros(), longest_backoff(policy, job.attempts));
            assert!((self.now + most / 2..=self.now + most).contains(&at));
            assert!(at < job.total_deadline, "past the total deadline");
            assert!(self.budget.withdraw(), "over the budget");
            tell(job.kind);
            self.counts.retried += 1;
            job.ready = at;
            // From here on its total time-out alone counts.
            job.queue_deadline = u64::MAX;
            self.delayed.insert(bits, Delayed { job, at });
            return;
        }
        let Finish::Settled(done) = answer else {
            panic!("{answer:?} although nobody settled it")
        };
        if let Some(policy) = job.policy.filter(|_| retryable)
            && job.attempts < policy.attempts().into()
            && self.now + longest_backoff(policy, job.attempts) < job.total_deadline
        {
            assert!(!self.budget.withdraw(), "it could be tried again");
        }
        tell(job.kind);
        if outcome == Outcome::Success {
            self.budget.deposit();
        }
        let expected = Completion {
            job: job.id,
            handle: Handle::from_bits(bits),
            result,
            wait: since(run.started, job.ready),
            run: ran,
            total: since(self.now, job.submitted),
            attempt: job.attempts,
            worker: Some(run.worker),
        };
        assert_eq!(done, expected);
        self.settled(bits, result);
    }

    fn cancel(&mut self) {
        let bits = match self.random.below(4) {
            0 => self.random.key_of(&self.waiting),
            1 => self.random.key_of(&self.delayed),
            2 => self.random.key_of(&self.running),
            _ => self
                .random
                .index_of(&self.stale)
                .map(|index| self.stale[index].to_bits()),
        };
        // A number that was never a handle.
        let bits = bits.unwrap_or(u64::MAX - self.random.below(1 << 20));
        let answer = self.pool.cancel(Handle::from_bits(bits), self.at());
        if let Some(job) = self.remove_waiting(bits) {
            let Cancel::Removed(done) = answer else {
                panic!("{answer:?} although it waits")
            };
            self.settled_waiting(&done, bits, &job, Settled::Cancelled);
        } else if let Some(run) = self.running.get_mut(&bits)
            && run.settled.is_none()
        {
            assert!(
                matches!(answer, Cancel::Signalled),
                "{answer:?} although it runs"
            );
            run.settled = Some(Settled::Cancelled);
            self.settled(bits, Settled::Cancelled);
        } else {
            assert!(
                matches!(answer, Cancel::Stale),
                "{answer:?} although it is settled"
            );
        }
    }

    fn poll(&mut self) {
        let answer = self.pool.poll(self.at());
        let Some((at, bits)) = self.first_timer().filter(|&(at, _)| is_due(at, self.now)) else {
            if let Some(promoted) = self.promote() {
                assert!(matches!(answer, Poll::Promoted(handle) if handle == promoted));
                return;
            }
            let Poll::Idle { next } = answer else {
                panic!("{answer:?} although nothing is due")
            };
            assert_eq!(next, self.next_due());
            return;
        };
        if let Some(job) = self.remove_waiting(bits) {
            let Poll::Settled(done) = answer else {
                panic!("{answer:?} although {job:?} is due")
            };
            let phase = job.waiting_due().1;
            self.settled_waiting(&done, bits, &job, Settled::TimedOut(phase));
            return;
        }
        let run = self.running.get_mut(&bits).unwrap();
        let Poll::TimedOut(expired) = answer else {
            panic!("{answer:?} although {run:?} is due at {at}")
        };
        let expected = Expired {
            handle: Handle::from_bits(bits),
            phase: run.phase,
            worker: run.worker,
            wait: since(run.started, run.job.ready),
            run: since(self.now, run.started),
            total: since(self.now, run.job.submitted),
            attempt: run.job.attempts,
        };
        assert_eq!(expired, expected);
        let result = Settled::TimedOut(run.phase);
        run.settled = Some(result);
        let (kind, permits) = (run.job.kind, run.permits);
        self.breakers.record(kind, permits, false, self.now);
        let in_flight = self.running.len();
        self.limit.observe(Duration::MAX, in_flight, self.now);
        self.settled(bits, result);
    }

    fn switch(&mut self, step: usize) {
        let closed = matches!(self.state, State::Draining | State::Closed);
        match self.random.below(8) {
            0..3 => {
                self.pool.pause();
                if !closed {
                    self.state = State::Paused;
                }
            }
            3..7 => {
                self.pool.resume();
                if !closed {
                    self.state = State::Running;
                }
            }
            // Late, so that most of a run is not the drain of a closed pool.
            _ if step > STEPS * 3 / 4 => {
                self.pool.close();
                self.state = State::Draining;
            }
            _ => {}
        }
    }

    fn abort_next(&mut self) {
        let answer = self.pool.abort_next(self.at());
        let head = self
            .waiting
            .iter()
            .min_by_key(|(_, job)| job.turn)
            .map(|(&bits, _)| bits)
            .or_else(|| self.first_delayed().map(|(_, bits)| bits));
        match (answer, head) {
            (None, None) => {}
            (Some(done), Some(bits)) => {
                let job = self.remove_waiting(bits).unwrap();
                self.settled_waiting(&done, bits, &job, Settled::Cancelled);
            }
            (answer, head) => panic!("{answer:?} instead of {head:?}"),
        }
    }

    fn limits(&mut self) {
        let limit = self.random.below(u64::from(MOST_RUNNING) + 2) as u16;
        let fits = (1..=MOST_RUNNING).contains(&limit);
        assert_eq!(self.pool.set_limit(limit).is_ok(), fits);
        if fits {
            self.limit.set(limit);
        }
        let max = self.random.one_of([None, Some(0), Some(3), Some(10)]);
        assert_eq!(self.pool.set_max_in_flight(max).is_ok(), max != Some(0));
        if max != Some(0) {
            self.config.max_in_flight = max;
        }
    }

    fn ask(&mut self) {
        let free =
            self.running.len() < usize::from(self.limit.limit) && self.state != State::Paused;
        assert_eq!(self.pool.wants_worker(), free && !self.waiting.is_empty());
        if let Some(bits) = self.random.key_of(&self.waiting) {
            assert!(self.pool.is_live(Handle::from_bits(bits)));
        }
        if let Some(bits) = self.random.key_of(&self.delayed) {
            assert!(self.pool.is_live(Handle::from_bits(bits)));
        }
        assert_eq!(self.pool.poll_at(self.at()), self.next_due());
        if let Some(bits) = self.random.key_of(&self.running) {
            assert_eq!(
                self.pool.is_live(Handle::from_bits(bits)),
                self.running[&bits].settled.is_none()
            );
        }
        if let Some(index) = self.random.index_of(&self.stale)
            && !self.running.contains_key(&self.stale[index].to_bits())
        {
            assert!(!self.pool.is_live(self.stale[index]));
        }
    }

    /// Every counter and gauge, and law 1.
    fn compare(&mut self) {
        if matches!(self.state, State::Draining | State::Closed) {
            self.state = if self.in_flight() == 0 {
                State::Closed
            } else {
                State::Draining
            };
        }
        assert_eq!(self.pool.state(), self.state);
        let seen = self.pool.snapshot();
        assert_eq!(
            (seen.limit, seen.active_workers as usize),
            (self.limit.limit.into(), self.running.len())
        );
        for kind in 0..KINDS {
            let breaker = self.pool.kind_breaker(Kind(kind as u8));
            let expected = self.breakers.kinds[kind].expected_state(self.now);
            assert_eq!(
                breaker.unwrap().state(self.at()),
                expected,
                "of kind {kind}"
            );
        }
        let expected = self.breakers.pool.expected_state(self.now);
        assert_eq!(self.pool.breaker().state(self.at()), expected);
        let counts = &self.counts;
        assert_eq!(
            [
                seen.accepted,
                seen.refused(),
                seen.started,
                seen.completed,
                seen.failed,
                seen.timed_out
            ],
            [
                counts.accepted,
                counts.refused,
                counts.started,
                counts.completed,
                counts.failed,
                counts.timed_out
            ],
        );
        assert_eq!(seen.submitted, seen.accepted + seen.refused());
        assert_eq!(
            [seen.cancelled, seen.retried, seen.panicked, seen.stale],
            [
                counts.cancelled,
                counts.retried,
                counts.panicked,
                counts.stale
            ]
        );
        let abandoned = self
            .running
            .values()
            .filter(|run| run.settled.is_some())
            .count();
        assert_eq!(
            [
                seen.queued as usize,
                seen.delayed as usize,
                seen.running as usize,
                seen.abandoned as usize
            ],
            [
                self.waiting.len(),
                self.delayed.len(),
                self.running.len() - abandoned,
                abandoned
            ]
        );
        assert_eq!(
            seen.accepted,
            seen.completed
                + seen.failed
                + seen.timed_out
                + seen.cancelled
                + u64::from(seen.queued + seen.delayed + seen.running)
        );
    }

    /// Lets everything end: nothing may be left, and every slot must be free again.
    fn end(mut self) {
        while let Some(bits) = self.random.key_of(&self.held) {
            self.finish_one(bits, Outcome::Success);
        }
        while !self.waiting.is_empty() || !self.delayed.is_empty() {
            self.abort_next();
        }
        self.abort_next();
        self.compare();
        assert_eq!(self.pool.poll(Instant::MAX).next(), None);
    }

    fn settled_waiting(&mut self, done: &Completion<u64>, bits: u64, job: &Job, result: Settled) {
        if job.token {
            self.rate.refund(self.now);
        }
        let expected = Completion {
            job: job.id,
            handle: Handle::from_bits(bits),
            result,
            wait: since(self.now, job.ready),
            run: Duration::ZERO,
            total: since(self.now, job.submitted),
            attempt: job.attempts,
            worker: None,
        };
        assert_eq!(*done, expected);
        self.settled(bits, result);
    }

    fn settled(&mut self, bits: u64, result: Settled) {
        match result {
            Settled::Completed => self.counts.completed += 1,
            Settled::Failed(failure) => {
                self.counts.failed += 1;
                self.counts.panicked += u64::from(failure == Failure::Panic);
            }
            Settled::TimedOut(_) => self.counts.timed_out += 1,
            Settled::Cancelled => self.counts.cancelled += 1,
        }
        self.stale.push(Handle::from_bits(bits));
    }

    /// The timer that is due first; of equal ones that of the first slot.
    fn first_timer(&self) -> Option<(u64, u64)> {
        let waiting = self
            .waiting
            .iter()
            .map(|(&bits, job)| (job.waiting_due().0, bits));
        let delayed = self
            .delayed
            .iter()
            .map(|(&bits, delayed)| (delayed.job.waiting_due().0, bits));
        let running = self.running.iter().filter(|(_, run)| run.settled.is_none());
        let running = running.map(|(&bits, run)| (due(run.watched), bits));
        waiting
            .chain(delayed)
            .chain(running)
            .filter(|&(at, _)| at != u64::MAX)
            .min_by_key(|&(at, bits)| (at, Handle::from_bits(bits).index()))
    }

    fn next_due(&self) -> Option<Instant> {
        let (timer, delayed) = (self.first_timer(), self.first_delayed());
        let next = timer.into_iter().chain(delayed).map(|(at, _)| at).min();
        next.map(Instant::from_micros)
    }

    /// A job that waits, in line or for a time, is gone.
    fn remove_waiting(&mut self, bits: u64) -> Option<Job> {
        let delayed = || Some(self.delayed.remove(&bits)?.job);
        self.waiting.remove(&bits).or_else(delayed)
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
            + self.delayed.len()
            + self
                .running
                .values()
                .filter(|run| run.settled.is_none())
                .count()
    }

    fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }
}

trait Next {
    fn next(self) -> Option<Instant>;
}

impl Next for Poll<u64> {
    fn next(self) -> Option<Instant> {
        let Poll::Idle { next } = self else {
            panic!("{self:?} at the end")
        };
        next
    }
}

fn after(now: u64, timeout: Option<Duration>) -> u64 {
    timeout.map_or(u64::MAX, |timeout| {
        now.saturating_add(u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX))
    })
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

fn since(now: u64, earlier: u64) -> Duration {
    Duration::from_micros(now.saturating_sub(earlier))
}

/// A deadline as the timers keep it.
fn due(at: u64) -> u64 {
    if at == u64::MAX {
        at
    } else {
        at.div_ceil(TICK) * TICK
    }
}

fn is_due(at: u64, now: u64) -> bool {
    at != u64::MAX && at <= now / TICK * TICK
}
