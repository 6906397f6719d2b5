//! Pictures as rows: each brought to the same size, from its first row on, in grey or in red, green and blue. A value is in 0…1,
//! which is black to white.
use crate::column::{Column, Values};
use crate::options::Options;
use efference_sdk::{Picture, Result, ensure};
use image::DynamicImage;
use image::imageops::thumbnail;

/// Elements of a picture, at most.
const WIDEST: usize = 1 << 22;
/// The brightest.
const WHITE: f64 = 255.0;

/// The size of all pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) grey: bool,
}

impl Size {
    pub(crate) fn of(options: &Options) -> Result<Size> {
        let Options { width, height, grey, .. } = *options;
        let size = Size { width, height, grey };
        ensure!(
            size.values() <= WIDEST,
            "width = {width} and height = {height} are {} elements, and at most {WIDEST} are shown",
            size.values()
        );
        Ok(size)
    }

    /// Values of a picture.
    pub(crate) fn values(self) -> usize {
        self.width * self.height * if self.grey { 1 } else { 3 }
    }

    /// Its column.
    pub(crate) fn columns(self) -> Vec<Column> {
        vec![Column::block("picture", self.values(), Values::Within(0.0, 1.0))]
    }

    /// Appends a picture of any size, brought to this one: each byte is the mean of the pixels that it covers.
    pub(crate) fn append(self, picture: &DynamicImage, to: &mut Vec<u8>) {
        let (width, height) = (self.width as u32, self.height as u32);
        match self.grey {
            true => to.extend_from_slice(thumbnail(&picture.to_luma8(), width, height).as_raw()),
            false => to.extend_from_slice(thumbnail(&picture.to_rgb8(), width, height).as_raw()),
        }
    }

    /// The values of a picture of this size.
    pub(crate) fn take(self, bytes: &[u8], row: &mut [f64]) {
        row.iter_mut().zip(bytes).for_each(|(value, byte)| *value = f64::from(*byte) / WHITE);
    }

    /// Draws an observation: −1 is black, 1 white; a missing value is violet.
    pub(crate) fn draw(self, observation: &[f32]) -> Picture {
        let channels = if self.grey { 1 } else { 3 };
        let mut rgb = Vec::with_capacity(3 * self.width * self.height);
        for pixel in observation.chunks_exact(channels) {
            for channel in 0..3 {
                let value = pixel[channel % channels];
                rgb.push(match value.is_nan() {
                    true => [128, 0, 128][channel],
                    false => ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8,
                });
            }
        }
        Picture { width: self.width, height: self.height, rgb }
    }
}
