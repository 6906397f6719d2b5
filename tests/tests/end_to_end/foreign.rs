//! Plugins that are not written in Rust: the C header, and a layer in C++ that is written against it.
use crate::program::{SMALL, Workplace, libtorch, repository};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The header as it should be: made by cbindgen from `core/abi`, behind the rules on that crate's first page.
fn header() -> String {
    let abi = repository().join("core/abi");
    let source = fs::read_to_string(abi.join("src/lib.rs")).unwrap();
    let page = source.lines().take_while(|line| line.starts_with("//!"));
    let page: Vec<_> = page.map(|line| line.replacen("//!", "//", 1).trim_end().to_owned()).collect();
    let mut config = cbindgen::Config::from_file(abi.join("cbindgen.toml")).unwrap();
    config.header = Some(page.join("\n"));
    let mut text = Vec::new();
    cbindgen::Builder::new().with_config(config).with_crate(&abi).generate().unwrap().write(&mut text);
    in_c(&String::from_utf8(text).unwrap())
}

/// The words of the doc comments, as they are in C: `[`Str`]` is `ef_Str`.
fn in_c(text: &str) -> String {
    let text =
        text.replace("`*const Tensor`", "`const ef_Tensor *`").replace("`*mut Tensor`", "`ef_Tensor *`");
    let text = text.replace("[`", "`ef_").replace("`]", "`");
    // Where a word leads to in Rust's documentation.
    let mut pieces = text.split("`(crate::");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |whole, piece| whole + "`" + piece.split_once(')').map_or(piece, |(_, rest)| rest))
}

#[test]
fn the_header_is_that_of_the_boundary() {
    let path = repository().join("core/abi/include/efference.h");
    let (right, there) = (header(), fs::read_to_string(&path).unwrap_or_default());
    if right != there && env::var_os("WRITE_HEADER").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &right).unwrap();
        return;
    }
    let differ = right.lines().zip(there.lines()).find(|(a, b)| a != b);
    assert!(
        right == there,
        "core/abi/include/efference.h is not what cbindgen makes of core/abi; set WRITE_HEADER=1 to write it \
         again. First difference: {differ:?}"
    );
}

#[track_caller]
fn compile(compiler: &str, options: &[&str], source: &Path, libraries: &[&str], to: &Path) {
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror"])
        .arg(format!("-I{}", repository().join("core/abi/include").display()))
        .args(options)
        .arg(source)
        .args(libraries)
        .arg("-o")
        .arg(to)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_header_is_plain_c_and_plain_cpp_and_may_be_included_twice() {
    let place = Workplace::new();
    let twice = "#include \"efference.h\"\n#include \"efference.h\"\n";
    let main = "int main(void) { ef_ActionGroup group = ef_ActionGroup_VALUE; return sizeof(ef_Manifest) == group.choices; }\n";
    let source = place.write("one.c", format!("{twice}{main}"));
    compile("cc", &["-std=c11", "-pedantic"], &source, &[], &place.path().join("one"));
    let source =
        place.write("one.cpp", format!("{twice}int main() {{ return sizeof(ef_Manifest) == 0; }}\n"));
    compile("c++", &["-std=c++17", "-pedantic"], &source, &[], &place.path().join("one"));
}

/// What plays the environment in C: it predicts a ramp, whose next value is known.
const COUNTS: &str = "name = \"counts\"\nsteps = 40\nthreads = 1\nenvironment = { plugin = \"counter\", period = 5 }\n\
    state.size = 16\nlayer.plugin = \"dense\"\nrecord.every = 1\n";

/// Runs the library in this folder, and stops and goes on.
#[track_caller]
fn counts(place: &Workplace) {
    place.write("counts.toml", COUNTS);
    let shown = place.efference(&["plugins", "show", "counter", "--path", "."]).expect(0);
    assert!(
        shown.stdout.starts_with("environment counter 0.1.0\n") && shown.stdout.contains("period"),
        "{shown}"
    );
    let ran = place.efference(&["run", "counts.toml", "--plugins", ".", "--runs", "runs"]).expect(0);
    assert!(ran.stdout.contains("exact"), "{ran}");
    let lines = place.run("counts").metrics();
    // The ramp goes up by 0.5 four times in five, and down by 2: half of the square of what the last value misses.
    let errors: Vec<f64> = lines[2..12].iter().map(|line| line["error_last"].as_f64().unwrap()).collect();
    assert_eq!(errors.iter().sum::<f64>(), 8.0 * 0.125 + 2.0 * 2.0, "{errors:?}");
    let verified =
        place.efference(&["verify-resume", "counts.toml", "--plugins", ".", "--at", "13"]).expect(0);
    assert!(verified.stdout.contains("Equal, bit for bit"), "{verified}");
}

#[test]
fn an_environment_in_c_is_an_environment_like_others() {
    let place = Workplace::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/counter/counter.c");
    let options = ["-std=c11", "-pedantic", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-s"];
    compile("cc", &options, &source, &[], &place.path().join("libcounter.so"));
    counts(&place);
    place
        .efference(&["check", "counts.toml", "--plugins", ".", "--set", "environment.period=1"])
        .expect(2)
        .says(&["`environment.period`"]);
    place.efference(&["plugins", "check", "libcounter.so"]).expect(0);
}

/// Built from `counter.c` when the boundary was new, and never again.
#[test]
fn a_library_of_long_ago_goes_on_being_loaded() {
    let place = Workplace::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/counter/libcounter-abi-2.so");
    place.write("libcounter.so", fs::read(kept).unwrap());
    counts(&place);
}

/// The layer in C++, compiled, in a directory of its own. It is kept until its sources change: libtorch's headers
/// take seconds to compile.
fn scale() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scale/scale.cpp");
    let header = repository().join("core/abi/include/efference.h");
    let libtorch = libtorch();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let made_of = format!("{}\n{}\n{}", libtorch.display(), read(&source), read(&header));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scale");
    let (library, mark) = (directory.join("libscale.so"), directory.join("made-of.txt"));
    if library.exists() && fs::read_to_string(&mark).is_ok_and(|mark| mark == made_of) {
        return directory;
    }
    fs::create_dir_all(&directory).unwrap();
    let include = |path: &str| format!("-isystem{}", libtorch.join(path).display());
    let options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", &include("include")];
    let libraries = [&format!("-L{}", libtorch.join("lib").display()), "-lc10", "-ltorch_cpu"];
    let linked = directory.join("libscale.so.new");
    compile("c++", &options, &source, &libraries, &linked);
    fs::rename(&linked, &library).unwrap();
    fs::write(&mark, made_of).unwrap();
    directory
}

#[test]
fn a_layer_in_cpp_is_a_layer_like_others() {
    let directory = scale();
    let directory = directory.to_str().unwrap();
    let shown = Workplace::new();
    let answer = shown.efference(&["plugins", "show", "scale", "--path", directory]).expect(0);
    assert!(answer.stdout.starts_with("layer scale 0.1.0\n"), "{answer}");
    assert!(answer.stdout.contains("start"), "{answer}");

    let path = format!("plugins.path=[{directory:?}]");
    let with = |command: &str, more: &[&str]| {
        let place = Workplace::new();
        place.write("small.toml", SMALL);
        let mut arguments = vec![command, "small.toml", "--set", &path, "--set", "layer.plugin=scale"];
        arguments.extend(more.iter().flat_map(|set| ["--set", set]));
        let answer = place.efference(&arguments);
        (place, answer)
    };
    // Gradients flow back through it, through time, to its parameter: with a learning rate it gets better than
    // without.
    let loss = |learning_rate: &str| {
        let learning_rate = format!("optimizer.learning_rate={learning_rate}");
        let sets =
            ["trainer.merge=merge", "trainer.unroll_length=4", "trainer.synthetic_gradient.enabled=false"];
        let (place, answer) = with("run", &[&sets[..], &["steps=300", &learning_rate]].concat());
        answer.expect(0);
        let metrics = place.run("small").metrics();
        metrics[250..].iter().map(|line| line["loss"].as_f64().unwrap()).sum::<f64>() / 50.0
    };
    let (learned, not) = (loss("0.03"), loss("1e-12"));
    assert!(learned < 0.9 * not, "the loss is {learned} with a learning rate, {not} without");
    // It does not say how many multiplications it makes: one for its one parameter is counted. Two layers make a
    // product each forward, and one for each that autograd will make: for their parameters, for the second one's input,
    // and in every second step for the first one's.
    let sets = ["trainer.synthetic_gradient.enabled=false", "trainer.unroll_length=2"];
    let answer = with("bench", &sets).1.expect(0);
    assert!(answer.stdout.contains("\nFLOP at least 11.0 a step, "), "{answer}");
    assert!(answer.stdout.contains("does not say how many multiplications"), "{answer}");
    // An exception of C++ and a problem in an option are reported as those of a plugin in Rust.
    let sets = ["layer.throw_in_step=3", "trainer.synthetic_gradient.enabled=false"];
    with("run", &sets).1.expect(1).says(&[
        "the run failed in step 3: ",
        "  plugin: layer 'scale'",
        "layer 'scale': no luck: thrown by scale.cpp",
    ]);
    // One that crosses the boundary, which no exception may, ends the process; the plugin is named all the same.
    with("run", &["layer.escape=true"]).1.expect(134).says(&[
        "the run failed in step 0: layer 'scale': died of SIGABRT (abort) in forward",
        "  plugin: layer 'scale'",
    ]);
    with("check", &["layer.strat=2.0"]).1.expect(2).says(&["did you mean `start`?"]);
    with("check", &["layer.start=\"two\""]).1.expect(2).says(&["`layer.start`", "expected a number"]);
}
