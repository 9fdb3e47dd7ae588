//! Limits of a connection, as the settings give them.

use std::time::Duration;

use crate::settings::Server;

/// Deadlines and caps of every connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte to a finished handshake.
    pub handshake: Duration,
    /// From a request's first byte to the end of its header, and from the handshake to the first request.
    pub header: Duration,
    /// From the end of the header to the answer.
    pub request: Duration,
    /// Largest request body, in bytes.
    pub body_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
    /// Longest life of a connection.
    pub age: Duration,
    /// Longest drain.
    pub drain: Duration,
}

impl From<&Server> for Limits {
    fn from(settings: &Server) -> Limits {
        Limits {
            first_byte: Duration::from_millis(settings.first_byte_timeout_ms),
            handshake: Duration::from_millis(settings.handshake_timeout_ms),
            header: Duration::from_millis(settings.header_timeout_ms),
            request: Duration::from_millis(settings.request_timeout_ms),
            body_max: settings.body_max_bytes,
            connections_max: settings.connections_max,
            age: Duration::from_secs(settings.connection_age_max_s),
            drain: Duration::from_millis(settings.drain_timeout_ms),
        }
    }
}
