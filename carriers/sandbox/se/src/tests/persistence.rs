//! The SE in a file: what survives, and what refuses to open.

use std::path::PathBuf;

use super::host::*;
use crate::{Factory, FactoryError, FileError, SecureElement};

/// A directory of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("se-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn se(&self) -> PathBuf {
        self.0.join("one.se")
    }

    fn ledger(&self) -> PathBuf {
        self.0.join("one.ledger.jsonl")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn keys() -> Keys {
    Keys::new(0x30, 0x11, 16)
}

#[test]
fn everything_but_sessions_survives() {
    let place = Place::new("survives");
    let mut se = SecureElement::create(&place.se(), Factory::default()).unwrap();
    give_ssd(&mut se, &[0x80, 0x40, 0x00], &keys());
    let mut session = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut session);
    se.hand_over();
    session.send(&mut se, 0xCA, 0x00, 0xE0, &[]);
    session.put_key(&mut se, 0x00, &Keys::new(0x31, 0x22, 16));
    let (key_sets, apps, ledger, counts) =
        (se.key_sets(), se.apps(), se.ledger().to_vec(), se.counts());
    assert_eq!((counts.received, counts.key_write), (2, 1));
    drop(se);

    let mut se = SecureElement::open(&place.se()).unwrap();
    assert_eq!(
        (se.key_sets(), se.apps(), se.ledger(), se.counts()),
        (key_sets, apps, &ledger[..], counts)
    );
    assert_eq!(session.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x6982, "the session is gone");
    assert_eq!(se.ledger().last().unwrap().index, 2);
    assert_eq!(open(&mut se, SSD, &keys(), 0x33).sequence_counter, Some([0, 0, 2]));
    let lines = std::fs::read_to_string(place.ledger()).unwrap();
    assert_eq!(lines.lines().count() as u64, se.counts().received);
}

#[test]
fn tears_on_disk() {
    for (write, survivor) in [(1, 0x30), (2, 0x31)] {
        let place = Place::new(&format!("tear-{write}"));
        let mut se = SecureElement::create(&place.se(), Factory::default()).unwrap();
        let mut session = open(&mut se, ISD, &Keys::issuer(), 0x01);
        se.tear_at(Some(write));
        let next = Keys::new(0x31, 0x22, 16);
        let mut data = vec![next.kvn];
        for key in &next.values {
            data.extend([&[0x88, 0x10][..], &session.seal(key), &[3], &kcv(key)].concat());
        }
        let wrapped = session.wrap(0x80, 0xD8, 0x30, 0x81, &data);
        assert!(se.transmit(&wrapped).is_empty());
        drop(se);
        let se = SecureElement::open(&place.se()).unwrap();
        assert_eq!(se.key_sets()[0].kvn, format!("{survivor:02X}"));
    }
}

#[test]
fn what_is_no_se_is_refused_and_left_alone() {
    let place = Place::new("refused");
    let card = {
        SecureElement::create(&place.se(), Factory::default()).unwrap();
        std::fs::read_to_string(place.se()).unwrap()
    };
    assert!(matches!(
        SecureElement::create(&place.se(), Factory::default()),
        Err(FileError::Exists { .. })
    ));
    let other = place.0.join("other.se");
    for text in ["", "{}", "hello", &card[..card.len() - 2], &card.replace("virtual", "actual")] {
        std::fs::write(&other, text).unwrap();
        let refused = SecureElement::open(&other).unwrap_err();
        assert!(matches!(refused, FileError::NotAnSe { .. }), "{refused}");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), text);
    }
    std::fs::write(&other, card.replace("\"version\":1,\"card\"", "\"version\":2,\"card\""))
        .unwrap();
    let newer = SecureElement::open(&other).unwrap_err();
    assert!(matches!(newer, FileError::NewerVersion { found: 2, supported: 1, .. }), "{newer}");
    assert!(matches!(
        SecureElement::open(&place.0),
        Err(FileError::NotAnSe { .. } | FileError::Io { .. })
    ));
    assert!(matches!(SecureElement::open(&place.0.join("absent.se")), Err(FileError::Io { .. })));
    let wrong = Factory { kvn: 0, ..Factory::default() };
    let refused = SecureElement::create(&place.0.join("wrong.se"), wrong).unwrap_err();
    assert!(matches!(refused, FileError::Factory(FactoryError::KeyVersion)));
    assert!(!place.0.join("wrong.se").exists());
}

#[test]
fn a_ledger_line_cut_short_is_dropped_and_a_foreign_one_refused() {
    let place = Place::new("ledger");
    let mut se = SecureElement::create(&place.se(), Factory::default()).unwrap();
    se.hand_over();
    send(&mut se, "00A4040000");
    drop(se);
    let whole = std::fs::read_to_string(place.ledger()).unwrap();
    std::fs::write(place.ledger(), format!("{whole}{}", &whole[..40])).unwrap();
    let mut se = SecureElement::open(&place.se()).unwrap();
    assert_eq!(se.ledger().len(), 1);
    send(&mut se, "00A4040000");
    drop(se);
    assert_eq!(SecureElement::open(&place.se()).unwrap().ledger().len(), 2);
    for foreign in ["a letter\n", "a letter"] {
        std::fs::write(place.ledger(), foreign).unwrap();
        let refused = SecureElement::open(&place.se()).unwrap_err();
        assert!(matches!(refused, FileError::NotALedger { .. }), "{refused}");
        assert_eq!(std::fs::read_to_string(place.ledger()).unwrap(), foreign);
    }
}

#[test]
fn a_state_half_written_beside_is_ignored() {
    let place = Place::new("beside");
    drop(SecureElement::create(&place.se(), Factory::default()).unwrap());
    std::fs::write(place.0.join("one.se.next"), "{\"format\":").unwrap();
    let mut se = SecureElement::open(&place.se()).unwrap();
    open(&mut se, ISD, &Keys::issuer(), 0x33);
    drop(se);
    let mut se = SecureElement::open(&place.se()).unwrap();
    assert_eq!(open(&mut se, ISD, &Keys::issuer(), 0x33).sequence_counter, Some([0, 0, 2]));
}
