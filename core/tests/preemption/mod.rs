//! Contexts that preempt each other on one pool, and the accounts that show that nothing was lost.
//!
//! Who preempts is the caller's affair: timer signals on a desktop (`interrupt.rs`), SysTick and PendSV on a
//! microcontroller (`tests/embedded`). A context runs to its end before a lower one goes on, as interrupts do.
//!
//! The accounts are safe code without compare-and-swap: each context writes only words of its own.

use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};
use core::time::Duration;

use weirpool_core::{
    adaptive,
    breaker::{self, Breaker, Recorded, State, Verdict},
    histogram::Histogram,
    pool::{
        Allowance, Cancel, Config, Finish, Handle, Kind, Outcome, Policy, Poll, Pool, Priority,
        Refused, Retry, Submit, Take, WorkerId,
    },
    rate::{Quota, RateLimit},
    time::Instant,
};

/// The thread, an interrupt, and an interrupt that preempts both.
const LEVELS: usize = 3;
const TOP: usize = LEVELS - 1;

const CAPACITY: u32 = 8;
/// Every context runs at most one job, so that nobody ever lacks a permit.
const SLOTS: usize = CAPACITY as usize + LEVELS;

/// Most jobs that one context submits in a round.
const ROUND: u32 = 1024;

const LANES: [Priority; 2] = [Priority::Normal, Priority::High];

static POOL: Pool<u32, SLOTS, 1> = Pool::new(Config {
    capacity: CAPACITY as usize,
    limit: LEVELS as u16,
    most_running: LEVELS as u16,
    adaptive: Some(adaptive::Config {
        target: Duration::from_micros(100),
        window: Duration::from_micros(500),
        min: LEVELS as u16,
    }),
    kind_breaker: Some(breaker::Config {
        // Longer than a round: a probe that was lost in one is missed at its end.
        lease: Duration::from_secs(60 * 60),
        ..RULES
    }),
    ageing: Some(Duration::from_millis(20)),
    retry: Some(match Policy::new(3, PAUSE, PAUSE) {
        Ok(policy) => policy,
        Err(_) => panic!("it is within the bounds"),
    }),
    retry_budget: Allowance {
        percent: 100,
        reserve: 1_000,
    },
    ..Config::DEFAULT
});

/// The longest between two attempts.
const PAUSE: Duration = Duration::from_micros(300);

// The parts alone, besides those of the pool.
static BREAKER: Breaker = Breaker::new(RULES);
const RULES: breaker::Config = breaker::Config {
    consecutive: Some(3),
    pause: Duration::from_millis(2),
    max_pause: Duration::from_millis(4),
    probes: 2,
    lease: Duration::from_millis(8),
    ..breaker::Config::DEFAULT
};
/// Microseconds from one token to the next.
const SPACING: u32 = 250;
static RATE: RateLimit = RateLimit::new(Some(Quota::per_second(1_000_000 / SPACING).with_burst(8)));
static HISTOGRAM: Histogram = Histogram::new();

static CONTEXTS: [Context; LEVELS] = [Context::new(0), Context::new(1), Context::new(2)];

/// Microseconds; the top context moves it.
static CLOCK: Own = Own::new(0);

/// When the tokens were last spent, and how many had been granted by then; the top context's.
static SPENT: [Own; 2] = [const { Own::new(0) }; 2];

/// 1 while interrupts shall do nothing; the thread sets it.
static QUIET: Own = Own::new(1);

/// What a context can be preempted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Submit,
    Take,
    Finish,
    Cancel,
    Poll,
    Snapshot,
    Breaker,
    Rate,
    Histogram,
}

const OPERATIONS: [Operation; 9] = [
    Operation::Submit,
    Operation::Take,
    Operation::Finish,
    Operation::Cancel,
    Operation::Poll,
    Operation::Snapshot,
    Operation::Breaker,
    Operation::Rate,
    Operation::Histogram,
];

/// What was reached.
#[derive(Debug)]
pub(crate) struct Report {
    /// Jobs that were accepted, each of which came back exactly once.
    pub(crate) jobs: u32,
    /// Interrupts that found an operation unfinished, by the kind of the uppermost one.
    pub(crate) preempted: [u32; OPERATIONS.len()],
    /// Those that found two unfinished, one above the other.
    pub(crate) nested: u32,
    /// How often the queue was filled to the brim and emptied to the bottom.
    pub(crate) edges: u32,
    /// Attempts that were followed by another.
    pub(crate) retried: u32,
}

impl core::fmt::Display for Report {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            jobs,
            retried,
            edges,
            ..
        } = self;
        write!(
            f,
            "{jobs} jobs; {retried} retries; {edges} edges; preempted:"
        )?;
        for (operation, times) in OPERATIONS.iter().zip(self.preempted) {
            write!(f, " {operation:?} {times},")?;
        }
        write!(f, " two at once {}", self.nested)
    }
}

/// The thread's part: rounds until every operation was preempted `floor` times, also within another one.
///
/// # Panics
/// If an account does not balance, or `is_over` before that.
pub(crate) fn run(floor: u32, is_over: impl Fn(u32) -> bool) -> Report {
    let thread = &CONTEXTS[0];
    let mut before = Before::default();
    for round in 0.. {
        QUIET.set(0);
        while CONTEXTS.iter().all(|context| context.next.get() < ROUND) {
            thread.step();
        }
        // No interrupt is in the middle of anything while the thread runs, and none begins anything any more.
        QUIET.set(1);
        compiler_fence(Ordering::SeqCst);
        balance(&mut before);

        let report = report();
        let least = report.preempted.iter().copied().min().unwrap_or(0);
        let rare = report.nested.min(report.edges).min(report.retried);
        if least.min(rare) >= floor {
            return report;
        }
        assert!(
            !is_over(round),
            "not every operation was preempted {floor} times: {report}"
        );
    }
    unreachable!("rounds without end")
}

/// An interrupt's part; 1 is the lower level.
pub(crate) fn interrupt(level: usize) {
    let context = &CONTEXTS[level];
    if QUIET.get() == 1 {
        return;
    }
    let unfinished = context.look_below();
    if level == TOP {
        CLOCK.set(CLOCK.get() + context.random() % 200);
        match context.random() % 64 {
            0..8 => context.fill_and_empty(unfinished),
            8..16 => context.spend_tokens(unfinished),
            16 => context.weigh(unfinished),
            _ => {}
        }
    }
    for _ in 0..context.random() % 16 {
        context.step();
    }
}

/// A random number out of a level's own sequence.
pub(crate) fn random(level: usize) -> u32 {
    CONTEXTS[level].random()
}

fn now() -> Instant {
    Instant::from_micros(u64::from(CLOCK.get()))
}

/// One level's state. Others may read it; only the level itself writes it (and the thread, while it is quiet).
struct Context {
    level: usize,
    random: Own,
    /// 1 + the operation that it is in the middle of, or 0.
    doing: Own,
    /// How many jobs it submitted in this round; the number of the next.
    next: Own,
    /// Handles of some of them, in halves.
    handles: [[Own; 2]; 4],
    /// By submitter, a bit for each job of this round that came back to this context.
    returned: [[Own; ROUND as usize / 32]; LEVELS],
    /// By submitter and lane, 1 + the last job of this round that this context took.
    last: [[Own; LANES.len()]; LEVELS],
    accepted: Own,
    /// Jobs that it settled by their handle, whoever runs them.
    by_handle: Own,
    /// Jobs that it ran and that somebody else had settled.
    stale: Own,
    breaker_opened: Own,
    breaker_closed: Own,
    breaker_stale: Own,
    tokens: Own,
    /// Of this round.
    recorded: Own,
    recorded_sum: Own,
    preempted: [Own; OPERATIONS.len()],
    nested: Own,
    edges: Own,
}

impl Context {
    const fn new(level: usize) -> Self {
        Self {
            level,
            random: Own::new(0x9E37_79B9 ^ level as u32),
            doing: Own::new(0),
            next: Own::new(0),
            handles: [const { [const { Own::new(0) }; 2] }; 4],
            returned: [const { [const { Own::new(0) }; ROUND as usize / 32] }; LEVELS],
            last: [const { [const { Own::new(0) }; LANES.len()] }; LEVELS],
            accepted: Own::new(0),
            by_handle: Own::new(0),
            stale: Own::new(0),
            breaker_opened: Own::new(0),
            breaker_closed: Own::new(0),
            breaker_stale: Own::new(0),
            tokens: Own::new(0),
            recorded: Own::new(0),
            recorded_sum: Own::new(0),
            preempted: [const { Own::new(0) }; OPERATIONS.len()],
            nested: Own::new(0),
            edges: Own::new(0),
        }
    }

    /// One operation, whichever.
    fn step(&self) {
        match self.random() % 128 {
            // One that waits for its breaker would lose its turn, which `check_order` looks at.
            0..8 => _ = self.submit(Retry::Off, Some(Kind(0))),
            8..16 => _ = self.submit(Retry::Off, None),
            16..32 => _ = self.submit(Retry::Pool, None),
            32..56 => _ = self.take_and_finish(|| self.outcome()),
            56..72 => {
                _ = self.take_and_finish(|| {
                    self.cancel();
                    self.outcome()
                });
            }
            72..80 => self.cancel(),
            80..92 => self.poll(),
            // Seldom: it takes longer than all others.
            92 => self.snapshot(),
            93..108 => self.call_through_breaker(),
            108..120 => _ = self.take_token(now()),
            _ => self.record(),
        }
    }

    /// Whether a job was accepted.
    fn submit(&self, retry: Retry, kind: Option<Kind>) -> bool {
        let number = self.next.get();
        if number == ROUND {
            return false;
        }
        let lane = self.random() as usize % LANES.len();
        let job = (number << 8) | (lane << 4) as u32 | self.level as u32;
        let timeout = || {
            (self.random().is_multiple_of(4))
                .then(|| Duration::from_micros(u64::from(self.random() % 1_000)))
        };
        let options = Submit {
            priority: LANES[lane],
            queue_timeout: timeout(),
            run_timeout: timeout(),
            total_timeout: timeout(),
            retry,
            kind,
        };
        match self.during(Operation::Submit, || POOL.submit(job, options, now())) {
            Ok(handle) => {
                self.next.add(1);
                self.accepted.add(1);
                let [high, low] = &self.handles[number as usize % self.handles.len()];
                high.set((handle.to_bits() >> 32) as u32);
                low.set(handle.to_bits() as u32);
                true
            }
            Err(refused) => {
                let expected = match refused {
                    Refused::Open { .. } => kind.is_some(),
                    _ => refused == Refused::Full(job),
                };
                assert!(expected, "{refused:?}");
                false
            }
        }
    }

    /// Whether there was a job. It runs by doing something else.
    fn take_and_finish(&self, run: impl FnOnce() -> Outcome) -> bool {
        let worker = WorkerId(self.level as u16);
        let running = match self.during(Operation::Take, || POOL.take(worker, now())) {
            Take::Job(running) => running,
            Take::Settled(completion) => {
                if completion.attempt == 0 {
                    self.check_order(completion.job);
                }
                self.came_back(completion.job);
                return true;
            }
            Take::Delayed { .. } => return true,
            Take::Stale(late) => {
                self.stale.add(1);
                self.came_back(late);
                return true;
            }
            Take::Empty { .. } => return false,
        };
        let job = *running.job();
        // A retry goes before those that were submitted after it.
        if running.attempt() == 1 {
            self.check_order(job);
        }
        let outcome = run();
        match self.during(Operation::Finish, || POOL.finish(running, outcome, now())) {
            Finish::Settled(completion) => assert_eq!(completion.job, job),
            Finish::Stale(late) => {
                assert_eq!(late, job);
                self.stale.add(1);
            }
            Finish::Retry { .. } => return true,
        }
        self.came_back(job);
        true
    }

    fn outcome(&self) -> Outcome {
        match self.random() % 4 {
            0 => Outcome::Failure,
            1 => Outcome::Ignored,
            2 => Outcome::Panic,
            _ => Outcome::Success,
        }
    }

    /// Whether there was a job that waited, in line or for its time.
    fn abort(&self) -> bool {
        let aborted = self.during(Operation::Cancel, || POOL.abort_next(now()));
        if let Some(completion) = &aborted {
            self.came_back(completion.job);
        }
        aborted.is_some()
    }

    /// Cancels a job of its own that may wait, run somewhere, or be long gone.
    fn cancel(&self) {
        let [high, low] = &self.handles[self.random() as usize % self.handles.len()];
        let handle = Handle::from_bits(u64::from(high.get()) << 32 | u64::from(low.get()));
        match self.during(Operation::Cancel, || POOL.cancel(handle, now())) {
            Cancel::Removed(completion) => self.came_back(completion.job),
            Cancel::Signalled => self.by_handle.add(1),
            Cancel::Stale => {}
        }
    }

    fn poll(&self) {
        match self.during(Operation::Poll, || POOL.poll(now())) {
            Poll::Settled(completion) => self.came_back(completion.job),
            Poll::TimedOut(_) => self.by_handle.add(1),
            Poll::Promoted(_) => {}
            Poll::Idle { .. } => {}
        }
    }

    fn snapshot(&self) {
        let seen = self.during(Operation::Snapshot, || POOL.snapshot());
        // Retries bring their slots along.
        let most = CAPACITY + LEVELS as u32;
        assert!(seen.queued <= most, "{} wait", seen.queued);
    }

    fn call_through_breaker(&self) {
        let Ok(permit) = self.during(Operation::Breaker, || BREAKER.acquire(now())) else {
            return;
        };
        let verdict = if self.random().is_multiple_of(2) {
            Verdict::Success
        } else {
            Verdict::Failure
        };
        match self.during(Operation::Breaker, || {
            BREAKER.record(permit, verdict, Duration::ZERO, now())
        }) {
            Recorded::Opened => self.breaker_opened.add(1),
            Recorded::Closed => self.breaker_closed.add(1),
            Recorded::Stale => self.breaker_stale.add(1),
            _ => {}
        }
    }

    fn take_token(&self, now: Instant) -> Result<(), Duration> {
        self.during(Operation::Rate, || {
            RATE.check(now)?;
            self.tokens.add(1);
            Ok(())
        })
    }

    /// Some values at once, since one is over in no time.
    fn record(&self) {
        let values: [u32; 8] = core::array::from_fn(|_| self.random() % (1 << 16));
        self.during(Operation::Histogram, || {
            for value in values {
                HISTOGRAM.record(value.into());
            }
        });
        self.recorded.add(values.len() as u32);
        self.recorded_sum.add(values.iter().sum());
    }

    /// Fills the queue to the brim and empties it, twice. Nobody else runs meanwhile, so the only places and jobs that
    /// may be out of reach are those of the unfinished operations below, one for each.
    fn fill_and_empty(&self, unfinished: u32) {
        if self.next.get() + 2 * CAPACITY > ROUND {
            return;
        }
        let fill = || (0..).take_while(|_| self.submit(Retry::Pool, None)).count() as u32;
        let take = || self.take_and_finish(|| Outcome::Success);
        let empty = || (0..).take_while(|_| take()).count() as u32;
        let all = CAPACITY - unfinished..=CAPACITY;
        // Those that are delayed hold places.
        while self.abort() {}
        fill();
        let taken = empty();
        assert!(
            all.contains(&taken),
            "full with {taken} jobs, {unfinished} unfinished"
        );
        let accepted = fill();
        assert!(
            all.contains(&accepted),
            "empty with room for {accepted}, {unfinished} unfinished"
        );
        let taken = empty();
        assert!(
            (accepted..=accepted + unfinished).contains(&taken),
            "{accepted} in, {taken} out, {unfinished} unfinished"
        );
        self.edges.add(1);
    }

    /// Takes all tokens; the next one comes at the moment that was named, and not sooner. Since the last time that
    /// there were none, no more were granted than came.
    fn spend_tokens(&self, unfinished: u32) {
        let now = now();
        let wait = loop {
            if let Err(wait) = self.take_token(now) {
                break wait;
            }
        };
        let next = now.saturating_add(wait);
        let sooner = Instant::from_micros(next.as_micros() - 1);
        assert!(self.take_token(sooner).is_err(), "sooner than {wait:?}");
        assert_eq!(self.take_token(next), Ok(()), "after {wait:?}");

        let time = next.as_micros() as u32;
        CLOCK.set(time);
        let granted: u32 = CONTEXTS.iter().map(|context| context.tokens.get()).sum();
        let [last_time, last_granted] = &SPENT;
        let came = (time - last_time.get()) / SPACING;
        assert!(
            last_time.get() == 0 || granted <= last_granted.get() + came,
            "{granted} tokens granted, {came} came to {}",
            last_granted.get()
        );
        last_time.set(time);
        // An operation below may have its token and not have counted it.
        last_granted.set(granted + unfinished);
    }

    /// The law of conservation at a moment when nobody else runs: every unfinished operation is between two counts.
    fn weigh(&self, unfinished: u32) {
        let seen = self.during(Operation::Snapshot, || POOL.snapshot());
        let accounted = seen.settled() + u64::from(seen.queued + seen.delayed + seen.running);
        let difference = seen.accepted.abs_diff(accounted);
        assert!(
            difference <= u64::from(unfinished),
            "{} accepted, {accounted} accounted for, {unfinished} unfinished",
            seen.accepted
        );
    }

    /// How many operations below are unfinished; counts what was found.
    fn look_below(&self) -> u32 {
        let mut unfinished = 0;
        for below in CONTEXTS[..self.level].iter().rev() {
            if let Some(operation) = below.doing.get().checked_sub(1) {
                if unfinished == 0 {
                    self.preempted[operation as usize].add(1);
                }
                unfinished += 1;
            }
        }
        if unfinished == 2 {
            self.nested.add(1);
        }
        unfinished
    }

    fn during<R>(&self, operation: Operation, f: impl FnOnce() -> R) -> R {
        self.doing.set(operation as u32 + 1);
        compiler_fence(Ordering::SeqCst);
        let result = f();
        compiler_fence(Ordering::SeqCst);
        self.doing.set(0);
        result
    }

    /// Notes that a job came back: every one does so once.
    fn came_back(&self, job: u32) {
        let (submitter, _, number) = parts(job);
        let word = &self.returned[submitter][number as usize / 32];
        let bit = 1 << (number % 32);
        assert_eq!(word.get() & bit, 0, "job {job:#x} came back twice");
        word.set(word.get() | bit);
    }

    /// Whoever takes sees the jobs of one submitter and lane in their order.
    fn check_order(&self, job: u32) {
        let (submitter, lane, number) = parts(job);
        let last = &self.last[submitter][lane];
        assert!(
            number >= last.get(),
            "job {job:#x} came after number {}",
            last.get()
        );
        last.set(number + 1);
    }

    /// Marsaglia's xorshift with 32 bits.
    fn random(&self) -> u32 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        self.random.set(state);
        state
    }
}

/// Submitter, lane and number of a job.
fn parts(job: u32) -> (usize, usize, u32) {
    ((job & 0xF) as usize, (job >> 4 & 0xF) as usize, job >> 8)
}

/// What had happened before a round, of what only grows.
#[derive(Default)]
struct Before {
    /// In the histogram, and their sum.
    values: u64,
    sum: u64,
    /// The breaker's changes of state, and their number as the breaker has it.
    changes: u64,
    generation: u32,
}

/// Ends a round, in which nobody else runs any more: empties the pool and compares all accounts.
fn balance(before: &mut Before) {
    while CONTEXTS[0].take_and_finish(|| Outcome::Success) {}
    while CONTEXTS[0].abort() {}

    for (submitter, by) in CONTEXTS.iter().enumerate() {
        for word in 0..ROUND as usize / 32 {
            let mut seen = 0;
            for context in &CONTEXTS {
                let returned = &context.returned[submitter][word];
                assert_eq!(seen & returned.get(), 0, "doubled, by {submitter}");
                seen |= returned.get();
                returned.set(0);
            }
            let submitted = by.next.get().saturating_sub(32 * word as u32).min(32);
            assert_eq!(
                u64::from(seen),
                (1 << submitted) - 1,
                "lost, by {submitter}"
            );
        }
    }
    let sum = |of: fn(&Context) -> &Own| CONTEXTS.iter().map(|c| u64::from(of(c).get())).sum();

    let seen = POOL.snapshot();
    assert_eq!(seen.accepted, sum(|c| &c.accepted));
    assert_eq!(seen.accepted, seen.settled());
    assert_eq!((seen.queued, seen.delayed), (0, 0));
    assert_eq!((seen.running, seen.abandoned), (0, 0));
    assert_eq!(seen.stale, sum(|c| &c.by_handle));
    assert_eq!(seen.stale, sum(|c| &c.stale));
    assert!(
        matches!(POOL.poll(Instant::MAX), Poll::Idle { next: None }),
        "a time-out without a job"
    );

    let of_kind = POOL.kind_breaker(Kind(0)).unwrap();
    if of_kind.state(now()) == State::HalfOpen {
        assert_eq!(of_kind.check(now()), Ok(()), "no job runs: no probe is out");
    }

    let breaker = BREAKER.snapshot(now());
    let (opened, closed): (u64, u64) = (sum(|c| &c.breaker_opened), sum(|c| &c.breaker_closed));
    assert_eq!(u64::from(breaker.opened), opened);
    assert_eq!(u64::from(breaker.stale), sum(|c| &c.breaker_stale));
    before.changes += u64::from(breaker.generation.wrapping_sub(before.generation) % (1 << 14));
    before.generation = breaker.generation;
    // Each opening but perhaps the last was followed by a half-open time, and every change was reported once.
    let half_open = before.changes - opened - closed;
    assert!(
        half_open == opened || half_open + 1 == opened,
        "opened {opened} times, half-open {half_open} times"
    );

    let histogram = HISTOGRAM.snapshot();
    assert_eq!(histogram.count() - before.values, sum(|c| &c.recorded));
    assert_eq!(histogram.sum() - before.sum, sum(|c| &c.recorded_sum));
    before.values = histogram.count();
    before.sum = histogram.sum();

    for context in &CONTEXTS {
        context.next.set(0);
        context.recorded.set(0);
        context.recorded_sum.set(0);
        for last in context.last.as_flattened() {
            last.set(0);
        }
    }
}

fn report() -> Report {
    let sum = |of: &dyn Fn(&Context) -> u32| CONTEXTS.iter().map(of).sum();
    Report {
        jobs: sum(&|context| context.accepted.get()),
        preempted: core::array::from_fn(|operation| {
            sum(&|context| context.preempted[operation].get())
        }),
        nested: sum(&|context| context.nested.get()),
        edges: sum(&|context| context.edges.get()),
        retried: POOL.snapshot().retried as u32,
    }
}

/// A word that one context writes and others may read.
struct Own(AtomicU32);

impl Own {
    const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn add(&self, value: u32) {
        self.set(self.get() + value);
    }
}
