//! Secure messaging in an open session: C-MAC, C-DECRYPTION, R-MAC, R-ENCRYPTION (AmdD 6.2.4 to 6.2.7).

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::aes::{AesKey, BLOCK};
use crate::apdu::Command;
use crate::session::{Level, SessionKeys};
use crate::status::{Answer, Sw};

/// The length of a MAC on the wire (S8).
const MAC: usize = 8;

/// An open secure channel.
pub(crate) struct Open {
    level: Level,
    keys: SessionKeys,
    /// The static Key-DEK of the key set the session was opened with, whatever became of that set since.
    dek: AesKey,
    chaining_value: [u8; BLOCK],
    encryption_counter: u128,
}

impl Open {
    pub(crate) fn new(level: Level, keys: SessionKeys, dek: AesKey) -> Self {
        Self { level, keys, dek, chaining_value: [0; BLOCK], encryption_counter: 0 }
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn dek(&self) -> &AesKey {
        &self.dek
    }

    /// Takes a command out of its protection.
    ///
    /// # Errors
    /// `6982` for a missing or wrong C-MAC or a wrong padding. The session must then be aborted.
    pub(crate) fn unwrap(&mut self, command: &Command) -> Result<Command, Sw> {
        if command.class.secured != self.level.c_mac() {
            return Err(Sw::SECURITY_STATUS);
        }
        if !self.level.c_mac() {
            return Ok(command.clone());
        }
        let mut data = self.verify_mac(command)?.to_vec();
        if self.level.c_decryption() {
            // The counter advances for a command without data too (AmdD 6.2.6).
            self.encryption_counter += 1;
            if !data.is_empty() {
                data = self.decrypt(data)?;
            }
        }
        Ok(Command { data, ..command.clone() })
    }

    /// Protects an answer: data and R-MAC, ready for the status word behind them.
    pub(crate) fn wrap(&self, answer: Answer) -> Result<Answer, Sw> {
        if !self.level.r_mac() || !answer.sw.is_success_or_warning() {
            return Ok(answer);
        }
        let Answer { mut data, sw } = answer;
        if self.level.r_encryption() && !data.is_empty() {
            data.push(0x80);
            data.resize(data.len().next_multiple_of(BLOCK), 0);
            // The counter block of this command, its first byte set to 80 (AmdD 6.2.7).
            let block = self.encryption_counter | 0x80 << 120;
            let iv = self.keys.enc.encrypt_block(block.to_be_bytes())?;
            self.keys.enc.encrypt_cbc(iv, &mut data)?;
        }
        let mac = self.keys.rmac.cmac(&[&self.chaining_value, &data, &sw.0.to_be_bytes()])?;
        data.extend(mac.iter().take(MAC));
        Ok(Answer { data, sw })
    }

    /// Verifies a C-MAC, moves the chain on, and returns the data before the MAC.
    pub(crate) fn verify_mac<'a>(&mut self, command: &'a Command) -> Result<&'a [u8], Sw> {
        let (data, mac) = command.data.split_last_chunk::<MAC>().ok_or(Sw::SECURITY_STATUS)?;
        let header = [command.class.for_mac(), command.ins, command.p1, command.p2];
        let [.., hi, lo] = command.data.len().to_be_bytes();
        let length: &[u8] = if command.extended { &[0, hi, lo] } else { &[lo] };
        let full = self.keys.mac.cmac(&[&self.chaining_value, &header, length, data])?;
        let expected = full.first_chunk::<MAC>().ok_or(Sw::NO_DIAGNOSIS)?;
        verify_slices_are_equal(expected, mac).map_err(|_| Sw::SECURITY_STATUS)?;
        self.chaining_value = full;
        Ok(data)
    }

    fn decrypt(&self, mut data: Vec<u8>) -> Result<Vec<u8>, Sw> {
        if !data.len().is_multiple_of(BLOCK) {
            return Err(Sw::SECURITY_STATUS);
        }
        let iv = self.keys.enc.encrypt_block(self.encryption_counter.to_be_bytes())?;
        self.keys.enc.decrypt_cbc(iv, &mut data)?;
        let end = data.iter().rposition(|byte| *byte != 0).ok_or(Sw::SECURITY_STATUS)?;
        if data.get(end) != Some(&0x80) || data.len() - end > BLOCK {
            return Err(Sw::SECURITY_STATUS);
        }
        data.truncate(end);
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::bytes::Secret;
    use crate::key_set::KeySet;
    use crate::session::Challenged;

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap_or_else(|| panic!("{name}"))
    }

    fn bytes(value: &Value, name: &str) -> Vec<u8> {
        hex::decode(text(value, name)).unwrap()
    }

    /// Plays one recorded session from the card's side.
    fn replay(session: &Value) -> usize {
        let id = text(session, "id");
        let keys = ["enc", "mac", "dek"]
            .map(|name| AesKey::new(Secret::new(bytes(&session["keys"], name))).unwrap());
        let set = KeySet::new(0x30, keys);
        let (challenged, cryptogram) = Challenged::new(
            &set.complete().unwrap(),
            &bytes(session, "host_challenge"),
            &bytes(session, "card_challenge"),
        )
        .unwrap();
        assert_eq!(cryptogram.to_vec(), bytes(session, "card_cryptogram"), "{id}");
        let authenticate = Command::parse(&bytes(session, "ext_auth_apdu")).unwrap();
        let i = u8::from_str_radix(text(session, "i_param"), 16).unwrap();
        // One recording uses level 13 although its card offers no R-MAC in `i`.
        let mut open = challenged.authenticate(&authenticate, i | 0x60).unwrap();
        let exchanges = session["exchanges"].as_array().unwrap();
        for exchange in exchanges {
            let plain = Command::parse(&bytes(exchange, "plain_capdu")).unwrap();
            let wrapped = Command::parse(&bytes(exchange, "wrapped_capdu")).unwrap();
            let unwrapped = open.unwrap(&wrapped).unwrap();
            assert_eq!(unwrapped.data, plain.data, "{id}");
            assert_eq!(
                (unwrapped.ins, unwrapped.p1, unwrapped.p2),
                (plain.ins, plain.p1, plain.p2)
            );
            if exchange.get("wrapped_rapdu").is_some() {
                let plain = bytes(exchange, "plain_rapdu");
                let (data, sw) = plain.split_last_chunk::<2>().unwrap();
                let sw = Sw(u16::from_be_bytes(*sw));
                let answer = open.wrap(Answer { data: data.to_vec(), sw }).unwrap();
                let mut sent = answer.data;
                sent.extend(answer.sw.0.to_be_bytes());
                assert_eq!(sent, bytes(exchange, "wrapped_rapdu"), "{id}");
            }
        }
        exchanges.len()
    }

    /// The sources of the recordings are named in the file.
    #[test]
    fn recorded_sessions() {
        let sessions: Vec<Value> =
            serde_json::from_str(include_str!("tests/sessions.json")).unwrap();
        let exchanges: usize = sessions.iter().map(replay).sum();
        assert_eq!((sessions.len(), exchanges), (13, 39));
    }

    fn open(level: u8) -> Open {
        let key = || AesKey::new(Secret::new(vec![7; 16])).unwrap();
        let keys = SessionKeys { enc: key(), mac: key(), rmac: key() };
        Open::new(Level::new(level, 0x70).unwrap(), keys, key())
    }

    #[test]
    fn less_protection_than_the_level_is_refused() {
        let plain = Command::parse(&[0x80, 0xF2, 0x40, 0x02, 0x02, 0x4F, 0x00]).unwrap();
        assert_eq!(open(0x01).unwrap(&plain).unwrap_err(), Sw::SECURITY_STATUS);
        let short = Command::parse(&[0x84, 0xF2, 0x40, 0x02, 0x02, 0x4F, 0x00]).unwrap();
        assert_eq!(open(0x01).unwrap(&short).unwrap_err(), Sw::SECURITY_STATUS);
        assert_eq!(open(0x00).unwrap(&short).unwrap_err(), Sw::SECURITY_STATUS);
        assert!(open(0x00).unwrap(&plain).is_ok());
    }

    #[test]
    fn padding_must_be_there() {
        let session = open(0x03);
        for clear in [[0u8; 16], [1; 16]] {
            let iv = session.keys.enc.encrypt_block([0; 16]).unwrap();
            let mut data = clear.to_vec();
            session.keys.enc.encrypt_cbc(iv, &mut data).unwrap();
            assert_eq!(session.decrypt(data).unwrap_err(), Sw::SECURITY_STATUS);
        }
        assert_eq!(session.decrypt(vec![0; 15]).unwrap_err(), Sw::SECURITY_STATUS);
    }
}
