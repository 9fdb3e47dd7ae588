//! Published SCP03 sessions, replayed byte for byte. Where a vector is not replayed, its name
//! stands here with the reason, and the counts add up.

mod static_keys;

use std::collections::BTreeMap;

use scp::error::ApiMisuse;
use scp::scp03::initiate::{InitiateError, InitiateFault};
use scp::scp03::typed::TypedChallenge;
use scp::{Answer, Channel, CommandApdu, KeyLength, Mode, Script, SecurityLevel, Typed};
use serde_json::Value;
use static_keys::StaticKeys;

const SESSIONS: &str = include_str!("../../tests/vectors/scp03_sessions.json");
const EDGES: &str = include_str!("../../tests/vectors/generated_edge_sessions.json");
const KDF: &str = include_str!("../../tests/vectors/scp03_kdf.json");
const PRIMITIVES: &str = include_str!("../../tests/vectors/scp03_primitives.json");
const KEYS: &str = include_str!("../../tests/vectors/keys_putkey_kcv.json");

fn entries(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn text<'v>(entry: &'v Value, name: &str) -> &'v str {
    entry[name].as_str().unwrap_or_else(|| panic!("{name} of {}", entry["id"]))
}

fn bytes(entry: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(entry, name)).unwrap()
}

fn upper(bytes: &[u8]) -> String {
    hex::encode_upper(bytes)
}

fn challenge(entry: &Value) -> Result<TypedChallenge, InitiateError> {
    let key_length = KeyLength::from_bytes(bytes(&entry["keys"], "enc").len()).unwrap();
    let aid = entry["sd_aid"].as_str().map(|aid| aid.parse().unwrap());
    let (host, answer) = (bytes(entry, "host_challenge"), bytes(entry, "init_update_rsp"));
    TypedChallenge::new(&host, &answer, key_length, aid)
}

fn keys(entry: &Value) -> StaticKeys {
    StaticKeys::new(&bytes(&entry["keys"], "enc"), &bytes(&entry["keys"], "mac"))
}

fn open(entry: &Value) -> Channel<Typed> {
    let id = &entry["id"];
    let challenge = challenge(entry).unwrap();
    let answer: Answer<Typed> = keys(entry).answer(challenge.derivations());
    let session = answer.session_keys();
    assert_eq!(upper(session.s_enc()), text(&entry["derived"], "s_enc"), "{id}");
    assert_eq!(upper(session.s_mac()), text(&entry["derived"], "s_mac"), "{id}");
    assert_eq!(upper(session.s_rmac()), text(&entry["derived"], "s_rmac"), "{id}");
    let level = SecurityLevel::from_byte(bytes(entry, "security_level")[0]).unwrap();
    let verified = challenge.verify(answer).unwrap_or_else(|error| panic!("{id}: {error}"));
    let (authenticating, script) = verified.external_authenticate(level).unwrap();
    assert_eq!(upper(&script.commands()[0]), text(entry, "ext_auth_apdu"), "{id}");
    authenticating.answer(&[0x90, 0x00]).unwrap()
}

fn replay(entry: &Value) -> usize {
    let mut channel = open(entry);
    let exchanges = entry["exchanges"].as_array().unwrap();
    for exchange in exchanges {
        let command = CommandApdu::parse(&bytes(exchange, "plain_capdu")).unwrap();
        let (awaiting, script) = channel.wrap(Script::new(vec![command]).unwrap()).unwrap();
        assert_eq!(
            upper(&script.commands()[0]),
            text(exchange, "wrapped_capdu"),
            "{}",
            entry["id"]
        );
        channel = match exchange["wrapped_rapdu"].as_str() {
            None => awaiting.unanswered(),
            Some(answer) => {
                let answer = [hex::decode(answer).unwrap()];
                let unwrapped = awaiting.unwrap(&answer);
                let unwrapped = unwrapped.unwrap_or_else(|error| panic!("{}: {error}", exchange));
                let [answered] = &unwrapped.answers[..] else { panic!("one answer") };
                let plain = [answered.data(), &answered.status().0.to_be_bytes()].concat();
                assert_eq!(upper(&plain), text(exchange, "plain_rapdu"), "{}", entry["id"]);
                unwrapped.channel.unwrap()
            }
        };
    }
    exchanges.len()
}

#[test]
fn every_session_is_replayed() {
    for (mode, expected) in [(Mode::S8, (13, 39)), (Mode::S16, (3, 11))] {
        let (mut sessions, mut exchanges) = (0, 0);
        for entry in entries(SESSIONS).iter().chain(&entries(EDGES)) {
            if text(entry, "mode") == mode.to_string() {
                exchanges += replay(entry);
                sessions += 1;
            }
        }
        assert_eq!((sessions, exchanges), expected, "{mode}");
    }
}

#[test]
fn challenges_of_one_session_are_equally_long() {
    for entry in entries(SESSIONS).iter().chain(&entries(EDGES)) {
        let mut other = entry.clone();
        let host = text(entry, "host_challenge");
        let (half, double) = (&host[..host.len() / 2], host.repeat(2));
        other["host_challenge"] = Value::from(half);
        let half = challenge(&other).unwrap_err();
        other["host_challenge"] = Value::from(double);
        let double = challenge(&other).unwrap_err();
        let (differs, neither) =
            if text(entry, "mode") == "S16" { (half, double) } else { (double, half) };
        assert!(
            matches!(differs, InitiateError::CardMisbehaved(InitiateFault::ProfileMismatch { .. })),
            "{differs}"
        );
        assert!(
            matches!(neither, InitiateError::ApiMisuse(ApiMisuse::Invalid { .. })),
            "{neither}"
        );
    }
}

#[test]
fn one_script_wraps_like_its_commands_one_by_one() {
    for entry in entries(SESSIONS).iter().chain(&entries(EDGES)) {
        let exchanges = entry["exchanges"].as_array().unwrap();
        if exchanges.is_empty() {
            continue;
        }
        let commands = exchanges
            .iter()
            .map(|exchange| CommandApdu::parse(&bytes(exchange, "plain_capdu")).unwrap())
            .collect();
        let (_, script) = open(entry).wrap(Script::new(commands).unwrap()).unwrap();
        for (wrapped, exchange) in script.commands().iter().zip(exchanges) {
            assert_eq!(upper(wrapped), text(exchange, "wrapped_capdu"));
        }
    }
}

#[test]
fn published_session_keys_come_out() {
    let mut seen = 0;
    for entry in entries(KDF).iter().filter(|entry| entry["kind"] == "scp03_session_keys") {
        let keys = keys(entry);
        let (host, card) = (bytes(entry, "host_challenge"), bytes(entry, "card_challenge"));
        // An answer around the challenge; what the vector does not give is zero.
        let cryptogram = match entry["card_cryptogram"].as_str() {
            Some(cryptogram) => hex::decode(cryptogram).unwrap(),
            None => vec![0; 8],
        };
        let mut data = vec![0; 10];
        data.extend([0x30, 0x03, 0x00]);
        data.extend(card);
        data.extend(cryptogram);
        let length = KeyLength::from_bytes(bytes(&entry["keys"], "enc").len()).unwrap();
        let challenge = TypedChallenge::new(&host, &data, length, None).unwrap();
        let answer: Answer<Typed> = keys.answer(challenge.derivations());
        assert_eq!(upper(answer.session_keys().s_enc()), text(entry, "s_enc"));
        assert_eq!(upper(answer.session_keys().s_mac()), text(entry, "s_mac"));
        assert_eq!(upper(answer.session_keys().s_rmac()), text(entry, "s_rmac"));
        let verified = challenge.verify(answer);
        assert_eq!(verified.is_ok(), entry["card_cryptogram"].is_string());
        if let (Ok(verified), Some(host)) = (verified, entry["host_cryptogram"].as_str()) {
            let (_, script) = verified.external_authenticate(SecurityLevel::CMac).unwrap();
            assert_eq!(upper(&script.commands()[0][5..13]), host);
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn published_pseudo_random_challenges_come_out() {
    let mut seen = 0;
    for entry in entries(KDF).iter().filter(|e| e["kind"] == "scp03_pseudo_card_challenge") {
        let k_enc = bytes(entry, "k_enc");
        let keys = StaticKeys::new(&k_enc, &k_enc);
        let challenge = bytes(entry, "card_challenge");
        for wrong in [false, true] {
            let mut data = vec![0; 10];
            data.extend([0x30, 0x03, 0x10]);
            data.extend(&challenge);
            data[13] ^= u8::from(wrong);
            let cryptogram = keys.card_cryptogram(&[0; 8], &data[13..21]);
            data.extend(cryptogram);
            data.extend(bytes(entry, "seq_counter"));
            let length = KeyLength::from_bytes(k_enc.len()).unwrap();
            let aid = text(entry, "sd_aid").parse().unwrap();
            let challenge = TypedChallenge::new(&[0; 8], &data, length, Some(aid)).unwrap();
            let answer = keys.answer(challenge.derivations());
            assert_eq!(challenge.verify(answer).is_err(), wrong, "{}", entry["id"]);
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn a_wrong_cryptogram_or_r_mac_is_an_error() {
    for entry in entries(SESSIONS) {
        let mut other = entry.clone();
        let cryptogram = text(&entry, "card_cryptogram");
        let broken =
            text(&entry, "init_update_rsp").replace(cryptogram, &"5A".repeat(cryptogram.len() / 2));
        other["init_update_rsp"] = Value::from(broken);
        let challenge = challenge(&other).unwrap();
        let answer = keys(&other).answer(challenge.derivations());
        assert!(matches!(challenge.verify(answer), Err(InitiateError::CardMisbehaved(_))));
    }
}

/// Every entry of every file, by kind, against where it is tested.
#[test]
fn no_vector_is_skipped_silently() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for entry in [SESSIONS, EDGES, KDF, PRIMITIVES, KEYS].into_iter().flat_map(entries) {
        *kinds.entry(text(&entry, "kind").to_owned()).or_default() += 1;
    }
    let expected = [
        // Key encryption and check values are custody's part; this crate carries the results.
        ("dek_encrypt_scp03", 1),
        ("kcv_3des_00", 1),
        ("kcv_aes_01", 4),
        // In the tests of content management, beside this file.
        ("put_key_scp03", 3),
        ("store_data_dgi_keys", 1),
        // In the unit tests of the modules `wrapping` and `kdf`.
        ("scp03_cmac_raw", 1),
        ("scp03_kdf", 20),
        ("scp03_unwrap", 1),
        ("scp03_wrap_sequence", 1),
        // Here.
        ("scp03_pseudo_card_challenge", 2),
        ("scp03_session", 16),
        ("scp03_session_keys", 3),
    ];
    let expected: BTreeMap<String, usize> =
        expected.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
    assert_eq!(kinds, expected);
}
