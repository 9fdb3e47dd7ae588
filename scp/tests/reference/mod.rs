//! A second classifier: no state, but a table, and for each command the whole history read again.

use scp::{ApplicationProbe, CommandApdu, ContentRules, Effect, ServiceProfile};

pub(crate) const FILE: &str = "D27600000001";
pub(crate) const MODULE: &str = "D27600000002";
pub(crate) const APPLET: &str = "D27600000003";
pub(crate) const SD: &str = "D27600000004";

const PUBLIC: [u16; 2] = [0x0101, 0x0102];

pub(crate) fn rules() -> ContentRules {
    ServiceProfile {
        name: "service".into(),
        load_file: FILE.parse().unwrap(),
        module: MODULE.parse().unwrap(),
        applet: APPLET.parse().unwrap(),
        install_parameters: vec![0x81, 0x00],
        privileges: vec![0x00],
        public_dgis: PUBLIC.to_vec(),
        secret_dgis: vec![0x8201, 0x8010],
        probe: Some(ApplicationProbe { life_cycle: 0x0F, tag: 0xDF20 }),
    }
    .content_rules()
}

/// What a row of the table says of a command whose class and instruction it names.
enum Row {
    Read(&'static str),
    Load,
    StoreData,
    Exactly(&'static str),
    Otherwise(Effect),
}

/// Class bytes by kind: interindustry and GlobalPlatform, each with its channels.
fn kind(cla: u8) -> Option<(char, u8)> {
    let kind = if cla < 0x80 { 'I' } else { 'G' };
    match cla & 0x7F {
        0 | 4 => Some((kind, 0)),
        1 | 5 => Some((kind, 1)),
        2 | 6 => Some((kind, 2)),
        3 | 7 => Some((kind, 3)),
        0x40..=0x4F => Some((kind, 4 + (cla & 0x0F))),
        0x60..=0x6F => Some((kind, 4 + (cla & 0x0F))),
        _ => None,
    }
}

/// Patterns are hexadecimal with `x` for any digit and `*` for any rest.
const TABLE: &[(&str, u8, Row)] = &[
    ("I", 0xA4, Row::Read("0400*")),
    ("I", 0x70, Row::Read("00xx")),
    ("I", 0x70, Row::Read("80xx")),
    ("IG", 0xC0, Row::Read("0000")),
    ("IG", 0xCA, Row::Read("xxxx")),
    ("IG", 0xCB, Row::Read("xxxx")),
    ("G", 0xF2, Row::Read("8000*")),
    ("G", 0xF2, Row::Read("4000*")),
    ("G", 0xF2, Row::Read("2000*")),
    ("G", 0xF2, Row::Read("1000*")),
    ("G", 0xF2, Row::Read("8002*")),
    ("G", 0xF2, Row::Read("4002*")),
    ("G", 0xF2, Row::Read("2002*")),
    ("G", 0xF2, Row::Read("1002*")),
    ("G", 0xF2, Row::Read("4003*")),
    ("G", 0xF2, Row::Read("2003*")),
    ("G", 0xF2, Row::Read("1003*")),
    ("G", 0xF2, Row::Read("8003*")),
    ("G", 0x50, Row::Read("*")),
    ("G", 0x82, Row::Read("*")),
    ("G", 0xE8, Row::Load),
    ("G", 0xE2, Row::StoreData),
    ("G", 0xE6, Row::Exactly("0200 06D27600000001 00 00 00 00")),
    (
        "G",
        0xE6,
        Row::Exactly("0400 06D27600000001 06D27600000002 06D27600000003 0100 04C9028100 00"),
    ),
    (
        "G",
        0xE6,
        Row::Exactly("0C00 06D27600000001 06D27600000002 06D27600000003 0100 04C9028100 00"),
    ),
    ("G", 0xE6, Row::Exactly("0800 00 00 06D27600000003 0100 00 00")),
    ("G", 0xE6, Row::Exactly("2000 00 00 06D27600000003 00 00 00")),
    ("G", 0xF0, Row::Exactly("400F D27600000004")),
    ("G", 0xE4, Row::Otherwise(Effect::Destroy)),
];

/// Commands to throw into a sequence.
pub(crate) fn disturbances() -> Vec<CommandApdu> {
    [
        "00A4040006D2760000000400",
        "00A4040006D2760000000300",
        "00A4040006D2760000000900",
        "00A4040000",
        "01A4040006D2760000000400",
        "8050300008010203040506070800",
        "8482330010000102030405060708090A0B0C0D0E0F",
        "80E620000C000006D2760000000300000000",
        "80E620000C000006D2760000000900000000",
        "81E620000C000006D2760000000300000000",
        "80E602000B06D276000000010000000000",
        "80E602000B06D276000000090000000000",
        "80E80000011100",
        "80E88001011100",
        "80E88000011100",
        "80F0400F06D27600000004",
        "80F0408006D27600000004",
        "80F0400706D27600000003",
        "80D83081013100",
        "80E4000003D2013000",
        "80F24002024F0000",
        "80CA00E000",
        "80E288000401010155",
    ]
    .iter()
    .map(|text| CommandApdu::parse(&hex::decode(text).unwrap()).unwrap())
    .collect()
}

/// The effect of each command of a session opened to `target`.
pub(crate) fn classify(target: &str, commands: &[CommandApdu]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for index in 0..commands.len() {
        let history = &commands[..=index];
        let command = &history[index];
        let alone = look_up(target, history);
        let elsewhere = kind(command.cla()).is_none_or(|(_, channel)| channel != 0);
        let spoiled = effects.iter().any(|effect| *effect >= Effect::KeyWrite)
            || history[..index].iter().any(|it| is_select(it) && !names(it, target));
        let spoiled = spoiled || elsewhere;
        effects.push(if alone == Effect::Content && spoiled { Effect::KeyWrite } else { alone });
    }
    effects
}

fn look_up(target: &str, history: &[CommandApdu]) -> Effect {
    let command = history.last().unwrap();
    let Some((kind, _)) = kind(command.cla()) else { return Effect::KeyWrite };
    let text = body(command);
    for (kinds, ins, row) in TABLE {
        if !kinds.contains(kind) || *ins != command.ins() {
            continue;
        }
        match row {
            Row::Read(pattern) if matches(pattern, &text) => return Effect::Read,
            Row::Exactly(wanted) if wanted.replace(' ', "") == text && target == SD => {
                return Effect::Content;
            }
            Row::Load if target == SD && loads_in_turn(history) => return Effect::Content,
            Row::StoreData if stores_public(target, history) => return Effect::Content,
            Row::Otherwise(effect) => return *effect,
            _ => {}
        }
    }
    let locks =
        kind == 'G' && command.ins() == 0xF0 && (command.p1() >= 0x80 || command.p2() >= 0x80);
    let moves = kind == 'G' && command.ins() == 0xE6 && command.p1() & 0x50 != 0;
    let lists_tags = matches!(command.ins(), 0xCA | 0xCB) && is_one_tag_list(command.data());
    match (locks || moves, lists_tags) {
        (true, _) => Effect::Destroy,
        (false, true) => Effect::Read,
        (false, false) => Effect::KeyWrite,
    }
}

fn body(command: &CommandApdu) -> String {
    let parameters = [command.p1(), command.p2()];
    hex::encode_upper([&parameters[..], command.data()].concat())
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => {
            pattern.len() == text.len()
                && pattern
                    .chars()
                    .zip(text.chars())
                    .all(|(wanted, got)| wanted == 'x' || wanted == got)
        }
    }
}

fn is_one_tag_list(data: &[u8]) -> bool {
    match data {
        [0x5C, length @ 0..=0x7F, rest @ ..] => rest.len() == usize::from(*length),
        [0x5C, 0x81, length, rest @ ..] => rest.len() == usize::from(*length),
        _ => false,
    }
}

fn is_select(command: &CommandApdu) -> bool {
    matches!(kind(command.cla()), Some(('I', _)))
        && command.ins() == 0xA4
        && (command.p1(), command.p2()) == (4, 0)
}

fn names(command: &CommandApdu, target: &str) -> bool {
    hex::encode_upper(command.data()) == target
}

fn is_gp(command: &CommandApdu, ins: u8) -> bool {
    matches!(kind(command.cla()), Some(('G', _))) && command.ins() == ins
}

/// Where the session, as the SE sees it, last began.
fn beginning(history: &[CommandApdu]) -> usize {
    history
        .iter()
        .rposition(|it| is_select(it) || is_gp(it, 0x50) || is_gp(it, 0x82))
        .map_or(0, |index| index + 1)
}

/// LOAD blocks since the last INSTALL [for load], numbered without a gap, none of them the last.
fn loads_in_turn(history: &[CommandApdu]) -> bool {
    let history = &history[beginning(history)..];
    let announced = |it: &CommandApdu| is_gp(it, 0xE6) && it.p1() == 0x02;
    let Some(start) = history.iter().rposition(announced) else { return false };
    let blocks: Vec<_> = history[start + 1..].iter().filter(|it| is_gp(it, 0xE8)).collect();
    let (last, before) = blocks.split_last().unwrap();
    before.iter().all(|it| it.p1() == 0x00)
        && matches!(last.p1(), 0x00 | 0x80)
        && blocks.iter().enumerate().all(|(number, it)| usize::from(it.p2()) == number % 256)
}

/// All STORE DATA since the personalization began, joined and read as one: it must be public
/// throughout, no identifier or length may lie across two blocks, and the last block ends it all.
fn stores_public(target: &str, history: &[CommandApdu]) -> bool {
    let history = &history[beginning(history)..];
    let (current, past) = history.split_last().unwrap();
    let begins = |it: &CommandApdu| is_gp(it, 0xE6) && it.p1() == 0x20;
    let ends = |it: &CommandApdu| is_gp(it, 0xE2) && it.p1() & 0x80 != 0;
    let start = match past.iter().rposition(|it| begins(it) || ends(it)) {
        Some(at) if target == APPLET || begins(&past[at]) => at + 1,
        None if target == APPLET => 0,
        _ => return false,
    };
    let mut blocks: Vec<_> = past[start..].iter().filter(|it| is_gp(it, 0xE2)).collect();
    blocks.push(current);
    let in_form = blocks.iter().enumerate().all(|(number, it)| {
        it.p1() & 0x7E == 0x08 && usize::from(it.p2()) == number && !it.data().is_empty()
    });
    let joined: Vec<u8> = blocks.iter().flat_map(|it| it.data()).copied().collect();
    let ends_of_blocks: Vec<usize> = blocks
        .iter()
        .scan(0, |end, it| {
            *end += it.data().len();
            Some(*end)
        })
        .collect();
    let mut at = 0;
    while at < joined.len() {
        let Some((tag, header, length)) = header(&joined[at..]) else { return false };
        let torn = ends_of_blocks.iter().any(|end| (at + 1..at + header).contains(end));
        if torn || !PUBLIC.contains(&tag) {
            return false;
        }
        at += header + length;
    }
    in_form && (at == joined.len() || current.p1() & 0x80 == 0)
}

fn header(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let tag = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    match *bytes.get(2)? {
        0xFF => {
            let length = u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]);
            (length >= 255).then_some((tag, 5, length.into()))
        }
        length => Some((tag, 3, length.into())),
    }
}
