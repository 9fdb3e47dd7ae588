//! The applet: personalization all or nothing, PIN, signature, the application probe.

use super::host::*;
use super::issuer::{Identity, identity, sealed};
use crate::SecureElement;

fn keys() -> Keys {
    Keys::new(0x30, 0x11, 32)
}

/// An SE with the applet installed by our own domain.
fn se() -> SecureElement {
    let mut se = se_with_ssd(&[0x80, 0x40, 0x00], &keys());
    let mut session = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut session);
    se
}

fn begin(se: &mut SecureElement) -> Session {
    let mut session = open(se, SSD, &keys(), 0x33);
    let begun = session.send(se, 0xE6, 0x20, 0x00, &personalization_data(INSTANCE));
    assert_eq!(begun, (vec![0], 0x9000));
    session
}

fn personalize(se: &mut SecureElement, identity: &Identity, block: usize) -> u16 {
    let mut session = begin(se);
    let groupings = identity.groupings(&session);
    session.store(se, &groupings, block)
}

fn personalized() -> SecureElement {
    let mut se = se();
    assert_eq!(personalize(&mut se, identity(0), 230), 0x9000);
    se
}

fn digest(identity: &Identity) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &identity.public_key).as_ref().to_vec()
}

fn verify(se: &mut SecureElement, pin: &[u8]) -> u16 {
    raw(se, &apdu(0x00, 0x20, 0x00, 0x80, pin)).1
}

#[test]
fn personalized_it_signs_behind_its_pin() {
    for block in [60, 128, 230] {
        let mut se = se();
        assert_eq!(se.apps()[0].life_cycle, "07");
        assert_eq!(personalize(&mut se, identity(0), block), 0x9000);
        let app = &se.apps()[0];
        assert_eq!(
            (app.aid.as_str(), app.life_cycle.as_str()),
            (&*hex::encode_upper(INSTANCE), "0F")
        );
        assert_eq!(app.key_sha256, Some(hex::encode_upper(digest(identity(0)))));

        assert_eq!(select(&mut se, INSTANCE), 0x9000);
        assert_eq!(send(&mut se, "0088000004DEADBEEF00").1, 0x6982, "no PIN yet");
        assert_eq!(verify(&mut se, b"123456"), 0x9000);
        let (empty, sw) = send(&mut se, "0088000004DEADBEEF00");
        assert_eq!((empty.len(), sw), (0, 0x6100));
        let (signature, sw) = send(&mut se, "00C0000000");
        assert_eq!(sw, 0x9000);
        assert!(identity(0).verify(&[0xDE, 0xAD, 0xBE, 0xEF], &signature));
        let (signature, sw) = send(&mut se, "00880000000004DEADBEEF0000");
        assert_eq!(sw, 0x9000, "extended: whole");
        assert!(identity(0).verify(&[0xDE, 0xAD, 0xBE, 0xEF], &signature));
        assert_eq!(send(&mut se, "00C0000000").1, 0x6985, "nothing waits");
        assert_eq!(send(&mut se, "0088000000").1, 0x6700);
        select(&mut se, INSTANCE);
        assert_eq!(send(&mut se, "0088000004DEADBEEF00").1, 0x6982, "selecting forgets the PIN");
    }
}

#[test]
fn the_certificate_is_fetched_in_pieces_or_whole() {
    let mut se = personalized();
    select(&mut se, INSTANCE);
    let (whole, sw) = send(&mut se, "00CADF21000000");
    assert_eq!((&whole, sw), (&identity(0).certificate, 0x9000));
    let (_, mut sw) = send(&mut se, "00CADF2100");
    let mut pieces = Vec::new();
    while sw >> 8 == 0x61 {
        let (piece, next) = send(&mut se, "00C0000000");
        pieces.extend(piece);
        sw = next;
    }
    assert_eq!((pieces, sw), (whole.clone(), 0x9000));
    let (object, _) = send(&mut se, "80CADF21000000");
    assert_eq!(object, crate::tlv::object(0xDF21, &whole));
    assert_eq!(send(&mut se, "00CADF2000"), (digest(identity(0)), 0x9000));
}

#[test]
fn the_application_probe() {
    let mut se = personalized();
    select(&mut se, INSTANCE);
    // The challenge is over the applet's AID; the keys and their counter are its domain's.
    let mut session = try_open(&mut se, INSTANCE, &keys(), 0x33, 0).unwrap();
    let (answer, sw) = session.send(&mut se, 0xCA, 0xDF, 0x20, &[]);
    assert_eq!((answer, sw), (crate::tlv::object(0xDF20, &digest(identity(0))), 0x9000));
    // The certificate, protected and longer than a short answer.
    let wrapped = session.wrap(0x00, 0xCA, 0xDF, 0x21, &[]);
    let (_, mut sw) = raw(&mut se, &wrapped);
    let mut protected = Vec::new();
    while sw >> 8 == 0x61 {
        let (piece, next) = send(&mut se, "00C0000000");
        protected.extend(piece);
        sw = next;
    }
    assert_eq!(session.unwrap((protected, sw)), (identity(0).certificate.clone(), 0x9000));
    assert_eq!(session.send(&mut se, 0xD8, 0x00, 0x81, &[0x31]).1, 0x6D00, "no domain");
    assert_eq!(session.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x6A88);
}

#[test]
fn before_personalization_there_is_nothing_to_use() {
    let mut se = se();
    select(&mut se, INSTANCE);
    assert_eq!(verify(&mut se, b"123456"), 0x6985);
    assert_eq!(send(&mut se, "0088000004DEADBEEF00").1, 0x6985);
    assert_eq!(send(&mut se, "00CADF2000").1, 0x6A88);
    let mut session = try_open(&mut se, INSTANCE, &keys(), 0x33, 0).unwrap();
    assert_eq!(session.send(&mut se, 0xCA, 0xDF, 0x20, &[]).1, 0x6A88);
}

#[test]
fn every_damage_to_any_grouping_changes_nothing() {
    let mut se = personalized();
    let before = se.apps();
    let values = &identity(1).values;
    for damaged in 0..values.len() {
        for kind in 0..4 {
            let mut session = begin(&mut se);
            let mut data = Vec::new();
            for (at, (identifier, value)) in values.iter().enumerate() {
                let mut value = value.clone();
                let mut identifier = *identifier;
                match (at == damaged, kind) {
                    (true, 0) => continue,
                    (true, 1) => match identifier {
                        // The PIN's digit becomes a letter; the key in the certificate's frame another.
                        0x8010 => value[1] = b'A',
                        0x0101 => value[500] ^= 1,
                        _ => *value.last_mut().unwrap() ^= 1,
                    },
                    (true, 2) => value.extend([0; 16]),
                    (true, 3) => identifier ^= 0x0040,
                    _ => {}
                }
                data.extend(sealed(&session, identifier, &value));
            }
            let sw = session.store(&mut se, &data, 230);
            assert_eq!(sw, 0x6A80, "{:04X} {kind}", values[damaged].0);
            assert_eq!(se.apps(), before);
        }
    }
    // Doubled, unknown besides, nothing at all.
    for extra in [0x8010, 0x0103] {
        let mut session = begin(&mut se);
        let mut data = identity(1).groupings(&session);
        data.extend(sealed(&session, extra, &[0x31; 16]));
        assert_eq!(session.store(&mut se, &data, 230), 0x6A80);
    }
    let mut session = begin(&mut se);
    assert_eq!(session.send(&mut se, 0xE2, 0x88, 0x00, &[]).1, 0x6A80);
    assert_eq!(session.send(&mut se, 0xE2, 0x88, 0x00, &[0x01]).1, 0x6A80, "to the domain itself");
    assert_eq!(se.apps(), before);
    select(&mut se, INSTANCE);
    assert_eq!(verify(&mut se, b"123456"), 0x9000);
}

#[test]
fn a_sequence_out_of_order_is_refused_and_forgotten() {
    let mut se = se();
    let mut session = begin(&mut se);
    let data = identity(0).groupings(&session);
    assert_eq!(session.send(&mut se, 0xE2, 0x08, 0x00, &data[..200]).1, 0x9000);
    assert_eq!(session.send(&mut se, 0xE2, 0x08, 0x02, &data[200..400]).1, 0x6A86);
    // The target is still the applet, the count begins anew.
    assert_eq!(session.store(&mut se, &data, 200), 0x9000);
    // With the last block the personalization is over: the next goes to the domain, which knows no such DGI.
    assert_eq!(session.store(&mut se, &data, 200), 0x6A80);
}

#[test]
fn a_later_personalization_replaces_all() {
    let mut se = personalized();
    assert_eq!(personalize(&mut se, identity(1), 230), 0x9000);
    select(&mut se, INSTANCE);
    verify(&mut se, b"123456");
    let (signature, _) = send(&mut se, "00880000000004DEADBEEF0000");
    assert!(identity(1).verify(&[0xDE, 0xAD, 0xBE, 0xEF], &signature));
    assert!(!identity(0).verify(&[0xDE, 0xAD, 0xBE, 0xEF], &signature));
}

#[test]
fn tears_in_a_personalization() {
    for (write, which) in [(1, 0), (2, 1)] {
        let mut se = personalized();
        let mut session = begin(&mut se);
        let data = identity(1).groupings(&session);
        let blocks: Vec<&[u8]> = data.chunks(230).collect();
        let (last, others) = blocks.split_last().unwrap();
        for (number, block) in others.iter().enumerate() {
            assert_eq!(session.send(&mut se, 0xE2, 0x08, number as u8, block).1, 0x9000);
        }
        se.tear_at(Some(write));
        let wrapped = session.wrap(0x80, 0xE2, 0x88, others.len() as u8, last);
        assert!(se.transmit(&wrapped).is_empty());
        se.reset();
        assert_eq!(se.apps()[0].key_sha256, Some(hex::encode_upper(digest(identity(which)))));
        select(&mut se, INSTANCE);
        assert_eq!(verify(&mut se, b"123456"), 0x9000);
        let (signature, _) = send(&mut se, "0088000000000100 0000");
        assert!(identity(which).verify(&[0], &signature));
    }
}

#[test]
fn three_tries_then_only_a_new_pin_helps() {
    let mut se = personalized();
    select(&mut se, INSTANCE);
    assert_eq!(verify(&mut se, b""), 0x63C3);
    assert_eq!(verify(&mut se, b"123"), 0x6700);
    assert_eq!(verify(&mut se, b"000000"), 0x63C2);
    assert_eq!(verify(&mut se, b"123456"), 0x9000);
    assert_eq!(verify(&mut se, b""), 0x9000);
    for left in [0x63C2, 0x63C1, 0x63C0, 0x6983, 0x6983] {
        se.reset();
        select(&mut se, INSTANCE);
        assert_eq!(verify(&mut se, b"1234567"), left, "counted over resets");
    }
    assert_eq!(verify(&mut se, b"123456"), 0x6983);
    assert_eq!(send(&mut se, "0088000004DEADBEEF00").1, 0x6982);
    let mut session = begin(&mut se);
    let pin = sealed(&session, 0x8010, b"9876\x80\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(session.store(&mut se, &pin, 230), 0x9000);
    select(&mut se, INSTANCE);
    assert_eq!(verify(&mut se, b"9876"), 0x9000);
    let (signature, _) = send(&mut se, "0088000000000100 0000");
    assert!(identity(0).verify(&[0], &signature), "the key is still the same");
}

#[test]
fn a_pin_alone_personalizes_nothing() {
    let mut se = se();
    let mut session = begin(&mut se);
    let pin = sealed(&session, 0x8010, b"9876\x80\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(session.store(&mut se, &pin, 230), 0x6A80);
    assert_eq!(se.apps()[0].life_cycle, "07");
}

#[test]
fn the_citizen_changes_the_pin() {
    let mut se = personalized();
    select(&mut se, INSTANCE);
    let change =
        |se: &mut SecureElement, data: &[u8]| raw(se, &apdu(0x00, 0x24, 0x00, 0x80, data)).1;
    assert_eq!(change(&mut se, b"0000001234"), 0x63C2);
    assert_eq!(change(&mut se, b"123456123"), 0x6A80, "the new one is too short");
    assert_eq!(change(&mut se, b"12345612x4"), 0x6A80);
    assert_eq!(change(&mut se, b"1234561234"), 0x9000);
    se.reset();
    select(&mut se, INSTANCE);
    assert_eq!(verify(&mut se, b"123456"), 0x63C2);
    assert_eq!(verify(&mut se, b"1234"), 0x9000);
}

#[test]
fn a_power_cut_never_gains_a_try() {
    for write in 1..=6 {
        let mut se = personalized();
        se.tear_at(Some(write));
        let mut answered = 0;
        select(&mut se, INSTANCE);
        for _ in 0..3 {
            if se.transmit(&apdu(0x00, 0x20, 0x00, 0x80, b"000000")).is_empty() {
                break;
            }
            answered += 1;
        }
        se.tear_at(None);
        se.reset();
        select(&mut se, INSTANCE);
        let left = match verify(&mut se, b"") {
            0x6983 => 0,
            sw => sw & 0x0F,
        };
        assert!(left <= 3 - answered, "{write}");
    }
}
