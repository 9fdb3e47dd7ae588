//! The custody file opened: what its thread works on.

use std::path::Path;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey},
};
use zeroize::Zeroizing;

use super::{
    CustodyError, TransportKey,
    kek::Kek,
    sealed::{Binding, Sealer},
};
use crate::{
    digest::Digest,
    store::{
        migrations::{Schema, SchemaError},
        sqlite::{self, OpenError},
    },
};

/// The HPKE suite of hand-overs and payloads (RFC 9180 §7).
const SUITE: &str = "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM";
/// Names of the node's own keys.
const TRANSPORT: &str = "transport-key";
const RECEIPT: &str = "receipt-key";
/// Sealed under the KEK when the file is made, to recognize another KEK by.
const KEK_CHECK: &str = "kek-check";

const SCHEMA: Schema =
    Schema { application_id: i32::from_be_bytes(*b"MdgC"), versions: &[VERSION_1] };

const VERSION_1: &str = "
    CREATE TABLE node_keys (
        name   TEXT PRIMARY KEY NOT NULL,
        public BLOB NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE key_sets (
        uuid       BLOB PRIMARY KEY NOT NULL,
        tenant     TEXT NOT NULL,
        se         TEXT NOT NULL,
        sd         BLOB NOT NULL,
        kvn        INTEGER NOT NULL,
        kcv        BLOB NOT NULL,
        known_to   TEXT NOT NULL,
        key_bytes  INTEGER NOT NULL,
        handed_over INTEGER NOT NULL,
        retired    INTEGER NOT NULL DEFAULT 0,
        enc        BLOB NOT NULL,
        mac        BLOB NOT NULL,
        dek        BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX key_sets_by_se ON key_sets (se, sd, uuid);
    CREATE UNIQUE INDEX first_key_sets ON key_sets (tenant, se, sd, kvn) WHERE handed_over = 1;

    -- Keyed fingerprints of key values: whose they are, without the values.
    CREATE TABLE fingerprints (
        fingerprint BLOB NOT NULL,
        key_set     BLOB NOT NULL,
        se          TEXT NOT NULL,
        PRIMARY KEY (fingerprint, key_set)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE payloads (
        uuid       BLOB PRIMARY KEY NOT NULL,
        tenant     TEXT NOT NULL,
        order_id   TEXT NOT NULL,
        se         TEXT NOT NULL,
        applet     BLOB NOT NULL,
        dgis       BLOB NOT NULL,
        expires_s  INTEGER NOT NULL,
        public_key_sha256 BLOB NOT NULL,
        sealed     BLOB
    ) STRICT, WITHOUT ROWID;
";

/// An open custody file and what is needed to use it.
pub(super) struct Vault {
    pub(super) db: Connection,
    pub(super) sealer: Sealer,
    fingerprint_key: hmac::Key,
    transport_public: Vec<u8>,
    transport_private: HpkePrivateKey,
    receipt: EcdsaKeyPair,
}

impl Vault {
    /// Opens the file, or makes it with its node keys, under a KEK.
    pub(super) fn open(path: &Path, kek: &Kek) -> Result<Vault, CustodyError> {
        if let Some(dir) = path.parent() {
            sqlite::make_dir(dir).map_err(|error| unavailable(error.kind().to_string()))?;
        }
        let db =
            sqlite::open_file(path, &SCHEMA, "EXCLUSIVE").map_err(|error| refused(path, error))?;
        let sealer = kek.sealer()?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        check_kek(&db, &sealer)?;
        let (transport_public, transport_private) =
            node_key(&db, &sealer, TRANSPORT, new_transport)?;
        let (_, receipt) = node_key(&db, &sealer, RECEIPT, new_receipt)?;
        db.execute_batch("COMMIT")?;
        let receipt = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &receipt)
            .map_err(|_| CustodyError::Sealed)?;
        Ok(Vault {
            db,
            sealer,
            fingerprint_key: kek.fingerprint_key()?,
            transport_public,
            transport_private: HpkePrivateKey::from(transport_private.to_vec()),
            receipt,
        })
    }

    pub(super) fn transport_key(&self) -> TransportKey {
        TransportKey {
            key_id: Digest::of(&[&self.transport_public]).to_string().chars().take(16).collect(),
            suite: SUITE.to_owned(),
            public_key: hex::encode_upper(&self.transport_public),
        }
    }

    /// Opens what was sealed to the transport key (RFC 9180, base mode); none when it does not open.
    pub(super) fn receive(
        &self,
        (info, aad): (&str, &str),
        enc: &[u8],
        ciphertext: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let enc = EncapsulatedSecret(enc.to_vec());
        DH_KEM_X25519_HKDF_SHA256_AES_256
            .open(&enc, info.as_bytes(), aad.as_bytes(), ciphertext, &self.transport_private)
            .ok()
            .map(Zeroizing::new)
    }

    /// HMAC-SHA256 of a key value under a key of its own: the same for the same value, and useless without the KEK.
    pub(super) fn fingerprint(&self, value: &[u8]) -> Vec<u8> {
        hmac::sign(&self.fingerprint_key, value).as_ref().to_vec()
    }

    pub(super) fn receipt_public_key(&self) -> Vec<u8> {
        self.receipt.public_key().as_ref().to_vec()
    }

    pub(super) fn sign_receipt(&self, message: &[u8]) -> Result<Vec<u8>, CustodyError> {
        let signature = self.receipt.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| unavailable("signing".to_owned()))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A new file gets a value only this KEK opens; an old file is opened with it.
fn check_kek(db: &Connection, sealer: &Sealer) -> Result<(), CustodyError> {
    let made = || Ok((Vec::new(), Zeroizing::new(Vec::new())));
    node_key(db, sealer, KEK_CHECK, made).map(drop).map_err(|error| match error {
        CustodyError::Sealed => CustodyError::WrongKek,
        other => other,
    })
}

/// A public and a private half.
type Halves = (Vec<u8>, Zeroizing<Vec<u8>>);

/// A key of the node's own, made when the file is.
fn node_key(
    db: &Connection,
    sealer: &Sealer,
    name: &str,
    make: impl FnOnce() -> Result<Halves, CustodyError>,
) -> Result<Halves, CustodyError> {
    let binding = |public: &[u8]| Binding::new(&[b"node-key", name.as_bytes(), public]);
    let stored: Option<(Vec<u8>, Vec<u8>)> = db
        .query_row("SELECT public, sealed FROM node_keys WHERE name = $1", [name], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((public, sealed)) = stored {
        let private = sealer.open(&binding(&public), &sealed)?;
        return Ok((public, private));
    }
    let (public, private) = make()?;
    let sealed = sealer.seal(&binding(&public), &private)?;
    db.execute("INSERT INTO node_keys VALUES ($1, $2, $3)", params![name, public, sealed])?;
    Ok((public, private))
}

fn new_transport() -> Result<Halves, CustodyError> {
    let pair = DH_KEM_X25519_HKDF_SHA256_AES_256.generate_key_pair();
    let (public, private) = pair.map_err(|_| unavailable("key generation".to_owned()))?;
    Ok((public.0, Zeroizing::new(private.secret_bytes().to_vec())))
}

fn new_receipt() -> Result<Halves, CustodyError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let failed = |_| unavailable("key generation".to_owned());
    let pair = pair.map_err(failed)?;
    let document = pair.to_pkcs8v1().map_err(failed)?;
    Ok((pair.public_key().as_ref().to_vec(), Zeroizing::new(document.as_ref().to_vec())))
}

fn unavailable(detail: String) -> CustodyError {
    CustodyError::Unavailable { detail }
}

fn refused(path: &Path, error: OpenError) -> CustodyError {
    let path = path.display().to_string();
    match error {
        OpenError::Schema(SchemaError::Newer { found, known }) => {
            CustodyError::NewerVersion { found, known }
        }
        OpenError::Schema(SchemaError::NotOurs) => CustodyError::NotCustody { path },
        OpenError::Schema(SchemaError::Sqlite(error)) if sqlite::is_no_database(&error) => {
            CustodyError::NotCustody { path }
        }
        OpenError::Schema(SchemaError::Sqlite(error)) => error.into(),
        OpenError::Io(error) => unavailable(error.kind().to_string()),
    }
}

impl From<rusqlite::Error> for CustodyError {
    fn from(error: rusqlite::Error) -> CustodyError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CustodyError::Locked,
            _ => unavailable(sqlite::describe(&error)),
        }
    }
}
