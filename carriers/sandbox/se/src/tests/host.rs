//! A host: SCP03 over raw aws-lc-rs, sharing nothing with the card side.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::cipher::{DecryptingKey, DecryptionContext};
use aws_lc_rs::{cmac, iv::FixedLength};

use crate::{Factory, SecureElement};

pub(super) const ISD: &[u8] = &[0xA0, 0, 0, 1, 0x51, 0, 0, 0];
pub(super) const SSD: &[u8] = &[0xA0, 0, 0, 0, 0x62, 0x01];
pub(super) const SSD_FILE: &[u8] = &[0xA0, 0, 0, 1, 0x51, 0x53, 0x50];
pub(super) const SSD_MODULE: &[u8] = &[0xA0, 0, 0, 1, 0x51, 0x53, 0x50, 0x41];
pub(super) const PACKAGE: &[u8] = &[0xA0, 0, 0, 0, 0x62, 0x03, 0x01];
pub(super) const MODULE: &[u8] = &[0xA0, 0, 0, 0, 0x62, 0x03, 0x01, 0x0C];
pub(super) const INSTANCE: &[u8] = &[0xA0, 0, 0, 0, 0x62, 0x03, 0x01, 0x0C, 0x01];

/// Data and status word.
pub(super) type Reply = (Vec<u8>, u16);

/// A key set: KVN and the three static keys.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) kvn: u8,
    pub(super) values: [Vec<u8>; 3],
}

impl Keys {
    pub(super) fn new(kvn: u8, seed: u8, length: usize) -> Self {
        let key = |number: u8| (0..length as u8).map(|i| i ^ seed ^ (number << 6)).collect();
        Self { kvn, values: [key(1), key(2), key(3)] }
    }

    pub(super) fn issuer() -> Self {
        let key: Vec<u8> = (0x40..=0x4F).collect();
        Self { kvn: 0x30, values: [key.clone(), key.clone(), key] }
    }

    /// The three KCVs joined, hex.
    pub(super) fn kcv(&self) -> String {
        self.values.iter().map(|key| hex::encode_upper(kcv(key))).collect()
    }
}

pub(super) fn kcv(key: &[u8]) -> [u8; 3] {
    let block = ecb(key, [1; 16]);
    [block[0], block[1], block[2]]
}

fn algorithm(key: &[u8]) -> &'static Algorithm {
    match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        other => panic!("{other}"),
    }
}

pub(super) fn ecb(key: &[u8], mut block: [u8; 16]) -> [u8; 16] {
    let cipher = EncryptingKey::ecb(UnboundCipherKey::new(algorithm(key), key).unwrap()).unwrap();
    cipher.less_safe_encrypt(&mut block, EncryptionContext::None).unwrap();
    block
}

pub(super) fn cbc(key: &[u8], iv: [u8; 16], data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let cipher = EncryptingKey::cbc(UnboundCipherKey::new(algorithm(key), key).unwrap()).unwrap();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    cipher.less_safe_encrypt(&mut data, context).unwrap();
    data
}

fn uncbc(key: &[u8], iv: [u8; 16], data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let cipher = DecryptingKey::cbc(UnboundCipherKey::new(algorithm(key), key).unwrap()).unwrap();
    cipher.decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(iv))).unwrap();
    data
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let algorithm = match key.len() {
        16 => cmac::AES_128,
        24 => cmac::AES_192,
        _ => cmac::AES_256,
    };
    cmac::sign(&cmac::Key::new(algorithm, key).unwrap(), data).unwrap().as_ref().to_vec()
}

pub(super) fn kdf(key: &[u8], constant: u8, bits: u16, context: &[u8]) -> Vec<u8> {
    let bytes = usize::from(bits / 8);
    let mut out = Vec::new();
    for counter in 1..=bytes.div_ceil(16) as u8 {
        let [hi, lo] = bits.to_be_bytes();
        let fixed = [&[0; 11][..], &[constant, 0, hi, lo, counter], context].concat();
        out.extend(mac(key, &fixed));
    }
    out.truncate(bytes);
    out
}

/// Sends bytes and splits the answer.
pub(super) fn raw(se: &mut SecureElement, apdu: &[u8]) -> Reply {
    let mut answer = se.transmit(apdu);
    assert!(answer.len() >= 2, "no power");
    let sw = answer.split_off(answer.len() - 2);
    (answer, u16::from_be_bytes([sw[0], sw[1]]))
}

pub(super) fn send(se: &mut SecureElement, text: &str) -> Reply {
    raw(se, &hex::decode(text.replace(' ', "")).unwrap())
}

pub(super) fn apdu(cla: u8, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Vec<u8> {
    [&[cla, ins, p1, p2, data.len() as u8][..], data].concat()
}

pub(super) fn select(se: &mut SecureElement, aid: &[u8]) -> u16 {
    raw(se, &apdu(0x00, 0xA4, 0x04, 0x00, aid)).1
}

pub(super) fn lv(value: &[u8]) -> Vec<u8> {
    [&[value.len() as u8], value].concat()
}

/// An open session on one logical channel.
pub(super) struct Session {
    enc: Vec<u8>,
    mac: Vec<u8>,
    rmac: Vec<u8>,
    dek: Vec<u8>,
    chain: Vec<u8>,
    counter: u128,
    level: u8,
    channel: u8,
    /// As INITIALIZE UPDATE answered, if it did.
    pub(super) sequence_counter: Option<[u8; 3]>,
}

pub(super) const HOST_CHALLENGE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// Selects and opens a session on the basic channel.
pub(super) fn open(se: &mut SecureElement, aid: &[u8], keys: &Keys, level: u8) -> Session {
    assert_eq!(select(se, aid), 0x9000);
    try_open(se, aid, keys, level, 0).unwrap()
}

/// Opens a session on what is selected; the status word that stopped it otherwise. `Err(0)` is a wrong card
/// cryptogram.
pub(super) fn try_open(
    se: &mut SecureElement,
    aid: &[u8],
    keys: &Keys,
    level: u8,
    channel: u8,
) -> Result<Session, u16> {
    let initialize = apdu(0x80 | channel, 0x50, keys.kvn, 0x00, &HOST_CHALLENGE);
    let (answer, sw) = raw(se, &initialize);
    if sw != 0x9000 {
        return Err(sw);
    }
    assert!(keys.kvn == 0 || answer[10] == keys.kvn);
    assert_eq!(answer[11], 3);
    let card_challenge = &answer[13..21];
    let sequence_counter = if answer[12] & 0x10 != 0 {
        let counter: [u8; 3] = answer[29..].try_into().unwrap();
        // A wrong key shows here too; the cryptogram below tells.
        let expected = kdf(&keys.values[0], 0x02, 0x40, &[&counter, aid].concat());
        if expected != card_challenge {
            return Err(0);
        }
        Some(counter)
    } else {
        assert_eq!(answer.len(), 29);
        None
    };
    let context = [&HOST_CHALLENGE[..], card_challenge].concat();
    let bits = keys.values[0].len() as u16 * 8;
    let derived = |key: usize, constant| kdf(&keys.values[key], constant, bits, &context);
    let mut session = Session {
        enc: derived(0, 0x04),
        mac: derived(1, 0x06),
        rmac: derived(1, 0x07),
        dek: keys.values[2].clone(),
        chain: vec![0; 16],
        counter: 0,
        level,
        channel,
        sequence_counter,
    };
    if kdf(&session.mac, 0x00, 0x40, &context) != answer[21..29] {
        return Err(0);
    }
    let cryptogram = kdf(&session.mac, 0x01, 0x40, &context);
    let authenticate = session.protect(0x80, 0x82, level, 0x00, &cryptogram);
    match raw(se, &authenticate).1 {
        0x9000 => Ok(session),
        sw => Err(sw),
    }
}

impl Session {
    /// Appends the C-MAC and moves the chain on.
    pub(super) fn protect(&mut self, cla: u8, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Vec<u8> {
        let length = (data.len() + 8) as u8;
        let header = [cla | 0x04, ins, p1, p2, length];
        self.chain = mac(&self.mac, &[&self.chain, &header[..], data].concat());
        let cla = if self.channel < 4 {
            cla | 0x04 | self.channel
        } else {
            cla | 0x60 | (self.channel - 4)
        };
        [&[cla, ins, p1, p2, length][..], data, &self.chain[..8]].concat()
    }

    /// Wraps a command, sends it, and unwraps the answer; panics on a wrong R-MAC.
    pub(super) fn send(
        &mut self,
        se: &mut SecureElement,
        ins: u8,
        p1: u8,
        p2: u8,
        data: &[u8],
    ) -> Reply {
        let wrapped = self.wrap(0x80, ins, p1, p2, data);
        let reply = raw(se, &wrapped);
        self.unwrap(reply)
    }

    pub(super) fn wrap(&mut self, cla: u8, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Vec<u8> {
        if self.level & 0x01 == 0 {
            return apdu(cla | self.channel, ins, p1, p2, data);
        }
        let mut data = data.to_vec();
        if self.level & 0x02 != 0 {
            self.counter += 1;
            if !data.is_empty() {
                data.push(0x80);
                data.resize(data.len().div_ceil(16) * 16, 0);
                data = cbc(&self.enc, ecb(&self.enc, self.counter.to_be_bytes()), &data);
            }
        }
        self.protect(cla, ins, p1, p2, &data)
    }

    pub(super) fn unwrap(&self, (data, sw): Reply) -> Reply {
        if self.level & 0x10 == 0 || !(sw == 0x9000 || matches!(sw >> 8, 0x62 | 0x63)) {
            return (data, sw);
        }
        let (data, rmac) = data.split_at(data.len().checked_sub(8).expect("an R-MAC"));
        let input = [&self.chain, data, &sw.to_be_bytes()[..]].concat();
        assert_eq!(mac(&self.rmac, &input)[..8], *rmac, "R-MAC");
        if self.level & 0x20 == 0 || data.is_empty() {
            return (data.to_vec(), sw);
        }
        let iv = ecb(&self.enc, (self.counter | 0x80 << 120).to_be_bytes());
        let mut clear = uncbc(&self.enc, iv, data);
        while clear.pop().unwrap() != 0x80 {}
        (clear, sw)
    }

    /// PUT KEY of a whole set.
    pub(super) fn put_key(&mut self, se: &mut SecureElement, replaced: u8, keys: &Keys) -> Reply {
        let mut data = vec![keys.kvn];
        for key in &keys.values {
            let mut padded = key.clone();
            padded.resize(key.len().div_ceil(16) * 16, 0xA5);
            let cryptogram = cbc(&self.dek, [0; 16], &padded);
            data.extend([0x88, cryptogram.len() as u8 + 1, key.len() as u8]);
            data.extend(cryptogram);
            data.push(3);
            data.extend(kcv(key));
        }
        self.send(se, 0xD8, replaced, 0x81, &data)
    }

    /// Encrypts sensitive data under the session's static Key-DEK.
    pub(super) fn seal(&self, clear: &[u8]) -> Vec<u8> {
        cbc(&self.dek, [0; 16], clear)
    }

    /// STORE DATA of DGIs in blocks of `block` bytes; the last status word, or the first that is not 9000.
    pub(super) fn store(&mut self, se: &mut SecureElement, data: &[u8], block: usize) -> u16 {
        let blocks: Vec<&[u8]> = data.chunks(block).collect();
        for (number, data) in blocks.iter().enumerate() {
            let p1 = if number + 1 == blocks.len() { 0x88 } else { 0x08 };
            let (_, sw) = self.send(se, 0xE2, p1, number as u8, data);
            if sw != 0x9000 {
                return sw;
            }
        }
        0x9000
    }
}

/// The DGIs of a key set (CS 11.11.4.1).
pub(super) fn key_groupings(session: &Session, keys: &Keys) -> Vec<u8> {
    let mut information = Vec::new();
    let mut secrets = Vec::new();
    for (number, key) in (1u8..).zip(&keys.values) {
        let template = [
            &[0x95, 1, 0x18, 0x80, 1, 0x88, 0x81, 1, key.len() as u8, 0x82, 1, number][..],
            &[0x83, 1, keys.kvn, 0x84, 3],
            &kcv(key),
        ]
        .concat();
        information.extend([0xB9, template.len() as u8]);
        information.extend(template);
        let mut padded = key.clone();
        padded.resize(key.len().div_ceil(16) * 16, 0x5A);
        let sealed = session.seal(&padded);
        secrets.extend(dgi(0x8113, &sealed));
    }
    [dgi(0x00B9, &information), secrets].concat()
}

pub(super) fn dgi(identifier: u16, value: &[u8]) -> Vec<u8> {
    let mut out = identifier.to_be_bytes().to_vec();
    match value.len() {
        length @ 0..=254 => out.push(length as u8),
        length => {
            out.push(0xFF);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(value);
    out
}

pub(super) fn new_se() -> SecureElement {
    SecureElement::new(Factory::default()).unwrap()
}

/// INSTALL [for install and make selectable] data.
pub(super) fn install_data(file: &[u8], module: &[u8], aid: &[u8], privileges: &[u8]) -> Vec<u8> {
    [lv(file), lv(module), lv(aid), lv(privileges), vec![2, 0xC9, 0x00], vec![0]].concat()
}

pub(super) fn personalization_data(aid: &[u8]) -> Vec<u8> {
    [vec![0, 0], lv(aid), vec![0, 0, 0]].concat()
}

pub(super) fn extradition_data(to: &[u8], moved: &[u8]) -> Vec<u8> {
    [lv(to), vec![0], lv(moved), vec![0, 0, 0]].concat()
}

/// Makes our SSD, without keys.
pub(super) fn install_ssd(se: &mut SecureElement, privileges: &[u8]) -> Session {
    let mut session = open(se, ISD, &Keys::issuer(), 0x33);
    let data = install_data(SSD_FILE, SSD_MODULE, SSD, privileges);
    assert_eq!(session.send(se, 0xE6, 0x0C, 0x00, &data), (vec![0], 0x9000));
    session
}

/// An SE as a TSM hands it over: our SSD with its first key set.
pub(super) fn se_with_ssd(privileges: &[u8], keys: &Keys) -> SecureElement {
    let mut se = new_se();
    give_ssd(&mut se, privileges, keys);
    se
}

pub(super) fn give_ssd(se: &mut SecureElement, privileges: &[u8], keys: &Keys) {
    let mut session = install_ssd(se, privileges);
    let personalize = session.send(se, 0xE6, 0x20, 0x00, &personalization_data(SSD));
    assert_eq!(personalize, (vec![0], 0x9000));
    let groupings = key_groupings(&session, keys);
    assert_eq!(session.store(se, &groupings, 100), 0x9000);
}

/// Loads and installs the applet in an open session of a managing Security Domain.
pub(super) fn load_applet(se: &mut SecureElement, session: &mut Session) {
    let file = crate::load_file::tests::load_file(PACKAGE, MODULE);
    let data = [lv(PACKAGE), vec![0, 0, 0, 0]].concat();
    assert_eq!(session.send(se, 0xE6, 0x02, 0x00, &data), (vec![0], 0x9000));
    let blocks: Vec<&[u8]> = file.chunks(200).collect();
    for (number, block) in blocks.iter().enumerate() {
        let p1 = if number + 1 == blocks.len() { 0x80 } else { 0x00 };
        assert_eq!(session.send(se, 0xE8, p1, number as u8, block), (vec![0], 0x9000));
    }
    let data = install_data(PACKAGE, MODULE, INSTANCE, &[0]);
    assert_eq!(session.send(se, 0xE6, 0x0C, 0x00, &data), (vec![0], 0x9000));
}

/// GET STATUS of all applications, over its pages.
pub(super) fn status(se: &mut SecureElement, session: &mut Session, p1: u8) -> Vec<u8> {
    let mut all = Vec::new();
    let mut p2 = 0x02;
    loop {
        let (data, sw) = session.send(se, 0xF2, p1, p2, &[0x4F, 0x00]);
        all.extend(data);
        match sw {
            0x6310 => p2 = 0x03,
            0x9000 | 0x6A88 => return all,
            sw => panic!("{sw:04X}"),
        }
    }
}
