//! How places along `mid`, `s` and `l` share a vector, where `l` is a part of one.
use super::simd::LINE;

/// A vector of neighbours, each of which is repeated in it, as each matrix is used for all `s`.
#[derive(Debug, Clone)]
pub(super) struct Fold {
    /// Places along `mid` that share the vector.
    pub(super) places: usize,
    /// How many neighbours there are: one for each of these places and each `l`.
    pub(super) neighbours: usize,
    /// Which neighbour each element is.
    pub(super) which: [u32; LINE],
    /// In each turn, one element that each neighbour is. Together they are all.
    pub(super) turns: Vec<[u32; LINE]>,
}

impl Fold {
    /// `None`: `l` is no part of a vector.
    pub(super) fn new(mid: usize, s: usize, l: usize) -> Option<Self> {
        if l >= LINE || !LINE.is_multiple_of(l) {
            return None;
        }
        // If all `s` of several places along `mid` fill a vector, or else one after another.
        let most = if LINE.is_multiple_of(s * l) { (LINE / (s * l)).min(mid) } else { 1 };
        let places = if mid.is_multiple_of(most) { most } else { 1 };
        let repeats = if places > 1 { s } else { LINE / l };
        let neighbours = places * l;
        let of_element = |x: usize| x / (repeats * l) % places * l + x % l;
        let of_neighbour = |turn: usize, n: usize| n % neighbours / l * repeats * l + turn * l + n % l;
        Some(Fold {
            places,
            neighbours,
            which: std::array::from_fn(|x| of_element(x) as u32),
            turns: (0..repeats).map(|turn| std::array::from_fn(|n| of_neighbour(turn, n) as u32)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_that_is_used_is_met_once() {
        for (mid, s, l) in
            [(8, 2, 2), (2, 2, 2), (1, 2, 2), (6, 2, 2), (5, 4, 4), (3, 8, 8), (4, 3, 2), (2, 1, 4)]
        {
            let fold = Fold::new(mid, s, l).unwrap();
            assert!(mid % fold.places == 0 && fold.neighbours == fold.places * l);
            let mut met = [0; LINE];
            for turn in &fold.turns {
                for (n, x) in turn.iter().enumerate().take(fold.neighbours) {
                    let x = *x as usize;
                    assert_eq!(fold.which[x] as usize, n, "mid {mid}, s {s}, l {l}");
                    met[x] += 1;
                }
            }
            // Elements lie by (mid, s, l).
            let used = if fold.places > 1 { fold.places * s * l } else { LINE };
            assert!(met[..used].iter().all(|m| *m == 1) && met[used..].iter().all(|m| *m == 0));
        }
        assert!(Fold::new(1, 2, 3).is_none() && Fold::new(1, 2, 16).is_none());
    }
}
