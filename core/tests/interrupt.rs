//! Interrupts on a desktop: timer signals preempt every operation of a thread, and each other, at random instants.
//!
//! A signal handler is to its thread what an interrupt is to a single core: it begins between any two instructions, and
//! nothing below it moves until it has ended. An operation that waits for somebody else would hang here.
#![cfg(all(target_os = "linux", not(loom)))]

mod preemption;

use std::{
    env,
    ffi::c_int,
    io::Write,
    mem, process, ptr,
    sync::atomic::{AtomicPtr, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How often every operation must have been preempted.
const FLOOR: u32 = 1_000;

/// It takes about three seconds; a machine that delivers few signals may take longer.
const LONGEST: Duration = Duration::from_secs(100);

/// Set in the process that is preempted.
const PREEMPTED: &str = "WEIRPOOL_PREEMPTED";

/// The signals of the two levels: the second preempts the first.
const SIGNALS: [c_int; 2] = [libc::SIGUSR1, libc::SIGUSR2];

/// The timer of each level.
static TIMERS: [AtomicPtr<libc::c_void>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];

/// It runs in a process of its own, which can be ended if it hangs.
#[test]
fn preempted_operations_lose_nothing() {
    if env::var_os(PREEMPTED).is_some() {
        let started = Instant::now();
        start_interrupts();
        let report = preemption::run(FLOOR, |_| started.elapsed() > LONGEST / 2);
        println!("{report}");
        // Not by returning: the timers go on.
        process::exit(0);
    }
    let mut child = process::Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "preempted_operations_lose_nothing",
            "--nocapture",
        ])
        .env(PREEMPTED, "1")
        .stdout(process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("it hangs");
        }
        thread::sleep(Duration::from_millis(20));
    };
    // The little that it prints fits in the pipe.
    let printed = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert!(status.success(), "{status}: {printed}");
    let report = printed.lines().find(|line| line.contains("preempted:"));
    // Past the harness, which shows only what failing tests print.
    writeln!(std::io::stdout(), "{}", report.unwrap()).unwrap();
}

/// Sends this thread its first signals.
fn start_interrupts() {
    for (level, signal) in SIGNALS.into_iter().enumerate() {
        // SAFETY: zeroes are a valid value of these structures of numbers, null and sets; what the calls must know is
        // filled in below, and they only read it or write to `timer`.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            // A level is not preempted by those below it, nor by itself.
            libc::sigemptyset(&mut action.sa_mask);
            for lower in &SIGNALS[..level] {
                libc::sigaddset(&mut action.sa_mask, *lower);
            }
            assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);

            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer = ptr::null_mut();
            let created = libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer);
            assert_eq!(created, 0);
            TIMERS[level].store(timer, Ordering::Relaxed);
        }
        schedule(level, 1_000_000);
    }
}

/// The interrupt. A failed assertion in it ends the process, as a panic may not leave a handler.
extern "C" fn on_signal(signal: c_int) {
    let level = usize::from(signal == SIGNALS[1]);
    preemption::interrupt(level + 1);
    // From its end on, so that the thread gets its turn however long this took.
    schedule(level, 1_000 + preemption::random(level + 1) % 20_000);
}

/// Sends a level's next signal after so many nanoseconds.
fn schedule(level: usize, nanos: u32) {
    let once = libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: 0,
            tv_nsec: nanos.into(),
        },
    };
    let timer = TIMERS[level].load(Ordering::Relaxed);
    // SAFETY: the timer was created and is never deleted; the call may be made in a signal handler.
    let scheduled = unsafe { libc::timer_settime(timer, 0, &once, ptr::null_mut()) };
    assert_eq!(scheduled, 0);
}
