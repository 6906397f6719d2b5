//! Makes a failing input small.
use std::time::{Duration, Instant};

/// The smallest input found within the time that still fails; what lines and bytes it does without is taken out, the largest
/// pieces first.
pub(crate) fn minimise(mut input: Vec<u8>, time: Duration, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let deadline = Instant::now() + time;
    loop {
        let before = input.len();
        input = without_lines(input, deadline, &mut fails);
        input = without_bytes(input, deadline, &mut fails);
        if input.len() == before || Instant::now() > deadline {
            return input;
        }
    }
}

fn without_lines(input: Vec<u8>, deadline: Instant, fails: &mut impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let mut size = lines.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at + size <= lines.len() && Instant::now() < deadline {
            let rest: Vec<u8> = [&lines[..at], &lines[at + size..]].concat().concat();
            if fails(&rest) {
                lines.drain(at..at + size);
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    lines.concat()
}

fn without_bytes(mut input: Vec<u8>, deadline: Instant, fails: &mut impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut size = input.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at + size <= input.len() && Instant::now() < deadline {
            let rest = [&input[..at], &input[at + size..]].concat();
            if fails(&rest) {
                input = rest;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_taken_out() {
        let input = b"name = \"x\"\nseed = 1\nsteps = 99\n[layer]\nradix = 0\n".to_vec();
        let small = minimise(input, Duration::from_secs(60), |rest| {
            rest.windows(5).any(|w| w == b"radix") && rest.contains(&b'9')
        });
        assert_eq!(small, b"9radix");
    }
}
