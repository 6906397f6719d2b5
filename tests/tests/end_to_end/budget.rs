//! What an experiment takes is known, and what cannot be is refused, before anything is made for it.
use crate::program::{Answer, SMALL, Workplace, programs, repository};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// [`SMALL`] in a workplace, with these keys set, for a command.
fn arguments<'a>(command: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    [command, "small.toml"].into_iter().chain(sets).collect()
}

fn workplace() -> Workplace {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    place
}

#[track_caller]
fn check(sets: &[&str]) -> Answer {
    workplace().efference(&arguments("check", sets))
}

/// The words of what was said: a report is broken into lines.
fn words(answer: &Answer) -> String {
    answer.stderr.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ")
}

/// `check` finds something, and so does `run`, without a signal; `check` says these texts.
#[track_caller]
fn refused(sets: &[&str], texts: &[&str]) {
    let place = workplace();
    let answer = place.efference(&arguments("check", sets)).expect(2);
    assert_eq!(answer.stdout, "", "{answer}");
    let said = words(&answer);
    for text in texts {
        assert!(said.contains(text), "no '{text}' in {answer}");
    }
    let answer = place.efference(&arguments("run", sets));
    assert!(matches!(answer.code, Some(1 | 2)), "{answer}");
    for run in place.runs("small") {
        assert_eq!(run.end()["how"], "failed", "{answer}");
    }
}

/// A dense agent that no machine holds: more than the addresses of a process.
const HUGE: [&str; 2] = ["state.size=16_777_216", "trainer.merge=\"concat\""];

#[test]
fn what_no_memory_holds_is_refused_with_the_number_the_limit_and_the_key() {
    // z and h of 2²⁴ · 2²⁴ weights, and the input's of 2²⁵ · 2²⁴; two layers of the synthetic gradient's.
    let texts = ["it takes about 60.0 PiB (parameters 6.00 PiB", "can be had (", "`--force`"];
    refused(&HUGE, &texts);
    let place = workplace();
    let answer = place.efference(&arguments("run", &HUGE)).expect(1);
    assert!(answer.stderr.contains("the run failed in step 0: it takes about 60.0 PiB"), "{answer}");
    let end = place.run("small").end();
    assert!(end["messages"][0].as_str().unwrap().contains("can be had"), "{end}");
    place.efference(&arguments("bench", &HUGE)).expect(1).says(&["it takes about 60.0 PiB"]);
}

#[test]
fn a_failed_allocation_is_an_error_with_an_end() {
    let place = workplace();
    let mut arguments = arguments("run", &HUGE);
    arguments.push("--force");
    let answer = place
        .efference(&arguments)
        .expect(1)
        .says(&["there is no memory for a tensor of shape", "layer 'dense'"]);
    assert_eq!(place.run("small").end()["how"], "failed", "{answer}");
}

#[test]
fn what_only_seems_not_to_fit_can_be_forced() {
    // A million steps would be kept, of which two are made.
    let sets = ["steps=2", "state.size=65_536", "layer.plugin=\"ldl\"", "trainer.unroll_length=1_000_000"];
    let place = workplace();
    let mut arguments = arguments("run", &sets);
    place.efference(&arguments).expect(1).says(&["unroll", "With `trainer.unroll_length = ", "--force"]);
    arguments.push("--force");
    place.efference(&arguments).expect(0);
}

#[test]
fn sizes_have_an_upper_end() {
    refused(&["cell.layers=1_000_000_000"], &["`cell.layers` must be at most 4096, found 1000000000"]);
    refused(&["trainer.synthetic_gradient.layers=5_000"], &["must be at most 4096"]);
    refused(&["state.size=9_223_372_036_854_775_807"], &["`state.size` must be at most 1_099_511_627_776"]);
    refused(&["trainer.unroll_length=9_223_372_036_854_775_807"], &["must be at most 1_000_000"]);
    refused(&["state.size=1_099_511_627_776"], &["more elements than any memory holds"]);
    let most = ["state.size=1_099_511_627_776", "layer.plugin=\"ldl\"", "trainer.merge=\"concat\""];
    refused(&most, &["can be had (", "With `state.size = "]);
    refused(
        &["environment.streams=65_536", "environment.size=256", "state.size=131_072", "layer.plugin=\"ldl\""],
        &["environment.streams"],
    );
}

#[test]
fn what_would_fail_in_the_first_step_is_found_with_the_key_to_change() {
    let maximize = "goal.plugin=\"maximize\"";
    refused(&[maximize, "state.size=65"], &["--set state.size=65:", "even number", "`state.size = 128`"]);
    refused(&["state.size=39"], &["--set state.size=39:", "need a state of 40"]);
    refused(&["environment.radius=64"], &["--set environment.radius=64:", "make the box larger"]);
    let catch = "environment.world=\"catch\"";
    refused(&[catch, "environment.paddle=7"], &["--set environment.paddle=7:", "box of size 6"]);
    refused(&["environment.speed=4"], &["--set environment.speed=4:", "box of size 6"]);
    refused(&["trainer.action_input=true"], &["--set trainer.action_input=true:", "wants no actions"]);
    refused(&["layer.gain=1e400"], &["`layer.gain`"]);
    refused(&["cell.out_mult=inf"], &["must be a finite number"]);
}

#[test]
fn parameters_memory_and_arithmetic_are_those_of_the_layers() {
    let sets = ["state.size=256", "trainer.synthetic_gradient.enabled=false", "trainer.unroll_length=2"];
    let answer = check(&sets).expect(0);
    // z and h: 256 · 256 weights, 256 biases and the factor behind them. Two moments each.
    let parameters = 2 * (256 * 256 + 256 + 1);
    assert_eq!(parameters, 131_586);
    let text = &answer.stdout;
    assert!(text.starts_with("small.toml is a good spec.\nparameters  131,586\n"), "{answer}");
    assert!(text.contains("(parameters 514 KiB, gradients 514 KiB, optimizer 1.00 MiB, "), "{answer}");
    // See the same agent in `bench.rs`: three and a half products a step, of two operations each.
    assert!(text.contains("about 459 k FLOP, of 1 stream\n"), "{answer}");
    assert_eq!(answer.stderr, "");
    let sgd = check(&[&sets[..], &["optimizer.kind=\"sgd\"", "environment.streams=3"]].concat()).expect(0);
    assert!(
        sgd.stdout.contains("optimizer 0 B, ") && sgd.stdout.contains("about 1.38 M FLOP, of 3 streams"),
        "{sgd}"
    );
    let all = check(&["goal.plugin=\"gradmax\"", "environment.world=\"catch\""]).expect(0);
    assert!(all.stdout.contains(" FLOP"), "{all}");
}

/// The estimate of a step of an experiment of the repository, and what the bench measures.
#[track_caller]
fn estimated_and_measured(name: &str, sets: &[&str]) -> (f64, Value) {
    let place = Workplace::new();
    let file = repository().join("experiments").join(name);
    let file = file.to_str().unwrap();
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let answer = place.efference(&[&["check", file], &sets[..]].concat()).expect(0);
    let line = answer.stdout.lines().find_map(|line| line.strip_prefix("a step      about "));
    let line = line.unwrap_or_else(|| panic!("no estimate in {answer}"));
    let (number, unit) = line.split_once(" FLOP").unwrap().0.split_once(' ').unwrap();
    let scale = ["k", "M", "G"].iter().position(|u| *u == unit).unwrap() as i32;
    let estimate = number.parse::<f64>().unwrap() * 1000_f64.powi(scale + 1);
    let bench = [&["bench", file, "--json", "--steps", "48", "--warm-up", "16"], &sets[..]].concat();
    let answer = place.efference(&bench).expect(0);
    (estimate, serde_json::from_str(&answer.stdout).unwrap())
}

#[test]
fn the_estimate_of_a_step_is_what_the_bench_measures() {
    for name in ["first-light.toml", "credit.toml", "ldl-or-dense.toml", "unroll-length.toml"] {
        let (estimate, measured) = estimated_and_measured(name, &["threads=1"]);
        let measured = measured["flop"].as_f64().unwrap();
        assert!((estimate / measured - 1.0).abs() < 0.1, "{name}: {estimate} and {measured}");
    }
}

/// The most memory of a few steps of an experiment of the repository, in MiB.
#[track_caller]
fn most_memory(name: &str, sets: &[&str]) -> f64 {
    let file = repository().join("experiments").join(name);
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let bench = ["bench", file.to_str().unwrap(), "--json", "--steps", "8", "--warm-up", "2"];
    let answer = Workplace::new().efference(&bench.into_iter().chain(sets).collect::<Vec<_>>()).expect(0);
    serde_json::from_str::<Value>(&answer.stdout).unwrap()["peak_memory"].as_f64().unwrap()
}

#[test]
fn memory_is_estimated_within_a_factor_of_two() {
    // By the step, so that there is a checkpoint however long the steps take.
    let sets = [
        "device=\"cpu\"",
        "threads=1",
        "layer.plugin=\"dense\"",
        "state.size=2_048",
        "environment.size=32",
        "checkpoint.every=4",
    ];
    // What the program takes by itself comes on top.
    let measured = most_memory("cuda.toml", &sets) - most_memory("first-light.toml", &["threads=1"]);
    let file = repository().join("experiments/cuda.toml");
    let check = ["check", file.to_str().unwrap()].into_iter();
    let check: Vec<&str> = check.chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let answer = Workplace::new().efference(&check).expect(0);
    let line = answer.stdout.lines().find_map(|line| line.strip_prefix("memory      about "));
    let mebibytes = line.and_then(|line| line.split_once(" MiB (")?.0.parse::<f64>().ok());
    let mebibytes = mebibytes.unwrap_or_else(|| panic!("no memory in {answer}"));
    let ratio = mebibytes / measured;
    assert!((0.5..2.0).contains(&ratio), "estimated {mebibytes} MiB, measured {measured} MiB: {answer}");
}

#[test]
fn a_second_check_remembers_and_another_spec_is_another_question() {
    let place = workplace();
    let ask = |sets: &[&str]| {
        let mut command = place.command(&arguments("check", sets));
        place.start(command.env("HOME", place.path())).wait().expect(0).stdout
    };
    let first = ask(&[]);
    let remembered = place.path().join(".cache/efference/forecasts");
    let files: Vec<_> = fs::read_dir(&remembered).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    // Whoever finds another number there says it.
    let mut forecast: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    forecast["budget"]["parameters"] = 12_345.into();
    fs::write(&files[0], forecast.to_string()).unwrap();
    let second = ask(&["seed=9", "name=\"other\""]);
    assert!(second.contains("parameters  12,345\n") && !first.contains("12,345"), "{second}");
    assert!(!ask(&["layer.bias=false"]).contains("12,345"));
    fs::write(&files[0], "{").unwrap();
    assert_eq!(ask(&[]), first, "what cannot be read is asked again");
}

#[test]
fn a_sweep_starts_no_more_members_than_fit() {
    let place = workplace();
    let sweep = "\n[sweep]\nseed = [1, 2]\n\"state.size\" = [64, 16_777_216]\n";
    place.write("small.toml", SMALL.replace("merge = \"add\"", "merge = \"concat\"") + sweep);
    let answer = place.efference(&["sweep", "small.toml"]).expect(2);
    let said = words(&answer);
    assert!(said.contains("it takes about 60.0 PiB") && said.contains("small.toml:"), "{answer}");
    assert!(place.runs("small").iter().all(|run| !run.path.join("metrics.jsonl").exists()));
}

/// Runs [`SMALL`] without its number of threads, by a program before it; the number of threads and the processors that the
/// run says.
fn threads(before: &[&str]) -> (u64, Value) {
    let place = Workplace::new();
    place.write("small.toml", SMALL.replace("threads = 1\n", ""));
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(programs().join("efference")).args(["run", "small.toml"]);
    command.current_dir(place.path()).env_clear();
    place.start(&mut command).wait().expect(0);
    let provenance: Value = serde_json::from_str(&place.run("small").read("provenance.json")).unwrap();
    (provenance["threads"].as_u64().unwrap(), provenance["machine"]["processors"].clone())
}

#[test]
fn threads_keep_to_the_affinity() {
    const TASKSET: &str = "/usr/bin/taskset";
    if !Path::new(TASKSET).exists() {
        eprintln!("SKIPPED: there is no {TASKSET}");
        return;
    }
    let (threads, processors) = threads(&[TASKSET, "-c", "0"]);
    assert_eq!((threads, processors["affinity"].as_u64()), (1, Some(1)));
}

#[test]
fn a_run_has_the_same_numbers_on_one_thread_on_two_and_on_as_many_as_there_are() {
    let place = Workplace::new();
    place.write("small.toml", SMALL.replace("threads = 1\n", ""));
    // Large enough for all kernels to share their work.
    let large =
        ["state.size=65_536", "layer.plugin=ldl", "goal.plugin=maximize", "steps=8", "record.every=4"];
    let run = |id: &str, threads: &[&str]| {
        let mut words = vec!["run", "small.toml", "--id", id];
        words.extend(large.iter().chain(threads).flat_map(|set| ["--set", set]));
        place.efference(&words).expect(0);
    };
    run("one", &["threads=1"]);
    run("two", &["threads=2"]);
    run("auto", &[]);
    for other in ["two", "auto"] {
        let answer = place.efference(&["diff", "runs/small/one", &format!("runs/small/{other}")]).expect(0);
        assert!(answer.stdout.contains("the same, bit for bit, by 8 fingerprints"), "{answer}");
    }
}

/// A control group with half a processor; removed when it is dropped.
struct HalfAProcessor {
    group: std::path::PathBuf,
}

impl HalfAProcessor {
    fn new() -> Result<Self, String> {
        let name = format!("efference-test-{}", std::process::id());
        let quota = |root: &str, files: &[(&str, &str)]| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).map_err(|e| format!("{}: {e}", group.display()))?;
            let made = HalfAProcessor { group };
            for (file, text) in files {
                let path = made.group.join(file);
                fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
            }
            Ok(made)
        };
        let first = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")];
        match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            true => quota("/sys/fs/cgroup", &[("cpu.max", "50000 100000")]),
            false => quota("/sys/fs/cgroup/cpu", &first),
        }
    }
}

impl Drop for HalfAProcessor {
    fn drop(&mut self) {
        // Until the last process has left it, which takes a moment, it can't be removed.
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn half_a_processor_is_one_thread() {
    let half = match HalfAProcessor::new() {
        Ok(half) => half,
        Err(why) => {
            eprintln!("SKIPPED: no control group can be made here: {why}");
            return;
        }
    };
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", half.group.display());
    let (threads, processors) = threads(&["/bin/sh", "-c", &enter, "sh"]);
    assert_eq!((threads, processors["quota"].as_f64()), (1, Some(0.5)));
}
