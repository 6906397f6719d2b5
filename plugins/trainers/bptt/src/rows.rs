//! The states of all streams, one row each, through an unroll.
use efference_sdk::autograd::detach;
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Result, bail, ensure};
use std::collections::HashMap;

/// States, and what the gradient is to arrive at.
pub(crate) struct Rows {
    size: i64,
    device: Device,
    /// Whether first states want a gradient.
    wants_gradient: bool,
    /// Which stream has which row.
    streams: Vec<u64>,
    /// (streams, size); within an unroll it carries gradient.
    state: Tensor,
    /// The first states of this unroll: those of its beginning, and zeros of streams that began later. Each is
    /// a leaf that gathers the gradient which arrives there. Rows of streams that have ended stay in it: their
    /// gradient is as good as any.
    first: Vec<Tensor>,
    in_unroll: bool,
}

/// Where some streams stand.
pub(crate) enum Places {
    /// They are all there are, in order.
    All,
    /// In these rows.
    Some(Tensor),
}

impl Rows {
    pub(crate) fn new(size: i64, device: Device, wants_gradient: bool) -> Result<Self> {
        let state = Tensor::f_zeros([0, size], (Kind::Float, device))?;
        Ok(Rows {
            size,
            device,
            wants_gradient,
            streams: Vec::new(),
            state,
            first: Vec::new(),
            in_unroll: false,
        })
    }

    pub(crate) fn streams(&self) -> &[u64] {
        &self.streams
    }

    pub(crate) fn state(&self) -> &Tensor {
        &self.state
    }

    pub(crate) fn in_unroll(&self) -> bool {
        self.in_unroll
    }

    /// Cuts the gradient off: what comes is the next unroll.
    pub(crate) fn begin_unroll(&mut self) -> Result<()> {
        self.state = self.leaf(detach(&self.state)?)?;
        self.first = vec![self.state.shallow_clone()];
        self.in_unroll = true;
        Ok(())
    }

    /// Lets go of the unroll's graph.
    pub(crate) fn end_unroll(&mut self) -> Result<()> {
        self.state = detach(&self.state)?;
        self.first.clear();
        self.in_unroll = false;
        Ok(())
    }

    /// Drops the rows of streams that have ended.
    pub(crate) fn end(&mut self, ended: &[u64]) -> Result<()> {
        if ended.is_empty() {
            return Ok(());
        }
        let keep: Vec<usize> =
            (0..self.streams.len()).filter(|i| !ended.contains(&self.streams[*i])).collect();
        if keep.len() < self.streams.len() {
            self.streams = keep.iter().map(|i| self.streams[*i]).collect();
            self.state = self.state.f_index_select(0, &self.index(&keep)?)?;
        }
        Ok(())
    }

    /// Gives each stream that has none a row of zeros.
    pub(crate) fn begin(&mut self, streams: &[u64]) -> Result<()> {
        if streams == self.streams {
            return Ok(());
        }
        let before = self.streams.len();
        for stream in streams {
            if !self.streams.contains(stream) {
                self.streams.push(*stream);
            }
        }
        let count = self.streams.len() - before;
        if count > 0 {
            let zeros = self.zeros(count)?;
            self.state = if before == 0 { zeros } else { Tensor::f_cat(&[&self.state, &zeros], 0)? };
        }
        Ok(())
    }

    /// Gives streams a new row of zeros in place of theirs.
    pub(crate) fn reset(&mut self, streams: &[u64]) -> Result<()> {
        let places = self.places(streams)?;
        let zeros = self.zeros(streams.len())?;
        self.scatter(&places, &zeros)
    }

    /// Where these streams stand; all of them have a row.
    pub(crate) fn places(&self, streams: &[u64]) -> Result<Places> {
        if streams == self.streams {
            return Ok(Places::All);
        }
        let rows: HashMap<u64, usize> = self.streams.iter().enumerate().map(|(i, s)| (*s, i)).collect();
        let mut places = Vec::with_capacity(streams.len());
        for stream in streams {
            match rows.get(stream) {
                Some(row) => places.push(*row),
                None => bail!("stream {stream} has no state"),
            }
        }
        Ok(Places::Some(self.index(&places)?))
    }

    /// The states at these places.
    pub(crate) fn gather(&self, places: &Places) -> Result<Tensor> {
        Ok(match places {
            Places::All => self.state.shallow_clone(),
            Places::Some(index) => self.state.f_index_select(0, index)?,
        })
    }

    /// Puts states at these places.
    pub(crate) fn scatter(&mut self, places: &Places, next: &Tensor) -> Result<()> {
        self.state = match places {
            Places::All => next.shallow_clone(),
            Places::Some(index) => self.state.f_index_copy(0, index, next)?,
        };
        Ok(())
    }

    /// The first states of this unroll, and the gradient that arrived at each.
    pub(crate) fn first_states(&self) -> Result<(Tensor, Tensor)> {
        let gradient = |leaf: &Tensor| -> Result<Tensor> {
            let gradient = leaf.f_grad()?;
            Ok(if gradient.defined() { gradient } else { leaf.f_zeros_like()? })
        };
        if let [only] = &self.first[..] {
            return Ok((detach(only)?, gradient(only)?));
        }
        let gradients = self.first.iter().map(gradient).collect::<Result<Vec<_>>>()?;
        Ok((Tensor::f_cat(&self.first, 0)?.f_detach()?, Tensor::f_cat(&gradients, 0)?))
    }

    /// Takes up what was saved.
    pub(crate) fn restore(&mut self, streams: Vec<u64>, state: Tensor) -> Result<()> {
        let expected = [streams.len() as i64, self.size];
        ensure!(
            state.size() == expected,
            "the states of {} streams should have the shape {expected:?}, and what was saved has {:?}: was it saved \
             with another state.size?",
            streams.len(),
            state.size()
        );
        self.streams = streams;
        self.state = state;
        self.first.clear();
        self.in_unroll = false;
        Ok(())
    }

    /// Zeros that are first states of this unroll, if one has begun.
    fn zeros(&mut self, count: usize) -> Result<Tensor> {
        let zeros = Tensor::f_zeros([count as i64, self.size], (Kind::Float, self.device))?;
        if !self.in_unroll {
            return Ok(zeros);
        }
        let leaf = self.leaf(zeros)?;
        self.first.push(leaf.shallow_clone());
        Ok(leaf)
    }

    fn leaf(&self, tensor: Tensor) -> Result<Tensor> {
        Ok(if self.wants_gradient { tensor.f_set_requires_grad(true)? } else { tensor })
    }

    fn index(&self, places: &[usize]) -> Result<Tensor> {
        let places: Vec<i64> = places.iter().map(|p| *p as i64).collect();
        Ok(Tensor::f_from_slice(&places)?.f_to_device(self.device)?)
    }
}
