//! From the elements of an action to what the child gives to an environment.
use crate::leaf::{Dtype, Leaf};
use crate::memory::Memory;
use crate::options::Options;
use efference_sdk::{ActionGroup, Error, Result};

/// Makes actions.
#[derive(Debug)]
pub(crate) struct Actor {
    parts: Vec<Form>,
    groups: Vec<ActionGroup>,
    raw: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    /// Choices; of each among how many, and the first.
    Choices(Vec<(usize, i64)>),
    /// So many choices between 0 and 1.
    Binary(usize),
    /// Values, each between its bounds.
    Values(Dtype, Vec<[f64; 2]>),
}

impl Actor {
    /// For actions of such leaves.
    ///
    /// # Errors
    /// A value has no bounds.
    pub(crate) fn new(leaves: &[Leaf], options: &Options) -> Result<Actor> {
        let (mut parts, mut groups) = (Vec::new(), Vec::new());
        let choice = |n: u64| (n > 1).then(|| ActionGroup::choice(n as u32));
        for leaf in leaves {
            leaf.check("action")?;
            parts.push(match leaf {
                Leaf::Discrete { n, start, .. } => {
                    groups.extend(choice(*n));
                    Form::Choices(vec![(*n as usize, *start)])
                }
                Leaf::MultiDiscrete { n, start, .. } => {
                    groups.extend(n.iter().copied().filter_map(choice));
                    Form::Choices(n.iter().map(|n| *n as usize).zip(start.iter().copied()).collect())
                }
                Leaf::MultiBinary { .. } => {
                    groups.extend(std::iter::repeat_n(ActionGroup::choice(2), leaf.count()));
                    Form::Binary(leaf.count())
                }
                Leaf::Box { dtype, low, high, .. } => {
                    groups.extend(std::iter::repeat_n(ActionGroup::VALUE, leaf.count()));
                    let bounds = |element| match [low.of(element), high.of(element)] {
                        [Some(low), Some(high)] => Ok([low, high]),
                        both if options.action_bound > 0.0 => {
                            let [low, high] = both.map(|bound| bound.unwrap_or(options.action_bound));
                            Ok([if both[0].is_none() { -low } else { low }, high])
                        }
                        _ => Err(Error::msg(format!(
                            "element {element} of the {} of {} has no bounds, so that −1…1 cannot be spread over it. Give it \
                             some: action_bound = 1.0",
                            leaf.name("action"),
                            options.id
                        ))
                        .in_option("action_bound")),
                    };
                    Form::Values(*dtype, (0..leaf.count()).map(bounds).collect::<Result<_>>()?)
                }
            });
        }
        Ok(Actor { parts, groups, raw: Vec::new() })
    }

    /// What is to be decided.
    pub(crate) fn groups(&self) -> &[ActionGroup] {
        &self.groups
    }

    /// Writes an action of a stream, whose parts lie at these places. It is as long as the groups are wide.
    pub(crate) fn write(&mut self, action: &[f32], memory: &Memory, places: &[usize]) {
        let mut rest = action;
        let mut take = |n: usize| {
            let (taken, left) = rest.split_at(n.min(rest.len()));
            rest = left;
            taken
        };
        for (part, place) in self.parts.iter().zip(places) {
            self.raw.clear();
            match part {
                Form::Choices(sizes) => {
                    for (n, start) in sizes {
                        // Where there is one value only, nothing was to be decided.
                        let chosen = if *n > 1 { chosen(take(*n)) } else { 0 };
                        self.raw.extend((start + chosen as i64).to_ne_bytes());
                    }
                }
                Form::Binary(count) => self.raw.extend((0..*count).map(|_| chosen(take(2)) as u8)),
                Form::Values(dtype, bounds) => {
                    for (value, [low, high]) in take(bounds.len()).iter().zip(bounds) {
                        let value = f64::from(value.clamp(-1.0, 1.0));
                        // So that both bounds are met exactly.
                        let value = low * (0.5 - 0.5 * value) + high * (0.5 + 0.5 * value);
                        let value = if dtype.is_integer() { value.round() } else { value };
                        put(*dtype, value.clamp(*low, *high), &mut self.raw);
                    }
                }
            }
            memory.write(*place, &self.raw);
        }
    }
}

/// Which element is the largest, the first of those that are.
fn chosen(choice: &[f32]) -> usize {
    let larger = |best: usize, at: usize| if choice[at] > choice[best] { at } else { best };
    (1..choice.len()).fold(0, larger)
}

fn put(dtype: Dtype, value: f64, to: &mut Vec<u8>) {
    match dtype {
        Dtype::B1 | Dtype::U1 => to.push(value as u8),
        Dtype::I1 => to.extend((value as i8).to_ne_bytes()),
        Dtype::I2 => to.extend((value as i16).to_ne_bytes()),
        Dtype::U2 => to.extend((value as u16).to_ne_bytes()),
        Dtype::I4 => to.extend((value as i32).to_ne_bytes()),
        Dtype::U4 => to.extend((value as u32).to_ne_bytes()),
        Dtype::I8 => to.extend((value as i64).to_ne_bytes()),
        Dtype::U8 => to.extend((value as u64).to_ne_bytes()),
        Dtype::F4 => to.extend((value as f32).to_ne_bytes()),
        Dtype::F8 => to.extend(value.to_ne_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::serde_json;

    fn actor(json: &str, action_bound: f64) -> Result<Actor> {
        let leaves: Vec<Leaf> = serde_json::from_str(json).unwrap();
        Actor::new(&leaves, &Options { id: "Some-v0".into(), action_bound, ..Options::default() })
    }

    /// The bytes that are written, a part at each multiple of 32.
    fn written<const N: usize>(actor: &mut Actor, action: &[f32], lengths: [usize; N]) -> [Vec<u8>; N] {
        let (memory, _file) = Memory::new(4 * N).unwrap();
        let places: Vec<usize> = (0..N).map(|part| 32 * part).collect();
        actor.write(action, &memory, &places);
        let mut part = 0;
        lengths.map(|length| {
            let mut bytes = vec![0; length];
            memory.read(32 * part, &mut bytes);
            part += 1;
            bytes
        })
    }

    #[test]
    fn choices_are_integers_and_what_has_one_value_is_none() {
        let json = r#"[{"kind": "discrete", "path": "a", "n": 3, "start": 10},
                       {"kind": "discrete", "path": "b", "n": 1, "start": 4},
                       {"kind": "multi_discrete", "path": "c", "shape": [3], "n": [2, 1, 3], "start": [0, 7, -1]},
                       {"kind": "multi_binary", "path": "d", "shape": [2]}]"#;
        let mut actor = actor(json, 0.0).unwrap();
        assert_eq!(actor.groups(), [3, 2, 3, 2, 2].map(ActionGroup::choice));
        let action = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let [a, b, c, d] = written(&mut actor, &action, [8, 8, 24, 2]);
        assert_eq!(a, 12_i64.to_ne_bytes());
        assert_eq!(b, 4_i64.to_ne_bytes());
        assert_eq!(c, [1_i64, 7, -1].map(i64::to_ne_bytes).concat());
        assert_eq!(d, [1, 0]);
    }

    #[test]
    fn values_are_spread_over_their_bounds() {
        let json = r#"[{"kind": "box", "path": "", "dtype": "f4", "shape": [3], "low": [-2, 0, -0.1], "high": [2, 10, 0.3]},
                       {"kind": "box", "path": "b", "dtype": "i4", "shape": [2], "low": 0, "high": 7}]"#;
        let mut actor = actor(json, 0.0).unwrap();
        assert_eq!(actor.groups(), [ActionGroup::VALUE; 5]);
        let [a, b] = written(&mut actor, &[0.5, -1.0, 1.0, 0.1, 3.0], [12, 8]);
        assert_eq!(a, [1.0f32, 0.0, 0.3].map(f32::to_ne_bytes).concat());
        assert_eq!(b, [4_i32, 7].map(i32::to_ne_bytes).concat());
    }

    #[test]
    fn a_value_without_bounds_needs_the_option() {
        let json = r#"[{"kind": "box", "path": "arm", "dtype": "f8", "shape": [3], "low": [null, 0, null],
                        "high": [null, null, 1]}]"#;
        let error = actor(json, 0.0).unwrap_err();
        assert!(
            error.to_string().contains("element 0 of the action 'arm' of Some-v0 has no bounds"),
            "{error}"
        );
        assert_eq!(error.option(), Some("action_bound"));
        let [bytes] = written(&mut actor(json, 3.0).unwrap(), &[-1.0, 1.0, -1.0], [24]);
        assert_eq!(bytes, [-3.0f64, 3.0, -3.0].map(f64::to_ne_bytes).concat());
    }
}
