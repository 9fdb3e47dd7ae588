//! What arrives damaged is refused with a typed error: nothing panics, and nothing that was altered on the way is believed.
//!
//! Golden answers of published sessions are damaged exhaustively (every truncation, every single bit); tokens too; structures that
//! carry no proof of their own are damaged at random, and only have to be read without a panic.

use std::{convert::Infallible, fs};

use authority::{
    Authority, AuthorizationDetails, ConsumedRef, DenyKind, Presented, Requested, Seen,
};
use aws_lc_rs::{
    cmac::{AES_128, AES_192, AES_256, Key, sign},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use carriers::notification::{FUNCTIONS, Notification};
use sandbox::cap::{Applet, assemble};
use scp::{
    Answer, Channel, CommandApdu, KeyLength, Script, SecurityLevel, StaticKey, Typed,
    cap::Cap,
    content::{get_data::KeyInformationTemplate, registry, status_data::Scope},
    scp03::typed::TypedChallenge,
    tlv,
};
use serde_json::{Value, json};
use tests::{figures, root};

const NOW_S: i64 = 1_800_000_000;
const PEER: [u8; 32] = [0xA5; 32];
const KEY_INFORMATION: &str = "E012C00401308810C00402308810C00403308810";
const APPLICATION: &str = "E3164F08A0000001510000009F700107C5039EFE80EA020101";
const NOTIFICATION: &str = r#"{"FunctionCallIdentifier":"call-1","SecureElement":{"ICCID":"8981100000000000018"},"NewStatus":"LOST","Reason":2}"#;

/// Every text of `golden` shorter than it, and every one that differs in a single bit.
fn damaged(golden: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let truncated = (0..golden.len()).map(|length| golden[..length].to_vec());
    truncated.chain((0..golden.len() * 8).map(|bit| {
        let mut altered = golden.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        altered
    }))
}

fn sessions() -> Vec<Value> {
    let read = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(root().join("tests/vectors").join(name)).expect("vectors");
        serde_json::from_str(&text).expect("a list")
    };
    [read("scp03_sessions.json"), read("generated_edge_sessions.json")].concat()
}

fn bytes(entry: &Value, name: &str) -> Vec<u8> {
    hex::decode(entry[name].as_str().expect("text")).expect("hex")
}

fn cmac(key: &[u8], input: &[u8]) -> [u8; 16] {
    let algorithm = match key.len() {
        16 => AES_128,
        24 => AES_192,
        _ => AES_256,
    };
    let key = Key::new(algorithm, key).expect("a key of its length");
    sign(&key, input).expect("a CMAC").as_ref().try_into().expect("16 bytes")
}

/// The channel an answer to INITIALIZE UPDATE leads to, if it is believed.
fn open(entry: &Value, answer: &[u8]) -> Option<Channel<Typed>> {
    let length = KeyLength::from_bytes(bytes(&entry["keys"], "enc").len())?;
    let aid = entry["sd_aid"].as_str().and_then(|aid| aid.parse().ok());
    let challenge =
        TypedChallenge::new(&bytes(entry, "host_challenge"), answer, length, aid).ok()?;
    let (enc, mac) = (bytes(&entry["keys"], "enc"), bytes(&entry["keys"], "mac"));
    let answer: Answer<Typed> = challenge
        .derivations()
        .answer::<Typed, Infallible>(|key, input| {
            Ok(cmac(if matches!(key, StaticKey::Enc) { &enc } else { &mac }, input))
        })
        .ok()?;
    let level = SecurityLevel::from_byte(bytes(entry, "security_level")[0]).ok()?;
    let verified = challenge.verify(answer).ok()?;
    let (authenticating, _) = verified.external_authenticate(level).ok()?;
    authenticating.answer(&[0x90, 0x00]).ok()
}

/// Damaged answers to INITIALIZE UPDATE. Key Diversification Data, Key Version Number, `i` and a sequence counter that made no challenge
/// are outside the cryptogram (Amendment D, section 6.2.2.2) and told as they came; everything else is covered.
fn challenges() -> usize {
    const UNCOVERED: usize = 13;
    let mut inputs = 0;
    for entry in sessions() {
        let golden = bytes(&entry, "init_update_rsp");
        assert!(open(&entry, &golden).is_some(), "{}", entry["id"]);
        let challenge = bytes(&entry, "host_challenge").len();
        let covered = UNCOVERED..UNCOVERED + 2 * challenge;
        for altered in damaged(&golden) {
            inputs += 1;
            let believed = open(&entry, &altered).is_some();
            let touched = golden[covered.clone()] != *altered.get(covered.clone()).unwrap_or(&[]);
            assert!(!(believed && touched), "{}: {}", entry["id"], hex::encode_upper(&altered));
        }
    }
    inputs
}

/// Damaged answers under R-MAC.
fn answers() -> usize {
    let mut inputs = 0;
    for entry in sessions() {
        let level = bytes(&entry, "security_level")[0];
        let exchanges = entry["exchanges"].as_array().cloned().unwrap_or_default();
        if level & 0x10 == 0 {
            continue;
        }
        for (index, exchange) in exchanges.iter().enumerate() {
            let Some(golden) = exchange["wrapped_rapdu"].as_str() else { continue };
            let golden = hex::decode(golden).expect("hex");
            for altered in damaged(&golden) {
                inputs += 1;
                let believed = believed(&entry, &exchanges[..=index], &altered);
                assert!(!believed, "{} {index}: {}", entry["id"], hex::encode_upper(&altered));
            }
        }
    }
    inputs
}

/// Whether the answer to the last of the exchanges counts as proven.
fn believed(entry: &Value, exchanges: &[Value], answer: &[u8]) -> bool {
    let Some((last, before)) = exchanges.split_last() else { return false };
    let mut channel = open(entry, &bytes(entry, "init_update_rsp")).expect("a channel");
    let script = |exchange| {
        let command = CommandApdu::parse(&bytes(exchange, "plain_capdu")).expect("a command");
        Script::new(vec![command]).expect("one command")
    };
    for exchange in before {
        channel = channel.wrap(script(exchange)).expect("wrapped").0.unanswered();
    }
    let (awaiting, _) = channel.wrap(script(last)).expect("wrapped");
    awaiting
        .unwrap(&[answer.to_vec()])
        .is_ok_and(|unwrapped| unwrapped.answers.iter().any(|answered| answered.is_authenticated()))
}

/// A store that has seen nothing.
struct Nothing;

impl Seen for Nothing {
    fn jti_seen(&self, _: &str) -> Option<ConsumedRef> {
        None
    }

    fn seq_high_water(&self, _: &str, _: &str) -> Option<u64> {
        None
    }

    fn denied(&self, _: DenyKind, _: &str) -> bool {
        false
    }

    fn access_code_failures(&self, _: &str) -> u32 {
        0
    }
}

/// A counter's key, the gateway that trusts it, and what it is asked to sign.
struct Desk {
    key: EcdsaKeyPair,
    authority: Authority,
    details: AuthorizationDetails,
}

impl Desk {
    fn new() -> Desk {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let public = URL_SAFE_NO_PAD.encode(key.public_key());
        let keys = json!({ "pinned": [{ "kid": "k1", "alg": "ES256", "public_key": public }] });
        let authority: Authority = serde_json::from_value(settings(&keys)).expect("settings");
        authority.check().expect("settings that fit");
        let details = serde_json::from_value(details()).expect("details");
        Desk { key, authority, details }
    }

    fn sign(&self, claims: &str) -> String {
        let header = r#"{"typ":"counter-auth+jwt","alg":"ES256","kid":"k1"}"#;
        let input = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).expect("signed");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn accepts(&self, token: &str) -> bool {
        let presented = Presented {
            token: Some(token),
            peer_certificate_sha256: PEER,
            access_code: None,
            now_s: NOW_S,
        };
        let requested = Requested { details: &self.details, request_sha256: [0x11; 32] };
        authority::verify(&self.authority, &presented, &requested, &Nothing).is_ok()
    }
}

fn settings(keys: &Value) -> Value {
    json!({
        "audience": "urn:madoguchi:production", "skew_s": 60, "lifetime_max_s": 900,
        "policy": {
            "version": "2026-11", "methods": ["face_to_face"], "level_min": 3, "calendars": ["day"],
            "access_code_mode": "omitted_terminal_bound", "actions": { "issue": ["municipal_counter"] }
        },
        "issuers": [{
            "id": "urn:jp:lgcode:102016", "class": "municipal_counter", "status": "active",
            "algorithms": ["ES256"], "keys": keys,
            "terminals": [
                { "id": "term-1", "certificate_sha256": "A5".repeat(32), "readers": ["reader-a"] }
            ],
            "clerks": [{ "id": "clerk-7" }]
        }]
    })
}

fn details() -> Value {
    json!({
        "type": "urn:sptsm:key-write:v1", "actions": ["issue"], "locations": ["tsm:carrier-a"],
        "se": { "iccid": "8981100000000000001" }, "sd": "A00000015100000001",
        "applet": "D392F000260100000001",
        "keyset": { "kvn": "31", "replaces": "30", "kids": ["01", "02", "03"], "alg": "AES-128" },
        "appkey": { "slot": "auth", "alg": "RSA-2048" }, "script": "0F".repeat(32), "max_uses": 1
    })
}

fn claims() -> Value {
    json!({
        "iss": "urn:jp:lgcode:102016", "aud": "urn:madoguchi:production", "sub": "kq3vY0b1RkC2",
        "iat": NOW_S - 10, "nbf": NOW_S - 10, "exp": NOW_S + 590,
        "jti": "AbCdEfGhIjKlMnOpQrStUv", "seq": 42,
        "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode(PEER) },
        "ctr": {
            "office": "102016-01", "term": "term-1", "reader": "reader-a", "clerk": "clerk-7",
            "method": "face_to_face", "level": 3, "cal": "day"
        },
        "authorization_details": [details()], "txn": "enq-1"
    })
}

/// Damaged tokens: none is accepted, whatever byte was touched.
fn tokens(desk: &Desk) -> usize {
    let golden = desk.sign(&claims().to_string());
    assert!(desk.accepts(&golden), "the golden token");
    let mut inputs = 0;
    for altered in damaged(golden.as_bytes()) {
        inputs += 1;
        // What is no UTF-8 never gets as far as the token.
        if let Ok(altered) = std::str::from_utf8(&altered) {
            assert!(!desk.accepts(altered), "{altered}");
        }
    }
    inputs
}

/// Numbers that look random and repeat by their seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap_or(0)
    }

    /// One to four bytes put in, taken out, repeated or replaced.
    fn damage(&mut self, golden: &[u8]) -> Vec<u8> {
        let mut altered = golden.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(altered.len());
            let byte = u8::try_from(self.below(256)).unwrap_or(0);
            match self.below(4) {
                0 => altered.insert(at, byte),
                1 if altered.len() > 1 => drop(altered.remove(at)),
                2 => altered.extend_from_within(at..),
                _ => altered[at] = byte,
            }
        }
        altered
    }
}

/// Structures without a proof of their own: read or refused, never a panic.
fn structures(desk: &Desk, random: &mut Random, rounds: usize) -> usize {
    let applet = Applet {
        package: "F04D41444F47554348490101".parse().expect("an AID"),
        module: "F04D41444F4755434849010101".parse().expect("an AID"),
    };
    let cap = assemble(&applet).expect("a CAP file");
    Cap::parse(&cap).expect("the golden CAP file");
    let (template, entries) = (hex::decode(KEY_INFORMATION), hex::decode(APPLICATION));
    let (template, entries) = (template.expect("hex"), entries.expect("hex"));
    KeyInformationTemplate::parse(&template).expect("the golden template");
    let claims = claims().to_string();
    for _ in 0..rounds {
        let _ = KeyInformationTemplate::parse(&random.damage(&template));
        let altered = random.damage(&entries);
        let _ = registry::parse(Scope::Applications, &altered);
        tlv::objects(&altered).take_while(Result::is_ok).for_each(drop);
        let _ = Cap::parse(&random.damage(&cap));
        let altered = random.damage(NOTIFICATION.as_bytes());
        FUNCTIONS.iter().for_each(|function| drop(Notification::parse(function, &altered)));
        // Signed by the right key, so its form alone is on trial.
        let altered = random.damage(claims.as_bytes());
        let _ = desk.accepts(&desk.sign(&String::from_utf8_lossy(&altered)));
    }
    rounds * 5
}

#[test]
fn nothing_damaged_is_believed_and_nothing_panics() {
    const SEED: u64 = 20_261_123;
    let rounds = if figures::full() { 100_000 } else { 10_000 };
    let desk = Desk::new();
    let (challenges, answers, tokens) = (challenges(), answers(), tokens(&desk));
    let mut structures = 0;
    let seeds = figures::seeds().unwrap_or(1);
    for seed in 0..seeds {
        structures += self::structures(&desk, &mut Random(SEED + seed), rounds);
    }
    let inputs = challenges + answers + tokens + structures;
    assert!(!figures::full() || inputs >= 50_000, "only {inputs} inputs");
    let summary = json!({
        "inputs": inputs, "challenges": challenges, "answers": answers, "tokens": tokens,
        "structures": structures, "panics": 0, "believed": 0,
    });
    figures::publish("malformed", Some(SEED), &summary);
}
