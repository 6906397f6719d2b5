//! What a stream observes, as a spec says it.
use efference_sdk::{Error, Result, ensure};

efference_sdk::options! {
    /// The whole window.
    pub struct Viewport {
        /// Squares of this side, in pixels, are averaged to one colour; it must divide the window's width and height.
        #[schemars(range(min = 1, max = 256))]
        pub shrink: usize = 8,
    }
}

efference_sdk::options! {
    /// A rectangle around the mouse.
    pub struct MouseRectangle {
        /// Width in pixels; a multiple of `shrink`.
        #[schemars(range(min = 1, max = 4096))]
        pub width: usize = 128,
        /// Height in pixels; a multiple of `shrink`.
        #[schemars(range(min = 1, max = 4096))]
        pub height: usize = 128,
        /// Squares of this side, in pixels, are averaged to one colour.
        #[schemars(range(min = 1, max = 256))]
        pub shrink: usize = 4,
    }
}

efference_sdk::options! {
    /// Points around the mouse, the denser the nearer.
    pub struct FoveaOptions {
        /// Half the side of the square that is seen, in pixels.
        #[schemars(range(min = 1, max = 1024))]
        pub radius: usize = 100,
        /// Colours that are seen; at most `radius²`.
        #[schemars(range(min = 1, max = 1_048_576))]
        pub points: usize = 5_000,
        /// A pixel of exactly this colour, "#rrggbb", makes its cell a missing value (exact with `image = "png"` only); empty: none does.
        pub mask: String = "#fafafa".to_owned(),
    }
}

efference_sdk::options! {
    /// How much later the picture was drawn than that of the last frame.
    pub struct FrameTime {
        /// Seconds that are 1; none are −1.
        #[schemars(range(min = 0.001, max = 3600.0))]
        pub longest: f64 = 0.2,
    }
}

efference_sdk::options! {
    /// Where the mouse is.
    pub struct MousePosition {}
}

efference_sdk::options! {
    /// The same value for ever.
    pub struct Constant {
        /// The value.
        #[schemars(range(min = -1.0, max = 1.0))]
        pub value: f64 = 1.0,
    }
}

efference_sdk::options! {
    /// The vector that the page offers by `directLink(vector)`.
    pub struct Link {
        /// Its elements. Vectors of another size, or with an element that is not finite, are not taken.
        #[schemars(range(min = 1, max = 4_096))]
        pub size: usize = 16,
    }
}

efference_sdk::options! {
    /// What the page sounds like.
    pub struct Audio {
        /// How many samples are observed: the newest, the oldest of them first.
        #[schemars(range(min = 1, max = 65_536))]
        pub samples: usize = 2_048,
        /// Samples a second.
        #[schemars(range(min = 8_000, max = 96_000))]
        pub rate: usize = 44_100,
    }
}

efference_sdk::options! {
    /// A part of what a stream observes.
    pub enum See by "kind" {
        /// The whole window: red, green and blue of each colour, row by row from the top left.
        Viewport(Viewport),
        /// A rectangle around the mouse, as the viewport; −1 outside of the window.
        MouseRectangle(MouseRectangle),
        /// Points that lie denser the nearer they are to the mouse, each with the mean colour of the pixels nearest to it; red, green and blue of each point, row by row.
        Fovea(FoveaOptions),
        /// One element: how much later the picture was drawn than that of the last frame; −1 if it is the same.
        FrameTime(FrameTime),
        /// Two elements: −1 at the left and at the top of the window, 1 at the right and at the bottom.
        MousePosition(MousePosition),
        /// One element that is always the same.
        Constant(Constant),
        /// The newest vector that the page offered by `directLink(vector)`; missing values before the first one.
        Link(Link),
        /// The newest samples of the page's sound, both sides mixed; 0 is silence.
        Audio(Audio),
    }
}

impl See {
    /// How many elements it has in an observation of a window of this width and height.
    pub(super) fn features(&self, window: (usize, usize)) -> usize {
        let colours = |width: usize, height: usize, shrink: usize| 3 * (width / shrink) * (height / shrink);
        match self {
            See::Viewport(v) => colours(window.0, window.1, v.shrink),
            See::MouseRectangle(r) => colours(r.width, r.height, r.shrink),
            See::Fovea(f) => 3 * f.points,
            See::FrameTime(_) | See::Constant(_) => 1,
            See::MousePosition(_) => 2,
            See::Link(l) => l.size,
            See::Audio(a) => a.samples,
        }
    }

    /// Checks what the ranges cannot say.
    pub(super) fn check(&self, window: (usize, usize)) -> Result<()> {
        match self {
            See::Viewport(Viewport { shrink }) => {
                let (width, height) = window;
                ensure!(
                    width.is_multiple_of(*shrink) && height.is_multiple_of(*shrink),
                    "shrink = {shrink} must divide the window's width = {width} and height = {height}"
                );
            }
            See::MouseRectangle(MouseRectangle { width, height, shrink }) => {
                ensure!(
                    width.is_multiple_of(*shrink) && height.is_multiple_of(*shrink),
                    "width = {width} and height = {height} must be multiples of shrink = {shrink}"
                );
                // Around a mouse in a corner there is no more of the page than twice its size shows.
                let (most, highest) = (2 * window.0, 2 * window.1);
                ensure!(
                    *width <= most && *height <= highest,
                    "width = {width} and height = {height} show nothing of the page beyond {most} and {highest}, twice \
                     the window"
                );
            }
            See::Fovea(FoveaOptions { radius, points, mask }) => {
                ensure!(
                    *points <= radius * radius,
                    "points = {points}: a fovea of radius = {radius} has room for {}, the square of it",
                    radius * radius
                );
                colour(mask)?;
            }
            See::FrameTime(_) | See::MousePosition(_) | See::Constant(_) | See::Link(_) | See::Audio(_) => {}
        }
        Ok(())
    }
}

/// A colour as "#rrggbb"; `None` for an empty text.
pub(super) fn colour(text: &str) -> Result<Option<[u8; 3]>> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match number.map(u32::to_be_bytes) {
        Some([_, red, green, blue]) => Ok(Some([red, green, blue])),
        None => Err(Error::msg(format!("mask = {text:?} is no colour; write it like \"#fafafa\""))),
    }
}
