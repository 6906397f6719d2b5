//! Pictures of a window: decoding them, and cutting out what is observed.
use efference_sdk::Picture;
use sha2::{Digest, Sha256};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_core::result::DecodingResult;

/// A picture of the whole window: `3 · width · height` bytes, row by row; empty before the first one.
#[derive(Debug, Default)]
pub(crate) struct Window {
    rgb: Vec<u8>,
    width: usize,
    height: usize,
}

impl Window {
    /// Whether there is no picture yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.rgb.is_empty()
    }

    /// The SHA-256 of its pixels, in hexadecimal digits; empty without any.
    pub(crate) fn digest(&self) -> String {
        let digits = |digest: Vec<u8>| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.is_empty() { String::new() } else { digits(Sha256::digest(&self.rgb).to_vec()) }
    }

    /// Takes a picture in base64, a JPEG or a PNG. One that cannot be read, or is not of this size (a stale one may
    /// be), changes nothing, and `false` comes back.
    pub(crate) fn take(&mut self, base64: &[u8], width: usize, height: usize) -> bool {
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(base64) else { return false };
        match decode(&bytes, width, height) {
            Some(rgb) => {
                *self = Window { rgb, width, height };
                true
            }
            None => false,
        }
    }

    /// A window whose pixels have these colours, by column and row.
    #[cfg(test)]
    pub(crate) fn of(width: usize, height: usize, colour: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let rgb = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| colour(x, y));
        Window { rgb: rgb.collect(), width, height }
    }

    /// The colours of a row; empty outside of the window.
    pub(crate) fn row(&self, y: i64) -> &[u8] {
        match usize::try_from(y) {
            Ok(y) if y < self.height => &self.rgb[3 * self.width * y..][..3 * self.width],
            _ => &[],
        }
    }

    /// Cuts out a rectangle whose middle is at a pixel, averages squares of side `shrink`, and appends the colours
    /// to `out`, red, green, blue of each, row by row: `(2c − 255) / 255`. What is outside of the window counts
    /// as −1.
    pub(crate) fn cut(&self, middle: (i64, i64), size: (usize, usize), shrink: usize, out: &mut Vec<f32>) {
        let (columns, rows) = (size.0 / shrink, size.1 / shrink);
        let left = middle.0 - size.0 as i64 / 2;
        let top = middle.1 - size.1 as i64 / 2;
        // The columns of the rectangle that lie in the window.
        let first = (-left).clamp(0, size.0 as i64) as usize;
        let end = (self.width as i64 - left).clamp(first as i64, size.0 as i64) as usize;
        let scale = 2.0 / (255.0 * (shrink * shrink) as f32);
        let mut sums = vec![0_u32; 3 * columns];
        for row in 0..rows {
            sums.fill(0);
            for y in row * shrink..(row + 1) * shrink {
                let pixels = self.row(top + y as i64);
                if pixels.is_empty() || first == end {
                    continue;
                }
                let pixels = pixels[3 * (left + first as i64) as usize..].chunks_exact(3);
                for (x, pixel) in (first..end).zip(pixels) {
                    let sum = &mut sums[3 * (x / shrink)..][..3];
                    sum[0] += u32::from(pixel[0]);
                    sum[1] += u32::from(pixel[1]);
                    sum[2] += u32::from(pixel[2]);
                }
            }
            out.extend(sums.iter().map(|s| *s as f32 * scale - 1.0));
        }
    }
}

/// Draws what [`Window::cut`] made, or a prediction of it. Missing values, and elements that are not there, are grey.
pub(crate) fn draw(observation: &[f32], size: (usize, usize)) -> Picture {
    let count = 3 * size.0 * size.1;
    let numbers = observation.iter().copied().chain(std::iter::repeat(f32::NAN)).take(count);
    Picture { width: size.0, height: size.1, rgb: numbers.map(byte).collect() }
}

/// The brightness that a value is drawn with: 0 for −1, 255 for 1, grey for a missing one.
pub(crate) fn byte(value: f32) -> u8 {
    // A NaN stays one through `clamp`.
    if value.is_nan() { 128 } else { ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8 }
}

/// The colours of a JPEG or a PNG of exactly this size. Its header is checked before memory is taken.
fn decode(bytes: &[u8], width: usize, height: usize) -> Option<Vec<u8>> {
    let options = DecoderOptions::default()
        .set_max_width(width)
        .set_max_height(height)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .png_set_strip_to_8bit(true);
    let (rgb, channels) = if bytes.starts_with(&[0xff, 0xd8]) {
        let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().ok()?;
        if decoder.info().map(|i| (usize::from(i.width), usize::from(i.height))) != Some((width, height)) {
            return None;
        }
        (decoder.decode().ok()?, 3)
    } else {
        let mut decoder = zune_png::PngDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().ok()?;
        if decoder.dimensions() != Some((width, height)) {
            return None;
        }
        let DecodingResult::U8(pixels) = decoder.decode().ok()? else { return None };
        (pixels, decoder.colorspace()?.num_components())
    };
    if rgb.len() != width * height * channels {
        return None;
    }
    match channels {
        3 => Some(rgb),
        4 => Some(rgb.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()),
        _ => None, // Chromium makes no grey pictures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        // Red is 10 · x, green is 20 · y, blue is 255.
        Window::of(8, 6, |x, y| [10 * x as u8, 20 * y as u8, 255])
    }

    #[test]
    fn the_rectangle_is_cut_around_the_middle() {
        let mut out = Vec::new();
        window().cut((4, 3), (4, 2), 1, &mut out);
        let expected: Vec<f32> = (2..4)
            .flat_map(|y| (2..6).flat_map(move |x| [10 * x, 20 * y, 255]))
            .map(|c| (2.0 * c as f32 - 255.0) / 255.0)
            .collect();
        assert_eq!(out.len(), expected.len());
        assert!(out.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?}, not {expected:?}");
        let picture = draw(&out, (4, 2));
        assert_eq!(&picture.rgb[..6], [20, 40, 255, 30, 40, 255]);
    }

    #[test]
    fn squares_are_averaged_and_the_outside_is_dark() {
        let mut out = Vec::new();
        window().cut((0, 0), (4, 4), 2, &mut out);
        assert_eq!(out.len(), 12);
        assert_eq!(out[..9], [-1.0; 9], "above and to the left there is nothing");
        // Pixels (0, 0), (1, 0), (0, 1), (1, 1): red 0, 10, 0, 10.
        assert!((out[9] - (2.0 * 5.0 / 255.0 - 1.0)).abs() < 1e-6);
        assert!((out[11] - 1.0).abs() < 1e-6);
        // Far outside, much larger than the window, and without a window.
        for (middle, size) in [((900, 900), (4, 4)), ((4, 3), (40, 60)), ((-900, 3), (4, 4))] {
            out.clear();
            window().cut(middle, size, 2, &mut out);
            assert_eq!(out.len(), 3 * size.0 * size.1 / 4);
        }
        out.clear();
        Window::default().cut((0, 0), (2, 2), 1, &mut out);
        assert_eq!(out, [-1.0; 12]);
    }

    #[test]
    fn predictions_of_any_kind_are_drawn() {
        let picture = draw(&[f32::NAN, f32::INFINITY, -7.0, 0.0], (2, 1));
        assert_eq!(picture.rgb, [128, 255, 0, 128, 128, 128]);
    }

    #[test]
    fn what_is_no_picture_changes_nothing() {
        let mut window = window();
        let before = window.rgb.clone();
        for bad in ["", "!", "AAAA", "/9j/4AAQSkZJRgAB", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"] {
            assert!(!window.take(bad.as_bytes(), 8, 6));
        }
        assert_eq!(window.rgb, before);
    }
}
