//! What the core costs on a microcontroller: the sections of one linked program for each part, less those of one that
//! does nothing.

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionKind};

use crate::process::run;
use crate::setup;
use crate::targets::{CORTEX_M3, cargo, target};

/// The programs of `tests/embedded/sizes`, and what each of them uses.
const PARTS: [(&str, &str); 8] = [
    ("pool_16", "`Pool<u32, 16>`"),
    ("pool_64", "`Pool<u32, 64>`"),
    ("pool_64_snapshot", "… with `snapshot`"),
    ("queue_64", "`queue::Queue<u32, 64>`"),
    ("breaker", "`Breaker`"),
    ("rate_limit", "`RateLimit`"),
    ("concurrency_limit", "`ConcurrencyLimit`"),
    ("histogram", "`Histogram`, recording"),
];

/// Bytes of a program, by where they lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    /// Variables.
    ram: u64,
    /// Code and constants, in flash.
    code: u64,
    /// What variables begin with, in flash; zeroes take none.
    initial: u64,
}

/// Builds the programs and prints the table.
pub(crate) fn sizes() -> Result<()> {
    let toolchain = setup::toolchain()?;
    run(cargo(toolchain)?.args([
        "build",
        "--release",
        "--package",
        "weirpool-sizes",
        "--target",
        CORTEX_M3,
    ]))?;
    let nothing = size("nothing")?;
    println!(
        "\nBytes on a Cortex-M3 (`opt-level = \"s\"`, LTO), over a program that does nothing:\n"
    );
    println!("| | RAM | flash: code | flash: initial values |");
    println!("|---|---:|---:|---:|");
    for (program, part) in PARTS {
        let Size { ram, code, initial } = size(program)?;
        println!(
            "| {part} | {} | {} | {} |",
            ram - nothing.ram,
            code - nothing.code,
            initial - nothing.initial
        );
    }
    Ok(())
}

fn size(program: &str) -> Result<Size> {
    let path = target().join(CORTEX_M3).join("release").join(program);
    let bytes = fs_err::read(&path)?;
    let file = object::File::parse(&*bytes).with_context(|| path.display().to_string())?;
    let mut size = Size::default();
    for section in file.sections() {
        match section.kind() {
            SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => {
                size.code += section.size();
            }
            SectionKind::Data => {
                size.ram += section.size();
                size.initial += section.size();
            }
            SectionKind::UninitializedData => size.ram += section.size(),
            // Not on the device.
            _ => {}
        }
    }
    Ok(size)
}
