//! The lines of a file that a diagnostic shows: few, of bounded length, and without what would steer a terminal.
use super::source::SourceFile;
use super::visible::hides;
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::ops::Range;

/// Letters of a line that are shown; a longer one is cut around the place.
const LONGEST_LINE: usize = 160;
/// Letters of a cut line that are shown before the place.
const BEFORE: usize = 60;
/// Lines that are marked at most; of a value that goes over more, its first line is.
const MOST_MARKED: usize = 8;

/// Some lines of a file, as they are shown.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// The bytes of `text` that are marked.
    pub(super) marked: Range<usize>,
    /// The line of the file, from 0, with which `text` begins.
    first_line: usize,
    /// The line and column, from 0, of the marked bytes in the file.
    place: (usize, usize),
}

impl Excerpt {
    /// The lines of the span and one before and after it.
    pub(super) fn new(file: &SourceFile, span: &Range<usize>) -> Self {
        let (line, column) = file.position(span.start);
        let place = (line - 1, column - 1);
        let last = file.position(span.end.max(span.start)).0 - 1;
        // A span that ends with a line break ends with its line.
        let last = if last > place.0 && file.line(last).start == span.end { last - 1 } else { last };
        let (last, end) = match last - place.0 < MOST_MARKED {
            true => (last, span.end),
            false => (place.0, file.line(place.0).end),
        };
        let mut excerpt = Excerpt {
            name: super::visible::visible_in_line(file.name()).into_owned(),
            text: String::new(),
            marked: 0..0,
            first_line: place.0.saturating_sub(1),
            place,
        };
        let mut ends = Ends { start: span.start, end, from: None, to: None };
        for number in excerpt.first_line..(last + 2).min(file.lines()) {
            if number > excerpt.first_line {
                excerpt.text.push('\n');
            }
            let line = file.line(number);
            let about = if number == place.0 { span.start.saturating_sub(line.start) } else { 0 };
            excerpt.add_line(file, line, about, &mut ends);
        }
        let from = ends.from.unwrap_or(excerpt.text.len());
        excerpt.marked = from..ends.to.unwrap_or(from).max(from);
        excerpt
    }

    /// Adds a line, or what is around its byte `about`; notes where the marked bytes came to lie.
    fn add_line(&mut self, file: &SourceFile, line: Range<usize>, about: usize, ends: &mut Ends) {
        let whole = file.text().get(line.clone()).unwrap_or_default();
        // Only so far is looked at as is shown: a line may have megabytes.
        let back = whole.get(..about).unwrap_or_default().char_indices().rev().nth(BEFORE);
        let is_long = whole.char_indices().nth(LONGEST_LINE).is_some();
        let first = if is_long { back.map_or(0, |(at, _)| at) } else { 0 };
        if first > 0 {
            self.text.push('…');
        }
        for (shown, (at, c)) in whole[first..].char_indices().enumerate() {
            let at = line.start + first + at;
            if shown == LONGEST_LINE {
                if ends.from.is_some() {
                    ends.to.get_or_insert(self.text.len());
                }
                self.text.push('…');
                return;
            }
            ends.note(at, self.text.len());
            self.text.push(match c {
                '\t' => '\t',
                c if (c as u32) < 0x20 => {
                    char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                '\u{7f}' => '\u{2421}',
                '\u{a0}' => '\u{237d}',
                c if hides(c) => char::REPLACEMENT_CHARACTER,
                c => c,
            });
        }
        ends.note(line.end, self.text.len());
    }
}

/// The ends of what is marked: in the file, and in what is shown.
struct Ends {
    start: usize,
    end: usize,
    from: Option<usize>,
    to: Option<usize>,
}

impl Ends {
    /// The byte `at` of the file is shown at the byte `shown`.
    fn note(&mut self, at: usize, shown: usize) {
        if at >= self.start && self.from.is_none() {
            self.from = Some(shown);
        }
        if at >= self.end && self.from.is_some() && self.to.is_none() {
            self.to = Some(shown);
        }
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        // The place that is written above the lines is that of the file, in letters, whatever was cut.
        let (line, column) = match before == 0 && after == 0 {
            true => self.place,
            false => (self.first_line + inner.line(), inner.column()),
        };
        let contents = MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            line,
            column,
            inner.line_count(),
        );
        Ok(Box::new(contents.with_language("TOML")))
    }
}
