//! A run on a screen of any size.
use super::half_blocks;
use super::run_view::RunView;
use crate::curve::Curve;
use efference_runs::{Grouped, Scaled, ThreeDigits};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Widget, Wrap};

/// Metrics that are drawn in one chart, since they have one scale; and which charts come first where there is room for
/// some only.
const CHARTS: [&[&str]; 5] = [
    &["error", "error_last", "error_mean", "error_linear", "error_period"],
    &["return"],
    &["reward"],
    &["skill"],
    &["loss"],
];
/// Charts at most.
const MOST_CHARTS: usize = 4;
/// The least rows and columns of a chart that can be read.
const CHART_ROWS: u16 = 8;
const CHART_COLUMNS: u16 = 36;
/// What is below this is drawn here.
const LEAST_SKILL: f64 = -1.0;
/// The most rows that pictures take.
const PICTURE_ROWS: u16 = 18;
/// Columns of the bar that shows progress.
const BAR: usize = 20;

const COLOURS: [Color; 3] = [Color::Cyan, Color::Yellow, Color::Magenta];
/// Where there are no colours, curves differ in their marks.
const MARKS: [(Marker, &str); 3] = [(Marker::Braille, "⠒"), (Marker::Dot, "•"), (Marker::Block, "█")];

/// Draws the run; `hint` says how to leave.
pub(super) fn draw(view: &RunView, colour: bool, hint: &str, area: Rect, buffer: &mut Buffer) {
    let trouble = view.failure().map(|why| format!("failed: {why}")).or_else(|| view.trouble.clone());
    let pictures =
        if view.pictures.is_empty() || area.height < 20 { 0 } else { (area.height / 3).min(PICTURE_ROWS) };
    let trouble_rows = if trouble.is_some() { 2 } else { 0 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(trouble_rows),
        Constraint::Min(0),
        Constraint::Length(pictures),
    ];
    let [title, progress, values, trouble_area, charts, picture_area] = Layout::vertical(rows).areas(area);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    Line::from(Span::styled(view.title(), bold)).render(title, buffer);
    if title.width as usize > view.title().chars().count() + hint.len() + 2 {
        Line::from(hint).right_aligned().render(title, buffer);
    }
    Line::from(progress_line(view, colour)).render(progress, buffer);
    Line::from(view.values()).render(values, buffer);
    if let Some(text) = trouble {
        let style = if colour { Style::new().fg(Color::Red) } else { Style::new() };
        Paragraph::new(text).style(style).wrap(Wrap { trim: true }).render(trouble_area, buffer);
    }
    draw_charts(view, colour, charts, buffer);
    draw_pictures(view, colour, picture_area, buffer);
}

/// A bar, if the run has an end, and how far the run is.
fn progress_line(view: &RunView, colour: bool) -> Vec<Span<'static>> {
    let text = Span::raw(view.progress());
    let Some(done) = view.done() else { return vec![text] };
    let full = (done * BAR as f64) as usize;
    let style = if colour { Style::new().fg(Color::Cyan) } else { Style::new() };
    let bar = "█".repeat(full) + &"░".repeat(BAR - full) + "  ";
    vec![Span::styled(bar, style), text]
}

fn draw_charts(view: &RunView, colour: bool, area: Rect, buffer: &mut Buffer) {
    let across = (area.width / CHART_COLUMNS).clamp(1, 2);
    let down = (area.height / CHART_ROWS).max(1);
    let room = usize::from(across * down).min(MOST_CHARTS);
    let charts = charts(view, room);
    if charts.is_empty() || area.height < 4 {
        return;
    }
    let across = usize::from(across).min(charts.len());
    let lines: Vec<_> = charts.chunks(across).collect();
    let rows = Layout::vertical(vec![Constraint::Fill(1); lines.len()]).split(area);
    for (line, row) in lines.iter().zip(rows.iter()) {
        let places = Layout::horizontal(vec![Constraint::Fill(1); line.len()]).split(*row);
        for (chart, place) in line.iter().zip(places.iter()) {
            draw_chart(chart, colour, *place, buffer);
        }
    }
}

/// The curves of each chart: the known ones, and if there is none of them, whatever was recorded first.
fn charts(view: &RunView, room: usize) -> Vec<Vec<(&str, &Curve)>> {
    let find = |name: &str| view.curves.iter().find(|(known, _)| known == name);
    let of = |names: &&[&str]| -> Vec<(&str, &Curve)> {
        names.iter().filter_map(|name| find(name)).map(|(name, curve)| (name.as_str(), curve)).collect()
    };
    let mut charts: Vec<_> = CHARTS.iter().map(of).filter(|chart| !chart.is_empty()).collect();
    if charts.is_empty() {
        charts = view.curves.iter().map(|(name, curve)| vec![(name.as_str(), curve)]).collect();
    }
    charts.truncate(room);
    charts
}

fn draw_chart(curves: &[(&str, &Curve)], colour: bool, area: Rect, buffer: &mut Buffer) {
    let mut points: Vec<Vec<(f64, f64)>> = curves.iter().map(|(_, curve)| curve.points()).collect();
    // The skill of an agent that has just begun is far below that of the baselines; how far is of no interest.
    let is_cut = curves.iter().any(|(name, _)| *name == "skill") && cut(&mut points, LEAST_SKILL);
    let values = || points.iter().flatten().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let names: Vec<&str> = curves.iter().map(|(name, _)| *name).collect();
    if low > high {
        let all = curves.iter().all(|(_, curve)| curve.last().is_nan());
        let text = if all { "NaN so far" } else { "nothing yet" };
        let block = Block::bordered().title(names.join(", "));
        return Paragraph::new(text).block(block).render(area, buffer);
    }
    // Of errors that fall by orders of magnitude a plain scale shows the first steps alone.
    let logarithmic = low > 0.0 && high / low > 30.0;
    let scaled = |value: f64| if logarithmic { value.log10() } else { value };
    let points: Vec<Vec<(f64, f64)>> = points
        .iter()
        .map(|curve| curve.iter().map(|(step, value)| (*step, scaled(*value))).collect())
        .collect();
    let (mut low, mut high) = (scaled(low), scaled(high));
    if high - low < 1e-9 * high.abs().max(1e-9) {
        (low, high) = (low - 0.5 * low.abs().max(1e-3), high + 0.5 * high.abs().max(1e-3));
    }
    let steps = || points.iter().flatten().map(|(step, _)| *step);
    let (first, last) = (steps().fold(f64::INFINITY, f64::min), steps().fold(0.0, f64::max));
    let last = if last > first { last } else { first + 1.0 };
    let value_of = |height: f64| if logarithmic { 10.0_f64.powf(height) } else { height };
    let middle = 0.5 * (low + high);
    let heights =
        [low, middle, high].map(|height| ThreeDigits(tidied(value_of(height), high - low)).to_string());
    let step_label = |step: f64| match step < 1e5 {
        true => Grouped(step.round() as u64).to_string(),
        false => Scaled(step).to_string().replace(' ', ""),
    };
    let style = |number: usize| {
        if colour { Style::new().fg(COLOURS[number % COLOURS.len()]) } else { Style::new() }
    };
    let datasets = points.iter().enumerate().rev().map(|(number, points)| {
        let marker = if colour { Marker::Braille } else { MARKS[number % MARKS.len()].0 };
        Dataset::default().marker(marker).graph_type(GraphType::Line).style(style(number)).data(points)
    });
    // The names in the title are the legend: one inside the chart would lie over the curves.
    let mut title = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let mark = if colour || names.len() == 1 { "" } else { MARKS[number % MARKS.len()].1 };
        title.push(Span::styled(format!("{mark}{name}"), style(number)));
        title.push(Span::raw(if number + 1 < names.len() { ", " } else { "" }));
    }
    title.push(Span::raw(if is_cut { " (what is below -1 is drawn there)" } else { "" }));
    title.push(Span::raw(if logarithmic { " (logarithmic)" } else { "" }));
    Chart::new(datasets.collect())
        .block(Block::bordered().title(Line::from(title)))
        .legend_position(None)
        .x_axis(Axis::default().bounds([first, last]).labels([step_label(first), step_label(last)]))
        .y_axis(Axis::default().bounds([low, high]).labels(heights))
        .render(area, buffer);
}

/// Raises all values to at least this; returns whether there was one to raise.
fn cut(points: &mut [Vec<(f64, f64)>], least: f64) -> bool {
    let mut is_cut = false;
    for (_, value) in points.iter_mut().flatten().filter(|(_, value)| *value < least) {
        *value = least;
        is_cut = true;
    }
    is_cut
}

/// A value without digits that are only rounding, beside a scale of this length.
fn tidied(value: f64, scale: f64) -> f64 {
    if value.abs() < 1e-9 * scale { 0.0 } else { value }
}

/// The last pictures, each under its step and stream.
fn draw_pictures(view: &RunView, colour: bool, area: Rect, buffer: &mut Buffer) {
    let mut left = area.x;
    for (file, picture) in &view.pictures {
        let width = (area.right() - left).min(area.width / view.pictures.len() as u16);
        let place = Rect { x: left, width, ..area };
        if place.height < 3 || place.width < 8 {
            return;
        }
        let [label, pixels] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(place);
        let text = format!("stream {} at step {}: observation, prediction", file.stream, Grouped(file.step));
        Line::from(text.as_str()).render(label, buffer);
        let drawn = half_blocks::draw(picture, pixels, colour, buffer);
        left += drawn.max(text.len() as u16).min(width) + 2;
        if left >= area.right() {
            return;
        }
    }
}
