//! Atomics façade: the same names from `core`, from `portable-atomic` (feature of that name) or, in models, from `loom`.
//!
//! Hot words are [`Word`]s: 64 bits where the target has 64-bit atomics, else 32. A 64-bit atomic is never emulated,
//! because the usual emulation is a lock that an interrupt can find taken. `--cfg weirpool_narrow` chooses 32 bits on
//! any target, so that the narrow layout can be tested on a desktop.
#![forbid(unsafe_code)]

#[cfg(not(any(target_has_atomic = "32", feature = "portable-atomic", loom)))]
compile_error!("this target has no compare-and-swap: enable the feature `portable-atomic`");

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, Ordering},
};

#[cfg(all(loom, target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) use loom::sync::atomic::AtomicU64;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::Ordering;

#[cfg(all(not(loom), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic::AtomicU32;

#[cfg(all(not(loom), not(feature = "portable-atomic"), target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(all(not(loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic::AtomicU32;

#[cfg(all(not(loom), feature = "portable-atomic", target_has_atomic = "64", not(weirpool_narrow)))]
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

/// `core`'s cell in the shape of loom's, whose accesses are checked for races.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Declares functions that are `const` except under loom, whose atomics have no `const` constructors.
macro_rules! const_fn {
    ($($(#[$meta:meta])* $vis:vis const fn $name:ident $(<$($g:ident),*>)? ($($arg:tt)*) -> $ret:ty $body:block)*) => {
        $(
            #[cfg(not(loom))]
            $(#[$meta])* $vis const fn $name $(<$($g),*>)? ($($arg)*) -> $ret $body
            #[cfg(loom)]
            $(#[$meta])* $vis fn $name $(<$($g),*>)? ($($arg)*) -> $ret $body
        )*
    };
}
pub(crate) use const_fn;
