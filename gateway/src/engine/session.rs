//! A conversation with one SE through its carrier, and the secure channel inside it.
//!
//! Only reads, content management and granted scripts pass: `scp` builds nothing else that a carrier takes.

use std::sync::Arc;

use aws_lc_rs::rand;
use carriers::{Begin, CallId, Carrier, Conversation, SeId};
use order::ParkReason;
use scp::{
    Aid, Answered, Challenged, Channel, ContentRules, Custody as FromCustody, KeyVersionNumber,
    KeyWritePermit, Outbound, Script, SeProfile, Selected, StatusWord,
    permit::{Bound, GrantedScript},
    scp03::initiate::InitiateError,
};
use uuid::Uuid;

use super::setback::Setback;
use crate::{app::App, custody::Custody};

/// Whom to reach and how its channels are opened.
pub(super) struct Peer {
    pub(super) carrier: Arc<dyn Carrier>,
    pub(super) se: SeId,
    pub(super) service: String,
    pub(super) profile: SeProfile,
    pub(super) rules: ContentRules,
    /// Key Diversification Data on record; another value is another SE.
    pub(super) key_diversification_data: Option<[u8; 10]>,
    pub(super) validity_ms: u64,
}

/// An open conversation; at most one secure channel at a time.
pub(super) struct Session<'a> {
    peer: &'a Peer,
    custody: Custody,
    conversation: Conversation,
}

/// An open conversation whose channel is authenticated.
pub(super) struct Secured<'a> {
    session: Session<'a>,
    channel: Channel<FromCustody>,
}

/// What INITIALIZE UPDATE brought.
pub(super) enum Challenge {
    /// The SE answered; nothing is proven yet.
    Answered(Box<Challenged>),
    /// A status word without protection: a hint, hearsay.
    Hearsay(StatusWord),
}

impl<'a> Session<'a> {
    /// Opens a conversation towards the application `target`.
    pub(super) async fn begin(app: &App, peer: &'a Peer, target: Aid) -> Result<Self, Setback> {
        let begin = Begin {
            call: call(),
            se: peer.se.clone(),
            service: peer.service.clone(),
            target,
            script_bytes_estimate: 4_096,
        };
        let conversation = peer.carrier.begin(&begin).await?;
        Ok(Session { peer, custody: app.custody.clone(), conversation })
    }

    /// SELECT and INITIALIZE UPDATE with a fresh host challenge.
    pub(super) async fn challenge(
        &self,
        target: Aid,
        kvn: KeyVersionNumber,
    ) -> Result<Challenge, Setback> {
        let peer = self.peer;
        let selected = Selected::new(target, kvn, &peer.profile, peer.rules.clone())
            .map_err(|error| Setback::park(ParkReason::ProfileMismatch, error.to_string()))?;
        let (initiating, _) = selected.initialize_update(host_challenge()?);
        let answers = self.send(Outbound::select(&target).then(initiating.outbound())).await?;
        let [select, update] = answers.as_slice() else {
            // The carrier stops at an error status word: SELECT was refused, or an answer is missing.
            return match answers.first().and_then(|answer| bare_status(answer)) {
                Some(status) => Ok(Challenge::Hearsay(status)),
                None => Err(Setback::wait("no answer to SELECT and INITIALIZE UPDATE")),
            };
        };
        if !bare_or_last_status(select).is_some_and(|status| status.is_success()) {
            return Err(Setback::wait("SELECT was not answered with 9000"));
        }
        match initiating.answer(update) {
            Ok(challenged) => {
                self.same_se(&challenged)?;
                Ok(Challenge::Answered(Box::new(challenged)))
            }
            Err(InitiateError::CardRefused(status)) => Ok(Challenge::Hearsay(status)),
            Err(error) => Err(error.into()),
        }
    }

    /// Proves the SE by its cryptogram under `key_set`, then ourselves.
    ///
    /// No EXTERNAL AUTHENTICATE leaves unless the cryptogram verified.
    pub(super) async fn authenticate(
        self,
        challenged: Challenged,
        key_set: Uuid,
    ) -> Result<Secured<'a>, Setback> {
        let answer = self.custody.answer(key_set, challenged.derivations()).await?;
        let verified = challenged.verify(answer)?;
        let level = self.peer.profile.level;
        let (authenticating, outbound) = verified
            .external_authenticate(level)
            .map_err(|error| Setback::park(ParkReason::ProfileMismatch, error.to_string()))?;
        let answers = self.send(outbound).await?;
        let [answer] = answers.as_slice() else {
            return Err(Setback::wait("no answer to EXTERNAL AUTHENTICATE"));
        };
        let channel = authenticating.answer(answer)?;
        Ok(Secured { session: self, channel })
    }

    /// [`Session::challenge`] and [`Session::authenticate`] under a set that has to be there.
    pub(super) async fn secure(
        self,
        target: Aid,
        kvn: KeyVersionNumber,
        key_set: Uuid,
    ) -> Result<Secured<'a>, Setback> {
        match self.challenge(target, kvn).await? {
            Challenge::Answered(challenged) => self.authenticate(*challenged, key_set).await,
            Challenge::Hearsay(status) => Err(Setback::wait(format!(
                "the SE answered {status} instead of a challenge under key version {kvn}"
            ))),
        }
    }

    /// Ends the conversation; that it ends is the carrier's affair, so a failure is only logged.
    pub(super) async fn end(self) {
        if let Err(error) = self.peer.carrier.end(self.conversation, &call()).await {
            tracing::debug!(%error, "the carrier did not end a conversation");
        }
    }

    async fn send(&self, script: Outbound) -> Result<Vec<Vec<u8>>, Setback> {
        let answer = self
            .peer
            .carrier
            .send_script(&self.conversation, &call(), script, self.peer.validity_ms)
            .await?;
        Ok(answer.responses)
    }

    /// Key Diversification Data is no proof, but says plainly that this is another SE.
    fn same_se(&self, challenged: &Challenged) -> Result<(), Setback> {
        match self.peer.key_diversification_data {
            Some(known) if known != *challenged.key_diversification_data() => Err(Setback::park(
                ParkReason::SecureElementNotOnRecord,
                "the Key Diversification Data are not those on record",
            )),
            _ => Ok(()),
        }
    }
}

impl<'a> Secured<'a> {
    /// Runs commands that read or manage content. Answers may be fewer than commands: the channel is gone then.
    pub(super) async fn run(
        self,
        script: Script,
    ) -> Result<(Vec<Answered>, Option<Secured<'a>>), Setback> {
        let (awaiting, outbound) = self.channel.wrap(script).map_err(|error| {
            Setback::park(ParkReason::Misbehaved, format!("script not wrapped: {error}"))
        })?;
        let answers = self.session.send(outbound).await?;
        let unwrapped =
            awaiting.unwrap(&answers).map_err(|error| Setback::wait(error.to_string()))?;
        let session = self.session;
        Ok((unwrapped.answers, unwrapped.channel.map(|channel| Secured { session, channel })))
    }

    /// The channel a permit is granted on.
    pub(super) fn channel(&self) -> &Channel<FromCustody> {
        &self.channel
    }

    /// Wraps a granted script. Its bytes cannot be had before [`super::write`] has committed `Sent`.
    pub(super) fn wrap_granted(
        self,
        permit: KeyWritePermit<Bound>,
    ) -> Result<(InFlight<'a>, GrantedScript), Setback> {
        let (awaiting, granted) = self.channel.wrap_granted(permit).map_err(|error| {
            Setback::park(ParkReason::Misbehaved, format!("key script not wrapped: {error}"))
        })?;
        Ok((InFlight { session: self.session, awaiting }, granted))
    }

    /// Ends the conversation.
    pub(super) async fn end(self) {
        self.session.end().await;
    }
}

/// A conversation with a granted script prepared, to be sent once.
pub(super) struct InFlight<'a> {
    session: Session<'a>,
    awaiting: scp::Awaiting<FromCustody>,
}

impl InFlight<'_> {
    /// Sends the released bytes, once, and returns what can be told from the answer.
    ///
    /// # Errors
    /// Every error means: it may have reached the SE.
    pub(super) async fn send(self, released: Outbound) -> Result<Vec<Answered>, Setback> {
        let answers = self.session.send(released).await?;
        let unwrapped =
            self.awaiting.unwrap(&answers).map_err(|error| Setback::wait(error.to_string()))?;
        self.session.end().await;
        match unwrapped.channel {
            Some(_) => Ok(unwrapped.answers),
            // Answers are missing, or the SE ended the session.
            None => Err(Setback::wait(format!(
                "{} answers came, the last {}",
                unwrapped.answers.len(),
                unwrapped
                    .answers
                    .last()
                    .map_or(String::from("none"), |last| last.status().to_string())
            ))),
        }
    }
}

fn call() -> CallId {
    CallId::fresh()
}

/// Bytes nobody can foresee, enough for either mode; none is ever used twice.
fn host_challenge() -> Result<[u8; 16], Setback> {
    let mut challenge = [0; 16];
    rand::fill(&mut challenge).map_err(|_| Setback::wait("the random source failed"))?;
    Ok(challenge)
}

fn bare_status(answer: &[u8]) -> Option<StatusWord> {
    match answer {
        [high, low] => Some(StatusWord(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

fn bare_or_last_status(answer: &[u8]) -> Option<StatusWord> {
    answer.last_chunk::<2>().map(|word| StatusWord(u16::from_be_bytes(*word)))
}
