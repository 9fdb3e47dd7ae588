//! The SCP03 key derivation: NIST SP 800-108 in counter mode over AES-CMAC (AmdD 4.1.5).

use crate::aes::{AesKey, BLOCK};
use crate::bytes::Secret;
use crate::status::Sw;

/// The derivation constants (AmdD Table 4-1).
#[derive(Clone, Copy)]
pub(crate) enum Constant {
    CardCryptogram = 0x00,
    HostCryptogram = 0x01,
    CardChallenge = 0x02,
    SessionEnc = 0x04,
    SessionMac = 0x06,
    SessionRmac = 0x07,
}

/// Derives a session key as long as `key` (AmdD 6.2.1).
pub(crate) fn session_key(
    key: &AesKey,
    constant: Constant,
    context: &[&[u8]],
) -> Result<AesKey, Sw> {
    let derived = derive(key, constant, key.len(), context)?;
    AesKey::new(derived).ok_or(Sw::NO_DIAGNOSIS)
}

/// Derives an 8-byte challenge or cryptogram (AmdD 6.2.2).
pub(crate) fn eight_bytes(
    key: &AesKey,
    constant: Constant,
    context: &[&[u8]],
) -> Result<[u8; 8], Sw> {
    derive(key, constant, 8, context)?.expose().try_into().map_err(|_| Sw::NO_DIAGNOSIS)
}

/// Derives `length` bytes, at most 32: 11 zero bytes, constant, 00, L in bits, counter, context.
fn derive(
    key: &AesKey,
    constant: Constant,
    length: usize,
    context: &[&[u8]],
) -> Result<Secret, Sw> {
    let bits = u16::try_from(length * 8).map_err(|_| Sw::NO_DIAGNOSIS)?.to_be_bytes();
    let mut out = Vec::with_capacity(2 * BLOCK);
    for counter in 1..=u8::try_from(length.div_ceil(BLOCK)).map_err(|_| Sw::NO_DIAGNOSIS)? {
        let [hi, lo] = bits;
        let fixed = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, constant as u8, 0, hi, lo, counter];
        let mut parts: Vec<&[u8]> = vec![&fixed];
        parts.extend(context);
        out.extend(key.cmac(&parts)?);
    }
    out.truncate(length);
    Ok(Secret::new(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AesKey {
        AesKey::new(Secret::new(hex::decode(text).unwrap())).unwrap()
    }

    /// Witness: a real eUICC's session, osmocom/pysim test_globalplatform.py (AES-128, KVN 30, counter 2).
    #[test]
    fn session_of_a_real_card() {
        let enc = key("000102030405060708090A0B0C0D0E0F");
        let mac = key("101112131415161718191A1B1C1D1E1F");
        let host = hex::decode("B13E5F938FC108C4").unwrap();
        let aid = hex::decode("A0000005591010FFFFFFFF8900000100").unwrap();
        let card = eight_bytes(&enc, Constant::CardChallenge, &[&[0, 0, 2], &aid]).unwrap();
        assert_eq!(hex::encode_upper(card), "3EB51047495B249F");
        let context: &[&[u8]] = &[&host, &card];
        let s_mac = session_key(&mac, Constant::SessionMac, context).unwrap();
        let cryptogram = eight_bytes(&s_mac, Constant::CardCryptogram, context).unwrap();
        assert_eq!(hex::encode_upper(cryptogram), "66C484C1D2EF1948");
    }
}
