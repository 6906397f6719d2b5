//! Draws observations.
use crate::dataset::Dataset;
use efference_sdk::{Picture, Result, ensure};

/// The colour of a missing value.
const MISSING: [u8; 3] = [112, 0, 160];
/// The colour between picture and classes, and behind the last class.
const NOTHING: [u8; 3] = [64, 64, 96];

/// Black at −1, white at 1, and no further; violet where the value is missing.
fn colour(value: f32) -> [u8; 3] {
    if value.is_nan() {
        return MISSING;
    }
    [((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8; 3]
}

/// Draws the picture, a line, and below it the classes, as many in a row as the picture has columns.
pub(crate) fn draw(dataset: &Dataset, observation: &[f32]) -> Result<Picture> {
    let wanted = dataset.observation();
    ensure!(
        observation.len() == wanted,
        "there are {} features to draw, but an observation of this environment has {wanted}",
        observation.len()
    );
    let (picture, classes) = observation.split_at(dataset.picture());
    let (rows, columns) = (dataset.rows, dataset.columns);
    let scale = (256 / columns.max(rows)).clamp(1, 8);
    let cells = rows + 1 + classes.len().div_ceil(columns);
    let mut rgb = Vec::with_capacity(3 * cells * columns * scale * scale);
    for row in 0..cells {
        let start = rgb.len();
        for column in 0..columns {
            let value = if row < rows {
                picture.get(row * columns + column)
            } else {
                // Above the first class is the line.
                (row - rows).checked_sub(1).and_then(|row| classes.get(row * columns + column))
            };
            let colour = value.map_or(NOTHING, |value| colour(*value));
            (0..scale).for_each(|_| rgb.extend(colour));
        }
        let line = start..rgb.len();
        (1..scale).for_each(|_| rgb.extend_from_within(line.clone()));
    }
    Ok(Picture { width: columns * scale, height: cells * scale, rgb })
}
