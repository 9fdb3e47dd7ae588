//! A command APDU in GlobalPlatform's words, field by field.
//!
//! Tells what the bytes say, not whether they are right: what does not parse is shown as it is. A
//! wrapped command is explained by its header; its data is a cryptogram and a MAC.

use std::fmt;

use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::content::class::Class;
use crate::content::install::{fields, purpose};
use crate::content::status_data::Scope;
use crate::content::{ins, status_data};
use crate::tlv;

/// One field: its name, its bytes, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Name of the field.
    pub field: &'static str,
    /// Its bytes, upper-case hexadecimal.
    pub bytes: String,
    /// What they mean; empty where the name says it all.
    pub meaning: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<28} {}", self.field, self.bytes)?;
        if self.meaning.is_empty() { Ok(()) } else { write!(f, "  {}", self.meaning) }
    }
}

fn line(field: &'static str, bytes: &[u8], meaning: impl Into<String>) -> Line {
    Line { field, bytes: hex::encode_upper(bytes), meaning: meaning.into() }
}

/// The fields of a command in their order: header, data, Le.
///
/// # Security
/// The data comes back in the lines. Of a command in the clear that may be a secret.
#[must_use]
pub fn command(command: &CommandApdu) -> Vec<Line> {
    let (ins, p1, p2) = (command.ins(), command.p1(), command.p2());
    let mut lines = vec![
        line("CLA", &[command.cla()], class(command.cla())),
        line("INS", &[ins], instruction(ins)),
        line("P1", &[p1], first_parameter(ins, p1)),
        line("P2", &[p2], second_parameter(ins, p2)),
    ];
    if !command.data().is_empty() {
        lines.push(line("Lc", lc(command).as_slice(), format!("{} bytes", command.data().len())));
        lines.extend(data(command));
    }
    if let Some(le) = command.le() {
        let meaning = match (le, command.is_extended()) {
            (256, false) | (65_536, true) => "as much as there is".to_owned(),
            (le, _) => format!("at most {le} bytes"),
        };
        let [_, _, high, low] = le.to_be_bytes();
        let bytes = if command.is_extended() { vec![high, low] } else { vec![low] };
        lines.push(line("Le", &bytes, meaning));
    }
    lines
}

fn lc(command: &CommandApdu) -> Vec<u8> {
    let [.., high, low] = command.data().len().to_be_bytes();
    if command.is_extended() { vec![0, high, low] } else { vec![low] }
}

fn class(cla: u8) -> String {
    let Some(class) = Class::of(cla) else {
        return "ISO secure messaging, chaining, or reserved".to_owned();
    };
    let whose = if class.is_proprietary() { "GlobalPlatform" } else { "ISO/IEC 7816" };
    let secured = if is_secured(cla) { ", secure messaging" } else { "" };
    match class.channel() {
        0 => format!("{whose} command{secured}"),
        channel => format!("{whose} command{secured}, logical channel {channel}"),
    }
}

/// Bit 3 of the first coding, bit 6 of the further one (CS 2.3.1 Tables 11-11 and 11-12).
fn is_secured(cla: u8) -> bool {
    if cla & 0x40 == 0 { cla & 0x04 != 0 } else { cla & 0x20 != 0 }
}

fn instruction(ins: u8) -> &'static str {
    match ins {
        ins::INITIALIZE_UPDATE => "INITIALIZE UPDATE",
        ins::MANAGE_CHANNEL => "MANAGE CHANNEL",
        ins::EXTERNAL_AUTHENTICATE => "EXTERNAL AUTHENTICATE",
        ins::SELECT => "SELECT",
        ins::GET_RESPONSE => "GET RESPONSE",
        ins::GET_DATA | ins::GET_DATA_ISO => "GET DATA",
        ins::PUT_KEY => "PUT KEY",
        ins::STORE_DATA => "STORE DATA",
        ins::DELETE => "DELETE",
        ins::INSTALL => "INSTALL",
        ins::LOAD => "LOAD",
        ins::SET_STATUS => "SET STATUS",
        ins::GET_STATUS => "GET STATUS",
        _ => "not an instruction of card content management",
    }
}

fn first_parameter(ins: u8, p1: u8) -> String {
    match ins {
        ins::INSTALL => install_purpose(p1),
        ins::STORE_DATA => store_data_form(p1),
        ins::LOAD if p1 & 0x80 != 0 => "last block".to_owned(),
        ins::LOAD => "more blocks follow".to_owned(),
        ins::DELETE if p1 & 0x80 != 0 => "more DELETE commands follow".to_owned(),
        ins::PUT_KEY if p1 & 0x7F == 0 => "adds keys".to_owned(),
        ins::PUT_KEY => format!("replaces keys of Key Version Number {:02X}", p1 & 0x7F),
        ins::INITIALIZE_UPDATE if p1 == 0 => "default key set".to_owned(),
        ins::INITIALIZE_UPDATE => "Key Version Number".to_owned(),
        ins::EXTERNAL_AUTHENTICATE => security_level(p1),
        ins::SELECT if p1 == 0x04 => "by name".to_owned(),
        ins::GET_STATUS => scope(p1).to_owned(),
        ins::SET_STATUS => status_type(p1).to_owned(),
        ins::GET_DATA | ins::GET_DATA_ISO => "tag, first byte".to_owned(),
        _ => String::new(),
    }
}

fn second_parameter(ins: u8, p2: u8) -> String {
    match ins {
        ins::STORE_DATA | ins::LOAD => format!("block {p2}"),
        ins::DELETE if p2 & 0x80 != 0 => "object and related objects".to_owned(),
        ins::DELETE => "object alone".to_owned(),
        ins::PUT_KEY if p2 & 0x80 != 0 => format!("several keys, from identifier {}", p2 & 0x7F),
        ins::PUT_KEY => format!("one key, identifier {p2}"),
        ins::SET_STATUS if p2 & 0x80 != 0 => "LOCKED".to_owned(),
        ins::SET_STATUS => "life cycle state".to_owned(),
        ins::GET_STATUS if p2 & 0x01 != 0 => "next occurrences".to_owned(),
        ins::GET_STATUS => "first or all occurrences".to_owned(),
        ins::GET_DATA | ins::GET_DATA_ISO => "tag, second byte".to_owned(),
        _ => String::new(),
    }
}

fn install_purpose(p1: u8) -> String {
    const PURPOSES: [(u8, &str); 6] = [
        (purpose::LOAD, "load"),
        (purpose::INSTALL, "install"),
        (purpose::MAKE_SELECTABLE, "make selectable"),
        (purpose::EXTRADITION, "extradition"),
        (purpose::PERSONALIZATION, "personalization"),
        (purpose::REGISTRY_UPDATE, "registry update"),
    ];
    let named: Vec<&str> =
        PURPOSES.iter().filter(|(bit, _)| p1 & bit != 0).map(|(_, name)| *name).collect();
    let more = if p1 & 0x80 != 0 { ", more INSTALL commands follow" } else { "" };
    format!("for {}{more}", named.join(" and "))
}

fn store_data_form(p1: u8) -> String {
    let place = if p1 & 0x80 != 0 { "last block" } else { "more blocks follow" };
    let form = match p1 & 0x18 {
        0x08 => "DGI format",
        0x10 => "BER-TLV format",
        0x00 => "format up to the application",
        _ => "reserved format",
    };
    let encryption = match p1 & 0x60 {
        0x00 => "",
        0x20 => ", encryption up to the application",
        0x60 => ", values encrypted",
        _ => ", reserved encryption",
    };
    format!("{place}, {form}{encryption}")
}

fn security_level(p1: u8) -> String {
    const PARTS: [(u8, &str); 4] =
        [(0x01, "C-MAC"), (0x02, "C-DECRYPTION"), (0x10, "R-MAC"), (0x20, "R-ENCRYPTION")];
    let named: Vec<&str> =
        PARTS.iter().filter(|(bit, _)| p1 & bit != 0).map(|(_, name)| *name).collect();
    if named.is_empty() { "no secure messaging".to_owned() } else { named.join(", ") }
}

fn scope(p1: u8) -> &'static str {
    match Scope::from_p1(p1) {
        Some(Scope::IssuerSecurityDomain) => "Issuer Security Domain",
        Some(Scope::Applications) => "applications and Security Domains",
        Some(Scope::LoadFiles) => "Executable Load Files",
        Some(Scope::LoadFilesAndModules) => "Executable Load Files and modules",
        None => "reserved",
    }
}

fn status_type(p1: u8) -> &'static str {
    match p1 & 0xE0 {
        0x80 => "Issuer Security Domain, that is the card",
        status_data::APPLICATION => "application or Security Domain",
        0x60 => "Security Domain and its applications",
        _ => "reserved",
    }
}

fn data(command: &CommandApdu) -> Vec<Line> {
    let data = command.data();
    let whole = |field| vec![line(field, data, "")];
    if is_secured(command.cla()) && command.ins() != ins::EXTERNAL_AUTHENTICATE {
        return whole("Data with C-MAC");
    }
    match command.ins() {
        ins::INSTALL => install_fields(command.p1(), data).unwrap_or_else(|| whole("Install data")),
        ins::STORE_DATA if command.p1() & 0x18 == 0x08 && command.p2() == 0 => groupings(data),
        ins::STORE_DATA => whole("Data, perhaps within a value"),
        ins::SELECT | ins::SET_STATUS => whole("AID"),
        ins::LOAD => whole("Part of the Load File"),
        ins::INITIALIZE_UPDATE => whole("Host challenge"),
        ins::EXTERNAL_AUTHENTICATE => external_authenticate(data),
        ins::PUT_KEY => put_key(data),
        ins::DELETE | ins::GET_STATUS | ins::GET_DATA | ins::GET_DATA_ISO => {
            objects(data).unwrap_or_else(|| whole("Data"))
        }
        _ => whole("Data"),
    }
}

/// Names of the fields of INSTALL data by purpose (CS 2.3.1 §11.5.2.3).
fn install_fields(p1: u8, data: &[u8]) -> Option<Vec<Line>> {
    const LOAD: [&str; 5] = [
        "Load File AID",
        "Security Domain AID",
        "Load File Data Block Hash",
        "Load Parameters",
        "Load Token",
    ];
    const INSTALL: [&str; 6] = [
        "Executable Load File AID",
        "Executable Module AID",
        "Application AID",
        "Privileges",
        "Install Parameters",
        "Install Token",
    ];
    const EXTRADITION: [&str; 6] = [
        "Security Domain AID",
        "(empty)",
        "Application AID",
        "(empty)",
        "Extradition Parameters",
        "Extradition Token",
    ];
    let names: &[&'static str] = match p1 & 0x7F {
        purpose::LOAD => &LOAD,
        purpose::EXTRADITION => &EXTRADITION,
        _ => &INSTALL,
    };
    let fields = fields(data).filter(|fields| fields.len() == names.len())?;
    let shown = names.iter().zip(fields).filter(|(_, field)| !field.is_empty());
    Some(shown.map(|(name, field)| line(name, field, "")).collect())
}

fn groupings(mut data: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    while let [high, low, length, after @ ..] = data {
        let (length, after) = match (length, after) {
            (0xFF, [l1, l0, after @ ..]) => (usize::from(u16::from_be_bytes([*l1, *l0])), after),
            (length, after) => (usize::from(*length), after),
        };
        lines.push(line("Data Grouping", &[*high, *low], format!("{length} bytes")));
        let (value, rest) = after.split_at_checked(length).unwrap_or((after, &[]));
        let meaning = if value.len() < length { "goes on in the next block" } else { "" };
        lines.push(line("  value", value, meaning));
        data = rest;
    }
    if !data.is_empty() {
        lines.push(line("Data", data, "no whole Data Grouping"));
    }
    lines
}

fn external_authenticate(data: &[u8]) -> Vec<Line> {
    // Cryptogram and C-MAC, 8 bytes each, or 16 in S16.
    if matches!(data.len(), 16 | 32) {
        let (cryptogram, mac) = data.split_at(data.len() / 2);
        vec![line("Host cryptogram", cryptogram, ""), line("C-MAC", mac, "")]
    } else {
        vec![line("Data", data, "")]
    }
}

fn put_key(data: &[u8]) -> Vec<Line> {
    match data.split_first() {
        Some((version, keys)) => vec![
            line("New Key Version Number", &[*version], ""),
            line("Key data fields", keys, "type, encrypted key, check value of each"),
        ],
        None => Vec::new(),
    }
}

fn objects(data: &[u8]) -> Option<Vec<Line>> {
    tlv::objects(data)
        .map(|object| {
            let object = object.ok()?;
            let (field, meaning) = match object.tag() {
                0x4F if object.value().is_empty() => ("AID", "every one".to_owned()),
                0x4F => (
                    "AID",
                    Aid::new(object.value()).err().map_or_else(String::new, |why| why.to_string()),
                ),
                0x5C => ("Tag list", String::new()),
                0xD0 => ("Key Identifier", String::new()),
                0xD2 => ("Key Version Number", String::new()),
                tag => ("Data object", format!("tag {tag:X}")),
            };
            Some(line(field, object.value(), meaning))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn explained(text: &str) -> Vec<String> {
        let parsed = CommandApdu::parse(&hex::decode(text).unwrap()).unwrap();
        command(&parsed).iter().map(Line::to_string).collect()
    }

    fn says(text: &str, field: &str, meaning: &str) -> bool {
        explained(text).iter().any(|line| line.starts_with(field) && line.contains(meaning))
    }

    #[test]
    fn an_install_is_told_field_by_field() {
        let text = "80E60C001D06D2760000000106D2760000000206D27600000003010004C90281000000";
        assert!(says(text, "P1", "for install and make selectable"));
        assert!(says(text, "Executable Module AID", "D27600000002"));
        assert!(says(text, "Install Parameters", "C9028100"));
        assert!(says(text, "Le", "as much as there is"));
    }

    #[test]
    fn key_commands_are_told_by_their_names() {
        assert!(says("80D83081013100", "P1", "Key Version Number 30"));
        assert!(says("80E4000003D2013000", "Key Version Number", "30"));
        assert!(says("80E20800050101055566", "  value", "goes on in the next block"));
        assert!(says("80E288000401010155", "P1", "last block, DGI format"));
        assert!(says("8482330010000102030405060708090A0B0C0D0E0F", "Host cryptogram", "0001"));
        assert!(says("84E4000003D2013000", "Data with C-MAC", "D20130"));
        assert!(says("81CA00E000", "CLA", "logical channel 1"));
        assert!(says("80F24002024F0000", "AID", "every one"));
    }

    proptest! {
        #[test]
        fn every_command_has_its_four_header_lines(
            header in any::<[u8; 4]>(),
            data in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let [cla, ins, p1, p2] = header;
            if let Ok(parsed) = CommandApdu::new(cla, ins, p1, p2, data, Some(256)) {
                let lines = command(&parsed);
                let names: Vec<&str> = lines.iter().take(4).map(|line| line.field).collect();
                prop_assert_eq!(names, ["CLA", "INS", "P1", "P2"]);
                prop_assert_eq!(lines.last().unwrap().field, "Le");
            }
        }
    }
}
