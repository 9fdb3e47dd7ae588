//! The data derivation scheme: NIST SP 800-108 in counter mode over CMAC (AmdD §4.1.5).

/// What is derived (AmdD Table 4-1).
pub(crate) const CARD_CRYPTOGRAM: u8 = 0x00;
pub(crate) const HOST_CRYPTOGRAM: u8 = 0x01;
pub(crate) const CARD_CHALLENGE: u8 = 0x02;
pub(crate) const S_ENC: u8 = 0x04;
pub(crate) const S_MAC: u8 = 0x06;
pub(crate) const S_RMAC: u8 = 0x07;

/// Bits that one call of CMAC yields.
const PRF_BITS: u16 = 128;

/// The inputs to CMAC whose outputs, joined and cut to `bits`, are the derived data: label of
/// eleven bytes 00 and the constant, separator 00, L, counter, context.
pub(crate) fn blocks(constant: u8, bits: u16, context: &[&[u8]]) -> impl Iterator<Item = Vec<u8>> {
    let [l_high, l_low] = bits.to_be_bytes();
    let context = context.concat();
    (1u8..).take(usize::from(bits.div_ceil(PRF_BITS))).map(move |counter| {
        let mut block = vec![0; 11];
        block.extend_from_slice(&[constant, 0x00, l_high, l_low, counter]);
        block.extend_from_slice(&context);
        block
    })
}

#[cfg(test)]
mod tests {
    use super::super::cipher::Cipher;
    use super::super::session_keys::SessionKey;
    use super::*;
    use serde_json::Value;

    fn key(bytes: &[u8]) -> SessionKey {
        match bytes.len() {
            16 => SessionKey::Aes128(bytes.try_into().unwrap()),
            24 => SessionKey::Aes192(bytes.try_into().unwrap()),
            _ => SessionKey::Aes256(bytes.try_into().unwrap()),
        }
    }

    #[test]
    fn published_derivations_come_out() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/vectors/scp03_kdf.json")).unwrap();
        let bytes = |entry: &Value, name: &str| hex::decode(entry[name].as_str().unwrap()).unwrap();
        let mut seen = 0;
        for entry in vectors.iter().filter(|entry| entry["kind"] == "scp03_kdf") {
            let cipher = Cipher::new(&key(&bytes(entry, "key")));
            let bits = u16::try_from(entry["l_bits"].as_u64().unwrap()).unwrap();
            let [constant] = bytes(entry, "constant")[..] else { panic!("one byte") };
            let derived: Vec<u8> = blocks(constant, bits, &[&bytes(entry, "context")])
                .flat_map(|block| cipher.cmac(&[&block]))
                .collect();
            assert_eq!(
                derived[..usize::from(bits / 8)],
                bytes(entry, "out")[..],
                "{}",
                entry["id"]
            );
            seen += 1;
        }
        assert_eq!(seen, 20);
    }

    #[test]
    fn a_192_bit_key_takes_two_blocks() {
        let counters: Vec<u8> = blocks(S_ENC, 192, &[&[1, 2]]).map(|block| block[15]).collect();
        assert_eq!(counters, [1, 2]);
        assert_eq!(blocks(S_ENC, 64, &[]).count(), 1);
    }
}
