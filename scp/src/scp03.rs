//! Secure Channel Protocol '03' (AmdD): AES keys of 128, 192 or 256 bits; challenges, cryptograms
//! and MACs of 8 bytes, or of 16 in S16, by the SE's profile.
//!
//! ```text
//! Selected → Initiating → Challenged → CardVerified → Authenticating → Channel ⇄ Awaiting
//! ```

mod awaiting;
mod challenge;
pub mod channel;
mod cipher;
mod cryptogram;
pub mod derivations;
pub mod initiate;
mod kdf;
mod one_pass;
mod script;
pub mod session_keys;
pub mod typed;
mod wrapping;
