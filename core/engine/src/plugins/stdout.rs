//! Keeps what plugins print away from the host's standard output, and knows who printed it.
//!
//! While a run is on, file descriptor 1 is a file in memory, which never blocks; what was standard output is the
//! host's alone. After each call of a plugin the file is looked at.
//!
//! Rules of the unsafe code here: descriptors are owned by `File`s or never closed, and descriptor 1 is replaced
//! by `dup2`, which leaves it open at every moment.
#![allow(unsafe_code)]
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is done with what a plugin prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPrint {
    /// It ends the run.
    Fail,
    /// It goes to the log.
    Log,
}

struct Captured {
    file: Mutex<File>,
    on_print: OnPrint,
}

static CAPTURED: OnceLock<Captured> = OnceLock::new();
static ON: AtomicBool = AtomicBool::new(false);

/// From now on what plugins print is caught; returns what was standard output until now. Once in a process:
/// later calls return an error.
pub fn capture_stdout(on_print: OnPrint) -> io::Result<File> {
    let check = |r: libc::c_int| if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r) };
    // SAFETY: plain system calls; the descriptors that they return are new and owned from here on.
    let (own, memory) = unsafe {
        let own = File::from_raw_fd(check(libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3))?);
        let memory =
            File::from_raw_fd(check(libc::memfd_create(c"plugin stdout".as_ptr(), libc::MFD_CLOEXEC))?);
        check(libc::fcntl(memory.as_raw_fd(), libc::F_SETFL, libc::O_APPEND))?;
        (own, memory)
    };
    let captured = Captured { file: Mutex::new(memory), on_print };
    if CAPTURED.set(captured).is_err() {
        return Err(io::Error::other("standard output is captured already"));
    }
    if let Some(captured) = CAPTURED.get() {
        let memory = captured.file.lock();
        // SAFETY: replaces descriptor 1, which `own` keeps open under another number.
        check(unsafe { libc::dup2(memory.as_raw_fd(), 1) })?;
    }
    ON.store(true, Ordering::Release);
    Ok(own)
}

/// What was printed since the last look, if anything.
pub(super) fn printed() -> Option<(String, OnPrint)> {
    if !ON.load(Ordering::Acquire) {
        return None;
    }
    let captured = CAPTURED.get()?;
    let mut file = captured.file.lock();
    if file.metadata().map_or(0, |m| m.len()) == 0 {
        return None;
    }
    let mut bytes = Vec::new();
    let read =
        file.seek(SeekFrom::Start(0)).and_then(|_| (&mut *file).take(64 * 1024).read_to_end(&mut bytes));
    let emptied = file.set_len(0);
    if read.is_err() || emptied.is_err() {
        return None;
    }

    Some((String::from_utf8_lossy(&bytes).trim_end().to_owned(), captured.on_print))
}
