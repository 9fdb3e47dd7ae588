//! The applicant's access code, hashed into the token under a key the issuer shares with us.
//!
//! The code is short, so a plain hash could be searched by anyone who sees the token.

use aes::{Aes128, Aes256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cmac::{Cmac, KeyInit, Mac};

use crate::compact::base64url;
use crate::{AccessCodeMode, SecretBytes};

/// Wrong codes after which a token is spent.
pub const ACCESS_CODE_TRIES: u32 = 3;

/// Separates this use of the key from any other.
const LABEL: &[u8] = b"ctrauth-ac-v1";

/// Longest access code, in bytes.
const CODE_BYTES_MOST: usize = 64;

/// What the access code says about a token.
pub(crate) enum Finding {
    /// The code is right.
    Right,
    /// None is needed and none was given.
    Omitted,
    /// The code is wrong; counts against the token.
    Wrong,
    /// It cannot be judged, for the reason given; counts against nobody.
    Unjudged(&'static str),
}

/// Checks the presented code against the token's hash.
///
/// A token that carries a hash needs its code in every mode; a code without a hash is refused
/// rather than ignored.
pub(crate) fn judge(
    mode: AccessCodeMode,
    key: Option<&SecretBytes>,
    jti: &str,
    hash: Option<&str>,
    code: Option<&str>,
) -> Finding {
    match (hash, code) {
        (Some(hash), Some(code)) => {
            if code.len() > CODE_BYTES_MOST {
                return Finding::Unjudged("the access code is too long");
            }
            let Some(hash) = base64url(hash) else {
                return Finding::Unjudged("the token's access-code hash is out of form");
            };
            match key.and_then(|key| is_right(key, jti, code, &hash)) {
                Some(true) => Finding::Right,
                Some(false) => Finding::Wrong,
                None => Finding::Unjudged("the issuer has no usable access-code key"),
            }
        }
        (Some(_), None) => Finding::Unjudged("the access code is missing"),
        (None, Some(_)) => Finding::Unjudged("the token carries no access-code hash"),
        (None, None) => match mode {
            AccessCodeMode::Required => Finding::Unjudged("an access code is required"),
            AccessCodeMode::OmittedTerminalBound | AccessCodeMode::OmittedEmbeddedAuth => {
                Finding::Omitted
            }
        },
    }
}

/// The claim `ach`: base64url(AES-CMAC(key, label ‖ 00 ‖ jti ‖ 00 ‖ code)); none when the key is
/// not 16 or 32 bytes.
pub fn access_code_hash(key: &SecretBytes, jti: &str, code: &str) -> Option<String> {
    let tag = match key.expose().len() {
        16 => mac::<Cmac<Aes128>>(key, jti, code)?.finalize().into_bytes().to_vec(),
        32 => mac::<Cmac<Aes256>>(key, jti, code)?.finalize().into_bytes().to_vec(),
        _ => return None,
    };
    Some(URL_SAFE_NO_PAD.encode(tag))
}

/// Compares in constant time; none when the key is not 16 or 32 bytes.
fn is_right(key: &SecretBytes, jti: &str, code: &str, hash: &[u8]) -> Option<bool> {
    match key.expose().len() {
        16 => Some(mac::<Cmac<Aes128>>(key, jti, code)?.verify_slice(hash).is_ok()),
        32 => Some(mac::<Cmac<Aes256>>(key, jti, code)?.verify_slice(hash).is_ok()),
        _ => None,
    }
}

fn mac<M: Mac + KeyInit>(key: &SecretBytes, jti: &str, code: &str) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key.expose()).ok()?;
    for part in [LABEL, &[0], jti.as_bytes(), &[0], code.as_bytes()] {
        mac.update(part);
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(key: &SecretBytes, hash: &str, jti: &str, code: &str) -> bool {
        let finding = judge(AccessCodeMode::Required, Some(key), jti, Some(hash), Some(code));
        matches!(finding, Finding::Right)
    }

    #[test]
    fn only_the_right_code_for_this_token_under_this_key_is_right() {
        for length in [16, 32] {
            let key = SecretBytes::new(vec![7; length]);
            let hash = access_code_hash(&key, "jti", "123456").unwrap();
            assert!(judged(&key, &hash, "jti", "123456"));
            assert!(!judged(&key, &hash, "jti", "123457"));
            assert!(!judged(&key, &hash, "jtj", "123456"));
            assert!(!judged(&SecretBytes::new(vec![8; length]), &hash, "jti", "123456"));
            assert!(!judged(&key, &hash[..20], "jti", "123456"));
        }
        assert_eq!(access_code_hash(&SecretBytes::new(vec![7; 20]), "jti", "1"), None);
    }

    #[test]
    fn the_hash_is_the_cmac_over_label_token_and_code() {
        use aws_lc_rs::cmac::{AES_128, Key, sign};
        let key = Key::new(AES_128, &[7; 16]).unwrap();
        let tag = sign(&key, b"ctrauth-ac-v1\0jti\x00123456").unwrap();
        let ours = access_code_hash(&SecretBytes::new(vec![7; 16]), "jti", "123456").unwrap();
        assert_eq!(base64url(&ours).unwrap(), tag.as_ref());
    }
}
