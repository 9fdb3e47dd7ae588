//! An open Secure Channel: commands go in plain and come out wrapped, answers the other way.

use std::fmt;

use thiserror::Error;

use super::derivations::{Custody, Origin, Typed, sealed::Wrapped as _};
use super::session_keys::SessionKeys;
use super::wrapping::{self, Chain};
pub use super::wrapping::{AnswerFault, CommandFault};
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::effect::{Effect, Tracker};
use crate::error::ApiMisuse;
use crate::outbound::{Outbound, TypedScript};
use crate::permit::{self, Bound, Grantable, GrantedScript, KeyScript, KeyWritePermit};
use crate::profile::SecurityLevel;
use crate::status::StatusWord;

/// Most commands one session wraps. A session is opened anew long before its counter or its
/// MACs could wear out.
pub const SESSION_COMMANDS_MOST: u32 = 16_384;

/// Most commands in one script.
pub const SCRIPT_COMMANDS_MOST: usize = 1_024;

/// Plain commands to be wrapped in one go, 1 to 1024 of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(Vec<CommandApdu>);

impl Script {
    /// A script of these commands.
    ///
    /// # Errors
    /// [`ApiMisuse`] for no command at all, or more than 1024.
    pub fn new(commands: Vec<CommandApdu>) -> Result<Script, ApiMisuse> {
        const WHAT: &str = "commands in a script";
        match commands.len() {
            0 => Err(ApiMisuse::TooLittle { what: WHAT, got: 0, least: 1 }),
            1..=SCRIPT_COMMANDS_MOST => Ok(Script(commands)),
            got => Err(ApiMisuse::TooMuch { what: WHAT, got, most: SCRIPT_COMMANDS_MOST }),
        }
    }

    /// The commands in order.
    #[must_use]
    pub fn commands(&self) -> &[CommandApdu] {
        &self.0
    }
}

/// What a channel keeps between scripts.
pub(crate) struct Session<O: Origin> {
    pub(crate) keys: Box<SessionKeys<O>>,
    pub(crate) level: SecurityLevel,
    pub(crate) chain: Chain,
    /// Commands wrapped so far, which is the encryption counter of the last of them.
    pub(crate) commands: u32,
    pub(crate) target: Aid,
    pub(crate) session_hash: [u8; 32],
    pub(crate) key_write_level: SecurityLevel,
    pub(crate) tracker: Tracker,
}

/// An open Secure Channel Session, waiting for commands.
///
/// Each step consumes it. A wrapped script must be answered before the next is wrapped:
///
/// ```compile_fail,E0382
/// use scp::{Channel, Custody, Script};
/// fn two_at_once(channel: Channel<Custody>, one: Script, other: Script) {
///     let _ = channel.wrap(one);
///     let _ = channel.wrap(other);
/// }
/// ```
/// ```
/// use scp::{Channel, Custody, Script};
/// fn one_by_one(channel: Channel<Custody>, one: Script, other: Script, answers: &[Vec<u8>]) -> Option<()> {
///     let (awaiting, _sent) = channel.wrap(one).ok()?;
///     let channel = awaiting.unwrap(answers).ok()?.channel?;
///     let (_awaiting, _sent) = channel.wrap(other).ok()?;
///     Some(())
/// }
/// ```
pub struct Channel<O: Origin> {
    pub(crate) session: Session<O>,
}

/// A channel whose script has been wrapped and not been answered.
pub struct Awaiting<O: Origin> {
    session: Session<O>,
    sent: Vec<Sent>,
}

struct Sent {
    command: CommandApdu,
    chain: Chain,
    counter: u32,
}

/// Why nothing was wrapped. The channel is gone; nothing has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WrapError {
    /// A command may write or destroy key material, and there is no permit.
    #[error("command {index} has the effect {effect:?}, which needs a permit")]
    NeedsPermit {
        /// Position in the script, from 0.
        index: usize,
        /// What the command would do.
        effect: Effect,
    },
    /// A command does more than the permit is for.
    #[error("command {index} has the effect {effect:?}, which the permit is not for")]
    BeyondPermit {
        /// Position in the script, from 0.
        index: usize,
        /// What the command would do.
        effect: Effect,
    },
    /// The permit is for another session or another Security Domain.
    #[error("the permit was made for another session")]
    AnotherSession,
    /// The channel protects less than a key write asks for.
    #[error("keys are written at security level {least} here, not at {level}")]
    Level {
        /// The level of the channel.
        level: SecurityLevel,
        /// The least level its profile lets keys be written at.
        least: SecurityLevel,
    },
    /// A command cannot be secured.
    #[error("command {index}: {fault}")]
    Command {
        /// Position in the script, from 0.
        index: usize,
        /// What is wrong with it.
        fault: CommandFault,
    },
    /// The session has wrapped as many commands as it may.
    #[error("a session takes at most {SESSION_COMMANDS_MOST} commands")]
    SessionExhausted,
}

/// A script once it is wrapped, and the strongest effect in it.
struct Wrapped {
    commands: Vec<Vec<u8>>,
    effect: Effect,
}

/// Which effects a script may have.
#[derive(Clone, Copy)]
enum Gate {
    /// Any: nothing wrapped here can leave.
    Open,
    /// No key write.
    Plain,
    /// Up to what the permit is for.
    Granted(Effect),
}

impl Gate {
    fn admit(self, index: usize, effect: Effect) -> Result<(), WrapError> {
        match self {
            Gate::Open => Ok(()),
            Gate::Plain if effect <= Effect::Content => Ok(()),
            Gate::Plain => Err(WrapError::NeedsPermit { index, effect }),
            Gate::Granted(most) if effect <= most => Ok(()),
            Gate::Granted(_) => Err(WrapError::BeyondPermit { index, effect }),
        }
    }
}

impl<O: Origin> Channel<O> {
    /// Wraps a script.
    ///
    /// # Errors
    /// [`WrapError`]; out of custody [`WrapError::NeedsPermit`] for the first command that is not
    /// known to write no key.
    pub fn wrap(self, script: Script) -> Result<(Awaiting<O>, O::Wrapped), WrapError> {
        let gate = if O::GATED { Gate::Plain } else { Gate::Open };
        let (awaiting, Wrapped { commands, effect }) = self.secure(script, gate)?;
        Ok((awaiting, O::Wrapped::wrapped(commands, effect)))
    }

    /// Identifies the session: SHA-256 over host challenge and card challenge.
    #[must_use]
    pub fn session_hash(&self) -> [u8; 32] {
        self.session.session_hash
    }

    /// The security level of the session.
    #[must_use]
    pub fn level(&self) -> SecurityLevel {
        self.session.level
    }

    /// The application the channel is open to.
    #[must_use]
    pub fn target(&self) -> &Aid {
        &self.session.target
    }

    fn secure(
        self,
        Script(commands): Script,
        gate: Gate,
    ) -> Result<(Awaiting<O>, Wrapped), WrapError> {
        let mut session = self.session;
        let keys = session.keys.schedules();
        let mut strongest = Effect::Read;
        let mut sent = Vec::with_capacity(commands.len());
        let mut wrapped = Vec::with_capacity(commands.len());
        for (index, command) in commands.into_iter().enumerate() {
            let effect = session.tracker.observe(&command);
            gate.admit(index, effect)?;
            strongest = strongest.max(effect);
            let counter = session.next_counter()?;
            let secured = wrapping::secure(&keys, session.level, &session.chain, counter, &command)
                .map_err(|fault| WrapError::Command { index, fault })?;
            session.chain = secured.chain;
            sent.push(Sent { command, chain: secured.chain, counter });
            wrapped.push(secured.bytes);
        }
        Ok((Awaiting { session, sent }, Wrapped { commands: wrapped, effect: strongest }))
    }
}

impl<O: Origin> Session<O> {
    fn next_counter(&mut self) -> Result<u32, WrapError> {
        if self.commands >= SESSION_COMMANDS_MOST {
            return Err(WrapError::SessionExhausted);
        }
        self.commands = self.commands.saturating_add(1);
        Ok(self.commands)
    }
}

impl Channel<Custody> {
    /// Wraps the script of a permit, which is spent by it.
    ///
    /// # Errors
    /// [`WrapError::AnotherSession`] unless the permit was made for this very channel,
    /// [`WrapError::Level`] below the level keys are written at, [`WrapError::BeyondPermit`] for
    /// a command that does more than the permit is for.
    pub fn wrap_granted(
        self,
        permit: KeyWritePermit<Bound>,
    ) -> Result<(Awaiting<Custody>, GrantedScript), WrapError> {
        if !permit.is_for(&self.session.session_hash, &self.session.target) {
            return Err(WrapError::AnotherSession);
        }
        let (level, least) = (self.session.level, self.session.key_write_level);
        if !level.covers(least) {
            return Err(WrapError::Level { level, least });
        }
        let (script, write) = permit.into_script().into_parts();
        let gate = Gate::Granted(write.most());
        let (awaiting, Wrapped { commands, effect }) = self.secure(script, gate)?;
        Ok((awaiting, GrantedScript::new(Outbound::new(commands, effect))))
    }
}

impl Channel<Typed> {
    /// Wraps a key write with keys in the caller's own hands.
    ///
    /// # Errors
    /// [`WrapError::Command`], [`WrapError::SessionExhausted`].
    pub fn wrap_key_script(
        self,
        script: KeyScript,
    ) -> Result<(Awaiting<Typed>, TypedScript), WrapError> {
        let (script, _) = script.into_parts();
        self.wrap(script)
    }
}

impl permit::sealed::Sealed for Channel<Custody> {}

impl Grantable for Channel<Custody> {
    fn session_hash(&self) -> [u8; 32] {
        self.session.session_hash
    }

    fn target(&self) -> &Aid {
        &self.session.target
    }
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
        let keys = session.keys.schedules();
        let complete = answers.len() == sent.len();
        let mut opened = Vec::with_capacity(answers.len());
        for (index, (sent, answer)) in sent.iter().zip(answers).enumerate() {
            let Sent { command, chain, counter } = sent;
            let answered = wrapping::open(&keys, session.level, chain, *counter, answer)
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

impl<O: Origin> fmt::Debug for Channel<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({}, level {})", self.session.target, self.session.level)
    }
}

impl<O: Origin> fmt::Debug for Awaiting<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Awaiting({}, {} answers)", self.session.target, self.sent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::ContentRules;
    use crate::keyset::version::{KeyLength, KeyVersionNumber};
    use crate::outbound::sha256_of;
    use crate::permit::{KeyWrite, Terms};

    const HASH: [u8; 32] = [7; 32];
    const PUT_KEY: &str = "80D8308101FF00";
    const GET_DATA: &str = "80CA006600";

    fn channel<O: Origin>(level: SecurityLevel) -> Channel<O> {
        let target = Aid::ISSUER_SECURITY_DOMAIN;
        let session = Session {
            keys: SessionKeys::zero(KeyLength::Aes128),
            level,
            chain: [0; 16],
            commands: 0,
            target,
            session_hash: HASH,
            key_write_level: SecurityLevel::CMacCDecRMac,
            tracker: Tracker::new(target, ContentRules::nothing_public()),
        };
        Channel { session }
    }

    fn commands(texts: &[&str]) -> Vec<CommandApdu> {
        let bytes = texts.iter().map(|text| hex::decode(text).unwrap());
        bytes.map(|bytes| CommandApdu::parse(&bytes).unwrap()).collect()
    }

    fn script(texts: &[&str]) -> Script {
        Script::new(commands(texts)).unwrap()
    }

    fn renumber() -> KeyWrite {
        let version = |number| KeyVersionNumber::new(number).unwrap();
        KeyWrite::SdKeyset { prior: Some(version(0x30)), fresh: version(0x31) }
    }

    fn permit(session_hash: [u8; 32], domain: Aid, texts: &[&str]) -> KeyWritePermit<Bound> {
        let terms = Terms {
            se: "SE-1".into(),
            security_domain: domain,
            applet: None,
            write: renumber(),
            attempt: 1,
            authorization: [0; 32],
        };
        let script = KeyScript::new(commands(texts), renumber(), domain).unwrap();
        KeyWritePermit::for_test(session_hash, terms, script)
    }

    #[test]
    fn a_key_write_does_not_pass_without_a_permit() {
        let refused = channel::<Custody>(SecurityLevel::All).wrap(script(&[GET_DATA, PUT_KEY]));
        let expected = WrapError::NeedsPermit { index: 1, effect: Effect::KeyWrite };
        assert_eq!(refused.unwrap_err(), expected);
        assert!(channel::<Custody>(SecurityLevel::All).wrap(script(&[GET_DATA])).is_ok());
        assert!(channel::<Typed>(SecurityLevel::All).wrap(script(&[PUT_KEY])).is_ok());
    }

    #[test]
    fn a_permit_opens_its_own_session_only() {
        let isd = Aid::ISSUER_SECURITY_DOMAIN;
        let other = Aid::new(&[0xA0; 5]).unwrap();
        for (hash, domain) in [([8; 32], isd), (HASH, other)] {
            let channel = channel::<Custody>(SecurityLevel::All);
            let refused = channel.wrap_granted(permit(hash, domain, &[PUT_KEY]));
            assert_eq!(refused.unwrap_err(), WrapError::AnotherSession);
        }
        let (_, granted) = channel::<Custody>(SecurityLevel::All)
            .wrap_granted(permit(HASH, isd, &[PUT_KEY]))
            .unwrap();
        let (_, typed) = channel::<Typed>(SecurityLevel::All).wrap(script(&[PUT_KEY])).unwrap();
        assert_eq!(granted.sha256(), sha256_of(typed.commands()));
    }

    #[test]
    fn a_permit_asks_for_the_level_and_the_write_it_is_for() {
        let isd = Aid::ISSUER_SECURITY_DOMAIN;
        let least = SecurityLevel::CMacCDecRMac;
        for level in [SecurityLevel::CMac, SecurityLevel::CMacCDec, SecurityLevel::CMacRMac] {
            let refused = channel::<Custody>(level).wrap_granted(permit(HASH, isd, &[PUT_KEY]));
            assert_eq!(refused.unwrap_err(), WrapError::Level { level, least });
        }
        let delete_key = "80E4000003D20130";
        let refused =
            channel::<Custody>(least).wrap_granted(permit(HASH, isd, &[PUT_KEY, delete_key]));
        let expected = WrapError::BeyondPermit { index: 1, effect: Effect::Destroy };
        assert_eq!(refused.unwrap_err(), expected);
    }

    #[test]
    fn scripts_and_sessions_have_limits() {
        assert!(Script::new(Vec::new()).is_err());
        let command = || CommandApdu::new(0x80, 0xCA, 0x00, 0x66, [], Some(256)).unwrap();
        assert!(Script::new(vec![command(); 1_025]).is_err());
        let mut channel = channel::<Typed>(SecurityLevel::CMac);
        for _ in 0..16 {
            let script = Script::new(vec![command(); 1_024]).unwrap();
            channel = channel.wrap(script).unwrap().0.unanswered();
        }
        let refused = channel.wrap(script(&[GET_DATA]));
        assert_eq!(refused.unwrap_err(), WrapError::SessionExhausted);
    }

    fn awaiting(level: SecurityLevel) -> Awaiting<Custody> {
        channel(level).wrap(script(&[GET_DATA, GET_DATA])).unwrap().0
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
