//! The modelled executor: the engine's steps around the production functions that move an order.
//!
//! Whatever an executor holds in memory is lost in a crash. Its copy of the record is as old as its last read or commit; whether it is
//! still the stored one is all that compare-and-set asks, so that is kept instead of a version number.

use std::sync::Arc;

use order::{
    Evidence, EvidenceClass, IllegalEvent, KeyWriteItem, OrderEvent, OrderState, ParkReason,
    WriteEvent, WriteState, transition,
};

use crate::{
    Candidate, KeySet, Protocol, Session, State, Trait,
    carrier::{Answer, Command, Report},
    fault::Fault,
};

/// One executor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Executor {
    /// Started, with nothing in hand.
    Idle,
    /// Working on the order.
    Working {
        /// The record as it was read or committed last.
        order: Arc<OrderState>,
        /// Whether that is what is stored.
        current: bool,
        /// What it is about to do or waits for.
        step: Step,
    },
}

/// What an executor is about to do or waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// To act by the record's state.
    Fetched,
    /// For a challenge, to write.
    Opening { host: u8 },
    /// To commit `Sent`.
    Open(Session),
    /// To release the script: `Sent` is committed.
    Granted(Session),
    /// For the answer to the script.
    InFlight(Session),
    /// For a challenge, to probe.
    Probing { host: u8, fresh: bool },
    /// For a report.
    Reading(Session),
    /// For a report outside any session.
    Looking,
}

/// What an executor may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// The one step its state asks for.
    Advance,
    /// Probe under the prior or the new number. The engine asks for the new one first; what comes back before the prior one is asked
    /// proves nothing, so either may come first here.
    Probe { fresh: bool },
    /// Set the order aside.
    Park,
    /// Take an answer.
    Hear(Answer),
    /// Hear nothing that proves anything.
    Silence,
}

/// The moves an executor has; whether one leads anywhere is [`make`]'s to say.
pub(crate) fn moves(state: &State, executor: usize, moves: &mut Vec<Move>) {
    let Executor::Working { order, step, .. } = &state.executors[executor] else { return };
    match step {
        Step::Fetched => match write(order).state {
            WriteState::Unresolved { .. } | WriteState::Applied { .. } => {
                moves.extend([
                    Move::Probe { fresh: true },
                    Move::Probe { fresh: false },
                    Move::Park,
                ]);
            }
            _ => moves.push(Move::Advance),
        },
        Step::Open(_) | Step::Granted(_) => moves.push(Move::Advance),
        Step::Opening { .. }
        | Step::InFlight(_)
        | Step::Probing { .. }
        | Step::Reading(_)
        | Step::Looking => {
            moves.push(Move::Silence);
            moves.extend(state.carrier.answers.iter().map(|answer| Move::Hear(*answer)));
        }
    }
}

/// The state after a move; none when it leads nowhere.
pub(crate) fn make(
    protocol: &Protocol,
    state: &State,
    executor: usize,
    what: Move,
) -> Option<State> {
    let Executor::Working { order, current, step } = state.executors[executor].clone() else {
        return None;
    };
    let mut hand = Hand { protocol, state: state.clone(), executor, order, current, step };
    match what {
        Move::Advance => hand.advance()?,
        Move::Probe { fresh } => hand.probe(fresh)?,
        Move::Park => hand.park(ParkReason::Unresolved),
        Move::Hear(answer) => hand.hear(answer)?,
        Move::Silence => hand.silence()?,
    }
    Some(hand.put_down())
}

/// An executor at work: its memory, and the world it works on.
struct Hand<'a> {
    protocol: &'a Protocol,
    state: State,
    executor: usize,
    order: Arc<OrderState>,
    current: bool,
    step: Step,
}

/// The commit conflicted: the record was changed by another.
struct Overtaken;

impl Hand<'_> {
    fn advance(&mut self) -> Option<()> {
        match self.step {
            Step::Fetched => self.by_the_record(),
            Step::Open(session) => self.send(session),
            Step::Granted(session) => self.release(session),
            _ => None,
        }
    }

    fn by_the_record(&mut self) -> Option<()> {
        match write(&self.order).state.clone() {
            WriteState::Planned => self.stage(),
            WriteState::Staged { .. } => {
                let host = self.host_challenge()?;
                self.command(Command::Initialize { host, fresh: false });
                self.step = Step::Opening { host };
                Some(())
            }
            WriteState::ChannelOpen { .. } => self.happen(WriteEvent::ChannelLost),
            WriteState::Sent { candidate, .. } if self.has(Fault::ResendOnRecovery) => {
                let candidate = number(&candidate);
                let mut sent = self.state.ledger.sent.iter().rev();
                let (session, _) = *sent.find(|(_, sent)| *sent == candidate)?;
                self.release(session)
            }
            WriteState::Sent { .. } => self.unresolved(),
            WriteState::NotApplied { .. } => self.happen(WriteEvent::Retry),
            WriteState::Unresolved { .. }
            | WriteState::Applied { .. }
            | WriteState::Confirmed { .. }
            | WriteState::Late { .. } => None,
            WriteState::Quarantined { .. } => {
                self.park(ParkReason::Quarantined);
                Some(())
            }
        }
    }

    /// Custody first; the record after it.
    fn stage(&mut self) -> Option<()> {
        let last = write(&self.order).last.clone().and_then(|last| last.candidate);
        let candidate = match last {
            Some(last) if self.has(Fault::CandidateUsedAgain) => number(&last),
            _ => self.state.candidates + 1,
        };
        if candidate > self.protocol.bounds.candidates {
            return None;
        }
        self.state.candidates = self.state.candidates.max(candidate);
        if !self.has(Fault::CustodyAfterSending) {
            self.state.custody.insert(candidate);
        }
        self.happen(WriteEvent::Staged { candidate: candidate.to_string(), kvn: None, kcv: None })
    }

    /// Commits `Sent`; only what was committed is released.
    fn send(&mut self, session: Session) -> Option<()> {
        let candidate = number(write(&self.order).state.candidate()?);
        if self.has(Fault::SendBeforeSent) {
            self.script_leaves(session, candidate);
        }
        let event = WriteEvent::Sent {
            session: format!("{session:?}"),
            script_sha256: String::from("script"),
        };
        match self.commit_event(event)? {
            Ok(()) => {
                self.state.ledger.sent.insert((session, candidate));
                self.step = if self.has(Fault::SendBeforeSent) {
                    Step::InFlight(session)
                } else {
                    Step::Granted(session)
                };
            }
            Err(Overtaken) if self.has(Fault::SendDespiteConflict) => {
                self.script_leaves(session, candidate);
            }
            Err(Overtaken) => {}
        }
        Some(())
    }

    fn release(&mut self, session: Session) -> Option<()> {
        let candidate = number(write(&self.order).state.candidate()?);
        self.script_leaves(session, candidate);
        self.step = Step::InFlight(session);
        Some(())
    }

    fn script_leaves(&mut self, session: Session, candidate: Candidate) {
        self.command(Command::Write(session, candidate));
        self.state.ledger.released.push(candidate);
        self.state.ledger.released.sort_unstable();
    }

    fn probe(&mut self, fresh: bool) -> Option<()> {
        let unresolved = matches!(write(&self.order).state, WriteState::Unresolved { .. });
        if unresolved && self.has(Fault::RetryWhileUnresolved) {
            return self.retry_at_once();
        }
        if unresolved && self.has(Fault::NegativeWithoutSession) {
            self.command(Command::Look);
            self.step = Step::Looking;
            return Some(());
        }
        let host = self.host_challenge()?;
        self.command(Command::Initialize { host, fresh });
        self.step = Step::Probing { host, fresh };
        (unresolved || fresh).then_some(())
    }

    fn hear(&mut self, answer: Answer) -> Option<()> {
        match (self.step, answer) {
            (Step::Opening { host }, Answer::Challenge(session))
                if session.host == host && session.key_set == KeySet::Prior =>
            {
                self.command(Command::Authenticate(session));
                self.happen(WriteEvent::ChannelOpened)?;
                if self.step == Step::Fetched {
                    self.step = Step::Open(session);
                }
                Some(())
            }
            (Step::Probing { host, .. }, Answer::Challenge(session)) if session.host == host => {
                self.challenged(session)
            }
            (Step::InFlight(own), Answer::Written(session)) if session == own => {
                self.applied(EvidenceClass::RMacAnswer)
            }
            (Step::Reading(own), Answer::Report(session, report))
                if session == own
                    || (self.has(Fault::StaleReport) && session.key_set == own.key_set) =>
            {
                self.judge(session, report)
            }
            (Step::Looking, Answer::Looked(report)) if !report.lists_fresh => self.not_applied(),
            _ => None,
        }
    }

    /// The cryptogram verified under a key set of ours: which?
    fn challenged(&mut self, session: Session) -> Option<()> {
        let candidate = number(write(&self.order).state.candidate()?);
        if matches!(session.key_set, KeySet::Fresh(other) if other != candidate) {
            return self.happen(WriteEvent::Quarantined { reason: String::from("another set") });
        }
        let prior = session.key_set == KeySet::Prior;
        if prior && self.has(Fault::NegativeWithoutAuthenticate) {
            return self.not_applied();
        }
        self.command(Command::Authenticate(session));
        if prior && self.has(Fault::NegativeOnBareAuthenticate) {
            return self.not_applied();
        }
        self.command(Command::Read(session));
        self.step = Step::Reading(session);
        Some(())
    }

    /// A report under R-MAC: the session it was read in ended the one the script was wrapped for.
    fn judge(&mut self, session: Session, report: Report) -> Option<()> {
        let unresolved = matches!(write(&self.order).state, WriteState::Unresolved { .. });
        match session.key_set {
            KeySet::Fresh(_) if unresolved => self.applied(EvidenceClass::ProbeRMac),
            KeySet::Fresh(_) => {
                self.happen(WriteEvent::Confirmed { evidence: evidence(EvidenceClass::ProbeRMac) })
            }
            KeySet::Prior if report.lists_fresh && !self.has(Fault::PriorAloneProves) => None,
            KeySet::Prior => self.not_applied(),
        }
    }

    fn silence(&mut self) -> Option<()> {
        match self.step {
            Step::InFlight(_) if self.has(Fault::BareSuccessIsApplied) => {
                self.applied(EvidenceClass::RMacAnswer)
            }
            Step::InFlight(_) => {
                self.unresolved()?;
                if self.has(Fault::TimeoutIsNotApplied) {
                    self.not_applied()?;
                }
                Some(())
            }
            Step::Probing { fresh: true, .. } if self.has(Fault::RefusalIsNotApplied) => {
                self.not_applied()
            }
            // As after a crash: the record says what to do next.
            _ => None,
        }
    }

    fn unresolved(&mut self) -> Option<()> {
        if self.has(Fault::ForgottenCandidate) {
            let candidate = number(write(&self.order).state.candidate()?);
            self.state.custody.remove(&candidate);
        }
        self.happen(WriteEvent::Unresolved)
    }

    fn applied(&mut self, how: EvidenceClass) -> Option<()> {
        let candidate = number(write(&self.order).state.candidate()?);
        self.state.custody.insert(candidate);
        self.happen(WriteEvent::Applied { evidence: evidence(how) })
    }

    fn not_applied(&mut self) -> Option<()> {
        let how = if self.protocol.variant.has(Trait::Additive) {
            EvidenceClass::KeyInformationTemplate
        } else {
            EvidenceClass::ProbeRMac
        };
        let candidate = number(write(&self.order).state.candidate()?);
        if let Ok(()) = self.commit_event(WriteEvent::NotApplied { evidence: evidence(how) })? {
            self.state.ledger.denied.insert(candidate);
        }
        Some(())
    }

    /// What no legal event does.
    fn retry_at_once(&mut self) -> Option<()> {
        let mut item = write(&self.order).clone();
        item.state = WriteState::Planned;
        let _ = self.commit(OrderState::Writing { writes: vec![item] });
        Some(())
    }

    fn park(&mut self, reason: ParkReason) {
        let event = OrderEvent::Parked { reason, owner: reason.owner() };
        if let Ok(parked) = transition(&self.order, &event)
            && self.commit(parked).is_ok()
        {
            self.state.executors[self.executor] = Executor::Idle;
        }
    }

    fn happen(&mut self, event: WriteEvent) -> Option<()> {
        self.commit_event(event).map(drop)
    }

    /// Moves the key write by the production function and commits what comes of it; none when the event is illegal.
    fn commit_event(&mut self, event: WriteEvent) -> Option<Result<(), Overtaken>> {
        let sent = matches!(event, WriteEvent::Sent { .. });
        match transition(&self.order, &OrderEvent::Write { index: 0, event }) {
            Ok(OrderState::Writing { mut writes })
                if sent && self.has(Fault::AttemptsNotCounted) =>
            {
                writes.iter_mut().for_each(|write| write.attempts = 0);
                Some(self.commit(OrderState::Writing { writes }))
            }
            Ok(next) => {
                self.current |= sent && self.has(Fault::SentOnStaleRecord);
                Some(self.commit(next))
            }
            Err(IllegalEvent::AttemptsSpent { .. }) => {
                self.park(ParkReason::AttemptsSpent);
                Some(Ok(()))
            }
            Err(_) => None,
        }
    }

    /// Compare-and-set on the order's record.
    fn commit(&mut self, next: OrderState) -> Result<(), Overtaken> {
        if !self.current && !self.has(Fault::NoCompareAndSet) {
            self.step = Step::Fetched;
            self.state.executors[self.executor] = Executor::Idle;
            return Err(Overtaken);
        }
        self.order = Arc::new(next);
        self.current = true;
        self.step = Step::Fetched;
        self.state.store(Arc::clone(&self.order));
        Ok(())
    }

    /// Writes the executor's memory back, unless it gave the order up.
    fn put_down(mut self) -> State {
        if self.state.executors[self.executor] != Executor::Idle {
            let (order, current, step) = (self.order, self.current, self.step);
            self.state.executors[self.executor] = Executor::Working { order, current, step };
        }
        self.state
    }

    fn command(&mut self, command: Command) {
        self.state.carrier.commands.insert(command);
    }

    /// Never one that was used before, whoever used it; none when the model's bound is reached.
    fn host_challenge(&mut self) -> Option<u8> {
        if self.state.hosts == self.protocol.bounds.hosts {
            return None;
        }
        self.state.hosts += 1;
        Some(self.state.hosts)
    }

    fn has(&self, fault: Fault) -> bool {
        self.protocol.fault == Some(fault)
    }
}

/// The order's one key write.
///
/// # Panics
/// When the order has none: executors take orders that are authorized.
pub(crate) fn write(order: &OrderState) -> &KeyWriteItem {
    order.writes().first().expect("an authorized order has its key write")
}

/// Candidates are numbered in the model.
pub(crate) fn number(candidate: &str) -> Candidate {
    candidate.parse().expect("a candidate's number")
}

fn evidence(how: EvidenceClass) -> Evidence {
    Evidence { how, detail: String::new() }
}
