//! How a token is refused.

use std::borrow::Cow;

use crate::Code;

/// A refused token: the code of the first check that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The code of the check.
    pub code: Code,
    /// What was wrong, in our own words: nothing out of the token is repeated here.
    pub detail: Cow<'static, str>,
    /// Whether the token is spent by this refusal: the last allowed access code was wrong. The
    /// caller consumes it without an authorization.
    pub burns_token: bool,
    /// Present when an access code was given and was wrong; the caller counts it.
    pub wrong_access_code: Option<Box<WrongAccessCode>>,
}

/// A wrong access code on a token that passed every check before. Verified data, safe to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongAccessCode {
    /// SHA-256 of the token as presented.
    pub token_sha256: [u8; 32],
    /// Issuer.
    pub iss: String,
    /// Terminal.
    pub term: String,
    /// The token's identifier.
    pub jti: String,
    /// The token's number at this terminal.
    pub seq: u64,
    /// End of validity, seconds since 1970.
    pub exp_s: i64,
    /// Wrong codes for this token, this one included.
    pub failures: u32,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), burns_token: false, wrong_access_code: None }
    }
}
