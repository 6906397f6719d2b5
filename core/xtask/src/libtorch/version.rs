//! Is this folder a libtorch, and is it the right one?

#[path = "../../../sdk/build-support/libtorch_version.rs"]
mod header;

use crate::error::{Error, Result};
use header::libtorch_version;
use std::path::Path;

/// The libtorch that the workspace's `tch` wants (a test holds the two together).
pub(crate) const VERSION: &str = "2.13.0";

/// Files without which nothing builds or starts.
const NEEDED: [&str; 4] = [
    "include/torch/csrc/api/include/torch/torch.h",
    "lib/libc10.so",
    "lib/libtorch.so",
    "lib/libtorch_cpu.so",
];

/// Says what is wrong with `folder` as a libtorch, if anything: a part of a sentence that follows the
/// folder's name.
pub(crate) fn fault(folder: &Path) -> Option<String> {
    if !folder.is_dir() {
        return Some("is not a folder".into());
    }
    if let Some(missing) = NEEDED.iter().find(|f| !folder.join(f).is_file()) {
        return Some(format!("is not a complete libtorch: it has no {missing}"));
    }
    match libtorch_version(folder) {
        Err(error) => Some(format!("has no header that says its version: {error}")),
        Ok((version, _)) if version != VERSION => {
            Some(format!("is libtorch {version}, and tch here needs {VERSION}"))
        }
        Ok(_) => None,
    }
}

/// The same as an error, for a folder that the user named.
pub(crate) fn check_users(folder: &Path) -> Result<()> {
    match fault(folder) {
        None => Ok(()),
        Some(fault) => {
            Err(Error::new(format!("LIBTORCH is set, but {} {fault}", folder.display())).help(format!(
                "Unset LIBTORCH to have libtorch {VERSION} fetched, or set it to the folder of a libtorch \
                 {VERSION} that has `lib` and `include` in it."
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// `torch-sys` refuses another libtorch; when it is updated, `VERSION` must be too.
    #[test]
    fn the_version_is_the_one_of_the_locked_tch() {
        let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        let lock: toml::Table = toml::from_str(&lock).unwrap();
        let packages = lock["package"].as_array().unwrap();
        let torch_sys = packages.iter().find(|p| p["name"].as_str() == Some("torch-sys")).unwrap();
        let locked = torch_sys["version"].as_str().unwrap();
        assert!(
            locked.starts_with("0.26."),
            "torch-sys is now {locked}: look up TORCH_VERSION in its build.rs"
        );
    }
}
