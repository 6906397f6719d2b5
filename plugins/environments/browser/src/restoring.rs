//! Bringing pages back to where they were when they were saved: each is loaded anew, and goes through what was done to it again.
use crate::Browser;
use crate::actions::Abilities;
use crate::history::{History, PlayedAgain, Saved, SavedStream};
use crate::reward::{Normaliser, SavedNormaliser};
use crate::stream::Stream;
use crate::tasks::Episodes;
use efference_sdk::{Restores, Result, action_width, bail, tracing};
use std::time::Instant;

impl Browser {
    pub(crate) fn restores_by_replay(&self) -> Restores {
        let whole = |stream: &Stream| stream.history.as_ref().is_some_and(History::is_whole);
        if self.streams.iter().all(whole) { Restores::Replay } else { Restores::Fresh }
    }

    pub(crate) fn save_streams(&self) -> Result<Vec<u8>> {
        if self.restores_by_replay() == Restores::Fresh {
            return Ok(Vec::new());
        }
        let streams = self.streams.iter().filter_map(Stream::saved).collect();
        Saved::new(streams, self.normaliser.save()).write()
    }

    pub(crate) fn restore_streams(&mut self, saved: &[u8]) -> Result<()> {
        if self.chromium.pace.is_none() {
            bail!("pages in real time cannot be brought back to where they were: these were in lock-step");
        }
        let width = action_width(&self.abilities.groups);
        let Saved { streams, normaliser, .. } =
            Saved::<SavedNormaliser>::read(saved, self.streams.len(), width)?;
        for (stream, saved) in self.streams.iter_mut().zip(&streams) {
            stream.begin_as(&saved.history.beginning)?;
        }
        self.normaliser = Normaliser::restore(normaliser);
        let steps: u32 = streams.iter().map(|saved| saved.history.frames()).max().unwrap_or_default();
        if steps > 0 {
            tracing::info!("{steps} steps of the pages are played again");
        }
        for (stream, saved) in self.streams.iter_mut().zip(streams) {
            stream.recoveries = saved.recoveries;
            stream.played_again = Some(Box::new(PlayedAgain { saved, next: 0, began: Instant::now() }));
            // If this fails, the next look finds that the browser is gone.
            let _ = stream.open_tab(&self.chromium, None, &self.options);
        }
        Ok(())
    }

    pub(crate) fn plays_again(&self) -> bool {
        self.streams.iter().any(|stream| stream.played_again.is_some())
    }

    /// Does what was done to pages, as far as they have come again, in place of the agent.
    pub(crate) fn play_again(&mut self) {
        for stream in &mut self.streams {
            let Some(mut again) = stream.played_again.take() else { continue };
            if stream.play_again(&mut again, &self.abilities) {
                stream.compare(*again);
            } else {
                stream.played_again = Some(again);
            }
        }
    }
}

impl Stream {
    /// Does what was done after the frames that have come; returns whether the page is where it was.
    fn play_again(&mut self, again: &mut PlayedAgain, abilities: &Abilities) -> bool {
        let goal = &again.saved.history;
        let come = self.history.as_ref().map_or(0, History::frames);
        while again.next <= come {
            goal.actions_after(again.next).for_each(|action| self.act(abilities, action));
            again.next += 1;
        }
        self.history.as_ref().is_some_and(|history| goal.is_reached_by(history))
    }

    /// Its page could not be brought to where it was. An episode that the agent was in is cut off.
    pub(crate) fn give_up(&mut self, again: PlayedAgain) {
        self.stand(&again.saved);
        tracing::warn!(
            "stream {}: the page could not be brought back to where it was, since it failed on the way, or went away; it begins anew",
            self.number
        );
    }

    fn stand(&mut self, saved: &SavedStream) -> bool {
        let place = (saved.episode, saved.in_episode);
        self.episodes.as_mut().is_none_or(|episodes| episodes.stand_at(place))
    }

    /// Looks whether its page is where it was.
    fn compare(&mut self, again: PlayedAgain) {
        let (number, steps) = (self.number, again.saved.history.frames());
        if !self.stand(&again.saved) {
            tracing::warn!(
                "stream {number}: {steps} steps were played again, and the page is in another episode than it was; that one is cut off"
            );
        } else if self.window.digest() != again.saved.picture {
            tracing::warn!(
                "stream {number}: {steps} steps were played again, and the page does not look as it did; the run goes on with it as it is"
            );
        } else if steps > 0 {
            let seconds = again.began.elapsed().as_secs_f64();
            tracing::info!(
                "stream {number}: the page looks as it did, {steps} steps later, after {seconds:.1} s"
            );
        }
    }

    /// Its page has made a step; as if a frame of it was sent, if there is one.
    pub(crate) fn step_played_again(&mut self) {
        if self.frame().is_some() {
            self.rewards.clear();
            self.frame_time();
            self.sent();
        }
    }

    fn saved(&self) -> Option<SavedStream> {
        // Before it is where it was, it is what it was.
        if let Some(again) = &self.played_again {
            return Some(again.saved.clone());
        }
        let (episode, in_episode) = self.episodes.as_ref().map_or((0, false), Episodes::place);
        Some(SavedStream {
            history: self.history.clone()?,
            episode,
            in_episode,
            picture: self.window.digest(),
            recoveries: self.recoveries,
        })
    }
}
