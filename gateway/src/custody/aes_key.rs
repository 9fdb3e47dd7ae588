//! One static AES key in clear, for as long as it takes to use it.

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use cbc::Encryptor;
use cipher::{
    BlockCipherEncrypt, BlockModeEncrypt, InnerIvInit, KeyInit, block_padding::NoPadding,
};
use cmac::{Cmac, Mac, digest::InnerInit};
use scp::{KeyCheckValue, KeyLength};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::CustodyError;

/// AES block.
pub(super) const BLOCK: usize = 16;
/// The block whose encryption begins with the Key Check Value (AmdD §7.2.2).
const CHECK_BLOCK: [u8; BLOCK] = [0x01; BLOCK];
/// Sensitive data is encrypted with a zero ICV (AmdD §6.2.8).
const ZERO_ICV: [u8; BLOCK] = [0x00; BLOCK];

/// A static key. It erases itself; `Debug` shows its length alone.
pub(super) struct AesKey {
    bytes: Zeroizing<Box<[u8]>>,
    length: KeyLength,
}

/// Its schedule, erased when dropped.
enum Schedule {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

/// Runs one expression for whichever AES it is.
macro_rules! with {
    ($schedule:expr, $aes:ident => $body:expr) => {
        match $schedule {
            Schedule::Aes128($aes) => $body,
            Schedule::Aes192($aes) => $body,
            Schedule::Aes256($aes) => $body,
        }
    };
}

impl AesKey {
    /// A key of these bytes; none unless AES has keys of that length.
    pub(super) fn new(bytes: &[u8]) -> Option<AesKey> {
        let length = KeyLength::from_bytes(bytes.len())?;
        Some(AesKey { bytes: Zeroizing::new(bytes.into()), length })
    }

    /// A key nobody has seen.
    pub(super) fn random(length: KeyLength) -> Result<AesKey, CustodyError> {
        let mut bytes = Zeroizing::new(vec![0; length.bytes()].into_boxed_slice());
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| CustodyError::Unavailable { detail: "random numbers".to_owned() })?;
        Ok(AesKey { bytes, length })
    }

    pub(super) fn length(&self) -> KeyLength {
        self.length
    }

    /// The bytes, to be sealed.
    pub(super) fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether both are the same key, in constant time.
    pub(super) fn same_as(&self, other: &AesKey) -> bool {
        self.bytes.ct_eq(&other.bytes).into()
    }

    /// CMAC (NIST SP 800-38B), the function SCP03 derives session keys with.
    pub(super) fn cmac(&self, message: &[u8]) -> Result<[u8; BLOCK], CustodyError> {
        Ok(with!(&self.schedule()?, aes => {
            let mut mac = Cmac::inner_init(aes);
            Mac::update(&mut mac, message);
            mac.finalize().into_bytes().into()
        }))
    }

    /// First 3 bytes of the encryption of sixteen bytes 01 (AmdD §7.2.2).
    pub(super) fn check_value(&self) -> Result<KeyCheckValue, CustodyError> {
        let mut block = CHECK_BLOCK.into();
        with!(&self.schedule()?, aes => aes.encrypt_block(&mut block));
        let [first, second, third, ..] = <[u8; BLOCK]>::from(block);
        Ok(KeyCheckValue([first, second, third]))
    }

    /// AES-CBC with a zero ICV over whole blocks (AmdD §6.2.8). Takes the clear value in the buffer its ciphertext is to be in.
    pub(super) fn encrypt(&self, mut value: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, CustodyError> {
        let length = value.len();
        with!(&self.schedule()?, aes => {
            Encryptor::inner_iv_init(aes, &ZERO_ICV.into())
                .encrypt_padded::<NoPadding>(&mut value, length)
                .map(|_| ())
        })
        .map_err(|_| CustodyError::Unavailable { detail: "a value of broken blocks".to_owned() })?;
        Ok(std::mem::take(&mut *value))
    }

    fn schedule(&self) -> Result<Schedule, CustodyError> {
        let schedule = match self.length {
            KeyLength::Aes128 => Aes128::new_from_slice(&self.bytes).map(Schedule::Aes128),
            KeyLength::Aes192 => Aes192::new_from_slice(&self.bytes).map(Schedule::Aes192),
            KeyLength::Aes256 => Aes256::new_from_slice(&self.bytes).map(Schedule::Aes256),
        };
        schedule.map_err(|_| CustodyError::Sealed)
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AesKey({:?})", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex_digits: &str) -> AesKey {
        AesKey::new(&hex::decode(hex_digits).unwrap()).unwrap()
    }

    #[test]
    fn cmac_is_that_of_rfc_4493() {
        let key = key("2B7E151628AED2A6ABF7158809CF4F3C");
        let message = hex::decode("6BC1BEE22E409F96E93D7E117393172A").unwrap();
        let mac = key.cmac(&message).unwrap();
        assert_eq!(hex::encode_upper(mac), "070A16B46B4D4144F79BDD9DD04A287C");
    }

    #[test]
    fn cbc_is_that_of_nist_sp_800_38a_with_the_icv_folded_in() {
        // SP 800-38A F.2.1: the first block, its IV already added to the plaintext.
        let key = key("2B7E151628AED2A6ABF7158809CF4F3C");
        let plain = hex::decode("6BC0BCE12A459991E134741A7F9E1925").unwrap();
        let cipher = key.encrypt(Zeroizing::new(plain)).unwrap();
        assert_eq!(hex::encode_upper(cipher), "7649ABAC8119B246CEE98E9B12E9197D");
        assert!(key.encrypt(Zeroizing::new(vec![0; 15])).is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", key(&"5A".repeat(16)));
        assert_eq!(shown, "AesKey(Aes128)");
        assert!(AesKey::new(&[0; 20]).is_none());
    }
}
