//! One line of the audit trail, before and after it is chained.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::digest::Digest;

macro_rules! kinds {
    ($($kind:ident $word:literal)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $word, "`")] $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Its word in a record.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$kind => $word,)*
                }
            }
        }
    };
}

kinds! {
    NodeStarted "node_started"
    OrderAccepted "order_accepted"
    Routed "routed"
    Eligible "eligible"
    ContentSent "content_sent"
    Prepared "prepared"
    CounterOpened "counter_opened"
    TokenConsumed "token_consumed"
    TokenRefused "token_refused"
    TokenBurned "token_burned"
    KeySetAccepted "key_set_accepted"
    KeySetRefused "key_set_refused"
    KeySetStaged "key_set_staged"
    KeySetRetired "key_set_retired"
    ChannelOpened "channel_opened"
    PermitGranted "permit_granted"
    Sent "sent"
    Verdict "verdict"
    Probed "probed"
    Confirmed "confirmed"
    Late "late"
    Quarantined "quarantined"
    Parked "parked"
    Resumed "resumed"
    Refused "refused"
    Cancelled "cancelled"
    Expired "expired"
    PayloadAccepted "payload_accepted"
    PayloadErased "payload_erased"
    ReceiptIssued "receipt_issued"
    Notified "notified"
    ConfigurationReloaded "configuration_reloaded"
    AccessRefused "access_refused"
}

/// Something to be recorded, without its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, milliseconds since the Unix epoch, by the caller's clock.
    pub at_ms: i64,
    /// What.
    pub kind: Kind,
    /// The order concerned.
    pub order: Option<Uuid>,
    /// The secure element concerned.
    pub se: Option<String>,
    /// What else an auditor should know. Never a key, a PIN, a token or personal data.
    pub detail: Value,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its place, counted from 1.
    pub index: u64,
    /// When, to the millisecond; never before the record before it.
    pub at: Timestamp,
    /// The node that wrote it.
    pub node: String,
    /// What happened: the word of a [`Kind`], also one this release does not know.
    pub kind: String,
    /// The order concerned.
    pub order: Option<Uuid>,
    /// The secure element concerned.
    pub se: Option<String>,
    /// What else there is.
    pub detail: Value,
    /// Hash of the record before; zeros for the first.
    pub prev: Digest,
    /// SHA-256 over `prev` and the canonical form.
    pub hash: Digest,
}

impl Entry {
    /// An entry about no order and no SE, without detail.
    pub fn new(kind: Kind, at_ms: i64) -> Entry {
        Entry { at_ms, kind, order: None, se: None, detail: Value::Null }
    }

    /// About an order.
    pub fn order(self, order: Uuid) -> Entry {
        Entry { order: Some(order), ..self }
    }

    /// About a secure element.
    pub fn se(self, se: &str) -> Entry {
        Entry { se: Some(se.to_owned()), ..self }
    }

    /// With what else there is to say.
    pub fn detail(self, detail: Value) -> Entry {
        Entry { detail, ..self }
    }
}
