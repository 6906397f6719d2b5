//! Pictures in letters: two pixels in each, one above the other, as the upper half block in two colours; without
//! colours one pixel, as a letter that is as dense as it is dark.
use efference_runs::Picture;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

/// From dark to bright, on a dark ground.
const SHADES: &[u8] = b" .:-=+*#%@";

/// Draws a picture as large as fits into the area, at its top left; returns how many columns it took.
pub(super) fn draw(picture: &Picture, area: Rect, colour: bool, buffer: &mut Buffer) -> u16 {
    if area.is_empty() || picture.width == 0 || picture.height == 0 {
        return 0;
    }
    // A letter is about twice as high as it is wide, so half of one is a square.
    let (most_wide, most_high) = (usize::from(area.width), 2 * usize::from(area.height));
    let scale = (most_wide as f64 / picture.width as f64).min(most_high as f64 / picture.height as f64);
    let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).max(1);
    let (width, height) = (side(picture.width).min(most_wide), side(picture.height).min(most_high));
    for row in 0..height.div_ceil(2) {
        for column in 0..width {
            let half = |y: usize| (y < height).then(|| mean(picture, column, y, width, height));
            let (upper, lower) = (half(2 * row), half(2 * row + 1));
            let cell = &mut buffer[(area.x + column as u16, area.y + row as u16)];
            let upper = upper.unwrap_or_default();
            if colour {
                cell.set_char('▀').set_fg(rgb(upper));
                if let Some(lower) = lower {
                    cell.set_bg(rgb(lower));
                }
            } else {
                let lower = lower.unwrap_or(upper);
                let sum: usize = upper.iter().chain(&lower).map(|c| usize::from(*c)).sum();
                cell.set_char(char::from(SHADES[sum * (SHADES.len() - 1) / (6 * 255)]));
            }
        }
    }
    width as u16
}

fn rgb([red, green, blue]: [u8; 3]) -> Color {
    Color::Rgb(red, green, blue)
}

/// The mean of the pixels that become one, of `width` × `height`.
fn mean(picture: &Picture, x: usize, y: usize, width: usize, height: usize) -> [u8; 3] {
    let range = |at: usize, of: usize, pixels: usize| {
        let start = at * pixels / of;
        start..((at + 1) * pixels / of).max(start + 1)
    };
    let mut sums = [0_u64; 3];
    let mut count = 0;
    for y in range(y, height, picture.height) {
        for x in range(x, width, picture.width) {
            let at = 3 * (y * picture.width + x);
            for (sum, byte) in sums.iter_mut().zip(&picture.rgb[at..at + 3]) {
                *sum += u64::from(*byte);
            }
            count += 1;
        }
    }
    sums.map(|sum| (sum / count) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red over green, blue over white.
    fn four() -> Picture {
        Picture { width: 2, height: 2, rgb: vec![255, 0, 0, 0, 0, 255, 0, 255, 0, 255, 255, 255] }
    }

    #[test]
    fn a_letter_shows_two_pixels() {
        let area = Rect::new(0, 0, 2, 1);
        let mut buffer = Buffer::empty(area);
        assert_eq!(draw(&four(), area, true, &mut buffer), 2);
        let cells: Vec<_> =
            (0..2).map(|x| (buffer[(x, 0)].symbol(), buffer[(x, 0)].fg, buffer[(x, 0)].bg)).collect();
        let (red, green, blue, white) =
            (Color::Rgb(255, 0, 0), Color::Rgb(0, 255, 0), Color::Rgb(0, 0, 255), Color::Rgb(255, 255, 255));
        assert_eq!(cells, [("▀", red, green), ("▀", blue, white)]);
    }

    #[test]
    fn a_large_picture_is_averaged_and_keeps_its_shape() {
        let rgb = (0..40 * 20).flat_map(|i| [if i % 2 == 0 { 0 } else { 100 }; 3]).collect();
        let picture = Picture { width: 40, height: 20, rgb };
        let area = Rect::new(0, 0, 10, 30);
        let mut buffer = Buffer::empty(area);
        assert_eq!(draw(&picture, area, true, &mut buffer), 10);
        assert_eq!(buffer[(9, 1)].bg, Color::Rgb(50, 50, 50));
        assert_eq!(buffer[(9, 2)].fg, Color::Rgb(50, 50, 50), "10 wide is 5 high, two and a half letters");
        assert_eq!(buffer[(9, 3)].symbol(), " ");
    }

    #[test]
    fn without_colours_bright_is_dense() {
        let area = Rect::new(0, 0, 2, 1);
        let mut buffer = Buffer::empty(area);
        draw(&Picture { width: 2, height: 1, rgb: vec![0, 0, 0, 255, 255, 255] }, area, false, &mut buffer);
        assert_eq!((buffer[(0, 0)].symbol(), buffer[(1, 0)].symbol()), (" ", "@"));
        assert_eq!(buffer[(1, 0)].fg, Color::Reset);
    }
}
