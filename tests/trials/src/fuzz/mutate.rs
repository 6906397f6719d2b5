//! Makes new inputs of old ones.
use fastrand::Rng;
use std::ops::Range;

/// No input is longer, in bytes: most faults need little, and long inputs take long.
const LONGEST: usize = 1 << 16;

/// Numbers at which readers go wrong: ends of types, and what lies one beyond them.
const NUMBERS: [u64; 18] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 53,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

/// The same for readers of text.
const NUMERALS: [&str; 20] = [
    "0",
    "-0",
    "-1",
    "1",
    "007",
    "1e999",
    "-1e999",
    "1e-999",
    "1e19",
    "1e308",
    "0.1",
    "1_000",
    "0x7f",
    "nan",
    "inf",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
];

/// Changes an input in one to a few places. `others` are inputs to take from, `words` what the format is made of.
pub(crate) fn mutate(random: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&[u8]]) {
    for _ in 0..1 << random.u32(0..4) {
        once(random, input, others, words);
    }
    input.truncate(LONGEST.max(others.iter().map(Vec::len).max().unwrap_or(0)));
}

fn once(random: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&[u8]]) {
    let at = random.usize(..=input.len());
    match random.u32(..16) {
        0 | 1 if !input.is_empty() => flip(random, input),
        2 => input.insert(at, random.u8(..)),
        3 | 4 => number(random, input),
        5 | 6 => numeral(random, input),
        7 => drop(input.drain(piece(random, input))),
        8 => input.truncate(at),
        9 => {
            // A piece again, at times very often.
            let piece = input[piece(random, input)].to_vec();
            let often = if random.u8(..) < 32 { 12 } else { 3 };
            let times = 1 << random.u32(..often);
            let room = LONGEST.saturating_sub(input.len()) / piece.len().max(1);
            let piece = piece.repeat(room.min(times));
            input.splice(at..at, piece);
        }
        10 | 11 if !others.is_empty() => {
            let other = &others[random.usize(..others.len())];
            let piece = other[piece(random, other)].to_vec();
            let to = if random.bool() { at..at } else { self::piece(random, input) };
            input.splice(to, piece);
        }
        12 | 13 if !words.is_empty() => {
            let word = words[random.usize(..words.len())];
            let to = if random.bool() { at..at } else { token(input, at) };
            input.splice(to, word.iter().copied());
        }
        14 => exchange_lines(random, input),
        _ => {
            let (from, to) = (token(input, at), random.usize(..=input.len()));
            let moved = input[from].to_vec();
            input.splice(to..to, moved);
        }
    }
}

fn flip(random: &mut Rng, input: &mut [u8]) {
    let at = random.usize(..input.len());
    input[at] ^= if random.bool() { 1 << random.u32(..8) } else { random.u8(1..) };
}

/// A number over the bytes, in one of the sizes and orders.
fn number(random: &mut Rng, input: &mut [u8]) {
    let size = 1 << random.usize(..4);
    let Some(room) = input.len().checked_sub(size) else { return };
    let number = NUMBERS[random.usize(..NUMBERS.len())];
    let number = if random.bool() { number } else { number.wrapping_add(random.u64(..16)).wrapping_sub(8) };
    let at = random.usize(..=room);
    let little = number.to_le_bytes();
    let big = number.to_be_bytes();
    input[at..at + size].copy_from_slice(if random.bool() { &little[..size] } else { &big[8 - size..] });
}

/// Another numeral in place of one.
fn numeral(random: &mut Rng, input: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..input.len())
        .filter(|at| input[*at].is_ascii_digit() && (*at == 0 || !input[*at - 1].is_ascii_alphanumeric()))
        .collect();
    let Some(at) = random.choice(starts) else { return };
    let numeral = NUMERALS[random.usize(..NUMERALS.len())];
    input.splice(token(input, at), numeral.bytes());
}

/// Some of the bytes, mostly few.
fn piece(random: &mut Rng, input: &[u8]) -> Range<usize> {
    let start = random.usize(..=input.len());
    let most = input.len() - start;
    let about = 1 << random.u32(..17);
    let length = random.usize(..=most.min(about));
    start..start + length
}

/// The word around a place.
fn token(input: &[u8], at: usize) -> Range<usize> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+');
    let start = input[..at].iter().rposition(|b| !is_word(b)).map_or(0, |before| before + 1);
    let end = input[at..].iter().position(|b| !is_word(b)).map_or(input.len(), |behind| at + behind);
    start..end
}

fn exchange_lines(random: &mut Rng, input: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|b| *b == b'\n').collect();
    if lines.len() > 1 {
        let (a, b) = (random.usize(..lines.len()), random.usize(..lines.len()));
        lines.swap(a, b);
        *input = lines.concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_they_are_many() {
        let (others, words) =
            (vec![b"seed = 1\nsteps = 20\n".to_vec(), vec![0; 40]], [&b"[layer]"[..], b"="]);
        let inputs = |seed: u64| {
            let mut random = Rng::with_seed(seed);
            let one = |_| {
                let mut input = others[random.usize(..2)].clone();
                mutate(&mut random, &mut input, &others, &words);
                assert!(input.len() <= LONGEST);
                input
            };
            (0..3_000).map(one).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let different: HashSet<_> = inputs(1).into_iter().collect();
        assert!(different.len() > 2_000, "{}", different.len());
    }
}
