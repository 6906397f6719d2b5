//! TensorBoard's event files, read back: for tests of what a run has recorded, without Python.
//!
//! A file is records, each `length (u64) · crc(length) (u32) · event · crc(event) (u32)`, little-endian; an event is a message of
//! protocol buffers, of which what efference writes is read and the rest passed over.
use efference_sdk::{Result, ResultExt, ensure};
use std::fs;
use std::path::Path;

/// An event of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// The step.
    pub step: i64,
    /// Scalars by their tags.
    pub scalars: Vec<(String, f32)>,
    /// Tags of pictures, and the bytes of each, as PNG.
    pub pictures: Vec<(String, Vec<u8>)>,
}

/// All events of a file, in order.
///
/// # Errors
/// If it can't be read, ends within a record, or has a checksum that is wrong: with the place.
pub fn read_events(file: &Path) -> Result<Vec<Event>> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (mut events, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let record = record(&bytes[at..]);
        let (event, length) = record.with_context(|| format!("{}, at byte {at}", file.display()))?;
        events.push(event);
        at += length;
    }
    Ok(events)
}

/// The first event, and how many bytes its record has.
fn record(bytes: &[u8]) -> Result<(Event, usize)> {
    ensure!(bytes.len() >= 12, "a record is cut off");
    let (head, rest) = bytes.split_at(12);
    let length = number(&head[..8]) as usize;
    ensure!(number(&head[8..]) == u64::from(masked(&head[..8])), "the checksum of a length is wrong");
    ensure!(rest.len() >= 4 && length <= rest.len() - 4, "a record is cut off");
    let (event, check) = (&rest[..length], &rest[length..length + 4]);
    ensure!(number(check) == u64::from(masked(event)), "the checksum of an event is wrong");
    Ok((read_event(event)?, 12 + length + 4))
}

fn read_event(bytes: &[u8]) -> Result<Event> {
    let mut event = Event::default();
    for (field, value) in fields(bytes)? {
        match (field, value) {
            (1, Field::Fixed(bits)) => event.wall_time = f64::from_bits(bits),
            (2, Field::Varint(step)) => event.step = step as i64,
            (5, Field::Bytes(summary)) => {
                for (field, value) in fields(summary)? {
                    if let (1, Field::Bytes(value)) = (field, value) {
                        read_value(value, &mut event)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(event)
}

fn read_value(bytes: &[u8], event: &mut Event) -> Result<()> {
    let all = fields(bytes)?;
    let tag = all.iter().find_map(|(field, value)| match (field, value) {
        (1, Field::Bytes(tag)) => Some(String::from_utf8_lossy(tag).into_owned()),
        _ => None,
    });
    let tag = tag.unwrap_or_default();
    for (field, value) in all {
        match (field, value) {
            (2, Field::Fixed(bits)) => event.scalars.push((tag.clone(), f32::from_bits(bits as u32))),
            (4, Field::Bytes(picture)) => {
                for (field, value) in fields(picture)? {
                    if let (4, Field::Bytes(png)) = (field, value) {
                        event.pictures.push((tag.clone(), png.to_vec()));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The value of a field of a message.
enum Field<'a> {
    Varint(u64),
    /// Of 32 or 64 bits.
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, by their numbers.
fn fields(bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
    let (mut fields, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Field::Varint(varint(&mut rest)?),
            1 => Field::Fixed(number(take(&mut rest, 8)?)),
            2 => {
                let length = varint(&mut rest)?;
                Field::Bytes(take(&mut rest, usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Field::Fixed(number(take(&mut rest, 4)?)),
            other => efference_sdk::bail!("a field is of the type {other}, which no event has"),
        };
        fields.push((key >> 3, value));
    }
    Ok(fields)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    ensure!(length <= rest.len(), "a field is cut off");
    let (taken, left) = rest.split_at(length);
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    efference_sdk::bail!("a number has more than 64 bits")
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// CRC-32C, turned and moved as TensorBoard's records have it.
fn masked(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message: a wall time of 1.5, the step 300, and `loss` of 0.25, by hand after TensorBoard's `event.proto`.
    const EVENT: &[u8] = b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\x80\x3e";

    fn file(event: &[u8]) -> Vec<u8> {
        let length = (event.len() as u64).to_le_bytes();
        [&length[..], &masked(&length).to_le_bytes(), event, &masked(event).to_le_bytes()].concat()
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let (event, length) = record(&file(EVENT)).unwrap();
        assert_eq!((event.wall_time, event.step, length), (1.5, 300, 16 + EVENT.len()));
        assert_eq!(event.scalars, [("loss".to_owned(), 0.25)]);
    }

    /// The check value of CRC-32C (RFC 3720, B.4) for 32 bytes of zero is 0x8a9136aa.
    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(masked(&[0; 32]).wrapping_sub(0xa282_ead8).rotate_left(15), 0x8a91_36aa);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = file(EVENT);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(record(&damaged).is_err(), "byte {at}");
            assert!(record(&whole[..at]).is_err(), "{at} bytes");
        }
    }
}
