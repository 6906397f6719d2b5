//! Diagnostics in a spec, and how they are shown: all at once, each with the line that it is on.
use super::excerpt::Excerpt;
use super::source::Place;
use super::visible::{visible, visible_in_line};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode, ThemeStyles};
use std::fmt;
use std::io::IsTerminal;

/// One diagnostic: what is wrong, where, and what helps.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
    pub(super) severity: Severity,
}

impl Diagnostic {
    pub(super) fn new(
        place: Place,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        Diagnostic { place, message: message.into(), label: label.into(), help, severity: Severity::Error }
    }

    /// The file, line and column (both from 1) of the diagnostic, if it was made in a file.
    pub fn position(&self) -> Option<(&str, usize, usize)> {
        match &self.place {
            Place::InFile { file, span } => {
                let (line, column) = file.position(span.start);
                Some((file.name(), line, column))
            }
            _ => None,
        }
    }

    /// The number of the file and the line in it, if it was made in a file.
    pub(super) fn line(&self) -> Option<(usize, usize)> {
        match &self.place {
            Place::InFile { file, span } => Some((file.rank(), file.line_of(span.start))),
            _ => None,
        }
    }

    /// What would help it, if that is known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Diagnostics are reported in the order of the files, then of their lines.
    fn order(&self) -> (usize, usize) {
        match &self.place {
            Place::InFile { file, span } => (file.rank(), span.start),
            Place::Nowhere => (usize::MAX - 1, 0),
            Place::Named(_) => (usize::MAX, 0),
        }
    }
}

/// The message; a variable or a `--set` at fault is named in it.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Named(name) => write!(f, "{name}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// A diagnostic as it is drawn.
#[derive(Debug)]
struct Drawn<'a> {
    diagnostic: &'a Diagnostic,
    excerpt: Option<Excerpt>,
}

impl<'a> Drawn<'a> {
    fn new(diagnostic: &'a Diagnostic) -> Self {
        let excerpt = match &diagnostic.place {
            Place::InFile { file, span } => Some(Excerpt::new(file, span)),
            _ => None,
        };
        Drawn { diagnostic, excerpt }
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.diagnostic.to_string()))
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(self.diagnostic.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.diagnostic.help.as_deref()?;
        Some(Box::new(visible(help)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let marked = self.excerpt.as_ref()?.marked.clone();
        let label = visible_in_line(&self.diagnostic.label).into_owned();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some(label), marked))))
    }
}

/// Diagnostics of a report that are drawn with their lines; who mends these sees the next ones.
const MOST_SHOWN: usize = 50;

/// All that is wrong with a spec; never empty as an error.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    spec: String,
    diagnostics: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(spec: &str, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(Diagnostic::order);
        diagnostics.dedup_by(|b, a| a.order() == b.order() && a.to_string() == b.to_string());
        Diagnostics { spec: spec.to_owned(), diagnostics }
    }

    /// The spec's file, as it was named.
    pub(super) fn spec(&self) -> &str {
        &self.spec
    }

    /// The diagnostics: by file, then by line; those of variables and `--set` come last.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The report for a person: each diagnostic with its line, a caret and the help, then how many there are. After the
    /// first fifty it only says how many more there are.
    pub fn report(&self, style: &ReportStyle) -> String {
        let mut theme = if style.unicode { GraphicalTheme::unicode() } else { GraphicalTheme::ascii() };
        if !style.unicode {
            // What is pointed at is underlined with carets throughout, where it is one letter too.
            theme.characters.underbar = theme.characters.underline;
        }
        if !style.colour {
            theme.styles = ThemeStyles::none();
        }
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(style.width.max(40))
            .with_break_words(false)
            .with_word_separator(textwrap::WordSeparator::AsciiSpace)
            .with_word_splitter(textwrap::WordSplitter::NoHyphenation)
            .with_links(false)
            .without_syntax_highlighting();
        let mut text = String::new();
        for diagnostic in self.diagnostics.iter().take(MOST_SHOWN).map(Drawn::new) {
            // Writing to a String can't fail; if a source could not be shown, the message still is.
            if handler.render_report(&mut text, &diagnostic).is_err() {
                text.push_str(&format!("  x {diagnostic}\n"));
            }
            text.push('\n');
        }
        if self.diagnostics.len() > MOST_SHOWN {
            text.push_str(&format!("and {} more\n", self.diagnostics.len() - MOST_SHOWN));
        }
        text.push_str(&self.to_string());
        text.push('\n');
        text
    }
}

/// Says only how many diagnostics there are, and in which spec.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.diagnostics.iter().filter(|m| m.severity == Severity::Error).count();
        let (count, word) = if errors > 0 { (errors, "problem") } else { (self.diagnostics.len(), "note") };
        let plural = if count == 1 { "" } else { "s" };
        let preposition = if errors > 0 { "in" } else { "on" };
        write!(f, "{count} {word}{plural} {preposition} {}", visible_in_line(&self.spec))
    }
}

impl std::error::Error for Diagnostics {}

/// How a report is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportStyle {
    /// With ANSI colours.
    pub colour: bool,
    /// With lines of Unicode's box drawing, and not of ASCII.
    pub unicode: bool,
    /// Letters in a line.
    pub width: usize,
}

impl ReportStyle {
    /// For a file or a pipe: no colours, ASCII lines, 100 columns.
    pub const PLAIN: ReportStyle = ReportStyle { colour: false, unicode: false, width: 100 };

    /// What suits this stream (standard error, as a rule): colours only on a terminal, and never if the variable
    /// `NO_COLOR` is set to anything (<https://no-color.org>).
    pub fn of(stream: &impl IsTerminal) -> Self {
        if !stream.is_terminal() {
            return ReportStyle::PLAIN;
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = variable("TERM").is_none_or(|term| term == "dumb");
        let language = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
        let language = language.to_string_lossy().to_lowercase();
        let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
        ReportStyle {
            colour: !dumb && variable("NO_COLOR").is_none(),
            unicode: language.contains("utf-8") || language.contains("utf8"),
            width: width.clamp(40, 120),
        }
    }
}
