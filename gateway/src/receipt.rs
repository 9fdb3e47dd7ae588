//! Provisioning receipts: what was written where, on whose authority, signed (JWS compact, ES256: RFC 7515, RFC 7518 §3.4).
//!
//! The signing key is made once and stays sealed in custody. The counter's receipt is the same without Key Check Values: a terminal has
//! no use for them.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use order::{EvidenceClass, Verdict, WriteKind};
use scp::{Aid, KeyCheckValues, KeyVersionNumber};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    custody::{Custody, CustodyError},
    digest::Digest,
};

/// `typ` of a receipt: no other kind of JWS passes for one.
pub const RECEIPT_TYPE: &str = "provisioning-receipt+jwt";
/// The only algorithm.
const ALGORITHM: &str = "ES256";
/// Longest receipt that is looked at.
const RECEIPT_MAX_BYTES: usize = 65_536;

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFacts {
    /// When it was issued, seconds since the Unix epoch.
    pub iat: i64,
    /// Our id of the order.
    pub order: Uuid,
    /// The caller's id of it.
    pub caller_id: String,
    /// Subscriber base.
    pub tenant: String,
    /// The SE.
    pub se: String,
    /// SHA-256 of the token that authorized the writes.
    pub token_sha256: Digest,
    /// The policy it was judged by.
    pub policy_version: String,
    /// The key writes, in order.
    pub writes: Vec<ReceiptWrite>,
    /// Where the audit trail stood.
    pub audit: ReceiptAudit,
}

/// One key write in a receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptWrite {
    /// What it changed.
    pub kind: WriteKind,
    /// The Security Domain.
    pub sd: Aid,
    /// Key Version Number of the set written or deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kvn: Option<KeyVersionNumber>,
    /// Check values of the set written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kcv: Option<KeyCheckValues>,
    /// SHA-256 of the public key the application holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_sha256: Option<Digest>,
    /// What became of it.
    pub verdict: Verdict,
    /// What kind of evidence says so.
    pub evidence: EvidenceClass,
    /// Attempts made.
    pub attempts: u32,
    /// Parties that may know the key set it was written under.
    pub known_to: Vec<String>,
}

/// A place in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptAudit {
    /// Index of the last record.
    pub index: u64,
    /// Its hash.
    pub head: Digest,
}

/// The public half of the receipt key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptKey {
    /// Its name: the first 8 bytes of SHA-256 of the public key, upper-case hex.
    pub kid: String,
    /// `ES256`.
    pub alg: String,
    /// Uncompressed P-256 point (SEC 1 §2.3.3), upper-case hex.
    pub public_key: String,
}

/// Issues receipts in the name of a node.
#[derive(Debug, Clone)]
pub struct Receipts {
    custody: Custody,
    node: String,
    key: ReceiptKey,
}

/// A receipt that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a compact JWS of this type and algorithm, or too long.
    #[error("this is no provisioning receipt")]
    Malformed,
    /// Signed by another key.
    #[error("the receipt is signed by another key")]
    OtherKey,
    /// The signature does not verify.
    #[error("the receipt's signature does not verify")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// `iss` and the facts, in one object.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(flatten)]
    facts: &'a ReceiptFacts,
}

impl Receipts {
    /// The receipts of a node, signed by custody's receipt key.
    ///
    /// # Errors
    /// [`CustodyError`] when custody is down.
    pub async fn open(custody: &Custody, node: &str) -> Result<Receipts, CustodyError> {
        let key = ReceiptKey::of(&custody.receipt_public_key().await?);
        Ok(Receipts { custody: custody.clone(), node: node.to_owned(), key })
    }

    /// The public half of the key.
    pub fn key(&self) -> &ReceiptKey {
        &self.key
    }

    /// The receipt for the service provider.
    ///
    /// # Errors
    /// [`CustodyError`] when custody is down.
    pub async fn issue(&self, facts: &ReceiptFacts) -> Result<String, CustodyError> {
        let header = Header {
            typ: RECEIPT_TYPE.to_owned(),
            alg: ALGORITHM.to_owned(),
            kid: self.key.kid.clone(),
        };
        let claims = Claims { iss: &self.node, facts };
        let signed = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = self.custody.sign_receipt(signed.clone().into_bytes()).await?;
        Ok(format!("{signed}.{}", BASE64URL.encode(signature)))
    }

    /// The receipt for the counter: the same facts without Key Check Values.
    ///
    /// # Errors
    /// [`CustodyError`] when custody is down.
    pub async fn issue_for_counter(&self, facts: &ReceiptFacts) -> Result<String, CustodyError> {
        let mut facts = facts.clone();
        facts.writes.iter_mut().for_each(|write| write.kcv = None);
        self.issue(&facts).await
    }
}

impl ReceiptKey {
    fn of(public_key: &[u8]) -> ReceiptKey {
        let kid = Digest::of(&[public_key]).to_string().chars().take(16).collect();
        ReceiptKey { kid, alg: ALGORITHM.to_owned(), public_key: hex::encode_upper(public_key) }
    }
}

/// Checks a receipt against a key and answers who issued it and what it says.
///
/// # Errors
/// [`ReceiptError`].
pub fn verify(receipt: &str, key: &ReceiptKey) -> Result<(String, ReceiptFacts), ReceiptError> {
    if receipt.len() > RECEIPT_MAX_BYTES {
        return Err(ReceiptError::Malformed);
    }
    let (signed, signature) = receipt.rsplit_once('.').ok_or(ReceiptError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(ReceiptError::Malformed)?;
    let header: Header = json(header)?;
    if header.typ != RECEIPT_TYPE || header.alg != ALGORITHM {
        return Err(ReceiptError::Malformed);
    }
    if header.kid != key.kid {
        return Err(ReceiptError::OtherKey);
    }
    let public_key = hex::decode(&key.public_key).map_err(|_| ReceiptError::OtherKey)?;
    let signature = BASE64URL.decode(signature).map_err(|_| ReceiptError::Malformed)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public_key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| ReceiptError::Signature)?;
    let mut claims: serde_json::Map<String, serde_json::Value> = json(claims)?;
    let issuer = claims.remove("iss").ok_or(ReceiptError::Malformed)?;
    let issuer = issuer.as_str().ok_or(ReceiptError::Malformed)?.to_owned();
    let facts = serde_json::from_value(serde_json::Value::Object(claims))
        .map_err(|_| ReceiptError::Malformed)?;
    Ok((issuer, facts))
}

fn part(value: &impl Serialize) -> Result<String, CustodyError> {
    let json = serde_json::to_vec(value)
        .map_err(|_| CustodyError::Unavailable { detail: "a receipt cannot be written".into() })?;
    Ok(BASE64URL.encode(json))
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, ReceiptError> {
    let bytes = BASE64URL.decode(part).map_err(|_| ReceiptError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| ReceiptError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    fn facts() -> ReceiptFacts {
        ReceiptFacts {
            iat: 1_000,
            order: Uuid::nil(),
            caller_id: "order-1".to_owned(),
            tenant: "carrier-a".to_owned(),
            se: "8981".to_owned(),
            token_sha256: Digest::of(&[b"token"]),
            policy_version: "1".to_owned(),
            writes: vec![ReceiptWrite {
                kind: WriteKind::SdKeyset,
                sd: "A000000151535001".parse().unwrap(),
                kvn: "31".parse().ok(),
                kcv: "C35280013808840DE5".parse().ok(),
                key_sha256: None,
                verdict: Verdict::Applied,
                evidence: EvidenceClass::RMacAnswer,
                attempts: 1,
                known_to: vec!["custody".to_owned(), "carrier:a".to_owned()],
            }],
            audit: ReceiptAudit { index: 9, head: Digest::of(&[b"head"]) },
        }
    }

    async fn receipts(dir: &Path) -> Receipts {
        let kek = dir.join("kek");
        if !kek.exists() {
            fs::write(&kek, "5A".repeat(32)).unwrap();
            fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let custody = Custody::open(&dir.join("data"), &kek).unwrap();
        Receipts::open(&custody, "node-1").await.unwrap()
    }

    #[tokio::test]
    async fn a_receipt_verifies_under_the_same_key_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let before = receipts(dir.path()).await;
        let receipt = before.issue(&facts()).await.unwrap();
        drop(before);
        let after = receipts(dir.path()).await;
        assert_eq!(verify(&receipt, after.key()), Ok(("node-1".to_owned(), facts())));
        let elsewhere = tempfile::tempdir().unwrap();
        let other = receipts(elsewhere.path()).await;
        assert_eq!(verify(&receipt, other.key()), Err(ReceiptError::OtherKey));
        let forged = ReceiptKey { kid: after.key().kid.clone(), ..other.key().clone() };
        assert_eq!(verify(&receipt, &forged), Err(ReceiptError::Signature));
    }

    #[tokio::test]
    async fn the_counter_sees_no_check_value() {
        let dir = tempfile::tempdir().unwrap();
        let receipts = receipts(dir.path()).await;
        let receipt = receipts.issue_for_counter(&facts()).await.unwrap();
        let payload = BASE64URL.decode(receipt.split('.').nth(1).unwrap()).unwrap();
        assert!(!String::from_utf8(payload).unwrap().contains("kcv"));
        let (_, seen) = verify(&receipt, receipts.key()).unwrap();
        assert_eq!(seen.writes[0].kcv, None);
        assert_eq!(seen.writes[0].kvn, facts().writes[0].kvn);
    }

    #[tokio::test]
    async fn every_altered_character_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let receipts = receipts(dir.path()).await;
        let receipt = receipts.issue(&facts()).await.unwrap();
        for at in 0..receipt.len() {
            let mut altered = receipt.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(verify(&altered, receipts.key()).is_err(), "{at}");
            assert!(verify(&receipt[..at], receipts.key()).is_err(), "{at}");
        }
    }
}
