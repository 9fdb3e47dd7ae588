//! Explicit Secure Channel initiation: INITIALIZE UPDATE, EXTERNAL AUTHENTICATE (AmdD §5.1, §7.1).

mod answer;
mod error;

use std::fmt;
use std::marker::PhantomData;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(crate) use self::answer::InitializeUpdateAnswer;
pub use self::error::{InitiateError, InitiateFault, ProfileField};
use super::challenge::{Challenge, Cryptogram};
use super::channel::{Channel, Session};
use super::cipher::BLOCK;
use super::cryptogram::{Side, cryptogram};
use super::derivations::{Answer, Derivations, Origin, sealed::Wrapped};
use super::session_keys::Schedules;
use super::wrapping::Protection;
use crate::aid::Aid;
use crate::apdu::{CommandApdu, split_answer};
use crate::effect::{ContentRules, Effect, Tracker};
use crate::error::ApiMisuse;
use crate::keyset::version::{KeyLength, KeyVersionNumber};
use crate::outbound::Outbound;
use crate::profile::{Mode, SeProfile, SecurityLevel, level_is_offered};

/// What is on record about the SE before it has said a word.
pub struct Selected {
    target: Aid,
    key_version_number: KeyVersionNumber,
    i: u8,
    pseudo_random: bool,
    key_length: KeyLength,
    key_write_level: SecurityLevel,
    rules: ContentRules,
}

/// INITIALIZE UPDATE has been made and not been answered.
pub struct Initiating {
    on_record: Selected,
    host_challenge: Challenge,
    command: CommandApdu,
}

/// The SE has answered INITIALIZE UPDATE as its profile says. Whether it is the SE on record, its
/// cryptogram will tell.
pub struct Challenged {
    pub(crate) offer: Offer,
    pub(crate) derivations: Derivations,
}

/// Both challenges and what goes with them.
pub(crate) struct Offer {
    pub(crate) target: Aid,
    pub(crate) key_diversification_data: [u8; 10],
    pub(crate) host_challenge: Challenge,
    pub(crate) card_challenge: Challenge,
    pub(crate) card_cryptogram: Cryptogram,
    pub(crate) sequence_counter: Option<[u8; 3]>,
    /// The parameter i that the level is judged by; none where it is not judged.
    pub(crate) i: Option<u8>,
    pub(crate) key_write_level: SecurityLevel,
    pub(crate) rules: ContentRules,
}

/// The SE has proved that it holds the keys.
pub struct CardVerified<O: Origin> {
    offer: Offer,
    keys: Box<Schedules>,
    origin: PhantomData<O>,
}

/// EXTERNAL AUTHENTICATE has been made and not been answered.
///
/// There is no channel before it is:
///
/// ```compile_fail,E0599
/// use scp::{Authenticating, Custody, Script};
/// fn early(authenticating: Authenticating<Custody>, script: Script) {
///     let _ = authenticating.wrap(script);
/// }
/// ```
/// ```
/// use scp::{Authenticating, Custody, Script};
/// fn in_order(authenticating: Authenticating<Custody>, answer: &[u8], script: Script) -> Option<()> {
///     let channel = authenticating.answer(answer).ok()?;
///     let _ = channel.wrap(script);
///     Some(())
/// }
/// ```
pub struct Authenticating<O: Origin> {
    session: Session<O>,
}

impl Selected {
    /// Begins a channel to the application `target`, which has been selected, under the key set
    /// `key_version_number`.
    ///
    /// # Errors
    /// [`ApiMisuse`], when the profile does not fit itself.
    pub fn new(
        target: Aid,
        key_version_number: KeyVersionNumber,
        profile: &SeProfile,
        rules: ContentRules,
    ) -> Result<Selected, ApiMisuse> {
        profile.check()?;
        Ok(Selected {
            target,
            key_version_number,
            i: profile.i,
            pseudo_random: profile.has_pseudo_random_challenge(),
            key_length: profile.key_length,
            key_write_level: profile.key_write_level(),
            rules,
        })
    }

    /// INITIALIZE UPDATE (AmdD §7.1.1). The bytes must be random and never used before. All of
    /// them are the host challenge in S16, the first 8 in S8.
    #[must_use]
    pub fn initialize_update(self, random: [u8; 16]) -> (Initiating, CommandApdu) {
        let host_challenge = Challenge::cut(random, Mode::of(self.i));
        let header = [0x80, 0x50, self.key_version_number.get(), 0x00];
        let command = match host_challenge {
            Challenge::S8(challenge) => CommandApdu::short(header, challenge, Some(0x00)),
            Challenge::S16(challenge) => CommandApdu::short(header, challenge, Some(0x00)),
        };
        let initiating = Initiating { on_record: self, host_challenge, command: command.clone() };
        (initiating, command)
    }

    fn compare(&self, answer: &InitializeUpdateAnswer) -> Result<(), InitiateFault> {
        let asked = self.key_version_number;
        if answer.key_version_number != asked.get() {
            return Err(InitiateFault::KeyVersion { asked, got: answer.key_version_number });
        }
        if answer.i != self.i {
            let (field, on_record, got) = (ProfileField::I, self.i, answer.i);
            return Err(InitiateFault::ProfileMismatch { field, on_record, got });
        }
        // The sequence counter comes exactly with a pseudo-random challenge (AmdD Table 7-2).
        if answer.sequence_counter.is_some() != self.pseudo_random {
            return Err(InitiateFault::Malformed);
        }
        Ok(())
    }
}

impl Initiating {
    /// INITIALIZE UPDATE, for a carrier. The application must have been selected before.
    #[must_use]
    pub fn outbound(&self) -> Outbound {
        Outbound::new(vec![self.command.to_bytes()], Effect::Read)
    }

    /// Reads the answer and compares it with the profile.
    ///
    /// # Errors
    /// [`InitiateError`]. A difference from the profile is never adapted to: a weaker `i` would
    /// be the first thing an attacker asks for.
    pub fn answer(self, rapdu: &[u8]) -> Result<Challenged, InitiateError> {
        let Initiating { on_record, host_challenge, .. } = self;
        let answer = InitializeUpdateAnswer::parse(success(rapdu)?, host_challenge.mode())?;
        on_record.compare(&answer)?;
        let sequence_counter = answer.sequence_counter;
        let pseudo_random = sequence_counter.map(|counter| (counter, &on_record.target));
        let challenges = (&host_challenge, &answer.card_challenge);
        let version = Some(on_record.key_version_number);
        let derivations =
            Derivations::new(version, on_record.key_length, challenges, pseudo_random);
        let offer = Offer {
            target: on_record.target,
            key_diversification_data: answer.key_diversification_data,
            host_challenge,
            card_challenge: answer.card_challenge,
            card_cryptogram: answer.card_cryptogram,
            sequence_counter,
            i: Some(on_record.i),
            key_write_level: on_record.key_write_level,
            rules: on_record.rules,
        };
        Ok(Challenged { offer, derivations })
    }
}

impl Challenged {
    /// What must be computed with the static keys to go on.
    #[must_use]
    pub fn derivations(&self) -> &Derivations {
        &self.derivations
    }

    /// Key Diversification Data as the SE gave it: a hint which SE it is, no proof.
    #[must_use]
    pub fn key_diversification_data(&self) -> &[u8; 10] {
        &self.offer.key_diversification_data
    }

    /// The sequence counter of this session, where challenges are pseudo-random.
    #[must_use]
    pub fn sequence_counter(&self) -> Option<u32> {
        self.offer.sequence_counter.map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// Identifies the session: SHA-256 over host challenge and card challenge.
    #[must_use]
    pub fn session_hash(&self) -> [u8; 32] {
        self.offer.session_hash()
    }

    /// Whether the SE holds the keys of this answer. A probe that goes no further.
    #[must_use]
    pub fn card_cryptogram_matches<O: Origin>(&self, answer: &Answer<O>) -> bool {
        self.offer.card_cryptogram_matches(&answer.keys.schedules())
    }

    /// Verifies the card cryptogram, and the card challenge where it can be foretold.
    ///
    /// # Errors
    /// [`InitiateFault::Cryptogram`], [`InitiateFault::PseudoRandomChallenge`];
    /// [`ApiMisuse`] when the answer lacks the card challenge asked for.
    ///
    /// # Security
    /// An SE counts failed authentications and locks. Nothing is sent to one that failed here.
    pub fn verify<O: Origin>(self, answer: Answer<O>) -> Result<CardVerified<O>, InitiateError> {
        let Challenged { offer, derivations } = self;
        if answer.keys.length() != derivations.key_length() {
            let (what, why) = ("session keys", "not of the length the profile gives");
            return Err(ApiMisuse::Invalid { what, why }.into());
        }
        let keys = answer.keys.schedules();
        if !offer.card_cryptogram_matches(&keys) {
            return Err(InitiateFault::Cryptogram.into());
        }
        if derivations.foretell_card_challenge() {
            let Some(foretold) = answer.card_challenge else {
                let (what, why) = ("card challenge", "asked for and not derived");
                return Err(ApiMisuse::Invalid { what, why }.into());
            };
            let foretold = offer.card_challenge.mode().cut(&foretold);
            if !bool::from(foretold.ct_eq(offer.card_challenge.as_bytes())) {
                return Err(InitiateFault::PseudoRandomChallenge.into());
            }
        }
        Ok(CardVerified { offer, keys, origin: PhantomData })
    }
}

impl Offer {
    fn session_hash(&self) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.host_challenge.as_bytes());
        hash.chain_update(self.card_challenge.as_bytes()).finalize().into()
    }

    fn card_cryptogram_matches(&self, keys: &Schedules) -> bool {
        let (host, card) = (&self.host_challenge, &self.card_challenge);
        let expected = cryptogram(Side::Card, &keys.mac, host, card);
        let expected = self.card_cryptogram.mode().cut(&expected);
        expected.ct_eq(self.card_cryptogram.as_bytes()).into()
    }
}

impl<O: Origin> CardVerified<O> {
    /// EXTERNAL AUTHENTICATE at this security level (AmdD §7.1.2): proves the host to the SE.
    ///
    /// # Errors
    /// [`ApiMisuse::Level`] for a level the profile's `i` does not offer.
    pub fn external_authenticate(
        self,
        level: SecurityLevel,
    ) -> Result<(Authenticating<O>, O::Wrapped), ApiMisuse> {
        let CardVerified { offer, keys, origin } = self;
        if let Some(i) = offer.i.filter(|i| !level_is_offered(*i, level)) {
            return Err(ApiMisuse::Level { level, i });
        }
        let proof = cryptogram(Side::Host, &keys.mac, &offer.host_challenge, &offer.card_challenge);
        // Always MACed and never encrypted; the first link of the chain (AmdD §6.2.3).
        let mode = offer.host_challenge.mode();
        let lc = match mode {
            Mode::S8 => 0x10,
            Mode::S16 => 0x20,
        };
        let mut command = vec![0x84, 0x82, level.to_byte(), 0x00, lc];
        command.extend_from_slice(mode.cut(&proof));
        let chain = keys.mac.cmac(&[&[0; BLOCK], &command]);
        command.extend_from_slice(mode.cut(&chain));
        let session = Session {
            keys,
            origin,
            protection: Protection { level, mode },
            chain,
            commands: 0,
            target: offer.target,
            session_hash: offer.session_hash(),
            key_write_level: offer.key_write_level,
            tracker: Tracker::new(offer.target, offer.rules),
        };
        let wrapped = O::Wrapped::wrapped(vec![command], Effect::Read);
        Ok((Authenticating { session }, wrapped))
    }
}

impl<O: Origin> Authenticating<O> {
    /// Opens the channel, if the SE accepted the host cryptogram.
    ///
    /// # Errors
    /// [`InitiateError::CardRefused`] for anything but 9000; an answer with data is malformed.
    ///
    /// # Security
    /// 9000 here carries no MAC and proves nothing: the first answer under R-MAC does.
    pub fn answer(self, rapdu: &[u8]) -> Result<Channel<O>, InitiateError> {
        match success(rapdu)? {
            [] => Ok(Channel { session: self.session }),
            _ => Err(InitiateFault::Malformed.into()),
        }
    }
}

fn success(rapdu: &[u8]) -> Result<&[u8], InitiateError> {
    let (data, status) = split_answer(rapdu).map_err(|_| InitiateFault::Malformed)?;
    if status.is_success() { Ok(data) } else { Err(InitiateError::CardRefused(status)) }
}

/// `Debug` of the steps: their name, and nothing they hold.
macro_rules! opaque {
    ($($step:ident $(<$origin:ident>)?),*) => {$(
        impl$(<$origin: Origin>)? fmt::Debug for $step$(<$origin>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($step))
            }
        }
    )*};
}

opaque!(Selected, Initiating, Challenged, CardVerified<O>, Authenticating<O>);
