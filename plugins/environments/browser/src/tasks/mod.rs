//! Sets of tasks: pages with episodes that begin, end and are rewarded.
//!
//! ```toml
//! [environment]
//! plugin = "browser"
//! tasks = "miniwob"          # or a folder
//! task = "click-test"        # or a list, which the streams take by turns
//! python = "venv/bin/python" # the Python that has the package; "python3" where this is left out
//! pace = "lock-step"         # the page's time stands still while the agent thinks
//! width = 160
//! height = 210
//! ```
//!
//! A set is a folder: each page in it is a task, named as its file is without `.html`, and so is each folder in it with an `index.html`. All files of the folder are
//! served, from one address, and those above it are not. `tasks = "miniwob"` is the folder of the Python package of that name
//! (`python3 -m pip install --no-deps miniwob`: its pages are all that is used); a checkout of MiniWoB++ can be named as a folder.
//!
//! # The contract
//!
//! A page of a set has to do one thing: to say when an episode ends.
//!
//! | who calls | what |
//! |---|---|
//! | the plugin | `startEpisode(seed)`, if the page has that function, after the page's `load` event and after the end of each episode. `seed` is a whole number below 2³²: the same one is to make the same episode. It may return a promise: the episode begins when that is fulfilled. A page without the function is loaded anew for each episode |
//! | the page | `endEpisode(reward, truncated = false)`, once an episode; later calls are not heard. `truncated` says that the episode was cut off, as by a time limit, and has not come to its own end |
//! | the page | `directScore(reward)`, whenever it gives a reward before the end |
//!
//! All of it counts in the page's own time, which in lock-step stands still while the agent thinks. With `episode_seconds` an episode
//! is cut off after so many seconds. This is a whole task:
//!
//! ```html
//! <!doctype html>
//! <button id="button" style="position: absolute">Here</button>
//! <script>
//! function startEpisode(seed) {
//!   button.style.left = seed % 100 + 'px';
//!   button.style.top = seed % 71 + 'px';
//! }
//! button.onclick = () => endEpisode(1);
//! </script>
//! ```
//!
//! # What the agent sees of it
//!
//! The frame after `startEpisode` is the first one of an episode; one that has ended before that frame is left out. The reward of a frame is the sum of what was given since the one
//! before it. The last frame has the reward and the picture of the end; the actions that respond to it are not taken, buttons
//! and keys are let go before the next episode begins, and the mouse stays where it is. A page that crashes, hangs or goes to another address cuts the episode off. The metric `browser/success` is the part of the
//! episodes that ended with a reward above 0.
//!
//! Episodes of one stream have the seeds that follow from the experiment's seed: in lock-step two runs that do the same see the same.
//! A run that is resumed begins with the first of them again.
//!
//! # MiniWoB
//!
//! Its pages (Shi et al. 2017, "World of Bits"; MiniWoB++: Liu et al. 2018) are used as they are. What is done for them: their cover "START" is
//! left away, and what they show beside the task (reward, time, clicks) is hidden; `Math.seedrandom(seed)` comes before each
//! episode. The reward is their raw one, without the part that falls with time; their "timed out", which gives −1 after 10 s on
//! most pages, is truncated. `episode_seconds` takes the place of those 10 s. The task is 160 × 210 pixels, at the top left.
#![doc = ""]
#![doc = include_str!("miniwob.txt")]
mod episode;
mod set;

pub(crate) use episode::{Episodes, Moment, Said, Tale, Turn, Wish};
pub(crate) use set::Set;

use crate::options::Options;

/// The binding's name in the relay's world.
pub(crate) const TASK: &str = "efferenceTask";

/// What goes into a page so that it has episodes: the binding, the script in the relay's world, and that in the page's own.
pub(crate) struct Scripts {
    pub(crate) binding: &'static str,
    pub(crate) relay: &'static str,
    pub(crate) page: String,
}

impl Options {
    /// What pages with episodes need, which are drawn by themselves (in `real_time`) or step by step.
    pub(crate) fn task_scripts(&self, real_time: bool) -> Option<Scripts> {
        let page = format!(
            "{{ const SECONDS = {}, REAL_TIME = {real_time};\n{} }}",
            self.episode_seconds,
            include_str!("../page/task.js")
        );
        self.has_tasks().then_some(Scripts {
            binding: TASK,
            relay: include_str!("../page/task_relay.js"),
            page,
        })
    }

    /// Whether its pages have episodes.
    pub(crate) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }
}
