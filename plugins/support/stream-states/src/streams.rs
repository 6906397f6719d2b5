//! The last transitions of each stream.
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Result, ResultExt, Saved, bail, ensure};
use std::collections::{BTreeMap, VecDeque};

/// What some streams went through in one step, a row each, without gradient.
pub struct Went {
    /// (rows, state size): the states before it.
    pub state: Tensor,
    /// (rows, length): what was observed; NaN: missing.
    pub observation: Tensor,
    /// (rows, width): the actions that were done before it; NaN: none was.
    pub action: Tensor,
    /// (rows, state size): the states after it.
    pub next: Tensor,
}

/// A row of what some streams went through.
struct Row {
    went: Went,
    /// Counts what was gone through.
    number: u64,
    row: i64,
}

/// The last transitions of each stream; its state is that after the last one, or zero.
///
/// Streams keep handles of what they went through together, so that nothing is copied as long as the same streams are
/// active in the same order.
pub struct Streams {
    size: i64,
    device: Device,
    /// The most transitions of a stream.
    most: usize,
    number: u64,
    streams: BTreeMap<u64, VecDeque<Row>>,
}

impl Went {
    fn share(&self) -> Went {
        let Went { state, observation, action, next } = self;
        Went {
            state: state.shallow_clone(),
            observation: observation.shallow_clone(),
            action: action.shallow_clone(),
            next: next.shallow_clone(),
        }
    }
}

impl Streams {
    /// No streams yet, of which the last `most` transitions will be at hand.
    pub fn new(size: i64, device: Device, most: usize) -> Self {
        Streams { size, device, most, number: 0, streams: BTreeMap::new() }
    }

    /// Drops streams that have ended.
    pub fn end(&mut self, ended: &[u64]) {
        for stream in ended {
            self.streams.remove(stream);
        }
    }

    /// Gives each stream that has none a state of zeros.
    pub fn begin(&mut self, streams: &[u64]) {
        for stream in streams {
            self.streams.entry(*stream).or_default();
        }
    }

    /// Gives streams a state of zeros, and drops what they went through.
    pub fn reset(&mut self, streams: &[u64]) {
        for stream in streams {
            self.streams.entry(*stream).or_default().clear();
        }
    }

    /// How many transitions of a stream are at hand.
    pub fn count(&self, stream: u64) -> usize {
        self.streams.get(&stream).map_or(0, VecDeque::len)
    }

    /// The states of these streams, (streams, state size).
    pub fn states(&self, streams: &[u64]) -> Result<Tensor> {
        let rows: Vec<Option<&Row>> = streams.iter().map(|stream| self.row(*stream, 1)).collect();
        if let Some(rows) = rows.iter().copied().collect::<Option<Vec<_>>>().filter(|rows| !rows.is_empty()) {
            return gather(&rows, |went| &went.next);
        }
        let state = |row: &Option<&Row>| match row {
            Some(row) => Ok(row.went.next.f_narrow(0, row.row, 1)?),
            None => Ok(Tensor::f_zeros([1, self.size], (Kind::Float, self.device))?),
        };
        Ok(Tensor::f_cat(&rows.iter().map(state).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// What these streams went through `back` transitions ago, 1 being the last one; each has so many.
    pub fn went(&self, streams: &[u64], back: usize) -> Result<Went> {
        let rows: Option<Vec<_>> = streams.iter().map(|stream| self.row(*stream, back)).collect();
        let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
            bail!("a stream has gone through fewer than {back} transitions")
        };
        Ok(Went {
            state: gather(&rows, |went| &went.state)?,
            observation: gather(&rows, |went| &went.observation)?,
            action: gather(&rows, |went| &went.action)?,
            next: gather(&rows, |went| &went.next)?,
        })
    }

    /// Whether the last transition of these streams is one that they, and no others, went through together in this order, and
    /// the last of all.
    pub fn went_together(&self, streams: &[u64]) -> bool {
        let rows: Option<Vec<_>> = streams.iter().map(|stream| self.row(*stream, 1)).collect();
        rows.is_some_and(|rows| rows.iter().all(|row| row.number == self.number) && are_all(&rows))
    }

    /// Adds what these streams, each of which has a state, went through.
    pub fn push(&mut self, streams: &[u64], went: &Went) {
        self.number += 1;
        for (row, stream) in (0..).zip(streams) {
            let went_through = self.streams.entry(*stream).or_default();
            if went_through.len() == self.most {
                went_through.pop_front();
            }
            went_through.push_back(Row { went: went.share(), number: self.number, row });
        }
    }

    fn row(&self, stream: u64, back: usize) -> Option<&Row> {
        let went = self.streams.get(&stream)?;
        went.get(went.len().checked_sub(back)?)
    }

    /// What [`restore`](Self::restore) needs.
    pub fn save(&self) -> Result<Saved> {
        let (mut streams, mut counts, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (stream, own) in &self.streams {
            streams.push(*stream as i64);
            counts.push(own.len() as i64);
            rows.extend(own);
        }
        let mut saved = vec![
            ("streams".to_owned(), Tensor::f_from_slice(&streams)?),
            ("counts".to_owned(), Tensor::f_from_slice(&counts)?),
        ];
        if !rows.is_empty() {
            saved.push(("state".to_owned(), gather(&rows, |went| &went.state)?.f_detach()?));
            saved.push(("observation".to_owned(), gather(&rows, |went| &went.observation)?.f_detach()?));
            saved.push(("action".to_owned(), gather(&rows, |went| &went.action)?.f_detach()?));
            saved.push(("next".to_owned(), gather(&rows, |went| &went.next)?.f_detach()?));
        }
        Ok(saved)
    }

    /// Takes up what [`save`](Self::save) returned.
    ///
    /// # Errors
    /// It is of another state size, or damaged.
    pub fn restore(&mut self, saved: &Saved) -> Result<()> {
        let find = |name: &str| match saved.iter().find(|(n, _)| n == name) {
            Some((_, tensor)) => Ok(tensor),
            None => bail!("what was saved of the streams has no '{name}'"),
        };
        let integers = |name: &str| {
            Vec::<i64>::try_from(find(name)?)
                .with_context(|| format!("'{name}' of what was saved of the streams"))
        };
        let (streams, counts) = (integers("streams")?, integers("counts")?);
        ensure!(
            streams.len() == counts.len() && counts.iter().all(|count| *count >= 0),
            "what was saved of the streams says of {} of them how often they went on, and there are {}",
            counts.len(),
            streams.len()
        );
        let rows: i64 = counts.iter().sum();
        self.streams = streams.iter().map(|stream| (*stream as u64, VecDeque::new())).collect();
        self.number = 0;
        if rows == 0 {
            return Ok(());
        }
        let own =
            |name: &str| -> Result<Tensor> { Ok(find(name)?.f_detach()?.f_to_device(self.device)?.copy()) };
        let went = Went {
            state: own("state")?,
            observation: own("observation")?,
            // Actions are on the CPU, as they come.
            action: find("action")?.f_detach()?.copy(),
            next: own("next")?,
        };
        for (name, tensor) in [("state", &went.state), ("next", &went.next)] {
            ensure!(
                tensor.size() == [rows, self.size],
                "'{name}' of {rows} transitions should have the shape {:?}, and what was saved has {:?}: was it saved with \
                 another state.size?",
                [rows, self.size],
                tensor.size()
            );
        }
        for (name, tensor) in [("observation", &went.observation), ("action", &went.action)] {
            ensure!(
                tensor.dim() == 2 && tensor.size()[0] == rows,
                "'{name}' of {rows} transitions should have as many rows, and what was saved has the shape {:?}",
                tensor.size()
            );
        }
        let mut row = 0;
        for (stream, count) in streams.iter().zip(&counts) {
            let own = self.streams.entry(*stream as u64).or_default();
            for at in row..row + count {
                // The spec may ask for fewer than there were: those are the last ones.
                if row + count - at <= self.most as i64 {
                    own.push_back(Row { went: one(&went, at)?, number: 0, row: 0 });
                }
            }
            row += count;
        }
        Ok(())
    }
}

/// A row by itself.
fn one(went: &Went, row: i64) -> Result<Went> {
    let of = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_narrow(0, row, 1)?) };
    Ok(Went {
        state: of(&went.state)?,
        observation: of(&went.observation)?,
        action: of(&went.action)?,
        next: of(&went.next)?,
    })
}

/// Whether these are all rows of one step, in order.
fn are_all(rows: &[&Row]) -> bool {
    let Some(first) = rows.first() else { return false };
    let count = first.went.state.size()[0];
    rows.len() as i64 == count
        && rows.iter().zip(0..).all(|(row, at)| {
            row.row == at
                && row.went.state.data_ptr() == first.went.state.data_ptr()
                && row.number == first.number
        })
}

/// A tensor of what was gone through, of these rows; where their widths differ, what is missing is NaN.
fn gather<'a>(rows: &[&'a Row], of: impl Fn(&'a Went) -> &'a Tensor) -> Result<Tensor> {
    if are_all(rows) {
        return Ok(of(&rows[0].went).shallow_clone());
    }
    let width = rows.iter().map(|row| of(&row.went).size()[1]).max().unwrap_or_default();
    let parts = rows.iter().map(|row| {
        let tensor = of(&row.went);
        let part = tensor.f_narrow(0, row.row, 1)?;
        let lacks = width - tensor.size()[1];
        if lacks == 0 {
            return Ok(part);
        }
        let missing = Tensor::f_full([1, lacks], f64::NAN, (tensor.kind(), tensor.device()))?;
        Ok(Tensor::f_cat(&[part, missing], 1)?)
    });
    Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
}
