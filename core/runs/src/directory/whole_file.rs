//! Files that are there whole or not at all.
use crate::{FileError, disk, privacy};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file whole or not at all: to a temporary name, synced, renamed. An older file is replaced. It may be read by
/// others, as far as the process's umask lets it; but if there is a URL in it with user info or a query, by its owner alone.
///
/// # Errors
/// If that is not possible; the temporary file does not stay.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        // By itself a temporary file is its owner's alone.
        let mode = if is_private(content) { 0o600 } else { 0o666 };
        let mut file = tempfile::Builder::new()
            .prefix(".")
            .suffix(".tmp")
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(parent)?;
        file.as_file_mut().write_all(content)?; // whose errors do not name the temporary file
        disk::synced(file.as_file().sync_all())?;
        file.persist(path)?;
        // The name is on the disk only when the directory is. Not every file system can be asked for that.
        if let Ok(directory) = File::open(parent) {
            let _ = directory.sync_all();
        }
        Ok(())
    };
    write().map_err(|e| FileError::new("write", path, &e))
}

/// Whether a text has a URL with user info or a query in it. Arrays are no texts.
fn is_private(content: &[u8]) -> bool {
    const LONGEST_TEXT: usize = 8 << 20;
    let short = content.len() <= LONGEST_TEXT && memchr::memmem::find(content, b"://").is_some();
    short && std::str::from_utf8(content).is_ok_and(privacy::has_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_secret_in_a_url_is_its_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let mode = |text: &str| {
            let path = root.path().join("text");
            write_atomically(&path, text.as_bytes()).unwrap();
            fs::metadata(path).unwrap().permissions().mode() & 0o077
        };
        let others = mode("url = \"https://host/a\"");
        assert_eq!(mode("url = \"https://me:token@host/a\""), 0);
        assert_eq!(mode("url = \"https://host/a?key=1\""), 0);
        assert_eq!(mode("a"), others, "and it is as it was again");
    }
}
