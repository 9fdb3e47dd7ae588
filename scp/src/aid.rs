//! Application identifiers.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hexadecimal::serde_as_text;

const LEAST: usize = 5;
const MOST: usize = 16;

/// An application identifier: 5 to 16 bytes (ISO/IEC 7816-5; CS 2.3.1 §1.5 and Table H-6).
///
/// Its text is upper-case hexadecimal. Order is that of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aid {
    // The order of the fields makes the derived order lexicographic: unused bytes are zero.
    bytes: [u8; MOST],
    length: u8,
}

/// A text or a byte string that is no AID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AidError {
    /// Fewer than 5 or more than 16 bytes.
    #[error("an AID has 5 to 16 bytes, not {got}")]
    Length {
        /// Number of bytes offered.
        got: usize,
    },
    /// The text is not an even number of hexadecimal digits.
    #[error("an AID is written as hexadecimal digits, two for each byte")]
    NotHexadecimal,
}

impl Aid {
    /// The default AID of an Issuer Security Domain (CS 2.3.1 §H.1.3): A000000151000000.
    pub const ISSUER_SECURITY_DOMAIN: Aid =
        Aid { bytes: [0xA0, 0, 0, 1, 0x51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], length: 8 };

    /// An AID of exactly these bytes.
    ///
    /// # Errors
    /// [`AidError::Length`] outside 5..=16 bytes.
    pub fn new(aid: &[u8]) -> Result<Aid, AidError> {
        let wrong_length = AidError::Length { got: aid.len() };
        if aid.len() < LEAST {
            return Err(wrong_length);
        }
        let mut bytes = [0; MOST];
        bytes.get_mut(..aid.len()).ok_or(wrong_length)?.clone_from_slice(aid);
        Ok(Aid { bytes, length: aid.len() as u8 })
    }

    /// The bytes, without padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl fmt::Display for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aid({self})")
    }
}

impl FromStr for Aid {
    type Err = AidError;

    fn from_str(text: &str) -> Result<Aid, AidError> {
        let bytes = hex::decode(text).map_err(|_| AidError::NotHexadecimal)?;
        Aid::new(&bytes)
    }
}

serde_as_text!(Aid);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_outside_the_standard_are_refused() {
        assert_eq!(Aid::new(&[0xA0; 4]), Err(AidError::Length { got: 4 }));
        assert_eq!(Aid::new(&[0xA0; 17]), Err(AidError::Length { got: 17 }));
        assert_eq!("A00".parse::<Aid>(), Err(AidError::NotHexadecimal));
        assert_eq!("A000000151".parse::<Aid>().unwrap().as_bytes().len(), 5);
    }

    #[test]
    fn json_is_the_upper_case_text() {
        let aid: Aid = serde_json::from_str("\"a000000151000000\"").unwrap();
        assert_eq!(aid, Aid::ISSUER_SECURITY_DOMAIN);
        assert_eq!(serde_json::to_string(&aid).unwrap(), "\"A000000151000000\"");
    }

    proptest! {
        #[test]
        fn text_and_order_follow_the_bytes(
            a in proptest::collection::vec(any::<u8>(), 5..=16),
            b in proptest::collection::vec(any::<u8>(), 5..=16),
        ) {
            let (left, right) = (Aid::new(&a).unwrap(), Aid::new(&b).unwrap());
            prop_assert_eq!(left.as_bytes(), &a[..]);
            prop_assert_eq!(left.to_string().parse::<Aid>().unwrap(), left);
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }
    }
}
