//! A secret out of the configuration.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// Secret bytes, written as hex in the configuration. Erased when dropped; `Debug` shows the length
/// only, and there is no way back to text.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The decoder's own error would repeat a character of the secret.
        hex::decode(text.as_bytes())
            .map(Self::new)
            .map_err(|_| de::Error::custom("a secret must be written as hex"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_not_shown() {
        let secret: SecretBytes = serde_json::from_str("\"00C0FFEE\"").unwrap();
        assert_eq!(secret.expose(), [0x00, 0xC0, 0xFF, 0xEE]);
        assert_eq!(format!("{secret:?}"), "SecretBytes(4 bytes)");
        let error = serde_json::from_str::<SecretBytes>("\"swordfish\"").unwrap_err().to_string();
        assert!(!error.contains("sword") && !error.contains("'s'"), "{error}");
    }
}
