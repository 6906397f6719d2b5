//! SHA-256 of files and of what is read.
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// SHA-256 of nothing at all.
pub(crate) const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// SHA-256 of a file, in hex, as `sha256sum` says it; `None` if it cannot be read.
pub fn sha256_of(file: &Path) -> Option<String> {
    let hash = |file: File| hash_and_beginning(file, 0).map(|(hash, _)| hash);
    File::open(file).and_then(hash).ok()
}

/// SHA-256 in hex, and so many of the first bytes.
pub(crate) fn hash_and_beginning(mut from: impl Read, bytes: usize) -> io::Result<(String, Vec<u8>)> {
    let mut hasher = Sha256::new();
    let mut beginning = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                let room = bytes.saturating_sub(beginning.len());
                beginning.extend_from_slice(&buffer[..n.min(room)]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hash, beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum() {
        assert_eq!(hash_and_beginning(io::empty(), 3).unwrap(), (NOTHING.to_owned(), vec![]));
        // The well known digest of "abc" (FIPS 180-4).
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_and_beginning(&b"abc"[..], 2).unwrap(), (abc.to_owned(), b"ab".to_vec()));
    }
}
