//! Security levels.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hexadecimal::{array, serde_as_text};

/// The protection of a session's commands and answers (AmdD Table 7-3), printed as two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecurityLevel {
    /// C-MAC.
    CMac = 0x01,
    /// C-DECRYPTION and C-MAC.
    CMacCDec = 0x03,
    /// C-MAC and R-MAC.
    CMacRMac = 0x11,
    /// C-DECRYPTION, C-MAC and R-MAC.
    CMacCDecRMac = 0x13,
    /// C-DECRYPTION, R-ENCRYPTION, C-MAC and R-MAC.
    All = 0x33,
}

/// A byte or text that is no security level of SCP03.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a security level is one of 01, 03, 11, 13, 33")]
pub struct SecurityLevelError;

impl SecurityLevel {
    /// The level with this coding.
    ///
    /// # Errors
    /// [`SecurityLevelError`] for any other byte; 00 is no level.
    pub fn from_byte(byte: u8) -> Result<SecurityLevel, SecurityLevelError> {
        match byte {
            0x01 => Ok(SecurityLevel::CMac),
            0x03 => Ok(SecurityLevel::CMacCDec),
            0x11 => Ok(SecurityLevel::CMacRMac),
            0x13 => Ok(SecurityLevel::CMacCDecRMac),
            0x33 => Ok(SecurityLevel::All),
            _ => Err(SecurityLevelError),
        }
    }

    /// The coding on the wire.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    /// Whether command data is encrypted.
    #[must_use]
    pub fn has_c_decryption(self) -> bool {
        self.to_byte() & 0x02 != 0
    }

    /// Whether answers carry a MAC.
    #[must_use]
    pub fn has_r_mac(self) -> bool {
        self.to_byte() & 0x10 != 0
    }

    /// Whether answer data is encrypted.
    #[must_use]
    pub fn has_r_encryption(self) -> bool {
        self.to_byte() & 0x20 != 0
    }

    /// Whether this level protects everything that `other` protects.
    #[must_use]
    pub fn covers(self, other: SecurityLevel) -> bool {
        self.to_byte() & other.to_byte() == other.to_byte()
    }
}

impl fmt::Display for SecurityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}", self.to_byte())
    }
}

impl FromStr for SecurityLevel {
    type Err = SecurityLevelError;

    fn from_str(text: &str) -> Result<SecurityLevel, SecurityLevelError> {
        let [byte] = array(text).ok_or(SecurityLevelError)?;
        SecurityLevel::from_byte(byte)
    }
}

serde_as_text!(SecurityLevel);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_five_bytes_are_levels() {
        let levels: Vec<u8> =
            (0..=u8::MAX).filter(|byte| SecurityLevel::from_byte(*byte).is_ok()).collect();
        assert_eq!(levels, [0x01, 0x03, 0x11, 0x13, 0x33]);
        for level in levels.into_iter().map(|byte| SecurityLevel::from_byte(byte).unwrap()) {
            assert_eq!(level.to_string().parse(), Ok(level));
            assert!(SecurityLevel::All.covers(level) && level.covers(SecurityLevel::CMac));
        }
        assert!(!SecurityLevel::CMacRMac.covers(SecurityLevel::CMacCDec));
        assert!(serde_json::from_str::<SecurityLevel>("\"23\"").is_err());
    }
}
