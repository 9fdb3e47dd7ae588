//! The applet's personalization: RSA-2048 key in CRT form, PIN, certificate. All of it is consistent, or nothing changes.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use num_bigint::BigUint;
use num_integer::Integer;
use serde::{Deserialize, Serialize};

use crate::aes::{AesKey, BLOCK};
use crate::bytes::{Bytes, Secret};
use crate::dgi::Dgi;
use crate::registry::{Application, PIN_TRIES};
use crate::status::Sw;
use crate::tlv::Reader;

/// The length of each CRT value, left-padded with zeros.
const CRT_VALUE_BYTES: usize = 128;
/// The length of an RSA-2048 modulus and signature.
pub(crate) const MODULUS_BYTES: usize = 256;
/// A PIN has so many ASCII digits.
pub(crate) const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=12;
/// The longest certificate taken.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

const DGI_CERTIFICATE: u16 = 0x0101;
const DGI_PUBLIC_KEY: u16 = 0x0102;
const DGI_PIN: u16 = 0x8010;
const DGI_Q_INVERSE: u16 = 0x8201;
const DGI_D_MOD_Q: u16 = 0x8202;
const DGI_D_MOD_P: u16 = 0x8203;
const DGI_Q: u16 = 0x8204;
const DGI_P: u16 = 0x8205;

/// What a personalized instance holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Personalization {
    p: Secret,
    q: Secret,
    d_mod_p: Secret,
    d_mod_q: Secret,
    q_inverse: Secret,
    /// ASCII digits.
    pub(crate) pin: Secret,
    /// X.509, DER.
    pub(crate) certificate: Bytes,
    /// SubjectPublicKeyInfo, DER.
    public_key: Bytes,
}

impl Personalization {
    /// SHA-256 of DGI 0102.
    pub(crate) fn key_digest(&self) -> [u8; 32] {
        let mut out = [0; 32];
        let digest = digest(&SHA256, &self.public_key.0);
        out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        out
    }

    /// The signing key. Fails on any inconsistency: every CRT value is checked against the public key.
    pub(crate) fn key_pair(&self) -> Option<KeyPair> {
        let (n, e) = rsa_public_key(&self.public_key.0)?;
        let number = |secret: &Secret| BigUint::from_bytes_be(secret.expose());
        let (p, q) = (number(&self.p), number(&self.q));
        let one = BigUint::from(1u8);
        if p <= one || q <= one || &p * &q != BigUint::from_bytes_be(n) {
            return None;
        }
        let (p_less, q_less) = (&p - &one, &q - &one);
        let d = BigUint::from_bytes_be(e).modinv(&p_less.lcm(&q_less))?;
        let consistent = &d % &p_less == number(&self.d_mod_p)
            && &d % &q_less == number(&self.d_mod_q)
            && (number(&self.q_inverse) * &q) % &p == one
            && number(&self.q_inverse) < p;
        if !consistent {
            return None;
        }
        let d = Secret::new(d.to_bytes_be());
        KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n, e },
            d: d.expose(),
            p: self.p.expose(),
            q: self.q.expose(),
            dP: self.d_mod_p.expose(),
            dQ: self.d_mod_q.expose(),
            qInv: self.q_inverse.expose(),
        })
        .ok()
    }

    fn is_consistent(&self) -> bool {
        certificate_public_key(&self.certificate.0) == Some(&self.public_key.0)
            && self.certificate.0.len() <= CERTIFICATE_BYTES_MAX
            && self.key_pair().is_some()
    }
}

/// Takes a whole personalization, or a PIN alone on an instance that has one.
///
/// # Errors
/// `6A80` for anything missing, doubled, unknown or inconsistent; the caller discards the instance's copy then.
pub(crate) fn personalize(
    application: &mut Application,
    groupings: &[Dgi<'_>],
    dek: &AesKey,
) -> Result<(), Sw> {
    let mut by_identifier = BTreeMap::new();
    for grouping in groupings {
        if by_identifier.insert(grouping.identifier, grouping.value).is_some() {
            return Err(Sw::WRONG_DATA);
        }
    }
    let mut take = |identifier| by_identifier.remove(&identifier).ok_or(Sw::WRONG_DATA);
    let pin = decrypt_pin(take(DGI_PIN)?, dek)?;
    if let ([_], Some(current)) = (groupings, &mut application.personalization) {
        current.pin = pin;
    } else {
        let crt_value = |value: &[u8]| {
            if value.len() == CRT_VALUE_BYTES {
                dek.decrypt_sensitive(value)
            } else {
                Err(Sw::WRONG_DATA)
            }
        };
        let personalization = Personalization {
            q_inverse: crt_value(take(DGI_Q_INVERSE)?)?,
            d_mod_q: crt_value(take(DGI_D_MOD_Q)?)?,
            d_mod_p: crt_value(take(DGI_D_MOD_P)?)?,
            q: crt_value(take(DGI_Q)?)?,
            p: crt_value(take(DGI_P)?)?,
            pin,
            certificate: Bytes(take(DGI_CERTIFICATE)?.to_vec()),
            public_key: Bytes(take(DGI_PUBLIC_KEY)?.to_vec()),
        };
        if !by_identifier.is_empty() || !personalization.is_consistent() {
            return Err(Sw::WRONG_DATA);
        }
        application.personalization = Some(personalization);
    }
    application.tries_left = PIN_TRIES;
    Ok(())
}

/// A PIN: ASCII digits, padded by `80 00..` (ISO/IEC 7816-4), by zeros or by `FF`.
fn decrypt_pin(value: &[u8], dek: &AesKey) -> Result<Secret, Sw> {
    if value.len() != BLOCK {
        return Err(Sw::WRONG_DATA);
    }
    let clear = dek.decrypt_sensitive(value)?;
    let block = clear.expose();
    let digits = block.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (pin, tail) = block.split_at_checked(digits).ok_or(Sw::WRONG_DATA)?;
    let zeros = |tail: &[u8]| tail.iter().all(|byte| *byte == 0x00);
    let padded = match tail {
        [0x80, rest @ ..] => zeros(rest),
        tail => zeros(tail) || tail.iter().all(|byte| *byte == 0xFF),
    };
    if padded && PIN_DIGITS.contains(&digits) {
        Ok(Secret::new(pin.to_vec()))
    } else {
        Err(Sw::WRONG_DATA)
    }
}

/// Modulus and exponent of an RSA-2048 SubjectPublicKeyInfo (RFC 8017 A.1), without leading zeros.
fn rsa_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    /// rsaEncryption, 1.2.840.113549.1.1.1, with NULL parameters.
    const RSA: &[u8] =
        &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];
    let mut outer = Reader::new(der);
    let mut info = Reader::new(outer.expect(0x30)?);
    let algorithm = info.expect(0x30)?;
    let mut bits = Reader::new(info.expect(0x03)?);
    let unused_bits = bits.byte()?;
    let mut key = Reader::new(bits.expect(0x30)?);
    let (modulus, exponent) = (key.expect(0x02)?, key.expect(0x02)?);
    let whole = [outer, info, bits, key].iter().all(Reader::is_empty);
    let (modulus, exponent) = (magnitude(modulus), magnitude(exponent));
    (whole && algorithm == RSA && unused_bits == 0 && modulus.len() == MODULUS_BYTES)
        .then_some((modulus, exponent))
}

/// A DER INTEGER without the zero that keeps it positive.
fn magnitude(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] => rest,
        integer => integer,
    }
}

/// The SubjectPublicKeyInfo of an X.509 certificate, with its own tag and length (RFC 5280 4.1).
fn certificate_public_key(der: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader::new(der);
    let mut certificate = Reader::new(outer.expect(0x30)?);
    let mut to_be_signed = Reader::new(certificate.expect(0x30)?);
    if !outer.is_empty() {
        return None;
    }
    // version [0] (absent in version 1), serialNumber, signature, issuer, validity, subject.
    let mut next = to_be_signed;
    if next.tlv()?.0 == 0xA0 {
        to_be_signed = next;
    }
    for tag in [0x02, 0x30, 0x30, 0x30, 0x30] {
        to_be_signed.expect(tag)?;
    }
    let from_here = to_be_signed.rest();
    to_be_signed.expect(0x30)?;
    let length = from_here.len().checked_sub(to_be_signed.rest().len())?;
    from_here.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlv;

    fn dek() -> AesKey {
        AesKey::new(Secret::new(vec![0x11; 16])).unwrap()
    }

    fn pin(block: &[u8; 16]) -> Result<Vec<u8>, Sw> {
        let mut sealed = block.to_vec();
        dek().encrypt_cbc([0; 16], &mut sealed).unwrap();
        decrypt_pin(&sealed, &dek()).map(|pin| pin.expose().to_vec())
    }

    #[test]
    fn pins_and_their_paddings() {
        for block in [
            b"1234\x80\0\0\0\0\0\0\0\0\0\0\0",
            b"1234\0\0\0\0\0\0\0\0\0\0\0\0",
            b"1234\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        ] {
            assert_eq!(pin(block).unwrap(), b"1234");
        }
        assert_eq!(pin(b"123456789012\x80\0\0\0").unwrap(), b"123456789012");
        for block in [
            b"123\x80\0\0\0\0\0\0\0\0\0\0\0\0",
            b"1234567890123\x80\0\0",
            b"12a4\x80\0\0\0\0\0\0\0\0\0\0\0",
            b"1234\x80\0\x01\0\0\0\0\0\0\0\0\0",
            b"1234\0\xFF\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(pin(block), Err(Sw::WRONG_DATA), "{block:?}");
        }
    }

    #[test]
    fn the_public_key_of_a_certificate_with_and_without_version() {
        let key = tlv::object(0x30, b"key");
        for version in [true, false] {
            let mut inner = if version { tlv::object(0xA0, b"\x02\x01\x02") } else { Vec::new() };
            inner.extend(tlv::object(0x02, &[1]));
            for _ in 0..4 {
                inner.extend(tlv::object(0x30, b"x"));
            }
            inner.extend(&key);
            let certificate = tlv::object(0x30, &tlv::object(0x30, &inner));
            assert_eq!(certificate_public_key(&certificate), Some(key.as_slice()));
            for length in 0..certificate.len() {
                assert_eq!(certificate_public_key(&certificate[..length]), None);
            }
        }
    }
}
