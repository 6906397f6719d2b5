//! Reads packets, bounded and suspicious.
use super::error::show;
use super::{END, Form, Limits, Packet, ProtocolError, REWARD_LENGTH, Reply};
use crate::options::ValueKind;
use std::io::{BufRead, BufReader, Read};

/// Reads what the environment says.
///
/// WebEnv writes in the agent's form only once it has read the handshake. Its first stream waits for that; the
/// first packets of further streams may come before, as native f32, or half and half: the byte order and the
/// kind change one after the other. So until the first packet in the agent's form, each packet's form is
/// recognised by the three NaN that `directScore` puts behind the reward. From then on the form is fixed.
#[derive(Debug)]
pub struct PacketReader<R> {
    input: BufReader<R>,
    form: Form,
    limits: Limits,
    opening: bool,
}

impl<R: Read> PacketReader<R> {
    /// Reads from the first packet of a program whose observations begin with the reward's numbers.
    pub fn new(input: R, form: Form, limits: Limits) -> Self {
        let opening = form != Form::before_handshake();
        PacketReader { input: BufReader::with_capacity(1 << 16, input), form, limits, opening }
    }

    /// As [`new`](Self::new), for packets of which all are in this form, whatever they begin with.
    pub fn settled(input: R, form: Form, limits: Limits) -> Self {
        PacketReader { opening: false, ..PacketReader::new(input, form, limits) }
    }

    /// The next packet; `None` at the end, if that is between two packets.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ProtocolError> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut head = Head::default();
        head.fill(&mut self.input, 8)?;
        let form = if self.opening { self.recognise(&mut head)? } else { self.form };
        let (stream, length) = (form.u32(&head.bytes), form.u32(&head.bytes[4..]));
        if stream >= self.limits.streams {
            return Err(ProtocolError::Stream { stream, limit: self.limits.streams, came: self.show(&head) });
        }
        let too_long =
            |what, length, limit, came| ProtocolError::Length { what, stream, length, limit, came };
        if length > self.limits.observation {
            let came = self.show(&head);
            return Err(too_long("an observation", length, self.limits.observation, came));
        }
        // Some values (or, of an end, the action length) may have been read to recognise the form.
        let mut body = vec![0; length as usize * form.kind.size() + 4];
        let ahead = &head.bytes[8..head.length];
        body[..ahead.len()].copy_from_slice(ahead);
        fill(&mut self.input, &mut body[ahead.len()..])?;
        let (values, tail) = body.split_at(body.len() - 4);
        let action_length = form.u32(tail);
        if action_length == END && length == 0 {
            return Ok(Some(Packet::End { stream }));
        }
        if action_length > self.limits.action {
            let mut came = show(&head.bytes[..8]);
            came.push_str(" … ");
            came.push_str(&show(tail));
            return Err(too_long("a wish for actions", action_length, self.limits.action, came));
        }
        Ok(Some(Packet::Frame { stream, observation: form.decode(values), action_length }))
    }

    /// Which form a packet is in. Reads behind the head only what is part of the packet in any case, so as never
    /// to wait for bytes that may not come.
    fn recognise(&mut self, head: &mut Head) -> Result<Form, ProtocolError> {
        let orders = [self.form.big_endian, Form::before_handshake().big_endian];
        let kinds = [ValueKind::Int8, ValueKind::Int16, ValueKind::Float32];
        // The smallest packet has 12 bytes. A longer one has the reward's numbers.
        head.fill(&mut self.input, 12)?;
        for big_endian in orders {
            let form = Form { big_endian, ..self.form };
            let ends = form.u32(&head.bytes[4..]) == 0 && form.u32(&head.bytes[8..]) == END;
            if ends && form.u32(&head.bytes) < self.limits.streams {
                return Ok(form);
            }
        }
        let bounded = |form: &Form| {
            let (stream, length) = (form.u32(&head.bytes), form.u32(&head.bytes[4..]));
            let lengths = REWARD_LENGTH as u32..=self.limits.observation;
            stream < self.limits.streams && lengths.contains(&length)
        };
        let orders: Vec<Form> = orders.map(|big_endian| Form { big_endian, ..self.form }).into();
        let orders: Vec<Form> = orders.into_iter().filter(bounded).collect();
        if orders.is_empty() {
            return Err(ProtocolError::Unrecognised { came: self.show(head) });
        }
        for kind in kinds.into_iter().filter(|k| *k == self.form.kind || *k == ValueKind::Float32) {
            // From the narrowest kind up: what is no packet of that kind has at least the bytes of the next.
            head.fill(&mut self.input, 8 + REWARD_LENGTH * kind.size())?;
            let rewards = &head.bytes[8..head.length];
            let fits = |form: &Form| form.decode(rewards)[1..].iter().all(|v| v.is_nan());
            if let Some(form) = orders.iter().map(|order| Form { kind, ..*order }).find(fits) {
                self.opening = form != self.form;
                return Ok(form);
            }
        }
        Err(ProtocolError::Unrecognised { came: self.show(head) })
    }

    /// The head and whatever else is there already.
    fn show(&self, head: &Head) -> String {
        let mut bytes = head.bytes[..head.length].to_vec();
        bytes.extend(self.input.buffer().iter().take(64));
        show(&bytes)
    }
}

/// The first bytes of a packet.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; 8 + 4 * REWARD_LENGTH],
    length: usize,
}

impl Head {
    fn fill(&mut self, input: &mut impl Read, length: usize) -> Result<(), ProtocolError> {
        if length > self.length {
            fill(input, &mut self.bytes[self.length..length])?;
            self.length = length;
        }
        Ok(())
    }
}

/// Reads what an agent says after its handshake: the other side of this protocol. `None` at the end.
pub fn read_reply(
    input: &mut impl BufRead,
    form: Form,
    limits: Limits,
) -> Result<Option<Reply>, ProtocolError> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut word = [0; 4];
    fill(input, &mut word)?;
    let stream = form.u32(&word);
    if stream >= limits.streams {
        return Err(ProtocolError::Stream { stream, limit: limits.streams, came: show(&word) });
    }
    let mut array = |what, limit| {
        fill(input, &mut word)?;
        let length = form.u32(&word);
        if length > limit {
            return Err(ProtocolError::Length { what, stream, length, limit, came: show(&word) });
        }
        let mut values = vec![0; length as usize * form.kind.size()];
        fill(input, &mut values)?;
        Ok(form.decode(&values))
    };
    let prediction = array("a prediction", limits.observation)?;
    let action = array("an action", limits.action)?;
    Ok(Some(Reply { stream, prediction, action }))
}

fn fill(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), ProtocolError> {
    let mut have = 0;
    while have < bytes.len() {
        match input.read(&mut bytes[have..]) {
            Ok(0) => return Err(ProtocolError::Truncated { have, need: bytes.len() }),
            Ok(n) => have += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ByteOrder;

    const LIMITS: Limits = Limits { streams: 8, observation: 1 << 22, action: 1000 };
    const FOREIGN: ByteOrder = if cfg!(target_endian = "big") { ByteOrder::Little } else { ByteOrder::Big };

    fn frame(stream: u32, rest: &[f32]) -> Packet {
        let observation = [&[f32::NAN; 4], rest].concat();
        Packet::Frame { stream, observation, action_length: 2 }
    }

    #[test]
    fn packets_from_before_the_handshake_are_understood_in_every_form() {
        let native = Form::before_handshake();
        for kind in [ValueKind::Float32, ValueKind::Int8, ValueKind::Int16] {
            for order in [ByteOrder::Native, FOREIGN] {
                let form = Form::new(kind, order);
                let swapped = Form { big_endian: form.big_endian, ..native };
                let mixed = Form { kind, ..native };
                for between in [swapped, mixed] {
                    // With 252 features, the length is one in either byte order: 0x100 and 0x10000.
                    for rest in [vec![0.25, -1.0], vec![1.0; 252]] {
                        let mut bytes = Vec::new();
                        frame(1, &rest).write(native, &mut bytes);
                        Packet::End { stream: 3 }.write(native, &mut bytes);
                        // A NaN of one byte does not show the order of the bytes.
                        if between.kind != ValueKind::Int8 || rest.len() == 2 {
                            frame(2, &rest).write(between, &mut bytes);
                        }
                        frame(0, &rest).write(form, &mut bytes);
                        // Settled now: the reward may be anything.
                        Packet::Frame { stream: 1, observation: vec![1.0; 4], action_length: 0 }
                            .write(form, &mut bytes);
                        let mut reader = PacketReader::new(bytes.as_slice(), form, LIMITS);
                        let mut streams = Vec::new();
                        while let Some(packet) = reader.next_packet().unwrap() {
                            match packet {
                                Packet::Frame { stream, observation, .. } => {
                                    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 0.01;
                                    assert!(observation.len() == 4 || observation.len() == rest.len() + 4);
                                    assert!(observation[4..].iter().zip(&rest).all(close), "{form:?}");
                                    streams.push(stream);
                                }
                                Packet::End { stream } => streams.push(100 + stream),
                            }
                        }
                        streams.retain(|s| *s != 2);
                        assert_eq!(streams, [1, 103, 0, 1], "{form:?} after {between:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_before_memory_is_taken_and_shown() {
        let form = Form::new(ValueKind::Float32, ByteOrder::Little);
        let error =
            |bytes: &[u8]| PacketReader::new(bytes, form, LIMITS).next_packet().unwrap_err().to_string();
        let text = error(b"Listening on port 1234\n");
        assert!(text.contains("the text \"Listening on port 1234\\n\""), "{text}");
        let text = error(&[1, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff, 0, 0]);
        assert!(text.contains("an observation of 4294967280 elements on stream 1"), "{text}");
        assert!(text.contains("at most 4194304"), "{text}");
        let text = error(&[1, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff]);
        assert!(text.contains("a wish for actions of 4294967280"), "{text}");
        let text = error(&[1, 0, 0, 0, 2, 0, 0, 0, 0]);
        assert!(text.contains("1 bytes into a packet's part of 12"), "{text}");
        let bytes = b"Listening on port 1234\n";
        let form = Form::new(ValueKind::Int8, ByteOrder::Little);
        let text = PacketReader::new(&bytes[..], form, LIMITS).next_packet().unwrap_err().to_string();
        assert!(text.contains("Listening"), "{text}");
    }
}
