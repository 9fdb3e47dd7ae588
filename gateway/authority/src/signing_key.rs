//! Checks 3 and 4: the key that signed, and what it signed.

use std::time::Duration;

use aws_lc_rs::signature::ParsedPublicKey;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::aws_lc_rs as algorithms;
use webpki::{
    EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter,
    RevocationOptions, RevocationOptionsBuilder, anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::compact::{Header, KeyReference, sha256};
use crate::trust::{Algorithm, KeyPurpose, RevocationLists, RootCertificates};
use crate::{Code, Issuer, Refusal, Trust};

/// Signatures accepted on the certificates of a chain.
const CERTIFICATE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
];

/// Both signature schemes have 64-byte signatures: r ‖ s (RFC 7518, section 3.4) and R ‖ S (RFC
/// 8032, section 5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// The key the issuer is trusted by and the header names.
pub(crate) struct SigningKey<'a> {
    key: ParsedPublicKey,
    /// What the deny list knows it by: its `kid`, or the SHA-256 of the leaf certificate.
    pub(crate) id: String,
    chain: Option<Chain<'a>>,
}

/// A certificate chain that was found good but for revocation.
struct Chain<'a> {
    x5c: &'a [Vec<u8>],
    roots: &'a RootCertificates,
    lists: &'a RevocationLists,
}

impl<'a> SigningKey<'a> {
    /// Check 3. With certificates, the chain must be good both when the token was issued and now:
    /// one alone would let an old key date its tokens back, or a new one forward.
    pub(crate) fn find(
        issuer: &'a Issuer,
        header: &'a Header,
        iat_s: i64,
        now_s: i64,
    ) -> Result<Self, Refusal> {
        let unknown = |detail: &'static str| Refusal::new(Code::T03, detail);
        match (&issuer.keys, &header.key) {
            (Trust::Pinned(keys), KeyReference::Kid(kid)) => {
                let pinned = keys
                    .iter()
                    .find(|key| key.kid == *kid && key.alg == header.algorithm)
                    .ok_or_else(|| unknown("the issuer has no such key for this algorithm"))?;
                Ok(Self { key: pinned.key.clone(), id: pinned.kid.clone(), chain: None })
            }
            (Trust::X5c { root_pem, crl_pem, eku_oid, .. }, KeyReference::X5c(x5c)) => {
                let chain = Chain { x5c, roots: root_pem, lists: crl_pem };
                for at_s in [iat_s, now_s] {
                    chain
                        .verify(at_s, None)
                        .ok_or_else(|| unknown("x5c does not lead to the issuer's root"))?;
                }
                let key = chain
                    .leaf_key(&issuer.id, eku_oid, header.algorithm)
                    .ok_or_else(|| unknown("the certificate is not this issuer's for tokens"))?;
                let leaf = x5c.first().map(Vec::as_slice).unwrap_or_default();
                Ok(Self { key, id: hex::encode_upper(sha256(leaf)), chain: Some(chain) })
            }
            (Trust::Pinned(_), KeyReference::X5c(_))
            | (Trust::X5c { .. }, KeyReference::Kid(_)) => {
                Err(unknown("the issuer's keys are not named this way"))
            }
        }
    }

    /// Check 4.
    pub(crate) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        if signature.len() != SIGNATURE_BYTES {
            return Err(Refusal::new(Code::T04, "the signature is not 64 bytes"));
        }
        self.key
            .verify_sig(signed, signature)
            .map_err(|_| Refusal::new(Code::T04, "the signature does not verify"))
    }

    /// Part of check 8: whether a current revocation list speaks for every certificate used.
    pub(crate) fn is_unrevoked(&self, now_s: i64) -> bool {
        let Some(chain) = &self.chain else { return true };
        let lists: Vec<_> = chain.lists.0.iter().collect();
        RevocationOptionsBuilder::new(&lists).is_ok_and(|options| {
            let options = options.with_expiration_policy(ExpirationPolicy::Enforce).build();
            chain.verify(now_s, Some(options)).is_some()
        })
    }
}

impl Chain<'_> {
    fn verify(&self, at_s: i64, revocation: Option<RevocationOptions<'_>>) -> Option<()> {
        let (leaf, between) = self.x5c.split_first()?;
        let leaf = CertificateDer::from(leaf.as_slice());
        let between: Vec<_> =
            between.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let anchors: Vec<TrustAnchor<'_>> =
            self.roots.0.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s.try_into().ok()?));
        EndEntityCert::try_from(&leaf)
            .ok()?
            .verify_for_usage(
                CERTIFICATE_ALGORITHMS,
                &anchors,
                &between,
                at,
                AnyPurpose,
                revocation,
                None,
            )
            .ok()
            .map(|_| ())
    }

    /// The leaf's key, if the leaf is the issuer's and made for tokens.
    fn leaf_key(
        &self,
        issuer: &str,
        purpose: &KeyPurpose,
        algorithm: Algorithm,
    ) -> Option<ParsedPublicKey> {
        let der = self.x5c.first()?;
        let leaf = CertificateDer::from(der.as_slice());
        let leaf = EndEntityCert::try_from(&leaf).ok()?;
        if !leaf.valid_uri_names().any(|name| name == issuer) || !has_purpose(der, purpose) {
            return None;
        }
        ParsedPublicKey::new(algorithm.verification(), leaf.subject_public_key_info()).ok()
    }
}

/// Whether the leaf itself names the purpose; `anyExtendedKeyUsage` does not count.
fn has_purpose(der: &[u8], purpose: &KeyPurpose) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    certificate
        .extended_key_usage()
        .ok()
        .flatten()
        .is_some_and(|usage| usage.value.other.iter().any(|oid| oid.as_bytes() == purpose.oid))
}

/// Path building asks about every certificate of the path; the purpose is required of the leaf, by
/// [`has_purpose`], and an authority above it need not repeat it.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        purposes.collect::<Result<Vec<KeyPurposeId<'_>>, _>>().map(|_| ())
    }
}
