//! The memory that the environments' process and this one share: a file without a name, which that process gets.
//!
//! Rules of the unsafe code here, the only file of the crate that has any: what is mapped is looked at as atomics alone, for
//! which every pattern of bits is a value, so that memory that another process writes is one; it stays mapped as long as
//! the [`Memory`] that owns it; the file is as long as what is mapped, and sealed, so that nobody can shorten it and no access
//! fails.
#![allow(unsafe_code)]
use efference_sdk::{Result, ResultExt, ensure};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fmt;
use std::os::fd::OwnedFd;
use std::ptr::{NonNull, slice_from_raw_parts};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// Words that two processes share.
pub(crate) struct Memory {
    words: NonNull<[AtomicU64]>,
}

// SAFETY: atomics may be used by all threads, and the mapping belongs to no thread.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// So many words, all zero, and the file that another process maps.
    pub(crate) fn new(words: usize) -> Result<(Memory, OwnedFd)> {
        let bytes = words.checked_mul(WORD).filter(|bytes| *bytes > 0);
        ensure!(bytes.is_some(), "no memory of {words} words can be shared");
        let bytes = bytes.unwrap_or_default();
        let file = memfd_create(c"efference gymnasium", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
        ftruncate(&file, bytes as u64).with_context(|| format!("cannot share {bytes} bytes of memory"))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at a place that the system chooses.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, &file, 0)? };
        let words = slice_from_raw_parts(start.cast::<AtomicU64>(), words).cast_mut();
        match NonNull::new(words) {
            Some(words) => Ok((Memory { words }, file)),
            None => efference_sdk::bail!("the system has mapped memory at no place"),
        }
    }

    /// The words.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: pages are aligned for atomics, and as long as this is borrowed the mapping is there; see the rules above.
        unsafe { self.words.as_ref() }
    }

    /// Copies the bytes from a place on. It must be the beginning of a word, and all of them within the memory.
    pub(crate) fn read(&self, place: usize, to: &mut [u8]) {
        let words = &self.words()[place / WORD..];
        let (whole, rest) = to.as_chunks_mut::<WORD>();
        for (to, word) in whole.iter_mut().zip(words) {
            *to = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&words[whole.len()].load(Ordering::Relaxed).to_ne_bytes()[..rest.len()]);
        }
    }

    /// Writes bytes from a place on, and zeros up to the next word. As of [`read`](Self::read).
    pub(crate) fn write(&self, place: usize, from: &[u8]) {
        let words = &self.words()[place / WORD..];
        for (from, word) in from.chunks(WORD).zip(words) {
            let mut bytes = [0; WORD];
            bytes[..from.len()].copy_from_slice(from);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing that is borrowed of it is left.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), self.words.len() * WORD) };
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} words)", self.words.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_fill_their_last_word_with_zeros() {
        let (memory, file) = Memory::new(4).unwrap();
        memory.write(0, &[0xff; 32]);
        memory.write(8, b"efference!");
        let mut read = [0; 16];
        memory.read(8, &mut read);
        assert_eq!(&read, b"efference!\0\0\0\0\0\0");
        let mut some = [0; 3];
        memory.read(16, &mut some);
        assert_eq!(&some, b"e!\0");
        assert_eq!(memory.words()[3].load(Ordering::Relaxed), u64::MAX);
        assert!(ftruncate(&file, 0).is_err(), "it can be shortened");
        let too_large = Memory::new(usize::MAX / 8).err().map(|e| format!("{e:#}"));
        assert!(too_large.is_some_and(|said| said.contains("cannot share")), "there is no such memory");
    }
}
