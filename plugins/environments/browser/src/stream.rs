//! One stream: a page, what it acts with, and its last picture. It outlives its tabs.
use crate::actions::{Abilities, Event, Hands, Trigger};
use crate::bridge::{Habit, News};
use crate::chromium::Chromium;
use crate::devtools::Failure;
use crate::history::{Beginning, History, PlayedAgain};
use crate::lock_step::Standing;
use crate::options::Options;
use crate::page_fault::PageFault;
use crate::reward::Rewards;
use crate::tab::Tab;
use crate::tasks::{Episodes, Moment, Turn, Wish};
use crate::travel;
use crate::troubles::Troubles;
use crate::view::Window;
use efference_sdk::{Random, StepType, derive_seed, metric, tracing};
use serde_json::json;
use std::time::{Duration, Instant};
use url::Url;

/// After this long without a fault the next recovery is immediate again.
const BACKOFF_RESET: Duration = Duration::from_secs(3);
/// The longest wait before the next recovery of a page.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// How long a page has for what the agent did, before its time goes on.
const INPUT_LIMIT: Duration = Duration::from_millis(500);
/// How long a page may take until its first picture, however busy it is.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// A page that has this many faults before its first picture is given up.
const MAX_FAULTS_BEFORE: u32 = 5;

pub(crate) struct Stream {
    pub(crate) tab: Tab,
    pub(crate) hands: Hands,
    /// The last picture; empty before the first one, which begins the stream.
    pub(crate) window: Window,
    /// When the picture was drawn, and that of the last frame, in seconds of the browser's clock.
    drawn: Option<f64>,
    drawn_before: Option<f64>,
    /// Whether the picture is newer than the last frame.
    pub(crate) fresh: bool,
    /// When the agent acted.
    pub(crate) acted: Instant,
    /// How long after the picture that it responded to.
    pub(crate) reaction: Option<Duration>,
    /// When the picture came.
    pub(crate) pictured: Instant,
    /// Whether a picture was asked for that has not come, and whether that was so when the next one was asked for.
    owed: (bool, bool),
    /// Its page, at the start and after a fault.
    pub(crate) url: Url,
    pub(crate) number: usize,
    opened: Instant,
    /// Of what is drawn by lot.
    seed: u64,
    /// How many links it has followed.
    links: u64,
    /// What was done to its page, if that is in lock-step, of which so many actions are remembered.
    pub(crate) history: Option<History>,
    most_remembered: usize,
    /// What its page still has to go through again.
    pub(crate) played_again: Option<Box<PlayedAgain>>,
    /// If its page has such.
    pub(crate) episodes: Option<Episodes>,
    /// What its page gave since its last frame, until what it said of episodes was followed for the last time.
    pub(crate) rewards: Rewards,
    /// The fault to recover from, and when.
    fault: Option<(Instant, PageFault)>,
    /// Recoveries in a row.
    in_a_row: u32,
    /// All recoveries.
    pub(crate) recoveries: u64,
}

/// Why a stream does not go on.
pub(crate) enum StreamFailure {
    /// The browser fails, which may be started again.
    Browser(Failure),
    /// The page cannot be opened at all.
    Page {
        /// Its address.
        url: Url,
        /// What is wrong with it.
        why: String,
    },
}

impl From<Failure> for StreamFailure {
    fn from(failure: Failure) -> Self {
        StreamFailure::Browser(failure)
    }
}

impl Stream {
    /// Begins to open a page and to load the address.
    pub(crate) fn open(
        number: usize,
        chromium: &Chromium,
        options: &Options,
        url: Url,
        seed: u64,
    ) -> Result<Stream, Failure> {
        let hands = Hands::new(options);
        let beginning = Beginning { hands: hands.lasting(), time: Duration::ZERO, links: 0, episode: 0 };
        Ok(Stream {
            tab: Tab::open(chromium, number, None, Duration::ZERO, options, &url)?,
            hands,
            window: Window::default(),
            drawn: None,
            drawn_before: None,
            fresh: false,
            acted: Instant::now(),
            reaction: None,
            pictured: Instant::now(),
            owed: (false, false),
            url,
            number,
            opened: Instant::now(),
            seed,
            links: 0,
            history: chromium.pace.map(|_| History::new(beginning)),
            most_remembered: options.replay,
            played_again: None,
            episodes: options.has_tasks().then(|| Episodes::new(seed, number)),
            rewards: Rewards::default(),
            fault: None,
            in_a_row: 0,
            recoveries: 0,
        })
    }

    /// Goes on in another browser.
    pub(crate) fn move_to(&mut self, chromium: &Chromium, options: &Options) -> Result<(), Failure> {
        self.recoveries += 1;
        self.fault = None;
        self.forget_page();
        self.open_tab(chromium, None, options)
    }

    /// Opens its page in another tab.
    pub(crate) fn open_tab(
        &mut self,
        chromium: &Chromium,
        context: Option<String>,
        options: &Options,
    ) -> Result<(), Failure> {
        let time = self.history.as_ref().map(|history| history.beginning.time);
        let before = time.unwrap_or_default();
        self.tab = Tab::open(chromium, self.number, context, before, options, &self.url)?;
        Ok(())
    }

    /// What it had to do with its page is over.
    fn forget_page(&mut self) {
        self.begin_page();
        self.episodes.iter_mut().for_each(Episodes::page_is_gone);
    }

    /// Its page is about to be loaded anew.
    fn begin_page(&mut self) {
        self.hands.forget();
        let beginning = Beginning {
            hands: self.hands.lasting(),
            time: self.tab.time().unwrap_or_default(),
            links: self.links,
            episode: self.episodes.as_ref().map_or(0, Episodes::next_number),
        };
        self.history = self.history.take().map(|_| History::new(beginning));
        if let Some(again) = self.played_again.take() {
            self.give_up(*again);
        }
    }

    /// Its page is about to be loaded, and was this when it was loaded then.
    ///
    /// # Errors
    /// If it could do other things.
    pub(crate) fn begin_as(&mut self, beginning: &Beginning) -> efference_sdk::Result<()> {
        self.hands.go_on_from(beginning.hands.clone())?;
        self.links = beginning.links;
        self.episodes.iter_mut().for_each(|episodes| episodes.begin_with(beginning.episode));
        self.history = Some(History::new(beginning.clone()));
        Ok(())
    }

    /// In lock-step, its page has made a step.
    pub(crate) fn stepped(&mut self) {
        self.history.iter_mut().for_each(History::stepped);
    }

    /// Takes what its page gave, follows what it says of episodes, and asks it for them.
    pub(crate) fn follow_episodes(&mut self) -> Result<(), StreamFailure> {
        // Both at once: else a frame from before the end of an episode could have the reward of that end.
        let take = |news: &mut News| (std::mem::take(&mut news.rewards), std::mem::take(&mut news.tale));
        let (given, mut tale) = self.tab.news(take).unwrap_or_default();
        let Some(episodes) = &mut self.episodes else {
            self.rewards.append(given);
            return Ok(());
        };
        let failed = |why| StreamFailure::Page { url: self.url.clone(), why };
        while let Some(said) = tale.take() {
            match episodes.take(said).map_err(failed)? {
                Some(Turn::Begins) => {
                    self.rewards.clear();
                    self.tab.ask_anew()?;
                }
                Some(Turn::Ends { success }) if self.played_again.is_none() => {
                    metric("browser/success", f64::from(u8::from(success)));
                }
                Some(Turn::Ends { .. }) | None => {}
            }
        }
        self.rewards.append(given);
        // Between two steps, so that it is seen in the picture of the one that follows.
        let between = self.tab.lock_step().is_none_or(|page| page.stands_still());
        let settled = between && self.tab.has_inputs();
        match episodes.wish(settled, self.tab.load_limit).map_err(failed)? {
            Some(Wish::Run(script)) => self.tab.run(script)?,
            Some(Wish::Load) => {
                self.begin_page();
                self.tab.load(&self.url)?;
            }
            None => {}
        }
        Ok(())
    }

    fn moment(&self) -> Moment {
        let always = Moment::Frame { step_type: StepType::MIDDLE, at_last: None };
        self.episodes.as_ref().map_or(always, Episodes::moment)
    }

    /// Where its next frame stands in an episode; `None` as long as it has none to send.
    pub(crate) fn frame(&self) -> Option<StepType> {
        match self.moment() {
            _ if self.window.is_empty() => None,
            Moment::Between => None,
            Moment::CutOff => Some(StepType::TRUNCATED),
            // In lock-step, the picture of a step is that of its end.
            Moment::Frame { step_type, at_last: Some(at_last) } if self.tab.lock_step().is_none() => {
                (self.tab.is_anew(self.pictured) || Instant::now() >= at_last).then_some(step_type)
            }
            Moment::Frame { step_type, .. } => Some(step_type),
        }
    }

    /// Whether what was seen last is the end of an episode.
    pub(crate) fn is_cut_off(&self) -> bool {
        !self.window.is_empty() && self.moment() == Moment::CutOff
    }

    /// Its frame was sent.
    pub(crate) fn sent(&mut self) {
        self.fresh = false;
        // Where a page was cut off, what is remembered begins with the one that comes.
        if !self.is_cut_off() {
            self.history.iter_mut().for_each(History::sent);
        }
        if self.episodes.as_mut().is_some_and(Episodes::sent) {
            self.acted = Instant::now();
            let tab = &self.tab;
            // The only failure is that the browser is gone, which the next look finds.
            let _ = self.hands.let_go(|event| tab.input(event.method, &event.params));
            let long = self.history.as_ref().is_some_and(|history| history.is_long(self.most_remembered / 2));
            self.episodes.iter_mut().filter(|_| long).for_each(Episodes::load_anew);
        }
    }

    /// Does what the agent does. If that fails, the browser is gone, which the next look finds.
    pub(crate) fn act(&mut self, abilities: &Abilities, action: &[f32]) {
        self.acted = Instant::now();
        if !self.window.is_empty() {
            self.reaction = Some(self.acted.duration_since(self.pictured));
        }
        let most = self.most_remembered;
        if let Some(history) = &mut self.history {
            let was_whole = history.is_whole();
            history.acted(action, most);
            if was_whole && !history.is_whole() {
                let number = self.number;
                tracing::info!(
                    "stream {number}: the agent has acted {most} times since the page was loaded, and more is not remembered: a run                      that is resumed from now on begins it anew (`replay` says how much is)"
                );
            }
        }
        let now = self.tab.time().unwrap_or_else(|| self.opened.elapsed());
        let tab = &self.tab;
        let send = |event: Event| tab.input(event.method, &event.params);
        if let Ok(Some(trigger)) = self.hands.act(abilities, action, now, send) {
            let mut chosen = 0.0;
            if trigger == Trigger::RandomLink {
                let purpose = format!("link {} of stream {}", self.links, self.number);
                chosen = Random::new(derive_seed(self.seed, &purpose)).unit();
                self.links += 1;
            }
            let _ = travel::follow(&self.tab, trigger, &self.url, chosen);
        }
    }

    /// Whether it takes an action: between episodes it does not.
    pub(crate) fn takes_actions(&self) -> bool {
        self.episodes.as_ref().is_none_or(Episodes::is_going)
    }

    /// Asks for a picture of a page that is there. If that fails, the next look finds out why.
    pub(crate) fn ask_for_picture(&mut self) {
        if self.tab.news(|news| news.shown).flatten().is_none() {
            return;
        }
        self.owed = (true, self.owed.0);
        let _ = self.tab.ask_for_pictures();
    }

    /// Whether there is nothing to wait for: its picture is newer than the last frame, or it was asked for and did not come
    /// the last time either, and the others are not to wait for this page.
    pub(crate) fn is_fresh(&self, follows_pictures: bool) -> bool {
        if follows_pictures {
            return self.fresh;
        }
        self.fresh || self.owed.1 || self.tab.news(|news| news.picture.is_some()).unwrap_or(true)
    }

    /// Decodes the newest picture, if there is one that was not looked at yet.
    pub(crate) fn take_picture(&mut self, options: &Options) {
        // The picture may be that of the page that came after.
        let goes = self.episodes.is_some() && self.tab.news(|news| news.tale.leaves()).unwrap_or_default();
        if goes || self.is_cut_off() {
            return;
        }
        let picture = match self.tab.lock_step() {
            Some(page) => page.take_picture(),
            None => self.tab.news(|news| Some((news.picture.take()?, news.drawn))).flatten(),
        };
        if let Some(((picture, at), drawn)) = picture
            && self.window.take(&picture, options.width, options.height)
        {
            (self.fresh, self.pictured, self.drawn) = (true, at, drawn);
            self.owed = (false, false);
        }
    }

    /// Begins or looks after a step of its page. A failure is that of the browser, which the next look finds.
    pub(crate) fn step(&self, now: Instant) -> Standing {
        if self.fault.is_some() {
            return Standing::Out;
        }
        // A page that is yet to come has no time that could go on, and one that goes elsewhere has had its time. One that does
        // not take what the agent did is not waited for longer.
        let (shown, going, requested) =
            self.tab.news(|news| (news.shown.is_some(), news.navigating, news.requested)).unwrap_or_default();
        let within = |limit: Duration, since: Instant| now.duration_since(since) < limit;
        let waits = going.is_some_and(|since| within(self.tab.patience, since))
            || requested.is_some_and(|since| within(INPUT_LIMIT, since))
            || !self.tab.has_inputs() && within(INPUT_LIMIT, self.acted);
        match self.tab.lock_step() {
            Some(page) if shown && !(waits && page.stands_still()) => page.step(now).unwrap_or(Standing::Out),
            Some(_) if shown => Standing::Steps,
            _ if self.window.is_empty() => Standing::Steps,
            _ => Standing::Out,
        }
    }

    /// A frame is sent: the seconds from the picture of the last one to this one's.
    pub(crate) fn frame_time(&mut self) -> Option<f64> {
        let before = std::mem::replace(&mut self.drawn_before, self.drawn);
        Some((self.drawn? - before?).max(0.0))
    }

    /// Recovers from faults of the page, at once the first time and then after longer and longer waits.
    pub(crate) fn check_faults(
        &mut self,
        chromium: &Chromium,
        options: &Options,
        troubles: &mut Troubles,
    ) -> Result<(), StreamFailure> {
        let now = Instant::now();
        self.tell_habits(troubles);
        if self.fault.is_none() {
            let drawn = !self.window.is_empty();
            let found = self.tab.check_faults(drawn, chromium.well_until())?;
            let Some(fault) = found else { return if drawn { Ok(()) } else { self.check_opening(now) } };
            if !drawn && (fault.is_final() || self.in_a_row >= MAX_FAULTS_BEFORE) {
                return Err(StreamFailure::Page { url: self.url.clone(), why: fault.to_string() });
            }
            if self.tab.well_for() > BACKOFF_RESET {
                self.in_a_row = 0;
            }
            let wait = match self.in_a_row {
                0 => Duration::ZERO,
                n => MAX_BACKOFF.min(Duration::from_millis(50 << n.min(10))),
            };
            troubles
                .warn(fault.kind(), &format!("stream {}: {fault}; its address is loaded again", self.number));
            self.fault = Some((now + wait, fault));
        }
        if self.fault.as_ref().is_some_and(|(at, _)| *at > now) {
            return Ok(());
        }
        let Some((_, fault)) = self.fault.take() else { return Ok(()) };
        self.in_a_row += 1;
        self.recoveries += 1;
        self.forget_page();
        // What a page has stored may be what breaks it: a service worker that never answers, say.
        if self.in_a_row > 1 {
            let old = self.tab.context();
            self.open_tab(chromium, None, options)?;
            if let Some(context) = old {
                let context = json!({ "browserContextId": context });
                chromium.connection.send("", "Target.disposeBrowserContext", context)?;
            }
        } else if fault.needs_new_tab() {
            self.open_tab(chromium, self.tab.context(), options)?;
        } else {
            self.tab.reload(&self.url)?;
        }
        Ok(())
    }

    fn check_opening(&self, now: Instant) -> Result<(), StreamFailure> {
        if now.duration_since(self.opened) > OPEN_LIMIT {
            let why = format!("it was not drawn within {} s", OPEN_LIMIT.as_secs());
            return Err(StreamFailure::Page { url: self.url.clone(), why });
        }
        Ok(())
    }

    /// Leaves a trace of what the page did that needs no recovery.
    fn tell_habits(&self, troubles: &mut Troubles) {
        let habits = self.tab.news(|news| std::mem::take(&mut news.habits)).unwrap_or_default();
        for habit in habits {
            let (kind, what) = match habit {
                Habit::Popup => ("popup", "opened another page, which was closed".to_owned()),
                Habit::Download => ("download", "wanted to store a file, which was denied".to_owned()),
                Habit::Dialog(kind) => {
                    ("dialog", format!("opened a dialog ({kind}), which was answered at once"))
                }
            };
            troubles.info(kind, &format!("stream {}: the page {what}", self.number));
        }
    }

    /// Forgets past recoveries, so that a test does not wait.
    #[cfg(test)]
    pub(crate) fn reset_backoff(&mut self) {
        self.in_a_row = 0;
    }
}
