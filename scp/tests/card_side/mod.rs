//! The other end of the channel, written from Amendment D over `aes`, `cbc` and `cmac` alone.

use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};
use cipher::block_padding::Iso7816;
use cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

use crate::static_keys::{StaticKeys, cmac, derive};

/// A card that has one key set and at most one session.
pub(crate) struct CardSide {
    pub(crate) keys: StaticKeys,
    pub(crate) i: u8,
    pub(crate) sequence_counter: [u8; 3],
    aid: Vec<u8>,
    context: Vec<u8>,
    level: u8,
    chain: [u8; 16],
    counter: u128,
}

/// A command as the card reads it: class, instruction, parameters, data, Le with its form.
#[derive(Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) header: [u8; 4],
    pub(crate) data: Vec<u8>,
    pub(crate) le: Vec<u8>,
}

impl CardSide {
    pub(crate) fn new(keys: StaticKeys, i: u8, aid: &[u8]) -> CardSide {
        CardSide {
            keys,
            i,
            sequence_counter: [0, 0, 0x2A],
            aid: aid.to_vec(),
            context: Vec::new(),
            level: 0,
            chain: [0; 16],
            counter: 0,
        }
    }

    /// Bytes of challenges, cryptograms and MACs.
    fn mode(&self) -> usize {
        if self.i & 0x01 == 0 { 8 } else { 16 }
    }

    /// Answers `80 50 KVN 00 08 host challenge 00`, or 10 for 08 in S16.
    pub(crate) fn initialize_update(&mut self, command: &[u8], random: [u8; 16]) -> Vec<u8> {
        let mode = self.mode();
        assert_eq!((&command[..2], &command[3..5]), (&[0x80, 0x50][..], &[0x00, mode as u8][..]));
        let host = &command[5..5 + mode];
        let pseudo_random = self.i & 0x10 != 0;
        let challenge = if pseudo_random {
            let context = [&self.sequence_counter, &self.aid[..]].concat();
            derive(&self.keys.enc, 0x02, mode * 8, &context)
        } else {
            random[..mode].to_vec()
        };
        self.context = [host, &challenge].concat();
        let cryptogram = self.keys.card_cryptogram(host, &challenge);
        let mut answer = b"DIVERSIFY.".to_vec();
        answer.extend([command[2], 0x03, self.i]);
        answer.extend(challenge);
        answer.extend(cryptogram);
        if pseudo_random {
            answer.extend(self.sequence_counter);
        }
        answer.extend([0x90, 0x00]);
        answer
    }

    /// Takes EXTERNAL AUTHENTICATE, if cryptogram and C-MAC are right.
    pub(crate) fn external_authenticate(&mut self, command: &[u8]) -> bool {
        let s_mac = self.session_key(&self.keys.mac, 0x06);
        let mode = self.mode();
        let (macced, mac_sent) = command.split_at(5 + mode);
        let mac = cmac(&s_mac, &[&[0; 16], macced].concat());
        self.level = command[2];
        self.chain = mac;
        self.counter = 0;
        command[..2] == [0x84, 0x82]
            && command[3..5] == [0x00, 2 * mode as u8]
            && macced[5..] == derive(&s_mac, 0x01, mode * 8, &self.context)
            && *mac_sent == mac[..mode]
    }

    /// Verifies and decrypts a command.
    pub(crate) fn receive(&mut self, command: &[u8]) -> Received {
        let extended = command[4] == 0;
        let header = if extended { 7 } else { 5 };
        let lc = if extended {
            usize::from(u16::from_be_bytes([command[5], command[6]]))
        } else {
            usize::from(command[4])
        };
        let (macced, mac) = command[..header + lc].split_at(header + lc - self.mode());
        // The MAC is that of the basic channel, whichever channel the command came on.
        let input = [&self.chain, &[0x84][..], &macced[1..]].concat();
        let chain = cmac(&self.session_key(&self.keys.mac, 0x06), &input);
        assert_eq!(mac, &chain[..self.mode()]);
        self.chain = chain;
        let mut data = macced[header..].to_vec();
        if self.level & 0x02 != 0 {
            self.counter += 1;
            if !data.is_empty() {
                data = self.decrypt(&data);
            }
        }
        let secure_messaging = if command[0] & 0x40 == 0 { 0x04 } else { 0x20 };
        assert_eq!(command[0] & secure_messaging, secure_messaging);
        let header = [command[0] & !secure_messaging, command[1], command[2], command[3]];
        Received { header, data, le: command[macced.len() + self.mode()..].to_vec() }
    }

    /// Protects the answer to the command received last.
    pub(crate) fn answer(&self, data: &[u8], status: [u8; 2]) -> Vec<u8> {
        if self.level & 0x10 == 0 {
            return [data, &status].concat();
        }
        if status != [0x90, 0x00] && status[0] != 0x62 && status[0] != 0x63 {
            return status.to_vec();
        }
        let body = match data {
            [] => Vec::new(),
            data if self.level & 0x20 != 0 => self.encrypt(data),
            data => data.to_vec(),
        };
        let macced = [&self.chain, &body[..], &status].concat();
        let mac = cmac(&self.session_key(&self.keys.mac, 0x07), &macced);
        [&body[..], &mac[..self.mode()], &status].concat()
    }

    fn session_key(&self, key: &[u8], constant: u8) -> Vec<u8> {
        derive(key, constant, key.len() * 8, &self.context)
    }

    fn decrypt(&self, data: &[u8]) -> Vec<u8> {
        fn run<M: KeyIvInit + BlockModeDecrypt>(key: &[u8], icv: &[u8], data: &[u8]) -> Vec<u8> {
            let mut buffer = data.to_vec();
            let mode = M::new_from_slices(key, icv).unwrap();
            mode.decrypt_padded::<Iso7816>(&mut buffer).unwrap().to_vec()
        }
        let (key, icv) = (self.session_key(&self.keys.enc, 0x04), self.icv(0x00));
        match key.len() {
            16 => run::<Decryptor<Aes128>>(&key, &icv, data),
            24 => run::<Decryptor<Aes192>>(&key, &icv, data),
            _ => run::<Decryptor<Aes256>>(&key, &icv, data),
        }
    }

    fn encrypt(&self, data: &[u8]) -> Vec<u8> {
        let (key, icv) = (self.session_key(&self.keys.enc, 0x04), self.icv(0x80));
        encrypt_cbc(&key, &icv, data)
    }

    fn icv(&self, first: u8) -> Vec<u8> {
        let mut block = self.counter.to_be_bytes();
        block[0] = first;
        // One block of CBC from zero is one block of AES; the padding block after it is dropped.
        let key = self.session_key(&self.keys.enc, 0x04);
        encrypt_cbc(&key, &[0; 16], &block)[..16].to_vec()
    }
}

fn encrypt_cbc(key: &[u8], icv: &[u8], data: &[u8]) -> Vec<u8> {
    fn run<M: KeyIvInit + BlockModeEncrypt>(key: &[u8], icv: &[u8], data: &[u8]) -> Vec<u8> {
        let mut buffer = [data, &[0; 16]].concat();
        let mode = M::new_from_slices(key, icv).unwrap();
        mode.encrypt_padded::<Iso7816>(&mut buffer, data.len()).unwrap().to_vec()
    }
    match key.len() {
        16 => run::<Encryptor<Aes128>>(key, icv, data),
        24 => run::<Encryptor<Aes192>>(key, icv, data),
        _ => run::<Encryptor<Aes256>>(key, icv, data),
    }
}
