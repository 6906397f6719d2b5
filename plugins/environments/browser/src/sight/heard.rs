//! What pages let the agent observe beside their picture: vectors by `directLink`, and their sound.
use super::config::See;
use crate::options::Options;
use std::collections::VecDeque;

/// The most elements of a link.
pub(super) const MOST_ELEMENTS: usize = 4_096;
/// The most samples of sound that are remembered.
pub(super) const MOST_SAMPLES: usize = 65_536;

/// The bindings' names in the relays' world.
const LINK: &str = "efferenceLink";
const AUDIO: &str = "efferenceAudio";

/// Letters of an element, at most, as the relay writes it.
const LONGEST_ELEMENT: usize = 32;

/// A way from pages to the agent.
pub(crate) struct Channel {
    /// The binding, which is in the relay's world alone.
    pub(crate) binding: &'static str,
    /// The script in the relay's world.
    pub(crate) relay: String,
    /// The script in the page's own world.
    pub(crate) page: String,
}

impl Options {
    /// The ways that what is observed needs.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        // A block of its own, so that the constant is no name of the page's.
        let script = |name: &str, value: usize, text: &str| format!("{{ const {name} = {value};\n{text} }}");
        let channel = |see: &See| match see {
            See::Link(link) => Some(Channel {
                binding: LINK,
                relay: script("SIZE", link.size, include_str!("../page/link_relay.js")),
                page: include_str!("../page/direct_link.js").to_owned(),
            }),
            See::Audio(audio) => Some(Channel {
                binding: AUDIO,
                relay: script("RATE", audio.rate, include_str!("../page/audio_relay.js")),
                page: script("RATE", audio.rate, include_str!("../page/audio_tap.js")),
            }),
            _ => None,
        };
        self.sees.iter().filter_map(channel).collect()
    }

    /// Whether pages are listened to, which then may play without having been clicked.
    pub(crate) fn has_audio(&self) -> bool {
        self.sees.iter().any(|see| matches!(see, See::Audio(_)))
    }
}

/// What came of one page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// The newest vector.
    link: Option<Vec<f32>>,
    /// The newest samples, the oldest first.
    samples: VecDeque<f32>,
}

impl Heard {
    /// Takes what a relay sent. It comes from a process that a page may have taken over: anything goes.
    pub(crate) fn take(&mut self, binding: &str, payload: &str) {
        match binding {
            LINK if payload.len() <= LONGEST_ELEMENT * MOST_ELEMENTS => {
                let Ok(vector) = serde_json::from_str::<Vec<f32>>(payload) else { return };
                if vector.iter().all(|element| element.is_finite()) {
                    self.link = Some(vector.iter().map(|element| element.clamp(-1.0, 1.0)).collect());
                }
            }
            AUDIO if payload.len() <= 2 * MOST_SAMPLES => {
                let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(payload) else { return };
                let (samples, _) = bytes.as_chunks::<2>();
                self.samples.extend(
                    samples.iter().map(|s| f32::from(i16::from_le_bytes(*s)).max(-32_767.0) / 32_767.0),
                );
                let excess = self.samples.len().saturating_sub(MOST_SAMPLES);
                self.samples.drain(..excess);
            }
            _ => {}
        }
    }

    /// Appends the newest vector of this size; missing values if there is none.
    pub(super) fn link(&self, size: usize, out: &mut Vec<f32>) {
        match &self.link {
            Some(vector) if vector.len() == size => out.extend(vector),
            _ => out.extend(std::iter::repeat_n(f32::NAN, size)),
        }
    }

    /// Appends the newest samples, after silence if there were not so many.
    pub(super) fn samples(&self, count: usize, out: &mut Vec<f32>) {
        let known = self.samples.len().min(count);
        out.extend(std::iter::repeat_n(0.0, count - known));
        out.extend(self.samples.range(self.samples.len() - known..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_vector_wins_and_what_is_none_changes_nothing() {
        let mut heard = Heard::default();
        let link = |heard: &Heard, size: usize| {
            let mut out = Vec::new();
            heard.link(size, &mut out);
            out
        };
        assert!(link(&heard, 2).iter().all(|x| x.is_nan()));
        heard.take(LINK, "[0.5,-7]");
        assert_eq!(link(&heard, 2), [0.5, -1.0]);
        for bad in ["", "[1,null]", "[1e39,0]", "{}", "[[1]]", "[\"1\",2]", &"[".repeat(100_000)] {
            heard.take(LINK, bad);
        }
        heard.take("efferenceReward", "[1,1]");
        assert_eq!(link(&heard, 2), [0.5, -1.0]);
        heard.take(LINK, &format!("[{}0]", "0,".repeat(100_000)));
        assert_eq!(link(&heard, 2), [0.5, -1.0], "longer than any link");
        assert!(link(&heard, 3).iter().all(|x| x.is_nan()), "of another size");
    }

    #[test]
    fn the_newest_samples_are_heard_after_silence() {
        let mut heard = Heard::default();
        let piece = |samples: &[i16]| {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            base64_simd::STANDARD.encode_to_string(bytes)
        };
        heard.take(AUDIO, &piece(&[32_767, i16::MIN]));
        heard.take(AUDIO, "no base64");
        let mut out = Vec::new();
        heard.samples(3, &mut out);
        assert_eq!(out, [0.0, 1.0, -1.0]);
        for _ in 0..10 {
            heard.take(AUDIO, &piece(&[0; 20_000]));
            heard.take(AUDIO, &piece(&[3277]));
        }
        assert_eq!(heard.samples.len(), MOST_SAMPLES);
        out.clear();
        heard.samples(2, &mut out);
        assert!(out[0] == 0.0 && (out[1] - 0.1).abs() < 1e-3, "{out:?}");
    }
}
