//! Runs every check and test, each within a time limit, and sums up what the runners counted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use regex_lite::Regex;

use crate::process::{Ending, INTERRUPTED, command, run_limited};
use crate::setup;
use crate::targets;
use crate::toolchain::{Toolchain, chrome, chromedriver, firefox, root};

/// One line of the table: what runs, for how long at most, and how its result is counted.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
    pub(crate) minutes: u64,
    pub(crate) command: Command,
}

/// How a step's result is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// One check, passed if the command succeeded.
    AsOne,
    /// One check, passed if the command failed and said this.
    AsRefusal(&'static str),
    /// By what its test runner printed.
    Tests,
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
}

/// Runs all steps; whether everything passed.
pub(crate) fn test(long: bool) -> Result<bool> {
    run(steps(setup::setup()?, long)?)
}

/// Runs the steps for the core's targets alone; whether everything passed.
pub(crate) fn test_targets() -> Result<bool> {
    run(targets::steps(setup::for_targets()?)?)
}

/// Runs steps and prints the summary.
fn run(steps: Vec<Step>) -> Result<bool> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))?;
    let mut totals = Totals::default();
    let mut lines = Vec::new();
    for step in steps {
        println!("\n== {}", step.name);
        let started = Instant::now();
        let (ending, text) = run_limited(step.command, Duration::from_secs(60 * step.minutes))?;
        if ending == Ending::Interrupted {
            bail!("interrupted");
        }
        let counted = step_totals(step.counts, ending, &text);
        totals.passed += counted.passed;
        totals.failed += counted.failed;
        let note = match ending {
            Ending::TimedOut => " (stopped at its time limit)",
            Ending::Success if counted == NOTHING_RAN => " (ran no test)",
            _ => "",
        };
        let Totals { passed, failed } = counted;
        let seconds = started.elapsed().as_secs_f64();
        lines.push(format!(
            "{:<32} {seconds:>7.1} s  {passed:>5} passed {failed:>4} failed{note}",
            step.name
        ));
        println!("{}", lines[lines.len() - 1]);
    }
    println!("\n{}\n", lines.join("\n"));
    println!("{} passed, {} failed", totals.passed, totals.failed);
    Ok(totals.failed == 0)
}

fn steps(toolchain: Toolchain, long: bool) -> Result<Vec<Step>> {
    use Counts::{AsOne, Tests};
    let root = root();
    let (wasm, tests) = (root.join("wasm"), root.join("tests"));
    let step = |name, counts, minutes, command| Step {
        name,
        counts,
        minutes,
        command,
    };

    let mut native_tests = cargo(&["test"]);
    if long {
        native_tests
            .env("WEIRPOOL_LONG", "1")
            .args(["--", "--include-ignored"]);
    } else {
        // The same random operations at every run; `--long` looks for new ones.
        native_tests.env("WEIRPOOL_SEED", "1");
    }
    // Its own target folder, like the models: other flags would rebuild everything at each change between the two.
    let mut narrow_tests = cargo(&["test", "--package", "weirpool-core"]);
    narrow_tests
        .env("WEIRPOOL_SEED", "1")
        .env("RUSTFLAGS", "--cfg weirpool_narrow")
        .env("CARGO_TARGET_DIR", root.join("target/narrow"));
    let loom = |package: &str, target: &str| {
        let mut loom = cargo(&[
            "test",
            "--package",
            package,
            "--test",
            target,
            // Unoptimised models overflow the small stacks that loom gives its threads.
            "--release",
        ]);
        loom.env("RUSTFLAGS", "--cfg loom")
            // Two preemptions find most bugs, and each model ends within seconds.
            .env("LOOM_MAX_PREEMPTIONS", "2")
            .env("CARGO_TARGET_DIR", root.join("target/loom"));
        loom
    };
    let mut simulator = cargo(&["test", "--package", "weirpool-core", "--release"]);
    simulator
        .args(["--test", "simulator", "--test", "linearizable"])
        .env("RUSTFLAGS", "--cfg shuttle")
        .env("WEIRPOOL_SEED", "1")
        .env("CARGO_TARGET_DIR", root.join("target/shuttle"));
    if long {
        simulator
            .env("WEIRPOOL_LONG", "1")
            .env_remove("WEIRPOOL_SEED");
    }
    let mut documentation = cargo(&["doc", "--no-deps"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    let mut wasm_clippy = toolchain.command("cargo")?;
    wasm_clippy.args([
        "clippy",
        "--package",
        "weirpool-wasm",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    let mut wasm_tests = toolchain.command("wasm-pack")?;
    wasm_tests.args(["test", "--headless", "--chrome", "--mode", "no-install"]);
    let mut end_to_end = npm(&tests, &["test"]);
    let mut in_firefox = npm(&tests, &["run", "test:firefox"]);
    if let Some(program) = firefox() {
        in_firefox.env("FIREFOX", program);
    }
    for (name, program) in [("CHROME", chrome()), ("CHROMEDRIVER", chromedriver())] {
        if let Some(program) = program {
            wasm_tests.env(name, &program);
            end_to_end.env(name, &program);
        }
    }
    if long {
        wasm_tests.env("WEIRPOOL_LONG", "1");
        end_to_end.env("WEIRPOOL_LONG", "1");
    }

    let mut all = vec![
        step("format", AsOne, 2, cargo(&["fmt", "--all", "--check"])),
        step(
            "lints",
            AsOne,
            10,
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        step("lints for wasm", AsOne, 15, wasm_clippy),
        step("documentation", AsOne, 10, documentation),
        step(
            "native tests",
            Tests,
            if long { 60 } else { 15 },
            native_tests,
        ),
        step("native tests, 32-bit words", Tests, 15, narrow_tests),
        step(
            "loom models of the core",
            Tests,
            30,
            loom("weirpool-core", "loom"),
        ),
        step(
            "loom models of the gates",
            Tests,
            30,
            loom("weirpool-core", "loom_gates"),
        ),
        step(
            "simulator of the core",
            Tests,
            if long { 60 } else { 15 },
            simulator,
        ),
        step(
            "loom models of the wasm crate",
            Tests,
            30,
            loom("weirpool-wasm", "loom"),
        ),
        step(
            "handlers, natively",
            Tests,
            5,
            cargo(&["test", "--package", "weirpool-wasm"]),
        ),
        step("wasm tests in Chromium", Tests, 20, wasm_tests),
        step(
            "types of the package",
            AsOne,
            5,
            npm(&wasm, &["run", "check"]),
        ),
        step("TypeScript tests", Tests, 5, npm(&wasm, &["test"])),
        step(
            "reference of the package",
            Tests,
            5,
            npm(&tests, &["run", "test:reference"]),
        ),
        step("package", AsOne, 20, this(&["pack"])?),
        step(
            "package of another crate",
            AsOne,
            20,
            this(&["package", "tests/rust-jobs"])?,
        ),
        step("page", AsOne, 10, this(&["build"])?),
        step(
            "end to end in Chromium",
            Tests,
            if long { 60 } else { 15 },
            end_to_end,
        ),
        step("the package in Firefox", Tests, 15, in_firefox),
        step(
            "the package in Node and Deno",
            Tests,
            5,
            npm(&tests, &["run", "test:runtimes"]),
        ),
    ];
    all.extend(targets::steps(toolchain)?);
    Ok(all)
}

/// The cargo of the toolchain that runs xtask.
fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command("cargo", &root());
    cargo.args(arguments);
    cargo
}

fn npm(folder: &Path, arguments: &[&str]) -> Command {
    let mut npm = command("npm", folder);
    npm.args(arguments);
    npm
}

/// Another task of xtask as a step.
pub(crate) fn this(arguments: &[&str]) -> Result<Command> {
    let program: PathBuf = std::env::current_exe()?;
    let mut this = command(program, &root());
    this.args(arguments);
    Ok(this)
}

/// What a step that should have run tests counts as when it ran none.
const NOTHING_RAN: Totals = Totals {
    passed: 0,
    failed: 1,
};

fn step_totals(counts: Counts, ending: Ending, text: &str) -> Totals {
    let succeeded = ending == Ending::Success;
    let one = |passed: bool| Totals {
        passed: passed.into(),
        failed: (!passed).into(),
    };
    match counts {
        Counts::AsOne => return one(succeeded),
        Counts::AsRefusal(message) => {
            return one(ending == Ending::Failure && text.contains(message));
        }
        Counts::Tests => {}
    }
    let totals = printed_totals(text);
    match (succeeded, totals) {
        (
            true,
            Totals {
                passed: 0,
                failed: 0,
            },
        ) => NOTHING_RAN,
        // It failed otherwise than by a test: it did not build, or crashed.
        (false, Totals { passed, failed: 0 }) => Totals { passed, failed: 1 },
        _ => totals,
    }
}

/// Sums the totals of Rust's test harness (wasm-pack's prints the same) and of node's test runner.
fn printed_totals(text: &str) -> Totals {
    let rust =
        Regex::new(r"test result: \w+\. (\d+) passed; (\d+) failed;").expect("a valid pattern");
    // `#` in TAP, `ℹ` in its other form; a cancelled test is one that did not pass.
    let node =
        Regex::new(r"(?m)^(?:#|ℹ) (pass|fail|cancelled) (\d+)\s*$").expect("a valid pattern");
    let mut totals = Totals::default();
    // The pattern admits digits only; a number too large to parse cannot be a count of tests.
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    for found in rust.captures_iter(text) {
        totals.passed += number(&found[1]);
        totals.failed += number(&found[2]);
    }
    for found in node.captures_iter(text) {
        match &found[1] {
            "pass" => totals.passed += number(&found[2]),
            _ => totals.failed += number(&found[2]),
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: &str = "running 5 tests\n\
        test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
        test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
    const NODE_TAP: &str =
        "ok 1 - a\n1..7\n# tests 7\n# suites 2\n# pass 4\n# fail 2\n# cancelled 1\n# skipped 0\n";
    const NODE_SPEC: &str = "ℹ tests 3\nℹ pass 3\nℹ fail 0\nℹ cancelled 0\n";

    #[test]
    fn totals_of_each_runner_are_read() {
        assert_eq!(
            printed_totals(RUST),
            Totals {
                passed: 7,
                failed: 1
            }
        );
        assert_eq!(
            printed_totals(NODE_TAP),
            Totals {
                passed: 4,
                failed: 3
            }
        );
        assert_eq!(
            printed_totals(NODE_SPEC),
            Totals {
                passed: 3,
                failed: 0
            }
        );
        assert_eq!(
            printed_totals(&format!("{RUST}{NODE_SPEC}")),
            Totals {
                passed: 10,
                failed: 1
            }
        );
        assert_eq!(printed_totals("everything passed 3\n"), Totals::default());
    }

    #[test]
    fn a_step_without_tests_has_failed() {
        assert_eq!(
            step_totals(Counts::Tests, Ending::Success, "ok\n"),
            NOTHING_RAN
        );
        assert_eq!(
            step_totals(
                Counts::Tests,
                Ending::Success,
                "test result: ok. 0 passed; 0 failed;"
            ),
            Totals {
                passed: 0,
                failed: 1
            }
        );
    }

    #[test]
    fn a_step_that_failed_otherwise_than_by_a_test_has_failed() {
        assert_eq!(
            step_totals(Counts::Tests, Ending::Failure, NODE_SPEC),
            Totals {
                passed: 3,
                failed: 1
            }
        );
        assert_eq!(
            step_totals(Counts::Tests, Ending::TimedOut, ""),
            Totals {
                passed: 0,
                failed: 1
            }
        );
        assert_eq!(
            step_totals(Counts::Tests, Ending::Failure, RUST),
            Totals {
                passed: 7,
                failed: 1
            }
        );
    }

    #[test]
    fn a_check_counts_as_one() {
        assert_eq!(
            step_totals(Counts::AsOne, Ending::Success, RUST),
            Totals {
                passed: 1,
                failed: 0
            }
        );
        assert_eq!(
            step_totals(Counts::AsOne, Ending::Failure, RUST),
            Totals {
                passed: 0,
                failed: 1
            }
        );
    }
    #[test]
    fn a_refusal_is_a_failure_that_says_why() {
        let counts = Counts::AsRefusal("no such thing");
        let passed = |ending, text| step_totals(counts, ending, text).passed == 1;
        assert!(passed(Ending::Failure, "error: no such thing\n"));
        assert!(!passed(Ending::Failure, "error: another one\n"));
        assert!(!passed(Ending::TimedOut, "error: no such thing\n"));
        assert!(!passed(Ending::Success, "warning: no such thing\n"));
    }
}
