//! The end of an order: its receipts, issued with the last `Confirmed`; its time running out; what is put away afterwards.

use order::{OrderEvent, OrderState, Verdict, WriteKind, WriteState};
use serde_json::json;

use super::{
    setback::Setback,
    work::Work,
    write::{payload, wanted},
};
use crate::{
    audit::{Entry, Kind},
    receipt::{ReceiptAudit, ReceiptFacts, ReceiptWrite},
    store::OrderRecord,
};

/// Puts the receipts into a record that is about to be stored as `Confirmed`, so that nobody sees the one without the other. Any other
/// record is left as it is.
pub(super) async fn with_receipts(
    work: &Work,
    mut next: OrderRecord,
) -> Result<(OrderRecord, Option<Entry>), Setback> {
    if !matches!(next.state, OrderState::Confirmed { .. }) {
        return Ok((next, None));
    }
    let facts = facts(work, &next).await?;
    next.receipt = Some(work.app.receipts.issue(&facts).await?);
    next.counter_receipt = Some(work.app.receipts.issue_for_counter(&facts).await?);
    next.code = None;
    let entry = work.entry(Kind::ReceiptIssued, json!({ "audit_index": facts.audit.index }));
    Ok((next, Some(entry)))
}

/// What follows the end of an order: its payload is erased, the key set it replaced retired. May be repeated after a restart.
pub(super) async fn put_away(work: &mut Work) -> Result<(), Setback> {
    if let Some(payload) = work.order.payload {
        work.app.custody.erase_payload(payload).await?;
    }
    if matches!(work.order.state, OrderState::Confirmed { .. }) {
        retire_replaced(work).await?;
    }
    let next = OrderRecord { due_ms: None, ..work.order.clone() };
    let entry = work.entry(Kind::PayloadErased, json!({ "payload": work.order.payload }));
    work.store(next, vec![entry], Vec::new()).await
}

/// When the order's key material stops being good, milliseconds since the Unix epoch: until then a counter may authorize it.
pub(super) async fn expires_ms(work: &Work) -> Result<i64, Setback> {
    let payload = work.app.custody.payload(payload(work)?).await?;
    Ok(wanted(payload, "payload in custody")?.expires_s.saturating_mul(1_000))
}

/// An order that waits for a counter expires with its key material. Returns whether it did.
pub(super) async fn expire_or_rest(work: &mut Work) -> Result<bool, Setback> {
    let expires_ms = expires_ms(work).await?;
    if work.now_ms() >= expires_ms {
        let entry = work.entry(Kind::Expired, json!({ "key_material_until_ms": expires_ms }));
        work.happen(OrderEvent::Expired, entry).await?;
        return Ok(true);
    }
    if work.order.due_ms != Some(expires_ms) {
        let next = OrderRecord { due_ms: Some(expires_ms), ..work.order.clone() };
        work.store(next, Vec::new(), Vec::new()).await?;
    }
    Ok(false)
}

/// Key sets this order took off the SE are no longer for use; custody keeps them.
async fn retire_replaced(work: &Work) -> Result<(), Setback> {
    let Some(authorization) = &work.order.authorization else { return Ok(()) };
    for write in authorization.writes.iter().filter(|write| write.kind != WriteKind::AppKey) {
        let Some(prior) = write.prior else { continue };
        for row in work.app.custody.key_sets_of(&work.order.se, &write.security_domain).await? {
            if row.kvn == prior {
                work.app.custody.retire(row.uuid).await?;
            }
        }
    }
    Ok(())
}

async fn facts(work: &Work, order: &OrderRecord) -> Result<ReceiptFacts, Setback> {
    let authorization = wanted(order.authorization.as_ref(), "authorization")?;
    let head = work.app.store.audit_head().await?;
    let live = work.live()?;
    let mut writes = Vec::new();
    for (item, granted) in order.state.writes().iter().zip(&authorization.writes) {
        let WriteState::Confirmed { evidence, .. } = &item.state else {
            return Err(Setback::wait("a key write is not confirmed"));
        };
        let last = wanted(item.last.as_ref(), "last attempt")?;
        let app_key = granted.kind == WriteKind::AppKey;
        writes.push(ReceiptWrite {
            kind: granted.kind,
            sd: granted.security_domain,
            kvn: last.kvn.as_ref().and_then(|kvn| kvn.parse().ok()),
            kcv: last.kcv.as_ref().and_then(|kcv| kcv.parse().ok()),
            key_sha256: order.app_key_sha256.filter(|_| app_key),
            verdict: last.verdict.unwrap_or(Verdict::Unresolved),
            evidence: evidence.how,
            attempts: item.attempts,
            known_to: live.known_to.clone(),
        });
    }
    Ok(ReceiptFacts {
        iat: work.app.clock.now_s(),
        order: order.id,
        caller_id: order.caller_id.clone(),
        tenant: order.tenant.clone(),
        se: order.se.clone(),
        token_sha256: authorization.token_sha256,
        policy_version: authorization.policy_version.clone(),
        writes,
        audit: ReceiptAudit { index: head.index, head: head.hash },
    })
}
