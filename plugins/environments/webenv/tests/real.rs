//! A look at the real WebEnv, if there is a checkout: `WEBENV_CHECKOUT=… cargo test --release -p efference-webenv --
//! --ignored`. Its streams need no browser here: they have only interfaces that need none.
use efference_sdk::serde_json::{Value, json};
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Result};
use efference_webenv::{ByteOrder, Options, ValueKind, WebEnv};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STREAM: &str =
    "require('./src/stream-prototype.js').streamPrototype.create(async function() { await this.relink() })";

fn options(interfaces: Value) -> Options {
    let checkout = std::env::var_os("WEBENV_CHECKOUT").expect("WEBENV_CHECKOUT is the folder of a checkout");
    Options {
        checkout: checkout.into(),
        interfaces: interfaces.as_array().unwrap().clone(),
        ..Options::default()
    }
}

/// A tab that connects, and one that has a few of them come and go: some say that they go, some do not.
const TAB: &str = "<title>tab</title><body style='height: 5000px'><script>
const socket = new WebSocket('ws://localhost:PORT/connect');
socket.binaryType = 'arraybuffer';
socket.onmessage = e => { window.leave = new Function(new TextDecoder().decode(e.data))()(socket, { bytesPerValue: [1, 2, 4][Math.floor(Math.random() * 3)] }) };
</script>";
const TABS: &str = "<title>tabs</title><script>
const tabs = [];
setInterval(() => {
  if (tabs.length < 3 && (tabs.length < 1 || Math.random() < 0.6)) return void tabs.push(open('tab.html'));
  const [tab] = tabs.splice(Math.floor(Math.random() * tabs.length), 1);
  if (Math.random() < 0.3) tab.leave?.();
  tab.close();
}, 2000);
</script>";

/// A real browser with tabs that come and go, ended when it is dropped.
struct Chromium {
    process: Child,
    folder: PathBuf,
}

impl Chromium {
    fn start(port: u16) -> Option<Chromium> {
        let folder = std::env::temp_dir().join(format!("efference-webenv-tabs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tab.html"), TAB.replace("PORT", &port.to_string())).unwrap();
        std::fs::write(folder.join("tabs.html"), TABS).unwrap();
        let mut command = Command::new("chromium");
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-popup-blocking",
            "--mute-audio",
            "--no-first-run",
        ]);
        command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
        command.args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"]);
        // So that one page of the folder may ask another one to go.
        command.arg("--allow-file-access-from-files");
        command.env("TMPDIR", &folder);
        command.arg(folder.join("tabs.html")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.process_group(0).spawn().ok()?;
        Some(Chromium { process, folder })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.process.id())]).status();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Processes and MiB of what runs in a folder, and how many files this process has open.
fn held(checkout: &Path) -> (usize, u64, usize) {
    let (mut processes, mut memory) = (0, 0);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if !read("cmdline").contains(checkout.to_str().unwrap()) {
            continue;
        }
        let resident = read("status");
        let resident = resident.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: u64 = resident.trim().trim_end_matches(" kB").trim().parse().unwrap_or_default();
        processes += 1;
        memory += kib / 1024;
    }
    (processes, memory, std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[derive(Default)]
struct Last {
    frames: Vec<(u64, Vec<f32>, usize)>,
    begun: usize,
    count: usize,
    may_end: bool,
    ended: usize,
}

impl Frames for Last {
    fn begin(&mut self, _stream: u64) -> Result<()> {
        self.begun += 1;
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.count += 1;
        self.frames.push((frame.stream, frame.observation.to_vec(), frame.actions.len()));
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        assert!(self.may_end, "stream {stream} has ended");
        self.frames.retain(|frame| frame.0 != stream);
        self.ended += 1;
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        panic!("it has closed");
    }
}

#[test]
#[ignore = "needs a WebEnv checkout, named by WEBENV_CHECKOUT"]
fn loopback_with_every_kind_and_byte_order_and_two_streams() {
    for value_kind in [ValueKind::Float32, ValueKind::Int8, ValueKind::Int16] {
        for byte_order in [ByteOrder::Little, ByteOrder::Big] {
            let list = json!([STREAM, STREAM, "we.const()", ["we.loopback", 2], "we.frameTime()"]);
            let options = Options { value_kind, byte_order, ..options(list) };
            let start = Instant::now();
            let mut environment = WebEnv::new(options, &EnvironmentSetup::with_seed(1)).unwrap();
            let mut last = Last::default();
            while last.count < 2000 {
                assert!(start.elapsed() < Duration::from_secs(30), "{} frames", last.count);
                environment.poll(Duration::from_millis(100), &mut last).unwrap();
                for (stream, observation, wanted) in std::mem::take(&mut last.frames) {
                    assert_eq!((observation.len(), wanted), (4, 2));
                    if last.count > 1000 {
                        assert!((observation[0] - 1.0).abs() < 0.01);
                        assert!((observation[1] - 0.5).abs() < 0.01 && (observation[2] + 0.25).abs() < 0.01);
                    }
                    environment.act(stream, &observation, &[0.5, -0.25]).unwrap();
                }
            }
            assert_eq!(last.begun, 2);
            let rate = f64::from(last.count as u32) / start.elapsed().as_secs_f64();
            eprintln!("{value_kind:?}, {byte_order:?}: {rate:.0} frames/s, the start included");
            let stop = Instant::now();
            drop(environment);
            assert!(stop.elapsed() < Duration::from_secs(2), "{:?}", stop.elapsed());
        }
    }
}

#[test]
#[ignore = "needs a WebEnv checkout, named by WEBENV_CHECKOUT"]
fn its_own_browser_comes_up_or_the_error_says_what_to_do() {
    let options = Options { start_timeout: 50.0, ..options(json!(["we.browser(we.imageRect(10))"])) };
    let mut environment = WebEnv::new(options, &EnvironmentSetup::with_seed(1)).unwrap();
    let mut last = Last::default();
    let start = Instant::now();
    let error = loop {
        match environment.poll(Duration::from_secs(1), &mut last) {
            Ok(()) if last.count > 0 => return eprintln!("a browser that does is here"),
            Ok(()) => assert!(start.elapsed() < Duration::from_secs(90)),
            Err(e) => break format!("{e:#}"),
        }
    };
    eprintln!("after {:.0} s: {error}", start.elapsed().as_secs_f64());
    assert!(
        ["Manifest V2", "npm install", "as root", "a display"].iter().any(|help| error.contains(help)),
        "{error}"
    );
}

/// For WEBENV_SECONDS, or ten minutes. Prints what is held each minute.
#[test]
#[ignore = "needs a WebEnv checkout, named by WEBENV_CHECKOUT, and ten minutes"]
fn tabs_of_a_real_browser_come_and_go() {
    let seconds = std::env::var("WEBENV_SECONDS").ok().map_or(600, |text| text.parse().unwrap());
    let list = json!([
        "we.remote()",
        "we.directScore()",
        "we.const()",
        ["we.loopback", 2],
        "we.scrollBy()",
        "we.mouse()"
    ]);
    let options = options(list);
    let checkout = options.checkout.clone();
    let mut environment = WebEnv::new(options, &EnvironmentSetup::with_seed(1)).unwrap();
    let mut last = Last { may_end: true, ..Last::default() };
    let start = Instant::now();
    let Some(chromium) = Chromium::start(1234) else { panic!("there is no program chromium") };
    let (mut before, mut minute, mut counted) = (None, 0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        environment.poll(Duration::from_millis(100), &mut last).unwrap();
        for (stream, observation, wanted) in std::mem::take(&mut last.frames) {
            environment.act(stream, &observation, &vec![0.25; wanted]).unwrap();
        }
        let passed = start.elapsed().as_secs();
        if passed >= 30 && before.is_none() {
            before = Some(held(&checkout));
        }
        if passed / 60 > minute {
            minute = passed / 60;
            let (processes, memory, files) = held(&checkout);
            eprintln!(
                "minute {minute}: {} tabs have come, {} gone, {} frames; {processes} processes, {memory} MiB, {files} files",
                last.begun, last.ended, last.count
            );
            assert!(last.count > counted, "no frame in a minute");
            counted = last.count;
        }
    }
    let few = seconds as usize / 30;
    assert!(last.begun > few && last.ended >= few, "{} have come, {} gone", last.begun, last.ended);
    let (processes, memory, files) = held(&checkout);
    let (had, of_memory, of_files) = before.unwrap();
    assert!(processes <= had && memory <= of_memory + 64 && files <= of_files + 4);
    drop((chromium, environment));
    assert_eq!(held(&checkout).0, 0, "nothing of it runs on");
}
