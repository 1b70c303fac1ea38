//! Packs the npm package and checks what would ship.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use regex_lite::Regex;
use serde_json::Value;

use crate::build;
use crate::process::{command, output, run};
use crate::toolchain::{package, root};

/// What a visitor loads may weigh this much, gzipped. Each budget lies at most 2 % above what the package weighs today, for two
/// toolchains may build it: lower it whenever that falls, never raise it for less than a feature or a defect. (The
/// JavaScript's was 36,700 before `map` had chunks and values were searched for what JSON would lose, and 38,300 before jobs
/// outlived whoever is held up: tests/browser/held-up.test.mjs.) The goals for the wasm, 105,000 and 75,000 without the
/// built-in handlers, are reached. That for the JavaScript is 16,000: as much as its keywords, brackets and operators weigh
/// alone, with one letter for each name and each text.
const WASM_BUDGET: usize = 104_700;
const BARE_WASM_BUDGET: usize = 75_000;
const SCRIPT_BUDGET: usize = 38_700;

/// Builds and packs; the tarball is at `target/npm/weirpool-VERSION.tgz`.
pub(crate) fn pack() -> Result<PathBuf> {
    build::build_package()?;
    // The rest was minified when it was built; what wasm-bindgen writes was not.
    build::minify(&package().join("wasm.js"))?;
    let folder = root().join("target/npm");
    let mut npm = command("npm", &folder);
    npm.args(["pack", "--json", "--pack-destination"])
        .arg(&folder)
        .arg(package());
    // The folder to pack, not the name of a package on a registry.
    let report: Value = serde_json::from_str(&output(npm.stderr(Stdio::inherit()))?)
        .context("what npm pack printed")?;
    let report = &report[0];
    let files: Vec<String> = report["files"]
        .as_array()
        .context("npm pack lists no files")?
        .iter()
        .filter_map(|file| Some(file["path"].as_str()?.to_owned()))
        .collect();
    let tarball = folder.join(
        report["filename"]
            .as_str()
            .context("npm pack names no file")?,
    );

    let manifest: Value =
        serde_json::from_str(&fs_err::read_to_string(package().join("package.json"))?)?;
    let has = |name: &str| files.iter().any(|file| file == name);
    for target in export_targets(&manifest["exports"]) {
        if !has(target.trim_start_matches("./")) {
            bail!("package.json exports {target}, which is not in the package");
        }
    }
    for name in [
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "API.md",
        "wasm.js",
        "weirpool.wasm",
        "default-worker.js",
    ] {
        if !has(name) {
            bail!("{name} is not in the package");
        }
    }
    for name in files.iter().filter(|name| name.ends_with(".js")) {
        run(command("node", &package()).args(["--check", name]))?;
        for reference in references(&fs_err::read_to_string(package().join(name))?) {
            let target = Path::new(name)
                .parent()
                .unwrap_or(Path::new(""))
                .join(&reference[2..]);
            if !has(&target.to_string_lossy()) {
                bail!("{name} refers to {reference}, which is not in the package");
            }
        }
    }
    let bare = build::build_bare()?;
    weigh(&files, &bare)?;
    println!(
        "{} ({} bytes)",
        tarball.display(),
        fs_err::metadata(&tarball)?.len()
    );
    Ok(tarball)
}

/// Prints what the files weigh, and fails when they are over their budget. `bare` is the module without the built-in
/// handlers, which does not ship.
fn weigh(files: &[String], bare: &Path) -> Result<()> {
    println!(
        "{:<24} {:>10} {:>10} {:>10}",
        "file", "bytes", "gzipped", "budget"
    );
    let shipped = |kind: &'static str| -> Vec<PathBuf> {
        let files = files.iter().filter(|name| name.ends_with(kind));
        files.map(|name| package().join(name)).collect()
    };
    for (what, files, budget) in [
        ("all wasm", shipped(".wasm"), WASM_BUDGET),
        ("without handlers", vec![bare.to_owned()], BARE_WASM_BUDGET),
        ("all JavaScript", shipped(".js"), SCRIPT_BUDGET),
    ] {
        let (mut bytes, mut zipped) = (0, 0);
        for file in files {
            let content = fs_err::read(&file)?;
            let size = gzipped(&content)?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            println!("{name:<24} {:>10} {size:>10}", content.len());
            bytes += content.len();
            zipped += size;
            // Where it was built is nobody's business, and differs from machine to machine.
            let folder = root();
            if build::contains(&content, folder.as_os_str().as_encoded_bytes()) {
                bail!("{} names the folder that it was built in", file.display());
            }
        }
        println!("{what:<24} {bytes:>10} {zipped:>10} {budget:>10}");
        if zipped > budget {
            bail!("{what}: {zipped} bytes gzipped, over the budget of {budget}");
        }
    }
    Ok(())
}

/// The files that an `exports` field leads to.
fn export_targets(exports: &Value) -> Vec<&str> {
    match exports {
        Value::String(target) => vec![target],
        Value::Object(fields) => fields.values().flat_map(export_targets).collect(),
        _ => Vec::new(),
    }
}

/// The files beside it that a script imports or names by `new URL(…, import.meta.url)`.
fn references(script: &str) -> Vec<String> {
    let pattern = r#"(?:\bfrom\s*|\bimport\s*\(?\s*|\bnew\s+URL\(\s*)["'](\./[^"']+)["']"#;
    let references = Regex::new(pattern).expect("a valid pattern");
    references
        .captures_iter(script)
        .map(|found| found[1].to_owned())
        .collect()
}

fn gzipped(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_file_is_seen() {
        let script = r#"import a from './a.js'; import "./b.js";import{c}from"./c.js"; await import('./d.js');
            new Worker(new URL('./e.js', import.meta.url), { type: 'module' }); import x from 'other';"#;
        assert_eq!(
            references(script),
            ["./a.js", "./b.js", "./c.js", "./d.js", "./e.js"]
        );
    }

    #[test]
    fn exports_lead_to_files() {
        let exports =
            serde_json::json!({".": {"types": "./i.d.ts", "default": "./i.js"}, "./w": "./w.wasm"});
        assert_eq!(export_targets(&exports), ["./i.d.ts", "./i.js", "./w.wasm"]);
    }
}
