//! What those see who look at a run while it goes, and its standing still for them.
//!
//! Nothing here changes what a run computes, and nothing waits but a run that someone has paused.
use super::experiment::{Experiment, FrameStats};
use super::frames::Active;
use super::recording::{Recording, recorded};
use super::signals::Stop;
use efference_runs::directory::RunDirectory;
use efference_runs::viewing::{ActionTaken, Delay, Held, Offer, Shown, Snapshot};
use efference_sdk::ActionGroup;
use efference_supervision::{Standing, of_this_process};
use std::time::{Duration, Instant};

/// How soon a signal is noticed while the run stands still.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Active streams that viewers can choose among.
const LISTED: usize = 1_024;

/// A run that others may look at while it goes.
pub struct Viewing {
    offer: Offer,
}

impl Viewing {
    /// Offers a run to viewers. Where there can be no socket, nobody sees it before its files are written.
    pub(super) fn open(run: &RunDirectory) -> Option<Viewing> {
        match Offer::open(run) {
            Ok(offer) => Some(Viewing { offer }),
            Err(error) => {
                tracing::info!("this run shows its recorded pictures alone while it goes: {error}");
                None
            }
        }
    }

    /// Lets viewers have what they want, between two steps.
    pub(super) fn between_steps(
        &mut self,
        experiment: &Experiment,
        recording: &mut Recording<'_>,
        stop: &Stop,
    ) {
        if !self.offer.is_wanted(experiment.step()) {
            return;
        }
        self.offer
            .answer(|stream| experiment.is_active(stream), |of| experiment.snapshot(of, recording.seconds()));
        if self.offer.holds() == Held::Paused {
            let began = Instant::now();
            self.stand_still(experiment, recording, stop);
            recording.stood_still(began.elapsed());
        }
    }

    fn stand_still(&mut self, experiment: &Experiment, recording: &Recording<'_>, stop: &Stop) {
        let (activity, seconds) = (of_this_process(), recording.seconds());
        activity.set_standing(Standing::Paused);
        let left_alone = loop {
            self.offer.wait(LOOK_EVERY);
            if stop.wanted() {
                break false;
            }
            self.offer.answer(|stream| experiment.is_active(stream), |of| experiment.snapshot(of, seconds));
            match self.offer.holds() {
                Held::Paused => {}
                Held::No => break false,
                Held::LeftAlone => break true,
            }
        };
        activity.set_standing(if left_alone { Standing::LeftAlone } else { Standing::No });
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        let (drawn, took) = self.offer.drawn();
        if drawn > 0 {
            tracing::info!(
                "{drawn} pictures were drawn for viewers, for which steps waited {:.3} s",
                took.as_secs_f64()
            );
        }
    }
}

impl Experiment {
    fn is_active(&self, stream: u64) -> bool {
        self.frames.active.iter().any(|active| active.stream == stream)
    }

    /// The last step, as viewers of these streams see it.
    fn snapshot(&self, streams: &[u64], seconds: f64) -> Snapshot {
        let active = &self.frames.active;
        let wanted = |active: &&Active| streams.contains(&active.stream);
        let mut shown: Vec<Shown> = active
            .iter()
            .zip(&self.stats)
            .filter(|(active, _)| wanted(active))
            .map(|(active, stats)| self.shown(active, stats))
            .collect();
        shown.sort_by_key(|shown| shown.stream);
        let listed = active.iter().take(LISTED).map(|active| active.stream);
        Snapshot { step: self.step, seconds, active: listed.collect(), streams: active.len(), shown }
    }

    fn shown(&self, active: &Active, stats: &FrameStats) -> Shown {
        let (mut observation, mut prediction, mut trouble) = (None, None, None);
        // A picture that cannot be drawn is no reason for a run to end.
        match self.pictures_of(active) {
            Ok(Some((seen, predicted))) => {
                (observation, prediction) = (Some(recorded(seen)), predicted.map(recorded));
            }
            Ok(None) => trouble = Some("This environment draws no pictures of its observations.".to_owned()),
            Err(error) => trouble = Some(format!("The picture could not be drawn: {error:#}.")),
        }
        let errors = stats.errors.map_or(Vec::new(), |e| {
            let always =
                [("error", Some(e.error)), ("error_last", Some(e.last)), ("error_mean", Some(e.mean))];
            let all = always.into_iter().chain([("error_linear", e.linear), ("error_period", e.period)]);
            all.filter_map(|(name, error)| Some((name, error?))).collect()
        });
        let actions = match self.last_actions.of(active.stream) {
            Some(action) => taken(self.frames.actions(active), action),
            None => Vec::new(),
        };
        Shown {
            stream: active.stream,
            first: active.step_type.is_first(),
            last: active.step_type.is_last(),
            reward: stats.reward,
            bonus: stats.bonus,
            errors,
            delay: stats.delay.map(|(steps, after)| Delay { steps, seconds: after.as_secs_f64() }),
            actions,
            trouble,
            observation,
            prediction,
        }
    }
}

/// What was done, group by group.
fn taken(groups: &[ActionGroup], action: &[f32]) -> Vec<ActionTaken> {
    let mut rest = action;
    let mut taken = Vec::with_capacity(groups.len());
    for group in groups {
        let Some((own, left)) = rest.split_at_checked(group.width()) else { break };
        rest = left;
        taken.push(match group.choices {
            0 => ActionTaken::Value { value: own[0] },
            _ => {
                ActionTaken::Chosen { chosen: own.iter().position(|x| *x > 0.5).unwrap_or(0), of: own.len() }
            }
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_group_by_group() {
        let groups = [ActionGroup::choice(3), ActionGroup::VALUE];
        let said = taken(&groups, &[0.0, 1.0, 0.0, -0.25]);
        assert_eq!(said, [ActionTaken::Chosen { chosen: 1, of: 3 }, ActionTaken::Value { value: -0.25 }]);
        assert_eq!(taken(&groups, &[]), [], "what the last frame of an episode would want is ignored");
    }
}
