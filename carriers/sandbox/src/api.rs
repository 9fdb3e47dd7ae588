//! The gateway's HTTP API as its callers see it: the answers the sandbox's actors read.
//!
//! Written from the API's contract, not from the gateway's types: the actors are other parties. Unknown members are ignored, as
//! a caller should.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An order, as its service provider sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Order {
    /// The gateway's id (UUID).
    pub id: String,
    /// The caller's id.
    pub caller_id: String,
    /// The subscriber base.
    pub tenant: String,
    /// The carrier it was routed to.
    pub carrier: Option<String>,
    /// ICCID of the SE.
    pub se: String,
    /// State, a word of the order's state machine.
    pub state: String,
    /// Code of the last refusal or parking.
    pub code: Option<String>,
    /// Why it waits for somebody, if it is Parked.
    #[serde(default)]
    pub parked: Option<Parked>,
    /// The key writes, in order; empty until an authorization was consumed.
    #[serde(default)]
    pub writes: Vec<Write>,
    /// What enquiry desks ask with.
    #[serde(default)]
    pub enquiry_id: String,
    /// The provisioning receipt, a compact JWS, once Confirmed.
    pub receipt: Option<String>,
}

/// Why an order is Parked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Parked {
    /// The reason.
    pub reason: Value,
    /// Whose turn it is.
    pub owner: Value,
}

/// One key write of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// `sd_keyset`, `sd_keyset_delete` or `app_key`.
    pub kind: String,
    /// How many scripts were sent for it.
    pub attempts: u32,
    /// The last attempt's verdict: `Applied`, `NotApplied`, `Unresolved`; null where none was made.
    pub verdict: Option<String>,
    /// AID of the Security Domain.
    pub sd: String,
    /// Key Version Number of the last candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kvn: Option<String>,
    /// The three Key Check Values of the last candidate, joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kcv: Option<String>,
    /// SHA-256 of the public key on the SE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
}

impl Order {
    /// State, code and why it is Parked, for a line of progress.
    #[must_use]
    pub fn standing(&self) -> String {
        let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
        let parked = self.parked.as_ref();
        let parked = parked.map(|it| format!(" {} ({})", it.reason, it.owner)).unwrap_or_default();
        format!("{}{code}{parked}", self.state)
    }

    /// Whether nothing more will happen without somebody's doing: a terminal state or Parked.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        ["Confirmed", "Refused", "Cancelled", "Expired", "Parked"].contains(&self.state.as_str())
    }
}

/// Custody's public key, to which key material is sealed.
#[derive(Debug, Clone, Deserialize)]
pub struct TransportKey {
    /// X25519 public key, hexadecimal.
    pub public_key: String,
}

/// What the counter's `open` answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Opened {
    /// The order's id.
    pub order: String,
    /// The exact operation, to be shown and signed (RFC 9396): one object.
    pub authorization_details: Vec<Value>,
    /// `required` or `omitted`.
    pub access_code: String,
    /// The gateway's name, for the token's `aud`.
    pub audience: String,
}

/// What the counter's `authorize` answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Authorized {
    /// State of the order now.
    pub state: String,
}

/// What the counter's `status` answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// State of the order.
    pub state: String,
    /// Code of the last refusal or parking.
    pub code: Option<String>,
    /// The counter's receipt, once Confirmed.
    pub receipt: Option<String>,
}

/// The key receipts are signed with.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceiptKey {
    /// Name of the key.
    pub kid: String,
    /// Uncompressed P-256 point, hexadecimal.
    pub public_key: String,
}

/// Where the audit chain stands.
#[derive(Debug, Clone, Deserialize)]
pub struct Audit {
    /// Hash of the last record, hexadecimal.
    pub head: String,
    /// Number of records.
    pub size: u64,
    /// The records asked for.
    pub records: Vec<AuditRecord>,
}

/// A record of the audit chain; what the sandbox has no use for is left out.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditRecord {
    /// Place in the chain.
    pub index: u64,
    /// What it records.
    pub kind: String,
    /// The SE it is about.
    #[serde(default)]
    pub se: Option<String>,
    /// What depends on the kind.
    #[serde(default)]
    pub detail: Value,
}

/// An error body (RFC 9457).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Code of the catalogue.
    pub code: String,
    /// One sentence.
    pub title: String,
    /// What this request met.
    pub detail: String,
}
