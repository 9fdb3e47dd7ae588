//! The issuer: an RSA-2048 key pair, something that has the shape of a certificate, and the DGIs for both.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::host::{Session, dgi};
use crate::tlv::{Reader, object};

/// What the issuer delivers for one citizen.
#[derive(Clone)]
pub(super) struct Identity {
    /// By DGI, in clear.
    pub(super) values: Vec<(u16, Vec<u8>)>,
    pub(super) certificate: Vec<u8>,
    pub(super) public_key: Vec<u8>,
}

/// Key generation is slow: two identities serve all tests.
pub(super) fn identity(which: usize) -> &'static Identity {
    static IDENTITIES: [OnceLock<Identity>; 2] = [OnceLock::new(), OnceLock::new()];
    IDENTITIES[which].get_or_init(|| generate(b"123456"))
}

fn generate(pin: &[u8]) -> Identity {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let public_key = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let public_key = public_key.as_ref().to_vec();
    // PrivateKeyInfo: version, algorithm, OCTET STRING of RSAPrivateKey.
    let mut info = Reader::new(Reader::new(pkcs8.as_ref()).expect(0x30).unwrap());
    info.expect(0x02).unwrap();
    info.expect(0x30).unwrap();
    let mut key = Reader::new(Reader::new(info.expect(0x04).unwrap()).expect(0x30).unwrap());
    // version, n, e, d, then p, q, d mod (p-1), d mod (q-1), q^-1 mod p.
    for _ in 0..4 {
        key.expect(0x02).unwrap();
    }
    let mut number = || {
        let bytes = key.expect(0x02).unwrap();
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        [vec![0; 128 - bytes.len()], bytes.to_vec()].concat()
    };
    let (p, q, d_mod_p, d_mod_q, q_inverse) = (number(), number(), number(), number(), number());
    let certificate = certificate(&public_key);
    let mut padded_pin = pin.to_vec();
    padded_pin.push(0x80);
    padded_pin.resize(16, 0);
    Identity {
        values: vec![
            (0x8201, q_inverse),
            (0x8202, d_mod_q),
            (0x8203, d_mod_p),
            (0x8204, q),
            (0x8205, p),
            (0x8010, padded_pin),
            (0x0101, certificate.clone()),
            (0x0102, public_key.clone()),
        ],
        certificate,
        public_key,
    }
}

/// A certificate's frame around the key; the names are filler long enough for two-byte lengths.
fn certificate(public_key: &[u8]) -> Vec<u8> {
    let name = object(0x30, &[0x31; 150]);
    let inner = [
        object(0xA0, &[0x02, 0x01, 0x02]),
        object(0x02, &[0x01]),
        object(0x30, &[0x05, 0x00]),
        name.clone(),
        object(0x30, &[0x17; 30]),
        name,
        public_key.to_vec(),
    ]
    .concat();
    let outer =
        [object(0x30, &inner), object(0x30, &[0x05, 0x00]), object(0x03, &[0; 257])].concat();
    object(0x30, &outer)
}

impl Identity {
    /// The DGIs as they go to the SE: secrets sealed under the session's Key-DEK.
    pub(super) fn groupings(&self, session: &Session) -> Vec<u8> {
        self.values
            .iter()
            .flat_map(|(identifier, value)| sealed(session, *identifier, value))
            .collect()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(message, signature)
            .is_ok()
    }
}

/// One DGI, its value sealed unless it is public.
pub(super) fn sealed(session: &Session, identifier: u16, value: &[u8]) -> Vec<u8> {
    if identifier & 0xFF00 == 0x0100 {
        dgi(identifier, value)
    } else {
        dgi(identifier, &session.seal(value))
    }
}
