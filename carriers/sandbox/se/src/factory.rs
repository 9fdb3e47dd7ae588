//! How an SE leaves its factory: one Issuer Security Domain, one key set, card life cycle SECURED.

use std::collections::BTreeMap;
use std::fmt;

use crate::aes::AesKey;
use crate::aid::Aid;
use crate::bytes::{Bytes, Secret};
use crate::key_set::{KeySet, is_key_version};
use crate::privileges::Privileges;
use crate::registry::{Card, Entry, LoadFile, Role, SecurityDomain, life_cycle};

/// The longest IIN and CIN, in bytes; both are data objects of a few digits (CS 7.4.1).
const IDENTIFIER_BYTES_MAX: usize = 32;

/// What a new SE is made from.
#[derive(Clone)]
pub struct Factory {
    /// Key-ENC, Key-MAC, Key-DEK of the Issuer Security Domain: 16, 24 or 32 bytes, all of one length.
    pub isd_keys: [Vec<u8>; 3],
    /// Their Key Version Number, `01` to `7F`.
    pub kvn: u8,
    /// The SCP03 `i` parameter: `10` pseudo-random challenge, `20` R-MAC, `40` (with `20`) R-ENCRYPTION; S8 only.
    pub i: u8,
    /// Issuer Identification Number, the value of data object `42`; at most 32 bytes.
    pub iin: Vec<u8>,
    /// Card Image Number, the value of data object `45`; at most 32 bytes.
    pub cin: Vec<u8>,
    /// Key Diversification Data, as INITIALIZE UPDATE answers it.
    pub kdd: [u8; 10],
}

impl Default for Factory {
    /// The well-known test key `404142..4F` three times, KVN `30`, `i` = `70`.
    fn default() -> Self {
        let key: Vec<u8> = (0x40..=0x4F).collect();
        Self {
            isd_keys: [key.clone(), key.clone(), key],
            kvn: 0x30,
            i: 0x70,
            iin: vec![0x48, 0x10],
            cin: vec![0x00, 0x00, 0x00, 0x01],
            kdd: [0; 10],
        }
    }
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factory")
            .field("kvn", &self.kvn)
            .field("i", &self.i)
            .finish_non_exhaustive()
    }
}

/// Why no SE can be made. The caller's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactoryError {
    /// A key has another length than 16, 24 or 32 bytes.
    #[error("an Issuer Security Domain key has 16, 24 or 32 bytes")]
    KeyLength,
    /// The three keys differ in length (AmdD 6.1).
    #[error("the three Issuer Security Domain keys must have one length")]
    KeyLengthsDiffer,
    /// The Key Version Number is not `01` to `7F`.
    #[error("a Key Version Number is 01 to 7F")]
    KeyVersion,
    /// `i` asks for what this SE does not do.
    #[error("i must be one of 00, 10, 20, 30, 60, 70")]
    Options,
    /// IIN or CIN is too long.
    #[error("IIN and CIN have at most 32 bytes")]
    Identifier,
}

impl Factory {
    /// Makes the state of a new SE.
    pub(crate) fn make(self) -> Result<Card, FactoryError> {
        let [enc, mac, dek] = self.isd_keys.map(|key| AesKey::new(Secret::new(key)));
        let (Some(enc), Some(mac), Some(dek)) = (enc, mac, dek) else {
            return Err(FactoryError::KeyLength);
        };
        if enc.len() != mac.len() || mac.len() != dek.len() {
            return Err(FactoryError::KeyLengthsDiffer);
        }
        if !is_key_version(self.kvn) {
            return Err(FactoryError::KeyVersion);
        }
        if !matches!(self.i, 0x00 | 0x10 | 0x20 | 0x30 | 0x60 | 0x70) {
            return Err(FactoryError::Options);
        }
        if self.iin.len().max(self.cin.len()) > IDENTIFIER_BYTES_MAX {
            return Err(FactoryError::Identifier);
        }
        let objects = BTreeMap::from([(0x42, Bytes(self.iin)), (0x45, Bytes(self.cin))]);
        let key_sets = vec![KeySet::new(self.kvn, [enc, mac, dek])];
        Ok(Card {
            i: self.i,
            kdd: self.kdd,
            handed_over: false,
            entries: vec![Entry {
                aid: Aid::ISSUER_SECURITY_DOMAIN,
                associated: Aid::ISSUER_SECURITY_DOMAIN,
                load_file: Aid::SECURITY_DOMAIN_FILE,
                life_cycle: life_cycle::CARD_SECURED,
                locked: false,
                privileges: Privileges::ISSUER,
                role: Role::SecurityDomain(SecurityDomain { key_sets, objects }),
            }],
            load_files: vec![LoadFile {
                aid: Aid::SECURITY_DOMAIN_FILE,
                associated: Aid::ISSUER_SECURITY_DOMAIN,
                version: [1, 0],
                modules: vec![Aid::SECURITY_DOMAIN_MODULE],
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_by_name() {
        let refused = |change: fn(&mut Factory)| {
            let mut factory = Factory::default();
            change(&mut factory);
            factory.make().unwrap_err()
        };
        assert_eq!(refused(|f| f.isd_keys[0] = vec![0; 15]), FactoryError::KeyLength);
        assert_eq!(refused(|f| f.isd_keys[2] = vec![0; 32]), FactoryError::KeyLengthsDiffer);
        assert_eq!(refused(|f| f.kvn = 0x80), FactoryError::KeyVersion);
        assert_eq!(refused(|f| f.kvn = 0), FactoryError::KeyVersion);
        assert_eq!(refused(|f| f.i = 0x71), FactoryError::Options);
        assert_eq!(refused(|f| f.iin = vec![0; 33]), FactoryError::Identifier);
        assert!(Factory::default().make().is_ok());
    }

    #[test]
    fn debug_shows_no_key() {
        assert!(!format!("{:?}", Factory::default()).contains("64, 65"));
    }
}
