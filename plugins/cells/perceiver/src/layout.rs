//! Where in state and input everything stands.
use efference_sdk::nn::Observed;
use efference_sdk::tch::Tensor;
use efference_sdk::{CellSetup, ParamStore, Result, ensure, tracing};
use std::ops::Range;

/// A state: `front` elements, then `frames` remembered ones of `width` elements each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) front: i64,
    pub(super) frames: i64,
    pub(super) width: i64,
}

impl Window {
    /// Of a cell that is to remember so many frames; `width` 0: as much of each as fills half of the state.
    ///
    /// # Errors
    /// They do not fit into the state.
    pub(super) fn new(wanted: i64, width: i64, setup: &CellSetup<'_>) -> Result<Self> {
        let outs = setup.size.outs;
        let (frames, width) = if width == 0 {
            let half = outs / 2;
            let width = (half / wanted).max(1);
            (wanted.min(half / width), width)
        } else {
            (wanted, width)
        };
        let memory = frames.checked_mul(width).filter(|memory| *memory < outs);
        let Some(memory) = memory else {
            efference_sdk::bail!(
                "{frames} remembered frames of {width} elements each do not fit into a state of {outs} elements, in front of \
                 which a prediction has to stand: lower `window` or `width` under [cell], or enlarge state.size"
            )
        };
        let front = outs - memory;
        let predicted = (setup.observation.end - outs).max(0);
        if !setup.params.only_counts()? {
            if frames < wanted {
                tracing::warn!(
                    "perceiver remembers {frames} frames in place of {wanted}, since half of a state of {outs} elements has no \
                     room for more: enlarge state.size"
                );
            }
            if front < predicted {
                tracing::warn!(
                    "the front of a state of perceiver has {front} elements, and a prediction of what is observed takes \
                     {predicted}: enlarge state.size, or lower `window` or `width` under [cell]"
                );
            }
        }
        ensure!(front >= 1, "a state of {outs} elements has no front");
        Ok(Window { front, frames, width })
    }
}

/// What comes beside the state.
pub(super) enum Beside {
    Nothing,
    Observed(Observed),
    /// Features in which more than an observation may be mixed: they carry gradient.
    Rest(Vec<Range<i64>>),
}

impl Beside {
    /// Of a cell whose state has a front of so many elements.
    pub(super) fn new(setup: &CellSetup<'_>, front: i64) -> Self {
        let (ins, outs) = (setup.size.ins, setup.size.outs);
        match Observed::new(setup) {
            Some(observed) if observed.width() > 0 => return Beside::Observed(observed),
            _ => {}
        }
        // A second copy of the state has the memory at its end once more.
        let parts = if ins >= 2 * outs { [outs..outs + front, 2 * outs..ins] } else { [outs..ins, ins..ins] };
        let rest: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if rest.is_empty() { Beside::Nothing } else { Beside::Rest(rest) }
    }

    /// How many features there are.
    pub(super) fn width(&self) -> i64 {
        match self {
            Beside::Nothing => 0,
            Beside::Observed(observed) => observed.width(),
            Beside::Rest(parts) => parts.iter().map(|part| part.end - part.start).sum(),
        }
    }

    /// Of the cell's input `x` (batch, ins): (batch, width), if there is anything.
    pub(super) fn of(&self, x: &Tensor) -> Result<Option<Tensor>> {
        Ok(match self {
            Beside::Nothing => None,
            Beside::Observed(observed) => Some(observed.of(x)?),
            Beside::Rest(parts) => {
                let parts = parts.iter().map(|part| Ok(x.f_narrow(1, part.start, part.end - part.start)?));
                Some(Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 1)?)
            }
        })
    }
}
