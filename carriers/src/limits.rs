//! Bounds on what is sent to a carrier and believed of its answers.

/// A setting's default, least and most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Taken when the setting is absent.
    pub default: u64,
    /// Smallest value accepted.
    pub least: u64,
    /// Largest value accepted.
    pub most: u64,
}

impl Bound {
    /// Whether `value` lies within the bound, both ends included.
    pub const fn admits(&self, value: u64) -> bool {
        self.least <= value && value <= self.most
    }
}

/// TCP connect and TLS handshake together, milliseconds.
pub const CONNECT_TIMEOUT_MS: Bound = Bound { default: 5_000, least: 50, most: 60_000 };
/// From a connection in hand to the last byte of the answer, milliseconds.
pub const ANSWER_TIMEOUT_MS: Bound = Bound { default: 60_000, least: 50, most: 600_000 };
/// Body of an answer, bytes.
pub const RESPONSE_MAX_BYTES: Bound = Bound { default: 1_048_576, least: 1_024, most: 16_777_216 };
/// Requests under way at one carrier.
pub const REQUESTS_MAX: Bound = Bound { default: 64, least: 1, most: 4_096 };
/// How long an idle connection is kept, milliseconds.
pub const IDLE_TIMEOUT_MS: Bound = Bound { default: 30_000, least: 100, most: 600_000 };

/// Characters of a FunctionCallIdentifier.
pub const CALL_ID_MAX: usize = 64;
/// Characters of a Service identifier.
pub const SERVICE_MAX: usize = 128;
/// Characters kept of a Message, Subject or Reason a carrier sends.
pub const MESSAGE_MAX: usize = 512;
/// Reasons of an eligibility answer.
pub const REASONS_MAX: usize = 64;
/// Extensions preserved of one message.
pub const EXTENSIONS_MAX: usize = 32;
/// Body of a notification, bytes.
pub const NOTIFICATION_MAX_BYTES: usize = 65_536;
/// A response APDU: extended-length data and the status word (ISO/IEC 7816-4, 5.1).
pub const RESPONSE_APDU_MAX: usize = 65_536 + 2;
/// Longest wait taken from a Retry-After, milliseconds.
pub const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// Wait before another try when the carrier names none, milliseconds.
pub const RETRY_AFTER_DEFAULT_MS: u64 = 1_000;
