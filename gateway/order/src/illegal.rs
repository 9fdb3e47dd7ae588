//! Why an event was refused.

use crate::EvidenceClass;

/// An event that may not happen in the state it was offered to. The state is unchanged.
///
/// Always the caller's mistake or a record that lies; never a reason to try the same event again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// The order's state does not take this event.
    #[error("order event {event} is illegal in state {state}")]
    Order {
        /// Word of the order's state.
        state: &'static str,
        /// Word of the event.
        event: &'static str,
    },
    /// The key write's state does not take this event.
    #[error("key write event {event} is illegal in state {state}")]
    Write {
        /// Word of the key write's state.
        state: &'static str,
        /// Word of the event.
        event: &'static str,
    },
    /// The order has no key write of this index.
    #[error("the order has no key write {index}")]
    NoSuchWrite {
        /// Zero-based index asked for.
        index: usize,
    },
    /// The key write may not begin: the one before it is not `Confirmed`.
    #[error("key write {index} may not begin before the one before it is Confirmed")]
    OutOfTurn {
        /// Zero-based index asked for.
        index: usize,
    },
    /// Every attempt the authorization allows has been sent.
    #[error("all {attempts_max} attempts are spent")]
    AttemptsSpent {
        /// Attempts the authorization allows.
        attempts_max: u32,
    },
    /// Evidence of this class does not carry the verdict claimed on it.
    #[error("evidence {how:?} does not carry this verdict")]
    Evidence {
        /// Class of the evidence offered.
        how: EvidenceClass,
    },
    /// The list of planned writes is empty, too long, or allows no or too many attempts.
    #[error("the plan of key writes is empty or beyond its limits")]
    Plan,
}
