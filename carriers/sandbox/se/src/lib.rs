//! A virtual GlobalPlatform secure element (SE): the card side, complete enough that ordinary card tools accept it.
//!
//! It is the oracle of the tests: written from the specifications alone, it shares no code with the host side.
//! CS = GlobalPlatform Card Specification 2.3.1, AmdD = Amendment D (SCP03) 1.1.1.
//!
//! **Promised.** An Issuer Security Domain and supplementary Security Domains with several key sets each;
//! SCP03 (S8, AES-128/192/256, levels 00 01 03 11 13 33) with one session per logical channel; card content
//! management without tokens; a "user authentication" applet that runs for every applet AID of a load file that
//! is structurally valid. Every change of persistent state is one transaction: after a power cut the state is the
//! one before or the one after. [`SecureElement::transmit`] answers any bytes and never panics.
//!
//! **Not promised.** Byte code is never executed; Delegated Management (tokens, receipts), DAP, SCP02/11/80/81,
//! S16 and registry update are refused. Nothing here resists physical attack: the SE file holds keys in clear.

mod aes;
mod aid;
mod apdu;
mod applet;
mod bytes;
mod channel;
mod class;
mod command;
mod delete;
mod derivation;
mod dgi;
mod factory;
mod file;
mod get_data;
mod get_status;
mod install;
mod key_loading;
mod key_set;
mod ledger;
mod load;
mod load_file;
mod messaging;
mod open_platform;
mod personalization;
mod privileges;
mod put_key;
mod registry;
mod secure_element;
pub mod serve;
mod session;
mod set_status;
mod status;
mod store;
mod store_data;
mod tlv;

#[cfg(test)]
mod tests;

pub use class::CommandClass;
pub use factory::{Factory, FactoryError};
pub use file::FileError;
pub use ledger::{Counts, LedgerEntry};
pub use secure_element::{AppRow, KeySetRow, SecureElement};
