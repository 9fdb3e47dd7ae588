//! Compact JWS with ES256 (RFC 7515; RFC 7518 §3.4): signing for the actors, verifying for what they receive.

use std::{fmt, path::Path};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use thiserror::Error;

/// Why a signature could not be made or is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JwsError {
    /// The key is no P-256 key as it should be written.
    #[error("the key is no P-256 key, or not written as it should be")]
    Key,
    /// The signer failed.
    #[error("the signature could not be made")]
    Sign,
    /// Not three base64url parts with a JSON header and payload.
    #[error("not a compact JWS")]
    Shape,
    /// The header is not the one expected.
    #[error("the JWS header is not the one expected")]
    Header,
    /// The signature does not verify.
    #[error("the JWS signature does not verify")]
    Signature,
}

/// A P-256 key that signs, with its `kid`.
pub struct Signer {
    kid: String,
    key: EcdsaKeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// A new random key.
    ///
    /// # Errors
    /// [`JwsError::Sign`] if none can be made.
    pub fn generate(kid: &str) -> Result<Signer, JwsError> {
        let key =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| JwsError::Sign)?;
        Ok(Signer { kid: kid.to_owned(), key })
    }

    /// A key from a PKCS #8 PEM file.
    ///
    /// # Errors
    /// [`JwsError::Key`] if the file cannot be read or holds another kind of key.
    pub fn from_pem_file(kid: &str, path: &Path) -> Result<Signer, JwsError> {
        use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
        let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|_| JwsError::Key)?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
                .map_err(|_| JwsError::Key)?;
        Ok(Signer { kid: kid.to_owned(), key })
    }

    /// The private key as PKCS #8 PEM (RFC 7468 §10).
    ///
    /// # Errors
    /// [`JwsError::Key`] if the library cannot encode it.
    pub fn to_pem(&self) -> Result<String, JwsError> {
        let der = self.key.to_pkcs8v1().map_err(|_| JwsError::Key)?;
        Ok(crate::pem::encode("PRIVATE KEY", der.as_ref()))
    }

    /// Name of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key: uncompressed P-256 point.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// The usual header: `typ`, `alg` ES256, `kid`.
    #[must_use]
    pub fn header(&self, typ: &str) -> Value {
        serde_json::json!({ "typ": typ, "alg": "ES256", "kid": self.kid })
    }

    /// Signs any header and payload; the header is the caller's, faults included.
    ///
    /// # Errors
    /// [`JwsError::Sign`] if the signer fails.
    pub fn sign(&self, header: &Value, payload: &Value) -> Result<String, JwsError> {
        let signed = signing_input(header, payload);
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| JwsError::Sign)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Header and payload without a signature: `alg` none as RFC 7515 appendix A.5 writes it.
#[must_use]
pub fn unsigned(header: &Value, payload: &Value) -> String {
    format!("{}.", signing_input(header, payload))
}

fn signing_input(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(payload))
}

/// Verifies a compact JWS under one public key (uncompressed P-256 point) and returns the payload.
///
/// # Errors
/// [`JwsError`] by what is wrong first; `typ`, `alg` and `kid` must be exactly these and nothing else may be in the header.
pub fn verify(jws: &str, typ: &str, kid: &str, public_key: &[u8]) -> Result<Value, JwsError> {
    let (signed, signature) = jws.rsplit_once('.').ok_or(JwsError::Shape)?;
    let (header, payload) = signed.split_once('.').ok_or(JwsError::Shape)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Shape);
    let json = |part: &str| -> Result<Value, JwsError> {
        serde_json::from_slice(&decode(part)?).map_err(|_| JwsError::Shape)
    };
    if json(header)? != serde_json::json!({ "typ": typ, "alg": "ES256", "kid": kid }) {
        return Err(JwsError::Header);
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| JwsError::Signature)?;
    json(payload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_signature_verifies_under_its_own_key_header_and_text_only() {
        let (ours, other) = (Signer::generate("k1").unwrap(), Signer::generate("k1").unwrap());
        let payload = json!({"n": 1});
        let jws = ours.sign(&ours.header("a+jwt"), &payload).unwrap();
        let key = ours.public_key();
        assert_eq!(verify(&jws, "a+jwt", "k1", key), Ok(payload.clone()));
        assert_eq!(verify(&jws, "b+jwt", "k1", key), Err(JwsError::Header));
        assert_eq!(verify(&jws, "a+jwt", "k1", other.public_key()), Err(JwsError::Signature));
        let unsigned = unsigned(&ours.header("a+jwt"), &payload);
        assert_eq!(verify(&unsigned, "a+jwt", "k1", key), Err(JwsError::Signature));
        assert_eq!(verify("a.b", "a+jwt", "k1", key), Err(JwsError::Shape));
    }

    #[test]
    fn a_key_survives_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let signer = Signer::generate("k1").unwrap();
        std::fs::write(&path, signer.to_pem().unwrap()).unwrap();
        let again = Signer::from_pem_file("k1", &path).unwrap();
        assert_eq!(again.public_key(), signer.public_key());
        std::fs::write(&path, "not a key").unwrap();
        assert_eq!(Signer::from_pem_file("k1", &path).unwrap_err(), JwsError::Key);
        assert!(!format!("{signer:?}").contains("key:"));
    }
}
