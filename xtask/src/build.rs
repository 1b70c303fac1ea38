//! Builds the npm package (unpacked, in `target/npm/weirpool`) and the demo page (in `web/dist`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

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
const OUR_LIBRARY: &str = "weirpool_wasm";
/// The files of a package that its module makes.
const OF_THE_MODULE: [&str; 2] = [GLUE, SHIPPED_WASM];
/// The script among them.
pub(crate) const GLUE: &str = "wasm.js";
/// The licences of weirpool's code, in the repository and in every package that has it.
pub(crate) const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// A crate whose module is built, with weirpool's own crate in it.
pub(crate) struct Crate<'a> {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The name of its library.
    pub(crate) library: &'a str,
    /// What else cargo is told.
    pub(crate) arguments: &'a [&'a str],
    /// Where cargo builds it.
    pub(crate) target: PathBuf,
    /// Where the module and its glue go.
    pub(crate) output: PathBuf,
}

/// Builds everything that is not fresh.
pub(crate) fn build() -> Result<()> {
    build_package()?;
    build_page()
}

/// Builds the npm package.
pub(crate) fn build_package() -> Result<()> {
    let toolchain = setup::for_build()?;
    fs_err::create_dir_all(package())?;
    build_wasm(
        toolchain,
        &Crate {
            folder: root().join("wasm"),
            library: OUR_LIBRARY,
            arguments: &[],
            target: cargo_target(),
            output: package(),
        },
    )?;
    build_typescript()?;
    write_package()
}

/// Builds the module without the built-in handlers: what one with other handlers starts from. Returns its path.
pub(crate) fn build_bare() -> Result<PathBuf> {
    let output = root().join("target/npm/bare");
    build_wasm(
        setup::for_build()?,
        &Crate {
            folder: root().join("wasm"),
            library: OUR_LIBRARY,
            arguments: &["--no-default-features"],
            // A cdylib's file has the same name whatever its features: in one folder each would pass for the other.
            target: cargo_target().join("bare"),
            output: output.clone(),
        },
    )?;
    Ok(output.join(SHIPPED_WASM))
}

/// Minifies a script in place, once.
pub(crate) fn minify(script: &Path) -> Result<()> {
    run(command("node", &root().join("wasm"))
        .arg("ts/minify.mjs")
        .arg(script))
}

/// Builds a crate's module and the glue to it.
pub(crate) fn build_wasm(toolchain: Toolchain, built: &Crate<'_>) -> Result<()> {
    let Crate {
        library, output, ..
    } = built;
    // In our own folder: its configuration is the one that builds for threads. As a cdylib alone: where there is to be
    // an rlib too, cargo leaves out link-time optimisation, without which the module is a tenth larger.
    run(toolchain
        .command("cargo")?
        .args(["rustc", "--release", "--lib", "--crate-type=cdylib"])
        .arg("--manifest-path")
        .arg(built.folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&built.target)
        .args(built.arguments))?;
    let module = built
        .target
        .join(format!("wasm32-unknown-unknown/release/{library}.wasm"));
    if !contains(&fs_err::read(&module)?, b"pool_create") {
        bail!(
            "{library} depends on weirpool-wasm, but does not use it: call weirpool_wasm::register"
        );
    }
    let versions = format!(
        "wasm-bindgen {}, binaryen {BINARYEN}",
        wasm_bindgen_version()?
    );
    fs_err::create_dir_all(output)?;
    // xtask's own sources too: how the module is treated is written there.
    let stamp = Stamp::new(
        module.with_extension("stamp"),
        &[module.clone(), root().join("xtask/src")],
        &versions,
    )?;
    let shipped = OF_THE_MODULE.map(|name| output.join(name));
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
        // The package has its own declarations.
        "--no-typescript",
        "--experimental-reset-state-function",
        "--out-name",
        "wasm",
        "--out-dir",
    ]);
    run(bindgen.arg(&bound).arg(&module))?;

    let glue = fs_err::read_to_string(bound.join("wasm.js"))?;
    fs_err::write(output.join("wasm.js"), adapt_glue(&glue)?)?;

    let mut optimise = command(
        binaryen_folder()?.join("node_modules/.bin/wasm-opt"),
        &root(),
    );
    let unused = if *library == OUR_LIBRARY {
        format!("{UNUSED_EXPORTS},{TABLE}")
    } else {
        UNUSED_EXPORTS.to_owned()
    };
    // A second round finds a little more.
    optimise
        .arg(format!("--remove-exports={unused}"))
        .args(["--stack-check", "-O3", "-O3"])
        .args(["--strip-debug", "--strip-producers"])
        .args(WASM_FEATURES);
    run(optimise
        .arg(bound.join(BINDGEN_WASM))
        .arg("-o")
        .arg(output.join(SHIPPED_WASM)))?;
    stamp.write()
}

/// What the glue has that the package does not use, by how it begins: wasm-bindgen-rayon's own start-up (the pool starts
/// its workers itself; and that helper imports the package's folder, which bundlers refuse), and loading the module,
/// which the page does with better errors.
const UNUSED_GLUE: [&str; 10] = [
    "import { startWorkers } from './snippets/wasm-bindgen-rayon-",
    "export function initThreadPool(",
    "export class wbg_rayon_PoolBuilder {",
    "if (Symbol.dispose) wbg_rayon_PoolBuilder.",
    "export function wbg_rayon_start_worker(",
    "const wbg_rayon_PoolBuilderFinalization =",
    "async function __wbg_load(",
    "let __wbg_init_promise;",
    "async function __wbg_init(",
    "async function __wbg_init_once(",
];

/// What the module exports for what was taken out of the glue, as wasm-opt's wildcards: a fifth of the module hangs on
/// it.
const UNUSED_EXPORTS: &str = "*wbg_rayon_*,initThreadPool";

/// The table of the functions that JavaScript may call by number: closures, which our own module has none of.
const TABLE: &str = "__wbindgen_export";

/// How the glue begins an instance. A stack that overflows is to trap before it overwrites anything: `--stack-check`
/// compares each frame with limits, which are none here. A worker sets its own later (`wasm/ts/threads-worker.ts`); the
/// first stack begins at address 0, and traps anyway.
const START: &str = "wasm.__wbindgen_start(";
const GUARDED_START: &str = "wasm.__set_stack_limits(-1, 0);\n    wasm.__wbindgen_start(";

/// What the glue exports instead: the first instance is made beside the page's thread, which may not make a large one
/// in Chrome up to 113.
const INIT: &str = "export { initSync };
export async function init(module) {
    return __wbg_finalize_init(await WebAssembly.instantiate(module, __wbg_get_imports()), module);
}";

/// Makes wasm-bindgen's glue one file that any bundler takes, without what is not used.
fn adapt_glue(glue: &str) -> Result<String> {
    let mut adapted = glue.to_owned();
    for start in UNUSED_GLUE {
        adapted = without(&adapted, start)?;
    }
    for (unused, instead) in [
        // The module imports it still, and never calls it.
        (
            "startWorkers(arg0, arg1, wbg_rayon_PoolBuilder.__wrap(arg2))",
            "undefined",
        ),
        ("export { initSync, __wbg_init as default };", INIT),
    ] {
        if adapted.matches(unused).count() != 1 {
            bail!("the glue does not have this once: {unused}");
        }
        adapted = adapted.replace(unused, instead);
    }
    if adapted.matches(START).count() != 2 {
        bail!("the glue does not begin an instance in two places");
    }
    adapted = adapted.replace(START, GUARDED_START);
    if let Some(line) = adapted.lines().find(|line| {
        line.starts_with("import ") || line.contains("snippets/") || line.contains(BINDGEN_WASM)
    }) {
        bail!("the glue would ship with a reference to a file that does not: {line}");
    }
    Ok(adapted)
}

/// A script without the statement on its top level that begins with `start`. It ends with its line, or with the first
/// closing brace that is not indented.
fn without(script: &str, start: &str) -> Result<String> {
    let mut kept = String::new();
    let mut lines = script.lines();
    let mut found = 0;
    while let Some(line) = lines.next() {
        if !line.starts_with(start) {
            kept += line;
            kept += "\n";
            continue;
        }
        found += 1;
        if !line.ends_with(';') && !line.ends_with('}') {
            lines
                .find(|line| line.starts_with('}'))
                .with_context(|| format!("the glue has no end of: {start}"))?;
        }
    }
    if found != 1 {
        bail!("the glue has this {found} times, not once: {start}");
    }
    Ok(kept)
}

/// Builds the package's scripts and their types, all but the module's.
pub(crate) fn build_typescript() -> Result<()> {
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
    let version = Map::from_iter([("version".into(), env!("CARGO_PKG_VERSION").into())]);
    fs_err::write(
        package().join("package.json"),
        shipped_manifest(&manifest, &version)?,
    )?;
    for name in LICENCES.into_iter().chain(["CHANGELOG.md"]) {
        copy_if_changed(&root().join(name), &package().join(name))?;
    }
    for name in ["README.md", "API.md"] {
        copy_if_changed(&root().join("wasm").join(name), &package().join(name))?;
    }
    Ok(())
}

/// The manifest that ships: with what `own` says (nothing of a field that is null or empty there), and nothing that only
/// building needs.
pub(crate) fn shipped_manifest(manifest: &str, own: &Map<String, Value>) -> Result<String> {
    let mut manifest: Value = serde_json::from_str(manifest).context("wasm/package.json")?;
    let fields = manifest
        .as_object_mut()
        .context("wasm/package.json is not an object")?;
    for field in ["private", "scripts", "devDependencies"] {
        fields.shift_remove(field);
    }
    for (field, value) in own {
        if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
            fields.shift_remove(field);
        } else {
            fields.insert(field.clone(), value.clone());
        }
    }
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

pub(crate) fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs_err::read(from)?;
    if fs_err::read(to).is_ok_and(|existing| existing == wanted) {
        return Ok(());
    }
    Ok(fs_err::write(to, wanted)?)
}

/// Whether `part` is somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The lines of glue that matter here.
    fn glue() -> String {
        let mut glue = String::from("kept(1);\n");
        for start in UNUSED_GLUE {
            glue += start;
            glue += if start.ends_with(['{', '(']) {
                ") {\n    {\n    }\n}\n"
            } else {
                ";\n"
            };
        }
        glue + "wasm.__wbindgen_start();\nwasm.__wbindgen_start(size);\n\
                const ret = startWorkers(arg0, arg1, wbg_rayon_PoolBuilder.__wrap(arg2));\n\
                export { initSync, __wbg_init as default };\n"
    }

    #[test]
    fn the_glue_ships_with_what_is_used() {
        assert_eq!(
            adapt_glue(&glue()).unwrap(),
            format!(
                "kept(1);\n{GUARDED_START});\n{GUARDED_START}size);\nconst ret = undefined;\n{INIT}\n"
            )
        );
    }

    #[test]
    fn unexpected_glue_is_refused() {
        for start in UNUSED_GLUE {
            assert!(
                adapt_glue(&glue().replace(start, "other(")).is_err(),
                "{start}"
            );
        }
        assert!(adapt_glue(&glue().replace("arg0, arg1", "other")).is_err());
        assert!(adapt_glue(&glue().replace("(size)", ".call()")).is_err());
        let extra = "import { x } from './snippets/other/x.js';\n";
        assert!(adapt_glue(&(extra.to_owned() + &glue())).is_err());
    }

    #[test]
    fn the_manifest_ships_without_what_only_building_needs() {
        let manifest = r#"{"name":"weirpool","version":"0.0.0","description":"x","keywords":["x"],"license":"x",
            "scripts":{"build":"x"},"devDependencies":{},"type":"module"}"#;
        let own = json!({"name": "my-jobs", "version": "1.2.3", "keywords": [], "license": null});
        let shipped = shipped_manifest(manifest, own.as_object().unwrap()).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&shipped).unwrap(),
            json!({"name": "my-jobs", "version": "1.2.3", "description": "x", "type": "module"})
        );
    }
}
