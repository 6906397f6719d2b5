//! Each plugin library exports one symbol, of the same name in all; the test program links several of them, and looks none
//! of them up.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-tests=-Wl,-z,muldefs");
}
