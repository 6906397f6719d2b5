//! Loads libraries: from a copy in memory of bytes that were checked, once each.
//!
//! Rules of the unsafe code here: a library is opened after [`FileManifest`] accepted its bytes and the libraries that it
//! needs are those of this process; its table is read after that. What is opened is a copy that nobody can change.
#![allow(unsafe_code)]
use super::this_host::this_host;
use super::{FileManifest, Refusal};
use efference_abi::{ENTRY_SYMBOL, Library};
use efference_registry::checked_bytes;
use efference_sdk::Error;
use efference_supervision::{Call, of_this_process};
use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The tables of the libraries that were loaded, by the device and number of their files.
static LOADED: Mutex<BTreeMap<(u64, u64), &'static Library>> = Mutex::new(BTreeMap::new());

/// Plugins of one library at most: a larger number is none of a library that is whole.
const MOST_ENTRIES: usize = 4_096;

/// Loads a library, once, and returns its table.
pub(super) fn table(file: &Path) -> Result<&'static Library, Refusal> {
    let unreadable = |e: io::Error| Refusal::Unreadable { file: file.into(), reason: e.to_string() };
    let data = fs::metadata(file).map_err(unreadable)?;
    let number = (data.dev(), data.ino());
    let mut loaded = LOADED.lock();
    if let Some(library) = loaded.get(&number) {
        return Ok(library);
    }
    // The manifest of the very bytes that are loaded, whatever the file held when it was found.
    let bytes = checked_bytes(file)?;
    let manifest = FileManifest::of_bytes(file, &bytes, &this_host())?;
    check_needed(file, &manifest.needed)?;
    let copy = if load_beside(file, &manifest) { PrivateCopy::of(file, &bytes) } else { None };
    let path = copy.as_ref().map_or(file, |copy| &copy.path);
    let unloadable = |e: libloading::Error| {
        // The innermost message is the system's own; those before it say that there is one.
        let reason = Error::from(e).chain().last().unwrap_or_default().to_owned();
        let reason = reason.replace(&path.display().to_string(), &file.display().to_string());
        Refusal::Unloadable { file: file.into(), reason }
    };
    // SAFETY: the manifest was accepted, so the initialisers are those of a plugin for this host.
    let handle = unsafe { Handle::open(Some(path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) };
    let handle = handle.map_err(unloadable)?;
    // SAFETY: the manifest says that the symbol is a static `Library` of this boundary, and it is never unloaded.
    let library: *const Library = unsafe { *handle.get(ENTRY_SYMBOL.as_bytes()).map_err(unloadable)? };
    let damaged = |reason: &str| Refusal::DamagedManifest { file: file.into(), reason: reason.into() };
    // What is no address is not to be taken for a function or a list.
    // SAFETY: as above; a place of the size of an address is read as a number.
    let (start, entries, count) = unsafe {
        ((&raw const (*library).init).cast::<usize>().read(), (*library).entries, (*library).entry_count)
    };
    if start == 0 {
        return Err(damaged("its table names no function that starts it"));
    }
    if entries.is_null() || count > MOST_ENTRIES {
        return Err(damaged("its table has no list of its plugins"));
    }
    // SAFETY: as above, and what must not be null is not.
    let library: &'static Library = unsafe { &*library };
    std::mem::forget(handle);
    // Open as long as the process: the system's loader knows a library by its path, and the path is the descriptor's.
    std::mem::forget(copy);
    loaded.insert(number, library);
    Ok(library)
}

/// A library's bytes in memory, as a file that nobody else has: who writes over the library's own file (`cp`, a build) does
/// not reach into this process, which would end it by SIGBUS.
struct PrivateCopy {
    _file: File,
    path: PathBuf,
}

impl PrivateCopy {
    /// `None` where the system has no such files or does not execute them: then the library's own file is loaded.
    fn of(file: &Path, bytes: &[u8]) -> Option<PrivateCopy> {
        let copy = private_file(file, bytes);
        let copy = copy.inspect_err(|e| {
            tracing::debug!("{} is loaded from its own file, not from a copy: {e}", file.display());
        });
        let file = copy.ok()?;
        // By this process's number, not as `self`: so debuggers and profilers find the symbols too.
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        let same = |path: &Path| {
            let (there, own) = (fs::metadata(path).ok()?, file.metadata().ok()?);
            ((there.dev(), there.ino()) == (own.dev(), own.ino())).then(|| path.to_owned())
        };
        let by_self = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let path = same(&path).or_else(|| same(&by_self))?;
        Some(PrivateCopy { _file: file, path })
    }
}

fn private_file(file: &Path, bytes: &[u8]) -> io::Result<File> {
    // A limit on the size of files (`ulimit -f`) is one on this too, and ends the process by a signal.
    if largest_file().is_some_and(|largest| (bytes.len() as u64) > largest) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // What maps and profilers show: the name of the library, of which the system takes 249 bytes.
    let name = file.file_name().unwrap_or_default().as_bytes();
    let name = CString::new(&name[..name.len().min(200)])?;
    let create = |flags| {
        // SAFETY: the name is a C string; the descriptor that comes back is new, and owned by nobody else.
        let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | flags) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    };
    // Systems before Linux 6.3 do not know the first of these, and need it not.
    let flags = [libc::MFD_EXEC | libc::MFD_ALLOW_SEALING, libc::MFD_ALLOW_SEALING];
    let mut copy = create(flags[0]).or_else(|_| create(flags[1]))?;
    copy.write_all(bytes)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open; nothing is mapped from it yet.
    match unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, seals) } {
        0 => Ok(copy),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes of a file that this process may write, where that is limited.
fn largest_file() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the system call writes into the struct.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    (read == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Loads what the library needs and finds relative to its own place (`$ORIGIN`), which the copy of it does not have. What
/// can't be loaded is reported when the library is. Whether the copy can do: what has no name of its own (`-soname`) is found
/// by its path alone, and then only the library's own file can be loaded.
fn load_beside(file: &Path, manifest: &FileManifest) -> bool {
    let own = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let own = own.parent().unwrap_or(Path::new("/"));
    for needed in &manifest.needed {
        let mut paths = manifest.beside.iter().map(|directory| own.join(directory).join(needed));
        let Some(path) = paths.find(|path| path.is_file()) else { continue };
        if !is_loaded(needed) {
            // SAFETY: it is what the system's loader would load with the library, whose manifest was accepted.
            let handle = unsafe { Handle::open(Some(&path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) };
            let is_there = handle.is_ok();
            std::mem::forget(handle);
            if is_there && !is_loaded(needed) {
                return false;
            }
        }
    }
    true
}

fn is_loaded(library: &str) -> bool {
    // SAFETY: with RTLD_NOLOAD nothing is loaded, so nothing runs.
    unsafe { Handle::open(Some(library), RTLD_NOW | libc::RTLD_NOLOAD) }.is_ok()
}

/// That code of a library runs which is not called by the name of a plugin yet: its constructors, its start.
pub(super) struct Loading {
    around: Call,
}

impl Loading {
    /// Until what it returns is dropped.
    pub(super) fn begin(file: &Path) -> Loading {
        let activity = of_this_process();
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let library = activity.plugin(&format!("library '{name}'"));
        Loading { around: activity.enter(Call::new(library, activity.method("being loaded"))) }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        of_this_process().leave(self.around);
    }
}

/// A second libtorch in the process ends it inside `dlopen`, where nothing can be caught: so a library that
/// needs one that is not loaded yet is refused.
fn check_needed(file: &Path, needed: &[String]) -> Result<(), Refusal> {
    for library in needed.iter().filter(|n| n.starts_with("libtorch") || n.starts_with("libc10")) {
        if !is_loaded(library) {
            return Err(Refusal::NeedsOtherLibrary { file: file.into(), library: library.clone() });
        }
    }
    Ok(())
}
