//! A whole rehearsal on one desk: carriers' TSMs with virtual secure elements, a municipal counter, an issuer, certificates, faults.
//!
//! **Promised.** The actors speak to the gateway over its API alone, as the parties they stand for would; the gateway is a process
//! of its own, so a kill is a kill. What a run reports about an SE comes from the SE, not from the gateway. Certificates and keys
//! are made anew at every start, are marked `sandbox`, and a node that the sandbox did not start refuses them.
//!
//! **Not promised.** Security of anything it leaves behind: SE files hold keys in clear, PINs are printed. Load: it is a rehearsal.
#![forbid(unsafe_code)]

pub mod api;
pub mod cap;
pub mod client;
pub mod config;
pub mod counter;
pub mod document;
pub mod error;
pub mod fleet;
pub mod gateway;
pub mod identity_key;
pub mod interactive;
pub mod issuer;
pub mod journey;
pub mod jws;
pub mod once;
pub mod pem;
pub mod pki;
pub mod platform;
pub mod progress;
pub mod random;
pub mod reader;
pub mod scenario;
pub mod token;
pub mod tsm;

pub use document::Document;
pub use error::SandboxError;
pub use interactive::serve_interactive;
pub use progress::Progress;
