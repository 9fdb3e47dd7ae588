//! One key write, step by step: stage, open, grant, commit `Sent`, only then send, judge.

use order::{Evidence, EvidenceClass, KeyWriteItem, ParkReason, WriteEvent, WriteKind, WriteState};
use scp::{
    Answered, KeyCheckValues, KeyScript, KeyWritePermit,
    content::{delete, put_key, store_data},
    permit::Open,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    grant, resolve,
    session::{Secured, Session},
    setback::Setback,
    work::Work,
};
use crate::{
    audit::Kind,
    custody::Stage,
    store::{Change, GrantedWrite, LiveKeySet, SeRecord, consume},
};

/// A write in hand: its place in the list, what the authorization says of it, where it stands.
pub(super) struct Current {
    pub(super) index: usize,
    pub(super) granted: GrantedWrite,
    pub(super) item: KeyWriteItem,
}

/// Takes the first write that is not `Confirmed` one step further.
pub(super) async fn advance(work: &mut Work) -> Result<(), Setback> {
    let current = current(work)?;
    match &current.item.state {
        WriteState::Planned => stage(work, &current).await,
        WriteState::Staged { candidate } => {
            let candidate = named(candidate)?;
            attempt(work, &current, candidate).await
        }
        WriteState::ChannelOpen { .. } => {
            let entry =
                work.entry(Kind::ChannelOpened, json!({ "write": current.index, "lost": true }));
            work.write_happens(current.index, WriteEvent::ChannelLost, entry, Vec::new()).await
        }
        // The process ended between `Sent` and its answer: it may have reached the SE, and is never sent again.
        WriteState::Sent { .. } => unresolved(work, current.index, "no answer was recorded").await,
        WriteState::Unresolved { candidate, .. } => {
            let candidate = named(candidate)?;
            resolve::resolve(work, &current, candidate).await
        }
        WriteState::Applied { candidate, .. } => {
            let candidate = named(candidate)?;
            resolve::confirm(work, &current, candidate).await
        }
        WriteState::NotApplied { .. } => {
            let entry = work.entry(Kind::Resumed, json!({ "write": current.index, "retry": true }));
            work.write_happens(current.index, WriteEvent::Retry, entry, Vec::new()).await
        }
        WriteState::Confirmed { .. } => Ok(()),
        WriteState::Late { .. } => {
            Err(Setback::park(ParkReason::LateKeySet, "a key set appeared late"))
        }
        WriteState::Quarantined { .. } => {
            Err(Setback::park(ParkReason::Quarantined, "the key write is quarantined"))
        }
    }
}

fn current(work: &Work) -> Result<Current, Setback> {
    let writes = work.order.state.writes();
    let confirmed = |item: &KeyWriteItem| matches!(item.state, WriteState::Confirmed { .. });
    let index = writes.iter().position(|item| !confirmed(item)).unwrap_or(0);
    let listed = work.order.authorization.as_ref().and_then(|granted| granted.writes.get(index));
    match (writes.get(index), listed) {
        (Some(item), Some(granted)) => {
            Ok(Current { index, granted: granted.clone(), item: item.clone() })
        }
        _ => Err(Setback::park(ParkReason::Quarantined, "the record lacks its list of key writes")),
    }
}

/// Planned → Staged: what will be written is durably in custody before anything is opened.
async fn stage(work: &mut Work, current: &Current) -> Result<(), Setback> {
    still_allowed(work, current).await?;
    let (candidate, kvn, kcv) = match current.granted.kind {
        WriteKind::SdKeyset => {
            let live = work.live()?;
            let fresh = wanted(current.granted.fresh, "new Key Version Number")?;
            let staged = work
                .app
                .custody
                .stage_key_set(Stage {
                    tenant: work.order.tenant.clone(),
                    se: work.order.se.clone(),
                    sd: current.granted.security_domain,
                    kvn: fresh,
                    key_length: work.profile()?.key_length,
                    known_to: live.known_to,
                })
                .await?;
            (staged.key_set, Some(fresh.to_string()), Some(staged.kcv.to_string()))
        }
        WriteKind::SdKeysetDelete => {
            let prior = wanted(current.granted.prior, "old Key Version Number")?;
            let rows = work
                .app
                .custody
                .key_sets_of(&work.order.se, &current.granted.security_domain)
                .await?;
            let row = rows.into_iter().find(|row| row.kvn == prior);
            let row = wanted(row, "old key set in custody")?;
            (row.uuid, Some(prior.to_string()), Some(row.kcv.to_string()))
        }
        WriteKind::AppKey => (payload(work)?, None, None),
    };
    let entry = work.entry(
        Kind::KeySetStaged,
        json!({ "write": current.index, "kind": current.granted.kind, "candidate": candidate, "kvn": kvn }),
    );
    let event = WriteEvent::Staged { candidate: candidate.to_string(), kvn, kcv };
    work.write_happens(current.index, event, entry, Vec::new()).await
}

/// Time and policy, looked at again before each write: the authorization says what may be done, not that it still should.
async fn still_allowed(work: &Work, current: &Current) -> Result<(), Setback> {
    let execute_by_ms =
        work.order.authorization.as_ref().map_or(0, |granted| granted.execute_by_ms);
    if work.now_ms() >= execute_by_ms {
        return Err(Setback::park(ParkReason::PastExecuteBy, "the authorization's time is over"));
    }
    if let Some(why) = &work.se.quarantined {
        return Err(Setback::park(ParkReason::Quarantined, why.clone()));
    }
    let live = work.live()?;
    if current.granted.kind == WriteKind::SdKeyset
        && current.granted.prior.is_some_and(|prior| prior != live.kvn)
    {
        let detail =
            format!("the SE is at key set {}, not at the one authorized to be replaced", live.kvn);
        return Err(Setback::park(ParkReason::Policy, detail));
    }
    if current.granted.kind == WriteKind::AppKey {
        if let Some(party) = not_admitted(work, &live) {
            let detail = format!("the live key set may be known to {party}");
            return Err(Setback::park(ParkReason::Policy, detail));
        }
        let row = work.app.custody.payload(payload(work)?).await?;
        if wanted(row, "payload in custody")?.expires_s <= work.app.clock.now_s() {
            return Err(Setback::park(ParkReason::Payload, "the key material has expired"));
        }
    }
    Ok(())
}

/// The first party that may know the key set although the tenant's policy does not admit it. A tenant that is no longer configured
/// admits nobody.
fn not_admitted(work: &Work, live: &LiveKeySet) -> Option<String> {
    let Some(tenant) = work.app.settings.tenant(&work.order.tenant) else {
        return Some("parties a tenant that is not configured never admitted".into());
    };
    live.known_to.iter().find(|party| !tenant.app_key_max_known_to.contains(party)).cloned()
}

/// Staged → ChannelOpen → Sent → Applied or Unresolved, in one session.
async fn attempt(work: &mut Work, current: &Current, candidate: Uuid) -> Result<(), Setback> {
    still_allowed(work, current).await?;
    let peer = work.peer()?;
    let live = work.live()?;
    let target = current.granted.security_domain;
    let session = Session::begin(&work.app, &peer, target).await?;
    let secured = session.secure(target, live.kvn, live.key_set).await?;
    let attempt = open_for_write(work, current, &secured).await?;

    let authorization = consume::consumed(&work.app.store, work.order.id).await?;
    let authorization = wanted(authorization, "consumed authorization")?;
    let permit = grant::grant(
        &authorization,
        secured.channel(),
        work.order.id,
        current.index,
        attempt,
        work.now_ms(),
    )
    .map_err(|error| Setback::park(ParkReason::PastExecuteBy, error.to_string()))?;
    let script = key_script(work, current, candidate, &live, &permit).await?;
    let session_hash = hex::encode_upper(permit.session_hash());
    let bound = permit
        .bind(script)
        .map_err(|error| Setback::park(ParkReason::Quarantined, error.to_string()))?;
    let script_sha256 = hex::encode_upper(bound.script_sha256());
    let (in_flight, granted) = secured.wrap_granted(bound)?;

    let entry = work.entry(
        Kind::Sent,
        json!({
            "write": current.index, "kind": current.granted.kind, "attempt": attempt, "candidate": candidate,
            "session": session_hash, "script_sha256": script_sha256,
            "wrapped_sha256": hex::encode_upper(granted.sha256()),
            "token_sha256": authorization.token_sha256(),
        }),
    );
    let sent = WriteEvent::Sent { session: session_hash, script_sha256 };
    work.write_happens(current.index, sent, entry, Vec::new()).await?;
    // `Sent` and its audit record are durable: from here on the bytes may exist outside this process.
    #[expect(clippy::disallowed_methods, reason = "the executor, after `Sent` was committed")]
    let released = granted.danger_release();
    match in_flight.send(released).await {
        Ok(answers) => judge(work, current, candidate, &answers).await,
        Err(setback) => unresolved(work, current.index, &setback.to_string()).await,
    }
}

/// Staged → ChannelOpen with a durably reserved attempt number, which is returned.
async fn open_for_write(
    work: &mut Work,
    current: &Current,
    secured: &Secured<'_>,
) -> Result<u32, Setback> {
    let attempt = work.order.permits + 1;
    work.order.permits = attempt;
    let reserve = Change::ReserveAttempt {
        order: work.order.id,
        write: u32::try_from(current.index).unwrap_or(u32::MAX),
        attempt,
    };
    let session = hex::encode_upper(secured.channel().session_hash());
    let entry = work.entry(
        Kind::ChannelOpened,
        json!({ "write": current.index, "attempt": attempt, "session": session, "level": secured.channel().level() }),
    );
    work.write_happens(current.index, WriteEvent::ChannelOpened, entry, vec![reserve]).await?;
    Ok(attempt)
}

/// The commands of the write. Key ciphertext exists only against the borrowed permit.
async fn key_script(
    work: &Work,
    current: &Current,
    candidate: Uuid,
    live: &LiveKeySet,
    permit: &KeyWritePermit<Open>,
) -> Result<KeyScript, Setback> {
    let granted = &current.granted;
    let profile = work.profile()?;
    let target = granted.security_domain;
    let custody = &work.app.custody;
    let script = match granted.kind {
        WriteKind::SdKeyset => {
            let fresh = wanted(granted.fresh, "new Key Version Number")?;
            let keys = custody.encrypt_key_set(permit, candidate, live.key_set).await?;
            put_key::key_set(target, granted.prior, fresh, &keys, profile.put_key_block)
        }
        WriteKind::SdKeysetDelete => {
            let prior = wanted(granted.prior, "old Key Version Number")?;
            delete::key_set(target, prior)
        }
        WriteKind::AppKey => {
            let applet = wanted(granted.applet, "applet")?;
            let dgis = custody.translate(permit, candidate, live.key_set).await?;
            store_data::personalization(target, applet, &dgis, profile.block_max)
        }
    };
    script.map_err(|error| Setback::park(ParkReason::Payload, error.to_string()))
}

/// Sent → Applied on valid R-MACs, 9000 and the expected Key Check Values; anything else, error status words included, → Unresolved.
async fn judge(
    work: &mut Work,
    current: &Current,
    candidate: Uuid,
    answers: &[Answered],
) -> Result<(), Setback> {
    match applied(work, current, candidate, answers).await? {
        Ok(detail) => {
            let evidence = Evidence { how: EvidenceClass::RMacAnswer, detail };
            apply(work, current, candidate, evidence).await
        }
        Err(why) => unresolved(work, current.index, &why).await,
    }
}

async fn applied(
    work: &Work,
    current: &Current,
    candidate: Uuid,
    answers: &[Answered],
) -> Result<Result<String, String>, Setback> {
    if let Some(odd) = answers
        .iter()
        .find(|answered| !answered.is_authenticated() || !answered.status().is_success())
    {
        return Ok(Err(format!("the SE answered {} without proof of success", odd.status())));
    }
    let Some(last) = answers.last() else { return Ok(Err("no answer".into())) };
    if current.granted.kind == WriteKind::SdKeyset {
        let fresh = wanted(current.granted.fresh, "new Key Version Number")?;
        let row = wanted(work.app.custody.key_set(candidate).await?, "candidate in custody")?;
        let expected: KeyCheckValues = row.kcv;
        if let Err(fault) = put_key::judge(last.data(), fresh, &expected) {
            return Ok(Err(fault.to_string()));
        }
    }
    Ok(Ok(format!("{} answers, each with a valid R-MAC, 9000", answers.len())))
}

/// Records `Applied`; for a key set it is the one the Security Domain answers under from here on.
pub(super) async fn apply(
    work: &mut Work,
    current: &Current,
    candidate: Uuid,
    evidence: Evidence,
) -> Result<(), Setback> {
    let mut changes = Vec::new();
    if current.granted.kind == WriteKind::SdKeyset {
        changes.push(Change::PutSe(with_live(work, current, candidate).await?));
    }
    let entry = work.entry(
        Kind::Verdict,
        json!({ "write": current.index, "verdict": "Applied", "evidence": evidence }),
    );
    work.write_happens(current.index, WriteEvent::Applied { evidence }, entry, changes).await
}

async fn with_live(work: &Work, current: &Current, candidate: Uuid) -> Result<SeRecord, Setback> {
    let row = wanted(work.app.custody.key_set(candidate).await?, "candidate in custody")?;
    let mut se = work.se.clone();
    let live = LiveKeySet { key_set: candidate, kvn: row.kvn, known_to: row.known_to };
    se.set_live(current.granted.security_domain, live);
    Ok(se)
}

async fn unresolved(work: &mut Work, index: usize, why: &str) -> Result<(), Setback> {
    let entry =
        work.entry(Kind::Verdict, json!({ "write": index, "verdict": "Unresolved", "why": why }));
    work.order.probes = 0;
    work.write_happens(index, WriteEvent::Unresolved, entry, Vec::new()).await
}

/// The order's key material in custody.
pub(super) fn payload(work: &Work) -> Result<Uuid, Setback> {
    work.order
        .payload
        .ok_or_else(|| Setback::park(ParkReason::Payload, "the order has no key material"))
}

pub(super) fn wanted<T>(value: Option<T>, what: &str) -> Result<T, Setback> {
    value.ok_or_else(|| {
        Setback::park(ParkReason::Quarantined, format!("the record lacks its {what}"))
    })
}

fn named(candidate: &str) -> Result<Uuid, Setback> {
    candidate
        .parse()
        .map_err(|_| Setback::park(ParkReason::Quarantined, "the candidate's name is no uuid"))
}

/// Whether writing has begun, from when on the order can no longer be refused.
pub(super) fn has_begun(state: &order::OrderState) -> bool {
    matches!(state, order::OrderState::Writing { .. })
}
