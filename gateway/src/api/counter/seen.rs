//! What the store knows about a token at hand.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use uuid::Uuid;

use crate::{app::App, digest::Digest, server::problem::Problem};

/// The request a token is offered with: this order. The same token for the same order is answered again.
pub(super) fn request_digest(order: Uuid) -> Digest {
    Digest::of(&[b"authorize", order.as_bytes()])
}

/// What the store knows about the token at hand, read before it is verified.
pub(super) struct SeenBefore {
    consumed: Option<authority::ConsumedRef>,
    seq_high_water: Option<u64>,
    access_code_failures: u32,
}

/// The members of an unverified token by which the store is asked. Whatever they say, it only decides what is read.
#[derive(Deserialize)]
struct Unverified {
    iss: String,
    jti: String,
    ctr: UnverifiedCounter,
}

#[derive(Deserialize)]
struct UnverifiedCounter {
    term: String,
}

impl SeenBefore {
    pub(super) async fn read(app: &App, token: &str) -> Result<SeenBefore, Problem> {
        let Some(claims) = unverified(token) else {
            return Ok(SeenBefore {
                consumed: None,
                seq_high_water: None,
                access_code_failures: 0,
            });
        };
        let used = app.store.jti(&claims.jti).await?;
        Ok(SeenBefore {
            consumed: used.map(|used| authority::ConsumedRef {
                token_sha256: used.token_sha256.0,
                // A burned token belongs to no order, so no request is the same again.
                request_sha256: used.order.map_or([0; 32], |order| request_digest(order).0),
            }),
            seq_high_water: app.store.seq_high_water(&claims.iss, &claims.ctr.term).await?,
            access_code_failures: app.store.access_code_failures(&claims.jti).await?,
        })
    }
}

fn unverified(token: &str) -> Option<Unverified> {
    if token.len() > authority::TOKEN_BYTES_MOST {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

impl authority::Seen for SeenBefore {
    fn jti_seen(&self, _jti: &str) -> Option<authority::ConsumedRef> {
        self.consumed
    }

    fn seq_high_water(&self, _iss: &str, _term: &str) -> Option<u64> {
        self.seq_high_water
    }

    fn denied(&self, _kind: authority::DenyKind, _id: &str) -> bool {
        // Deny lists are part of the registry for now: issuers, terminals and clerks carry their own mark.
        false
    }

    fn access_code_failures(&self, _jti: &str) -> u32 {
        self.access_code_failures
    }
}
