//! What children that have ended had used.
//!
//! Rules of the unsafe code here: one system call that fills a struct of numbers.
#![allow(unsafe_code)]
use std::mem::MaybeUninit;

/// What the children of this process that have ended, and were waited for, had used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// The most memory that one of them had in use, in bytes.
    pub peak_memory: u64,
    /// Their time on the processors, in seconds.
    pub processor_seconds: f64,
}

impl Usage {
    /// That of now; `None` where the system does not say.
    pub fn of_children() -> Option<Usage> {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: fills the struct.
        let asked = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
        // SAFETY: all of it was zero, or was written.
        let usage = unsafe { usage.assume_init() };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        (asked == 0).then(|| Usage {
            peak_memory: usage.ru_maxrss as u64 * 1024,
            processor_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_ended_has_used_something() {
        assert!(std::process::Command::new("true").status().unwrap().success());
        let usage = Usage::of_children().unwrap();
        assert!(usage.peak_memory > 100 << 10 && usage.peak_memory < 1 << 40, "{usage:?}");
        assert!(usage.processor_seconds < 60.0, "{usage:?}");
    }
}
