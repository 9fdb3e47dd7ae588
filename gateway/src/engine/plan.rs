//! What an order will write, and the words of it the counter signs.

use authority::{
    Action, AppKeyDetails, AuthorizationDetails, DetailsType, KeysetDetails, SecureElementId,
};
use order::{ParkReason, PlannedWrite, WriteKind};
use scp::{Aid, KeyVersionNumber, SeProfile, ServiceProfile, Takeover};

use super::setback::Setback;
use crate::{
    digest::Digest,
    store::{GrantedWrite, OrderRecord, SeRecord},
};

/// Key Version Numbers SCP03 key sets may have.
const KVN_FIRST: u8 = 0x30;
const KVN_LAST: u8 = 0x3F;

/// The key writes of one `issue`, fixed when the token is consumed.
#[derive(Debug, Clone)]
pub(crate) struct IssuePlan {
    /// The set on the SE now.
    pub(crate) prior: KeyVersionNumber,
    /// The set to come.
    pub(crate) fresh: KeyVersionNumber,
    /// The writes in order.
    pub(crate) writes: Vec<GrantedWrite>,
}

impl IssuePlan {
    /// The writes as the order's states list them.
    pub(crate) fn planned(&self) -> Vec<PlannedWrite> {
        let planned = |write: &GrantedWrite| PlannedWrite {
            kind: write.kind,
            attempts_max: write.attempts_max,
        };
        self.writes.iter().map(planned).collect()
    }
}

/// The plan for an SE whose live key set and profile are known. `had`: the numbers of every key set custody ever had for it, so that a
/// new set never takes a number under which an older one could still appear.
pub(crate) fn issue(
    se: &SeRecord,
    had: &[KeyVersionNumber],
    security_domain: Aid,
    profile: &SeProfile,
    service: &ServiceProfile,
    attempts_max: u32,
) -> Result<IssuePlan, Setback> {
    if let Some(why) = &se.quarantined {
        return Err(Setback::park(ParkReason::Quarantined, why.clone()));
    }
    let domain = se.security_domain(&security_domain);
    let live = domain
        .and_then(|domain| domain.live.as_ref())
        .ok_or_else(|| Setback::wait("no key set of the SE is on record yet"))?;
    let prior = live.kvn;
    let fresh = next_free(had, prior)
        .ok_or_else(|| Setback::park(ParkReason::Quarantined, "no Key Version Number is free"))?;
    let write = |kind, prior, fresh, applet| GrantedWrite {
        kind,
        se: se.se.clone(),
        security_domain,
        applet,
        prior,
        fresh,
        attempts_max,
    };
    let app_key = write(WriteKind::AppKey, None, None, Some(service.applet));
    let writes = match profile.takeover {
        Takeover::Renumber => {
            vec![write(WriteKind::SdKeyset, Some(prior), Some(fresh), None), app_key]
        }
        Takeover::AddThenDelete => vec![
            write(WriteKind::SdKeyset, None, Some(fresh), None),
            write(WriteKind::SdKeysetDelete, Some(prior), None, None),
            app_key,
        ],
    };
    Ok(IssuePlan { prior, fresh, writes })
}

/// The number after `prior`, going round, that no key set has or had.
fn next_free(had: &[KeyVersionNumber], prior: KeyVersionNumber) -> Option<KeyVersionNumber> {
    let above = (KVN_FIRST..=KVN_LAST).filter(|number| *number > prior.get());
    let below = (KVN_FIRST..=KVN_LAST).filter(|number| *number < prior.get());
    above
        .chain(below)
        .filter_map(|number| KeyVersionNumber::new(number).ok())
        .find(|kvn| !had.contains(kvn))
}

/// What `open` answers and the counter signs; none for an operation no counter authorizes.
pub(crate) fn authorization_details(
    order: &OrderRecord,
    security_domain: Aid,
    plan: &IssuePlan,
    profile: &SeProfile,
    service: &ServiceProfile,
    carrier: &str,
) -> Option<AuthorizationDetails> {
    // The only operation so far; each of the others will have a plan of its own.
    let action = (order.operation == "issue").then_some(Action::Issue)?;
    Some(AuthorizationDetails {
        details_type: DetailsType::KeyWriteV1,
        actions: vec![action],
        locations: vec![format!("tsm:{carrier}")],
        se: secure_element(&order.se),
        sd: security_domain.to_string(),
        applet: service.applet.to_string(),
        keyset: Some(KeysetDetails {
            kvn: plan.fresh.to_string(),
            replaces: Some(plan.prior.to_string()),
            kids: vec!["01".into(), "02".into(), "03".into()],
            alg: format!("AES-{}", profile.key_length.bytes() * 8),
        }),
        appkey: Some(AppKeyDetails { slot: "auth".into(), alg: "RSA-2048".into() }),
        script: Some(script_digest(service, order).to_string()),
        max_uses: 1,
    })
}

/// An EID has 32 digits (GSMA SGP.29), an ICCID at most 20 (ITU-T E.118).
fn secure_element(se: &str) -> SecureElementId {
    if se.len() == 32 {
        SecureElementId::Eid(se.to_owned())
    } else {
        SecureElementId::Iccid(se.to_owned())
    }
}

/// What stands for the script the counter cannot see: the service's template and the order as accepted.
fn script_digest(service: &ServiceProfile, order: &OrderRecord) -> Digest {
    Digest::of(&[service.name.as_bytes(), &[0], &order.body_sha256.0])
}
