//! Properties of the channel against a card side of the test's own.

mod card_side;
mod static_keys;

use card_side::CardSide;
use proptest::prelude::*;
use scp::Typed;
use scp::error::ApiMisuse;
use scp::profile::{PutKeyBlock, Takeover};
use scp::scp03::initiate::{InitiateError, InitiateFault, ProfileField};
use scp::{Aid, Answer, Challenged, Channel, CommandApdu, ContentRules, Custody, Initiating};
use scp::{KeyLength, KeyVersionNumber, Script, SeProfile, SecurityLevel, Selected, StatusWord};
use static_keys::StaticKeys;

const AID: Aid = Aid::ISSUER_SECURITY_DOMAIN;
const HOST_CHALLENGE: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const CARD_CHALLENGE: [u8; 16] = [9; 16];

fn card(length: KeyLength, i: u8) -> CardSide {
    let keys = StaticKeys::new(&vec![0xE1; length.bytes()], &vec![0xA2; length.bytes()]);
    CardSide::new(keys, i, AID.as_bytes())
}

fn profile(key_length: KeyLength, i: u8) -> SeProfile {
    SeProfile {
        name: "test".into(),
        i,
        key_length,
        level: SecurityLevel::CMac,
        put_key_block: PutKeyBlock::LengthPrefixed,
        takeover: Takeover::Renumber,
        block_max: 223,
        one_shot: false,
        no_r_mac: false,
    }
}

fn initiate(length: KeyLength, i: u8) -> (Initiating, CommandApdu) {
    let version = KeyVersionNumber::new(0x30).unwrap();
    let rules = ContentRules::nothing_public();
    let selected = Selected::new(AID, version, &profile(length, i), rules).unwrap();
    selected.initialize_update(HOST_CHALLENGE)
}

fn verify(challenged: Challenged, keys: &StaticKeys) -> Result<(), InitiateError> {
    let answer: Answer<Custody> = keys.answer(challenged.derivations());
    challenged.verify(answer).map(|_| ())
}

/// A channel with typed keys, which takes any command.
fn open(card: &mut CardSide, length: KeyLength, level: SecurityLevel) -> Channel<Typed> {
    let (initiating, command) = initiate(length, card.i);
    assert_eq!(initiating.outbound().commands(), [command.to_bytes()]);
    let answer = card.initialize_update(&command.to_bytes(), CARD_CHALLENGE);
    let challenged = initiating.answer(&answer).unwrap();
    let answer: Answer<Typed> = card.keys.answer(challenged.derivations());
    assert!(challenged.card_cryptogram_matches(&answer));
    let verified = challenged.verify(answer).unwrap();
    let (authenticating, outbound) = verified.external_authenticate(level).unwrap();
    assert!(card.external_authenticate(&outbound.commands()[0]));
    authenticating.answer(&[0x90, 0x00]).unwrap()
}

fn lengths() -> impl Strategy<Value = KeyLength> {
    prop_oneof![Just(KeyLength::Aes128), Just(KeyLength::Aes192), Just(KeyLength::Aes256)]
}

fn levels() -> impl Strategy<Value = SecurityLevel> {
    use SecurityLevel::{All, CMac, CMacCDec, CMacCDecRMac, CMacRMac};
    prop_oneof![Just(CMac), Just(CMacCDec), Just(CMacRMac), Just(CMacCDecRMac), Just(All)]
}

/// Commands on any logical channel, whose data is short, about as long as a short command can be,
/// or extended.
fn commands() -> impl Strategy<Value = CommandApdu> {
    let bytes = |sizes| proptest::collection::vec(any::<u8>(), sizes);
    let data = prop_oneof![4 => bytes(0..50), 4 => bytes(215..260), 1 => bytes(1_000..2_000)];
    let channel = prop_oneof![0x80..=0x83u8, 0xC0..=0xCFu8];
    let le = prop_oneof![Just(None), Just(Some(256)), Just(Some(16)), Just(Some(65_536))];
    (channel, data, le)
        .prop_map(|(cla, data, le)| CommandApdu::new(cla, 0xCA, 0, 0x66, data, le).unwrap())
}

fn answers() -> impl Strategy<Value = (Vec<u8>, [u8; 2])> {
    let data = proptest::collection::vec(any::<u8>(), 0..60);
    let status =
        prop_oneof![Just([0x90, 0x00]), Just([0x63, 0x10]), Just([0x62, 0x83]), Just([0x6A, 0x88])];
    (data, status)
}

fn as_sent(command: &CommandApdu, extended: bool) -> card_side::Received {
    let le = match (command.le(), extended) {
        (None, _) => vec![],
        (Some(le), true) => (le as u16).to_be_bytes().to_vec(),
        (Some(le), false) => vec![le as u8],
    };
    let header = [command.cla(), command.ins(), command.p1(), command.p2()];
    card_side::Received { header, data: command.data().to_vec(), le }
}

proptest! {
    #[test]
    fn both_sides_read_what_the_other_wrote(
        length in lengths(),
        level in levels(),
        i in prop_oneof![Just(0x60u8), Just(0x70), Just(0x61), Just(0x71)],
        scripts in proptest::collection::vec(
            proptest::collection::vec((commands(), answers()), 1..4), 1..4),
    ) {
        let mut card = card(length, i);
        let mut channel = open(&mut card, length, level);
        for script in scripts {
            let commands: Vec<CommandApdu> = script.iter().map(|(command, _)| command.clone()).collect();
            let (awaiting, outbound) = channel.wrap(Script::new(commands).unwrap()).unwrap();
            let mut wrapped_answers = Vec::new();
            for (bytes, (command, (data, status))) in outbound.commands().iter().zip(&script) {
                let received = card.receive(bytes);
                prop_assert_eq!(received, as_sent(command, bytes[4] == 0));
                wrapped_answers.push(card.answer(data, *status));
            }
            let unwrapped = awaiting.unwrap(&wrapped_answers).unwrap();
            for (answered, (_, (data, status))) in unwrapped.answers.iter().zip(&script) {
                let status = StatusWord(u16::from_be_bytes(*status));
                let proved = level.has_r_mac() && status.carries_mac();
                prop_assert_eq!(answered.status(), status);
                prop_assert_eq!(answered.is_authenticated(), proved);
                if proved || !level.has_r_mac() {
                    prop_assert_eq!(answered.data(), &data[..]);
                }
            }
            channel = unwrapped.channel.unwrap();
        }
    }

    #[test]
    fn a_changed_answer_is_never_believed(
        length in lengths(),
        level in prop_oneof![
            Just(SecurityLevel::CMacRMac),
            Just(SecurityLevel::CMacCDecRMac),
            Just(SecurityLevel::All)
        ],
        i in prop_oneof![Just(0x70u8), Just(0x71)],
        command in commands(),
        (data, status) in answers(),
        place in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut card = card(length, i);
        let channel = open(&mut card, length, level);
        let (awaiting, outbound) = channel.wrap(Script::new(vec![command]).unwrap()).unwrap();
        card.receive(&outbound.commands()[0]);
        let mut answer = card.answer(&data, status);
        if cut {
            answer.truncate(place.index(answer.len()));
        } else {
            let bit = place.index(answer.len() * 8);
            answer[bit / 8] ^= 1 << (bit % 8);
        }
        // A bare error status word is anyone's to write; it is never taken for proof.
        if let Ok(unwrapped) = awaiting.unwrap(&[answer]) {
            prop_assert!(!unwrapped.answers[0].is_authenticated());
            prop_assert!(unwrapped.answers[0].data().is_empty());
        }
    }

    #[test]
    fn no_answer_whatever_causes_a_panic(answer in proptest::collection::vec(any::<u8>(), 0..80)) {
        let (initiating, _) = initiate(KeyLength::Aes128, 0x70);
        prop_assert!(initiating.answer(&answer).is_err());
        let mut card = card(KeyLength::Aes128, 0x70);
        let channel = open(&mut card, KeyLength::Aes128, SecurityLevel::All);
        let command = CommandApdu::new(0x80, 0xCA, 0, 0x66, [], Some(256)).unwrap();
        let (awaiting, _) = channel.wrap(Script::new(vec![command]).unwrap()).unwrap();
        if let Ok(unwrapped) = awaiting.unwrap(&[answer]) {
            prop_assert!(!unwrapped.answers[0].is_authenticated());
        }
    }
}

#[test]
fn an_answer_to_another_command_is_refused() {
    let mut card = card(KeyLength::Aes128, 0x70);
    let channel = open(&mut card, KeyLength::Aes128, SecurityLevel::All);
    let command = || CommandApdu::new(0x80, 0xCA, 0, 0x66, [], Some(256)).unwrap();
    let (awaiting, outbound) = channel.wrap(Script::new(vec![command(); 2]).unwrap()).unwrap();
    let mut answers: Vec<Vec<u8>> = Vec::new();
    for wrapped in outbound.commands() {
        card.receive(wrapped);
        answers.push(card.answer(b"same", [0x90, 0x00]));
    }
    answers.swap(0, 1);
    assert!(awaiting.unwrap(&answers).is_err());
}

#[test]
fn a_changed_challenge_is_refused_wherever_it_is_changed() {
    for (length, i) in [
        (KeyLength::Aes128, 0x70),
        (KeyLength::Aes256, 0x60),
        (KeyLength::Aes192, 0x71),
        (KeyLength::Aes128, 0x01),
    ] {
        let mut card = card(length, i);
        let (_, command) = initiate(length, i);
        let genuine = card.initialize_update(&command.to_bytes(), CARD_CHALLENGE);
        // The Key Diversification Data in the first ten bytes is a hint that nothing protects.
        for bit in 80..genuine.len() * 8 {
            let mut flipped = genuine.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let challenged = initiate(length, i).0.answer(&flipped);
            let outcome = challenged.and_then(|challenged| verify(challenged, &card.keys));
            assert!(outcome.is_err(), "bit {bit}");
        }
        for end in 0..genuine.len() {
            assert!(initiate(length, i).0.answer(&genuine[..end]).is_err(), "{end} bytes");
        }
        assert!(verify(initiate(length, i).0.answer(&genuine).unwrap(), &card.keys).is_ok());
    }
}

#[test]
fn the_reason_of_a_refused_challenge_is_named() {
    let outcome = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut card = card(KeyLength::Aes128, 0x70);
        let (initiating, command) = initiate(KeyLength::Aes128, 0x70);
        let mut answer = card.initialize_update(&command.to_bytes(), CARD_CHALLENGE);
        change(&mut answer);
        initiating.answer(&answer).and_then(|challenged| verify(challenged, &card.keys))
    };
    let fault = |change: &dyn Fn(&mut Vec<u8>)| match outcome(change) {
        Err(InitiateError::CardMisbehaved(fault)) => fault,
        other => panic!("{other:?}"),
    };
    let asked = KeyVersionNumber::new(0x30).unwrap();
    let field = ProfileField::I;
    assert_eq!(fault(&|a| a[10] = 0x31), InitiateFault::KeyVersion { asked, got: 0x31 });
    assert_eq!(fault(&|a| a[11] = 0x02), InitiateFault::NotScp03 { got: 0x02 });
    let downgraded = InitiateFault::ProfileMismatch { field, on_record: 0x70, got: 0x00 };
    assert_eq!(fault(&|a| a[12] = 0x00), downgraded);
    assert_eq!(fault(&|a| a[21] ^= 1), InitiateFault::Cryptogram);
    assert_eq!(fault(&|a| a[31] ^= 1), InitiateFault::PseudoRandomChallenge);
    let longer = fault(&|a| {
        let at = a.len() - 2;
        a.splice(at..at, [0; 16]);
    });
    assert!(matches!(longer, InitiateFault::ProfileMismatch { got: 16, .. }));
    let refused = outcome(&|a| *a = vec![0x6A, 0x88]);
    assert_eq!(refused, Err(InitiateError::CardRefused(StatusWord(0x6A88))));
}

#[test]
fn only_9000_without_data_opens_the_channel() {
    for answer in [&[0x63, 0x00][..], &[0x69, 0x82], &[0x90], &[0x01, 0x90, 0x00]] {
        let mut card = card(KeyLength::Aes192, 0x60);
        let (initiating, command) = initiate(KeyLength::Aes192, 0x60);
        let challenged = initiating
            .answer(&card.initialize_update(&command.to_bytes(), CARD_CHALLENGE))
            .unwrap();
        let keys: Answer<Custody> = card.keys.answer(challenged.derivations());
        let verified = challenged.verify(keys).unwrap();
        let (authenticating, _) = verified.external_authenticate(SecurityLevel::All).unwrap();
        assert!(authenticating.answer(answer).is_err());
    }
}

#[test]
fn a_level_the_se_does_not_offer_is_refused() {
    for (i, level) in [
        (0x00, SecurityLevel::CMacRMac),
        (0x10, SecurityLevel::CMacCDecRMac),
        (0x30, SecurityLevel::All),
    ] {
        let mut card = card(KeyLength::Aes128, i);
        let (initiating, command) = initiate(KeyLength::Aes128, i);
        let answer = card.initialize_update(&command.to_bytes(), CARD_CHALLENGE);
        let challenged = initiating.answer(&answer).unwrap();
        assert_eq!(challenged.sequence_counter(), (i & 0x10 != 0).then_some(0x2A));
        assert_eq!(challenged.key_diversification_data(), b"DIVERSIFY.");
        let keys: Answer<Custody> = card.keys.answer(challenged.derivations());
        let refused = challenged.verify(keys).unwrap().external_authenticate(level);
        assert_eq!(refused.unwrap_err(), ApiMisuse::Level { level, i });
    }
}

#[test]
fn wrong_keys_are_a_probe_without_a_trace() {
    let mut card = card(KeyLength::Aes128, 0x60);
    let (initiating, command) = initiate(KeyLength::Aes128, 0x60);
    let answer = card.initialize_update(&command.to_bytes(), CARD_CHALLENGE);
    let challenged = initiating.answer(&answer).unwrap();
    let other = StaticKeys::new(&[1; 16], &[2; 16]);
    let answer: Answer<Custody> = other.answer(challenged.derivations());
    assert!(!challenged.card_cryptogram_matches(&answer));
    let refused = challenged.verify(answer).unwrap_err();
    assert_eq!(refused, InitiateError::CardMisbehaved(InitiateFault::Cryptogram));
}
