//! The histogram against sorted values.
#![cfg(not(loom))]

mod random;

use random::{Random, seed};
use weirpool_core::histogram::Histogram;

const NARROW: bool = cfg!(any(weirpool_narrow, not(target_has_atomic = "64")));
const SHARES: [u32; 9] = [
    0, 1, 250_000, 500_000, 900_000, 990_000, 999_000, 999_999, 1_000_000,
];

#[test]
fn quantiles_are_within_an_eighth_above_the_exact_ones() {
    let first = seed();
    println!("WEIRPOOL_SEED={first}");
    for seed in first..first + 200 {
        let mut random = Random::new(seed);
        let histogram = Histogram::new();
        let mut values = Vec::new();
        let largest = random.below(35);
        for _ in 0..=random.below(5_000) {
            let bits = random.below(largest + 1);
            let value = random.below(1 << bits);
            histogram.record(value);
            values.push(value);
        }
        values.sort_unstable();
        let max = *values.last().unwrap();
        let stored_max = if NARROW {
            max.min(u64::from(u32::MAX))
        } else {
            max
        };
        let snapshot = histogram.snapshot();
        assert_eq!(
            (snapshot.count(), snapshot.max()),
            (values.len() as u64, stored_max),
            "seed {seed}"
        );
        assert_eq!(snapshot.sum(), values.iter().sum::<u64>(), "seed {seed}");
        for (share, got) in SHARES.into_iter().zip(snapshot.quantiles(SHARES)) {
            let rank = (values.len() as u64 * u64::from(share))
                .div_ceil(1_000_000)
                .max(1);
            let exact = values[rank as usize - 1];
            // The last bucket, from 15 × 2^28 on, also holds all that is above it.
            let highest = if exact < 15 << 28 {
                exact + exact / 8
            } else {
                max
            };
            assert!(
                exact.min(stored_max) <= got && got <= highest.min(stored_max),
                "{share} of a million: exactly {exact}, got {got}, seed {seed}"
            );
        }
        let summary = snapshot.summary();
        assert_eq!(
            summary.mean,
            values.iter().sum::<u64>() / values.len() as u64
        );
        assert_eq!(
            [summary.p50, summary.p90, summary.p99, summary.p999],
            snapshot.quantiles([500_000, 900_000, 990_000, 999_000])
        );
    }
}

#[test]
fn an_interval_holds_what_was_recorded_in_it() {
    let first = seed();
    println!("WEIRPOOL_SEED={first}");
    let mut random = Random::new(first);
    let (all, later) = (Histogram::new(), Histogram::new());
    for _ in 0..1_000 {
        all.record(random.below(1 << 20));
    }
    let earlier = all.snapshot();
    for _ in 0..1_000 {
        // One value is the largest of all, so that the maxima agree.
        let value = random.below(1 << 20) + 1;
        all.record(value);
        later.record(value);
    }
    all.record(1 << 21);
    later.record(1 << 21);
    assert_eq!(all.snapshot().since(&earlier), later.snapshot());
}
