//! The audit trail: a hash chain whose records are written in the same transaction as what they record.
//!
//! Promised: no record can be changed, left out, inserted or reordered without [`verify`] finding it, given the head.
//! Not promised: that the end of the chain was not cut off by whoever can write the file; compare the head with one kept elsewhere
//! (every receipt carries one).

mod chain;
mod record;
mod verify;

pub use chain::Chain;
pub use record::{Entry, Kind, Record};
pub use verify::{Broken, Fault, Summary, VerifyError, verify, verify_lines, verify_store};
