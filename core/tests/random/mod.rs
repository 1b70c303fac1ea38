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

/// Numbers by SplitMix64, or chosen by a fuzzer.
pub enum Random {
    Seeded(u64),
    Chosen(std::vec::IntoIter<u8>),
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self::Seeded(seed)
    }

    /// Every choice takes as few of these bytes as it needs; zeros when they are used up.
    pub fn chosen(bytes: &[u8]) -> Self {
        Self::Chosen(Vec::from(bytes).into_iter())
    }

    /// Whether the chosen bytes are used up.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Chosen(bytes) if bytes.len() == 0)
    }

    pub fn next(&mut self) -> u64 {
        self.up_to(u64::MAX)
    }

    /// A number below a bound that is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.up_to(bound - 1) % bound
    }

    fn up_to(&mut self, largest: u64) -> u64 {
        match self {
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                mixed ^ mixed >> 31
            }
            Self::Chosen(bytes) => {
                let needed = (u64::BITS - largest.leading_zeros()).div_ceil(8);
                (0..needed).fold(0, |number, _| {
                    number << 8 | u64::from(bytes.next().unwrap_or(0))
                })
            }
        }
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
