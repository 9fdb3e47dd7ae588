//! Why no channel came about.

use std::fmt;

use thiserror::Error;

use crate::error::ApiMisuse;
use crate::keyset::version::KeyVersionNumber;
use crate::status::StatusWord;

/// Why no channel was opened. Nothing of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InitiateError {
    /// The SE refused the command.
    #[error("the SE refused with {0}, {meaning}", meaning = .0.meaning())]
    CardRefused(StatusWord),
    /// The SE's answer is not what the SE on record can have sent.
    #[error(transparent)]
    CardMisbehaved(#[from] InitiateFault),
    /// The caller's part was wrong.
    #[error(transparent)]
    ApiMisuse(#[from] ApiMisuse),
}

/// What is wrong with an answer during initiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InitiateFault {
    /// It does not have the form of AmdD Table 7-2, or of an empty answer.
    #[error("the answer does not have the form Amendment D gives it")]
    Malformed,
    /// Another Secure Channel Protocol.
    #[error("the SE offers Secure Channel Protocol {got:02X}, not 03")]
    NotScp03 {
        /// The protocol offered.
        got: u8,
    },
    /// Another key set than the one asked for.
    #[error("the SE answers with key version {got:02X}, not {asked}")]
    KeyVersion {
        /// The version asked for.
        asked: KeyVersionNumber,
        /// The version answered.
        got: u8,
    },
    /// Another kind of SE than the profile says. It is not adapted to.
    #[error("the SE differs from its profile: {field} is {got:02X}, not {on_record:02X}")]
    ProfileMismatch {
        /// What differs.
        field: ProfileField,
        /// What the profile says.
        on_record: u8,
        /// What the SE says.
        got: u8,
    },
    /// The card cryptogram is wrong: not the SE on record, or not these keys.
    #[error("the card cryptogram is wrong")]
    Cryptogram,
    /// The card challenge is not the one the SE's sequence counter and the AID give.
    #[error("the card challenge is not the pseudo-random one")]
    PseudoRandomChallenge,
}

/// What of a profile an SE can differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileField {
    /// The parameter i.
    I,
    /// Bytes of a challenge: 8 in S8, 16 in S16.
    ChallengeBytes,
}

impl fmt::Display for ProfileField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProfileField::I => "i",
            ProfileField::ChallengeBytes => "the length of a challenge",
        })
    }
}
