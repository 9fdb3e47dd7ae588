//! An order as callers see it.

use jiff::Timestamp;
use order::{KeyWriteItem, OrderState, Owner, ParkReason, Verdict, WriteKind};
use serde::Serialize;
use uuid::Uuid;

use crate::store::OrderRecord;

/// The order object of the interface. It holds no key, no token and nothing about the applicant.
#[derive(Debug, Serialize)]
pub(crate) struct OrderView {
    id: Uuid,
    caller_id: String,
    tenant: String,
    carrier: Option<String>,
    se: String,
    service: String,
    operation: String,
    state: &'static str,
    code: Option<String>,
    parked: Option<Parked>,
    writes: Vec<Write>,
    enquiry_id: String,
    receipt: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
}

#[derive(Debug, Serialize)]
struct Parked {
    reason: ParkReason,
    owner: Owner,
}

#[derive(Debug, Serialize)]
struct Write {
    kind: WriteKind,
    attempts: u32,
    verdict: Option<Verdict>,
    sd: Option<String>,
    kvn: Option<String>,
    kcv: Option<String>,
    key_sha256: Option<String>,
    state: &'static str,
}

impl From<&OrderRecord> for OrderView {
    fn from(order: &OrderRecord) -> OrderView {
        let parked = match &order.state {
            OrderState::Parked { reason, owner, .. } => {
                Some(Parked { reason: *reason, owner: *owner })
            }
            _ => None,
        };
        OrderView {
            id: order.id,
            caller_id: order.caller_id.clone(),
            tenant: order.tenant.clone(),
            carrier: order.carrier.clone(),
            se: order.se.clone(),
            service: order.service.clone(),
            operation: order.operation.clone(),
            state: order.state.word(),
            code: order.code.clone(),
            parked,
            writes: order.state.writes().iter().map(|item| write(order, item)).collect(),
            enquiry_id: order.enquiry_id.clone(),
            receipt: order.receipt.clone(),
            created_at: timestamp(order.created_ms),
            updated_at: timestamp(order.updated_ms),
            version: order.version,
        }
    }
}

fn write(order: &OrderRecord, item: &KeyWriteItem) -> Write {
    let last = item.last.clone().unwrap_or_default();
    let key_sha256 = order.app_key_sha256.filter(|_| item.kind == WriteKind::AppKey);
    Write {
        kind: item.kind,
        attempts: item.attempts,
        verdict: last.verdict,
        sd: order.security_domain.map(|aid| aid.to_string()),
        kvn: last.kvn,
        kcv: last.kcv,
        key_sha256: key_sha256.map(|digest| digest.to_string()),
        state: item.state.word(),
    }
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC; out of range, the epoch itself.
pub(crate) fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
