//! A process that removes a folder when this one is killed.
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits until the end of its input, which is when the host is gone, and removes the folder, the lock file and the
/// parent, if that is empty. Processes that are being killed may create files for a moment longer.
const SCRIPT: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.2
    rm -rf -- "$1" && rm -f -- "$2" && break
done
rmdir -- "$3"
"#;

/// A shell that outlives this process by a moment, if this process does not end it before.
pub(crate) struct CleanupProcess(Child);

impl CleanupProcess {
    /// `held` is the lock: the shell holds it too, so that nobody takes the folder while it is being removed.
    pub(crate) fn start(folder: &Path, lock: &Path, held: &File) -> std::io::Result<CleanupProcess> {
        let parent = folder.parent().unwrap_or(Path::new("/"));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "efference-cleanup"]).args([folder, lock, parent]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(held.try_clone()?).stderr(Stdio::null());
        // Ctrl-C is for the host.
        command.process_group(0).spawn().map(CleanupProcess)
    }
}

impl Drop for CleanupProcess {
    fn drop(&mut self) {
        // Before its input closes: what it would remove may be another browser's a moment later.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
