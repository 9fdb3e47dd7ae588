//! What a run leaves on stdout: one JSON document on one line.

use std::collections::BTreeMap;

use se::SecureElement;
use serde::Serialize;

use crate::api;

/// The whole outcome of `sandbox --once`. Hexadecimal is upper case without prefix.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Document {
    /// Every order placed.
    pub orders: Vec<OrderLine>,
    /// One proof for every Confirmed order, made on its SE.
    pub proof: Vec<Proof>,
    /// What each SE itself recorded, by ICCID.
    pub ledger: BTreeMap<String, SeLedger>,
    /// What each carrier's TSM counted, by carrier.
    pub tsm: BTreeMap<String, TsmCounts>,
    /// Where the gateway's audit chain stands.
    pub audit: AuditHead,
    /// How the scenario ended; absent where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<ScenarioEnd>,
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderLine {
    /// The gateway's id.
    pub id: String,
    /// The subscriber base.
    pub tenant: String,
    /// The carrier it was routed to.
    pub carrier: Option<String>,
    /// ICCID.
    pub se: String,
    /// State, a word of the order's state machine.
    pub state: String,
    /// Code of the last refusal or parking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The key writes.
    pub writes: Vec<api::Write>,
    /// The provisioning receipt, a compact JWS.
    pub receipt: Option<String>,
}

impl From<api::Order> for OrderLine {
    fn from(order: api::Order) -> OrderLine {
        OrderLine {
            id: order.id,
            tenant: order.tenant,
            carrier: order.carrier,
            se: order.se,
            state: order.state,
            code: order.code,
            writes: order.writes,
            receipt: order.receipt,
        }
    }
}

/// A signature made on an SE with the delivered key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// ICCID.
    pub se: String,
    /// The applet that signed.
    pub applet_aid: String,
    /// The PIN's digits: the sandbox made it up itself.
    pub pin: String,
    /// What was signed, 32 random bytes.
    pub challenge: String,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub signature: String,
    /// The certificate, PEM.
    pub certificate: String,
}

/// An SE's own account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SeLedger {
    /// APDUs received since it was handed over.
    pub received: u64,
    /// Of these, executed.
    pub executed: u64,
    /// Key-writing APDUs received.
    pub key_write: u64,
    /// Destroying APDUs received.
    pub destroy: u64,
    /// Every key set on it.
    pub key_sets: Vec<KeySetLine>,
    /// Every application on it.
    pub apps: Vec<AppLine>,
}

/// A key set on an SE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeySetLine {
    /// AID of the Security Domain.
    pub sd: String,
    /// Key Version Number.
    pub kvn: String,
    /// The three Key Check Values joined.
    pub kcv: String,
}

/// An application on an SE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppLine {
    /// Instance AID.
    pub aid: String,
    /// Life cycle state.
    pub life_cycle: String,
    /// SHA-256 of its public key, once personalized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
}

impl SeLedger {
    /// Reads the SE's counts and tables.
    #[must_use]
    pub fn of(se: &SecureElement) -> SeLedger {
        let counts = se.counts();
        let key_sets = se.key_sets().into_iter();
        let apps = se.apps().into_iter();
        SeLedger {
            received: counts.received,
            executed: counts.executed,
            key_write: counts.key_write,
            destroy: counts.destroy,
            key_sets: key_sets
                .map(|row| KeySetLine { sd: row.sd, kvn: row.kvn, kcv: row.kcv })
                .collect(),
            apps: apps
                .map(|row| AppLine {
                    aid: row.aid,
                    life_cycle: row.life_cycle,
                    key_sha256: row.key_sha256,
                })
                .collect(),
        }
    }
}

/// A TSM's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TsmCounts {
    /// Scripts received.
    pub scripts: u64,
    /// Of these, with PUT KEY, STORE DATA or DELETE in a clear header.
    pub key_write_scripts: u64,
    /// Key-write scripts received a second time.
    pub duplicates: u64,
}

/// Where the audit chain stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// Number of records.
    pub records: u64,
    /// Hash of the last one.
    pub head: String,
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScenarioEnd {
    /// Its name.
    pub name: String,
    /// The code it ended with; null for a scenario that ends Confirmed.
    pub code: Option<String>,
    /// Whether everything was as it should be.
    pub ok: bool,
    /// What was not.
    pub faults: Vec<String>,
}

impl Document {
    /// Exit code of the command: 0, or 70 if a scenario did not end as it should.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.scenario.as_ref().is_none_or(|scenario| scenario.ok) { 0 } else { 70 }
    }

    /// The document on one line.
    ///
    /// # Errors
    /// The serializer's, which this shape gives no cause for.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_left_out_and_null_stays_null() {
        let write = api::Write {
            kind: "sd_keyset".into(),
            attempts: 0,
            verdict: None,
            sd: "A000000151535001".into(),
            kvn: None,
            kcv: None,
            key_sha256: None,
        };
        let order = OrderLine {
            id: "u".into(),
            tenant: "mvno".into(),
            carrier: Some("carrier-a".into()),
            se: "898".into(),
            state: "Parked".into(),
            code: None,
            writes: vec![write],
            receipt: None,
        };
        let expected = json!({
            "id": "u", "tenant": "mvno", "carrier": "carrier-a", "se": "898", "state": "Parked",
            "writes": [{"kind": "sd_keyset", "attempts": 0, "verdict": null,
                        "sd": "A000000151535001"}],
            "receipt": null,
        });
        assert_eq!(serde_json::to_value(order).unwrap(), expected);
    }

    #[test]
    fn only_a_failed_scenario_is_our_bug() {
        let mut document = Document::default();
        assert_eq!(document.exit_code(), 0);
        let end = ScenarioEnd { name: "no-token".into(), code: None, ok: false, faults: vec![] };
        document.scenario = Some(end);
        assert_eq!(document.exit_code(), 70);
        assert!(!document.to_line().unwrap().contains('\n'));
    }
}
