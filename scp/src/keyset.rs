//! What identifies a key set without being a key: its version, its length, its check values.

pub mod check_value;
pub mod version;
