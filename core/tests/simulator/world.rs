//! A pool, those that use it at once, and what must hold at every step.

use std::sync::{Arc, Mutex};

use shuttle::{sync::atomic::AtomicU32, thread};
use weirpool_core::{
    breaker::Breaker,
    pool::{Kind, Order, Outcome, Pool},
};

use crate::{
    actor::Actor,
    adversary::Control,
    ledger::{Doing, Ledger, Operation, STAMP_MICROS},
    random::Random,
    setup::{BREAKERS, KINDS, Setup, breakers},
};

/// One pool with its ledger.
pub struct World<const SLOTS: usize> {
    pub pool: Pool<u64, SLOTS, KINDS>,
    pub setup: Setup,
    pub control: Arc<Control>,
    pub ledger: Mutex<Ledger>,
    /// Read by handlers, which take a step by that.
    pub work: AtomicU32,
}

/// What one kind of context does over and over.
type Role<const SLOTS: usize> = fn(&mut Actor<SLOTS>);

impl<const SLOTS: usize> World<SLOTS> {
    pub fn new(setup: Setup, control: Arc<Control>) -> Arc<Self> {
        Arc::new(Self {
            pool: Pool::new(setup.config),
            control,
            ledger: Mutex::new(Ledger {
                time: 10_000_000,
                ageing: setup
                    .config
                    .ageing
                    .map(|ageing| ageing.as_micros() as u64 / STAMP_MICROS),
                horizon: match setup.config.order {
                    Order::Fifo => None,
                    Order::Deadline { horizon } => Some(horizon.as_micros() as u64 / STAMP_MICROS),
                },
                limit: setup.config.limit,
                max_in_flight: setup.config.max_in_flight,
                probes: breakers(&setup.config)
                    .map(|breaker| breaker.map_or(0, |breaker| breaker.probes.into())),
                contexts: vec![Doing::default(); setup.contexts() + 1],
                ..Ledger::default()
            }),
            work: AtomicU32::new(0),
            setup,
        })
    }

    /// Begins what the contexts do.
    pub fn begin(self: &Arc<Self>) -> Vec<thread::JoinHandle<()>> {
        let setup = self.setup;
        // Who does what, and for how many steps at most each rests before an operation.
        let roles: [(usize, Role<SLOTS>, u64); 5] = [
            (setup.submitters, Actor::submit, 30),
            (setup.workers, Actor::work, 10),
            (setup.cancellers, Actor::cancel_some, 150),
            (setup.pollers, |actor| _ = actor.poll(0), 150),
            (setup.operators, Actor::operate, 150),
        ];
        let roles = roles
            .into_iter()
            .flat_map(|(count, role, pause)| std::iter::repeat_n((role, pause), count));
        (1..)
            .zip(roles)
            .map(|(context, (role, pause))| {
                let mut actor = self.actor(context);
                thread::spawn(move || {
                    while !actor.is_over() {
                        actor.pass_time(pause);
                        role(&mut actor);
                    }
                    actor.finish(Outcome::Success);
                })
            })
            .collect()
    }

    /// What must hold at every step. It must be run as one step.
    pub fn observe(&self) {
        let seen = self.pool.snapshot();
        let ledger = self.ledger.lock().unwrap();
        let config = &self.setup.config;
        // Retries bring their slots along.
        let retries = match config.retry {
            Some(_) => usize::from(config.most_running),
            None => 0,
        };
        let busy = ledger.busy(|operation| operation != Operation::Other);
        // One that is put in line is counted as delayed until its promoter is through, even while it runs.
        let twice = busy.min(seen.delayed as usize);
        let waiting = seen.queued + seen.delayed;
        assert!(
            waiting as usize <= config.capacity + retries + twice,
            "{waiting} wait"
        );
        let in_flight = u64::from(waiting + seen.running);
        let most = u64::from(ledger.max_in_flight.unwrap_or(u32::MAX));
        assert!(
            in_flight <= most.max(u64::from(waiting)) + twice as u64,
            "{in_flight} in flight"
        );
        // Law 1 at any moment: who is in the middle of an operation makes a difference of one job at most.
        let busy = busy as u64;
        let settled = seen.completed + seen.failed + seen.timed_out + seen.cancelled;
        assert!(
            (seen.accepted..=seen.accepted + busy).contains(&(settled + in_flight)),
            "{busy} are busy, but {seen:?}"
        );
        let counted = [
            (ledger.completed, seen.completed),
            (ledger.failed, seen.failed),
            (ledger.timed_out, seen.timed_out),
            (ledger.cancelled, seen.cancelled),
            (ledger.started, seen.started),
            (ledger.retried, seen.retried),
            (ledger.stale, seen.stale),
            (ledger.refused, seen.refused()),
        ];
        for (known, counted) in counted {
            assert!((known..=known + busy).contains(&counted), "{seen:?}");
        }
    }

    /// The pool's breaker and those of its kinds.
    pub fn breakers(&self) -> [&Breaker; BREAKERS] {
        std::array::from_fn(|breaker| match breaker.checked_sub(1) {
            None => self.pool.breaker(),
            Some(kind) => self
                .pool
                .kind_breaker(Kind(kind as u8))
                .expect("below KINDS"),
        })
    }

    pub fn actor(self: &Arc<Self>, context: usize) -> Actor<SLOTS> {
        Actor {
            world: self.clone(),
            context,
            random: Random::new(self.setup.seed ^ context as u64),
            running: None,
        }
    }
}
