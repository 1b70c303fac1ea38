//! Whether a product is still that of its inputs: names, sizes and times of change of the inputs, kept beside it.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use walkdir::{DirEntry, WalkDir};

/// What a product was made from.
pub(crate) struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    /// Reads the inputs (files, or folders with all that is in them); `extra` is what else the product depends on.
    pub(crate) fn new(file: PathBuf, inputs: &[PathBuf], extra: &str) -> Result<Self> {
        let mut wanted = format!("{extra}\n");
        for input in inputs.iter().filter(|input| input.exists()) {
            let walk = WalkDir::new(input)
                .sort_by_file_name()
                .into_iter()
                .filter_entry(is_input);
            for entry in walk {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_file() {
                    let changed = metadata.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
                    wanted += &format!("{} {} {changed}\n", entry.path().display(), metadata.len());
                }
            }
        }
        Ok(Self { file, wanted })
    }

    /// Whether the product was made from just these inputs.
    pub(crate) fn is_fresh(&self) -> bool {
        fs_err::read_to_string(&self.file).is_ok_and(|made| made == self.wanted)
    }

    /// Notes that the product is made.
    pub(crate) fn write(&self) -> Result<()> {
        fs_err::create_dir_all(self.file.parent().unwrap_or(Path::new(".")))?;
        Ok(fs_err::write(&self.file, &self.wanted)?)
    }
}

fn is_input(entry: &DirEntry) -> bool {
    !matches!(
        entry.file_name().to_str(),
        Some("node_modules" | "dist" | "target")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_fresh_until_an_input_changes() {
        let folder = std::env::temp_dir().join(format!("weirpool-stamp-{}", std::process::id()));
        fs_err::create_dir_all(folder.join("in/node_modules")).unwrap();
        fs_err::write(folder.join("in/a"), "1").unwrap();
        let stamp = |extra| {
            Stamp::new(
                folder.join("stamp"),
                &[folder.join("in"), folder.join("none")],
                extra,
            )
            .unwrap()
        };

        assert!(!stamp("x").is_fresh());
        stamp("x").write().unwrap();
        assert!(stamp("x").is_fresh());
        assert!(!stamp("y").is_fresh(), "something else changed");
        fs_err::write(folder.join("in/node_modules/b"), "1").unwrap();
        assert!(stamp("x").is_fresh(), "installed packages are no inputs");
        fs_err::write(folder.join("in/a"), "22").unwrap();
        assert!(!stamp("x").is_fresh(), "an input changed");
        stamp("x").write().unwrap();
        fs_err::write(folder.join("in/c"), "").unwrap();
        assert!(!stamp("x").is_fresh(), "an input came");

        fs_err::remove_dir_all(folder).unwrap();
    }
}
