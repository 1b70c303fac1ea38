//! Where everything is: the folders of the repository, the Rust toolchain that builds for threads on wasm, the
//! browsers, and the tools with their versions.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use etcetera::BaseStrategy;

use crate::process::{command, output};

/// Versions that no lock file holds.
pub(crate) const WASM_PACK: &str = "0.15.1";
pub(crate) const BINARYEN: &str = "132.0.0";

/// The name that Debian's toolchain gets in rustup.
pub(crate) const DEBIAN_NAME: &str = "weirpool-web";
/// Where Debian's packages put that toolchain.
pub(crate) const DEBIAN_SYSROOT: &str = "/usr";

/// A Rust toolchain with the sources of std, to build it with atomics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The nightly of `wasm/rust-toolchain.toml`, from rustup.
    Pinned,
    /// Debian's stable `rustc-web`, allowed to use what is unstable.
    Debian,
}

impl Toolchain {
    /// The one that is ready for use, if any.
    pub(crate) fn find() -> Option<Self> {
        [Self::Pinned, Self::Debian]
            .into_iter()
            .find(|toolchain| toolchain.is_ready())
    }

    /// The name in rustup.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pinned => pinned_name(),
            Self::Debian => DEBIAN_NAME,
        }
    }

    /// What to set so that cargo and wasm-pack use this one.
    pub(crate) fn variables(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Pinned => vec![("RUSTUP_TOOLCHAIN", self.name())],
            Self::Debian => vec![("RUSTUP_TOOLCHAIN", self.name()), ("RUSTC_BOOTSTRAP", "1")],
        }
    }

    /// A command in the wasm crate's folder, where cargo finds that crate's configuration.
    pub(crate) fn command(self, program: &str) -> Result<Command> {
        self.command_in(program, &root().join("wasm"))
    }

    /// A command in a folder with a `.cargo/config.toml` of its own.
    pub(crate) fn command_in(self, program: &str, folder: &Path) -> Result<Command> {
        let mut command = command(program, folder);
        command.envs(self.variables());
        // Flags of the caller would replace the configured ones; `CARGO` names the wrong cargo.
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO",
            "RUSTC",
        ] {
            command.env_remove(variable);
        }
        command.env("CARGO_TARGET_DIR", cargo_target());
        command.env("PATH", path_with_tools()?);
        Ok(command)
    }

    /// Its root folder; `None` when rustup does not have it.
    pub(crate) fn sysroot(self) -> Option<PathBuf> {
        let mut rustc = command("rustup", &root());
        // Never fetch here: this only looks.
        rustc.env("RUSTUP_AUTO_INSTALL", "0");
        rustc.args(["run", self.name(), "rustc", "--print", "sysroot"]);
        Some(PathBuf::from(output(&mut rustc).ok()?.trim()))
    }

    fn is_ready(self) -> bool {
        self.sysroot().is_some_and(|sysroot| {
            sysroot
                .join("lib/rustlib/src/rust/library/std/Cargo.toml")
                .is_file()
                && sysroot.join("bin/cargo-clippy").is_file()
                && wasm_folder(&sysroot).is_dir()
        })
    }
}

/// The folder without which wasm-pack takes a toolchain for one that cannot build wasm. Nothing need be in it: std is
/// built here.
pub(crate) fn wasm_folder(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/wasm32-unknown-unknown/lib")
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
        .to_owned()
}

/// Where cargo builds.
pub(crate) fn cargo_target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The npm package, unpacked: what `pack` packs.
pub(crate) fn package() -> PathBuf {
    root().join("target/npm/weirpool")
}

/// Where tools are kept between runs, out of reach of `cargo clean`.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("WEIRPOOL_CACHE") {
        return Ok(root().join(folder));
    }
    Ok(etcetera::choose_base_strategy()
        .context("no home folder: set WEIRPOOL_CACHE")?
        .cache_dir()
        .join("weirpool"))
}

/// The folder of wasm-pack's program.
pub(crate) fn wasm_pack_folder() -> Result<PathBuf> {
    Ok(cache()?.join(format!("wasm-pack-{WASM_PACK}")).join("bin"))
}

/// The folder of wasm-bindgen's programs.
pub(crate) fn wasm_bindgen_folder() -> Result<PathBuf> {
    Ok(cache()?
        .join(format!("wasm-bindgen-cli-{}", wasm_bindgen_version()?))
        .join("bin"))
}

/// The folder that npm installs binaryen into.
pub(crate) fn binaryen_folder() -> Result<PathBuf> {
    Ok(cache()?.join(format!("binaryen-{BINARYEN}")))
}

/// The search path with the tools first.
pub(crate) fn path_with_tools() -> Result<std::ffi::OsString> {
    let tools = [
        wasm_pack_folder()?,
        wasm_bindgen_folder()?,
        binaryen_folder()?.join("node_modules/.bin"),
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(tools.into_iter().chain(env::split_paths(&path)))
        .context("a folder's name has a path separator")
}

/// The version of the crate wasm-bindgen, which its command-line tool must have too.
pub(crate) fn wasm_bindgen_version() -> Result<String> {
    let lock = fs_err::read_to_string(root().join("Cargo.lock"))?;
    locked_version(&lock, "wasm-bindgen").context("Cargo.lock does not name wasm-bindgen")
}

/// Chromium: `CHROME`, else the first that is found.
pub(crate) fn chrome() -> Option<PathBuf> {
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
        "chrome",
    ];
    find_program("CHROME", &names)
}

/// Firefox: `FIREFOX`, else the first that is found.
pub(crate) fn firefox() -> Option<PathBuf> {
    find_program("FIREFOX", &["firefox-esr", "firefox"])
}

/// Chromium's driver: `CHROMEDRIVER`, else the first that is found.
pub(crate) fn chromedriver() -> Option<PathBuf> {
    find_program("CHROMEDRIVER", &["chromedriver"])
}

fn find_program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let named = env::var_os(variable).and_then(|name| which::which(name).ok());
    named.or_else(|| names.iter().find_map(|name| which::which(name).ok()))
}

fn pinned_name() -> &'static str {
    include_str!("../../wasm/rust-toolchain.toml")
        .lines()
        .find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
        .expect("wasm/rust-toolchain.toml names a channel")
}

fn locked_version(lock: &str, name: &str) -> Option<String> {
    let mut lines = lock
        .lines()
        .skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_nightly_has_a_date() {
        assert!(pinned_name().starts_with("nightly-20"), "{}", pinned_name());
    }

    #[test]
    fn a_version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"wasm-bindgen-rayon\"\nversion = \"1.3.0\"\n\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(
            locked_version(lock, "wasm-bindgen").as_deref(),
            Some("0.2.130")
        );
        assert_eq!(locked_version(lock, "rayon"), None);
    }
}
