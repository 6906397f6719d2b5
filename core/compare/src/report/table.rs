//! The table of groups, as text, Markdown and CSV.
use crate::comparison::{Comparison, Group};
use crate::grouping::ABSENT;
use efference_runs::ThreeDigits;
use std::fmt::Write;

/// The heads of the table's columns.
pub(super) const HEADS: [&str; 8] =
    ["group", "n", "mean", "median", "IQM", "95 % interval", "P(better)", "steps/s"];

/// Where lines of the text end, as wide as most terminals.
const COLUMNS: usize = 100;

/// The table's rows, in cells as they are read.
pub(super) fn rows(comparison: &Comparison) -> Vec<[String; 8]> {
    let best = best(comparison);
    let row = |(at, group): (usize, &Group)| {
        let name = if Some(at) == best { format!("{} *", group.name) } else { group.name.clone() };
        let n = match group.runs.len() {
            all if all == group.n => group.n.to_string(),
            all => format!("{} of {all}", group.n),
        };
        let interval = group.interval.map_or("–".to_owned(), |interval| {
            format!("{} to {}", ThreeDigits(interval.low), ThreeDigits(interval.high))
        });
        let probability = group.probability_of_improvement.map_or("–".to_owned(), |p| format!("{p:.2}"));
        let number =
            |value: f64| if value.is_nan() { "–".to_owned() } else { ThreeDigits(value).to_string() };
        let [mean, median, middle] = [group.mean, group.median, group.interquartile_mean].map(number);
        [name, n, mean, median, middle, interval, probability, number(group.steps_per_second)]
    };
    comparison.groups.iter().enumerate().map(row).collect()
}

/// The group that is better than each other one, if there is one.
pub(super) fn best(comparison: &Comparison) -> Option<usize> {
    use crate::comparison::Verdict;
    let beats_all = |at: usize| {
        let mut pairs = comparison.differences.iter().filter(|pair| pair.left == at || pair.right == at);
        pairs.all(|pair| pair.left == at && pair.verdict == Verdict::Better)
    };
    (0..comparison.groups.len()).find(|at| comparison.groups.len() > 1 && beats_all(*at))
}

/// The whole comparison for a terminal: what was measured, the table, the verdict, the notes.
pub fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}; {} is better.\n\n", comparison.figure, comparison.better.name());
    let rows = rows(comparison);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(HEADS[column].chars().count())
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut line = |cells: [&str; 8]| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    };
    line(HEADS);
    rows.iter().for_each(|row| line(row.each_ref().map(String::as_str)));
    let starred = if best(comparison).is_some() { " *: better than each other group." } else { "" };
    let legend = format!(
        "IQM: mean of the middle half. Interval: of the IQM, bootstrap over seeds. P(better): how often a run of the group is \
         better than one of another.{starred}"
    );
    let mut paragraph = |begins: &str, words: &str| {
        let options =
            textwrap::Options::new(COLUMNS).subsequent_indent(if begins.is_empty() { "" } else { "      " });
        text += &format!("\n{}\n", textwrap::fill(&format!("{begins}{words}"), options));
    };
    paragraph("", &legend);
    comparison.verdict.iter().for_each(|sentence| paragraph("", sentence));
    if let Some(follows) = follows(comparison) {
        paragraph("", &follows);
    }
    comparison.notes.iter().for_each(|note| paragraph("note: ", note));
    text
}

/// What differs together with the groups' keys.
fn follows(comparison: &Comparison) -> Option<String> {
    let values = |at: usize| comparison.groups.iter().map(move |group| &*group.values_that_follow[at]);
    let mut keys: Vec<(usize, &String)> = comparison.keys_that_follow.iter().enumerate().collect();
    // What one plugin has and the other has not says the least.
    keys.sort_by_key(|(at, _)| values(*at).any(|value| value == ABSENT));
    let each = keys.iter().take(6);
    let each: Vec<String> =
        each.map(|(at, key)| format!("{key} ({})", values(*at).collect::<Vec<_>>().join(", "))).collect();
    let more = comparison.keys_that_follow.len().saturating_sub(6);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    (!each.is_empty()).then(|| format!("Differs with it: {}{more}.", each.join(", ")))
}

/// The table and the verdict in Markdown.
pub fn markdown(comparison: &Comparison) -> String {
    let cell = |cell: &str| cell.replace('|', "\\|").replace('*', "\\*");
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(HEADS.iter().map(|head| (*head).to_owned()).collect());
    text += "|---|--:|--:|--:|--:|--:|--:|--:|\n";
    rows(comparison).iter().for_each(|row| text += &line(row.iter().map(|c| cell(c)).collect()));
    let _ = write!(text, "\n{}; {} is better.", comparison.figure, comparison.better.name());
    for sentence in comparison.verdict.iter().chain(&comparison.notes) {
        let _ = write!(text, " {sentence}");
    }
    text + "\n"
}

/// The table with all digits, a line a group, for a spreadsheet.
pub fn csv(comparison: &Comparison) -> String {
    let quoted = |text: &str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut text = String::new();
    for key in &comparison.keys {
        text += &(quoted(key) + ",");
    }
    text += "runs,n,mean,median,interquartile_mean,interval_low,interval_high,probability_of_improvement,steps_per_second\n";
    for group in &comparison.groups {
        for value in &group.values {
            text += &(quoted(value) + ",");
        }
        let number =
            |value: Option<f64>| value.filter(|v| v.is_finite()).map_or(String::new(), |v| v.to_string());
        let numbers = [
            Some(group.mean),
            Some(group.median),
            Some(group.interquartile_mean),
            group.interval.map(|interval| interval.low),
            group.interval.map(|interval| interval.high),
            group.probability_of_improvement,
            Some(group.steps_per_second),
        ];
        let numbers = numbers.map(number).join(",");
        let _ = writeln!(text, "{},{},{numbers}", group.runs.len(), group.n);
    }
    text
}
