//! From options to sources: which format, which files, which columns.
use crate::column::{Column, Layout, Values};
use crate::options::{Format, Options, Predict, Symbols};
use crate::pictures::{Folder, Gif};
use crate::pixels::Size;
use crate::source::{Source, Sources, find, in_files, open};
use crate::video::Film;
use crate::{audio, npy, table, text};
use efference_sdk::{Error, Result, Role, ensure};
use std::path::{Path, PathBuf};

/// Bytes of tables and texts that are read to say what they observe before they are opened.
const OUTLINED: u64 = 16 << 20;

/// What is opened.
pub(crate) struct Opened {
    pub(crate) layout: Layout,
    pub(crate) sources: Sources,
    pub(crate) paths: Vec<PathBuf>,
    /// Of pictures.
    pub(crate) size: Option<Size>,
}

/// How pictures of a size are opened.
type OpenPictures<'a> = dyn Fn(&Path, Size) -> Result<Box<dyn Source>> + 'a;

/// Opens the files.
///
/// # Errors
/// A sentence with the file, the place in it, and what to do.
pub(crate) fn open_all(options: &Options) -> Result<Opened> {
    options.check()?;
    let paths = find(&options.files)?;
    let format = format_of(&paths, options)?;
    check_columns(format, options)?;
    let size = shows_pictures(format).then(|| Size::of(options)).transpose()?;
    let pictures = |open: &OpenPictures| -> Result<_> {
        let size = size.map_or_else(|| Size::of(options), Ok)?;
        let sources = paths.iter().map(|path| open(path, size)).collect::<Result<Vec<_>>>()?;
        Ok((size.columns(), sources))
    };
    let (columns, sources): (Vec<Column>, Sources) = match format {
        Format::Csv | Format::Auto => table::open_all(&paths, options)?,
        Format::Npy => npy::open_all(&paths, options)?,
        Format::Audio => audio::open_all(&paths, options)?,
        Format::Text => text::open_all(&paths, options)?,
        Format::Pictures => pictures(&|path, size| Ok(Box::new(Folder::open(path, size)?)))?,
        Format::Gif => pictures(&|path, size| Ok(Box::new(Gif::open(path, size)?)))?,
        Format::Video => pictures(&|path, size| Ok(Box::new(Film::open(path, size, options)?)))?,
    };
    let layout = layout(columns, options)?;
    for (source, path) in sources.iter().zip(&paths) {
        if let Some(rows) = source.rows() {
            check_period(options, rows, path)?;
        }
    }
    Ok(Opened { layout, sources, paths, size })
}

/// What is observed, if the options and what can be read of the files in a moment say it.
///
/// # Errors
/// As [`open_all`], for what is found in that moment.
pub(crate) fn outline(options: &Options) -> Result<(usize, Option<Layout>)> {
    options.check()?;
    let paths = find(&options.files)?;
    let format = format_of(&paths, options)?;
    check_columns(format, options)?;
    let columns = match format {
        Format::Csv | Format::Auto => {
            let (columns, rows) = table::outline(&paths, options, OUTLINED)?;
            for (path, rows) in paths.iter().zip(rows) {
                rows.map_or(Ok(()), |rows| check_period(options, rows, path))?;
            }
            columns
        }
        Format::Npy => {
            for path in &paths {
                check_period(options, npy::rows(path)?, path)?;
            }
            Some(npy::outline(&paths, options)?.0)
        }
        Format::Audio => Some(audio::outline(&paths, options)?),
        Format::Text => {
            let mut bytes = 0;
            for path in &paths {
                bytes += open(path)?.metadata()?.len();
            }
            let soon = options.symbols == Symbols::Characters && bytes <= OUTLINED;
            match options.symbols {
                Symbols::Bytes => {
                    Some(vec![Column::block("text", 1, Values::OneOf(vec![String::new(); 256]))])
                }
                Symbols::Characters if soon => Some(text::open_all(&paths, options)?.0),
                Symbols::Characters => None,
            }
        }
        Format::Pictures | Format::Gif | Format::Video => {
            if format != Format::Pictures {
                paths.iter().try_for_each(|path| open(path).map(drop))?;
            } else if let Some(missing) = paths.iter().find(|path| !path.is_dir()) {
                return Err(in_files(format!(
                    "there is no folder {}: set environment.files to folders of pictures",
                    missing.display()
                )));
            }
            Some(Size::of(options)?.columns())
        }
    };
    Ok((paths.len(), columns.map(|columns| layout(columns, options)).transpose()?))
}

fn shows_pictures(format: Format) -> bool {
    matches!(format, Format::Pictures | Format::Gif | Format::Video)
}

/// What all files are.
fn format_of(paths: &[PathBuf], options: &Options) -> Result<Format> {
    if options.format != Format::Auto {
        return Ok(options.format);
    }
    let of = |path: &Path| -> Result<Format> {
        if path.is_dir() {
            return Ok(Format::Pictures);
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Ok(match extension.as_str() {
            "csv" | "tsv" | "tab" => Format::Csv,
            "npy" => Format::Npy,
            "wav" | "wave" | "flac" => Format::Audio,
            "gif" => Format::Gif,
            "mp4" | "mkv" | "avi" | "mov" | "webm" | "m4v" | "mpg" | "mpeg" => Format::Video,
            "txt" | "text" | "md" => Format::Text,
            _ => {
                // That it is not there is said first.
                open(path)?;
                let message = format!(
                    "the name of {} does not say what it is: set environment.format to \"csv\", \"npy\", \"audio\", \
                     \"pictures\", \"gif\", \"video\" or \"text\"",
                    path.display()
                );
                return Err(Error::msg(message).in_option("format"));
            }
        })
    };
    let Some((first, rest)) = paths.split_first() else {
        return Err(in_files("files is empty: say which files are to be read".to_owned()));
    };
    let format = of(first)?;
    for path in rest {
        if of(path)? != format {
            return Err(in_files(format!(
                "{} and {} are files of different formats: the streams of an environment observe the same",
                first.display(),
                path.display()
            )));
        }
    }
    Ok(format)
}

/// Errors: options that are for other formats.
fn check_columns(format: Format, options: &Options) -> Result<()> {
    let what = match format {
        Format::Csv | Format::Auto => return Ok(()),
        Format::Npy => "an array",
        Format::Audio => "sound",
        Format::Pictures | Format::Gif => "pictures",
        Format::Video => "video",
        Format::Text => "text",
    };
    let Options { columns, seen_only, predicted_only, time, text, min, .. } = options;
    let array = format == Format::Npy;
    for (option, set) in [
        ("columns", !columns.is_empty() && !array),
        ("seen_only", !seen_only.is_empty() && !array),
        ("predicted_only", !predicted_only.is_empty() && !array),
        ("time", !time.is_empty()),
        ("text", !text.is_empty()),
        ("min", !min.is_empty() && !array),
    ] {
        if set {
            let message = format!("{option} is for tables, and {what} has no use for it: take it out");
            return Err(Error::msg(message).in_option(option));
        }
    }
    Ok(())
}

/// The elements that columns become.
fn layout(mut columns: Vec<Column>, options: &Options) -> Result<Layout> {
    let numbers = columns.iter_mut().filter(|column| column.values == Values::Numbers);
    let numbers: Vec<&mut Column> = numbers.collect();
    let limits = options.min.len();
    if !(limits <= 1 || limits == numbers.len()) {
        let message = format!(
            "min and max are of {limits} columns, and there are {} columns of numbers: say one for all of them, or one for each",
            numbers.len()
        );
        return Err(Error::msg(message).in_option("min"));
    }
    if limits > 0 {
        for (i, column) in numbers.into_iter().enumerate() {
            let i = if limits == 1 { 0 } else { i };
            column.values = Values::Within(options.min[i], options.max[i]);
        }
    }
    if columns.iter().all(|column| column.role == Role::SEEN) {
        let message = "all columns are in seen_only: nothing would be predicted. Leave one out of the list";
        return Err(Error::msg(message).in_option("seen_only"));
    }
    let layout = Layout::new(&columns, options.predict == Predict::Change);
    let remembered = options.period.saturating_mul(layout.numbers.len().max(1));
    ensure!(
        remembered <= MOST_REMEMBERED,
        "period = {} of {} predicted values: {remembered} values of each stream would be remembered, and at most \
         {MOST_REMEMBERED} are. Set environment.period lower, or to 0",
        options.period,
        layout.numbers.len()
    );
    Ok(layout)
}

/// Numbers that are remembered of a stream to compare with what was a period ago, at most.
const MOST_REMEMBERED: usize = 1 << 24;

fn check_period(options: &Options, rows: u64, path: &Path) -> Result<()> {
    if options.period == 0 || rows > options.period as u64 {
        return Ok(());
    }
    let message = format!(
        "period = {}, but {} has {rows} rows: none has one a period before it. Set environment.period lower, or to 0",
        options.period,
        path.display()
    );
    Err(Error::msg(message).in_option("period"))
}
