//! A token that passed every check.

use std::fmt;

use crate::{AccessCodeMode, AuthorizationDetails, Calendar, IssuerClass};

/// A counter token that passed checks 1 to 13. Only [`verify`](crate::verify) makes one.
///
/// It is not consumed yet: whoever writes the authorization does that, in the same transaction.
pub struct VerifiedToken {
    pub(super) token_sha256: [u8; 32],
    pub(super) iss: String,
    pub(super) class: IssuerClass,
    pub(super) office: String,
    pub(super) term: String,
    pub(super) reader: String,
    pub(super) clerk: String,
    pub(super) sub: String,
    pub(super) jti: String,
    pub(super) seq: u64,
    pub(super) exp_s: i64,
    pub(super) method: String,
    pub(super) level: u8,
    pub(super) calendar: Calendar,
    pub(super) access_code_mode: AccessCodeMode,
    pub(super) policy_version: String,
    pub(super) details: AuthorizationDetails,
    pub(super) txn: Option<String>,
    pub(super) replay_of_same: bool,
}

impl VerifiedToken {
    /// SHA-256 of the token as presented.
    pub fn token_sha256(&self) -> &[u8; 32] {
        &self.token_sha256
    }

    /// Issuer.
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// What kind of place the issuer is.
    pub fn class(&self) -> IssuerClass {
        self.class
    }

    /// Office.
    pub fn office(&self) -> &str {
        &self.office
    }

    /// Terminal.
    pub fn term(&self) -> &str {
        &self.term
    }

    /// Reader model.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// Clerk's pairwise id.
    pub fn clerk(&self) -> &str {
        &self.clerk
    }

    /// The applicant's pairwise pseudonym.
    pub fn sub(&self) -> &str {
        &self.sub
    }

    /// The token's identifier, to be consumed once.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// The token's number at this terminal, to be consumed in rising order.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// End of validity, seconds since 1970.
    pub fn exp_s(&self) -> i64 {
        self.exp_s
    }

    /// How the applicant was proofed.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Assurance level.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// When the counter was open to the applicant.
    pub fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// How the access code was dealt with: `Required` when one was given and right, otherwise the
    /// policy's reason for leaving it out.
    pub fn access_code_mode(&self) -> AccessCodeMode {
        self.access_code_mode
    }

    /// Version of the policy that accepted it.
    pub fn policy_version(&self) -> &str {
        &self.policy_version
    }

    /// What it authorizes.
    pub fn details(&self) -> &AuthorizationDetails {
        &self.details
    }

    /// The caller's transaction id, for enquiries.
    pub fn txn(&self) -> Option<&str> {
        self.txn.as_deref()
    }

    /// Whether this very token was consumed before with this very request. The answer given then is
    /// to be given again; nothing is consumed.
    pub fn replay_of_same(&self) -> bool {
        self.replay_of_same
    }
}

/// Without the pseudonym, which has no place in a log.
impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("iss", &self.iss)
            .field("term", &self.term)
            .field("jti", &self.jti)
            .field("seq", &self.seq)
            .field("replay_of_same", &self.replay_of_same)
            .finish_non_exhaustive()
    }
}
