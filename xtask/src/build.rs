//! Builds the npm package (unpacked, in `target/npm/weirpool`) and the demo page (in `web/dist`).

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::fresh::Stamp;
use crate::process::{command, run};
use crate::setup;
use crate::toolchain::{
    BINARYEN, Toolchain, binaryen_folder, cargo_target, package, root, wasm_bindgen_folder,
    wasm_bindgen_version,
};

/// What the module may use. wasm-opt must be told: it does not read all of it from the module.
const WASM_FEATURES: [&str; 9] = [
    "--enable-threads",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-exception-handling",
];

/// The name that the glue gives to the module, and the one under which it ships.
const BINDGEN_WASM: &str = "wasm_bg.wasm";
const SHIPPED_WASM: &str = "weirpool.wasm";

/// Builds everything that is not fresh.
pub(crate) fn build() -> Result<()> {
    build_package()?;
    build_page()
}

/// Builds the npm package.
pub(crate) fn build_package() -> Result<()> {
    let toolchain = setup::for_build()?;
    fs_err::create_dir_all(package())?;
    build_wasm(toolchain)?;
    build_typescript()?;
    write_package()
}

fn build_wasm(toolchain: Toolchain) -> Result<()> {
    run(toolchain.command("cargo")?.args([
        "build",
        "--release",
        "--lib",
        "--package",
        "weirpool-wasm",
    ]))?;
    let built = cargo_target().join("wasm32-unknown-unknown/release/weirpool_wasm.wasm");
    let versions = format!(
        "wasm-bindgen {}, binaryen {BINARYEN}",
        wasm_bindgen_version()?
    );
    // xtask's own sources too: how the module is treated is written there.
    let stamp = Stamp::new(
        root().join("target/npm/wasm.stamp"),
        &[built.clone(), root().join("xtask/src")],
        &versions,
    )?;
    let shipped = ["wasm.js", "wasm.d.ts", SHIPPED_WASM].map(|name| package().join(name));
    if stamp.is_fresh() && shipped.iter().all(|file| file.is_file()) {
        return Ok(());
    }

    let bound = root().join("target/npm/bindgen");
    // Left-overs of another version must not ship.
    if bound.exists() {
        fs_err::remove_dir_all(&bound)?;
    }
    let mut bindgen = command(wasm_bindgen_folder()?.join("wasm-bindgen"), &root());
    bindgen.args([
        "--target",
        "web",
        "--experimental-reset-state-function",
        "--out-name",
        "wasm",
        "--out-dir",
    ]);
    run(bindgen.arg(&bound).arg(&built))?;

    let glue = fs_err::read_to_string(bound.join("wasm.js"))?;
    fs_err::write(package().join("wasm.js"), adapt_glue(&glue)?)?;
    fs_err::copy(bound.join("wasm.d.ts"), package().join("wasm.d.ts"))?;

    let mut optimise = command(
        binaryen_folder()?.join("node_modules/.bin/wasm-opt"),
        &root(),
    );
    optimise
        .args(["-O3", "--strip-debug", "--strip-producers"])
        .args(WASM_FEATURES);
    run(optimise
        .arg(bound.join(BINDGEN_WASM))
        .arg("-o")
        .arg(package().join(SHIPPED_WASM)))?;
    stamp.write()
}

/// Makes wasm-bindgen's glue one file that any bundler takes: the module under its shipped name, and without the
/// worker start-up helper of wasm-bindgen-rayon. That helper imports the package's folder, which bundlers refuse,
/// and it is not used: the pool starts its own workers.
fn adapt_glue(glue: &str) -> Result<String> {
    let mut adapted = String::new();
    let mut helpers = 0;
    for line in glue.lines() {
        if line.starts_with("import { startWorkers } from './snippets/wasm-bindgen-rayon-") {
            helpers += 1;
            adapted += "function startWorkers() { throw new Error('weirpool starts its workers itself'); }\n";
        } else {
            adapted += line;
            adapted += "\n";
        }
    }
    if helpers != 1 {
        bail!("the glue imports wasm-bindgen-rayon's helper {helpers} times, not once");
    }
    let url = format!("new URL('{BINDGEN_WASM}', import.meta.url)");
    if adapted.matches(&url).count() != 1 || adapted.matches(BINDGEN_WASM).count() != 1 {
        bail!("the glue does not name its module as expected: {url}");
    }
    adapted = adapted.replace(
        &url,
        &format!("new URL('./{SHIPPED_WASM}', import.meta.url)"),
    );
    if let Some(line) = adapted
        .lines()
        .find(|line| line.starts_with("import ") || line.contains("snippets/"))
    {
        bail!("the glue would ship with an import of a file that does not: {line}");
    }
    Ok(adapted)
}

fn build_typescript() -> Result<()> {
    let wasm = root().join("wasm");
    let inputs =
        ["ts", "package.json", "package-lock.json", "tsconfig.json"].map(|name| wasm.join(name));
    let stamp = Stamp::new(root().join("target/npm/typescript.stamp"), &inputs, "")?;
    if stamp.is_fresh() && package().join("index.js").is_file() {
        return Ok(());
    }
    run(command("npm", &wasm)
        .args(["run", "build"])
        .env("WEIRPOOL_DIST", package()))?;
    stamp.write()
}

/// Adds what makes a package of the built files.
fn write_package() -> Result<()> {
    let manifest = fs_err::read_to_string(root().join("wasm/package.json"))?;
    let readme = ["wasm/README.md", "README.md"].map(|name| root().join(name));
    fs_err::write(
        package().join("package.json"),
        shipped_manifest(&manifest, env!("CARGO_PKG_VERSION"))?,
    )?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"] {
        copy_if_changed(&root().join(name), &package().join(name))?;
    }
    copy_if_changed(&root().join("wasm/API.md"), &package().join("API.md"))?;
    if let Some(readme) = readme.iter().find(|file| file.is_file()) {
        copy_if_changed(readme, &package().join("README.md"))?;
    }
    Ok(())
}

/// The manifest that ships: the version of the workspace, and nothing that only building needs.
fn shipped_manifest(manifest: &str, version: &str) -> Result<String> {
    let mut manifest: Value = serde_json::from_str(manifest).context("wasm/package.json")?;
    let fields = manifest
        .as_object_mut()
        .context("wasm/package.json is not an object")?;
    for name in ["private", "scripts", "devDependencies"] {
        fields.shift_remove(name);
    }
    fields.insert("version".into(), version.into());
    Ok(serde_json::to_string_pretty(&manifest)? + "\n")
}

fn build_page() -> Result<()> {
    let web = root().join("web");
    setup::npm_packages(&web)?;
    let inputs = [web.clone(), package()];
    let stamp = Stamp::new(root().join("target/npm/page.stamp"), &inputs, "")?;
    if stamp.is_fresh() && web.join("dist/index.html").is_file() {
        return Ok(());
    }
    run(command("npm", &web).args(["run", "build"]))?;
    stamp.write()
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs_err::read(from)?;
    if fs_err::read(to).is_ok_and(|existing| existing == wanted) {
        return Ok(());
    }
    Ok(fs_err::write(to, wanted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLUE: &str = "/* @ts-self-types=\"./wasm.d.ts\" */\n\
        import { startWorkers } from './snippets/wasm-bindgen-rayon-38edf6e439f6d70d/src/workerHelpers.js';\n\
        const ret = startWorkers(arg0);\n\
        module_or_path = new URL('wasm_bg.wasm', import.meta.url);\n";

    #[test]
    fn the_glue_ships_without_imports_and_with_its_module() {
        let adapted = adapt_glue(GLUE).unwrap();
        assert!(!adapted.contains("import {"));
        assert!(adapted.contains("new URL('./weirpool.wasm', import.meta.url)"));
        assert!(adapted.contains("const ret = startWorkers(arg0);"));
    }

    #[test]
    fn unexpected_glue_is_refused() {
        assert!(adapt_glue(&GLUE.replace("startWorkers }", "other }")).is_err());
        assert!(adapt_glue(&GLUE.replace("wasm_bg.wasm", "other.wasm")).is_err());
        assert!(
            adapt_glue(&format!(
                "import {{ x }} from './snippets/other/x.js';\n{GLUE}"
            ))
            .is_err()
        );
    }

    #[test]
    fn the_manifest_ships_without_what_only_building_needs() {
        let manifest = r#"{"name":"weirpool","version":"0.0.0","scripts":{"build":"x"},"devDependencies":{},"type":"module"}"#;
        let shipped: Value =
            serde_json::from_str(&shipped_manifest(manifest, "1.2.3").unwrap()).unwrap();
        assert_eq!(
            shipped,
            serde_json::json!({"name": "weirpool", "version": "1.2.3", "type": "module"})
        );
    }
}
