//! Whether the system's out-of-memory killer was at work.
use std::fs;

/// How often it had killed something, when this was asked.
pub(super) struct OutOfMemory {
    before: Option<u64>,
}

impl OutOfMemory {
    /// As of now.
    pub(super) fn now() -> OutOfMemory {
        OutOfMemory { before: kills() }
    }

    /// Whether it has killed something since: in the control group of this process, or where that does not count, on this
    /// machine.
    pub(super) fn killed_one(&self) -> bool {
        matches!((self.before, kills()), (Some(before), Some(now)) if now > before)
    }
}

fn kills() -> Option<u64> {
    kills_in_group().or_else(|| counted(&fs::read_to_string("/proc/vmstat").ok()?))
}

/// `memory.events` of version 2 of the control groups, `memory.oom_control` of version 1.
fn kills_in_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let (_, controllers_and_path) = line.split_once(':')?;
        let (controllers, path) = controllers_and_path.split_once(':')?;
        let file = match controllers.split(',').any(|controller| controller == "memory") {
            true => format!("/sys/fs/cgroup/memory{path}/memory.oom_control"),
            false if controllers.is_empty() => format!("/sys/fs/cgroup{path}/memory.events"),
            false => return None,
        };
        counted(&fs::read_to_string(file).ok()?)
    })
}

/// The number behind `oom_kill`.
fn counted(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_each_form() {
        assert_eq!(counted("low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(counted("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(counted("nr_free_pages 3\n"), None);
    }

    #[test]
    fn nothing_was_killed_within_a_moment() {
        assert!(!OutOfMemory { before: Some(u64::MAX) }.killed_one());
    }
}
