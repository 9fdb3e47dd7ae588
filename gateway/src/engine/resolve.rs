//! What became of a key write: probes that read, never a script sent again; and the second session that confirms.
//!
//! A positive verdict needs the SE's own proof. A negative one needs a session, opened after the script was sent, in which an answer
//! after EXTERNAL AUTHENTICATE carried a valid R-MAC: only that ends the session the script was wrapped for.

use order::{Evidence, EvidenceClass, OrderEvent, ParkReason, WriteEvent, WriteKind};
use scp::{Aid, KeyVersionNumber, content::status_data::Scope, tlv};
use serde_json::json;
use uuid::Uuid;

use super::{
    finish,
    read::{self, Look, Proof},
    session::{Peer, Session},
    setback::Setback,
    work::Work,
    write::{Current, apply, wanted},
};
use crate::{audit::Kind, digest::Digest};

/// What the probes found.
enum Finding {
    Applied(Evidence),
    NotApplied(Evidence),
    /// The SE holds what no record explains.
    Contradiction(String),
    /// Nothing provable yet.
    Nothing(String),
}

/// Unresolved → Applied or NotApplied, or still Unresolved, or Quarantined.
pub(super) async fn resolve(
    work: &mut Work,
    current: &Current,
    candidate: Uuid,
) -> Result<(), Setback> {
    if work.order.probes >= work.app.settings.engine.probes_max {
        let detail = format!("{} probe sessions proved nothing", work.order.probes);
        return Err(Setback::park(ParkReason::Unresolved, detail));
    }
    // Counted with whatever is stored next, the failed probe's wait included.
    work.order.probes += 1;
    let finding = match current.granted.kind {
        WriteKind::SdKeyset => key_set(work, current, candidate).await?,
        WriteKind::SdKeysetDelete => deletion(work, current).await?,
        WriteKind::AppKey => application(work, current, candidate).await?,
    };
    match finding {
        Finding::Applied(evidence) => apply(work, current, candidate, evidence).await,
        Finding::NotApplied(evidence) => {
            let entry = work.entry(
                Kind::Verdict,
                json!({ "write": current.index, "verdict": "NotApplied", "evidence": evidence }),
            );
            let event = WriteEvent::NotApplied { evidence };
            work.write_happens(current.index, event, entry, Vec::new()).await
        }
        Finding::Contradiction(reason) => quarantine(work, current, reason).await,
        Finding::Nothing(why) => Err(Setback::wait(why)),
    }
}

/// Applied → Confirmed: a second session finds what was written.
pub(super) async fn confirm(
    work: &mut Work,
    current: &Current,
    candidate: Uuid,
) -> Result<(), Setback> {
    let finding = match current.granted.kind {
        WriteKind::SdKeyset => key_set_is_live(work, current, candidate).await?,
        WriteKind::SdKeysetDelete => deletion(work, current).await?,
        WriteKind::AppKey => application(work, current, candidate).await?,
    };
    match finding {
        Finding::Applied(evidence) => confirmed(work, current, evidence).await,
        Finding::NotApplied(evidence) => {
            let reason = format!("a write found applied is not there: {}", evidence.detail);
            quarantine(work, current, reason).await
        }
        Finding::Contradiction(reason) => quarantine(work, current, reason).await,
        Finding::Nothing(why) => Err(Setback::wait(why)),
    }
}

async fn confirmed(work: &mut Work, current: &Current, evidence: Evidence) -> Result<(), Setback> {
    let entry = work.entry(
        Kind::Confirmed,
        json!({ "write": current.index, "kind": current.granted.kind, "evidence": evidence }),
    );
    let event = WriteEvent::Confirmed { evidence };
    let mut next = work.after(&OrderEvent::Write { index: current.index, event })?;
    if current.granted.kind == WriteKind::AppKey {
        next.app_key_sha256 = Some(expected_public_key(work).await?);
    }
    let (next, receipt) = finish::with_receipts(work, next).await?;
    work.store(next, [entry].into_iter().chain(receipt).collect(), Vec::new()).await
}

async fn quarantine(work: &mut Work, current: &Current, reason: String) -> Result<(), Setback> {
    let entry = work.entry(Kind::Quarantined, json!({ "write": current.index, "reason": reason }));
    let event = WriteEvent::Quarantined { reason: reason.clone() };
    work.write_happens(current.index, event, entry, Vec::new()).await?;
    Err(Setback::park(ParkReason::Quarantined, reason))
}

/// Which of the two key sets does the Security Domain answer under?
async fn key_set(work: &Work, current: &Current, candidate: Uuid) -> Result<Finding, Setback> {
    let peer = work.peer()?;
    let target = current.granted.security_domain;
    let fresh = wanted(current.granted.fresh, "new Key Version Number")?;
    match read::look(&work.app, &peer, target, fresh).await? {
        Look::Proven(proof) if proof.key_set == candidate => {
            return Ok(Finding::Applied(evidence(&proof, fresh, "answers under the new key set")));
        }
        Look::Proven(_) => {
            return Ok(Finding::Contradiction("another attempt's key set is on the SE".into()));
        }
        Look::Stranger => {
            return Ok(Finding::Contradiction(
                "a key set of ours is on the SE that custody lacks".into(),
            ));
        }
        // Hearsay, so only a hint where to look next.
        Look::Hearsay(_) => {}
    }
    let prior = match current.granted.prior {
        Some(prior) => prior,
        None => work.live()?.kvn,
    };
    match read::look(&work.app, &peer, target, prior).await? {
        Look::Proven(proof) => Ok(prior_is_there(current, &proof, prior, fresh)),
        Look::Stranger => {
            Ok(Finding::Contradiction("the old key set's number answers under other keys".into()))
        }
        Look::Hearsay(status) => {
            Ok(Finding::Nothing(format!("neither key set answered; the last word was {status}")))
        }
    }
}

/// The old set is proven to be there. With renumbering that alone says the write did not happen; beside it, only the template does.
fn prior_is_there(
    current: &Current,
    proof: &Proof,
    prior: KeyVersionNumber,
    fresh: KeyVersionNumber,
) -> Finding {
    let lists_fresh = proof.template.as_ref().map(|template| template.has_set(fresh));
    match (current.granted.prior.is_some(), lists_fresh) {
        (_, Some(true)) => {
            Finding::Nothing("the Key Information Template lists the new key set".into())
        }
        (true, _) => {
            let how = match proof.how {
                EvidenceClass::KeyInformationTemplate => EvidenceClass::ProbeRMac,
                other => other,
            };
            let detail = format!("the key set {prior} it would have replaced is alive");
            Finding::NotApplied(Evidence { how, detail })
        }
        (false, Some(false)) => {
            Finding::NotApplied(evidence(proof, fresh, "is not in the Key Information Template"))
        }
        (false, None) => Finding::Nothing("no Key Information Template under R-MAC".into()),
    }
}

/// The second session: under the new set, and the set it replaced is gone.
async fn key_set_is_live(
    work: &Work,
    current: &Current,
    candidate: Uuid,
) -> Result<Finding, Setback> {
    let peer = work.peer()?;
    let fresh = wanted(current.granted.fresh, "new Key Version Number")?;
    match read::look(&work.app, &peer, current.granted.security_domain, fresh).await? {
        Look::Proven(proof) if proof.key_set == candidate => {
            let template = proof.template.as_ref();
            let missing = template.is_some_and(|template| !template.has_set(fresh));
            let remains = current
                .granted
                .prior
                .zip(template)
                .is_some_and(|(prior, template)| template.has_set(prior));
            if missing || remains {
                return Ok(Finding::Contradiction(
                    "the Key Information Template contradicts the session it was read in".into(),
                ));
            }
            Ok(Finding::Applied(evidence(&proof, fresh, "opened a second session")))
        }
        Look::Proven(_) | Look::Stranger => {
            Ok(Finding::Contradiction("the new key set's number answers under other keys".into()))
        }
        Look::Hearsay(status) => {
            Ok(Finding::Nothing(format!("the new key set was answered {status}")))
        }
    }
}

/// A key set was to be deleted: the template, read in a session under the set that stays, says whether it is gone.
async fn deletion(work: &Work, current: &Current) -> Result<Finding, Setback> {
    let peer = work.peer()?;
    let live = work.live()?;
    let prior = wanted(current.granted.prior, "old Key Version Number")?;
    match read::look(&work.app, &peer, current.granted.security_domain, live.kvn).await? {
        Look::Proven(proof) if proof.key_set == live.key_set => Ok(match &proof.template {
            Some(template) if template.has_set(prior) => {
                Finding::NotApplied(evidence(&proof, prior, "is still listed"))
            }
            Some(_) => Finding::Applied(evidence(&proof, prior, "is no longer listed")),
            None => Finding::Nothing("no Key Information Template under R-MAC".into()),
        }),
        Look::Proven(_) | Look::Stranger => {
            Ok(Finding::Contradiction("the live key set's number answers under other keys".into()))
        }
        Look::Hearsay(status) => Ok(Finding::Nothing(format!("the SE answered {status}"))),
    }
}

/// The application probe: the instance's life cycle, then the public key it holds.
async fn application(work: &Work, current: &Current, candidate: Uuid) -> Result<Finding, Setback> {
    let peer = work.peer()?;
    let live = work.live()?;
    let applet = wanted(current.granted.applet, "applet")?;
    let service = work.service()?;
    let probe = wanted(service.profile.probe.as_ref(), "application probe")?;
    let how = EvidenceClass::ApplicationProbe;

    let life_cycle = life_cycle(work, &peer, current.granted.security_domain, applet).await?;
    let Some(life_cycle) = life_cycle else {
        return Ok(Finding::Contradiction("the applet is no longer in the registry".into()));
    };
    if life_cycle != probe.life_cycle {
        let detail = format!("the instance is in life cycle {life_cycle:02X} under R-MAC");
        return Ok(Finding::NotApplied(Evidence { how, detail }));
    }
    let read =
        read::application_data(&work.app, &peer, applet, live.kvn, live.key_set, probe.tag).await?;
    let held = public_key_digest(&read, probe.tag);
    let expected = custody_public_key(work, candidate).await?;
    if held != Some(expected) {
        return Ok(Finding::Contradiction("the application holds another public key".into()));
    }
    let detail =
        format!("life cycle {life_cycle:02X} and data object {:04X} under R-MAC", probe.tag);
    Ok(Finding::Applied(Evidence { how, detail }))
}

async fn life_cycle(
    work: &Work,
    peer: &Peer,
    security_domain: Aid,
    applet: Aid,
) -> Result<Option<u8>, Setback> {
    let live = work.live()?;
    let session = Session::begin(&work.app, peer, security_domain).await?;
    let secured = session.secure(security_domain, live.kvn, live.key_set).await?;
    let (entries, secured) = read::registry(secured, Scope::Applications).await?;
    secured.end().await;
    Ok(entries.into_iter().find(|entry| entry.aid == applet).map(|entry| entry.life_cycle))
}

/// The digest inside the data object.
fn public_key_digest(data: &[u8], tag: u16) -> Option<Digest> {
    let value = tlv::find(data, u32::from(tag)).ok().flatten()?;
    <[u8; 32]>::try_from(value).ok().map(Digest)
}

async fn custody_public_key(work: &Work, payload: Uuid) -> Result<Digest, Setback> {
    let row = wanted(work.app.custody.payload(payload).await?, "payload in custody")?;
    Ok(row.public_key_sha256)
}

async fn expected_public_key(work: &Work) -> Result<Digest, Setback> {
    custody_public_key(work, super::write::payload(work)?).await
}

fn evidence(proof: &Proof, kvn: KeyVersionNumber, what: &str) -> Evidence {
    Evidence { how: proof.how, detail: format!("key set {kvn} {what}") }
}
