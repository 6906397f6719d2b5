//! How the time of a step grows with the state, for `ldl` and for `dense`: measured, drawn, and kept beside the picture
//! as JSON, from which it can be drawn again.
mod data;
mod draw;
mod measure;

pub(crate) use data::Plot;
pub(crate) use measure::measure;

use efference_sdk::{Result, ResultExt, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the picture goes, and beside it the numbers.
pub(crate) struct Files {
    picture: PathBuf,
    numbers: PathBuf,
}

impl Files {
    /// Made before anything is measured: it fails if nothing could be written there.
    pub(crate) fn new(picture: &Path) -> Result<Self> {
        let shown = picture.display();
        ensure!(
            picture.extension().is_some_and(|e| e == "svg"),
            "the picture is an SVG; give its file a name that ends in .svg, not {shown}"
        );
        let folder = match picture.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        ensure!(
            folder.is_dir(),
            "cannot write {shown}: there is no folder {}; make it first",
            folder.display()
        );
        let numbers = picture.with_extension("json");
        for file in [picture, &numbers] {
            ensure!(!file.is_dir(), "cannot write {}: it is a folder; choose another name", file.display());
        }
        // A file that is gone at once tells whether the folder can be written to, and leaves what is there alone.
        tempfile::tempfile_in(folder)
            .with_context(|| format!("cannot write {shown}: its folder takes no files"))?;
        Ok(Files { picture: picture.to_owned(), numbers })
    }

    /// Writes the numbers, and draws them.
    pub(crate) fn keep(&self, plot: &Plot) -> Result<()> {
        write(&self.numbers, &(serde_json::to_string_pretty(plot)? + "\n"))?;
        self.draw(plot)
    }

    /// Draws the numbers.
    pub(crate) fn draw(&self, plot: &Plot) -> Result<()> {
        write(&self.picture, &draw::svg(plot))
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::data::{Growth, Point, Series};
    use super::*;

    fn plot() -> Plot {
        let series = |layer: &str, growth, points: &[(i64, f64)]| Series {
            layer: layer.to_owned(),
            growth,
            points: points.iter().map(|(n, median_ms)| Point { n: *n, median_ms: *median_ms }).collect(),
        };
        Plot {
            title: "a < b".to_owned(),
            settings: "2 threads".to_owned(),
            series: vec![
                series("ldl", Growth::Linearithmic, &[(256, 0.25), (4096, 1.0)]),
                series("dense", Growth::Quadratic, &[(256, 0.5), (4096, 1250.0)]),
            ],
        }
    }

    #[test]
    fn what_is_kept_is_drawn_again_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("a.svg")).unwrap();
        files.keep(&plot()).unwrap();
        let read = Plot::read(&folder.path().join("a.json")).unwrap();
        assert_eq!(read, plot());
        let drawn = fs::read_to_string(folder.path().join("a.svg")).unwrap();
        assert_eq!(drawn, draw::svg(&read));
        for shown in
            ["a &lt; b", ">2⁸<", ">0.1<", ">1,000<", ">N²<", ">N·log N<", ">dense, 1,250 ms<", ">ldl, 1 ms<"]
        {
            assert!(drawn.contains(shown), "{shown} is not in {drawn}");
        }
        assert!(drawn.lines().all(|line| !line.is_empty()), "an empty line ends the picture within Markdown");
    }

    #[test]
    fn places_and_files_that_will_not_do_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str| Files::new(&folder.path().join(name)).err().unwrap().to_string();
        assert!(refused("none/a.svg").contains("make it first"));
        assert!(refused("a.png").contains("ends in .svg"));
        fs::create_dir(folder.path().join("b.json")).unwrap();
        assert!(refused("b.svg").contains("it is a folder"));

        let read = |plot: Plot| {
            let file = folder.path().join("a.json");
            fs::write(&file, serde_json::to_string(&plot).unwrap()).unwrap();
            Plot::read(&file).unwrap_err().to_string()
        };
        assert!(read(Plot { series: Vec::new(), ..plot() }).contains("has no points"));
        let mut zero = plot();
        zero.series[0].points[0].median_ms = 0.0;
        assert!(read(zero).contains("no logarithm"));
    }
}
