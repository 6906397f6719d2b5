//! Says which libtorch the host is compiled against, without linking it: plugins for another are listed as such.

#[path = "../sdk/build-support/libtorch_version.rs"]
mod libtorch;

use libtorch::libtorch_version;
use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../sdk/build-support/libtorch_version.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rustc-env=EFFERENCE_TARGET={}", env::var("TARGET").expect("cargo sets TARGET"));
    match version() {
        Ok((version, libtorch)) => {
            println!("cargo::rustc-env=EFFERENCE_LIBTORCH_VERSION={version}");
            println!("cargo::rustc-env=EFFERENCE_LIBTORCH={}", libtorch.display());
        }
        Err(error) => println!("cargo::error={error}"),
    }
}

/// Its version, and where it is.
fn version() -> Result<(String, PathBuf), String> {
    const HELP: &str = "Run `cargo xtask setup`: it finds or fetches libtorch and says where it is";
    let libtorch = env::var_os("LIBTORCH").ok_or_else(|| format!("LIBTORCH is not set. {HELP}."))?;
    let libtorch = PathBuf::from(libtorch);
    let (version, header) = libtorch_version(&libtorch).map_err(|error| format!("{error}. {HELP}."))?;
    println!("cargo::rerun-if-changed={}", header.display());
    // The real path: the link in the workspace may lead elsewhere one day.
    let libtorch =
        libtorch.canonicalize().map_err(|error| format!("{}: {error}. {HELP}.", libtorch.display()))?;
    Ok((version, libtorch))
}
