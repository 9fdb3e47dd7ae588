//! Key sets in a TSM's own hands: K-ENC, K-MAC and K-DEK of a Security Domain.

use std::fmt;

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey,
    },
    cmac,
    error::Unspecified,
    iv::FixedLength,
    rand,
};
use scp::{KeyCheckValue, KeyCheckValues, KeyLength, StaticKey, content::put_key::EncryptedKey};
use thiserror::Error;
use zeroize::Zeroizing;

const BLOCK: usize = 16;

/// Keys that are no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not three AES keys of one length.
    #[error("a key set is three AES keys of one length")]
    Length,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<Unspecified> for KeyError {
    fn from(_: Unspecified) -> KeyError {
        KeyError::Library
    }
}

/// A key set. Opaque when printed, erased on drop.
#[derive(Clone)]
pub(super) struct StaticKeys {
    length: KeyLength,
    keys: [Zeroizing<Vec<u8>>; 3],
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticKeys({:?})", self.length)
    }
}

impl StaticKeys {
    /// K-ENC, K-MAC, K-DEK.
    ///
    /// # Errors
    /// [`KeyError::Length`] unless they are three AES keys of one length.
    pub(super) fn new(keys: [Vec<u8>; 3]) -> Result<StaticKeys, KeyError> {
        let keys = keys.map(Zeroizing::new);
        let [enc, mac, dek] = &keys;
        let length = KeyLength::from_bytes(enc.len()).ok_or(KeyError::Length)?;
        match enc.len() == mac.len() && mac.len() == dek.len() {
            true => Ok(StaticKeys { length, keys }),
            false => Err(KeyError::Length),
        }
    }

    /// A fresh random key set.
    ///
    /// # Errors
    /// [`KeyError::Library`] when there is no randomness.
    pub(super) fn random(length: KeyLength) -> Result<StaticKeys, KeyError> {
        let mut keys: [Zeroizing<Vec<u8>>; 3] =
            std::array::from_fn(|_| Zeroizing::new(vec![0; length.bytes()]));
        for key in &mut keys {
            rand::fill(key)?;
        }
        Ok(StaticKeys { length, keys })
    }

    /// The length all three have.
    pub(super) fn length(&self) -> KeyLength {
        self.length
    }

    /// All three in a row, as a hand-over carries them.
    pub(super) fn concatenated(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.keys.iter().flat_map(|key| key.iter().copied()).collect())
    }

    /// AES-CMAC under a static key: what a secure channel is derived with.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub(super) fn cmac(&self, key: StaticKey, data: &[u8]) -> Result<[u8; BLOCK], KeyError> {
        let [enc, mac, _] = &self.keys;
        let key = match key {
            StaticKey::Enc => enc,
            StaticKey::Mac => mac,
        };
        let algorithm = match self.length {
            KeyLength::Aes128 => cmac::AES_128,
            KeyLength::Aes192 => cmac::AES_192,
            KeyLength::Aes256 => cmac::AES_256,
        };
        let tag = cmac::sign(&cmac::Key::new(algorithm, key)?, data)?;
        tag.as_ref().try_into().map_err(|_| KeyError::Library)
    }

    /// Key Check Values: three bytes of a block of 01 encrypted (Amendment D 1.1.1, 7.2.2).
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub(super) fn check_values(&self) -> Result<KeyCheckValues, KeyError> {
        let [enc, mac, dek] = &self.keys;
        Ok(KeyCheckValues([self.check_value(enc)?, self.check_value(mac)?, self.check_value(dek)?]))
    }

    /// `fresh`, each key encrypted under this set's K-DEK: CBC, zero ICV, padded with zeros (Amendment D 1.1.1, 6.2.8).
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub(super) fn encrypt(&self, fresh: &StaticKeys) -> Result<[EncryptedKey; 3], KeyError> {
        let [_, _, dek] = &self.keys;
        let [enc, mac, own_dek] = &fresh.keys;
        let encrypted = |key: &Zeroizing<Vec<u8>>| -> Result<EncryptedKey, KeyError> {
            let mut padded = Zeroizing::new(key.to_vec());
            padded.resize(key.len().next_multiple_of(BLOCK), 0);
            Ok(EncryptedKey {
                cryptogram: self.encrypt_cbc(dek, &padded)?,
                length: fresh.length,
                check_value: fresh.check_value(key)?,
            })
        };
        Ok([encrypted(enc)?, encrypted(mac)?, encrypted(own_dek)?])
    }

    fn check_value(&self, key: &[u8]) -> Result<KeyCheckValue, KeyError> {
        match self.encrypt_cbc(key, &[0x01; BLOCK])?.first_chunk() {
            Some(value) => Ok(KeyCheckValue(*value)),
            None => Err(KeyError::Library),
        }
    }

    fn encrypt_cbc(&self, key: &[u8], blocks: &[u8]) -> Result<Vec<u8>, KeyError> {
        let algorithm: &'static Algorithm = match self.length {
            KeyLength::Aes128 => &AES_128,
            KeyLength::Aes192 => &AES_192,
            KeyLength::Aes256 => &AES_256,
        };
        let key = EncryptingKey::cbc(UnboundCipherKey::new(algorithm, key)?)?;
        let mut data = blocks.to_vec();
        let zero = EncryptionContext::Iv128(FixedLength::from([0; BLOCK]));
        key.less_safe_encrypt(&mut data, zero)?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(first: [u8; 3]) -> StaticKeys {
        StaticKeys::new(first.map(|from| (from..from + 16).collect())).unwrap()
    }

    /// Witness: kaoh/globalplatform storeDataTest.c, DEK 000102..0F, keys 40.., 50.., 60...
    #[test]
    fn encryption_and_check_values_are_those_of_the_witness() {
        let fresh = keys([0x40, 0x50, 0x60]);
        let encrypted = keys([0x20, 0x10, 0x00]).encrypt(&fresh).unwrap();
        let cryptograms = [
            "10D533E59B45A153ED7E5E9C5DFCFD4AAA",
            "103EF0B1A5E3059DAB21FCE23A7B61C4CA",
            "10ADDE68F7AD497268D31A0DDD5C74B08F",
        ];
        for (key, expected) in encrypted.iter().zip(cryptograms) {
            let length_and_key = [&[0x10], key.cryptogram.as_slice()].concat();
            assert_eq!(hex::encode_upper(length_and_key), expected);
        }
        assert_eq!(fresh.check_values().unwrap().to_string(), "504A77F2A8DFD7D0E4");
    }

    #[test]
    fn a_key_set_is_three_keys_of_one_length() {
        assert!(StaticKeys::new([vec![0; 16], vec![0; 16], vec![0; 24]]).is_err());
        assert!(StaticKeys::new([vec![0; 15], vec![0; 15], vec![0; 15]]).is_err());
        let (one, other) =
            (StaticKeys::random(KeyLength::Aes256), StaticKeys::random(KeyLength::Aes256));
        assert_ne!(*one.unwrap().concatenated(), *other.unwrap().concatenated());
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", keys([0x40, 0x40, 0x40])), "StaticKeys(Aes128)");
    }
}
