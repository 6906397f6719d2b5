//! Finds out which libtorch the SDK is compiled against; the host refuses a plugin made for another.
//!
//! It also makes `cargo test` and `cargo run` find libtorch in this crate and in every crate that depends on
//! it, with no build script of their own: cargo puts a search path that lies inside `OUT_DIR` into the
//! `LD_LIBRARY_PATH` of what it starts (doc tests included), so a link in there that leads to libtorch is
//! enough. A binary that is started without cargo needs an rpath; `core/engine/build.rs` shows how to set it.

#[path = "build-support/libtorch_version.rs"]
mod libtorch;

use libtorch::libtorch_version;
use std::os::unix;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=EFFERENCE_TARGET={}", env::var("TARGET").expect("cargo sets TARGET"));
    let lib = PathBuf::from(env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys says where libtorch is"));
    // The real path: an rpath must stay right when a link in the workspace is changed or gone.
    let lib = lib.canonicalize().unwrap_or_else(|e| panic!("cannot find libtorch in {}: {e}", lib.display()));
    println!("cargo::metadata=libtorch_lib={}", lib.display());

    let link = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("libtorch");
    let _ = fs::remove_file(&link); // left by an earlier run
    unix::fs::symlink(&lib, &link).unwrap_or_else(|e| panic!("cannot make {}: {e}", link.display()));
    println!("cargo::rustc-link-search=native={}", link.display());

    // The C++ part of `efference_sdk::autograd`.
    let include = lib.join("../include");
    for file in ["backward.cpp", "nodes.cpp", "pool.cpp", "recycled.cpp", "rust_node.h", "shim.cpp"] {
        println!("cargo::rerun-if-changed=src/autograd/{file}");
    }
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .warnings(false)
        // A step of a small agent goes through more code than the innermost cache holds: shorter code is faster code.
        .opt_level(2)
        .flag_if_supported("-fvect-cost-model=dynamic")
        .flag_if_supported("-fno-plt")
        .define("NDEBUG", None) // as libtorch itself is compiled: its headers check themselves without it
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/autograd/nodes.cpp")
        .file("src/autograd/pool.cpp")
        .compile("efference_autograd_shim");

    println!("cargo::rerun-if-changed=build-support/libtorch_version.rs");
    let (version, header) = libtorch_version(&lib.join("..")).unwrap_or_else(|error| panic!("{error}"));
    println!("cargo::rerun-if-changed={}", header.display());
    println!("cargo::rustc-env=EFFERENCE_LIBTORCH_VERSION={version}");
}
