//! JSON over mutually authenticated TLS 1.3, with the messaging specification's function and field names.

mod settings;

pub use settings::{JsonCarrierSettings, SettingsError};
