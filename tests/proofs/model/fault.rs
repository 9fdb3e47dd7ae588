//! What could be wrong with the protocol. The checker must find a counterexample to each.

use crate::Trait;

/// One mistake, seeded into the executors or the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Recovery sends again what was `Sent`.
    ResendOnRecovery,
    /// No answer is taken for "not applied".
    TimeoutIsNotApplied,
    /// A status word without proof, under the new number, is taken for "not applied".
    RefusalIsNotApplied,
    /// 9000 to the key write without an R-MAC is taken for "applied".
    BareSuccessIsApplied,
    /// The prior set's cryptogram is taken for "not applied", without EXTERNAL AUTHENTICATE.
    NegativeWithoutAuthenticate,
    /// So is 9000 to EXTERNAL AUTHENTICATE, which anyone can say.
    NegativeOnBareAuthenticate,
    /// So is a template read outside any session.
    NegativeWithoutSession,
    /// A report of an earlier session is believed.
    StaleReport,
    /// The prior set alone is taken for "not applied" where the new one would stand beside it.
    PriorAloneProves,
    /// Custody forgets the candidate when no answer comes.
    ForgottenCandidate,
    /// Custody stores the candidate only when it was applied.
    CustodyAfterSending,
    /// A new attempt writes the candidate of the one before.
    CandidateUsedAgain,
    /// A new attempt is made while the one before is unresolved.
    RetryWhileUnresolved,
    /// Attempts are not counted.
    AttemptsNotCounted,
    /// The script leaves before `Sent` is committed.
    SendBeforeSent,
    /// The script leaves although the commit of `Sent` conflicted.
    SendDespiteConflict,
    /// The commit of `Sent` does not compare what it read with what is stored.
    SentOnStaleRecord,
    /// No commit does.
    NoCompareAndSet,
    /// Nothing is wrong with us: the SE keeps the sessions before the newest open.
    OlderSessionsStayOpen,
}

impl Fault {
    /// Each fault, and what the SE has to be like for it to show.
    pub(crate) const ALL: [(Fault, &'static [Trait]); 19] = [
        (Fault::ResendOnRecovery, &[]),
        (Fault::TimeoutIsNotApplied, &[]),
        (Fault::RefusalIsNotApplied, &[]),
        (Fault::BareSuccessIsApplied, &[]),
        (Fault::NegativeWithoutAuthenticate, &[Trait::PredictableChallenge]),
        (Fault::NegativeOnBareAuthenticate, &[Trait::PredictableChallenge]),
        (Fault::NegativeWithoutSession, &[]),
        (Fault::StaleReport, &[Trait::Additive]),
        (Fault::PriorAloneProves, &[Trait::Additive]),
        (Fault::ForgottenCandidate, &[]),
        (Fault::CustodyAfterSending, &[]),
        (Fault::CandidateUsedAgain, &[]),
        (Fault::RetryWhileUnresolved, &[]),
        (Fault::AttemptsNotCounted, &[]),
        (Fault::SendBeforeSent, &[]),
        (Fault::SendDespiteConflict, &[]),
        (Fault::SentOnStaleRecord, &[]),
        (Fault::NoCompareAndSet, &[]),
        (Fault::OlderSessionsStayOpen, &[Trait::OlderSessionsStayOpen]),
    ];

    /// Sessions it takes to show: only a report of the attempt before can be stale, so that fault needs two attempts with their probes.
    pub(crate) fn sessions(self) -> u8 {
        match self {
            Fault::StaleReport => 4,
            _ => 3,
        }
    }
}
