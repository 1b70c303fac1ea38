//! The one entry point of the repository: set-up, build, test, demo.

mod build;
mod demo;
mod fresh;
mod own;
mod pack;
mod process;
mod setup;
mod sizes;
mod targets;
mod test;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Set-up, build, test and demo of weirpool: `cargo xtask <command>`.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the page, serve it on this machine, and open it in a browser.
    Demo {
        /// The port to listen on; a free one if not given.
        #[arg(long)]
        port: Option<u16>,
        /// Do not open a browser.
        #[arg(long)]
        no_open: bool,
        /// Serve the page as it was last built.
        #[arg(long)]
        no_build: bool,
    },
    /// Run every check and test, and end with one line: N passed, N failed.
    Test {
        /// Run the long tests too.
        #[arg(long)]
        long: bool,
    },
    /// Only the core's targets: build for each, and run the self-test on emulated microcontrollers.
    Targets,
    /// Measure what the core costs in RAM and flash.
    Sizes,
    /// Measure in Chromium against a hand-written pool and other packages.
    Bench {
        /// Measure the core instead, natively, against other crates and against Go.
        #[arg(long)]
        native: bool,
    },
    /// Build the npm package (target/npm/weirpool) and the page (web/dist).
    Build,
    /// Build an npm package of a crate with handlers of its own: FOLDER/pkg.
    Package {
        /// The crate's folder.
        folder: std::path::PathBuf,
    },
    /// Build, check and pack the npm package: target/npm/weirpool-VERSION.tgz.
    Pack,
    /// Install what building and testing need, and nothing else.
    Setup,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        // The summary has said it.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether what was checked is good.
fn perform(task: Task) -> Result<bool> {
    match task {
        Task::Demo {
            port,
            no_open,
            no_build,
        } => demo::demo(port, !no_open, !no_build)?,
        Task::Test { long } => return test::test(long),
        Task::Targets => return test::test_targets(),
        Task::Sizes => sizes::sizes()?,
        Task::Bench { native: true } => native_bench()?,
        Task::Bench { native: false } => bench()?,
        Task::Build => build::build()?,
        Task::Package { folder } => own::package(&folder)?,
        Task::Pack => drop(pack::pack()?),
        Task::Setup => println!("Everything is there.\n{}", setup::by_hand(setup::setup()?)?),
    }
    Ok(true)
}

fn native_bench() -> Result<()> {
    setup::go()?;
    let mut bench = process::command("cargo", &toolchain::root());
    process::run(bench.args(["bench", "--package", "weirpool-speed"]))
}

fn bench() -> Result<()> {
    setup::setup()?;
    build::build_package()?;
    let mut bench = process::command("npm", &toolchain::root().join("tests"));
    if let Some(chrome) = toolchain::chrome() {
        bench.env("CHROME", chrome);
    }
    process::run(bench.args(["run", "bench"]))
}
