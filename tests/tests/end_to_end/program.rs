//! Starts the program, and reads what it left.
use efference_runs::directory::{RunDirectory, RunState};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Far longer than any call here takes; what is not done by then hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The directory with the program and the plugins, built before they are first asked for: `cargo test` builds
/// neither programs of other packages nor plugins that nothing depends on.
///
/// The variable `TEST_PROGRAMS`, if set, names a directory whose programs are tested as they are.
pub(crate) fn programs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(directory) = std::env::var_os("TEST_PROGRAMS") {
            return directory.into();
        }
        // target/release/deps/end_to_end-… is this program.
        let own = std::env::current_exe().unwrap();
        let directory = own.parent().and_then(Path::parent).unwrap().to_owned();
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        build.args(["build", "--workspace", "--lib", "--bins", "--examples"]).current_dir(repository());
        match directory.file_name().and_then(|name| name.to_str()) {
            Some("release") => drop(build.arg("--release")),
            Some("debug") => {}
            _ => panic!("{} is no directory of cargo's; set TEST_PROGRAMS", directory.display()),
        }
        // What cargo says of this package is not for the build of others.
        for (name, _) in std::env::vars_os() {
            let said = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"].iter().any(|start| said.starts_with(start)) {
                build.env_remove(&name);
            }
        }
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        directory
    })
}

/// Where the fixture libraries are.
pub(crate) fn fixtures() -> PathBuf {
    programs().join("examples")
}

/// A built plugin, such as `dense`.
pub(crate) fn plugin_file(name: &str) -> PathBuf {
    programs().join(format!("libefference_{name}.so"))
}

/// libtorch's directory.
pub(crate) fn libtorch() -> PathBuf {
    let said = std::env::var_os("LIBTORCH").expect("cargo sets LIBTORCH for what it starts");
    PathBuf::from(said).canonicalize().unwrap()
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Fails the test unless the exit status is `code` and no Rust programmer's words are in the answer.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Answer {
        assert_eq!(self.code, Some(code), "{self}");
        for word in ["RUST_BACKTRACE", "stack backtrace", "thread 'main'", "core::", "Some(", "Err("] {
            assert!(!self.stdout.contains(word) && !self.stderr.contains(word), "'{word}' in {self}");
        }
        if code != 1 {
            assert!(!self.stderr.contains("panicked"), "{self}");
        }
        self
    }

    /// Fails the test unless all of these are on standard error.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Answer {
        for text in texts {
            assert!(self.stderr.contains(text), "no '{text}' in {self}");
        }
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit status {:?}\n-- stdout:\n{}\n-- stderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

/// A directory to run the program in.
pub(crate) struct Workplace {
    directory: tempfile::TempDir,
}

impl Workplace {
    pub(crate) fn new() -> Workplace {
        Workplace { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program, to be started here with nothing in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join("efference"));
        command.args(arguments).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Starts the program and waits for its end.
    #[track_caller]
    pub(crate) fn efference(&self, arguments: &[&str]) -> Answer {
        self.start(&mut self.command(arguments)).wait()
    }

    /// Starts a command that [`command`](Self::command) made.
    pub(crate) fn start(&self, command: &mut Command) -> Started {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = |name: &str| self.path().join(format!(".{number}.{name}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Started { child: command.spawn().unwrap(), stdout, stderr, began: Instant::now() }
    }

    /// The directories of the runs made here of the experiment `name`.
    pub(crate) fn runs(&self, name: &str) -> Vec<Run> {
        let Ok(entries) = fs::read_dir(self.path().join("runs").join(name)) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        paths.sort();
        paths.into_iter().map(|path| Run { path }).collect()
    }

    /// The one run made here of the experiment `name`.
    #[track_caller]
    pub(crate) fn run(&self, name: &str) -> Run {
        let mut runs = self.runs(name);
        assert_eq!(runs.len(), 1, "runs of {name}");
        runs.remove(0)
    }
}

/// A program that was started.
pub(crate) struct Started {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    began: Instant,
}

impl Started {
    /// Its process.
    pub(crate) fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits until `ready` is true.
    #[track_caller]
    pub(crate) fn until(&mut self, mut ready: impl FnMut() -> bool) {
        while !ready() {
            assert!(self.child.try_wait().unwrap().is_none(), "ended early: {}", self.answer(None));
            self.nap();
        }
    }

    /// Waits until it has said this on standard error.
    #[track_caller]
    pub(crate) fn until_said(&mut self, text: &str) {
        let stderr = self.stderr.clone();
        self.until(|| fs::read_to_string(&stderr).is_ok_and(|said| said.contains(text)));
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until it has printed this on standard output; returns all that it has printed.
    #[track_caller]
    pub(crate) fn until_printed(&mut self, text: &str) -> String {
        let stdout = self.stdout.clone();
        self.until(|| fs::read_to_string(&stdout).is_ok_and(|printed| printed.contains(text)));
        fs::read_to_string(&stdout).unwrap()
    }

    /// Kills it (SIGKILL); `false` if it had ended before.
    pub(crate) fn kill(&mut self) -> bool {
        let running = self.child.try_wait().unwrap().is_none();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        running
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Answer {
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return self.answer(status.code()),
                None => self.nap(),
            }
        }
    }

    #[track_caller]
    fn nap(&mut self) {
        if self.began.elapsed() > DEADLINE {
            self.child.kill().unwrap();
            panic!("still there after {DEADLINE:?}: {}", self.answer(None));
        }
        std::thread::sleep(Duration::from_millis(2));
    }

    fn answer(&self, code: Option<i32>) -> Answer {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Answer { code, stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

/// The directory of a run.
pub(crate) struct Run {
    pub(crate) path: PathBuf,
}

impl Run {
    /// Waits until no process writes it any more: who kills the program has killed the engine's parent, and the engine goes
    /// with it a moment later.
    #[track_caller]
    pub(crate) fn until_nobody_writes_it(&self) {
        let (run, began) = (RunDirectory::open(&self.path).unwrap(), Instant::now());
        while run.state().unwrap() == RunState::Running {
            assert!(began.elapsed() < DEADLINE, "{} still goes on", self.path.display());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path.join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// `end.json`.
    pub(crate) fn end(&self) -> Value {
        serde_json::from_str(&self.read("end.json")).unwrap()
    }

    /// The lines of `metrics.jsonl`, all of which must be whole; it is made with the first step.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        let text = self.read("metrics.jsonl");
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect()
    }

    /// The names of what is in one of its directories.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path.join(directory)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// [`SMALL`] with another environment, without the options of its own one.
pub(crate) fn small_in(environment: &str) -> String {
    let own = "plugin = \"worlds\"\nworld = \"bounce\"\nsize = 6\n";
    assert!(SMALL.contains(own));
    SMALL.replace(own, &format!("plugin = {environment:?}\n"))
}

/// A small experiment that is done in a moment. Keys of a spec can be put behind it by `--set`.
pub(crate) const SMALL: &str = r#"
name = "small"
seed = 3
steps = 12
device = "cpu"
threads = 1

[environment]
plugin = "worlds"
world = "bounce"
size = 6

[state]
size = 64

[layer]
plugin = "dense"

[cell]
plugin = "mgu"

[trainer]
plugin = "bptt"
unroll_length = 1
merge = "add"

[goal]
plugin = "predict"

[record]
every = 1
"#;
