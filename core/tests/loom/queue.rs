//! The queue alone.

use loom::{sync::Arc, thread};
use weirpool_core::queue::{Config, Handle, Queue, Rank};

use super::{NOW, model};

/// Two levels of the tournament.
type Small = Queue<u32, 3>;

fn small() -> Arc<Small> {
    Arc::new(Queue::new(Config::DEFAULT))
}

fn push(queue: &Small, item: u32) -> Option<Handle> {
    queue.push(item, Rank::DEFAULT, NOW).ok()
}

/// Pops until it is empty.
fn drain(queue: &Small) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop()).collect()
}

/// Every place can be used again, and no more.
fn check_quiet(queue: &Small) {
    assert!(queue.is_empty());
    assert!((1..=3).all(|item| push(queue, item).is_some()));
    assert_eq!(push(queue, 4), None);
    assert_eq!(drain(queue), [1, 2, 3]);
}

/// Who has pushed finds an item, whoever else pushes and pops meanwhile.
#[test]
fn push_and_then_pop_never_fails() {
    model(|| {
        let queue = small();
        let others: Vec<_> = [1, 2]
            .map(|item| {
                let queue = queue.clone();
                thread::spawn(move || {
                    push(&queue, item).expect("there is room");
                    queue.pop().expect("as many were pushed as are popped")
                })
            })
            .into();
        let popped: Vec<_> = others
            .into_iter()
            .map(|other| other.join().unwrap())
            .collect();
        assert_eq!(popped.iter().sum::<u32>(), 3, "each of them once");
        check_quiet(&queue);
    });
}

#[test]
fn push_push_pop_at_the_full_edge() {
    model(|| {
        let queue = small();
        for item in 0..3 {
            push(&queue, item).unwrap();
        }
        let pushers: Vec<_> = [3, 4]
            .map(|item| {
                let queue = queue.clone();
                thread::spawn(move || push(&queue, item).is_some())
            })
            .into();
        assert_eq!(queue.pop(), Some(0), "first in, first out");
        let pushed = pushers
            .into_iter()
            .map(|pusher| pusher.join().unwrap())
            .filter(|&pushed| pushed)
            .count();
        assert!(pushed <= 1, "one place came free");
        assert!(
            pushed == 1 || push(&queue, 5).is_some(),
            "full is full, and not full is not full"
        );
        let left = drain(&queue);
        assert_eq!((left.len(), &left[..2]), (3, &[1, 2][..]));
        check_quiet(&queue);
    });
}

#[test]
fn pop_against_cancel() {
    model(|| {
        let queue = small();
        let first = push(&queue, 1).unwrap();
        push(&queue, 2).unwrap();
        let canceller = {
            let queue = queue.clone();
            thread::spawn(move || {
                let cancelled = queue.cancel(first);
                assert!(cancelled.is_none_or(|item| item == 1));
                cancelled.is_some()
            })
        };
        let popped = queue.pop().expect("two wait, and one is cancelled");
        let cancelled = canceller.join().unwrap();
        assert_eq!(popped, if cancelled { 2 } else { 1 }, "one of them has it");
        assert_eq!(drain(&queue), if cancelled { vec![] } else { vec![2] });
        assert_eq!(queue.cancel(first), None);
        check_quiet(&queue);
    });
}

/// The place of a cancelled item is free when the cancellation returns, and its handle does not reach the next item.
#[test]
fn cancel_cancel_and_reuse_at_the_full_edge() {
    model(|| {
        let queue = small();
        let handle = push(&queue, 1).unwrap();
        push(&queue, 2).unwrap();
        push(&queue, 3).unwrap();
        let other = {
            let queue = queue.clone();
            thread::spawn(move || {
                let cancelled = queue.cancel(handle).is_some();
                (cancelled, cancelled && push(&queue, 4).is_some())
            })
        };
        let mine = queue.cancel(handle).is_some();
        assert!(!mine || push(&queue, 4).is_some(), "its place is free");
        let (theirs, pushed) = other.join().unwrap();
        assert!(mine ^ theirs && pushed == theirs);
        assert_eq!(drain(&queue), [2, 3, 4]);
        check_quiet(&queue);
    });
}

/// A slot that comes back with a later item, while the root still names it for the earlier one, goes before nobody.
#[test]
fn a_slot_that_is_used_again_overtakes_nobody() {
    model(|| {
        let queue = small();
        for item in 0..3 {
            push(&queue, item).unwrap();
        }
        // All in threads of their own: the main one only waits, which costs none of the preemptions.
        let poppers: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || queue.pop().expect("three wait"))
            })
            .collect();
        let pusher = {
            let queue = queue.clone();
            thread::spawn(move || push(&queue, 3).is_some())
        };
        let popped: u32 = poppers
            .into_iter()
            .map(|popper| popper.join().unwrap())
            .sum();
        assert_eq!(popped, 1, "the first two, whatever was pushed meanwhile");
        let pushed = pusher.join().unwrap();
        assert_eq!(drain(&queue), if pushed { vec![2, 3] } else { vec![2] });
        check_quiet(&queue);
    });
}
