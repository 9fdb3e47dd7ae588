//! The SE driven over APDUs alone, by a small host of the tests' own.

mod applet;
mod content;
mod fuzz;
mod host;
mod issuer;
mod keys;
mod persistence;
mod secure_channel;
