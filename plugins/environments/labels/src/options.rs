//! The options of `labels`.
use efference_sdk::{Error, Result, ensure, serde_json, tracing};

/// The most pictures of all streams in a pass; the order of each stream takes 4 bytes a picture.
const MOST_PLACES: usize = 1 << 30;

efference_sdk::options! {
    /// Where the labels come from.
    pub enum Source {
        /// Each picture has a random one, which can only be learnt by heart.
        Random,
        /// From the file `label_file`.
        File,
    }
}

efference_sdk::options! {
    /// In which order the pictures come.
    pub enum Order {
        /// In a new random order in each pass, and for each stream.
        Shuffled,
        /// As in the file; streams begin at places that are equally far apart.
        File,
    }
}

efference_sdk::options! {
    /// Options of `labels`.
    pub struct Options {
        /// The file of pictures, in the IDX format of MNIST, packed by gzip or not; a relative path is from where the run is started.
        pub images: String = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz".to_owned(),
        /// Side of the squares of pixels of which only the mean is shown; 1: all pixels.
        #[schemars(range(min = 1, max = 1_024))]
        pub shrink: usize = 1,
        /// Where the labels come from: "random" or "file".
        pub labels: Source = Source::Random,
        /// labels = "file": the file of labels, in the IDX format; there are as many classes as its largest label says.
        pub label_file: String = "/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz".to_owned(),
        /// labels = "random": how many different labels there are; guessing gets an accuracy of 1/classes.
        #[schemars(range(min = 2, max = 10_000))]
        pub classes: usize = 100,
        /// How many pictures there are in a pass: the first ones of the file.
        #[schemars(range(min = 1, max = 10_000_000))]
        pub count: usize = 10_000,
        /// In which order the pictures come: "shuffled" or "file".
        pub order: Order = Order::Shuffled,
        /// Streams: each goes through all pictures, with the same labels.
        #[schemars(range(min = 1, max = 1_024))]
        pub streams: usize = 1,
    }
}

impl Options {
    /// Errors: what the ranges above exclude, which a host has checked before.
    pub(crate) fn check(&self) -> Result<()> {
        let Options { shrink, classes, count, streams, .. } = *self;
        ensure!((1..=1_024).contains(&shrink), "shrink = {shrink} must be in 1 … 1,024");
        ensure!((2..=10_000).contains(&classes), "classes = {classes} must be in 2 … 10,000");
        ensure!((1..=10_000_000).contains(&count), "count = {count} must be in 1 … 10,000,000");
        ensure!((1..=1_024).contains(&streams), "streams = {streams} must be in 1 … 1,024");
        if streams.saturating_mul(count) > MOST_PLACES {
            let message = format!(
                "each of {streams} streams goes through {count} pictures in an order of its own, which is more than \
                 {MOST_PLACES} places in all: set environment.streams or environment.count lower"
            );
            return Err(Error::msg(message).in_option("streams"));
        }
        Ok(())
    }

    /// Says which options were set though nothing reads them.
    pub(crate) fn warn_of_unused(&self) {
        let (default, classes) = (Options::default(), self.classes);
        if self.labels == Source::File && classes != default.classes {
            tracing::warn!("environment 'labels': classes = {classes} has no effect with labels = \"file\"");
        }
        if self.labels == Source::Random && self.label_file != default.label_file {
            tracing::warn!("environment 'labels': label_file has no effect with labels = \"random\"");
        }
    }

    /// Errors unless the options that matter are those of `saved`. Where the files lie does not matter; what is in them
    /// is compared apart.
    pub(crate) fn require_same(&self, saved: &Options) -> Result<()> {
        let (mine, saved) = (serde_json::to_value(self)?, serde_json::to_value(saved)?);
        let classes = (self.labels == Source::Random).then_some("classes");
        for name in ["shrink", "labels", "count", "order", "streams"].into_iter().chain(classes) {
            ensure!(
                mine[name] == saved[name],
                "the environment was saved with {name} = {}, but this one has {name} = {}; restore it with the options that it was saved with",
                saved[name],
                mine[name]
            );
        }
        Ok(())
    }
}
