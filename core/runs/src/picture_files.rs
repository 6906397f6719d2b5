//! The pictures of a run, read back.
use crate::pictures::LARGEST_PAIR;
use crate::{FileError, Picture};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// A picture of observation and prediction, side by side, as the recorder wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PictureFile {
    /// The step that the observation came in.
    pub step: u64,
    /// The stream that it came from.
    pub stream: u64,
    /// The PNG file.
    pub path: PathBuf,
}

impl PictureFile {
    /// `step-000500-stream-0.png`
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (step, stream) = name.strip_prefix("step-")?.strip_suffix(".png")?.split_once("-stream-")?;
        let (step, stream) = (step.parse().ok()?, stream.parse().ok()?);
        Some(PictureFile { step, stream, path })
    }
}

/// The pictures in the directory `pictures/` of a run, by step, then by stream. What has another name is no picture.
///
/// # Errors
/// If the directory is there and can't be read.
pub fn picture_files(directory: &Path) -> Result<Vec<PictureFile>, FileError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::new("read", directory, &e)),
    };
    let mut files: Vec<_> = entries.flatten().filter_map(|entry| PictureFile::of(entry.path())).collect();
    files.sort();
    Ok(files)
}

/// Why a picture could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no PNG, or only the beginning of one.
    #[error("'{}' is no whole PNG file ({cause}): perhaps it is just being written", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What the decoder said.
        cause: String,
    },
}

/// Reads a picture from a PNG file.
///
/// # Errors
/// If it can't be read, or is damaged.
pub fn read_picture(path: &Path) -> Result<Picture, PictureError> {
    let damaged = |cause: String| PictureError::Damaged { file: path.to_owned(), cause };
    let file = File::open(path).map_err(|e| FileError::new("read", path, &e))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| damaged(e.to_string()))?;
    let (width, height) = reader.info().size();
    if width.max(height) as usize > LARGEST_PAIR {
        let cause =
            format!("it says that it is {width} × {height} pixels, and {LARGEST_PAIR} a side are the most");
        return Err(damaged(cause));
    }
    // No picture of a run has a palette; and png 0.18.1 panics at one whose length is no multiple of 3 (image-png's issue 694).
    if reader.info().color_type == png::ColorType::Indexed {
        return Err(damaged("it has a palette, as no picture of a run has".to_owned()));
    }
    let size = reader.output_buffer_size().ok_or_else(|| damaged("it is too large".to_owned()))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(|e| damaged(e.to_string()))?;
    bytes.truncate(info.buffer_size());
    let rgb = match info.color_type {
        png::ColorType::Rgb => bytes,
        png::ColorType::Rgba => bytes.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => bytes.iter().flat_map(|grey| [*grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => bytes.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => return Err(damaged("it has a palette".to_owned())),
    };
    Ok(Picture { width: info.width as usize, height: info.height as usize, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::{png, save};

    #[test]
    fn pictures_are_found_in_order_and_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let picture = Picture { width: 2, height: 1, rgb: vec![1, 2, 3, 250, 251, 252] };
        let bytes = png(&picture).unwrap();
        for name in ["step-000500-stream-1.png", "step-000500-stream-0.png", "step-1000000-stream-0.png"] {
            save(&dir.path().join(name), &bytes).unwrap();
        }
        fs::write(dir.path().join("step-5-stream-x.png"), "").unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        let files = picture_files(dir.path()).unwrap();
        let found: Vec<_> = files.iter().map(|file| (file.step, file.stream)).collect();
        assert_eq!(found, [(500, 0), (500, 1), (1_000_000, 0)]);
        assert_eq!(read_picture(&files[0].path).unwrap(), picture);
        assert_eq!(picture_files(&dir.path().join("gone")).unwrap(), []);
    }

    #[test]
    fn a_picture_that_is_half_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("step-1-stream-0.png");
        let bytes = png(&Picture { width: 40, height: 40, rgb: vec![7; 4_800] }).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = read_picture(&path).unwrap_err().to_string();
        assert!(error.contains("step-1-stream-0.png' is no whole PNG file"), "{error}");
    }

    #[test]
    fn a_picture_that_claims_to_be_larger_than_any_takes_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("step-1-stream-0.png");
        let mut bytes = png(&Picture { width: 4, height: 4, rgb: vec![7; 48] }).unwrap();
        // Width and height, then the checksum of their chunk.
        bytes[16..24].copy_from_slice(&[0, 3, 0, 0, 0, 3, 0, 0]);
        let crc = crc32fast::hash(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&crc);
        fs::write(&path, &bytes).unwrap();
        let error = read_picture(&path).unwrap_err().to_string();
        assert!(error.contains("196608 × 196608 pixels, and 16420 a side are the most"), "{error}");
    }

    /// An IHDR with a palette, a PLTE of 7 bytes and pixels: png 0.18.1 panics when it expands the palette.
    #[test]
    fn a_palette_that_is_cut_off_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("step-1-stream-0.png");
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        let pixels = b"\x78\x01\x01\x02\x00\xfd\xff\x00\x00\x00\x02\x00\x01"; // a stored block: filter 0, colour 0
        for (kind, data) in [
            (b"IHDR", &b"\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0"[..]),
            (b"PLTE", b"1234567"),
            (b"IDAT", pixels),
            (b"IEND", b""),
        ] {
            bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
            let start = bytes.len();
            bytes.extend_from_slice(kind);
            bytes.extend_from_slice(data);
            let crc = crc32fast::hash(&bytes[start..]).to_be_bytes();
            bytes.extend_from_slice(&crc);
        }
        fs::write(&path, &bytes).unwrap();
        let error = read_picture(&path).unwrap_err().to_string();
        assert!(error.contains("it has a palette"), "{error}");
    }
}
