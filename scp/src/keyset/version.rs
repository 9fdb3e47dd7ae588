//! Key Version Numbers and key lengths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hexadecimal::{array, serde_as_text};

/// A Key Version Number, 01 to 7F (CS 2.3.1 §11.8.2.3), printed as two digits.
///
/// 00 is no version: in a command it means "whichever the SE prefers", which this gateway never
/// asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersionNumber(u8);

/// A number or a text that is no Key Version Number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyVersionNumberError {
    /// The value lies outside 01..=7F.
    #[error("a Key Version Number lies between 01 and 7F, not {got:02X}")]
    OutOfRange {
        /// The value offered.
        got: u8,
    },
    /// The text is not two hexadecimal digits.
    #[error("a Key Version Number is written as two hexadecimal digits")]
    NotHexadecimal,
}

impl KeyVersionNumber {
    /// The version with this number.
    ///
    /// # Errors
    /// [`KeyVersionNumberError::OutOfRange`] for 00 and for 80 and above.
    pub fn new(number: u8) -> Result<KeyVersionNumber, KeyVersionNumberError> {
        match number {
            0x01..=0x7F => Ok(KeyVersionNumber(number)),
            got => Err(KeyVersionNumberError::OutOfRange { got }),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for KeyVersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}

impl fmt::Debug for KeyVersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyVersionNumber({self})")
    }
}

impl FromStr for KeyVersionNumber {
    type Err = KeyVersionNumberError;

    fn from_str(text: &str) -> Result<KeyVersionNumber, KeyVersionNumberError> {
        let [number] = array(text).ok_or(KeyVersionNumberError::NotHexadecimal)?;
        KeyVersionNumber::new(number)
    }
}

serde_as_text!(KeyVersionNumber);

/// The length of an AES key; SCP03 session keys are as long as the static ones (AmdD §6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyLength {
    /// 16 bytes.
    #[serde(rename = "aes-128")]
    Aes128,
    /// 24 bytes.
    #[serde(rename = "aes-192")]
    Aes192,
    /// 32 bytes.
    #[serde(rename = "aes-256")]
    Aes256,
}

impl KeyLength {
    /// Key type coding of AES, whatever its length (CS 2.3.1 Table 11-16).
    pub const KEY_TYPE: u8 = 0x88;

    /// The length of a key of this many bytes, if AES has one.
    #[must_use]
    pub fn from_bytes(bytes: usize) -> Option<KeyLength> {
        match bytes {
            16 => Some(KeyLength::Aes128),
            24 => Some(KeyLength::Aes192),
            32 => Some(KeyLength::Aes256),
            _ => None,
        }
    }

    /// Bytes of a key.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            KeyLength::Aes128 => 16,
            KeyLength::Aes192 => 24,
            KeyLength::Aes256 => 32,
        }
    }

    /// Bits of a key: the L of its derivation.
    #[must_use]
    pub fn bits(self) -> u16 {
        match self {
            KeyLength::Aes128 => 128,
            KeyLength::Aes192 => 192,
            KeyLength::Aes256 => 256,
        }
    }

    /// Key type coding on the wire: [`KeyLength::KEY_TYPE`].
    #[must_use]
    pub fn key_type(self) -> u8 {
        KeyLength::KEY_TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_01_to_7f_are_versions() {
        let accepted: Vec<u8> =
            (0..=u8::MAX).filter(|number| KeyVersionNumber::new(*number).is_ok()).collect();
        assert_eq!(accepted, (0x01..=0x7F).collect::<Vec<u8>>());
    }

    #[test]
    fn json_is_two_digits() {
        let version: KeyVersionNumber = serde_json::from_str("\"31\"").unwrap();
        assert_eq!(version.get(), 0x31);
        assert_eq!(serde_json::to_string(&version).unwrap(), "\"31\"");
        assert!(serde_json::from_str::<KeyVersionNumber>("\"00\"").is_err());
        assert!(serde_json::from_str::<KeyVersionNumber>("49").is_err());
        assert_eq!("031".parse::<KeyVersionNumber>(), Err(KeyVersionNumberError::NotHexadecimal));
    }

    #[test]
    fn lengths_agree_with_themselves() {
        for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
            assert_eq!(KeyLength::from_bytes(length.bytes()), Some(length));
            assert_eq!(usize::from(length.bits()), length.bytes() * 8);
        }
        assert_eq!(KeyLength::from_bytes(20), None);
    }
}
