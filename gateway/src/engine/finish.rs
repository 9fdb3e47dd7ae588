//! Confirmed: the receipt is issued, the payload erased, the replaced key set retired.

use order::{Verdict, WriteKind, WriteState};
use serde_json::json;

use super::{setback::Setback, work::Work, write::wanted};
use crate::{
    audit::Kind,
    receipt::{ReceiptAudit, ReceiptFacts, ReceiptWrite},
};

/// Everything that follows the last `Confirmed`. Each part may be repeated after a restart.
pub(super) async fn finish(work: &mut Work) -> Result<(), Setback> {
    if let Some(payload) = work.order.payload {
        work.app.custody.erase_payload(payload).await?;
    }
    retire_replaced(work).await?;
    let facts = facts(work).await?;
    let receipt = work.app.receipts.issue(&facts).await?;
    let counter_receipt = work.app.receipts.issue_for_counter(&facts).await?;
    let mut next = work.order.clone();
    next.receipt = Some(receipt);
    next.counter_receipt = Some(counter_receipt);
    next.due_ms = None;
    next.code = None;
    let entry = work.entry(Kind::ReceiptIssued, json!({ "audit_index": facts.audit.index }));
    work.store(next, entry, Vec::new()).await
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

async fn facts(work: &Work) -> Result<ReceiptFacts, Setback> {
    let order = &work.order;
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
