//! What the compiler says of common mistakes: one error each, which says what to write.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A layer that compiles.
const RIGHT: &str = r#"
use efference_sdk::tch::Tensor;
use efference_sdk::{Layer, LayerSetup, Plugin, Result};
use std::ops::Range;

efference_sdk::options! {
    /// Options of `double`.
    pub struct Options {
        /// What is multiplied with.
        pub factor: f64 = 2.0,
    }
}

struct Double(f64);

impl Plugin for Double {
    const NAME: &'static str = "double";
    const DESCRIPTION: &'static str = "Doubles.";
    type Options = Options;
    type Kind = dyn Layer;

    fn new(options: Options, _: &LayerSetup<'_>) -> Result<Self> {
        Ok(Double(options.factor))
    }
}

impl Layer for Double {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Ok(x.f_narrow(1, outs.start, outs.end - outs.start)?.f_mul_scalar(self.0)?)
    }
}

efference_sdk::export! { layer: Double }
"#;

/// This SDK as it was compiled for this test: the newest of what lies beside it.
fn sdk() -> PathBuf {
    let folder = env::current_exe().unwrap().parent().unwrap().to_owned();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let libraries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let libraries =
        libraries.filter(|path| name(path).starts_with("libefference_sdk-") && name(path).ends_with(".rlib"));
    libraries.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

/// What the compiler says of a plugin.
fn compiled(name: &str, source: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{name}.rs"));
    fs::write(&file, source).unwrap();
    let sdk = sdk();
    let output = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "-C", "opt-level=3"])
        .arg("--out-dir")
        .arg(folder)
        .arg("--extern")
        .arg(format!("efference_sdk={}", sdk.display()))
        .arg("-L")
        .arg(format!("dependency={}", sdk.parent().unwrap().display()))
        .arg(&file)
        .env("CARGO_PKG_VERSION", "1.0.0")
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

/// Compiles the layer with a part of it replaced: it must be refused, with this first error and no other.
#[track_caller]
fn refused(name: &str, from: &str, to: &str, texts: &[&str]) {
    assert_eq!(RIGHT.matches(from).count(), 1, "{from}");
    let said = compiled(name, &RIGHT.replace(from, to));
    assert_eq!(said.matches("\nerror").count() + usize::from(said.starts_with("error")), 2, "{said}");
    assert!(said.contains("aborting due to 1 previous error"), "{said}");
    for text in texts {
        assert!(said.contains(text), "'{text}' is not said: {said}");
    }
}

#[test]
fn a_plugin_without_a_mistake_compiles() {
    assert_eq!(compiled("right", RIGHT), "");
}

#[test]
fn an_option_without_a_default_is_one_error() {
    let said = "the option `factor` has no default: write `factor: f64 = …`";
    refused("no_default", "pub factor: f64 = 2.0", "pub factor: f64", &[said]);
}

#[test]
fn missing_options_are_one_error() {
    let said = "not all trait items implemented, missing: `Options`";
    refused("no_options", "    type Options = Options;\n", "", &[said, "type Options = "]);
}

#[test]
fn another_kind_than_its_own_is_one_error() {
    let texts = ["type mismatch resolving `<Double as Plugin>::Kind == dyn Cell`", "type Kind = dyn Layer;"];
    refused("wrong_kind", "export! { layer: Double }", "export! { cell: Double }", &texts);
}

#[test]
fn a_kind_whose_trait_is_missing_is_one_error() {
    let rest = &RIGHT[RIGHT.find("impl Layer for").unwrap()..RIGHT.find("efference_sdk::export!").unwrap()];
    refused("no_trait", rest, "", &["the trait bound `Double: efference_sdk::Layer` is not satisfied"]);
}
