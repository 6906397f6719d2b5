//! From what the child wrote to the elements of an observation, −1…1 each.
use crate::leaf::{Bounds, Dtype, Leaf};
use crate::memory::Memory;
use crate::options::{Options, Scaling};
use crate::resize::Resize;
use crate::statistics::Statistics;
use efference_sdk::{Error, Picture, Result, bail, ensure};

/// Between bounds that are farther apart than that, an element would hardly move: it counts as unbounded.
const WIDEST: f64 = 1e6;

/// Makes observations.
#[derive(Debug)]
pub(crate) struct Observer {
    parts: Vec<Reader>,
    elements: usize,
    statistics: Statistics,
    drawing: Option<Drawing>,
    raw: Vec<u8>,
    numbers: Vec<f32>,
}

/// What becomes of one leaf.
#[derive(Debug)]
struct Reader {
    name: String,
    bytes: usize,
    how: How,
}

#[derive(Debug)]
enum How {
    /// 1 for the value that it is, 0 for the others; of each how many there are and the least.
    OneHot(Vec<(u64, i64)>),
    /// −1 or 1.
    Binary,
    /// Numbers that are scaled alike between bounds: bytes.
    Bytes(Linear),
    /// Any numbers.
    Numbers(Dtype, Scales),
    /// A picture that is resized first.
    Resized(Resize, Scales),
}

/// x · factor + offset
#[derive(Debug, Clone, Copy, PartialEq)]
struct Linear {
    factor: f64,
    offset: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear(Linear),
    /// By the statistics of this element.
    Running(usize),
    Squash,
}

#[derive(Debug)]
enum Scales {
    All(Scale),
    Each(Vec<Scale>),
}

impl Scales {
    fn of(&self, element: usize) -> Scale {
        match self {
            Scales::All(scale) => *scale,
            Scales::Each(scales) => scales[element],
        }
    }
}

/// Which elements are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Drawing {
    start: usize,
    height: usize,
    width: usize,
    channels: usize,
}

/// What scales an element between its bounds, if those can be used.
fn linear(low: Option<f64>, high: Option<f64>) -> Option<Linear> {
    let (low, high) = (low?, high?);
    let width = high - low;
    match width {
        _ if width == 0.0 => Some(Linear { factor: 0.0, offset: 0.0 }),
        _ if width > 0.0 && width <= WIDEST => {
            Some(Linear { factor: 2.0 / width, offset: -1.0 - 2.0 * low / width })
        }
        _ => None,
    }
}

/// Rows, columns and channels of a `Box` that looks like a picture.
fn as_picture(leaf: &Leaf) -> Option<[usize; 3]> {
    let Leaf::Box { shape, low, high, .. } = leaf else { return None };
    let uniform = |bounds| matches!(bounds, &Bounds::All(Some(_)));
    let shape = match shape[..] {
        [height, width] => [height, width, 1],
        [height, width, channels] => [height, width, channels],
        _ => return None,
    };
    (uniform(low) && uniform(high) && shape.iter().all(|n| *n > 0)).then_some(shape)
}

impl Observer {
    /// For observations of such leaves.
    ///
    /// # Errors
    /// There is no element; or pictures are to be changed, and there is none.
    pub(crate) fn new(leaves: &[Leaf], options: &Options) -> Result<Observer> {
        let (mut parts, mut elements, mut running, mut drawing) = (Vec::new(), 0, 0, None);
        let mut resized = false;
        for leaf in leaves {
            leaf.check("observation")?;
            let picture = as_picture(leaf);
            let mut shown = picture;
            let (how, count) = match leaf {
                Leaf::Discrete { n, start, .. } => (How::OneHot(vec![(*n, *start)]), *n as usize),
                Leaf::MultiDiscrete { n, start, .. } => {
                    let all: Vec<_> = n.iter().copied().zip(start.iter().copied()).collect();
                    (How::OneHot(all), n.iter().sum::<u64>() as usize)
                }
                Leaf::MultiBinary { .. } => (How::Binary, leaf.count()),
                Leaf::Box { dtype, low, high, .. } => {
                    let mut scale = |element: usize| {
                        let known = linear(low.of(element), high.of(element));
                        match (options.scaling, known) {
                            (Scaling::Running, _) | (Scaling::Bounds, None) => {
                                running += 1;
                                Scale::Running(running - 1)
                            }
                            (_, Some(linear)) => Scale::Linear(linear),
                            (Scaling::Squash, None) => Scale::Squash,
                        }
                    };
                    let alike = matches!((low, high), (Bounds::All(_), Bounds::All(_)));
                    let mut scales = |count: usize| match alike.then(|| scale(0)) {
                        Some(alike @ (Scale::Linear(_) | Scale::Squash)) => Scales::All(alike),
                        Some(first) => {
                            Scales::Each(std::iter::once(first).chain((1..count).map(&mut scale)).collect())
                        }
                        None => Scales::Each((0..count).map(&mut scale).collect()),
                    };
                    match picture {
                        Some([height, width, channels @ (1 | 3)])
                            if *dtype == Dtype::U1 && options.changes_pictures() =>
                        {
                            resized = true;
                            let to = match options.width {
                                0 => [height, width],
                                _ => [options.height, options.width],
                            };
                            let resize = Resize::new([height, width], to, channels, options.grey);
                            let count = resize.elements();
                            shown = Some([to[0], to[1], resize.channels()]);
                            (How::Resized(resize, scales(count)), count)
                        }
                        _ => {
                            let count = leaf.count();
                            let how = match (scales(count), dtype) {
                                (Scales::All(Scale::Linear(linear)), Dtype::U1 | Dtype::B1) => {
                                    How::Bytes(linear)
                                }
                                (scales, dtype) => How::Numbers(*dtype, scales),
                            };
                            (how, count)
                        }
                    }
                }
            };
            if let (None, Some([height, width, channels])) = (drawing, shown) {
                drawing = Some(Drawing { start: elements, height, width, channels });
            }
            parts.push(Reader { name: leaf.name("observation"), bytes: leaf.bytes(), how });
            elements += count;
        }
        ensure!(elements > 0, "the observation of {} has no elements", options.id);
        if options.changes_pictures() && !resized {
            let option = if options.width > 0 { "width" } else { "grey" };
            return Err(Error::msg(format!(
                "the observation of {} has no picture to change: no Box of bytes (uint8) whose shape is height × width, or \
                 height × width × 1 or 3",
                options.id
            ))
            .in_option(option));
        }
        let statistics = Statistics::new(running);
        Ok(Observer { parts, elements, statistics, drawing, raw: Vec::new(), numbers: Vec::new() })
    }

    /// Elements of an observation.
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// Elements that are scaled by running statistics.
    pub(crate) fn statistics(&mut self) -> &mut Statistics {
        &mut self.statistics
    }

    /// Appends the observation of a stream, whose parts lie at these places.
    ///
    /// # Errors
    /// A number is infinite, or none of those that there should be.
    pub(crate) fn read(&mut self, memory: &Memory, places: &[usize], to: &mut Vec<f32>) -> Result<()> {
        for (part, place) in self.parts.iter_mut().zip(places) {
            self.raw.resize(part.bytes, 0);
            memory.read(*place, &mut self.raw);
            let (raw, name, statistics) = (&self.raw[..], &part.name, &mut self.statistics);
            match &mut part.how {
                How::OneHot(sizes) => one_hot(raw, sizes, name, to)?,
                How::Binary => to.extend(raw.iter().map(|byte| if *byte == 0 { -1.0 } else { 1.0 })),
                How::Bytes(Linear { factor, offset }) => {
                    let (factor, offset) = (*factor as f32, *offset as f32);
                    to.extend(raw.iter().map(|byte| (f32::from(*byte) * factor + offset).clamp(-1.0, 1.0)));
                }
                How::Resized(resize, scales) => {
                    self.numbers.clear();
                    resize.apply(raw, &mut self.numbers);
                    scaled(self.numbers.iter().map(|x| f64::from(*x)), scales, statistics, name, to)?;
                }
                How::Numbers(dtype, scales) => {
                    macro_rules! numbers {
                        ($type:ty) => {{
                            let numbers = raw.as_chunks::<{ size_of::<$type>() }>().0;
                            let numbers = numbers.iter().map(|bytes| <$type>::from_ne_bytes(*bytes) as f64);
                            scaled(numbers, scales, statistics, name, to)?
                        }};
                    }
                    match dtype {
                        Dtype::B1 | Dtype::U1 => numbers!(u8),
                        Dtype::I1 => numbers!(i8),
                        Dtype::I2 => numbers!(i16),
                        Dtype::U2 => numbers!(u16),
                        Dtype::I4 => numbers!(i32),
                        Dtype::U4 => numbers!(u32),
                        Dtype::I8 => numbers!(i64),
                        Dtype::U8 => numbers!(u64),
                        Dtype::F4 => numbers!(f32),
                        Dtype::F8 => numbers!(f64),
                    }
                }
            }
        }
        Ok(())
    }

    /// Draws an observation or a prediction: the first part that looks like a picture. Black is −1, white 1, a missing value
    /// violet; of more channels than 3 the brightest counts.
    pub(crate) fn picture(&self, observation: &[f32]) -> Option<Picture> {
        let Drawing { start, height, width, channels } = self.drawing?;
        let elements = observation.get(start..start + height * width * channels)?;
        let byte = |number: f32| ((number.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
        let pixel = |pixel: &[f32]| match *pixel {
            _ if pixel.iter().any(|number| number.is_nan()) => [120, 60, 160],
            [red, green, blue] => [red, green, blue].map(byte),
            _ => [byte(pixel.iter().copied().fold(-1.0, f32::max)); 3],
        };
        let rgb = elements.chunks_exact(channels).flat_map(pixel).collect();
        Some(Picture { width, height, rgb })
    }
}

fn scaled(
    numbers: impl Iterator<Item = f64>,
    scales: &Scales,
    statistics: &mut Statistics,
    name: &str,
    to: &mut Vec<f32>,
) -> Result<()> {
    for (element, x) in numbers.enumerate() {
        to.push(if x.is_nan() {
            f32::NAN // a missing value
        } else if x.is_infinite() {
            bail!("element {element} of the {name} is infinite");
        } else {
            match scales.of(element) {
                Scale::Linear(Linear { factor, offset }) => (x * factor + offset).clamp(-1.0, 1.0) as f32,
                Scale::Running(at) => statistics.scale(at, x),
                Scale::Squash => (x / (1.0 + x.abs())) as f32,
            }
        });
    }
    Ok(())
}

fn one_hot(raw: &[u8], sizes: &[(u64, i64)], name: &str, to: &mut Vec<f32>) -> Result<()> {
    for ((n, start), bytes) in sizes.iter().zip(raw.as_chunks::<8>().0) {
        let value = i64::from_ne_bytes(*bytes);
        let at = value.wrapping_sub(*start) as u64;
        ensure!(
            at < *n,
            "the {name} is {value}, and its space says that it is one of {n} values from {start} on"
        );
        let begin = to.len();
        to.resize(begin + *n as usize, 0.0);
        to[begin + at as usize] = 1.0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::serde_json;

    fn observer(json: &str, options: Options) -> Result<Observer> {
        let leaves: Vec<Leaf> = serde_json::from_str(json).unwrap();
        Observer::new(&leaves, &Options { id: "Some-v0".into(), ..options })
    }

    /// What comes of these bytes, a part at each multiple of 64.
    fn observed(observer: &mut Observer, parts: &[&[u8]]) -> Result<Vec<f32>> {
        let (memory, _file) = Memory::new(8 * parts.len()).unwrap();
        let places: Vec<usize> = (0..parts.len()).map(|part| 64 * part).collect();
        parts.iter().zip(&places).for_each(|(part, place)| memory.write(*place, part));
        let mut elements = Vec::new();
        observer.read(&memory, &places, &mut elements)?;
        assert_eq!(elements.len(), observer.elements());
        Ok(elements)
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_ne_bytes()).collect()
    }

    fn integers(numbers: &[i64]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_ne_bytes()).collect()
    }

    const MIXED: &str = r#"[{"kind": "box", "path": "", "dtype": "f4", "shape": [3], "low": [-2, null, 5],
                             "high": [6, null, 5]}]"#;

    #[test]
    fn elements_with_bounds_are_linear_and_those_without_follow_their_statistics() {
        let mut mixed = observer(MIXED, Options::default()).unwrap();
        assert_eq!(observed(&mut mixed, &[&floats(&[4.0, 3.0, 5.0])]).unwrap(), [0.5, 0.0, 0.0]);
        let second = observed(&mut mixed, &[&floats(&[6.5, 7.0, 5.0])]).unwrap();
        assert!(second[0] == 1.0 && (second[1] - 2.0 / 8f32.sqrt() / 4.0).abs() < 1e-6, "{second:?}");
        let missing = observed(&mut mixed, &[&floats(&[f32::NAN, f32::NAN, 5.0])]).unwrap();
        assert!(missing[0].is_nan() && missing[1].is_nan() && missing[2] == 0.0);
        let error = observed(&mut mixed, &[&floats(&[0.0, f32::INFINITY, 5.0])]).unwrap_err().to_string();
        assert!(error.contains("element 1 of the observation is infinite"), "{error}");
    }

    #[test]
    fn other_scalings_are_asked_for() {
        let mut squash = observer(MIXED, Options { scaling: Scaling::Squash, ..Options::default() }).unwrap();
        assert_eq!(observed(&mut squash, &[&floats(&[2.0, -3.0, 5.0])]).unwrap(), [0.0, -0.75, 0.0]);
        let mut running =
            observer(MIXED, Options { scaling: Scaling::Running, ..Options::default() }).unwrap();
        assert_eq!(observed(&mut running, &[&floats(&[2.0, -3.0, 5.0])]).unwrap(), [0.0; 3]);
        assert_eq!(running.statistics().saved_length(), 3 * 24);
    }

    #[test]
    fn what_is_one_of_several_is_one_hot() {
        let mut all = observer(
            r#"[{"kind": "discrete", "path": "a", "n": 3, "start": -1},
                {"kind": "multi_discrete", "path": "b", "shape": [2], "n": [2, 3], "start": [0, 5]},
                {"kind": "multi_binary", "path": "c", "shape": [3]}]"#,
            Options::default(),
        )
        .unwrap();
        let parts = [integers(&[1]), integers(&[0, 6]), vec![0, 1, 1]];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let expected = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 1.0, 1.0];
        assert_eq!(observed(&mut all, &parts).unwrap(), expected);
        for wrong in [2, -2, i64::MIN, i64::MAX] {
            let first = integers(&[wrong]);
            let error = observed(&mut all, &[&first, parts[1], parts[2]]).unwrap_err().to_string();
            let text = format!(
                "the observation 'a' is {wrong}, and its space says that it is one of 3 values from -1 on"
            );
            assert_eq!(error, text);
        }
    }

    #[test]
    fn pictures_are_drawn_as_they_are_observed() {
        let bytes: Vec<u8> = (0..12).map(|n| n * 20).collect();
        let json = r#"[{"kind": "discrete", "path": "a", "n": 2, "start": 0},
                       {"kind": "box", "path": "b", "dtype": "u1", "shape": [2, 2, 3], "low": 0, "high": 255}]"#;
        let mut raw = observer(json, Options::default()).unwrap();
        let elements = observed(&mut raw, &[&integers(&[0]), &bytes]).unwrap();
        assert!((elements[3] - (20.0 / 127.5 - 1.0)).abs() < 1e-6, "{elements:?}");
        let picture = raw.picture(&elements).unwrap();
        assert_eq!((picture.width, picture.height, picture.rgb), (2, 2, bytes.clone()));
        assert_eq!(raw.picture(&elements[..5]), None);
        let small = Options { width: 1, height: 2, grey: true, ..Options::default() };
        let mut small = observer(json, small).unwrap();
        let elements = observed(&mut small, &[&integers(&[1]), &bytes]).unwrap();
        assert_eq!(elements.len(), 4);
        // The mean of the grey of (0, 20, 40) and (60, 80, 100): 46.3 of 255.
        assert!((elements[2] - (46.3 / 127.5 - 1.0)).abs() < 1e-5, "{elements:?}");
        assert_eq!(small.picture(&elements).unwrap().rgb[..3], [46; 3]);
    }

    #[test]
    fn a_picture_that_is_not_there_cannot_be_changed_and_nothing_cannot_be_observed() {
        let error = observer(MIXED, Options { grey: true, ..Options::default() }).unwrap_err();
        assert!(error.to_string().contains("Some-v0 has no picture to change"), "{error}");
        assert_eq!(error.option(), Some("grey"));
        let error = observer("[]", Options::default()).unwrap_err();
        assert!(error.to_string().contains("has no elements"), "{error}");
    }
}
