//! `efference compare`.
use crate::output::{print_data, say};
use crate::paths::{path, path_of};
use crate::{fail, print};
use clap::{Args, ValueEnum};
use efference_compare::report::Colours;
use efference_compare::{
    Axis, Better, Comparison, FigureKind, Request, compare, find_runs, read_members, report,
    write_tensorboard,
};
use efference_runs::FileError;
use efference_runs::directory::write_atomically;
use efference_runs::time::rfc3339;
use efference_view::png_of_svg;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Compares runs: which is better, by how much, and whether there are seeds enough to say so.
///
/// Runs are grouped by the keys of their specs that differ, apart from the seed; of each run one figure is taken, by default
/// the mean of the metric over the last fifth. What is better is decided by Student's t test, paired where seeds match.
/// Exit status: 0 also if there is no verdict, 1 if the runs can't be compared.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Directories of runs, or ones that hold runs (`runs/NAME`, a sweep), or `latest`.
    #[arg(value_name = "RUN", required = true, value_parser = path())]
    pub names: Vec<PathBuf>,
    /// The metric; without, the first of return, reward, error and loss that all runs have.
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Groups runs by this key or section of their specs alone; may be given again.
    #[arg(long, value_name = "KEY")]
    pub by: Vec<String>,
    /// Takes the mean over the last share of each run. [default: 0.2]
    #[arg(long, value_name = "SHARE", group = "figure", value_parser = share)]
    pub last: Option<f64>,
    /// Takes the value at this place of the axis.
    #[arg(long, value_name = "PLACE", group = "figure", value_parser = positive)]
    pub at: Option<f64>,
    /// Takes the area under the curve, by its length: the mean over the run.
    #[arg(long, group = "figure")]
    pub auc: bool,
    /// Takes the place of the axis where the metric first gets to this value.
    #[arg(long, value_name = "VALUE", group = "figure", allow_negative_numbers = true)]
    pub until: Option<f64>,
    /// The axis of curves, and what the options above count in.
    #[arg(long, default_value = "step")]
    pub x: AxisName,
    /// Which way the metric is to go, if its name does not say it.
    #[arg(long)]
    pub better: Option<BetterName>,
    /// How the table is printed.
    #[arg(long, default_value = "table")]
    pub format: Format,
    /// Draws curves and figures into this file, an .svg or .png; may be given again.
    #[arg(long, value_name = "FILE", value_parser = picture)]
    pub plot: Vec<PathBuf>,
    /// Writes a page of its own with all of it: verdict, table, plots, pictures, what differs in the specs.
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub html: Option<PathBuf>,
    /// Writes mean curves and their bands, and settings beside figures, as runs of TensorBoard into a new directory.
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub tensorboard: Option<PathBuf>,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
}

/// The axis of curves.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AxisName {
    /// Steps done.
    Step,
    /// Seconds since the run started.
    Seconds,
    /// Operations done, if the runs recorded a metric `flop`.
    Flop,
}

/// Which way a metric is to go.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum BetterName {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    /// Table, verdict and notes, to be read in a terminal.
    Table,
    /// A table to paste.
    Markdown,
    /// A line a group, with all digits.
    Csv,
    /// Everything, each run included.
    Json,
}

/// Does it; returns the exit status.
pub fn run(arguments: &CompareArgs) -> u8 {
    let figure = match (arguments.at, arguments.auc, arguments.until) {
        (Some(place), ..) => FigureKind::At(place),
        (_, true, _) => FigureKind::Area,
        (.., Some(value)) => FigureKind::Until(value),
        _ => FigureKind::Last(arguments.last.unwrap_or(0.2)),
    };
    let request = Request {
        metric: arguments.metric.clone(),
        by: arguments.by.clone(),
        figure,
        axis: match arguments.x {
            AxisName::Step => Axis::Step,
            AxisName::Seconds => Axis::Seconds,
            AxisName::Flop => Axis::Flop,
        },
        better: arguments.better.map(|better| match better {
            BetterName::Lower => Better::Lower,
            BetterName::Higher => Better::Higher,
        }),
        curves: !arguments.plot.is_empty() || arguments.html.is_some(),
    };
    let compared = find_runs(&arguments.names, &arguments.runs)
        .and_then(read_members)
        .and_then(|members| compare(members, &request));
    match compared {
        Ok(comparison) => show(&comparison, arguments),
        Err(e) => fail(e),
    }
}

fn show(comparison: &Comparison, arguments: &CompareArgs) -> u8 {
    let text = match arguments.format {
        Format::Table => report::text(comparison),
        Format::Markdown => report::markdown(comparison),
        Format::Csv => report::csv(comparison),
        Format::Json => match serde_json::to_string_pretty(comparison) {
            Ok(json) => json + "\n",
            Err(e) => return fail(e),
        },
    };
    match arguments.format {
        Format::Table => print(&text),
        _ => print_data(&text),
    }
    match write_files(comparison, arguments) {
        Ok(()) => 0,
        Err(e) => fail(e),
    }
}

/// Writes what is asked for besides; says where, on standard error.
fn write_files(comparison: &Comparison, arguments: &CompareArgs) -> Result<(), Box<dyn Error>> {
    for file in &arguments.plot {
        let svg = report::plot(comparison, Colours::Own);
        let is_png = extension(file).is_some_and(|extension| extension == "png");
        write(file, &if is_png { png_of_svg(&svg, 2.0)? } else { svg.into_bytes() })?;
    }
    if let Some(file) = &arguments.html {
        let command: Vec<String> = std::env::args().collect();
        let made = format!("Made {} by {}.", rfc3339(SystemTime::now()), command.join(" "));
        write(file, report::html(comparison, &made).as_bytes())?;
    }
    if let Some(directory) = &arguments.tensorboard {
        write_tensorboard(comparison, directory)?;
        say(format!("Written: {0}; see it with: tensorboard --logdir {0}", directory.display()));
    }
    Ok(())
}

fn write(file: &Path, content: &[u8]) -> Result<(), FileError> {
    write_atomically(file, content)?;
    say(format!("Written: {}", file.display()));
    Ok(())
}

fn extension(file: &Path) -> Option<String> {
    file.extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

fn picture(text: &str) -> Result<PathBuf, String> {
    match extension(Path::new(text)).as_deref() {
        Some("svg" | "png") => path_of(text),
        _ => Err("name a file that ends in .svg or .png".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("give a share of the run, above 0 and at most 1, such as 0.2".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse() {
        Ok(place) if place > 0.0 && f64::is_finite(place) => Ok(place),
        _ => Err("give a number above 0, such as 5_000".to_owned()),
    }
}
