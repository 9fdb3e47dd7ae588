//! The gate in front of key writes: what is to be written, who says so, and to which session.
//!
//! A permit is minted for one channel, takes in one script, and is consumed by wrapping it there:
//!
//! ```text
//! Mint + Channel<Custody> + Terms  →  KeyWritePermit<Open>
//!                       + KeyScript →  KeyWritePermit<Bound>
//!           Channel::wrap_granted   →  GrantedScript
//!                         release    →  Outbound
//! ```

mod script;

use std::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;

pub use self::script::{GrantedScript, KeyScript};
use crate::aid::Aid;
use crate::effect::Effect;
use crate::keyset::version::KeyVersionNumber;

/// One change of keys on an SE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyWrite {
    /// PUT KEY of a Security Domain's whole key set.
    SdKeyset {
        /// The set that dies by it; `None` adds a set beside those there are.
        prior: Option<KeyVersionNumber>,
        /// The version the new set gets.
        fresh: KeyVersionNumber,
    },
    /// DELETE \[key\] of a Security Domain's key set.
    SdKeysetDelete {
        /// The set that dies.
        kvn: KeyVersionNumber,
    },
    /// The personalization of an application.
    AppKey {
        /// The instance that takes the keys.
        applet: Aid,
    },
    /// The deletion of something personalized.
    Destroy {
        /// What dies.
        target: Aid,
    },
}

impl KeyWrite {
    /// The strongest effect a command may have under a permit for this write.
    pub(crate) fn most(&self) -> Effect {
        match self {
            KeyWrite::SdKeyset { .. } | KeyWrite::AppKey { .. } => Effect::KeyWrite,
            KeyWrite::SdKeysetDelete { .. } | KeyWrite::Destroy { .. } => Effect::Destroy,
        }
    }
}

/// What a permit is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The SE on record.
    pub se: String,
    /// The Security Domain the channel is open to.
    pub security_domain: Aid,
    /// The application concerned, if any.
    pub applet: Option<Aid>,
    /// The one write permitted.
    pub write: KeyWrite,
    /// The durably reserved number of the attempt, from 1.
    pub attempt: u32,
    /// Digest of the consumed authorization.
    pub authorization: [u8; 32],
}

/// Makes permits.
///
/// # Security
/// Whoever holds a mint can have any key written. It is made in one place only, which asks a
/// consumed authorization first.
pub struct Mint {
    _private: (),
}

/// Why no permit was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PermitError {
    /// The terms name another Security Domain than the channel's.
    #[error("the terms are for Security Domain {terms}, the channel is open to {channel}")]
    SecurityDomain {
        /// The Security Domain of the terms.
        terms: Aid,
        /// The application the channel is open to.
        channel: Aid,
    },
    /// The write names another application than the terms.
    #[error("the write and the terms name different applications")]
    Applet,
    /// Attempts are counted from 1.
    #[error("attempt 0 cannot have been reserved")]
    Attempt,
}

impl Mint {
    /// A mint.
    ///
    /// # Security
    /// Reserved, by lint and by test, for the one place that has seen a consumed authorization.
    #[must_use]
    pub fn danger_new() -> Mint {
        Mint { _private: () }
    }

    /// A permit for one write on one open channel.
    ///
    /// # Errors
    /// [`PermitError`] when the terms fit neither the channel nor themselves.
    pub fn permit<C: Grantable>(
        &self,
        channel: &C,
        terms: Terms,
    ) -> Result<KeyWritePermit<Open>, PermitError> {
        if terms.security_domain != *channel.target() {
            let (terms, channel) = (terms.security_domain, *channel.target());
            return Err(PermitError::SecurityDomain { terms, channel });
        }
        let named = match terms.write {
            KeyWrite::AppKey { applet } => Some(applet),
            KeyWrite::SdKeyset { .. }
            | KeyWrite::SdKeysetDelete { .. }
            | KeyWrite::Destroy { .. } => terms.applet,
        };
        if named != terms.applet {
            return Err(PermitError::Applet);
        }
        if terms.attempt == 0 {
            return Err(PermitError::Attempt);
        }
        let session_hash = channel.session_hash();
        Ok(KeyWritePermit { terms, session_hash, stage: Open { _private: () } })
    }
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mint")
    }
}

pub(crate) mod sealed {
    /// Closes [`Grantable`](super::Grantable).
    pub trait Sealed {}
}

/// A channel that permits can be made for: open, and with keys out of custody.
pub trait Grantable: sealed::Sealed {
    /// Identifies the session: SHA-256 over host challenge and card challenge.
    fn session_hash(&self) -> [u8; 32];
    /// The application the channel is open to.
    fn target(&self) -> &Aid;
}

/// Leave to write one key change on one session, once.
///
/// Not cloned:
/// ```compile_fail,E0599
/// fn twice(permit: scp::permit::KeyWritePermit<scp::permit::Open>) {
///     let _second = permit.clone();
/// }
/// ```
/// Not used twice:
/// ```compile_fail,E0382
/// use scp::permit::{BindError, KeyScript, KeyWritePermit, Open};
/// fn twice(permit: KeyWritePermit<Open>, one: KeyScript, other: KeyScript) -> Result<(), BindError> {
///     permit.bind(one)?;
///     permit.bind(other)?;
///     Ok(())
/// }
/// ```
/// Not serialized:
/// ```compile_fail,E0277
/// fn store<T: serde::Serialize>(_: &T) {}
/// fn keep(permit: &scp::permit::KeyWritePermit<scp::permit::Open>) {
///     store(permit);
/// }
/// ```
/// Bound once:
/// ```
/// use scp::permit::{BindError, Bound, KeyScript, KeyWritePermit, Open};
/// fn store<T: serde::Serialize>(_: &T) {}
/// fn once(permit: KeyWritePermit<Open>, script: KeyScript) -> Result<KeyWritePermit<Bound>, BindError> {
///     store(&permit.session_hash().to_vec().clone());
///     permit.bind(script)
/// }
/// ```
#[must_use = "a permit that is dropped costs its attempt nothing, and permits nothing"]
pub struct KeyWritePermit<S> {
    terms: Terms,
    session_hash: [u8; 32],
    stage: S,
}

/// A permit that has taken in no script yet: custody encrypts against it.
pub struct Open {
    _private: (),
}

/// A permit that owns the commands it permits.
pub struct Bound {
    script: KeyScript,
}

/// Why a permit did not take in a script. The permit is gone; the attempt is not spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BindError {
    /// The script writes something else than the terms say.
    #[error("the script makes another key write than the permit is for")]
    Write,
    /// The script is for another Security Domain.
    #[error("the script is for another Security Domain than the permit")]
    SecurityDomain,
}

impl<S> KeyWritePermit<S> {
    /// What the permit is for.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The session the permit is for: SHA-256 over host challenge and card challenge.
    #[must_use]
    pub fn session_hash(&self) -> [u8; 32] {
        self.session_hash
    }

    /// Whether the permit was made for this session and Security Domain.
    pub(crate) fn is_for(&self, session_hash: &[u8; 32], target: &Aid) -> bool {
        bool::from(self.session_hash.ct_eq(session_hash)) && self.terms.security_domain == *target
    }
}

impl KeyWritePermit<Open> {
    /// Takes in the script: the permit is for these commands from now on.
    ///
    /// # Errors
    /// [`BindError`], when the script is not what the terms say.
    pub fn bind(self, script: KeyScript) -> Result<KeyWritePermit<Bound>, BindError> {
        if *script.write() != self.terms.write {
            return Err(BindError::Write);
        }
        if *script.security_domain() != self.terms.security_domain {
            return Err(BindError::SecurityDomain);
        }
        let KeyWritePermit { terms, session_hash, .. } = self;
        Ok(KeyWritePermit { terms, session_hash, stage: Bound { script } })
    }
}

impl KeyWritePermit<Bound> {
    /// SHA-256 over the plain commands, each preceded by its length in 4 bytes, big-endian.
    #[must_use]
    pub fn script_sha256(&self) -> [u8; 32] {
        self.stage.script.sha256()
    }

    pub(crate) fn into_script(self) -> KeyScript {
        self.stage.script
    }

    /// A permit for a test of what comes after minting.
    #[cfg(test)]
    pub(crate) fn for_test(session_hash: [u8; 32], terms: Terms, script: KeyScript) -> Self {
        KeyWritePermit { terms, session_hash, stage: Bound { script } }
    }
}

impl<S> fmt::Debug for KeyWritePermit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyWritePermit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apdu::CommandApdu;

    const MINT: Mint = Mint { _private: () };

    struct Session(Aid);

    impl sealed::Sealed for Session {}

    impl Grantable for Session {
        fn session_hash(&self) -> [u8; 32] {
            [7; 32]
        }

        fn target(&self) -> &Aid {
            &self.0
        }
    }

    fn aid(last: u8) -> Aid {
        Aid::new(&[0xA0, 0, 0, 0, last]).unwrap()
    }

    fn version(number: u8) -> KeyVersionNumber {
        KeyVersionNumber::new(number).unwrap()
    }

    fn terms(write: KeyWrite) -> Terms {
        Terms {
            se: "SE-1".into(),
            security_domain: aid(1),
            applet: Some(aid(2)),
            write,
            attempt: 1,
            authorization: [9; 32],
        }
    }

    fn renumber() -> KeyWrite {
        KeyWrite::SdKeyset { prior: Some(version(0x30)), fresh: version(0x31) }
    }

    fn script(write: KeyWrite, security_domain: Aid) -> KeyScript {
        let command = CommandApdu::new(0x80, 0xD8, 0x30, 0x81, [0x31], Some(256)).unwrap();
        KeyScript::new(vec![command], write, security_domain).unwrap()
    }

    #[test]
    fn terms_must_fit_the_channel_and_themselves() {
        let mint = MINT;
        let elsewhere = mint.permit(&Session(aid(3)), terms(renumber()));
        let expected = PermitError::SecurityDomain { terms: aid(1), channel: aid(3) };
        assert_eq!(elsewhere.err(), Some(expected));
        let other_applet = terms(KeyWrite::AppKey { applet: aid(4) });
        assert_eq!(mint.permit(&Session(aid(1)), other_applet).err(), Some(PermitError::Applet));
        let uncounted = Terms { attempt: 0, ..terms(renumber()) };
        assert_eq!(mint.permit(&Session(aid(1)), uncounted).err(), Some(PermitError::Attempt));
    }

    #[test]
    fn only_the_script_of_the_terms_is_taken_in() {
        let permit = || MINT.permit(&Session(aid(1)), terms(renumber())).unwrap();
        let add = KeyWrite::SdKeyset { prior: None, fresh: version(0x31) };
        assert_eq!(permit().bind(script(add, aid(1))).err(), Some(BindError::Write));
        let elsewhere = script(renumber(), aid(2));
        assert_eq!(permit().bind(elsewhere).err(), Some(BindError::SecurityDomain));
        let bound = permit().bind(script(renumber(), aid(1))).unwrap();
        assert_eq!(bound.script_sha256(), script(renumber(), aid(1)).sha256());
        assert!(bound.is_for(&[7; 32], &aid(1)));
        assert!(!bound.is_for(&[8; 32], &aid(1)) && !bound.is_for(&[7; 32], &aid(2)));
        assert_eq!(format!("{bound:?}"), "KeyWritePermit");
    }
}
