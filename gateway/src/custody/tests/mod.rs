//! Custody as its callers see it, on real files; and the second gate, for the terms of a permit.

mod at_rest;
mod gate;
mod hand_over;
mod key_material;
mod key_sets;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use aes::Aes128;
use cbc::Decryptor;
use cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{Hpke, HpkePublicKey},
};
use scp::{Aid, KeyCheckValues, KeyLength, KeyVersionNumber, KeyWrite, Terms};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::digest::Digest;

/// Key values to look for where they must not be. Key-ENC, Key-MAC, Key-DEK.
const KEYS: [&str; 3] = [
    "000102030405060708090A0B0C0D0E0F",
    "101112131415161718191A1B1C1D1E1F",
    "202122232425262728292A2B2C2D2E2F",
];
const SE: &str = "8981100000000000001";
const PIN: &[u8] = b"493817";

fn sd() -> Aid {
    "A0000005591010FFFFFFFF8900000100".parse().unwrap()
}

fn applet() -> Aid {
    "F0000000010001".parse().unwrap()
}

fn kvn(digits: &str) -> KeyVersionNumber {
    digits.parse().unwrap()
}

/// A data directory with a KEK.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        place.write_kek("5A");
        place
    }

    fn kek(&self) -> PathBuf {
        self.dir.path().join("kek")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write_kek(&self, byte: &str) {
        fs::write(self.kek(), byte.repeat(32)).unwrap();
        fs::set_permissions(self.kek(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn open(&self) -> Custody {
        Custody::open(&self.data(), &self.kek()).unwrap()
    }

    fn vault(&self) -> vault::Vault {
        vault::Vault::open(&self.data().join(CUSTODY_FILE), &kek::Kek::read(&self.kek()).unwrap())
            .unwrap()
    }
}

fn keys(digits: [&str; 3]) -> Vec<u8> {
    digits.iter().flat_map(|key| hex::decode(key).unwrap()).collect()
}

fn seal(transport: &TransportKey, info: &str, aad: &str, plain: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let public_key = HpkePublicKey(hex::decode(&transport.public_key).unwrap());
    let (enc, ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
        .seal(info.as_bytes(), aad.as_bytes(), plain, &public_key)
        .unwrap();
    (enc.0, ciphertext)
}

fn hand_over(transport: &TransportKey, se: &str, digits: [&str; 3]) -> HandOver {
    let values = keys(digits);
    let kcv = keyset::StaticKeys::split(&values, KeyLength::Aes128).unwrap();
    let aad = format!("carrier-a\n{se}\n{}\n30", sd());
    let (enc, ciphertext) = seal(transport, "madoguchi key-set hand-over v1", &aad, &values);
    HandOver {
        tenant: "carrier-a".to_owned(),
        se: se.to_owned(),
        sd: sd(),
        kvn: kvn("30"),
        key_length: KeyLength::Aes128,
        enc,
        ciphertext,
        kcv: kcv.check_values().unwrap(),
        known_to: vec!["custody".to_owned(), "carrier:a".to_owned()],
    }
}

fn wanted(number: &str) -> Stage {
    Stage {
        tenant: "carrier-a".to_owned(),
        se: SE.to_owned(),
        sd: sd(),
        kvn: kvn(number),
        key_length: KeyLength::Aes128,
        known_to: vec!["custody".to_owned(), "carrier:a".to_owned()],
    }
}

fn payload(transport: &TransportKey, members: &serde_json::Value) -> Payload {
    let dgis = vec![0x8201, 0x8202, 0x8203, 0x8204, 0x8205, 0x8010, 0x0101, 0x0102];
    let names: Vec<String> = dgis.iter().map(|dgi| format!("{dgi:04X}")).collect();
    let aad = format!("carrier-a\norder-1\n{SE}\n{}\n{}\n2000", applet(), names.join(","));
    let text = members.to_string();
    let (enc, ciphertext) = seal(transport, "madoguchi personalization v1", &aad, text.as_bytes());
    Payload {
        tenant: "carrier-a".to_owned(),
        order: "order-1".to_owned(),
        se: SE.to_owned(),
        applet: applet(),
        dgis,
        expires_s: 2_000,
        enc,
        ciphertext,
        public_key_sha256: Digest::of(&[b"public key"]),
        now_s: 1_000,
    }
}

fn members() -> serde_json::Value {
    let part = |fill: &str, bytes| fill.repeat(bytes);
    json!({
        "8201": part("C1", 128), "8202": part("C2", 127), "8203": part("C3", 128),
        "8204": part("C4", 1), "8205": part("C5", 128), "8010": hex::encode_upper(PIN),
        "0101": hex::encode_upper("certificate"), "0102": hex::encode_upper("public key"),
    })
}

fn terms(write: KeyWrite) -> Terms {
    let applet = match &write {
        KeyWrite::AppKey { applet } => Some(*applet),
        _ => None,
    };
    Terms {
        se: SE.to_owned(),
        security_domain: sd(),
        applet,
        write,
        attempt: 1,
        authorization: [7; 32],
    }
}

fn takeover() -> Terms {
    terms(KeyWrite::SdKeyset { prior: Some(kvn("30")), fresh: kvn("31") })
}

fn decrypt(dek: &str, cryptogram: &[u8]) -> Vec<u8> {
    let dek: [u8; 16] = hex::decode(dek).unwrap().try_into().unwrap();
    let mut value = cryptogram.to_vec();
    Decryptor::<Aes128>::new(&dek.into(), &[0; 16].into())
        .decrypt_padded::<NoPadding>(&mut value)
        .unwrap()
        .to_vec()
}

/// Whether a byte string, or its digits, stand in any file of a directory.
fn stands_in(dir: &Path, value: &[u8]) -> bool {
    let digits = [hex::encode_upper(value).into_bytes(), hex::encode(value).into_bytes()];
    fs::read_dir(dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).any(|content| {
        let holds = |what: &[u8]| content.windows(what.len()).any(|window| window == what);
        holds(value) || digits.iter().any(|digits| holds(digits))
    })
}

fn not_permitted<T>(field: &'static str) -> Result<T, CustodyError> {
    Err(CustodyError::NotPermitted { field })
}
