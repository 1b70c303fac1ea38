//! The pool against a plain model of it: random operations by one thread, every answer and every counter compared.
//!
//! The seed of a failing run is printed; `WEIRPOOL_SEED=… cargo test -p weirpool-core --test model` replays it.
#![cfg(not(loom))]

mod breakers;
mod job;
mod limits;
mod operations;
mod order;
#[path = "../random/mod.rs"]
mod random;
mod scene;
mod setup;
mod time;

use random::Random;
use scene::Scene;
use setup::random_config;

const SLOTS: usize = 24;
const KINDS: usize = 2;
const CAPACITY: usize = 12;
const MOST_RUNNING: u16 = 8;
const STEPS: usize = 4_000;
const RUNS: u64 = if cfg!(debug_assertions) { 40 } else { 400 };

#[test]
fn random_operations_agree_with_the_model() {
    let first = random::seed();
    for run in 0..RUNS {
        let seed = first.wrapping_add(run);
        let mut random = Random::new(seed);
        let config = random_config(&mut random);
        let case = format!("WEIRPOOL_SEED={seed} with {config:?}");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Scene::new(config, random).play()
        }));
        if let Err(panic) = outcome {
            eprintln!("replay by {case}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The inputs that the fuzzer found, each a choice of operations; `fuzz/README.md` says how.
#[test]
fn fuzzed_operations_agree_with_the_model() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/pool");
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is there") {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        play_chosen(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus is empty");
}

/// Plays the operations that these bytes choose.
pub fn play_chosen(bytes: &[u8]) {
    let mut random = Random::chosen(bytes);
    let config = random_config(&mut random);
    Scene::new(config, random).play();
}
