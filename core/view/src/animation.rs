//! Pictures over time, as an animated GIF.
use crate::canvas::{Canvas, LETTER};
use crate::sheet::{SheetError, label};
use efference_runs::{Picture, PictureFile, read_picture};
use gif::{Encoder, Frame, Repeat};

/// Empty pixels around the picture.
const GAP: usize = 8;
/// How long a picture is shown, in hundredths of a second.
const DELAY: u16 = 20;
/// How long the last one is, before it begins again.
const LAST_DELAY: u16 = 150;
/// How thoroughly colours are looked for where a frame has more than 256: 1 the best, 30 the quickest.
const SPEED: i32 = 10;

/// A GIF that shows these pictures one after the other, each with its step, again and again.
///
/// # Errors
/// If a picture can't be read.
pub fn animation(files: &[PictureFile]) -> Result<Vec<u8>, SheetError> {
    let pictures: Vec<Picture> =
        files.iter().map(|file| read_picture(&file.path)).collect::<Result<_, _>>()?;
    let widest = pictures.iter().map(|p| p.width).max().ok_or(SheetError::Empty)?;
    let highest = pictures.iter().map(|p| p.height).max().ok_or(SheetError::Empty)?;
    let labels: Vec<String> = files.iter().map(label).collect();
    let longest = labels.iter().map(String::len).max().unwrap_or_default() * LETTER;
    let (width, height) = (widest.max(longest + 2 * GAP), highest + LETTER + 2 * GAP);
    let failed = |e: String| SheetError::Encode(e);
    let too_large =
        |_| failed(format!("{width}×{height} pixels are more than a GIF can have, 65,535 a side"));
    let side = |side: usize| u16::try_from(side).map_err(too_large);
    let (gif_width, gif_height) = (side(width)?, side(height)?);

    let mut bytes = Vec::new();
    let mut encoder =
        Encoder::new(&mut bytes, gif_width, gif_height, &[]).map_err(|e| failed(e.to_string()))?;
    encoder.set_repeat(Repeat::Infinite).map_err(|e| failed(e.to_string()))?;
    for (number, (picture, label)) in pictures.iter().zip(&labels).enumerate() {
        let mut canvas = Canvas::new(width, height);
        canvas.write(label, GAP, GAP);
        canvas.put(picture, 0, LETTER + 2 * GAP);
        let mut frame = Frame::from_rgb_speed(gif_width, gif_height, &canvas.0.rgb, SPEED);
        frame.delay = if number + 1 == pictures.len() { LAST_DELAY } else { DELAY };
        encoder.write_frame(&frame).map_err(|e| failed(e.to_string()))?;
    }
    drop(encoder);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::encode;
    use gif::{ColorOutput, DecodeOptions};
    use std::fs;

    #[test]
    fn each_picture_is_a_frame_with_its_own_pixels() {
        let dir = tempfile::tempdir().unwrap();
        let file = |step: u64| {
            let rgb: Vec<u8> = (0..150 * 4).flat_map(|i: u32| [step as u8, i as u8, 77]).collect();
            let path = dir.path().join(format!("{step}.png"));
            fs::write(&path, encode(&Picture { width: 150, height: 4, rgb }).unwrap()).unwrap();
            PictureFile { step, stream: 0, path }
        };
        let files = [file(10), file(250)];
        let gif = animation(&files).unwrap();
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        let mut decoder = options.read_info(&gif[..]).unwrap();
        assert_eq!((decoder.width(), decoder.height()), (150, 4 + 16 + 16));
        for (step, delay) in [(10_u8, DELAY), (250, LAST_DELAY)] {
            let frame = decoder.read_next_frame().unwrap().unwrap();
            assert_eq!(frame.delay, delay);
            // More than 256 colours with those of the label: nearly right is what a palette can do.
            let at = 4 * (32 * 150 + 100);
            let off = frame.buffer[at].abs_diff(step).max(frame.buffer[at + 1].abs_diff(100));
            assert!(off < 16, "{:?}", &frame.buffer[at..at + 4]);
        }
        assert!(decoder.read_next_frame().unwrap().is_none());
    }
}
