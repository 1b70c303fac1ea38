//! The core's self-test on a microcontroller. It prints as a test harness does and ends with QEMU's exit code.
#![no_std]
#![no_main]

mod parts;
#[path = "../../../core/tests/preemption/mod.rs"]
mod preemption;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cortex_m::{
    Peripherals,
    peripheral::{SCB, SYST, scb::SystemHandler, syst::SystClkSource},
};
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::{
    debug::{self, EXIT_SUCCESS},
    hprint, hprintln,
};
use panic_semihosting as _;
use weirpool_core::time::Instant;

const TESTS: [(&str, fn()); 10] = [
    ("full_and_empty_are_exact", parts::full_and_empty_are_exact),
    (
        "priorities_and_order_are_kept",
        parts::priorities_and_order_are_kept,
    ),
    (
        "a_time_out_comes_with_its_tick",
        parts::a_time_out_comes_with_its_tick,
    ),
    (
        "a_failed_job_is_tried_again_after_its_backoff",
        parts::a_failed_job_is_tried_again_after_its_backoff,
    ),
    (
        "the_pools_gates_follow_the_ticks",
        parts::the_pools_gates_follow_the_ticks,
    ),
    (
        "the_breaker_opens_and_recovers",
        parts::the_breaker_opens_and_recovers,
    ),
    ("the_rate_limit_is_exact", parts::the_rate_limit_is_exact),
    (
        "the_concurrency_limit_is_exact",
        parts::the_concurrency_limit_is_exact,
    ),
    ("the_histogram_counts", parts::the_histogram_counts),
    (
        "preempted_operations_lose_nothing",
        preempted_operations_lose_nothing,
    ),
];

/// How often every operation must have been preempted, and the most rounds for that.
const FLOOR: u32 = 100;
const MOST_ROUNDS: u32 = 2_000;

/// Core cycles from tick to tick.
const TICK: u32 = 10_000;

/// Ticks since the start; SysTick alone writes it.
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Whether SysTick comes at random times and works on the pool.
static PREEMPTING: AtomicBool = AtomicBool::new(false);

#[entry]
fn main() -> ! {
    let mut peripherals = Peripherals::take().expect("nobody else took them");
    // SAFETY: no critical section here relies on priorities.
    unsafe {
        peripherals.SCB.set_priority(SystemHandler::PendSV, 0xC0);
        peripherals.SCB.set_priority(SystemHandler::SysTick, 0x40);
    }
    let mut systick = peripherals.SYST;
    systick.set_reload(TICK);
    systick.set_clock_source(SystClkSource::Core);
    systick.enable_interrupt();
    schedule(&mut systick, TICK);

    for (name, test) in TESTS {
        hprint!("test {} ... ", name);
        test();
        hprintln!("ok");
    }
    hprintln!("test result: ok. {} passed; 0 failed;", TESTS.len());
    loop {
        debug::exit(EXIT_SUCCESS);
    }
}

/// The caller's clock: a millisecond a tick.
fn now() -> Instant {
    Instant::from_millis(TICKS.load(Ordering::Relaxed).into())
}

fn preempted_operations_lose_nothing() {
    PREEMPTING.store(true, Ordering::Relaxed);
    let report = preemption::run(FLOOR, |round| round > MOST_ROUNDS);
    PREEMPTING.store(false, Ordering::Relaxed);
    hprint!("{} ... ", report);
}

/// The upper interrupt.
#[exception]
fn SysTick() {
    TICKS.store(TICKS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let mut next = TICK;
    if PREEMPTING.load(Ordering::Relaxed) {
        preemption::interrupt(2);
        let random = preemption::random(2);
        if random.is_multiple_of(4) {
            SCB::set_pendsv();
        }
        next = 100 + random % 20_000;
    }
    // SAFETY: since it was started nobody but this handler uses the timer.
    let mut systick = unsafe { Peripherals::steal() }.SYST;
    schedule(&mut systick, next);
}

/// The lower interrupt.
#[exception]
fn PendSV() {
    preemption::interrupt(1);
}

/// Lets SysTick come after so many cycles from now.
fn schedule(systick: &mut SYST, cycles: u32) {
    systick.disable_counter();
    systick.set_reload(cycles);
    systick.clear_current();
    systick.enable_counter();
}
