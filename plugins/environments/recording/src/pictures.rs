//! Folders of pictures, and animated ones.
use crate::pixels::Size;
use crate::source::{Place, Source, checksum_of, has_changed, in_files, open};
use efference_sdk::{Error, Result, ensure, tracing};
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageReader, Limits};
use std::cmp::Ordering;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The sides of a picture, at most, and bytes that decoding it may take.
const LARGEST_SIDE: u32 = 1 << 14;
const MOST_BYTES: u64 = 1 << 29;
/// Pictures of a folder, at most.
const MOST_PICTURES: usize = 10_000_000;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    limits
}

fn cannot_read(path: &Path, error: &dyn std::fmt::Display) -> Error {
    in_files(format!("{} is no picture that can be read: {error}", path.display()))
}

/// The pictures of a folder, in the order of their names; numbers in them count as numbers.
pub(crate) struct Folder {
    path: PathBuf,
    files: Vec<PathBuf>,
    size: Size,
    bytes: Vec<u8>,
    row: usize,
    checksum: u64,
}

impl Folder {
    pub(crate) fn open(path: &Path, size: Size) -> Result<Folder> {
        let shown = path.display();
        let entries = std::fs::read_dir(path)
            .map_err(|error| in_files(format!("{shown} cannot be read as a folder of pictures: {error}")))?;
        let (mut files, mut others) = (Vec::new(), 0);
        for entry in entries {
            let file = entry.map_err(|error| in_files(format!("{shown} cannot be read: {error}")))?.path();
            let named = |ends: &str| file.extension().is_some_and(|e| e.eq_ignore_ascii_case(ends));
            if ["png", "jpg", "jpeg", "bmp"].into_iter().any(named) {
                files.push(file)
            } else {
                others += 1
            }
            ensure!(files.len() <= MOST_PICTURES, "{shown} has more than {MOST_PICTURES} pictures");
        }
        if files.is_empty() {
            return Err(in_files(format!(
                "{shown} has no pictures in it (.png, .jpg, .jpeg, .bmp), and {others} other files"
            )));
        }
        if others > 0 {
            tracing::info!("{shown}: {others} files are no pictures, and are left out");
        }
        files.sort_by(|a, b| by_name(&a.to_string_lossy(), &b.to_string_lossy()));
        let mut sum = crc32fast::Hasher::new();
        let mut sides: Option<(u32, u32)> = None;
        let mut differ = false;
        for file in &files {
            let (width, height) = reader(file)?.into_dimensions().map_err(|e| cannot_read(file, &e))?;
            if width > LARGEST_SIDE || height > LARGEST_SIDE {
                return Err(cannot_read(
                    file,
                    &format!("it has {width} × {height} pixels, and {LARGEST_SIDE} are the most"),
                ));
            }
            differ |= *sides.get_or_insert((width, height)) != (width, height);
            sum.update(file.file_name().map_or(&[][..], |name| name.as_encoded_bytes()));
            sum.update(&file.metadata().map_or(0, |m| m.len()).to_le_bytes());
        }
        if differ {
            let Size { width, height, .. } = size;
            tracing::warn!("{shown} has pictures of different sizes: all are brought to {width} × {height}");
        }
        let checksum = ((files.len() as u64) << 32) ^ u64::from(sum.finalize());
        Ok(Folder { path: path.to_owned(), files, size, bytes: Vec::new(), row: 0, checksum })
    }
}

fn reader(file: &Path) -> Result<ImageReader<BufReader<File>>> {
    let mut reader = ImageReader::new(BufReader::new(open(file)?));
    reader.limits(limits());
    reader.with_guessed_format().map_err(|e| cannot_read(file, &e))
}

/// Names by their letters, and numbers in them by what they are: `7` before `10`.
fn by_name(a: &str, b: &str) -> Ordering {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (mut x, mut y) = (a, b);
    loop {
        let (m, n) = (digits(x), digits(y));
        if m > 0 && n > 0 {
            let (p, q) = (x[..m].trim_start_matches('0'), y[..n].trim_start_matches('0'));
            match p.len().cmp(&q.len()).then(p.cmp(q)) {
                Ordering::Equal => (x, y) = (&x[m..], &y[n..]),
                other => return other,
            }
            continue;
        }
        match (x.chars().next(), y.chars().next()) {
            (Some(c), Some(d)) if c == d => (x, y) = (&x[c.len_utf8()..], &y[d.len_utf8()..]),
            (c, d) => return c.cmp(&d).then_with(|| a.cmp(b)),
        }
    }
}

impl Source for Folder {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        let Some(file) = self.files.get(self.row) else { return Ok(false) };
        let picture = reader(file)?.decode().map_err(|e| cannot_read(file, &e))?;
        self.bytes.clear();
        self.size.append(&picture, &mut self.bytes);
        self.size.take(&self.bytes, row);
        self.row += 1;
        Ok(true)
    }

    fn place(&self) -> Place {
        Place { row: self.row as u64, ..Place::default() }
    }

    fn go(&mut self, place: Place) -> Result<()> {
        self.row = usize::try_from(place.row).unwrap_or(usize::MAX);
        ensure!(
            self.row <= self.files.len(),
            "{}: it has {} pictures",
            has_changed(&self.path),
            self.files.len()
        );
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        Some(self.files.len() as u64)
    }
}

/// Bytes of all pictures of an animated one, at most.
const MOST_SHOWN: usize = 1 << 30;

/// The pictures of an animated one, one after the other, however long each is to be shown. A picture is drawn over those before:
/// all are decoded at the start, and held as they are shown.
pub(crate) struct Gif {
    shown: Vec<u8>,
    size: Size,
    row: usize,
    checksum: u64,
}

impl Gif {
    pub(crate) fn open(path: &Path, size: Size) -> Result<Gif> {
        let mut decoder = GifDecoder::new(BufReader::new(open(path)?)).map_err(|e| cannot_read(path, &e))?;
        decoder.set_limits(limits()).map_err(|e| cannot_read(path, &e))?;
        let (mut shown, mut rows) = (Vec::new(), 0);
        for frame in decoder.into_frames() {
            let frame = frame.map_err(|error| {
                in_files(format!("{}: picture {} of it cannot be read: {error}", path.display(), rows + 1))
            })?;
            size.append(&DynamicImage::ImageRgba8(frame.into_buffer()), &mut shown);
            rows += 1;
            if shown.len() > MOST_SHOWN {
                return Err(in_files(format!(
                    "{}: its first {rows} pictures take 1 GiB in this size already: set environment.width and height lower, or \
                     make a video of it (`ffmpeg -i {} film.mkv`)",
                    path.display(),
                    path.display()
                )));
            }
        }
        if rows == 0 {
            return Err(in_files(format!("{} has no pictures in it", path.display())));
        }
        Ok(Gif { shown, size, row: 0, checksum: checksum_of(path)? })
    }

    fn pictures(&self) -> usize {
        self.shown.len() / self.size.values()
    }
}

impl Source for Gif {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        if self.row == self.pictures() {
            return Ok(false);
        }
        let values = self.size.values();
        self.size.take(&self.shown[self.row * values..][..values], row);
        self.row += 1;
        Ok(true)
    }

    fn place(&self) -> Place {
        Place { row: self.row as u64, ..Place::default() }
    }

    fn go(&mut self, place: Place) -> Result<()> {
        self.row = usize::try_from(place.row).unwrap_or(usize::MAX).min(self.pictures());
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        Some(self.pictures() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::by_name;

    #[test]
    fn numbers_in_names_are_in_their_own_order() {
        let mut names = ["b2", "b10", "b010", "a", "b1", "b", "b1x", "ä1"];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["a", "b", "b1", "b1x", "b2", "b010", "b10", "ä1"]);
    }
}
