//! GlobalPlatform on the wire: SCP03, content management, the gate in front of key writes, and
//! SCP80 as a pipe below it.
//!
//! "CS" is the GlobalPlatform Card Specification 2.3.1, "AmdD" its Amendment D 1.1.1 (SCP03).
//!
//! # What is promised
//!
//! * Pure: no clock, no random numbers, no sockets, no files. The same input gives the same bytes.
//! * No static key ever enters. What a session needs is stated as [`Derivations`]; whoever holds
//!   the keys answers.
//! * A channel is a value that each step consumes. A step out of order does not compile; an error
//!   drops the channel and erases its session keys.
//! * On a [`Custody`] channel a command that writes or destroys key material is wrapped only
//!   against a [`KeyWritePermit`] bound to that very session and those very commands. Whatever is
//!   not known to be harmless counts as such a command.
//! * An SE that differs from its profile is refused, never adapted to.
//! * No input, however broken, causes a panic; every refusal is typed.
//!
//! # What is not promised
//!
//! * Secrecy of a new key from whoever knows the key set it is written under.
//! * That a command was executed: only an answer with a valid R-MAC says so.
//! * SCP11, delegated management: not supported, and refused by name.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod aid;
pub mod apdu;
pub mod cap;
pub mod content;
pub mod effect;
pub mod error;
pub mod explain;
mod hexadecimal;
pub mod keyset;
pub mod outbound;
pub mod permit;
pub mod profile;
pub mod scp03;
pub mod scp80;
pub mod status;
pub mod tlv;

pub use aid::Aid;
pub use apdu::{CommandApdu, ResponseApdu};
pub use effect::{ContentRules, Effect, Tracker};
pub use error::ApiMisuse;
pub use keyset::check_value::{KeyCheckValue, KeyCheckValues};
pub use keyset::version::{KeyLength, KeyVersionNumber};
pub use outbound::{Outbound, TypedScript};
pub use permit::{GrantedScript, KeyScript, KeyWrite, KeyWritePermit, Mint, Terms};
pub use profile::{
    ApplicationProbe, Mode, PutKeyBlock, SeProfile, SecurityLevel, ServiceProfile, Takeover,
};
pub use scp03::channel::{Answered, Awaiting, Channel, Script, Unwrapped};
pub use scp03::derivations::{Answer, Custody, Derivations, StaticKey, Typed};
pub use scp03::initiate::{Authenticating, CardVerified, Challenged, Initiating, Selected};
pub use status::StatusWord;
