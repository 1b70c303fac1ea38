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

/// What a visitor loads may weigh this much, gzipped. Each budget lies just above what the package weighs today (for
/// the wasm, by either toolchain that may build it): lower it whenever that falls, never raise it. The goals are
/// 105,000 for the wasm and 16,000 for the JavaScript.
const WASM_BUDGET: usize = 176_000;
const SCRIPT_BUDGET: usize = 36_500;

/// Builds and packs; the tarball is at `target/npm/weirpool-VERSION.tgz`.
pub(crate) fn pack() -> Result<PathBuf> {
    build::build_package()?;
    // The rest was minified when it was built; what wasm-bindgen writes was not.
    run(command("node", &root().join("wasm"))
        .arg("ts/minify.mjs")
        .arg(package().join("wasm.js")))?;
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
    weigh(&files)?;
    println!(
        "{} ({} bytes)",
        tarball.display(),
        fs_err::metadata(&tarball)?.len()
    );
    Ok(tarball)
}

/// Prints what the files weigh, and fails when they are over their budget.
fn weigh(files: &[String]) -> Result<()> {
    println!(
        "{:<24} {:>10} {:>10} {:>10}",
        "file", "bytes", "gzipped", "budget"
    );
    for (kind, budget) in [(".wasm", WASM_BUDGET), (".js", SCRIPT_BUDGET)] {
        let (mut bytes, mut zipped) = (0, 0);
        for name in files.iter().filter(|name| name.ends_with(kind)) {
            let content = fs_err::read(package().join(name))?;
            let size = gzipped(&content)?;
            println!("{name:<24} {:>10} {size:>10}", content.len());
            bytes += content.len();
            zipped += size;
        }
        println!(
            "{:<24} {bytes:>10} {zipped:>10} {budget:>10}",
            format!("all {kind}")
        );
        if zipped > budget {
            bail!("the {kind} files take {zipped} bytes gzipped, over their budget of {budget}");
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
