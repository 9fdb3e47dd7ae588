//! The built-in "user authentication" applet: a PIN, and an RSA-2048 signature behind it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;

use crate::apdu::Command;
use crate::bytes::Secret;
use crate::command::Turn;
use crate::personalization::{MODULUS_BYTES, PIN_DIGITS, Personalization};
use crate::registry::{Application, PIN_TRIES};
use crate::status::{Answer, Stop, Sw};
use crate::tlv;

/// The PIN's reference: P1 P2 of VERIFY and CHANGE REFERENCE DATA.
const PIN_REFERENCE: u16 = 0x0080;
/// GET DATA: SHA-256 of the SubjectPublicKeyInfo.
const TAG_KEY_DIGEST: u16 = 0xDF20;
/// GET DATA: the certificate.
const TAG_CERTIFICATE: u16 = 0xDF21;

/// The signing key last used, so that it is checked once and not for each signature.
#[derive(Default)]
pub(crate) struct Signer {
    held: Option<([u8; 32], KeyPair)>,
}

impl Signer {
    fn key_pair(&mut self, personalization: &Personalization) -> Result<&KeyPair, Sw> {
        let digest = personalization.key_digest();
        let held = match self.held.take() {
            Some(held) if held.0 == digest => held,
            _ => (digest, personalization.key_pair().ok_or(Sw::NO_DIAGNOSIS)?),
        };
        Ok(&self.held.insert(held).1)
    }
}

pub(crate) fn execute(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    match command.key() {
        (false, 0x20) => verify(turn, command),
        (false, 0x24) => change_reference_data(turn, command),
        (false, 0x88) => internal_authenticate(turn, command),
        (_, 0xCA) => get_data(turn, command),
        (true, 0x20 | 0x24 | 0x88) => Err(Sw::INVALID_CLASS.into()),
        _ => Err(Sw::INVALID_INSTRUCTION.into()),
    }
}

/// VERIFY. Without data it tells the tries left.
fn verify(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    if command.p1_p2() != PIN_REFERENCE {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    if command.data.is_empty() {
        let (application, _) = personalized(turn)?;
        let sw = match (turn.channel.pin_verified, application.tries_left) {
            (true, _) => Sw::OK,
            (false, 0) => Sw::PIN_BLOCKED,
            (false, left) => Sw::tries_left(left),
        };
        return Ok(Answer::empty(sw));
    }
    if !PIN_DIGITS.contains(&command.data.len()) {
        return Err(Sw::WRONG_LENGTH.into());
    }
    try_pin(turn, |pin| pin.matches(&command.data))
}

/// CHANGE REFERENCE DATA: the old PIN and the new one, joined; the old one's length is known.
fn change_reference_data(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    if command.p1_p2() != PIN_REFERENCE {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    let shortest = 2 * PIN_DIGITS.start();
    let longest = 2 * PIN_DIGITS.end();
    if !(shortest..=longest).contains(&command.data.len()) {
        return Err(Sw::WRONG_LENGTH.into());
    }
    let length = personalized(turn)?.1.pin.expose().len();
    let (old, new) = command.data.split_at_checked(length).ok_or(Sw::WRONG_LENGTH)?;
    let tried = try_pin(turn, |pin| pin.matches(old))?;
    if tried.sw != Sw::OK {
        return Ok(tried);
    }
    if !PIN_DIGITS.contains(&new.len()) || !new.iter().all(u8::is_ascii_digit) {
        return Err(Sw::WRONG_DATA.into());
    }
    change_application(turn, |application| {
        if let Some(personalization) = &mut application.personalization {
            personalization.pin = Secret::new(new.to_vec());
        }
    })?;
    Ok(tried)
}

/// Spends a try before comparing, and gives all back after a match: a power cut never gains one.
fn try_pin(turn: &mut Turn<'_>, matches: impl Fn(&Secret) -> bool) -> Result<Answer, Stop> {
    turn.channel.pin_verified = false;
    let (application, _) = personalized(turn)?;
    let left = application.tries_left.checked_sub(1).ok_or(Sw::PIN_BLOCKED)?;
    change_application(turn, |application| application.tries_left = left)?;
    if !matches(&personalized(turn)?.1.pin) {
        return Ok(Answer::empty(Sw::tries_left(left)));
    }
    change_application(turn, |application| application.tries_left = PIN_TRIES)?;
    turn.channel.pin_verified = true;
    Ok(Answer::empty(Sw::OK))
}

/// INTERNAL AUTHENTICATE: RSASSA-PKCS1-v1_5 with SHA-256 over the data given.
fn internal_authenticate(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    if command.p1_p2() != 0 {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    if !(1..=255).contains(&command.data.len()) {
        return Err(Sw::WRONG_LENGTH.into());
    }
    let entry = turn.store.card().entry(&turn.channel.selected).ok_or(Sw::CONDITIONS)?;
    let personalization = entry
        .application()
        .and_then(|application| application.personalization.as_ref())
        .ok_or(Sw::CONDITIONS)?;
    if !turn.channel.pin_verified {
        return Err(Sw::SECURITY_STATUS.into());
    }
    let mut signature = vec![0; MODULUS_BYTES];
    turn.signer
        .key_pair(personalization)?
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &command.data, &mut signature)
        .map_err(|_| Sw::NO_DIAGNOSIS)?;
    Ok(Answer::ok(signature))
}

/// GET DATA: with a proprietary class the data object, with an ISO class its value (CS 11.3.3.1).
fn get_data(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    let (_, personalization) = personalized(turn).map_err(|_| Sw::DATA_NOT_FOUND)?;
    let value = match command.p1_p2() {
        TAG_KEY_DIGEST => personalization.key_digest().to_vec(),
        TAG_CERTIFICATE => personalization.certificate.0.clone(),
        _ => return Err(Sw::DATA_NOT_FOUND.into()),
    };
    let proprietary = command.class.proprietary;
    Ok(Answer::ok(if proprietary { tlv::object(command.p1_p2(), &value) } else { value }))
}

/// The selected instance, if it is personalized; `6985` otherwise.
fn personalized<'a>(turn: &'a Turn<'_>) -> Result<(&'a Application, &'a Personalization), Sw> {
    let application = turn.selected()?.application().ok_or(Sw::CONDITIONS)?;
    let personalization = application.personalization.as_ref().ok_or(Sw::CONDITIONS)?;
    Ok((application, personalization))
}

fn change_application(
    turn: &mut Turn<'_>,
    change: impl FnOnce(&mut Application),
) -> Result<(), Stop> {
    let aid = turn.channel.selected;
    turn.store.change(|card| {
        let entry = card.entry_mut(&aid).ok_or(Sw::CONDITIONS)?;
        change(entry.application_mut().ok_or(Sw::CONDITIONS)?);
        Ok(())
    })
}
