//! A sheet of pictures over time, as one PNG.
use crate::canvas::{Canvas, LETTER};
use crate::raster::encode;
use efference_runs::{Grouped, Picture, PictureError, PictureFile, read_picture};

/// Empty pixels around the pictures.
const GAP: usize = 12;
/// Most pixels of a sheet: what viewers and browsers still open.
const MOST_PIXELS: usize = 64_000_000;

/// Why there is no sheet or animation.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// A picture can't be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// There is none.
    #[error("there are no pictures to show")]
    Empty,
    /// It would be too large.
    #[error("a sheet of {pictures} pictures would have {width}×{height} pixels; show fewer with `--every K`")]
    TooLarge {
        /// How many pictures were wanted.
        pictures: usize,
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// It can't be encoded.
    #[error("the picture can't be encoded: {0}")]
    Encode(String),
}

/// What stands over a picture.
pub(crate) fn label(file: &PictureFile) -> String {
    format!("step {}", Grouped(file.step))
}

/// A PNG of these pictures, row by row, each with its step, and over them a title.
///
/// # Errors
/// If a picture can't be read, or the sheet would be too large.
pub fn contact_sheet(files: &[PictureFile], title: &str) -> Result<Vec<u8>, SheetError> {
    let pictures: Vec<Picture> =
        files.iter().map(|file| read_picture(&file.path)).collect::<Result<_, _>>()?;
    let widest = pictures.iter().map(|p| p.width).max().ok_or(SheetError::Empty)?;
    let highest = pictures.iter().map(|p| p.height).max().ok_or(SheetError::Empty)?;
    let labels: Vec<String> = files.iter().map(label).collect();
    let longest = labels.iter().map(String::len).max().unwrap_or_default() * LETTER;
    let (cell_width, cell_height) = (widest.max(longest) + GAP, highest + LETTER + 2 * GAP);
    let columns = columns(pictures.len(), cell_width, cell_height);
    let top = LETTER + 2 * GAP;
    let width = (columns * cell_width + GAP).max(title.len() * LETTER + 2 * GAP);
    let height = top + pictures.len().div_ceil(columns) * cell_height;
    if width * height > MOST_PIXELS {
        return Err(SheetError::TooLarge { pictures: pictures.len(), width, height });
    }
    let mut canvas = Canvas::new(width, height);
    canvas.write(title, GAP, GAP);
    for (number, (picture, label)) in pictures.iter().zip(&labels).enumerate() {
        let (x, y) = (GAP + number % columns * cell_width, top + number / columns * cell_height);
        canvas.write(label, x, y);
        canvas.put(picture, x, y + LETTER + GAP / 2);
    }
    encode(&canvas.0).map_err(|e| SheetError::Encode(e.to_string()))
}

/// How many pictures in a row make a sheet that is about as wide as a screen: 4 to 3.
fn columns(pictures: usize, width: usize, height: usize) -> usize {
    let ideal = (pictures as f64 * height as f64 / width as f64 * 4.0 / 3.0).sqrt();
    (ideal.round() as usize).clamp(1, pictures.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn files(dir: &std::path::Path, count: u64) -> Vec<PictureFile> {
        let file = |step: u64| {
            let picture = Picture { width: 20, height: 10, rgb: [step as u8, 0, 0].repeat(200) };
            let path = dir.join(format!("{step}.png"));
            fs::write(&path, encode(&picture).unwrap()).unwrap();
            PictureFile { step, stream: 0, path }
        };
        (1..=count).map(file).collect()
    }

    #[test]
    fn pictures_stand_row_by_row_in_the_order_of_their_steps() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), 4);
        let sheet = dir.path().join("sheet.png");
        fs::write(&sheet, contact_sheet(&files, "two by two").unwrap()).unwrap();
        let sheet = read_picture(&sheet).unwrap();
        // "step 1" is 6 letters of 16 pixels: wider than the pictures, so a cell is 96 + 12 wide; and 10 + 16 + 24 high.
        let columns = columns(4, 108, 50);
        assert_eq!((columns, sheet.width), (2, 2 * 108 + 12));
        for number in 0..4 {
            let (x, y) = (12 + number % 2 * 108, 40 + number / 2 * 50 + 22);
            let at = 3 * (y * sheet.width + x);
            assert_eq!(sheet.rgb[at..at + 3], [number as u8 + 1, 0, 0]);
        }
    }

    #[test]
    fn a_sheet_that_no_viewer_opens_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let one = files(dir.path(), 1).remove(0);
        let error = contact_sheet(&vec![one; 20_000], "all").unwrap_err().to_string();
        assert!(error.starts_with("a sheet of 20000 pictures") && error.contains("--every K"), "{error}");
        assert_eq!(contact_sheet(&[], "").unwrap_err().to_string(), "there are no pictures to show");
    }
}
