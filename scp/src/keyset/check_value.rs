//! Key Check Values.

use std::fmt;
use std::str::FromStr;

use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::hexadecimal::{array, serde_as_text};

/// The first 3 bytes of AES over sixteen bytes 01 (CS 2.3.1 §B.6), printed as six digits.
///
/// It shows which key an SE holds without showing the key. Comparison takes constant time.
#[derive(Clone, Copy)]
pub struct KeyCheckValue(
    /// The bytes on the wire.
    pub [u8; 3],
);

/// The check values of a whole key set in the order of the key identifiers 1, 2, 3
/// (Key-ENC, Key-MAC, Key-DEK), printed as eighteen digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyCheckValues(
    /// Key-ENC, Key-MAC, Key-DEK.
    pub [KeyCheckValue; 3],
);

/// A text that is no Key Check Value or no three of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Key Check Values are written as {digits} hexadecimal digits")]
pub struct KeyCheckValueError {
    digits: u8,
}

impl KeyCheckValues {
    /// The nine bytes in a row, as in the answer to PUT KEY.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 9] {
        let KeyCheckValues(
            [KeyCheckValue([a, b, c]), KeyCheckValue([d, e, f]), KeyCheckValue([g, h, i])],
        ) = *self;
        [a, b, c, d, e, f, g, h, i]
    }
}

impl From<[u8; 9]> for KeyCheckValues {
    fn from([a, b, c, d, e, f, g, h, i]: [u8; 9]) -> KeyCheckValues {
        KeyCheckValues([
            KeyCheckValue([a, b, c]),
            KeyCheckValue([d, e, f]),
            KeyCheckValue([g, h, i]),
        ])
    }
}

impl ConstantTimeEq for KeyCheckValue {
    fn ct_eq(&self, other: &KeyCheckValue) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for KeyCheckValue {
    fn eq(&self, other: &KeyCheckValue) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for KeyCheckValue {}

impl fmt::Display for KeyCheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for KeyCheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCheckValue({self})")
    }
}

impl FromStr for KeyCheckValue {
    type Err = KeyCheckValueError;

    fn from_str(text: &str) -> Result<KeyCheckValue, KeyCheckValueError> {
        array(text).map(KeyCheckValue).ok_or(KeyCheckValueError { digits: 6 })
    }
}

serde_as_text!(KeyCheckValue);

impl fmt::Display for KeyCheckValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|value| value.fmt(f))
    }
}

impl fmt::Debug for KeyCheckValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCheckValues({self})")
    }
}

impl FromStr for KeyCheckValues {
    type Err = KeyCheckValueError;

    fn from_str(text: &str) -> Result<KeyCheckValues, KeyCheckValueError> {
        array::<9>(text).map(KeyCheckValues::from).ok_or(KeyCheckValueError { digits: 18 })
    }
}

serde_as_text!(KeyCheckValues);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_are_joined_in_order() {
        let values: KeyCheckValues = "C35280013808840DE5".parse().unwrap();
        assert_eq!(values.0[1], "013808".parse().unwrap());
        assert_eq!(values.to_string(), "C35280013808840DE5");
        assert_eq!(KeyCheckValues::from(values.to_bytes()), values);
        assert_eq!(serde_json::to_string(&values).unwrap(), "\"C35280013808840DE5\"");
    }

    #[test]
    fn values_differ_in_any_byte() {
        let value: KeyCheckValue = "C35280".parse().unwrap();
        for other in ["C25280", "C35380", "C35281"] {
            assert_ne!(value, other.parse().unwrap());
        }
        assert_eq!("C352".parse::<KeyCheckValue>(), Err(KeyCheckValueError { digits: 6 }));
    }
}
