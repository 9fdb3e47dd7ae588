//! Custody: every static key the gateway holds, sealed, and the only place where it is used.
//!
//! A file of its own, next to the store: each key under AES-256-GCM with a key derived from the key-encryption key (KEK), bound to
//! tenant, SE, Security Domain, name, key id, Key Version Number, usage and version. One thread opens keys, in boxes that erase
//! themselves; its queue is bounded and what it writes is durable before it answers.
//!
//! Promised: a key set once stored is never changed or deleted; no function gives out a static key in clear; ciphertext under a K-DEK is
//! made only against a borrowed [`KeyWritePermit`]; the same key values never serve two secure elements.
//! Not promised: protection against whoever holds both the file and the KEK, or reads this process' memory.

mod aes_key;
mod error;
mod hand_over;
mod kek;
mod keyset;
mod payload;
mod record;
mod sealed;
mod thread;
mod translate;
mod vault;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use scp::{
    Answer, Derivations, KeyWritePermit,
    content::{put_key::EncryptedKey, store_data::Dgi},
    permit::Open,
};
use uuid::Uuid;

pub use error::{CustodyError, HandOverError, PayloadError};
pub use record::{
    Accepted, HandOver, KeySetRow, KeySetStatus, Payload, PayloadRow, Stage, Staged, TransportKey,
};

/// File name inside the data directory.
pub const CUSTODY_FILE: &str = "custody.db";

/// Custody. Clones share it; the last one to go waits for its thread.
#[derive(Clone)]
pub struct Custody {
    thread: Arc<thread::Handle>,
}

impl Custody {
    /// Opens custody of a data directory, or makes it, under the KEK in `kek_file` (64 hexadecimal digits, mode 0600 or stricter).
    ///
    /// # Errors
    /// [`CustodyError`]; a file that is refused is left as it was.
    pub fn open(dir: &Path, kek_file: &Path) -> Result<Custody, CustodyError> {
        let vault = vault::Vault::open(&dir.join(CUSTODY_FILE), &kek::Kek::read(kek_file)?)?;
        Ok(Custody { thread: Arc::new(thread::Handle::start(vault)?) })
    }

    /// The public key to seal hand-overs and payloads to. Made once, the same for the life of the file.
    ///
    /// # Errors
    /// [`CustodyError`] when custody is down; so for every function here.
    pub async fn transport_key(&self) -> Result<TransportKey, CustodyError> {
        self.thread.call(|vault| Ok(vault.transport_key())).await
    }

    /// Takes over the first key set of our Security Domain on an SE.
    ///
    /// # Errors
    /// [`HandOverError`]; [`HandOverError::Shared`] when any of its keys already belongs to another SE.
    pub async fn accept_key_set(&self, hand_over: HandOver) -> Result<Accepted, HandOverError> {
        self.thread.call(move |vault| hand_over::accept(vault, &hand_over)).await
    }

    /// Makes a new key set and answers once it is durable, was read back, and its check values were computed from that.
    ///
    /// # Errors
    /// [`CustodyError`]; a set that was stored without an answer is never used.
    pub async fn stage_key_set(&self, stage: Stage) -> Result<Staged, CustodyError> {
        let key_set = self.thread.call(move |vault| keyset::stage(vault, &stage)).await?;
        // A second call, so that it begins after the first is durable.
        let kcv = self.thread.call(move |vault| keyset::recompute(vault, key_set)).await?;
        Ok(Staged { key_set, kcv })
    }

    /// What is known of a key set.
    ///
    /// # Errors
    /// [`CustodyError`].
    pub async fn key_set(&self, key_set: Uuid) -> Result<Option<KeySetRow>, CustodyError> {
        self.thread.call(move |vault| keyset::row(vault, key_set)).await
    }

    /// Every key set that was ever made or handed over for a Security Domain of an SE, newest first: whoever probes tries them all.
    ///
    /// # Errors
    /// [`CustodyError`].
    pub async fn key_sets_of(
        &self,
        se: &str,
        sd: &scp::Aid,
    ) -> Result<Vec<KeySetRow>, CustodyError> {
        let (se, sd) = (se.to_owned(), *sd);
        self.thread.call(move |vault| keyset::rows_of(vault, &se, &sd)).await
    }

    /// Session keys for a channel opened under a key set, retired ones included: a probe asks for those.
    ///
    /// # Errors
    /// [`CustodyError::NotPermitted`] when Key Version Number or key length are not the set's.
    pub async fn answer(
        &self,
        key_set: Uuid,
        derivations: &Derivations,
    ) -> Result<Answer<scp::Custody>, CustodyError> {
        let derivations = derivations.clone();
        self.thread.call(move |vault| keyset::answer(vault, key_set, &derivations)).await
    }

    /// The fresh key set, encrypted under the K-DEK of the set the channel was opened with (AmdD §6.2.8, §7.2).
    ///
    /// # Errors
    /// [`CustodyError::NotPermitted`] unless the permit is for exactly this SE, Security Domain and Key Version Numbers.
    ///
    /// # Security
    /// The borrowed permit is the second gate: without a consumed authorization no ciphertext of a key exists.
    pub async fn encrypt_key_set(
        &self,
        permit: &KeyWritePermit<Open>,
        fresh: Uuid,
        under: Uuid,
    ) -> Result<[EncryptedKey; 3], CustodyError> {
        let terms = permit.terms().clone();
        self.thread.call(move |vault| translate::key_set(vault, &terms, fresh, under)).await
    }

    /// Opens key material once to check it, and keeps it sealed.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub async fn accept_payload(&self, payload: Payload) -> Result<Uuid, PayloadError> {
        self.thread.call(move |vault| payload::accept(vault, &payload)).await
    }

    /// What is known of a payload.
    ///
    /// # Errors
    /// [`CustodyError`].
    pub async fn payload(&self, payload: Uuid) -> Result<Option<PayloadRow>, CustodyError> {
        self.thread.call(move |vault| payload::row(vault, payload)).await
    }

    /// The payload's data groups in its own order, the secret ones encrypted under the K-DEK of the set the channel was opened with
    /// (AmdD §7.3).
    ///
    /// # Errors
    /// [`CustodyError::NotPermitted`] unless the permit is for this SE, Security Domain and application;
    /// [`CustodyError::NoPayload`] once it was erased.
    ///
    /// # Security
    /// Only ciphertext for the SE and public values come out, and only against a borrowed permit.
    pub async fn translate(
        &self,
        permit: &KeyWritePermit<Open>,
        payload: Uuid,
        under: Uuid,
    ) -> Result<Vec<Dgi>, CustodyError> {
        let terms = permit.terms().clone();
        self.thread.call(move |vault| translate::payload(vault, &terms, payload, under)).await
    }

    /// Erases key material; what is known of it stays.
    ///
    /// # Errors
    /// [`CustodyError`]. A payload that is gone already is no error.
    pub async fn erase_payload(&self, payload: Uuid) -> Result<(), CustodyError> {
        self.thread.call(move |vault| payload::erase(vault, payload)).await
    }

    /// Marks a key set as no longer for use. It stays, and still answers probes.
    ///
    /// # Errors
    /// [`CustodyError::NoKeySet`].
    pub async fn retire(&self, key_set: Uuid) -> Result<(), CustodyError> {
        self.thread.call(move |vault| keyset::retire(vault, key_set)).await
    }

    /// Whether its thread still takes work.
    pub fn is_ready(&self) -> bool {
        self.thread.is_running()
    }

    /// The receipt key's public half: an uncompressed P-256 point.
    pub(crate) async fn receipt_public_key(&self) -> Result<Vec<u8>, CustodyError> {
        self.thread.call(|vault| Ok(vault.receipt_public_key())).await
    }

    /// ES256 over `message` by the receipt key: r and s, 32 bytes each.
    pub(crate) async fn sign_receipt(&self, message: Vec<u8>) -> Result<Vec<u8>, CustodyError> {
        self.thread.call(move |vault| vault.sign_receipt(&message)).await
    }
}

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custody").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
