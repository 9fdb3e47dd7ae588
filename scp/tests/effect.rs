//! The gate: every row of the list, and the tracker against a second classifier.

mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use reference::{APPLET, FILE, MODULE, SD, classify, rules};
use scp::content::store_data::{self, Dgi};
use scp::content::{delete, get_data, install, load, status_data};
use scp::{Aid, CommandApdu, ContentRules, Effect, Outbound, Tracker};

fn aid(text: &str) -> Aid {
    text.parse().unwrap()
}

fn command(text: &str) -> CommandApdu {
    CommandApdu::parse(&hex::decode(text.replace(' ', "")).unwrap()).unwrap()
}

fn effects(target: &str, rules: &ContentRules, commands: &[CommandApdu]) -> Vec<Effect> {
    let mut tracker = Tracker::new(aid(target), rules.clone());
    commands.iter().map(|command| tracker.observe(command)).collect()
}

/// The effect of the last of these commands in the Security Domain's session.
fn last(commands: &[&str]) -> Effect {
    let commands: Vec<CommandApdu> = commands.iter().map(|text| command(text)).collect();
    *effects(SD, &rules(), &commands).last().unwrap()
}

const PERSONALIZE_APPLET: &str = "80E620000C 0000 06 D27600000003 000000 00";

#[test]
fn reads_are_reads() {
    for text in [
        "00A40400 06 D27600000001 00",
        "00A4040000",
        "01A40400 06 D27600000001 00",
        "00C0000000",
        "0070000001",
        "80500000 08 0102030405060708 00",
        "84823300 10 00112233445566778899AABBCCDDEEFF",
        "80CA00E000",
        "80CADF2000",
        "84CADF2000",
        "00CB00FF 04 5C02DF20 00",
        "00CA9F7F00",
        "80CA2F00 02 5C00 00",
        "80F28002 02 4F00 00",
        "80F24003 0A 4F00 5C064F9F70C5C4CC 00",
        "C0F21002 02 4F00 00",
        "80CA006600",
    ] {
        assert_eq!(last(&[text]), Effect::Read, "{text}");
    }
}

#[test]
fn whatever_is_not_listed_is_a_key_write() {
    for text in [
        "80D83081 01 31 00",
        "80DA0000 01 31",
        "00A4000C 02 3F00",
        "00A40402 06 D27600000001 00",
        "80A40400 06 D27600000001 00",
        "00F24002 02 4F00 00",
        "80F24006 02 4F00 00",
        "80F2C002 02 4F00 00",
        "80CA00E0 02 4F00 00",
        "8020008008 3132333435363738",
        "00500000 08 0102030405060708 00",
        "88CA00E000",
        "90CA00E000",
        "A0CA00E000",
        "80781000",
        "807A1001",
        "80700001",
        "0070000001AA01",
        "80E28800 04 01010155",
        "00E28800 04 01010155",
    ] {
        assert_eq!(last(&[text]), Effect::KeyWrite, "{text}");
    }
}

#[test]
fn every_instruction_off_the_list_is_a_key_write() {
    const LISTED: [u8; 16] = [
        0xA4, 0x70, 0xC0, 0xCA, 0xCB, 0xF2, 0x50, 0x82, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0, 0xD8, 0x60,
        0x90,
    ];
    for cla in 0..=0xFEu8 {
        for ins in (0..=0xFFu8).filter(|ins| !LISTED.contains(ins)) {
            let Ok(command) = CommandApdu::new(cla, ins, 0, 0, [], None) else { continue };
            for target in [SD, APPLET] {
                let effect = effects(target, &rules(), std::slice::from_ref(&command))[0];
                assert_eq!(effect, Effect::KeyWrite, "{command:?}");
            }
        }
    }
}

#[test]
fn what_takes_away_destroys() {
    for text in [
        "80E40000 08 4F06D27600000003 00",
        "80E40080 08 4F06D27600000001 00",
        "80E40000 03 D20130 00",
        "80E40000 06 D00101D20130 00",
        "80F04080 06 D27600000003",
        "80F06080 06 D27600000003",
        "80F0807F",
        "80F080FF",
        "80E61000 12 06D27600000004 00 06D27600000003 000000 00",
        "80E69000 12 06D27600000004 00 06D27600000003 000000 00",
        "80E64000 0C 0000 06 D27600000003 000000 00",
    ] {
        assert_eq!(last(&[text]), Effect::Destroy, "{text}");
    }
}

#[test]
fn the_services_own_content_is_content() {
    let [file, module, applet, sd] = [FILE, MODULE, APPLET, SD].map(aid);
    let memory = hex::decode("EF08C6020100C8020040").unwrap();
    let mut commands = vec![install::for_load(file, Some(sd), Some(&[1; 32]), &memory).unwrap()];
    commands.extend(load::blocks(&vec![0x5A; 32 * 300], 32).unwrap());
    commands.push(install::for_install(file, module, applet, &[0x00], &[0x81, 0x00]).unwrap());
    commands.push(install::for_make_selectable(applet, &[0x00]).unwrap());
    commands.push(install::for_load(file, None, None, &[]).unwrap());
    let both = install::for_install_and_make_selectable(file, module, applet, &[0], &[0x81, 0]);
    commands.push(both.unwrap());
    commands.push(install::for_personalization(applet).unwrap());
    let dgis = [Dgi { tag: 0x0101, value: vec![1; 700] }, Dgi { tag: 0x0102, value: vec![2; 3] }];
    commands.extend(store_data::blocks(&dgis, 100).unwrap());
    commands.push(status_data::set_status(sd, 0x0F));
    let seen = effects(SD, &rules(), &commands);
    assert!(seen.iter().all(|effect| *effect == Effect::Content), "{seen:?}");

    let strict = effects(SD, &ContentRules::nothing_public(), &commands[..commands.len() - 1]);
    assert!(strict.iter().all(|effect| *effect == Effect::KeyWrite), "{strict:?}");
}

#[test]
fn anything_else_than_the_services_own_content_is_a_key_write() {
    let [file, module, applet, sd] = [FILE, MODULE, APPLET, SD].map(aid);
    let other = aid("D27600000009");
    let install = |module, instance, privileges: &[u8], parameters: &[u8]| {
        install::for_install(file, module, instance, privileges, parameters).unwrap()
    };
    for command in [
        install::for_load(other, None, None, &[]).unwrap(),
        install::for_load(file, Some(other), None, &[]).unwrap(),
        install::for_load(file, None, None, &[0xEF, 0x03, 0xDD, 0x01, 0x00]).unwrap(),
        install::for_load(file, None, None, &[0xB6, 0x00]).unwrap(),
        install(other, applet, &[0], &[0x81, 0]),
        install(module, other, &[0], &[0x81, 0]),
        install(module, applet, &[0x80], &[0x81, 0]),
        install(module, applet, &[0], &[]),
        install(module, applet, &[0], &[0x81, 1]),
        install::for_install(other, module, applet, &[0], &[0x81, 0]).unwrap(),
        install::for_make_selectable(other, &[0]).unwrap(),
        install::for_make_selectable(applet, &[4]).unwrap(),
        install::for_personalization(other).unwrap(),
        install::for_personalization(sd).unwrap(),
        status_data::set_status(applet, 0x07),
        status_data::set_status(sd, 0x07),
        load::blocks(&[1], 32).unwrap().remove(0),
    ] {
        assert_eq!(
            effects(SD, &rules(), std::slice::from_ref(&command))[0],
            Effect::KeyWrite,
            "{command:?}"
        );
    }
    for text in [
        // Chained, combined, with a token, with a length the SE may read otherwise.
        "80E6A000 0C 0000 06D27600000003 000000 00",
        "80E62001 0C 0000 06D27600000003 000000 00",
        "80E60400 1E 06D27600000001 06D27600000002 06D27600000003 0100 04C9028100 01AA 00",
        "80E60200 0B 06D27600000001 00 8100 00 00",
        "80E60200 0B 06D27600000001 00 00 80 00 00",
    ] {
        assert_eq!(last(&[text]), Effect::KeyWrite, "{text}");
    }
}

#[test]
fn a_private_value_stays_private_whatever_its_bytes_look_like() {
    // A private Data Grouping whose second block begins like a public one.
    let imitation = ["80E20800 05 8201 0A 0000", "80E28801 08 0101 05 0102030405"];
    assert_eq!(last(&[PERSONALIZE_APPLET, imitation[0]]), Effect::KeyWrite);
    assert_eq!(last(&[PERSONALIZE_APPLET, imitation[0], imitation[1]]), Effect::KeyWrite);
    // A public one whose second block looks private stays public.
    let public = ["80E20800 05 0101 0A 0000", "80E28801 08 8201 05 0102030405"];
    assert_eq!(last(&[PERSONALIZE_APPLET, public[0]]), Effect::Content);
    assert_eq!(last(&[PERSONALIZE_APPLET, public[0], public[1]]), Effect::Content);
    // But not once the rest of the value is through.
    let behind = "80E28801 0C 0102030405060708 8201 0155";
    assert_eq!(last(&[PERSONALIZE_APPLET, public[0], behind]), Effect::KeyWrite);
}

#[test]
fn blocks_out_of_turn_or_form_are_key_writes() {
    for block in [
        "80E28801 04 01010155",     // number
        "80E2C800 04 01010155",     // reserved encryption
        "80E2E800 04 01010155",     // encrypted
        "80E2A800 04 01010155",     // encryption by agreement
        "80E28000 04 01010155",     // no structure
        "80E29000 04 01010155",     // BER-TLV
        "80E29800 04 01010155",     // reserved structure
        "80E28A00 04 01010155",     // reserved bits
        "80E28800 04 01010255",     // last, and a byte missing
        "80E20800 02 0101",         // identifier without length
        "80E20800 03 0101FF",       // half a length
        "80E20800 06 0101FF000155", // length in three bytes that needs one
        "80E28800 08 01010155 8010 0155",
        "80E28800",
        "81E28800 04 01010155", // another channel
    ] {
        let block = block.split("//").next().unwrap();
        assert_eq!(last(&[PERSONALIZE_APPLET, block]), Effect::KeyWrite, "{block}");
    }
    assert_eq!(last(&[PERSONALIZE_APPLET, "80E28900 04 01010155 00"]), Effect::Content);
}

#[test]
fn block_numbers_do_not_begin_again() {
    let mut commands = vec![command(PERSONALIZE_APPLET)];
    let value = [&[0x01, 0x01, 0xFF, 0xFF, 0xFF][..], &[0; 3]].concat();
    commands.push(CommandApdu::new(0x80, 0xE2, 0x08, 0x00, value, None).unwrap());
    for number in 1..=255 {
        commands.push(CommandApdu::new(0x80, 0xE2, 0x08, number, [0], None).unwrap());
    }
    commands.push(CommandApdu::new(0x80, 0xE2, 0x08, 0x00, [0x01, 0x01, 0x00], None).unwrap());
    let seen = effects(SD, &rules(), &commands);
    assert!(seen[..257].iter().all(|effect| *effect == Effect::Content));
    assert_eq!(seen[257], Effect::KeyWrite);
}

#[test]
fn extended_length_changes_nothing() {
    let block = |header: &[u8]| {
        let data = [header, &[0; 255]].concat();
        let block = CommandApdu::new(0x80, 0xE2, 0x88, 0x00, data, None).unwrap();
        assert!(block.is_extended());
        effects(SD, &rules(), &[command(PERSONALIZE_APPLET), block])[1]
    };
    assert_eq!(block(&[0x01, 0x01, 0xFF, 0x00, 0xFF]), Effect::Content);
    assert_eq!(block(&[0x82, 0x01, 0xFF, 0x00, 0xFF]), Effect::KeyWrite);
    assert_eq!(last(&[PERSONALIZE_APPLET, "80E28800 000004 01010155"]), Effect::Content);
}

#[test]
fn another_selection_leaves_only_reads() {
    let public = "80E28800 04 01010155";
    let select = |name: &str| format!("00A40400 06 {name} 00");
    let away = select("D27600000009");
    assert_eq!(last(&[PERSONALIZE_APPLET, &away, public]), Effect::KeyWrite);
    assert_eq!(last(&[&away, PERSONALIZE_APPLET]), Effect::KeyWrite);
    assert_eq!(last(&[&away, &select(SD), PERSONALIZE_APPLET]), Effect::KeyWrite);
    assert_eq!(last(&["00A4040000", PERSONALIZE_APPLET]), Effect::KeyWrite);
    assert_eq!(last(&[&away, "80CA00E000"]), Effect::Read);
    assert_eq!(last(&[&away, "80E40000 03 D20130 00"]), Effect::Destroy);
    // The target itself again: the personalization is over, the Security Domain would read.
    assert_eq!(last(&[PERSONALIZE_APPLET, &select(SD), public]), Effect::KeyWrite);
    assert_eq!(
        last(&[PERSONALIZE_APPLET, &select(SD), PERSONALIZE_APPLET, public]),
        Effect::Content
    );
}

#[test]
fn after_a_key_write_only_reads_are_milder() {
    let put_key = "80D83081 01 31 00";
    assert_eq!(last(&[put_key, PERSONALIZE_APPLET]), Effect::KeyWrite);
    assert_eq!(last(&[put_key, "80F24002 02 4F00 00"]), Effect::Read);
    assert_eq!(last(&["80E40000 03 D20130 00", PERSONALIZE_APPLET]), Effect::KeyWrite);
}

#[test]
fn an_applets_own_session_takes_public_values_and_reads_only() {
    let last = |texts: &[&str]| {
        let commands: Vec<CommandApdu> = texts.iter().map(|text| command(text)).collect();
        *effects(APPLET, &rules(), &commands).last().unwrap()
    };
    let public = "80E28800 04 01010155";
    assert_eq!(last(&[public]), Effect::Content);
    assert_eq!(last(&[public, public]), Effect::Content);
    assert_eq!(last(&["80E28800 04 82010155"]), Effect::KeyWrite);
    assert_eq!(last(&["84CADF2000"]), Effect::Read);
    assert_eq!(last(&[PERSONALIZE_APPLET]), Effect::KeyWrite);
    assert_eq!(last(&["80E40000 08 4F06D27600000003 00"]), Effect::Destroy);
}

#[test]
fn only_reads_go_out_in_the_clear() {
    assert!(Outbound::read(get_data::command(0xDF20)).is_ok());
    assert!(Outbound::read(delete::object(aid(APPLET), false)).is_err());
    assert!(Outbound::read(status_data::set_status(aid(SD), 0x0F)).is_err());
    assert!(Outbound::read(command(PERSONALIZE_APPLET)).is_err());
}

/// Commands that walk the interesting paths: mostly a personalization, cut and disturbed.
fn sequence() -> impl Strategy<Value = Vec<CommandApdu>> {
    let value = prop_oneof![
        3 => vec(any::<u8>(), 0..40),
        2 => Just(hex::decode("0101050102030405").unwrap()),
        2 => Just(hex::decode("8201050102030405").unwrap()),
        1 => Just(vec![0x5A; 300]),
    ];
    let tag = select(vec![0x0101u16, 0x0101, 0x0102, 0x0102, 0x0103, 0x8201, 0x00B9, 0x8113]);
    let dgis = vec((tag, value).prop_map(|(tag, value)| Dgi { tag, value }), 1..5);
    let run = (dgis, 32u8..=239, any::<bool>()).prop_map(|(dgis, block_max, install)| {
        let mut commands = Vec::new();
        if install {
            commands.push(command(PERSONALIZE_APPLET));
        }
        commands.extend(store_data::blocks(&dgis, block_max).unwrap());
        commands
    });
    let disturbance = prop_oneof![
        4 => select(reference::disturbances()),
        1 => (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..12))
            .prop_filter_map("an APDU", |(cla, ins, p1, p2, data)| {
                CommandApdu::new(cla, ins, p1, p2, data, None).ok()
            }),
    ];
    let edits = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..6), 0..3);
    (vec(run, 1..4), vec(disturbance, 0..4), edits).prop_map(|(runs, disturbances, edits)| {
        let mut commands = runs.concat();
        for (place, disturbance) in disturbances.into_iter().enumerate() {
            let at = (place * 7919 + disturbance.data().len() * 31) % (commands.len() + 1);
            commands.insert(at, disturbance);
        }
        for (at, other, edit) in edits {
            edit_one(&mut commands, at, other, edit);
        }
        commands
    })
}

fn edit_one(
    commands: &mut Vec<CommandApdu>,
    at: prop::sample::Index,
    other: prop::sample::Index,
    edit: u8,
) {
    let (at, other) = (at.index(commands.len()), other.index(commands.len()));
    let old = commands[at].clone();
    let rebuilt = |cla, p1, p2, data: &[u8]| {
        CommandApdu::new(cla, old.ins(), p1, p2, data, old.le()).unwrap()
    };
    match edit {
        0 => commands.swap(at, other),
        1 if commands.len() > 1 => drop(commands.remove(at)),
        2 => commands.insert(other, old),
        3 => commands[at] = rebuilt((old.cla() ^ 0x01).min(0xFE), old.p1(), old.p2(), old.data()),
        4 => commands[at] = rebuilt(old.cla(), old.p1() ^ 0x80, old.p2(), old.data()),
        _ => {
            let cut = old.data().len().saturating_sub(1);
            commands[at] = rebuilt(old.cla(), old.p1(), old.p2(), &old.data()[..cut]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_tracker_agrees_with_the_reference(commands in sequence(), applet in any::<bool>()) {
        let target = if applet { APPLET } else { SD };
        let seen = effects(target, &rules(), &commands);
        prop_assert_eq!(seen, classify(target, &commands));
    }

    #[test]
    fn nothing_public_means_no_content_but_a_state(commands in sequence()) {
        let seen = effects(SD, &ContentRules::nothing_public(), &commands);
        for (effect, command) in seen.iter().zip(&commands) {
            prop_assert!(*effect != Effect::Content || command.ins() == 0xF0, "{:?}", command);
        }
    }

    #[test]
    fn a_secret_data_grouping_never_passes(before in sequence(), after in sequence()) {
        let mut commands = before;
        commands.push(command(PERSONALIZE_APPLET));
        commands.push(command("80E20800 05 8201 0A 0000"));
        let secret = commands.len() - 1;
        commands.extend(after);
        let seen = effects(SD, &rules(), &commands);
        for (index, (effect, command)) in seen.iter().zip(&commands).enumerate().skip(secret) {
            let write = index == secret || command.ins() == 0xE2;
            prop_assert!(!write || *effect >= Effect::KeyWrite, "{}: {:?}", index, command);
        }
    }
}
