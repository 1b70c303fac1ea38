//! `Record`: one job's place in shared memory, written by the page and by the worker in turn.
//!
//! The page addresses a record by its token (its index) and reads and writes the fields by offset,
//! without a call into wasm; `wasm/ts/record.ts` holds the same offsets. Ownership goes round:
//!
//! 1. the page fills a free record and submits its token (published by the core's queue),
//! 2. the worker that takes the token owns everything but `phase` and `cancelled`,
//! 3. it pushes the token on the completions list (Release) and the page owns it again (Acquire).
//!
//! So only `phase` and `cancelled`, which both sides touch at once, are atomic.
//!
//! An attempt that is followed by another goes back to 2: the worker gives the token up by `Pool::finish`, and touches
//! nothing of the record afterwards.

use core::cell::UnsafeCell;
use core::mem::{self, ManuallyDrop, offset_of};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::{ptr, slice};
use std::borrow::Cow;

use weirpool_core::pool::{Handle, Running};

use crate::list::TakeAllList;
use crate::terms::Terms;
use crate::value::{Kind, Value};

/// The index of a record: what the core's queue carries.
pub type Token = u32;

/// Inputs and outputs up to this many bytes lie in the record itself and allocate nothing.
pub const INLINE_BYTES: usize = 48;

/// One job's place in shared memory; see the module.
#[repr(C, align(64))]
pub struct Record {
    /// Link on the completions list: the next token + 1, or 0. Belongs to whoever holds the token.
    next: UnsafeCell<u32>,
    /// A [`Phase`]. The page writes `Queued`; the worker moves it on by compare-and-swap, and so
    /// does the page when it carries the job over a reset: exactly one of them gets the job.
    phase: AtomicU32,
    fields: UnsafeCell<Fields>,
    /// 1 once the job is settled while its handler may still run. Written by the page's thread,
    /// read by the handler.
    cancelled: AtomicU32,
    /// The core's handle ([`Handle::to_bits`]). The page's thread alone writes and reads it.
    handle: AtomicU64,
    /// A small input; then a small output.
    inline: UnsafeCell<[u8; INLINE_BYTES]>,
}

/// The fields that have one owner at a time. All that the page reads of a job's end fills the
/// record's first cache line, which a worker wrote last; the others hold what the page writes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fields {
    pub outcome: u32,
    pub output_kind: u32,
    output: u32,
    output_len: u32,
    /// The capacity of the output's own block; 0 when the output lies inline or is the input.
    output_capacity: u32,
    pub worker: u32,
    pub attempt: u32,
    input_len: u32,
    /// µs. Until the job is admitted, the first and the longest backoff of a retry policy of its own lie in the first
    /// two.
    pub wait: f64,
    pub run: f64,
    pub total: f64,
    pub kind: u32,
    input: u32,
    pub terms: Terms,
    pub handler: u32,
    /// µs; infinite for none.
    pub queue_timeout: f64,
    pub run_timeout: f64,
    pub total_timeout: f64,
    /// µs on the page's clock.
    pub submitted: f64,
    /// Of a job that is carried over a reset: not before.
    pub started: f64,
    /// µs.
    pub retry_after: f64,
}

// The offsets that the page uses (`wasm/ts/record.ts`).
const FIELDS: usize = offset_of!(Record, fields);
const _: () = {
    assert!(size_of::<Record>() == 192);
    assert!(offset_of!(Record, phase) == 4 && FIELDS == 2 * 4);
    assert!(FIELDS + offset_of!(Fields, wait) == 5 * 8);
    assert!(FIELDS + offset_of!(Fields, kind) == 16 * 4);
    assert!(FIELDS + offset_of!(Fields, queue_timeout) == 10 * 8);
    assert!(offset_of!(Record, cancelled) == 32 * 4);
    assert!(Record::INLINE_OFFSET == 144);
};

// SAFETY: the fields have one owner at a time, handed over as the module describes.
unsafe impl Sync for Record {}
// SAFETY: a record holds plain numbers; its output block may be freed by any thread.
unsafe impl Send for Record {}

/// Where a record stands; the page reads it at a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Phase {
    /// The page's.
    Free = 0,
    /// Submitted; no worker has it.
    Queued = 1,
    /// A worker runs it.
    Running = 2,
    /// On the completions list, or about to be.
    Done = 3,
}

/// How a job ended, as the page reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum OutcomeCode {
    Completed = 0,
    /// The output is the error as JSON.
    Error = 1,
    /// The output is message and location as JSON.
    Panic = 2,
    CircuitOpen = 3,
    TimedOutQueue = 4,
    TimedOutRun = 5,
    TimedOutTotal = 6,
    Cancelled = 7,
    /// Settled earlier; this only gives the token back.
    Released = 8,
    /// A JavaScript handler's result cannot travel; the output is the error as JSON. Written by the
    /// worker's TypeScript alone.
    BadOutput = 9,
    /// The input was not what the handler takes; the output is the error as JSON.
    BadInput = 10,
    /// The worker was killed while it ran this job. This and the next two are written by the page alone, for jobs
    /// that it has handed out.
    Killed = 11,
    /// The job brought its worker down.
    Trapped = 12,
    /// The job was lost with its worker, through no fault of its own.
    Crashed = 13,
}

/// An output outside its record. It owns its block, if it has one; dropped without `free`, that leaks.
pub struct Output {
    pub address: u32,
    pub length: u32,
    /// The capacity of its own block, or 0.
    pub capacity: u32,
}

impl Output {
    pub fn free(self) {
        if self.capacity != 0 {
            let block = ptr::with_exposed_provenance_mut::<u8>(self.address as usize);
            // SAFETY: address and capacity are those of a `Vec<u8>` that `set_output` or
            // `api::alloc` let go of.
            drop(unsafe { Vec::from_raw_parts(block, 0, self.capacity as usize) });
        }
    }
}

impl Record {
    pub const INLINE_OFFSET: usize = offset_of!(Record, inline);

    pub const fn new() -> Self {
        Self {
            next: UnsafeCell::new(0),
            phase: AtomicU32::new(Phase::Free as u32),
            fields: UnsafeCell::new(Fields {
                outcome: 0,
                output_kind: 0,
                output: 0,
                output_len: 0,
                output_capacity: 0,
                worker: 0,
                attempt: 0,
                input_len: 0,
                wait: 0.0,
                run: 0.0,
                total: 0.0,
                kind: 0,
                input: 0,
                terms: Terms::DEFAULT,
                handler: 0,
                queue_timeout: f64::INFINITY,
                run_timeout: f64::INFINITY,
                total_timeout: f64::INFINITY,
                submitted: 0.0,
                started: 0.0,
                retry_after: 0.0,
            }),
            cancelled: AtomicU32::new(0),
            handle: AtomicU64::new(0),
            inline: UnsafeCell::new([0; INLINE_BYTES]),
        }
    }

    /// The fields, for their owner.
    ///
    /// # Safety
    /// The caller holds the token: no other thread touches the fields, and the caller keeps no
    /// other borrow of them.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn fields(&self) -> &mut Fields {
        // SAFETY: exclusive by the caller's promise.
        unsafe { &mut *self.fields.get() }
    }

    pub fn handle(&self) -> Handle {
        Handle::from_bits(self.handle.load(Ordering::Relaxed))
    }

    pub fn set_handle(&self, handle: Handle) {
        self.handle.store(handle.to_bits(), Ordering::Relaxed);
    }

    /// The worker's half of the race for a queued job; false when the page carries it over a reset.
    pub fn start(&self) -> bool {
        self.phase
            .compare_exchange(
                Phase::Queued as u32,
                Phase::Running as u32,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Release);
    }

    /// Notes who runs the job since `now` (µs).
    ///
    /// # Safety
    /// As [`Self::fields`].
    pub unsafe fn begin(&self, running: &Running<Token>, now: f64) {
        // SAFETY: by the caller's promise.
        let fields = unsafe { self.fields() };
        fields.started = now;
        fields.worker = u32::from(running.worker().0);
        fields.attempt = running.attempt();
    }

    /// Tells the running handler that nobody waits for it any more.
    pub fn set_cancelled(&self) {
        self.cancelled.store(1, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) != 0
    }

    /// Puts this record's token on the completions list.
    pub fn complete(&self, token: Token, completions: &TakeAllList) {
        self.set_phase(Phase::Done);
        completions.push(token + 1, |next| {
            // SAFETY: `next` belongs to the holder of the token until the push succeeds.
            unsafe { *self.next.get() = next }
        });
    }

    /// The job's input.
    ///
    /// # Safety
    /// The caller holds the token for as long as the value lives, and the page wrote a valid
    /// address and length.
    pub unsafe fn input(&self) -> Value<'_> {
        // SAFETY: by the caller's promise; an empty input has no address to speak of.
        unsafe {
            let fields = &*self.fields.get();
            let bytes = if fields.input_len == 0 {
                &[]
            } else {
                slice::from_raw_parts(
                    ptr::with_exposed_provenance(fields.input as usize),
                    fields.input_len as usize,
                )
            };
            Value {
                kind: Kind::from_code(fields.kind),
                bytes: Cow::Borrowed(bytes),
            }
        }
    }

    /// Stores the result: inline when small, in place when borrowed from the input, else as a block
    /// that `free_output` gives back. Where the input may be needed again, never inline.
    ///
    /// # Safety
    /// The caller holds the token and no borrow of the fields.
    pub unsafe fn set_output(&self, output: Value<'_>) {
        let length = output.bytes.len();
        // SAFETY: by the caller's promise.
        let keeps_input = unsafe { self.fields() }.terms.has_retries();
        let (address, capacity) = if length <= INLINE_BYTES && !keeps_input {
            let inline = self.inline.get().cast::<u8>();
            // SAFETY: both hold that many bytes. The output may be these very bytes (an echo of an
            // inline input): `copy` allows overlap.
            unsafe { ptr::copy(output.bytes.as_ptr(), inline, length) };
            (inline.expose_provenance(), 0)
        } else {
            match output.bytes {
                Cow::Borrowed(bytes) => (bytes.as_ptr().expose_provenance(), 0),
                Cow::Owned(bytes) => {
                    let mut bytes = ManuallyDrop::new(bytes);
                    (bytes.as_mut_ptr().expose_provenance(), bytes.capacity())
                }
            }
        };
        // SAFETY: by the caller's promise.
        let fields = unsafe { self.fields() };
        fields.output_kind = output.kind as u32;
        fields.output = address as u32;
        fields.output_len = length as u32;
        fields.output_capacity = capacity as u32;
    }

    /// Frees the output's block, if it has one.
    ///
    /// # Safety
    /// As [`Self::fields`].
    pub unsafe fn free_output(&self) {
        // SAFETY: by the caller's promise.
        unsafe { self.take_output() }.free();
    }

    /// Takes the output out of the record, which has none then.
    ///
    /// # Safety
    /// As [`Self::fields`].
    pub unsafe fn take_output(&self) -> Output {
        // SAFETY: by the caller's promise.
        let fields = unsafe { self.fields() };
        Output {
            address: fields.output,
            length: mem::take(&mut fields.output_len),
            capacity: mem::take(&mut fields.output_capacity),
        }
    }

    /// Writes a job as the page does.
    ///
    /// # Safety
    /// As [`Self::fields`]; `input` must live until the token has come back.
    #[cfg(test)]
    pub unsafe fn write_input(&self, handler: u32, json: &[u8]) {
        self.cancelled.store(0, Ordering::Relaxed);
        // SAFETY: by the caller's promise.
        let fields = unsafe { self.fields() };
        fields.handler = handler;
        fields.kind = Kind::Json as u32;
        fields.input = json.as_ptr().expose_provenance() as u32;
        fields.input_len = json.len() as u32;
    }

    /// The link to the next record on the completions list.
    ///
    /// # Safety
    /// As [`Self::fields`].
    #[cfg(test)]
    pub unsafe fn next(&self) -> u32 {
        // SAFETY: by the caller's promise.
        unsafe { *self.next.get() }
    }
}
