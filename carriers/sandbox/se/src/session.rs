//! Opening a secure channel: INITIALIZE UPDATE and EXTERNAL AUTHENTICATE (CS D.4, AmdD 7.1).

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::aes::AesKey;
use crate::aid::Aid;
use crate::apdu::Command;
use crate::bytes::Secret;
use crate::command::Turn;
use crate::derivation::{Constant, eight_bytes, session_key};
use crate::key_set::StaticKeys;
use crate::messaging::Open;
use crate::registry::Card;
use crate::status::{Answer, Stop, Sw};

/// `i`: the card challenge is pseudo-random (AmdD Table 5-1).
pub(crate) const I_PSEUDO_RANDOM: u8 = 0x10;
const I_R_MAC: u8 = 0x20;
const I_R_ENCRYPTION: u8 = 0x40;
/// The protocol identifier in the key information of INITIALIZE UPDATE.
const SCP03: u8 = 0x03;

/// Where a logical channel's secure channel stands (AmdD 5.6).
#[derive(Default)]
pub(crate) enum Session {
    /// NO_SECURITY_LEVEL, nothing under way.
    #[default]
    Closed,
    /// INITIALIZE UPDATE answered, waiting for EXTERNAL AUTHENTICATE.
    Challenged(Box<Challenged>),
    Open(Box<Open>),
    /// Aborted by a security error: everything is refused until it is terminated.
    Aborted,
}

/// A session's keys and the cryptogram the host must show.
pub(crate) struct Challenged {
    keys: SessionKeys,
    dek: AesKey,
    host_cryptogram: Secret,
}

/// S-ENC, S-MAC, S-RMAC.
pub(crate) struct SessionKeys {
    pub(crate) enc: AesKey,
    pub(crate) mac: AesKey,
    pub(crate) rmac: AesKey,
}

/// The security level of an open session (AmdD Table 7-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(u8);

impl Level {
    const C_MAC: u8 = 0x01;
    const C_DECRYPTION: u8 = 0x02;
    const R_MAC: u8 = 0x10;
    const R_ENCRYPTION: u8 = 0x20;

    /// A level of the table that `i` offers.
    pub(crate) fn new(p1: u8, i: u8) -> Option<Self> {
        let legal = matches!(p1, 0x00 | 0x01 | 0x03 | 0x11 | 0x13 | 0x33);
        let r_mac = p1 & Self::R_MAC == 0 || i & I_R_MAC != 0;
        let r_encryption = p1 & Self::R_ENCRYPTION == 0 || i & I_R_ENCRYPTION != 0;
        (legal && r_mac && r_encryption).then_some(Self(p1))
    }

    pub(crate) fn c_mac(self) -> bool {
        self.0 & Self::C_MAC != 0
    }

    pub(crate) fn c_decryption(self) -> bool {
        self.0 & Self::C_DECRYPTION != 0
    }

    pub(crate) fn r_mac(self) -> bool {
        self.0 & Self::R_MAC != 0
    }

    pub(crate) fn r_encryption(self) -> bool {
        self.0 & Self::R_ENCRYPTION != 0
    }
}

impl Challenged {
    /// Derives a session from both challenges; also returns the card cryptogram.
    pub(crate) fn new(
        keys: &StaticKeys<'_>,
        host_challenge: &[u8],
        card_challenge: &[u8],
    ) -> Result<(Self, [u8; 8]), Sw> {
        let context: &[&[u8]] = &[host_challenge, card_challenge];
        let enc = session_key(keys.enc, Constant::SessionEnc, context)?;
        let mac = session_key(keys.mac, Constant::SessionMac, context)?;
        let rmac = session_key(keys.mac, Constant::SessionRmac, context)?;
        let card_cryptogram = eight_bytes(&mac, Constant::CardCryptogram, context)?;
        let host_cryptogram = eight_bytes(&mac, Constant::HostCryptogram, context)?;
        let challenged = Self {
            keys: SessionKeys { enc, mac, rmac },
            dek: keys.dek.clone(),
            host_cryptogram: Secret::new(host_cryptogram.to_vec()),
        };
        Ok((challenged, card_cryptogram))
    }

    /// Judges EXTERNAL AUTHENTICATE. Whatever is wrong, the challenges are spent.
    ///
    /// # Errors
    /// `6300` for the cryptogram, `6982` for the C-MAC, `6A86` for the level, `6700` for the length.
    pub(crate) fn authenticate(self, command: &Command, i: u8) -> Result<Open, Sw> {
        let level = Level::new(command.p1, i).ok_or(Sw::INCORRECT_P1_P2)?;
        if command.p2 != 0 {
            return Err(Sw::INCORRECT_P1_P2);
        }
        let cryptogram = match command.data.split_first_chunk::<8>() {
            Some((cryptogram, mac)) if mac.len() == 8 => cryptogram,
            _ => return Err(Sw::WRONG_LENGTH),
        };
        if !self.host_cryptogram.matches(cryptogram) {
            return Err(Sw::AUTHENTICATION_FAILED);
        }
        let mut open = Open::new(level, self.keys, self.dek);
        open.verify_mac(command)?;
        Ok(open)
    }
}

/// INITIALIZE UPDATE, of a Security Domain or of an application served by its Security Domain.
pub(crate) fn initialize_update(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    turn.channel.end_session();
    if command.p2 != 0 {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    if command.data.len() != 8 {
        return Err(Sw::WRONG_LENGTH.into());
    }
    let selected = turn.channel.selected;
    let card = turn.store.card();
    let (i, kdd) = (card.i, card.kdd);
    let domain = serving_domain(card, &selected)?;
    let sequence_counter = if i & I_PSEUDO_RANDOM != 0 {
        Some(turn.store.change(|card| count_challenge(card, &domain, command.p1))?)
    } else {
        None
    };
    let set = turn
        .store
        .card()
        .domain(&domain)
        .and_then(|domain| domain.key_set(command.p1))
        .ok_or(Sw::DATA_NOT_FOUND)?;
    let keys = set.complete().ok_or(Sw::DATA_NOT_FOUND)?;
    let card_challenge = match &sequence_counter {
        Some(counter) => {
            eight_bytes(keys.enc, Constant::CardChallenge, &[counter, selected.as_bytes()])?
        }
        None => random_challenge()?,
    };
    let (challenged, card_cryptogram) = Challenged::new(&keys, &command.data, &card_challenge)?;

    let mut data = kdd.to_vec();
    data.extend([set.kvn, SCP03, i]);
    data.extend(card_challenge);
    data.extend(card_cryptogram);
    data.extend(sequence_counter.into_iter().flatten());
    turn.channel.session = Session::Challenged(Box::new(challenged));
    Ok(Answer::ok(data))
}

/// EXTERNAL AUTHENTICATE.
pub(crate) fn external_authenticate(
    turn: &mut Turn<'_>,
    command: &Command,
) -> Result<Answer, Stop> {
    match std::mem::take(&mut turn.channel.session) {
        Session::Challenged(challenged) => {
            let open = challenged.authenticate(command, turn.store.card().i)?;
            turn.channel.session = Session::Open(Box::new(open));
            Ok(Answer::empty(Sw::OK))
        }
        Session::Closed => Err(Sw::CONDITIONS.into()),
        Session::Open(_) | Session::Aborted => {
            turn.channel.session = Session::Aborted;
            Err(Sw::CONDITIONS.into())
        }
    }
}

/// The Security Domain whose keys serve what is selected.
fn serving_domain(card: &Card, selected: &Aid) -> Result<Aid, Sw> {
    let entry = card.entry(selected).ok_or(Sw::CONDITIONS)?;
    if entry.domain().is_some() {
        return Ok(entry.aid);
    }
    let domain = card.entry(&entry.associated).ok_or(Sw::CONDITIONS)?;
    if domain.is_serving_domain() { Ok(domain.aid) } else { Err(Sw::CONDITIONS) }
}

fn count_challenge(card: &mut Card, domain: &Aid, kvn: u8) -> Result<[u8; 3], Sw> {
    let set = card
        .domain_mut(domain)
        .and_then(|domain| domain.key_set_mut(kvn))
        .ok_or(Sw::DATA_NOT_FOUND)?;
    if set.complete().is_none() {
        return Err(Sw::DATA_NOT_FOUND);
    }
    set.count_challenge()
}

fn random_challenge() -> Result<[u8; 8], Sw> {
    let mut challenge = [0; 8];
    SystemRandom::new().fill(&mut challenge).map_err(|_| Sw::NO_DIAGNOSIS)?;
    Ok(challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_levels_of_the_table_and_of_i() {
        let levels = |i| (0..=0xFF).filter(|p1| Level::new(*p1, i).is_some()).collect::<Vec<u8>>();
        assert_eq!(levels(0x70), [0x00, 0x01, 0x03, 0x11, 0x13, 0x33]);
        assert_eq!(levels(0x30), [0x00, 0x01, 0x03, 0x11, 0x13]);
        assert_eq!(levels(0x10), [0x00, 0x01, 0x03]);
    }
}
