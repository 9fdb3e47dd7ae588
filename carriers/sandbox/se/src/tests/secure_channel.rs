//! Sessions: every level and every `i`, security errors, logical channels.

use super::host::*;
use crate::{Factory, SecureElement};

fn se(i: u8, keys: &Keys) -> SecureElement {
    let isd_keys = keys.values.clone();
    SecureElement::new(Factory { isd_keys, kvn: keys.kvn, i, ..Factory::default() }).unwrap()
}

#[test]
fn every_level_that_i_offers_and_no_other() {
    for length in [16, 24, 32] {
        let keys = Keys::new(0x42, 0x17, length);
        for i in [0x00, 0x10, 0x20, 0x30, 0x60, 0x70] {
            for level in [0x00, 0x01, 0x03, 0x11, 0x13, 0x33] {
                let mut se = se(i, &keys);
                let offered =
                    (level & 0x10 == 0 || i & 0x20 != 0) && (level & 0x20 == 0 || i & 0x40 != 0);
                match try_open(&mut se, ISD, &keys, level, 0) {
                    Ok(mut session) => {
                        assert!(offered, "{i:02X} {level:02X}");
                        let (data, sw) = session.send(&mut se, 0xF2, 0x80, 0x02, &[0x4F, 0x00]);
                        assert_eq!((&data[..2], sw), (&[0xE3, data.len() as u8 - 2][..], 0x9000));
                        // Again: the chain and the encryption counter go on, without data too.
                        let (data, sw) = session.send(&mut se, 0xCA, 0x00, 0xE0, &[]);
                        assert_eq!((data[0], sw), (0xE0, 0x9000));
                        assert_eq!(session.send(&mut se, 0xCA, 0x12, 0x34, &[]), (vec![], 0x6A88));
                        assert_eq!(session.send(&mut se, 0xCA, 0x00, 0x42, &[]).1, 0x9000);
                    }
                    Err(sw) => assert_eq!((offered, sw), (false, 0x6A86)),
                }
            }
        }
    }
}

#[test]
fn key_version_zero_is_the_first_set_and_an_unknown_one_is_refused() {
    let mut se = new_se();
    let keys = Keys { kvn: 0, ..Keys::issuer() };
    assert!(try_open(&mut se, ISD, &keys, 0x33, 0).is_ok());
    assert_eq!(send(&mut se, "80 50 31 00 08 0001020304050607").1, 0x6A88);
    assert_eq!(send(&mut se, "80 50 30 00 10 00010203040506070001020304050607").1, 0x6700);
    assert_eq!(send(&mut se, "80 50 30 01 08 0001020304050607").1, 0x6A86);
}

#[test]
fn the_sequence_counter_counts_challenges_and_shows_as_c1() {
    let mut se = new_se();
    for counter in 1..=3 {
        let session = open(&mut se, ISD, &Keys::issuer(), 0x33);
        assert_eq!(session.sequence_counter, Some([0, 0, counter]));
        select(&mut se, ISD);
        assert_eq!(send(&mut se, "80CA00C100"), (vec![0xC1, 3, 0, 0, counter], 0x9000));
    }
    let mut random = self::se(0x60, &Keys::issuer());
    assert_eq!(send(&mut random, "80CA00C100").1, 0x6A88);
}

#[test]
fn a_wrong_host_cryptogram_spends_the_challenge() {
    let mut se = new_se();
    send(&mut se, "8050300008010203040506070800");
    let wrong = format!("84823300 10 {}", "00".repeat(16));
    assert_eq!(send(&mut se, &wrong).1, 0x6300);
    assert_eq!(send(&mut se, &wrong).1, 0x6985, "no challenge any more");
    assert_eq!(send(&mut se, "80F28002024F00").1, 0x6982);
}

#[test]
fn any_security_error_aborts_until_a_new_session() {
    type Attack = fn(&mut Session) -> Vec<u8>;
    let attacks: [Attack; 4] = [
        |_| apdu(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]),
        |_| apdu(0x84, 0xF2, 0x80, 0x02, &[0x4F, 0x00]),
        |session| {
            let mut wrapped = session.wrap(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]);
            *wrapped.last_mut().unwrap() ^= 1;
            wrapped
        },
        |session| {
            let mut wrapped = session.wrap(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]);
            wrapped[2] = 0x40;
            wrapped
        },
    ];
    for attack in attacks {
        for level in [0x01, 0x03, 0x11, 0x13, 0x33] {
            let mut se = new_se();
            let mut session = open(&mut se, ISD, &Keys::issuer(), level);
            let attack = attack(&mut session);
            assert_eq!(raw(&mut se, &attack), (vec![], 0x6982));
            for _ in 0..2 {
                assert_eq!(session.send(&mut se, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).1, 0x6982);
                assert_eq!(send(&mut se, "80CA006600").1, 0x6982);
            }
            let mut again = try_open(&mut se, ISD, &Keys::issuer(), level, 0).unwrap();
            assert_eq!(again.send(&mut se, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).1, 0x9000);
        }
    }
}

#[test]
fn a_replayed_command_is_refused() {
    let mut se = new_se();
    let mut session = open(&mut se, ISD, &Keys::issuer(), 0x01);
    let wrapped = session.wrap(0x80, 0xF2, 0x80, 0x02, &[0x4F, 0x00]);
    assert_eq!(raw(&mut se, &wrapped).1, 0x9000);
    assert_eq!(raw(&mut se, &wrapped).1, 0x6982);
}

#[test]
fn select_and_reset_end_a_session() {
    let mut se = new_se();
    let reselect = |se: &mut SecureElement| assert_eq!(select(se, ISD), 0x9000);
    for end in [reselect, SecureElement::reset] {
        let mut session = open(&mut se, ISD, &Keys::issuer(), 0x01);
        end(&mut se);
        assert_eq!(session.send(&mut se, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).1, 0x6982);
    }
    // One that selects nothing leaves the session alone.
    let mut session = open(&mut se, ISD, &Keys::issuer(), 0x01);
    assert_eq!(select(&mut se, &[0xA0, 0, 0, 0, 0x99]), 0x6A82);
    assert_eq!(session.send(&mut se, 0xF2, 0x80, 0x02, &[0x4F, 0x00]).1, 0x9000);
}

#[test]
fn each_logical_channel_has_its_own_session() {
    let mut se = new_se();
    let mut basic = open(&mut se, ISD, &Keys::issuer(), 0x33);
    for number in 1..=19u8 {
        assert_eq!(send(&mut se, "0070000001"), (vec![number], 0x9000));
    }
    assert_eq!(send(&mut se, "0070000001").1, 0x6881, "all are open");
    let mut third = try_open(&mut se, ISD, &Keys::issuer(), 0x33, 3).unwrap();
    for _ in 0..2 {
        assert_eq!(basic.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x9000);
        assert_eq!(third.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x9000);
    }
    // Further interindustry coding.
    let initialize = apdu(0xC0 | 15, 0x50, 0x30, 0x00, &HOST_CHALLENGE);
    assert_eq!(raw(&mut se, &initialize).1, 0x9000);
    assert_eq!(send(&mut se, "00708003").1, 0x9000);
    assert_eq!(send(&mut se, "00708003").1, 0x6200);
    assert_eq!(third.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x6881);
    assert_eq!(send(&mut se, "01708001").1, 0x9000, "a channel closes itself");
    assert_eq!(send(&mut se, "01CA006600").1, 0x6881);
    assert_eq!(send(&mut se, "00708000").1, 0x6A86, "the basic channel stays");
    assert_eq!(basic.send(&mut se, 0xCA, 0x00, 0xE0, &[]).1, 0x9000);
}

#[test]
fn what_tools_ask_first() {
    let mut se = new_se();
    let (information, sw) = send(&mut se, "00A4040000");
    assert_eq!(hex::encode_upper(information), "6F108408A000000151000000A5049F6501FF");
    assert_eq!(sw, 0x9000);
    for tag in ["9F7F", "0042", "0045", "00CF", "00C1", "0066", "0067", "00E0"] {
        let (data, sw) = send(&mut se, &format!("80CA{tag}00"));
        assert_eq!(sw, 0x9000, "{tag}");
        assert_eq!(
            hex::encode_upper(&data)[..tag.trim_start_matches("00").len()],
            *tag.trim_start_matches("00")
        );
    }
    assert_eq!(send(&mut se, "80CA9F7F00").0.len(), 45);
    assert_eq!(send(&mut se, "00CA9F7F00").0.len(), 42, "an ISO class gets the value");
    assert_eq!(
        hex::encode_upper(send(&mut se, "80CA00E000").0),
        "E012C00401308810C00402308810C00403308810"
    );
    assert_eq!(send(&mut se, "80CA00D300").1, 0x6A88);
    for refused in [
        "80F2800200",
        "80D8008100",
        "80E2800000",
        "80E4000000",
        "80E6020000",
        "80E8800000",
        "80F0800F00",
    ] {
        assert_eq!(send(&mut se, refused).1, 0x6982, "{refused}");
    }
    assert_eq!(send(&mut se, "00A4040005A000000099").1, 0x6A82);
    assert_eq!(send(&mut se, "80FE0000").1, 0x6D00);
    assert_eq!(send(&mut se, "00F28002024F00").1, 0x6E00);
}
