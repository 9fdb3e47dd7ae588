//! Key sets: stored once, never changed, never deleted (a retired set may still be what an SE answers under).

use rusqlite::{OptionalExtension, Row, params, types::Type};
use scp::{Aid, Answer, Derivations, KeyCheckValues, KeyLength, KeyVersionNumber, StaticKey};
use uuid::Uuid;

use super::{
    CustodyError, KeySetRow, KeySetStatus, Stage, aes_key::AesKey, sealed::Binding, vault::Vault,
};

/// What a key set is used for; part of what its keys are bound to.
const USAGE: &[u8] = b"security-domain";
/// Key Identifiers of Key-ENC, Key-MAC and Key-DEK (AmdD §4.1.1).
const KEY_IDENTIFIERS: [u8; 3] = [1, 2, 3];

const COLUMNS: &str =
    "uuid, tenant, se, sd, kvn, kcv, known_to, key_bytes, handed_over, retired, enc, mac, dek";

/// The static keys of a set in clear.
#[derive(Debug)]
pub(super) struct StaticKeys {
    pub(super) enc: AesKey,
    pub(super) mac: AesKey,
    pub(super) dek: AesKey,
}

/// The keys of a set as they are stored.
struct SealedKeys([Vec<u8>; 3]);

impl StaticKeys {
    /// Key-ENC, Key-MAC and Key-DEK in a row.
    pub(super) fn split(row: &[u8], length: KeyLength) -> Option<StaticKeys> {
        if row.len() != length.bytes().checked_mul(3)? {
            return None;
        }
        let mut keys = row.chunks_exact(length.bytes()).map(AesKey::new);
        Some(StaticKeys { enc: keys.next()??, mac: keys.next()??, dek: keys.next()?? })
    }

    fn random(length: KeyLength) -> Result<StaticKeys, CustodyError> {
        let key = || AesKey::random(length);
        Ok(StaticKeys { enc: key()?, mac: key()?, dek: key()? })
    }

    pub(super) fn all(&self) -> [&AesKey; 3] {
        [&self.enc, &self.mac, &self.dek]
    }

    pub(super) fn check_values(&self) -> Result<KeyCheckValues, CustodyError> {
        let (enc, mac, dek) = (&self.enc, &self.mac, &self.dek);
        Ok(KeyCheckValues([enc.check_value()?, mac.check_value()?, dek.check_value()?]))
    }
}

/// Makes a key set and writes it.
pub(super) fn stage(vault: &Vault, stage: &Stage) -> Result<Uuid, CustodyError> {
    let keys = StaticKeys::random(stage.key_length)?;
    for key in keys.all() {
        if !owners(vault, key)?.is_empty() {
            // 2^-128 by chance: the source of random numbers repeats itself.
            return Err(CustodyError::Unavailable { detail: "random numbers repeat".to_owned() });
        }
    }
    let row = KeySetRow {
        uuid: Uuid::now_v7(),
        tenant: stage.tenant.clone(),
        se: stage.se.clone(),
        sd: stage.sd,
        kvn: stage.kvn,
        key_length: stage.key_length,
        kcv: keys.check_values()?,
        known_to: stage.known_to.clone(),
        status: KeySetStatus::Staged,
    };
    insert(vault, &row, &keys)?;
    Ok(row.uuid)
}

/// Check values computed from what is stored, which must be those stored beside it.
pub(super) fn recompute(vault: &Vault, key_set: Uuid) -> Result<KeyCheckValues, CustodyError> {
    let (row, keys) = open(vault, key_set)?;
    let kcv = keys.check_values()?;
    if kcv == row.kcv { Ok(kcv) } else { Err(CustodyError::Sealed) }
}

/// What is known of a key set.
pub(super) fn row(vault: &Vault, key_set: Uuid) -> Result<Option<KeySetRow>, CustodyError> {
    Ok(stored(vault, key_set)?.map(|(row, _)| row))
}

/// Every set of a Security Domain, newest first: their names are in order of time.
pub(super) fn rows_of(vault: &Vault, se: &str, sd: &Aid) -> Result<Vec<KeySetRow>, CustodyError> {
    let sql =
        format!("SELECT {COLUMNS} FROM key_sets WHERE se = $1 AND sd = $2 ORDER BY uuid DESC");
    let mut statement = vault.db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![se, sd.as_bytes()], read)?;
    Ok(rows.map(|stored| stored.map(|(row, _)| row)).collect::<Result<_, _>>()?)
}

/// The set handed over for a place.
pub(super) fn handed_over(
    vault: &Vault,
    (tenant, se, sd, kvn): (&str, &str, &Aid, KeyVersionNumber),
) -> Result<Option<Uuid>, CustodyError> {
    let sql = "SELECT uuid FROM key_sets
               WHERE tenant = $1 AND se = $2 AND sd = $3 AND kvn = $4 AND handed_over = 1";
    let found = vault
        .db
        .query_row(sql, params![tenant, se, sd.as_bytes(), kvn.get()], |row| row.get(0))
        .optional()?;
    Ok(found.map(Uuid::from_bytes))
}

/// Writes a key set, sealed, and whose its values are.
pub(super) fn insert(
    vault: &Vault,
    row: &KeySetRow,
    keys: &StaticKeys,
) -> Result<(), CustodyError> {
    let [enc, mac, dek] = seal(vault, row, keys)?;
    let known_to = serde_json::to_string(&row.known_to)
        .map_err(|_| CustodyError::Unavailable { detail: "known_to".to_owned() })?;
    let sql = format!(
        "INSERT INTO key_sets ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12)"
    );
    vault.db.prepare_cached(&sql)?.execute(params![
        row.uuid.as_bytes(),
        row.tenant,
        row.se,
        row.sd.as_bytes(),
        row.kvn.get(),
        row.kcv.to_bytes(),
        known_to,
        row.key_length.bytes() as i64,
        row.status == KeySetStatus::HandedOver,
        enc,
        mac,
        dek
    ])?;
    for key in keys.all() {
        let fingerprint = vault.fingerprint(key.expose());
        // One value may stand twice in a set that was handed over.
        vault
            .db
            .prepare_cached("INSERT INTO fingerprints VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")?
            .execute(params![fingerprint, row.uuid.as_bytes(), row.se])?;
    }
    Ok(())
}

/// The SEs that have, or ever had, a key of this value.
pub(super) fn owners(vault: &Vault, key: &AesKey) -> Result<Vec<String>, CustodyError> {
    let sql = "SELECT DISTINCT se FROM fingerprints WHERE fingerprint = $1";
    let mut statement = vault.db.prepare_cached(sql)?;
    let owners = statement.query_map([vault.fingerprint(key.expose())], |row| row.get(0))?;
    Ok(owners.collect::<Result<_, _>>()?)
}

/// Session keys under a set, retired or not.
pub(super) fn answer(
    vault: &Vault,
    key_set: Uuid,
    derivations: &Derivations,
) -> Result<Answer<scp::Custody>, CustodyError> {
    let (row, keys) = open(vault, key_set)?;
    if derivations.key_version_number() != Some(row.kvn) {
        return Err(CustodyError::NotPermitted { field: "Key Version Number" });
    }
    if derivations.key_length() != row.key_length {
        return Err(CustodyError::NotPermitted { field: "key length" });
    }
    derivations.answer(|key, message| match key {
        StaticKey::Enc => keys.enc.cmac(message),
        StaticKey::Mac => keys.mac.cmac(message),
    })
}

/// Marks a set as retired.
pub(super) fn retire(vault: &Vault, key_set: Uuid) -> Result<(), CustodyError> {
    let sql = "UPDATE key_sets SET retired = 1 WHERE uuid = $1";
    match vault.db.prepare_cached(sql)?.execute([key_set.as_bytes()])? {
        0 => Err(CustodyError::NoKeySet { key_set }),
        _ => Ok(()),
    }
}

/// A set with its keys in clear.
pub(super) fn open(vault: &Vault, key_set: Uuid) -> Result<(KeySetRow, StaticKeys), CustodyError> {
    let (row, SealedKeys([enc, mac, dek])) =
        stored(vault, key_set)?.ok_or(CustodyError::NoKeySet { key_set })?;
    let [kid_enc, kid_mac, kid_dek] = KEY_IDENTIFIERS;
    let key = |kid: u8, sealed: &[u8]| {
        let value = vault.sealer.open(&binding(&row, kid), sealed)?;
        let key = AesKey::new(&value).filter(|key| key.length() == row.key_length);
        key.ok_or(CustodyError::Sealed)
    };
    let keys =
        StaticKeys { enc: key(kid_enc, &enc)?, mac: key(kid_mac, &mac)?, dek: key(kid_dek, &dek)? };
    Ok((row, keys))
}

fn seal(vault: &Vault, row: &KeySetRow, keys: &StaticKeys) -> Result<[Vec<u8>; 3], CustodyError> {
    let [kid_enc, kid_mac, kid_dek] = KEY_IDENTIFIERS;
    let seal = |kid: u8, key: &AesKey| vault.sealer.seal(&binding(row, kid), key.expose());
    Ok([seal(kid_enc, &keys.enc)?, seal(kid_mac, &keys.mac)?, seal(kid_dek, &keys.dek)?])
}

/// What a key is sealed for: nowhere else, and as no other key, does it open.
fn binding(row: &KeySetRow, kid: u8) -> Binding {
    Binding::new(&[
        b"key",
        row.tenant.as_bytes(),
        row.se.as_bytes(),
        row.sd.as_bytes(),
        row.uuid.as_bytes(),
        &[kid],
        &[row.kvn.get()],
        USAGE,
    ])
}

fn stored(vault: &Vault, key_set: Uuid) -> Result<Option<(KeySetRow, SealedKeys)>, CustodyError> {
    let sql = format!("SELECT {COLUMNS} FROM key_sets WHERE uuid = $1");
    let mut statement = vault.db.prepare_cached(&sql)?;
    Ok(statement.query_row([key_set.as_bytes()], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<(KeySetRow, SealedKeys)> {
    let unreadable = |column| rusqlite::Error::InvalidColumnType(column, String::new(), Type::Blob);
    let sd: Vec<u8> = row.get(3)?;
    let known_to: String = row.get(6)?;
    let key_bytes: i64 = row.get(7)?;
    let status = match (row.get(9)?, row.get(8)?) {
        (true, _) => KeySetStatus::Retired,
        (false, true) => KeySetStatus::HandedOver,
        (false, false) => KeySetStatus::Staged,
    };
    let described = KeySetRow {
        uuid: Uuid::from_bytes(row.get(0)?),
        tenant: row.get(1)?,
        se: row.get(2)?,
        sd: Aid::new(&sd).map_err(|_| unreadable(3))?,
        kvn: KeyVersionNumber::new(row.get(4)?).map_err(|_| unreadable(4))?,
        kcv: KeyCheckValues::from(row.get::<_, [u8; 9]>(5)?),
        known_to: serde_json::from_str(&known_to).map_err(|_| unreadable(6))?,
        key_length: usize::try_from(key_bytes)
            .ok()
            .and_then(KeyLength::from_bytes)
            .ok_or_else(|| unreadable(7))?,
        status,
    };
    Ok((described, SealedKeys([row.get(10)?, row.get(11)?, row.get(12)?])))
}
