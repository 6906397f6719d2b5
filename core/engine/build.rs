//! Lets the host's binaries find libtorch when they are started without cargo, from any directory and with no
//! variable set.
use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let lib = env::var("DEP_EFFERENCE_SDK_LIBTORCH_LIB").expect("efference-sdk says where libtorch is");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    // Nothing calls into libtorch's CUDA part by name, so the linker would leave it out, and with it every
    // GPU.
    if Path::new(&lib).join("libtorch_cuda.so").exists() {
        println!("cargo::rustc-link-arg=-Wl,--no-as-needed,{lib}/libtorch_cuda.so,--as-needed");
    }
}
