//! Installs what is missing, saying what and why; a second run finds everything and returns at once.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Ending, command, describe, output, run, run_limited};
use crate::toolchain::{
    BINARYEN, DEBIAN_NAME, DEBIAN_SYSROOT, Toolchain, WASM_PACK, binaryen_folder, chrome,
    chromedriver, firefox, root, wasm_bindgen_folder, wasm_bindgen_version, wasm_folder,
    wasm_pack_folder,
};

/// How long rustup may take before Debian's packages are tried. It says within seconds when it cannot fetch.
const RUSTUP_LIMIT: Duration = Duration::from_secs(300);

const DEBIAN_TOOLCHAIN: [&str; 6] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
    "rust-web-clippy",
    "lld-22",
];
const DEBIAN_CHROMIUM: [&str; 2] = ["chromium", "chromium-driver"];
const DEBIAN_FIREFOX: [&str; 1] = ["firefox-esr"];
const DEBIAN_EMULATOR: [&str; 1] = ["qemu-system-arm"];

/// Installs everything that building and testing need.
pub(crate) fn setup() -> Result<Toolchain> {
    let toolchain = for_build()?;
    emulator()?;
    browsers()?;
    cargo_tool("wasm-pack", WASM_PACK, &wasm_pack_folder()?)?;
    for folder in ["web", "tests"] {
        npm_packages(&root().join(folder))?;
    }
    Ok(toolchain)
}

/// Installs what building for the core's targets, and running there, needs.
pub(crate) fn for_targets() -> Result<Toolchain> {
    emulator()?;
    toolchain()
}

/// Installs what building the npm package needs.
pub(crate) fn for_build() -> Result<Toolchain> {
    let toolchain = toolchain()?;
    cargo_tool(
        "wasm-bindgen-cli",
        &wasm_bindgen_version()?,
        &wasm_bindgen_folder()?,
    )?;
    binaryen()?;
    npm_packages(&root().join("wasm"))?;
    Ok(toolchain)
}

/// What to set to run wasm-pack by hand in `wasm/`.
pub(crate) fn by_hand(toolchain: Toolchain) -> Result<String> {
    let mut text = String::from("To run wasm-pack by hand in wasm/:\n");
    if toolchain == Toolchain::Debian {
        for (name, value) in toolchain.variables() {
            text += &format!("  export {name}={value}\n");
        }
    }
    let tools =
        [wasm_pack_folder()?, wasm_bindgen_folder()?].map(|folder| folder.display().to_string());
    text += &format!("  export PATH=\"{}:$PATH\"\n", tools.join(":"));
    text += "  wasm-pack test --headless --chrome --mode no-install";
    Ok(text)
}

/// Installs a folder's npm packages by its lock file, unless that has been done.
pub(crate) fn npm_packages(folder: &Path) -> Result<()> {
    if !folder.join("package.json").is_file() {
        return Ok(());
    }
    let lock = folder.join("package-lock.json");
    let wanted = fs_err::read_to_string(&lock).with_context(|| {
        format!(
            "run `npm install` in {} and commit its lock file",
            folder.display()
        )
    })?;
    let stamp = folder.join("node_modules/.installed-lock.json");
    if fs_err::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!(
        "Installing the npm packages of {}/: they are missing or older than the lock file.",
        name_of(folder)
    );
    run(command("npm", folder).args(["ci", "--no-audit", "--no-fund"]))?;
    // A folder without dependencies gets no node_modules from npm.
    fs_err::create_dir_all(folder.join("node_modules"))?;
    fs_err::write(stamp, wanted)?;
    Ok(())
}

/// The toolchain that builds std, installed if need be.
pub(crate) fn toolchain() -> Result<Toolchain> {
    match Toolchain::find() {
        Some(toolchain) => Ok(toolchain),
        None => install_toolchain(),
    }
}

fn install_toolchain() -> Result<Toolchain> {
    println!(
        "Threads on wasm need a std built with atomics, so a nightly with sources, or Debian's rustc-web. It builds for microcontrollers too."
    );
    match pinned() {
        Ok(()) => return Ok(Toolchain::Pinned),
        Err(error) => println!(
            "rustup cannot have {}: {error:#}.",
            Toolchain::Pinned.name()
        ),
    }
    debian()?;
    match Toolchain::find() {
        Some(toolchain) => Ok(toolchain),
        None => bail!(
            "the toolchain was installed but is not complete: remove `{DEBIAN_NAME}` from rustup and retry"
        ),
    }
}

fn pinned() -> Result<()> {
    let name = Toolchain::Pinned.name();
    println!("Asking rustup for {name} with the sources of std.");
    let mut rustup = command("rustup", &root());
    rustup.args(["toolchain", "install", name, "--profile", "minimal"]);
    rustup.args([
        "--component",
        "rust-src",
        "--component",
        "clippy",
        "--no-self-update",
    ]);
    rustup.env("RUSTUP_MAX_RETRIES", "1");
    // A backtrace of rustup's own would only hide its message.
    rustup.env("RUST_BACKTRACE", "0");
    match run_limited(rustup, RUSTUP_LIMIT)?.0 {
        Ending::Success => {}
        Ending::TimedOut => bail!("it took longer than {} s", RUSTUP_LIMIT.as_secs()),
        Ending::Failure | Ending::Interrupted => bail!("it could not be fetched"),
    }
    let sysroot = Toolchain::Pinned
        .sysroot()
        .context("rustup does not know it")?;
    fs_err::create_dir_all(wasm_folder(&sysroot))?;
    Ok(())
}

fn debian() -> Result<()> {
    println!("Taking Debian's rustc-web instead.");
    apt_install(&DEBIAN_TOOLCHAIN)?;
    let folder = wasm_folder(Path::new(DEBIAN_SYSROOT));
    if !folder.is_dir() {
        let mut mkdir = command("mkdir", &root());
        mkdir.arg("-p").arg(folder);
        privileged(vec![mkdir])?;
    }
    run(command("rustup", &root()).args(["toolchain", "link", DEBIAN_NAME, DEBIAN_SYSROOT]))
}

fn browsers() -> Result<()> {
    if chrome().is_none() || chromedriver().is_none() {
        println!(
            "Installing Chromium and its driver: none is on PATH, nor named by CHROME and CHROMEDRIVER."
        );
        apt_install(&DEBIAN_CHROMIUM)?;
    }
    if firefox().is_none() {
        println!("Installing Firefox: it is not on PATH, nor named by FIREFOX.");
        apt_install(&DEBIAN_FIREFOX)?;
    }
    Ok(())
}

fn emulator() -> Result<()> {
    if which::which("qemu-system-arm").is_ok() {
        return Ok(());
    }
    println!("Installing QEMU for Arm, which runs the self-test: qemu-system-arm is not on PATH.");
    apt_install(&DEBIAN_EMULATOR)
}

/// Installs Go, for the peer of the native benchmark.
pub(crate) fn go() -> Result<()> {
    if which::which("go").is_ok() {
        return Ok(());
    }
    println!("Installing Go: the classic pool that the core is measured against is written in it.");
    apt_install(&["golang-go"])
}

/// Builds a tool of crates.io into its own folder.
fn cargo_tool(name: &str, version: &str, folder: &Path) -> Result<()> {
    // Cargo writes this file last.
    let install = folder.parent().expect("a `bin` folder has a parent");
    if install.join(".crates.toml").is_file() {
        return Ok(());
    }
    println!(
        "Installing {name} {version} into {}: once, some minutes.",
        install.display()
    );
    // Without `--locked`: the lock file of wasm-bindgen-cli names a version that was withdrawn.
    let mut cargo = command("cargo", &root());
    cargo.args(["install", &format!("{name}@{version}")]);
    cargo.arg("--root").arg(install);
    run(&mut cargo)
}

fn binaryen() -> Result<()> {
    let folder = binaryen_folder()?;
    if folder.join("node_modules/.bin/wasm-opt").exists() {
        return Ok(());
    }
    println!(
        "Installing binaryen {BINARYEN} (wasm-opt) into {}.",
        folder.display()
    );
    fs_err::create_dir_all(&folder)?;
    let mut npm = command("npm", &folder);
    npm.args(["install", "--no-audit", "--no-fund", "--prefix", "."]);
    npm.arg(format!("binaryen@{BINARYEN}"));
    run(&mut npm)
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if which::which("apt-get").is_err() {
        bail!(
            "this system has no apt-get: install the like of {} by hand",
            missing.join(", ")
        );
    }
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get", &root());
        apt.args(arguments);
        apt
    };
    let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
    install.args(missing);
    privileged(vec![apt(&["update"]), install])
}

fn is_installed(package: &str) -> bool {
    let mut dpkg = command("dpkg-query", &root());
    dpkg.args(["--show", "--showformat=${db:Status-Status}", package]);
    output(&mut dpkg).is_ok_and(|status| status == "installed")
}

/// Runs commands that need root: as root, else by sudo where it asks nothing, else tells what to run.
fn privileged(commands: Vec<Command>) -> Result<()> {
    let is_root = output(command("id", &root()).arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut sudo = command("sudo", &root());
    sudo.args(["-n", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let by_sudo = !is_root && sudo.status().is_ok_and(|status| status.success());
    if !is_root && !by_sudo {
        let lines: Vec<_> = commands
            .iter()
            .map(|command| format!("  sudo {}", describe(command)))
            .collect();
        bail!(
            "this needs root; run these and then the same command again:\n{}",
            lines.join("\n")
        );
    }
    for mut wanted in commands {
        if by_sudo {
            let mut sudo = command("sudo", &root());
            sudo.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive"]);
            sudo.arg(wanted.get_program()).args(wanted.get_args());
            wanted = sudo;
        }
        run(wanted.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

fn name_of(folder: &Path) -> String {
    folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
