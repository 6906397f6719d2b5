//! What a stream observes: the list of the options, made into numbers and drawn again.
mod config;
mod fovea;
mod heard;

pub(crate) use heard::Heard;

pub use config::{
    Audio, Constant, FoveaOptions, FrameTime, Link, MousePosition, MouseRectangle, See, Viewport,
};

use crate::options::Options;
use crate::view::{self, Window};
use efference_sdk::{Error, Picture, Result};
use fovea::Fovea;

/// What is observed of a stream at one moment.
pub(crate) struct Look<'a> {
    pub(crate) window: &'a Window,
    /// The pixel that the mouse is on.
    pub(crate) mouse: (i64, i64),
    /// Where that is, from −1 to 1.
    pub(crate) mouse_position: [f32; 2],
    /// Seconds from the picture of the last frame to this one's, if the browser says.
    pub(crate) frame_time: Option<f64>,
    pub(crate) heard: &'a Heard,
}

/// What all streams observe.
pub(crate) struct Sight {
    senses: Vec<Sense>,
}

/// One part of an observation.
struct Sense {
    features: usize,
    of: Of,
}

enum Of {
    /// Width and height in pixels, and the side of what is averaged.
    Viewport((usize, usize), usize),
    MouseRectangle((usize, usize), usize),
    /// With the mask's colour.
    Fovea(Fovea, Option<[u8; 3]>),
    /// The seconds that are 1.
    FrameTime(f64),
    MousePosition,
    Constant(f32),
    Link,
    Audio,
}

impl Options {
    /// What is observed, in order: the list of the options, or what `view_width`, `view_height` and `shrink` say.
    fn seen(&self) -> Vec<See> {
        if !self.sees.is_empty() {
            return self.sees.clone();
        }
        let (width, height, shrink) = (self.view_width, self.view_height, self.shrink);
        vec![
            See::MouseRectangle(MouseRectangle { width, height, shrink }),
            See::MousePosition(MousePosition {}),
        ]
    }

    /// Checks what the ranges cannot say of what is observed.
    pub(crate) fn check_sees(&self) -> Result<()> {
        if self.sees.is_empty() {
            return Ok(());
        }
        let (width, height, shrink) = (self.view_width, self.view_height, self.shrink);
        let usual = Options::default();
        if (width, height, shrink) != (usual.view_width, usual.view_height, usual.shrink) {
            return Err(Error::msg(
                "view_width, view_height and shrink say what is observed where there is no list; beside \
                 [[environment.sees]], say it there: kind = \"mouse_rectangle\" has them as width, height and shrink",
            ));
        }
        for (i, see) in self.sees.iter().enumerate() {
            see.check((self.width, self.height)).map_err(|e| e.in_option(format!("sees[{i}]")))?;
            let again = |one: &See| match see {
                See::Link(_) => matches!(one, See::Link(_)),
                See::Audio(_) => matches!(one, See::Audio(_)),
                _ => false,
            };
            if self.sees[..i].iter().any(again) {
                let message = "a page has one link and one sound, which are in the list already";
                return Err(Error::msg(message).in_option(format!("sees[{i}].kind")));
            }
        }
        Ok(())
    }

    /// How many elements an observation has.
    pub(crate) fn features(&self) -> usize {
        let window = (self.width, self.height);
        self.seen().iter().fold(0, |sum, see| sum.saturating_add(see.features(window)))
    }
}

impl Sight {
    /// Of options that were checked.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let sense = |see: &See| {
            let of = match see {
                See::Viewport(v) => Of::Viewport((options.width, options.height), v.shrink),
                See::MouseRectangle(r) => Of::MouseRectangle((r.width, r.height), r.shrink),
                See::Fovea(f) => Of::Fovea(Fovea::new(f.radius, f.points), config::colour(&f.mask)?),
                See::FrameTime(t) => Of::FrameTime(t.longest),
                See::MousePosition(_) => Of::MousePosition,
                See::Constant(c) => Of::Constant(c.value as f32),
                See::Link(_) => Of::Link,
                See::Audio(_) => Of::Audio,
            };
            Ok(Sense { features: see.features((options.width, options.height)), of })
        };
        Ok(Sight { senses: options.seen().iter().map(sense).collect::<Result<_>>()? })
    }

    /// Appends an observation.
    pub(crate) fn observe(&self, look: &Look<'_>, out: &mut Vec<f32>) {
        for Sense { features, of } in &self.senses {
            match of {
                Of::Viewport(size, shrink) => {
                    let middle = (size.0 as i64 / 2, size.1 as i64 / 2);
                    look.window.cut(middle, *size, *shrink, out);
                }
                Of::MouseRectangle(size, shrink) => look.window.cut(look.mouse, *size, *shrink, out),
                Of::Fovea(fovea, mask) => fovea.observe(look.window, look.mouse, *mask, out),
                Of::FrameTime(longest) => out.push(match look.frame_time {
                    Some(seconds) => (2.0 * seconds / longest - 1.0).clamp(-1.0, 1.0) as f32,
                    None => f32::NAN,
                }),
                Of::MousePosition => out.extend(look.mouse_position),
                Of::Constant(value) => out.push(*value),
                Of::Link => look.heard.link(*features, out),
                Of::Audio => look.heard.samples(*features, out),
            }
        }
    }

    /// Whether anything but the picture comes from the page.
    pub(crate) fn listens(&self) -> bool {
        self.senses.iter().any(|sense| matches!(sense.of, Of::Link | Of::Audio))
    }

    /// Draws the first part of an observation that is a picture, or of a prediction of one.
    pub(crate) fn draw(&self, observation: &[f32]) -> Option<Picture> {
        let mut rest = observation;
        for Sense { features, of } in &self.senses {
            let (here, after) = rest.split_at((*features).min(rest.len()));
            match of {
                Of::Viewport(size, shrink) | Of::MouseRectangle(size, shrink) => {
                    return Some(view::draw(here, (size.0 / shrink, size.1 / shrink)));
                }
                Of::Fovea(fovea, _) => return Some(fovea.draw(here)),
                Of::FrameTime(_) | Of::MousePosition | Of::Constant(_) | Of::Link | Of::Audio => {}
            }
            rest = after;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::options::read;

    fn options(json: &str) -> Options {
        read(json).unwrap()
    }

    #[test]
    fn the_parts_of_the_list_follow_each_other() {
        let options = options(
            r#"{ "width": 64, "height": 64, "sees": [
                { "kind": "constant", "value": 0.5 }, { "kind": "mouse_position" }, { "kind": "viewport", "shrink": 32 },
                { "kind": "fovea", "radius": 2, "points": 2, "mask": "" }, { "kind": "frame_time", "longest": 0.1 },
                { "kind": "mouse_rectangle", "width": 4, "height": 2, "shrink": 2 } ] }"#,
        );
        options.check_sees().unwrap();
        let sight = Sight::new(&options).unwrap();
        // White in the left half.
        let window = Window::of(64, 64, |x, _| [if x < 32 { 255 } else { 0 }; 3]);
        let look = |frame_time| {
            let mut out = Vec::new();
            let heard = &Heard::default();
            let look =
                Look { window: &window, mouse: (32, 32), mouse_position: [0.0, 0.25], frame_time, heard };
            sight.observe(&look, &mut out);
            assert_eq!(out.len(), options.features());
            out
        };
        let observation = look(Some(0.05));
        assert_eq!(observation[..3], [0.5, 0.0, 0.25]);
        let viewport = [1.0, 1.0, 1.0, -1.0, -1.0, -1.0];
        assert_eq!(observation[3..15], [viewport, viewport].concat()[..]);
        assert!(observation[15..21].iter().all(|x| (-1.0..=1.0).contains(x)));
        assert_eq!(observation[21..], [0.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0]);
        assert_eq!(look(Some(7.0))[21], 1.0);
        assert_eq!(look(Some(0.0))[21], -1.0);
        assert!(look(None)[21].is_nan());

        let picture = sight.draw(&observation).unwrap();
        assert_eq!((picture.width, picture.height), (2, 2));
        assert_eq!(picture.rgb[..6], [255, 255, 255, 0, 0, 0]);
        assert_eq!(sight.draw(&observation[..4]).unwrap().rgb[..4], [255, 128, 128, 128]);
    }

    #[test]
    fn a_list_without_a_picture_draws_none() {
        let sight = Sight::new(&options(r#"{ "sees": [{ "kind": "constant" }] }"#)).unwrap();
        assert_eq!(sight.draw(&[1.0]), None);
    }

    #[test]
    fn what_cannot_be_seen_is_said_with_its_place() {
        for (sees, place, message) in [
            (
                r#"{ "kind": "viewport", "shrink": 7 }"#,
                "sees[1]",
                "shrink = 7 must divide the window's width = 640",
            ),
            (
                r#"{ "kind": "mouse_rectangle", "width": 10 }"#,
                "sees[1]",
                "width = 10 and height = 128 must be multiples of shrink = 4",
            ),
            (r#"{ "kind": "fovea", "radius": 10, "points": 101 }"#, "sees[1]", "has room for 100"),
            (r#"{ "kind": "link" }, { "kind": "link" }"#, "sees[2].kind", "one link"),
            (r##"{ "kind": "fovea", "mask": "#fafaf" }"##, "sees[1]", "write it like \"#fafafa\""),
        ] {
            let options = options(&format!(r#"{{ "sees": [{{ "kind": "constant" }}, {sees}] }}"#));
            let error = options.check_sees().unwrap_err();
            assert_eq!(error.option(), Some(place), "{error:#}");
            assert!(format!("{error:#}").contains(message), "{error:#}");
        }
        let both = options(r#"{ "shrink": 8, "sees": [{ "kind": "constant" }] }"#);
        assert!(both.check_sees().unwrap_err().to_string().contains("where there is no list"));
    }
}
