//! Secure messaging of one command and one answer (AmdD §6.2.4 to §6.2.7).

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::channel::Answered;
use super::cipher::BLOCK;
use super::one_pass::OnePass;
use super::session_keys::Schedules;
use crate::apdu::{CommandApdu, DATA_MOST, push_lc, push_le, split_answer};
use crate::profile::{Mode, SecurityLevel};

/// The full CMAC of the command before: sixteen bytes 00 before EXTERNAL AUTHENTICATE.
pub(crate) type Chain = [u8; BLOCK];

/// Tells the chaining vector of an answer from that of its command (AmdD §6.2.7).
const ANSWER: u128 = 0x80 << 120;

/// What a session's commands and answers are protected by.
#[derive(Clone, Copy)]
pub(crate) struct Protection {
    pub(crate) level: SecurityLevel,
    pub(crate) mode: Mode,
}

/// A command as it goes out.
pub(crate) struct Secured {
    pub(crate) bytes: Vec<u8>,
    /// Its full CMAC, which the next command and the answer to this one are chained to.
    pub(crate) chain: Chain,
}

/// Why a command cannot be secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommandFault {
    /// The class byte already announces secure messaging.
    #[error("the class byte {cla:02X} already announces secure messaging")]
    Class {
        /// The class byte.
        cla: u8,
    },
    /// With padding and MAC the data exceeds even an extended command.
    #[error("with padding and MAC the data does not fit into a command")]
    TooLong,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnswerFault {
    /// It is no response APDU.
    #[error("it is no response APDU")]
    Malformed,
    /// Success or a warning came without the R-MAC it must carry.
    #[error("the R-MAC is missing")]
    MissingMac,
    /// The R-MAC is wrong.
    #[error("the R-MAC is wrong")]
    RMac,
    /// The decrypted data does not end in padding, or is no whole number of blocks.
    #[error("the padding is wrong")]
    Padding,
    /// An error status word came with data, which nothing protects.
    #[error("an error came with unprotected data")]
    DataWithError,
}

/// Encrypts and MACs one command. `counter` is the encryption counter of this command, 1 for the
/// first after EXTERNAL AUTHENTICATE.
pub(crate) fn secure(
    keys: &Schedules,
    Protection { level, mode }: Protection,
    chain: &Chain,
    counter: u32,
    command: &CommandApdu,
) -> Result<Secured, CommandFault> {
    let cla = command.cla();
    let class = SecuredClass::of(cla).ok_or(CommandFault::Class { cla })?;
    // A command without data is not encrypted; its counter is spent all the same (§6.2.6).
    let encrypted = level.has_c_decryption() && !command.data().is_empty();
    let clear = command.data().len();
    let padding = if encrypted { BLOCK.saturating_sub(clear.rem_euclid(BLOCK)) } else { 0 };
    let lc = clear.saturating_add(padding).saturating_add(mode.bytes());
    if lc > DATA_MOST {
        return Err(CommandFault::TooLong);
    }
    let extended = command.is_extended() || lc > usize::from(u8::MAX);

    let mut bytes = Vec::with_capacity(lc.saturating_add(9));
    bytes.extend_from_slice(&[class.sent, command.ins(), command.p1(), command.p2()]);
    push_lc(&mut bytes, lc, extended);
    let header = bytes.len();
    bytes.extend_from_slice(command.data());
    let chain = if encrypted {
        let padded = bytes.len().saturating_add(padding);
        bytes.push(0x80);
        bytes.resize(padded, 0x00);
        encrypt_and_mac(keys, chain, counter, &class, bytes.split_at_mut(header))
            .ok_or(CommandFault::TooLong)?
    } else {
        c_mac(keys, chain, &class, &bytes)
    };
    bytes.extend_from_slice(mode.cut(&chain));
    push_le(&mut bytes, command.le(), extended);
    Ok(Secured { bytes, chain })
}

/// CMAC over the chain and the command, with the class byte of the basic channel (§6.2.4).
fn c_mac(keys: &Schedules, chain: &Chain, class: &SecuredClass, command: &[u8]) -> Chain {
    let behind_class = command.get(1..).unwrap_or_default();
    keys.mac.cmac(&[chain, &[class.maced], behind_class])
}

/// Encrypts the data, whole blocks of it, and MACs the command as [`c_mac`] does.
fn encrypt_and_mac(
    keys: &Schedules,
    chain: &Chain,
    counter: u32,
    class: &SecuredClass,
    (header, data): (&mut [u8], &mut [u8]),
) -> Option<Chain> {
    let mut maced = [0; BLOCK];
    maced.iter_mut().zip(header.iter()).for_each(|(to, from)| *to = *from);
    *maced.first_mut()? = class.maced;
    let (data, []) = data.as_chunks_mut() else { return None };
    let pass = OnePass {
        counter: u128::from(counter).to_be_bytes(),
        chain: *chain,
        header: maced,
        header_length: header.len(),
        data,
        subkey: *keys.mac_subkey,
    };
    keys.enc.encrypt_and_mac(&keys.mac, pass)
}

/// The class byte as it is MACed and as it is sent: secure messaging announced, ISO secure
/// messaging not, the logical channel out of the MAC (§6.2.4; CS 2.3.1 Tables 11-11, 11-12).
struct SecuredClass {
    maced: u8,
    sent: u8,
}

impl SecuredClass {
    fn of(cla: u8) -> Option<SecuredClass> {
        if cla & 0x40 == 0 {
            // Channels 0 to 3 in bits 1 and 2.
            let already_secured = cla & 0x0C != 0;
            (!already_secured)
                .then_some(SecuredClass { maced: cla & 0xF0 | 0x04, sent: cla | 0x04 })
        } else {
            // Channels 4 to 19 in bits 1 to 4; secure messaging in bit 6.
            let already_secured = cla & 0x20 != 0;
            (!already_secured)
                .then_some(SecuredClass { maced: cla & 0x90 | 0x04, sent: cla | 0x20 })
        }
    }
}

/// Verifies and decrypts one answer. `chain` and `counter` are those of its command.
pub(crate) fn open(
    keys: &Schedules,
    Protection { level, mode }: Protection,
    chain: &Chain,
    counter: u32,
    answer: &[u8],
) -> Result<Answered, AnswerFault> {
    let (body, status) = split_answer(answer).map_err(|_| AnswerFault::Malformed)?;
    if !level.has_r_mac() {
        return Ok(Answered::new(body.to_vec(), status, false));
    }
    if !status.carries_mac() {
        // Bare, and no reason to distrust the session (§6.2.5).
        return match body {
            [] => Ok(Answered::new(Vec::new(), status, false)),
            _ => Err(AnswerFault::DataWithError),
        };
    }
    let data = body.len().checked_sub(mode.bytes()).ok_or(AnswerFault::MissingMac)?;
    let (data, mac) = body.split_at(data);
    let computed = keys.rmac.cmac(&[chain, data, &status.0.to_be_bytes()]);
    if !bool::from(mac.ct_eq(mode.cut(&computed))) {
        return Err(AnswerFault::RMac);
    }
    let mut data = data.to_vec();
    // An answer without data is not encrypted (§6.2.7).
    if level.has_r_encryption() && !data.is_empty() {
        let icv = keys.enc.encrypt_block((u128::from(counter) | ANSWER).to_be_bytes());
        keys.enc.decrypt_cbc(icv, &mut data).ok_or(AnswerFault::Padding)?;
        let clear = before_padding(&data).ok_or(AnswerFault::Padding)?;
        data.truncate(clear);
    }
    Ok(Answered::new(data, status, true))
}

/// How much of decrypted data is not padding: 80, then any number of 00 (AmdD §4.1.4). Some
/// products add a whole block of 00 more than they need; under a valid R-MAC that is harmless.
fn before_padding(data: &[u8]) -> Option<usize> {
    let last = data.iter().rposition(|byte| *byte != 0x00)?;
    (data.get(last) == Some(&0x80)).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::super::derivations::Typed;
    use super::super::session_keys::SessionKeys;
    use super::*;
    use crate::keyset::version::KeyLength;
    use serde_json::Value;

    fn entry(id: &str) -> Value {
        let text = include_str!("../../../tests/vectors/scp03_primitives.json");
        let entries: Vec<Value> = serde_json::from_str(text).unwrap();
        assert_eq!(entries.len(), 3, "a vector is without a test");
        entries.into_iter().find(|entry| entry["id"] == id).unwrap()
    }

    fn bytes(entry: &Value, name: &str) -> Vec<u8> {
        entry[name].as_str().map(|text| hex::decode(text).unwrap()).unwrap_or_default()
    }

    fn s8(level: SecurityLevel) -> Protection {
        Protection { level, mode: Mode::S8 }
    }

    fn schedules(entry: &Value) -> Box<Schedules> {
        let mut keys = SessionKeys::<Typed>::zero(KeyLength::Aes128);
        for (key, name) in
            [(&mut keys.enc, "s_enc"), (&mut keys.mac, "s_mac"), (&mut keys.rmac, "s_rmac")]
        {
            let value = bytes(entry, name);
            key.as_bytes_mut().iter_mut().zip(value).for_each(|(to, from)| *to = from);
        }
        keys.schedules()
    }

    #[test]
    fn published_command_sequence_comes_out() {
        let entry = entry("ojc-wrap-CMAC");
        let keys = schedules(&entry);
        let mut chain = [0; 16];
        for exchange in entry["exchanges"].as_array().unwrap() {
            let command = CommandApdu::parse(&bytes(exchange, "plain_capdu")).unwrap();
            let secured = secure(&keys, s8(SecurityLevel::CMac), &chain, 1, &command).unwrap();
            assert_eq!(secured.bytes, bytes(exchange, "wrapped_capdu"));
            chain = secured.chain;
        }
    }

    #[test]
    fn published_answer_opens_and_nothing_near_it_does() {
        let entry = entry("dart-unwrap-ctr13");
        let keys = schedules(&entry);
        let chain: Chain = bytes(&entry, "mac_chain").try_into().unwrap();
        let answer = bytes(&entry, "wrapped_rapdu");
        let opened = open(&keys, s8(SecurityLevel::All), &chain, 13, &answer).unwrap();
        let plain = [opened.data(), &opened.status().0.to_be_bytes()].concat();
        assert_eq!(plain, bytes(&entry, "plain_rapdu"));
        assert!(opened.is_authenticated());
        for bit in 0..(answer.len() - 2) * 8 {
            let mut flipped = answer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refused = open(&keys, s8(SecurityLevel::All), &chain, 13, &flipped);
            assert_eq!(refused.err(), Some(AnswerFault::RMac));
        }
        let other_counter = open(&keys, s8(SecurityLevel::All), &chain, 14, &answer);
        assert!(other_counter.is_err() || other_counter.is_ok_and(|o| o.data() != opened.data()));
    }

    #[test]
    fn padding_is_80_and_zeros_after_it() {
        assert_eq!(before_padding(&[1, 0x80, 0, 0]), Some(1));
        assert_eq!(before_padding(&[0x80]), Some(0));
        assert_eq!(before_padding(&[0x80, 0x80]), Some(1));
        assert_eq!(before_padding(&[0, 0]), None);
        assert_eq!(before_padding(&[0x80, 1, 0]), None);
        assert_eq!(before_padding(&[]), None);
    }

    #[test]
    fn published_cmac_comes_out() {
        let entry = entry("yubinet-cmac-primitive");
        let chain = bytes(&entry, "mac_chain");
        let mac = schedules(&entry).mac.cmac(&[&chain, &bytes(&entry, "macced_bytes")]);
        assert_eq!(mac[..8], bytes(&entry, "mac8")[..]);
    }

    #[test]
    fn the_logical_channel_stays_on_the_wire_and_out_of_the_mac() {
        for (cla, maced, sent) in [
            (0x80, 0x84, 0x84),
            (0x81, 0x84, 0x85),
            (0x83, 0x84, 0x87),
            (0x00, 0x04, 0x04),
            (0x90, 0x94, 0x94),
            (0xC0, 0x84, 0xE0),
            (0xCF, 0x84, 0xEF),
            (0x50, 0x14, 0x70),
        ] {
            let class = SecuredClass::of(cla).unwrap();
            assert_eq!((class.maced, class.sent), (maced, sent), "{cla:02X}");
        }
        for cla in [0x84, 0x88, 0x0C, 0xE0, 0x67] {
            assert!(SecuredClass::of(cla).is_none(), "{cla:02X}");
        }
    }
}
