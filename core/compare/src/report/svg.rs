//! SVG as text.
//!
//! A plot is a few hundred elements of five kinds, so it is written directly. That way one drawing serves as a file, with
//! colours of its own, and within a page, with those of the page, which may be dark.
use std::fmt::Write;

/// Where colours come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// From the drawing itself, on white.
    Own,
    /// From the page that it stands in: `--ink`, `--muted`, `--grid`, `--paper` and `--series-1` and so on.
    Page,
}

/// What something is drawn in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    Text,
    Muted,
    Grid,
    Paper,
    /// The colour of a group.
    Series(usize),
}

/// Colours that people with any kind of colour vision tell apart (after Okabe and Ito 2008), dark enough for lines on white.
pub(super) const SERIES: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#b5478f", "#c98a00", "#3a9bd6", "#7a5230", "#555555"];

pub(super) struct Drawing {
    width: f64,
    height: f64,
    colours: Colours,
    body: String,
}

/// How a text stands to its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64, colours: Colours) -> Self {
        let mut drawing = Drawing { width, height, colours, body: String::new() };
        if colours == Colours::Own {
            let paper = drawing.colour(Ink::Paper);
            drawing.add(format_args!("<rect width=\"100%\" height=\"100%\" style=\"fill:{paper}\"/>\n"));
        }
        drawing
    }

    fn colour(&self, ink: Ink) -> String {
        match (self.colours, ink) {
            (Colours::Own, Ink::Text) => "#1a1a1a".to_owned(),
            (Colours::Own, Ink::Muted) => "#5f6368".to_owned(),
            (Colours::Own, Ink::Grid) => "#e3e5e8".to_owned(),
            (Colours::Own, Ink::Paper) => "#ffffff".to_owned(),
            (Colours::Own, Ink::Series(at)) => SERIES[at % SERIES.len()].to_owned(),
            (Colours::Page, Ink::Text) => "var(--ink)".to_owned(),
            (Colours::Page, Ink::Muted) => "var(--muted)".to_owned(),
            (Colours::Page, Ink::Grid) => "var(--grid)".to_owned(),
            (Colours::Page, Ink::Paper) => "var(--paper)".to_owned(),
            (Colours::Page, Ink::Series(at)) => format!("var(--series-{})", at % SERIES.len() + 1),
        }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.body.write_fmt(element);
    }

    /// A line through points; beyond the eighth group it is dashed, as colours come again.
    pub(super) fn line(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let colour = self.colour(ink);
        let dash = match ink {
            Ink::Series(at) if at >= SERIES.len() => ";stroke-dasharray:6 3",
            _ => "",
        };
        let points = joined(points);
        self.add(format_args!(
            "<polyline points=\"{points}\" style=\"fill:none;stroke:{colour};stroke-width:{width};stroke-linejoin:round{dash}\"/>\n"
        ));
    }

    /// A filled outline, so light that what lies beneath is seen.
    pub(super) fn area(&mut self, points: &[(f64, f64)], ink: Ink) {
        let (colour, points) = (self.colour(ink), joined(points));
        self.add(format_args!("<polygon points=\"{points}\" style=\"fill:{colour};fill-opacity:0.18\"/>\n"));
    }

    /// A disc; `opacity` from 0 to 1.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, ink: Ink, opacity: f64) {
        let (colour, paper) = (self.colour(ink), self.colour(Ink::Paper));
        self.add(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" style=\"fill:{colour};fill-opacity:{opacity};stroke:{paper};stroke-width:1\"/>\n"
        ));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, size: f64, ink: Ink, text: &str) {
        let colour = self.colour(ink);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" style=\"fill:{colour}\">{text}</text>\n"
        ));
    }

    /// Draws what shows only within a rectangle.
    pub(super) fn within(
        &mut self,
        (x, y, width, height): (f64, f64, f64, f64),
        draw: impl FnOnce(&mut Self),
    ) {
        // A page may hold several drawings, and ids are the page's.
        let id = format!("clip-{}", self.body.len());
        self.add(format_args!(
            "<clipPath id=\"{id}\"><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/></clipPath>\n<g clip-path=\"url(#{id})\">\n"
        ));
        draw(self);
        self.body += "</g>\n";
    }

    /// The whole file, or element of a page. `title` is what a screen reader says.
    pub(super) fn finish(self, title: &str) -> String {
        let Drawing { width, height, body, .. } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" role=\"img\">\n<title>{}</title>\n{body}</svg>\n",
            escape(title)
        )
    }
}

fn joined(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// A text within XML or HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
