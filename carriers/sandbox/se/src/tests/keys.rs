//! Key sets: first set, takeover, additions, deletions, tears.

use super::host::*;
use crate::{KeySetRow, SecureElement};

fn first() -> Keys {
    Keys::new(0x30, 0x11, 16)
}

fn next() -> Keys {
    Keys::new(0x31, 0x22, 16)
}

fn sets(se: &SecureElement) -> Vec<(u8, String)> {
    let ours = hex::encode_upper(SSD);
    let rows = se.key_sets().into_iter().filter(|row| row.sd == ours);
    rows.map(|KeySetRow { kvn, kcv, .. }| (u8::from_str_radix(&kvn, 16).unwrap(), kcv)).collect()
}

fn row(keys: &Keys) -> (u8, String) {
    (keys.kvn, keys.kcv())
}

fn opens(se: &mut SecureElement, keys: &Keys) -> bool {
    select(se, SSD) == 0x9000 && try_open(se, SSD, keys, 0x33, 0).is_ok()
}

#[test]
fn a_domain_gets_its_first_set_through_the_one_above() {
    for length in [16, 24, 32] {
        let keys = Keys::new(0x30, 0x11, length);
        let mut se = se_with_ssd(&[0x80], &keys);
        assert_eq!(sets(&se), [row(&keys)]);
        assert!(opens(&mut se, &keys));
        let mut session = open(&mut se, ISD, &Keys::issuer(), 0x33);
        let listed = hex::encode_upper(status(&mut se, &mut session, 0x40));
        assert!(listed.contains("9F70010FC503808000"), "PERSONALIZED: {listed}");
        // From now on only its own keys change it.
        let again = session.send(&mut se, 0xE6, 0x20, 0x00, &personalization_data(SSD));
        assert_eq!(again.1, 0x6985);
    }
}

#[test]
fn a_domain_without_keys_takes_nothing() {
    let mut se = new_se();
    let mut session = install_ssd(&mut se, &[0x80, 0x40, 0x00]);
    load_applet(&mut se, &mut session);
    let extradite = session.send(&mut se, 0xE6, 0x10, 0x00, &extradition_data(SSD, INSTANCE));
    assert_eq!(extradite.1, 0x6985);
    assert_eq!(select(&mut se, SSD), 0x9000);
    assert_eq!(try_open(&mut se, SSD, &first(), 0x33, 0).err(), Some(0x6A88));
}

#[test]
fn replace_and_renumber_kills_the_old_set_at_once_and_keeps_the_session() {
    let mut se = se_with_ssd(&[0x80], &first());
    let mut session = open(&mut se, SSD, &first(), 0x33);
    let (answer, sw) = session.put_key(&mut se, 0x30, &next());
    assert_eq!((hex::encode_upper(answer), sw), (format!("31{}", next().kcv()), 0x9000));
    assert_eq!(sets(&se), [row(&next())]);
    // The session stays on the old keys, its Key-DEK included.
    let third = Keys::new(0x32, 0x33, 16);
    assert_eq!(session.put_key(&mut se, 0x31, &third).1, 0x9000);
    assert!(!opens(&mut se, &first()) && !opens(&mut se, &next()) && opens(&mut se, &third));
}

#[test]
fn a_loaded_set_counts_from_zero() {
    let mut se = se_with_ssd(&[0x80], &first());
    for _ in 0..4 {
        open(&mut se, SSD, &first(), 0x33);
    }
    let mut session = open(&mut se, SSD, &first(), 0x33);
    assert_eq!(session.sequence_counter, Some([0, 0, 5]));
    assert_eq!(session.put_key(&mut se, 0x30, &first()).1, 0x9000);
    assert_eq!(open(&mut se, SSD, &first(), 0x33).sequence_counter, Some([0, 0, 1]));
}

#[test]
fn what_put_key_refuses() {
    let mut se = se_with_ssd(&[0x80], &first());
    let mut session = open(&mut se, SSD, &first(), 0x33);
    assert_eq!(session.put_key(&mut se, 0x00, &next()).1, 0x9000);
    let before = se.key_sets();
    let third = Keys::new(0x32, 0x33, 16);
    let longer = Keys::new(0x30, 0x33, 32);
    for (replaced, keys, expected) in [
        (0x00, &next(), 0x6A80),
        (0x45, &third, 0x6A88),
        (0x30, &next(), 0x6A80),
        (0x30, &longer, 0x6A80),
        (0x80, &third, 0x6A86),
        (0x00, &Keys { kvn: 0x00, ..third.clone() }, 0x6A80),
        (0x00, &Keys { kvn: 0x80, ..third.clone() }, 0x6A80),
    ] {
        assert_eq!(session.put_key(&mut se, replaced, keys).1, expected, "{replaced:02X}");
    }
    // A wrong Key Check Value, and a single key.
    let mut data = vec![0x32];
    for _ in 0..3 {
        data.extend([0x88, 0x10]);
        data.extend([0; 16]);
        data.extend([3, 0, 0, 0]);
    }
    assert_eq!(session.send(&mut se, 0xD8, 0x00, 0x81, &data).1, 0x6982);
    assert_eq!(session.send(&mut se, 0xD8, 0x00, 0x01, &data).1, 0x6A86);
    assert_eq!(session.send(&mut se, 0xD8, 0x00, 0x82, &data).1, 0x6A86);
    assert_eq!(se.key_sets(), before);
    assert!(opens(&mut se, &first()) && opens(&mut se, &next()));
}

#[test]
fn sets_are_deleted_but_never_the_last_complete_one() {
    let mut se = se_with_ssd(&[0x80], &first());
    let mut session = open(&mut se, SSD, &first(), 0x33);
    assert_eq!(session.send(&mut se, 0xE4, 0x00, 0x00, &[0xD2, 1, 0x30]).1, 0x6985);
    session.put_key(&mut se, 0x00, &next());
    let mut session = open(&mut se, SSD, &next(), 0x33);
    assert_eq!(session.send(&mut se, 0xE4, 0x00, 0x00, &[0xD2, 1, 0x44]).1, 0x6A88);
    assert_eq!(session.send(&mut se, 0xE4, 0x00, 0x00, &[0xD2, 1, 0x30]), (vec![0], 0x9000));
    assert_eq!(sets(&se), [row(&next())]);
    assert!(!opens(&mut se, &first()));
    let mut session = open(&mut se, SSD, &next(), 0x33);
    session.put_key(&mut se, 0x00, &first());
    // One key of a set: the rest of it opens nothing.
    assert_eq!(session.send(&mut se, 0xE4, 0, 0, &[0xD0, 1, 0x02, 0xD2, 1, 0x30]).1, 0x9000);
    assert_eq!(sets(&se)[1].1.len(), 12);
    select(&mut se, SSD);
    assert_eq!(try_open(&mut se, SSD, &first(), 0x33, 0).err(), Some(0x6A88));
    let mut session = open(&mut se, SSD, &next(), 0x33);
    // The set in use may go while another is there.
    session.put_key(&mut se, 0x00, &Keys::new(0x32, 0x33, 16));
    assert_eq!(session.send(&mut se, 0xE4, 0, 0, &[0xD2, 1, 0x31]).1, 0x9000);
    assert_eq!(session.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x9000);
}

#[test]
fn there_is_an_end_to_key_sets() {
    let mut se = se_with_ssd(&[0x80], &first());
    let mut session = open(&mut se, SSD, &first(), 0x33);
    let refused = (0x31..0x70).find_map(|kvn| {
        let (_, sw) = session.put_key(&mut se, 0x00, &Keys::new(kvn, kvn, 16));
        (sw != 0x9000).then_some((kvn, sw))
    });
    assert_eq!(refused, Some((0x40, 0x6A84)));
    // The Key Information Template is longer than a short answer: it is fetched with GET RESPONSE.
    select(&mut se, SSD);
    let (empty, sw) = send(&mut se, "80CA00E000");
    assert_eq!((empty.len(), sw), (0, 0x6100));
    let (first, sw) = send(&mut se, "00C0000000");
    assert_eq!((first.len(), sw >> 8), (256, 0x61));
    let (rest, sw) = send(&mut se, &format!("00C00000{:02X}", sw & 0xFF));
    assert_eq!((first.len() + rest.len(), sw), (4 + 16 * 18, 0x9000));
    assert_eq!(send(&mut se, "80CA00E0000000").0.len(), 4 + 16 * 18);
}

#[test]
fn a_session_on_another_channel_outlives_the_takeover() {
    let mut se = se_with_ssd(&[0x80], &first());
    let mut ours = open(&mut se, SSD, &first(), 0x33);
    send(&mut se, "0070000001");
    raw(&mut se, &apdu(0x01, 0xA4, 0x04, 0x00, SSD));
    let mut theirs = try_open(&mut se, SSD, &first(), 0x33, 1).unwrap();
    assert_eq!(ours.put_key(&mut se, 0x30, &next()).1, 0x9000);
    let late = Keys::new(0x3F, 0x44, 16);
    assert_eq!(
        theirs.put_key(&mut se, 0x00, &late).1,
        0x9000,
        "by the text; hosts must look for it"
    );
    assert_eq!(sets(&se), [row(&next()), row(&late)]);
}

#[test]
fn a_tear_leaves_the_set_before_or_the_set_after() {
    for (write, survivor) in [(1, first()), (2, next())] {
        let mut se = se_with_ssd(&[0x80], &first());
        se.hand_over();
        let mut session = open(&mut se, SSD, &first(), 0x33);
        se.tear_at(Some(write));
        let mut data = vec![0x31];
        for key in &next().values {
            data.extend([0x88, 0x10]);
            data.extend(session.seal(key));
            data.push(3);
            data.extend(kcv(key));
        }
        let wrapped = session.wrap(0x80, 0xD8, 0x30, 0x81, &data);
        assert!(se.transmit(&wrapped).is_empty(), "no answer");
        assert!(se.transmit(&hex::decode("00A4040000").unwrap()).is_empty(), "no power");
        let entry = se.ledger().last().unwrap();
        assert_eq!((entry.sw.as_str(), entry.executed), ("", write == 2));
        se.reset();
        assert_eq!(sets(&se), [row(&survivor)]);
        assert!(opens(&mut se, &survivor));
        assert_eq!(sets(&se).len(), 1);
    }
}
