//! How many rows and columns of a matrix product are computed at once: as many as there are registers for.
use super::simd::Vector;

/// The most rows of two vectors whose sums fit into registers.
pub(super) const fn most_rows<V: Vector>() -> usize {
    match V::REGISTERS {
        32.. => 8,
        16.. => 6,
        _ => 3,
    }
}

/// The most columns of a product of vectors whose sums, of two rows or of four, fit into registers.
pub(super) const fn most_columns<V: Vector>() -> usize {
    match V::REGISTERS {
        32.. => 4,
        8.. => 3,
        _ => 1,
    }
}

/// Whether [`product`](super::products::product) makes a product of so many rows and columns as one block, and so reads all
/// before it writes anything: then it may write to where it reads.
pub(super) const fn is_one_block<V: Vector>(rows: usize, columns: usize) -> bool {
    let most = most_rows::<V>();
    let is_sixteen = V::REGISTERS >= 32 && rows == 16 && columns < 2 * V::LANES;
    let is_one_column = columns <= V::LANES || (columns == 2 * V::LANES && rows <= 8);
    (rows <= most || is_sixteen) && is_one_column
}
