//! GET DATA: the Key Information Template and the sequence counter (CS 2.3.1 §11.3).

use thiserror::Error;

use super::{ALL, ins};
use crate::apdu::CommandApdu;
use crate::keyset::version::KeyVersionNumber;
use crate::tlv::{self, TlvError};

/// Tag of the Key Information Template.
pub const KEY_INFORMATION_TEMPLATE: u16 = 0x00E0;
/// Tag of the sequence counter of the default key set.
pub const SEQUENCE_COUNTER: u16 = 0x00C1;

const KEY_INFORMATION_DATA: u32 = 0xC0;
/// First byte of a key type in two bytes (CS 2.3.1 Table 11-16).
const EXTENDED: u8 = 0xFF;
/// Most keys read; a Security Domain has 127 Key Version Numbers and few keys under each.
const KEYS_MOST: usize = 1_024;

/// GET DATA of the object with this tag.
#[must_use]
pub fn command(tag: u16) -> CommandApdu {
    let [p1, p2] = tag.to_be_bytes();
    CommandApdu::proprietary([ins::GET_DATA, p1, p2], Vec::new(), ALL)
}

/// One key of a Security Domain. A key of several components is described by its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyInformation {
    /// Key Identifier; 1, 2, 3 are Key-ENC, Key-MAC, Key-DEK of SCP03.
    pub kid: u8,
    /// Key Version Number as the SE gives it.
    pub kvn: u8,
    /// Key type coding, without the FF of the extended form (CS 2.3.1 Table 11-16).
    pub key_type: u8,
    /// Bytes of the key; 0 in the basic form means 256 or more.
    pub length: u16,
}

/// The keys a Security Domain says it has.
///
/// # Security
/// It is the SE's word only if an R-MAC covered the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInformationTemplate {
    keys: Vec<KeyInformation>,
}

/// An answer that is not the data asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GetDataFault {
    /// Not well-formed data objects.
    #[error("malformed data objects: {0}")]
    Malformed(#[from] TlvError),
    /// Another object than the one asked for, or more than one.
    #[error("the answer is not one data object {expected:X}")]
    NotTheObject {
        /// The tag asked for.
        expected: u32,
    },
    /// Key Information Data of neither the basic nor the extended form.
    #[error("malformed Key Information Data")]
    KeyInformation,
    /// More keys than any Security Domain has.
    #[error("more than {KEYS_MOST} keys")]
    TooManyKeys,
}

impl KeyInformationTemplate {
    /// Reads the data of the answer to GET DATA of tag E0 (CS 2.3.1 §11.3.3.1.1).
    ///
    /// # Errors
    /// [`GetDataFault`]; all are the SE's.
    pub fn parse(answer_data: &[u8]) -> Result<KeyInformationTemplate, GetDataFault> {
        let template = only_object(answer_data, u32::from(KEY_INFORMATION_TEMPLATE))?;
        let mut keys = Vec::new();
        for object in tlv::objects(template) {
            let object = object?;
            if object.tag() != KEY_INFORMATION_DATA {
                return Err(GetDataFault::KeyInformation);
            }
            if keys.len() == KEYS_MOST {
                return Err(GetDataFault::TooManyKeys);
            }
            keys.push(key_information(object.value()).ok_or(GetDataFault::KeyInformation)?);
        }
        Ok(KeyInformationTemplate { keys })
    }

    /// Every key, in the order given.
    #[must_use]
    pub fn keys(&self) -> &[KeyInformation] {
        &self.keys
    }

    /// Whether there is a whole SCP03 key set with this number: Key Identifiers 1, 2 and 3.
    #[must_use]
    pub fn has_set(&self, kvn: KeyVersionNumber) -> bool {
        (1..=3).all(|kid| self.keys.iter().any(|key| (key.kid, key.kvn) == (kid, kvn.get())))
    }

    /// Whether there is any key with this number. No set is gone as long as one of its keys is left.
    #[must_use]
    pub fn has_any_of(&self, kvn: KeyVersionNumber) -> bool {
        self.keys.iter().any(|key| key.kvn == kvn.get())
    }
}

/// Reads the data of the answer to GET DATA of tag C1: the last value used, three bytes.
///
/// # Errors
/// [`GetDataFault`]; all are the SE's.
pub fn sequence_counter(answer_data: &[u8]) -> Result<u32, GetDataFault> {
    let expected = u32::from(SEQUENCE_COUNTER);
    match only_object(answer_data, expected)? {
        [high, middle, low] => Ok(u32::from_be_bytes([0, *high, *middle, *low])),
        _ => Err(GetDataFault::NotTheObject { expected }),
    }
}

fn only_object(data: &[u8], expected: u32) -> Result<&[u8], GetDataFault> {
    let mut objects = tlv::objects(data);
    match (objects.next().transpose()?, objects.next().transpose()?) {
        (Some(object), None) if object.tag() == expected => Ok(object.value()),
        _ => Err(GetDataFault::NotTheObject { expected }),
    }
}

/// Tables 11-28 and 11-29 of CS 2.3.1.
fn key_information(data: &[u8]) -> Option<KeyInformation> {
    match data {
        [kid, kvn, EXTENDED, key_type, high, low, rest @ ..] if is_extended_tail(rest) => {
            let length = u16::from_be_bytes([*high, *low]);
            Some(KeyInformation { kid: *kid, kvn: *kvn, key_type: *key_type, length })
        }
        [_, _, EXTENDED, ..] => None,
        [kid, kvn, key_type, length, rest @ ..] if is_basic_tail(rest) => {
            let length = u16::from(*length);
            Some(KeyInformation { kid: *kid, kvn: *kvn, key_type: *key_type, length })
        }
        _ => None,
    }
}

/// Further components: type and length, a byte each.
fn is_basic_tail(rest: &[u8]) -> bool {
    rest.chunks(2).all(|component| matches!(component, [0x00..=0xFE, _]))
}

/// Further components, type and length of two bytes each, then usage and access with a length of
/// at most 1 before each.
fn is_extended_tail(mut rest: &[u8]) -> bool {
    while let [EXTENDED, _, _, _, after @ ..] = rest {
        rest = after;
    }
    matches!(rest, [0, 0] | [1, _, 0] | [0, 1, _] | [1, _, 1, _])
}
