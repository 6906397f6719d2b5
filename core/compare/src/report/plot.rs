//! The plot of a comparison: mean curves with their bands, and below them one dot a run.
use super::svg::{Anchor, Colours, Drawing, Ink};
use super::ticks::{Scale, label, round_up};
use crate::comparison::{Comparison, Group};
use efference_runs::ThreeDigits;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 24.0;
const CURVES: f64 = 320.0;
/// Of a group among the dots.
const ROW: f64 = 44.0;
/// Of a line of the legend.
const LINE: f64 = 20.0;
/// An average letter of the legend's size.
const LETTER: f64 = 7.0;

/// Draws a comparison that was made with curves, as SVG.
pub fn plot(comparison: &Comparison, colours: Colours) -> String {
    let legend = legend(comparison);
    let lines = legend.iter().map(|(line, ..)| line + 1).max().unwrap_or(0);
    let top = 34.0 + LINE * lines as f64;
    let dots_top = top + CURVES + 66.0;
    let height = dots_top + 14.0 + ROW * comparison.groups.len() as f64 + 28.0;
    let mut drawing = Drawing::new(WIDTH, height, colours);
    drawing.text((LEFT, 20.0), Anchor::Start, 14.0, Ink::Text, &comparison.metric);
    let note = "mean over runs; band: 95 % of it, by bootstrap over seeds";
    drawing.text((WIDTH - RIGHT, 20.0), Anchor::End, 11.0, Ink::Muted, note);
    for (line, x, at) in legend {
        let y = 40.0 + LINE * line as f64;
        drawing.line(&[(x, y - 4.0), (x + 18.0, y - 4.0)], Ink::Series(at), 3.0);
        drawing.text((x + 24.0, y), Anchor::Start, 12.0, Ink::Text, &comparison.groups[at].name);
    }
    curves(&mut drawing, comparison, top);
    drawing.text((LEFT, dots_top), Anchor::Start, 12.0, Ink::Text, &comparison.figure);
    let note = "dots: runs; bar: interquartile mean and its 95 % interval";
    drawing.text((WIDTH - RIGHT, dots_top), Anchor::End, 11.0, Ink::Muted, note);
    dots(&mut drawing, comparison, dots_top + 14.0);
    drawing.finish(&format!("{} of {} groups of runs", comparison.metric, comparison.groups.len()))
}

/// Line and place of each group's entry.
fn legend(comparison: &Comparison) -> Vec<(usize, f64, usize)> {
    let (mut line, mut x) = (0, LEFT);
    let entry = |(at, group): (usize, &Group)| {
        let width = 44.0 + LETTER * group.name.chars().count() as f64;
        if x > LEFT && x + width > WIDTH - RIGHT {
            (line, x) = (line + 1, LEFT);
        }
        let entry = (line, x, at);
        x += width;
        entry
    };
    comparison.groups.iter().enumerate().map(entry).collect()
}

fn curves(drawing: &mut Drawing, comparison: &Comparison, top: f64) {
    let bottom = top + CURVES;
    let bands: Vec<_> = comparison.groups.iter().map(|group| group.curve.as_ref()).collect();
    // A place stands in the middle of its cell.
    let end_of = |x: &Vec<f64>| Some(x.last()? + (x.get(1).unwrap_or(&0.0) - x.first()?).max(0.0) / 2.0);
    let end = bands.iter().flatten().filter_map(|band| end_of(&band.x)).fold(0.0, f64::max);
    if end == 0.0 {
        drawing.text((WIDTH / 2.0, top + CURVES / 2.0), Anchor::Middle, 12.0, Ink::Muted, "no curve");
        return;
    }
    let x = Scale { low: 0.0, high: end, logarithmic: false, from: LEFT, to: WIDTH - RIGHT };
    // What happens at the very start would flatten all the rest.
    let shown = |of: fn(&crate::curves::Band) -> &Vec<f64>| -> Vec<f64> {
        let bands = bands.iter().flatten();
        bands
            .flat_map(|b| b.x.iter().zip(of(b)).filter(|(x, _)| **x >= 0.02 * end).map(|(_, y)| *y))
            .collect()
    };
    let y = scale(&shown(|band| &band.low), &shown(|band| &band.high), bottom, top);
    for tick in y.ticks(6.0) {
        let at = y.place(tick);
        drawing.line(&[(LEFT, at), (WIDTH - RIGHT, at)], Ink::Grid, 1.0);
        drawing.text((LEFT - 8.0, at + 4.0), Anchor::End, 11.0, Ink::Muted, &label(tick));
    }
    for tick in x.ticks(8.0) {
        let at = x.place(tick);
        drawing.line(&[(at, bottom), (at, bottom + 5.0)], Ink::Muted, 1.0);
        drawing.text((at, bottom + 18.0), Anchor::Middle, 11.0, Ink::Muted, &label(tick));
    }
    drawing.line(&[(LEFT, bottom), (WIDTH - RIGHT, bottom)], Ink::Muted, 1.0);
    let name = comparison.axis.name();
    drawing.text(((LEFT + WIDTH - RIGHT) / 2.0, bottom + 36.0), Anchor::Middle, 12.0, Ink::Muted, name);
    if y.logarithmic {
        drawing.text((WIDTH - RIGHT - 6.0, top + 12.0), Anchor::End, 11.0, Ink::Muted, "logarithmic");
    }
    drawing.within((LEFT, top, WIDTH - LEFT - RIGHT, CURVES), |drawing| {
        let place = |(px, py): (&f64, &f64)| (x.place(*px), y.place(*py));
        for (at, band) in bands.iter().enumerate() {
            let Some(band) = band else { continue };
            let mut outline: Vec<_> = band.x.iter().zip(&band.high).map(place).collect();
            outline.extend(band.x.iter().zip(&band.low).map(place).rev());
            drawing.area(&outline, Ink::Series(at));
        }
        for (at, band) in bands.iter().enumerate() {
            let Some(band) = band else { continue };
            let line: Vec<_> = band.x.iter().zip(&band.mean).map(place).collect();
            drawing.line(&line, Ink::Series(at), 2.0);
        }
    });
}

/// A scale that holds all values; logarithmic if the largest is more than twelve times the least.
fn scale(low: &[f64], high: &[f64], from: f64, to: f64) -> Scale {
    let least = low.iter().copied().filter(|y| y.is_finite()).fold(f64::INFINITY, f64::min);
    let most = high.iter().copied().filter(|y| y.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    if !(least.is_finite() && most.is_finite()) {
        return Scale { low: 0.0, high: 1.0, logarithmic: false, from, to };
    }
    if least > 0.0 && most / least > 12.0 {
        return Scale { low: least / 1.1, high: most * 1.1, logarithmic: true, from, to };
    }
    let spread = if most > least { most - least } else { most.abs().max(1.0) };
    let step = round_up(spread / 6.0);
    // From zero on, where that is near.
    let floor = if least >= 0.0 && least < 0.5 * spread {
        0.0
    } else {
        ((least - 0.02 * spread) / step).floor() * step
    };
    Scale { low: floor, high: ((most + 0.02 * spread) / step).ceil() * step, logarithmic: false, from, to }
}

fn dots(drawing: &mut Drawing, comparison: &Comparison, top: f64) {
    let bottom = top + ROW * comparison.groups.len() as f64;
    let runs = comparison.groups.iter().flat_map(|group| &group.runs);
    let sample: Vec<f64> = runs.filter_map(|run| run.figure).collect();
    if sample.is_empty() {
        drawing.text((LEFT, top + 16.0), Anchor::Start, 12.0, Ink::Muted, "no run has a figure");
        return;
    }
    let x = scale(&sample, &sample, LEFT, WIDTH - RIGHT);
    for tick in x.ticks(8.0) {
        let at = x.place(tick);
        drawing.line(&[(at, top), (at, bottom)], Ink::Grid, 1.0);
        drawing.text((at, bottom + 16.0), Anchor::Middle, 11.0, Ink::Muted, &label(tick));
    }
    drawing.line(&[(LEFT, bottom), (WIDTH - RIGHT, bottom)], Ink::Muted, 1.0);
    for (at, group) in comparison.groups.iter().enumerate() {
        let y = top + ROW * at as f64 + 28.0;
        let ink = Ink::Series(at);
        let said = match group.interval {
            Some(interval) => format!(
                "{}: {} ({} to {})",
                group.name,
                ThreeDigits(group.interquartile_mean),
                ThreeDigits(interval.low),
                ThreeDigits(interval.high)
            ),
            None if group.n > 0 => format!("{}: {}", group.name, ThreeDigits(group.interquartile_mean)),
            None => format!("{}: no figure", group.name),
        };
        drawing.text((LEFT + 6.0, y - 12.0), Anchor::Start, 11.0, Ink::Text, &said);
        if let Some(interval) = group.interval {
            drawing.line(&[(x.place(interval.low), y), (x.place(interval.high), y)], ink, 3.0);
        }
        for figure in group.runs.iter().filter_map(|run| run.figure) {
            drawing.dot((x.place(figure), y), 4.5, ink, 0.55);
        }
        if group.n > 0 {
            let mean = x.place(group.interquartile_mean);
            drawing.line(&[(mean, y - 8.0), (mean, y + 8.0)], Ink::Text, 2.5);
        }
    }
}
