//! The options of `recording`.
use efference_sdk::{Error, Result, ensure, serde_json};

efference_sdk::options! {
    /// What the files are.
    pub enum Format {
        /// As their names end: .csv .tsv, .npy, .wav .flac, .gif, .mp4 .mkv .avi .mov .webm .m4v .mpg, .txt; a folder is one of pictures.
        Auto,
        /// A table: a row is a frame.
        Csv,
        /// An array of NumPy's: its first axis is time.
        Npy,
        /// Sound: WAV or FLAC.
        Audio,
        /// A folder of pictures (PNG, JPEG, BMP), in the order of their names.
        Pictures,
        /// An animated picture.
        Gif,
        /// A film, read by ffmpeg.
        Video,
        /// UTF-8 text: a character is a frame.
        Text,
    }
}

efference_sdk::options! {
    /// Where a number lies in −1…1.
    pub enum Scale {
        /// Linear between the smallest and the largest value so far.
        Range,
        /// By its distance from the mean so far, in deviations so far: `deviations` of them are 1.
        Deviation,
    }
}

efference_sdk::options! {
    /// Of which rows statistics are.
    pub enum Statistics {
        /// Of those of all streams.
        Shared,
        /// Of those of the same stream.
        Own,
    }
}

efference_sdk::options! {
    /// What is predicted of a number.
    pub enum Predict {
        /// The number.
        Value,
        /// How far it is from its last value; the number itself is only seen.
        Change,
    }
}

efference_sdk::options! {
    /// What the frames of a text are made of.
    pub enum Symbols {
        /// Its characters.
        Characters,
        /// Its bytes.
        Bytes,
    }
}

efference_sdk::options! {
    /// Options of `recording`.
    pub struct Options {
        /// The files, one a stream; a relative path is from where the run is started, and `*`, `?` and `[…]` stand for many: ["sensors/*.csv"].
        pub files: Vec<String> = Vec::new(),
        /// What the files are: "auto" (as their names end), "csv", "npy", "audio", "pictures", "gif", "video" or "text".
        pub format: Format = Format::Auto,
        /// Whether a stream begins again at its end; else it ends there, and with the last stream the run.
        pub r#loop: bool = false,
        /// Tables and arrays: the columns, by name or by number ("#1" is the first one); none: all but `time`.
        pub columns: Vec<String> = Vec::new(),
        /// Tables: the column that says when a row was, which is neither seen nor predicted; "": none does.
        pub time: String = String::new(),
        /// Columns that are only seen: what the agent predicts of them is compared with nothing.
        pub seen_only: Vec<String> = Vec::new(),
        /// Columns that are only predicted: the agent never sees them.
        pub predicted_only: Vec<String> = Vec::new(),
        /// Tables: columns of text, each of which takes an element for each text that it has; a column whose first value is no number need not be listed.
        pub text: Vec<String> = Vec::new(),
        /// The most different texts of a column, or characters of a text.
        #[schemars(range(min = 2, max = 65_536))]
        pub categories: usize = 256,
        /// Tables: what stands between two values; "\t" is a tab.
        pub separator: String = ",".to_owned(),
        /// Tables: the decimal point: "." or ",".
        pub decimal: String = ".".to_owned(),
        /// Tables: whether the first row says what the columns are called; else they are "#1", "#2" and so on.
        pub header: bool = true,
        /// What is predicted of a number: "value", or "change": how far it is from its last value.
        pub predict: Predict = Predict::Value,
        /// How numbers of no known range are scaled to −1…1 by the rows before: "range" or "deviation".
        pub scale: Scale = Scale::Range,
        /// How many deviations are 1: of a number with scale = "deviation", and of a change.
        #[schemars(range(min = 0.1, max = 1_000.0))]
        pub deviations: f64 = 4.0,
        /// Of which rows these statistics are: of those of all streams ("shared") or of the same stream ("own").
        pub statistics: Statistics = Statistics::Shared,
        /// What is −1, in place of what statistics say: a number for all columns, or one a column.
        pub min: Vec<f64> = Vec::new(),
        /// What is 1, likewise.
        pub max: Vec<f64> = Vec::new(),
        /// Frames after which the same comes again, about (24 hours): then the same moment a period ago is a baseline; 0: none.
        #[schemars(range(max = 16_777_216))]
        pub period: usize = 0,
        /// Whether a stream's first row counts in the data's own units, as if all had predicted 0 (River counts so); else the second is the first that does.
        pub first_row: bool = true,
        /// Pictures and video: columns of pixels that are shown.
        #[schemars(range(min = 1, max = 4_096))]
        pub width: usize = 32,
        /// Pictures and video: rows of pixels that are shown.
        #[schemars(range(min = 1, max = 4_096))]
        pub height: usize = 32,
        /// Pictures and video: whether they are shown in grey; else in red, green and blue.
        pub grey: bool = true,
        /// Sound: samples a frame, of each channel.
        #[schemars(range(min = 1, max = 65_536))]
        pub samples: usize = 1,
        /// Video: the program that reads it.
        pub ffmpeg: String = "ffmpeg".to_owned(),
        /// Text: what its frames are: "characters" or "bytes".
        pub symbols: Symbols = Symbols::Characters,
    }
}

/// The most streams.
pub(crate) const MOST_STREAMS: usize = 1_024;

impl Options {
    /// Errors: what can be said without the files.
    pub(crate) fn check(&self) -> Result<()> {
        let option = |name: &str, message: String| Err(Error::msg(message).in_option(name));
        if self.files.is_empty() {
            return option(
                "files",
                "files is empty: say which files are to be read, one a stream, such as files = [\"flow.csv\"]".to_owned(),
            );
        }
        if self.files.iter().any(|file| file.trim().is_empty()) {
            return option(
                "files",
                "one of the files has no name: take \"\" out of environment.files".to_owned(),
            );
        }
        let checked = [
            ("categories", self.categories, 2..=65_536),
            ("width", self.width, 1..=4_096),
            ("height", self.height, 1..=4_096),
            ("samples", self.samples, 1..=65_536),
            ("period", self.period, 0..=16_777_216),
        ];
        for (name, value, range) in checked {
            ensure!(
                range.contains(&value),
                "{name} = {value} must be in {} … {}",
                range.start(),
                range.end()
            );
        }
        ensure!(
            (0.1..=1_000.0).contains(&self.deviations),
            "deviations = {} must be in 0.1 … 1,000",
            self.deviations
        );
        if let Err(error) = self.separator() {
            return Err(error.in_option("separator"));
        }
        if !matches!(self.decimal.as_str(), "." | ",") {
            return option("decimal", format!("decimal = {:?} must be \".\" or \",\"", self.decimal));
        }
        if self.decimal == self.separator {
            let message = "separator and decimal are both \",\": a value would end within a number. Tables with decimal \
                           commas mostly have separator = \";\"";
            return option("separator", message.to_owned());
        }
        for (name, list) in [
            ("columns", &self.columns),
            ("seen_only", &self.seen_only),
            ("predicted_only", &self.predicted_only),
            ("text", &self.text),
        ] {
            if let Some(twice) = list.iter().enumerate().find(|(i, c)| list[..*i].contains(c)) {
                return option(name, format!("{name} has {:?} twice", twice.1));
            }
        }
        if let Some(both) = self.seen_only.iter().find(|c| self.predicted_only.contains(c)) {
            let message = format!(
                "the column {both:?} is in seen_only and in predicted_only; one that is both seen and predicted is in \
                 neither of the lists"
            );
            return option("predicted_only", message);
        }
        for list in
            [("seen_only", &self.seen_only), ("predicted_only", &self.predicted_only), ("text", &self.text)]
        {
            let (name, list) = list;
            if list.contains(&self.time) && !self.time.is_empty() {
                return option(
                    name,
                    format!(
                        "the column {:?} is in {name}, and environment.time says that it is the time",
                        self.time
                    ),
                );
            }
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<()> {
        let (min, max) = (&self.min, &self.max);
        let fault = if min.len() != max.len() {
            Some(format!("min has {} numbers and max has {}: each needs the other", min.len(), max.len()))
        } else if let Some(odd) = min.iter().chain(max).find(|x| !x.is_finite()) {
            Some(format!("{odd} is no limit: min and max must be finite"))
        } else {
            let crossed = min.iter().zip(max).find(|(min, max)| min >= max || !(**max - **min).is_finite());
            crossed.map(|(min, max)| format!("min = {min} must be below max = {max}"))
        };
        match fault {
            Some(message) => Err(Error::msg(message).in_option("min")),
            None => Ok(()),
        }
    }

    /// The byte between two values of a row.
    pub(crate) fn separator(&self) -> Result<u8> {
        match self.separator.as_bytes() {
            b"\\t" | b"tab" => Ok(b'\t'),
            &[byte]
                if byte.is_ascii()
                    && !matches!(byte, b'"' | b'\n' | b'\r' | b'.' | b'-' | b'+')
                    && !byte.is_ascii_alphanumeric() =>
            {
                Ok(byte)
            }
            _ => efference_sdk::bail!(
                "separator = {:?} must be one character that is no letter, digit, quote or sign, such as \",\", \";\" or \
                 \"\\t\"",
                self.separator
            ),
        }
    }

    /// Errors unless the options that matter are those of `saved`: where the files lie does not; what is in them is
    /// compared apart.
    pub(crate) fn require_same(&self, saved: &serde_json::Value) -> Result<()> {
        let mine = serde_json::to_value(self)?;
        let fields = mine.as_object().into_iter().flatten();
        for (name, mine) in fields.filter(|(name, _)| !["files", "ffmpeg"].contains(&name.as_str())) {
            let was = saved.get(name).unwrap_or(&serde_json::Value::Null);
            ensure!(
                mine == was,
                "the environment was saved with {name} = {was}, but this one has {name} = {mine}; restore it with the \
                 options that it was saved with"
            );
        }
        Ok(())
    }
}
