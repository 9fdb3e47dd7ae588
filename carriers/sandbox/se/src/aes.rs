//! AES as SCP03 uses it: one block, CBC, CMAC and the Key Check Value.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey,
    EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::{cmac, iv::FixedLength};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::bytes::Secret;
use crate::status::Sw;

/// The length of an AES block, in bytes.
pub(crate) const BLOCK: usize = 16;

/// An AES key of 16, 24 or 32 bytes. Opaque in `Debug`, erased on drop.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct AesKey(Secret);

impl AesKey {
    /// A key; `None` unless it has 16, 24 or 32 bytes.
    pub(crate) fn new(key: Secret) -> Option<Self> {
        matches!(key.expose().len(), 16 | 24 | 32).then_some(Self(key))
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.expose().len()
    }

    /// Encrypts one block (ECB).
    pub(crate) fn encrypt_block(&self, mut block: [u8; BLOCK]) -> Result<[u8; BLOCK], Sw> {
        let key = EncryptingKey::ecb(self.cipher_key()?).map_err(internal)?;
        key.less_safe_encrypt(&mut block, EncryptionContext::None).map_err(internal)?;
        Ok(block)
    }

    /// Encrypts whole blocks in place (CBC).
    pub(crate) fn encrypt_cbc(&self, iv: [u8; BLOCK], data: &mut [u8]) -> Result<(), Sw> {
        let key = EncryptingKey::cbc(self.cipher_key()?).map_err(internal)?;
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        key.less_safe_encrypt(data, context).map_err(internal).map(drop)
    }

    /// Decrypts whole blocks in place (CBC).
    pub(crate) fn decrypt_cbc(&self, iv: [u8; BLOCK], data: &mut [u8]) -> Result<(), Sw> {
        let key = DecryptingKey::cbc(self.cipher_key()?).map_err(internal)?;
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        key.decrypt(data, context).map_err(internal).map(drop)
    }

    /// AES-CMAC (NIST SP 800-38B) over the concatenated parts.
    pub(crate) fn cmac(&self, parts: &[&[u8]]) -> Result<[u8; BLOCK], Sw> {
        let algorithm = match self.len() {
            16 => cmac::AES_128,
            24 => cmac::AES_192,
            _ => cmac::AES_256,
        };
        let key = cmac::Key::new(algorithm, self.0.expose()).map_err(internal)?;
        let mut context = cmac::Context::with_key(&key);
        for part in parts {
            context.update(part).map_err(internal)?;
        }
        let tag = context.sign().map_err(internal)?;
        tag.as_ref().try_into().map_err(internal)
    }

    /// The Key Check Value: the first three bytes of a block of `01` encrypted (AmdD 7.2.2).
    pub(crate) fn check_value(&self) -> Result<[u8; 3], Sw> {
        let [a, b, c, ..] = self.encrypt_block([0x01; BLOCK])?;
        Ok([a, b, c])
    }

    /// Decrypts sensitive data: CBC under a static Key-DEK with a zero IV (AmdD 6.2.8).
    ///
    /// # Errors
    /// `6A80` unless the data is at least one block and whole blocks.
    pub(crate) fn decrypt_sensitive(&self, data: &[u8]) -> Result<Secret, Sw> {
        if data.is_empty() || !data.len().is_multiple_of(BLOCK) {
            return Err(Sw::WRONG_DATA);
        }
        let mut clear = data.to_vec();
        self.decrypt_cbc([0; BLOCK], &mut clear)?;
        Ok(Secret::new(clear))
    }

    fn cipher_key(&self) -> Result<UnboundCipherKey, Sw> {
        let algorithm: &'static Algorithm = match self.len() {
            16 => &AES_128,
            24 => &AES_192,
            _ => &AES_256,
        };
        UnboundCipherKey::new(algorithm, self.0.expose()).map_err(internal)
    }
}

impl<'de> Deserialize<'de> for AesKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secret = Secret::deserialize(deserializer)?;
        Self::new(secret).ok_or_else(|| D::Error::custom("an AES key has 16, 24 or 32 bytes"))
    }
}

/// The library's own failure: lengths are checked before it is called, so the host is told only `6400`.
fn internal<E>(_: E) -> Sw {
    Sw::NO_DIAGNOSIS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AesKey {
        AesKey::new(Secret::new(hex::decode(text).unwrap())).unwrap()
    }

    /// Witnesses: osmocom/pysim unit tests; OpenJavaCard/openjavacard-tools GPKeyTest.
    #[test]
    fn key_check_values() {
        for (text, kcv) in [
            ("000102030405060708090A0B0C0D0E0F", "C35280"),
            ("101112131415161718191A1B1C1D1E1F", "013808"),
            ("202122232425262728292A2B2C2D2E2F", "840DE5"),
            ("404142434445464748494A4B4C4D4E4F", "504A77"),
        ] {
            assert_eq!(hex::encode_upper(key(text).check_value().unwrap()), kcv);
        }
    }

    /// Witness: ievkh/scll-rust scp03_ref.py.
    #[test]
    fn sensitive_data_is_cbc_with_a_zero_iv() {
        let dek = key("404142434445464748494A4B4C4D4E4F");
        let sealed = hex::decode("FAC3AF9FB177982EABA2E63D9EF03986").unwrap();
        let clear = dek.decrypt_sensitive(&sealed).unwrap();
        assert_eq!(clear.expose(), hex::decode("0F0E0D0C0B0A09080706050403020100").unwrap());
        assert_eq!(dek.decrypt_sensitive(&sealed[..15]).unwrap_err(), Sw::WRONG_DATA);
        assert_eq!(dek.decrypt_sensitive(&[]).unwrap_err(), Sw::WRONG_DATA);
    }
}
