//! Targets with a fault each, for the test that the fuzzer finds them.
use efference_trials::fuzz::{Entry, Failure, Scratch, Target, entry};
use std::process::ExitCode;

/// Does something bad if an input has two lines.
struct Faulty(fn() -> Result<bool, Failure>);

impl Target for Faulty {
    fn seeds(&self) -> Vec<Vec<u8>> {
        vec![b"one line".to_vec()]
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[b"\n"]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        match input.iter().filter(|b| **b == b'\n').count() {
            0 | 1 => Ok(true),
            _ => (self.0)(),
        }
    }
}

fn made(fault: fn() -> Result<bool, Failure>) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(Faulty(fault)))
}

fn good(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| Ok(false))
}

fn wrong(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| Err(Failure::new("the answer is wrong", "1 is not 2")))
}

fn panics(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| panic!("two lines"))
}

fn aborts(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| std::process::abort())
}

fn recurses(_: &Scratch) -> Result<Box<dyn Target>, String> {
    #[allow(unconditional_recursion)] // that is its fault
    fn deeper(below: &[u8; 1024]) -> u64 {
        let room = std::hint::black_box([below[0]; 1024]);
        deeper(&room) + u64::from(room[1])
    }
    made(|| Ok(deeper(&[1; 1024]) == 0))
}

fn takes_memory(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| Ok(std::hint::black_box(Vec::<u8>::with_capacity(100 << 20)).is_empty()))
}

fn takes_all_memory(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| Ok(std::hint::black_box(Vec::<u8>::with_capacity(2 << 30)).is_empty()))
}

fn hangs(_: &Scratch) -> Result<Box<dyn Target>, String> {
    made(|| {
        let mut turns = 0_u64;
        while std::hint::black_box(true) {
            turns = turns.wrapping_add(1);
        }
        Ok(turns == 0)
    })
}

fn is_not_there(_: &Scratch) -> Result<Box<dyn Target>, String> {
    Err("there is no such thing here".to_owned())
}

fn main() -> ExitCode {
    const TARGETS: &[Entry] = &[
        entry("good", "nothing is wrong", good),
        entry("wrong", "a wrong answer", wrong),
        entry("panics", "a panic", panics),
        entry("aborts", "an abort", aborts),
        entry("recurses", "a stack overflow", recurses),
        entry("takes-memory", "100 MiB", takes_memory),
        entry("takes-all", "more memory than is given out", takes_all_memory),
        entry("hangs", "an endless loop", hangs),
        entry("skipped", "what can't be tried", is_not_there),
    ];
    efference_trials::fuzz::main(TARGETS)
}
