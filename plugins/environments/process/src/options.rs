//! The options of `process`.
use efference_sdk::{Error, Result, ensure};
use std::time::Duration;

efference_sdk::options! {
    /// Options of `process`.
    pub struct Options {
        /// The program and its arguments: ["python3", "my_world.py"]. It is run from where the run is started, and so are relative paths in it meant.
        pub command: Vec<String> = Vec::new(),
        /// Seconds that the program may take from its start to its first frames; 0: as long as it likes.
        #[schemars(range(min = 0.0, max = 1e9))]
        pub start_timeout: f64 = 60.0,
        /// Seconds that the program may take to answer; 0: as long as it likes, as where it waits for people.
        #[schemars(range(min = 0.0, max = 1e9))]
        pub silence_timeout: f64 = 60.0,
    }
}

impl Options {
    /// The program and its arguments. Errors: there are none, or a timeout is no length of time.
    pub(crate) fn program(&self) -> Result<(&str, &[String])> {
        for (name, seconds) in
            [("start_timeout", self.start_timeout), ("silence_timeout", self.silence_timeout)]
        {
            ensure!((0.0..=1e9).contains(&seconds), "{name} = {seconds} must be in 0 … 1e9 seconds");
        }
        match self.command.split_first() {
            Some((program, arguments)) if !program.trim().is_empty() => Ok((program, arguments)),
            _ => Err(Error::msg(
                "command is empty: it must be the program to run and its arguments, such as \
                 command = [\"python3\", \"my_world.py\"]",
            )
            .in_option("command")),
        }
    }

    /// A timeout of so many seconds; `None`: there is none.
    pub(crate) fn timeout(seconds: f64) -> Option<Duration> {
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }
}
