//! Secure Channel Protocol '03', S8 (AmdD): AES keys of 128, 192 or 256 bits, challenges,
//! cryptograms and MACs of 8 bytes.
//!
//! ```text
//! Selected → Initiating → Challenged → CardVerified → Authenticating → Channel ⇄ Awaiting
//! ```

mod awaiting;
pub mod channel;
mod cipher;
mod cryptogram;
pub mod derivations;
pub mod initiate;
mod kdf;
mod script;
pub mod session_keys;
pub mod typed;
mod wrapping;
