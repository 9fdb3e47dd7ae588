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
use crate::{
    audit::Kind,
    digest::Digest,
    store::{Change, SeRecord},
};

/// A cryptogram under no key set of ours proves nothing: anybody on the way can have made it up.
const STRANGER: &str = "an answer under no key set of ours";

/// INSTALLED and SELECTABLE (CS Table 11-4): an instance that holds no data of a subject.
const UNPERSONALIZED: [u8; 2] = [0x03, 0x07];

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
    let finding = match current.granted.kind {
        WriteKind::SdKeyset => key_set(work, current, candidate).await?,
        WriteKind::SdKeysetDelete => deletion(work, current).await?,
        WriteKind::AppKey => application(work, current, candidate).await?,
    };
    // Only a probe that reached the SE counts. It is stored with whatever is stored next.
    work.order.probes += 1;
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

/// What the SE proves contradicts every record: nothing more is sent to it, by this order or another.
async fn quarantine(work: &mut Work, current: &Current, reason: String) -> Result<(), Setback> {
    let entry = work.entry(Kind::Quarantined, json!({ "write": current.index, "reason": reason }));
    let event = WriteEvent::Quarantined { reason: reason.clone() };
    let se = SeRecord { quarantined: Some(reason.clone()), ..work.se.clone() };
    work.write_happens(current.index, event, entry, vec![Change::PutSe(se)]).await?;
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
        // Nobody proved anything, so only a hint where to look next.
        Look::Stranger | Look::Hearsay(_) => {}
    }
    let live = work.live()?;
    match read::look(&work.app, &peer, target, live.kvn).await? {
        Look::Proven(proof) if proof.key_set == live.key_set => {
            Ok(prior_is_there(current, &proof, live.kvn, fresh))
        }
        Look::Proven(_) => {
            Ok(Finding::Contradiction("the old key set's number answers under another set".into()))
        }
        Look::Stranger => Ok(Finding::Nothing(STRANGER.into())),
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
    let lists_fresh = proof.template.as_ref().map(|template| template.has_any_of(fresh));
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
                .is_some_and(|(prior, template)| template.has_any_of(prior));
            if missing || remains {
                return Ok(Finding::Contradiction(
                    "the Key Information Template contradicts the session it was read in".into(),
                ));
            }
            Ok(Finding::Applied(evidence(&proof, fresh, "opened a second session")))
        }
        Look::Proven(_) => {
            Ok(Finding::Contradiction("the new key set's number answers under another set".into()))
        }
        Look::Stranger => Ok(Finding::Nothing(STRANGER.into())),
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
            Some(template) if template.has_any_of(prior) => {
                Finding::Contradiction(format!("a part of key set {prior} is left"))
            }
            Some(_) => Finding::Applied(evidence(&proof, prior, "is no longer listed")),
            None => Finding::Nothing("no Key Information Template under R-MAC".into()),
        }),
        Look::Proven(_) => {
            Ok(Finding::Contradiction("the live key set's number answers under another set".into()))
        }
        Look::Stranger => Ok(Finding::Nothing(STRANGER.into())),
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

    let found = life_cycle(work, &peer, current.granted.security_domain, applet).await?;
    let life_cycle = match found {
        Some(life_cycle) if life_cycle == probe.life_cycle => life_cycle,
        Some(life_cycle) if UNPERSONALIZED.contains(&life_cycle) => {
            let detail = format!("the instance is in life cycle {life_cycle:02X} under R-MAC");
            return Ok(Finding::NotApplied(Evidence { how, detail }));
        }
        // Locked by its issuer, or in a state of its own: neither says whether the key is there.
        Some(life_cycle) => {
            return Ok(Finding::Nothing(format!("the instance is in life cycle {life_cycle:02X}")));
        }
        None => return Ok(Finding::Nothing("the applet was not listed".into())),
    };
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
