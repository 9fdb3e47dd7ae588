//! Card content: both modes of a carrier, GET STATUS, DELETE, SET STATUS, privileges.

use super::host::*;
use super::issuer::identity;
use crate::SecureElement;

const MANAGER: &[u8] = &[0x80, 0x40, 0x00];

fn keys() -> Keys {
    Keys::new(0x30, 0x11, 16)
}

fn issuer(se: &mut SecureElement) -> Session {
    open(se, ISD, &Keys::issuer(), 0x33)
}

/// AID and life cycle state of each object in a GET STATUS answer.
fn rows(data: &[u8]) -> Vec<(Vec<u8>, u8)> {
    let mut reader = crate::tlv::Reader::new(data);
    let mut rows = Vec::new();
    while let Some(body) = reader.expect(0xE3) {
        let mut body = crate::tlv::Reader::new(body);
        let aid = body.expect(0x4F).unwrap().to_vec();
        rows.push((aid, body.expect(0x9F70).unwrap()[0]));
    }
    assert!(reader.is_empty());
    rows
}

#[test]
fn authorised_mode_the_domain_loads_and_installs_itself() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut session = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut session);
    let seen = rows(&status(&mut se, &mut session, 0x40));
    assert_eq!(seen, [(SSD.to_vec(), 0x0F), (INSTANCE.to_vec(), 0x07)]);
    assert_eq!(rows(&status(&mut se, &mut session, 0x20)), [(PACKAGE.to_vec(), 0x01)]);
    let modules = hex::encode_upper(status(&mut se, &mut session, 0x10));
    assert!(modules.contains(&format!("8408{}", hex::encode_upper(MODULE))), "{modules}");
    assert_eq!(status(&mut se, &mut session, 0x80), [0; 0], "the issuer's is not ours to see");
    assert_eq!(select(&mut se, INSTANCE), 0x9000);
}

#[test]
fn simple_mode_the_carrier_loads_installs_and_extradites() {
    let mut se = se_with_ssd(&[0x80], &keys());
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    let data = [lv(PACKAGE), vec![0, 0, 0, 0]].concat();
    assert_eq!(ours.send(&mut se, 0xE6, 0x02, 0x00, &data).1, 0x6985, "no Authorized Management");
    let personalize = personalization_data(INSTANCE);
    assert_eq!(ours.send(&mut se, 0xE6, 0x20, 0x00, &personalize).1, 0x6A88);

    let mut carrier = issuer(&mut se);
    load_applet(&mut se, &mut carrier);
    let moved = carrier.send(&mut se, 0xE6, 0x10, 0x00, &extradition_data(SSD, INSTANCE));
    assert_eq!(moved, (vec![0], 0x9000));
    // It is not the carrier's any more.
    assert_eq!(carrier.send(&mut se, 0xE6, 0x20, 0x00, &personalize).1, 0x6985);
    let back = carrier.send(&mut se, 0xE6, 0x10, 0x00, &extradition_data(ISD, INSTANCE));
    assert_eq!(back.1, 0x6985);
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    assert_eq!(ours.send(&mut se, 0xE6, 0x20, 0x00, &personalize).1, 0x9000);
    let seen = rows(&status(&mut se, &mut ours, 0x40));
    assert_eq!(seen, [(SSD.to_vec(), 0x0F), (INSTANCE.to_vec(), 0x07)]);
}

#[test]
fn a_load_that_goes_wrong_leaves_nothing() {
    let file = crate::load_file::tests::load_file(PACKAGE, MODULE);
    let announce = |hash: &[u8]| [lv(PACKAGE), vec![0], lv(hash), vec![0, 0]].concat();
    let mut se = new_se();
    let mut session = issuer(&mut se);
    assert_eq!(session.send(&mut se, 0xE8, 0x80, 0x00, &file[..100]).1, 0x6985, "not announced");
    for (hash, blocks, expected) in [
        (vec![], vec![(0x80, 0, &file[..200])], 0x6A80),
        (vec![], vec![(0x80, 1, &file[..200])], 0x6A86),
        (vec![7; 32], full(&file), 0x6A80),
        (vec![7; 20], full(&file), 0x6A80),
    ] {
        assert_eq!(session.send(&mut se, 0xE6, 0x02, 0x00, &announce(&hash)).1, 0x9000);
        assert_eq!(load(&mut se, &mut session, &blocks), expected);
        assert_eq!(session.send(&mut se, 0xE8, 0x80, 0x00, &file[..100]).1, 0x6985, "it is over");
    }
    // The load file's own AID must be the one announced.
    let other = [lv(&[0xA0, 0, 0, 0, 0x77]), vec![0, 0, 0, 0]].concat();
    session.send(&mut se, 0xE6, 0x02, 0x00, &other);
    assert_eq!(load(&mut se, &mut session, &full(&file)), 0x6A80);
    assert_eq!(session.send(&mut se, 0xE6, 0x02, 0x00, &announce(&[1; 7])).1, 0x6A80);
    let token = [lv(PACKAGE), vec![0, 0, 0, 1, 0xAA]].concat();
    assert_eq!(session.send(&mut se, 0xE6, 0x02, 0x00, &token).1, 0x6A80);
    assert_eq!(rows(&status(&mut se, &mut session, 0x20)), [(SSD_FILE.to_vec(), 0x01)]);
    // A right hash is accepted.
    let block = crate::load_file::LoadFileContent::parse(&file).unwrap().data_block;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, block);
    session.send(&mut se, 0xE6, 0x02, 0x00, &announce(hash.as_ref()));
    assert_eq!(load(&mut se, &mut session, &full(&file)), 0x9000);
}

/// Sends LOAD blocks; the last one's status word.
fn load(se: &mut SecureElement, session: &mut Session, blocks: &[(u8, u8, &[u8])]) -> u16 {
    blocks.iter().fold(0, |_, (p1, p2, data)| session.send(se, 0xE8, *p1, *p2, data).1)
}

fn full(file: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let count = file.chunks(200).count();
    let p1 = |number| if number + 1 == count { 0x80 } else { 0x00 };
    file.chunks(200).enumerate().map(|(n, data)| (p1(n), n as u8, data)).collect()
}

#[test]
fn installations_that_are_refused() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut session = issuer(&mut se);
    load_applet(&mut se, &mut session);
    let other: &[u8] = &[0xA0, 0, 0, 0, 0x62, 0x09];
    for (data, expected) in [
        (install_data(PACKAGE, MODULE, INSTANCE, &[0]), 0x6985),
        (install_data(PACKAGE, MODULE, PACKAGE, &[0]), 0x6985),
        (install_data(PACKAGE, other, other, &[0]), 0x6A88),
        (install_data(other, MODULE, other, &[0]), 0x6A88),
        (install_data(PACKAGE, MODULE, other, &[0x80]), 0x6A80),
        (install_data(PACKAGE, MODULE, other, &[0, 0]), 0x6A80),
        (install_data(SSD_FILE, SSD_MODULE, other, &[0x00]), 0x6A80),
        (install_data(SSD_FILE, SSD_MODULE, other, &[0xA0, 0, 0]), 0x6A80),
        (install_data(SSD_FILE, SSD_MODULE, other, &[0xC0, 0, 0]), 0x6A80),
        ([lv(PACKAGE), lv(MODULE), lv(other), lv(&[0]), vec![0], vec![0]].concat(), 0x6A80),
    ] {
        assert_eq!(session.send(&mut se, 0xE6, 0x0C, 0x00, &data).1, expected);
    }
    for (p1, p2) in [(0x40, 0x00), (0x0E, 0x00), (0x0C, 0x01), (0x8C, 0x00)] {
        let data = install_data(PACKAGE, MODULE, other, &[0]);
        assert_eq!(session.send(&mut se, 0xE6, p1, p2, &data).1, 0x6A86);
    }
    // Our domain may install from its own load files only.
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    let data = install_data(PACKAGE, MODULE, other, &[0]);
    assert_eq!(ours.send(&mut se, 0xE6, 0x0C, 0x00, &data).1, 0x6985);
}

#[test]
fn installed_is_not_yet_selectable() {
    let mut se = new_se();
    let mut session = issuer(&mut se);
    let data = install_data(SSD_FILE, SSD_MODULE, SSD, &[0x80]);
    assert_eq!(session.send(&mut se, 0xE6, 0x04, 0x00, &data).1, 0x9000);
    assert_eq!(select(&mut se, SSD), 0x6A82);
    let mut session = issuer(&mut se);
    let data = [vec![0, 0], lv(SSD), lv(&[0]), vec![0, 0]].concat();
    assert_eq!(session.send(&mut se, 0xE6, 0x08, 0x00, &data).1, 0x9000);
    assert_eq!(session.send(&mut se, 0xE6, 0x08, 0x00, &data).1, 0x6985);
    assert_eq!(select(&mut se, SSD), 0x9000);
}

#[test]
fn what_is_deleted_and_what_is_not() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut ours);
    let named = |aid: &[u8]| [&[0x4F, aid.len() as u8], aid].concat();
    let mut carrier = issuer(&mut se);
    for (aid, p2, expected) in [
        (ISD, 0x00, 0x6985),
        (SSD_FILE, 0x80, 0x6985),
        (SSD, 0x00, 0x6A88),
        (&[0xA0, 0, 0, 0, 0x99][..], 0x00, 0x6A82),
        (PACKAGE, 0x00, 0x6A88),
    ] {
        assert_eq!(carrier.send(&mut se, 0xE4, 0x00, p2, &named(aid)).1, expected);
    }
    assert_eq!(carrier.send(&mut se, 0xE4, 0x00, 0x01, &named(PACKAGE)).1, 0x6A86);
    assert_eq!(carrier.send(&mut se, 0xE4, 0x00, 0x00, &[0x4F, 0x01, 0xA0]).1, 0x6A80);
    // Selected on another channel.
    send(&mut se, "0070000001");
    assert_eq!(raw(&mut se, &apdu(0x01, 0xA4, 0x04, 0x00, INSTANCE)).1, 0x9000);
    assert_eq!(carrier.send(&mut se, 0xE4, 0x00, 0x80, &named(PACKAGE)).1, 0x6985);
    send(&mut se, "01708001");
    assert_eq!(carrier.send(&mut se, 0xE4, 0x00, 0x80, &named(PACKAGE)), (vec![0], 0x9000));
    assert_eq!(select(&mut se, INSTANCE), 0x6A82);
    let mut carrier = issuer(&mut se);
    assert_eq!(carrier.send(&mut se, 0xE4, 0x00, 0x00, &named(SSD)).1, 0x9000);
    assert!(se.key_sets().iter().all(|row| row.sd == hex::encode_upper(ISD)));
}

#[test]
fn our_domain_deletes_its_own_and_nothing_else() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut carrier = issuer(&mut se);
    load_applet(&mut se, &mut carrier);
    let named = [&[0x4F, INSTANCE.len() as u8], INSTANCE].concat();
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    assert_eq!(ours.send(&mut se, 0xE4, 0x00, 0x00, &named).1, 0x6985);
    let mut carrier = issuer(&mut se);
    carrier.send(&mut se, 0xE6, 0x10, 0x00, &extradition_data(SSD, INSTANCE));
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    assert_eq!(ours.send(&mut se, 0xE4, 0x00, 0x00, &named).1, 0x9000);
    let seen = rows(&status(&mut se, &mut ours, 0x40));
    assert_eq!(seen, [(SSD.to_vec(), 0x0F)]);
}

#[test]
fn a_domain_becomes_the_root_of_its_own_hierarchy() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut carrier = issuer(&mut se);
    let root = extradition_data(SSD, SSD);
    assert_eq!(carrier.send(&mut se, 0xE6, 0x10, 0x00, &root).1, 0x9000);
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut ours);
    assert_eq!(rows(&status(&mut se, &mut ours, 0x40)).len(), 2);
    let isd = extradition_data(SSD, ISD);
    assert_eq!(ours.send(&mut se, 0xE6, 0x10, 0x00, &isd).1, 0x6985);
}

#[test]
fn long_lists_come_in_pages() {
    let mut se = new_se();
    let mut session = issuer(&mut se);
    let mut expected = Vec::new();
    for number in 0..20u8 {
        let aid = [SSD, &[number]].concat();
        let data = install_data(SSD_FILE, SSD_MODULE, &aid, &[0x80]);
        assert_eq!(session.send(&mut se, 0xE6, 0x0C, 0x00, &data).1, 0x9000);
        expected.push((aid, 0x07));
    }
    let (page, sw) = session.send(&mut se, 0xF2, 0x40, 0x02, &[0x4F, 0x00]);
    assert!(page.len() <= 239 && sw == 0x6310);
    // Another question is not a continuation.
    assert_eq!(session.send(&mut se, 0xF2, 0x20, 0x03, &[0x4F, 0x00]).1, 0x6985);
    assert_eq!(session.send(&mut se, 0xF2, 0x40, 0x03, &[0x4F, 0x00]).1, 0x6985);
    assert_eq!(rows(&status(&mut se, &mut session, 0x40)), expected);
    // One by its AID, with the tags asked for.
    let one = [&[0x4F, 7][..], SSD, &[5], &[0x5C, 3, 0x4F, 0x9F, 0x70]].concat();
    let (data, sw) = session.send(&mut se, 0xF2, 0x40, 0x02, &one);
    assert_eq!((hex::encode_upper(data), sw), ("E30D4F07A00000006201059F700107".into(), 0x9000));
    assert_eq!(session.send(&mut se, 0xF2, 0x40, 0x02, &[0x4F, 5, 9, 9, 9, 9, 9]).1, 0x6A88);
    for (p1, p2) in [(0xC0, 0x02), (0x40, 0x00), (0x00, 0x02), (0x80, 0x03)] {
        assert_eq!(session.send(&mut se, 0xF2, p1, p2, &[0x4F, 0x00]).1, 0x6A86);
    }
    assert_eq!(session.send(&mut se, 0xF2, 0x40, 0x02, &[0x4F, 0x05]).1, 0x6A80);
}

#[test]
fn locking_and_unlocking() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut ours);
    // Already PERSONALIZED; and not to be unlocked by itself once locked.
    assert_eq!(ours.send(&mut se, 0xF0, 0x40, 0x0F, SSD).1, 0x6985);
    assert_eq!(ours.send(&mut se, 0xF0, 0x40, 0x87, INSTANCE).1, 0x9000);
    assert_eq!(ours.send(&mut se, 0xF0, 0x40, 0x80, INSTANCE).1, 0x6985, "it is already");
    assert_eq!(se.apps()[0].life_cycle, "87");
    assert_eq!(select(&mut se, INSTANCE), 0x6A81);
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    assert_eq!(ours.send(&mut se, 0xF0, 0x40, 0x07, INSTANCE).1, 0x9000);
    assert_eq!(ours.send(&mut se, 0xF0, 0x40, 0x80, SSD), (vec![], 0x9000));
    assert_eq!(ours.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x6985, "it refuses everything");
    assert_eq!(select(&mut se, SSD), 0x6A81);
    assert_eq!(select(&mut se, INSTANCE), 0x9000);
    assert_eq!(try_open(&mut se, INSTANCE, &keys(), 0x33, 0).err(), Some(0x6985));
    let mut carrier = issuer(&mut se);
    assert_eq!(carrier.send(&mut se, 0xF0, 0x40, 0x00, SSD).1, 0x9000);
    assert_eq!(carrier.send(&mut se, 0xF0, 0x60, 0x80, SSD).1, 0x9000);
    assert_eq!(select(&mut se, INSTANCE), 0x6A81);
    let mut carrier = issuer(&mut se);
    assert_eq!(carrier.send(&mut se, 0xF0, 0x60, 0x00, SSD).1, 0x9000);
    assert_eq!(select(&mut se, INSTANCE), 0x9000);
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    assert_eq!(ours.send(&mut se, 0xF0, 0x80, 0x7F, &[]).1, 0x6985, "no Card Lock privilege");
}

#[test]
fn a_locked_card_and_a_terminated_one() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut carrier = issuer(&mut se);
    assert_eq!(carrier.send(&mut se, 0xF0, 0x80, 0x7F, &[]).1, 0x9000);
    let data = install_data(SSD_FILE, SSD_MODULE, &[1, 2, 3, 4, 5], &[0x80]);
    assert_eq!(carrier.send(&mut se, 0xE6, 0x0C, 0x00, &data).1, 0x6985);
    assert_eq!(select(&mut se, SSD), 0x6A81);
    assert_eq!(send(&mut se, "0070000001").1, 0x6A81);
    let (information, sw) = send(&mut se, "00A4040000");
    assert_eq!((information.len(), sw), (18, 0x6283));
    let mut carrier = try_open(&mut se, ISD, &Keys::issuer(), 0x33, 0).unwrap();
    assert_eq!(carrier.send(&mut se, 0xF0, 0x80, 0x0F, &[]).1, 0x9000);
    assert_eq!(select(&mut se, SSD), 0x9000);
    let mut carrier = issuer(&mut se);
    assert_eq!(carrier.send(&mut se, 0xF0, 0x80, 0xFF, &[]).1, 0x9000);
    for refused in ["00A4040000", "80CA006600", "80500000080102030405060708"] {
        assert_eq!(send(&mut se, refused).1, 0x6985);
    }
}

#[test]
fn the_ledger_judges_by_the_decrypted_body() {
    let mut se = se_with_ssd(MANAGER, &keys());
    let mut ours = open(&mut se, SSD, &keys(), 0x33);
    load_applet(&mut se, &mut ours);
    se.hand_over();
    assert_eq!(se.counts(), Default::default());
    let named = |aid: &[u8]| [&[0x4F, aid.len() as u8], aid].concat();
    let classes = |se: &SecureElement| serde_json::to_value(se.ledger()).unwrap();
    let last = |se: &SecureElement| {
        let entry = se.ledger().last().unwrap().clone();
        (serde_json::to_value(entry.class).unwrap().as_str().unwrap().to_owned(), entry.executed)
    };
    // Not personalized: its deletion is content, and so is its extradition.
    let absent = [lv(SSD), vec![0], lv(INSTANCE), vec![0, 0, 0]].concat();
    ours.send(&mut se, 0xE6, 0x10, 0x00, &absent);
    assert_eq!(last(&se), ("content".into(), true));
    ours.send(&mut se, 0xE4, 0x00, 0x00, &named(PACKAGE));
    assert_eq!(last(&se), ("content".into(), false));
    ours.send(&mut se, 0xE6, 0x20, 0x00, &personalization_data(INSTANCE));
    assert_eq!(last(&se), ("content".into(), true));
    let groupings = identity(0).groupings(&ours);
    assert_eq!(ours.store(&mut se, &groupings, 220), 0x9000);
    assert_eq!(last(&se), ("key_write".into(), true));
    for (data, p2) in [(named(PACKAGE), 0x80), (named(INSTANCE), 0x00), (vec![0xD2, 1, 0x55], 0x00)]
    {
        let before = se.counts().destroy;
        let wrapped = ours.wrap(0x80, 0xE4, 0x01, p2, &data);
        raw(&mut se, &wrapped);
        assert_eq!(last(&se), ("destroy".into(), false));
        assert_eq!(se.counts().destroy, before + 1);
    }
    ours.send(&mut se, 0xCA, 0x00, 0xE0, &[]);
    assert_eq!(last(&se), ("read".into(), true));
    raw(&mut se, &apdu(0x84, 0xD8, 0x00, 0x81, &[0; 40]));
    assert_eq!(last(&se), ("key_write".into(), false));
    let counts = se.counts();
    assert_eq!(counts.received, se.ledger().len() as u64);
    assert_eq!(classes(&se)[0]["index"], 0);
    assert_eq!(classes(&se)[0]["ins"], "E6");
    assert_eq!(classes(&se)[0]["sw"], "9000");
    assert_eq!(classes(&se)[0]["sha256"].as_str().unwrap().len(), 64);
}
