//! PUT KEY of a whole SCP03 key set (CS 2.3.1 §11.8; AmdD §7.2).

use std::fmt;

use thiserror::Error;

use super::{ALL, command, ins};
use crate::aid::Aid;
use crate::error::ApiMisuse;
use crate::keyset::check_value::{KeyCheckValue, KeyCheckValues};
use crate::keyset::version::{KeyLength, KeyVersionNumber};
use crate::permit::{KeyScript, KeyWrite};
use crate::profile::PutKeyBlock;

/// P1 where no key set is replaced (CS 2.3.1 §11.8.2.1).
const ADD: u8 = 0x00;
/// P2: several keys, the first with Key Identifier 1 (CS 2.3.1 Table 11-66).
const KEYS_FROM_IDENTIFIER_1: u8 = 0x81;
const CHECK_VALUE_BYTES: u8 = 3;
const AES_BLOCK: usize = 16;

/// One key as custody hands it out: encrypted under the static Key-DEK in AES-CBC with a zero ICV,
/// padded to whole blocks first (AmdD §6.2.8, §7.2.1). `Debug` shows no cryptogram.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedKey {
    /// 16 bytes for AES-128, 32 for AES-192 and AES-256.
    pub cryptogram: Vec<u8>,
    /// Length of the key in clear.
    pub length: KeyLength,
    /// Check value of the key in clear.
    pub check_value: KeyCheckValue,
}

impl EncryptedKey {
    /// Whether the cryptogram is as long as the key padded to whole AES blocks.
    pub(super) fn check(&self) -> Result<(), ApiMisuse> {
        if self.cryptogram.len() == self.length.bytes().next_multiple_of(AES_BLOCK) {
            return Ok(());
        }
        Err(ApiMisuse::Invalid { what: "key cryptogram", why: "not the length of a padded key" })
    }
}

impl fmt::Debug for EncryptedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedKey({:?}, {})", self.length, self.check_value)
    }
}

/// PUT KEY of Key-ENC, Key-MAC and Key-DEK, in this order, as the set `fresh`: added where `prior`
/// is none, otherwise in the place of `prior`, whose number it may keep or change.
///
/// # Errors
/// [`ApiMisuse::Invalid`] if the keys differ in length or a cryptogram is not of its key's.
pub fn key_set(
    security_domain: Aid,
    prior: Option<KeyVersionNumber>,
    fresh: KeyVersionNumber,
    keys: &[EncryptedKey; 3],
    block: PutKeyBlock,
) -> Result<KeyScript, ApiMisuse> {
    check_set(keys)?;
    let mut data = vec![fresh.get()];
    for key in keys {
        push_key_data(&mut data, key, block);
    }
    let p1 = prior.map_or(ADD, KeyVersionNumber::get);
    let put = command("PUT KEY data", [ins::PUT_KEY, p1, KEYS_FROM_IDENTIFIER_1], data, ALL)?;
    KeyScript::new(vec![put], KeyWrite::SdKeyset { prior, fresh }, security_domain)
}

/// Whether three keys make a set: each well-formed, all of one length.
pub(super) fn check_set(keys: &[EncryptedKey; 3]) -> Result<(), ApiMisuse> {
    keys.iter().try_for_each(EncryptedKey::check)?;
    let [enc, mac, dek] = keys;
    if enc.length == mac.length && mac.length == dek.length {
        return Ok(());
    }
    Err(ApiMisuse::Invalid { what: "key set", why: "keys of different lengths" })
}

/// Key data field in the basic format (CS 2.3.1 Table 11-68). All lengths are below 128.
fn push_key_data(data: &mut Vec<u8>, key: &EncryptedKey, block: PutKeyBlock) {
    let [.., cryptogram_length] = key.cryptogram.len().to_be_bytes();
    let [.., key_length] = key.length.bytes().to_be_bytes();
    data.push(KeyLength::KEY_TYPE);
    match block {
        // CS 2.3.1 Table 11-70, AmdD Table 7-10: the block says how long the key in it is.
        PutKeyBlock::LengthPrefixed => {
            data.extend_from_slice(&[cryptogram_length.saturating_add(1), key_length]);
        }
        // CS 2.3.1 Table 11-71.
        PutKeyBlock::Plain => data.push(cryptogram_length),
    }
    data.extend_from_slice(&key.cryptogram);
    data.push(CHECK_VALUE_BYTES);
    data.extend_from_slice(&key.check_value.0);
}

/// An answer to PUT KEY that does not confirm the key set that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PutKeyFault {
    /// The answer is not a Key Version Number and three check values.
    #[error("the answer to PUT KEY has {got} bytes, not 10")]
    Length {
        /// Bytes received.
        got: usize,
    },
    /// The SE names another key set.
    #[error("the SE confirms key set {got:02X}, not {asked}")]
    KeyVersion {
        /// The set that was sent.
        asked: KeyVersionNumber,
        /// The set the SE names.
        got: u8,
    },
    /// The SE holds other keys than those that were sent.
    #[error("the SE confirms other Key Check Values than those of the keys sent")]
    CheckValues,
}

/// Judges the data of the answer to PUT KEY: the new Key Version Number and the three check values,
/// without lengths (CS 2.3.1 §11.8.3.1).
///
/// # Errors
/// [`PutKeyFault`]; all are the SE's.
///
/// # Security
/// Says nothing of whether the answer is the SE's: ask first whether an R-MAC covered it.
pub fn judge(
    answer_data: &[u8],
    fresh: KeyVersionNumber,
    expected: &KeyCheckValues,
) -> Result<(), PutKeyFault> {
    let wrong_length = PutKeyFault::Length { got: answer_data.len() };
    let (version, check_values) = answer_data.split_first().ok_or(wrong_length)?;
    let check_values = <[u8; 9]>::try_from(check_values).map_err(|_| wrong_length)?;
    if *version != fresh.get() {
        return Err(PutKeyFault::KeyVersion { asked: fresh, got: *version });
    }
    if KeyCheckValues::from(check_values) != *expected {
        return Err(PutKeyFault::CheckValues);
    }
    Ok(())
}
