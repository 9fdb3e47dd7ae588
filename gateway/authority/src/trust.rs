//! The keys an issuer is trusted by, as the configuration writes them.
//!
//! Each type is read whole when the configuration is read, so a key that cannot work is found at
//! start, with its path, and not at the first citizen's visit.

use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use webpki::{CertRevocationList, OwnedCertRevocationList, anchor_from_trusted_cert};
use x509_parser::der_parser::oid::Oid;

use crate::compact::base64url;

/// A signature algorithm, by its JOSE name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 by its own name (RFC 9864); the polymorphic `EdDSA` is not taken.
    Ed25519,
}

impl Algorithm {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "Ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    pub(crate) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Ed25519 => &ED25519,
        }
    }
}

/// What an issuer's tokens are checked against.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trust {
    /// Keys known one by one; the token names one by `kid`.
    Pinned(Vec<PinnedKey>),
    /// Certificates under a root of the issuer's; the token brings its chain in `x5c`.
    X5c {
        /// The roots, PEM.
        root_pem: RootCertificates,
        /// Revocation lists of the root and of every certificate authority below it, PEM. A
        /// certificate no current list speaks for counts as revoked.
        crl_pem: RevocationLists,
        /// The purpose the leaf certificate must name.
        eku_oid: KeyPurpose,
        /// Whether the roots are for rehearsal only.
        #[serde(default)]
        sandbox: bool,
    },
}

/// One pinned key.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "PinnedKeyText")]
pub struct PinnedKey {
    /// Its id, unique within the issuer.
    pub kid: String,
    /// The one algorithm it may be used with.
    pub alg: Algorithm,
    /// Whether it is for rehearsal only.
    pub sandbox: bool,
    pub(crate) key: ParsedPublicKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedKeyText {
    kid: String,
    alg: Algorithm,
    /// PEM of a `SubjectPublicKeyInfo`, or base64url of the bare key: 65 bytes 04 ‖ x ‖ y for ES256,
    /// 32 bytes for Ed25519.
    public_key: String,
    #[serde(default)]
    sandbox: bool,
}

impl TryFrom<PinnedKeyText> for PinnedKey {
    type Error = &'static str;

    fn try_from(text: PinnedKeyText) -> Result<Self, Self::Error> {
        let bytes = if text.public_key.trim_start().starts_with("-----BEGIN") {
            SubjectPublicKeyInfoDer::from_pem_slice(text.public_key.as_bytes())
                .map(|spki| spki.as_ref().to_vec())
                .map_err(|_| "public_key is no PEM public key")?
        } else {
            base64url(&text.public_key).ok_or("public_key is neither PEM nor base64url")?
        };
        let key = ParsedPublicKey::new(text.alg.verification(), &bytes)
            .map_err(|_| "public_key is no key of this alg")?;
        Ok(Self { kid: text.kid, alg: text.alg, sandbox: text.sandbox, key })
    }
}

/// One or more root certificates.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct RootCertificates(pub(crate) Vec<CertificateDer<'static>>);

impl TryFrom<String> for RootCertificates {
    type Error = &'static str;

    fn try_from(pem: String) -> Result<Self, Self::Error> {
        let roots = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "root_pem is no PEM certificate")?;
        if roots.is_empty() || roots.iter().any(|root| anchor_from_trusted_cert(root).is_err()) {
            return Err("root_pem holds no usable root certificate");
        }
        Ok(Self(roots))
    }
}

/// One or more certificate revocation lists.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct RevocationLists(pub(crate) Arc<[CertRevocationList<'static>]>);

impl TryFrom<String> for RevocationLists {
    type Error = &'static str;

    fn try_from(pem: String) -> Result<Self, Self::Error> {
        let lists = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes())
            .map(|list| OwnedCertRevocationList::from_der(list.ok()?.as_ref()).ok())
            .map(|list| list.map(CertRevocationList::from))
            .collect::<Option<Vec<_>>>()
            .ok_or("crl_pem holds a revocation list that cannot be read")?;
        if lists.is_empty() {
            return Err("crl_pem holds no revocation list");
        }
        Ok(Self(lists.into()))
    }
}

/// An extended key usage, in dotted decimals.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyPurpose {
    /// Content octets of the DER encoding.
    pub(crate) oid: Vec<u8>,
}

/// 1.3.6.1.5.5.7.3, the general purposes of RFC 5280, section 4.2.1.12.
const ID_KP: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];

impl TryFrom<String> for KeyPurpose {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let oid = Oid::from_str(&text).map_err(|_| "eku_oid is no object identifier")?;
        if oid.as_bytes().starts_with(ID_KP) {
            // Or any TLS certificate under the same root could sign tokens.
            return Err("eku_oid is a general purpose; name one made for counter tokens");
        }
        Ok(Self { oid: oid.as_bytes().to_vec() })
    }
}

/// SHA-256 of a certificate, written as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CertificateDigest(pub [u8; 32]);

impl TryFrom<String> for CertificateDigest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| "not a SHA-256 in hex")?;
        Ok(Self(digest))
    }
}
