//! A secure channel of the TSM's own, under keys in its own hands.

use scp::{
    Aid, Answered, CommandApdu, KeyScript, Outbound, Script, SecurityLevel, StatusWord, Typed,
    TypedScript,
    content::{
        registry::{self, Entry, RegistryFault},
        status_data::{self, Scope},
    },
    error::ApiMisuse,
    scp03::{
        channel::{Awaiting, Channel, ChannelError, WrapError},
        initiate::InitiateError,
        typed::TypedChallenge,
    },
};
use se::SecureElement;
use thiserror::Error;

use super::{
    keys::{KeyError, StaticKeys},
    terminal,
};
use crate::random;

/// INITIALIZE UPDATE of whatever key set comes first (Amendment D 1.1.1, 7.1.1.2): an Issuer Security Domain has one here.
const INITIALIZE_UPDATE: [u8; 5] = [0x80, 0x50, 0x00, 0x00, HOST_CHALLENGE as u8];
const HOST_CHALLENGE: usize = 8;
/// Where `i` stands in the answer, and its bits for R-MAC and R-ENCRYPTION (Amendment D 1.1.1, Tables 7-2 and 5-1).
const PLACE_OF_I: usize = 12;
const I_R_MAC: u8 = 0x20;
const I_R_ENCRYPTION: u8 = 0x40;
/// More data follows in the next GET STATUS (Card Specification 2.3.1, 11.4.3.2).
const MORE: u16 = 0x6310;
/// Nothing there (Card Specification 2.3.1, 11.4.3.2).
const NOT_FOUND: u16 = 0x6A88;

/// Why a TSM's own session came to nothing.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The secure element refused a command.
    #[error("INS {ins:02X} was answered with {status}")]
    Refused {
        /// Instruction of the command.
        ins: u8,
        /// The status word.
        status: StatusWord,
    },
    /// The secure element does not answer.
    #[error("the secure element does not answer")]
    Silent,
    /// No channel.
    #[error("the channel did not open: {0}")]
    Initiate(#[from] InitiateError),
    /// A command that cannot be made.
    #[error(transparent)]
    Misuse(#[from] ApiMisuse),
    /// A script that cannot be wrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// Answers that cannot be unwrapped.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A GET STATUS answer that is none.
    #[error(transparent)]
    Registry(#[from] RegistryFault),
    /// The keys do not serve.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// An open channel. Each script consumes it and gives it back.
pub(super) struct Session<'a> {
    se: &'a mut SecureElement,
    channel: Channel<Typed>,
    key_diversification_data: [u8; 10],
}

impl<'a> Session<'a> {
    /// Resets the SE, selects the Security Domain and opens a channel at the best level the SE has. Whatever the SE says of itself is
    /// taken as it is: it has just come from its maker.
    pub(super) fn open(
        se: &'a mut SecureElement,
        security_domain: Aid,
        keys: &StaticKeys,
    ) -> Result<Session<'a>, SessionError> {
        se.reset();
        let select = Outbound::select(&security_domain);
        for command in select.commands() {
            succeed(0xA4, &terminal::exchange(se, command))?;
        }
        let host_challenge: [u8; HOST_CHALLENGE] = random::bytes();
        let command = [&INITIALIZE_UPDATE[..], &host_challenge, &[0x00]].concat();
        let answer = terminal::exchange(se, &command);
        let data = succeed(0x50, &answer)?;
        let challenge =
            TypedChallenge::new(&host_challenge, data, keys.length(), Some(security_domain))?;
        let derived = challenge.derivations().answer(|key, input| keys.cmac(key, input))?;
        let verified = challenge.verify(derived)?;
        let (authenticating, script) = verified.external_authenticate(best_level(data))?;
        let answer = transmit(se, &script).pop().unwrap_or_default();
        let channel = authenticating.answer(&answer)?;
        let key_diversification_data = *data.first_chunk().ok_or(SessionError::Silent)?;
        Ok(Session { se, channel, key_diversification_data })
    }

    /// As INITIALIZE UPDATE answered it.
    pub(super) fn key_diversification_data(&self) -> [u8; 10] {
        self.key_diversification_data
    }

    /// Runs commands that must all succeed.
    pub(super) fn run(self, commands: Vec<CommandApdu>) -> Result<Session<'a>, SessionError> {
        let instructions: Vec<u8> = commands.iter().map(CommandApdu::ins).collect();
        let (awaiting, script) = self.channel.wrap(Script::new(commands)?)?;
        let answers = transmit(self.se, &script);
        Ok(Session { channel: all_succeeded(awaiting, &answers, &instructions)?, ..self })
    }

    /// Runs a key write that must succeed.
    pub(super) fn run_key_script(self, script: KeyScript) -> Result<Session<'a>, SessionError> {
        let instructions: Vec<u8> = script.commands().iter().map(CommandApdu::ins).collect();
        let (awaiting, script) = self.channel.wrap_key_script(script)?;
        let answers = transmit(self.se, &script);
        Ok(Session { channel: all_succeeded(awaiting, &answers, &instructions)?, ..self })
    }

    /// GET STATUS over all pages.
    pub(super) fn registry(self, scope: Scope) -> Result<(Vec<Entry>, Session<'a>), SessionError> {
        let mut session = self;
        let mut data = Vec::new();
        loop {
            let command = status_data::get_status(scope, !data.is_empty());
            let (awaiting, script) = session.channel.wrap(Script::new(vec![command])?)?;
            let unwrapped = awaiting.unwrap(&transmit(session.se, &script))?;
            let answered: &Answered = unwrapped.answers.first().ok_or(SessionError::Silent)?;
            let status = answered.status();
            data.extend_from_slice(answered.data());
            let Some(channel) = unwrapped.channel else { return Err(SessionError::Silent) };
            session = Session { channel, ..session };
            match status.0 {
                MORE => {}
                NOT_FOUND => return Ok((Vec::new(), session)),
                _ if status.is_success() => return Ok((registry::parse(scope, &data)?, session)),
                _ => return Err(SessionError::Refused { ins: 0xF2, status }),
            }
        }
    }
}

/// Sends a script until an answer that is an error.
fn transmit(se: &mut SecureElement, script: &TypedScript) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for command in script.commands() {
        let answer = terminal::exchange(se, command);
        let went_on = terminal::went_on(&answer);
        answers.push(answer);
        if !went_on {
            break;
        }
    }
    answers
}

fn all_succeeded(
    awaiting: Awaiting<Typed>,
    answers: &[Vec<u8>],
    instructions: &[u8],
) -> Result<Channel<Typed>, SessionError> {
    if answers.last().is_none_or(Vec::is_empty) {
        return Err(SessionError::Silent);
    }
    let unwrapped = awaiting.unwrap(answers)?;
    let failed = |(answered, _): &(&Answered, &u8)| !answered.status().is_success();
    if let Some((answered, &ins)) = unwrapped.answers.iter().zip(instructions).find(failed) {
        return Err(SessionError::Refused { ins, status: answered.status() });
    }
    unwrapped.channel.ok_or(SessionError::Silent)
}

/// The data before a status word that is a success.
fn succeed(ins: u8, answer: &[u8]) -> Result<&[u8], SessionError> {
    let (data, status) = answer.split_last_chunk().ok_or(SessionError::Silent)?;
    let status = StatusWord(u16::from_be_bytes(*status));
    status.is_success().then_some(data).ok_or(SessionError::Refused { ins, status })
}

/// C-MAC and C-DECRYPTION always; R-MAC and R-ENCRYPTION where `i` offers them.
fn best_level(initialize_update_data: &[u8]) -> SecurityLevel {
    let i = initialize_update_data.get(PLACE_OF_I).copied().unwrap_or(0);
    match (i & I_R_MAC != 0, i & I_R_ENCRYPTION != 0) {
        (true, true) => SecurityLevel::All,
        (true, false) => SecurityLevel::CMacCDecRMac,
        (false, _) => SecurityLevel::CMacCDec,
    }
}
