//! What a browser sends: messages of DevTools, each ended by a zero byte, with pictures and rewards in them.
//!
//! An input that begins as a picture is put into such a message, so that what reads pictures is reached past their base64.
use base64_simd::STANDARD;
use efference_browser::replay::{SESSION, replay};
use efference_trials::fuzz::{Entry, Failure, Scratch, Target, entry, holds, write};
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

/// Of the window, in pixels; the picture in the seeds has it.
const SIZE: (usize, usize) = (8, 6);
/// 8 × 6 pixels in colours, as PNG, in base64.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAGCAIAAABxZ0isAAAAW0lEQVR42g3JoQEAMQwDseBi42LjYuPgDJH9V7h/UVUVp1BxCxevSNFFlThC4gqLJyJaf5hjZK6xeSam/Uc4QeEGhxcSOn8MZ9BwBw9vyNDzx3IWLXfx8pYsvXxWnT/BieKGuQAAAABJRU5ErkJggg==";

fn main() -> ExitCode {
    const TARGETS: &[Entry] = &[entry("browser", "messages and pictures of a browser", make)];
    efference_trials::fuzz::main(TARGETS)
}

fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(DevTools { file: scratch.path("messages") }))
}

struct DevTools {
    file: PathBuf,
}

fn event(method: &str, params: String) -> Vec<u8> {
    format!("{{\"method\":\"{method}\",\"params\":{params},\"sessionId\":\"{SESSION}\"}}\0").into_bytes()
}

/// A picture in base64, as the browser sends it.
fn frame(base64: &str) -> Vec<u8> {
    event(
        "Page.screencastFrame",
        format!("{{\"data\":\"{base64}\",\"metadata\":{{\"offsetTop\":0}},\"sessionId\":1}}"),
    )
}

impl Target for DevTools {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let frame = frame(PNG);
        let reward = event(
            "Runtime.bindingCalled",
            "{\"name\":\"efferenceReward\",\"payload\":\"[0.5,2]\",\"executionContextId\":2}".to_owned(),
        );
        let navigated = event(
            "Page.frameNavigated",
            "{\"frame\":{\"id\":\"F\",\"loaderId\":\"L\",\"url\":\"https://example.org/a?b#c\",\"mimeType\":\"text/html\"},\"type\":\"Navigation\"}".to_owned(),
        );
        let within = event(
            "Page.navigatedWithinDocument",
            "{\"frameId\":\"F\",\"url\":\"https://example.org/d\"}".to_owned(),
        );
        let dialog = event(
            "Page.javascriptDialogOpening",
            "{\"url\":\"https://example.org/\",\"message\":\"Really?\",\"type\":\"confirm\",\"hasBrowserHandler\":false}".to_owned(),
        );
        let paused = event(
            "Fetch.requestPaused",
            "{\"requestId\":\"R\",\"request\":{\"url\":\"https://example.org/\",\"method\":\"GET\"}}"
                .to_owned(),
        );
        let crashed = event("Inspector.targetCrashed", "{}".to_owned());
        let detached =
            event("Target.detachedFromTarget", format!("{{\"sessionId\":\"{SESSION}\",\"targetId\":\"T\"}}"));
        let created = event(
            "Target.targetCreated",
            "{\"targetInfo\":{\"targetId\":\"U\",\"type\":\"page\"}}".to_owned(),
        );
        let good = b"{\"id\":1,\"result\":{\"frameId\":\"F\"},\"sessionId\":\"S\"}\0".to_vec();
        let bad = b"{\"id\":2,\"error\":{\"code\":-32000,\"message\":\"No target with given id found\"}}\0"
            .to_vec();
        let all = [
            &frame, &reward, &navigated, &within, &dialog, &paused, &crashed, &detached, &created, &good,
            &bad,
        ];
        let mut seeds: Vec<Vec<u8>> = all.into_iter().cloned().collect();
        seeds.push(
            [navigated.clone(), reward.clone(), within.clone(), reward.clone(), frame.clone()].concat(),
        );
        seeds.push([reward.repeat(5), good, bad].concat());
        seeds
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"{\"id\":1,",
            b"\0",
            b"\"result\":",
            b"\"error\":",
            b"\"params\":",
            b"\"sessionId\":",
            b"null",
            b"[1e308,1e308]",
            b"[-1e308,1]",
            b"[1,0]",
            b"[\"1\",2]",
            b"efferenceReward",
            b"\"payload\":\"",
            b"\\ud800",
            b"\\u0000",
            b"https://",
            b"chrome-error://",
            b"data:",
            b"iVBORw0KGgo",
            b"/9j/4AAQSkZJRgAB",
            b"IHDR",
            b"PLTE",
            b"tRNS",
            b"IDAT",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\"",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let is_picture = input.starts_with(b"\x89PNG") || input.starts_with(b"\xff\xd8");
        match is_picture {
            true => write(&self.file, frame(&STANDARD.encode_to_string(input))),
            false => write(&self.file, input),
        }
        let messages = File::open(&self.file).unwrap_or_else(|e| panic!("cannot open what was written: {e}"));
        let seen =
            replay(messages.into(), SIZE).map_err(|e| Failure::new("there is no replay", e.to_string()))?;
        holds(
            "a reward is out of its range",
            seen.reward.is_none_or(|r| (-0.99..=0.99).contains(&r)),
            || format!("{:?}", seen.reward),
        )?;
        let bad = seen.observation.iter().find(|x| !(-1.0..=1.0).contains(*x));
        holds("an observation is out of its range", bad.is_none(), || format!("{bad:?}"))?;
        Ok(seen.drawn || seen.reward.is_some() || seen.answers > 0)
    }
}
