//! The one textual form of byte strings: hexadecimal, upper case, no prefix, two digits a byte.
//!
//! Reading accepts either case. The modules are for `#[serde(with = "…")]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Reads `N` bytes out of exactly `2 * N` digits.
pub(crate) fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<std::borrow::Cow<'de, str>, D::Error> {
    std::borrow::Cow::<'de, str>::deserialize(deserializer)
}

/// One byte as two digits.
pub(crate) mod byte {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:02X}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let text = text(deserializer)?;
        array::<1>(&text)
            .map(|[byte]| byte)
            .ok_or_else(|| D::Error::custom("expected two hexadecimal digits"))
    }
}

/// A two-byte number as four digits.
pub(crate) mod word {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &u16, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:04X}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
        let text = text(deserializer)?;
        array::<2>(&text)
            .map(u16::from_be_bytes)
            .ok_or_else(|| D::Error::custom("expected four hexadecimal digits"))
    }
}

/// A byte string of any length as one string.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_upper(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = text(deserializer)?;
        hex::decode(text.as_ref())
            .map_err(|_| D::Error::custom("expected an even number of hexadecimal digits"))
    }
}

/// A list of bytes, each a string of two digits.
pub(crate) mod byte_list {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(transparent)]
    struct Item(#[serde(with = "super::byte")] u8);

    pub(crate) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(|byte| Item(*byte)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let items = Vec::<Item>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|Item(byte)| byte).collect())
    }
}

/// A list of two-byte numbers, each a string of four digits.
pub(crate) mod word_list {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(transparent)]
    struct Item(#[serde(with = "super::word")] u16);

    pub(crate) fn serialize<S: Serializer>(
        value: &[u16],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(|word| Item(*word)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u16>, D::Error> {
        let items = Vec::<Item>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|Item(word)| word).collect())
    }
}

/// `Display`, `FromStr` and serde agree for a type: its text is the same everywhere.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text =
                    <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;
