//! What comes in: libraries that change or are damaged, foreign specs, streams that are closed or full, a directory that is
//! gone.
use crate::program::{Answer, SMALL, Workplace, plugin_file};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// [`SMALL`] with a library of its own in `plugins`, which is called by another name than the bundled one.
fn with_library(place: &Workplace, name: &str) {
    let file = plugin_file(name);
    place.write(&format!("plugins/lib{name}.so"), fs::read(file).unwrap());
    place.write("small.toml", format!("{SMALL}\n[plugins]\npath = [\"plugins\"]\n"));
}

/// What a shell prints and answers that runs the program as `$0`.
fn shell(place: &Workplace, line: &str) -> Answer {
    let program = place.command(&[]).get_program().to_owned();
    let mut command = Command::new("bash");
    command.args(["-c", line]).arg(program).current_dir(place.path()).env_clear().stdin(Stdio::null());
    place.start(&mut command).wait()
}

#[test]
fn a_library_that_is_written_over_under_a_run_does_not_reach_it() {
    let place = Workplace::new();
    with_library(&place, "dense");
    let arguments = ["run", "small.toml", "--set", "steps=100_000_000", "--set", "record.every=10"];
    let mut run = place.start(&mut place.command(&arguments));
    let lines = || {
        fs::read_dir(place.path().join("runs/small")).map_or(0, |runs| {
            let lines =
                |run: fs::DirEntry| fs::read_to_string(run.path().join("metrics.jsonl")).unwrap_or_default();
            runs.flatten().map(|run| lines(run).lines().count()).sum()
        })
    };
    run.until(|| lines() > 2);
    // As `cp` and a linker that is killed do it: the same file, cut and written anew.
    let file =
        fs::OpenOptions::new().write(true).truncate(true).open(place.path().join("plugins/libdense.so"));
    file.unwrap().write_all(b"no library any more").unwrap();
    let seen = lines();
    run.until(|| lines() > seen + 20);
    rustix::process::kill_process(run.process(), rustix::process::Signal::INT).unwrap();
    run.wait().expect(130);
    assert_eq!(place.run("small").end()["how"], "stopped");
}

#[test]
fn a_sealed_library_with_any_bit_flipped_is_refused_by_every_command() {
    let place = Workplace::new();
    with_library(&place, "dense");
    let file = place.path().join("plugins/libdense.so");
    place.efference(&["plugins", "seal", "plugins/libdense.so"]).expect(0);
    place.efference(&["run", "small.toml"]).expect(0);
    let whole = fs::read(&file).unwrap();
    let mut state = 7_u64;
    let mut flipped = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = (state >> 20) as usize % ((whole.len() - 48) * 8);
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for round in 0..60 {
        fs::write(&file, flipped()).unwrap();
        let command = ["check", "run"][round % 2];
        let answer = place.efference(&[command, "small.toml"]).expect(2);
        // One in the headers is refused for what it says there, and the others for the seal.
        let why = [
            "is damaged: it is not what was sealed",
            "not loaded: ",
            "there is no layer plugin",
            "can't be loaded",
        ];
        assert!(why.iter().any(|why| answer.stderr.contains(why)), "round {round}: {answer}");
    }
    fs::write(&file, flipped()).unwrap();
    let listed = place.efference(&["plugins", "--path", "plugins"]).expect(0);
    assert!(listed.stdout.contains("not loaded:"), "{listed}");
    // Who builds it anew has a library without a seal.
    fs::write(&file, &whole[..whole.len() - 48]).unwrap();
    place.efference(&["run", "small.toml"]).expect(0);
    let answer = place.efference(&["plugins", "seal", "small.toml", "nowhere.so"]).expect(1);
    answer.says(&["small.toml is not a library: it is no ELF file", "nowhere.so cannot be read"]);
}

/// A library in C that writes a file as soon as it is loaded.
fn that_writes(place: &Workplace, name: &str) -> bool {
    let manifest = format!(
        "#include <stdio.h>\n__attribute__((constructor)) static void loaded(void) {{ FILE *f = fopen(\"loaded-{name}\", \
         \"w\"); if (f) fclose(f); }}\n\
         struct {{ char magic[8]; unsigned abi, size; char sdk[16], libtorch[16], target[48], features[{}], plugins[{}]; \
         void *entries; unsigned long count; void *init; }} efference_plugin = {{ \"EFFERENC\", {}, {}, \"0.1.0\", \
         \"{}\", \"{}\", \"\", \"layer/{name}\\t1.2.3\\tMixes \\033[31m red.\\n\" }};",
        efference_abi::FEATURES_LEN,
        efference_abi::PLUGINS_LEN,
        efference_abi::ABI_VERSION,
        size_of::<efference_abi::Manifest>(),
        efference_cli::engine_identity().libtorch_version,
        efference_cli::engine_identity().target,
    );
    let code = place.write(&format!("{name}.c"), manifest);
    let file = place.path().join(format!("plugins/lib{name}.so"));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&file, &code]).status();
    match built {
        Ok(status) => {
            assert!(status.success());
            true
        }
        Err(why) => {
            eprintln!("SKIPPED: there is no C compiler: {why}");
            false
        }
    }
}

#[test]
fn of_the_libraries_that_a_spec_names_only_the_chosen_ones_are_loaded_and_after_a_word() {
    let place = Workplace::new();
    if !that_writes(&place, "stranger") || !that_writes(&place, "chosen") {
        return;
    }
    let loaded = |name: &str| place.path().join(format!("loaded-{name}")).exists();
    // An unknown key, which could be an option of any layer.
    let text = SMALL.replace("plugin = \"dense\"", "plugin = \"dense\"\nradix = 8\nnobody_has_this = 1");
    place.write("small.toml", format!("{text}\n[plugins]\npath = [\"plugins\"]\n"));
    let answer = place.efference(&["check", "small.toml"]).expect(2);
    answer.says(&["there is no key `nobody_has_this`", "1 problem"]);
    place.efference(&["run", "small.toml"]).expect(2);
    assert!(!loaded("stranger") && !loaded("chosen"));

    let text = SMALL.replace("\"dense\"", "\"chosen\"");
    place.write("small.toml", format!("{text}\n[plugins]\npath = [\"plugins\"]\n"));
    let answer = place.efference(&["check", "small.toml"]).expect(2);
    let note = format!(
        "note: the layer plugin 'chosen' is loaded from {}, which small.toml:{} names\n",
        place.path().canonicalize().unwrap().join("plugins/libchosen.so").display(),
        text.lines().count() + 3
    );
    assert!(answer.stderr.starts_with(&note), "no '{note}' in {answer}");
    assert!(loaded("chosen") && !loaded("stranger"));
    // Its description would colour the terminal.
    let listed = place.efference(&["plugins", "--path", "plugins"]).expect(0);
    assert!(
        listed.stdout.contains("Mixes \\u{1b}[31m red.") && !listed.stdout.contains('\u{1b}'),
        "{listed}"
    );
}

#[test]
fn silent_choices_are_noted() {
    let place = Workplace::new();
    with_library(&place, "dense");
    // Not the bundled one, to the byte.
    let file = place.path().join("plugins/libdense.so");
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(&[0]).unwrap();
    let answer = place.efference(&["check", "small.toml"]).expect(0);
    let said = answer.stderr.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ");
    let bundled = plugin_file("dense");
    let note = format!("{} has one of this name too, which is not used", bundled.display());
    assert!(
        said.contains("the layer plugin `dense` is that of") && said.contains(&note),
        "no '{note}' in {answer}"
    );

    let place = Workplace::new();
    place.write("small.toml", format!("{SMALL}\n[plugins]\npath = [\"gone\"]\n[sweep]\nseed = [1, 2]\n"));
    let answer = place.efference(&["run", "small.toml"]).expect(0);
    answer.says(&[
        "`plugins.path[0]`",
        "is not there",
        "small.toml has a [sweep]",
        "`efference sweep small.toml`",
    ]);
    assert_eq!(place.runs("small").len(), 1);
    let mut command = place.command(&["check", "small.toml", "--set", "plugins.path=[]"]);
    let answer = place.start(command.env("EFFERENCE_PLUGIN_PATH", "/nowhere/at/all")).wait().expect(0);
    answer.says(&["note: EFFERENCE_PLUGIN_PATH names /nowhere/at/all, which is no directory"]);
    for command in
        [&["plugins", "--path", "gone"][..], &["draw", "ldl", "--ins", "4", "--outs", "4", "--path", "gone"]]
    {
        place.efference(command).expect(0).says(&["note: there is no directory gone"]);
    }
}

#[test]
fn a_closed_pipe_is_silent_and_a_full_disk_is_an_error() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place.write("bad.toml", SMALL.replace("seed = 3", "sead = 3"));
    place.efference(&["run", "small.toml", "--id", "a", "--set", "steps=30"]).expect(0);
    if !Path::new("/dev/full").exists() {
        return eprintln!("SKIPPED: there is no /dev/full");
    }
    let all = [
        ("check small.toml", 0),
        ("check small.toml --explain", 0),
        ("check bad.toml", 2),
        ("check nowhere.toml", 2),
        ("plugins", 0),
        ("plugins show ldl", 0),
        ("runs", 0),
        ("runs --format json", 0),
        ("watch", 0),
        ("diff small/a small/a", 0),
        ("bench small.toml --steps 3 --warm-up 1", 0),
        ("bench small.toml --steps 3 --warm-up 1 --json", 0),
        ("draw ldl --ins 4 --outs 4", 0),
        ("simulate-decisions --repeats 2", 0),
        ("sweep small.toml --set sweep.seed=[1] --dry-run", 0),
        ("--help", 0),
        ("run --help", 0),
        ("--version", 0),
        ("no-such-command", 2),
    ];
    for (command, good) in all {
        // Both streams of a reader that has gone, standard output alone, and none at all.
        for streams in ["2>&1 | true", "2> said | true", ">&- 2>&-"] {
            let pipe = if streams.contains('|') { "exit ${PIPESTATUS[0]}" } else { "exit $?" };
            let answer = shell(&place, &format!("\"$0\" {command} {streams}; {pipe}"));
            assert_eq!(answer.code, Some(good), "{command} {streams}: {answer}");
            assert!(!answer.stderr.contains("panic"), "{command} {streams}: {answer}");
        }
        let answer = shell(&place, &format!("\"$0\" {command} 2> /dev/full; exit $?"));
        assert_eq!(answer.code, Some(good), "{command}: {answer}");
        let answer = shell(&place, &format!("\"$0\" {command} > /dev/full; exit $?"));
        match good {
            0 => {
                let answer = answer.expect(1);
                let sentence =
                    "error: standard output cannot be written: No space left on device (os error 28)";
                assert_eq!(answer.stderr.matches(sentence).count(), 1, "{command}: {answer}");
            }
            bad => drop(answer.expect(bad)),
        }
    }
    // A run is in its directory; that its progress was not shown does not undo it.
    let answer = shell(&place, "\"$0\" run small.toml --id b > /dev/full; exit $?").expect(0);
    assert!(!answer.stderr.contains("panic"), "{answer}");
}

#[test]
fn a_current_directory_that_is_gone_is_one_sentence() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let spec = place.path().join("small.toml");
    for command in [
        "run SPEC",
        "check SPEC",
        "bench SPEC",
        "plugins",
        "runs",
        "watch",
        "sweep SPEC",
        "compare x",
        "draw ldl --ins 2 --outs 2",
    ] {
        let command = command.replace("SPEC", spec.to_str().unwrap());
        let line = format!("mkdir -p gone && cd gone && rmdir ../gone && \"$0\" {command}");
        let answer = shell(&place, &line).expect(1);
        assert!(
            answer.stderr.starts_with("error: the current directory cannot be used"),
            "{command}: {answer}"
        );
        assert_eq!(answer.stderr.lines().count(), 1, "{command}: {answer}");
    }
}

#[test]
fn a_tilde_behind_an_equals_sign_is_the_home_directory() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place.write("base.toml", "extends = \"~/small.toml\"\n[plugins]\npath = [\"~/gone\"]\n");
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::copy(place.path().join("small.toml"), home.join("small.toml")).unwrap();
    let mut command =
        place.command(&["run", "base.toml", "--runs=~/all runs", "--id", "a", "--set", "steps=2"]);
    let answer = place.start(command.env("HOME", &home)).wait().expect(0);
    answer.says(&[&format!("`{}` is not there", home.join("gone").display())]);
    assert!(
        home.join("all runs/base/a/spec.toml").is_file() || home.join("all runs/small/a/spec.toml").is_file()
    );
    assert!(!place.path().join("~").exists());
    let answer = place.efference(&["run", "small.toml", "--runs=~nobody-has-this-name/x"]).expect(2);
    answer.says(&["only a shell knows another user's home directory", "Write the path out"]);
}

#[test]
fn a_state_that_is_too_small_is_said_of_the_state() {
    let place = Workplace::new();
    place.write("small.toml", SMALL.replace("size = 64", "size = 16"));
    let answer = place.efference(&["run", "small.toml"]).expect(1);
    let answer =
        answer.says(&["`state.size` is 16: a stream observes 36 values", "need a state of 40. Set `size`"]);
    assert!(!answer.stderr.contains("options of environment"), "{answer}");
    assert_eq!(place.run("small").end()["plugin"], serde_json::Value::Null);
}

#[test]
fn what_a_killed_bench_left_is_removed_by_the_next() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let temporary = place.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let there = || fs::read_dir(&temporary).unwrap().count();
    let mut bench = place.command(&["bench", "small.toml", "--steps", "100000000"]);
    let mut bench = place.start(bench.env("TMPDIR", &temporary));
    bench.until(|| there() == 1);
    let engine = format!("pkill -KILL -P {}", bench.process().as_raw_nonzero());
    // Where the program waits for its engine, that is killed too.
    let _ = Command::new("sh").args(["-c", &engine]).status();
    bench.kill();
    let began = std::time::Instant::now();
    while began.elapsed().as_secs() < 20 {
        let mut next = place.command(&["bench", "small.toml", "--steps", "2", "--warm-up", "1"]);
        place.start(next.env("TMPDIR", &temporary)).wait().expect(0);
        if there() == 0 {
            return;
        }
    }
    panic!("{} directories are left", there());
}

#[test]
fn what_a_library_finds_beside_itself_is_found_from_its_copy() {
    let place = Workplace::new();
    if !that_writes(&place, "plain") {
        return;
    }
    // The same library, which needs another one that lies beside it.
    let helper = place.write("helper.c", "int help_me(void) { return 1; }\n");
    let library = place.path().join("plugins/more/libhelper.so");
    fs::create_dir_all(library.parent().unwrap()).unwrap();
    let source = fs::read_to_string(place.path().join("plain.c")).unwrap().replace("plain", "needy");
    let calls = "int help_me(void); int uses(void) { return help_me(); }";
    let source = place.write("needy.c", format!("{source}\n{calls}\n"));
    let needy = place.path().join("plugins/libneedy.so");
    let show = || place.efference(&["plugins", "show", "needy", "--path", "plugins"]).expect(1);
    // By its own name, and by the name of its file.
    for name in ["-Wl,-soname,libhelper.so", "-Wl,-O1"] {
        let cc = |arguments: &[&str], files: [&Path; 2]| {
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-o"]).args(files).args(arguments);
            assert!(cc.status().unwrap().success());
        };
        cc(&[name], [&library, &helper]);
        let at = format!("-L{}", library.parent().unwrap().display());
        let options = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN/more", &at, "-lhelper"];
        cc(&options, [&needy, &source]);
        // It was loaded: what it lacks is in its table, and not its helper.
        show().says(&["libneedy.so has a damaged manifest: its table names no function that starts it"]);
        fs::remove_file(place.path().join("loaded-needy")).unwrap();
        fs::remove_file(&library).unwrap();
        show().says(&["libneedy.so cannot be loaded: libhelper.so: cannot open shared object file"]);
        assert!(!place.path().join("loaded-needy").exists());
    }
}
