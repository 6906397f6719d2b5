//! WebEnv's protocol, in both directions.
//!
//! The first byte of an input says how values are written, in which order bytes are, which side speaks, and whether its form is
//! settled.
use efference_trials::fuzz::{Entry, Failure, Scratch, Target, entry, equal, holds, is_plain};
use efference_webenv::protocol::{Form, Limits, Packet, PacketReader, ProtocolError, read_reply};
use efference_webenv::{ByteOrder, ValueKind};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

const LIMITS: Limits = Limits { streams: 64, observation: 1 << 16, action: 1 << 12 };

fn main() -> ExitCode {
    const TARGETS: &[Entry] = &[entry("webenv", "packets of WebEnv, and an agent's replies", make)];
    efference_trials::fuzz::main(TARGETS)
}

fn make(_: &Scratch) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(WebEnv))
}

struct WebEnv;

impl Target for WebEnv {
    /// Real exchanges.
    fn seeds(&self) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/webenv");
        let exchanges = [
            ("A_f32_le", 0),
            ("B_int8_le", 1),
            ("C_int16_be", 5),
            ("D_two_streams_dealloc", 0),
            ("E_reinit_close", 0),
        ];
        let mut seeds = Vec::new();
        for (name, form) in exchanges {
            let read = |side: &str| fs::read(folder.join(format!("{name}.{side}.bin"))).unwrap_or_default();
            for settled in [0, 16] {
                seeds.push([&[form | settled], &read("stdout")[..]].concat());
            }
            // Behind the handshake.
            seeds.push([&[form | 8], read("stdin").get(8..).unwrap_or_default()].concat());
        }
        seeds
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            &[0xff; 4],
            &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0xc0, 0x7f],
            &[0x7f, 0xc0, 0, 0],
            &[0, 0, 1, 0],
            &[4, 0, 0, 0],
            &[0, 0, 0, 4],
            &[0x80; 4],
            b"Listening on port 1234\n",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let (first, bytes) = input.split_first().unwrap_or((&0, &[]));
        let kind = [ValueKind::Float32, ValueKind::Int8, ValueKind::Int16, ValueKind::Float32]
            [usize::from(first & 3)];
        let form = Form::new(kind, if first & 4 == 0 { ByteOrder::Little } else { ByteOrder::Big });
        if first & 8 != 0 {
            return replies(bytes, form);
        }
        let settled = first & 16 != 0;
        let at_once = packets(bytes, form, settled);
        let in_pieces = packets(Pieces(bytes, 0), form, settled);
        // What a refusal shows of the bytes behind is as much as has come by then.
        equal("in pieces, other packets come", &format!("{:?}", at_once.0), &format!("{:?}", in_pieces.0))?;
        equal("in pieces, the end is another", &at_once.1.is_none(), &in_pieces.1.is_none())?;
        if settled {
            let mut again = Vec::new();
            at_once.0.iter().for_each(|packet| packet.write(form, &mut again));
            holds(
                "packets are other bytes when they are written again",
                bytes.starts_with(&again),
                String::new,
            )?;
        }
        refused(at_once.1)
    }
}

fn packets(input: impl Read, form: Form, settled: bool) -> (Vec<Packet>, Option<ProtocolError>) {
    let mut reader = match settled {
        true => PacketReader::settled(input, form, LIMITS),
        false => PacketReader::new(input, form, LIMITS),
    };
    let mut packets = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(e) => return (packets, Some(e)),
        }
    }
}

fn replies(bytes: &[u8], form: Form) -> Result<bool, Failure> {
    let (mut rest, mut again) = (bytes, Vec::new());
    loop {
        match read_reply(&mut rest, form, LIMITS) {
            Ok(Some(reply)) => reply.write(form, &mut again),
            Ok(None) => {
                equal("replies are other bytes when they are written again", &again, &bytes.to_vec())?;
                return Ok(true);
            }
            Err(e) => return refused(Some(e)),
        }
    }
}

fn refused(error: Option<ProtocolError>) -> Result<bool, Failure> {
    let Some(error) = error else { return Ok(true) };
    let text = error.to_string();
    is_plain("an error has control characters", &text)?;
    holds("an error is too long", text.len() < 2_000, || text.clone()).map(|()| false)
}

/// Gives one to seven bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let count = self.1.min(self.0.len()).min(into.len());
        let (now, later) = self.0.split_at(count);
        into[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}
