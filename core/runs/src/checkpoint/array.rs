//! Arrays of a checkpoint.
use safetensors::Dtype;
use std::collections::BTreeMap;

/// A tensor without libtorch: elements in row-major order, little-endian.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Part, `/`, and the tensor's own name.
    pub name: String,
    /// The type of an element.
    pub dtype: Dtype,
    /// Its dims.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<u8>,
}

/// A type of elements.
pub trait Element: Copy {
    /// What safetensors calls it.
    const DTYPE: Dtype;
    /// Its bytes, little-endian, added to `to`.
    fn write(self, to: &mut Vec<u8>);
    /// Of so many bytes as one element has.
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! element {
    ($($type:ty: $dtype:ident),*) => {$(
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            fn write(self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }
            fn read(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$type>()];
                own.copy_from_slice(bytes);
                <$type>::from_le_bytes(own)
            }
        }
    )*};
}
element!(u8: U8, u64: U64, f32: F32, f64: F64);

impl Array {
    /// An array of one dim.
    pub fn of<T: Element>(name: String, elements: &[T]) -> Array {
        let mut data = Vec::with_capacity(size_of_val(elements));
        elements.iter().for_each(|element| element.write(&mut data));
        Array { name, dtype: T::DTYPE, shape: vec![elements.len()], data }
    }

    /// Its elements; `None` if they are of another type.
    pub fn elements<T: Element>(&self) -> Option<Vec<T>> {
        (self.dtype == T::DTYPE).then(|| self.data.chunks_exact(size_of::<T>()).map(T::read).collect())
    }
}

/// The arrays of one part of a checkpoint, by their names in it.
#[derive(Debug, Clone, Default)]
pub struct Arrays<'a> {
    of: BTreeMap<&'a str, &'a Array>,
}

impl<'a> Arrays<'a> {
    /// Those whose names begin with `part` and `/`.
    pub fn part(all: &'a [Array], part: &str) -> Self {
        let own = |array: &'a Array| Some((array.name.strip_prefix(part)?.strip_prefix('/')?, array));
        Arrays { of: all.iter().filter_map(own).collect() }
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Array)> {
        self.of.iter().map(|(name, array)| (*name, *array))
    }

    /// The elements of one array; none if there is no such array of this type.
    pub fn elements<T: Element>(&self, name: &str) -> Vec<T> {
        self.of.get(name).and_then(|array| array.elements()).unwrap_or_default()
    }

    /// Those under a folder of names, each with the rest of its name.
    pub fn folder(&self, name: &str) -> Vec<(&'a str, &'a Array)> {
        let inside =
            |(own, array): (&'a str, &'a Array)| Some((own.strip_prefix(name)?.strip_prefix('/')?, array));
        self.iter().filter_map(inside).collect()
    }
}
