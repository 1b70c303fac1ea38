//! A small reproducible source of randomness for the tests.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeMap;

/// The seed to begin with: `WEIRPOOL_SEED`, or one of the moment.
pub fn seed() -> u64 {
    match std::env::var("WEIRPOOL_SEED") {
        Ok(seed) => seed.parse().expect("WEIRPOOL_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    }
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below a bound that is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N as u64) as usize]
    }

    pub fn index_of<T>(&mut self, items: &[T]) -> Option<usize> {
        (!items.is_empty()).then(|| self.below(items.len() as u64) as usize)
    }

    pub fn key_of<V>(&mut self, map: &BTreeMap<u64, V>) -> Option<u64> {
        let nth = (!map.is_empty()).then(|| self.below(map.len() as u64) as usize)?;
        map.keys().nth(nth).copied()
    }
}
