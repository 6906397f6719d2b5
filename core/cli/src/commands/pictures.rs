//! `efference pictures`.
use crate::paths::path;
use crate::{fail, print};
use clap::Args;
use efference_runs::directory::{RunDirectory, write_atomically};
use efference_runs::{PictureFile, find_run, picture_files};
use efference_view::animation::animation;
use efference_view::sheet::contact_sheet;
use std::path::{Path, PathBuf};

/// Shows what a run saw and what it predicted, side by side over time: as a sheet of pictures (PNG) or as an animation
/// (GIF).
#[derive(Debug, Args)]
pub struct PicturesArgs {
    /// The run: NAME (its run that was started last), NAME/ID, ID, `latest`, or the path of its directory.
    #[arg(default_value = "latest")]
    pub run: PathBuf,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
    /// The stream whose pictures are shown; without it: the first.
    #[arg(long, value_name = "N")]
    pub stream: Option<u64>,
    /// Shows every K-th picture. Without it: as many as can be looked at, 24 on a sheet and 200 in an animation.
    #[arg(long, value_name = "K", value_parser = step)]
    pub every: Option<u64>,
    /// The sheet's file. Without it and without --gif: NAME-ID.png.
    #[arg(long, value_name = "FILE.png", value_parser = path())]
    pub out: Option<PathBuf>,
    /// The animation's file.
    #[arg(long, value_name = "FILE.gif", value_parser = path())]
    pub gif: Option<PathBuf>,
}

fn step(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|step| *step > 0).ok_or_else(|| "expected a whole number from 1".to_owned())
}

const ON_A_SHEET: usize = 24;
const IN_AN_ANIMATION: usize = 200;

/// Does it; returns the exit status.
pub fn run(arguments: &PicturesArgs) -> u8 {
    match make(arguments) {
        Ok(text) => {
            print(&text);
            0
        }
        Err(why) => fail(why),
    }
}

fn make(arguments: &PicturesArgs) -> Result<String, String> {
    let told = |e: &dyn std::fmt::Display| e.to_string();
    let directory = find_run(&arguments.runs, &arguments.run).map_err(|e| told(&e))?;
    let experiment = directory.path().parent().and_then(Path::file_name).unwrap_or_default();
    let name = format!("{}-{}", experiment.to_string_lossy(), directory.id());
    let files = of_one_stream(&directory, arguments.stream)?;
    let stream = files[0].stream;
    let mut text = String::new();
    if let Some(file) = &arguments.gif {
        let shown = thinned(&files, arguments.every, IN_AN_ANIMATION);
        write_atomically(file, &animation(&shown).map_err(|e| told(&e))?).map_err(|e| told(&e))?;
        text += &said(file, shown.len(), files.len(), stream);
    }
    if arguments.out.is_some() || arguments.gif.is_none() {
        let file = arguments.out.clone().unwrap_or_else(|| format!("{name}.png").into());
        let shown = thinned(&files, arguments.every, ON_A_SHEET);
        let title = format!("{name}, stream {stream}: observation left, prediction right");
        let sheet = contact_sheet(&shown, &title).map_err(|e| told(&e))?;
        write_atomically(&file, &sheet).map_err(|e| told(&e))?;
        text += &said(&file, shown.len(), files.len(), stream);
    }
    Ok(text)
}

/// The pictures of the stream that was asked for, or else of the first one; never none.
fn of_one_stream(directory: &RunDirectory, stream: Option<u64>) -> Result<Vec<PictureFile>, String> {
    let files = picture_files(&directory.pictures()).map_err(|e| e.to_string())?;
    let mut streams: Vec<u64> = files.iter().map(|file| file.stream).collect();
    streams.sort_unstable();
    streams.dedup();
    let Some(first) = streams.first() else {
        return Err(format!(
            "the run {} has no pictures: either it has made too few steps for one, or its environment draws none, or its \
             spec says `pictures_every = 0` in [record]",
            directory.path().display()
        ));
    };
    let stream = stream.unwrap_or(*first);
    let files: Vec<_> = files.into_iter().filter(|file| file.stream == stream).collect();
    if files.is_empty() {
        let there: Vec<String> = streams.iter().map(u64::to_string).collect();
        return Err(format!(
            "there are no pictures of stream {stream}; streams with pictures: {}",
            there.join(", ")
        ));
    }
    Ok(files)
}

/// Every `every`-th picture, or else at most `most` that are spread evenly from the first to the last.
fn thinned(files: &[PictureFile], every: Option<u64>, most: usize) -> Vec<PictureFile> {
    if let Some(every) = every {
        let every = usize::try_from(every).unwrap_or(usize::MAX);
        return files.iter().step_by(every).cloned().collect();
    }
    let shown = files.len().min(most);
    (0..shown).map(|at| files[at * (files.len() - 1) / (shown - 1).max(1)].clone()).collect()
}

fn said(file: &Path, shown: usize, all: usize, stream: u64) -> String {
    let of_all = if shown == all { String::new() } else { format!(" of {all}") };
    let plural = if all == 1 { "" } else { "s" };
    format!("{}: {shown}{of_all} picture{plural} of stream {stream}\n", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pictures_are_thinned_from_the_first_to_the_last() {
        let file = |step| PictureFile { step, stream: 0, path: PathBuf::new() };
        let files: Vec<_> = (0..100).map(file).collect();
        let steps =
            |every, most| thinned(&files, every, most).iter().map(|file| file.step).collect::<Vec<_>>();
        assert_eq!(steps(None, 4), [0, 33, 66, 99]);
        assert_eq!(steps(Some(40), 4), [0, 40, 80]);
        assert_eq!(steps(None, 200).len(), 100);
        assert_eq!(thinned(&files[..1], None, 4), [file(0)]);
    }
}
