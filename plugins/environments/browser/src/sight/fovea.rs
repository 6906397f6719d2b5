//! The fovea: points around the mouse that lie denser the nearer they are to it, each with a cell of pixels.
//!
//! Points are drawn until there are enough different ones: `angle = 2π·r`, `distance = r³·radius`, with `r` from mulberry32
//! seeded with 53299; `x = trunc(cos angle · distance) + radius`, `y` alike. They are numbered row by row. Each pixel of the
//! square of side `2·radius` belongs to the point that a breadth-first flood (left, right, up, down) reaches it from
//! first. This is WebEnv's fovea, cell by cell.
use crate::view::{Window, byte};
use efference_sdk::Picture;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// The seed of the points: each fovea of a radius and a number of points is the same everywhere.
const SEED: u32 = 53_299;

/// Which cell each pixel around the mouse belongs to.
#[derive(Debug)]
pub(crate) struct Fovea {
    radius: usize,
    /// Of each pixel of the square, row by row.
    cells: Vec<u32>,
    /// How many pixels each cell has.
    sizes: Vec<u32>,
}

impl Fovea {
    /// `points` is at least 1 and at most `radius²`, a third of the pixels that a point can be on: so they are found.
    pub(crate) fn new(radius: usize, points: usize) -> Self {
        let side = 2 * radius;
        let mut cells = vec![u32::MAX; side * side];
        let mut random = Mulberry32(SEED);
        let mut found = 0;
        while found < points {
            let angle = random.unit() * TAU;
            let distance = random.unit().powi(3) * radius as f64;
            let place = |part: f64| ((part * distance).trunc() + radius as f64) as usize;
            let at = place(angle.sin()) * side + place(angle.cos());
            if cells[at] == u32::MAX {
                cells[at] = 0;
                found += 1;
            }
        }
        let mut queue: VecDeque<usize> = (0..cells.len()).filter(|at| cells[*at] == 0).collect();
        for (number, at) in queue.iter().enumerate() {
            cells[*at] = number as u32;
        }
        while let Some(at) = queue.pop_front() {
            let (x, y) = (at % side, at / side);
            let neighbours = [
                (x > 0).then(|| at - 1),
                (x + 1 < side).then(|| at + 1),
                (y > 0).then(|| at - side),
                (y + 1 < side).then(|| at + side),
            ];
            for next in neighbours.into_iter().flatten() {
                if cells[next] == u32::MAX {
                    cells[next] = cells[at];
                    queue.push_back(next);
                }
            }
        }
        let mut sizes = vec![0; points];
        for cell in &cells {
            sizes[*cell as usize] += 1;
        }
        Fovea { radius, cells, sizes }
    }

    /// Appends the mean colour of each cell, red, green and blue: `(2c − 255) / 255`, where what is outside of the window
    /// counts as black; NaN for a cell in which a pixel has exactly the colour `mask`.
    pub(crate) fn observe(
        &self,
        window: &Window,
        middle: (i64, i64),
        mask: Option<[u8; 3]>,
        out: &mut Vec<f32>,
    ) {
        let side = 2 * self.radius;
        let (left, top) = (middle.0 - self.radius as i64, middle.1 - self.radius as i64);
        let mut sums = vec![[0_u32; 3]; self.sizes.len()];
        let mut masked = vec![false; self.sizes.len()];
        for (row, cells) in self.cells.chunks_exact(side).enumerate() {
            let pixels = window.row(top + row as i64).chunks_exact(3);
            // Of the row of the window and that of the square, what comes before the other begins.
            let pixels = pixels.skip(left.max(0) as usize);
            for (cell, pixel) in cells.iter().skip((-left).max(0) as usize).zip(pixels) {
                let cell = *cell as usize;
                for (sum, colour) in sums[cell].iter_mut().zip(pixel) {
                    *sum += u32::from(*colour);
                }
                masked[cell] |= mask.is_some_and(|mask| mask == *pixel);
            }
        }
        for ((sums, size), masked) in sums.iter().zip(&self.sizes).zip(masked) {
            let scale = 2.0 / (255.0 * *size as f32);
            out.extend(sums.iter().map(|sum| if masked { f32::NAN } else { *sum as f32 * scale - 1.0 }));
        }
    }

    /// Draws what [`observe`](Self::observe) appended, or a prediction of it: each pixel in the colour of its cell.
    pub(crate) fn draw(&self, observation: &[f32]) -> Picture {
        let colour = |i: usize| byte(observation.get(i).copied().unwrap_or(f32::NAN));
        let pixel = |cell: &u32| [0, 1, 2].map(|channel| colour(3 * *cell as usize + channel));
        let side = 2 * self.radius;
        Picture { width: side, height: side, rgb: self.cells.iter().flat_map(pixel).collect() }
    }
}

/// The random numbers that WebEnv draws its points with.
struct Mulberry32(u32);

impl Mulberry32 {
    /// A number in 0…1, 1 excluded.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x6D2B_79F5);
        let mut t = self.0;
        t = (t ^ (t >> 15)).wrapping_mul(t | 1);
        t ^= t.wrapping_add((t ^ (t >> 7)).wrapping_mul(t | 61));
        f64::from(t ^ (t >> 14)) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn cells_are_those_of_webenv() {
        // SHA-256 of WebEnv's own cell maps, as u32 in little-endian order.
        for (radius, points, expected) in [
            (100, 5_000, "68afc098afe90174d75bdaca428ea37c5372f9cc19b0377055fde12778082b31"),
            (200, 20_000, "14b5e2403748d0d59ad7064ee27e89ce97407d73dc1f322b2be5d3d1f1e2eb73"),
        ] {
            let fovea = Fovea::new(radius, points);
            let bytes: Vec<u8> = fovea.cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, expected, "({radius}, {points})");
            assert_eq!(fovea.sizes.iter().sum::<u32>() as usize, 4 * radius * radius);
        }
    }

    #[test]
    fn as_many_points_as_are_allowed_are_found() {
        for radius in [1, 2, 3, 7, 64] {
            let fovea = Fovea::new(radius, radius * radius);
            assert!(fovea.sizes.iter().all(|size| *size > 0));
        }
    }

    #[test]
    fn a_cell_is_the_mean_of_its_pixels_and_the_outside_is_dark() {
        // Red is 0 in the left half and 200 in the right, green is 100, blue is 255.
        let window = Window::of(8, 8, |x, _| [if x < 4 { 0 } else { 200 }, 100, 255]);
        let fovea = Fovea::new(2, 1);
        let mut out = Vec::new();
        fovea.observe(&window, (4, 4), None, &mut out);
        let expected = [100.0, 100.0, 255.0].map(|c: f32| (2.0 * c - 255.0) / 255.0);
        assert!(out.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?}");
        // Three quarters of it outside, on either side; all of it; and no window.
        for (middle, part) in [((0, 0), 0.25), ((8, 8), 0.25), ((100, 4), 0.0), ((4, -100), 0.0)] {
            out.clear();
            fovea.observe(&window, middle, None, &mut out);
            assert!((out[2] - (2.0 * part - 1.0)).abs() < 1e-6, "{middle:?}: {out:?}");
        }
        out.clear();
        fovea.observe(&Window::default(), (0, 0), None, &mut out);
        assert_eq!(out, [-1.0; 3]);
    }

    #[test]
    fn the_mask_colour_makes_its_cell_a_missing_value() {
        let window = Window::of(40, 40, |x, y| if (x, y) == (3, 5) { [250; 3] } else { [249, 250, 250] });
        let fovea = Fovea::new(20, 100);
        let mut out = Vec::new();
        fovea.observe(&window, (20, 20), Some([250; 3]), &mut out);
        let masked = fovea.cells[5 * 40 + 3] as usize;
        for (i, value) in out.iter().enumerate() {
            assert_eq!(value.is_nan(), i / 3 == masked, "{i}");
        }
        let picture = fovea.draw(&out);
        assert_eq!((picture.width, picture.height), (40, 40));
        assert_eq!(picture.rgb[3 * (5 * 40 + 3)..][..3], [128; 3], "a missing value is grey");
        assert_eq!(picture.rgb[3 * (39 * 40 + 39)..][..3], [249, 250, 250]);
        assert_eq!(fovea.draw(&[]).rgb, vec![128; 3 * 40 * 40], "nor is anything else there");
    }
}
