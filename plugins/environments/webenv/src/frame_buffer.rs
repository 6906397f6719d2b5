//! What has come from WebEnv and was not sent to the host yet: bounded, in the order of each stream.
use crate::protocol::{Packet, ProtocolError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How many elements of observations may wait. Beyond, WebEnv waits: a pipe that nobody reads holds it up. At most one
/// packet more is taken, so that a packet longer than this fits.
const MAX_ELEMENTS: usize = 1 << 26;

/// How many packets may wait, whatever their lengths.
const MAX_PACKETS: usize = 1 << 16;

/// Shared by the thread that reads and the host's.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    pending: Mutex<Pending>,
    arrived: Condvar,
    taken: Condvar,
}

/// One frame of a stream.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) observation: Vec<f32>,
    pub(crate) action_length: u32,
}

/// Why no packet will come any more.
#[derive(Debug)]
pub(crate) enum OutputEnd {
    /// WebEnv's stdout has ended between two packets.
    Ended,
    /// What came is no packet.
    Broken(ProtocolError),
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    streams: BTreeMap<u32, Stream>,
    elements: usize,
    packets: usize,
    /// How many packets have ever come.
    pub(crate) received: u64,
    pub(crate) output_end: Option<OutputEnd>,
    /// The reader is to stop.
    closed: bool,
}

impl Pending {
    /// Whether no packet waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

#[derive(Debug, Default)]
struct Stream {
    /// It has ended since the host last heard of it; the frames are of its successor.
    ended: bool,
    frames: VecDeque<Frame>,
}

impl FrameBuffer {
    /// Appends a packet, once there is room; false: the buffer is closed.
    pub(crate) fn push(&self, packet: Packet) -> bool {
        let mut pending = self.lock();
        while (pending.elements >= MAX_ELEMENTS || pending.packets >= MAX_PACKETS) && !pending.closed {
            pending = self.taken.wait(pending).unwrap_or_else(|e| e.into_inner());
        }
        pending.received += 1;
        match packet {
            Packet::Frame { stream, observation, action_length } => {
                pending.elements += observation.len();
                pending.packets += 1;
                let stream = pending.streams.entry(stream).or_default();
                stream.frames.push_back(Frame { observation, action_length });
            }
            Packet::End { stream } => {
                // What it observed last cannot be responded to any more.
                let stream = pending.streams.entry(stream).or_default();
                stream.ended = true;
                let gone = std::mem::take(&mut stream.frames);
                pending.packets -= gone.len();
                pending.elements -= gone.iter().map(|f| f.observation.len()).sum::<usize>();
            }
        }
        let open = !pending.closed;
        drop(pending);
        self.arrived.notify_all();
        open
    }

    /// Says that nothing will come any more.
    pub(crate) fn end(&self, why: OutputEnd) {
        self.lock().output_end = Some(why);
        self.arrived.notify_all();
    }

    /// Makes [`push`](FrameBuffer::push) return, and refuse what comes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.taken.notify_all();
    }

    /// Waits until there is something, at most this long.
    pub(crate) fn wait(&self, timeout: Duration) -> MutexGuard<'_, Pending> {
        let deadline = Instant::now().checked_add(timeout);
        let mut pending = self.lock();
        while pending.streams.is_empty() && pending.output_end.is_none() {
            let left =
                deadline.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            pending = self.arrived.wait_timeout(pending, left).unwrap_or_else(|e| e.into_inner()).0;
        }
        pending
    }

    /// Takes of each stream whether it has ended, and the first frame if there is one.
    pub(crate) fn take(&self, mut pending: MutexGuard<'_, Pending>) -> Vec<(u32, bool, Option<Frame>)> {
        let take = |(number, stream): (&u32, &mut Stream)| {
            (*number, std::mem::take(&mut stream.ended), stream.frames.pop_front())
        };
        let taken: Vec<_> = pending.streams.iter_mut().map(take).collect();
        pending.streams.retain(|_, stream| !stream.frames.is_empty());
        let frames = taken.iter().filter_map(|(.., frame)| frame.as_ref());
        pending.packets -= frames.clone().count();
        pending.elements -= frames.map(|f| f.observation.len()).sum::<usize>();
        drop(pending);
        self.taken.notify_all();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u32, value: f32) -> Packet {
        Packet::Frame { stream, observation: vec![value], action_length: 0 }
    }

    fn take(buffer: &FrameBuffer) -> Vec<(u32, bool, Option<f32>)> {
        let taken = buffer.take(buffer.wait(Duration::ZERO));
        taken.into_iter().map(|(n, ended, frame)| (n, ended, frame.map(|f| f.observation[0]))).collect()
    }

    #[test]
    fn one_frame_of_each_stream_at_a_time_and_none_from_before_an_end() {
        let buffer = FrameBuffer::default();
        for packet in [frame(0, 1.0), frame(2, 2.0), frame(0, 3.0), frame(2, 4.0), frame(2, 5.0)] {
            assert!(buffer.push(packet));
        }
        assert_eq!(take(&buffer), [(0, false, Some(1.0)), (2, false, Some(2.0))]);
        buffer.push(Packet::End { stream: 2 });
        buffer.push(frame(2, 6.0));
        buffer.push(Packet::End { stream: 7 });
        assert_eq!(take(&buffer), [(0, false, Some(3.0)), (2, true, Some(6.0)), (7, true, None)]);
        assert_eq!(take(&buffer), []);
        let pending = buffer.wait(Duration::ZERO);
        assert_eq!((pending.packets, pending.elements, pending.received), (0, 0, 8));
    }

    #[test]
    fn a_flood_waits_for_room_and_ends_when_closed() {
        let buffer = FrameBuffer::default();
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut pushed = 0;
                while buffer.push(Packet::Frame {
                    stream: 0,
                    observation: vec![0.0; MAX_ELEMENTS / 4],
                    action_length: 0,
                }) {
                    pushed += 1;
                }
                pushed
            });
            while buffer.wait(Duration::from_secs(1)).packets < 4 {}
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(buffer.wait(Duration::ZERO).packets, 4);
            take(&buffer);
            while buffer.wait(Duration::from_secs(1)).packets < 4 {}
            buffer.close();
            assert_eq!(flood.join().unwrap(), 5);
        });
    }
}
