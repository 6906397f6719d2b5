//! A bound on the memory of each page's process. V8's own bound covers objects of scripts; what else a page can fill (buffers,
//! elements, pictures) is looked at from outside, and a process that has too much is ended, which shows as a crash of its page.
use crate::chromium::Chromium;
use crate::devtools::{Failure, lock};
use crate::troubles::Troubles;
use rustix::process::{Pid, Signal, getpgid, kill_process};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often is looked: a page fills some 100 MiB meanwhile.
const PERIOD: Duration = Duration::from_millis(200);

/// Looks after the processes of pages.
pub(crate) struct MemoryBound {
    /// MiB; 0: none.
    bound: usize,
    looked: Instant,
    /// Processes of pages, as the browser said last.
    processes: Arc<Mutex<Vec<i32>>>,
}

impl MemoryBound {
    /// A bound in MiB; 0: none.
    pub(crate) fn new(bound: usize) -> Self {
        MemoryBound { bound, looked: Instant::now(), processes: Arc::default() }
    }

    /// Ends the processes that have too much.
    pub(crate) fn check(&mut self, chromium: &Chromium, troubles: &mut Troubles) -> Result<(), Failure> {
        let now = Instant::now();
        if self.bound == 0 || now.duration_since(self.looked) < PERIOD {
            return Ok(());
        }
        self.looked = now;
        for id in std::mem::take(&mut *lock(&self.processes)) {
            let taken = taken(id).unwrap_or(0);
            if taken >> 20 < self.bound as u64 {
                continue;
            }
            // The number may be another process's by now.
            let Some(process) =
                Pid::from_raw(id).filter(|p| getpgid(Some(*p)).is_ok_and(|g| chromium.is_group(g)))
            else {
                continue;
            };
            let what = format!(
                "a page's process took {} MiB, more than memory = {}, and was ended",
                taken >> 20,
                self.bound
            );
            troubles.warn("memory", &what);
            let _ = kill_process(process, Signal::KILL); // it may have ended by itself
        }
        let processes = Arc::clone(&self.processes);
        chromium.connection.send_then("", "SystemInfo.getProcessInfo", json!({}), move |answer| {
            let answer = answer.ok().and_then(|a| serde_json::from_str::<Answer>(a).ok());
            let of_pages = |process: Process| (process.r#type == "renderer").then_some(process.id);
            let found = answer.map(|a| a.process_info.into_iter().filter_map(of_pages).collect());
            *lock(&processes) = found.unwrap_or_default();
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    process_info: Vec<Process>,
}

#[derive(Deserialize)]
struct Process {
    r#type: String,
    id: i32,
}

/// The bytes that a process has in memory of its own or shares by intent. Unlike what it shares with its kin these can be
/// read of another user's process too.
fn taken(id: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()
    };
    Some((kib("RssAnon")? + kib("RssShmem")? + kib("VmSwap").unwrap_or(0)) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_found() {
        let own = taken(std::process::id() as i32).unwrap();
        let more: Vec<u8> = std::hint::black_box(vec![1; 64 << 20]);
        let grown = taken(std::process::id() as i32).unwrap();
        assert!(grown >= own + (60 << 20), "{own} and {grown}, with {} more", more.len());
        assert_eq!(taken(-1), None);
    }
}
