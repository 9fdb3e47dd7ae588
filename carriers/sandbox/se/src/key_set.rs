//! SCP03 key sets: three AES keys under one Key Version Number, with their sequence counter (AmdD 6.1, 6.2.2.1).

use serde::{Deserialize, Serialize};

use crate::aes::AesKey;
use crate::status::Sw;
use crate::tlv;

/// The key type of AES (CS 11.1.8).
pub(crate) const KEY_TYPE_AES: u8 = 0x88;
/// The greatest value of the three-byte sequence counter.
const SEQUENCE_COUNTER_MAX: u32 = 0x00FF_FFFF;

/// One key set. DELETE \[key\] by identifier can leave it incomplete: then it opens no channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeySet {
    pub(crate) kvn: u8,
    /// Key identifiers 1, 2, 3: Key-ENC, Key-MAC, Key-DEK.
    pub(crate) keys: [Option<AesKey>; 3],
    pub(crate) sequence_counter: u32,
}

/// The three static keys of a complete set.
pub(crate) struct StaticKeys<'a> {
    pub(crate) enc: &'a AesKey,
    pub(crate) mac: &'a AesKey,
    pub(crate) dek: &'a AesKey,
}

impl KeySet {
    /// A freshly loaded set: its sequence counter is zero (AmdD 6.2.2.1).
    pub(crate) fn new(kvn: u8, keys: [AesKey; 3]) -> Self {
        Self { kvn, keys: keys.map(Some), sequence_counter: 0 }
    }

    /// The keys, unless one is missing.
    pub(crate) fn complete(&self) -> Option<StaticKeys<'_>> {
        match &self.keys {
            [Some(enc), Some(mac), Some(dek)] => Some(StaticKeys { enc, mac, dek }),
            _ => None,
        }
    }

    /// Counts one challenge and returns the new value.
    ///
    /// # Errors
    /// `6985` when the counter is exhausted.
    pub(crate) fn count_challenge(&mut self) -> Result<[u8; 3], Sw> {
        if self.sequence_counter >= SEQUENCE_COUNTER_MAX {
            return Err(Sw::CONDITIONS);
        }
        self.sequence_counter += 1;
        Ok(self.sequence_counter_bytes())
    }

    pub(crate) fn sequence_counter_bytes(&self) -> [u8; 3] {
        let [_, a, b, c] = self.sequence_counter.to_be_bytes();
        [a, b, c]
    }

    /// The same number of keys of the same length, as replacing demands (CS 11.8.2.3.3).
    pub(crate) fn has_same_shape(&self, other: &Self) -> bool {
        let lengths = |set: &Self| set.keys.each_ref().map(|key| key.as_ref().map(AesKey::len));
        lengths(self) == lengths(other)
    }

    /// The Key Check Values of the keys that are there, joined.
    pub(crate) fn check_values(&self) -> Result<Vec<u8>, Sw> {
        let mut out = Vec::with_capacity(9);
        for key in self.keys.iter().flatten() {
            out.extend(key.check_value()?);
        }
        Ok(out)
    }

    /// Appends this set's entries of the Key Information Template (CS Table 11-28).
    pub(crate) fn write_information(&self, out: &mut Vec<u8>) {
        for (identifier, key) in (1..=3u8).zip(&self.keys) {
            if let Some(key) = key {
                tlv::write(out, 0xC0, &[identifier, self.kvn, KEY_TYPE_AES, key.len() as u8]);
            }
        }
    }
}

/// A Key Version Number an SCP03 key set may have: `01` to `7F` (CS 11.8.2.3).
pub(crate) fn is_key_version(kvn: u8) -> bool {
    (0x01..=0x7F).contains(&kvn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Secret;

    fn set() -> KeySet {
        KeySet::new(
            0x30,
            [0x40, 0x50, 0x60].map(|b| AesKey::new(Secret::new(vec![b; 16])).unwrap()),
        )
    }

    #[test]
    fn the_counter_ends() {
        let mut set = set();
        assert_eq!(set.count_challenge(), Ok([0, 0, 1]));
        set.sequence_counter = 0xFF_FFFE;
        assert_eq!(set.count_challenge(), Ok([0xFF, 0xFF, 0xFF]));
        assert_eq!(set.count_challenge(), Err(Sw::CONDITIONS));
    }

    #[test]
    fn a_missing_key_makes_it_incomplete_and_shows() {
        let mut set = set();
        set.keys[1] = None;
        assert!(set.complete().is_none());
        let mut information = Vec::new();
        set.write_information(&mut information);
        assert_eq!(hex::encode_upper(information), "C00401308810C00403308810");
    }
}
