//! The one place where a verified token becomes the right to write keys.
//!
//! A [`ConsumedAuthorization`] comes from [`consume`], which spends a token in one durable transaction, or from [`consumed`], which
//! reads back a row that `consume` wrote; nothing else writes that row.
//!
//! ```
//! fn token(authorization: gateway::store::consume::ConsumedAuthorization) -> gateway::digest::Digest {
//!     authorization.token_sha256()
//! }
//! ```
//! It is not made from a token,
//! ```compile_fail,E0277
//! fn made(token: authority::VerifiedToken) -> gateway::store::consume::ConsumedAuthorization {
//!     token.into()
//! }
//! ```
//! nor from its parts,
//! ```compile_fail,E0451
//! fn made(
//!     order: uuid::Uuid,
//!     authorization: gateway::store::Authorization,
//! ) -> gateway::store::consume::ConsumedAuthorization {
//!     gateway::store::consume::ConsumedAuthorization { order, authorization }
//! }
//! ```
//! nor copied.
//! ```compile_fail,E0599
//! fn copied(
//!     authorization: gateway::store::consume::ConsumedAuthorization,
//! ) -> [gateway::store::consume::ConsumedAuthorization; 2] {
//!     [authorization.clone(), authorization]
//! }
//! ```

use authority::VerifiedToken;
use order::OrderState;
use uuid::Uuid;

use super::{
    CommitError, Conflict, Store, StoreError,
    record::{Authorization, GrantedWrite, OrderRecord},
};
use crate::{audit, digest::Digest};

/// The right to make an order's key writes, as stored.
#[derive(Debug)]
pub struct ConsumedAuthorization {
    order: Uuid,
    authorization: Authorization,
}

/// What a token is consumed for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The order's whole list of key writes.
    pub writes: Vec<GrantedWrite>,
    /// The time now, milliseconds since the Unix epoch.
    pub consumed_ms: i64,
    /// Until when a key write may begin, milliseconds since the Unix epoch.
    pub execute_by_ms: i64,
}

/// A token that was not consumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// It was consumed before (T09).
    #[error("the token was consumed before")]
    Replayed,
    /// Its number is not above the highest of its terminal (T10).
    #[error("the token's number is not above the highest of its terminal")]
    StaleSeq,
    /// The order's new state is not `Authorized` with exactly the writes granted.
    #[error("the order's state does not carry the writes granted")]
    Mismatch,
    /// Another order's key writes to the SE have not ended.
    #[error("another order's key writes to this secure element have not ended")]
    SeBusy,
    /// The order changed meanwhile, or is authorized already.
    #[error("the order changed meanwhile")]
    Conflict,
    /// Nothing happened.
    #[error(transparent)]
    Unavailable(StoreError),
    /// It may have been consumed.
    #[error("whether the token was consumed is not known: start the node again and read it back")]
    UnknownOutcome,
}

/// What one transaction writes: token, number, authorization and order.
#[derive(Debug)]
pub(super) struct Consumption {
    pub(super) order: OrderRecord,
    pub(super) authorization: Authorization,
}

/// Spends a token for an order: token id and number, authorization, the order's new state and the audit record, in one durable
/// transaction. `order` is the record as read with its state already `Authorized`; its `authorization` is filled in here.
///
/// # Errors
/// [`ConsumeError`]; nothing is spent unless it is [`ConsumeError::UnknownOutcome`].
pub async fn consume(
    store: &Store,
    token: VerifiedToken,
    order: OrderRecord,
    grant: Grant,
    audit: audit::Entry,
) -> Result<ConsumedAuthorization, ConsumeError> {
    let authorization = Authorization {
        token_sha256: Digest::from(*token.token_sha256()),
        jti: token.jti().to_owned(),
        seq: token.seq(),
        issuer: token.iss().to_owned(),
        terminal: token.term().to_owned(),
        clerk: token.clerk().to_owned(),
        policy_version: token.policy_version().to_owned(),
        consumed_ms: grant.consumed_ms,
        execute_by_ms: grant.execute_by_ms,
        writes: grant.writes,
    };
    spend(store, order, authorization, audit).await
}

async fn spend(
    store: &Store,
    order: OrderRecord,
    authorization: Authorization,
    audit: audit::Entry,
) -> Result<ConsumedAuthorization, ConsumeError> {
    if !carries(&order.state, &authorization.writes) {
        return Err(ConsumeError::Mismatch);
    }
    let order = OrderRecord { authorization: Some(authorization.clone()), ..order };
    let consumed = ConsumedAuthorization { order: order.id, authorization: authorization.clone() };
    let consumption = Consumption { order, authorization };
    store.request(Vec::new(), Some(consumption), vec![audit]).await?;
    Ok(consumed)
}

/// The authorization consumed for an order, read back.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub async fn consumed(
    store: &Store,
    order: Uuid,
) -> Result<Option<ConsumedAuthorization>, StoreError> {
    let authorization = store.authorization(order).await?;
    Ok(authorization.map(|authorization| ConsumedAuthorization { order, authorization }))
}

impl ConsumedAuthorization {
    /// The order it is for.
    pub fn order(&self) -> Uuid {
        self.order
    }

    /// SHA-256 of the token's compact text.
    pub fn token_sha256(&self) -> Digest {
        self.authorization.token_sha256
    }

    /// The key writes it allows, in order, and nothing else.
    pub fn writes(&self) -> &[GrantedWrite] {
        &self.authorization.writes
    }

    /// Until when a key write may begin, milliseconds since the Unix epoch.
    pub fn execute_by_ms(&self) -> i64 {
        self.authorization.execute_by_ms
    }
}

fn carries(state: &OrderState, granted: &[GrantedWrite]) -> bool {
    let OrderState::Authorized { writes } = state else { return false };
    writes.len() == granted.len()
        && writes.iter().zip(granted).all(|(write, grant)| {
            write.kind == grant.kind && write.attempts_max == grant.attempts_max
        })
}

impl From<CommitError> for ConsumeError {
    fn from(error: CommitError) -> ConsumeError {
        match error {
            CommitError::Conflict { what: Conflict::TokenSpent } => ConsumeError::Replayed,
            CommitError::Conflict { what: Conflict::SeqStale } => ConsumeError::StaleSeq,
            CommitError::Conflict { what: Conflict::SeBusy } => ConsumeError::SeBusy,
            CommitError::Conflict { .. } => ConsumeError::Conflict,
            CommitError::Unavailable(error) => ConsumeError::Unavailable(error),
            CommitError::UnknownOutcome => ConsumeError::UnknownOutcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Change,
        tests::{awaiting, entry},
    };
    use super::*;

    fn authorization(jti: &str, seq: u64, writes: Vec<GrantedWrite>) -> Authorization {
        Authorization {
            token_sha256: Digest::of(&[jti.as_bytes()]),
            jti: jti.to_owned(),
            seq,
            issuer: "urn:jp:lgcode:102016".to_owned(),
            terminal: "terminal-1".to_owned(),
            clerk: "clerk-1".to_owned(),
            policy_version: "1".to_owned(),
            consumed_ms: 2_000,
            execute_by_ms: 3_000,
            writes,
        }
    }

    fn open() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "node-1").unwrap();
        (dir, store)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_64_offers_at_once_exactly_one_is_consumed() {
        let (dir, store) = open();
        let mut offers = Vec::new();
        for number in 0..64 {
            let (order, writes) = awaiting(&store, &format!("c{number}")).await;
            let (store, entry) = (store.clone(), entry(&order));
            let offer = async move {
                spend(&store, order, authorization("same", number, writes), entry).await
            };
            offers.push(offer);
        }
        let offers: Vec<_> = offers.into_iter().map(tokio::spawn).collect();
        let mut winners = Vec::new();
        for offer in offers {
            match offer.await.unwrap() {
                Ok(consumed) => winners.push(consumed.order()),
                Err(error) => assert_eq!(error, ConsumeError::Replayed),
            }
        }
        assert_eq!(winners.len(), 1);
        let used = store.jti("same").await.unwrap().unwrap();
        assert_eq!(used.order, winners.first().copied());
        assert_eq!(store.audit_head().await.unwrap().index, 65);
        drop(store);
        let store = Store::open(dir.path(), "node-1").unwrap();
        let read_back = consumed(&store, winners[0]).await.unwrap().unwrap();
        assert_eq!(read_back.token_sha256(), Digest::of(&[b"same"]));
        assert_eq!(read_back.writes().len(), 1);
        assert_eq!(read_back.execute_by_ms(), 3_000);
        let order = store.order(winners[0]).await.unwrap().unwrap();
        assert_eq!((order.version, order.state.word()), (2, "Authorized"));
    }

    #[tokio::test]
    async fn the_number_only_grows_and_counts_to_the_last_bit() {
        let (_dir, store) = open();
        let numbers = [
            (5, Ok(())),
            (5, Err(ConsumeError::StaleSeq)),
            (4, Err(ConsumeError::StaleSeq)),
            (0x1_00, Ok(())),
            (0xFF, Err(ConsumeError::StaleSeq)),
            (u64::MAX, Ok(())),
            (u64::MAX - 1, Err(ConsumeError::StaleSeq)),
        ];
        for (at, (seq, expected)) in numbers.into_iter().enumerate() {
            let (order, writes) = awaiting(&store, &format!("c{at}")).await;
            let entry = entry(&order);
            let authorization = authorization(&format!("jti-{at}"), seq, writes);
            let outcome = spend(&store, order, authorization, entry).await;
            assert_eq!(outcome.map(drop), expected, "{seq}");
        }
        let high = store.seq_high_water("urn:jp:lgcode:102016", "terminal-1").await.unwrap();
        assert_eq!(high, Some(u64::MAX));
        assert!(store.jti("jti-1").await.unwrap().is_none(), "a refused token is not spent");
    }

    #[tokio::test]
    async fn only_the_writes_granted_are_authorized() {
        let (_dir, store) = open();
        let (order, writes) = awaiting(&store, "a").await;
        let twice = [writes.clone(), writes.clone()].concat();
        let more = vec![GrantedWrite { attempts_max: 3, ..writes[0].clone() }];
        for granted in [Vec::new(), twice, more] {
            let authorization = authorization("j", 1, granted);
            let outcome = spend(&store, order.clone(), authorization, entry(&order)).await;
            assert_eq!(outcome.map(drop), Err(ConsumeError::Mismatch));
        }
        let early = OrderRecord { state: OrderState::AwaitingCounter, ..order.clone() };
        let outcome =
            spend(&store, early, authorization("j", 1, writes.clone()), entry(&order)).await;
        assert_eq!(outcome.map(drop), Err(ConsumeError::Mismatch));
        let stale = OrderRecord { version: 9, ..order.clone() };
        let outcome = spend(&store, stale, authorization("j", 1, writes), entry(&order)).await;
        assert_eq!(outcome.map(drop), Err(ConsumeError::Conflict));
        assert!(consumed(&store, order.id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_token_guessed_at_or_burned_is_not_consumed() {
        let (_dir, store) = open();
        let (order, writes) = awaiting(&store, "a").await;
        for _ in 0..authority::ACCESS_CODE_TRIES {
            let failure = Change::AccessCodeFailure { jti: "guessed".to_owned() };
            store.commit(vec![failure], Vec::new()).await.unwrap();
        }
        let burn = Change::BurnToken { jti: "burned".to_owned(), token_sha256: Digest::ZERO };
        store.commit(vec![burn], Vec::new()).await.unwrap();
        for jti in ["guessed", "burned"] {
            let authorization = authorization(jti, 1, writes.clone());
            let outcome = spend(&store, order.clone(), authorization, entry(&order)).await;
            assert_eq!(outcome.map(drop), Err(ConsumeError::Replayed));
        }
    }

    #[tokio::test]
    async fn an_order_that_says_it_is_authorized_is_not() {
        let (_dir, store) = open();
        let (order, writes) = awaiting(&store, "a").await;
        let claimed = Some(authorization("j", 1, writes));
        let claims = OrderRecord { authorization: claimed, ..order.clone() };
        store.commit(vec![Change::UpdateOrder(claims)], Vec::new()).await.unwrap();
        assert!(consumed(&store, order.id).await.unwrap().is_none());
    }
}
