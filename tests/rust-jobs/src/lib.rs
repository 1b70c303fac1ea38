//! Jobs in Rust: an npm package like weirpool, with these beside the built-in ones.

use std::hint::black_box;

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use weirpool_wasm::{Context, JobError, Value};

#[wasm_bindgen(start)]
fn start() {
    weirpool_wasm::register(&[
        ("countWords", count_words),
        ("countPrimes", count_primes),
        ("average", average),
        ("wait", wait),
        ("descend", descend),
        ("reserve", reserve),
    ]);
}

#[derive(Serialize)]
struct Words {
    words: usize,
    longest: String,
}

/// Text in, an object out.
fn count_words<'a>(input: &'a Value<'a>, _: &Context<'_>) -> Result<Value<'a>, JobError> {
    let text =
        str::from_utf8(&input.bytes).map_err(|error| JobError::BadInput(error.to_string()))?;
    let longest = text.split_whitespace().max_by_key(|word| word.len());
    to_json(&Words {
        words: text.split_whitespace().count(),
        longest: longest.unwrap_or_default().to_owned(),
    })
}

#[derive(Deserialize)]
struct Range {
    from: u32,
    to: u32,
}

#[derive(Serialize)]
struct Primes {
    count: usize,
    threads: usize,
}

/// Uses all workers for one job, where they share memory.
fn count_primes<'a>(input: &'a Value<'a>, _: &Context<'_>) -> Result<Value<'a>, JobError> {
    let range: Range = from_json(input)?;
    let numbers = (range.from..range.to).into_par_iter();
    to_json(&Primes {
        count: numbers.filter(|n| is_prime(*n)).count(),
        threads: rayon::current_num_threads(),
    })
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
}

/// Panics when there are no numbers.
fn average<'a>(input: &'a Value<'a>, _: &Context<'_>) -> Result<Value<'a>, JobError> {
    let numbers: Vec<u64> = from_json(input)?;
    to_json(&(numbers.iter().sum::<u64>() / numbers.len() as u64))
}

/// Ends when nobody waits for it any more.
fn wait<'a>(_: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    while !context.cancelled() {
        std::hint::spin_loop();
    }
    Err(JobError::cancelled())
}

/// Calls itself so often, and uses at least 16 KiB of the stack each time.
fn descend<'a>(input: &'a Value<'a>, _: &Context<'_>) -> Result<Value<'a>, JobError> {
    to_json(&level(from_json(input)?))
}

fn level(left: u64) -> u64 {
    let frame = black_box([left; 2048]);
    match left {
        0 => 0,
        _ => level(left - 1) + frame[left as usize % 2048].min(1),
    }
}

/// Asks for so many bytes of memory.
fn reserve<'a>(input: &'a Value<'a>, _: &Context<'_>) -> Result<Value<'a>, JobError> {
    to_json(&black_box(Vec::<u8>::with_capacity(from_json(input)?)).capacity())
}

fn from_json<T: DeserializeOwned>(input: &Value<'_>) -> Result<T, JobError> {
    serde_json::from_slice(&input.bytes).map_err(|error| JobError::BadInput(error.to_string()))
}

fn to_json<'a>(result: &impl Serialize) -> Result<Value<'a>, JobError> {
    let json = serde_json::to_string(result);
    json.map(Value::json)
        .map_err(|error| JobError::failed(error.to_string()))
}
