//! The one place where the gateway makes a permit for a key write.

use scp::{
    Channel, Custody, KeyWrite, KeyWritePermit, Mint, Terms,
    permit::{Open, PermitError},
};
use uuid::Uuid;

use crate::store::{GrantedWrite, consume::ConsumedAuthorization};

/// Why no permit was granted. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrantError {
    /// The authorization is for another order.
    #[error("the authorization belongs to another order")]
    AnotherOrder,
    /// The authorization does not list this write.
    #[error("the authorization does not list this key write")]
    NotListed,
    /// Its time to execute is over.
    #[error("the authorization's time to execute is over")]
    PastExecuteBy,
    /// The listed write lacks what its kind needs.
    #[error("the authorization lists a key write without its {0}")]
    Incomplete(&'static str),
    /// `scp` refused the terms.
    #[error(transparent)]
    Permit(#[from] PermitError),
}

/// A permit for the write at `index` of the order's authorization, in one session.
///
/// # Security
/// [`ConsumedAuthorization`] cannot be had without the transaction that consumed a token, and the channel cannot be had without the SE's
/// cryptogram: both are proven by their types. What is written comes from the authorization's own list, not from the caller.
pub(super) fn grant(
    authorization: &ConsumedAuthorization,
    channel: &Channel<Custody>,
    order: Uuid,
    index: usize,
    attempt: u32,
    now_ms: i64,
) -> Result<KeyWritePermit<Open>, GrantError> {
    if authorization.order() != order {
        return Err(GrantError::AnotherOrder);
    }
    let listed = authorization.writes().get(index).ok_or(GrantError::NotListed)?;
    if now_ms >= authorization.execute_by_ms() {
        return Err(GrantError::PastExecuteBy);
    }
    let terms = Terms {
        se: listed.se.clone(),
        security_domain: listed.security_domain,
        applet: listed.applet,
        write: key_write(listed)?,
        attempt,
        authorization: authorization.token_sha256().0,
    };
    #[expect(clippy::disallowed_methods, reason = "the gateway's grant, from a consumed token")]
    let mint = Mint::danger_new();
    Ok(mint.permit(channel, terms)?)
}

fn key_write(listed: &GrantedWrite) -> Result<KeyWrite, GrantError> {
    use order::WriteKind;
    match listed.kind {
        WriteKind::SdKeyset => Ok(KeyWrite::SdKeyset {
            prior: listed.prior,
            fresh: listed.fresh.ok_or(GrantError::Incomplete("new Key Version Number"))?,
        }),
        WriteKind::SdKeysetDelete => Ok(KeyWrite::SdKeysetDelete {
            kvn: listed.prior.ok_or(GrantError::Incomplete("old Key Version Number"))?,
        }),
        WriteKind::AppKey => {
            Ok(KeyWrite::AppKey { applet: listed.applet.ok_or(GrantError::Incomplete("applet"))? })
        }
    }
}
