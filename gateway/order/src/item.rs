//! One entry of an order's list of key writes: what is to be written, and how often it was tried.

use serde::{Deserialize, Serialize};

use crate::{Evidence, EvidenceClass, IllegalEvent, WriteEvent, WriteState, write_transition};

/// Most attempts one authorization may allow for one key write.
pub const ATTEMPTS_MOST: u32 = 5;

/// What a key write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteKind {
    /// A Security Domain's key set: PUT KEY.
    SdKeyset,
    /// The removal of a Security Domain's old key set: DELETE \[key\].
    SdKeysetDelete,
    /// An application's whole personalization: private key, certificate, PIN.
    AppKey,
}

/// One key write as the authorization fixes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedWrite {
    /// What it changes.
    pub kind: WriteKind,
    /// Attempts allowed, 1 to [`ATTEMPTS_MOST`].
    pub attempts_max: u32,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Proven to be on the SE.
    Applied,
    /// Proven not to be on the SE.
    NotApplied,
    /// Not known yet.
    Unresolved,
}

/// The candidate staged last, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastAttempt {
    /// Custody's name of it, a uuid.
    pub candidate: Option<String>,
    /// Its Key Version Number, two hex digits.
    pub kvn: Option<String>,
    /// Its Key Check Values joined, upper-case hex.
    pub kcv: Option<String>,
    /// What became of it; none before it was sent, nor before its answer was judged.
    pub verdict: Option<Verdict>,
}

/// One key write of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyWriteItem {
    /// What it changes.
    pub kind: WriteKind,
    /// Where it stands.
    pub state: WriteState,
    /// Attempts made: how often it was `Sent`.
    pub attempts: u32,
    /// Attempts the authorization allows.
    pub attempts_max: u32,
    /// The candidate staged last.
    pub last: Option<LastAttempt>,
}

impl KeyWriteItem {
    /// A write nothing has happened to yet.
    ///
    /// # Errors
    /// [`IllegalEvent::Plan`] when the attempts allowed are not 1 to [`ATTEMPTS_MOST`].
    pub fn planned(plan: &PlannedWrite) -> Result<Self, IllegalEvent> {
        if !(1..=ATTEMPTS_MOST).contains(&plan.attempts_max) {
            return Err(IllegalEvent::Plan);
        }
        Ok(Self {
            kind: plan.kind,
            state: WriteState::Planned,
            attempts: 0,
            attempts_max: plan.attempts_max,
            last: None,
        })
    }

    /// Whether another attempt is allowed.
    pub fn may_attempt(&self) -> bool {
        self.attempts < self.attempts_max
    }

    /// The write after `event`: its state, its attempts and its last candidate.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the state does not take the event, the attempts are spent, or the
    /// evidence cannot carry the verdict for a write of this kind.
    pub fn after(&self, event: &WriteEvent) -> Result<Self, IllegalEvent> {
        let state = write_transition(&self.state, event)?;
        let mut next = Self { state, ..self.clone() };
        match event {
            WriteEvent::Staged { candidate, kvn, kcv } => {
                next.last = Some(LastAttempt {
                    candidate: Some(candidate.clone()),
                    kvn: kvn.clone(),
                    kcv: kcv.clone(),
                    verdict: None,
                });
            }
            WriteEvent::Sent { .. } => {
                self.check_attempts()?;
                next.attempts = self.attempts.saturating_add(1);
            }
            WriteEvent::Retry => self.check_attempts()?,
            WriteEvent::Unresolved => next.judge(Verdict::Unresolved),
            WriteEvent::Applied { evidence } => {
                if evidence.how != EvidenceClass::RMacAnswer {
                    self.check_evidence(evidence)?;
                }
                next.judge(Verdict::Applied);
            }
            WriteEvent::NotApplied { evidence } => {
                self.check_evidence(evidence)?;
                next.judge(Verdict::NotApplied);
            }
            WriteEvent::Confirmed { evidence } => self.check_evidence(evidence)?,
            WriteEvent::ChannelOpened
            | WriteEvent::ChannelLost
            | WriteEvent::Late { .. }
            | WriteEvent::Quarantined { .. } => {}
        }
        Ok(next)
    }

    fn judge(&mut self, verdict: Verdict) {
        self.last.get_or_insert_default().verdict = Some(verdict);
    }

    fn check_attempts(&self) -> Result<(), IllegalEvent> {
        if self.may_attempt() {
            return Ok(());
        }
        Err(IllegalEvent::AttemptsSpent { attempts_max: self.attempts_max })
    }

    fn check_evidence(&self, evidence: &Evidence) -> Result<(), IllegalEvent> {
        if evidence.how.settles(self.kind) {
            return Ok(());
        }
        Err(IllegalEvent::Evidence { how: evidence.how })
    }
}
