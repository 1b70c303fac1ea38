//! The global allocator: one heap for the page, one for the workers, and no lock between them.
//!
//! std's allocator for this target is one heap behind one spin lock. The page's thread may not
//! block, and it must not spin either while a worker that holds the lock is descheduled, grows the
//! memory, or was terminated. So the page has a heap of its own that only it touches. Both are
//! `dlmalloc`, which is also what std uses.
//!
//! A block goes back to the heap it came from: `OWNER` tells which one that is. A thread of the
//! other side pushes it onto that heap's list of returned blocks, and the owner frees them before
//! it allocates next.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::{Cell, UnsafeCell};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use dlmalloc::Dlmalloc;

use crate::list::TakeAllList;

/// Makes the calling thread the page: from now on it allocates from its own heap.
///
/// Called once in a memory's life, before any worker runs.
pub fn enter_page() {
    PAGE.store(thread_address(), Ordering::Relaxed);
}

#[global_allocator]
static HEAPS: Heaps = Heaps {
    page: Heap::new(Side::Page),
    workers: Heap::new(Side::Workers),
    workers_lock: AtomicBool::new(false),
};

struct Heaps {
    /// Touched by the page's thread alone.
    page: Heap,
    /// Touched by the holder of `workers_lock`.
    workers: Heap,
    /// Set while a thread is inside `workers`. Taken with Acquire and given back with Release, so
    /// that the heap's state moves with it.
    workers_lock: AtomicBool,
}

// SAFETY: `Heap` holds a `Dlmalloc` without a lock. `HEAPS.page` is reached only where
// `Side::of_thread()` is `Page`, which is one thread; `HEAPS.workers` only under `workers_lock`.
unsafe impl Sync for Heaps {}

// SAFETY: each call goes to one `Dlmalloc`, under the exclusion described at `Heaps`; a block is
// freed and resized only by the heap whose segment holds it (`OWNER`).
unsafe impl GlobalAlloc for Heaps {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is that of `malloc`.
        self.enter(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as `alloc`.
        self.enter(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let owner = Side::of_block(block);
        if owner == Side::of_thread() {
            // SAFETY: the block came from this heap with this layout.
            self.enter(|heap| unsafe { heap.free(block, layout.size(), layout.align()) });
        } else {
            self.heap(owner).give_back(block);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Side::of_block(block) == Side::of_thread() {
            // SAFETY: the block came from this heap with this layout.
            return self
                .enter(|heap| unsafe { heap.realloc(block, layout.size(), layout.align(), size) });
        }
        // SAFETY: `size` is not zero and its layout does not overflow, by the caller's contract.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks hold at least the smaller size and do not overlap.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

impl Heaps {
    fn heap(&self, side: Side) -> &Heap {
        match side {
            Side::Page => &self.page,
            Side::Workers => &self.workers,
        }
    }

    /// Runs `work` on the calling side's heap, with the blocks freed that the other side gave back.
    fn enter<R>(&self, work: impl FnOnce(&mut Dlmalloc<Segments>) -> R) -> R {
        let side = Side::of_thread();
        if side == Side::Page {
            // SAFETY: only the page's thread gets here, and no allocation happens inside one.
            return unsafe { self.page.with(work) };
        }
        while self.workers_lock.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: the lock is ours.
        let result = unsafe { self.workers.with(work) };
        self.workers_lock.store(false, Ordering::Release);
        result
    }
}

/// One dlmalloc and the blocks that the other side gave back to it.
struct Heap {
    blocks: UnsafeCell<Dlmalloc<Segments>>,
    /// Blocks of this heap freed by the other side, linked through their own first word.
    returned: TakeAllList,
}

impl Heap {
    const fn new(side: Side) -> Self {
        Self {
            blocks: UnsafeCell::new(Dlmalloc::new_with_allocator(Segments { side })),
            returned: TakeAllList::new(),
        }
    }

    fn give_back(&self, block: *mut u8) {
        self.returned.push(block.addr() as u32, |next| {
            // SAFETY: the block is free and ours until it is on the list; dlmalloc's smallest block
            // holds 12 bytes and is aligned to 8.
            unsafe { block.cast::<u32>().write(next) }
        });
    }

    /// # Safety
    /// No other thread may be inside this heap.
    unsafe fn with<R>(&self, work: impl FnOnce(&mut Dlmalloc<Segments>) -> R) -> R {
        // SAFETY: exclusive by the caller's promise.
        let blocks = unsafe { &mut *self.blocks.get() };
        let mut next = self.returned.take_all();
        while next != 0 {
            let block = ptr::with_exposed_provenance_mut::<u8>(next as usize);
            // SAFETY: `give_back` wrote the link; the block came from this heap.
            unsafe {
                next = block.cast::<u32>().read();
                blocks.c_free(block);
            }
        }
        work(blocks)
    }
}

/// Who allocates, and whose a block is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Workers = 0,
    Page = 1,
}

impl Side {
    fn of_thread() -> Self {
        if PAGE.load(Ordering::Relaxed) == thread_address() {
            Self::Page
        } else {
            Self::Workers
        }
    }

    fn of_block(block: *mut u8) -> Self {
        // Relaxed: whoever holds a block learnt of it after the segment was marked.
        if OWNER[block.addr() / PAGE_SIZE].load(Ordering::Relaxed) == Self::Page as u8 {
            Self::Page
        } else {
            Self::Workers
        }
    }
}

/// The page thread's `thread_address`, or 0 before `enter_page`. Written once.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// An address that differs from thread to thread.
///
/// Only the address of the thread-local is used, never its value: while a worker starts, it already
/// allocates its stack but has no thread-local storage yet, and the address is then a small number
/// that is nobody's.
fn thread_address() -> usize {
    thread_local!(static HERE: Cell<u8> = const { Cell::new(0) });
    HERE.with(|here| here.as_ptr().addr())
}

const PAGE_SIZE: usize = 64 * 1024;

/// Whose heap each 64 KiB page of the memory belongs to (a `Side`). Written by the side that grew
/// the memory, before it hands out a block there; a page never changes hands.
static OWNER: [AtomicU8; 65_536] = [const { AtomicU8::new(Side::Workers as u8) }; 65_536];

/// Memory for a heap: `memory.grow`, never given back.
struct Segments {
    side: Side,
}

// SAFETY: every segment is fresh memory of its own from `memory.grow`, which is atomic.
unsafe impl dlmalloc::Allocator for Segments {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        const FAILED: (*mut u8, usize, u32) = (ptr::null_mut(), 0, 0);
        let pages = size.div_ceil(PAGE_SIZE);
        let first = wasm32::memory_grow(0, pages);
        if first == usize::MAX {
            return FAILED;
        }
        for owner in &OWNER[first..first + pages] {
            owner.store(self.side as u8, Ordering::Relaxed);
        }
        let base = ptr::with_exposed_provenance_mut(first * PAGE_SIZE);
        // A segment that ended at 4 GiB would have an end address of 0.
        let end_guard = if first + pages == OWNER.len() { 16 } else { 0 };
        (base, pages * PAGE_SIZE - end_guard, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_SIZE
    }
}
