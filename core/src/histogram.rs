//! A histogram of durations in fixed memory, with quantiles and without floats.
//!
//! ```
//! use weirpool_core::histogram::Histogram;
//!
//! static LATENCY: Histogram = Histogram::new();
//! for micros in 1..=1_000 {
//!     LATENCY.record(micros);
//! }
//! let summary = LATENCY.snapshot().summary();
//! assert_eq!((summary.count, summary.mean, summary.max), (1_000, 500, 1_000));
//! // Never below the true 500, and above it by an eighth at most.
//! assert!((500..=562).contains(&summary.p50));
//! ```
//!
//! # Buckets
//! Log-linear, as in HDR histograms: up to 15 every value has its own bucket, then every power of two is cut into 8
//! equal ones. A bucket is at most an eighth as wide as its least value, and a quantile is reported as the upper edge of
//! its bucket but at most the recorded maximum: it is never too low, and too high by less than 12.5 %. Values from 2^32
//! (71 minutes in microseconds) on share the last bucket, whose upper edge is the maximum.
#![forbid(unsafe_code)]

use crate::sync::{AtomicWord, Ordering, Word, const_fn};

/// Every power of two is cut into 2^this buckets.
const PRECISION: u32 = 3;
/// Values of more bits share the last bucket.
const MAX_BITS: u32 = 32;
const BUCKETS: usize = ((MAX_BITS - PRECISION + 1) << PRECISION) as usize;

/// A histogram that any number of contexts record in at once; just under 2 KiB, with 32-bit words just under 1 KiB.
///
/// Recording is wait-free where the target has atomic additions: one for the bucket and the sum together (with 32-bit
/// words one for each), and one for the maximum when there is a new one.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    counts: Counts,
    /// The largest value; with 32-bit words at most 2^32 − 1. Behind the buckets, since it seldom changes: the first ones
    /// are those that many contexts write to.
    max: AtomicWord,
}

impl Histogram {
    const_fn! {
        /// An empty histogram.
        pub const fn new() -> Self {
            Self { counts: Counts::new(), max: AtomicWord::new(0) }
        }
    }

    /// Records a value, in microseconds by convention. Constant time.
    #[inline]
    pub fn record(&self, value: u64) {
        // The maximum goes first and is released by the bucket, so that a snapshot that sees the value in its bucket
        // sees a maximum that covers it. Relaxed here: it tells nothing else.
        let capped = Word::try_from(value).unwrap_or(Word::MAX);
        if capped > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(capped, Ordering::Relaxed);
        }
        self.counts.add(value);
    }

    /// What was recorded so far, copied word by word: exact when nobody records. Else the sum may lack what is being
    /// carried to its upper part, and with 32-bit words have a value that is not yet in its bucket.
    pub fn snapshot(&self) -> Snapshot {
        // Before the maximum: see `record`.
        let (counts, sum) = self.counts.load();
        #[allow(clippy::useless_conversion, reason = "a word may be 32 bits")]
        let max = self.max.load(Ordering::Relaxed).into();
        Snapshot { counts, sum, max }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// A copy of a [`Histogram`] at one time. Plain data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    counts: [u32; BUCKETS],
    sum: u64,
    max: u64,
}

impl Snapshot {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// The sum of the values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest value; 0 if there is none. With 32-bit words at most 2^32 − 1.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// What was recorded after `earlier`, a snapshot of the same histogram. Its maximum is that of all time.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            counts: core::array::from_fn(|i| self.counts[i].wrapping_sub(earlier.counts[i])),
            sum: self.sum.wrapping_sub(earlier.sum),
            max: self.max,
        }
    }

    /// The quantiles at these shares, given in millionths and in rising order (500 000 is the median): the least edge of
    /// a bucket that at least this share of the values does not exceed. All 0 if there are no values.
    ///
    /// One pass over the 240 buckets for all of them.
    pub fn quantiles<const N: usize>(&self, per_million: [u32; N]) -> [u64; N] {
        let total = self.count();
        let ranks = per_million.map(|share| {
            debug_assert!(
                share <= 1_000_000,
                "a share is at most a million millionths"
            );
            // At most 240 × 2^32 values, under 2^40, times 10^6, under 2^20: no overflow. At least the first value, so
            // that an empty bucket is never the answer.
            (total * u64::from(share.min(1_000_000)))
                .div_ceil(1_000_000)
                .max(1)
        });
        let mut quantiles = [0; N];
        let mut wanted = quantiles.iter_mut().zip(ranks).peekable();
        let mut below = 0;
        for (i, &count) in self.counts.iter().enumerate() {
            below += u64::from(count);
            while let Some((quantile, _)) = wanted.next_if(|&(_, rank)| rank <= below) {
                *quantile = if i == BUCKETS - 1 {
                    self.max
                } else {
                    upper_edge(i).min(self.max)
                };
            }
        }
        quantiles
    }

    /// The figures that reports show.
    pub fn summary(&self) -> Summary {
        let [p50, p90, p99, p999] = self.quantiles([500_000, 900_000, 990_000, 999_000]);
        let count = self.count();
        Summary {
            count,
            mean: self.sum.checked_div(count).unwrap_or(0),
            max: self.max,
            p50,
            p90,
            p99,
            p999,
        }
    }
}

/// The figures of a histogram that reports show, in the unit of its values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their sum by their number, rounded down.
    pub mean: u64,
    /// The largest.
    pub max: u64,
    /// The median.
    pub p50: u64,
    /// Nine of ten do not exceed it.
    pub p90: u64,
    /// 99 of 100 do not exceed it.
    pub p99: u64,
    /// 999 of 1000 do not exceed it.
    pub p999: u64,
}

#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
mod wide {
    use super::*;
    use crate::sync::{AtomicU64, array};

    /// How many values each bucket got, and their sum.
    ///
    /// The sum is that of `count × least value + rests` over the buckets, and `carried`, modulo 2^64.
    #[derive(Debug)]
    #[repr(C)]
    pub(super) struct Counts {
        /// `[rests:32 | count:32]`: how many values there are, and what they are together above the least value of the
        /// bucket, both modulo 2^32. One addition does for both, and values in other buckets do not meet it. Counts only
        /// grow: an interval is the difference of two snapshots.
        buckets: [AtomicU64; BUCKETS],
        /// What wrapped in the buckets, and what values have above the last of them. Who sees a half wrap adds it here.
        carried: AtomicU64,
    }

    impl Counts {
        const_fn! {
            pub(super) const fn new() -> Self {
                Self { buckets: array!(|_i| AtomicU64::new(0); BUCKETS), carried: AtomicU64::new(0) }
            }
        }

        #[inline(always)]
        pub(super) fn add(&self, value: u64) {
            let (bucket, rest) = place(value);
            let change = u64::from(rest) << 32 | 1;
            // Release: publishes the maximum.
            let before = self.buckets[bucket].fetch_add(change, Ordering::Release);
            let (after, rests_wrap) = before.overflowing_add(change);
            let count_wraps = after as u32 == 0;
            if rests_wrap || count_wraps || value >> MAX_BITS != 0 {
                self.carry(bucket, value, rests_wrap, count_wraps);
            }
        }

        #[cold]
        fn carry(&self, bucket: usize, value: u64, rests_wrap: bool, count_wraps: bool) {
            let mut lost = value.saturating_sub(MAX_VALUE);
            if rests_wrap {
                lost = lost.wrapping_add(1 << 32);
            }
            if count_wraps {
                // The wrap itself went to the rests as one.
                lost = lost.wrapping_add((least_value(bucket) << 32).wrapping_sub(1));
            }
            self.carried.fetch_add(lost, Ordering::Relaxed);
        }

        pub(super) fn load(&self) -> ([u32; BUCKETS], u64) {
            let mut sum = 0u64;
            let counts = core::array::from_fn(|bucket| {
                // Acquire: see `Histogram::record`.
                let word = self.buckets[bucket].load(Ordering::Acquire);
                let count = word as u32;
                // At most 2^64 − 2^32, and the rests.
                sum = sum.wrapping_add(u64::from(count) * least_value(bucket) + (word >> 32));
                count
            });
            (
                counts,
                sum.wrapping_add(self.carried.load(Ordering::Relaxed)),
            )
        }
    }

    #[cfg(all(test, not(loom)))]
    mod tests {
        use super::*;

        /// Both halves of a bucket's word wrap, alone and together, and nothing is missing from the sum.
        #[test]
        fn what_wraps_is_carried() {
            for value in [0, 1, 15, 16, 17, 1_000_003, MAX_VALUE, u64::MAX] {
                let (bucket, rest) = place(value);
                for (rests, count) in [
                    (0, 0),
                    (u32::MAX, 7),
                    (u32::MAX - rest, u32::MAX),
                    (u32::MAX, u32::MAX),
                    (5, u32::MAX),
                ] {
                    let counts = Counts::new();
                    let word = u64::from(rests) << 32 | u64::from(count);
                    counts.buckets[bucket].store(word, Ordering::Relaxed);
                    let (_, before) = counts.load();
                    for added in 1..=3 {
                        counts.add(value);
                        let (seen, sum) = counts.load();
                        assert_eq!(seen[bucket], count.wrapping_add(added));
                        let expected = value.wrapping_mul(added.into());
                        assert_eq!(sum.wrapping_sub(before), expected, "{value} at {word:#x}");
                    }
                }
            }
        }
    }
}
#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
use wide::Counts;

#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
mod narrow {
    use super::*;
    use crate::sync::{AtomicU32, array};

    /// How many values each bucket got, and their sum.
    #[derive(Debug)]
    #[repr(C)]
    pub(super) struct Counts {
        /// How many values there are, modulo 2^32. They only grow: an interval is the difference of two snapshots.
        buckets: [AtomicU32; BUCKETS],
        /// The sum of all values, modulo 2^32.
        sum: AtomicU32,
        /// The upper half of the sum, which follows a carry of the lower half.
        sum_high: AtomicU32,
    }

    impl Counts {
        const_fn! {
            pub(super) const fn new() -> Self {
                Self {
                    buckets: array!(|_i| AtomicU32::new(0); BUCKETS),
                    sum: AtomicU32::new(0),
                    sum_high: AtomicU32::new(0),
                }
            }
        }

        #[inline(always)]
        pub(super) fn add(&self, value: u64) {
            let low = value as u32;
            // Relaxed, as the upper half: both count on their own.
            let before = self.sum.fetch_add(low, Ordering::Relaxed);
            let carry = before.checked_add(low).is_none();
            let high = ((value >> 32) as u32).wrapping_add(carry.into());
            if high != 0 {
                self.sum_high.fetch_add(high, Ordering::Relaxed);
            }
            let (bucket, _) = place(value);
            // Release: publishes the maximum.
            self.buckets[bucket].fetch_add(1, Ordering::Release);
        }

        pub(super) fn load(&self) -> ([u32; BUCKETS], u64) {
            // Acquire: see `Histogram::record`.
            let counts = core::array::from_fn(|i| self.buckets[i].load(Ordering::Acquire));
            let low = self.sum.load(Ordering::Relaxed);
            let high = self.sum_high.load(Ordering::Relaxed);
            (counts, u64::from(high) << 32 | u64::from(low))
        }
    }
}
#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
use narrow::Counts;

/// The largest value that is told from larger ones.
const MAX_VALUE: u64 = (1 << MAX_BITS) - 1;

/// A value's bucket, and how far it is above the least value there.
#[inline(always)]
fn place(value: u64) -> (usize, u32) {
    let value = value.min(MAX_VALUE) as u32;
    // How many of the lowest bits the bucket leaves out; 0 for values below 2^(PRECISION + 1).
    let cut = (u32::BITS - value.leading_zeros()).saturating_sub(PRECISION + 1);
    let bucket = (cut << PRECISION) + (value >> cut);
    (bucket as usize, value & ((1 << cut) - 1))
}

/// The least value of a bucket.
fn least_value(bucket: usize) -> u64 {
    let cut = (bucket >> PRECISION).saturating_sub(1);
    ((bucket - (cut << PRECISION)) as u64) << cut
}

/// The largest value of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    least_value(bucket + 1) - 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gaps() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let upper = upper_edge(bucket);
            assert_eq!(least_value(bucket), next);
            assert_eq!(place(next), (bucket, 0));
            assert_eq!(place(upper), (bucket, (upper - next) as u32));
            assert!(
                upper - next <= next / 8,
                "bucket {bucket} is at most an eighth wide"
            );
            next = upper + 1;
        }
        assert_eq!(next, 1 << 32);
        assert_eq!(place(u64::MAX), place(MAX_VALUE));
    }

    #[test]
    fn empty_is_zero() {
        assert_eq!(Histogram::new().snapshot().summary(), Summary::default());
    }

    #[test]
    fn one_value_is_every_quantile() {
        for value in [0, 1, 17, 1_000_003, u64::from(u32::MAX)] {
            let histogram = Histogram::new();
            histogram.record(value);
            let expected = Summary {
                count: 1,
                mean: value,
                max: value,
                p50: value,
                p90: value,
                p99: value,
                p999: value,
            };
            assert_eq!(histogram.snapshot().summary(), expected);
        }
    }

    #[test]
    fn the_sum_carries() {
        let histogram = Histogram::new();
        for _ in 0..5 {
            histogram.record(3 << 30);
        }
        histogram.record(5 << 33);
        assert_eq!(histogram.snapshot().sum(), 5 * (3 << 30) + (5 << 33));
    }

    #[test]
    fn an_interval_is_a_difference() {
        let histogram = Histogram::new();
        histogram.record(10);
        let earlier = histogram.snapshot();
        histogram.record(2_000);
        let interval = histogram.snapshot().since(&earlier);
        assert_eq!((interval.count(), interval.sum()), (1, 2_000));
        assert_eq!(interval.quantiles([1, 1_000_000]), [2_000, 2_000]);
    }

    #[test]
    fn under_two_kibibytes_or_one() {
        assert!(size_of::<Histogram>() < 256 * size_of::<Word>());
    }
}
