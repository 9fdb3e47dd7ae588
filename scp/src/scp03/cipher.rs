//! AES in the three forms SCP03 needs: CMAC, CBC, and single blocks (AmdD §4.1).

use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};
use cipher::block_padding::NoPadding;
use cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use cmac::digest::InnerInit;
use cmac::{Cmac, Mac};

use super::session_keys::SessionKey;

pub(crate) const BLOCK: usize = 16;

/// The expanded schedule of one session key. It lives as long as one script takes to wrap or
/// unwrap, and is erased when dropped.
pub(crate) enum Cipher {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

/// Runs one expression for whichever AES it is.
macro_rules! with {
    ($cipher:expr, $aes:ident => $body:expr) => {
        match $cipher {
            Cipher::Aes128($aes) => $body,
            Cipher::Aes192($aes) => $body,
            Cipher::Aes256($aes) => $body,
        }
    };
}

impl Cipher {
    pub(crate) fn new(key: &SessionKey) -> Cipher {
        match key {
            SessionKey::Aes128(key) => Cipher::Aes128(Aes128::new(key.into())),
            SessionKey::Aes192(key) => Cipher::Aes192(Aes192::new(key.into())),
            SessionKey::Aes256(key) => Cipher::Aes256(Aes256::new(key.into())),
        }
    }

    /// CMAC (NIST SP 800-38B) over the concatenation of the parts, all 16 bytes of it.
    pub(crate) fn cmac(&self, parts: &[&[u8]]) -> [u8; BLOCK] {
        with!(self, aes => {
            let mut mac = Cmac::inner_init(aes);
            parts.iter().for_each(|part| Mac::update(&mut mac, part));
            mac.finalize().into_bytes().into()
        })
    }

    /// One block, for initial chaining vectors.
    pub(crate) fn encrypt_block(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = block.into();
        with!(self, aes => aes.encrypt_block(&mut block));
        block.into()
    }

    /// CBC in place. `None`, with the buffer as it was, unless the data is whole blocks.
    #[must_use]
    pub(crate) fn encrypt_cbc(&self, icv: [u8; BLOCK], data: &mut [u8]) -> Option<()> {
        let length = data.len();
        with!(self, aes => {
            let mode = Encryptor::inner_iv_init(aes, &icv.into());
            mode.encrypt_padded::<NoPadding>(data, length).ok().map(|_| ())
        })
    }

    /// CBC in place, the other way. `None` unless the data is whole blocks.
    #[must_use]
    pub(crate) fn decrypt_cbc(&self, icv: [u8; BLOCK], data: &mut [u8]) -> Option<()> {
        with!(self, aes => {
            let mode = Decryptor::inner_iv_init(aes, &icv.into());
            mode.decrypt_padded::<NoPadding>(data).ok().map(|_| ())
        })
    }
}
