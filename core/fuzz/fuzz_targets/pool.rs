//! The pool against its model, with operations chosen by the fuzzer.
#![no_main]

#[allow(dead_code, reason = "the test's own entry points are not used")]
#[path = "../../tests/model/main.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| model::play_chosen(bytes));
