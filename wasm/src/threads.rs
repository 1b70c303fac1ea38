//! The rayon pool under a weirpool, and a worker's way into it.
//!
//! `wasm-bindgen-rayon` supplies the worker's entry (`wbg_rayon_start_worker`) and rayon's set-up
//! for a page that may not block. Its own start-up is not used: it can neither report a worker that
//! fails to load, nor stop, nor start again. Here the page builds the rayon pool first, which leaves
//! one `ThreadBuilder` a thread in a channel, and a worker enters only if there is a place for it, which
//! is one of those: nobody ever waits at the channel, so the page never has to wake anybody through a lock.
//!
//! A rayon pool has a size for life, but not all of its threads need to be there: those that never came
//! count as busy, and nobody wakes them. So a pool grows by letting more workers in, up to what it was
//! built for. To shrink, or to grow further, it gets another rayon pool. The old one's threads leave when
//! none of its tasks is left (rayon's law: a task keeps its pool alive), and enter the new one if there
//! is a place, or else end. Places of the old one that nobody has taken by then stay open and are taken
//! first: the pool in charge must get its workers even if they come late, and from one that has gone a
//! worker returns at once and looks for the next place.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use wasm_bindgen::JsValue;

use crate::clock;

/// The threads of one pool.
pub struct Threads {
    /// Used by the page's thread alone; the mutex is never contended.
    state: Mutex<State>,
    /// What workers come in by: the threads that they become, oldest first.
    entrance: Receiver<ThreadBuilder>,
    /// How many workers may still come in; each finds a builder. The page opens places, whoever enters takes one.
    places: AtomicU32,
}

struct State {
    /// Those in charge, unless the pool is stopped.
    team: Option<Arc<Team>>,
    /// Built, but not yet in charge.
    next: Option<ThreadPool>,
    builders: Sender<ThreadBuilder>,
    /// Builders that no place was opened for, all of the pool that was built last.
    spare: u32,
}

/// Threads that run tasks.
pub enum Team {
    Own(ThreadPool),
    /// rayon's global pool, started by someone else.
    #[cfg(test)]
    Global,
}

impl Team {
    /// Runs `task` on one of the threads; it may start more there. (By `rayon::spawn` it could, too, but that would
    /// ship what starts a global pool.)
    pub fn spawn(self: &Arc<Self>, task: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let team = Arc::clone(self);
        let task = move || task(&team);
        match &**self {
            Self::Own(pool) => pool.spawn(task),
            #[cfg(test)]
            Self::Global => rayon::spawn(task),
        }
    }
}

impl Threads {
    pub fn new() -> Self {
        let (builders, entrance) = unbounded();
        Self {
            state: Mutex::new(State {
                team: None,
                next: None,
                builders,
                spare: 0,
            }),
            entrance,
            places: AtomicU32::new(0),
        }
    }

    /// Builds a rayon pool of `threads` threads, which workers are still to become.
    pub fn build(&self, threads: u32) -> Result<(), ThreadPoolBuildError> {
        let state = &mut *self.state();
        // The newer the builder, the better: those of the oldest pools go.
        self.forget(std::mem::take(&mut state.spare));
        let builders = &state.builders;
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads as usize)
            .spawn_handler(|thread| {
                builders.send(thread).expect("we hold the other end");
                Ok(())
            })
            .build()?;
        state.next = Some(pool);
        state.spare = threads;
        Ok(())
    }

    /// Lets `workers` more workers in: at most as many as the pool that was built last has room for.
    pub fn open(&self, workers: u32) {
        self.state().spare -= workers;
        // Release: whoever takes a place finds the builder that was sent before.
        self.places.fetch_add(workers, Ordering::Release);
    }

    /// Puts the pool that was built last in charge, and lets the one before go.
    pub fn switch(&self) {
        let mut state = self.state();
        if let Some(next) = state.next.take() {
            state.team = Some(Arc::new(Team::Own(next)));
        }
    }

    /// Forgets a pool that is not in charge yet, and all places.
    pub fn discard(&self) {
        let mut state = self.state();
        // Relaxed: it takes places back and reads nothing.
        let left = self.places.swap(0, Ordering::Relaxed) + std::mem::take(&mut state.spare);
        self.forget(left);
        state.next = None;
    }

    /// Takes builders out that no place is open for. Whoever took a place before still finds one: there are as many more.
    fn forget(&self, builders: u32) {
        for _ in 0..builders {
            drop(self.entrance.try_recv());
        }
    }

    /// Uses rayon's global pool, which must be running.
    #[cfg(test)]
    pub fn use_global(&self) {
        self.state().team = Some(Arc::new(Team::Global));
    }

    /// Lets the workers leave as soon as they have nothing to run.
    pub fn stop(&self) {
        self.discard();
        self.state().team = None;
    }

    /// Runs `task` on one of the threads.
    pub fn spawn(&self, task: impl FnOnce(&Arc<Team>) + Send + 'static) {
        let state = self.state();
        let team = state.team.as_ref();
        team.expect("nothing is submitted to a stopped pool")
            .spawn(task);
    }

    /// Works in the oldest pool that has a place open, until that goes. False when there is no place.
    pub fn enter(&self) -> bool {
        let taken = self
            .places
            // Acquire: see `open`.
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |places| {
                places.checked_sub(1)
            });
        if taken.is_err() {
            return false;
        }
        wasm_bindgen_rayon::wbg_rayon_start_worker(&raw const self.entrance);
        true
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.try_lock().expect("only the page gets here")
    }
}

thread_local! {
    static WORKER: Cell<Option<u16>> = const { Cell::new(None) };
    static JAVASCRIPT: RefCell<Option<js_sys::Function>> = const { RefCell::new(None) };
}

/// Makes the calling thread worker number `worker`. `javascript` runs the handlers that are not built in.
pub fn enter_worker(worker: u16, page_origin: f64, javascript: js_sys::Function) {
    clock::set_origin(page_origin);
    WORKER.set(Some(worker));
    JAVASCRIPT.set(Some(javascript));
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

/// What a worker's JavaScript is called with to send the page a message instead of running a handler.
const MESSAGE: u32 = u32::MAX;

/// Whether this thread can send the page a message.
pub fn may_message() -> bool {
    JAVASCRIPT.with_borrow(Option::is_some)
}

/// Wakes a page that cannot sleep on a word.
pub fn message_page() {
    let _ = call_javascript(MESSAGE, 0);
}

/// Wakes the thread that sleeps on `word`, if any.
pub fn notify(word: &AtomicI32) {
    // SAFETY: the address is that of a live, aligned word in shared memory.
    unsafe { core::arch::wasm32::memory_atomic_notify(word.as_ptr(), 1) };
}
