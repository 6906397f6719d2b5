//! A real browser, steered by the DevTools protocol over two pipes.
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Far longer than anything takes here.
const DEADLINE: Duration = Duration::from_secs(90);

/// Chromium, if this machine has one. A test without it says SKIPPED, with the reason.
pub(crate) fn found() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no Chromium on this machine");
    }
    found
}

/// A browser with one page. It ends, with all its processes, when this is dropped.
pub(crate) struct Browser {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    session: String,
    number: u64,
}

impl Browser {
    /// Opens an address in a window of this size. `folder` is where the browser may write.
    pub(crate) fn open(program: &Path, folder: &Path, address: &str, size: [u32; 2]) -> Browser {
        let profile = folder.join("profile");
        // The shell puts the pipes where Chromium looks for them.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2 2>/dev/null"]).arg(program);
        command.args(["--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1"]);
        command.arg(format!("--window-size={},{}", size[0], size[1]));
        command.arg(format!("--user-data-dir={}", profile.display()));
        if rustix::process::geteuid().is_root() {
            // Chromium has no sandbox for root. The one page that is opened is efference's own.
            command.arg("--no-sandbox");
        }
        // Killed, it leaves its temporary files.
        command
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .env_remove("DISPLAY")
            .env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (requests, replies) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let replies = BufReader::new(replies);
        let mut browser = Browser { child, requests, replies, session: String::new(), number: 0 };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser.call("Page.enable", json!({}));
        browser.call("Page.navigate", json!({ "url": address }));
        browser
    }

    /// Calls a method of the page's, or before there is one of the browser's; returns the result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut request = json!({ "id": self.number, "method": method, "params": params });
        if !self.session.is_empty() {
            request["sessionId"] = self.session.as_str().into();
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < DEADLINE, "no reply to {method}");
            let mut bytes = Vec::new();
            self.replies.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser has ended");
            let mut message: Value = serde_json::from_slice(&bytes).unwrap();
            if message["id"] == self.number {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].take();
            }
        }
    }

    /// What an expression is in the page; `null` where it throws.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", params)["result"]["value"].take()
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != true {
            let page = self.value("document.body.innerText");
            assert!(began.elapsed() < DEADLINE, "never {expression}, in: {page}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "text": key }));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::KILL,
        );
        let _ = self.child.wait();
    }
}
