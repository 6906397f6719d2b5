//! A look at the real WebEnv, if there is a checkout: `WEBENV_CHECKOUT=… cargo test --release -p efference-webenv --
//! --ignored`. Its streams need no browser here: they have only interfaces that need none.
use efference_sdk::serde_json::{Value, json};
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Result};
use efference_webenv::{ByteOrder, Options, ValueKind, WebEnv};
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

#[derive(Default)]
struct Last {
    frames: Vec<(u64, Vec<f32>, usize)>,
    begun: usize,
    count: usize,
}

impl Frames for Last {
    fn begin(&mut self, _stream: u64) -> Result<()> {
        self.begun += 1;
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        assert_eq!(frame.reward, None);
        self.count += 1;
        self.frames.push((frame.stream, frame.observation.to_vec(), frame.actions.len()));
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        panic!("stream {stream} has ended");
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
