//! Draws a [`Plot`] as SVG, both axes logarithmic, with a background of its own: it is read on white pages and on dark
//! ones. No line of it is empty, so that it can stand within Markdown.
use super::data::{Growth, Plot, Point, Series};
use std::ops::RangeInclusive;

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 560.0;
/// Of the field within the axes.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 812.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 494.0;

const INK: &str = "#222222";
const FAINT: &str = "#6b6b6b";
/// Of the series: told apart by the colour-blind too (Okabe and Ito, "Color universal design", 2008).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// What the axes reach over, as powers of 2 and of 10.
struct Axes {
    sizes: RangeInclusive<f64>,
    times: RangeInclusive<f64>,
}

impl Axes {
    fn around(plot: &Plot) -> Self {
        let points = || plot.series.iter().flat_map(|s| &s.points);
        let around = |of: fn(&Point) -> f64| {
            let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
            points().map(of).fold((low, high), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (smallest, largest) = around(|p| (p.n as f64).log2());
        let (fastest, slowest) = around(|p| p.median_ms.log10());
        // Some room on either side, and for a name above the slowest.
        Axes { sizes: smallest - 0.5..=largest + 0.5, times: fastest.floor()..=slowest + 0.25 }
    }

    fn x(&self, n: f64) -> f64 {
        LEFT + share(&self.sizes, n.log2()) * (RIGHT - LEFT)
    }

    fn y(&self, ms: f64) -> f64 {
        BOTTOM - share(&self.times, ms.log10()) * (BOTTOM - TOP)
    }
}

/// How far within a range something lies: 0 at its start, 1 at its end.
fn share(range: &RangeInclusive<f64>, at: f64) -> f64 {
    (at - range.start()) / (range.end() - range.start())
}

/// The whole numbers of a range.
fn whole(range: &RangeInclusive<f64>) -> RangeInclusive<i32> {
    range.start().ceil() as i32..=range.end().floor() as i32
}

/// The picture.
pub(super) fn svg(plot: &Plot) -> String {
    let axes = Axes::around(plot);
    let mut lines = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"15\" fill=\"{INK}\" role=\"img\">"
        ),
        format!("<title>{}</title>", escaped(&plot.title)),
        format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>"),
        format!("<text x=\"24\" y=\"34\" font-size=\"20\">{}</text>", escaped(&plot.title)),
        format!("<text x=\"24\" y=\"59\" fill=\"{FAINT}\">{}</text>", escaped(&plot.settings)),
    ];
    lines.extend(grid(&axes));
    // Guides lie beneath all series.
    lines.extend(plot.series.iter().flat_map(|s| guide(&axes, s)));
    lines.extend(
        plot.series.iter().zip(COLOURS.iter().cycle()).flat_map(|(s, colour)| drawn(&axes, s, colour)),
    );
    lines.push("</svg>\n".to_owned());
    lines.join("\n")
}

/// Grid, frame, and what the axes say.
fn grid(axes: &Axes) -> Vec<String> {
    let line = |[x1, y1, x2, y2]: [f64; 4], colour: &str| {
        format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"1\"/>"
        )
    };
    let mut lines = Vec::new();
    for power in whole(&axes.times) {
        let one = 10f64.powi(power);
        // Between powers of 10 the grid is closer and paler.
        let between = (2..=9).map(|times| axes.y(one * f64::from(times)));
        lines.extend(between.filter(|y| *y > TOP).map(|y| line([LEFT, y, RIGHT, y], "#f1f1f1")));
        let y = axes.y(one);
        lines.push(line([LEFT, y, RIGHT, y], "#d4d4d4"));
        let label = milliseconds(one);
        lines.push(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 10.0,
            y + 5.0
        ));
    }
    for power in whole(&axes.sizes).filter(|p| p % 2 == 0) {
        let x = axes.x(f64::from(power).exp2());
        lines.push(line([x, TOP, x, BOTTOM], "#d4d4d4"));
        lines.push(format!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 24.0,
            raised("2", power)
        ));
    }
    lines.push(format!(
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"{FAINT}\"/>",
        RIGHT - LEFT,
        BOTTOM - TOP
    ));
    let (x, y) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    lines.push(format!(
        "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">N, the numbers in the state</text>",
        HEIGHT - 18.0
    ));
    lines.push(format!(
        "<text transform=\"translate(26 {y:.1}) rotate(-90)\" text-anchor=\"middle\">milliseconds a step</text>"
    ));
    lines
}

/// The line along which the work of a series grows, through its last point.
fn guide(axes: &Axes, series: &Series) -> Vec<String> {
    let Some((last, first)) = series.points.last().zip(series.points.first()) else { return Vec::new() };
    let work = |n: f64| last.median_ms * series.growth.of(n) / series.growth.of(last.n as f64);
    let (low, high) = ((first.n as f64).log2(), (last.n as f64).log2());
    let along = (0..=96).map(|i| (low + (high - low) * f64::from(i) / 96.0).exp2());
    let lowest = 10f64.powf(*axes.times.start());
    let places: Vec<_> = along.filter(|n| work(*n) >= lowest).map(|n| (axes.x(n), axes.y(work(n)))).collect();
    // The words stand below the line, towards its lower end.
    let Some((x, y)) = places.get(places.len() / 6) else { return Vec::new() };
    let words = match series.growth {
        Growth::Linearithmic => "N·log N".to_owned(),
        Growth::Quadratic => raised("N", 2),
    };
    vec![
        format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{FAINT}\" stroke-width=\"1\" stroke-dasharray=\"5 4\"/>",
            joined(&places)
        ),
        format!("<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{FAINT}\">{words}</text>", x + 10.0, y + 14.0),
    ]
}

/// Line, markers and name of a series.
fn drawn(axes: &Axes, series: &Series, colour: &str) -> Vec<String> {
    let places: Vec<_> = series.points.iter().map(|p| (axes.x(p.n as f64), axes.y(p.median_ms))).collect();
    let mut lines = vec![format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>",
        joined(&places)
    )];
    for ((x, y), point) in places.iter().zip(&series.points) {
        let told =
            format!("{}, N = {}: {} ms", escaped(&series.layer), point.n, milliseconds(point.median_ms));
        lines.push(format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{colour}\" stroke=\"#ffffff\"><title>{told}</title></circle>"
        ));
    }
    if let Some(((x, y), last)) = places.last().zip(series.points.last()) {
        let name = escaped(&series.layer);
        lines.push(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-weight=\"bold\" fill=\"{colour}\">{name}, {} ms</text>",
            x - 8.0,
            y - 10.0,
            milliseconds(last.median_ms)
        ));
    }
    lines
}

fn joined(places: &[(f64, f64)]) -> String {
    places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// `2¹⁰`: as a text of its own, which looks the same everywhere; not all programs place parts of a text alike.
fn raised(base: &str, exponent: i32) -> String {
    let exponent = exponent.to_string();
    let digits = exponent.chars().filter_map(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(c.to_digit(10)? as usize));
    base.chars().chain(digits).collect()
}

/// Three digits, no zeros behind the point, thousands apart: `0.125`, `12.5`, `1,250`.
fn milliseconds(ms: f64) -> String {
    let digits = 2 - ms.log10().floor() as i32;
    let text = format!("{ms:.*}", digits.max(0) as usize);
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let apart = |(i, c)| if i > 0 && (text.len() - i) % 3 == 0 { vec![',', c] } else { vec![c] };
    text.chars().enumerate().flat_map(apart).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
