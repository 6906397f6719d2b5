//! `efference plugins new`: plugins outside of this repository, made, built, tested and run as those who write them do.
use crate::program::{Answer, SMALL, Workplace};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cache of a user, which stays from one run of the tests to the next: what all plugins need is built once.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-plugins")
}

#[track_caller]
fn efference(place: &Workplace, arguments: &[&str]) -> Answer {
    place.start(place.command(arguments).env("XDG_CACHE_HOME", cache())).wait()
}

/// Cargo in a folder, with nothing set but where it is itself.
#[track_caller]
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder).env_clear();
    for name in
        ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "HTTPS_PROXY", "SSL_CERT_FILE"]
    {
        command.envs(env::var_os(name).map(|value| (name, value)));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} in {}: {said}", folder.display());
    // The C++ part of `tch` takes minutes: it is the one that efference was built with.
    assert!(!said.contains("Compiling torch-sys") || !said.contains("build-script"), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

/// The layer alone, since the first build takes minutes on a machine that has other work; what is written for the other kinds is
/// built with this repository, and checked in `plugin_checks.rs`.
#[test]
#[ignore = "builds a crate and all that it needs, which takes minutes the first time"]
fn a_layer_builds_passes_its_tests_and_its_checks_and_runs() {
    let place = Workplace::new();
    let made = efference(&place, &["plugins", "new", "layer", "own-layer"]).expect(0);
    assert!(made.stdout.contains("src/lib.rs") && made.stdout.contains("cargo test"), "{made}");
    let (folder, spec) = (place.path().join("own-layer"), "own-layer/own-layer.toml");
    efference(&place, &["plugins", "--plugins", "own-layer"])
        .expect(0)
        .says(&["is the folder of a crate that was not built yet: run `cargo build` in it"]);

    cargo(&folder, &["build"]);
    cargo(&folder, &["test", "--lib"]);
    let library = folder.join("target/debug/libown_layer.so");
    let listed = efference(&place, &["plugins", "--plugins", "own-layer"]).expect(0);
    assert!(listed.stdout.contains(library.file_name().unwrap().to_str().unwrap()), "{listed}");
    assert_eq!(listed.stderr, "");
    efference(&place, &["check", spec]).expect(0);
    efference(&place, &["run", spec, "--set", "steps=200", "--runs", "runs"]).expect(0);
    efference(&place, &["plugins", "check", "own-layer"]).expect(0);
    found_by_flag_and_by_variable(&place);
}

/// The layer that was made, by its folder, in an experiment that does not know of it.
fn found_by_flag_and_by_variable(place: &Workplace) {
    place.write("small.toml", SMALL);
    let own = ["small.toml", "--set", "layer.plugin=own-layer"];
    let with = |command: &str, more: &[&str]| efference(place, &[&[command], &own[..], more].concat());
    with("check", &[]).expect(2).says(&["there is no layer plugin `own-layer`"]);
    with("check", &["--plugins", "own-layer"]).expect(0);
    with("run", &["--plugins", "own-layer", "--runs", "runs", "--id", "by-flag"]).expect(0);
    // The run remembers where it was.
    efference(place, &["resume", "runs/small/by-flag", "--steps", "20"]).expect(0);
    efference(
        place,
        &[
            "verify-resume",
            "small.toml",
            "--set",
            "layer.plugin=own-layer",
            "--plugins",
            "own-layer",
            "--at",
            "5",
        ],
    )
    .expect(0);
    efference(place, &["draw", "own-layer", "--ins", "4", "--outs", "4", "--plugins", "own-layer"])
        .expect(1)
        .says(&["own-layer"]);
    let shown = efference(place, &["--plugins", "own-layer", "plugins", "show", "own-layer"]).expect(0);
    assert!(shown.stdout.contains("rank"), "{shown}");
    let mut command =
        place.command(&[&["run"], &own[..], &["--runs", "runs", "--id", "by-variable"]].concat());
    place
        .start(command.env("EFFERENCE_PLUGIN_PATH", "own-layer").env("XDG_CACHE_HOME", cache()))
        .wait()
        .expect(0);
}

#[test]
fn an_environment_in_python_is_made_tested_and_run() {
    let place = Workplace::new();
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let Some(python) = python.ok().filter(|output| output.status.success()) else {
        return eprintln!("SKIPPED: there is no python3");
    };
    let python = String::from_utf8(python.stdout).unwrap();
    efference(&place, &["plugins", "new", "environment", "own-world", "--lang", "python"]).expect(0);
    let folder = place.path().join("own-world");
    let tested = Command::new(python.trim()).arg("test_own_world.py").current_dir(&folder).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let command = format!("environment.command=[{:?}, \"own_world.py\"]", python.trim());
    let arguments =
        ["run", "own-world.toml", "--set", &command, "--set", "steps=300", "--set", "record.every=300"];
    place.start(place.command(&arguments).current_dir(&folder)).wait().expect(0);
    let arguments =
        ["verify-resume", "own-world.toml", "--set", &command, "--set", "steps=100", "--at", "40"];
    let verified = place.start(place.command(&arguments).current_dir(&folder)).wait().expect(0);
    assert!(verified.stdout.contains("Equal, bit for bit"), "{verified}");
}

#[test]
fn a_layer_in_cpp_is_made_built_checked_and_run() {
    let place = Workplace::new();
    efference(&place, &["plugins", "new", "layer", "own-layer", "--lang", "cpp"]).expect(0);
    let folder = place.path().join("own-layer");
    // Quickly built, not quick: libtorch's headers alone take seconds.
    let built = Command::new("make").arg("CXXFLAGS=-O0 -Werror").current_dir(&folder).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let checked = efference(&place, &["plugins", "check", "own-layer"]).expect(0);
    assert!(checked.stdout.contains("agree with finite differences"), "{checked}");
    let run = ["run", "own-layer/own-layer.toml", "--set", "steps=20", "--runs", "runs"];
    efference(&place, &run).expect(0);
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is_written() {
    let place = Workplace::new();
    let refused = |arguments: &[&str], texts: &[&str]| {
        efference(&place, &[&["plugins", "new"], arguments].concat()).expect(1).says(texts);
    };
    refused(&["layer", "MyLayer"], &["'MyLayer' cannot be the name of a plugin", "did you mean 'my-layer'?"]);
    refused(&["layer", "match"], &["Rust or Python use it for something else", "my-match"]);
    refused(&["goal", "mine", "--lang", "cpp"], &["only a layer can be made in C++"]);
    refused(&["layer", "mine", "--lang", "python"], &["only an environment can be written in Python"]);
    refused(
        &["layer", "mine", "--sources", "nowhere"],
        &["the SDK is not in nowhere/core/sdk", "--sources DIR"],
    );
    place.write("mine/notes.txt", "my own");
    refused(&["layer", "mine"], &["mine is there already", "--into"]);
    refused(&["layer", "dense"], &["there is a layer plugin 'dense' already", "choose another name"]);
    let names: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let made = names.iter().filter(|name| !name.to_string_lossy().starts_with('.')).count();
    assert_eq!(made, 1, "{names:?}");
}
