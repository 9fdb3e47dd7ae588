//! An APDU field by field, in GlobalPlatform's words.

use scp::{CommandApdu, StatusWord};
use serde::Serialize;

/// One field.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) field: &'static str,
    pub(super) hex: String,
    pub(super) meaning: String,
}

/// A command; or, for two bytes, a status word.
pub(super) fn apdu(bytes: &[u8]) -> Result<Vec<Line>, String> {
    if let [sw1, sw2] = *bytes {
        let status = StatusWord(u16::from_be_bytes([sw1, sw2]));
        return Ok(vec![line("SW", &status.to_string(), status.meaning())]);
    }
    let command = CommandApdu::parse(bytes).map_err(|cause| cause.to_string())?;
    let mut lines = vec![
        line("CLA", &byte(command.cla()), class(command.cla())),
        line("INS", &byte(command.ins()), &instruction(command.ins())),
        line("P1", &byte(command.p1()), parameter(&command).0),
        line("P2", &byte(command.p2()), parameter(&command).1),
    ];
    if !command.data().is_empty() {
        let length = command.data().len();
        let coding = if command.is_extended() { "extended" } else { "short" };
        lines.push(line(
            "Lc",
            &format!("{length:02X}"),
            &format!("{length} bytes of data, {coding}"),
        ));
        lines.push(line("Data", &hex::encode_upper(command.data()), data(&command)));
    }
    if let Some(expected) = command.le() {
        lines.push(line(
            "Le",
            &format!("{:02X}", expected % 256),
            &format!("at most {expected} bytes are expected"),
        ));
    }
    Ok(lines)
}

/// Tables 11-11 and 11-12 of the Card Specification 2.3.1.
fn class(cla: u8) -> &'static str {
    match (cla & 0x80 != 0, cla & 0x04 != 0 || cla & 0x60 == 0x60) {
        (true, true) => "GlobalPlatform command with secure messaging",
        (true, false) => "GlobalPlatform command in clear",
        (false, true) => "ISO/IEC 7816-4 command with secure messaging",
        (false, false) => "ISO/IEC 7816-4 command in clear",
    }
}

/// Card Specification 2.3.1 §11.2 to §11.11; Amendment D §7.1; ISO/IEC 7816-4.
fn instruction(ins: u8) -> String {
    let name = match ins {
        0x20 => "VERIFY",
        0x24 => "CHANGE REFERENCE DATA",
        0x50 => "INITIALIZE UPDATE",
        0x70 => "MANAGE CHANNEL",
        0x82 => "EXTERNAL AUTHENTICATE",
        0x88 => "INTERNAL AUTHENTICATE",
        0xA4 => "SELECT",
        0xC0 => "GET RESPONSE",
        0xCA | 0xCB => "GET DATA",
        0xD8 => "PUT KEY (writes keys)",
        0xE2 => "STORE DATA (may write keys)",
        0xE4 => "DELETE",
        0xE6 => "INSTALL",
        0xE8 => "LOAD",
        0xF0 => "SET STATUS",
        0xF2 => "GET STATUS",
        _ => return "not a command this gateway sends".to_owned(),
    };
    name.to_owned()
}

/// P1 and P2 of the commands that have something to say there.
fn parameter(command: &CommandApdu) -> (&'static str, &'static str) {
    match (command.ins(), command.p1()) {
        (0x50, _) => ("Key Version Number, 00 for the first found", "Key Identifier"),
        (0x82, _) => ("security level", "-"),
        (0xA4, 0x04) => ("by name (AID)", "first or only occurrence"),
        (0xD8, 0x00) => ("a new key set is added", "Key Identifier; bit 8: several keys"),
        (0xD8, _) => {
            ("Key Version Number of the set replaced", "Key Identifier; bit 8: several keys")
        }
        (0xE2, p1) if p1 & 0x80 != 0 => ("last block", "block number"),
        (0xE2, _) => ("more blocks follow", "block number"),
        (0xE4, _) => ("-", "bit 8: with related objects"),
        (0xE6, 0x02) => ("for load", "-"),
        (0xE6, 0x04) => ("for install", "-"),
        (0xE6, 0x08) => ("for make selectable", "-"),
        (0xE6, 0x0C) => ("for install and make selectable", "-"),
        (0xE6, 0x10) => ("for extradition", "-"),
        (0xE6, 0x20) => ("for personalization", "-"),
        (0xE6, 0x40) => ("for registry update", "-"),
        (0xE8, p1) if p1 & 0x80 != 0 => ("last block", "block number"),
        (0xE8, _) => ("more blocks follow", "block number"),
        (0xF2, 0x80) => ("Issuer Security Domain", "bit 1: next occurrence, bit 2: BER-TLV answer"),
        (0xF2, 0x40) => {
            ("applications and Security Domains", "bit 1: next occurrence, bit 2: BER-TLV answer")
        }
        (0xF2, 0x20) => ("Executable Load Files", "bit 1: next occurrence, bit 2: BER-TLV answer"),
        (0xF2, 0x10) => (
            "Executable Load Files and their modules",
            "bit 1: next occurrence, bit 2: BER-TLV answer",
        ),
        (0xCA, _) => ("tag, high byte", "tag, low byte"),
        _ => ("-", "-"),
    }
}

fn data(command: &CommandApdu) -> &'static str {
    let secured = command.cla() & 0x04 != 0;
    match command.ins() {
        0x50 => "host challenge",
        0x82 => "host cryptogram and C-MAC",
        0xA4 => "AID",
        _ if secured => "secured: perhaps encrypted, then 8 bytes of C-MAC",
        0xD8 => "new Key Version Number, then keys with their check values",
        0xE2 => "data groupings (DGI, length, value)",
        0xE4 => "4F AID, or D0 Key Identifier, D2 Key Version Number",
        _ => "-",
    }
}

fn byte(value: u8) -> String {
    format!("{value:02X}")
}

fn line(field: &'static str, hex: &str, meaning: &str) -> Line {
    Line { field, hex: hex.to_owned(), meaning: meaning.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meanings(apdu_hex: &str) -> Vec<String> {
        apdu(&hex::decode(apdu_hex).unwrap())
            .unwrap()
            .into_iter()
            .map(|line| line.meaning)
            .collect()
    }

    #[test]
    fn commands_and_status_words_are_named() {
        let lines = meanings("8050300008000102030405060700");
        assert_eq!(lines[1], "INITIALIZE UPDATE");
        assert_eq!(lines.last().unwrap(), "at most 256 bytes are expected");
        assert_eq!(meanings("6A88"), ["referenced data not found"]);
        assert_eq!(meanings("84E6200000")[2], "for personalization");
        assert!(apdu(&[0x80]).is_err());
    }
}
