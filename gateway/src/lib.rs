//! The gateway node: an order comes in over mTLS, a counter authorizes it, the engine carries its key writes to the secure element.
//!
//! Promised: no key-changing APDU leaves without a consumed authorization, a permit and a durable audit record; every answer to a
//! caller is one of the catalogued [`code`]s; every input has a limit. Not promised: exactly-once delivery, an outcome while the secure
//! element is unreachable, service while the store, the audit chain or custody is down (the node fails closed).

pub mod api;
pub mod app;
pub mod audit;
pub mod cli;
pub mod code;
pub mod custody;
pub mod digest;
pub mod engine;
pub mod principal;
pub mod receipt;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;

pub use app::App;
