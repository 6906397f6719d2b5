//! The server, asked as a browser and as others ask.
use efference_runs::Picture;
use efference_runs::directory::{End, Ending, RunDirectory};
use efference_runs::viewing::{Offer, Shown, Snapshot};
use efference_view::page::{Page, Serving};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{fs, thread};

struct Place {
    _root: tempfile::TempDir,
    run: RunDirectory,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::claim(root.path(), "x", UNIX_EPOCH, "steps = 50\n").unwrap();
    Place { _root: root, run }
}

/// A page as a test asks it.
struct Asked {
    _serving: Serving,
    port: u16,
    token: String,
}

/// Status, headers and body of a reply.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The object of a packed body, and what it describes.
    fn packed(&self) -> (Value, &[u8]) {
        let length = u32::from_le_bytes(self.body[..4].try_into().unwrap()) as usize;
        (serde_json::from_slice(&self.body[4..4 + length]).unwrap(), &self.body[4 + length..])
    }
}

impl Asked {
    fn page(run: &RunDirectory) -> Asked {
        let page = Page::bind(None).unwrap();
        let address = page.address();
        let (port, token) = address.strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap();
        let (port, token) = (port.parse().unwrap(), token.trim_end_matches('/').to_owned());
        Asked { _serving: page.show(run.clone()).unwrap(), port, token }
    }

    /// Sends this head, with the connection closed behind it.
    fn raw(&self, head: &str) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: all[end + 4..].to_vec() }
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{headers}", self.port))
    }

    /// Asks with the token.
    fn get(&self, path: &str) -> Reply {
        self.ask("GET", &format!("/{}/{path}", self.token), "")
    }

    fn post(&self, path: &str) -> Reply {
        self.ask("POST", &format!("/{}/{path}", self.token), "")
    }
}

#[test]
fn only_who_knows_the_token_is_shown_anything() {
    let place = place();
    let page = Asked::page(&place.run);
    let other: String = page.token.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
    for path in ["/", "", "/page.js", "/live", &format!("/{other}/live"), &format!("/{}/", &page.token[1..])]
    {
        let path = if path.is_empty() { "/favicon.ico" } else { path };
        let reply = page.ask("GET", path, "");
        assert_eq!(reply.status, 403, "{path}");
        assert!(reply.text().contains("Open the address as efference printed it"), "{}", reply.text());
        assert!(!reply.text().contains(&page.token));
    }
    assert_eq!(page.get("").status, 200);
    assert_eq!(page.ask("GET", &format!("/{}", page.token), "").status, 404);
}

#[test]
fn a_name_that_leads_here_is_not_this_machines() {
    let place = place();
    let page = Asked::page(&place.run);
    let path = format!("GET /{}/ HTTP/1.1\r\n", page.token);
    for host in ["evil.example", "127.0.0.1.evil.example", ""] {
        let reply = page.raw(&format!("{path}Host: {host}:{}\r\n", page.port));
        assert_eq!((reply.status, reply.text().contains("127.0.0.1 or localhost")), (421, true), "{host}");
    }
    assert_eq!(page.raw(&path).status, 421, "none at all");
    let tunnel = page.raw(&format!("{path}Host: localhost:9999\r\n"));
    assert_eq!(tunnel.status, 200, "a tunnel has another port");
}

#[test]
fn methods_paths_and_origins_are_checked() {
    let place = place();
    let page = Asked::page(&place.run);
    let path = |name: &str| format!("/{}/{name}", page.token);
    for method in ["PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT"] {
        assert_eq!(page.ask(method, &path("live"), "").status, 405, "{method}");
    }
    assert_eq!((page.get("pause").status, page.post("live").status), (405, 405));
    for name in ["nothing", "../../etc/passwd", "page.js/", "spec.toml", "%2e%2e/spec.toml"] {
        assert_eq!(page.get(name).status, 404, "{name}");
    }
    let foreign = page.ask("POST", &path("pause"), "Origin: http://evil.example\r\n");
    assert_eq!((foreign.status, foreign.text().as_str()), (403, "Another page may not steer the run.\n"));
    let ended = page.ask("POST", &path("pause"), &format!("Origin: http://127.0.0.1:{}\r\n", page.port));
    assert_eq!(
        (ended.status, ended.text().as_str()),
        (409, "The run does not go on any more: it is killed.\n")
    );
    assert_eq!(page.raw("nonsense\r\n").status, 400);
}

#[test]
fn the_page_is_whole_without_any_other_place_and_may_run_nothing_else() {
    let place = place();
    let page = Asked::page(&place.run);
    let whole = page.get("");
    assert!(whole.head.contains("Content-Security-Policy: default-src 'none'; script-src 'self';"));
    assert!(whole.head.contains("Referrer-Policy: no-referrer") && !whole.head.contains("Access-Control"));
    for name in ["", "page.css", "page.js", "charts.js", "streams.js", "server.js", "words.js"] {
        let text = page.get(name).text();
        assert!(!text.contains("http") && !text.contains("innerHTML"), "{name}");
        // Each module that is imported is served.
        let imported = text.lines().filter_map(|line| line.split_once("from \"./")).map(|(_, rest)| rest);
        for module in imported.filter_map(|rest| rest.split('"').next()) {
            assert_eq!(page.get(module).status, 200, "{module}");
        }
    }
}

#[test]
fn a_run_that_has_ended_is_shown_by_its_files() {
    let place = place();
    let line = |step: u32| {
        format!("{{\"step\":{step},\"seconds\":{step},\"loss\":{},\"a/<b>\":null}}\n", 1.0 / f64::from(step))
    };
    let lines: String = (1..=3_000).map(line).collect();
    fs::write(place.run.metrics(), lines).unwrap();
    let end =
        End { how: Ending::Stopped, step: 3_000, seconds: 9.5, ended: String::new(), notes: Vec::new() };
    place.run.write_end(&end).unwrap();
    let page = Asked::page(&place.run);
    let reply = page.get("live?streams=0");
    let (object, rest) = reply.packed();
    assert_eq!(
        (&object["state"], &object["step"], &object["total"]),
        (&"stopped".into(), &3_000.into(), &50.into())
    );
    assert_eq!((&object["offered"], &object["run"], rest.len()), (&false.into(), &Value::Null, 0));
    let names: Value = serde_json::from_slice(&page.get("curves?since=0&show=").body).unwrap();
    assert_eq!(names["names"], serde_json::json!(["loss", "a/<b>"]));
    let curves: Value = serde_json::from_slice(&page.get("curves?since=0&show=1,0,7").body).unwrap();
    let curves = &curves["curves"];
    assert_eq!((&curves[0]["name"], &curves[0]["last"]), (&"a/<b>".into(), &Value::Null));
    let points = curves[1]["y"].as_array().unwrap();
    assert!((500..=1_025).contains(&points.len()), "{}", points.len());
    let version = names["version"].as_u64().unwrap();
    assert_eq!(page.get(&format!("curves?since={version}&show=0")).status, 204);
    let none = page.get("recorded").text();
    assert_eq!(none, "{\"streams\":[]}");
    let missing = page.get("recorded?step=3&stream=0");
    assert_eq!(
        (missing.status, missing.text().as_str()),
        (404, "There is no picture of stream 0 at step 3.\n")
    );
    fs::remove_dir_all(place.run.path()).unwrap();
    thread::sleep(Duration::from_millis(300));
    let reply = page.get("live?streams=");
    let (object, _) = reply.packed();
    assert_eq!(object["state"], "gone");
    assert!(object["note"].as_str().unwrap().starts_with("The run is gone: there is no "), "{object:?}");
}

#[test]
fn a_run_that_goes_on_is_seen_and_browsers_that_never_read_hold_nothing_up() {
    let place = place();
    let _lock = place.run.lock().unwrap().unwrap();
    let (stop, steps) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut offer = Offer::open(&place.run).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let step = steps.fetch_add(1, Ordering::Relaxed);
                if offer.is_wanted(step) {
                    let picture = || Some(Picture { width: 256, height: 256, rgb: vec![9; 3 << 16] });
                    let draw = |_: &[u64]| Snapshot {
                        step,
                        active: vec![0],
                        streams: 1,
                        shown: vec![Shown {
                            observation: picture(),
                            prediction: picture(),
                            ..Shown::default()
                        }],
                        ..Snapshot::default()
                    };
                    offer.answer(|stream| stream == 0, draw);
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        let page = Asked::page(&place.run);
        let silent: Vec<TcpStream> = (0..8)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", page.port)).unwrap();
                let one = format!("GET /{}/live?streams=0 HTTP/1.1\r\nHost: localhost\r\n\r\n", page.token);
                stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                let _ = stream.write_all(one.repeat(200).as_bytes());
                stream
            })
            .collect();
        let began = Instant::now();
        for _ in 0..10 {
            let reply = page.get("live?streams=0");
            let (object, pictures) = reply.packed();
            assert_eq!((&object["state"], &object["offered"]), (&"running".into(), &true.into()));
            assert_eq!((pictures.len(), pictures[0]), (2 * (3 << 16), 9), "{object}");
        }
        let before = steps.load(Ordering::Relaxed);
        while steps.load(Ordering::Relaxed) < before + 200 {
            assert!(began.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(1));
        }
        drop(silent);
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = Page::bind(None).unwrap();
    let port: u16 = first.address().split([':', '/']).nth(4).unwrap().parse().unwrap();
    let error = Page::bind(Some(port)).err().unwrap().to_string();
    assert!(error.starts_with(&format!("port {port} of this machine is taken")), "{error}");
    assert!(error.contains("--port"), "{error}");
    assert_ne!(first.address(), Page::bind(None).unwrap().address());
}
