//! The core on what it was made for: builds for every target, and the self-test on emulated microcontrollers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::command;
use crate::test::{
    Counts::{AsOne, AsRefusal, Tests},
    Step, this,
};
use crate::toolchain::{Toolchain, root};

/// The self-test's targets.
pub(crate) const CORTEX_M3: &str = "thumbv7m-none-eabi";
pub(crate) const CORTEX_M0: &str = "thumbv6m-none-eabi";

/// Targets with compare-and-swap.
const WITH: [&str; 5] = [
    CORTEX_M3,
    "thumbv7em-none-eabihf",
    "riscv32imac-unknown-none-elf",
    "wasm32-unknown-unknown",
    "x86_64-unknown-none",
];

/// Targets without.
const WITHOUT: [&str; 2] = [CORTEX_M0, "riscv32imc-unknown-none-elf"];

/// What the core says on a target without.
const REFUSAL: &str = "this target has no compare-and-swap: enable the feature `portable-atomic`";

/// Everything that is checked of the core's targets.
pub(crate) fn steps(toolchain: Toolchain) -> Result<Vec<Step>> {
    let step = |name, counts, command| Step {
        name,
        counts,
        minutes: 10,
        command,
    };
    let cargo = |arguments: &[&str]| -> Result<Command> {
        let mut cargo = cargo(toolchain)?;
        cargo.args(arguments);
        Ok(cargo)
    };
    let core = |targets: &[&str], features: &[&str]| -> Result<Command> {
        let mut build = cargo(&["build", "--manifest-path", "../../core/Cargo.toml"])?;
        build.args(targets.iter().flat_map(|target| ["--target", target]));
        build.args(features.iter().flat_map(|feature| ["--features", feature]));
        Ok(build)
    };
    let single_core = [
        "portable-atomic",
        "portable-atomic/unsafe-assume-single-core",
    ];
    let critical_section = ["portable-atomic", "portable-atomic/critical-section"];
    // Not that toolchain's: a minimal one has no rustfmt.
    let mut format = command("cargo", &firmware());
    format.args(["fmt", "--all", "--check"]);
    let lints = [
        "clippy",
        "--workspace",
        "--target",
        CORTEX_M3,
        "--",
        "-D",
        "warnings",
    ];
    Ok(vec![
        step("core with compare-and-swap", AsOne, core(&WITH, &[])?),
        step(
            "core with portable-atomic",
            AsOne,
            core(&WITH, &single_core[..1])?,
        ),
        step(
            "core for a single core",
            AsOne,
            core(&WITHOUT, &single_core)?,
        ),
        step(
            "core with critical sections",
            AsOne,
            core(&WITHOUT, &critical_section)?,
        ),
        step(
            "core refuses thumbv6m",
            AsRefusal(REFUSAL),
            core(&WITHOUT[..1], &[])?,
        ),
        step(
            "core refuses riscv32imc",
            AsRefusal(REFUSAL),
            core(&WITHOUT[1..], &[])?,
        ),
        step("format of the firmware", AsOne, format),
        step("lints of the firmware", AsOne, cargo(&lints)?),
        step(
            "self-test on a Cortex-M3",
            Tests,
            cargo(&["run", "--target", CORTEX_M3])?,
        ),
        step(
            "self-test on a Cortex-M0",
            Tests,
            cargo(&["run", "--target", CORTEX_M0])?,
        ),
        step("sizes", AsOne, this(&["sizes"])?),
    ])
}

/// Cargo for firmware, with a target folder of its own, since most steps differ from all others in their flags.
pub(crate) fn cargo(toolchain: Toolchain) -> Result<Command> {
    let mut cargo = toolchain.command_in("cargo", &firmware())?;
    cargo.env("CARGO_TARGET_DIR", target());
    Ok(cargo)
}

/// Where cargo builds firmware.
pub(crate) fn target() -> PathBuf {
    root().join("target/embedded")
}

fn firmware() -> PathBuf {
    root().join("tests/embedded")
}
