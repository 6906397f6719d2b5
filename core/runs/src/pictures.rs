//! Pictures: what came and what was predicted, side by side.
use super::{FileError, RecordError};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// A picture, three bytes (red, green, blue) a pixel, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Its bytes: `3 * width * height`.
    pub rgb: Vec<u8>,
}

/// A picture of an observation and one of its prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PicturePair {
    /// The step that the observation came in.
    pub step: u64,
    /// The stream that it came from.
    pub stream: u64,
    /// What came: shown on the left.
    pub observation: Picture,
    /// What was predicted of it: shown on the right; `None` (a stream's first frame) leaves the place empty.
    pub prediction: Option<Picture>,
}

/// Most pixels a side of one picture.
const LARGEST: usize = 8_192;
/// Most pixels a side of two of them side by side.
pub(super) const LARGEST_PAIR: usize = 2 * LARGEST + 6 * GAP;
/// Small pictures are enlarged by the greatest whole factor that keeps their larger side within this.
const COMFORTABLE: usize = 256;
/// Empty pixels around and between the pictures, the frame not counted.
const GAP: usize = 6;
const BACKGROUND: [u8; 3] = [0xf2; 3];
const FRAME: [u8; 3] = [0x90; 3];

impl PicturePair {
    /// Bytes that the pair holds.
    pub(super) fn bytes(&self) -> usize {
        self.observation.rgb.len() + self.prediction.as_ref().map_or(0, |p| p.rgb.len())
    }

    /// Refuses pictures that are not what they say.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        let both = [("observation", Some(&self.observation)), ("prediction", self.prediction.as_ref())];
        for (which, picture) in both {
            let Some(&Picture { width, height, ref rgb }) = picture else { continue };
            let stream = self.stream;
            let sides = 1..=LARGEST;
            if !sides.contains(&width) || !sides.contains(&height) {
                return Err(RecordError::PictureSize { which, stream, width, height, limit: LARGEST });
            }
            if rgb.len() != 3 * width * height {
                return Err(RecordError::Picture { which, stream, width, height, bytes: rgb.len() });
            }
        }
        Ok(())
    }
}

/// The step of a picture's file.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.split_once('-')?.0.parse().ok()
}

/// Removes the pictures of steps after `step` from a directory, and those that an earlier process left half written.
pub(super) fn cut(directory: &Path, step: u64) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let half = name.starts_with('.') && name.ends_with(".tmp");
        if half || step_of(&name).is_some_and(|own| own > step) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|e| FileError::new("remove", &path, &e))?;
        }
    }
    Ok(())
}

/// Both pictures in one: the observation on the left, the prediction on the right, each in a thin frame, enlarged
/// by a whole factor so that every pixel of a small world can be seen.
///
/// # Errors
/// If the bytes of a picture do not match its size.
pub fn side_by_side(pair: &PicturePair) -> Result<Picture, RecordError> {
    pair.check()?;
    let left = &pair.observation;
    let right = pair.prediction.as_ref();
    let (right_width, right_height) = right.map_or((left.width, left.height), |p| (p.width, p.height));
    let widest = left.width.max(left.height).max(right_width).max(right_height);
    let factor = (COMFORTABLE / widest).max(1);

    let place = |side: usize| side * factor + 2; // with its frame
    let width = 3 * GAP + place(left.width) + place(right_width);
    let height = 2 * GAP + place(left.height.max(right_height));
    let mut canvas = Picture { width, height, rgb: BACKGROUND.repeat(width * height) };
    draw(&mut canvas, GAP, left, factor);
    if let Some(right) = right {
        draw(&mut canvas, 2 * GAP + place(left.width), right, factor);
    }
    Ok(canvas)
}

/// The observation and the prediction of a picture that [`side_by_side`] made, each as it was enlarged there; `None` if it is no
/// such picture.
pub fn apart(both: &Picture) -> Option<(Picture, Option<Picture>)> {
    let frame = |x: usize, y: usize| {
        let at = 3 * (y * both.width + x);
        x < both.width && y < both.height && both.rgb.get(at..at + 3) == Some(&FRAME)
    };
    // A picture in its frame, whose upper left corner is in this column.
    let framed = |left: usize| -> Option<Picture> {
        let width = (left..both.width).take_while(|x| frame(*x, GAP)).count().checked_sub(2)?;
        let height = (GAP..both.height).take_while(|y| frame(left, *y)).count().checked_sub(2)?;
        let rows = (GAP + 1..=GAP + height).flat_map(|y| {
            let start = 3 * (y * both.width + left + 1);
            &both.rgb[start..start + 3 * width]
        });
        (width > 0 && height > 0).then(|| Picture { width, height, rgb: rows.copied().collect() })
    };
    let observation = framed(GAP)?;
    let right = 2 * GAP + observation.width + 2;
    let prediction = framed(right);
    let width = prediction.as_ref().map_or(both.width, |p| right + p.width + 2 + GAP);
    (width == both.width).then_some((observation, prediction))
}

/// Draws a picture enlarged at the top of the canvas, `x` pixels from the left, with its frame.
fn draw(canvas: &mut Picture, x: usize, picture: &Picture, factor: usize) {
    let (width, height) = (picture.width * factor, picture.height * factor);
    fill(canvas, x, GAP, width + 2, height + 2, FRAME);
    let mut wide = Vec::with_capacity(3 * width);
    for (y, row) in picture.rgb.chunks_exact(3 * picture.width).enumerate() {
        wide.clear();
        for pixel in row.as_chunks::<3>().0 {
            for _ in 0..factor {
                wide.extend_from_slice(pixel);
            }
        }
        for copy in 0..factor {
            let start = 3 * ((GAP + 1 + y * factor + copy) * canvas.width + x + 1);
            canvas.rgb[start..start + wide.len()].copy_from_slice(&wide);
        }
    }
}

fn fill(canvas: &mut Picture, x: usize, y: usize, width: usize, height: usize, colour: [u8; 3]) {
    for row in y..y + height {
        let start = 3 * (row * canvas.width + x);
        canvas.rgb[start..start + 3 * width].as_chunks_mut::<3>().0.fill(colour);
    }
}

/// The bytes of a PNG file.
pub(super) fn png(picture: &Picture) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // The step may need this core: a picture a little larger is the better bargain.
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&picture.rgb)?;
    Ok(bytes)
}

/// Writes a file whole or not at all, as far as the process is concerned that may be killed: what a machine that goes down
/// takes with it is no more than pictures.
pub(super) fn save(path: &Path, png: &[u8]) -> Result<(), FileError> {
    let write = || {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".tmp");
        let beside = path.with_file_name(name);
        let written = fs::write(&beside, png).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            let _ = fs::remove_file(&beside); // it holds room; the error to report is the write's
        }
        written
    };
    write().map_err(|e| FileError::new("write", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world of 4×3 pixels: red, with one pixel of another colour at (3, 1).
    fn world(dot: [u8; 3]) -> Picture {
        let mut rgb = [200, 0, 0].repeat(12);
        rgb[3 * 7..3 * 8].copy_from_slice(&dot);
        Picture { width: 4, height: 3, rgb }
    }

    fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * picture.width + x);
        [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
    }

    #[test]
    fn the_observation_is_left_the_prediction_right_and_every_pixel_enlarged() {
        let pair = PicturePair {
            step: 1,
            stream: 0,
            observation: world([0, 255, 0]),
            prediction: Some(world([0, 0, 255])),
        };
        let both = side_by_side(&pair).unwrap();
        assert_eq!((both.width, both.height), (3 * 6 + 2 * (4 * 64 + 2), 2 * 6 + 3 * 64 + 2));
        assert_eq!(both.rgb.len(), 3 * both.width * both.height);
        let (left, right) = (7, 7 + 256 + 8);
        assert_eq!(pixel(&both, 0, 0), BACKGROUND);
        assert_eq!(pixel(&both, left - 1, 6), FRAME);
        for corner in [(0, 0), (63, 63)] {
            let (x, y) = (3 * 64 + corner.0, 7 + 64 + corner.1);
            assert_eq!(pixel(&both, left + x, y), [0, 255, 0]);
            assert_eq!(pixel(&both, right + x, y), [0, 0, 255]);
        }
        assert_eq!(pixel(&both, left + 3 * 64 - 1, 7 + 64), [200, 0, 0]);
        assert_eq!(pixel(&both, right + 256, 7), FRAME);

        let (observation, prediction) = apart(&both).unwrap();
        assert_eq!((observation.width, observation.height), (4 * 64, 3 * 64));
        assert_eq!(pixel(&observation, 255, 127), [0, 255, 0]);
        assert_eq!(pixel(&prediction.unwrap(), 255, 127), [0, 0, 255]);

        let png = png(&both).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        assert!(rgb == both.rgb, "the PNG holds the same pixels");
    }

    #[test]
    fn sizes_may_differ_and_a_prediction_may_be_missing() {
        let large = Picture { width: 300, height: 10, rgb: vec![9; 9_000] };
        let pair = PicturePair { step: 1, stream: 0, observation: large.clone(), prediction: None };
        let both = side_by_side(&pair).unwrap();
        assert_eq!((both.width, both.height), (18 + 2 * 302, 12 + 12), "large pictures stay as they are");
        assert_eq!(pixel(&both, 12 + 302 + 5, 10), BACKGROUND);
        assert_eq!(apart(&both), Some((pair.observation.clone(), None)));
        let pair = PicturePair { prediction: Some(world([1; 3])), ..pair };
        let both = side_by_side(&pair).unwrap();
        assert_eq!((both.width, both.height), (18 + 302 + 6, 24));
        assert_eq!(apart(&both), Some((pair.observation.clone(), pair.prediction.clone())));
        assert_eq!(apart(&pair.observation), None, "that is one picture");
        let pair = PicturePair { observation: world([1; 3]), prediction: Some(large), ..pair };
        assert_eq!(side_by_side(&pair).unwrap().width, 18 + 302 + 6);
    }

    #[test]
    fn a_picture_that_is_not_what_it_says_is_refused_by_name() {
        let good = world([1; 3]);
        let short = Picture { rgb: vec![0; 35], ..good.clone() };
        let pair = PicturePair { step: 1, stream: 3, observation: good.clone(), prediction: Some(short) };
        assert_eq!(
            side_by_side(&pair).unwrap_err().to_string(),
            "the prediction picture of stream 3 says 4×3 but brings 35 bytes, where such a picture has 36; this \
             is the environment's `picture` to mend"
        );
        let empty = Picture { width: 0, height: 3, rgb: vec![] };
        let pair = PicturePair { observation: empty, prediction: None, ..pair };
        assert!(side_by_side(&pair).unwrap_err().to_string().contains("is 0×3; pictures have 1 to 8192"));
    }
}
