//! The commands of content management, byte for byte, and what is made of the answers.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use proptest::collection::vec;
use proptest::prelude::*;
use scp::content::get_data::{self, GetDataFault, KeyInformation, KeyInformationTemplate};
use scp::content::put_key::{self, EncryptedKey, PutKeyFault};
use scp::content::registry::{self, Privileges, RegistryFault};
use scp::content::status_data::{self, Scope};
use scp::content::store_data::{self, Dgi, KeyDescription};
use scp::content::{delete, install, load};
use scp::{
    Aid, ApiMisuse, CommandApdu, KeyCheckValue, KeyCheckValues, KeyLength, KeyScript,
    KeyVersionNumber, KeyWrite, PutKeyBlock,
};
use serde_json::Value;

const KEYS: &str = include_str!("../../tests/vectors/keys_putkey_kcv.json");

fn vectors(kind: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(KEYS).unwrap();
    all.into_iter().filter(|vector| vector["kind"] == kind).collect()
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    hex::decode(vector[name].as_str().unwrap()).unwrap()
}

fn list(vector: &Value, name: &str) -> [Vec<u8>; 3] {
    let items = vector[name].as_array().unwrap();
    [0, 1, 2].map(|index: usize| hex::decode(items[index].as_str().unwrap()).unwrap())
}

fn upper(command: &CommandApdu) -> String {
    hex::encode_upper(command.to_bytes())
}

fn aid(text: &str) -> Aid {
    text.parse().unwrap()
}

fn version(number: u8) -> KeyVersionNumber {
    KeyVersionNumber::new(number).unwrap()
}

/// One AES block.
fn encrypt(key: &[u8], mut block: [u8; 16]) -> [u8; 16] {
    fn run<C: KeyInit + BlockCipherEncrypt>(key: &[u8], block: &mut [u8; 16]) {
        let cipher = C::new_from_slice(key).unwrap();
        cipher.encrypt_block(block.as_mut_slice().try_into().unwrap());
    }
    match key.len() {
        16 => run::<aes::Aes128>(key, &mut block),
        24 => run::<aes::Aes192>(key, &mut block),
        _ => run::<aes::Aes256>(key, &mut block),
    }
    block
}

/// What custody does: zero padding, AES-CBC with a zero ICV under Key-DEK, and the check value.
fn encrypted(dek: &[u8], key: &[u8]) -> EncryptedKey {
    let mut padded = key.to_vec();
    padded.resize(key.len().next_multiple_of(16), 0);
    let mut chain = [0; 16];
    let mut cryptogram = Vec::new();
    for block in padded.chunks(16) {
        let mixed: Vec<u8> = block.iter().zip(chain).map(|(clear, last)| clear ^ last).collect();
        chain = encrypt(dek, mixed.try_into().unwrap());
        cryptogram.extend(chain);
    }
    let [a, b, c, ..] = encrypt(key, [1; 16]);
    let length = KeyLength::from_bytes(key.len()).unwrap();
    EncryptedKey { cryptogram, length, check_value: KeyCheckValue([a, b, c]) }
}

fn some_keys(length: KeyLength) -> [EncryptedKey; 3] {
    [1u8, 2, 3].map(|fill| encrypted(&[9; 16], &vec![fill; length.bytes()]))
}

#[test]
fn put_key_matches_the_vectors_in_both_forms() {
    let vectors = vectors("put_key_scp03");
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let dek = bytes(&vector, "dek");
        let keys = list(&vector, "new_keys").map(|key| encrypted(&dek, &key));
        let fresh = version(vector["new_kvn"].as_u64().unwrap().try_into().unwrap());
        let prefixed = vector["form"].as_str().unwrap().starts_with("length-prefixed");
        let block = if prefixed { PutKeyBlock::LengthPrefixed } else { PutKeyBlock::Plain };
        let script = put_key::key_set(aid("A000000151000000"), None, fresh, &keys, block).unwrap();
        let [command] = script.commands() else { panic!("one command") };
        assert_eq!(upper(command), vector["plain_capdu"].as_str().unwrap());

        let values = KeyCheckValues(keys.map(|key| key.check_value));
        assert_eq!(put_key::judge(&bytes(&vector, "expected_response"), fresh, &values), Ok(()));
    }
}

#[test]
fn the_three_forms_of_put_key_differ_in_p1() {
    let keys = some_keys(KeyLength::Aes192);
    let sd = aid("A000000151000000");
    for (prior, fresh, p1) in
        [(None, 0x31, 0x00), (Some(version(0x31)), 0x31, 0x31), (Some(version(0x30)), 0x31, 0x30)]
    {
        let fresh = version(fresh);
        let script =
            put_key::key_set(sd, prior, fresh, &keys, PutKeyBlock::LengthPrefixed).unwrap();
        let [command] = script.commands() else { panic!("one command") };
        assert_eq!((command.p1(), command.p2(), command.data()[0]), (p1, 0x81, 0x31));
        // AES-192: a block of 33 bytes says 24 and holds 32.
        assert_eq!(command.data()[1..4], [0x88, 0x21, 0x18]);
        assert_eq!(*script.write(), KeyWrite::SdKeyset { prior, fresh });
        assert_eq!(*script.security_domain(), sd);
    }
}

#[test]
fn keys_that_make_no_set_are_refused() {
    let put = |keys: &[EncryptedKey; 3]| {
        put_key::key_set(aid("A000000151000000"), None, version(1), keys, PutKeyBlock::Plain)
    };
    let mut mixed = some_keys(KeyLength::Aes128);
    mixed[2] = some_keys(KeyLength::Aes256)[2].clone();
    assert!(matches!(put(&mixed), Err(ApiMisuse::Invalid { what: "key set", .. })));
    let mut short = some_keys(KeyLength::Aes128);
    short[1].cryptogram.pop();
    assert!(matches!(put(&short), Err(ApiMisuse::Invalid { what: "key cryptogram", .. })));
    let dgis = store_data::key_set(version(1), &short, KeyDescription::EachKey);
    assert!(matches!(dgis, Err(ApiMisuse::Invalid { what: "key cryptogram", .. })));
    assert!(!format!("{:?}", some_keys(KeyLength::Aes128)).contains("cryptogram"));
}

#[test]
fn only_the_very_answer_confirms_put_key() {
    let values: KeyCheckValues = "9FAB3722AE9D3E4226".parse().unwrap();
    let answer = hex::decode("319FAB3722AE9D3E4226").unwrap();
    let judge = |answer: &[u8]| put_key::judge(answer, version(0x31), &values);
    assert_eq!(judge(&answer), Ok(()));
    for length in 0..answer.len() {
        assert_eq!(judge(&answer[..length]), Err(PutKeyFault::Length { got: length }));
    }
    assert_eq!(judge(&[&answer[..], &[0]].concat()), Err(PutKeyFault::Length { got: 11 }));
    for bit in 0..answer.len() * 8 {
        let mut flipped = answer.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0 => PutKeyFault::KeyVersion { asked: version(0x31), got: flipped[0] },
            _ => PutKeyFault::CheckValues,
        };
        assert_eq!(judge(&flipped), Err(expected), "bit {bit}");
    }
}

#[test]
fn key_data_groupings_match_the_vector() {
    let vectors = vectors("store_data_dgi_keys");
    let [vector] = vectors.as_slice() else { panic!("one vector") };
    let dek = bytes(vector, "dek");
    let keys = list(vector, "keys").map(|key| encrypted(&dek, &key));
    let dgis = store_data::key_set(version(1), &keys, KeyDescription::Shared).unwrap();
    let expected = bytes(vector, "dgi_data");
    for block_max in [32, 100, 239] {
        let blocks = store_data::blocks(&dgis, block_max).unwrap();
        let joined: Vec<u8> = blocks.iter().flat_map(|block| block.data()).copied().collect();
        assert_eq!(joined, expected);
    }
}

#[test]
fn keys_described_one_by_one_follow_table_11_92() {
    let keys = some_keys(KeyLength::Aes256);
    let dgis = store_data::key_set(version(0x30), &keys, KeyDescription::EachKey).unwrap();
    assert_eq!(
        dgis.iter().map(|dgi| dgi.tag).collect::<Vec<_>>(),
        [0x00B9, 0x8113, 0x8113, 0x8113]
    );
    let check_value = keys[0].check_value.to_string();
    let first = format!("B9179501389601018001888101208201018301308403{check_value}");
    assert!(hex::encode_upper(&dgis[0].value).starts_with(&first));
    assert_eq!(dgis[0].value.len(), 3 * (first.len() / 2));
    assert_eq!(dgis[3].value, keys[2].cryptogram);
}

#[test]
fn install_matches_the_tables() {
    let [file, module, applet, sd] =
        ["D2760001240101", "D276000124010201", "D276000124010202", "A000000151000000"].map(aid);
    let cases = [
        (
            install::for_load(file, Some(sd), None, &hex::decode("EF04C6020160").unwrap()),
            "80E602001A07D276000124010108A00000015100000000\
             06EF04C60201600000",
        ),
        (
            install::for_load(file, None, Some(&[0xAB; 2]), &[]),
            "80E602000E07D27600012401010002ABAB000000",
        ),
        (
            install::for_install(file, module, applet, &[0x00], &[]),
            "80E604002007D276000124010108D27600012401020108D27600012401020201000\
             2C9000000",
        ),
        (
            install::for_install_and_make_selectable(file, module, applet, &[0x80, 0, 0], &[0x5A]),
            "80E60C002307D276000124010108D27600012401020108D2760001240102020380000003\
             C9015A0000",
        ),
        (
            install::for_make_selectable(applet, &[0x00]),
            "80E608000F000008D27600012401020201000000\
             00",
        ),
        (install::for_personalization(applet), "80E620000E000008D27600012401020200000000"),
        (
            install::for_extradition(sd, applet),
            "80E610001608A0000001510000000008D27600012401020200000000",
        ),
    ];
    for (built, expected) in cases {
        assert_eq!(upper(&built.unwrap()), expected);
    }
    assert!(matches!(
        install::for_install(file, module, applet, &[0, 0], &[]),
        Err(ApiMisuse::Invalid { what: "privileges", .. })
    ));
    assert!(matches!(
        install::for_install(file, module, applet, &[0], &[0; 210]),
        Err(ApiMisuse::TooMuch { most: 239, .. })
    ));
    assert!(matches!(
        install::for_load(file, None, Some(&[0; 128]), &[]),
        Err(ApiMisuse::TooMuch { most: 127, .. })
    ));
}

#[test]
fn the_other_commands_match_the_tables() {
    let applet = aid("D276000124010202");
    let sd = aid("A000000151000000");
    for (command, expected) in [
        (delete::object(applet, false), "80E400000A4F08D27600012401020200"),
        (delete::object(applet, true), "80E400800A4F08D27600012401020200"),
        (status_data::get_status(Scope::Applications, false), "80F24002024F0000"),
        (status_data::get_status(Scope::LoadFilesAndModules, true), "80F21003024F0000"),
        (status_data::set_status(sd, 0x0F), "80F0400F08A000000151000000"),
        (get_data::command(get_data::KEY_INFORMATION_TEMPLATE), "80CA00E000"),
        (get_data::command(0xDF20), "80CADF2000"),
    ] {
        assert_eq!(upper(&command), expected);
    }
    let only = |script: &KeyScript| {
        assert_eq!(*script.security_domain(), sd);
        let [command] = script.commands() else { panic!("one command") };
        upper(command)
    };
    let keys = delete::key_set(sd, version(0x30)).unwrap();
    assert_eq!(only(&keys), "80E4000003D2013000");
    assert_eq!(*keys.write(), KeyWrite::SdKeysetDelete { kvn: version(0x30) });
    let instance = delete::personalized(sd, applet).unwrap();
    assert_eq!(only(&instance), "80E400000A4F08D27600012401020200");
    assert_eq!(*instance.write(), KeyWrite::Destroy { target: applet });
}

#[test]
fn blocks_have_bounds() {
    assert!(matches!(load::blocks(&[], 223), Err(ApiMisuse::TooLittle { .. })));
    assert!(matches!(load::blocks(&[0], 31), Err(ApiMisuse::TooLittle { least: 32, .. })));
    assert!(matches!(load::blocks(&[0], 240), Err(ApiMisuse::TooMuch { most: 239, .. })));
    assert!(load::blocks(&vec![0; 31_996], 32).is_ok());
    assert!(matches!(
        load::blocks(&vec![0; 31_997], 32),
        Err(ApiMisuse::TooMuch { got: 1_001, .. })
    ));
    assert!(matches!(store_data::blocks(&[], 223), Err(ApiMisuse::TooLittle { .. })));
    let of = |length| [Dgi { tag: 0x0101, value: vec![0; length] }];
    assert_eq!(store_data::blocks(&of(256 * 32 - 5), 32).unwrap().len(), 256);
    assert!(matches!(
        store_data::blocks(&of(256 * 32 - 4), 32),
        Err(ApiMisuse::TooMuch { got: 257, .. })
    ));
    assert!(matches!(
        store_data::blocks(&of(65_536), 239),
        Err(ApiMisuse::TooMuch { got: 65_536, .. })
    ));
}

#[test]
fn large_load_files_count_on_from_zero() {
    let blocks = load::blocks(&vec![0x5A; 239 * 300], 239).unwrap();
    assert_eq!(blocks[0].data()[..5], [0xC4, 0x83, 0x01, 0x18, 0x14]);
    assert_eq!((blocks[255].p2(), blocks[256].p2()), (0xFF, 0x00));
}

#[test]
fn a_personalization_begins_with_its_install() {
    let (sd, applet) = (aid("A000000151000000"), aid("D276000124010202"));
    let dgis = [Dgi { tag: 0x8201, value: vec![7; 128] }, Dgi { tag: 0x0101, value: vec![8; 300] }];
    let script = store_data::personalization(sd, applet, &dgis, 100).unwrap();
    let [first, blocks @ ..] = script.commands() else { panic!("commands") };
    assert_eq!(*first, install::for_personalization(applet).unwrap());
    assert_eq!(blocks, store_data::blocks(&dgis, 100).unwrap());
    assert_eq!(*script.write(), KeyWrite::AppKey { applet });
    assert_eq!(format!("{:?}", dgis[0]), "Dgi(8201, 128 bytes)");
}

#[test]
fn registry_answers_are_read() {
    let answer = "E3254F07D27600012401019F700107C503000000C407D2760001240100CC08A000000151000000\
                  E30E4F05A0000000039F70010FC50180";
    let entries = registry::parse(Scope::Applications, &hex::decode(answer).unwrap()).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0].aid, entries[0].life_cycle), (aid("D2760001240101"), 0x07));
    assert_eq!(entries[0].load_file, Some(aid("D2760001240100")));
    assert_eq!(entries[0].security_domain, Some(aid("A000000151000000")));
    assert_eq!(entries[0].privileges, Some(Privileges([0, 0, 0])));
    assert!(entries[1].privileges.unwrap().is_security_domain());

    let file = hex::decode(
        "E31D4F05D2760001249F700101CE0201008405D276000125\
                            8405D276000126",
    )
    .unwrap();
    let [entry] = &registry::parse(Scope::LoadFilesAndModules, &file).unwrap()[..] else {
        panic!("one entry")
    };
    assert_eq!(entry.modules, [aid("D276000125"), aid("D276000126")]);
}

#[test]
fn registry_answers_out_of_form_are_refused() {
    let parse = |text: &str| registry::parse(Scope::Applications, &hex::decode(text).unwrap());
    let cases = [
        ("4F05A000000003", RegistryFault::NotAnEntry { tag: 0x4F }),
        ("E3074F05A000000003", RegistryFault::NotOne { tag: 0x9F70 }),
        ("E3049F700107", RegistryFault::NotOne { tag: 0x4F }),
        ("E30F4F05A0000000039F7001079F70010F", RegistryFault::NotOne { tag: 0x9F70 }),
        ("E30C4F05A0000000039F70020707", RegistryFault::Length { tag: 0x9F70, got: 2 }),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected), "{text}");
    }
    let short_aid = parse("E30A4F04A00000009F700107");
    assert!(matches!(short_aid, Err(RegistryFault::NotAnAid { tag: 0x4F, .. })));
    assert!(matches!(parse("E30A4F05A000000003"), Err(RegistryFault::Malformed(_))));
    assert_eq!(parse(""), Ok(vec![]));
}

#[test]
fn key_information_is_read_in_both_forms() {
    let parse = |text: &str| KeyInformationTemplate::parse(&hex::decode(text).unwrap());
    let basic = parse("E018C00401308810C00402308810C00403308810C00401318820").unwrap();
    assert!(basic.has_set(version(0x30)) && basic.has_any_of(version(0x31)));
    assert!(!basic.has_set(version(0x31)) && !basic.has_any_of(version(0x32)));
    let last = KeyInformation { kid: 1, kvn: 0x31, key_type: 0x88, length: 32 };
    assert_eq!(basic.keys()[3], last);

    let extended = parse("E00CC00A0131FF88002001380101").unwrap();
    assert_eq!(extended.keys(), [last]);
    let two_components = parse("E008C0060170A103A080").unwrap();
    assert_eq!(two_components.keys()[0].key_type, 0xA1);
    assert_eq!(parse("E000").unwrap().keys(), []);
}

#[test]
fn key_information_out_of_form_is_refused() {
    let parse = |text: &str| KeyInformationTemplate::parse(&hex::decode(text).unwrap());
    for text in [
        "E005C003013088",
        "E007C0050130881001",
        "E006C1040130 8810",
        "E008C0060131FF880020",
        "E00CC00A0131FF88002002380101",
        "E00DC00B0131FF8800200138010199",
    ] {
        assert_eq!(parse(&text.replace(' ', "")), Err(GetDataFault::KeyInformation), "{text}");
    }
    for text in ["", "66060000", "E000E000", "C00401308810"] {
        let parsed = parse(text);
        assert!(
            matches!(parsed, Err(GetDataFault::NotTheObject { .. } | GetDataFault::Malformed(_))),
            "{text}: {parsed:?}"
        );
    }
    assert_eq!(get_data::sequence_counter(&[0xC1, 3, 0, 1, 2]), Ok(0x102));
    assert!(get_data::sequence_counter(&[0xC1, 2, 1, 2]).is_err());
    assert!(get_data::sequence_counter(&[0xC2, 3, 0, 1, 2]).is_err());
}

fn dgis() -> impl Strategy<Value = Vec<Dgi>> {
    let length = prop_oneof![
        0usize..40,
        200usize..300,
        Just(254usize),
        Just(255usize),
        Just(256usize),
        Just(700usize)
    ];
    let dgi = (any::<u16>(), length, any::<u8>())
        .prop_map(|(tag, length, fill)| Dgi { tag, value: vec![fill; length] });
    vec(dgi, 1..8)
}

/// Reads Data Groupings out of joined blocks, the way an application does.
fn read_back(blocks: &[CommandApdu]) -> Vec<Dgi> {
    let joined: Vec<u8> = blocks.iter().flat_map(|block| block.data()).copied().collect();
    let mut rest = joined.as_slice();
    let mut dgis = Vec::new();
    while let [high, low, length, after @ ..] = rest {
        let (length, after) = match (length, after) {
            (0xFF, [l1, l0, after @ ..]) => (usize::from(*l1) << 8 | usize::from(*l0), after),
            (length, after) => (usize::from(*length), after),
        };
        dgis.push(Dgi { tag: u16::from_be_bytes([*high, *low]), value: after[..length].to_vec() });
        rest = &after[length..];
    }
    dgis
}

proptest! {
    #[test]
    fn store_data_carries_what_it_was_given(dgis in dgis(), block_max in 32u8..=239) {
        let blocks = store_data::blocks(&dgis, block_max).unwrap();
        prop_assert_eq!(read_back(&blocks), dgis);
        for (index, block) in blocks.iter().enumerate() {
            let last = index + 1 == blocks.len();
            prop_assert_eq!(usize::from(block.p2()), index);
            prop_assert_eq!(block.p1(), if last { 0x88 } else { 0x08 });
            prop_assert!((1..=usize::from(block_max)).contains(&block.data().len()));
            prop_assert_eq!(block.le(), None);
        }
    }

    #[test]
    fn load_carries_what_it_was_given(block in vec(any::<u8>(), 1..3_000), block_max in 32u8..=239) {
        let blocks = load::blocks(&block, block_max).unwrap();
        let joined: Vec<u8> = blocks.iter().flat_map(|it| it.data()).copied().collect();
        prop_assert_eq!(scp::tlv::find(&joined, 0xC4), Ok(Some(&block[..])));
        for (index, block) in blocks.iter().enumerate() {
            let last = index + 1 == blocks.len();
            prop_assert_eq!(usize::from(block.p2()), index % 256);
            prop_assert_eq!(block.p1(), if last { 0x80 } else { 0x00 });
            prop_assert!(block.data().len() <= usize::from(block_max));
            prop_assert_eq!(block.le(), Some(256));
        }
    }

    #[test]
    fn no_answer_panics(answer in vec(any::<u8>(), 0..80)) {
        for scope in [Scope::Applications, Scope::LoadFilesAndModules] {
            let _ = registry::parse(scope, &answer);
        }
        let _ = KeyInformationTemplate::parse(&answer);
        let _ = get_data::sequence_counter(&answer);
    }

    #[test]
    fn answers_cut_short_are_faults(cut in 1usize..40) {
        let answer = hex::decode("E30E4F05A0000000039F700107C50100").unwrap();
        let registry = registry::parse(Scope::Applications, &answer[..answer.len().saturating_sub(cut)]);
        prop_assert!(registry.is_err() || cut >= answer.len());
        let template = hex::decode("E00CC00401308810C00402308810").unwrap();
        let keys = KeyInformationTemplate::parse(&template[..template.len().saturating_sub(cut)]);
        prop_assert!(keys.is_err());
    }
}
