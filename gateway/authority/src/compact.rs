//! The compact serialization of a JWS (RFC 7515, section 7.1), read as strictly as it can be.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::claims::Claims;
use crate::trust::Algorithm;
use crate::{Code, Refusal, strict_json};

/// Longest token read, in bytes.
pub const TOKEN_BYTES_MOST: usize = 8 * 1024;

/// The header's `typ`, exactly (RFC 8725, section 3.11).
pub const TOKEN_TYPE: &str = "counter-auth+jwt";

/// Most certificates in `x5c`.
const CERTIFICATES_MOST: usize = 4;

/// A token that was taken apart; nothing in it is believed yet.
pub(crate) struct Compact<'a> {
    pub(crate) header: Header,
    pub(crate) claims: Claims,
    pub(crate) signature: Vec<u8>,
    /// What was signed: header and payload as they were sent.
    pub(crate) signing_input: &'a [u8],
    pub(crate) token_sha256: [u8; 32],
}

/// The protected header, as far as it is allowed to go.
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: KeyReference,
}

/// How the header names the signing key; never both ways.
pub(crate) enum KeyReference {
    /// The id of a pinned key.
    Kid(String),
    /// The leaf certificate and those between it and the root, DER.
    X5c(Vec<Vec<u8>>),
}

impl<'a> Compact<'a> {
    /// Checks 1 and 2: shape, then header.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        let shape = |detail: &'static str| Refusal::new(Code::T01, detail);
        if token.len() > TOKEN_BYTES_MOST {
            return Err(shape("longer than 8192 bytes"));
        }
        let parts = || shape("not three parts");
        let (signing_input, signature) = token.rsplit_once('.').ok_or_else(parts)?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(parts)?;
        if payload.contains('.') {
            return Err(parts());
        }
        let decode = |part| base64url(part).ok_or_else(|| shape("not strict base64url"));
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);

        let json = |text: &[u8]| {
            strict_json::parse(text).map_err(|_| shape("not JSON, or a member named twice"))
        };
        let (header, payload) = (json(&header)?, json(&payload)?);
        let claims: Claims = serde_json::from_value(payload)
            .map_err(|_| shape("claims missing, unknown or of the wrong type"))?;
        claims
            .check()
            .map_err(|claim| Refusal::new(Code::T01, format!("claim {claim} is out of form")))?;
        Ok(Self {
            header: Header::read(&header)?,
            claims,
            signature,
            signing_input: signing_input.as_bytes(),
            token_sha256: sha256(token.as_bytes()),
        })
    }
}

impl Header {
    /// Allow-list: `typ`, `alg`, and one of `kid` and `x5c`. Whatever else is there, `crit`, `jwk`,
    /// `jku` and `x5u` among it, is refused rather than ignored.
    fn read(header: &Value) -> Result<Self, Refusal> {
        let refuse = |detail: &'static str| Refusal::new(Code::T02, detail);
        let members = header.as_object().ok_or_else(|| refuse("the header is no object"))?;
        if members.keys().any(|name| !["typ", "alg", "kid", "x5c"].contains(&name.as_str())) {
            return Err(refuse("a header member is not allowed"));
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if text("typ") != Some(TOKEN_TYPE) {
            return Err(refuse("typ is not counter-auth+jwt"));
        }
        let algorithm = text("alg")
            .and_then(Algorithm::from_name)
            .ok_or_else(|| refuse("alg is not ES256 or Ed25519"))?;
        let key = match (members.get("kid"), members.get("x5c")) {
            (Some(Value::String(kid)), None) => KeyReference::Kid(kid.clone()),
            (None, Some(Value::Array(x5c))) => KeyReference::X5c(
                certificates(x5c).ok_or_else(|| refuse("x5c is no list of certificates"))?,
            ),
            _ => return Err(refuse("the header needs kid or x5c, one of them")),
        };
        Ok(Self { algorithm, key })
    }
}

/// `x5c` holds ordinary base64 of DER, leaf first (RFC 7515, section 4.1.6).
fn certificates(x5c: &[Value]) -> Option<Vec<Vec<u8>>> {
    if x5c.is_empty() || x5c.len() > CERTIFICATES_MOST {
        return None;
    }
    x5c.iter().map(|certificate| STANDARD.decode(certificate.as_str()?).ok()).collect()
}

/// Base64url without padding, without line breaks, without stray trailing bits.
pub(crate) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    out.copy_from_slice(digest.as_ref());
    out
}
