//! Disks that are full, slow or odd, and what others do to the files of a run: the run goes on, and what is recorded is there,
//! or said to be missing.
use crate::program::{Run, SMALL, Started, Workplace, fixtures, small_in};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A disk of so many MiB, at `runs` in a workplace; it goes with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes it; or why that cannot be.
    fn at_runs_of(place: &Workplace, mebibytes: u32) -> Option<SmallDisk> {
        let path = place.path().join("runs");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(&path);
        match mount.output() {
            Ok(output) if output.status.success() => return Some(SmallDisk(path)),
            Ok(output) => {
                eprintln!("SKIPPED: small disks: {}", String::from_utf8_lossy(&output.stderr).trim())
            }
            Err(e) => eprintln!("SKIPPED: small disks: `mount`: {e}"),
        }
        None
    }

    fn fill(&self) -> PathBuf {
        let filling = self.0.join("filling");
        let mut file = fs::File::create(&filling).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 4_096]).is_ok() {}
        while std::io::Write::write_all(&mut file, &[1]).is_ok() {}
        filling
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Starts a run without an end, a few hundred steps a second, and waits for its first lines.
fn endless(place: &Workplace, sets: &[&str]) -> (Started, Run) {
    place.write("small.toml", small_in("visitors"));
    let path = format!("plugins.path=[{:?}]", fixtures().display().to_string());
    let always = [&path, "environment.milliseconds=2", "environment.quick=3", "steps=1000000000"];
    let mut arguments = vec!["run", "small.toml"];
    arguments.extend(always.iter().chain(sets).flat_map(|set| ["--set", *set]));
    let mut started = place.start(&mut place.command(&arguments));
    started.until(|| place.runs("small").first().is_some_and(|run| lines(run) >= 3));
    (started, place.run("small"))
}

fn lines(run: &Run) -> usize {
    fs::read_to_string(run.path.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// The steps of `metrics.jsonl`, which has one line a step from the first on.
#[track_caller]
fn consecutive_steps(run: &Run) -> u64 {
    let steps: Vec<_> = run.metrics().iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert!(steps.iter().copied().eq(1..=steps.len() as u64), "each step once: {steps:?}");
    steps.len() as u64
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost_when_it_has_room_again() {
    let place = Workplace::new();
    let Some(disk) = SmallDisk::at_runs_of(&place, 4) else { return };
    let (mut started, run) = endless(&place, &["checkpoint.every=20", "record.pictures_every=5"]);
    let filling = disk.fill();
    started.until(|| started_says(&place, "what it records waits in memory"));
    // It makes steps all the while, and checkpoints are left out.
    let before = lines(&run);
    std::thread::sleep(Duration::from_secs(1));
    assert!(lines(&run) <= before + 1, "the disk is full");
    fs::remove_file(filling).unwrap();
    started.until(|| started_says(&place, "the disk takes it again"));
    let checkpoints = run.names("checkpoints");
    started.until(|| run.names("checkpoints") != checkpoints);
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait().expect(130);
    let end = run.end();
    assert_eq!(end["how"], "stopped", "{answer}");
    assert_eq!(Some(consecutive_steps(&run)), end["step"].as_u64(), "{answer}");
    let warning = answer.stderr.lines().find(|line| line.contains("waits in memory")).unwrap().to_owned();
    assert!(warning.contains("cannot write '") && warning.contains("free some space"), "{warning}");
    let run_path = run.path.strip_prefix(place.path()).unwrap().display().to_string();
    assert!(warning.contains("the disk of '"), "{warning}");
    assert!(warning.contains(&format!("{run_path}' (0 B free), since 2")), "{warning}");
    assert_eq!(answer.stderr.matches("waits in memory").count(), 1, "said once: {answer}");
    assert!(!run.path.join(".reserved").exists());
    assert_eq!(run.names("checkpoints").iter().filter(|name| name.starts_with('.')).count(), 0);
}

/// Whether standard error of the one program that was started here has this text by now.
fn started_says(place: &Workplace, text: &str) -> bool {
    fs::read_to_string(place.path().join(stderr_file(place))).unwrap().contains(text)
}

fn stderr_file(place: &Workplace) -> PathBuf {
    let entries = fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().path());
    entries.into_iter().find(|path| path.to_string_lossy().ends_with(".stderr")).unwrap()
}

#[test]
fn a_disk_that_stays_full_ends_as_a_failure_that_says_what_is_missing() {
    let place = Workplace::new();
    let Some(disk) = SmallDisk::at_runs_of(&place, 4) else { return };
    let (mut started, run) = endless(&place, &["checkpoint.every=20"]);
    started.until(|| run.names("checkpoints").len() >= 2);
    let filling = disk.fill();
    started.until(|| started_says(&place, "what it records waits in memory"));
    // More than the room that is held for the end takes.
    std::thread::sleep(Duration::from_secs(5));
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait().expect(1);
    let (end, steps) = (run.end(), consecutive_steps(&run));
    assert_eq!(end["how"], "failed", "{answer}");
    let first = steps + 1;
    let missing = end["step"].as_u64().unwrap() - steps;
    if missing > 0 {
        let said = format!("of step{}", if missing == 1 { " " } else { "s " });
        let message = end["messages"][0].as_str().unwrap();
        assert!(message.starts_with(&said) && message.contains(&grouped(first)), "{first}: {message}");
        assert!(
            message.contains("not in metrics.jsonl: cannot write '") && message.contains("No space left"),
            "{message}"
        );
        assert!(answer.stderr.contains("all else that was recorded until then is in"), "{answer}");
    }
    assert!(answer.stderr.contains("help:   make room as the message says"), "{answer}");
    for raw in ["Os {", "IoError", "everything recorded until then is in", "Everything is in"] {
        assert!(!answer.stderr.contains(raw) && !answer.stdout.contains(raw), "'{raw}' in {answer}");
    }
    fs::remove_file(filling).unwrap();
    let id = run.path.to_str().unwrap();
    let steps = (steps + 5).to_string();
    place.efference(&["resume", id, "--steps", &steps]).expect(0);
    assert_eq!(consecutive_steps(&run).to_string(), steps);
}

fn grouped(number: u64) -> String {
    efference_runs::Grouped(number).to_string()
}

/// A library that, preloaded, lets system calls fail or wait; or why there is none.
fn shim(place: &Workplace) -> Option<PathBuf> {
    const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_of(int fd, const char *variable) {
    const char *name = getenv(variable);
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = name ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, name) != NULL;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    static int waited;
    static ssize_t (*next)(int, const void *, size_t);
    if (!next) next = dlsym(RTLD_NEXT, "write");
    if (is_of(fd, "SHIM_SLOW") && !__atomic_exchange_n(&waited, 1, __ATOMIC_SEQ_CST)) sleep(13);
    return next(fd, bytes, length);
}

static int synced(int fd, const char *name) {
    int (*next)(int) = dlsym(RTLD_NEXT, name);
    const char *fails = getenv("SHIM_SYNC_FAILS");
    if (is_of(fd, "SHIM_SYNC") && fails) { errno = atoi(fails); return -1; }
    return next(fd);
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }
"#;
    let (source, library) = (place.write("shim.c", SHIM), place.path().join("shim.so"));
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    match compile.output() {
        Ok(output) if output.status.success() => return Some(library),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => eprintln!("SKIPPED: system calls that fail or wait: `cc`: {e}"),
    }
    None
}

fn shimmed(place: &Workplace, library: &Path, sets: &[&str], variables: &[(&str, &str)]) -> Started {
    place.write("small.toml", SMALL);
    let mut arguments = vec!["run", "small.toml"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", *set]));
    place.start(place.command(&arguments).env("LD_PRELOAD", library).envs(variables.iter().copied()))
}

#[test]
fn a_write_that_takes_thirteen_seconds_delays_lines_and_no_steps() {
    let place = Workplace::new();
    let Some(library) = shim(&place) else { return };
    // More lines than ever waited: an earlier version ended when 256 did for ten seconds.
    let started = shimmed(&place, &library, &["steps=2000"], &[("SHIM_SLOW", "metrics.jsonl")]);
    let answer = started.wait().expect(0);
    assert!(answer.stderr.contains("has not taken what was written for 10 s; the run goes on"), "{answer}");
    assert!(answer.stderr.contains("takes what is written again, after 13 s"), "{answer}");
    assert_eq!(consecutive_steps(&place.run("small")), 2_000);
}

#[test]
fn a_file_system_that_cannot_be_asked_to_sync_is_no_error() {
    let place = Workplace::new();
    let Some(library) = shim(&place) else { return };
    for (number, errno) in ["22", "95"].into_iter().enumerate() {
        let variables = [("SHIM_SYNC", "/runs"), ("SHIM_SYNC_FAILS", errno)];
        let answer = shimmed(&place, &library, &["checkpoint.every=4"], &variables).wait().expect(0);
        assert_eq!(answer.stderr, "", "{answer}");
        let runs = place.runs("small");
        assert_eq!(runs.len(), number + 1);
        assert_eq!(runs[number].end()["how"], "finished");
        assert!(runs[number].path.join("checkpoints/step-000000000012.json").is_file());
    }
    // EIO means that something may be lost, but of a directory.
    let place = Workplace::new();
    let variables = [("SHIM_SYNC", "/runs/small"), ("SHIM_SYNC_FAILS", "5")];
    let library = shim(&place).unwrap();
    let answer = shimmed(&place, &library, &[], &variables).wait();
    assert_eq!(answer.code, Some(1), "{answer}");
    assert!(answer.stderr.contains("Input/output error"), "{answer}");
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let efference = crate::program::programs().join("efference");
    // Blocks of 512 bytes: room for what a run begins with, and not for all its lines.
    let script = format!("ulimit -f 256; exec '{}' run small.toml --set steps=2000", efference.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path()).env_clear();
    let answer = place.start(&mut command).wait().expect(1);
    let run = place.run("small");
    let (end, steps) = (run.end(), consecutive_steps(&run));
    assert_eq!(end["how"], "failed");
    let message = end["messages"][0].as_str().unwrap();
    let beginning = format!(
        "of steps {} to 2,000, {} lines are not in metrics.jsonl",
        grouped(steps + 1),
        grouped(2_000 - steps)
    );
    assert!(message.starts_with(&beginning), "{message}");
    assert!(message.contains("raise the limit on the size of a file (`ulimit -f`)"), "{answer}");
    assert_eq!(end["step"], 2_000);
}

#[test]
fn files_that_others_remove_or_rename_are_written_again_and_it_is_said() {
    let place = Workplace::new();
    let (mut started, run) = endless(&place, &[]);
    fs::remove_file(run.path.join("metrics.jsonl")).unwrap();
    fs::rename(run.path.join("fingerprints.bin"), run.path.join("renamed")).unwrap();
    started.until(|| run.path.join("metrics.jsonl").exists() && run.path.join("fingerprints.bin").exists());
    kill_process(started.process(), Signal::INT).unwrap();
    let answer = started.wait().expect(130);
    let end = run.end();
    assert_eq!(Some(consecutive_steps(&run)), end["step"].as_u64());
    let notes: Vec<_> = end["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    for (note, name) in notes.iter().zip(["metrics.jsonl", "fingerprints.bin"]) {
        assert!(note.contains(name) && note.contains("was removed or renamed"), "{note}");
        assert!(answer.stderr.contains(note), "{answer}");
    }
    assert!(answer.stdout.contains("All else is in"), "{answer}");
}

#[test]
fn a_reader_that_sleeps_stalls_no_step() {
    let place = Workplace::new();
    place.write("small.toml", SMALL);
    let sets = ["steps=3000", "record.console_every_seconds=1e-9"];
    let mut arguments = vec!["run", "small.toml"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", *set]));
    let began = Instant::now();
    let mut command = place.command(&arguments);
    // Nobody reads: after 64 KiB the pipes are full.
    command
        .env("EFFERENCE_LOG", "trace")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(100), "it waits for its reader");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
    assert_eq!(consecutive_steps(&place.run("small")), 3_000);
    assert_eq!(place.run("small").end()["how"], "finished");
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_whole_files() {
    let place = Workplace::new();
    let sets = ["checkpoint.every=3", "checkpoint.keep=2", "record.pictures_every=1"];
    let mut interrupted = 0;
    for round in 0..12 {
        for run in place.runs("small") {
            fs::remove_dir_all(run.path).unwrap();
        }
        let (mut started, run) = endless(&place, &sets);
        std::thread::sleep(Duration::from_millis(37 * round % 150));
        assert!(started.kill());
        run.until_nobody_writes_it();
        // Every checkpoint that is there is whole, and so is every picture.
        let files = efference_runs::checkpoint::CheckpointFiles::new(run.path.join("checkpoints"));
        for step in files.steps().unwrap() {
            files.read(step).unwrap();
        }
        for picture in efference_runs::picture_files(&run.path.join("pictures")).unwrap() {
            efference_runs::read_picture(&picture.path).unwrap();
        }
        let Some(last) = files.steps().unwrap().last().copied() else { continue };
        interrupted += 1;
        let steps = (last + 7).to_string();
        place.efference(&["resume", run.path.to_str().unwrap(), "--steps", &steps]).expect(0);
        assert_eq!(consecutive_steps(&run).to_string(), steps);
        for directory in ["", "checkpoints", "pictures"] {
            let left =
                run.names(directory).into_iter().filter(|name| name.starts_with('.')).collect::<Vec<_>>();
            assert!(left.is_empty(), "{directory}: {left:?}");
        }
        let arrays = run.names("checkpoints");
        assert_eq!(arrays.len() % 2, 0, "no half of a checkpoint stays: {arrays:?}");
    }
    assert!(interrupted > 3, "too early each time");
}

#[test]
fn secrets_in_urls_are_masked_or_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Workplace::new();
    let url = "https://me:t0ken@host/a?key=s3cret";
    // A key that takes any text.
    place.write("small.toml", SMALL);
    let set = format!("checkpoint.best={url}");
    place.efference(&["run", "small.toml", "--set", &set, "--set", "checkpoint.best_is=lowest"]).expect(0);
    let run = place.run("small");
    let mut with_secrets = Vec::new();
    for entry in fs::read_dir(&run.path).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        if ["t0ken", "s3cret"].iter().any(|secret| text.contains(secret)) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            with_secrets.push((entry.file_name().into_string().unwrap(), mode));
        }
    }
    assert_eq!(with_secrets, [("spec.toml".to_owned(), 0o600)], "a run goes on by its spec");
    let command: Value = serde_json::from_str(&run.read("provenance.json")).unwrap();
    assert_eq!(command["command"][4], "checkpoint.best=https://…@host/a?…");
    place.efference(&["resume", run.path.to_str().unwrap(), "--steps", "14"]).expect(0);
}

#[test]
fn paths_that_are_no_text_are_recorded_as_far_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let place = Workplace::new();
    let odd = std::ffi::OsStr::from_bytes(b"d\xff");
    let directory = place.path().join(odd);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(odd), SMALL).unwrap();
    let efference = |arguments: &[&std::ffi::OsStr]| {
        place.start(place.command(&[]).args(arguments).current_dir(&directory)).wait()
    };
    let said = |text: &'static str| std::ffi::OsStr::new(text);
    let runs = std::ffi::OsStr::from_bytes(b"r\xff");
    efference(&[said("run"), odd, said("--runs"), runs, said("--set"), said("record.pictures_every=5")])
        .expect(0);
    let entries = fs::read_dir(directory.join(runs).join("small")).unwrap().map(|e| e.unwrap().path());
    let path = entries.into_iter().find(|path| path.is_dir()).unwrap();
    let run = Run { path };
    assert_eq!(run.end()["how"], "finished");
    let provenance: Value = serde_json::from_str(&run.read("provenance.json")).unwrap();
    assert!(provenance["spec"].as_str().unwrap().ends_with("/d\u{fffd}/d\u{fffd}"), "{provenance}");
    let path = run.path.as_os_str();
    for reader in [
        &[said("runs"), said("--runs"), runs][..],
        &[said("watch"), path],
        &[said("watch"), said("small"), said("--runs"), runs],
        &[said("pictures"), path],
        &[said("diff"), path, path],
        &[said("compare"), path, path],
        &[said("resume"), path, said("--steps"), said("15")],
    ] {
        efference(reader).expect(0);
    }
}
