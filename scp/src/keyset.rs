//! What identifies a key set without being a key: its version, its length, its check values; and
//! how an SE's set follows from a master.

pub mod check_value;
pub mod diversify;
pub mod version;
