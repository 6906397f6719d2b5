//! The text of a spec's file; or, where there is none, what is there.
use super::nearest::nearest;
use std::fs::FileType;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// No spec is larger, in bytes, with all that it extends; what is larger is another file by mistake.
pub(super) const LARGEST: u64 = 4 << 20;

/// The system's number for links that lead in a circle; the library has no stable name for it.
const ELOOP: i32 = 40;

/// The text of the file, or what is wrong with it and what may help. It may have `room` bytes.
pub(super) fn read_text(path: &Path, room: u64) -> Result<String, (String, Option<String>)> {
    let name = path.display();
    let cant = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => match std::fs::read_link(path) {
            Ok(target) => {
                let message = format!("`{name}` is a link to `{}`, which is not there", target.display());
                (message, Some("make the link anew, or name the spec itself".to_owned()))
            }
            Err(_) => (format!("there is no file `{name}`"), name_nearby(path)),
        },
        _ if error.raw_os_error() == Some(ELOOP) => {
            (format!("`{name}` is a link that leads back to itself"), Some("make the link anew".to_owned()))
        }
        _ => (format!("can't read `{name}`: {error}"), None),
    };
    // Whoever opens a pipe waits for its other end.
    let kind = std::fs::metadata(path).map_err(cant)?.file_type();
    if kind.is_dir() {
        return Err((format!("`{name}` is a directory, not a spec"), specs_within(path)));
    }
    if let Some(what) = special(kind) {
        let help = "a spec is read more than once: write it to a file, and name that".to_owned();
        return Err((format!("`{name}` is {what}, not a file"), Some(help)));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(room + 1).read_to_end(&mut bytes)).map_err(cant)?;
    let help = || Some("a spec is a TOML file: plain text, in UTF-8".to_owned());
    if bytes.len() as u64 > room {
        let with = if room < LARGEST { ", together with what it extends or is extended by" } else { "" };
        return Err((format!("`{name}` is no spec: it is larger than {} MiB{with}", LARGEST >> 20), help()));
    }
    let line = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err((
            format!("`{name}` is not text: there is a zero byte in line {}", line(&bytes[..at])),
            help(),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let (byte, line) = (error.as_bytes()[at], line(&error.as_bytes()[..at]));
        (format!("`{name}` is not text: the byte 0x{byte:02X} in line {line} is not UTF-8"), help())
    })
}

/// What a file is that is no regular one.
fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_fifo() => Some("a pipe"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        kind if kind.is_file() => None,
        _ => Some("something special"),
    }
}

/// For a file that is not there: the name in the same directory that was meant, perhaps.
fn name_nearby(path: &Path) -> Option<String> {
    let said = path.file_name()?.to_string_lossy().into_owned();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Some(format!("there is no directory `{}` either", directory.display()));
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let specs = names.iter().filter(|name| name.ends_with(".toml"));
    let found = nearest(&said, specs.map(String::as_str))
        .or_else(|| nearest(&said, names.iter().map(String::as_str)))?;
    Some(format!("did you mean `{}`?", path.with_file_name(found).display()))
}

/// For a directory: the specs in it.
fn specs_within(directory: &Path) -> Option<String> {
    let is_spec = |path: &PathBuf| path.extension().is_some_and(|e| e == "toml") && path.is_file();
    let mut specs: Vec<PathBuf> =
        std::fs::read_dir(directory).ok()?.flatten().map(|e| e.path()).filter(is_spec).collect();
    specs.sort();
    let names: Vec<String> = specs.iter().take(8).map(|path| format!("`{}`", path.display())).collect();
    let more = if specs.len() > names.len() { ", …" } else { "" };
    if names.is_empty() { None } else { Some(format!("specs in it: {}{more}", names.join(", "))) }
}
