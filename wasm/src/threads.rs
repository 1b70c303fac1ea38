//! The rayon pool under a weirpool, and a worker's way into it.
//!
//! `wasm-bindgen-rayon` supplies the worker's entry (`wbg_rayon_start_worker`) and rayon's set-up
//! for a page that may not block. Its own start-up is not used: it can neither report a worker that
//! fails to load, nor stop, nor start again. Here the page builds the rayon pool first, which leaves
//! one `ThreadBuilder` a worker in a channel, and only then starts the workers: nobody ever waits at
//! the channel, so the page never has to wake anybody through a lock.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::AtomicI32;

use crossbeam_channel::Receiver;
use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use wasm_bindgen::JsValue;

use crate::clock;

/// The threads of one pool.
pub struct Threads {
    /// Used by the page's thread alone; the mutex is never contended.
    state: Mutex<State>,
}

enum State {
    Stopped,
    Own {
        pool: ThreadPool,
        /// What the workers come by. Boxed: they know its address.
        entrance: Box<Receiver<ThreadBuilder>>,
    },
    /// rayon's global pool, started by someone else.
    #[cfg(test)]
    Global,
}

impl Threads {
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(State::Stopped),
        }
    }

    /// Builds a rayon pool for `workers` workers that are still to come; returns the address that
    /// each of them must enter by.
    pub fn start(
        &self,
        workers: usize,
    ) -> Result<*const Receiver<ThreadBuilder>, ThreadPoolBuildError> {
        let (sender, entrance) = crossbeam_channel::bounded(workers);
        let pool = ThreadPoolBuilder::new()
            .num_threads(workers)
            .spawn_handler(move |thread| {
                sender.send(thread).expect("as many places as threads");
                Ok(())
            })
            .build()?;
        let entrance = Box::new(entrance);
        let address = &raw const *entrance;
        self.set(State::Own { pool, entrance });
        Ok(address)
    }

    /// Uses rayon's global pool, which must be running.
    #[cfg(test)]
    pub fn use_global(&self) {
        self.set(State::Global);
    }

    /// Lets the workers leave as soon as they have nothing to run.
    pub fn stop(&self) {
        self.set(State::Stopped);
    }

    /// Runs `task` on one of the threads.
    pub fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        match &*self.state.try_lock().expect("only the page gets here") {
            State::Own { pool, .. } => pool.spawn(task),
            #[cfg(test)]
            State::Global => rayon::spawn(task),
            State::Stopped => unreachable!("nothing is submitted to a stopped pool"),
        }
    }

    fn set(&self, state: State) {
        let mut held = self.state.try_lock().expect("only the page gets here");
        let before = std::mem::replace(&mut *held, state);
        if let State::Own { pool, entrance } = before {
            drop(pool);
            // A worker that is late to enter still finds its way in, and out again at once.
            Box::leak(entrance);
        }
    }
}

thread_local! {
    static WORKER: Cell<Option<u16>> = const { Cell::new(None) };
    static JAVASCRIPT: RefCell<Option<js_sys::Function>> = const { RefCell::new(None) };
}

/// Enters the pool as worker number `worker`; returns when the pool was stopped. `javascript` runs
/// the handlers that are not built in.
pub fn enter(
    entrance: *const Receiver<ThreadBuilder>,
    worker: u16,
    page_origin: f64,
    javascript: js_sys::Function,
) {
    clock::set_origin(page_origin);
    WORKER.set(Some(worker));
    JAVASCRIPT.set(Some(javascript));
    wasm_bindgen_rayon::wbg_rayon_start_worker(entrance);
}

/// The number of the calling worker.
pub fn worker() -> u16 {
    WORKER.get().unwrap_or_else(|| {
        // Only threads of rayon's global pool have not come by `enter`.
        rayon::current_thread_index().map_or(0, |index| index as u16)
    })
}

/// Runs a JavaScript handler on this worker: 0 when it succeeded. It writes its result or its error
/// into the record itself; the error here is the host's own.
pub fn call_javascript(handler: u32, token: u32) -> Result<u32, &'static str> {
    JAVASCRIPT.with_borrow(|javascript| {
        let javascript = javascript
            .as_ref()
            .ok_or("this pool runs no JavaScript handlers")?;
        let returned = javascript
            .call2(&JsValue::NULL, &handler.into(), &token.into())
            .map_err(|_| "the worker's handler table threw")?;
        Ok(returned.as_f64().map_or(1, |code| code as u32))
    })
}

/// Wakes the thread that sleeps on `word`, if any.
pub fn notify(word: &AtomicI32) {
    // SAFETY: the address is that of a live, aligned word in shared memory.
    unsafe { core::arch::wasm32::memory_atomic_notify(word.as_ptr(), 1) };
}
