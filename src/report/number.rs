//! Numbers that JSON has no form for. A diverged run holds NaN, which is written as `null`; here it
//! is read back as NaN, so that one such number does not make a whole run unreadable.

use serde::{Deserialize, Deserializer};

/// A value whose numbers may be `null` in JSON.
pub trait Nullable: Sized {
    /// The value as it is read.
    type Raw: for<'de> Deserialize<'de>;
    /// With NaN in place of `null`.
    fn of(raw: Self::Raw) -> Self;
}

impl Nullable for f64 {
    type Raw = Option<f64>;
    fn of(raw: Option<f64>) -> Self {
        raw.unwrap_or(f64::NAN)
    }
}

impl<T: Nullable> Nullable for Vec<T> {
    type Raw = Vec<T::Raw>;
    fn of(raw: Self::Raw) -> Self {
        raw.into_iter().map(T::of).collect()
    }
}

impl<T: Nullable> Nullable for Option<T> {
    type Raw = Option<T::Raw>;
    fn of(raw: Self::Raw) -> Self {
        raw.map(T::of)
    }
}

impl<A: Nullable, B: Nullable> Nullable for (A, B) {
    type Raw = (A::Raw, B::Raw);
    fn of(raw: Self::Raw) -> Self {
        (A::of(raw.0), B::of(raw.1))
    }
}

/// For `#[serde(deserialize_with)]`.
///
/// # Errors
/// What is neither a number nor `null`.
pub fn nullable<'de, D: Deserializer<'de>, T: Nullable>(d: D) -> Result<T, D::Error> {
    T::Raw::deserialize(d).map(T::of)
}
