//! Verification of the counter token: the signed statement of a municipal counter that one key write
//! may be made to one SE.
//!
//! [`verify`] is a function of its arguments: it holds no store, opens no socket and reads no clock.
//! It promises that a [`VerifiedToken`] exists only after every check passed, in the order the codes
//! T01 to T13 are numbered, and that the first failure is the one reported.
//!
//! It does not consume the token. That `jti` and `seq` are spent once, in one durable transaction
//! that checks both again, is the store's promise; what [`Seen`] answers here is only a read.

#![forbid(unsafe_code)]

mod access_code;
mod claims;
mod code;
mod compact;
mod details;
mod refusal;
mod secret;
mod seen;
mod settings;
mod signing_key;
mod strict_json;
mod trust;
mod verify;

pub use access_code::{ACCESS_CODE_TRIES, access_code_hash};
pub use code::{Code, UnknownCode};
pub use compact::{TOKEN_BYTES_MOST, TOKEN_TYPE};
pub use details::{
    Action, AppKeyDetails, AuthorizationDetails, DetailsType, KeysetDetails, SecureElementId,
};
pub use refusal::{Refusal, WrongAccessCode};
pub use secret::SecretBytes;
pub use seen::{ConsumedRef, DenyKind, Seen};
pub use settings::{
    AccessCodeMode, Authority, Calendar, Clerk, Issuer, IssuerClass, IssuerStatus, Policy,
    SettingsError, Terminal,
};
pub use trust::{
    Algorithm, CertificateDigest, KeyPurpose, PinnedKey, RevocationLists, RootCertificates, Trust,
};
pub use verify::{Presented, Requested, VerifiedToken, verify};
