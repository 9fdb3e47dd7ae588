//! A script under way, and what comes back for it.

use std::fmt;

use thiserror::Error;

use super::channel::{Channel, Session};
use super::derivations::{Origin, Typed};
use super::wrapping::{self, AnswerFault, Chain};
use crate::apdu::CommandApdu;
use crate::status::StatusWord;

/// A channel whose script has been wrapped and not been answered.
pub struct Awaiting<O: Origin> {
    session: Session<O>,
    sent: Vec<Sent>,
}

/// A command under way, and what its answer is chained to.
pub(super) struct Sent {
    pub(super) command: CommandApdu,
    pub(super) chain: Chain,
    pub(super) counter: u32,
}

/// One answer, its protection verified and taken off.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    data: Vec<u8>,
    status: StatusWord,
    authenticated: bool,
}

impl Answered {
    pub(crate) fn new(data: Vec<u8>, status: StatusWord, authenticated: bool) -> Answered {
        Answered { data, status, authenticated }
    }

    /// Plain data, empty where there is none.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Status word.
    #[must_use]
    pub fn status(&self) -> StatusWord {
        self.status
    }

    /// Whether a valid R-MAC covered data and status word. Without one they are anyone's word.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = if self.authenticated { "under R-MAC" } else { "unproved" };
        write!(f, "Answered({} data bytes, {}, {proof})", self.data.len(), self.status)
    }
}

/// What came back for a script.
#[derive(Debug)]
#[must_use]
pub struct Unwrapped<O: Origin> {
    /// One entry for each answer given, in order.
    pub answers: Vec<Answered>,
    /// The channel, unless answers were missing or the SE ended the session.
    pub channel: Option<Channel<O>>,
}

/// Why the answers cannot be believed. The channel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChannelError {
    /// An answer is not what an SE in this session can have sent.
    #[error("answer {index}: {fault}")]
    CardMisbehaved {
        /// Position in the script, from 0.
        index: usize,
        /// What is wrong with it.
        fault: AnswerFault,
    },
    /// There are more answers than commands.
    #[error("{got} answers to {sent} commands")]
    TooManyAnswers {
        /// Answers given.
        got: usize,
        /// Commands wrapped.
        sent: usize,
    },
}

impl<O: Origin> Awaiting<O> {
    pub(super) fn new(session: Session<O>, sent: Vec<Sent>) -> Awaiting<O> {
        Awaiting { session, sent }
    }

    /// Unwraps the answers, in the order of the commands. There may be fewer answers than
    /// commands; the session cannot go on then.
    ///
    /// # Errors
    /// [`ChannelError`] for the first answer that cannot be believed.
    ///
    /// # Security
    /// A status word other than 9000, 62xx and 63xx carries no MAC: anyone on the path can have
    /// put it there. Judge a key write only by [`Answered::is_authenticated`] answers.
    pub fn unwrap(self, answers: &[Vec<u8>]) -> Result<Unwrapped<O>, ChannelError> {
        let Awaiting { mut session, sent } = self;
        if answers.len() > sent.len() {
            return Err(ChannelError::TooManyAnswers { got: answers.len(), sent: sent.len() });
        }
        let complete = answers.len() == sent.len();
        let mut opened = Vec::with_capacity(answers.len());
        for (index, (sent, answer)) in sent.iter().zip(answers).enumerate() {
            let Sent { command, chain, counter } = sent;
            let answered =
                wrapping::open(&session.keys, session.protection, chain, *counter, answer)
                    .map_err(|fault| ChannelError::CardMisbehaved { index, fault })?;
            session.tracker.learn(command, &answered);
            opened.push(answered);
        }
        let ended = opened.iter().any(|answered| answered.status.ends_session());
        let channel = (complete && !ended).then_some(Channel { session });
        Ok(Unwrapped { answers: opened, channel })
    }
}

impl Awaiting<Typed> {
    /// Goes on without answers: the next command depends on the commands before it alone.
    #[must_use]
    pub fn unanswered(self) -> Channel<Typed> {
        Channel { session: self.session }
    }
}

impl<O: Origin> fmt::Debug for Awaiting<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Awaiting({}, {} answers)", self.session.target, self.sent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::derivations::Custody;
    use super::super::script::Script;
    use super::*;
    use crate::profile::SecurityLevel;

    fn awaiting(level: SecurityLevel) -> Awaiting<Custody> {
        let get_data = CommandApdu::new(0x80, 0xCA, 0x00, 0x66, [], Some(256)).unwrap();
        let script = Script::new(vec![get_data; 2]).unwrap();
        Channel::for_test(level, [7; 32]).wrap(script).unwrap().0
    }

    #[test]
    fn a_session_ends_with_a_missing_answer_or_refused_messaging() {
        let answered = |answers: &[&[u8]]| {
            let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
            awaiting(SecurityLevel::CMacRMac).unwrap(&answers)
        };
        let error: &[u8] = &[0x6A, 0x88];
        assert!(answered(&[error, error]).unwrap().channel.is_some());
        assert!(answered(&[error]).unwrap().channel.is_none());
        for ending in [0x82, 0x87, 0x88] {
            assert!(answered(&[&[0x69, ending], error]).unwrap().channel.is_none());
        }
        let too_many = answered(&[error, error, error]).unwrap_err();
        assert_eq!(too_many, ChannelError::TooManyAnswers { got: 3, sent: 2 });
    }

    #[test]
    fn what_an_se_cannot_have_sent_is_refused() {
        use AnswerFault::{DataWithError, Malformed, MissingMac, RMac};
        for (answer, fault) in [
            (&[0x90, 0x00][..], MissingMac),
            (&[0x63, 0x10], MissingMac),
            (&[0x62, 0x83], MissingMac),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0x00], RMac),
            (&[1, 0x6A, 0x88], DataWithError),
            (&[0x90], Malformed),
            (&[], Malformed),
        ] {
            let answers = [vec![0x6A, 0x88], answer.to_vec()];
            let refused = awaiting(SecurityLevel::CMacRMac).unwrap(&answers).unwrap_err();
            assert_eq!(refused, ChannelError::CardMisbehaved { index: 1, fault });
        }
        let unproved = awaiting(SecurityLevel::CMac).unwrap(&[vec![0x90, 0x00]]).unwrap();
        assert!(!unproved.answers[0].is_authenticated());
    }
}
