//! What whoever holds the static keys must compute, stated as data.

use std::fmt;

use zeroize::Zeroizing;

use super::challenge::Challenge;
use super::cipher::BLOCK;
use super::kdf;
use super::session_keys::SessionKeys;
use crate::aid::Aid;
use crate::effect::Effect;
use crate::keyset::version::{KeyLength, KeyVersionNumber};
use crate::outbound::{Outbound, TypedScript};

/// The static key a derivation runs under (AmdD Table 6-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StaticKey {
    /// Key-ENC.
    Enc,
    /// Key-MAC.
    Mac,
}

/// What a derivation yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The session key that encrypts.
    SEnc,
    /// The session key of C-MACs and cryptograms.
    SMac,
    /// The session key of R-MACs.
    SRmac,
    /// The card challenge an SE with pseudo-random challenges must have given (AmdD §6.2.2.1).
    CardChallenge,
}

/// One derivation: CMAC of each block under the key, outputs joined and cut to `bits`
/// (NIST SP 800-108, counter mode; AmdD §4.1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// What comes out.
    pub purpose: Purpose,
    /// The key to use.
    pub key: StaticKey,
    /// Length of the output in bits: 64, 128, 192 or 256.
    pub bits: u16,
    /// The input of each CMAC, complete.
    pub blocks: Vec<Vec<u8>>,
}

/// All derivations one session needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivations {
    steps: Vec<Derivation>,
    key_version_number: Option<KeyVersionNumber>,
    key_length: KeyLength,
}

impl Derivations {
    /// `sequence_counter` and `aid`, where given, call for the pseudo-random card challenge.
    pub(crate) fn new(
        key_version_number: Option<KeyVersionNumber>,
        key_length: KeyLength,
        (host, card): (&Challenge, &Challenge),
        pseudo_random: Option<([u8; 3], &Aid)>,
    ) -> Derivations {
        let session_key = |purpose, key, constant| {
            let bits = key_length.bits();
            let blocks = kdf::blocks(constant, bits, &[host.as_bytes(), card.as_bytes()]).collect();
            Derivation { purpose, key, bits, blocks }
        };
        let mut steps = vec![
            session_key(Purpose::SEnc, StaticKey::Enc, kdf::S_ENC),
            session_key(Purpose::SMac, StaticKey::Mac, kdf::S_MAC),
            session_key(Purpose::SRmac, StaticKey::Mac, kdf::S_RMAC),
        ];
        if let Some((sequence_counter, aid)) = pseudo_random {
            let context: [&[u8]; 2] = [&sequence_counter, aid.as_bytes()];
            let (purpose, key, bits) = (Purpose::CardChallenge, StaticKey::Enc, card.mode().bits());
            let blocks = kdf::blocks(kdf::CARD_CHALLENGE, bits, &context).collect();
            steps.push(Derivation { purpose, key, bits, blocks });
        }
        Derivations { steps, key_version_number, key_length }
    }

    /// The derivations, in any order to be computed.
    #[must_use]
    pub fn steps(&self) -> &[Derivation] {
        &self.steps
    }

    /// The key set to use; none where the caller typed the keys.
    #[must_use]
    pub fn key_version_number(&self) -> Option<KeyVersionNumber> {
        self.key_version_number
    }

    /// The length the static keys must have.
    #[must_use]
    pub fn key_length(&self) -> KeyLength {
        self.key_length
    }

    /// Whether the card challenge is among them.
    pub(crate) fn foretell_card_challenge(&self) -> bool {
        self.steps.iter().any(|step| step.purpose == Purpose::CardChallenge)
    }

    /// Computes the answer with a CMAC that runs where the keys are: `prf(key, input)` is the
    /// CMAC of `input` under that static key, all 16 bytes.
    ///
    /// # Errors
    /// Whatever `prf` fails with; what was derived until then is erased.
    pub fn answer<O: Origin, E>(
        &self,
        mut prf: impl FnMut(StaticKey, &[u8]) -> Result<[u8; 16], E>,
    ) -> Result<Answer<O>, E> {
        let mut keys = SessionKeys::zero(self.key_length);
        let mut card_challenge = None;
        for step in &self.steps {
            match step.purpose {
                Purpose::SEnc => fill(keys.enc.as_bytes_mut(), step, &mut prf)?,
                Purpose::SMac => fill(keys.mac.as_bytes_mut(), step, &mut prf)?,
                Purpose::SRmac => fill(keys.rmac.as_bytes_mut(), step, &mut prf)?,
                Purpose::CardChallenge => {
                    fill(card_challenge.insert([0; BLOCK]), step, &mut prf)?;
                }
            }
        }
        Ok(Answer { keys, card_challenge })
    }
}

fn fill<E>(
    output: &mut [u8],
    step: &Derivation,
    prf: &mut impl FnMut(StaticKey, &[u8]) -> Result<[u8; 16], E>,
) -> Result<(), E> {
    for (output, block) in output.chunks_mut(16).zip(&step.blocks) {
        let derived = Zeroizing::new(prf(step.key, block)?);
        output.iter_mut().zip(derived.iter()).for_each(|(to, from)| *to = *from);
    }
    Ok(())
}

/// Session keys, and the card challenge where the SE's can be foretold. No copy is made of it:
///
/// ```compile_fail,E0599
/// fn twice(answer: scp::Answer<scp::Custody>) {
///     let _second = answer.clone();
/// }
/// ```
/// ```
/// fn once(answer: scp::Answer<scp::Custody>) -> scp::Answer<scp::Custody> {
///     answer
/// }
/// ```
pub struct Answer<O: Origin> {
    pub(crate) keys: Box<SessionKeys<O>>,
    /// Whole; in S8 the SE gives the first half of it.
    pub(crate) card_challenge: Option<[u8; BLOCK]>,
}

impl Answer<Typed> {
    /// The session keys, for the person who typed the static keys.
    #[must_use]
    pub fn session_keys(&self) -> &SessionKeys<Typed> {
        &self.keys
    }
}

impl<O: Origin> fmt::Debug for Answer<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// The static keys are in custody: what is wrapped may go to a carrier, and key writes need a
/// permit.
#[derive(Debug)]
pub enum Custody {}

/// The static keys are in the caller's own hands: nothing wrapped with them goes to a carrier.
#[derive(Debug)]
pub enum Typed {}

pub(crate) mod sealed {
    use crate::effect::Effect;

    /// Closes [`Origin`](super::Origin).
    pub trait Origin {
        /// Whether key writes need a permit.
        const GATED: bool;
    }

    /// What wrapped commands can become.
    pub trait Wrapped {
        /// Turns wrapped commands into it.
        fn wrapped(commands: Vec<Vec<u8>>, effect: Effect) -> Self;
    }
}

/// Where the static keys of a session are: [`Custody`] or [`Typed`].
pub trait Origin: sealed::Origin {
    /// What wrapped commands are: [`Outbound`] out of custody, else [`TypedScript`].
    type Wrapped: sealed::Wrapped;
}

impl Origin for Custody {
    type Wrapped = Outbound;
}

impl sealed::Origin for Custody {
    const GATED: bool = true;
}

impl sealed::Wrapped for Outbound {
    fn wrapped(commands: Vec<Vec<u8>>, effect: Effect) -> Outbound {
        Outbound::new(commands, effect)
    }
}

impl Origin for Typed {
    type Wrapped = TypedScript;
}

impl sealed::Origin for Typed {
    const GATED: bool = false;
}

impl sealed::Wrapped for TypedScript {
    fn wrapped(commands: Vec<Vec<u8>>, _: Effect) -> TypedScript {
        TypedScript::new(commands)
    }
}
