//! How far a failed request may have come, and whether another try can help.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::RETRY_AFTER_DEFAULT_MS;

/// How far a request came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// No byte of the request's body left this process: nothing of it can have reached the secure element.
    Never,
    /// Bytes left and no complete answer came.
    Unknown,
    /// The carrier answered. Whether it delivered anything before is its word alone.
    Answered,
}

impl Reach {
    /// Whether the secure element is proven untouched.
    pub const fn rules_out_the_card(self) -> bool {
        matches!(self, Reach::Never)
    }
}

/// Whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing happened; as soon as the caller's budget allows.
    Now,
    /// The carrier asks for patience.
    Later {
        /// Shortest wait, milliseconds.
        after_ms: u64,
    },
    /// The same question gets the same answer.
    No,
    /// It may have happened: look at the secure element first. For a function that only reads, asking again is the look.
    OnlyAfterProbe,
}

/// What a carrier did that its protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misbehaviour {
    /// An HTTP status the binding gives no meaning.
    #[error("HTTP status {0}")]
    HttpStatus(u16),
    /// A body above the limit.
    #[error("an answer of more than {most} bytes")]
    TooLarge {
        /// The limit, bytes.
        most: u64,
    },
    /// Not the JSON of this function; says where, never what.
    #[error("an answer that is not of the expected form: {0}")]
    Form(String),
    /// More response APDUs than commands.
    #[error("{answers} response APDUs to {commands} commands")]
    TooManyAnswers {
        /// Response APDUs received.
        answers: usize,
        /// Commands sent.
        commands: usize,
    },
    /// A FailedAPDUIndex outside the script.
    #[error("FailedAPDUIndex {index} in a script of {commands} commands")]
    FailedIndex {
        /// The index received.
        index: u64,
        /// Commands sent.
        commands: usize,
    },
    /// A response APDU without status word, too long, or not hexadecimal.
    #[error("response APDU {index} is none")]
    ResponseApdu {
        /// 1-based position.
        index: usize,
    },
}

/// Why a carrier's function did not do what was asked, by blame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CarrierError {
    /// No answer, or none that means anything.
    #[error("the carrier is unavailable: {cause}")]
    Unavailable {
        /// How far the request came.
        reach: Reach,
        /// What went wrong, without any byte of the request.
        cause: String,
        /// Wait the carrier asked for, milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// An answer outside the protocol.
    #[error("the carrier misbehaved: {fault}")]
    Misbehaved {
        /// What it did.
        fault: Misbehaviour,
    },
    /// `Failed`: the carrier says no, in its own words.
    #[error("the carrier refused: subject {subject}, reason {reason}{}", message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused {
        /// Subject OID of StatusCodeData.
        subject: String,
        /// Reason OID of StatusCodeData.
        reason: String,
        /// Message, cut to a safe length.
        message: Option<String>,
    },
    /// `Expired`: the ValidityPeriod passed before the carrier was done.
    #[error("the carrier let the validity period pass")]
    Expired,
}

// Reason OIDs of StatusCodeData whose first arc is 5 speak of the transport to the secure element (the reason table that GSMA
// SGP.02, 5.1.6, shares with the messaging specification).
const INACCESSIBLE: &str = "5.1";
const TIME_OUT: &str = "5.2";
const DELIVERED_WITHOUT_ANSWER: &str = "5.4";
const UNAVAILABLE: &str = "3.7";

impl CarrierError {
    /// How far the request may have come. Everything but [`Reach::Never`] leaves the secure element in doubt: a refusal or an
    /// expiry reported by a carrier is hearsay.
    pub fn may_have_reached_card(&self) -> Reach {
        match self {
            CarrierError::Unavailable { reach, .. } => *reach,
            CarrierError::Misbehaved { .. } => Reach::Unknown,
            CarrierError::Refused { .. } | CarrierError::Expired => Reach::Answered,
        }
    }

    /// Whether asking again can help. A script is never among what is asked again: it was consumed by its one send.
    pub fn retry(&self) -> Retry {
        match self {
            CarrierError::Unavailable { reach: Reach::Never, retry_after_ms: None, .. } => {
                Retry::Now
            }
            CarrierError::Unavailable { reach: Reach::Unknown, .. } => Retry::OnlyAfterProbe,
            CarrierError::Unavailable { retry_after_ms, .. } => {
                Retry::Later { after_ms: retry_after_ms.unwrap_or(RETRY_AFTER_DEFAULT_MS) }
            }
            CarrierError::Misbehaved { .. } | CarrierError::Expired => Retry::OnlyAfterProbe,
            CarrierError::Refused { reason, .. } => match reason.as_str() {
                INACCESSIBLE | UNAVAILABLE => Retry::Later { after_ms: RETRY_AFTER_DEFAULT_MS },
                TIME_OUT | DELIVERED_WITHOUT_ANSWER => Retry::OnlyAfterProbe,
                _ => Retry::No,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(reach: Reach) -> CarrierError {
        CarrierError::Unavailable { reach, cause: "test".into(), retry_after_ms: None }
    }

    fn refused(reason: &str) -> CarrierError {
        CarrierError::Refused { subject: "8.1".into(), reason: reason.into(), message: None }
    }

    #[test]
    fn only_what_never_left_may_be_tried_now() {
        let misbehaved = CarrierError::Misbehaved { fault: Misbehaviour::HttpStatus(418) };
        let errors = [
            unavailable(Reach::Never),
            unavailable(Reach::Unknown),
            unavailable(Reach::Answered),
            misbehaved,
            refused("5.1"),
            refused("5.2"),
            refused("3.8"),
            CarrierError::Expired,
        ];
        for error in errors {
            let untouched = error.may_have_reached_card().rules_out_the_card();
            assert_eq!(error.retry() == Retry::Now, untouched, "{error}");
        }
    }

    #[test]
    fn a_refusal_says_whether_it_is_final() {
        assert_eq!(refused("3.8").retry(), Retry::No);
        assert_eq!(refused("5.1").retry(), Retry::Later { after_ms: RETRY_AFTER_DEFAULT_MS });
        assert_eq!(refused("5.4").retry(), Retry::OnlyAfterProbe);
    }
}
