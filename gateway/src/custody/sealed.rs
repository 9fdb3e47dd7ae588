//! Sealing at rest: AES-256-GCM, a random nonce for each value, bound to what the value is and whose.
//!
//! A sealed value is a version byte, the 12-byte nonce, the ciphertext and the 16-byte tag. Random nonces under one key allow 2^32 values
//! (NIST SP 800-38D §8.3); a key set is three.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::CustodyError;

/// Form of the value and of what it is bound to.
const VERSION: u8 = 1;

/// Seals and opens.
pub(super) struct Sealer {
    key: RandomizedNonceKey,
}

/// What a value is bound to: its fields, each after its length, so that no two lists look alike.
pub(super) struct Binding(Vec<u8>);

impl Binding {
    pub(super) fn new(fields: &[&[u8]]) -> Binding {
        let mut bytes = vec![VERSION];
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Binding(bytes)
    }
}

impl Sealer {
    pub(super) fn new(key: &[u8]) -> Result<Sealer, CustodyError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key)
            .map_err(|_| CustodyError::Unavailable { detail: "sealing key".to_owned() })?;
        Ok(Sealer { key })
    }

    pub(super) fn seal(&self, binding: &Binding, value: &[u8]) -> Result<Vec<u8>, CustodyError> {
        // With room for the tag: a buffer that grows leaves a copy of the value behind.
        let mut buffer = Vec::with_capacity(value.len().saturating_add(AES_256_GCM.tag_len()));
        buffer.extend_from_slice(value);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(&binding.0), &mut buffer)
            .map_err(|_| CustodyError::Unavailable { detail: "sealing".to_owned() })?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&buffer);
        Ok(sealed)
    }

    pub(super) fn open(
        &self,
        binding: &Binding,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        let (version, rest) = sealed.split_first().ok_or(CustodyError::Sealed)?;
        let (nonce, ciphertext) =
            rest.split_first_chunk::<NONCE_LEN>().ok_or(CustodyError::Sealed)?;
        if *version != VERSION {
            return Err(CustodyError::Sealed);
        }
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(&binding.0), &mut buffer)
            .map_err(|_| CustodyError::Sealed)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_whole_and_for_what_it_was_sealed_for() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let binding = Binding::new(&[b"tenant", b"se"]);
        let sealed = sealer.seal(&binding, b"value").unwrap();
        assert_eq!(sealer.open(&binding, &sealed).unwrap().as_slice(), b"value");
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert_eq!(sealer.open(&binding, &altered), Err(CustodyError::Sealed));
            assert_eq!(sealer.open(&binding, &sealed[..position]), Err(CustodyError::Sealed));
        }
        for other in [&[&b"tenants"[..], b"e"][..], &[b"tenantse"], &[b"tenant", b"se", b""]] {
            assert_eq!(sealer.open(&Binding::new(other), &sealed), Err(CustodyError::Sealed));
        }
        let other = Sealer::new(&[8; 32]).unwrap();
        assert_eq!(other.open(&binding, &sealed), Err(CustodyError::Sealed));
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let binding = Binding::new(&[]);
        assert_ne!(sealer.seal(&binding, b"v").unwrap(), sealer.seal(&binding, b"v").unwrap());
    }
}
