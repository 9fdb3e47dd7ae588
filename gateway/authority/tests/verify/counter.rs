//! A counter: it signs whatever it is asked to, right or wrong.

use std::collections::{BTreeMap, HashSet};

use authority::{
    Authority, AuthorizationDetails, Code, ConsumedRef, DenyKind, Presented, Refusal, Requested,
    SecretBytes, Seen, VerifiedToken, access_code_hash, verify,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) const NOW_S: i64 = 1_800_000_000;
pub(crate) const PEER: [u8; 32] = [0xA5; 32];
pub(crate) const CODE: &str = "493817";
pub(crate) const JTI: &str = "AbCdEfGhIjKlMnOpQrStUv";
pub(crate) const ISSUER: &str = "urn:jp:lgcode:102016";
pub(crate) const REQUEST: [u8; 32] = [0x11; 32];

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs as a JOSE algorithm.
pub(crate) enum Key {
    Es256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub(crate) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn alg(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Ed25519(_) => "Ed25519",
        }
    }

    pub(crate) fn public(&self) -> String {
        match self {
            Self::Es256(key) => b64(key.public_key()),
            Self::Ed25519(key) => b64(key.public_key()),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// Signs header and claims as they are written.
    pub(crate) fn jws(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", b64(header), b64(claims));
        let signature = b64(self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }
}

pub(crate) fn details() -> AuthorizationDetails {
    serde_json::from_value(details_json()).unwrap()
}

pub(crate) fn details_json() -> Value {
    json!({
        "type": "urn:sptsm:key-write:v1",
        "actions": ["issue"],
        "locations": ["tsm:carrier-a"],
        "se": {"iccid": "8981100000000000001"},
        "sd": "A00000015100000001",
        "applet": "D392F000260100000001",
        "keyset": {"kvn": "31", "replaces": "30", "kids": ["01", "02", "03"], "alg": "AES-128"},
        "appkey": {"slot": "auth", "alg": "RSA-2048"},
        "script": "0F".repeat(32),
        "max_uses": 1
    })
}

fn access_code_key() -> SecretBytes {
    SecretBytes::new(vec![0x42; 16])
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": "urn:madoguchi:production",
        "sub": "kq3vY0b1RkC2",
        "iat": NOW_S - 10,
        "nbf": NOW_S - 10,
        "exp": NOW_S + 590,
        "jti": JTI,
        "seq": 42,
        "cnf": {"x5t#S256": b64(PEER)},
        "ctr": {
            "office": "102016-01", "term": "term-1", "reader": "reader-a", "clerk": "clerk-7",
            "method": "face_to_face", "level": 3, "cal": "day"
        },
        "ach": access_code_hash(&access_code_key(), JTI, CODE).unwrap(),
        "authorization_details": [details_json()],
        "txn": "enq-1"
    })
}

/// A counter's key, and a gateway that trusts it.
pub(crate) struct Desk {
    pub(crate) key: Key,
    pub(crate) authority: Authority,
    pub(crate) seen: Memory,
    pub(crate) presented_code: Option<&'static str>,
    pub(crate) now_s: i64,
    pub(crate) peer: [u8; 32],
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with_key(Key::es256())
    }

    pub(crate) fn with_key(key: Key) -> Self {
        let keys = json!({"pinned": [{
            "kid": "k1", "alg": key.alg(), "public_key": key.public()
        }]});
        let authority = authority(keys);
        Self {
            key,
            authority,
            seen: Memory::default(),
            presented_code: Some(CODE),
            now_s: NOW_S,
            peer: PEER,
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({"typ": "counter-auth+jwt", "alg": self.key.alg(), "kid": "k1"})
    }

    /// A good token.
    pub(crate) fn token(&self) -> String {
        self.token_with(|_| ())
    }

    /// A token over altered claims.
    pub(crate) fn token_with(&self, alter: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims();
        alter(&mut claims);
        self.key.jws(&self.header().to_string(), &claims.to_string())
    }

    pub(crate) fn present(&self, token: &str) -> Result<VerifiedToken, Refusal> {
        self.present_for(Some(token), &details())
    }

    pub(crate) fn present_for(
        &self,
        token: Option<&str>,
        details: &AuthorizationDetails,
    ) -> Result<VerifiedToken, Refusal> {
        let presented = Presented {
            token,
            peer_certificate_sha256: self.peer,
            access_code: self.presented_code,
            now_s: self.now_s,
        };
        let requested = Requested { details, request_sha256: REQUEST };
        verify(&self.authority, &presented, &requested, &self.seen)
    }

    pub(crate) fn code(&self, token: &str) -> Option<Code> {
        self.present(token).err().map(|refusal| refusal.code)
    }
}

pub(crate) fn authority(keys: Value) -> Authority {
    let settings = json!({
        "audience": "urn:madoguchi:production",
        "skew_s": 60,
        "lifetime_max_s": 900,
        "policy": {
            "version": "2026-11", "methods": ["face_to_face"], "level_min": 3,
            "calendars": ["day", "night"], "access_code_mode": "required",
            "actions": {"issue": ["municipal_counter"], "transfer": ["municipal_counter"]}
        },
        "issuers": [{
            "id": ISSUER, "class": "municipal_counter", "status": "active",
            "algorithms": ["ES256", "Ed25519"],
            "keys": keys,
            "access_code_key": "42".repeat(16),
            "terminals": [
                {"id": "term-1", "certificate_sha256": "A5".repeat(32), "readers": ["reader-a"]},
                {"id": "term-2", "certificate_sha256": "B6".repeat(32), "readers": ["reader-a"],
                 "revoked": true, "sandbox": true}
            ],
            "clerks": [{"id": "clerk-7"}, {"id": "clerk-8", "revoked": true}]
        }]
    });
    let authority: Authority = serde_json::from_value(settings).unwrap();
    authority.check().unwrap();
    authority
}

/// A store's memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) consumed: BTreeMap<String, ConsumedRef>,
    pub(crate) high_water: BTreeMap<(String, String), u64>,
    pub(crate) denied: HashSet<(DenyKind, String)>,
    pub(crate) failures: BTreeMap<String, u32>,
}

impl Seen for Memory {
    fn jti_seen(&self, jti: &str) -> Option<ConsumedRef> {
        self.consumed.get(jti).copied()
    }

    fn seq_high_water(&self, iss: &str, term: &str) -> Option<u64> {
        self.high_water.get(&(iss.to_owned(), term.to_owned())).copied()
    }

    fn denied(&self, kind: DenyKind, id: &str) -> bool {
        self.denied.contains(&(kind, id.to_owned()))
    }

    fn access_code_failures(&self, jti: &str) -> u32 {
        self.failures.get(jti).copied().unwrap_or(0)
    }
}
