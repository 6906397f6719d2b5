//! How many threads compute: those of kernels, and libtorch's.
//!
//! Kernels run on threads of our own, of which one that gets no core, and so begins no task, keeps nobody waiting
//! (`core/sdk/src/autograd/workers.rs`). With `threads` in the spec they have so many, and libtorch has as many for its operations.
//! Without, they have as many as there are processors, and libtorch has one. What kernels compute does not depend on how many take
//! part, so the numbers of a run do not depend on what else the machine does. Whether all take part or one is tried now and then
//! ([`Team`]).
//!
//! An agent may compute much by libtorch's operations. Those gain by several threads of libtorch's, whose number changes their
//! sums in the last bits. So that is chosen once, where steps are long: for a few of the first, libtorch has one thread, or all,
//! and what was faster is kept, also when the run is resumed.
use super::team::Team;
use efference_runs::limits::Limits;
use efference_sdk::autograd;
use efference_sdk::tch::{self, Device};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For shorter steps libtorch has one thread without a trial: it spreads no work that is so small.
const WORTH_A_TRIAL: Duration = Duration::from_millis(2);
/// So much faster steps must be for libtorch to have several threads: they stall when a core is taken away.
const WORTH_SEVERAL: f64 = 1.15;
/// Steps before the trial begins: the first ones make memory ready.
const BEFORE: usize = 2;
/// Steps of one turn; before each but the first, one more is not counted, in which threads and caches are made ready.
const TURN: usize = 3;

#[derive(Debug, Clone, PartialEq)]
enum Decision {
    /// The spec says how many, or there is nothing to choose.
    Said,
    /// Not yet. How long steps took.
    Trial(Vec<Duration>),
    /// libtorch has one.
    One,
    /// libtorch has so many.
    Several(usize),
}

struct Threads {
    decision: Decision,
    /// As many as compute at once.
    all: usize,
    /// What libtorch got.
    libtorchs: Option<usize>,
    /// How many threads of kernels compute, where libtorch has one.
    team: Team,
}

static THREADS: Mutex<Threads> =
    Mutex::new(Threads { decision: Decision::Said, all: 1, libtorchs: None, team: Team::new() });
/// What libtorch finds by itself: as many as there are physical cores.
static FOUND_BY_LIBTORCH: LazyLock<usize> =
    LazyLock::new(|| usize::try_from(tch::get_num_threads()).unwrap_or(1));

fn state() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many threads libtorch has at one place of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    One,
    All,
}

/// The way of a step, and whether it counts, by the number of steps that were made before.
fn plan(made: usize) -> Option<(Way, bool)> {
    let Some(within) = made.checked_sub(BEFORE) else { return Some((Way::One, false)) };
    let Some(after) = within.checked_sub(TURN) else { return Some((Way::One, true)) };
    let (turn, place) = (after / (TURN + 1), after % (TURN + 1));
    let way = [Way::All, Way::One, Way::All].get(turn)?;
    Some((*way, place > 0))
}

impl Threads {
    fn set(&mut self, libtorchs: usize) {
        autograd::set_workers(self.all);
        tch::set_num_threads(libtorchs as i32);
        self.libtorchs = Some(libtorchs);
    }

    fn settle(&mut self, decision: Decision) {
        self.set(if let Decision::Several(count) = decision { count } else { 1 });
        self.team = Team::new();
        self.decision = decision;
    }
}

/// Sets the number of threads: that of the spec, or as many as this process may use at once.
pub(super) fn choose(said: Option<usize>, device: Device) {
    // libtorch knows which processors there are, and nothing of how long it may use them.
    let found = *FOUND_BY_LIBTORCH;
    let all = said.unwrap_or_else(|| Limits::of_this_process().processors().threads().min(found));
    let mut threads = state();
    threads.all = all;
    if said.is_some() || all == 1 || device != Device::Cpu {
        threads.set(all);
        threads.decision = Decision::Said;
    } else {
        threads.set(1);
        threads.decision = Decision::Trial(Vec::new());
    }
}

/// How many threads compute, but for steps that are made on one because that is faster.
pub(crate) fn of_run() -> usize {
    let threads = state();
    match threads.decision {
        Decision::Several(count) => count,
        Decision::Said | Decision::Trial(_) | Decision::One => threads.all,
    }
}

/// How many threads libtorch got; `None`: nobody has set it.
pub(super) fn of_libtorch() -> Option<usize> {
    state().libtorchs
}

/// The same, if it is settled for the whole run.
pub(super) fn settled_for_libtorch() -> Option<usize> {
    let threads = state();
    if matches!(threads.decision, Decision::Trial(_)) { None } else { threads.libtorchs }
}

/// Keeps what was chosen in the run that goes on, unless the spec says it.
pub(super) fn keep(libtorchs: Option<usize>) {
    let mut threads = state();
    if let (Decision::Trial(_), Some(count)) = (&threads.decision, libtorchs) {
        let count = count.min(threads.all);
        threads.settle(if count > 1 { Decision::Several(count) } else { Decision::One });
    }
}

/// Gives all threads to libtorch: what the machine can do is to be measured by it.
pub(crate) fn all_to_libtorch() {
    let mut threads = state();
    let all = threads.all;
    threads.set(all);
}

/// Notes how long the trainer's part of a step took, and may have the next ones made another way.
pub(super) fn after_step(took: Duration) {
    let mut threads = state();
    let all = threads.all;
    let steps = match &mut threads.decision {
        Decision::Trial(steps) => {
            steps.push(took);
            steps.clone()
        }
        Decision::One => {
            if let Some(all_take_part) = threads.team.after_step(took) {
                autograd::set_workers(if all_take_part { all } else { 1 });
            }
            return;
        }
        Decision::Said | Decision::Several(_) => return,
    };
    let of = |way: Way| {
        let counted = |i: &usize| plan(*i) == Some((way, true));
        let mut times: Vec<_> = (0..steps.len()).filter(counted).map(|i| steps[i]).collect();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let first_turn = steps.len() == BEFORE + TURN;
    match plan(steps.len()) {
        Some(_) if first_turn && of(Way::One) < WORTH_A_TRIAL => threads.settle(Decision::One),
        Some((Way::One, _)) => threads.set(1),
        Some((Way::All, _)) => threads.set(all),
        None => {
            let (one, several) = (of(Way::One), of(Way::All));
            let faster = one.as_secs_f64() > WORTH_SEVERAL * several.as_secs_f64();
            let taken = if faster { all } else { 1 };
            tracing::info!(
                "a step takes {one:.2?} where libtorch has one thread and {several:.2?} where it has {all}: for all of the run it \
                 has {taken}"
            );
            threads.settle(if faster { Decision::Several(all) } else { Decision::One });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_takes_turns_and_ends() {
        let ways: Vec<_> = (0..17).map(plan).collect();
        let counted = |way| ways.iter().filter(|w| **w == Some((way, true))).count();
        assert_eq!((counted(Way::One), counted(Way::All)), (6, 6));
        // An unroll makes steps unequal: as many of each kind count one way and the other.
        let by_place = |way: Way, unroll: usize| {
            let counted = (0..17).filter(|i| ways[*i] == Some((way, true)));
            let mut places: Vec<_> = counted.map(|i| i % unroll).collect();
            places.sort();
            places
        };
        assert_eq!(by_place(Way::One, 4), by_place(Way::All, 4));
        assert_eq!(plan(17), None);
    }

    // One test, for threads are those of the process.
    #[test]
    fn the_faster_way_is_kept() {
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        let trial = |one: f64, several: f64| {
            {
                let mut threads = state();
                threads.all = 2;
                threads.set(1);
                threads.decision = Decision::Trial(Vec::new());
            }
            let mut steps = 0;
            while matches!(state().decision, Decision::Trial(_)) {
                assert_eq!(autograd::workers(), 2, "kernels have all threads, whatever libtorch has");
                assert_eq!(settled_for_libtorch(), None, "nothing is recorded as chosen before it is");
                after_step(ms(if of_libtorch() == Some(1) { one } else { several }));
                steps += 1;
            }
            let decision = state().decision.clone();
            (decision, settled_for_libtorch(), autograd::workers(), steps)
        };
        assert_eq!(trial(10.0, 5.0), (Decision::Several(2), Some(2), 2, 17));
        assert_eq!(trial(10.0, 9.5), (Decision::One, Some(1), 2, 17), "so little is not worth it");
        assert_eq!(trial(1.0, 0.1), (Decision::One, Some(1), 2, 5), "small steps");
        trial(10.0, 9.5);
        for _ in 0..100 {
            after_step(ms(if autograd::workers() == 2 { 10.0 } else { 7.0 }));
        }
        assert_eq!((autograd::workers(), settled_for_libtorch()), (1, Some(1)), "one is faster");
        assert_eq!(of_run(), 2, "what is recorded does not depend on the moment");

        choose(None, Device::Cpu);
        state().all = 2;
        state().decision = Decision::Trial(Vec::new());
        keep(Some(2));
        assert_eq!((settled_for_libtorch(), autograd::workers()), (Some(2), 2), "as in the run before");
        choose(Some(3), Device::Cpu);
        keep(Some(1));
        after_step(ms(10.0));
        assert_eq!((settled_for_libtorch(), autograd::workers()), (Some(3), 3), "the spec says it");
        choose(Some(1), Device::Cpu);
    }
}
