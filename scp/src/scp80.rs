//! SCP80: secured packets for SMS, and the remote commands inside them.
//!
//! "TS 102 225" is the secured packet, "TS 31.115" its form in short messages, "TS 102 226" the
//! remote commands.
//!
//! # What is promised
//!
//! * A pure codec: the keys stay with whoever implements [`packet::PacketKeys`].
//! * Every packet has a cryptographic checksum, the proof of receipt too. What authenticates
//!   nothing (redundancy checks, no check at all) is refused by name.
//! * Legacy ciphers and counters nobody compares are refused by name unless the
//!   [`profile::PacketProfile`] admits them.
//! * An unauthenticated proof of receipt is an error, whatever it says.
//!
//! # What is not promised
//!
//! * Permission. This is a pipe below [`Outbound`](crate::Outbound): it carries what passed the
//!   gate in front of key writes and opens none of its own.
//! * Freshness. The initial chaining vector is zero, so CNTR is all there is; whoever holds the
//!   keys must never use a value twice.

pub mod packet;
pub mod parts;
pub mod profile;
mod protection;
pub mod receipt;
pub mod script;
pub mod security;

pub use self::protection::ProtectionError;
