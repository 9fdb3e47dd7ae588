//! Why a step of the engine did not get further, and what becomes of the order.

use carriers::{CarrierError, Retry};
use order::{IllegalEvent, Owner, ParkReason};
use scp::scp03::initiate::{InitiateError, InitiateFault};

use crate::{custody::CustodyError, store::CommitError, store::StoreError};

/// What stopped a step. Nothing that may change keys is ever repeated because of one: what was `Sent` stays sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Setback {
    /// Nothing changed; the same step may be tried after a wait.
    #[error("{why}")]
    Wait {
        /// For log and audit; no secrets.
        why: String,
        /// Shortest wait, milliseconds, where somebody asked for it.
        at_least_ms: u64,
    },
    /// Somebody named has to act.
    #[error("{detail}")]
    Park {
        /// Why.
        reason: ParkReason,
        /// Who acts next.
        owner: Owner,
        /// For log and audit; no secrets.
        detail: String,
    },
    /// The order ends with a public code.
    #[error("refused with {code}: {detail}")]
    Refuse {
        /// The code.
        code: String,
        /// For log and audit.
        detail: String,
    },
    /// Somebody else moved the order or the SE's record; read it again.
    #[error("{0} was changed by another")]
    Overtaken(&'static str),
}

impl Setback {
    pub(crate) fn wait(why: impl Into<String>) -> Setback {
        Setback::Wait { why: why.into(), at_least_ms: 0 }
    }

    pub(crate) fn park(reason: ParkReason, detail: impl Into<String>) -> Setback {
        Setback::Park { reason, owner: reason.owner(), detail: detail.into() }
    }

    pub(crate) fn refuse(code: &str, detail: impl Into<String>) -> Setback {
        Setback::Refuse { code: code.to_owned(), detail: detail.into() }
    }
}

/// Whatever a carrier's function did, the step is taken anew from the record: a script is never among what is asked again.
impl From<CarrierError> for Setback {
    fn from(error: CarrierError) -> Self {
        let at_least_ms = match error.retry() {
            Retry::Later { after_ms } => after_ms,
            Retry::Now | Retry::No | Retry::OnlyAfterProbe => 0,
        };
        Setback::Wait { why: error.to_string(), at_least_ms }
    }
}

/// What custody lacks or forbids does not mend itself; that it cannot be used for now does.
impl From<CustodyError> for Setback {
    fn from(error: CustodyError) -> Self {
        match error {
            CustodyError::NoPayload { .. } => Setback::park(ParkReason::Payload, error.to_string()),
            CustodyError::NotPermitted { .. }
            | CustodyError::NoKeySet { .. }
            | CustodyError::Sealed => Setback::park(ParkReason::Quarantined, error.to_string()),
            other => Setback::wait(other.to_string()),
        }
    }
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        Setback::wait(error.to_string())
    }
}

impl From<CommitError> for Setback {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Setback::Overtaken("the order or its SE"),
            other => Setback::wait(other.to_string()),
        }
    }
}

impl From<IllegalEvent> for Setback {
    fn from(error: IllegalEvent) -> Self {
        match error {
            IllegalEvent::AttemptsSpent { .. } => {
                Setback::park(ParkReason::AttemptsSpent, error.to_string())
            }
            other => Setback::park(ParkReason::Quarantined, other.to_string()),
        }
    }
}

/// An answer on the way to a channel that was not what the record promises.
impl From<InitiateError> for Setback {
    fn from(error: InitiateError) -> Self {
        let detail = error.to_string();
        match error {
            InitiateError::CardMisbehaved(InitiateFault::Cryptogram)
            | InitiateError::CardMisbehaved(InitiateFault::PseudoRandomChallenge) => {
                Setback::park(ParkReason::SecureElementNotOnRecord, detail)
            }
            InitiateError::CardMisbehaved(InitiateFault::ProfileMismatch { .. }) => {
                Setback::park(ParkReason::ProfileMismatch, detail)
            }
            InitiateError::CardMisbehaved(_) => Setback::wait(detail),
            // INITIALIZE UPDATE may be asked again; a refused EXTERNAL AUTHENTICATE never, since SEs count those.
            InitiateError::CardRefused(_) => Setback::park(ParkReason::Misbehaved, detail),
            InitiateError::ApiMisuse(_) => Setback::park(ParkReason::ProfileMismatch, detail),
        }
    }
}
