//! One key write: its states, its events and the function between them.

use serde::{Deserialize, Serialize};

use crate::{Evidence, EvidenceClass, IllegalEvent};

/// Where one key write stands.
///
/// `candidate` is the uuid under which custody keeps what is being written: the new key set, the
/// issuer's payload, or, for a deletion, the record of the key set that goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", deny_unknown_fields)]
pub enum WriteState {
    /// Nothing is made and nothing was sent for the attempt to come.
    Planned,
    /// Custody durably holds the candidate and has read it back.
    Staged {
        /// Custody's name of what is to be written.
        candidate: String,
    },
    /// A secure channel with the SE is open and verified; no key-changing byte has left.
    ChannelOpen {
        /// Custody's name of what is to be written.
        candidate: String,
    },
    /// The script was committed to leave. It may be on the SE from here on.
    Sent {
        /// Custody's name of what was written.
        candidate: String,
        /// Hash of both challenges, upper-case hex.
        session: String,
        /// SHA-256 of the plaintext commands, upper-case hex.
        script_sha256: String,
    },
    /// No answer that could be believed. Never sent again; only probes follow.
    Unresolved {
        /// Custody's name of what may be on the SE.
        candidate: String,
        /// Hash of both challenges, upper-case hex.
        session: String,
        /// SHA-256 of the plaintext commands, upper-case hex.
        script_sha256: String,
    },
    /// Proven to be on the SE.
    Applied {
        /// Custody's name of what is on the SE.
        candidate: String,
        /// What proves it.
        evidence: Evidence,
    },
    /// Proven not to be on the SE, and never to arrive there.
    NotApplied {
        /// Custody's name of what is retired.
        candidate: String,
        /// What proves it.
        evidence: Evidence,
    },
    /// Proven a second time, in a session of its own.
    Confirmed {
        /// Custody's name of what is on the SE.
        candidate: String,
        /// What proves it.
        evidence: Evidence,
    },
    /// After confirmation, something judged gone or never there appeared on the SE.
    Late {
        /// Custody's name of what was confirmed.
        candidate: String,
        /// Custody's name of what appeared.
        appeared: String,
        /// What shows it.
        evidence: Evidence,
    },
    /// What the SE holds contradicts the records. Nothing more is sent for this write.
    Quarantined {
        /// Where it stood.
        from: Box<WriteState>,
        /// Why, in words safe to show anyone.
        reason: String,
    },
}

/// What can happen to one key write.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "happened", deny_unknown_fields)]
pub enum WriteEvent {
    /// Custody stored the candidate and read it back.
    Staged {
        /// Custody's name of it: a uuid never used before.
        candidate: String,
        /// Its Key Version Number, two hex digits, where it has one.
        kvn: Option<String>,
        /// Its Key Check Values joined, upper-case hex, where it has them.
        kcv: Option<String>,
    },
    /// The card cryptogram verified and the channel is open.
    ChannelOpened,
    /// The channel is gone and nothing key-changing left through it: a restart, or an error before
    /// `Sent`.
    ChannelLost,
    /// The script is committed to leave.
    Sent {
        /// Hash of both challenges, upper-case hex.
        session: String,
        /// SHA-256 of the plaintext commands, upper-case hex.
        script_sha256: String,
    },
    /// No answer that could be believed came back.
    Unresolved,
    /// Proven to be on the SE.
    Applied {
        /// What proves it.
        evidence: Evidence,
    },
    /// Proven not to be on the SE.
    NotApplied {
        /// What proves it.
        evidence: Evidence,
    },
    /// Proven a second time, in a session of its own.
    Confirmed {
        /// What proves it.
        evidence: Evidence,
    },
    /// Another attempt is to be made, with another candidate.
    Retry,
    /// Something judged gone or never there appeared on the SE.
    Late {
        /// Custody's name of what appeared.
        appeared: String,
        /// What shows it.
        evidence: Evidence,
    },
    /// What the SE holds contradicts the records.
    Quarantined {
        /// Why, in words safe to show anyone.
        reason: String,
    },
}

impl WriteState {
    /// The state's word, as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Planned => "Planned",
            Self::Staged { .. } => "Staged",
            Self::ChannelOpen { .. } => "ChannelOpen",
            Self::Sent { .. } => "Sent",
            Self::Unresolved { .. } => "Unresolved",
            Self::Applied { .. } => "Applied",
            Self::NotApplied { .. } => "NotApplied",
            Self::Confirmed { .. } => "Confirmed",
            Self::Late { .. } => "Late",
            Self::Quarantined { .. } => "Quarantined",
        }
    }

    /// The candidate this state concerns; none while `Planned`.
    pub fn candidate(&self) -> Option<&str> {
        match self {
            Self::Planned => None,
            Self::Staged { candidate }
            | Self::ChannelOpen { candidate }
            | Self::Sent { candidate, .. }
            | Self::Unresolved { candidate, .. }
            | Self::Applied { candidate, .. }
            | Self::NotApplied { candidate, .. }
            | Self::Confirmed { candidate, .. }
            | Self::Late { candidate, .. } => Some(candidate),
            Self::Quarantined { from, .. } => from.candidate(),
        }
    }
}

impl WriteEvent {
    /// The event's word, as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Staged { .. } => "Staged",
            Self::ChannelOpened => "ChannelOpened",
            Self::ChannelLost => "ChannelLost",
            Self::Sent { .. } => "Sent",
            Self::Unresolved => "Unresolved",
            Self::Applied { .. } => "Applied",
            Self::NotApplied { .. } => "NotApplied",
            Self::Confirmed { .. } => "Confirmed",
            Self::Retry => "Retry",
            Self::Late { .. } => "Late",
            Self::Quarantined { .. } => "Quarantined",
        }
    }
}

/// The state one event leads to.
///
/// # Errors
/// [`IllegalEvent`] where the state does not take the event, or the evidence cannot carry the
/// verdict. Attempts and the order of writes are [`transition`](crate::transition)'s to judge.
pub fn write_transition(
    state: &WriteState,
    event: &WriteEvent,
) -> Result<WriteState, IllegalEvent> {
    use WriteEvent as E;
    let illegal = || Err(IllegalEvent::Write { state: state.word(), event: event.word() });
    let quarantined = |reason: &String| {
        Ok(WriteState::Quarantined { from: Box::new(state.clone()), reason: reason.clone() })
    };
    match state {
        WriteState::Planned => match event {
            E::Staged { candidate, .. } => Ok(WriteState::Staged { candidate: candidate.clone() }),
            E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Retry
            | E::Late { .. }
            | E::Quarantined { .. } => illegal(),
        },
        WriteState::Staged { candidate } => match event {
            E::ChannelOpened => Ok(WriteState::ChannelOpen { candidate: candidate.clone() }),
            E::Quarantined { reason } => quarantined(reason),
            E::Staged { .. }
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Retry
            | E::Late { .. } => illegal(),
        },
        WriteState::ChannelOpen { candidate } => match event {
            E::ChannelLost => Ok(WriteState::Staged { candidate: candidate.clone() }),
            E::Sent { session, script_sha256 } => Ok(WriteState::Sent {
                candidate: candidate.clone(),
                session: session.clone(),
                script_sha256: script_sha256.clone(),
            }),
            E::Quarantined { reason } => quarantined(reason),
            E::Staged { .. }
            | E::ChannelOpened
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Retry
            | E::Late { .. } => illegal(),
        },
        WriteState::Sent { candidate, session, script_sha256 } => match event {
            E::Applied { evidence } => from_the_answer(candidate, evidence),
            E::Unresolved => Ok(WriteState::Unresolved {
                candidate: candidate.clone(),
                session: session.clone(),
                script_sha256: script_sha256.clone(),
            }),
            E::Quarantined { reason } => quarantined(reason),
            E::Staged { .. }
            | E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Retry
            | E::Late { .. } => illegal(),
        },
        WriteState::Unresolved { candidate, .. } => match event {
            E::Applied { evidence } => {
                let (candidate, evidence) = (candidate.clone(), evidence.clone());
                Ok(WriteState::Applied { candidate, evidence })
            }
            E::NotApplied { evidence } => {
                let evidence = of_a_probe(evidence)?;
                Ok(WriteState::NotApplied { candidate: candidate.clone(), evidence })
            }
            E::Quarantined { reason } => quarantined(reason),
            E::Staged { .. }
            | E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Confirmed { .. }
            | E::Retry
            | E::Late { .. } => illegal(),
        },
        WriteState::Applied { candidate, .. } => match event {
            E::Confirmed { evidence } => {
                let evidence = of_a_probe(evidence)?;
                Ok(WriteState::Confirmed { candidate: candidate.clone(), evidence })
            }
            E::Quarantined { reason } => quarantined(reason),
            E::Staged { .. }
            | E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Retry
            | E::Late { .. } => illegal(),
        },
        WriteState::NotApplied { .. } => match event {
            E::Retry => Ok(WriteState::Planned),
            E::Quarantined { reason } => quarantined(reason),
            E::Staged { .. }
            | E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Late { .. } => illegal(),
        },
        WriteState::Confirmed { candidate, .. } => match event {
            E::Late { appeared, evidence } => Ok(WriteState::Late {
                candidate: candidate.clone(),
                appeared: appeared.clone(),
                evidence: of_a_probe(evidence)?,
            }),
            E::Staged { .. }
            | E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Retry
            | E::Quarantined { .. } => illegal(),
        },
        WriteState::Late { .. } | WriteState::Quarantined { .. } => match event {
            E::Staged { .. }
            | E::ChannelOpened
            | E::ChannelLost
            | E::Sent { .. }
            | E::Unresolved
            | E::Applied { .. }
            | E::NotApplied { .. }
            | E::Confirmed { .. }
            | E::Retry
            | E::Late { .. }
            | E::Quarantined { .. } => illegal(),
        },
    }
}

/// From `Sent` only the write's own authenticated answer shows that it was applied; a probe comes
/// after `Unresolved`, so that the record shows the doubt.
fn from_the_answer(candidate: &str, evidence: &Evidence) -> Result<WriteState, IllegalEvent> {
    if evidence.how != EvidenceClass::RMacAnswer {
        return Err(IllegalEvent::Evidence { how: evidence.how });
    }
    Ok(WriteState::Applied { candidate: candidate.to_owned(), evidence: evidence.clone() })
}

/// The answer to the write is no evidence against it, nor a second session.
fn of_a_probe(evidence: &Evidence) -> Result<Evidence, IllegalEvent> {
    if evidence.how == EvidenceClass::RMacAnswer {
        return Err(IllegalEvent::Evidence { how: evidence.how });
    }
    Ok(evidence.clone())
}
