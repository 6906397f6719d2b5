//! Says where the binaries of this package find libtorch when they run.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_EFFERENCE_SDK_LIBTORCH_LIB") {
        // libtorch finds its own parts relative to its real place, not to a link's.
        let lib = std::fs::canonicalize(&lib).unwrap_or_else(|_| lib.into());
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}
