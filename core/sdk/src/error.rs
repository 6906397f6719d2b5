//! An error that carries a chain of messages, and crosses the boundary.
use efference_abi::Kind;
use std::any::Any;
use std::fmt;

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which plugin: its kind and name. Shows as `layer 'ldl'`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PluginId {
    /// Its kind.
    pub kind: Kind,
    /// Its name in a spec.
    pub name: String,
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.kind.name(), self.name)
    }
}

/// One message of an [`Error`].
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The plugin that the error came through here, if it did: then the message is its name.
    pub(crate) plugin: Option<PluginId>,
    pub(crate) text: String,
}

impl Frame {
    pub(crate) fn message(text: String) -> Self {
        Frame { plugin: None, text }
    }

    pub(crate) fn plugin(plugin: PluginId) -> Self {
        Frame { text: plugin.to_string(), plugin: Some(plugin) }
    }
}

/// What went wrong: messages from the outermost to the innermost, with the plugins that it came through.
///
/// Any [`std::error::Error`] turns into one by `?`, with its sources; [`ResultExt::context`] puts a message
/// in front. `{}` shows the outermost message, `{:#}` the whole chain.
#[derive(Debug, Clone)]
pub struct Error {
    pub(crate) panicked: bool,
    pub(crate) option: Option<String>,
    pub(crate) frames: Vec<Frame>,
}

impl Error {
    /// An error of one message.
    pub fn msg(message: impl fmt::Display) -> Self {
        Error { panicked: false, option: None, frames: vec![Frame::message(message.to_string())] }
    }

    /// What [`bail!`](crate::bail) makes: apart from the code that goes well, of which a step of a small agent goes through more
    /// than the innermost cache holds.
    #[doc(hidden)]
    #[cold]
    #[inline(never)]
    pub fn refusal(message: fmt::Arguments<'_>) -> Self {
        Self::msg(message)
    }

    /// Puts a message in front of the chain.
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        self.frames.insert(0, Frame::message(message.to_string()));
        self
    }

    /// Puts a plugin in front of the chain.
    pub fn in_plugin(mut self, plugin: &PluginId) -> Self {
        self.frames.insert(0, Frame::plugin(plugin.clone()));
        self
    }

    /// Says which option is wrong: its path, such as `synthetic_gradient.layers`.
    pub fn in_option(self, path: impl Into<String>) -> Self {
        Error { option: Some(path.into()), ..self }
    }

    /// The messages, the outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.frames.iter().map(|frame| frame.text.as_str())
    }

    /// The plugin that the error began in: the innermost that it came through.
    pub fn plugin(&self) -> Option<&PluginId> {
        self.frames.iter().rev().find_map(|frame| frame.plugin.as_ref())
    }

    /// The path of the option that is wrong.
    pub fn option(&self) -> Option<&str> {
        self.option.as_deref()
    }

    /// Whether it began as a panic: the object that it came from must not be used again.
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    pub(crate) fn panic(message: String) -> Self {
        Error { panicked: true, ..Error::msg(message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, message) in self.chain().enumerate() {
            match (i, f.alternate()) {
                (0, _) => f.write_str(message)?,
                (_, true) => write!(f, ": {message}")?,
                (_, false) => break,
            }
        }
        Ok(())
    }
}

// `Error` is no `std::error::Error` itself, so that `?` can turn all of those into it.
impl<E: std::error::Error> From<E> for Error {
    #[cold]
    #[inline(never)]
    fn from(error: E) -> Self {
        let frame = |text: String| Frame::message(without_cpp_trace(&text));
        let mut frames = vec![frame(error.to_string())];
        let mut source = error.source();
        while let Some(s) = source {
            frames.push(frame(s.to_string()));
            source = s.source();
        }
        Error { panicked: false, option: None, frames }
    }
}

/// libtorch ends its messages with where in its C++ sources the exception was raised, frame by frame.
pub(crate) fn without_cpp_trace(message: &str) -> String {
    message.split("\nException raised from").next().unwrap_or(message).trim_end().to_owned()
}

/// The message of a panic, from what was thrown.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast::<String>() {
        Ok(s) => *s,
        Err(p) => p.downcast::<&'static str>().map_or_else(|_| "(no text)".to_owned(), |s| (*s).to_owned()),
    };
    without_cpp_trace(&what_libtorch_said(&text).unwrap_or(text))
}

/// What libtorch said, of the panic of a tch function without `f_`, whose text quotes the error as Rust code would write it.
fn what_libtorch_said(panic: &str) -> Option<String> {
    let quoted = panic.strip_prefix("called `Result::unwrap()` on an `Err` value: Torch(\"")?;
    let mut said = String::with_capacity(quoted.len());
    let mut letters = quoted.strip_suffix("\")").unwrap_or(quoted).chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next()? {
                'n' => said.push('\n'),
                't' => said.push('\t'),
                other => said.push(other),
            },
            letter => said.push(letter),
        }
    }
    Some(said)
}

/// Adds [`context`](ResultExt::context) to results.
pub trait ResultExt<T> {
    /// Puts a message in front of the error, if there is one.
    fn context(self, message: impl fmt::Display) -> Result<T>;
    /// As [`context`](ResultExt::context), and makes the message only if it is needed.
    fn with_context<D: fmt::Display>(self, message: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.map_err(|e| with_message(e, || message))
    }

    fn with_context<D: fmt::Display>(self, message: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|e| with_message(e, message))
    }
}

#[cold]
#[inline(never)]
fn with_message<D: fmt::Display>(error: impl Into<Error>, message: impl FnOnce() -> D) -> Error {
    error.into().context(message())
}

/// Returns from the function with an [`Error`] made of a format string.
#[macro_export]
macro_rules! bail {
    ($($arg:tt)+) => { return Err($crate::Error::refusal(format_args!($($arg)+))) };
}

/// Returns from the function with an [`Error`] made of a format string, unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($arg:tt)+) => {
        // Named, since clippy takes `!(a <= b)` for a mistake; here it refuses NaN, as it should.
        let holds: bool = $condition;
        if !holds { $crate::bail!($($arg)+); }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_loses_the_trace_of_libtorch_and_knows_its_innermost_plugin() {
        let io =
            std::io::Error::other("Expected x\nException raised from f at a.cpp:1 (most recent call first)");
        let plugin = |kind, name: &str| PluginId { kind, name: name.to_owned() };
        let layer = plugin(Kind::Layer, "ldl");
        let error = Error::from(io).in_plugin(&layer).in_plugin(&plugin(Kind::Cell, "mgu"));
        assert_eq!(format!("{error:#}"), "cell 'mgu': layer 'ldl': Expected x");
        assert_eq!(error.to_string(), "cell 'mgu'");
        assert_eq!(error.plugin(), Some(&layer));
    }

    #[test]
    fn a_panic_of_a_tch_function_says_what_libtorch_said() {
        let one = tch::Tensor::from(1.0f32);
        let Err(tch::TchError::Torch(said)) = one.f_reshape([2, 2]) else { panic!("it cannot be reshaped") };
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one.reshape([2, 2])));
        let first = without_cpp_trace(&said);
        assert_eq!(panic_text(panic.unwrap_err()), first);
    }
}
