//! The queue alone: against a plain model of it, and between threads.
//!
//! The seed of a failing run is printed; `WEIRPOOL_SEED=… cargo test -p weirpool-core --test queue` replays it.
#![cfg(not(any(loom, shuttle)))]

#[path = "model/order.rs"]
mod order;
mod random;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use order::OrderModel;
use random::Random;
use weirpool_core::{
    queue::{Config, Handle, Order, Priority, Queue, Rank},
    time::Instant,
};

/// Two families of slots in the tournament.
const N: usize = 12;

/// A queue and its model: the turn and the number of each item, by its handle.
struct Scene {
    queue: Queue<u64, N>,
    order: OrderModel,
    waiting: BTreeMap<u64, ((u64, u64, u64), u64)>,
    gone: Vec<Handle>,
    random: Random,
    now: u64,
    next: u64,
}

impl Scene {
    fn new(config: Config, random: Random) -> Self {
        Self {
            queue: Queue::new(config),
            order: OrderModel::new(config.ageing, config.order),
            waiting: BTreeMap::new(),
            gone: Vec::new(),
            random,
            now: 50_000_000,
            next: 0,
        }
    }

    fn play(mut self) {
        for _ in 0..4_000 {
            // It stands still, passes, jumps and runs backwards.
            self.now = match self.random.below(20) {
                0..10 => self.now,
                10..18 => self.now + self.random.below(20_000),
                18 => self.now + self.random.below(5_000_000),
                _ => self.now - self.random.below(2_000_000).min(self.now),
            };
            match self.random.below(16) {
                0..8 => self.push(),
                8..14 => self.pop(),
                _ => self.cancel(),
            }
            assert_eq!(self.queue.is_empty(), self.waiting.is_empty());
        }
        while !self.waiting.is_empty() {
            self.pop();
        }
        self.pop();
    }

    fn push(&mut self) {
        let priority = self.random.one_of([
            Priority::Low,
            Priority::Normal,
            Priority::High,
            Priority::Critical,
        ]);
        let deadline = match self.random.below(4) {
            0 => u64::MAX,
            1 => self.now.saturating_sub(self.random.below(10_000)),
            _ => self.now + self.random.below(100_000),
        };
        let rank = Rank {
            priority,
            deadline: Instant::from_micros(deadline),
        };
        let item = self.next;
        self.next += 1;
        let answer = self.queue.push(item, rank, Instant::from_micros(self.now));
        if self.waiting.len() == N {
            assert_eq!(answer, Err(item), "it is full");
            return;
        }
        let handle = answer.expect("there is room");
        assert!(!self.gone.contains(&handle), "it was used before");
        let turn = self.order.turn(priority, deadline, item, self.now);
        let before = self.waiting.insert(handle.to_bits(), (turn, item));
        assert!(before.is_none(), "it is in use");
    }

    fn pop(&mut self) {
        let first = self.waiting.iter().min_by_key(|(_, (turn, _))| *turn);
        let expected = first.map(|(&bits, &(_, item))| (bits, item));
        assert_eq!(self.queue.pop(), expected.map(|(_, item)| item));
        if let Some((bits, _)) = expected {
            self.forget(bits);
        }
    }

    fn cancel(&mut self) {
        let gone = self.random.index_of(&self.gone);
        let bits = match self.random.below(4) {
            0 => gone.map(|index| self.gone[index].to_bits()),
            // A number that was never a handle.
            1 => Some(u64::MAX - self.random.below(1 << 20)),
            _ => self.random.key_of(&self.waiting),
        };
        let Some(bits) = bits else { return };
        let expected = self.waiting.get(&bits).map(|&(_, item)| item);
        assert_eq!(self.queue.cancel(Handle::from_bits(bits)), expected);
        if expected.is_some() {
            self.forget(bits);
        }
    }

    fn forget(&mut self, bits: u64) {
        self.waiting.remove(&bits);
        self.gone.push(Handle::from_bits(bits));
    }
}

#[test]
fn random_operations_agree_with_the_model() {
    let first = random::seed();
    for run in 0..100 {
        let seed = first.wrapping_add(run);
        let mut random = Random::new(seed);
        let ageings = [
            None,
            Some(Duration::ZERO),
            Some(Duration::from_millis(5)),
            Some(Duration::from_secs(1)),
        ];
        let horizon = Duration::from_millis(30);
        let config = Config {
            ageing: random.one_of(ageings),
            order: random.one_of([Order::Fifo, Order::Deadline { horizon }]),
        };
        let scene = AssertUnwindSafe(|| Scene::new(config, random).play());
        if let Err(panic) = catch_unwind(scene) {
            eprintln!("replay by WEIRPOOL_SEED={seed} with {config:?}");
            resume_unwind(panic);
        }
    }
}

/// Threads push, pop and cancel at both edges: every item comes out once, by one of them.
#[test]
fn every_item_comes_out_once() {
    const THREADS: u64 = 8;
    const ITEMS: u64 = 20_000;
    let queue = Queue::<u64, 5>::new(Config::DEFAULT);
    let (count, sum) = (AtomicUsize::new(0), AtomicU64::new(0));
    let out = |item: u64| {
        count.fetch_add(1, Relaxed);
        sum.fetch_add(item, Relaxed);
    };
    let start = Barrier::new(THREADS as usize);
    let work = |thread: u64| {
        start.wait();
        for item in thread * ITEMS..(thread + 1) * ITEMS {
            let handle = loop {
                match queue.push(item, Rank::DEFAULT, Instant::ZERO) {
                    Ok(handle) => break handle,
                    Err(back) => assert_eq!(back, item),
                }
                queue.pop().into_iter().for_each(out);
            };
            match item % 3 {
                0 => queue.pop().into_iter().for_each(out),
                1 => {
                    if let Some(own) = queue.cancel(handle) {
                        assert_eq!(own, item);
                        out(own);
                    }
                }
                _ => {}
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    while let Some(item) = queue.pop() {
        out(item);
    }
    let all = THREADS * ITEMS;
    assert_eq!(count.into_inner() as u64, all);
    assert_eq!(sum.into_inner(), all * (all - 1) / 2);
}
