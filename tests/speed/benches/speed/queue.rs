//! The queue alone: every thread puts an item in and takes one out, in turn.
//!
//! Ours does besides what the others do not: it orders by priority and age, and cancels by handle.

use std::{collections::VecDeque, hint::black_box, sync::Mutex, thread};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use weirpool_core::{
    queue::{Config, Rank},
    time::Instant,
};

use crate::threads::compete;

const SLOTS: usize = 64;

pub(crate) fn bench(criterion: &mut Criterion) {
    for threads in [1, 2, 4, 8] {
        let mut group = criterion.benchmark_group(format!("queue, {SLOTS} slots"));
        let mut run = Run {
            group: &mut group,
            threads,
        };
        run.queue("weirpool", Ours::new(Config::DEFAULT));
        run.queue(
            "crossbeam ArrayQueue",
            crossbeam_queue::ArrayQueue::new(SLOTS),
        );
        #[expect(deprecated, reason = "for not being lock-free")]
        run.queue("heapless mpmc_large", heapless::mpmc::Queue::new());
        run.queue("thingbuf", thingbuf::ThingBuf::new(SLOTS));
        run.queue(
            "std Mutex<VecDeque>",
            Mutex::new(VecDeque::with_capacity(SLOTS)),
        );
        run.queue(
            "parking_lot Mutex<VecDeque>",
            parking_lot::Mutex::new(VecDeque::with_capacity(SLOTS)),
        );
    }
}

struct Run<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    threads: u64,
}

impl Run<'_, '_> {
    fn queue(&mut self, name: &str, queue: impl Queue) {
        compete(self.group, self.threads, name, |item| {
            // A queue that is not exact may be full and empty at once, while another thread is in the middle.
            while !queue.push(black_box(item)) {
                thread::yield_now();
            }
            while queue.pop().map(black_box).is_none() {
                thread::yield_now();
            }
        });
    }
}

/// A bounded queue for any number of producers and consumers.
trait Queue: Sync {
    /// Whether there was room.
    fn push(&self, item: u64) -> bool;
    fn pop(&self) -> Option<u64>;
}

type Ours = weirpool_core::queue::Queue<u64, SLOTS>;

impl Queue for Ours {
    #[inline(always)]
    fn push(&self, item: u64) -> bool {
        self.push(item, Rank::DEFAULT, Instant::ZERO).is_ok()
    }

    #[inline(always)]
    fn pop(&self) -> Option<u64> {
        self.pop()
    }
}

impl Queue for crossbeam_queue::ArrayQueue<u64> {
    #[inline(always)]
    fn push(&self, item: u64) -> bool {
        self.push(item).is_ok()
    }

    #[inline(always)]
    fn pop(&self) -> Option<u64> {
        self.pop()
    }
}

impl Queue for heapless::mpmc::Queue<u64, SLOTS> {
    #[inline(always)]
    fn push(&self, item: u64) -> bool {
        self.enqueue(item).is_ok()
    }

    #[inline(always)]
    fn pop(&self) -> Option<u64> {
        self.dequeue()
    }
}

impl Queue for thingbuf::ThingBuf<u64> {
    #[inline(always)]
    fn push(&self, item: u64) -> bool {
        self.push(item).is_ok()
    }

    #[inline(always)]
    fn pop(&self) -> Option<u64> {
        self.pop()
    }
}

impl Queue for Mutex<VecDeque<u64>> {
    #[inline(always)]
    fn push(&self, item: u64) -> bool {
        push_bounded(&mut self.lock().unwrap(), item)
    }

    #[inline(always)]
    fn pop(&self) -> Option<u64> {
        self.lock().unwrap().pop_front()
    }
}

impl Queue for parking_lot::Mutex<VecDeque<u64>> {
    #[inline(always)]
    fn push(&self, item: u64) -> bool {
        push_bounded(&mut self.lock(), item)
    }

    #[inline(always)]
    fn pop(&self) -> Option<u64> {
        self.lock().pop_front()
    }
}

#[inline(always)]
fn push_bounded(queue: &mut VecDeque<u64>, item: u64) -> bool {
    let room = queue.len() < SLOTS;
    if room {
        queue.push_back(item);
    }
    room
}
