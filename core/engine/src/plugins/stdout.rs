//! Keeps what plugins print away from the host's standard output, and knows who printed it.
//!
//! While a run is on, file descriptor 1 is a file in memory, which never blocks; what was standard output is the
//! host's alone. After each call of a plugin its first bytes are looked at, where they are mapped: that is a load from
//! memory, and asking the system for the file's length takes as long as a small layer's forward pass.
//!
//! Rules of the unsafe code here: descriptors are owned by `File`s or never closed, and descriptor 1 is replaced
//! by `dup2`, which leaves it open at every moment. The page that is mapped stays so until the process ends, is read through
//! an atomic alone, and the file never gets shorter than [`KEPT`], so that the page is always there.
#![allow(unsafe_code)]
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    /// The first eight bytes of the file; `None` where they cannot be mapped.
    first: Option<&'static AtomicU64>,
    on_print: OnPrint,
}

/// Bytes at the start of the file that nobody prints: as long as it holds one byte, its first page is there. Behind them
/// the page reads as zeros until something is printed.
const KEPT: u64 = 1;

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
    memory.set_len(KEPT)?;
    let first = first_bytes(&memory);
    let captured = Captured { file: Mutex::new(memory), first, on_print };
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

/// Maps the beginning of the file.
fn first_bytes(file: &File) -> Option<&'static AtomicU64> {
    // SAFETY: a new mapping of a file that has a first page for ever; it is never unmapped, and its address is that of a page.
    unsafe {
        let length = size_of::<AtomicU64>();
        let page =
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        (page != libc::MAP_FAILED).then(|| &*page.cast::<AtomicU64>())
    }
}

/// What was printed since the last look, if anything. (Seven zero bytes at its beginning hide it until the next print.)
#[inline]
pub(super) fn printed() -> Option<(String, OnPrint)> {
    if !ON.load(Ordering::Acquire) {
        return None;
    }
    let captured = CAPTURED.get()?;
    if captured.first.is_some_and(|first| first.load(Ordering::Relaxed) == 0) {
        return None;
    }
    take(captured)
}

#[cold]
fn take(captured: &Captured) -> Option<(String, OnPrint)> {
    let mut file = captured.file.lock();
    if file.metadata().map_or(0, |m| m.len()) <= KEPT {
        return None;
    }
    let mut bytes = Vec::new();
    let read =
        file.seek(SeekFrom::Start(KEPT)).and_then(|_| (&mut *file).take(64 * 1024).read_to_end(&mut bytes));
    let emptied = file.set_len(KEPT);
    if read.is_err() || emptied.is_err() {
        return None;
    }

    Some((String::from_utf8_lossy(&bytes).trim_end().to_owned(), captured.on_print))
}
