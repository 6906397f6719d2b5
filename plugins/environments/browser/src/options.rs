//! The options, and what of them can be found wrong before anything is started.
use crate::actions::{Do, SPRING};
use crate::address::{self, Folders};
use crate::sight::See;
use crate::tasks::Set;
use efference_sdk::{Error, JsonSchema, Result, ensure};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use url::Url;

/// One name, or several that the streams take by turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(crate = "efference_sdk::schemars")]
pub enum OneOrMore {
    /// The same in every stream.
    One(String),
    /// The first stream has the first, and so on; after the last the first comes again.
    Several(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub(crate) fn all(&self) -> &[String] {
        match self {
            OneOrMore::One(address) => std::slice::from_ref(address),
            OneOrMore::Several(addresses) => addresses,
        }
    }
}

impl From<&str> for OneOrMore {
    fn from(address: &str) -> Self {
        OneOrMore::One(address.to_owned())
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E>(self, address: &str) -> Result<OneOrMore, E> {
                Ok(address.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = list.next_element()? {
                    addresses.push(address);
                }
                Ok(OneOrMore::Several(addresses))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The pages of the streams, as the browser gets them.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) urls: Vec<Url>,
    pub(crate) folders: Folders,
}

impl Pages {
    /// That of a stream.
    pub(crate) fn of(&self, stream: usize) -> Url {
        self.urls[stream % self.urls.len()].clone()
    }
}

efference_sdk::options! {
    /// How pictures travel from the browser.
    pub enum Image {
        /// JPEG of quality 80: quick on every page, with small errors.
        Jpeg,
        /// PNG: exact, and as quick on flat pages, but a third of the pictures a second on photos.
        Png,
    }
}

efference_sdk::options! {
    /// How the numbers that a page gives by `directScore(x)` become rewards.
    pub enum Reward {
        /// Raw where pages have episodes, normalised else.
        Auto,
        /// In standard deviations from the mean of that page's numbers so far, of which three are 0.99.
        Normalised,
        /// As they are, within −1,000,000,000…1,000,000,000: their mean, or, where pages have episodes, their sum.
        Raw,
    }
}

efference_sdk::options! {
    /// Whose time goes.
    pub enum Pace {
        /// That of the page: the newest picture is observed, and the page does not wait for the agent.
        #[serde(rename = "real-time")]
        RealTime,
        /// The page's time stands still until the agent has acted; each step is one period of it, and one picture. With Chromium's headless shell.
        #[serde(rename = "lock-step")]
        LockStep,
        /// Lock-step if Chromium's headless shell is there, real time else.
        Auto,
    }
}

efference_sdk::options! {
    /// Options of `browser`.
    pub struct Options {
        /// The page of every stream, at the start and after a page fault: an http(s) address, a folder with an `index.html`, a file (what lies beside it is served too), or a page that comes along: "bundled" (a ball to follow), "bundled:waves" (waves of colour), "bundled:catch" (balls to catch). A list: streams take its pages by turns.
        pub url: OneOrMore = OneOrMore::from("bundled"),
        /// Pages with episodes, in place of `url`: "miniwob", those of the Python package of that name, or a folder of pages that end episodes by `endEpisode(reward)`; empty: none.
        pub tasks: String = String::new(),
        /// The task of `tasks`, by its name. A list: streams take them by turns.
        pub task: OneOrMore = OneOrMore::Several(Vec::new()),
        /// Seconds of the page's time after which an episode is cut off; 0: as the page has it, which is 10 for most of MiniWoB's.
        #[schemars(range(min = 0.0, max = 86_400.0))]
        pub episode_seconds: f64 = 0.0,
        /// The Python in which tasks = "miniwob" finds the pages: a name on the PATH or a file, such as "venv/bin/python".
        pub python: String = String::from("python3"),
        /// In lock-step, how many actions since a page was loaded are remembered, so that a run that is resumed can play them again, some hundred a second. A page with episodes is loaded anew between two of them after half as many; from one without, a run that is resumed begins anew after more.
        #[schemars(range(min = 0, max = 100_000_000))]
        pub replay: usize = 10_000,
        /// Pages that are driven at once, each with cookies and a window of its own.
        #[schemars(range(min = 1, max = 64))]
        pub streams: usize = 1,
        /// Width of the window's inside, in pixels.
        #[schemars(range(min = 64, max = 2048))]
        pub width: usize = 640,
        /// Height of the window's inside, in pixels.
        #[schemars(range(min = 64, max = 2048))]
        pub height: usize = 480,
        /// What a stream observes, one part after the other; without any: the rectangle around the mouse that `view_width`, `view_height` and `shrink` say, and where the mouse is.
        #[schemars(length(max = 32))]
        pub sees: Vec<See> = Vec::new(),
        /// What a stream can do, one after the other; without any: a relative mouse by `mouse_speed` and `mouse_spring`, its left button, and the wheel by `scroll_speed`.
        #[schemars(length(max = 32))]
        pub does: Vec<Do> = Vec::new(),
        /// Width of the rectangle around the mouse that is observed, in pixels; a multiple of `shrink`.
        #[schemars(range(min = 1, max = 4096))]
        pub view_width: usize = 128,
        /// Height of the rectangle around the mouse that is observed, in pixels; a multiple of `shrink`.
        #[schemars(range(min = 1, max = 4096))]
        pub view_height: usize = 128,
        /// Squares of this side, in pixels, are averaged to one observed colour.
        #[schemars(range(min = 1, max = 256))]
        pub shrink: usize = 4,
        /// Whether pages go on while the agent thinks ("real-time"), or wait for it ("lock-step").
        pub pace: Pace = Pace::RealTime,
        /// In lock-step, steps a second of the page's time; 0: one each 16 ms. In real time, observations a second at most; 0: one for each picture that the browser draws (up to 60), 10 while it stands still.
        #[schemars(range(min = 0.0, max = 1000.0))]
        pub frames_per_second: f64 = 20.0,
        /// How far the mouse goes in one step for an action of 1, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub mouse_speed: f64 = 50.0,
        /// The part of its way from the middle of the window that the mouse loses in each step, so that it does not end at an edge.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub mouse_spring: f64 = SPRING,
        /// How far the page is scrolled in one step for an action of 1, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub scroll_speed: f64 = 100.0,
        /// How the numbers that a page gives become rewards; as they were given they are the metric `browser/reward` in any case.
        pub reward: Reward = Reward::Auto,
        /// How pictures travel from the browser.
        pub image: Image = Image::Jpeg,
        /// Seconds without a sign of life after which a page is taken for hung and is loaded anew; a server has six times as long.
        #[schemars(range(min = 0.5, max = 600.0))]
        pub patience: f64 = 5.0,
        /// Whether pages may reach this machine and its network. Else only the Internet, and what `url` itself names.
        pub local_network: bool = false,
        /// MiB of memory that the process of a page may take; a page that takes more is loaded anew. 0: no bound.
        #[schemars(range(max = 1_048_576))]
        pub memory: usize = 1_024,
        /// Chromium's program file; empty: the usual places are searched.
        pub chromium: String = String::new(),
        /// Whether Chromium's sandbox is used; without it, a page that breaks out of the renderer has all of this user's rights.
        pub sandbox: bool = true,
    }
}

impl Image {
    /// What Chromium is asked for.
    pub(crate) fn format(self) -> serde_json::Value {
        match self {
            Image::Jpeg => serde_json::json!({ "format": "jpeg", "quality": 80 }),
            Image::Png => serde_json::json!({ "format": "png" }),
        }
    }
}

impl Options {
    /// Checks what one option's range cannot say, and returns the pages.
    pub(crate) fn check(&self) -> Result<Pages> {
        self.check_sees()?;
        self.check_does()?;
        let sides = if self.sees.is_empty() { &["view_width", "view_height"][..] } else { &[] };
        for (name, size) in sides.iter().zip([self.view_width, self.view_height]) {
            if self.shrink == 0 || size == 0 || !size.is_multiple_of(self.shrink) {
                let message = format!("{name} = {size} must be a multiple of shrink = {}", self.shrink);
                return Err(Error::msg(message).in_option(*name));
            }
        }
        // Around a mouse in a corner there is no more of the page than twice its size shows.
        for (name, size, side, of) in [
            ("view_width", self.view_width, "width", self.width),
            ("view_height", self.view_height, "height", self.height),
        ] {
            if size > 2 * of {
                let message =
                    format!("{name} = {size} shows nothing of the page beyond 2 · {side} = {}", 2 * of);
                return Err(Error::msg(message).in_option(name));
            }
        }
        ensure!(self.streams > 0, "streams = 0: at least one page is needed");
        if self.memory > 0 && self.memory < 64 {
            let message = format!(
                "memory = {} MiB is less than any page takes: at least 64, or 0 for no bound",
                self.memory
            );
            return Err(Error::msg(message).in_option("memory"));
        }
        self.pages()
    }

    fn pages(&self) -> Result<Pages> {
        let mut folders = Folders::default();
        let (option, urls) = if self.has_tasks() {
            ("task", self.task_pages(&mut folders)?)
        } else {
            self.check_without_tasks()?;
            let parse =
                |address: &String| address::parse(address, &mut folders).map_err(|e| e.in_option("url"));
            ("url", self.url.all().iter().map(parse).collect::<Result<Vec<_>>>()?)
        };
        if urls.is_empty() {
            return Err(Error::msg(format!("{option} is an empty list: at least one page is needed"))
                .in_option(option));
        }
        if urls.len() > self.streams {
            let message = format!(
                "{option} names {} pages, and streams = {}: some would never be seen",
                urls.len(),
                self.streams
            );
            return Err(Error::msg(message).in_option(option));
        }
        Ok(Pages { urls, folders })
    }

    fn task_pages(&self, folders: &mut Folders) -> Result<Vec<Url>> {
        if self.url != OneOrMore::from("bundled") {
            let message = "url and tasks are two ways to say which pages there are: leave one of them out";
            return Err(Error::msg(message).in_option("url"));
        }
        let set = Set::find(&self.tasks, &self.python)?;
        // Nothing at all is a task without a name, which says what names there are.
        let names = if self.task.all().is_empty() { &[String::new()] } else { self.task.all() };
        names.iter().map(|name| folders.url(set.root.clone(), set.page(name)?)).collect()
    }

    fn check_without_tasks(&self) -> Result<()> {
        for (option, set) in
            [("task", !self.task.all().is_empty()), ("episode_seconds", self.episode_seconds > 0.0)]
        {
            if set {
                let message = format!(
                    "{option} says something of tasks, and there are none: add tasks = \"miniwob\", or a folder"
                );
                return Err(Error::msg(message).in_option(option));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled;

    #[test]
    fn pages_are_one_or_a_list() {
        let read = |json: &str| serde_json::from_str::<Options>(json).map(|options| options.check());
        assert_eq!(read("{}").unwrap().unwrap().urls[0].as_str(), bundled::ROOT);
        let several = r#"{"url": ["bundled", "localhost:1", "http://a.org/x"], "streams": 4}"#;
        let pages = read(several).unwrap().unwrap();
        assert_eq!(pages.of(1).as_str(), "http://localhost:1/");
        assert_eq!(pages.of(3).as_str(), bundled::ROOT);
        let error = |json: &str| read(json).unwrap().unwrap_err();
        let refused = error(r#"{"url": ["bundled", "chrome://crash"], "streams": 2}"#);
        assert!(refused.to_string().contains("\"chrome://crash\""), "{refused}");
        assert_eq!(refused.option(), Some("url"));
        assert!(error(r#"{"url": []}"#).to_string().contains("empty list"));
        assert!(error(r#"{"url": ["bundled", "localhost"]}"#).to_string().contains("never be seen"));
        let wrong = read(r#"{"url": 3}"#).unwrap_err().to_string();
        assert!(wrong.contains("a text, or a list of texts"), "{wrong}");
    }

    #[test]
    fn what_contradicts_is_refused_and_the_option_named() {
        let refused = |options: Options| {
            let error = options.check().unwrap_err();
            (error.option().unwrap_or_default().to_owned(), error.to_string())
        };
        let (option, text) = refused(Options { view_width: 130, ..Options::default() });
        assert!(option == "view_width" && text.contains("130") && text.contains("shrink = 4"), "{text}");
        let (option, text) = refused(Options { view_height: 1_024, ..Options::default() });
        assert!(option == "view_height" && text.contains("2 · height = 960"), "{text}");
        let (option, text) = refused(Options { memory: 5, ..Options::default() });
        assert!(option == "memory" && text.contains("at least 64"), "{text}");
    }
}
