//! The histogram.

use loom::{sync::Arc, thread};
use weirpool_core::histogram::Histogram;

use super::NARROW;

/// A snapshot that has a value has a maximum and, with wide words, a sum that cover it.
#[test]
fn a_snapshot_covers_what_it_counts() {
    let mut model = loom::model::Builder::new();
    // A snapshot is 240 loads.
    model.max_branches = 10_000;
    model.check(|| {
        const VALUES: [u64; 2] = [40, 300];
        let histogram = Arc::new(Histogram::new());
        let others = VALUES.map(|value| {
            let histogram = histogram.clone();
            thread::spawn(move || histogram.record(value))
        });
        let seen = histogram.snapshot();
        let possible: &[u64] = match seen.count() {
            0 => &[0],
            1 => &VALUES,
            _ => &[340],
        };
        if NARROW {
            assert!(possible.iter().any(|&sum| seen.sum() >= sum));
        } else {
            assert!(possible.contains(&seen.sum()), "{seen:?}");
        }
        assert!(seen.count() == 0 || seen.max() >= 40);
        // The buckets are at most an eighth wide: only the greater value reaches this.
        let [greatest] = seen.quantiles([1_000_000]);
        assert!(greatest <= 44 || greatest == 300, "{greatest}");
        assert!(seen.count() < 2 || greatest == 300);
        for other in others {
            other.join().unwrap();
        }
        let seen = histogram.snapshot();
        assert_eq!((seen.count(), seen.sum(), seen.max()), (2, 340, 300));
    });
}
