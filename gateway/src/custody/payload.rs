//! Key material of one order: opened once to check it, then kept sealed until it is on the SE.

use std::fmt;

use rusqlite::{OptionalExtension, Row, params, types::Type};
use scp::Aid;
use serde::{
    Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{CustodyError, Payload, PayloadError, PayloadRow, sealed::Binding, vault::Vault};
use crate::digest::Digest;

/// HPKE `info` of a payload.
const INFO: &str = "madoguchi personalization v1";
/// Longest id of a tenant, an order or an SE.
const ID_MAX_BYTES: usize = 128;
/// Largest ciphertext.
const CIPHERTEXT_MAX_BYTES: usize = 32_768;

/// The certificate, DER.
pub(super) const DGI_CERTIFICATE: u16 = 0x0101;
/// The public key, SubjectPublicKeyInfo DER.
pub(super) const DGI_PUBLIC_KEY: u16 = 0x0102;
/// The PIN, ASCII digits.
pub(super) const DGI_PIN: u16 = 0x8010;
/// The five parts of the private key, in CRT form.
pub(super) const DGI_KEY_FIRST: u16 = 0x8201;
/// The last of them.
pub(super) const DGI_KEY_LAST: u16 = 0x8205;
/// Length of each part: half of an RSA-2048 modulus.
pub(super) const KEY_PART_BYTES: usize = 128;
/// A PIN and its padding fill one AES block.
const PIN_MAX_BYTES: usize = 15;
const PIN_LEAST_BYTES: usize = 4;
const CERTIFICATE_MAX_BYTES: usize = 4_096;
const PUBLIC_KEY_MAX_BYTES: usize = 1_024;

/// One Data Grouping in clear.
pub(super) struct ClearDgi {
    pub(super) tag: u16,
    pub(super) value: Zeroizing<Vec<u8>>,
}

/// Opens key material to check it and keeps it sealed.
pub(super) fn accept(vault: &Vault, payload: &Payload) -> Result<Uuid, PayloadError> {
    check_statement(payload)?;
    let aad = statement(payload);
    let text = vault
        .receive((INFO, &aad), &payload.enc, &payload.ciphertext)
        .ok_or(PayloadError::Unwrap)?;
    let dgis = parse(&text, &payload.dgis)?;
    dgis.iter().try_for_each(check_form)?;
    let public_key = dgis.iter().find(|dgi| dgi.tag == DGI_PUBLIC_KEY);
    let public_key = public_key.ok_or(PayloadError::Dgi { dgi: DGI_PUBLIC_KEY })?;
    let stated = Digest::of(&[&public_key.value]).0.ct_eq(&payload.public_key_sha256.0);
    if !bool::from(stated) {
        return Err(PayloadError::PublicKey);
    }
    let row = PayloadRow {
        uuid: Uuid::now_v7(),
        tenant: payload.tenant.clone(),
        order: payload.order.clone(),
        se: payload.se.clone(),
        applet: payload.applet,
        dgis: payload.dgis.clone(),
        expires_s: payload.expires_s,
        public_key_sha256: payload.public_key_sha256,
        erased: false,
    };
    insert(vault, &row, &text)?;
    Ok(row.uuid)
}

/// What is known of a payload.
pub(super) fn row(vault: &Vault, payload: Uuid) -> Result<Option<PayloadRow>, CustodyError> {
    Ok(stored(vault, payload)?.map(|(row, _)| row))
}

/// A payload's Data Groupings in clear, in its own order.
pub(super) fn open(
    vault: &Vault,
    payload: Uuid,
) -> Result<(PayloadRow, Vec<ClearDgi>), CustodyError> {
    let gone = CustodyError::NoPayload { payload };
    let (row, sealed) = stored(vault, payload)?.ok_or(gone.clone())?;
    let text = vault.sealer.open(&binding(&row), &sealed.ok_or(gone)?)?;
    let dgis = parse(&text, &row.dgis).map_err(|_| CustodyError::Sealed)?;
    Ok((row, dgis))
}

/// Erases the material.
pub(super) fn erase(vault: &Vault, payload: Uuid) -> Result<(), CustodyError> {
    let sql = "UPDATE payloads SET sealed = NULL WHERE uuid = $1";
    vault.db.prepare_cached(sql)?.execute([payload.as_bytes()])?;
    Ok(())
}

/// Whether a Data Grouping is secret: it then leaves custody only encrypted. Those not named here are refused before.
pub(super) fn is_secret(tag: u16) -> bool {
    !matches!(tag, DGI_CERTIFICATE | DGI_PUBLIC_KEY)
}

/// Ids become lines of what the ciphertext is bound to, so they must not hold line breaks.
fn check_statement(payload: &Payload) -> Result<(), PayloadError> {
    let named = |text: &str| {
        (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let malformed = |field| Err(PayloadError::Malformed { field });
    let Payload { tenant, order, se, dgis, .. } = payload;
    if !named(tenant) {
        return malformed("tenant");
    }
    if !named(order) {
        return malformed("order");
    }
    if !named(se) {
        return malformed("se");
    }
    if payload.ciphertext.len() > CIPHERTEXT_MAX_BYTES {
        return malformed("ciphertext");
    }
    if payload.expires_s <= payload.now_s {
        return Err(PayloadError::Expired);
    }
    let repeated =
        |(at, dgi): (usize, &u16)| dgis.iter().skip(at).skip(1).any(|other| other == dgi);
    if dgis.iter().enumerate().any(repeated) {
        return malformed("dgis");
    }
    match dgis.iter().find(|dgi| !is_known(**dgi)) {
        Some(dgi) => Err(PayloadError::Dgi { dgi: *dgi }),
        None => Ok(()),
    }
}

fn is_known(tag: u16) -> bool {
    matches!(tag, DGI_CERTIFICATE | DGI_PUBLIC_KEY | DGI_PIN | DGI_KEY_FIRST..=DGI_KEY_LAST)
}

fn statement(payload: &Payload) -> String {
    let Payload { tenant, order, se, applet, expires_s, .. } = payload;
    let dgis: Vec<String> = payload.dgis.iter().map(|dgi| format!("{dgi:04X}")).collect();
    format!("{tenant}\n{order}\n{se}\n{applet}\n{}\n{expires_s}", dgis.join(","))
}

fn check_form(dgi: &ClearDgi) -> Result<(), PayloadError> {
    let length = dgi.value.len();
    let good = match dgi.tag {
        DGI_CERTIFICATE => (1..=CERTIFICATE_MAX_BYTES).contains(&length),
        DGI_PUBLIC_KEY => (1..=PUBLIC_KEY_MAX_BYTES).contains(&length),
        DGI_PIN => {
            (PIN_LEAST_BYTES..=PIN_MAX_BYTES).contains(&length)
                && dgi.value.iter().all(u8::is_ascii_digit)
        }
        _ => (1..=KEY_PART_BYTES).contains(&length),
    };
    if good { Ok(()) } else { Err(PayloadError::Dgi { dgi: dgi.tag }) }
}

/// Reads a JSON object of hexadecimal values and answers exactly the Data Groupings asked for, in that order.
fn parse(text: &[u8], asked: &[u16]) -> Result<Vec<ClearDgi>, PayloadError> {
    let malformed = PayloadError::Malformed { field: "plaintext" };
    let mut json = serde_json::Deserializer::from_slice(text);
    let members = json.deserialize_map(Members).map_err(|_| malformed.clone())?;
    json.end().map_err(|_| malformed)?;
    let mut found: Vec<(u16, &str)> = members.0;
    if let Some((extra, _)) = found.iter().find(|(tag, _)| !asked.contains(tag)) {
        return Err(PayloadError::Dgi { dgi: *extra });
    }
    asked
        .iter()
        .map(|tag| {
            let missing = PayloadError::Dgi { dgi: *tag };
            let at = found.iter().position(|(name, _)| name == tag).ok_or(missing.clone())?;
            let (_, digits) = found.swap_remove(at);
            let mut value = Zeroizing::new(vec![0; digits.len() / 2]);
            hex::decode_to_slice(digits, value.as_mut_slice()).map_err(|_| missing)?;
            Ok(ClearDgi { tag: *tag, value })
        })
        .collect()
}

/// The members of an object, borrowed from the text: secrets are not copied while they are read. A text with escapes cannot be borrowed
/// and is refused; so is a member that stands twice.
struct Members;

struct Borrowed<'a>(Vec<(u16, &'a str)>);

impl<'de> Visitor<'de> for Members {
    type Value = Borrowed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Data Groupings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Borrowed<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<&str, &str>()? {
            let mut tag = [0; 2];
            hex::decode_to_slice(name, &mut tag)
                .map_err(|_| A::Error::custom("not a Data Grouping Identifier"))?;
            let tag = u16::from_be_bytes(tag);
            if members.iter().any(|(known, _)| *known == tag) {
                return Err(A::Error::custom("a Data Grouping stands twice"));
            }
            members.push((tag, value));
        }
        Ok(Borrowed(members))
    }
}

fn insert(vault: &Vault, row: &PayloadRow, text: &[u8]) -> Result<(), CustodyError> {
    let sealed = vault.sealer.seal(&binding(row), text)?;
    let sql = "INSERT INTO payloads VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    vault.db.prepare_cached(sql)?.execute(params![
        row.uuid.as_bytes(),
        row.tenant,
        row.order,
        row.se,
        row.applet.as_bytes(),
        dgis_bytes(&row.dgis),
        row.expires_s,
        row.public_key_sha256.0,
        sealed
    ])?;
    Ok(())
}

/// What the material is sealed for.
fn binding(row: &PayloadRow) -> Binding {
    Binding::new(&[
        b"payload",
        row.tenant.as_bytes(),
        row.order.as_bytes(),
        row.se.as_bytes(),
        row.applet.as_bytes(),
        row.uuid.as_bytes(),
        &dgis_bytes(&row.dgis),
        &row.expires_s.to_be_bytes(),
        &row.public_key_sha256.0,
    ])
}

fn dgis_bytes(dgis: &[u16]) -> Vec<u8> {
    dgis.iter().flat_map(|dgi| dgi.to_be_bytes()).collect()
}

/// What is known, and the material unless it was erased.
type Stored = (PayloadRow, Option<Vec<u8>>);

fn stored(vault: &Vault, payload: Uuid) -> Result<Option<Stored>, CustodyError> {
    let sql =
        "SELECT uuid, tenant, order_id, se, applet, dgis, expires_s, public_key_sha256, sealed
               FROM payloads WHERE uuid = $1";
    let mut statement = vault.db.prepare_cached(sql)?;
    Ok(statement.query_row([payload.as_bytes()], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let applet: Vec<u8> = row.get(4)?;
    let unreadable = || rusqlite::Error::InvalidColumnType(4, String::new(), Type::Blob);
    let dgis: Vec<u8> = row.get(5)?;
    let sealed: Option<Vec<u8>> = row.get(8)?;
    let described = PayloadRow {
        uuid: Uuid::from_bytes(row.get(0)?),
        tenant: row.get(1)?,
        order: row.get(2)?,
        se: row.get(3)?,
        applet: Aid::new(&applet).map_err(|_| unreadable())?,
        dgis: dgis.chunks_exact(2).map(|pair| pair.iter().fold(0, two_bytes)).collect(),
        expires_s: row.get(6)?,
        public_key_sha256: Digest(row.get(7)?),
        erased: sealed.is_none(),
    };
    Ok((described, sealed))
}

fn two_bytes(high: u16, low: &u8) -> u16 {
    (high << 8) | u16::from(*low)
}
