//! Pictures and their labels, as observations.
use crate::idx;
use crate::options::{Options, Source};
use efference_sdk::{Random, Result, derive_seed, ensure};
use flate2::Crc;

/// Pictures with their labels. An observation is a picture, row by row, and then the classes.
pub(crate) struct Dataset {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) classes: usize,
    pixels: Vec<u8>,
    /// One a picture; below `classes`.
    labels: Vec<u32>,
    /// Whether the labels follow from a seed.
    random: bool,
    /// CRC-32 of what was read.
    checksum: u32,
}

impl Dataset {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let pictures = idx::pictures(&options.images, options.count)?;
        let idx::Pictures { rows, columns, pixels } = shrink(pictures, options.shrink)?;
        let mut crc = Crc::new();
        crc.update(&[rows, columns].map(usize::to_le_bytes).concat());
        crc.update(&pixels);
        let random = options.labels == Source::Random;
        let (classes, labels) = if random {
            (options.classes, random_labels(seed, options.count, options.classes))
        } else {
            let path = &options.label_file;
            let mut labels = idx::labels(path)?;
            ensure!(
                labels.len() >= options.count,
                "count = {}, but {path} holds {} labels: set environment.count to that or less",
                options.count,
                labels.len()
            );
            // Of all, so that `count` does not change what an observation is.
            let classes = labels.iter().max().map_or(0, |most| usize::from(*most) + 1);
            labels.truncate(options.count);
            crc.update(&classes.to_le_bytes());
            crc.update(&labels);
            (classes, labels.into_iter().map(u32::from).collect())
        };
        Ok(Dataset { rows, columns, classes, pixels, labels, random, checksum: crc.sum() })
    }

    /// Elements of an observation, as far as the files say it at once; `None` if they are not as they should be.
    pub(crate) fn observation_of(options: &Options) -> Option<usize> {
        let [rows, columns] = idx::picture_size(&options.images).ok()?;
        let side = options.shrink;
        if rows % side != 0 || columns % side != 0 {
            return None;
        }
        let classes = match options.labels {
            Source::Random => options.classes,
            Source::File => usize::from(idx::labels(&options.label_file).ok()?.into_iter().max()?) + 1,
        };
        Some(rows / side * (columns / side) + classes)
    }

    /// How many pictures there are.
    pub(crate) fn count(&self) -> usize {
        self.labels.len()
    }

    /// Elements of a picture, with which an observation begins.
    pub(crate) fn picture(&self) -> usize {
        self.rows * self.columns
    }

    /// Elements of an observation.
    pub(crate) fn observation(&self) -> usize {
        self.picture() + self.classes
    }

    pub(crate) fn label(&self, picture: usize) -> usize {
        self.labels[picture] as usize
    }

    /// Tells files of other contents from these.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Draws the labels again if they are random.
    pub(crate) fn reseed(&mut self, seed: u64) {
        if self.random {
            self.labels = random_labels(seed, self.labels.len(), self.classes);
        }
    }

    /// Shows a picture: 0…255 as −1…1; the label is missing.
    pub(crate) fn show_picture(&self, picture: usize, observation: &mut [f32]) {
        let (to, label) = observation.split_at_mut(self.picture());
        let from = &self.pixels[picture * to.len()..];
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from(*from) / 127.5 - 1.0;
        }
        label.fill(f32::NAN);
    }

    /// Shows the label of a picture: 1 for its class, −1 for the others; the picture is missing.
    pub(crate) fn show_label(&self, picture: usize, observation: &mut [f32]) {
        let (to, label) = observation.split_at_mut(self.picture());
        to.fill(f32::NAN);
        label.fill(-1.0);
        label[self.label(picture)] = 1.0;
    }
}

/// Replaces squares of pixels by their mean, rounded to the nearest, half up.
fn shrink(pictures: idx::Pictures, side: usize) -> Result<idx::Pictures> {
    let idx::Pictures { rows, columns, pixels } = &pictures;
    if side == 1 {
        return Ok(pictures);
    }
    ensure!(
        rows % side == 0 && columns % side == 0,
        "shrink = {side}, but pictures of {rows} × {columns} pixels are not made of squares of {side} × {side}: set environment.shrink to a divisor of both sides"
    );
    let area = (side * side) as u32;
    let mut means = Vec::with_capacity(pixels.len() / area as usize);
    // A strip is as high as a square.
    for strip in pixels.chunks(side * columns) {
        for left in (0..*columns).step_by(side) {
            let rows = strip.chunks(*columns).map(|row| &row[left..left + side]);
            let sum: u32 = rows.flatten().map(|pixel| u32::from(*pixel)).sum();
            means.push(((sum + area / 2) / area) as u8);
        }
    }
    Ok(idx::Pictures { rows: rows / side, columns: columns / side, pixels: means })
}

fn random_labels(seed: u64, count: usize, classes: usize) -> Vec<u32> {
    let mut random = Random::new(derive_seed(seed, "labels"));
    (0..count).map(|_| random.below(classes as u64) as u32).collect()
}
