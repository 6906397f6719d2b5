//! Saves the bits of numbers, since JSON's decimals need not come back the same.
use efference_sdk::serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(number.to_bits())
}

pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
    u64::deserialize(from).map(f64::from_bits)
}

/// The same for four numbers.
pub(crate) mod four {
    use efference_sdk::serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(numbers: &[f64; 4], to: S) -> Result<S::Ok, S::Error> {
        numbers.map(f64::to_bits).serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<[f64; 4], D::Error> {
        <[u64; 4]>::deserialize(from).map(|bits| bits.map(f64::from_bits))
    }
}
