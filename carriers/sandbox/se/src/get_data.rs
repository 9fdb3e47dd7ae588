//! GET DATA of a Security Domain (CS 11.3): identification, capabilities, the Key Information Template.

use crate::apdu::Command;
use crate::command::Turn;
use crate::registry::{Card, Entry, SecurityDomain};
use crate::session::I_PSEUDO_RANDOM;
use crate::status::{Answer, Stop, Sw};
use crate::tlv;

/// {globalPlatform}: 1.2.840.114283 (CS H.1.1).
const GLOBAL_PLATFORM: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B];

pub(crate) fn get_data(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    // CB asks for a list of applications by a tag list, which is not offered.
    if command.ins != 0xCA {
        return Err(Sw::DATA_NOT_FOUND.into());
    }
    let card = turn.store.card();
    let entry = turn.selected()?;
    let domain = entry.domain().ok_or(Sw::CONDITIONS)?;
    let tag = command.p1_p2();
    let value = value(card, entry, domain, tag).ok_or(Sw::DATA_NOT_FOUND)?;
    // A proprietary class gets the object, an ISO class its value (CS 11.3.3.1).
    let proprietary = command.class.proprietary;
    Ok(Answer::ok(if proprietary { tlv::object(tag, &value) } else { value }))
}

fn value(card: &Card, entry: &Entry, domain: &SecurityDomain, tag: u16) -> Option<Vec<u8>> {
    if let Some(stored) = domain.objects.get(&tag) {
        return Some(stored.0.clone());
    }
    match tag {
        0x0066 => Some(card_data(card.i)),
        0x0067 if entry.is_issuer() => Some(capabilities()),
        0x00CF => Some(card.kdd.to_vec()),
        0x00E0 => Some(key_information(domain)),
        0x00C1 if card.i & I_PSEUDO_RANDOM != 0 => {
            domain.key_set(0).map(|set| set.sequence_counter_bytes().to_vec())
        }
        0x9F7F if entry.is_issuer() => Some(production_life_cycle(card)),
        _ => None,
    }
}

/// Card Recognition Data (CS H.2): Card Specification 2.3.1, SCP03 with this `i`.
fn card_data(i: u8) -> Vec<u8> {
    let identifier = |arcs: &[u8]| tlv::object(0x06, &[GLOBAL_PLATFORM, arcs].concat());
    let mut data = identifier(&[1]);
    tlv::write(&mut data, 0x60, &identifier(&[2, 2, 3, 1]));
    tlv::write(&mut data, 0x63, &identifier(&[3]));
    tlv::write(&mut data, 0x64, &identifier(&[4, 3, i]));
    tlv::object(0x73, &data)
}

/// Card Capability Information (CS H.4).
fn capabilities() -> Vec<u8> {
    let mut scp = tlv::object(0x80, &[0x03]);
    tlv::write(&mut scp, 0x81, &[0x00, 0x10, 0x20, 0x30, 0x60, 0x70]);
    // AES-128, -192 and -256.
    tlv::write(&mut scp, 0x82, &[0x07]);
    let mut data = tlv::object(0xA0, &scp);
    tlv::write(&mut data, 0x81, &crate::privileges::Privileges::SUPPLEMENTARY_ALLOWED.0);
    tlv::write(&mut data, 0x82, &crate::privileges::Privileges::NONE.0);
    // Load File Data Block Hash: SHA-1 and SHA-256.
    tlv::write(&mut data, 0x83, &[0x01, 0x02]);
    data
}

/// Key Information Template (CS 11.3.3.1.1).
fn key_information(domain: &SecurityDomain) -> Vec<u8> {
    let mut data = Vec::new();
    domain.key_sets.iter().for_each(|set| set.write_information(&mut data));
    data
}

/// Card production life cycle data, 42 bytes: no fabricator is named; the serial number repeats the end of the KDD.
fn production_life_cycle(card: &Card) -> Vec<u8> {
    let mut data = vec![0; 42];
    // IC serial number: bytes 13 to 16 of the value.
    let serial = card.kdd.iter().skip(6);
    data.iter_mut().skip(12).zip(serial).for_each(|(to, from)| *to = *from);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlv::Reader;

    /// The order in which kaoh/globalplatform reads Card Recognition Data: 06, 60, 63, 64.
    #[test]
    fn card_data_in_the_order_hosts_read_it() {
        assert_eq!(
            hex::encode_upper(tlv::object(0x66, &card_data(0x70))),
            "66 31 73 2F 06 07 2A864886FC6B 01 60 0C 06 0A 2A864886FC6B 02020301 \
             63 09 06 07 2A864886FC6B 03 64 0B 06 09 2A864886FC6B 040370"
                .replace(' ', "")
        );
    }

    #[test]
    fn capabilities_are_whole_objects() {
        let data = capabilities();
        let mut reader = Reader::new(&data);
        for tag in [0xA0, 0x81, 0x82, 0x83] {
            assert!(reader.expect(tag).is_some(), "{tag:X}");
        }
        assert!(reader.is_empty());
    }
}
