//! How much memory and processor time this process may take: the machine's, and the limits set on it.
//!
//! Everything is read from `/proc` and `/sys/fs/cgroup`; what is not there, or not as expected, sets no limit.
use crate::Bytes;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// How much more memory can be had, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes beyond what is in use.
    pub free: u64,
    /// What sets the limit, such as `MemAvailable in /proc/meminfo`.
    pub source: String,
}

/// `6.25 GiB can be had (MemAvailable in /proc/meminfo)`
impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can be had ({})", Bytes(self.free as f64), self.source)
    }
}

/// How many processors this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Processors {
    /// Those that it may run on (its affinity).
    pub affinity: usize,
    /// How many of them its control groups let it use at a time, such as 0.5; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<f64>,
}

impl Processors {
    /// Threads that can compute at the same time: at least 1.
    pub fn threads(&self) -> usize {
        let quota = self.quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
        self.affinity.min(quota).max(1)
    }
}

/// Where the system says what it is: `/`, but in tests.
#[derive(Debug, Clone)]
pub struct Limits {
    root: PathBuf,
}

/// The control groups that this process is in: their directories, from its own up to the root of the tree.
struct Groups {
    directories: Vec<PathBuf>,
    /// Whether they are of the unified hierarchy (version 2).
    unified: bool,
}

impl Limits {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Limits { root: PathBuf::from("/") }
    }

    /// The tightest of all limits of memory; `None` where the system says none.
    pub fn memory(&self) -> Option<MemoryLimit> {
        let groups = ["", "memory"].into_iter().flat_map(|name| self.memory_of_groups(name));
        let all = groups.chain(self.of_machine()).chain(self.committed()).chain(self.of_process());
        all.min_by_key(|limit| limit.free)
    }

    /// The processors that this process may use.
    pub fn processors(&self) -> Processors {
        let listed =
            self.field("proc/self/status", "Cpus_allowed_list").and_then(|list| count_of_list(&list));
        let affinity = listed.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let unified = self.groups("").into_iter().flat_map(|groups| groups.directories);
        let unified = unified.filter_map(|directory| {
            let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        });
        let old = self.groups("cpu").into_iter().flat_map(|groups| groups.directories);
        let old = old.filter_map(|directory| {
            let number = |name| number(&directory.join(name));
            Some(number("cpu.cfs_quota_us")? as f64 / number("cpu.cfs_period_us")? as f64)
        });
        let quota = unified.chain(old).filter(|quota| *quota > 0.0).reduce(f64::min);
        Processors { affinity, quota }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// What follows `name` and a colon in a file of `/proc`.
    fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.read(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    }

    /// A field in KiB, in bytes.
    fn bytes(&self, path: &str, name: &str) -> Option<u64> {
        self.field(path, name)?.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    fn of_machine(&self) -> Option<MemoryLimit> {
        let free = self.bytes("proc/meminfo", "MemAvailable")?;
        Some(MemoryLimit { free, source: "MemAvailable in /proc/meminfo".to_owned() })
    }

    /// What can still be promised, where the system promises no more than it has.
    fn committed(&self) -> Option<MemoryLimit> {
        if self.read("proc/sys/vm/overcommit_memory")?.trim() != "2" {
            return None;
        }
        let [limit, committed] =
            [self.bytes("proc/meminfo", "CommitLimit")?, self.bytes("proc/meminfo", "Committed_AS")?];
        let source = "CommitLimit in /proc/meminfo, as vm.overcommit_memory is 2".to_owned();
        Some(MemoryLimit { free: limit.saturating_sub(committed), source })
    }

    /// `ulimit -v` and `ulimit -d`.
    fn of_process(&self) -> Vec<MemoryLimit> {
        let limits = self.read("proc/self/limits").unwrap_or_default();
        let limit = |name: &str, used: &str, flag: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
            let soft: u64 = line.split_whitespace().next()?.parse().ok()?;
            let free = soft.saturating_sub(self.bytes("proc/self/status", used).unwrap_or_default());
            Some(MemoryLimit { free, source: format!("ulimit {flag}") })
        };
        let both = [limit("Max address space", "VmSize", "-v"), limit("Max data size", "VmData", "-d")];
        both.into_iter().flatten().collect()
    }

    /// The control groups of a controller, or with "" those of the unified hierarchy.
    fn groups(&self, controller: &str) -> Option<Groups> {
        let text = self.read("proc/self/cgroup")?;
        let own = text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            controllers.split(',').any(|name| name == controller).then(|| path.trim_start_matches('/'))
        })?;
        let mounts = self.root.join("sys/fs/cgroup");
        let mount = match controller {
            "" if mounts.join("unified").is_dir() => mounts.join("unified"),
            "" => mounts,
            name if mounts.join(name).is_dir() => mounts.join(name),
            name => mounts.join(format!("{name},{name}acct")),
        };
        // In a container the path may be the host's; then the mount is the group itself.
        let ancestors = Path::new(own).ancestors().map(|path| mount.join(path));
        let directories: Vec<_> = ancestors.filter(|directory| directory.is_dir()).collect();
        Some(Groups { directories, unified: controller.is_empty() })
    }

    fn memory_of_groups(&self, controller: &str) -> Vec<MemoryLimit> {
        let Some(Groups { directories, unified }) = self.groups(controller) else { return Vec::new() };
        let names = match unified {
            true => ["memory.max", "memory.current", "inactive_file"],
            false => ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
        };
        let of_one = |directory: &PathBuf| {
            let most = number(&directory.join(names[0]))?;
            let used = number(&directory.join(names[1])).unwrap_or_default();
            // Pages of files that nobody uses are given up first.
            let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
            let reclaimable = stat.lines().find_map(|line| line.strip_prefix(names[2])?.trim().parse().ok());
            let free = most.saturating_sub(used.saturating_sub(reclaimable.unwrap_or(0)));
            let shown = Path::new("/").join(directory.strip_prefix(&self.root).unwrap_or(directory));
            Some(MemoryLimit { free, source: shown.join(names[0]).display().to_string() })
        };
        directories.iter().filter_map(of_one).collect()
    }
}

/// A number that is all of a file; none where it says `max` or is not there.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// How many entries a list such as `0-3,8` has.
fn count_of_list(list: &str) -> Option<usize> {
    list.split(',').try_fold(0, |count, piece| {
        let (from, to) = piece.split_once('-').unwrap_or((piece, piece));
        let [from, to]: [usize; 2] = [from.trim().parse().ok()?, to.trim().parse().ok()?];
        Some(count + to.checked_sub(from)? + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A system that has these files.
    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, Limits) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let limits = Limits { root: root.path().to_owned() };
        (root, limits)
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       24696060 kB\nMemAvailable:    8388608 kB\nCommitLimit:     4194304 kB\nCommitted_AS:    1048576 kB\n",
    );

    #[test]
    fn memory_is_the_machines_where_nothing_else_limits_it() {
        let (_root, limits) = system(&[MEMINFO, ("proc/self/cgroup", "0::/user\n")]);
        let limit = limits.memory().unwrap();
        assert_eq!((limit.free, &limit.source[..]), (8 * GIB, "MemAvailable in /proc/meminfo"));
        assert_eq!(system(&[]).1.memory(), None);
    }

    #[test]
    fn a_control_group_further_up_limits_too() {
        let (_root, limits) = system(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/slice/job/step\n"),
            ("sys/fs/cgroup/slice/memory.max", "3221225472\n"),
            ("sys/fs/cgroup/slice/memory.current", "2147483648\n"),
            ("sys/fs/cgroup/slice/memory.stat", "anon 7\ninactive_file 1073741824\nactive_file 5\n"),
            ("sys/fs/cgroup/slice/job/step/memory.max", "max\n"),
        ]);
        let limit = limits.memory().unwrap();
        assert_eq!((limit.free, &limit.source[..]), (2 * GIB, "/sys/fs/cgroup/slice/memory.max"));
    }

    #[test]
    fn the_first_version_of_control_groups_limits_too() {
        let (_root, limits) = system(&[
            MEMINFO,
            ("proc/self/cgroup", "9:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n"),
            // As in a container: the path of the host is not there, and the mount is the group.
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("proc/self/status", "Cpus_allowed_list:\t0-3,8\n"),
        ]);
        assert_eq!(limits.memory().unwrap().free, GIB);
        let processors = limits.processors();
        assert_eq!(processors, Processors { affinity: 5, quota: Some(1.5) });
        assert_eq!(processors.threads(), 2);
    }

    #[test]
    fn limits_of_the_process_and_of_promises_count() {
        let limited = "Limit                     Soft Limit           Hard Limit           Units     \n\
                       Max data size             unlimited            unlimited            bytes     \n\
                       Max address space         2147483648           unlimited            bytes     \n";
        let (_root, limits) = system(&[
            MEMINFO,
            ("proc/self/limits", limited),
            ("proc/self/status", "VmSize:  1048576 kB\nVmData:  5 kB\n"),
        ]);
        let limit = limits.memory().unwrap();
        assert_eq!((limit.free, &limit.source[..]), (GIB, "ulimit -v"));
        let (_root, limits) = system(&[MEMINFO, ("proc/sys/vm/overcommit_memory", "2\n")]);
        assert_eq!(limits.memory().unwrap().free, 3 * GIB);
    }

    #[test]
    fn half_a_processor_is_one_thread() {
        let (_root, limits) = system(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("proc/self/status", "Cpus_allowed_list:\t0-1\n"),
            ("sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ]);
        let processors = limits.processors();
        assert_eq!(processors, Processors { affinity: 2, quota: Some(0.5) });
        assert_eq!(processors.threads(), 1);
        assert_eq!(Processors { affinity: 4, quota: None }.threads(), 4);
        assert_eq!(Processors { affinity: 4, quota: Some(2.2) }.threads(), 3);
    }
}
