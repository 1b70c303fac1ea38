//! Builds the npm package of another crate, which has handlers of its own: weirpool's files around that crate's module,
//! and what that crate says of itself.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::build::{self, Crate, GLUE, LICENCES};
use crate::process::{command, output};
use crate::setup;
use crate::toolchain::{cargo_target, package as weirpool, root};

/// What a crate says of itself, under names that cargo and npm share.
const FIELDS: [&str; 7] = [
    "name",
    "version",
    "description",
    "keywords",
    "license",
    "homepage",
    "repository",
];

/// Builds the package of the crate in `folder`, into that crate's folder `pkg`.
pub(crate) fn package(folder: &Path) -> Result<()> {
    let own = Own::read(folder)?;
    let toolchain = setup::for_build()?;
    build::build_typescript()?;

    let pkg = own.folder.join("pkg");
    fs_err::create_dir_all(&pkg)?;
    build::build_wasm(
        toolchain,
        &Crate {
            folder: own.folder.clone(),
            library: &own.library,
            arguments: &[],
            target: own.target(),
            output: pkg.clone(),
        },
    )?;
    build::minify(&pkg.join(GLUE))?;
    own.write(&weirpool(), &pkg)?;
    println!("{}", pkg.display());
    println!("weirpool's code is in it: its licences are there as LICENSE-WEIRPOOL-…");
    Ok(())
}

/// What cargo knows of a crate.
#[derive(Debug)]
struct Own {
    folder: PathBuf,
    /// The name of its library's file.
    library: String,
    /// What its package says of it; what it does not say is null.
    fields: Map<String, Value>,
    readme: Option<PathBuf>,
}

impl Own {
    fn read(folder: &Path) -> Result<Self> {
        // One path to it, since cargo takes `..` out of those it prints and follows no links.
        let manifest = fs_err::canonicalize(folder)?.join("Cargo.toml");
        if !manifest.is_file() {
            bail!(
                "there is no crate in {}: it has no Cargo.toml",
                folder.display()
            );
        }
        let mut metadata = command("cargo", &root());
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
        let folder = manifest
            .parent()
            .context("a manifest lies in a folder")?
            .to_owned();
        Ok(Self {
            library: text(&library["name"]).replace('-', "_"),
            fields: FIELDS
                .map(|field| (field.to_owned(), own[field].clone()))
                .into_iter()
                .collect(),
            readme: own["readme"].as_str().map(|readme| folder.join(readme)),
            folder,
        })
    }

    /// Where cargo builds it: not where it builds another crate. The modules of two that have one name, in two folders,
    /// are one file there, and cargo would take the last for both.
    fn target(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.folder.hash(&mut hasher);
        cargo_target()
            .join("own")
            .join(format!("{}-{:016x}", self.library, hasher.finish()))
    }

    /// Writes all of the package that its module does not make. `scripts` is where weirpool's are.
    fn write(&self, scripts: &Path, pkg: &Path) -> Result<()> {
        for entry in fs_err::read_dir(scripts)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != GLUE && (name.ends_with(".js") || name.ends_with(".d.ts")) {
                build::copy_if_changed(&entry.path(), &pkg.join(name))?;
            }
        }
        for name in LICENCES {
            let named = name.replace("LICENSE-", "LICENSE-WEIRPOOL-");
            build::copy_if_changed(&root().join(name), &pkg.join(named))?;
        }
        // Files of the crate that npm ships by their names.
        for entry in fs_err::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_file() && name.to_string_lossy().starts_with("LICENSE") {
                build::copy_if_changed(&entry.path(), &pkg.join(name))?;
            }
        }
        let readme = pkg.join("README.md");
        match &self.readme {
            Some(own) => build::copy_if_changed(own, &readme)?,
            None if readme.exists() => fs_err::remove_file(readme)?,
            None => {}
        }
        let manifest = fs_err::read_to_string(root().join("wasm/package.json"))?;
        let manifest = build::shipped_manifest(&manifest, &self.fields)?;
        Ok(fs_err::write(pkg.join("package.json"), manifest)?)
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
                "manifest_path": "/jobs/Cargo.toml",
                "dependencies": dependencies,
                "targets": targets,
                "readme": "../README.md",
            },
        ]});
        Own::find(&metadata, Path::new("/jobs/Cargo.toml"))
    }

    #[test]
    fn a_crate_is_found_in_what_cargo_prints() {
        let weirpool = json!([{"name": "rayon"}, {"name": "weirpool-wasm"}]);
        let library =
            json!([{"kind": ["test"], "name": "t"}, {"kind": ["lib"], "name": "my-jobs"}]);
        let own = find(&weirpool, &library).unwrap();
        assert_eq!(own.library, "my_jobs");
        assert_eq!(own.folder, Path::new("/jobs"));
        assert_eq!(own.readme.as_deref(), Some(Path::new("/jobs/../README.md")));
        let message = |result: Result<Own>| result.unwrap_err().to_string();
        assert!(message(find(&json!([]), &library)).contains("does not depend on weirpool-wasm"));
        let program = json!([{"kind": ["bin"], "name": "my-jobs"}]);
        assert!(message(find(&weirpool, &program)).contains("has no library"));
        assert!(message(Own::read(&root())).contains("a workspace"));
        assert!(message(Own::read(&root().join("tests"))).contains("no crate"));
    }

    /// Reads a crate by that path to it, which leads to `tests/rust-jobs`.
    fn assert_read(folder: &Path) {
        let own = Own::read(folder).unwrap();
        assert_eq!(own.fields["name"], "my-jobs", "{}", folder.display());
        let real = fs_err::canonicalize(root().join("tests/rust-jobs")).unwrap();
        assert_eq!(own.folder, real);
    }

    #[test]
    fn a_crate_is_found_by_any_path_to_it() {
        assert_read(&root().join("tests/rust-jobs"));
        assert_read(&root().join("xtask/../tests/./rust-jobs"));
        // Tests run in xtask's folder.
        assert_read(Path::new("../tests/rust-jobs/"));
        #[cfg(unix)]
        {
            let link = std::env::temp_dir().join(format!("weirpool-link-{}", std::process::id()));
            std::os::unix::fs::symlink(root().join("tests/rust-jobs"), &link).unwrap();
            assert_read(&link);
            fs_err::remove_file(link).unwrap();
        }
    }

    #[test]
    fn crates_of_one_name_are_built_apart() {
        let at = |folder: &str| Own {
            folder: folder.into(),
            library: "my_jobs".into(),
            fields: Map::new(),
            readme: None,
        };
        assert_eq!(at("/a").target(), at("/a").target());
        assert_ne!(at("/a").target(), at("/b").target());
        assert!(at("/a").target().starts_with(cargo_target()));
    }

    #[test]
    fn a_package_speaks_of_its_crate_alone() {
        let folder = std::env::temp_dir().join(format!("weirpool-own-{}", std::process::id()));
        let (scripts, own) = (folder.join("scripts"), folder.join("own"));
        let pkg = own.join("pkg");
        for made in [&scripts, &own.join("src"), &pkg] {
            fs_err::create_dir_all(made).unwrap();
        }
        for name in [
            "index.js",
            "index.d.ts",
            "wasm.js",
            "weirpool.wasm",
            "package.json",
            "README.md",
            "CHANGELOG.md",
            "API.md",
            "LICENSE-MIT",
        ] {
            fs_err::write(scripts.join(name), "weirpool").unwrap();
        }
        let manifest = |more: &str| {
            let text = format!(
                "[package]\nname = \"mine\"\nversion = \"1.2.3\"\n{more}\n\
                 [dependencies]\nweirpool-wasm = \"1\"\n[workspace]\n"
            );
            fs_err::write(own.join("Cargo.toml"), text).unwrap();
            Own::read(&own).unwrap().write(&scripts, &pkg).unwrap();
            let mut files: Vec<String> = fs_err::read_dir(&pkg)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let text = fs_err::read_to_string(pkg.join("package.json")).unwrap();
            (files, serde_json::from_str::<Value>(&text).unwrap())
        };
        fs_err::write(own.join("src/lib.rs"), "").unwrap();
        fs_err::write(own.join("README.md"), "mine").unwrap();
        fs_err::write(own.join("LICENSE-MIT"), "mine").unwrap();

        let (files, said) =
            manifest("description = \"Mine.\"\nkeywords = [\"own\"]\nlicense = \"MIT\"");
        assert_eq!(
            files,
            [
                "LICENSE-MIT",
                "LICENSE-WEIRPOOL-APACHE",
                "LICENSE-WEIRPOOL-MIT",
                "README.md",
                "index.d.ts",
                "index.js",
                "package.json",
            ]
        );
        for name in ["README.md", "LICENSE-MIT"] {
            assert_eq!(fs_err::read_to_string(pkg.join(name)).unwrap(), "mine");
        }
        assert_eq!(said["name"], "mine");
        assert_eq!(said["version"], "1.2.3");
        assert_eq!(said["description"], "Mine.");
        assert_eq!(said["keywords"], json!(["own"]));
        assert_eq!(said["license"], "MIT");
        assert_eq!(said["exports"]["./worker"]["default"], "./worker.js");

        fs_err::remove_file(own.join("README.md")).unwrap();
        let (files, said) = manifest("");
        assert!(!files.contains(&"README.md".to_owned()), "{files:?}");
        for field in &FIELDS[2..] {
            assert_eq!(said.get(field), None, "{field}");
        }

        fs_err::remove_dir_all(folder).unwrap();
    }
}
