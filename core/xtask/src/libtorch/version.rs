//! Is this folder a libtorch, and is it the right one?

use crate::error::{Error, Result};
use std::fs;
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
    match version(folder) {
        None => Some("has no header that tells its version (include/torch/headeronly/version.h)".into()),
        Some(version) if version != VERSION => {
            Some(format!("is libtorch {version}, and tch here needs {VERSION}"))
        }
        Some(_) => None,
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

fn version(folder: &Path) -> Option<String> {
    // Since 2.9 in the first place, in older ones in the second.
    ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"]
        .iter()
        .find_map(|header| version_in(&fs::read_to_string(folder.join(header)).ok()?))
}

fn version_in(header: &str) -> Option<String> {
    let number = |part: &str| {
        let prefix = format!("#define TORCH_VERSION_{part} ");
        header.lines().find_map(|l| l.strip_prefix(&prefix)?.trim().parse::<u32>().ok())
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_header() {
        let header = "#pragma once\n/// words\n#define TORCH_VERSION_MAJOR 2\n\
                      #define TORCH_VERSION_MINOR 13\n\
                      #define TORCH_VERSION_PATCH 0\n#define TORCH_VERSION \\\n  \"2.13.0\"\n";
        assert_eq!(version_in(header).as_deref(), Some("2.13.0"));
        assert_eq!(version_in("#pragma once\n"), None);
    }

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
