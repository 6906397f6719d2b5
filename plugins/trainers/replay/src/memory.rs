//! The last moments of all streams, and the states before them.
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Batch, Moment, Random, Result, Saved, StepType, ensure, saved};
use std::collections::{BTreeMap, VecDeque};

/// A moment of one stream. Its tensors are rows of those of a step, which stay as long as one row of them is remembered.
struct Row {
    /// The number of the stream's moment before, if one led to the other.
    before: Option<u64>,
    stream: u64,
    step_type: StepType,
    reward: f32,
    /// (1, state size): what the state was when it came.
    state: Tensor,
    /// (1, length)
    observation: Tensor,
    /// (1, width), on the CPU: what was done before.
    action: Tensor,
}

/// A ring of moments. Each has a number, which counts what was ever remembered.
pub(crate) struct Memory {
    capacity: usize,
    device: Device,
    rows: VecDeque<Row>,
    /// The number of the first row.
    oldest: u64,
    /// Of each stream that goes on, the number of its last moment.
    last: BTreeMap<u64, u64>,
}

/// A remembered piece: numbers of moments of one stream, each of which led to the next.
pub(crate) type Piece = Vec<u64>;

/// Remembered moments, as a moment owns them, and the states before them.
pub(crate) struct Recalled {
    streams: Vec<u64>,
    step_types: Vec<StepType>,
    reward: Vec<f32>,
    /// (rows, state size)
    pub(crate) state: Tensor,
    observation: Tensor,
    action: Tensor,
}

impl Recalled {
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment {
            streams: &self.streams,
            observation: &self.observation,
            reward: &self.reward,
            action: &self.action,
            step_types: &self.step_types,
        }
    }
}

/// How often a moment is drawn anew that too few led to.
const TRIES: usize = 16;

impl Memory {
    pub(crate) fn new(capacity: usize, device: Device) -> Self {
        Memory { capacity, device, rows: VecDeque::new(), oldest: 0, last: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Remembers the moment of a batch; `states` (rows, state size) are those before it, without gradient.
    pub(crate) fn push(&mut self, batch: &Batch<'_>, states: &Tensor) -> Result<()> {
        for stream in batch.ended.iter().chain(batch.started) {
            let _ = self.last.remove(stream);
        }
        let moment = &batch.moment;
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            let at = row as i64;
            let before = self.last.get(stream).copied().filter(|_| !step_type.is_first());
            self.rows.push_back(Row {
                before,
                stream: *stream,
                step_type: *step_type,
                reward: moment.reward[row],
                state: states.f_narrow(0, at, 1)?,
                observation: moment.observation.f_narrow(0, at, 1)?,
                action: moment.action.f_narrow(0, at, 1)?,
            });
            let number = self.oldest + self.rows.len() as u64 - 1;
            // What comes after the end of an episode was not led to by it.
            let _ = match step_type.is_last() {
                true => self.last.remove(stream),
                false => self.last.insert(*stream, number),
            };
        }
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        while self.rows.len() > self.capacity {
            self.rows.pop_front();
            self.oldest += 1;
        }
    }

    fn row(&self, number: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(number.checked_sub(self.oldest)?).ok()?)
    }

    /// Up to `count` pieces of `least` to `most` moments, each as long as it can be, the longest first. Each moment is as likely as
    /// any other to be the last of one, if so many led to it; one may be drawn more than once.
    pub(crate) fn draw(&self, random: &mut Random, count: usize, least: usize, most: usize) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(count);
        for _ in 0..count * TRIES {
            if pieces.len() == count || self.rows.is_empty() {
                break;
            }
            let mut piece = vec![self.oldest + random.below(self.rows.len() as u64)];
            while piece.len() < most {
                let before = piece.last().and_then(|number| self.row(*number)).and_then(|row| row.before);
                let Some(before) = before.filter(|number| *number >= self.oldest) else { break };
                piece.push(before);
            }
            if piece.len() >= least {
                piece.reverse();
                pieces.push(piece);
            }
        }
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        pieces
    }

    /// Moments by their numbers, which are remembered.
    pub(crate) fn recall(&self, numbers: impl Iterator<Item = u64>) -> Result<Recalled> {
        let rows: Option<Vec<&Row>> = numbers.map(|number| self.row(number)).collect();
        let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
            efference_sdk::bail!("a moment was asked for that is no longer remembered")
        };
        Ok(Recalled {
            streams: rows.iter().map(|row| row.stream).collect(),
            step_types: rows.iter().map(|row| row.step_type).collect(),
            reward: rows.iter().map(|row| row.reward).collect(),
            state: gather(&rows, |row| &row.state)?,
            observation: gather(&rows, |row| &row.observation)?,
            action: gather(&rows, |row| &row.action)?,
        })
    }

    /// Appends its state under names that begin with `memory.`.
    pub(crate) fn save(&self, into: &mut Saved) -> Result<()> {
        let rows: Vec<&Row> = self.rows.iter().collect();
        let mut integers = |name: &str, of: &dyn Fn(&Row) -> i64| -> Result<()> {
            let all: Vec<i64> = rows.iter().map(|row| of(row)).collect();
            into.push((format!("memory.{name}"), Tensor::f_from_slice(&all)?));
            Ok(())
        };
        integers("before", &|row| row.before.map_or(-1, u64::cast_signed))?;
        integers("streams", &|row| row.stream.cast_signed())?;
        integers("step_types", &|row| i64::from(row.step_type.0))?;
        integers("lengths", &|row| row.observation.size()[1])?;
        integers("widths", &|row| row.action.size()[1])?;
        let reward: Vec<f32> = rows.iter().map(|row| row.reward).collect();
        into.push(("memory.reward".to_owned(), Tensor::f_from_slice(&reward)?));
        into.push(("memory.oldest".to_owned(), Tensor::f_from_slice(&[self.oldest.cast_signed()])?));
        saved::put_streams(into, "memory.last.streams", self.last.keys())?;
        saved::put_streams(into, "memory.last.numbers", self.last.values())?;
        if !rows.is_empty() {
            into.push(("memory.state".to_owned(), gather(&rows, |row| &row.state)?));
            into.push(("memory.observation".to_owned(), gather(&rows, |row| &row.observation)?));
            into.push(("memory.action".to_owned(), gather(&rows, |row| &row.action)?));
        }
        Ok(())
    }

    /// Takes up what [`save`](Self::save) appended.
    pub(crate) fn restore(&mut self, from: &Saved, state_size: i64) -> Result<()> {
        let integers = |name: &str| -> Result<Vec<i64>> {
            Ok(Vec::<i64>::try_from(saved::find(from, &format!("memory.{name}"))?)?)
        };
        let (before, streams) = (integers("before")?, integers("streams")?);
        let (step_types, lengths, widths) =
            (integers("step_types")?, integers("lengths")?, integers("widths")?);
        let reward: Vec<f32> = saved::find(from, "memory.reward")?.try_into()?;
        let (oldest, count) = (integers("oldest")?, before.len());
        ensure!(
            oldest.len() == 1
                && [streams.len(), step_types.len(), lengths.len(), widths.len(), reward.len()] == [count; 5],
            "what was saved of the remembered moments does not say as much of each"
        );
        let keys = saved::streams(from, "memory.last.streams")?;
        self.last = keys.into_iter().zip(saved::streams(from, "memory.last.numbers")?).collect();
        (self.rows, self.oldest) = (VecDeque::with_capacity(count), oldest[0].cast_unsigned());
        if count == 0 {
            return Ok(());
        }
        let own = |name: &str, device: Device| -> Result<Tensor> {
            let tensor =
                saved::find(from, &format!("memory.{name}"))?.f_detach()?.f_to_device(device)?.copy();
            ensure!(
                tensor.dim() == 2 && tensor.size()[0] == count as i64,
                "'memory.{name}' of {count} remembered moments has the shape {:?}",
                tensor.size()
            );
            Ok(tensor)
        };
        let (state, observation) = (own("state", self.device)?, own("observation", self.device)?);
        let action = own("action", Device::Cpu)?;
        ensure!(
            state.size()[1] == state_size,
            "remembered states have {} elements, and a state {state_size}: were they saved with another state.size?",
            state.size()[1]
        );
        for row in 0..count {
            let one = |tensor: &Tensor, width: i64| -> Result<Tensor> {
                Ok(tensor.f_narrow(0, row as i64, 1)?.f_narrow(1, 0, width)?)
            };
            self.rows.push_back(Row {
                before: u64::try_from(before[row]).ok(),
                stream: streams[row].cast_unsigned(),
                step_type: StepType(u32::try_from(step_types[row]).unwrap_or_default()),
                reward: reward[row],
                state: one(&state, state_size)?,
                observation: one(&observation, lengths[row])?,
                action: one(&action, widths[row])?,
            });
        }
        // The spec may ask for fewer than there were: those are the last ones.
        self.forget();
        Ok(())
    }
}

/// A tensor of rows, whole; where their widths differ, what is missing is NaN.
fn gather<'a>(rows: &[&'a Row], of: impl Fn(&'a Row) -> &'a Tensor) -> Result<Tensor> {
    let width = rows.iter().map(|row| of(row).size()[1]).max().unwrap_or_default();
    let parts = rows.iter().map(|row| {
        let part = of(row);
        let lacks = width - part.size()[1];
        if lacks == 0 {
            return Ok(part.shallow_clone());
        }
        let missing = Tensor::f_full([1, lacks], f64::NAN, (Kind::Float, part.device()))?;
        Ok(Tensor::f_cat(&[part, &missing], 1)?)
    });
    Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_testkit::OwnedMoment;

    /// A moment of these streams, whose states and observations say its number.
    fn push(memory: &mut Memory, number: i64, streams: &[u64], types: &[StepType], ended: &[u64]) {
        let rows = streams.len() as i64;
        let of = |width: i64| Tensor::full([rows, width], number as f64, (Kind::Float, Device::Cpu));
        let moment = OwnedMoment { step_types: types.to_vec(), ..OwnedMoment::of_streams(streams, &of(2)) };
        memory.push(&Batch { moment: moment.get(), started: &[], ended }, &of(3)).unwrap();
    }

    const ALONE: [StepType; 1] = [StepType::MIDDLE];

    /// All pieces of two moments that a thousand draws find, as numbers of steps.
    fn pairs(memory: &Memory) -> Vec<[i64; 2]> {
        let mut random = Random::new(4);
        let mut found: Vec<[i64; 2]> = (0..1_000)
            .flat_map(|_| memory.draw(&mut random, 1, 2, 2))
            .map(|piece| {
                let recalled = memory.recall(piece.into_iter()).unwrap();
                let steps: Vec<f32> = recalled.observation.select(1, 0).try_into().unwrap();
                assert_eq!(Vec::<f32>::try_from(recalled.state.select(1, 2)).unwrap(), steps);
                [steps[0] as i64, steps[1] as i64]
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn no_pair_leads_over_the_end_of_an_episode_or_of_a_stream() {
        let mut memory = Memory::new(100, Device::Cpu);
        push(&mut memory, 0, &[4], &ALONE, &[]);
        push(&mut memory, 1, &[4], &ALONE, &[]);
        push(&mut memory, 2, &[4], &[StepType::TERMINATED], &[]);
        push(&mut memory, 3, &[4], &[StepType::FIRST], &[]);
        push(&mut memory, 4, &[4], &ALONE, &[]);
        // An episode of which no last frame came.
        push(&mut memory, 5, &[4], &[StepType::FIRST], &[]);
        push(&mut memory, 6, &[4], &ALONE, &[]);
        // The stream ends, and comes back under its number.
        push(&mut memory, 7, &[4], &ALONE, &[4]);
        // It sits out a step.
        push(&mut memory, 8, &[9], &ALONE, &[]);
        push(&mut memory, 9, &[4], &ALONE, &[]);
        assert_eq!(pairs(&memory), [[0, 1], [1, 2], [3, 4], [5, 6], [7, 9]]);
    }

    #[test]
    fn what_is_beyond_its_capacity_is_forgotten() {
        let mut memory = Memory::new(4, Device::Cpu);
        (0..9).for_each(|number| push(&mut memory, number, &[0], &ALONE, &[]));
        assert_eq!((memory.len(), pairs(&memory)), (4, vec![[5, 6], [6, 7], [7, 8]]));
        // Pieces are as long as they can be, the longest first.
        let pieces = memory.draw(&mut Random::new(1), 50, 2, 3);
        let lengths: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert!(
            lengths.is_sorted_by(|a, b| a >= b) && lengths.contains(&2) && lengths.contains(&3),
            "{lengths:?}"
        );
    }

    #[test]
    fn saved_and_restored_it_is_the_same_and_can_be_made_smaller() {
        let mut memory = Memory::new(6, Device::Cpu);
        let two = [StepType::MIDDLE; 2];
        (0..5).for_each(|number| push(&mut memory, number, &[3, 8], &two, &[]));
        let mut saved = Saved::new();
        memory.save(&mut saved).unwrap();
        let mut again = Memory::new(6, Device::Cpu);
        again.restore(&saved, 3).unwrap();
        assert_eq!(pairs(&again), pairs(&memory));
        for memory in [&mut memory, &mut again] {
            push(memory, 5, &[8], &ALONE, &[]);
        }
        assert_eq!(pairs(&again), pairs(&memory));
        assert!(pairs(&again).contains(&[4, 5]), "a stream goes on where it was");

        let mut small = Memory::new(2, Device::Cpu);
        small.restore(&saved, 3).unwrap();
        assert_eq!(small.len(), 2);
        let said = Memory::new(6, Device::Cpu).restore(&saved, 4).unwrap_err().to_string();
        assert!(said.contains("state.size"), "{said}");
    }
}
