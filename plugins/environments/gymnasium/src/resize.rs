//! Pictures of another size: each pixel is the mean of the area that it covers.

/// How pictures of one size become pictures of another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resize {
    from: [usize; 2],
    to: [usize; 2],
    channels: usize,
    grey: bool,
    /// A row of the old width, at its new height.
    row: Vec<f32>,
}

/// How much red, green and blue count in grey (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

impl Resize {
    /// From and to so many rows and columns. Of `channels` channels, 3 of which can become one that is grey.
    pub(crate) fn new(from: [usize; 2], to: [usize; 2], channels: usize, grey: bool) -> Resize {
        let grey = grey && channels == 3;
        let row = vec![0.0; from[1] * if grey { 1 } else { channels }];
        Resize { from, to, channels, grey, row }
    }

    /// Channels of the new picture.
    pub(crate) fn channels(&self) -> usize {
        if self.grey { 1 } else { self.channels }
    }

    /// Elements of the new picture.
    pub(crate) fn elements(&self) -> usize {
        self.to[0] * self.to[1] * self.channels()
    }

    /// Appends the new picture, in the units of the old one.
    pub(crate) fn apply(&mut self, picture: &[u8], to: &mut Vec<f32>) {
        let channels = self.channels();
        let stride = self.from[1] * self.channels;
        for y in 0..self.to[0] {
            self.row.fill(0.0);
            covered(y, self.from[0], self.to[0], |from, weight| {
                let pixels = &picture[from * stride..][..stride];
                if self.grey {
                    let [red, green, blue] = GREY.map(|share| share * weight);
                    for (sum, pixel) in self.row.iter_mut().zip(pixels.as_chunks::<3>().0) {
                        let [r, g, b] = pixel.map(f32::from);
                        *sum += red * r + green * g + blue * b;
                    }
                } else {
                    for (sum, value) in self.row.iter_mut().zip(pixels) {
                        *sum += weight * f32::from(*value);
                    }
                }
            });
            if self.from[1] == self.to[1] {
                to.extend_from_slice(&self.row);
                continue;
            }
            for x in 0..self.to[1] {
                let start = to.len();
                to.resize(start + channels, 0.0);
                covered(x, self.from[1], self.to[1], |from, weight| {
                    let pixel = &self.row[from * channels..][..channels];
                    to[start..].iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
                });
            }
        }
    }
}

/// Which of `from` old places the new place `at` of `to` covers, and how much of the new one each of them is.
fn covered(at: usize, from: usize, to: usize, mut each: impl FnMut(usize, f32)) {
    // In units of 1 / to of an old place, so that it is exact.
    let (begin, end) = (at * from, (at + 1) * from);
    let mut old = begin / to;
    while old * to < end {
        let share = end.min((old + 1) * to) - begin.max(old * to);
        each(old, share as f32 / from as f32);
        old += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(picture: &[u8], from: [usize; 2], to: [usize; 2], channels: usize, grey: bool) -> Vec<f32> {
        let mut resize = Resize::new(from, to, channels, grey);
        let mut pixels = Vec::new();
        resize.apply(picture, &mut pixels);
        assert_eq!(pixels.len(), resize.elements());
        pixels.iter().map(|pixel| (pixel * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn a_pixel_is_the_mean_of_the_area_that_it_covers() {
        let picture = [0, 30, 60, 90, 120, 150];
        assert_eq!(resized(&picture, [2, 3], [1, 3], 1, false), [45.0, 75.0, 105.0]);
        // Half of the middle column belongs to each side: (0 + 15) / 1.5.
        assert_eq!(resized(&picture, [2, 3], [2, 2], 1, false), [10.0, 50.0, 100.0, 140.0]);
        assert_eq!(resized(&picture, [2, 3], [1, 1], 1, false), [75.0]);
        assert_eq!(resized(&[7, 9], [1, 2], [2, 4], 1, false), [7.0, 7.0, 9.0, 9.0, 7.0, 7.0, 9.0, 9.0]);
        assert_eq!(resized(&picture, [1, 2], [1, 1], 3, false), [45.0, 75.0, 105.0]);
    }

    #[test]
    fn grey_is_a_weighted_mean_of_the_colours() {
        let picture = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(resized(&picture, [2, 2], [2, 2], 3, true), [76.245, 149.685, 29.07, 255.0]);
        assert_eq!(resized(&picture, [2, 2], [1, 1], 3, true), [127.5]);
        // What is grey already stays so.
        assert_eq!(resized(&[5, 6], [1, 2], [1, 2], 1, true), [5.0, 6.0]);
    }
}
