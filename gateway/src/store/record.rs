//! What the store keeps of an order and of a secure element (SE).

use authority::AuthorizationDetails;
use order::{OrderState, WriteKind};
use scp::{Aid, KeyVersionNumber};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;

/// An order, whole. Holds no key, no PIN and no personal data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRecord {
    /// Ours, a version 7 UUID: orders sort by the time they came in.
    pub id: Uuid,
    /// The caller's, unique within its tenant for the order's life.
    pub caller_id: String,
    /// Subscriber base.
    pub tenant: String,
    /// SHA-256 of the accepted body, as received.
    pub body_sha256: Digest,
    /// The accepted body as JSON text, with the key material's ciphertext replaced by its SHA-256.
    pub request: String,
    /// Name of the service profile.
    pub service: String,
    /// The operation ordered, for example `issue`.
    pub operation: String,
    /// The SE, by its ICCID or EID.
    pub se: String,
    /// The carrier it was routed to.
    pub carrier: Option<String>,
    /// Name of the SE profile, from the route.
    pub profile: Option<String>,
    /// Our Security Domain on the SE, from the route.
    pub security_domain: Option<Aid>,
    /// Where it stands.
    pub state: OrderState,
    /// The code of its last refusal or parking.
    pub code: Option<String>,
    /// What was consumed for it.
    pub authorization: Option<Authorization>,
    /// Custody's name of its key material.
    pub payload: Option<Uuid>,
    /// What enquiry desks ask by.
    pub enquiry_id: String,
    /// The signed receipt for the service provider, a compact JWS.
    pub receipt: Option<String>,
    /// The signed receipt for the counter, without Key Check Values.
    pub counter_receipt: Option<String>,
    /// What the counter opened it with and was answered.
    pub opened: Option<Opened>,
    /// Steps that failed in a row.
    pub failures: u32,
    /// Probe sessions spent on the key write that is unresolved now.
    pub probes: u32,
    /// Attempt numbers reserved so far, over all its key writes; each goes into one permit.
    pub permits: u32,
    /// SHA-256 of the public key the application holds (GET DATA DF20), once it was read.
    pub app_key_sha256: Option<Digest>,
    /// When the engine should look at it again, milliseconds since the Unix epoch; none: only when woken.
    pub due_ms: Option<i64>,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it last changed, milliseconds since the Unix epoch.
    pub updated_ms: i64,
    /// Number of the stored version; 0 before it is stored. An update names the version it read; the store writes the next.
    pub version: u64,
}

/// What the counter saw and was shown when it opened an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The terminal.
    pub terminal: String,
    /// The reader at that terminal.
    pub reader: String,
    /// What the token has to say, field by field.
    pub details: AuthorizationDetails,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// An authorization as it was consumed: data to show and to compare. The right to write is
/// [`ConsumedAuthorization`](super::consume::ConsumedAuthorization), which this is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// SHA-256 of the token's compact text.
    pub token_sha256: Digest,
    /// The token's id.
    pub jti: String,
    /// The token's number at its terminal.
    pub seq: u64,
    /// Who issued the token.
    pub issuer: String,
    /// The terminal that presented it.
    pub terminal: String,
    /// The clerk.
    pub clerk: String,
    /// The policy it was judged by.
    pub policy_version: String,
    /// When it was consumed, milliseconds since the Unix epoch.
    pub consumed_ms: i64,
    /// Until when a key write may begin, milliseconds since the Unix epoch.
    pub execute_by_ms: i64,
    /// The order's whole list of key writes, and nothing else.
    pub writes: Vec<GrantedWrite>,
}

/// One key write an authorization allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedWrite {
    /// What it changes.
    pub kind: WriteKind,
    /// The SE.
    pub se: String,
    /// The Security Domain whose channel carries it.
    pub security_domain: Aid,
    /// The application, for `app_key`.
    pub applet: Option<Aid>,
    /// The key set it replaces or deletes.
    pub prior: Option<KeyVersionNumber>,
    /// The key set it brings.
    pub fresh: Option<KeyVersionNumber>,
    /// Attempts allowed.
    pub attempts_max: u32,
}

/// A secure element as we believe it to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeRecord {
    /// Its ICCID or EID.
    pub se: String,
    /// Subscriber base.
    pub tenant: String,
    /// Name of its SE profile, as the hand-over said.
    pub profile: Option<String>,
    /// Our Security Domains on it.
    pub security_domains: Vec<SecurityDomainRecord>,
    /// Key Diversification Data, upper-case hex (CS 2.3.1, INITIALIZE UPDATE).
    pub key_diversification_data: Option<String>,
    /// The sequence counter seen last under a verified cryptogram.
    pub sequence_counter: Option<u32>,
    /// Why nothing more is sent to it.
    pub quarantined: Option<String>,
    /// The code a hand-over of its first key set was refused with.
    pub hand_over_refused: Option<String>,
    /// Who may talk to it.
    pub lease: Option<Lease>,
    /// Number of the stored version; 0 before it is stored.
    pub version: u64,
}

/// One of our Security Domains on an SE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityDomainRecord {
    /// Its AID.
    pub aid: Aid,
    /// The key set it answers under.
    pub live: Option<LiveKeySet>,
    /// Key sets it answered under before, oldest first.
    pub earlier: Vec<LiveKeySet>,
}

/// A key set on an SE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveKeySet {
    /// Custody's name of it.
    pub key_set: Uuid,
    /// Its Key Version Number.
    pub kvn: KeyVersionNumber,
    /// Parties that may know it: `custody`, `carrier:<id>`, `vendor:<id>`.
    pub known_to: Vec<String>,
}

/// The right of one executor to talk to an SE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The node that holds it.
    pub holder: String,
    /// Grows with every new holder; a commit of an older epoch is refused.
    pub epoch: u64,
    /// Until when, milliseconds since the Unix epoch.
    pub until_ms: i64,
}

impl SeRecord {
    /// A secure element nothing is known about yet.
    pub fn unknown(tenant: &str, se: &str) -> SeRecord {
        SeRecord { se: se.to_owned(), tenant: tenant.to_owned(), ..SeRecord::default() }
    }

    /// Our Security Domain of this AID.
    pub fn security_domain(&self, aid: &Aid) -> Option<&SecurityDomainRecord> {
        self.security_domains.iter().find(|domain| domain.aid == *aid)
    }

    /// Makes `key_set` the one the Security Domain answers under; the set before becomes an earlier one.
    pub fn set_live(&mut self, aid: Aid, key_set: LiveKeySet) {
        let known = self.security_domains.iter_mut().find(|domain| domain.aid == aid);
        let Some(domain) = known else {
            let domain = SecurityDomainRecord { aid, live: Some(key_set), earlier: Vec::new() };
            return self.security_domains.push(domain);
        };
        if domain.live.as_ref() == Some(&key_set) {
            return;
        }
        let before = domain.live.replace(key_set);
        domain.earlier.extend(before);
    }
}
