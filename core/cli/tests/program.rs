//! The program as people type it, in a directory of its own.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory on the disk that the program was built on, with the program in it.
fn installed() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = dir.path().join("efference");
    fs::hard_link(env!("CARGO_BIN_EXE_efference"), &program).unwrap();
    (dir, program)
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_remove("EFFERENCE_PLUGIN_PATH").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A library with one layer, `mine`, for the host that this program belongs to.
fn layer(directory: &Path) -> PathBuf {
    let host = efference_cli::engine_identity();
    let source = format!(
        "struct {{ char magic[8]; unsigned abi, size; char sdk[16], libtorch[16], target[48], features[{}], plugins[{}]; \
         void *entries; unsigned long count; void *init; }} efference_plugin = {{ \"EFFERENC\", {}, {}, \"0.1.0\", \
         \"{}\", \"{}\", \"\", \"layer/mine\\t1.2.3\\tMixes.\\n\" }};",
        efference_abi::FEATURES_LEN,
        efference_abi::PLUGINS_LEN,
        efference_abi::ABI_VERSION,
        size_of::<efference_abi::Manifest>(),
        host.libtorch_version,
        host.target,
    );
    let (code, file) = (directory.join("mine.c"), directory.join("libmine.so"));
    fs::write(&code, source).unwrap();
    assert!(Command::new("cc").arg("-shared").arg("-o").args([&file, &code]).status().unwrap().success());
    file
}

#[test]
fn plugins_are_listed_without_the_host() {
    let (dir, program) = installed();
    let none = run(&program, &["plugins"]);
    assert_eq!(none.status.code(), Some(1));
    let error = format!("error: no plugins were found in {}", dir.path().display());
    assert!(text(&none.stderr).starts_with(&error), "{none:?}");

    let elsewhere = tempfile::tempdir().unwrap();
    let file = layer(elsewhere.path());
    let bad = elsewhere.path().join("libefference_bad.so");
    fs::write(&bad, "a page of text").unwrap();
    let some = run(&program, &["plugins", "--path", elsewhere.path().to_str().unwrap()]);
    let expected = format!(
        "layer        mine        1.2.3    Mixes.\n             {}\nnot loaded:  {} is not a library: it is no \
         ELF file. Give the path of a plugin's shared library (lib….so)\n",
        file.display(),
        bad.display()
    );
    assert_eq!((text(&some.stdout), some.status.code()), (&*expected, Some(0)));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (dir, program) = installed();
    layer(dir.path());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        Command::new(&program).arg("plugins").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

/// Names the one plugin that [`layer`] makes.
const SPEC: &str = "[layer]\nplugin = \"mine\"\n";

#[test]
fn what_needs_libtorch_is_done_by_the_engine_whose_status_is_passed_on() {
    let (dir, program) = installed();
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/efference-engine");
    symlink(host, dir.path().join("efference-engine")).unwrap();
    // The host is found from a link to the program too.
    let bin = tempfile::tempdir().unwrap();
    let link = bin.path().join("efference");
    symlink(&program, &link).unwrap();
    // Its options are not known, so whether the spec is good is the engine's to say.
    layer(dir.path());
    fs::write(dir.path().join("a spec.toml"), SPEC).unwrap();
    for arguments in [
        &["run", "a spec.toml", "--set", "trainer.unroll_length=1", "--runs", "r"][..],
        &["bench", "a spec.toml", "--json"],
    ] {
        let mut command = Command::new(&link);
        command.args(arguments).current_dir(dir.path()).env("XDG_CACHE_HOME", dir.path().join("cache"));
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let expected = format!("{}\n{}\n", child.id(), arguments.join("\n"));
        let output = child.wait_with_output().unwrap();
        assert_eq!((text(&output.stdout), output.status.code()), (&*expected, Some(42)));
    }
    let without_spec = run(&link, &["run"]);
    assert_eq!(without_spec.status.code(), Some(2));
    assert!(text(&without_spec.stderr).contains("Usage: efference run <SPEC>"), "{without_spec:?}");
    let help = run(&link, &["--help"]);
    assert!(
        help.status.success() && text(&help.stdout).contains("Usage: efference [OPTIONS] <COMMAND>"),
        "{help:?}"
    );
}

#[test]
fn a_missing_host_is_reported_with_the_help() {
    let (dir, program) = installed();
    layer(dir.path());
    fs::write(dir.path().join("spec.toml"), SPEC).unwrap();
    let spec = dir.path().join("spec.toml");
    let cache = dir.path().join("cache");
    let run = |arguments: &[&str]| {
        Command::new(&program).args(arguments).env("XDG_CACHE_HOME", &cache).output().unwrap()
    };
    let expected = format!(
        "error: {} is not there. It does what needs libtorch, and lies beside this program: build the workspace with \
         `cargo xtask build`\n",
        dir.path().canonicalize().unwrap().join("efference-engine").display()
    );
    for arguments in [
        &["check", spec.to_str().unwrap()][..],
        &["run", spec.to_str().unwrap()],
        &["plugins", "show", "mine"],
    ] {
        let output = run(arguments);
        assert!(text(&output.stderr).ends_with(&expected), "{output:?}");
        assert_eq!(output.status.code(), Some(1));
    }
    fs::write(dir.path().join("efference-engine"), "not to be executed").unwrap();
    let output = run(&["check", spec.to_str().unwrap()]);
    assert!(
        text(&output.stderr).contains("efference-engine cannot be started: Permission denied"),
        "{output:?}"
    );
}

#[test]
fn an_engine_that_ends_is_reported_with_the_library_that_it_loaded() {
    let (dir, program) = installed();
    let file = layer(dir.path());
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/efference-engine");
    symlink(engine, dir.path().join("efference-engine")).unwrap();
    let mut show = Command::new(&program);
    show.args(["plugins", "show", "mine"]).env("XDG_CACHE_HOME", dir.path().join("cache"));
    let output = show.output().unwrap();
    let error = text(&output.stderr);
    assert!(error.starts_with(&format!("error: {} ended the engine", file.display())), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

/// That is what makes it quick.
#[test]
fn the_program_does_not_need_libtorch() {
    let program = fs::read(env!("CARGO_BIN_EXE_efference")).unwrap();
    let has = |name: &str| program.windows(name.len()).any(|w| w == name.as_bytes());
    assert!(has("libc.so.6"), "the names of what it needs are in it");
    assert!(!has("libtorch_cpu.so") && !has("libstdc++.so"));
}

/// What is completed is checked by the shell itself: it reads the script, and is asked what may follow.
#[test]
fn bash_completes_commands_and_flags_by_the_script() {
    let (dir, program) = installed();
    let script = run(&program, &["completions", "bash"]);
    assert_eq!((script.status.code(), text(&script.stderr)), (Some(0), ""));
    let file = dir.path().join("efference.bash");
    fs::write(&file, &script.stdout).unwrap();
    let completed = |words: &str| {
        let asks = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             $(complete -p efference | sed 's/.*-F \\([^ ]*\\).*/\\1/') efference \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo ${{COMPREPLY[@]}}",
            file.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &asks]).output().unwrap();
        assert_eq!(text(&output.stderr), "");
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(completed("efference verify-"), "verify-resume");
    assert_eq!(completed("efference explain --plu"), "--plugins");
    for shell in ["zsh", "fish"] {
        let script = run(&program, &["completions", shell]);
        assert!(text(&script.stdout).contains("verify-resume"), "{shell}");
    }
}

#[test]
fn manual_pages_are_printed_and_written() {
    let (dir, program) = installed();
    let page = run(&program, &["man"]);
    assert_eq!(page.status.code(), Some(0));
    for said in [".TH efference 1", "efference\\-verify\\-resume(1)"] {
        assert!(text(&page.stdout).contains(said), "{said}: {}", text(&page.stdout));
    }
    let folder = dir.path().join("share/man1");
    let written = run(&program, &["man", "--out", folder.to_str().unwrap()]);
    assert_eq!(text(&written.stdout), format!("{}\n", folder.join("efference.1").display()));
    let page = fs::read_to_string(folder.join("efference-run.1")).unwrap();
    assert!(page.contains(".SH SYNOPSIS") && page.contains("\\-\\-set"), "{page}");

    fs::write(dir.path().join("file"), "").unwrap();
    let refused = run(&program, &["man", "--out", dir.path().join("file/man1").to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the pages cannot be written to "), "{refused:?}");
}
