//! Remote commands and their answers inside a packet (TS 102 226 §5).
//!
//! The compact format answers only the last command; whoever must see every answer, as a Secure
//! Channel with R-MAC does, uses the expanded one.

pub mod compact;
pub mod expanded;

use thiserror::Error;

use crate::apdu::ApduError;
use crate::tlv::TlvError;

/// Most commands in one script.
pub const COMMANDS_MOST: usize = 255;

/// Bytes or commands that make no remote script, or no answer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// No command, or more than [`COMMANDS_MOST`].
    #[error("a remote script holds 1 to {COMMANDS_MOST} commands, not {got}")]
    Count {
        /// Commands offered.
        got: usize,
    },
    /// The bytes end inside a command or an answer.
    #[error("the remote script is cut off")]
    Truncated,
    /// A command or an answer is no APDU.
    #[error(transparent)]
    Apdu(#[from] ApduError),
    /// The objects of the expanded format are malformed.
    #[error(transparent)]
    Object(#[from] TlvError),
    /// The compact format cannot carry it: extended length, Le beside data, or a case the
    /// instruction does not have.
    #[error("the compact format cannot carry instruction {ins:02X} in this case")]
    Case {
        /// The instruction byte.
        ins: u8,
    },
    /// Whether P3 is Lc or Le is not known for it, so the next command cannot be found.
    #[error("whether instruction {ins:02X} has data is not known")]
    UnknownCase {
        /// The instruction byte.
        ins: u8,
    },
    /// An object with no place here.
    #[error("object {tag:X} has no place here")]
    Unexpected {
        /// Its tag.
        tag: u32,
    },
    /// An object whose value means nothing.
    #[error("object {tag:X} has a value that means nothing")]
    Value {
        /// Its tag.
        tag: u32,
    },
    /// More answered or executed than was sent.
    #[error("{got} commands answered, {sent} sent")]
    MoreThanSent {
        /// Commands executed or answered.
        got: usize,
        /// Commands sent.
        sent: usize,
    },
}

fn count(got: usize) -> Result<(), ScriptError> {
    match got {
        1..=COMMANDS_MOST => Ok(()),
        got => Err(ScriptError::Count { got }),
    }
}

fn at_most(got: usize, sent: usize) -> Result<(), ScriptError> {
    if got <= sent { Ok(()) } else { Err(ScriptError::MoreThanSent { got, sent }) }
}
