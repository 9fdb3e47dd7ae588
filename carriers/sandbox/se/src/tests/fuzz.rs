//! Whatever arrives: no panic, always an answer, and no change of keys without an authenticated session.

use super::host::*;
use crate::SecureElement;

/// xorshift64*: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// An APDU that at least looks like one most of the time.
    fn apdu(&mut self) -> Vec<u8> {
        const CLASSES: [u8; 8] = [0x00, 0x80, 0x84, 0x01, 0x81, 0x04, 0xC0, 0xE0];
        const INSTRUCTIONS: [u8; 18] = [
            0x20, 0x24, 0x50, 0x70, 0x82, 0x88, 0xA4, 0xC0, 0xCA, 0xCB, 0xD8, 0xE2, 0xE4, 0xE6,
            0xE8, 0xF0, 0xF2, 0xFE,
        ];
        if self.below(10) == 0 {
            let length = self.below(300);
            return self.bytes(length);
        }
        let parameters = [0x00, 0x01, 0x02, 0x04, 0x08, 0x0C, 0x10, 0x20, 0x40, 0x80, 0x81, 0xFF];
        let mut apdu = vec![
            CLASSES[self.below(CLASSES.len())],
            INSTRUCTIONS[self.below(INSTRUCTIONS.len())],
            parameters[self.below(parameters.len())],
            parameters[self.below(parameters.len())],
        ];
        let length = self.below(60);
        let data = if self.below(2) == 0 { self.bytes(length) } else { self.structure() };
        apdu.push(data.len() as u8);
        apdu.extend(data);
        if self.below(2) == 0 {
            apdu.push(self.next() as u8);
        }
        apdu
    }

    /// Data with the frames the commands look for.
    fn structure(&mut self) -> Vec<u8> {
        let aids = [ISD, SSD, SSD_FILE, SSD_MODULE, PACKAGE, MODULE, INSTANCE];
        let mut data = Vec::new();
        for _ in 0..self.below(6) {
            match self.below(4) {
                0 => data.extend(lv(aids[self.below(aids.len())])),
                1 => data.extend([0x4F, 0x05, 0xA0, 0, 0, 0, 1]),
                2 => data.extend([0x00, 0x01, 0xC9, 0x00]),
                _ => data.push(self.next() as u8),
            }
        }
        data.truncate(200);
        data
    }
}

fn keys() -> Keys {
    Keys::new(0x30, 0x11, 16)
}

fn furnished() -> SecureElement {
    let mut se = se_with_ssd(&[0x80, 0x40, 0x00], &keys());
    let mut session = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut session);
    se.reset();
    se.hand_over();
    se
}

#[test]
fn without_keys_nothing_changes() {
    let mut se = furnished();
    let (key_sets, apps) = (se.key_sets(), se.apps());
    let mut random = Random(0x5EED);
    for _ in 0..60_000 {
        let apdu = random.apdu();
        assert!(se.transmit(&apdu).len() >= 2, "{}", hex::encode_upper(&apdu));
        if random.below(200) == 0 {
            se.reset();
        }
    }
    assert_eq!((se.key_sets(), se.apps()), (key_sets, apps));
    let changed = se.ledger().iter().filter(|entry| {
        let class = serde_json::to_value(entry.class).unwrap();
        class != "read" && entry.executed
    });
    assert_eq!(changed.count(), 0);
}

#[test]
fn every_truncation_of_what_a_host_sends() {
    let mut se = furnished();
    let mut session = open(&mut se, SSD, &keys(), 0x33);
    let commands = [
        apdu(0x00, 0xA4, 0x04, 0x00, SSD),
        apdu(0x80, 0x50, 0x30, 0x00, &HOST_CHALLENGE),
        session.wrap(0x80, 0xE6, 0x20, 0x00, &personalization_data(INSTANCE)),
        session.wrap(0x80, 0xE2, 0x88, 0x00, &[0; 200]),
    ];
    let key_sets = se.key_sets();
    for command in &commands {
        for length in 0..command.len() {
            assert!(se.transmit(&command[..length]).len() >= 2);
        }
    }
    assert_eq!(se.key_sets(), key_sets);
}

#[test]
fn damaged_plaintext_in_a_good_session_never_panics() {
    let mut random = Random(0xC0FFEE);
    let mut se = furnished();
    let issuer = se.key_sets();
    for round in 0..400 {
        let (aid, keys) = if round % 2 == 0 { (SSD, keys()) } else { (ISD, Keys::issuer()) };
        se.reset();
        if select(&mut se, aid) & 0xFF00 != 0x9000 {
            se = furnished();
            continue;
        }
        let Ok(mut session) = try_open(&mut se, aid, &keys, 0x13, 0) else {
            se = furnished();
            continue;
        };
        for _ in 0..20 {
            let plain = random.apdu();
            let [_, ins, p1, p2, ..] = plain[..] else { continue };
            let data = plain.get(5..).unwrap_or_default();
            let wrapped = session.wrap(0x80, ins, p1, p2, &data[..data.len().min(200)]);
            assert!(se.transmit(&wrapped).len() >= 2);
        }
    }
    // The tables are still whole: random bytes never guess a Key Check Value.
    assert!(se.key_sets().iter().all(|row| issuer.iter().any(|known| known.kvn == row.kvn)));
}
