//! AES in the three forms SCP03 needs: CMAC, CBC, and single blocks (AmdD §4.1).

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cipher::block_padding::NoPadding;
use cipher::{BlockCipherEncrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use cmac::digest::InnerInit;
use cmac::{Cmac, Mac};

use super::one_pass::OnePass;
use super::session_keys::SessionKey;

pub(crate) const BLOCK: usize = 16;

/// The expanded schedule of one key, erased when dropped.
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

    /// The subkey that CMAC mixes into a last block which is not whole (NIST SP 800-38B §6.1).
    pub(crate) fn cmac_subkey(&self) -> [u8; BLOCK] {
        let double = |block: u128| if block >> 127 == 0 { block << 1 } else { block << 1 ^ 0x87 };
        double(double(u128::from_be_bytes(self.encrypt_block([0; BLOCK])))).to_be_bytes()
    }

    /// Encrypts under this key and MACs under the other. `None` unless they are equally long.
    pub(crate) fn encrypt_and_mac(&self, mac: &Cipher, pass: OnePass<'_>) -> Option<[u8; BLOCK]> {
        match (self, mac) {
            (Cipher::Aes128(enc), Cipher::Aes128(mac)) => Some(pass.run(enc, mac)),
            (Cipher::Aes192(enc), Cipher::Aes192(mac)) => Some(pass.run(enc, mac)),
            (Cipher::Aes256(enc), Cipher::Aes256(mac)) => Some(pass.run(enc, mac)),
            _ => None,
        }
    }

    /// CBC decryption in place. `None` unless the data is whole blocks.
    #[must_use]
    pub(crate) fn decrypt_cbc(&self, icv: [u8; BLOCK], data: &mut [u8]) -> Option<()> {
        with!(self, aes => {
            let mode = Decryptor::inner_iv_init(aes, &icv.into());
            mode.decrypt_padded::<NoPadding>(data).ok().map(|_| ())
        })
    }
}
