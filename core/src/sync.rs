//! Atomics façade: the same names from `core`, from `portable-atomic` (feature of that name) or, in models, from `loom`
//! or `shuttle`.
//!
//! Hot words are [`Word`]s: 64 bits where the target has 64-bit atomics, else 32. A 64-bit atomic is never emulated,
//! because the usual emulation is a lock that an interrupt can find taken. `--cfg weirpool_narrow` chooses 32 bits on
//! any target, so that the narrow layout can be tested on a desktop.
#![forbid(unsafe_code)]

#[cfg(not(any(target_has_atomic = "32", feature = "portable-atomic", loom, shuttle)))]
compile_error!("this target has no compare-and-swap: enable the feature `portable-atomic`");

/// Declares functions that are `const` except in models, whose atomics cannot be put together in a constant.
macro_rules! const_fn {
    ($($(#[$meta:meta])* $vis:vis const fn $name:ident $(<$($g:ident),*>)? ($($arg:tt)*) -> $ret:ty $body:block)*) => {
        $(
            #[cfg(not(any(loom, shuttle)))]
            $(#[$meta])* $vis const fn $name $(<$($g),*>)? ($($arg)*) -> $ret $body
            #[cfg(any(loom, shuttle))]
            $(#[$meta])* $vis fn $name $(<$($g),*>)? ($($arg)*) -> $ret $body
        )*
    };
}
pub(crate) use const_fn;

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, Ordering, fence},
};

#[cfg(all(loom, target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) use loom::sync::atomic::AtomicU64;

#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU32, Ordering, fence};

#[cfg(all(shuttle, target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) use shuttle::sync::atomic::AtomicU64;

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{Ordering, fence};

#[cfg(not(any(loom, shuttle, feature = "portable-atomic")))]
pub(crate) use core::sync::atomic::AtomicU32;

#[cfg(all(
    not(any(loom, shuttle, feature = "portable-atomic")),
    target_has_atomic = "64",
    not(weirpool_narrow)
))]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(all(not(any(loom, shuttle)), feature = "portable-atomic"))]
pub(crate) use portable_atomic::AtomicU32;

#[cfg(all(
    not(any(loom, shuttle)),
    feature = "portable-atomic",
    target_has_atomic = "64",
    not(weirpool_narrow)
))]
pub(crate) use portable_atomic::AtomicU64;

/// The widest word whose atomics are native.
#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) type Word = u64;
#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) type AtomicWord = AtomicU64;

#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
pub(crate) type Word = u32;
#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
pub(crate) type AtomicWord = AtomicU32;

/// Loads the newest value: the load takes its place in the one order of all sequentially consistent operations.
///
/// Loom treats such a load as an acquire load, which may return an older value; there a read-modify-write that changes
/// nothing stands in for it.
#[inline(always)]
pub(crate) fn newest(word: &AtomicWord) -> Word {
    #[cfg(not(loom))]
    return word.load(Ordering::SeqCst);
    #[cfg(loom)]
    return word.fetch_or(0, Ordering::AcqRel);
}

/// A 64-bit value in whatever words the target has: whole where they are wide, else in two halves that a reader may
/// see torn. Every reader therefore has another means to know whether what it read was current (a state word or a
/// version that it checks afterwards), and throws it away if not.
#[derive(Debug)]
pub(crate) struct Loose64 {
    #[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
    whole: AtomicU64,
    #[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
    halves: [AtomicU32; 2],
}

#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
impl Loose64 {
    const_fn! {
        pub(crate) const fn new(value: u64) -> Self {
            Self { whole: AtomicU64::new(value) }
        }
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        self.whole.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn store(&self, value: u64) {
        self.whole.store(value, Ordering::Relaxed);
    }
}

#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
impl Loose64 {
    const_fn! {
        pub(crate) const fn new(value: u64) -> Self {
            Self { halves: [AtomicU32::new((value >> 32) as u32), AtomicU32::new(value as u32)] }
        }
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        let [high, low] = &self.halves;
        u64::from(high.load(Ordering::Relaxed)) << 32 | u64::from(low.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn store(&self, value: u64) {
        let [high, low] = &self.halves;
        high.store((value >> 32) as u32, Ordering::Relaxed);
        low.store(value as u32, Ordering::Relaxed);
    }
}

/// `core`'s cell in the shape of loom's, whose accesses are checked for races.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T> {
    value: core::cell::UnsafeCell<T>,
    /// Whether somebody is at it. Its changes are steps at which another context may run, or this one stop for ever.
    #[cfg(shuttle)]
    busy: shuttle::sync::atomic::AtomicBool,
}

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: core::cell::UnsafeCell::new(value),
            #[cfg(shuttle)]
            busy: shuttle::sync::atomic::AtomicBool::new(false),
        }
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        #[cfg(shuttle)]
        assert!(
            !self.busy.swap(true, Ordering::SeqCst),
            "a cell has two owners"
        );
        let result = f(self.value.get());
        #[cfg(shuttle)]
        self.busy.store(false, Ordering::SeqCst);
        result
    }
}

/// A group of words that other contexts write than those beside it, on a cache line of its own where cores have caches
/// to fight over.
#[derive(Debug, Default)]
#[cfg_attr(
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_family = "wasm"
    ),
    repr(C, align(64))
)]
pub(crate) struct Apart<T>(pub(crate) T);

impl<T> core::ops::Deref for Apart<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// An array with every element made by the same expression of its index, in a constant outside models.
macro_rules! array {
    (|$i:ident| $element:expr; $len:expr) => {{
        #[cfg(not(any(loom, shuttle)))]
        {
            let mut array = [const {
                #[allow(unused_variables)]
                let $i: usize = 0;
                $element
            }; $len];
            let mut $i = 0;
            while $i < $len {
                array[$i] = $element;
                $i += 1;
            }
            array
        }
        #[cfg(any(loom, shuttle))]
        {
            core::array::from_fn(|$i| $element)
        }
    }};
}
pub(crate) use array;
