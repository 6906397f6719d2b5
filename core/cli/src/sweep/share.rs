//! How the machine's cores are shared out among the members of a sweep.
use efference_runs::limits::Limits;
use efference_spec::{Spec, StateSize};
use std::num::NonZeroUsize;

/// How many members run at once, and how many threads each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Members at once.
    pub(crate) jobs: usize,
    /// Threads of one; `None` where the spec says it.
    pub(crate) threads: Option<usize>,
}

/// Up to so many elements of a state, a step is over before a second thread would have woken up.
const SMALL_STATE: i64 = 16_384;

impl Share {
    /// Shares out the cores that this process may use. Small agents get one thread each; large ones run one after the other
    /// on all cores, unless more are to run at once.
    pub(crate) fn of<'a>(specs: impl Iterator<Item = &'a Spec> + Clone, jobs: Option<NonZeroUsize>) -> Share {
        let cores = Limits::of_this_process().processors().threads();
        let is_small = |spec: &Spec| match spec.state.size {
            StateSize::Elements(size) => size <= SMALL_STATE,
            StateSize::Auto => true,
        };
        let said = specs.clone().filter_map(|spec| spec.threads).max();
        Share::of_cores(cores, said, specs.clone().all(is_small), jobs.map(NonZeroUsize::get))
    }

    fn of_cores(cores: usize, said: Option<usize>, all_small: bool, jobs: Option<usize>) -> Share {
        match said {
            Some(threads) => Share { jobs: jobs.unwrap_or((cores / threads.max(1)).max(1)), threads: None },
            None if all_small => Share { jobs: jobs.unwrap_or(cores), threads: Some(1) },
            None => {
                let jobs = jobs.unwrap_or(1);
                Share { jobs, threads: Some((cores / jobs).max(1)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_out() {
        let share = |said, small, jobs| {
            let share = Share::of_cores(8, said, small, jobs);
            (share.jobs, share.threads)
        };
        assert_eq!(share(None, true, None), (8, Some(1)), "small agents: as many as there are cores");
        assert_eq!(share(None, true, Some(3)), (3, Some(1)));
        assert_eq!(share(None, false, None), (1, Some(8)), "large agents: one after the other");
        assert_eq!(share(None, false, Some(3)), (3, Some(2)));
        assert_eq!(share(None, false, Some(20)), (20, Some(1)));
        assert_eq!(share(Some(2), true, None), (4, None), "the spec says how many threads");
        assert_eq!(share(Some(20), false, None), (1, None));
    }
}
