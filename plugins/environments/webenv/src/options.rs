//! Options of the plugin.
use efference_sdk::serde_json::Value;
use efference_sdk::{Error, Result, bail, ensure};
use std::path::{Path, PathBuf};

efference_sdk::options! {
    /// How values are written between WebEnv and the plugin. Less precise ones are quicker to carry.
    #[non_exhaustive]
    pub enum ValueKind {
        /// 4 bytes, as they are.
        Float32,
        /// 1 byte: steps of 1/127.
        Int8,
        /// 2 bytes: steps of 1/32,767.
        Int16,
    }
}

efference_sdk::options! {
    /// The byte order that the plugin speaks; WebEnv follows.
    #[non_exhaustive]
    pub enum ByteOrder {
        /// This machine's own, which costs nothing.
        Native,
        /// Least significant byte first.
        Little,
        /// Most significant byte first.
        Big,
    }
}

efference_sdk::options! {
    /// Who can reach WebEnv's server, which asks for no password.
    pub enum Listen {
        /// Programs on this machine.
        Loopback,
        /// Everyone who can reach this machine: anyone of them can be a stream.
        Everywhere,
    }
}

efference_sdk::options! {
    /// Options of `webenv`.
    pub struct Options {
        /// The folder of your WebEnv checkout: the one with `webenv.js`, after `npm install` in it.
        pub checkout: PathBuf = PathBuf::new(),
        /// The Node program: a name on the PATH or a file.
        pub node: String = String::from("node"),
        /// WebEnv's interfaces and streams. A string is JavaScript (`"we.loopback(2)"`), a list is a call
        /// (`["we.mouse", { wheel = 1 }]`), also inside of another; strings inside of `{ … }` are text. They are in
        /// `we`; `we.directScore()` is there already.
        pub interfaces: Vec<Value> = vec![Value::from("we.remote()"), Value::from("we.defaults")],
        /// The page that a stream begins with; empty: WebEnv's own choice.
        pub homepage: String = String::new(),
        /// How many steps of a stream may be under way at once: more is quicker, and responses come later.
        #[schemars(range(min = 1, max = 256))]
        pub simultaneous_steps: u32 = 16,
        /// Who can reach WebEnv's server, to which the tabs of `we.remote()` connect.
        pub listen: Listen = Listen::Loopback,
        /// How values are written between WebEnv and the plugin.
        pub value_kind: ValueKind = ValueKind::Float32,
        /// The byte order between WebEnv and the plugin.
        pub byte_order: ByteOrder = ByteOrder::Native,
        /// The longest observation that is accepted, in elements.
        #[schemars(range(min = 1, max = 67_108_864))]
        pub max_observation: u32 = 4_194_304,
        /// The most actions that a stream may ask for.
        #[schemars(range(min = 0, max = 67_108_864))]
        pub max_action: u32 = 1_048_576,
        /// The most streams at once.
        #[schemars(range(min = 1, max = 65_536))]
        pub max_streams: u32 = 64,
        /// How long WebEnv may take until its first packet, in seconds. 0, or an interface that names
        /// `we.remote`: for ever, since nothing comes before somebody connects.
        #[schemars(range(min = 0))]
        pub start_timeout: f64 = 90.0,
        /// How long open streams may all be silent with each frame responded to, in seconds; 0: for ever. WebEnv
        /// restarts a stuck browser after 15 to 45 s.
        #[schemars(range(min = 0))]
        pub silence_timeout: f64 = 120.0,
        /// Where a picture begins in the observation (the reward's numbers are not counted).
        pub picture_offset: usize = 0,
        /// Width of that picture in pixels, as of `we.imageRect(100)`; 0: there is none.
        #[schemars(range(min = 0, max = 16_384))]
        pub picture_width: usize = 0,
        /// Height of that picture in pixels.
        #[schemars(range(min = 0, max = 16_384))]
        pub picture_height: usize = 0,
    }
}

impl Options {
    /// What is wrong with the options by themselves, whatever the folder of the checkout has.
    pub(crate) fn check(&self) -> Result<()> {
        if self.node.trim().is_empty() {
            let message = "the option 'node' is empty: it must be the Node program, such as \"node\"";
            return Err(Error::msg(message).in_option("node"));
        }
        Ok(())
    }

    /// The folder of the checkout, absolute; an error with the remedy if it is none.
    pub(crate) fn checked_checkout(&self) -> Result<PathBuf> {
        const HELP: &str =
            "`git clone https://github.com/Antipurity/webenv`, then `npm install` in it, gives one";
        ensure!(
            !self.checkout.as_os_str().is_empty(),
            "the option 'checkout' is empty: it must be the folder of your WebEnv checkout, the one with webenv.js ({HELP})"
        );
        let shown = self.checkout.display();
        let folder = match self.checkout.canonicalize() {
            Ok(folder) if folder.is_dir() => folder,
            Ok(_) => {
                bail!("the option 'checkout', '{shown}', is a file: it must be the folder that has webenv.js")
            }
            Err(e) => bail!("the option 'checkout', '{shown}', is no folder ({e}); {HELP}"),
        };
        let program: &Path = &folder.join("webenv.js");
        ensure!(
            program.is_file(),
            "there is no webenv.js in '{shown}', so it is no WebEnv checkout: correct the option 'checkout' ({HELP})"
        );
        Ok(folder)
    }
}
