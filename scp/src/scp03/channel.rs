//! An open Secure Channel: commands go in plain and come out wrapped, answers the other way.

use std::fmt;
use std::marker::PhantomData;

use thiserror::Error;

use super::awaiting::Sent;
pub use super::awaiting::{Answered, Awaiting, ChannelError, Unwrapped};
use super::derivations::{Custody, Origin, Typed, sealed::Wrapped as _};
pub use super::script::{SCRIPT_COMMANDS_MOST, Script};
use super::session_keys::Schedules;
use super::wrapping::{self, Chain, Protection};
pub use super::wrapping::{AnswerFault, CommandFault};
use crate::aid::Aid;
use crate::effect::{Effect, Tracker};
use crate::outbound::{Outbound, TypedScript};
use crate::permit::{self, Bound, Grantable, GrantedScript, KeyScript, KeyWritePermit};
use crate::profile::SecurityLevel;

/// Most commands one session wraps. A session is opened anew long before its counter or its
/// MACs could wear out.
pub const SESSION_COMMANDS_MOST: u32 = 16_384;

/// What a channel keeps between scripts.
pub(crate) struct Session<O: Origin> {
    pub(crate) keys: Box<Schedules>,
    pub(crate) origin: PhantomData<O>,
    pub(crate) protection: Protection,
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
        self.session.protection.level
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
        let mut strongest = Effect::Read;
        let mut sent = Vec::with_capacity(commands.len());
        let mut wrapped = Vec::with_capacity(commands.len());
        for (index, command) in commands.into_iter().enumerate() {
            let effect = session.tracker.observe(&command);
            gate.admit(index, effect)?;
            strongest = strongest.max(effect);
            let counter = session.next_counter()?;
            let secured = wrapping::secure(
                &session.keys,
                session.protection,
                &session.chain,
                counter,
                &command,
            )
            .map_err(|fault| WrapError::Command { index, fault })?;
            session.chain = secured.chain;
            sent.push(Sent { command, chain: secured.chain, counter });
            wrapped.push(secured.bytes);
        }
        Ok((Awaiting::new(session, sent), Wrapped { commands: wrapped, effect: strongest }))
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
        let (level, least) = (self.session.protection.level, self.session.key_write_level);
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

impl<O: Origin> fmt::Debug for Channel<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({}, level {})", self.session.target, self.session.protection.level)
    }
}

#[cfg(test)]
impl<O: Origin> Channel<O> {
    /// A channel of known keys for the tests of this crate.
    pub(crate) fn for_test(level: SecurityLevel, session_hash: [u8; 32]) -> Channel<O> {
        use super::session_keys::SessionKeys;
        use crate::effect::ContentRules;
        use crate::keyset::version::KeyLength;
        use crate::profile::Mode;
        let target = Aid::ISSUER_SECURITY_DOMAIN;
        let session = Session {
            keys: SessionKeys::<O>::zero(KeyLength::Aes128).schedules(),
            origin: PhantomData,
            protection: Protection { level, mode: Mode::S8 },
            chain: [0; 16],
            commands: 0,
            target,
            session_hash,
            key_write_level: SecurityLevel::CMacCDecRMac,
            tracker: Tracker::new(target, ContentRules::nothing_public()),
        };
        Channel { session }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apdu::CommandApdu;
    use crate::keyset::version::KeyVersionNumber;
    use crate::outbound::sha256_of;
    use crate::permit::{KeyWrite, Terms};

    const HASH: [u8; 32] = [7; 32];
    const PUT_KEY: &str = "80D8308101FF00";
    const GET_DATA: &str = "80CA006600";

    fn channel<O: Origin>(level: SecurityLevel) -> Channel<O> {
        Channel::for_test(level, HASH)
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
    fn a_session_is_exhausted_after_16384_commands() {
        let [command] = &commands(&[GET_DATA])[..] else { panic!("one command") };
        let mut channel = channel::<Typed>(SecurityLevel::CMac);
        for _ in 0..16 {
            let script = Script::new(vec![command.clone(); 1_024]).unwrap();
            channel = channel.wrap(script).unwrap().0.unanswered();
        }
        let refused = channel.wrap(script(&[GET_DATA]));
        assert_eq!(refused.unwrap_err(), WrapError::SessionExhausted);
    }
}
