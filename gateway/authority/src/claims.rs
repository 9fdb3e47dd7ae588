//! The claims of a counter token.

use serde::Deserialize;
use serde_json::Value;

use crate::compact::base64url;

/// Everything a counter token may say. An unknown member makes it no counter token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    /// One gateway; a list is not taken.
    pub(crate) aud: String,
    /// The applicant's pairwise pseudonym.
    pub(crate) sub: String,
    #[serde(rename = "iat")]
    pub(crate) iat_s: i64,
    #[serde(rename = "nbf")]
    pub(crate) nbf_s: i64,
    #[serde(rename = "exp")]
    pub(crate) exp_s: i64,
    pub(crate) jti: String,
    pub(crate) seq: u64,
    pub(crate) cnf: Confirmation,
    pub(crate) ctr: Counter,
    pub(crate) ach: Option<String>,
    /// Compared as JSON with what was opened, so that no reading of ours can hide a difference.
    pub(crate) authorization_details: Vec<Value>,
    pub(crate) txn: Option<String>,
    /// A status list reference. None is configured, so a token that has one is refused (T08).
    pub(crate) status: Option<Value>,
}

/// The client certificate the token is bound to (RFC 8705, section 3.1).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    #[serde(rename = "x5t#S256")]
    pub(crate) certificate_sha256: String,
}

/// Where, by whom and how the applicant was proofed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counter {
    pub(crate) office: String,
    pub(crate) term: String,
    pub(crate) reader: String,
    pub(crate) clerk: String,
    pub(crate) method: String,
    pub(crate) level: u8,
    pub(crate) cal: String,
}

/// Longest text of any claim, in bytes.
const TEXT_BYTES_MOST: usize = 256;

/// 128 random bits in base64url, the least a `jti` may be.
const JTI_CHARS: std::ops::RangeInclusive<usize> = 22..=86;

/// Digits in a My Number (個人番号), which must never come here in the place of a pseudonym.
const MY_NUMBER_DIGITS: usize = 12;

impl Claims {
    /// What cannot be said in types.
    ///
    /// # Errors
    /// The name of the claim that is out of form.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let texts = [
            ("iss", &self.iss),
            ("aud", &self.aud),
            ("sub", &self.sub),
            ("ctr.office", &self.ctr.office),
            ("ctr.term", &self.ctr.term),
            ("ctr.reader", &self.ctr.reader),
            ("ctr.clerk", &self.ctr.clerk),
            ("ctr.method", &self.ctr.method),
            ("ctr.cal", &self.ctr.cal),
        ];
        if let Some((name, _)) = texts.iter().find(|(_, text)| !is_plain(text)) {
            return Err(name);
        }
        if !self.txn.as_deref().is_none_or(is_plain) {
            return Err("txn");
        }
        if self.sub.len() == MY_NUMBER_DIGITS && self.sub.bytes().all(|b| b.is_ascii_digit()) {
            return Err("sub");
        }
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !JTI_CHARS.contains(&self.jti.len()) || !self.jti.bytes().all(in_alphabet) {
            return Err("jti");
        }
        if self.certificate_sha256().is_none() {
            return Err("cnf");
        }
        Ok(())
    }

    /// SHA-256 of the client certificate the token is bound to.
    pub(crate) fn certificate_sha256(&self) -> Option<[u8; 32]> {
        base64url(&self.cnf.certificate_sha256)?.try_into().ok()
    }
}

/// Not empty, not long, and nothing in it that could disturb a log line.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MOST && !text.chars().any(char::is_control)
}
