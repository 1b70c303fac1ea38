//! Builds the npm package of another crate, which has handlers of its own: weirpool's files around that crate's module,
//! under its name and version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::build::{self, Crate, OF_THE_MODULE};
use crate::process::output;
use crate::setup;
use crate::toolchain::{Toolchain, cargo_target, package as weirpool, root};

/// Builds the package of the crate in `folder`, into that crate's folder `pkg`.
pub(crate) fn package(folder: &Path) -> Result<()> {
    let toolchain = setup::for_build()?;
    let folder = std::path::absolute(folder)?;
    let own = Own::read(toolchain, &folder)?;
    build::build_package()?;

    let pkg = folder.join("pkg");
    fs_err::create_dir_all(&pkg)?;
    for entry in fs_err::read_dir(weirpool())? {
        let entry = entry?;
        if !OF_THE_MODULE.contains(&entry.file_name().to_string_lossy().as_ref()) {
            build::copy_if_changed(&entry.path(), &pkg.join(entry.file_name()))?;
        }
    }
    build::build_wasm(
        toolchain,
        &Crate {
            folder,
            library: &own.library,
            arguments: &[],
            target: cargo_target(),
            output: pkg.clone(),
        },
    )?;
    build::minify(&pkg.join("wasm.js"))?;
    let manifest = fs_err::read_to_string(root().join("wasm/package.json"))?;
    let manifest = build::shipped_manifest(&manifest, &own.name, &own.version)?;
    fs_err::write(pkg.join("package.json"), manifest)?;
    println!("{}", pkg.display());
    Ok(())
}

/// What cargo knows of a crate.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    name: String,
    version: String,
    /// The name of its library's file.
    library: String,
}

impl Own {
    fn read(toolchain: Toolchain, folder: &Path) -> Result<Self> {
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            bail!(
                "there is no crate in {}: it has no Cargo.toml",
                folder.display()
            );
        }
        let mut metadata = toolchain.command("cargo")?;
        metadata
            .args(["metadata", "--no-deps", "--format-version=1"])
            .arg("--manifest-path")
            .arg(&manifest);
        let metadata = serde_json::from_str(&output(&mut metadata)?);
        Self::find(&metadata.context("what cargo metadata printed")?, &manifest)
    }

    /// The crate of that manifest in what `cargo metadata` printed.
    fn find(metadata: &Value, manifest: &Path) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let own = list(&metadata["packages"])
            .into_iter()
            .find(|own| PathBuf::from(text(&own["manifest_path"])) == manifest)
            .with_context(|| {
                let manifest = manifest.display();
                format!("{manifest} is that of a workspace: give the folder of one crate in it")
            })?;
        let name = text(&own["name"]);
        if !list(&own["dependencies"])
            .iter()
            .any(|dependency| dependency["name"] == "weirpool-wasm")
        {
            bail!("{name} does not depend on weirpool-wasm");
        }
        let library = list(&own["targets"])
            .into_iter()
            .find(|target| {
                let kinds = list(&target["kind"]);
                kinds.iter().any(|kind| kind == "lib" || kind == "cdylib")
            })
            .with_context(|| format!("{name} has no library: its jobs belong into src/lib.rs"))?;
        Ok(Self {
            name,
            version: text(&own["version"]),
            library: text(&library["name"]).replace('-', "_"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(dependencies: &Value, targets: &Value) -> Result<Own> {
        let metadata = json!({"packages": [
            {"name": "other", "manifest_path": "/other/Cargo.toml"},
            {
                "name": "my-jobs",
                "version": "1.2.3",
                "manifest_path": "/jobs/Cargo.toml",
                "dependencies": dependencies,
                "targets": targets,
            },
        ]});
        Own::find(&metadata, Path::new("/jobs/Cargo.toml"))
    }

    #[test]
    fn a_crate_is_found_in_what_cargo_prints() {
        let weirpool = json!([{"name": "rayon"}, {"name": "weirpool-wasm"}]);
        let library =
            json!([{"kind": ["test"], "name": "t"}, {"kind": ["lib"], "name": "my-jobs"}]);
        assert_eq!(
            find(&weirpool, &library).unwrap(),
            Own {
                name: "my-jobs".into(),
                version: "1.2.3".into(),
                library: "my_jobs".into(),
            }
        );
        let message = |result: Result<Own>| result.unwrap_err().to_string();
        assert!(message(find(&json!([]), &library)).contains("does not depend on weirpool-wasm"));
        let program = json!([{"kind": ["bin"], "name": "my-jobs"}]);
        assert!(message(find(&weirpool, &program)).contains("has no library"));
        let workspace = Own::find(&json!({"packages": []}), Path::new("/jobs/Cargo.toml"));
        assert!(message(workspace).contains("a workspace"));
    }
}
