//! What one durable transaction may change.

use uuid::Uuid;

use super::record::{OrderRecord, SeRecord};

/// One change. All changes of a commit happen, or none.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new order, its `version` 0. Conflicts when its tenant already has an order of that caller's id.
    InsertOrder(OrderRecord),
    /// The order as it is now; `version` is the one that was read. Conflicts when another came first.
    UpdateOrder(OrderRecord),
    /// The SE as it is now; `version` is the one that was read, 0 for a new record. Conflicts when another came first.
    PutSe(SeRecord),
    /// Nothing changes, but the commit conflicts unless the SE's lease is of this epoch.
    RequireEpoch {
        /// Subscriber base.
        tenant: String,
        /// The SE.
        se: String,
        /// The epoch the executor holds.
        epoch: u64,
    },
    /// Takes an attempt's number. Conflicts when it was taken before.
    ReserveAttempt {
        /// The order.
        order: Uuid,
        /// The key write's index in the order's list.
        write: u32,
        /// The attempt, counted from 1.
        attempt: u32,
    },
    /// One wrong access code more for a token; after [`authority::ACCESS_CODE_TRIES`] it cannot be consumed any more, whatever was
    /// read before. Commit it by itself: beside a change that conflicts it would not be counted, and guesses made at the same moment
    /// would be free.
    AccessCodeFailure {
        /// The token's id.
        jti: String,
    },
    /// The token is spent without an authorization (three wrong access codes). Conflicts when it was spent before.
    BurnToken {
        /// The token's id.
        jti: String,
        /// SHA-256 of the token's compact text.
        token_sha256: crate::digest::Digest,
    },
    /// A carrier's notification was taken in. Conflicts when it was before, so that a repetition changes nothing.
    NoteNotification {
        /// The carrier.
        carrier: String,
        /// Its FunctionCallIdentifier.
        call_id: String,
        /// The function's name.
        function: String,
    },
}
