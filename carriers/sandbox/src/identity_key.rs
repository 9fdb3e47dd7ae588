//! The citizen's RSA-2048 key pair and certificate, made off-card by the issuer, and the data groupings it travels in.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256};
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;
use x509_parser::asn1_rs::{FromDer, Integer, OctetString, Sequence};
use zeroize::Zeroizing;

/// Length of each of the five private numbers of an RSA-2048 key.
const NUMBER_LENGTH: usize = 128;

/// The data groupings of a personalization, in the order they are sent: five private numbers, PIN, certificate, public key.
pub const DGIS: [u16; 8] = [0x8201, 0x8202, 0x8203, 0x8204, 0x8205, 0x8010, 0x0101, 0x0102];

/// Why no identity could be made.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The library made no key.
    #[error("no RSA key could be made")]
    Key,
    /// The key the library made is not an RSA-2048 key as RFC 8017 appendix A.1.2 writes it.
    #[error("the RSA key is not written as RFC 8017 has it")]
    Encoding,
    /// No certificate could be made.
    #[error("the certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// A key pair, its certificate and the PIN that guards it on the SE.
pub struct IdentityKey {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// SubjectPublicKeyInfo, DER, the same bytes as in the certificate.
    pub public_key: Vec<u8>,
    numbers: PrivateNumbers,
    pin: Zeroizing<String>,
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKey").finish_non_exhaustive()
    }
}

impl IdentityKey {
    /// Makes a key pair and has `authority` certify it for the pseudonym `subject`.
    ///
    /// # Errors
    /// [`IdentityError`] if the key or the certificate cannot be made.
    pub fn generate(
        authority: &Issuer<'_, KeyPair>,
        subject: &str,
        pin: String,
    ) -> Result<IdentityKey, IdentityError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| IdentityError::Key)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| IdentityError::Key)?;
        let numbers = PrivateNumbers::from_pkcs8(pkcs8.as_ref()).ok_or(IdentityError::Encoding)?;

        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(pkcs8.as_ref()),
            &PKCS_RSA_SHA256,
        )?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, authority)?.der().to_vec();
        let public_key = subject_public_key_info(&certificate).ok_or(IdentityError::Encoding)?;
        Ok(IdentityKey { certificate, public_key, numbers, pin: Zeroizing::new(pin) })
    }

    /// The PIN as text.
    #[must_use]
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// The value of a data grouping, clear: private numbers of 128 bytes, the PIN as ASCII digits without padding.
    #[must_use]
    pub fn data_grouping(&self, dgi: u16) -> Option<&[u8]> {
        Some(match dgi {
            0x8201 => &*self.numbers.coefficient,
            0x8202 => &*self.numbers.exponent_q,
            0x8203 => &*self.numbers.exponent_p,
            0x8204 => &*self.numbers.prime_q,
            0x8205 => &*self.numbers.prime_p,
            0x8010 => self.pin.as_bytes(),
            0x0101 => &self.certificate,
            0x0102 => &self.public_key,
            _ => return None,
        })
    }
}

/// The SubjectPublicKeyInfo of a certificate, as its bytes stand there.
#[must_use]
pub fn subject_public_key_info(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// Whether `signature` is RSASSA-PKCS1-v1_5 with SHA-256 over `message` under the certificate's key.
#[must_use]
pub fn signature_is_valid(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let key = &certificate.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).is_ok()
}

type Number = Zeroizing<[u8; NUMBER_LENGTH]>;

struct PrivateNumbers {
    prime_p: Number,
    prime_q: Number,
    exponent_p: Number,
    exponent_q: Number,
    coefficient: Number,
}

impl PrivateNumbers {
    /// Out of PrivateKeyInfo (RFC 5208 §5) around RSAPrivateKey (RFC 8017 appendix A.1.2).
    fn from_pkcs8(der: &[u8]) -> Option<PrivateNumbers> {
        let (_, info) = Sequence::from_der(der).ok()?;
        let (rest, _version) = Integer::from_der(&info.content).ok()?;
        let (rest, _algorithm) = Sequence::from_der(rest).ok()?;
        let (_, key) = OctetString::from_der(rest).ok()?;
        let (_, key) = Sequence::from_der(key.as_ref()).ok()?;
        let mut rest: &[u8] = &key.content;
        // version, modulus, publicExponent, privateExponent
        for _ in 0..4 {
            rest = Integer::from_der(rest).ok()?.0;
        }
        let mut next = || {
            let (after, integer) = Integer::from_der(rest).ok()?;
            rest = after;
            number(integer.as_ref())
        };
        Some(PrivateNumbers {
            prime_p: next()?,
            prime_q: next()?,
            exponent_p: next()?,
            exponent_q: next()?,
            coefficient: next()?,
        })
    }
}

/// An unsigned DER integer as 128 bytes, padded with zeros on the left.
fn number(der: &[u8]) -> Option<Number> {
    let digits = match der {
        [0, digits @ ..] => digits,
        digits => digits,
    };
    let mut number = Zeroizing::new([0; NUMBER_LENGTH]);
    let start = NUMBER_LENGTH.checked_sub(digits.len())?;
    number[start..].copy_from_slice(digits);
    Some(number)
}

#[cfg(test)]
mod tests {
    use x509_parser::num_bigint::BigUint;

    use super::*;

    fn authority() -> Issuer<'static, KeyPair> {
        let params = CertificateParams::new(Vec::new()).unwrap();
        Issuer::new(params, KeyPair::generate().unwrap())
    }

    #[test]
    fn the_numbers_belong_to_the_certified_key() {
        let identity = IdentityKey::generate(&authority(), "p-1", "1234".to_owned()).unwrap();
        let big = |dgi| BigUint::from_bytes_be(identity.data_grouping(dgi).unwrap());
        let (p, q, one) = (big(0x8205), big(0x8204), BigUint::from(1_u8));
        let (_, spki) =
            x509_parser::x509::SubjectPublicKeyInfo::from_der(&identity.public_key).unwrap();
        let x509_parser::public_key::PublicKey::RSA(public) = spki.parsed().unwrap() else {
            panic!("not an RSA key")
        };
        let e = BigUint::from_bytes_be(public.exponent);
        assert_eq!(&p * &q, BigUint::from_bytes_be(public.modulus));
        assert_eq!(big(0x8201) * &q % &p, one);
        assert_eq!(big(0x8202) * &e % (&q - &one), one);
        assert_eq!(big(0x8203) * &e % (&p - &one), one);
        assert!(
            identity
                .certificate
                .windows(identity.public_key.len())
                .any(|w| w == identity.public_key)
        );
    }

    #[test]
    fn every_grouping_has_a_value_and_secrets_have_their_length() {
        let identity = IdentityKey::generate(&authority(), "p-1", "4711".to_owned()).unwrap();
        for dgi in DGIS {
            let value = identity.data_grouping(dgi).unwrap();
            assert_eq!(value.len() == NUMBER_LENGTH, (0x8201..=0x8205).contains(&dgi));
        }
        assert_eq!(identity.data_grouping(0x8010), Some(&b"4711"[..]));
        assert_eq!(identity.data_grouping(0x8206), None);
        assert_eq!(format!("{identity:?}"), "IdentityKey { .. }");
    }

    #[test]
    fn a_number_is_padded_on_the_left_and_never_cut() {
        assert_eq!(number(&[0, 0x80]).unwrap()[126..], [0, 0x80]);
        assert_eq!(number(&[1; 128]).unwrap()[0], 1);
        assert!(number(&[1; 129]).is_none());
        assert!(PrivateNumbers::from_pkcs8(b"nonsense").is_none());
    }
}
