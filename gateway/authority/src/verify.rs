//! The checks, in their order. The first that fails is the answer.

mod token;

pub use token::VerifiedToken;

use crate::access_code::{self, Finding};
use crate::compact::Compact;
use crate::signing_key::SigningKey;
use crate::{
    ACCESS_CODE_TRIES, AccessCodeMode, Authority, AuthorizationDetails, Calendar, Code, DenyKind,
    Issuer, IssuerStatus, Refusal, Seen, WrongAccessCode,
};

/// What came over the wire.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The token, compact serialization.
    pub token: Option<&'a str>,
    /// SHA-256 of the client certificate of this very connection.
    pub peer_certificate_sha256: [u8; 32],
    /// The access code as the applicant gave it.
    pub access_code: Option<&'a str>,
    /// Now, seconds since 1970.
    pub now_s: i64,
}

/// What the token is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// What `open` answered for this order, SE and terminal.
    pub details: &'a AuthorizationDetails,
    /// SHA-256 of the request, so that the same request can be answered again.
    pub request_sha256: [u8; 32],
}

/// Checks a presented token against an opened order: checks 1 to 13, the first failure stops.
///
/// # Errors
/// [`Refusal`] with the code of the check that failed. Nothing is consumed, unless
/// [`Refusal::burns_token`] says that the caller has to.
///
/// # Security
/// Two presentations at the same moment can both pass. Only consuming tells them apart, and only a
/// count of wrong access codes kept in the store's writer holds the line of three.
pub fn verify(
    authority: &Authority,
    presented: &Presented<'_>,
    requested: &Requested<'_>,
    seen: &dyn Seen,
) -> Result<VerifiedToken, Refusal> {
    let token = presented.token.ok_or_else(|| Refusal::new(Code::T00, "no token"))?;
    let compact = Compact::parse(token)?;
    let issuer = find_issuer(authority, &compact)?;
    let key = SigningKey::find(issuer, &compact.header, compact.claims.iat_s, presented.now_s)?;
    key.verify(compact.signing_input, &compact.signature)?;

    let check = Check { authority, presented, requested, seen, issuer, compact: &compact };
    check.issuer_and_audience()?;
    check.time()?;
    check.client_certificate()?;
    check.revocation(&key)?;
    let replay_of_same = check.replay()?;
    if !replay_of_same {
        check.sequence()?;
    }
    check.details()?;
    let access_code_mode = check.access_code()?;
    let calendar = check.policy()?;
    Ok(check.verified(calendar, access_code_mode, replay_of_same))
}

/// The rest of check 2 and the start of check 3: the algorithm must be one the issuer uses.
fn find_issuer<'a>(authority: &'a Authority, compact: &Compact<'_>) -> Result<&'a Issuer, Refusal> {
    let issuer = authority
        .issuers
        .iter()
        .find(|issuer| issuer.id == compact.claims.iss)
        .ok_or_else(|| Refusal::new(Code::T03, "the issuer is not known"))?;
    if !issuer.algorithms.contains(&compact.header.algorithm) {
        return Err(Refusal::new(Code::T02, "the issuer does not use this algorithm"));
    }
    Ok(issuer)
}

/// A token whose signature is good, and everything it is now held against.
struct Check<'a> {
    authority: &'a Authority,
    presented: &'a Presented<'a>,
    requested: &'a Requested<'a>,
    seen: &'a dyn Seen,
    issuer: &'a Issuer,
    compact: &'a Compact<'a>,
}

impl Check<'_> {
    /// Check 5.
    fn issuer_and_audience(&self) -> Result<(), Refusal> {
        if self.issuer.status != IssuerStatus::Active {
            return Err(Refusal::new(Code::T05, "the issuer is suspended"));
        }
        require(
            self.compact.claims.aud == self.authority.audience,
            Code::T05,
            "the token is for another gateway",
        )
    }

    /// Check 6. Saturating: a time at the end of the range is out of bounds either way.
    fn time(&self) -> Result<(), Refusal> {
        let claims = &self.compact.claims;
        let (now_s, skew_s) = (self.presented.now_s, i64::from(self.authority.skew_s));
        let latest_s = now_s.saturating_add(skew_s);
        let lifetime_s = claims.exp_s.saturating_sub(claims.nbf_s);
        require(claims.iat_s <= latest_s, Code::T06, "issued in the future")?;
        require(claims.nbf_s <= latest_s, Code::T06, "not valid yet")?;
        require(claims.exp_s > now_s.saturating_sub(skew_s), Code::T06, "no longer valid")?;
        require(
            claims.nbf_s >= 0
                && (1..=i64::from(self.authority.lifetime_max_s)).contains(&lifetime_s),
            Code::T06,
            "valid for longer than allowed",
        )
    }

    /// Check 7. The token names the certificate of this connection, and so does the register of
    /// terminals, where it knows the terminal.
    fn client_certificate(&self) -> Result<(), Refusal> {
        let claims = &self.compact.claims;
        let peer = self.presented.peer_certificate_sha256;
        require(
            claims.certificate_sha256() == Some(peer),
            Code::T07,
            "bound to another client certificate",
        )?;
        let registered = self.issuer.terminal(&claims.ctr.term);
        require(
            registered.is_none_or(|terminal| terminal.certificate_sha256.0 == peer),
            Code::T07,
            "the terminal is registered with another client certificate",
        )
    }

    /// Check 8.
    fn revocation(&self, key: &SigningKey<'_>) -> Result<(), Refusal> {
        let claims = &self.compact.claims;
        let terminal = self.issuer.terminal(&claims.ctr.term);
        let clerk = self.issuer.clerk(&claims.ctr.clerk);
        let denied = |kind, id: &str| self.seen.denied(kind, id);
        let refuse = |holds: bool, detail| require(!holds, Code::T08, detail);
        refuse(denied(DenyKind::Issuer, &claims.iss), "the issuer is revoked")?;
        refuse(denied(DenyKind::Key, &key.id), "the signing key is revoked")?;
        refuse(
            !key.is_unrevoked(self.presented.now_s),
            "the certificate is revoked, or no current revocation list speaks for it",
        )?;
        refuse(
            terminal.is_none_or(|terminal| terminal.revoked)
                || denied(DenyKind::Terminal, &claims.ctr.term),
            "the terminal is revoked or not registered",
        )?;
        refuse(
            clerk.is_none_or(|clerk| clerk.revoked) || denied(DenyKind::Clerk, &claims.ctr.clerk),
            "the clerk is revoked or not registered",
        )?;
        refuse(denied(DenyKind::Token, &claims.jti), "the token is revoked")?;
        refuse(claims.status.is_some(), "the token's status cannot be looked up here")
    }

    /// Check 9. True when this very token was consumed before by this very request.
    fn replay(&self) -> Result<bool, Refusal> {
        let Some(consumed) = self.seen.jti_seen(&self.compact.claims.jti) else {
            return Ok(false);
        };
        require(
            consumed.token_sha256 == self.compact.token_sha256
                && consumed.request_sha256 == self.requested.request_sha256,
            Code::T09,
            "used before",
        )?;
        Ok(true)
    }

    /// Check 10.
    fn sequence(&self) -> Result<(), Refusal> {
        let claims = &self.compact.claims;
        let high_water = self.seen.seq_high_water(&claims.iss, &claims.ctr.term);
        require(
            high_water.is_none_or(|high_water| claims.seq > high_water),
            Code::T10,
            "not newer than the last from this terminal",
        )
    }

    /// Check 11.
    fn details(&self) -> Result<(), Refusal> {
        let [signed] = self.compact.claims.authorization_details.as_slice() else {
            return Err(Refusal::new(Code::T11, "not exactly one authorization"));
        };
        let opened = self.requested.details;
        if let Some(field) = opened.difference(signed) {
            return Err(Refusal::new(Code::T11, format!("{field} differs from what was opened")));
        }
        opened.check().map_err(|field| {
            Refusal::new(Code::T11, format!("{field} is out of form in what was opened"))
        })
    }

    /// Check 12.
    fn access_code(&self) -> Result<AccessCodeMode, Refusal> {
        let claims = &self.compact.claims;
        let mode = self.authority.policy.access_code_mode;
        let before = self.seen.access_code_failures(&claims.jti);
        if before >= ACCESS_CODE_TRIES {
            return Err(Refusal::new(Code::T12, "too many wrong access codes"));
        }
        let key = self.issuer.access_code_key.as_ref();
        let (hash, code) = (claims.ach.as_deref(), self.presented.access_code);
        match access_code::judge(mode, key, &claims.jti, hash, code) {
            Finding::Right => Ok(AccessCodeMode::Required),
            Finding::Omitted => Ok(mode),
            Finding::Unjudged(detail) => Err(Refusal::new(Code::T12, detail)),
            Finding::Wrong => Err(self.wrong_access_code(before.saturating_add(1))),
        }
    }

    fn wrong_access_code(&self, failures: u32) -> Refusal {
        let claims = &self.compact.claims;
        Refusal {
            code: Code::T12,
            detail: "the access code is wrong".into(),
            burns_token: failures >= ACCESS_CODE_TRIES,
            wrong_access_code: Some(Box::new(WrongAccessCode {
                token_sha256: self.compact.token_sha256,
                iss: claims.iss.clone(),
                term: claims.ctr.term.clone(),
                jti: claims.jti.clone(),
                seq: claims.seq,
                exp_s: claims.exp_s,
                failures,
            })),
        }
    }

    /// Check 13.
    fn policy(&self) -> Result<Calendar, Refusal> {
        let policy = &self.authority.policy;
        let counter = &self.compact.claims.ctr;
        let details = self.requested.details;
        let classes = details.actions.first().and_then(|action| policy.actions.get(action));
        require(
            classes.is_some_and(|classes| classes.contains(&self.issuer.class)),
            Code::T13,
            "this class of issuer may not authorize this action",
        )?;
        require(
            policy.methods.contains(&counter.method),
            Code::T13,
            "this way of proofing is not accepted",
        )?;
        require(counter.level >= policy.level_min, Code::T13, "the assurance level is too low")?;
        let calendar = Calendar::from_name(&counter.cal)
            .filter(|calendar| policy.calendars.contains(calendar))
            .ok_or_else(|| Refusal::new(Code::T13, "not accepted at this time of the calendar"))?;
        let terminal = self.issuer.terminal(&counter.term);
        require(
            terminal.is_some_and(|terminal| terminal.readers.contains(&counter.reader)),
            Code::T13,
            "this reader is not admitted at this terminal",
        )?;
        require(
            !self.seen.denied(DenyKind::SecureElement, details.se.value()),
            Code::T13,
            "the SE is under an incident stop",
        )?;
        Ok(calendar)
    }

    fn verified(
        &self,
        calendar: Calendar,
        access_code_mode: AccessCodeMode,
        replay_of_same: bool,
    ) -> VerifiedToken {
        let claims = &self.compact.claims;
        VerifiedToken {
            token_sha256: self.compact.token_sha256,
            iss: claims.iss.clone(),
            class: self.issuer.class,
            office: claims.ctr.office.clone(),
            term: claims.ctr.term.clone(),
            reader: claims.ctr.reader.clone(),
            clerk: claims.ctr.clerk.clone(),
            sub: claims.sub.clone(),
            jti: claims.jti.clone(),
            seq: claims.seq,
            exp_s: claims.exp_s,
            method: claims.ctr.method.clone(),
            level: claims.ctr.level,
            calendar,
            access_code_mode,
            policy_version: self.authority.policy.version.clone(),
            details: self.requested.details.clone(),
            txn: claims.txn.clone(),
            replay_of_same,
        }
    }
}

fn require(holds: bool, code: Code, detail: &'static str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::new(code, detail)) }
}
