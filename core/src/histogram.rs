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

use crate::sync::{AtomicU32, AtomicWord, Ordering, Word, array, const_fn};

/// Every power of two is cut into 2^this buckets.
const PRECISION: u32 = 3;
/// Values of more bits share the last bucket.
const MAX_BITS: u32 = 32;
const BUCKETS: usize = ((MAX_BITS - PRECISION + 1) << PRECISION) as usize;

/// A histogram that any number of contexts record in at once; just under 1 KiB.
///
/// Recording is wait-free where the target has atomic additions: one for the bucket, one for the sum, and one for the
/// maximum when there is a new one.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    /// The largest value; with 32-bit words at most 2^32 − 1.
    max: AtomicWord,
    /// The sum of all values, modulo the word.
    sum: AtomicWord,
    /// With 32-bit words the upper half of the sum, which follows a carry of the lower half; else 0.
    sum_high: AtomicU32,
    /// How many values each bucket got, modulo 2^32. They only grow: an interval is the difference of two snapshots.
    buckets: [AtomicU32; BUCKETS],
}

impl Histogram {
    const_fn! {
        /// An empty histogram.
        pub const fn new() -> Self {
            Self {
                max: AtomicWord::new(0),
                sum: AtomicWord::new(0),
                sum_high: AtomicU32::new(0),
                buckets: array!(|_i| AtomicU32::new(0); BUCKETS),
            }
        }
    }

    /// Records a value, in microseconds by convention. Constant time.
    #[inline]
    pub fn record(&self, value: u64) {
        // The maximum goes first and is released by the bucket, so that a snapshot that sees the value in its bucket
        // sees a maximum that covers it. Otherwise Relaxed: every word counts on its own.
        let capped = Word::try_from(value).unwrap_or(Word::MAX);
        if capped > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(capped, Ordering::Relaxed);
        }
        let low = value as Word;
        let carried = self
            .sum
            .fetch_add(low, Ordering::Relaxed)
            .checked_add(low)
            .is_none();
        if Word::BITS == 32 {
            let high = (value >> 32) as u32 + u32::from(carried);
            if high != 0 {
                self.sum_high.fetch_add(high, Ordering::Relaxed);
            }
        }
        self.buckets[bucket_of(value)].fetch_add(1, Ordering::Release);
    }

    /// What was recorded so far, copied word by word: exact when nobody records; else a value that is being recorded
    /// may be in the sum and not yet in its bucket.
    pub fn snapshot(&self) -> Snapshot {
        // Acquire, and before the maximum: see `record`.
        let counts = core::array::from_fn(|i| self.buckets[i].load(Ordering::Acquire));
        #[allow(
            clippy::unnecessary_cast,
            clippy::useless_conversion,
            reason = "a word may be 32 bits"
        )]
        let (sum, max) = (
            self.sum.load(Ordering::Relaxed) as u64,
            self.max.load(Ordering::Relaxed) as u64,
        );
        let high = u64::from(self.sum_high.load(Ordering::Relaxed));
        Snapshot {
            counts,
            sum: sum.wrapping_add(high << 32),
            max,
        }
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
        let total = u128::from(self.count());
        let mut quantiles = [0; N];
        let mut wanted = quantiles.iter_mut().zip(per_million).peekable();
        let mut below = 0;
        for (i, &count) in self.counts.iter().enumerate() {
            below += u128::from(count);
            // At least the first value, so that an empty bucket is never the answer.
            while let Some((quantile, share)) = wanted.next_if(|(_, share)| {
                let rank = (total * u128::from(*share))
                    .div_ceil(1_000_000)
                    .clamp(1, total.max(1));
                below >= rank
            }) {
                debug_assert!(
                    share <= 1_000_000,
                    "a share is at most a million millionths"
                );
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

#[inline(always)]
fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << MAX_BITS) - 1) as u32;
    // How many of the lowest bits the bucket leaves out; 0 for values below 2^(PRECISION + 1).
    let cut = (u32::BITS - value.leading_zeros()).saturating_sub(PRECISION + 1);
    ((cut << PRECISION) + (value >> cut)) as usize
}

/// The largest value of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    let cut = (bucket >> PRECISION).saturating_sub(1);
    let lead = (bucket - (cut << PRECISION)) as u64;
    ((lead + 1) << cut) - 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gaps() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let upper = upper_edge(bucket);
            assert_eq!((bucket_of(next), bucket_of(upper)), (bucket, bucket));
            assert!(
                upper - next <= next / 8,
                "bucket {bucket} is at most an eighth wide"
            );
            next = upper + 1;
        }
        assert_eq!(next, 1 << 32);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
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
    fn under_one_kibibyte() {
        assert!(size_of::<Histogram>() < 1024);
    }
}
