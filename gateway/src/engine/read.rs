//! What is read from an SE under R-MAC: its registry, its key sets, an application's public key.

use order::{EvidenceClass, ParkReason};
use scp::{
    Aid, Answered, CommandApdu, KeyVersionNumber, Script, StatusWord,
    content::{
        get_data::{self, KeyInformationTemplate},
        registry::{self, Entry},
        status_data::{self, Scope},
    },
};
use uuid::Uuid;

use super::{
    session::{Challenge, Peer, Secured, Session},
    setback::Setback,
};
use crate::{app::App, custody::KeySetRow};

/// GET DATA tag of the Key Information Template (CS 11.3.3.1).
const KEY_INFORMATION_TEMPLATE: u16 = 0x00E0;
/// More GET STATUS data to come (CS 11.4.3).
const MORE_STATUS_DATA: StatusWord = StatusWord(0x6310);
/// GET STATUS found nothing (CS 11.4.3).
const NOTHING_FOUND: StatusWord = StatusWord(0x6A88);
/// Pages of GET STATUS read at most.
const PAGES_MAX: usize = 32;

/// What a session under one Key Version Number showed.
pub(super) enum Look {
    /// A session with this key set was proven.
    Proven(Proof),
    /// The SE answered with a cryptogram of no key set we ever had for it.
    Stranger,
    /// Only words without protection came back.
    Hearsay(StatusWord),
}

/// A session in which the SE proved that it is there and took our EXTERNAL AUTHENTICATE.
pub(super) struct Proof {
    /// Which of our key sets it answered under.
    pub(super) key_set: Uuid,
    /// How the session was proven.
    pub(super) how: EvidenceClass,
    /// The Security Domain's key sets, where R-MAC covers them.
    pub(super) template: Option<KeyInformationTemplate>,
}

/// Opens a session under `kvn`, tries every candidate's cryptogram, and proves the session by an answer after EXTERNAL AUTHENTICATE.
pub(super) async fn look(
    app: &App,
    peer: &Peer,
    security_domain: Aid,
    kvn: KeyVersionNumber,
) -> Result<Look, Setback> {
    let candidates = candidates(app, peer, security_domain, kvn).await?;
    let session = Session::begin(app, peer, security_domain).await?;
    let challenged = match session.challenge(security_domain, kvn).await? {
        Challenge::Answered(challenged) => *challenged,
        Challenge::Hearsay(status) => {
            session.end().await;
            return Ok(Look::Hearsay(status));
        }
    };
    let mut matched = None;
    for candidate in candidates {
        let answer = app.custody.answer(candidate.uuid, challenged.derivations()).await?;
        if challenged.card_cryptogram_matches(&answer) {
            matched = Some(candidate.uuid);
        }
    }
    let Some(key_set) = matched else {
        session.end().await;
        return Ok(Look::Stranger);
    };
    let before = challenged.sequence_counter();
    let secured = session.authenticate(challenged, key_set).await?;
    if peer.profile.level.has_r_mac() {
        let (answered, secured) = one(secured, get_data::command(KEY_INFORMATION_TEMPLATE)).await?;
        secured.end().await;
        let template = KeyInformationTemplate::parse(proven(&answered)?)
            .map_err(|error| Setback::park(ParkReason::Misbehaved, error.to_string()))?;
        return Ok(Look::Proven(Proof {
            key_set,
            how: EvidenceClass::KeyInformationTemplate,
            template: Some(template),
        }));
    }
    secured.end().await;
    higher_counter(app, peer, security_domain, kvn, key_set, before).await
}

/// Without R-MAC: a further INITIALIZE UPDATE, its cryptogram verified, with a higher sequence counter.
async fn higher_counter(
    app: &App,
    peer: &Peer,
    security_domain: Aid,
    kvn: KeyVersionNumber,
    key_set: Uuid,
    before: Option<u32>,
) -> Result<Look, Setback> {
    let session = Session::begin(app, peer, security_domain).await?;
    let challenge = session.challenge(security_domain, kvn).await?;
    session.end().await;
    let challenged = match challenge {
        Challenge::Answered(challenged) => challenged,
        Challenge::Hearsay(status) => return Ok(Look::Hearsay(status)),
    };
    let answer = app.custody.answer(key_set, challenged.derivations()).await?;
    let grew = challenged.sequence_counter().zip(before).is_some_and(|(now, then)| now > then);
    if !grew || !challenged.card_cryptogram_matches(&answer) {
        return Err(Setback::park(
            ParkReason::Unresolved,
            "without R-MAC and without a growing sequence counter nothing can be proven",
        ));
    }
    Ok(Look::Proven(Proof { key_set, how: EvidenceClass::ProbeHigherCounter, template: None }))
}

async fn candidates(
    app: &App,
    peer: &Peer,
    security_domain: Aid,
    kvn: KeyVersionNumber,
) -> Result<Vec<KeySetRow>, Setback> {
    let mut rows = app.custody.key_sets_of(peer.se.as_str(), &security_domain).await?;
    rows.retain(|row| row.kvn == kvn);
    Ok(rows)
}

/// The entries of the SE's registry our Security Domain may see, each from a page under R-MAC. What is not among them may be there all
/// the same: the end of the list, "nothing found", carries no R-MAC.
pub(super) async fn registry(
    mut secured: Secured<'_>,
    scope: Scope,
) -> Result<(Vec<Entry>, Secured<'_>), Setback> {
    let mut entries = Vec::new();
    for page in 0..PAGES_MAX {
        let (answered, rest) = one(secured, status_data::get_status(scope, page > 0)).await?;
        secured = rest;
        if answered.status() == NOTHING_FOUND {
            return Ok((entries, secured));
        }
        let parsed = registry::parse(scope, proven(&answered)?)
            .map_err(|error| Setback::park(ParkReason::Misbehaved, error.to_string()))?;
        entries.extend(parsed);
        if answered.status() != MORE_STATUS_DATA {
            return Ok((entries, secured));
        }
    }
    Err(Setback::park(ParkReason::Misbehaved, "GET STATUS does not come to an end"))
}

/// A data object of the application in a session the application itself opened.
pub(super) async fn application_data(
    app: &App,
    peer: &Peer,
    applet: Aid,
    kvn: KeyVersionNumber,
    key_set: Uuid,
    tag: u16,
) -> Result<Vec<u8>, Setback> {
    let session = Session::begin(app, peer, applet).await?;
    let secured = session.secure(applet, kvn, key_set).await?;
    let (answered, secured) = one(secured, get_data::command(tag)).await?;
    secured.end().await;
    proven(&answered).map(<[u8]>::to_vec)
}

/// Runs one command; the channel has to survive it.
pub(super) async fn one(
    secured: Secured<'_>,
    command: CommandApdu,
) -> Result<(Answered, Secured<'_>), Setback> {
    let script = Script::new(vec![command])
        .map_err(|error| Setback::park(ParkReason::Misbehaved, error.to_string()))?;
    let (mut answers, rest) = secured.run(script).await?;
    match (answers.pop(), rest) {
        (Some(answered), Some(secured)) => Ok((answered, secured)),
        _ => Err(Setback::wait("the session ended before the SE answered")),
    }
}

/// The data of an answer a valid R-MAC covers.
fn proven(answered: &Answered) -> Result<&[u8], Setback> {
    if answered.is_authenticated() {
        Ok(answered.data())
    } else {
        Err(Setback::wait(format!("the SE answered {} without an R-MAC", answered.status())))
    }
}
