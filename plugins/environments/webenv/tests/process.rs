//! The plugin with a real Node. The program in it is a peer (`tests/fixtures/webenv/peer/webenv.js`), not WebEnv: it
//! speaks the protocol as the recorded exchanges show it, and misbehaves when asked to.
use efference_sdk::serde_json::{Value, json};
use efference_sdk::{ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Plugin, Result, StepType};
use efference_webenv::{ByteOrder, Listen, Options, ValueKind, WebEnv};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn peer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/webenv/peer")
}

fn options(interfaces: Value) -> Options {
    let interfaces = interfaces.as_array().unwrap().clone();
    Options { checkout: peer(), interfaces, ..Options::default() }
}

fn open(options: Options) -> Result<WebEnv> {
    WebEnv::new(options, &EnvironmentSetup::with_seed(1))
}

/// What came of a stream.
#[derive(Debug, PartialEq, Clone)]
enum Event {
    Begin,
    Frame(Vec<f32>, Option<f32>, usize),
    End,
}

#[derive(Default)]
struct Record {
    events: BTreeMap<u64, Vec<Event>>,
    open: Vec<(u64, usize)>,
    closed: bool,
}

impl Frames for Record {
    fn begin(&mut self, stream: u64) -> Result<()> {
        self.events.entry(stream).or_default().push(Event::Begin);
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        assert!(self.open.iter().all(|(stream, _)| *stream != frame.stream), "two frames of one stream");
        assert!(
            frame.actions.iter().all(|a| *a == ActionGroup::VALUE) && frame.step_type == StepType::MIDDLE
        );
        let event = Event::Frame(frame.observation.to_vec(), frame.reward, frame.actions.len());
        self.events.entry(frame.stream).or_default().push(event);
        self.open.push((frame.stream, frame.actions.len()));
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        self.events.entry(stream).or_default().push(Event::End);
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        self.closed = true;
        Ok(())
    }
}

/// Plays until the environment closes, responding to each frame; the prediction is the observation with a missing value.
fn play(environment: &mut WebEnv) -> Result<Record> {
    let mut record = Record::default();
    let start = Instant::now();
    while !record.closed {
        assert!(start.elapsed() < PATIENCE, "still going on: {:?}", record.events);
        environment.poll(Duration::from_millis(50), &mut record)?;
        for (stream, wanted) in std::mem::take(&mut record.open) {
            let Some(Event::Frame(observation, ..)) = record.events[&stream].last() else {
                panic!("no frame")
            };
            let mut prediction = observation.clone();
            if let Some(missing) = prediction.get_mut(1) {
                *missing = f32::NAN;
            }
            let action: Vec<f32> = (0..wanted).map(|i| [0.5, f32::NAN, -7.0][i % 3]).collect();
            environment.act(stream, &prediction, &action)?;
        }
    }
    Ok(record)
}

fn failure(options: Options) -> String {
    let mut environment = open(options).unwrap();
    let error = match play(&mut environment) {
        Ok(record) => panic!("no error after {:?}", record.events),
        Err(error) => format!("{error:#}"),
    };
    // Afterwards it is over, and says so.
    let mut record = Record::default();
    environment.poll(Duration::ZERO, &mut record).unwrap();
    assert!(record.closed);
    error
}

/// The frames of `echo`, as its comment says them, in numbers.
fn expected(stream: u64, step: usize, ahead: usize, padded_to: usize) -> (Vec<f32>, Option<f32>) {
    let part = |n: usize| n as f32 / 100.0;
    let mut observation = vec![stream as f32 / 10.0, part(step)];
    let mut reward = Some(part(step)).filter(|s| *s > 0.0);
    if step >= ahead {
        // The lengths with what pads them; then of the prediction: the observation before, its step as 0 for NaN.
        let replied = expected(stream, step - ahead, ahead, padded_to).0;
        let lengths = [4 + replied.len(), 3].map(|n| n.next_multiple_of(padded_to));
        observation.extend(lengths.map(part));
        observation.extend([replied[0], 0.0]);
        observation.extend(replied.get(2));
        observation.extend([0.5, 0.0, -1.0]);
    } else {
        observation.extend([0.0, 0.0]);
    }
    if step == 0 {
        reward = None;
    }
    (observation, reward)
}

#[test]
fn streams_of_each_kind_and_byte_order_even_from_before_the_handshake() {
    let foreign = if cfg!(target_endian = "big") { ByteOrder::Little } else { ByteOrder::Big };
    for (kind, steps) in [(ValueKind::Float32, 1e-6), (ValueKind::Int8, 0.005), (ValueKind::Int16, 1e-4)] {
        for byte_order in [ByteOrder::Native, foreign] {
            let echo = json!([["we.echo", { "streams": 3, "steps": 10, "early": true }]]);
            let simultaneous_steps = 4;
            let chosen = Options { value_kind: kind, byte_order, simultaneous_steps, ..options(echo) };
            let record = play(&mut open(chosen).unwrap()).unwrap();
            assert_eq!(record.events.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
            for (stream, events) in record.events {
                assert_eq!((events.len(), &events[0]), (11, &Event::Begin), "{kind:?}, {byte_order:?}");
                for (step, frame) in events[1..].iter().enumerate() {
                    let Event::Frame(observation, reward, 3) = frame else { panic!("{frame:?}") };
                    let (want, want_reward) =
                        expected(stream, step, simultaneous_steps as usize, 4 / kind.size());
                    let close = |a: f32, b: f32| (a - b).abs() < steps * 1.5;
                    assert_eq!(observation.len(), want.len(), "{observation:?} {want:?}");
                    let all = observation.iter().zip(&want).all(|(a, b)| close(*a, *b));
                    assert!(all, "{kind:?}, {byte_order:?}, step {step}: {observation:?} is not {want:?}");
                    assert_eq!(reward.is_some(), want_reward.is_some());
                    assert!(close(reward.unwrap_or(0.0), want_reward.unwrap_or(0.0)));
                }
            }
        }
    }
}

#[test]
fn a_stream_ends_and_comes_back_as_a_new_one() {
    let echo = json!([["we.echo", { "streams": 2, "steps": 40, "ends": true }]]);
    let record = play(&mut open(options(echo)).unwrap()).unwrap();
    let events = &record.events[&1];
    let end = events.iter().position(|t| *t == Event::End).unwrap();
    // 20 responses were sent when it ended; up to 16 frames more were under way, and may have been seen.
    assert!((21..=38).contains(&end), "{end}");
    assert_eq!(events[end + 1..], [Event::Begin, Event::Frame(vec![0.5], None, 0)]);
    assert_eq!(record.events[&0].len(), 41);
}

#[test]
fn a_frame_that_is_passed_over_is_replied_to_for_the_host() {
    let mut environment = open(options(json!([["we.echo", { "steps": 40 }]]))).unwrap();
    let (mut record, start) = (Record::default(), Instant::now());
    while record.events.get(&0).is_none_or(|events| events.len() < 41) {
        assert!(start.elapsed() < PATIENCE);
        environment.poll(Duration::from_millis(50), &mut record).unwrap();
        // Responses to what never was do no harm.
        environment.act(9, &[], &[]).unwrap();
        record.open.clear();
    }
    let Event::Frame(observation, ..) = record.events[&0].last().unwrap() else { panic!() };
    // The reward's 4 features and nothing else as prediction; 3 actions.
    assert_eq!(observation[2..], [0.04, 0.03, 0.0, 0.0, 0.0]);
}

#[test]
fn what_interfaces_print_does_no_harm() {
    let list = json!([["we.print", "\"stray\""], ["we.echo", { "steps": 3 }]]);
    assert_eq!(play(&mut open(options(list)).unwrap()).unwrap().events[&0].len(), 4);
}

#[test]
fn garbage_between_packets_ends_the_run_with_what_came() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let raw = |bytes: &[u8]| json!(["we.one()", ["we.raw", format!("'{}'", hex(bytes))], "we.silence()"]);
    let text = failure(options(raw(b"Listening on port 1234\n")));
    assert!(text.contains("the text \"Listening on port 1234\\n\""), "{text}");
    assert!(text.contains("stdout does not follow its protocol"), "{text}");
    let absurd = [0, 0, 0, 0, 0x70, 0xff, 0xff, 0x70, 0, 0, 0, 0];
    for value_kind in [ValueKind::Float32, ValueKind::Int16] {
        let text = failure(Options { value_kind, byte_order: ByteOrder::Little, ..options(raw(&absurd)) });
        assert!(text.contains("an observation of 1895825264 elements on stream 0"), "{text}");
    }
    // Too few features to have the reward's.
    let text = failure(Options {
        byte_order: ByteOrder::Little,
        ..options(raw(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]))
    });
    assert!(text.contains("stream 0 has 0 features"), "{text}");
}

#[test]
fn a_sudden_end_is_reported_with_what_was_printed_and_help() {
    let text = failure(options(json!(["we.one()", "we.die(3, 'it is \\u001b[31m broken')"])));
    assert!(text.contains("ended by itself, with exit status: 3"), "{text}");
    assert!(text.contains(r"it is \u{1b}[31m broken"), "{text}");
    let text = failure(options(json!(["we.one()", "we.crash()"])));
    assert!(text.contains("SIGSEGV"), "{text}");
    let text = failure(options(json!(["we.die(0)"])));
    assert!(text.contains("before its first packet"), "{text}");
    for (code, help) in [
        ("we.nothing()", "calls something that this WebEnv does not have"),
        ("nothing", "uses a name that is not there"),
        ("we.(", "makes a program that is no JavaScript"),
        ("require('absent')", "npm install"),
        ("we.die(1, 'launch error TimeoutError')", "Manifest V2"),
        ("we.die(1, 'Error: listen EADDRINUSE: address already in use :::1234')", "port = 1235"),
    ] {
        let text = failure(options(json!([code])));
        assert!(text.contains(help), "{code}: {text}");
    }
}

#[test]
fn silence_is_told_apart() {
    let start = Instant::now();
    let silent = Options { start_timeout: 0.5, silence_timeout: 0.5, ..options(json!(["we.silence()"])) };
    let text = failure(silent.clone());
    assert!(text.contains("nothing in the") && text.contains("since its start"), "{text}");
    let list = json!(["we.one()", "we.silence()"]);
    let text = failure(Options { interfaces: list.as_array().unwrap().clone(), ..silent.clone() });
    assert!(text.contains("though each frame was responded to"), "{text}");
    assert!(start.elapsed() < PATIENCE / 2);

    // Somebody may come at any time.
    let list = json!(["[] /* we.remote() */", "we.silence()"]);
    let mut waits = open(Options { interfaces: list.as_array().unwrap().clone(), ..silent }).unwrap();
    let mut record = Record::default();
    waits.poll(Duration::from_millis(1000), &mut record).unwrap();
    assert!(record.events.is_empty() && !record.closed);
}

#[test]
fn servers_listen_on_loopback_unless_everyone_may_connect() {
    for (listen, expected) in [(Listen::Loopback, 1.0), (Listen::Everywhere, 0.0)] {
        let list = Options { listen, ..options(json!(["we.listens()"])) };
        let record = play(&mut open(list).unwrap()).unwrap();
        let [Event::Begin, Event::Frame(local, ..)] = record.events[&0].as_slice() else { panic!() };
        assert_eq!(local.as_slice(), [expected; 2], "{listen:?}");
    }
}

#[test]
fn errors_that_webenv_does_not_catch_end_nothing() {
    for kind in ["exception", "rejection"] {
        let list = options(json!([["we.stumbles", { "kind": kind }]]));
        let record = play(&mut open(list).unwrap()).unwrap();
        assert_eq!(record.events[&0].len(), 1 + 5, "{kind}");
    }
    // But for a port that is taken: then nobody would ever come.
    let text = failure(options(json!([["we.stumbles", { "kind": "listen" }]])));
    assert!(text.contains("ended by itself") && text.contains("Its port is taken"), "{text}");
}

#[test]
fn a_flood_is_held_up() {
    let mut environment = open(options(json!(["we.flood(1000000)"]))).unwrap();
    let mut record = Record::default();
    for _ in 0..3 {
        environment.poll(Duration::from_secs(5), &mut record).unwrap();
        record.open.clear();
    }
    // More than 67 million numbers never wait here: 16 packets a GiB would be 256.
    std::thread::sleep(Duration::from_millis(500));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 1_500_000, "{resident}");
    drop(environment);
}

#[test]
fn what_cannot_start_says_how_it_could() {
    let error = |options: Options| format!("{:#}", open(options).err().unwrap());
    let good = options(json!(["we.silence()"]));
    let text = error(Options { checkout: PathBuf::new(), ..good.clone() });
    assert!(text.contains("'checkout' is empty") && text.contains("git clone"), "{text}");
    let text = error(Options { checkout: PathBuf::from("/absent"), ..good.clone() });
    assert!(text.contains("'/absent', is no folder"), "{text}");
    let text = error(Options { checkout: std::env::temp_dir(), ..good.clone() });
    assert!(text.contains("there is no webenv.js in"), "{text}");
    let text = error(Options { checkout: peer().join("webenv.js"), ..good.clone() });
    assert!(text.contains("is a file"), "{text}");
    let text = error(Options { node: "no-such-node".to_owned(), ..good.clone() });
    assert!(
        text.contains("cannot start 'no-such-node'") && text.contains("apt-get install nodejs"),
        "{text}"
    );
    let text = error(Options { node: " ".to_owned(), ..good });
    assert!(text.contains("'node' is empty"), "{text}");
}

#[test]
fn pictures_are_cut_out_and_missing_values_are_black() {
    let picture = Options {
        picture_offset: 1,
        picture_width: 2,
        picture_height: 1,
        ..options(json!(["we.silence()"]))
    };
    let environment = open(picture).unwrap();
    let observation = [9.0, -1.0, 1.0, f32::NAN, 3.0, -3.0, (2.0 * 100.0 - 255.0) / 255.0, 9.0];
    let picture = environment.picture(0, &observation).unwrap().unwrap();
    assert_eq!((picture.width, picture.height, picture.rgb), (2, 1, vec![0, 255, 0, 255, 0, 100]));
    assert_eq!(environment.picture(0, &observation[..6]).unwrap(), None);
}

/// The ids that `stubborn` puts into a file.
fn ids(file: &Path) -> Vec<u32> {
    let start = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            std::fs::remove_file(file).unwrap();
            return text.split(' ').map(|id| id.parse().unwrap()).collect();
        }
        assert!(start.elapsed() < PATIENCE, "the peer has not started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn runs(id: u32) -> bool {
    // A zombie has ended, and waits for its parent.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X'])
}

fn ends_within(ids: &[u32], patience: Duration) -> bool {
    let start = Instant::now();
    while ids.iter().any(|id| runs(*id)) {
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn nothing_is_left_running_even_if_it_ignores_sigint_and_has_children_in_other_groups() {
    let file = std::env::temp_dir().join(format!("efference-webenv-stubborn-{}", std::process::id()));
    let environment = open(options(json!([["we.stubborn", { "file": file }]]))).unwrap();
    let ids = ids(&file);
    assert!(ids.iter().all(|id| runs(*id)));
    let start = Instant::now();
    drop(environment);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(ends_within(&ids, Duration::from_millis(500)), "{ids:?}");
}

/// The part of the test below that is killed.
#[test]
fn host_to_be_killed() {
    let Ok(spec) = std::env::var("EFFERENCE_TEST_HOST") else { return };
    let list: Value = efference_sdk::serde_json::from_str(&spec).unwrap();
    let mut environment = open(options(list)).unwrap();
    loop {
        environment.poll(Duration::from_secs(1), &mut Record::default()).unwrap();
    }
}

#[test]
fn nothing_is_left_running_when_the_host_is_killed() {
    let file =
        |name: &str| std::env::temp_dir().join(format!("efference-webenv-{name}-{}", std::process::id()));
    // One that ends on SIGINT with its browser, one that ignores it, and one in an endless loop.
    let cases =
        [("obeys", json!({ "obeys": true })), ("ignores", json!({})), ("hangs", json!({ "hang": true }))];
    for (name, mut how) in cases {
        let file = file(name);
        how["file"] = json!(file);
        let mut host = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host_to_be_killed", "--nocapture"])
            .env("EFFERENCE_TEST_HOST", json!([["we.stubborn", how]]).to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ids = ids(&file);
        std::thread::sleep(Duration::from_millis(1000));
        assert!(ids.iter().all(|id| runs(*id)), "{name}");
        host.kill().unwrap(); // SIGKILL
        host.wait().unwrap();
        let patience = Duration::from_secs(if name == "obeys" { 1 } else { 6 });
        assert!(ends_within(&ids, patience), "{name}: of {ids:?}, some still run");
    }
}
