//! The whole pool under every kind of interleaving: contexts that submit, run, cancel, poll and operate at once, on one
//! thread, each step chosen by a seeded scheduler.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p weirpool-core --release --test simulator`; the seed of a failing run is
//! printed, and `WEIRPOOL_SEED=…` before the command replays it. `WEIRPOOL_LONG=1` makes 20 times as many runs.
//!
//! A step is one access to an atomic word or to a job's cell (`src/sync.rs` takes them from shuttle, which is
//! sequentially consistent: weaker orders are loom's part). Contexts' clocks differ, jump and run backwards.
//!
//! # What a context takes with it when it dies
//! A context may stop for ever before any step. Then the others lose this and no more:
//! - by one that dies inside `submit`: a place of the queue, a slot, a token of the rate. Its job may still be run, if it
//!   was far enough in;
//! - inside `take`: one job, a place, a slot, a permit to run, a probe of its breakers until their leases end;
//! - inside `cancel`, `poll` or `abort_next`: the job that it was about to settle, its place or slot;
//! - inside `finish`: its job, slot and permit, and of a retry a place;
//! - while it runs a job: its permit and the slot. The job itself is settled by whoever cancels it, or at its deadline.
//!
//! Each also leaves a counter or gauge wrong by one at most. Everything else holds as before: no job is settled twice,
//! none is overtaken or forgotten, whoever is left makes progress, and alone needs a bounded number of steps. If the
//! dead come back (they were only slow), nothing is lost at all, and the sums are exact.
#![cfg(shuttle)]

mod actor;
mod adversary;
mod ledger;
mod quiet;
#[path = "../random/mod.rs"]
mod random;
mod setup;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use adversary::{Adversary, Control};
use random::Random;
use setup::Setup;
use shuttle::{
    FailurePersistence, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    thread::{JoinHandle, yield_now},
};
use world::World;

/// Some contexts stall for a while, some until all others have ended, which to those is the same as death.
#[test]
fn stalls_and_deaths_at_every_step() {
    let (mut steps, mut idle, mut falls, mut retried) = (0, 0, 0, 0);
    runs(400, |seed| {
        let (control, retries) = match seed % 3 {
            0 => simulate::<4>(seed),
            1 => simulate::<12>(seed),
            _ => simulate::<70>(seed),
        };
        steps += control.steps();
        falls += control.falls();
        retried += retries;
        idle = idle.max(control.longest_without_progress());
    });
    println!(
        "{steps} steps, {falls} deaths, {retried} retries, at most {idle} steps without progress"
    );
    assert!(falls > 100, "only {falls} died");
    assert!(retried > 100, "only {retried} were retried");
}

/// The first half plays the part of death, the second brings the dead back.
fn simulate<const SLOTS: usize>(seed: u64) -> (Arc<Control>, u64) {
    let mut random = Random::new(seed);
    let setup = Setup::new(&mut random, SLOTS);
    let deaths = random.below(6).saturating_sub(2);
    let falls = (0..deaths)
        .map(|_| random.below(setup.jobs as u64 * 400))
        .collect();
    let control = Arc::new(Control::default());
    let adversary = Adversary::new(random, falls, control.clone());
    let retried = Arc::new(AtomicU64::new(0));
    let (shared, retries) = (control.clone(), retried.clone());
    execute(adversary, move || {
        let world = World::<SLOTS>::new(setup, shared.clone());
        let contexts = world.begin();
        let observe_until_quiet = || {
            loop {
                yield_now();
                if world.control.is_quiet() {
                    break;
                }
                world.observe();
            }
        };
        observe_until_quiet();
        world.check_quiet();
        world.control.wake();
        observe_until_quiet();
        end(&world, contexts);
        let ledger = world.ledger.lock().unwrap();
        retries.store(ledger.retried, Ordering::Relaxed);
    });
    (control, retried.load(Ordering::Relaxed))
}

/// Every context is as likely as any other to take the next step.
#[test]
fn random_schedules() {
    runs(150, |seed| {
        play::<12>(seed, RandomScheduler::new_from_seed(seed, 1))
    });
    runs(50, |seed| {
        play::<70>(seed, RandomScheduler::new_from_seed(seed, 1))
    });
}

/// Contexts have priorities that change at a few random steps: it finds what needs few, but certain, preemptions
/// (Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
#[test]
fn few_preemptions() {
    // The scheduler learns from its first execution how long one is.
    runs(4, |seed| {
        play::<4>(seed, PctScheduler::new_from_seed(seed, 3, 20))
    });
    runs(4, |seed| {
        play::<12>(seed, PctScheduler::new_from_seed(seed, 5, 20))
    });
}

fn play<const SLOTS: usize>(seed: u64, scheduler: impl Scheduler + 'static) {
    let setup = Setup::new(&mut Random::new(seed), SLOTS);
    execute(scheduler, move || {
        let world = World::<SLOTS>::new(setup, Arc::new(Control::default()));
        let contexts = world.begin();
        end(&world, contexts);
    });
}

/// When all have ended, everything is as if they had come one after the other.
fn end<const SLOTS: usize>(world: &Arc<World<SLOTS>>, contexts: Vec<JoinHandle<()>>) {
    for context in contexts {
        context.join().unwrap();
    }
    world.check_quiet();
    world.check_close();
}

/// Each run has its own seed; that of a failed one is printed.
fn runs(count: u64, mut run: impl FnMut(u64)) {
    let long = std::env::var_os("WEIRPOOL_LONG").is_some();
    let first = random::seed();
    for n in 0..if long { count * 20 } else { count } {
        let seed = first.wrapping_add(n);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("replay by WEIRPOOL_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

fn execute(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    // A pool's words are large in this build.
    config.stack_size = 1 << 20;
    // The seed is enough.
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(5_000_000);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scene);
}
