//! What is sent after the handshake, in both directions.
use super::{END, Form};

/// What the environment sends.
#[derive(Debug, Clone)]
pub enum Packet {
    /// What a stream observed.
    Frame {
        /// The stream.
        stream: u32,
        /// Values; NaN: missing.
        observation: Vec<f32>,
        /// How many actions it wants.
        action_length: u32,
    },
    /// A stream has ended; its number may come back as a new one.
    End {
        /// The stream.
        stream: u32,
    },
}

impl Packet {
    /// The bytes of it behind `out`.
    pub fn write(&self, form: Form, out: &mut Vec<u8>) {
        match self {
            Packet::Frame { stream, observation, action_length } => {
                out.extend(form.u32_bytes(*stream));
                write_array(form, observation, out);
                out.extend(form.u32_bytes(*action_length));
            }
            Packet::End { stream } => {
                out.extend(form.u32_bytes(*stream));
                out.extend(form.u32_bytes(0));
                out.extend(form.u32_bytes(END));
            }
        }
    }
}

/// The agent's response to one packet of a stream.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The stream.
    pub stream: u32,
    /// What the agent thinks that the next observation will be.
    pub prediction: Vec<f32>,
    /// What it does.
    pub action: Vec<f32>,
}

impl Reply {
    /// Makes both arrays a multiple of 4 bytes long, with zeros, which WebEnv ignores. It reads each int behind
    /// an array where the array ends, and a view of an int that is not aligned is an error that ends it.
    pub fn pad(&mut self, form: Form) {
        let values = 4 / form.kind.size();
        for array in [&mut self.prediction, &mut self.action] {
            array.resize(array.len().next_multiple_of(values), 0.0);
        }
    }

    /// The bytes of it behind `out`. An array is shorter than 2³² values.
    pub fn write(&self, form: Form, out: &mut Vec<u8>) {
        out.extend(form.u32_bytes(self.stream));
        write_array(form, &self.prediction, out);
        write_array(form, &self.action, out);
    }
}

fn write_array(form: Form, values: &[f32], out: &mut Vec<u8>) {
    out.reserve(4 + values.len() * form.kind.size() + 4);
    out.extend(form.u32_bytes(values.len() as u32));
    form.encode(values, out);
}
