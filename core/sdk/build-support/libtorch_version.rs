//! Which version a libtorch has, read from its header. The build scripts and xtask include this file by its path, since
//! a crate for it would have to be built before anything else.

use std::fs;
use std::path::{Path, PathBuf};

/// Where libtorch says its version: since 2.9 in the first place, before that in the second.
const HEADERS: [&str; 2] =
    ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"];

/// The version of the libtorch in a folder, such as `2.13.0`, and the header that says so.
///
/// `2.13.0+cu130` and `2.13.0+cpu` have the same C++ interface, so what follows the `+` is left out. An error is a
/// sentence without its full stop.
pub(crate) fn libtorch_version(libtorch: &Path) -> Result<(String, PathBuf), String> {
    let headers = HEADERS.map(|header| libtorch.join(header));
    let header = headers.iter().find(|header| header.is_file()).unwrap_or(&headers[0]);
    let text = fs::read_to_string(header).map_err(|e| format!("cannot read {}: {e}", header.display()))?;
    let version = defined(&text).ok_or_else(|| format!("{} does not say TORCH_VERSION", header.display()))?;
    Ok((version.to_owned(), header.clone()))
}

fn defined(header: &str) -> Option<&str> {
    let (_, behind) = header.split_once("#define TORCH_VERSION \\")?;
    let version = behind.split('"').nth(1)?;
    Some(version.split('+').next().unwrap_or(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_header() {
        let header = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n/// words\n#define TORCH_VERSION \\\n  \"2.13.0+cpu\"\n";
        assert_eq!(defined(header), Some("2.13.0"));
        assert_eq!(defined("#define TORCH_VERSION_MAJOR 2\n"), None);
        assert_eq!(defined("#pragma once\n"), None);
    }

    #[test]
    fn a_folder_without_a_header_is_an_error_that_names_it() {
        let error = libtorch_version(Path::new("/nowhere")).unwrap_err();
        assert!(error.starts_with("cannot read /nowhere/include/torch/headeronly/version.h: "), "{error}");
    }
}
