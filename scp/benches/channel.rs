//! What the channel does in a second on one core, with AES-128 in S8, beside the plain arithmetic.
//!
//! `cargo bench -p scp --bench channel -- --json`. Every figure is operations per second, the
//! median of 25 runs. `wrap_lNN_LEN` wraps a command of LEN bytes at level NN, `roundtrip` unwraps
//! an answer of as many bytes too. `naive_l03_239` is encryption and MAC by `cbc` and `cmac` one
//! after the other, with cached key schedules and nothing else around them.

use std::hint::black_box;
use std::time::Instant;

use aes::Aes128;
use cbc::{Decryptor, Encryptor};
use cipher::block_padding::Iso7816;
use cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use cmac::digest::InnerInit;
use cmac::{Cmac, Mac};
use scp::scp03::typed::TypedChallenge;
use scp::{Answer, Channel, CommandApdu, KeyLength, Script, SecurityLevel, StaticKey, Typed};

const RUNS: usize = 25;
const COMMANDS: usize = 1_024;
const SESSIONS: u32 = 512;
const HOST: [u8; 8] = [1; 8];
const CARD: [u8; 8] = [2; 8];

fn main() {
    let figures = [
        ("wrap_l03_16", median(|| wrap(16))),
        ("wrap_l03_64", median(|| wrap(64))),
        ("wrap_l03_239", median(|| wrap(239))),
        ("roundtrip_l33_16", median(|| roundtrip(16))),
        ("roundtrip_l33_239", median(|| roundtrip(239))),
        ("sessions_per_s", median(sessions)),
        ("naive_l03_239", median(naive)),
    ];
    if std::env::args().any(|argument| argument == "--json") {
        let members = figures.map(|(name, figure)| (name.to_owned(), figure.into()));
        println!("{}", serde_json::Value::Object(members.into_iter().collect()));
    } else {
        figures.iter().for_each(|(name, figure)| println!("{name:18} {figure:>10}"));
    }
}

fn median(mut measure: impl FnMut() -> f64) -> u64 {
    let mut figures: Vec<f64> = (0..RUNS).map(|_| measure()).collect();
    figures.sort_by(f64::total_cmp);
    figures[RUNS / 2] as u64
}

fn per_second(operations: usize, since: Instant) -> f64 {
    operations as f64 / since.elapsed().as_secs_f64()
}

/// The keys of the host, expanded.
struct Keys {
    enc: Aes128,
    mac: Aes128,
}

impl Keys {
    fn new() -> Keys {
        Keys { enc: Aes128::new(&[3; 16].into()), mac: Aes128::new(&[4; 16].into()) }
    }

    fn cmac(&self, key: StaticKey, input: &[u8]) -> [u8; 16] {
        match key {
            StaticKey::Enc => cmac(&self.enc, &[input]),
            StaticKey::Mac => cmac(&self.mac, &[input]),
        }
    }
}

fn cmac(key: &Aes128, parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Cmac::inner_init(key);
    parts.iter().for_each(|part| Mac::update(&mut mac, part));
    mac.finalize().into_bytes().into()
}

fn derived(key: &Aes128, constant: u8, bits: u8) -> [u8; 16] {
    cmac(key, &[&[0; 11], &[constant, 0, 0, bits, 1], &HOST, &CARD])
}

fn session_key(key: &Aes128, constant: u8) -> Aes128 {
    Aes128::new(&derived(key, constant, 128).into())
}

/// What an SE with these keys answers to INITIALIZE UPDATE.
fn initialize_update_data(keys: &Keys) -> Vec<u8> {
    let cryptogram = derived(&session_key(&keys.mac, 0x06), 0x00, 64);
    [&[0; 10][..], &[0x30, 0x03, 0x60], &CARD, &cryptogram[..8]].concat()
}

fn open(keys: &Keys, data: &[u8], level: SecurityLevel) -> Channel<Typed> {
    let challenge = TypedChallenge::new(&HOST, data, KeyLength::Aes128, None).unwrap();
    let prf = |key, input: &[u8]| Ok::<_, std::convert::Infallible>(keys.cmac(key, input));
    let answer: Answer<Typed> = challenge.derivations().answer(prf).unwrap();
    let verified = challenge.verify(answer).unwrap();
    let (authenticating, script) = verified.external_authenticate(level).unwrap();
    black_box(script);
    authenticating.answer(&[0x90, 0x00]).unwrap()
}

fn sessions() -> f64 {
    let keys = Keys::new();
    let data = initialize_update_data(&keys);
    let start = Instant::now();
    for _ in 0..SESSIONS {
        black_box(open(&keys, black_box(&data), SecurityLevel::All));
    }
    per_second(SESSIONS as usize, start)
}

fn script(length: usize) -> Script {
    let command = CommandApdu::new(0x80, 0xE2, 0, 0, vec![5; length], None).unwrap();
    Script::new(vec![command; COMMANDS]).unwrap()
}

fn wrap(length: usize) -> f64 {
    let keys = Keys::new();
    let channel = open(&keys, &initialize_update_data(&keys), SecurityLevel::CMacCDec);
    let script = script(length);
    let start = Instant::now();
    let (awaiting, wrapped) = channel.wrap(script).unwrap();
    let figure = per_second(COMMANDS, start);
    black_box((awaiting, wrapped));
    figure
}

fn roundtrip(length: usize) -> f64 {
    let keys = Keys::new();
    let channel = open(&keys, &initialize_update_data(&keys), SecurityLevel::All);
    let script = script(length);
    let start = Instant::now();
    let (awaiting, wrapped) = channel.wrap(script).unwrap();
    let wrapping = start.elapsed();
    let answers = answers(&keys, wrapped.commands(), &vec![6; length]);
    let start = Instant::now();
    let unwrapped = awaiting.unwrap(&answers).unwrap();
    let figure = COMMANDS as f64 / (wrapping + start.elapsed()).as_secs_f64();
    assert!(unwrapped.answers.iter().all(|answer| answer.data().len() == length));
    figure
}

/// The SE's part, outside the time measured.
fn answers(keys: &Keys, commands: &[Vec<u8>], data: &[u8]) -> Vec<Vec<u8>> {
    let (s_enc, s_mac) = (session_key(&keys.enc, 0x04), session_key(&keys.mac, 0x06));
    let s_rmac = session_key(&keys.mac, 0x07);
    let mut chain = external_authenticate_chain(&s_mac);
    let mut answers = Vec::with_capacity(commands.len());
    for (command, counter) in commands.iter().zip(1u128..) {
        chain = cmac(&s_mac, &[&chain, &command[..command.len() - 8]]);
        let icv = encrypted(&s_enc, (counter | 0x80 << 120).to_be_bytes());
        let mut answer = vec![0; data.len() + 16];
        answer[..data.len()].copy_from_slice(data);
        let mode = Encryptor::inner_iv_init(&s_enc, &icv.into());
        let length = mode.encrypt_padded::<Iso7816>(&mut answer, data.len()).unwrap().len();
        answer.truncate(length);
        let mac = cmac(&s_rmac, &[&chain, &answer, &[0x90, 0x00]]);
        answer.extend_from_slice(&mac[..8]);
        answer.extend([0x90, 0x00]);
        answers.push(answer);
    }
    answers
}

fn external_authenticate_chain(s_mac: &Aes128) -> [u8; 16] {
    let proof = derived(s_mac, 0x01, 64);
    cmac(s_mac, &[&[0; 16], &[0x84, 0x82, 0x33, 0x00, 0x10], &proof[..8]])
}

fn encrypted(key: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    key.encrypt_block(&mut block);
    block.into()
}

fn naive() -> f64 {
    let keys = Keys::new();
    let (s_enc, s_mac) = (session_key(&keys.enc, 0x04), session_key(&keys.mac, 0x06));
    let data = vec![5; 239];
    let mut chain = external_authenticate_chain(&s_mac);
    let mut commands = Vec::with_capacity(COMMANDS);
    let start = Instant::now();
    for counter in 1..=COMMANDS as u128 {
        let mut command = Vec::with_capacity(5 + 240 + 8);
        command.extend([0x84, 0xE2, 0x00, 0x00, 248]);
        command.extend_from_slice(&data);
        command.push(0);
        let icv = encrypted(&s_enc, counter.to_be_bytes());
        let mode = Encryptor::inner_iv_init(&s_enc, &icv.into());
        mode.encrypt_padded::<Iso7816>(&mut command[5..], data.len()).unwrap();
        chain = cmac(&s_mac, &[&chain, &command]);
        command.extend_from_slice(&chain[..8]);
        commands.push(command);
    }
    let figure = per_second(COMMANDS, start);
    assert_eq!(opened(&s_enc, &commands[0]), data);
    figure
}

fn opened(s_enc: &Aes128, command: &[u8]) -> Vec<u8> {
    let mut data = command[5..command.len() - 8].to_vec();
    let icv = encrypted(s_enc, 1u128.to_be_bytes());
    let mode = Decryptor::inner_iv_init(s_enc, &icv.into());
    mode.decrypt_padded::<Iso7816>(&mut data).unwrap().to_vec()
}
