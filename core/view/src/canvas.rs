//! A picture that others, and short texts, are put onto.
use efference_runs::Picture;
use font8x8::legacy::BASIC_LEGACY;

/// The ground of sheets and animations, the same as that of the recorder's pictures.
const GROUND: [u8; 3] = [0xf2; 3];
const INK: [u8; 3] = [0x30; 3];
/// Pixels of a letter's side, enlarged.
pub(crate) const LETTER: usize = 8 * ENLARGED;
const ENLARGED: usize = 2;

/// A picture that is being made.
pub(crate) struct Canvas(pub(crate) Picture);

impl Canvas {
    /// An empty one.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Canvas(Picture { width, height, rgb: GROUND.repeat(width * height) })
    }

    /// Puts a picture here; what lies outside is cut off.
    pub(crate) fn put(&mut self, picture: &Picture, x: usize, y: usize) {
        let width = picture.width.min(self.0.width.saturating_sub(x));
        let rows = picture.rgb.chunks_exact(3 * picture.width.max(1));
        for (row, at) in rows.zip(y..self.0.height) {
            let start = 3 * (at * self.0.width + x);
            self.0.rgb[start..start + 3 * width].copy_from_slice(&row[..3 * width]);
        }
    }

    /// Writes a line of ASCII; other letters become question marks.
    pub(crate) fn write(&mut self, text: &str, x: usize, y: usize) {
        for (letter, left) in text.chars().zip((x..).step_by(LETTER)) {
            let known = usize::try_from(u32::from(letter)).ok().and_then(|code| BASIC_LEGACY.get(code));
            let rows = known.unwrap_or(&BASIC_LEGACY[b'?' as usize]);
            for (row, bits) in rows.iter().enumerate() {
                for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                    self.square(left + column * ENLARGED, y + row * ENLARGED);
                }
            }
        }
    }

    fn square(&mut self, x: usize, y: usize) {
        for y in (y..y + ENLARGED).take_while(|y| *y < self.0.height) {
            for x in (x..x + ENLARGED).take_while(|x| *x < self.0.width) {
                let at = 3 * (y * self.0.width + x);
                self.0.rgb[at..at + 3].copy_from_slice(&INK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_upright_and_nothing_is_written_outside() {
        let mut canvas = Canvas::new(LETTER + 3, LETTER);
        canvas.write("LL", 0, 0);
        let inked = |x: usize, y: usize| canvas.0.rgb[3 * (y * canvas.0.width + x)] == INK[0];
        // An L has its stem on the left and its foot at the bottom.
        let column = |x: usize| (0..LETTER).filter(|y| inked(x, *y)).count();
        let row = |y: usize| (0..LETTER).filter(|x| inked(*x, y)).count();
        let stem = (0..LETTER).max_by_key(|x| column(*x)).unwrap();
        let foot = (0..LETTER).max_by_key(|y| row(*y)).unwrap();
        assert!(stem < LETTER / 2 && foot > LETTER / 2, "stem {stem}, foot {foot}");
    }

    #[test]
    fn a_picture_that_is_too_large_is_cut_off() {
        let mut canvas = Canvas::new(3, 2);
        canvas.put(&Picture { width: 2, height: 3, rgb: (0..18).collect() }, 2, 1);
        assert_eq!(canvas.0.rgb[3 * 5..], [0, 1, 2]);
        assert_eq!(canvas.0.rgb[..3 * 5], GROUND.repeat(5));
    }
}
