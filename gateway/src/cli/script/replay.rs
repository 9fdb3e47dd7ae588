//! One recorded session, wrapped and unwrapped with the keys that are given with it.

use aes::{Aes128, Aes192, Aes256};
use cmac::{Cmac, KeyInit, Mac};
use scp::{
    Aid, Answer, Channel, CommandApdu, KeyLength, Mode, Script, SecurityLevel, StaticKey, Typed,
    scp03::typed::TypedChallenge,
};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A session as it is given on one line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    keys: Keys,
    mode: String,
    level: SecurityLevel,
    host_challenge: String,
    init_update_rsp: String,
    #[serde(default)]
    sd_aid: Option<Aid>,
    commands: Vec<String>,
    #[serde(default)]
    responses: Option<Vec<String>>,
}

/// Static keys, typed by whoever owns them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    enc: KeyText,
    mac: KeyText,
    #[serde(default)]
    dek: Option<KeyText>,
}

/// A key as it was typed, erased when it is no longer needed.
#[derive(Deserialize)]
#[serde(from = "String")]
struct KeyText(Zeroizing<String>);

impl From<String> for KeyText {
    fn from(text: String) -> KeyText {
        KeyText(Zeroizing::new(text))
    }
}

/// What a session comes to, in upper-case hexadecimal.
struct Replayed {
    session: Value,
    ext_auth: String,
    wrapped: Vec<String>,
    unwrapped: Vec<String>,
}

impl Session {
    /// Session keys, EXTERNAL AUTHENTICATE, every command wrapped and every response unwrapped.
    pub(super) fn wrapped(&self) -> Result<Value, String> {
        let replayed = self.replay()?;
        Ok(json!({
            "session": replayed.session,
            "ext_auth": replayed.ext_auth,
            "wrapped": replayed.wrapped,
            "unwrapped": replayed.unwrapped,
        }))
    }

    /// Every response unwrapped, and nothing else.
    pub(super) fn unwrapped(&self) -> Result<Value, String> {
        if self.responses.is_none() {
            return Err("responses: there is nothing to unwrap".to_owned());
        }
        Ok(json!({ "unwrapped": self.replay()?.unwrapped }))
    }

    fn replay(&self) -> Result<Replayed, String> {
        self.check()?;
        let keys = StaticKeys::new(&self.keys)?;
        let host_challenge = self.host_challenge()?;
        let challenge = TypedChallenge::new(
            &host_challenge,
            &bytes("init_update_rsp", &self.init_update_rsp)?,
            keys.length,
            self.sd_aid,
        )
        .map_err(|cause| cause.to_string())?;
        let answer: Answer<Typed> =
            challenge.derivations().answer(|key, input| keys.cmac(key, input))?;
        let session = answer.session_keys();
        let session = json!({
            "s_enc": upper(session.s_enc()),
            "s_mac": upper(session.s_mac()),
            "s_rmac": upper(session.s_rmac()),
        });
        let verified = challenge.verify(answer).map_err(|cause| cause.to_string())?;
        let (authenticating, script) =
            verified.external_authenticate(self.level).map_err(|cause| cause.to_string())?;
        let ext_auth = script.commands().first().map(|command| upper(command)).unwrap_or_default();
        let channel = authenticating.answer(&[0x90, 0x00]).map_err(|cause| cause.to_string())?;
        let (wrapped, unwrapped) = self.exchange(channel)?;
        Ok(Replayed { session, ext_auth, wrapped, unwrapped })
    }

    fn check(&self) -> Result<(), String> {
        match &self.responses {
            Some(responses) if responses.len() != self.commands.len() => {
                Err("responses: as many as commands are needed, \"\" where there is none"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The host challenge, as long as the mode has it.
    fn host_challenge(&self) -> Result<Vec<u8>, String> {
        let mode = [Mode::S8, Mode::S16].into_iter().find(|mode| mode.to_string() == self.mode);
        let mode = mode.ok_or("mode: S8 or S16")?;
        let challenge = bytes("host_challenge", &self.host_challenge)?;
        if challenge.len() == mode.bytes() {
            Ok(challenge)
        } else {
            Err(format!("host_challenge: {} bytes in {mode}", mode.bytes()))
        }
    }

    /// Command by command, each response before the next command: the chain runs through both.
    fn exchange(&self, channel: Channel<Typed>) -> Result<(Vec<String>, Vec<String>), String> {
        let mut channel = Some(channel);
        let (mut wrapped, mut unwrapped) = (Vec::new(), Vec::new());
        let responses = self.responses.as_deref().unwrap_or_default();
        for (index, command) in self.commands.iter().enumerate() {
            let at = |cause: &dyn std::fmt::Display| format!("commands[{index}]: {cause}");
            let open =
                channel.take().ok_or_else(|| at(&"the response before ended the session"))?;
            let command =
                CommandApdu::parse(&bytes("commands", command)?).map_err(|cause| at(&cause))?;
            let script = Script::new(vec![command]).map_err(|cause| at(&cause))?;
            let (awaiting, script) = open.wrap(script).map_err(|cause| at(&cause))?;
            wrapped.extend(script.commands().iter().map(|command| upper(command)));
            let response = responses.get(index).filter(|response| !response.is_empty());
            let Some(response) = response else {
                unwrapped.push(String::new());
                channel = Some(awaiting.unanswered());
                continue;
            };
            let answered = awaiting
                .unwrap(&[bytes("responses", response)?])
                .map_err(|cause| format!("responses[{index}]: {cause}"))?;
            for answer in &answered.answers {
                unwrapped.push(format!("{}{}", upper(answer.data()), answer.status()));
            }
            channel = answered.channel;
        }
        Ok((wrapped, unwrapped))
    }
}

struct StaticKeys {
    enc: Zeroizing<Vec<u8>>,
    mac: Zeroizing<Vec<u8>>,
    length: KeyLength,
}

impl StaticKeys {
    fn new(keys: &Keys) -> Result<StaticKeys, String> {
        let enc = key("keys.enc", &keys.enc)?;
        let mac = key("keys.mac", &keys.mac)?;
        if let Some(dek) = &keys.dek {
            key("keys.dek", dek)?;
        }
        if enc.len() != mac.len() {
            return Err("keys: enc and mac differ in length".to_owned());
        }
        let length = KeyLength::from_bytes(enc.len()).ok_or("keys: 16, 24 or 32 bytes each")?;
        Ok(StaticKeys { enc, mac, length })
    }

    fn cmac(&self, key: StaticKey, input: &[u8]) -> Result<[u8; 16], String> {
        let key = match key {
            StaticKey::Enc => &self.enc,
            StaticKey::Mac => &self.mac,
        };
        match self.length {
            KeyLength::Aes128 => mac::<Cmac<Aes128>>(key, input),
            KeyLength::Aes192 => mac::<Cmac<Aes192>>(key, input),
            KeyLength::Aes256 => mac::<Cmac<Aes256>>(key, input),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], input: &[u8]) -> Result<[u8; 16], String> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|cause| cause.to_string())?;
    mac.update(input);
    mac.finalize().into_bytes().as_slice().try_into().map_err(|_| "a CMAC has 16 bytes".to_owned())
}

fn key(member: &str, text: &KeyText) -> Result<Zeroizing<Vec<u8>>, String> {
    // Not the decoder's own words: they quote a character of the key.
    let decoded = hex::decode(text.0.as_str()).map_err(|_| format!("{member}: not hexadecimal"));
    Ok(Zeroizing::new(decoded?))
}

fn bytes(member: &str, text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text).map_err(|_| format!("{member}: not hexadecimal"))
}

fn upper(bytes: &[u8]) -> String {
    hex::encode_upper(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSIONS: &str = include_str!("../../../../tests/vectors/scp03_sessions.json");

    /// Every published session comes out byte for byte.
    #[test]
    fn published_sessions_come_out_byte_for_byte() {
        let entries: Vec<Value> = serde_json::from_str(SESSIONS).unwrap();
        let mut replayed = 0;
        for entry in &entries {
            let list = |name: &str| -> Vec<String> {
                let exchanges = entry["exchanges"].as_array().into_iter().flatten();
                exchanges.map(|exchange| exchange[name].as_str().unwrap_or("").to_owned()).collect()
            };
            let session = json!({
                "keys": { "enc": entry["keys"]["enc"], "mac": entry["keys"]["mac"], "dek": entry["keys"]["dek"] },
                "mode": entry["mode"], "level": entry["security_level"],
                "host_challenge": entry["host_challenge"], "init_update_rsp": entry["init_update_rsp"],
                "sd_aid": entry["sd_aid"], "commands": list("plain_capdu"), "responses": list("wrapped_rapdu"),
            });
            let session: Session = serde_json::from_value(session).unwrap();
            let answer = session.wrapped().unwrap();
            replayed += 1;
            assert_eq!(answer["wrapped"], json!(list("wrapped_capdu")), "{}", entry["id"]);
            assert_eq!(answer["ext_auth"], entry["ext_auth_apdu"], "{}", entry["id"]);
            assert_eq!(answer["session"]["s_enc"], entry["derived"]["s_enc"], "{}", entry["id"]);
        }
        assert_eq!(replayed, entries.len());
    }

    #[test]
    fn the_host_challenge_is_as_long_as_the_mode_has_it() {
        for (mode, bytes, error) in [
            ("S8", 16, "host_challenge: 8 bytes in S8"),
            ("S16", 8, "host_challenge: 16 bytes in S16"),
            ("S32", 8, "mode: S8 or S16"),
        ] {
            let key = "00".repeat(16);
            let line = json!({
                "keys": { "enc": key, "mac": key }, "mode": mode, "level": "33",
                "host_challenge": "00".repeat(bytes), "init_update_rsp": "", "commands": [],
            });
            let session: Session = serde_json::from_value(line).unwrap();
            assert_eq!(session.wrapped().unwrap_err(), error);
        }
    }

    #[test]
    fn errors_never_quote_keys() {
        let line = json!({
            "keys": { "enc": "CANARYCANARY", "mac": "00", "dek": "00" }, "mode": "S8", "level": "33",
            "host_challenge": "", "init_update_rsp": "", "commands": [],
        });
        let session: Session = serde_json::from_value(line).unwrap();
        assert_eq!(session.wrapped().unwrap_err(), "keys.enc: not hexadecimal");
    }
}
