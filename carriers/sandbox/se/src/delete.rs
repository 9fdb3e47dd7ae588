//! DELETE of card content and of keys (CS 11.2, 9.5).

use crate::aid::Aid;
use crate::apdu::Command;
use crate::command::Turn;
use crate::key_set::KeySet;
use crate::privileges::Privilege;
use crate::registry::{Card, Entry, SecurityDomain};
use crate::status::{Answer, Stop, Sw};
use crate::tlv::Reader;

/// P2: the load file and all applications made from it.
const WITH_RELATED: u8 = 0x80;

pub(crate) fn delete(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    if command.p1 != 0 || !matches!(command.p2, 0x00 | WITH_RELATED) {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    match command.data.first() {
        Some(0x4F) => delete_content(turn, &command.data, command.p2 == WITH_RELATED)?,
        _ => delete_keys(turn, &command.data)?,
    }
    Ok(Answer::no_confirmation())
}

fn delete_content(turn: &mut Turn<'_>, data: &[u8], with_related: bool) -> Result<(), Stop> {
    let performing = turn.managing()?;
    let mut reader = Reader::new(data);
    let aid = reader.expect(0x4F).and_then(Aid::new).ok_or(Sw::WRONG_DATA)?;
    // A token template may follow (CS Table 11-23); nothing here verifies one.
    if !reader.is_empty() {
        return Err(Sw::WRONG_DATA.into());
    }
    let card = turn.store.card();
    let global = turn.selected()?.privileges.has(Privilege::GlobalDelete);
    let may_delete = |associated: &Aid| global || *associated == performing;
    if let Some(entry) = card.entry(&aid) {
        if !may_delete(&entry.associated) {
            return Err(Sw::CONDITIONS.into());
        }
        check_deletable(turn, entry)?;
        turn.store.change(|card| {
            card.entries.retain(|entry| entry.aid != aid);
            Ok(())
        })
    } else {
        let file = card.load_file(&aid).ok_or(Sw::NOT_FOUND)?;
        if aid == Aid::SECURITY_DOMAIN_FILE || !may_delete(&file.associated) {
            return Err(Sw::CONDITIONS.into());
        }
        for entry in card.entries.iter().filter(|entry| entry.load_file == aid) {
            if !with_related {
                return Err(Sw::DATA_NOT_FOUND.into());
            }
            if !may_delete(&entry.associated) {
                return Err(Sw::CONDITIONS.into());
            }
            check_deletable(turn, entry)?;
        }
        turn.store.change(|card| {
            card.entries.retain(|entry| entry.load_file != aid);
            card.load_files.retain(|file| file.aid != aid);
            Ok(())
        })
    }
}

/// Not the issuer's, not selected anywhere, nothing associated with it (CS 9.5.1).
fn check_deletable(turn: &Turn<'_>, entry: &Entry) -> Result<(), Sw> {
    let selected = entry.aid == turn.channel.selected || turn.is_selected_elsewhere(&entry.aid);
    if entry.is_issuer() || selected {
        return Err(Sw::CONDITIONS);
    }
    if has_associated(turn.store.card(), &entry.aid) {
        return Err(Sw::DATA_NOT_FOUND);
    }
    Ok(())
}

fn has_associated(card: &Card, aid: &Aid) -> bool {
    let others = card.entries.iter().filter(|entry| entry.aid != *aid);
    others.map(|entry| &entry.associated).any(|associated| associated == aid)
        || card.load_files.iter().any(|file| file.associated == *aid)
}

/// DELETE \[key\] by Key Version Number, identifier, or both (CS Table 11-24).
///
/// The set a session runs under may go, but a Security Domain keeps at least one complete set (AmdD 6.1).
fn delete_keys(turn: &mut Turn<'_>, data: &[u8]) -> Result<(), Stop> {
    let performing = turn.performing()?;
    let (identifier, kvn) = parse_selection(data).ok_or(Sw::WRONG_DATA)?;
    turn.store.change(|card| {
        let domain = card.domain_mut(&performing).ok_or(Sw::CONDITIONS)?;
        if remove_keys(domain, identifier, kvn) == 0 {
            return Err(Sw::DATA_NOT_FOUND);
        }
        if !domain.key_sets.iter().any(|set| set.complete().is_some()) {
            return Err(Sw::CONDITIONS);
        }
        Ok(())
    })
}

/// Removes the keys selected, and sets left without any; returns how many keys went.
fn remove_keys(domain: &mut SecurityDomain, identifier: Option<u8>, kvn: Option<u8>) -> usize {
    let is_meant = |set: &KeySet| kvn.is_none_or(|kvn| set.kvn == kvn);
    let mut removed = 0;
    for set in domain.key_sets.iter_mut().filter(|set| is_meant(set)) {
        for (number, key) in (1u8..).zip(&mut set.keys) {
            if identifier.is_none_or(|identifier| identifier == number) {
                removed += usize::from(key.take().is_some());
            }
        }
    }
    domain.key_sets.retain(|set| set.keys.iter().any(Option::is_some));
    removed
}

fn parse_selection(data: &[u8]) -> Option<(Option<u8>, Option<u8>)> {
    let mut reader = Reader::new(data);
    let (mut identifier, mut kvn) = (None, None);
    while !reader.is_empty() {
        let slot = match reader.tlv()? {
            (0xD0, [value]) => identifier.replace(*value),
            (0xD2, [value]) => kvn.replace(*value),
            _ => return None,
        };
        if slot.is_some() {
            return None;
        }
    }
    (identifier.is_some() || kvn.is_some()).then_some((identifier, kvn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let parse = |text: &str| parse_selection(&hex::decode(text).unwrap());
        assert_eq!(parse("D20130"), Some((None, Some(0x30))));
        assert_eq!(parse("D00102D20130"), Some((Some(2), Some(0x30))));
        assert_eq!(parse("D00101"), Some((Some(1), None)));
        for refused in ["", "D2023031", "D20130D20131", "4F05A000000001", "D201"] {
            assert_eq!(parse(refused), None, "{refused}");
        }
    }
}
