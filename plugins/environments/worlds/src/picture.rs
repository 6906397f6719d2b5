//! From numbers to colours.
use efference_sdk::{Picture, Result, ensure};

/// The colour of a missing value.
pub(crate) const MISSING: [u8; 3] = [112, 0, 160];

/// Black at −1, white at 1, and no further; violet where the value is missing.
pub(crate) fn colour(number: f32) -> [u8; 3] {
    if number.is_nan() {
        return MISSING;
    }
    [((number.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8; 3]
}

/// Draws a grid of cells, each `scale × scale` pixels, in the colour that `cell` gives for (row, column).
pub(crate) fn grid(
    rows: usize,
    columns: usize,
    scale: usize,
    cell: impl Fn(usize, usize) -> [u8; 3],
) -> Picture {
    let (width, height) = (columns * scale, rows * scale);
    let mut rgb = Vec::with_capacity(3 * width * height);
    for row in 0..rows {
        let start = rgb.len();
        for column in 0..columns {
            let colour = cell(row, column);
            (0..scale).for_each(|_| rgb.extend(colour));
        }
        let line = start..rgb.len();
        (1..scale).for_each(|_| rgb.extend_from_within(line.clone()));
    }
    Picture { width, height, rgb }
}

/// Draws the square picture that `bounce` and `catch` show: 8 × 8 pixels a cell, fewer where `size` is above 32.
pub(crate) fn square(size: usize, numbers: &[f32]) -> Result<Picture> {
    require_length(numbers, size * size)?;
    let scale = (256 / size).clamp(1, 8);
    Ok(grid(size, size, scale, |row, column| colour(numbers[row * size + column])))
}

/// Errors unless there are as many features as an observation has.
pub(crate) fn require_length(numbers: &[f32], wanted: usize) -> Result<()> {
    ensure!(
        numbers.len() == wanted,
        "there are {} features to draw, but an observation of this world has {wanted}",
        numbers.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_numbers_have_a_colour_too() {
        assert_eq!(colour(-1.0), [0; 3]);
        assert_eq!(colour(0.0), [128; 3]);
        assert_eq!(colour(f32::INFINITY), [255; 3]);
        assert_eq!(colour(-7.0), [0; 3]);
        assert_eq!(colour(f32::NAN), MISSING);
    }

    #[test]
    fn each_cell_is_a_square_of_its_colour() {
        let picture = grid(2, 3, 2, |row, column| [row as u8, column as u8, 9]);
        assert_eq!((picture.width, picture.height), (6, 4));
        for (i, pixel) in picture.rgb.chunks(3).enumerate() {
            let (y, x) = (i / 6, i % 6);
            assert_eq!(pixel, [(y / 2) as u8, (x / 2) as u8, 9], "pixel {x}, {y}");
        }
    }
}
