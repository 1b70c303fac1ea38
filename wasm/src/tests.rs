//! The classic scenario and the shared-memory protocol, in a real browser with real threads:
//! `wasm-pack test --headless --chrome`.
//!
//! There is no worker file of ours in the test page: `wasm-bindgen-rayon` starts its own workers,
//! and the pools here run on rayon's global pool. The npm package's own start-up, and everything in
//! TypeScript, is tested from outside (`tests/browser`).

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use weirpool_core::pool::{Config, Refused};

use crate::pool::{Cancelled, SharedPool};
use crate::record::{OutcomeCode, Token};
use crate::retries::Notice;
use crate::terms::Terms;
use crate::{clock, handlers};

wasm_bindgen_test_configure!(run_in_browser);

const WORKERS: usize = 5;

/// A pool on rayon's global threads, which the first caller starts.
async fn pool(config: Config) -> &'static SharedPool {
    thread_local!(static STARTED: Cell<bool> = const { Cell::new(false) });
    if !STARTED.replace(true) {
        let page = web_sys::window().expect("a page");
        crate::api::enter_page(page.performance().expect("a clock").time_origin());
        JsFuture::from(wasm_bindgen_rayon::init_thread_pool(WORKERS))
            .await
            .expect("the threads start");
    }
    let pool = Box::leak(Box::new(SharedPool::new(config, WORKERS).expect("valid")));
    pool.threads.use_global();
    pool.resize(WORKERS as u32, WORKERS as u32).expect("valid");
    pool
}

fn config(capacity: usize) -> Config {
    Config {
        capacity,
        limit: WORKERS as u16,
        most_running: WORKERS as u16,
        ..Config::DEFAULT
    }
}

/// Writes a job into the token's record as the page does.
fn write(pool: &SharedPool, token: Token, handler: &str, json: &str) {
    let record = &pool.records[token as usize];
    let number = handlers::BUILT_IN
        .iter()
        .position(|(name, _)| *name == handler)
        .expect("built in");
    // SAFETY: this thread is the page and holds the token.
    unsafe { record.write_input(number as u32, json.as_bytes().to_vec().leak()) };
}

fn submit(pool: &'static SharedPool, token: Token) -> Result<(), Refused<Token>> {
    pool.submit(token, clock::now())
}

/// Waits until `count` jobs have come back; returns their tokens and outcomes, oldest first.
async fn settled(pool: &'static SharedPool, count: usize) -> Vec<(Token, u32)> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut batch = Vec::new();
        let mut next = pool.completions.0.take_all();
        while next != 0 {
            let token = next - 1;
            let record = &pool.records[token as usize];
            // SAFETY: this thread is the page, and the token has come back.
            unsafe {
                batch.push((token, record.fields().outcome));
                next = record.next();
            }
        }
        batch.reverse();
        all.append(&mut batch);
        while let Ok((token, outcome)) = pool.poll() {
            all.push((token, outcome as u32));
        }
        pause(1).await;
    }
    all
}

#[wasm_bindgen_test]
async fn the_classic_scenario_settles_every_job() {
    const JOBS: u32 = 50;
    let pool = pool(Config {
        max_in_flight: Some(10),
        ..config(2 * WORKERS)
    })
    .await;
    let mut submitted = 0;
    let mut back = Vec::new();
    while back.len() < JOBS as usize {
        while submitted < JOBS {
            // Every tenth fails; durations spread up to 50 ms.
            let outcome = if submitted % 10 == 9 {
                "error"
            } else {
                "success"
            };
            let duration = submitted * 37 % 50;
            write(
                pool,
                submitted,
                "simulate",
                &format!(r#"{{"duration":{duration},"outcome":"{outcome}"}}"#),
            );
            match submit(pool, submitted) {
                Ok(()) => submitted += 1,
                Err(Refused::InFlight(token) | Refused::Full(token)) => {
                    assert_eq!(token, submitted, "the job comes back with the refusal");
                    break;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        back.extend(settled(pool, 1).await);
    }
    let mut tokens: Vec<_> = back.iter().map(|(token, _)| *token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (0..JOBS).collect::<Vec<_>>());
    for (token, outcome) in back {
        let expected = if token % 10 == 9 {
            OutcomeCode::Error
        } else {
            OutcomeCode::Completed
        };
        assert_eq!(outcome, expected as u32, "job {token}");
    }
    let metrics = pool.core.snapshot();
    assert_eq!((metrics.completed, metrics.failed), (45, 5));
    assert_eq!((metrics.queued, metrics.running), (0, 0));
}

#[wasm_bindgen_test]
async fn a_panic_fails_its_job_alone() {
    let pool = pool(config(10)).await;
    for (token, outcome) in ["success", "panic", "success"].iter().enumerate() {
        let json = format!(r#"{{"duration":1,"outcome":"{outcome}"}}"#);
        write(pool, token as Token, "simulate", &json);
        submit(pool, token as Token).expect("admitted");
    }
    let mut back = settled(pool, 3).await;
    back.sort_unstable();
    let completed = OutcomeCode::Completed as u32;
    assert_eq!(
        back,
        [
            (0, completed),
            (1, OutcomeCode::Panic as u32),
            (2, completed)
        ]
    );
}

#[wasm_bindgen_test]
async fn a_cancelled_job_gives_its_place_back() {
    let pool = pool(config(1)).await;
    pool.core.pause();
    write(pool, 0, "simulate", r#"{"duration":1}"#);
    write(pool, 1, "simulate", r#"{"duration":1}"#);
    submit(pool, 0).expect("admitted");
    assert!(matches!(submit(pool, 1), Err(Refused::Full(1))));
    assert!(matches!(pool.cancel(0), Some(Cancelled::Removed)));
    submit(pool, 1).expect("the place is free at once");
    pool.core.resume();
    pool.wake_all();
    let back = settled(pool, 1).await;
    assert_eq!(back, [(1, OutcomeCode::Completed as u32)]);
    assert!(pool.cancel(0).is_none(), "settled already");
}

#[wasm_bindgen_test]
async fn a_running_job_is_settled_at_its_deadline_and_its_late_end_is_dropped() {
    let pool = pool(config(10)).await;
    write(pool, 0, "simulate", r#"{"duration":2000}"#);
    // SAFETY: this thread is the page and holds the token.
    unsafe { pool.records[0].fields() }.run_timeout = Duration::from_millis(20).as_micros() as f64;
    submit(pool, 0).expect("admitted");
    // First the deadline; then, when the handler has seen that it is too late, the token.
    let back = settled(pool, 2).await;
    let late = [OutcomeCode::TimedOutRun, OutcomeCode::Released];
    assert_eq!(back, late.map(|outcome| (0, outcome as u32)));
}

#[wasm_bindgen_test]
async fn a_failed_job_comes_round_with_its_input_and_the_page_hears_of_it() {
    let pool = pool(config(10)).await;
    for token in 0..2 {
        // The first fails for good; its error would fit where a short input lies.
        let outcome = ["error", "success"][token as usize];
        let json = format!(r#"{{"duration":1,"outcome":"{outcome}"}}"#);
        write(pool, token, "simulate", &json);
        // SAFETY: this thread is the page and holds the token.
        let fields = unsafe { pool.records[token as usize].fields() };
        fields.terms = Terms::with_retries(3);
        (fields.wait, fields.run) = (1000.0, 2000.0);
        submit(pool, token).expect("admitted");
    }
    let mut back = settled(pool, 2).await;
    back.sort_unstable();
    let ends = [OutcomeCode::Error, OutcomeCode::Completed].map(|outcome| outcome as u32);
    assert_eq!(back, [(0, ends[0]), (1, ends[1])]);
    // SAFETY: the tokens have come back.
    let attempts = [0, 1].map(|token: usize| unsafe { pool.records[token].fields() }.attempt);
    assert_eq!(attempts, [3, 1]);
    let metrics = pool.core.snapshot();
    assert_eq!(
        (metrics.retried, metrics.failed, metrics.completed),
        (2, 1, 1)
    );
    assert_eq!(
        (metrics.delayed, metrics.queued, metrics.running),
        (0, 0, 0)
    );

    let news = pool.delayed_jobs();
    let heard = |(token, notice): (Token, Notice)| {
        assert_eq!(token, 0);
        notice.failed.map(|failed| {
            failed.output.free();
            (failed.attempt, failed.outcome)
        })
    };
    let news: Vec<_> = news.map(heard).collect();
    // Of each attempt that it failed, then that the job waits.
    assert_eq!(news, [Some((1, ends[0])), None, Some((2, ends[0])), None]);
}

#[wasm_bindgen_test]
async fn the_news_of_a_failed_attempt_outlast_the_slot() {
    let pool = pool(config(1)).await;
    write(pool, 0, "simulate", r#"{"duration":0,"outcome":"error"}"#);
    // SAFETY: this thread is the page and holds the token.
    unsafe { pool.records[0].fields() }.terms = Terms::with_retries(2);
    submit(pool, 0).expect("admitted");
    while pool.core.snapshot().failed == 0 {
        let _ = pool.poll();
        pause(1).await;
    }
    // It has ended, and the page has not looked yet. The free slots are a stack.
    pool.core.pause();
    write(pool, 1, "simulate", r#"{"duration":0}"#);
    submit(pool, 1).expect("its place is free");
    let [handle, next] = [0, 1].map(|token: usize| pool.records[token].handle());
    assert_eq!(handle.index(), next.index());
    let news = pool.delayed_jobs().map(|(token, notice)| {
        let failed = notice.failed.expect("that it waited is of no interest");
        failed.output.free();
        (token, failed.attempt)
    });
    assert_eq!(news.collect::<Vec<_>>(), [(0, 1)]);
}

#[wasm_bindgen_test]
async fn a_delayed_job_is_cancelled_and_nobody_hears_of_it_any_more() {
    let pool = pool(config(1)).await;
    write(pool, 0, "simulate", r#"{"duration":0,"outcome":"error"}"#);
    // SAFETY: this thread is the page and holds the token.
    let fields = unsafe { pool.records[0].fields() };
    fields.terms = Terms::with_retries(2);
    (fields.wait, fields.run) = (600e6, 600e6);
    submit(pool, 0).expect("admitted");
    while pool.core.snapshot().delayed == 0 {
        pause(1).await;
    }
    assert!(matches!(pool.cancel(0), Some(Cancelled::Removed)));
    // The token goes to another job, whose handle is another one, before the page looks.
    write(pool, 0, "simulate", r#"{"duration":1}"#);
    submit(pool, 0).expect("its place is free");
    let back = settled(pool, 1).await;
    assert_eq!(back, [(0, OutcomeCode::Completed as u32)]);
    assert!(pool.delayed_jobs().next().is_none());
}

#[wasm_bindgen_test]
async fn a_running_job_shows_its_progress() {
    let pool = pool(config(1)).await;
    write(pool, 0, "simulate", r#"{"duration":300}"#);
    submit(pool, 0).expect("admitted");
    let seen = loop {
        let reports = pool.workers.iter().map(|worker| {
            let running = worker.token.load(Ordering::Acquire) == 1;
            let job = worker.done.load(Ordering::Relaxed);
            running.then(|| worker.progress.read().filter(|report| report.0 == job))
        });
        if let Some((_, done, total)) = reports.flatten().flatten().find(|report| report.1 > 0.0) {
            break (done, total);
        }
        pause(1).await;
    };
    assert!(seen.0 < 300.0 && seen.1 == 300.0, "{seen:?}");
    settled(pool, 1).await;
}

async fn pause(ms: i32) {
    let page = web_sys::window().expect("a page");
    let timer = js_sys::Promise::new(&mut |resolve, _| {
        page.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms)
            .expect("a timer");
    });
    JsFuture::from(timer).await.expect("a timer fires");
}
