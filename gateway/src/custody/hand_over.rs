//! The first key set of our Security Domain, from the carrier that made it.

use scp::KeyCheckValues;
use uuid::Uuid;

use super::{
    Accepted, HandOver, HandOverError, KeySetRow, KeySetStatus,
    keyset::{self, StaticKeys},
    vault::Vault,
};

/// HPKE `info` of a hand-over.
const INFO: &str = "madoguchi key-set hand-over v1";
/// Longest id of a tenant, an SE or a party.
const ID_MAX_BYTES: usize = 128;
/// Most parties that may know a set.
const KNOWN_TO_MAX: usize = 16;

/// Opens, checks and keeps a set. The same set for the same place again is the same answer again.
pub(super) fn accept(vault: &Vault, hand_over: &HandOver) -> Result<Accepted, HandOverError> {
    check_statement(hand_over)?;
    let keys = unwrap(vault, hand_over)?;
    let kcv = keys.check_values()?;
    if kcv != hand_over.kcv {
        return Err(HandOverError::CheckValue);
    }
    let HandOver { tenant, se, sd, kvn, .. } = hand_over;
    if let Some(key_set) = keyset::handed_over(vault, (tenant, se, sd, *kvn))? {
        return again(vault, key_set, &keys, kcv);
    }
    // A number that ever was ours is never a carrier's: its set could otherwise pass for the SE.
    if keyset::rows_of(vault, se, sd)?.iter().any(|row| row.kvn == *kvn) {
        return Err(HandOverError::Differs);
    }
    for key in keys.all() {
        if keyset::owners(vault, key)?.iter().any(|owner| owner != se) {
            return Err(HandOverError::Shared);
        }
    }
    let row = KeySetRow {
        uuid: Uuid::now_v7(),
        tenant: tenant.clone(),
        se: se.clone(),
        sd: *sd,
        kvn: *kvn,
        key_length: hand_over.key_length,
        kcv,
        known_to: hand_over.known_to.clone(),
        status: KeySetStatus::HandedOver,
    };
    keyset::insert(vault, &row, &keys)?;
    Ok(Accepted { key_set: row.uuid, kcv, again: false })
}

/// Ids become lines of what the ciphertext is bound to, so they must not hold line breaks.
fn check_statement(hand_over: &HandOver) -> Result<(), HandOverError> {
    let named = |text: &str| {
        (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let HandOver { tenant, se, known_to, .. } = hand_over;
    if !named(tenant) {
        return Err(HandOverError::Malformed { field: "tenant" });
    }
    if !named(se) {
        return Err(HandOverError::Malformed { field: "se" });
    }
    if known_to.is_empty() || known_to.len() > KNOWN_TO_MAX || !known_to.iter().all(|by| named(by))
    {
        return Err(HandOverError::Malformed { field: "known_to" });
    }
    Ok(())
}

fn unwrap(vault: &Vault, hand_over: &HandOver) -> Result<StaticKeys, HandOverError> {
    let HandOver { tenant, se, sd, kvn, enc, ciphertext, .. } = hand_over;
    let aad = format!("{tenant}\n{se}\n{sd}\n{kvn}");
    let row = vault.receive((INFO, &aad), enc, ciphertext).ok_or(HandOverError::Unwrap)?;
    StaticKeys::split(&row, hand_over.key_length)
        .ok_or(HandOverError::Malformed { field: "key_length" })
}

fn again(
    vault: &Vault,
    key_set: Uuid,
    keys: &StaticKeys,
    kcv: KeyCheckValues,
) -> Result<Accepted, HandOverError> {
    let (_, known) = keyset::open(vault, key_set)?;
    let same = known.all().into_iter().zip(keys.all()).all(|(known, key)| known.same_as(key));
    if same { Ok(Accepted { key_set, kcv, again: true }) } else { Err(HandOverError::Differs) }
}
