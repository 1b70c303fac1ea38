//! A versioned tournament of least keys over the slots of a table: what finds the first of an order.
//!
//! One mechanism for every order. Each slot that is *present* plays with its [`Key`]; every inner node names the slot
//! that won below it, so the root names the least of all. An f-array in the sense of Jayanti ("f-arrays:
//! implementation and applications", PODC 2002), here with the least key as its function.
//!
//! # How it works
//! Who changes a slot (its presence or its key) then *sweeps*: on the way from the slot to the root it refreshes each
//! node, that is, reads the node's word, reads its children, and swaps in `[version + 1 | winner]`. If the swap fails
//! it tries once more; after two failures another refresh has begun after the change, has seen it and has
//! succeeded. So a sweep takes at most two tries a level, `⌈log₈ SLOTS⌉` levels, whatever others do: wait-free, and
//! independent of how many jobs wait.
//!
//! # Why the root is right
//! - *Covered*: once a sweep has passed a node, every later successful refresh of that node began after it (the
//!   version says so) and read the children after it. By induction over the levels the root's winner has a key no
//!   greater than that of any present slot whose sweep is complete.
//! - *The dead may shadow the living, but not for long*: between a change and its sweep the root may name a slot that
//!   is gone. Nodes do not judge this; who meets a dead winner at the root sweeps for it and looks again.
//! - *No mixing of keys*: a slot's key is set only after a sweep that took the slot out, so no node names a slot by an
//!   older key than that with which it comes in. A refresh that was stopped in between fails on the version.
//! - A taker reads the root, then the slot's state, then [the root again](Tournament::is_still): if that is unchanged,
//!   the slot was present and least at that moment, and claiming it by its state word takes effect there.
//!
//! # Orderings
//! "After two failures another refresh began after the change" needs one order of four operations on two words (the
//! change of the leaf, both loads of the node, the load of the leaf by the other refresh): a store-buffering shape
//! that acquire and release do not exclude. So the change, the loads of states and nodes and the swaps are `SeqCst`;
//! on x86, Arm and WebAssembly these loads and swaps cost what weaker ones cost. Keys are relaxed: they are written
//! before the state that makes them visible, and a key read from a later generation makes the refresh fail.
//!
//! # How far the versions reach
//! A version has 48 bits (19 where words have 32): a refresh stopped between its load and its swap is fooled by
//! exactly a multiple of 2^48 (524 288) refreshes of its one node in that pause.
#![forbid(unsafe_code)]

use crate::{
    key::Key,
    sync::{AtomicWord, Loose64, Ordering, Word, array, const_fn, newest},
    table::{INDEX_MASK, tagged},
};

/// Children of a node. Eight 64-bit words are one cache line.
const ARITY: usize = if cfg!(loom) { 2 } else { 8 };

/// Levels that the largest table needs: 2^16 slots at eight children, or a handful at two.
const MAX_LEVELS: usize = 6;

/// A set of slots ordered by their keys.
#[derive(Debug)]
pub(crate) struct Tournament<const SLOTS: usize> {
    /// The key of each slot; meaningful while the slot is present. Written only by who owns the slot.
    keys: [Loose64; SLOTS],
    /// `[version | winner + 1]`, winner code 0 for none. Lowest level first; the levels together never need more
    /// than `SLOTS` nodes.
    nodes: [AtomicWord; SLOTS],
}

/// The least slot as the root named it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Least {
    pub(crate) index: usize,
    root: Word,
}

impl<const SLOTS: usize> Tournament<SLOTS> {
    const SHAPE: Shape = Shape::new(SLOTS);

    const_fn! {
        pub(crate) const fn new() -> Self {
            const { assert!(Self::SHAPE.nodes <= SLOTS, "the nodes do not fit") };
            Self {
                keys: array!(|_i| Loose64::new(u64::MAX); SLOTS),
                nodes: array!(|_i| AtomicWord::new(0); SLOTS),
            }
        }
    }

    /// Sets the key of a slot, which must not be present, by who owns it.
    #[inline(always)]
    pub(crate) fn set_key(&self, index: usize, key: Key) {
        // Most jobs have no time-out, as the last one in their slot; and a store costs far more where, as in
        // WebAssembly, it cannot be relaxed.
        if self.key(index) != key {
            self.keys[index].store(key.0);
        }
    }

    /// The key of a slot; torn or outdated unless the slot is checked afterwards.
    #[inline(always)]
    pub(crate) fn key(&self, index: usize) -> Key {
        Key(self.keys[index].load())
    }

    /// Whether the root names nobody. Exact: then no slot whose sweep was complete is present.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        newest(self.root()) & INDEX_MASK == 0
    }

    /// The slot that the root names.
    #[inline(always)]
    pub(crate) fn least(&self) -> Option<Least> {
        let root = newest(self.root());
        let index = ((root & INDEX_MASK) as usize).checked_sub(1)?;
        Some(Least { index, root })
    }

    /// Whether the root has not changed since it named this slot.
    #[inline(always)]
    pub(crate) fn is_still(&self, least: Least) -> bool {
        newest(self.root()) == least.root
    }

    /// Brings a change of one slot up to the root. `present` says whether a slot plays, and `earlier` which of two slots
    /// with the same key goes first.
    pub(crate) fn sweep(
        &self,
        index: usize,
        present: impl Fn(usize) -> bool,
        earlier: impl Fn(usize, usize) -> bool,
    ) {
        let mut child = index;
        for level in 0..Self::SHAPE.levels {
            let parent = child / ARITY;
            let node = &self.nodes[Self::SHAPE.offsets[level] + parent];
            let first = parent * ARITY;
            let end = (first + ARITY).min(Self::SHAPE.widths[level]);
            let mut word = newest(node);
            for _ in 0..2 {
                let winner = if level == 0 {
                    self.least_slot(first, end, &present, &earlier)
                } else {
                    let below = Self::SHAPE.offsets[level - 1];
                    self.least_winner(below + first, below + end, &earlier)
                };
                match node.compare_exchange(
                    word,
                    tagged(word, winner),
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                ) {
                    Ok(_) => break,
                    Err(now) => word = now,
                }
            }
            child = parent;
        }
    }

    /// The code of the least present slot among some.
    #[inline(always)]
    fn least_slot(
        &self,
        first: usize,
        end: usize,
        present: &impl Fn(usize) -> bool,
        earlier: &impl Fn(usize, usize) -> bool,
    ) -> usize {
        let (mut winner, mut least) = (0, Key::NEVER);
        for index in first..end {
            if present(index) {
                let key = self.key(index);
                if key.before(least) || key == least && winner != 0 && earlier(index, winner - 1) {
                    (winner, least) = (index + 1, key);
                }
            }
        }
        winner
    }

    /// The code of the least of the winners that some nodes name.
    #[inline(always)]
    fn least_winner(
        &self,
        first: usize,
        end: usize,
        earlier: &impl Fn(usize, usize) -> bool,
    ) -> usize {
        let (mut winner, mut least) = (0, Key::NEVER);
        for node in &self.nodes[first..end] {
            let code = (newest(node) & INDEX_MASK) as usize;
            if code != 0 {
                let key = self.key(code - 1);
                if winner == 0 || key.before(least) || key == least && earlier(code - 1, winner - 1)
                {
                    (winner, least) = (code, key);
                }
            }
        }
        winner
    }

    #[inline(always)]
    fn root(&self) -> &AtomicWord {
        &self.nodes[Self::SHAPE.nodes - 1]
    }
}

/// Where the levels of a tournament lie in its array of nodes.
struct Shape {
    levels: usize,
    nodes: usize,
    /// First node of each level.
    offsets: [usize; MAX_LEVELS],
    /// How many children each level has in all.
    widths: [usize; MAX_LEVELS],
}

impl Shape {
    const fn new(slots: usize) -> Self {
        let mut shape = Self {
            levels: 0,
            nodes: 0,
            offsets: [0; MAX_LEVELS],
            widths: [0; MAX_LEVELS],
        };
        let mut width = slots;
        loop {
            shape.offsets[shape.levels] = shape.nodes;
            shape.widths[shape.levels] = width;
            width = width.div_ceil(ARITY);
            shape.levels += 1;
            shape.nodes += width;
            if width <= 1 {
                return shape;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::cell::Cell;

    use super::*;

    fn first_slot(_: usize, _: usize) -> bool {
        false
    }

    /// A sweep looks at one family of slots, at most twice, however many are present, at every size.
    #[test]
    fn a_sweep_costs_the_same_at_every_depth() {
        fn check<const SLOTS: usize>(levels: usize) {
            assert_eq!(Tournament::<SLOTS>::SHAPE.levels, levels);
            let tournament = Tournament::<SLOTS>::new();
            let looks = Cell::new(0);
            for index in (0..SLOTS).rev() {
                tournament.set_key(index, Key(index as u64));
                looks.set(0);
                let present = |slot| {
                    looks.set(looks.get() + 1);
                    slot >= index
                };
                tournament.sweep(index, present, first_slot);
                assert_eq!(tournament.least().map(|least| least.index), Some(index));
                assert!(looks.get() <= ARITY);
            }
            for index in 0..SLOTS {
                assert_eq!(tournament.least().map(|least| least.index), Some(index));
                tournament.sweep(index, |slot| slot > index, first_slot);
            }
            assert!(tournament.is_empty());
        }
        check::<1>(1);
        check::<8>(1);
        check::<9>(2);
        check::<64>(2);
        check::<65>(3);
        check::<513>(4);
        check::<4096>(4);
    }

    #[test]
    fn of_equal_keys_the_earlier_goes_first() {
        let tournament = Tournament::<16>::new();
        // The later the slot, the earlier its ticket; in two families of slots.
        for index in 0..16 {
            tournament.set_key(index, Key(5));
            tournament.sweep(index, |slot| slot <= index, |a, b| a > b);
            assert_eq!(tournament.least().unwrap().index, index);
        }
    }

    #[test]
    fn a_root_that_was_swept_is_not_the_same_root() {
        let tournament = Tournament::<16>::new();
        tournament.set_key(3, Key(7));
        tournament.sweep(3, |slot| slot == 3, first_slot);
        let least = tournament.least().unwrap();
        assert!(tournament.is_still(least));
        tournament.sweep(9, |slot| slot == 3, first_slot);
        assert!(!tournament.is_still(least));
        assert_eq!(tournament.least().unwrap().index, 3);
    }
}
