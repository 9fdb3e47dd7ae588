//! The lower door: sessions replayed with keys in the caller's own hands.
//!
//! Nothing that comes out of it can go to a carrier. Key version, `i` and level are taken as they
//! are, since the point is to look at sessions that others made.

use super::challenge::Challenge;
use super::derivations::{Answer, Derivations, Typed};
use super::initiate::{CardVerified, Challenged, InitializeUpdateAnswer, InitiateError, Offer};
use crate::aid::Aid;
use crate::effect::ContentRules;
use crate::error::ApiMisuse;
use crate::keyset::version::KeyLength;
use crate::profile::{SecurityLevel, is_pseudo_random};

/// Both challenges of a session, as someone recorded them.
#[derive(Debug)]
pub struct TypedChallenge(Challenged);

impl TypedChallenge {
    /// Reads a host challenge of 8 bytes, or 16 in S16, and the data, without status word, of the answer to
    /// INITIALIZE UPDATE. Where the Security Domain's AID is given and the challenge is
    /// pseudo-random, the challenge is verified too.
    ///
    /// # Errors
    /// [`ApiMisuse::Invalid`] for a host challenge of another length;
    /// [`InitiateError::CardMisbehaved`] for data that is no answer of SCP03 in
    /// the mode of the host challenge.
    pub fn new(
        host_challenge: &[u8],
        initialize_update_data: &[u8],
        key_length: KeyLength,
        security_domain: Option<Aid>,
    ) -> Result<TypedChallenge, InitiateError> {
        let host_challenge = Challenge::new(host_challenge)
            .ok_or(ApiMisuse::Invalid { what: "host challenge", why: "neither 8 nor 16 bytes" })?;
        let answer = InitializeUpdateAnswer::parse(initialize_update_data, host_challenge.mode())?;
        let pseudo_random = match (answer.sequence_counter, &security_domain) {
            (Some(counter), Some(aid)) if is_pseudo_random(answer.i) => Some((counter, aid)),
            _ => None,
        };
        let challenges = (&host_challenge, &answer.card_challenge);
        let derivations = Derivations::new(None, key_length, challenges, pseudo_random);
        let offer = Offer {
            // Names the session, and has no other part in it.
            target: security_domain.unwrap_or(Aid::ISSUER_SECURITY_DOMAIN),
            key_diversification_data: answer.key_diversification_data,
            host_challenge,
            card_challenge: answer.card_challenge,
            card_cryptogram: answer.card_cryptogram,
            sequence_counter: answer.sequence_counter,
            i: None,
            key_write_level: SecurityLevel::CMac,
            rules: ContentRules::nothing_public(),
        };
        Ok(TypedChallenge(Challenged { offer, derivations }))
    }

    /// What must be computed with the static keys to go on.
    #[must_use]
    pub fn derivations(&self) -> &Derivations {
        self.0.derivations()
    }

    /// Verifies the card cryptogram, and the card challenge where it can be foretold.
    ///
    /// # Errors
    /// As [`Challenged::verify`].
    pub fn verify(self, answer: Answer<Typed>) -> Result<CardVerified<Typed>, InitiateError> {
        self.0.verify(answer)
    }
}
