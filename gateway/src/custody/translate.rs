//! The second gate: ciphertext under a K-DEK, made only for what a permit's terms say.
//!
//! The functions here take the terms of a permit; the only callers are the two functions of [`Custody`](super::Custody) that borrow one.

use scp::{
    KeyWrite, Terms,
    content::{put_key::EncryptedKey, store_data::Dgi},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    CustodyError, KeySetRow, KeySetStatus,
    aes_key::{AesKey, BLOCK},
    keyset,
    payload::{self, ClearDgi, DGI_PIN, KEY_PART_BYTES},
    vault::Vault,
};

/// First byte of the padding of a PIN (ISO/IEC 9797-1, padding method 2).
const PADDING: u8 = 0x80;

/// A fresh key set under the K-DEK of the set its channel was opened with.
pub(super) fn key_set(
    vault: &Vault,
    terms: &Terms,
    fresh: Uuid,
    under: Uuid,
) -> Result<[EncryptedKey; 3], CustodyError> {
    let KeyWrite::SdKeyset { prior, fresh: fresh_kvn } = &terms.write else {
        return refuse("write");
    };
    let (fresh, keys) = keyset::open(vault, fresh)?;
    let (under, under_keys) = keyset::open(vault, under)?;
    check_place(terms, &fresh)?;
    check_under(terms, &under)?;
    if fresh.tenant != under.tenant {
        return refuse("tenant");
    }
    if fresh.kvn != *fresh_kvn || prior.is_some_and(|prior| prior != under.kvn) {
        return refuse("Key Version Number");
    }
    // Only a set made here and never used before: a value once written is not written again.
    if fresh.status != KeySetStatus::Staged {
        return refuse("status of the fresh key set");
    }
    let encrypt = |key: &AesKey| -> Result<EncryptedKey, CustodyError> {
        Ok(EncryptedKey {
            cryptogram: under_keys.dek.encrypt(padded(key.expose()))?,
            length: key.length(),
            check_value: key.check_value()?,
        })
    };
    Ok([encrypt(&keys.enc)?, encrypt(&keys.mac)?, encrypt(&keys.dek)?])
}

/// A payload's Data Groupings, the secret ones under the K-DEK of the set the channel was opened with.
pub(super) fn payload(
    vault: &Vault,
    terms: &Terms,
    payload: Uuid,
    under: Uuid,
) -> Result<Vec<Dgi>, CustodyError> {
    let KeyWrite::AppKey { applet } = &terms.write else {
        return refuse("write");
    };
    let (row, dgis) = payload::open(vault, payload)?;
    let (under, under_keys) = keyset::open(vault, under)?;
    check_under(terms, &under)?;
    if row.se != terms.se {
        return refuse("secure element");
    }
    if row.tenant != under.tenant {
        return refuse("tenant");
    }
    if row.applet != *applet {
        return refuse("application");
    }
    dgis.into_iter().map(|dgi| translated(dgi, &under_keys.dek)).collect()
}

fn check_place(terms: &Terms, key_set: &KeySetRow) -> Result<(), CustodyError> {
    if key_set.se != terms.se {
        return refuse("secure element");
    }
    if key_set.sd != terms.security_domain {
        return refuse("Security Domain");
    }
    Ok(())
}

fn check_under(terms: &Terms, under: &KeySetRow) -> Result<(), CustodyError> {
    check_place(terms, under)?;
    if under.status == KeySetStatus::Retired {
        return refuse("status of the key set written under");
    }
    Ok(())
}

fn refuse<T>(field: &'static str) -> Result<T, CustodyError> {
    Err(CustodyError::NotPermitted { field })
}

fn translated(dgi: ClearDgi, dek: &AesKey) -> Result<Dgi, CustodyError> {
    let ClearDgi { tag, value } = dgi;
    if !payload::is_secret(tag) {
        return Ok(Dgi { tag, value: value.to_vec() });
    }
    let block = if tag == DGI_PIN { padded_pin(&value) } else { left_padded(&value) };
    Ok(Dgi { tag, value: dek.encrypt(block)? })
}

/// A key padded to whole blocks with bytes nobody looks at (AmdD §6.2.8).
fn padded(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = value.len().next_multiple_of(BLOCK);
    let mut block = Zeroizing::new(Vec::with_capacity(length));
    block.extend_from_slice(value);
    block.resize(length, 0);
    block
}

/// The digits, 80, and zeros to the end of the block.
fn padded_pin(digits: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut block = Zeroizing::new(Vec::with_capacity(BLOCK));
    block.extend_from_slice(digits);
    block.push(PADDING);
    block.resize(digits.len().saturating_add(1).next_multiple_of(BLOCK), 0);
    block
}

/// A part of the private key as a number of fixed length.
fn left_padded(part: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut number = Zeroizing::new(Vec::with_capacity(KEY_PART_BYTES));
    number.resize(KEY_PART_BYTES.saturating_sub(part.len()), 0);
    number.extend_from_slice(part);
    number
}
