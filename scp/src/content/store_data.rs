//! STORE DATA of Data Groupings, over as many commands as they need (CS 2.3.1 §11.11).

use std::fmt;

use super::put_key::{EncryptedKey, check_set};
use super::{block_size, command, ins, install};
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;
use crate::keyset::version::{KeyLength, KeyVersionNumber};
use crate::permit::{KeyScript, KeyWrite};
use crate::tlv;

/// P1: DGI format, nothing said of encryption, case 3 (CS 2.3.1 Table 11-89).
const DGI_FORMAT: u8 = 0x08;
const LAST_BLOCK: u8 = 0x80;
/// Block numbers run from 00 to FF (CS 2.3.1 §11.11.2.2).
const BLOCKS_MOST: usize = 256;
const VALUE_MOST: usize = 0xFFFF;

/// One Data Grouping: an identifier and a value of at most 65535 bytes, in clear if it is
/// public, otherwise encrypted by custody. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Dgi {
    /// Data Grouping Identifier.
    pub tag: u16,
    /// Value as the application is to receive it.
    pub value: Vec<u8>,
}

impl fmt::Debug for Dgi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dgi({:04X}, {} bytes)", self.tag, self.value.len())
    }
}

/// The STORE DATA commands that carry these Data Groupings in order, at most `block_max` clear
/// data bytes each. A value may run over several blocks, identifier and length do not.
///
/// # Errors
/// [`ApiMisuse`] for no Data Grouping at all, a value above 65535 bytes, more than 256 blocks, or
/// a block size out of bounds.
pub fn blocks(dgis: &[Dgi], block_max: u8) -> Result<Vec<CommandApdu>, ApiMisuse> {
    let size = block_size(block_max)?;
    if dgis.is_empty() {
        return Err(ApiMisuse::TooLittle { what: "Data Groupings", got: 0, least: 1 });
    }
    let blocks = split(dgis, size)?;
    if blocks.len() > BLOCKS_MOST {
        let what = "STORE DATA blocks";
        return Err(ApiMisuse::TooMuch { what, got: blocks.len(), most: BLOCKS_MOST });
    }
    let last = blocks.len().saturating_sub(1);
    (0u8..=0xFF)
        .zip(blocks)
        .map(|(number, data)| {
            let end = if usize::from(number) == last { LAST_BLOCK } else { 0x00 };
            command("STORE DATA", [ins::STORE_DATA, DGI_FORMAT | end, number], data, None)
        })
        .collect()
}

/// INSTALL \[for personalization\] of `applet`, then all its Data Groupings.
///
/// # Errors
/// As [`blocks`].
pub fn personalization(
    security_domain: Aid,
    applet: Aid,
    dgis: &[Dgi],
    block_max: u8,
) -> Result<KeyScript, ApiMisuse> {
    let mut commands = vec![install::for_personalization(applet)?];
    commands.extend(blocks(dgis, block_max)?);
    KeyScript::new(commands, KeyWrite::AppKey { applet }, security_domain)
}

/// How DGI 00B9 describes the keys that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyDescription {
    /// A template B9 for each key holds all of its attributes (CS 2.3.1 Table 11-92).
    EachKey,
    /// A template B7 holds what the keys share, a B9 each the identifier and check value, as
    /// products of the earlier Amendment A want it.
    Shared,
}

/// The Data Groupings by which a Security Domain is given a key set through its parent: 00B9, then
/// 8113 for each key (CS 2.3.1 §11.11.4.1). Only the Security Domain itself may use the keys.
///
/// # Errors
/// [`ApiMisuse::Invalid`] if the keys differ in length or a cryptogram is not of its key's.
pub fn key_set(
    fresh: KeyVersionNumber,
    keys: &[EncryptedKey; 3],
    description: KeyDescription,
) -> Result<Vec<Dgi>, ApiMisuse> {
    check_set(keys)?;
    let value = match description {
        KeyDescription::EachKey => describe_each(fresh, keys)?,
        KeyDescription::Shared => describe_shared(fresh, keys)?,
    };
    let secrets = keys.iter().map(|key| Dgi { tag: 0x8113, value: key.cryptogram.clone() });
    Ok([Dgi { tag: 0x00B9, value }].into_iter().chain(secrets).collect())
}

/// Key Identifier, and usage for commands and answers both (CS 2.3.1 §11.1.9), of Key-ENC, Key-MAC
/// and Key-DEK.
const IDENTIFIERS_AND_USAGES: [(u8, u8); 3] = [(1, 0x38), (2, 0x34), (3, 0xC8)];
/// Key access: the Security Domain alone (CS 2.3.1 Table 11-19).
const SECURITY_DOMAIN_ALONE: u8 = 0x01;
/// Purpose of the keys in the shared template: SCP03.
const PURPOSE_SCP03: [u8; 2] = [0x00, 0x03];

fn describe_each(fresh: KeyVersionNumber, keys: &[EncryptedKey; 3]) -> Result<Vec<u8>, ApiMisuse> {
    let mut templates = Vec::new();
    for (key, (identifier, usage)) in keys.iter().zip(IDENTIFIERS_AND_USAGES) {
        let [.., length] = key.length.bytes().to_be_bytes();
        let attributes = [
            tlv::encode(0x95, &[usage])?,
            tlv::encode(0x96, &[SECURITY_DOMAIN_ALONE])?,
            tlv::encode(0x80, &[KeyLength::KEY_TYPE])?,
            tlv::encode(0x81, &[length])?,
            tlv::encode(0x82, &[identifier])?,
            tlv::encode(0x83, &[fresh.get()])?,
            tlv::encode(0x84, &key.check_value.0)?,
        ];
        templates.extend(tlv::encode(0xB9, &attributes.concat())?);
    }
    Ok(templates)
}

fn describe_shared(
    fresh: KeyVersionNumber,
    keys: &[EncryptedKey; 3],
) -> Result<Vec<u8>, ApiMisuse> {
    let [first, ..] = keys;
    let [.., length] = first.length.bytes().to_be_bytes();
    let shared = [
        tlv::encode(0x80, &[KeyLength::KEY_TYPE])?,
        tlv::encode(0x81, &[length])?,
        tlv::encode(0x83, &[fresh.get()])?,
        tlv::encode(0x96, &[SECURITY_DOMAIN_ALONE])?,
        tlv::encode(0x97, &PURPOSE_SCP03)?,
    ];
    let mut templates = tlv::encode(0xB7, &shared.concat())?;
    for (key, (identifier, _)) in keys.iter().zip(IDENTIFIERS_AND_USAGES) {
        let own = [tlv::encode(0x82, &[identifier])?, tlv::encode(0x84, &key.check_value.0)?];
        templates.extend(tlv::encode(0xB9, &own.concat())?);
    }
    Ok(templates)
}

/// The data of each block.
fn split(dgis: &[Dgi], size: usize) -> Result<Vec<Vec<u8>>, ApiMisuse> {
    let mut blocks = Vec::new();
    let mut block = Vec::with_capacity(size);
    for dgi in dgis {
        let header = header(dgi)?;
        let least = header.len().saturating_add(dgi.value.len().min(1));
        if block.len().saturating_add(least) > size {
            blocks.push(std::mem::replace(&mut block, Vec::with_capacity(size)));
        }
        block.extend_from_slice(&header);
        let mut value = dgi.value.as_slice();
        while let Some((head, tail)) = value.split_at_checked(size.saturating_sub(block.len())) {
            if tail.is_empty() {
                break;
            }
            block.extend_from_slice(head);
            blocks.push(std::mem::replace(&mut block, Vec::with_capacity(size)));
            value = tail;
        }
        block.extend_from_slice(value);
    }
    blocks.push(block);
    Ok(blocks)
}

/// Identifier and length: one byte up to FE, otherwise FF and two (EMV Card Personalization).
fn header(dgi: &Dgi) -> Result<Vec<u8>, ApiMisuse> {
    let what = "value of a Data Grouping";
    let got = dgi.value.len();
    let length =
        u16::try_from(got).map_err(|_| ApiMisuse::TooMuch { what, got, most: VALUE_MOST })?;
    let mut header = dgi.tag.to_be_bytes().to_vec();
    match length.to_be_bytes() {
        [0x00, low @ 0x00..=0xFE] => header.push(low),
        [high, low] => header.extend_from_slice(&[0xFF, high, low]),
    }
    Ok(header)
}
