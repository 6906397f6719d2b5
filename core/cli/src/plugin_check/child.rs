//! A process that checks one plugin, and what became of it.
use super::lines::{Line, Outcome};
use crate::engine;
use efference_registry::PluginInfo;
use efference_supervision::Shared;
use signal_hook::low_level::signal_name;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How a process ended that had more to check.
pub(super) struct Ended {
    /// The check that went on; `None`: none did.
    pub(super) check: Option<String>,
    why: String,
    help: &'static str,
    /// Whether another process would do no better.
    pub(super) is_over: bool,
}

impl Ended {
    pub(super) fn outcome(&self) -> Outcome {
        Outcome::Failed { why: self.why.clone(), help: Some(self.help.to_owned()) }
    }
}

/// Makes the checks from this one on; `each` sees what came of each, and says whether to go on. `None`: all were made.
///
/// # Errors
/// A sentence, if the engine can't be started.
pub(super) fn check_from(
    file: &Path,
    plugin: &PluginInfo,
    sets: &[String],
    from: usize,
    patience: Duration,
    mut each: impl FnMut(&str, &Outcome) -> bool,
) -> Result<Option<Ended>, String> {
    let mut command = engine::command()?;
    command.arg("check-plugin").arg(file).args([
        plugin.kind.name(),
        &plugin.name,
        "--from",
        &from.to_string(),
    ]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let shared = Shared::new().map_err(|e| format!("no memory can be shared with the engine: {e}"))?;
    shared.pass_to(&mut command);
    let mut child = command.spawn().map_err(|e| format!("the engine cannot be started: {e}"))?;
    let output = child.stdout.take().ok_or("the engine has no pipe")?;
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut check: Option<String> = None;
    let mut went_on = true;
    let ended = loop {
        match lines.recv_timeout(patience) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(Line::Begins(name)) => check = Some(name),
                Ok(Line::Ends(outcome)) => {
                    went_on = each(&check.take().unwrap_or_default(), &outcome);
                    if !went_on {
                        break None;
                    }
                }
                Err(e) => return Err(format!("the engine's reply makes no sense: {e}: {line}")),
            },
            Err(RecvTimeoutError::Timeout) => break Some(None),
            Err(RecvTimeoutError::Disconnected) => {
                break Some(Some(child.wait().map_err(|e| format!("the engine cannot be waited for: {e}"))?));
            }
        }
    };
    let doing = shared.activity().doing();
    let within = doing.call.map_or(String::new(), |(plugin, method)| format!(", in {method} of {plugin}"));
    end(&mut child);
    let _ = reader.join();
    Ok(match ended {
        // Who reads has seen enough.
        None => Some(Ended { check: None, why: String::new(), help: "", is_over: true }).filter(|_| !went_on),
        Some(Some(status)) if status.success() && check.is_none() && doing.status == Some(0) => None,
        Some(Some(status)) => Some(Ended {
            is_over: check.is_none(),
            check,
            why: format!("it {}{within}", how(status)),
            help: "A plugin never ends the process: it returns an error. Run it in a debugger: `gdb --args efference-engine run SPEC`",
        }),
        Some(None) => Some(Ended {
            check,
            why: format!("it had not returned after {} s{within}", patience.as_secs()),
            help: "Each call is to return: wait no longer than the `timeout` that `poll` receives. `--patience` gives more time",
            is_over: true,
        }),
    })
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn how(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => {
            let name = signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
            format!("died of {name}")
        }
        None => format!("ended the process by exit({})", status.code().unwrap_or_default()),
    }
}
