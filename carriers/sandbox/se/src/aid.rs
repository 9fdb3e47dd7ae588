//! Application identifiers, 5 to 16 bytes (ISO/IEC 7816-4, CS 11.1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::bytes::hex_upper;

/// An AID of 5 to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Aid {
    length: u8,
    // Zero beyond `length`, so that derived equality is equality of AIDs.
    bytes: [u8; 16],
}

impl Aid {
    /// The Issuer Security Domain's default AID (CS H.1.3).
    pub(crate) const ISSUER_SECURITY_DOMAIN: Self = Self::literal(&[0xA0, 0, 0, 1, 0x51, 0, 0, 0]);
    /// The built-in load file from which supplementary Security Domains are made.
    pub(crate) const SECURITY_DOMAIN_FILE: Self = Self::literal(&[0xA0, 0, 0, 1, 0x51, 0x53, 0x50]);
    /// Its only module.
    pub(crate) const SECURITY_DOMAIN_MODULE: Self =
        Self::literal(&[0xA0, 0, 0, 1, 0x51, 0x53, 0x50, 0x41]);

    /// An AID from bytes; `None` unless 5 to 16 of them.
    pub(crate) fn new(value: &[u8]) -> Option<Self> {
        if value.len() < 5 {
            return None;
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { length: u8::try_from(value.len()).ok()?, bytes })
    }

    const fn literal<const N: usize>(value: &[u8; N]) -> Self {
        let mut bytes = [0; 16];
        let mut at = 0;
        while at < N {
            bytes[at] = value[at];
            at += 1;
        }
        Self { length: N as u8, bytes }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Display for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex_upper(self.as_bytes()))
    }
}

impl fmt::Debug for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Aid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Aid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        Self::new(&bytes).ok_or_else(|| D::Error::custom("an AID has 5 to 16 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_to_sixteen_bytes() {
        for length in 0..=20 {
            assert_eq!(Aid::new(&vec![0xA0; length]).is_some(), (5..=16).contains(&length));
        }
    }

    #[test]
    fn a_trailing_zero_counts() {
        assert_ne!(Aid::new(&[1, 2, 3, 4, 5]), Aid::new(&[1, 2, 3, 4, 5, 0]));
        assert_eq!(Aid::ISSUER_SECURITY_DOMAIN.to_string(), "A000000151000000");
    }
}
