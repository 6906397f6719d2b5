//! A comparison as a page of its own: it loads nothing, so it opens offline and years later.
use super::plot::plot;
use super::svg::{Colours, escape};
use super::table::{HEADS, best, rows};
use crate::comparison::{Comparison, Group, Run};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use efference_runs::{Grouped, ThreeDigits};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// The look: one column, light or dark as the reader has it.
const STYLE: &str = include_str!("page.css");
/// Pictures larger than this are left out: the page is to be sent around.
const LARGEST_PICTURE: u64 = 400_000;

/// The page of a comparison that was made with curves. `made` says when, and by which command.
pub fn html(comparison: &Comparison, made: &str) -> String {
    let title = format!("{} of {} groups of runs", comparison.metric, comparison.groups.len());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(&title)
    );
    let by = comparison.keys.iter().map(|key| format!("<code>{}</code>", escape(key))).collect::<Vec<_>>();
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
    page += &format!("<h1>{}{by}</h1>\n", escape(&comparison.metric));
    let better = comparison.better.name();
    page += &format!("<p class=\"what\">{}; {better} is better.</p>\n", escape(&comparison.figure));
    page += "<section class=\"verdict\">\n";
    for sentence in &comparison.verdict {
        page += &format!("<p>{}</p>\n", escape(sentence));
    }
    page += "</section>\n";
    page += &groups_table(comparison);
    page += &format!("<figure>{}</figure>\n", plot(comparison, Colours::Page));
    if !comparison.notes.is_empty() {
        page += "<h2>To be known</h2>\n<ul>\n";
        comparison.notes.iter().for_each(|note| page += &format!("<li>{}</li>\n", escape(note)));
        page += "</ul>\n";
    }
    page += &differences_table(comparison);
    page += &settings_table(comparison);
    page += &pictures(comparison);
    page += &runs_table(comparison);
    page += &format!(
        "<footer><p>IQM: the mean of the middle half. Interval: of the IQM, percentile bootstrap over seeds within equal \
         tasks (Agarwal et al. 2021, arXiv 2108.13264); it describes, and is too narrow with few seeds. What is better is \
         decided by Student's t test, paired where seeds match, else Welch's (Colas et al. 2019, arXiv 1904.06979), \
         corrected after Holm for several comparisons, at 5 %. P(better): how often a run of the group is better than one of \
         another.</p><p>{}</p></footer>\n</main>\n</body>\n</html>\n",
        escape(made)
    );
    page
}

fn swatch(at: usize) -> String {
    format!("<i style=\"background:var(--series-{})\"></i>", at % super::svg::SERIES.len() + 1)
}

fn table(head: &[&str], body: &[Vec<String>]) -> String {
    let mut text = "<div class=\"wide\"><table>\n<tr>".to_owned();
    head.iter().for_each(|cell| text += &format!("<th>{cell}</th>"));
    text += "</tr>\n";
    for row in body {
        text += "<tr>";
        row.iter().for_each(|cell| text += &format!("<td>{cell}</td>"));
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

fn groups_table(comparison: &Comparison) -> String {
    let starred = best(comparison);
    let cells = |(at, row): (usize, [String; 8])| {
        let mut cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        let name = escape(&comparison.groups[at].name);
        let name = if starred == Some(at) { format!("<b>{name}</b>") } else { name };
        cells[0] = format!("{}{name}", swatch(at));
        cells
    };
    let body: Vec<_> = rows(comparison).into_iter().enumerate().map(cells).collect();
    table(&HEADS, &body)
}

fn differences_table(comparison: &Comparison) -> String {
    if comparison.differences.is_empty() {
        return String::new();
    }
    let body = comparison.differences.iter().map(|pair| {
        let name = |at: usize| format!("{}{}", swatch(at), escape(&comparison.groups[at].name));
        let difference = pair.difference.map_or("–".to_owned(), |d| {
            let (low, high) = (ThreeDigits(d.interval.low), ThreeDigits(d.interval.high));
            format!("{} ({low} to {high})", ThreeDigits(d.mean))
        });
        let p = pair.p_corrected.map_or("–".to_owned(), |p| {
            if p < 0.0001 { "&lt; 0.0001".to_owned() } else { format!("{p:.4}") }
        });
        let n =
            if pair.n == pair.n_right { pair.n.to_string() } else { format!("{}, {}", pair.n, pair.n_right) };
        let improvement = match pair.probability_interval {
            Some(i) => format!("{:.2} ({:.2} to {:.2})", pair.probability_of_improvement, i.low, i.high),
            None => format!("{:.2}", pair.probability_of_improvement),
        };
        let speed = if pair.speed.is_finite() { format!("{:.2}×", pair.speed) } else { "–".to_owned() };
        vec![name(pair.left), name(pair.right), pair.test.to_owned(), n, difference, p, improvement, speed]
    });
    let head =
        ["group", "against", "test", "n", "difference (95 %)", "p", "P(improvement) (95 %)", "steps/s"];
    "<h2>Differences</h2>\n".to_owned() + &table(&head, &body.collect::<Vec<_>>())
}

fn settings_table(comparison: &Comparison) -> String {
    let all: Vec<&String> = comparison.keys.iter().chain(&comparison.keys_that_follow).collect();
    if all.is_empty() {
        return String::new();
    }
    let mut head = vec!["key".to_owned()];
    head.extend(comparison.groups.iter().enumerate().map(|(at, group)| swatch(at) + &escape(&group.name)));
    let row = |(at, key): (usize, &&String)| {
        let value = |group: &Group| {
            let values = group.values.iter().chain(&group.values_that_follow);
            values.clone().nth(at).map(|value| escape(value)).unwrap_or_default()
        };
        let key = format!("<code>{}</code>", escape(key));
        [key].into_iter().chain(comparison.groups.iter().map(value)).collect()
    };
    let body: Vec<Vec<String>> = all.iter().enumerate().map(row).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    "<h2>What differs in the specs</h2>\n".to_owned() + &table(&head, &body)
}

fn runs_table(comparison: &Comparison) -> String {
    let mut body = Vec::new();
    for (at, group) in comparison.groups.iter().enumerate() {
        for run in &group.runs {
            let figure = run.figure.map(|figure| ThreeDigits(figure).to_string());
            let mut row = vec![swatch(at) + &escape(&group.name)];
            row.extend(run.stratum.iter().map(|value| escape(value)));
            row.push(escape(&run.seed));
            row.push(figure.or(run.no_figure.clone()).unwrap_or_default());
            row.push(Grouped(run.steps).to_string());
            row.push(ThreeDigits(run.steps_per_second).to_string());
            row.push(run.state.to_owned());
            row.push(escape(&run.directory.id()));
            body.push(row);
        }
    }
    let strata = comparison.strata.iter().map(|key| escape(key)).collect::<Vec<_>>();
    let mut head = vec!["group"];
    head.extend(strata.iter().map(String::as_str));
    head.extend(["seed", "figure", "steps", "steps/s", "state", "run"]);
    format!("<details><summary>{} runs</summary>\n{}</details>\n", body.len(), table(&head, &body))
}

/// The last picture of a run of each group: the one whose figure is nearest to the group's median.
fn pictures(comparison: &Comparison) -> String {
    let mut text = String::new();
    for (at, group) in comparison.groups.iter().enumerate() {
        let from_median =
            |run: &&Run| run.figure.map_or(f64::INFINITY, |figure| (figure - group.median).abs());
        let typical = group.runs.iter().min_by(|a, b| from_median(a).total_cmp(&from_median(b)));
        let Some((run, (step, file))) = typical.and_then(|run| Some((run, last_picture(run)?))) else {
            continue;
        };
        let Ok(png) = fs::read(file) else { continue };
        let _ = writeln!(
            text,
            "<figure class=\"picture\"><img alt=\"observation and prediction\" \
             src=\"data:image/png;base64,{}\"><figcaption>{}{}, seed {}, step {}</figcaption></figure>",
            BASE64_STANDARD.encode(png),
            swatch(at),
            escape(&group.name),
            escape(&run.seed),
            Grouped(step)
        );
    }
    if text.is_empty() {
        return text;
    }
    let what = "Observation on the left, prediction on the right: the last picture of the run nearest to its group's median.";
    format!("<h2>Pictures</h2>\n<p class=\"what\">{what}</p>\n<div class=\"pictures\">\n{text}</div>\n")
}

/// The step and file of a run's last picture of its first stream.
fn last_picture(run: &Run) -> Option<(u64, PathBuf)> {
    let files = fs::read_dir(run.directory.path().join("pictures")).ok()?.flatten();
    let step_and_stream = |name: &str| -> Option<(u64, u64)> {
        let (step, stream) = name.strip_prefix("step-")?.strip_suffix(".png")?.split_once("-stream-")?;
        Some((step.parse().ok()?, stream.parse().ok()?))
    };
    let small = files.filter(|file| file.metadata().is_ok_and(|data| data.len() <= LARGEST_PICTURE));
    let named =
        small.filter_map(|file| Some((step_and_stream(&file.file_name().to_string_lossy())?, file.path())));
    let last = named.max_by_key(|((step, stream), _)| (*step, std::cmp::Reverse(*stream)));
    last.map(|((step, _), path)| (step, path))
}
