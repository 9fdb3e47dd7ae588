//! What a caller of this crate can get wrong. What an SE gets wrong has an enum of its own beside
//! each operation.

use thiserror::Error;

use crate::apdu::ApduError;
use crate::effect::Effect;
use crate::profile::SecurityLevel;

/// The caller asked for something that cannot or must not be done. Nothing was sent; trying again
/// unchanged does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiMisuse {
    /// The parameters make no command.
    #[error(transparent)]
    Command(#[from] ApduError),
    /// Something is larger, longer or more numerous than it may be.
    #[error("{what}: at most {most}, not {got}")]
    TooMuch {
        /// What is too large.
        what: &'static str,
        /// What was offered.
        got: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// Something is smaller, shorter or less numerous than it must be.
    #[error("{what}: at least {least}, not {got}")]
    TooLittle {
        /// What is too small.
        what: &'static str,
        /// What was offered.
        got: usize,
        /// The least that is allowed.
        least: usize,
    },
    /// Something has the right size and still makes no sense.
    #[error("{what}: {why}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// GlobalPlatform defines it, this crate does not do it.
    #[error("not supported: {what}")]
    Unsupported {
        /// What is not supported.
        what: &'static str,
    },
    /// The SE's parameter i does not offer the security level (AmdD Table 5-1).
    #[error("security level {level} is not offered by i = {i:02X}")]
    Level {
        /// The level asked for.
        level: SecurityLevel,
        /// The i parameter on record.
        i: u8,
    },
    /// Only commands that read may go out without a Secure Channel.
    #[error("a command sent in the clear may only read; this one has the effect {effect:?}")]
    NotARead {
        /// What the command would do.
        effect: Effect,
    },
}
