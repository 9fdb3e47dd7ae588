//! What custody takes in, gives out and tells about what it keeps. No value here holds a key in clear.

use scp::{Aid, KeyCheckValues, KeyLength, KeyVersionNumber};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;

/// The public key parties seal key material to (RFC 9180).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportKey {
    /// Its name: the first 8 bytes of SHA-256 of the public key, upper-case hex.
    pub key_id: String,
    /// The HPKE suite.
    pub suite: String,
    /// X25519 public key, upper-case hex.
    pub public_key: String,
}

/// A carrier hands over the first key set of our Security Domain.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// Subscriber base.
    pub tenant: String,
    /// The SE, by its ICCID or EID.
    pub se: String,
    /// Our Security Domain.
    pub sd: Aid,
    /// Key Version Number of the set.
    pub kvn: KeyVersionNumber,
    /// Length of each key.
    pub key_length: KeyLength,
    /// HPKE encapsulated key.
    pub enc: Vec<u8>,
    /// HPKE ciphertext of K-ENC, K-MAC, K-DEK in a row.
    pub ciphertext: Vec<u8>,
    /// Check values the carrier states.
    pub kcv: KeyCheckValues,
    /// Parties that may know the set.
    pub known_to: Vec<String>,
}

/// A hand-over custody took in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The set's name.
    pub key_set: Uuid,
    /// Its check values, recomputed.
    pub kcv: KeyCheckValues,
    /// Whether the very same set had been handed over before.
    pub again: bool,
}

/// A new key set is wanted.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Subscriber base.
    pub tenant: String,
    /// The SE, by its ICCID or EID.
    pub se: String,
    /// The Security Domain it is for.
    pub sd: Aid,
    /// Key Version Number it will get.
    pub kvn: KeyVersionNumber,
    /// Length of each key.
    pub key_length: KeyLength,
    /// Parties that may know it: those that know the set it is written under.
    pub known_to: Vec<String>,
}

/// A key set that was made, stored and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its name.
    pub key_set: Uuid,
    /// Its check values, computed from what was read back.
    pub kcv: KeyCheckValues,
}

/// What is known of a key set without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetRow {
    /// Its name.
    pub uuid: Uuid,
    /// Subscriber base.
    pub tenant: String,
    /// The SE.
    pub se: String,
    /// The Security Domain.
    pub sd: Aid,
    /// Its Key Version Number.
    pub kvn: KeyVersionNumber,
    /// Length of each key.
    pub key_length: KeyLength,
    /// Its check values.
    pub kcv: KeyCheckValues,
    /// Parties that may know it.
    pub known_to: Vec<String>,
    /// Where it comes from and whether it is still for use.
    pub status: KeySetStatus,
}

/// Where a key set comes from, and whether it is still for use. No status is the end of a key set: custody keeps all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetStatus {
    /// Made by a party before us and handed over.
    HandedOver,
    /// Made here.
    Staged,
    /// No longer written to an SE nor encrypted under; still answers for probes.
    Retired,
}

/// Key material of one order from the service provider.
#[derive(Debug, Clone)]
pub struct Payload {
    /// Subscriber base.
    pub tenant: String,
    /// The caller's id of the order.
    pub order: String,
    /// The SE, by its ICCID or EID.
    pub se: String,
    /// The application it is for.
    pub applet: Aid,
    /// The Data Grouping Identifiers inside, in the order in which they are to be stored.
    pub dgis: Vec<u16>,
    /// Until when it may be stored on the SE, seconds since the Unix epoch.
    pub expires_s: i64,
    /// HPKE encapsulated key.
    pub enc: Vec<u8>,
    /// HPKE ciphertext.
    pub ciphertext: Vec<u8>,
    /// SHA-256 of DGI 0102, the public key.
    pub public_key_sha256: Digest,
    /// The time now, seconds since the Unix epoch.
    pub now_s: i64,
}

/// What is known of a payload without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRow {
    /// Its name.
    pub uuid: Uuid,
    /// Subscriber base.
    pub tenant: String,
    /// The caller's id of the order.
    pub order: String,
    /// The SE.
    pub se: String,
    /// The application.
    pub applet: Aid,
    /// Its Data Grouping Identifiers.
    pub dgis: Vec<u16>,
    /// Until when it may be stored on the SE, seconds since the Unix epoch.
    pub expires_s: i64,
    /// SHA-256 of DGI 0102, the public key.
    pub public_key_sha256: Digest,
    /// Whether the material itself is gone.
    pub erased: bool,
}
