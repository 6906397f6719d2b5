//! Real exchanges with WebEnv, in both directions: each packet is decoded, and encoded to the same bytes.
use efference_webenv::protocol::{END, Form, Limits, MAGIC, Packet, PacketReader, Reply, read_reply};
use efference_webenv::{ByteOrder, ValueKind};
use std::path::{Path, PathBuf};

const LIMITS: Limits = Limits { streams: 2, observation: 8, action: 8 };

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/fixtures/webenv");
    let file: PathBuf = folder.join(name);
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

struct Exchange {
    packets: Vec<Packet>,
    replies: Vec<Reply>,
}

/// Reads both directions, and checks that they are the same bytes when written again.
fn exchange(name: &str, form: Form) -> Exchange {
    let stdout = fixture(&format!("{name}.stdout.bin"));
    let mut reader = PacketReader::settled(stdout.as_slice(), form, LIMITS);
    let (mut packets, mut again) = (Vec::new(), Vec::new());
    while let Some(packet) = reader.next_packet().unwrap() {
        packet.write(form, &mut again);
        packets.push(packet);
    }
    assert_eq!(again, stdout, "{name}: environment to agent");

    let stdin = fixture(&format!("{name}.stdin.bin"));
    let (handshake, mut rest) = stdin.split_at(8);
    assert_eq!(handshake, form.handshake(), "{name}: handshake");
    let mut again = handshake.to_vec();
    let mut replies = Vec::new();
    while let Some(reply) = read_reply(&mut rest, form, LIMITS).unwrap() {
        reply.write(form, &mut again);
        // What the agent said was padded already.
        let mut padded = reply.clone();
        padded.pad(form);
        assert_eq!(
            (padded.prediction.len(), padded.action.len()),
            (reply.prediction.len(), reply.action.len())
        );
        replies.push(reply);
    }
    assert_eq!(again, stdin, "{name}: agent to environment");
    Exchange { packets, replies }
}

/// Missing and present values of a frame, and what it wants.
fn frame(packet: &Packet) -> (u32, Vec<Option<f32>>, u32) {
    match packet {
        Packet::Frame { stream, observation, action_length } => {
            (*stream, observation.iter().map(|v| Some(*v).filter(|v| !v.is_nan())).collect(), *action_length)
        }
        Packet::End { stream } => (*stream, Vec::new(), END),
    }
}

#[test]
fn float32_little_endian() {
    let Exchange { packets, replies } =
        exchange("A_f32_le", Form::new(ValueKind::Float32, ByteOrder::Little));
    assert_eq!(packets.len(), 30);
    for (i, packet) in packets.iter().enumerate() {
        let (stream, observation, wanted) = frame(packet);
        assert_eq!((stream, observation.len(), wanted), (0, 7, 8));
        assert_eq!(observation[..5], [None, None, None, None, Some(1.0)]);
        assert_eq!(observation[5], (i >= 2).then_some(0.25), "the loopback of packet {i}");
    }
    for reply in &replies {
        assert_eq!((reply.prediction.len(), reply.action.as_slice()), (7, [0.25; 8].as_slice()));
    }
    assert_eq!(replies.len(), 30);
}

#[test]
fn int8_little_endian() {
    let Exchange { packets, replies } = exchange("B_int8_le", Form::new(ValueKind::Int8, ByteOrder::Little));
    assert_eq!((packets.len(), replies.len()), (30, 30));
    for packet in &packets {
        let (stream, observation, wanted) = frame(packet);
        assert_eq!((stream, observation.len(), wanted), (0, 8, 4));
        assert_eq!(observation[..4], [None; 4]);
        assert_eq!(observation[4..6], [Some(64.0 / 127.0), Some(-63.0 / 127.0)]);
    }
    assert_eq!(replies[0].action.len(), 4);
}

#[test]
fn int16_big_endian() {
    let Exchange { packets, replies } = exchange("C_int16_be", Form::new(ValueKind::Int16, ByteOrder::Big));
    assert_eq!((packets.len(), replies.len()), (30, 30));
    for packet in &packets {
        let (stream, observation, wanted) = frame(packet);
        assert_eq!((stream, observation.len(), wanted), (0, 8, 2));
        assert_eq!(observation[..4], [None; 4]);
        assert_eq!(observation[4..6], [Some(16_384.0 / 32_767.0), Some(-16_383.0 / 32_767.0)]);
    }
    assert_eq!(replies[0].action, [-1.0, -1.0]);
}

#[test]
fn two_streams_of_which_one_ends() {
    let Exchange { packets, replies } =
        exchange("D_two_streams_dealloc", Form::new(ValueKind::Float32, ByteOrder::Little));
    let ends: Vec<_> = packets.iter().enumerate().filter(|(_, p)| matches!(p, Packet::End { .. })).collect();
    let [(at, Packet::End { stream: 1 })] = ends.as_slice() else { panic!("{ends:?}") };
    assert!(packets[..*at].iter().any(|p| frame(p).0 == 1));
    assert!(packets[at + 1..].iter().all(|p| frame(p).0 == 0));
    // 16 steps of the stream that is left have no reply.
    let of_0 = packets.iter().filter(|p| frame(p).0 == 0).count();
    assert_eq!(of_0 - replies.iter().filter(|r| r.stream == 0).count(), 16);
    assert!(replies.iter().all(|r| r.action.len() == 1));
}

#[test]
fn a_close_without_a_word() {
    let Exchange { packets, replies } =
        exchange("E_reinit_close", Form::new(ValueKind::Float32, ByteOrder::Little));
    assert!(packets.iter().all(|p| frame(p) == (0, vec![Some(1.0)], 0)));
    assert_eq!(packets.len(), replies.len() + 16);
}

#[test]
fn a_packet_that_comes_in_bits_is_the_same() {
    struct Bits<'a>(&'a [u8], usize);
    impl std::io::Read for Bits<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let n = self.1.min(self.0.len()).min(into.len());
            let (now, later) = self.0.split_at(n);
            into[..n].copy_from_slice(now);
            self.0 = later;
            Ok(n)
        }
    }
    let form = Form::new(ValueKind::Int16, ByteOrder::Big);
    let stdout = fixture("C_int16_be.stdout.bin");
    let mut reader = PacketReader::new(Bits(&stdout, 0), form, LIMITS);
    let mut again = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        packet.write(form, &mut again);
    }
    assert_eq!(again, stdout);
}

#[test]
fn the_magic_word_is_the_documented_one() {
    assert_eq!(MAGIC, 0x0102_0304);
}
