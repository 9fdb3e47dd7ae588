//! Secured packets against published ones, and against everything that can happen to them.

use std::convert::Infallible;

use aes::Aes128;
use cbc::{Decryptor, Encryptor};
use cipher::block_padding::{NoPadding, ZeroPadding};
use cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use cmac::{Cmac, KeyInit, Mac};
use des::TdesEde2;
use proptest::prelude::*;
use scp::apdu::ApduError;
use scp::scp80::ProtectionError;
use scp::scp80::packet::{
    CommandPacket, Counter, Header, OpenError, PacketKeys, SealError, ToolkitApplicationReference,
    ToolkitApplicationReferenceError,
};
use scp::scp80::parts::{self, Kind};
use scp::scp80::profile::{PacketProfile, Weakness};
use scp::scp80::receipt::{Receipt, ReceiptError, ReceiptStatus};
use scp::scp80::script::expanded::{self, Chaining, Coding, ExpandedAnswer, Fault, Item};
use scp::scp80::script::{ScriptError, compact};
use scp::scp80::security::{Algorithm, KeyReference, SecurityError, SecurityParameters};
use scp::{CommandApdu, Outbound, ResponseApdu, StatusWord};
use serde_json::Value;

const VECTORS: &str = include_str!("../../tests/vectors/scp80_ota.json");

/// One key set in the test's own hands.
struct Keys {
    kic: [u8; 16],
    kid: [u8; 16],
}

impl PacketKeys for Keys {
    type Error = Infallible;

    fn encrypt(&mut self, kic: KeyReference, blocks: &mut [u8]) -> Result<(), Infallible> {
        let length = blocks.len();
        let key = &self.kic.into();
        match kic.algorithm {
            Algorithm::Aes => Encryptor::<Aes128>::new(key, &[0; 16].into())
                .encrypt_padded::<NoPadding>(blocks, length),
            _ => Encryptor::<TdesEde2>::new(key, &[0; 8].into())
                .encrypt_padded::<NoPadding>(blocks, length),
        }
        .unwrap();
        Ok(())
    }

    fn decrypt(&mut self, kic: KeyReference, blocks: &mut [u8]) -> Result<(), Infallible> {
        let key = &self.kic.into();
        match kic.algorithm {
            Algorithm::Aes => Decryptor::<Aes128>::new(key, &[0; 16].into())
                .decrypt_padded::<NoPadding>(blocks)
                .map(|_| ()),
            _ => Decryptor::<TdesEde2>::new(key, &[0; 8].into())
                .decrypt_padded::<NoPadding>(blocks)
                .map(|_| ()),
        }
        .unwrap();
        Ok(())
    }

    fn checksum(&mut self, kid: KeyReference, input: &[u8]) -> Result<[u8; 8], Infallible> {
        Ok(match kid.algorithm {
            Algorithm::Aes => {
                let mut mac = Cmac::<Aes128>::new(&self.kid.into());
                Mac::update(&mut mac, input);
                mac.finalize().into_bytes()[..8].try_into().unwrap()
            }
            _ => {
                let cipher = Encryptor::<TdesEde2>::new(&self.kid.into(), &[0; 8].into());
                let mut padded = input.to_vec();
                padded.resize(input.len().next_multiple_of(8), 0);
                let length = padded.len();
                cipher.encrypt_padded::<ZeroPadding>(&mut padded, length).unwrap();
                *padded.last_chunk().unwrap()
            }
        })
    }
}

/// Keys out of reach.
struct NoKeys;

impl PacketKeys for NoKeys {
    type Error = ();

    fn encrypt(&mut self, _: KeyReference, _: &mut [u8]) -> Result<(), ()> {
        Err(())
    }

    fn decrypt(&mut self, _: KeyReference, _: &mut [u8]) -> Result<(), ()> {
        Err(())
    }

    fn checksum(&mut self, _: KeyReference, _: &[u8]) -> Result<[u8; 8], ()> {
        Err(())
    }
}

fn keys() -> Keys {
    Keys {
        kic: std::array::from_fn(|index| index as u8),
        kid: std::array::from_fn(|index| 0x10 + index as u8),
    }
}

fn legacy() -> PacketProfile {
    let admits = vec![Weakness::TripleDesTwoKeys, Weakness::UncheckedCounter];
    PacketProfile { admits, ..PacketProfile::default() }
}

fn header(security: [u8; 4], counter: u64) -> Header {
    let security = SecurityParameters::from_bytes(security).unwrap().admit(&legacy()).unwrap();
    Header {
        security,
        reference: ToolkitApplicationReference([0xB0, 0x00, 0x11]),
        counter: Counter::new(counter).unwrap(),
    }
}

fn bytes(entry: &Value, name: &str) -> Vec<u8> {
    hex::decode(entry[name].as_str().unwrap()).unwrap()
}

#[test]
fn published_packets_are_made_and_read() {
    let entries: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for entry in &entries {
        let [kic, kid] = ["kic", "kid"].map(|name| bytes(entry, name).try_into().unwrap());
        let mut keys = Keys { kic, kid };
        let security = [bytes(entry, "spi"), bytes(entry, "kic_byte"), bytes(entry, "kid_byte")];
        let header = header(security.concat().try_into().unwrap(), 0);
        let packet = CommandPacket { header, data: bytes(entry, "apdu") };
        let sealed = packet.seal(&mut keys).unwrap();
        assert_eq!(hex::encode_upper(&sealed), entry["packet"].as_str().unwrap());
        assert_eq!(CommandPacket::open(&sealed, &legacy(), &mut keys), Ok(packet));

        let (kind, response) = parts::join(&[bytes(entry, "response_packet")]).unwrap();
        assert_eq!(kind, Kind::Response);
        let receipt = Receipt::open(&response, &header, &mut keys).unwrap();
        assert_eq!(receipt.status, ReceiptStatus::Received);
        let answer = compact::CompactAnswer::decode(&receipt.data, 1).unwrap();
        assert_eq!((answer.executed, answer.status), (1, StatusWord(0x6132)));
        assert_eq!(receipt.seal(&header, &mut keys).unwrap(), response);
    }
    assert_eq!(entries.len(), 2);
}

/// The user data of the published short message, header included.
#[test]
fn a_published_short_message_carries_the_packet() {
    let entries: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let message = bytes(&entries[0], "tpdu").split_off(17);
    let (kind, packet) = parts::join(&[&message]).unwrap();
    assert_eq!((kind, &packet), (Kind::Command, &bytes(&entries[0], "packet")));
    let split = parts::split(kind, &packet, 0, &PacketProfile::default());
    assert_eq!(split, Ok(vec![message]));
}

/// Computed by two other implementations: counter higher, ciphered, receipt ciphered.
#[test]
fn a_packet_as_production_sends_it() {
    let mut packet = CommandPacket {
        header: header([0x16, 0x19, 0x12, 0x12], 7),
        data: hex::decode("AA07220580CAFF2100").unwrap(),
    };
    packet.header.reference = ToolkitApplicationReference::ISSUER_SECURITY_DOMAIN;
    let sealed = packet.seal(&mut keys()).unwrap();
    assert_eq!(
        hex::encode_upper(&sealed),
        "00281516191212000000E9301C181E2495B73AB012C044F19233978D4420D2F09BD101656FC8F055CD08"
    );
    let opened = CommandPacket::open(&sealed, &PacketProfile::default(), &mut keys());
    assert_eq!(opened, Ok(packet));
}

#[test]
fn what_the_profile_does_not_admit_is_not_opened() {
    for (security, weakness) in [
        ([0x06, 0x19, 0x22, 0x22], Weakness::UncheckedCounter),
        ([0x16, 0x19, 0x35, 0x35], Weakness::TripleDesTwoKeys),
    ] {
        let packet = CommandPacket { header: header(security, 1), data: vec![1, 2, 3] };
        let sealed = packet.seal(&mut keys()).unwrap();
        let opened = CommandPacket::open(&sealed, &PacketProfile::default(), &mut keys());
        assert_eq!(opened, Err(OpenError::Security(SecurityError::NotAdmitted { weakness })));
    }
}

#[test]
fn counters_and_references_have_bounds() {
    assert_eq!(Counter::MOST.next(), None);
    assert_eq!(Counter::new(1 << 40), None);
    assert_eq!(Counter::new(6).and_then(Counter::next), Counter::new(7));
    let reference: ToolkitApplicationReference = "b00011".parse().unwrap();
    assert_eq!(reference.to_string(), "B00011");
    let refused = "B0001".parse::<ToolkitApplicationReference>();
    assert_eq!(refused, Err(ToolkitApplicationReferenceError));
}

#[test]
fn a_checksum_of_another_length_is_refused() {
    let packet = CommandPacket { header: header([0x12, 0, 0, 0x22], 1), data: vec![9; 8] };
    let mut sealed = packet.seal(&mut keys()).unwrap();
    sealed[2] = 17;
    let opened = CommandPacket::open(&sealed, &legacy(), &mut keys());
    assert_eq!(opened, Err(OpenError::Header));
}

#[test]
fn padding_is_judged_after_the_checksum_and_strictly() {
    // Not ciphered: no padding at all. CC over the forged PCNTR, made with the right key.
    let mut input = vec![0, 23, 21, 0x12, 0x09, 0x22, 0x22, 0xB0, 0, 0x11, 0, 0, 0, 0, 1, 1];
    input.push(0xAA);
    let key = KeyReference { version: 2, algorithm: Algorithm::Aes };
    let checksum = keys().checksum(key, &input).unwrap();
    let forged = [&input[..16], &checksum, &[0xAA]].concat();
    let opened = CommandPacket::open(&forged, &legacy(), &mut keys());
    assert_eq!(opened, Err(OpenError::Protection(ProtectionError::Padding)));
}

#[test]
fn what_cannot_be_sealed_or_opened_says_why() {
    let packet = CommandPacket { header: header([0x16, 0x19, 0x22, 0x22], 1), data: vec![1] };
    assert_eq!(packet.seal(&mut NoKeys), Err(SealError::Keys(())));
    let sealed = packet.seal(&mut keys()).unwrap();
    let opened = CommandPacket::open(&sealed, &legacy(), &mut NoKeys);
    assert_eq!(opened, Err(OpenError::Protection(ProtectionError::Keys(()))));
    let mut half_a_block = sealed[..sealed.len() - 8].to_vec();
    half_a_block[1] -= 8;
    let opened = CommandPacket::open(&half_a_block, &legacy(), &mut keys());
    assert_eq!(opened, Err(OpenError::Protection(ProtectionError::Length)));
    assert_eq!(CommandPacket::open(&[0], &legacy(), &mut keys()), Err(OpenError::Length));
    let too_long = CommandPacket { data: vec![0; 65_535], ..packet };
    assert_eq!(too_long.seal(&mut keys()), Err(SealError::TooLong { got: 65_535 }));
}

#[test]
fn only_an_authenticated_answer_to_this_packet_is_a_receipt() {
    let sent = header([0x16, 0x09, 0x22, 0x22], 7);
    let receipt = Receipt { status: ReceiptStatus::CounterLow, data: Vec::new() };
    let genuine = receipt.seal(&sent, &mut keys()).unwrap();
    assert_eq!(Receipt::open(&genuine, &sent, &mut keys()), Ok(receipt));

    let other = Header { counter: Counter::new(8).unwrap(), ..sent };
    let opened = Receipt::open(&genuine, &other, &mut keys());
    assert_eq!(opened, Err(ReceiptError::OtherPacket));
    let silent = Header { security: header([0x16, 0, 0x22, 0x22], 7).security, ..sent };
    let opened = Receipt::open(&genuine, &silent, &mut keys());
    assert_eq!(opened, Err(ReceiptError::NotAskedFor));

    let bare = hex::decode("000D0AB000110000000007000000").unwrap();
    assert_eq!(Receipt::open(&bare, &sent, &mut keys()), Err(ReceiptError::Length));
    let bare = hex::decode("000B0AB0001100000000070009").unwrap();
    let opened = Receipt::open(&bare, &sent, &mut keys());
    assert_eq!(opened, Err(ReceiptError::Unauthenticated { claimed: 9 }));
    let opened = Receipt::open(&[0, 4, 0x0E, 0, 0, 0], &sent, &mut keys());
    assert_eq!(opened, Err(ReceiptError::Header));

    let input = hex::decode("02710000 1312B00011 0000000007 00 0D".replace(' ', "")).unwrap();
    let key = KeyReference { version: 2, algorithm: Algorithm::Aes };
    let checksum = keys().checksum(key, &input).unwrap();
    let reserved = [&input[3..], &checksum].concat();
    let opened = Receipt::open(&reserved, &sent, &mut keys());
    assert_eq!(opened, Err(ReceiptError::Status { got: 0x0D }));
}

/// A command packet never passes for its own answer: TS 31.115 puts another header under the CC.
#[test]
fn a_reflected_packet_is_no_receipt() {
    let sent = header([0x12, 0x09, 0x22, 0x22], 7);
    let sealed = CommandPacket { header: sent, data: vec![1; 20] }.seal(&mut keys()).unwrap();
    let opened = Receipt::open(&sealed, &sent, &mut keys());
    assert_eq!(opened, Err(ReceiptError::Header));
    // Even cut to the shape of one.
    let mut shaped = sealed.clone();
    shaped[2] = 18;
    let opened = Receipt::open(&shaped, &sent, &mut keys());
    assert_eq!(opened, Err(ReceiptError::Protection(ProtectionError::Checksum)));
}

fn security() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        Just([0x16, 0x19, 0x22, 0x22]),
        Just([0x1E, 0x3A, 0x22, 0x22]),
        Just([0x12, 0x09, 0x00, 0x22]),
        Just([0x16, 0x19, 0x35, 0x35]),
        Just([0x06, 0x19, 0x25, 0x22]),
    ]
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

proptest! {
    #[test]
    fn packets_come_back_through_short_messages(
        security in security(), counter in 0..=Counter::MOST.get(), data in data(),
    ) {
        let packet = CommandPacket { header: header(security, counter), data };
        let sealed = packet.seal(&mut keys()).unwrap();
        let messages = parts::split(Kind::Command, &sealed, 1, &legacy()).unwrap();
        let (_, joined) = parts::join(&messages).unwrap();
        prop_assert_eq!(CommandPacket::open(&joined, &legacy(), &mut keys()), Ok(packet.clone()));
        let receipt = Receipt { status: ReceiptStatus::Received, data: packet.data };
        let sealed = receipt.seal(&packet.header, &mut keys()).unwrap();
        prop_assert_eq!(Receipt::open(&sealed, &packet.header, &mut keys()), Ok(receipt));
    }

    #[test]
    fn no_cut_or_flipped_packet_is_believed(
        security in security(), data in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let sent = header(security, 7);
        let packet = CommandPacket { header: sent, data: data.clone() }.seal(&mut keys()).unwrap();
        let receipt = Receipt { status: ReceiptStatus::Received, data };
        let receipt = receipt.seal(&sent, &mut keys()).unwrap();
        for cut in 0..packet.len() {
            prop_assert!(CommandPacket::open(&packet[..cut], &legacy(), &mut keys()).is_err());
        }
        for cut in 0..receipt.len() {
            prop_assert!(Receipt::open(&receipt[..cut], &sent, &mut keys()).is_err());
        }
        for (place, bit) in (0..packet.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut flipped = packet.clone();
            flipped[place] ^= 1 << bit;
            prop_assert!(CommandPacket::open(&flipped, &legacy(), &mut keys()).is_err());
        }
        for (place, bit) in (0..receipt.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut flipped = receipt.clone();
            flipped[place] ^= 1 << bit;
            prop_assert!(Receipt::open(&flipped, &sent, &mut keys()).is_err());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), sent in 0usize..4) {
        let _ = CommandPacket::open(&bytes, &legacy(), &mut keys());
        let _ = Receipt::open(&bytes, &header([0x16, 0x19, 0x22, 0x22], 7), &mut keys());
        let _ = compact::CompactAnswer::decode(&bytes, sent);
        for first in [0xAA, 0xAB, 0xAE, 0xAF] {
            let bytes = [&[first], &bytes[..]].concat();
            let _ = (expanded::decode(&bytes), ExpandedAnswer::decode(&bytes, sent));
        }
        if let Ok(commands) = compact::decode(&bytes) {
            let commands: Vec<Vec<u8>> = commands.iter().map(CommandApdu::to_bytes).collect();
            prop_assert_eq!(compact::encode(&commands).unwrap(), bytes);
        }
    }
}

fn command() -> impl Strategy<Value = CommandApdu> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..=255);
    let short_le = proptest::option::of(1u32..=256);
    prop_oneof![
        (bytes, short_le).prop_map(|(data, le)| CommandApdu::new(0x80, 0xE2, 0, 0, data, le)),
        (1u32..=256).prop_map(|le| CommandApdu::new(0x00, 0xB0, 0, 0, [], Some(le))),
        Just(CommandApdu::new(0x84, 0xCA, 0, 0x66, [7; 8], None)),
        Just(CommandApdu::new(0x80, 0xCA, 0, 0x66, [], Some(256))),
        Just(CommandApdu::new(0x80, 0xF2, 0x40, 0, [0x4F, 0], None)),
    ]
    .prop_map(Result::unwrap)
}

fn answer() -> impl Strategy<Value = ExpandedAnswer> {
    let response = proptest::collection::vec(any::<u8>(), 2..300)
        .prop_map(|bytes| ResponseApdu::parse(&bytes).unwrap());
    let fault = prop_oneof![
        Just(Fault::UnknownTag),
        Just(Fault::WrongLength),
        Just(Fault::LengthNotFound),
        Just(Fault::Suspension),
        Just(Fault::NoPreviousScript),
        Just(Fault::ChainingUnsupported),
        Just(Fault::ChainingFailed),
    ];
    (
        proptest::collection::vec(response, 0..4),
        proptest::option::of(fault),
        proptest::option::of(4u16..300),
    )
        .prop_map(|(answers, fault, executed)| ExpandedAnswer { executed, answers, fault })
}

proptest! {
    #[test]
    fn scripts_come_back(
        commands in proptest::collection::vec(command(), 1..6),
        chaining in proptest::option::of(prop_oneof![
            Just(Chaining::First), Just(Chaining::FirstKept),
            Just(Chaining::Next), Just(Chaining::Last),
        ]),
    ) {
        let bytes: Vec<Vec<u8>> = commands.iter().map(CommandApdu::to_bytes).collect();
        let fits = |command: &CommandApdu| command.data().is_empty() || command.le().is_none();
        let incoming_fits = |command: &CommandApdu| command.ins() != 0xE2 || command.le().is_none();
        match compact::encode(&bytes) {
            Ok(script) => prop_assert_eq!(&compact::decode(&script).unwrap(), &commands),
            Err(ScriptError::Case { .. }) => {
                prop_assert!(!commands.iter().all(|it| fits(it) && incoming_fits(it)));
            }
            Err(error) => panic!("{error}"),
        }
        let mut items: Vec<Item> = chaining.map(Item::Chaining).into_iter().collect();
        items.extend(expanded::commands(&bytes).unwrap());
        items.push(Item::ErrorAction(vec![1]));
        items.push(Item::ImmediateAction(vec![0x81]));
        for coding in [Coding::Definite, Coding::Indefinite] {
            let script = expanded::encode(&items, coding).unwrap();
            prop_assert_eq!(expanded::decode(&script), Ok((coding, items.clone())));
            for cut in 0..script.len() {
                prop_assert!(expanded::decode(&script[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn answers_come_back(answer in answer()) {
        let bytes = answer.encode().unwrap();
        prop_assert_eq!(ExpandedAnswer::decode(&bytes, 300), Ok(answer));
        for cut in 0..bytes.len() {
            prop_assert!(ExpandedAnswer::decode(&bytes[..cut], 300).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn what_passed_the_gate_is_carried() {
    let read = CommandApdu::new(0x80, 0xCA, 0x00, 0x66, [], Some(256)).unwrap();
    let outbound = Outbound::read(read).unwrap();
    let script = compact::encode(outbound.commands()).unwrap();
    assert_eq!(hex::encode_upper(script), "80CA006600");
    let items = expanded::commands(outbound.commands()).unwrap();
    let script = expanded::encode(&items, Coding::Definite).unwrap();
    assert_eq!(hex::encode_upper(script), "AA07220580CA006600");
    let script = expanded::encode(&items, Coding::Indefinite).unwrap();
    assert_eq!(hex::encode_upper(script), "AE80220580CA0066000000");
}

#[test]
fn broken_scripts_are_refused_by_name() {
    let hex = |text: &str| hex::decode(text).unwrap();
    let compact_cases = [
        ("", ScriptError::Count { got: 0 }),
        ("00A40004", ScriptError::Truncated),
        ("00A40004023F", ScriptError::Truncated),
        ("8001000000", ScriptError::UnknownCase { ins: 0x01 }),
    ];
    for (script, expected) in compact_cases {
        assert_eq!(compact::decode(&hex(script)), Err(expected), "{script}");
    }
    let ins_b0 = compact::encode(&[hex("00B000000101")]);
    assert_eq!(ins_b0, Err(ScriptError::Case { ins: 0xB0 }));
    let expanded_cases = [
        ("", ScriptError::Truncated),
        ("AA00", ScriptError::Count { got: 0 }),
        ("AB00", ScriptError::Unexpected { tag: 0xAB }),
        ("AA072205 80CA006600 00", ScriptError::Object(scp::tlv::TlvError::Tag)),
        ("AA072305 80CA006600", ScriptError::Unexpected { tag: 0x23 }),
        ("AA0A2205 80CA006600 830101", ScriptError::Unexpected { tag: 0x83 }),
        ("AA03830104", ScriptError::Value { tag: 0x83 }),
    ];
    for (script, expected) in expanded_cases {
        assert_eq!(expanded::decode(&hex(&script.replace(' ', ""))), Err(expected), "{script}");
    }
    let no_command = expanded::commands(&[hex("80CA00")]);
    assert_eq!(no_command, Err(ScriptError::Apdu(ApduError::Truncated { got: 3 })));
    let many = vec![hex("80CA006600"); 256];
    assert_eq!(compact::encode(&many), Err(ScriptError::Count { got: 256 }));
}

#[test]
fn broken_answers_are_refused_by_name() {
    let cases = [
        ("AB07800101 23029000", Ok(1)),
        ("AF80 23029000 0000", Ok(1)),
        ("AB0423029000", Err(ScriptError::Unexpected { tag: 0x23 })),
        ("AB03800102", Err(ScriptError::MoreThanSent { got: 2, sent: 1 })),
        ("AB07800100 23029000", Err(ScriptError::MoreThanSent { got: 1, sent: 0 })),
        ("AF80 23029000 23029000 0000", Err(ScriptError::MoreThanSent { got: 2, sent: 1 })),
        ("AB0A800101 900101 23029000", Err(ScriptError::Unexpected { tag: 0x23 })),
        ("AB06800101 900104", Err(ScriptError::Value { tag: 0x90 })),
        ("AB06800101 910101", Err(ScriptError::Unexpected { tag: 0x91 })),
        ("AB028000", Err(ScriptError::Value { tag: 0x80 })),
    ];
    for (answer, expected) in cases {
        let bytes = hex::decode(answer.replace(' ', "")).unwrap();
        let read = ExpandedAnswer::decode(&bytes, 1).map(|answer| answer.answers.len());
        assert_eq!(read, expected, "{answer}");
    }
    let compact = compact::CompactAnswer::decode(&[2, 0x90, 0x00], 1);
    assert_eq!(compact, Err(ScriptError::MoreThanSent { got: 2, sent: 1 }));
}
