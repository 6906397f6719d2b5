//! Texts in shared memory.
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A text of up to `N` bytes that one process writes, once, and others read.
#[repr(C)]
pub(crate) struct Text<const N: usize> {
    length: AtomicU32,
    bytes: [AtomicU8; N],
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        Text { length: AtomicU32::new(0), bytes: [const { AtomicU8::new(0) }; N] }
    }

    /// Writes as much of the text as there is room for.
    pub(crate) fn set(&self, text: &[u8]) {
        let text = &text[..text.len().min(N)];
        for (to, byte) in self.bytes.iter().zip(text) {
            to.store(*byte, Ordering::Relaxed);
        }
        self.length.store(text.len() as u32, Ordering::Release);
    }

    /// The text; empty until it is written. What another process has damaged is some other text, and no more than `N` bytes.
    pub(crate) fn get(&self) -> Vec<u8> {
        let length = (self.length.load(Ordering::Acquire) as usize).min(N);
        self.bytes[..length].iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }
}

/// Names that are numbered from 1 in the order in which they came.
#[repr(C)]
pub(crate) struct Names<const COUNT: usize, const N: usize> {
    count: AtomicU32,
    names: [Text<N>; COUNT],
}

impl<const COUNT: usize, const N: usize> Names<COUNT, N> {
    pub(crate) const fn new() -> Self {
        Names { count: AtomicU32::new(0), names: [const { Text::new() }; COUNT] }
    }

    /// The number of a name, which gets one if it has none; 0 if there is no room for more. For one thread at a time.
    pub(crate) fn number(&self, name: &str) -> u32 {
        let name = &name.as_bytes()[..name.len().min(N)];
        let count = (self.count.load(Ordering::Relaxed) as usize).min(COUNT);
        if let Some(at) = self.names[..count].iter().position(|known| known.get() == name) {
            return at as u32 + 1;
        }
        let Some(free) = self.names.get(count) else { return 0 };
        free.set(name);
        self.count.store(count as u32 + 1, Ordering::Release);
        count as u32 + 1
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: u32) -> Option<String> {
        let name = self.names.get((number as usize).checked_sub(1)?)?.get();
        (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_once_until_there_is_no_room() {
        let names = Names::<2, 8>::new();
        assert_eq!((names.number("forward"), names.number("backward"), names.number("forward")), (1, 2, 1));
        assert_eq!(names.number("step"), 0, "there is no room");
        assert_eq!(names.name(2).as_deref(), Some("backward"));
        assert_eq!((names.name(0), names.name(3)), (None, None));
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        let text = Text::<4>::new();
        assert_eq!(text.get(), b"");
        text.set(b"efference");
        assert_eq!(text.get(), b"effe");
    }
}
