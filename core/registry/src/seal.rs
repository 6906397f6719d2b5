//! The checksum at the end of a library's file: what was written is what is loaded, bit for bit.
//!
//! A library is sealed once it is built, by `efference plugins seal` (the bundled ones by `cargo xtask build`): 16 bytes
//! that say so and the SHA-256 of all before them are put behind the file, where no loader of a system looks. Unlike a file
//! beside it, the seal is copied with the library, and gone when the library is built anew. A library without one is loaded
//! as it is: outside of this repository nobody has to do anything.
use crate::Refusal;
use crate::hash::hex;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// What a seal begins with.
const MARK: &[u8; 16] = b"\0efference seal\n";
/// Bytes of a seal: the mark, and a SHA-256.
const LENGTH: usize = MARK.len() + 32;
/// No library is larger, in bytes; a larger file would only be read in vain.
const LARGEST: u64 = 2 << 30;

/// How [`seal`] found a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// It has a seal now.
    Now,
    /// It had one already, and is as it was then.
    Before,
}

/// The bytes of a library's file. If it is sealed, they are what was sealed, with the seal.
///
/// # Errors
/// If it can't be read, or is not what was sealed.
pub fn checked_bytes(file: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |e: io::Error| Refusal::Unreadable { file: file.into(), reason: e.to_string() };
    let open = File::open(file).map_err(unreadable)?;
    let length = open.metadata().map_err(unreadable)?.len();
    if length > LARGEST {
        let reason = format!("it is larger than {} GiB", LARGEST >> 30);
        return Err(Refusal::NotALibrary { file: file.into(), reason });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    open.take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
    check(file, &bytes)?;
    Ok(bytes)
}

/// Checks the seal of a file that was read; one without is good.
fn check(file: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let Some((library, sum)) = parts(bytes) else { return Ok(()) };
    let found = Sha256::digest(library);
    if found[..] == *sum {
        return Ok(());
    }
    Err(Refusal::NotAsSealed { file: file.into(), sealed: hex(sum), found: hex(&found) })
}

/// A library without its seal, and the checksum in that; `None` for one without a seal.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (library, seal) = bytes.split_at_checked(bytes.len().checked_sub(LENGTH)?)?;
    Some((library, seal.strip_prefix(MARK)?))
}

/// Seals a library in place. Its time of change stays, so that what is made from it need not be made again.
///
/// # Errors
/// If it can't be written, or was sealed and is not what it was then.
pub fn seal(file: &Path) -> Result<Sealed, Refusal> {
    let unwritable = |e: io::Error| Refusal::Unsealable { file: file.into(), reason: e.to_string() };
    let bytes = checked_bytes(file)?;
    if parts(&bytes).is_some() {
        return Ok(Sealed::Before);
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Refusal::NotALibrary { file: file.into(), reason: "it is no ELF file".into() });
    }
    let mut open = OpenOptions::new().append(true).open(file).map_err(unwritable)?;
    let changed = open.metadata().and_then(|data| data.modified()).map_err(unwritable)?;
    let seal = [&MARK[..], &Sha256::digest(&bytes)].concat();
    let written = open.write_all(&seal).and_then(|()| open.set_modified(changed));
    if let Err(error) = written {
        // A part of a seal is none; but it is not left behind.
        let _ = open.set_len(bytes.len() as u64);
        return Err(unwritable(error));
    }
    Ok(Sealed::Now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn any_flipped_bit_of_a_sealed_library_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("libx.so");
        let whole: Vec<u8> = b"\x7fELF".iter().copied().chain((0..999).map(|n| (n % 251) as u8)).collect();
        fs::write(&file, &whole).unwrap();
        let changed = fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(checked_bytes(&file).unwrap(), whole);
        assert_eq!((seal(&file).unwrap(), seal(&file).unwrap()), (Sealed::Now, Sealed::Before));
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), changed);
        let sealed = fs::read(&file).unwrap();
        assert_eq!((sealed.len(), parts(&sealed).unwrap().0), (whole.len() + 48, &whole[..]));
        assert_eq!(checked_bytes(&file).unwrap(), sealed);
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Without its mark it is no seal; then all that the library has is as it was.
            let in_mark = (bit / 8).checked_sub(whole.len()).is_some_and(|at| at < MARK.len());
            assert_eq!(check(&file, &bytes).is_ok(), in_mark, "bit {bit}");
        }
        let mut bytes = sealed.clone();
        bytes[500] ^= 4;
        fs::write(&file, &bytes).unwrap();
        let refusal = seal(&file).unwrap_err();
        assert!(matches!(refusal, Refusal::NotAsSealed { .. }), "{refusal}");
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }

    #[test]
    fn only_libraries_are_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("text");
        fs::write(&file, "a page of text").unwrap();
        assert!(matches!(seal(&file).unwrap_err(), Refusal::NotALibrary { .. }));
        assert!(matches!(seal(&dir.path().join("none")).unwrap_err(), Refusal::Unreadable { .. }));
        assert_eq!(fs::read(&file).unwrap(), b"a page of text");
    }
}
