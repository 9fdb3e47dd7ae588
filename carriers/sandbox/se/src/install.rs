//! INSTALL [for load | install | make selectable | extradition | personalization] (CS 11.5).

use crate::aid::Aid;
use crate::apdu::Command;
use crate::command::Turn;
use crate::load::Loading;
use crate::privileges::{Privilege, Privileges};
use crate::registry::{Application, Card, Entry, Role, SecurityDomain, life_cycle};
use crate::status::{Answer, Stop, Sw};
use crate::store_data::Blocks;
use crate::tlv::Reader;

/// The longest parameters field: far beyond what anything installed here reads.
const PARAMETERS_BYTES_MAX: usize = 1024;

pub(crate) fn install(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    if command.p2 != 0 {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    match command.p1 {
        0x02 => for_load(turn, &command.data),
        0x04 => for_install(turn, &command.data, life_cycle::INSTALLED),
        0x0C => for_install(turn, &command.data, life_cycle::SELECTABLE),
        0x08 => for_make_selectable(turn, &command.data),
        0x10 => for_extradition(turn, &command.data),
        0x20 => for_personalization(turn, &command.data),
        _ => Err(Sw::INCORRECT_P1_P2.into()),
    }
}

/// INSTALL [for load]: AID, Security Domain, hash, parameters, token (CS Table 11-42).
fn for_load(turn: &mut Turn<'_>, data: &[u8]) -> Result<Answer, Stop> {
    let performing = turn.managing()?;
    let mut fields = Fields::new(data);
    let load_file = fields.aid()?;
    let associated = fields.optional_aid()?.unwrap_or(performing);
    let hash = fields.plain()?;
    let parameters = fields.parameters()?;
    fields.end_without_token()?;
    check_parameters(parameters, None)?;
    if !matches!(hash.len(), 0 | 20 | 32) {
        return Err(Sw::WRONG_DATA.into());
    }
    let card = turn.store.card();
    if card.is_taken(&load_file) {
        return Err(Sw::CONDITIONS.into());
    }
    accepting_domain(card, &associated)?;
    turn.channel.loading = Some(Loading::new(load_file, associated, hash.to_vec()));
    Ok(Answer::no_confirmation())
}

/// INSTALL [for install], perhaps [and make selectable] (CS Table 11-43).
fn for_install(turn: &mut Turn<'_>, data: &[u8], state: u8) -> Result<Answer, Stop> {
    let performing = turn.managing()?;
    let mut fields = Fields::new(data);
    let load_file = fields.aid()?;
    let module = fields.aid()?;
    let aid = fields.aid()?;
    let privileges = fields.privileges()?;
    let parameters = fields.parameters()?;
    fields.end_without_token()?;
    // C9 is mandatory, if only empty (CS 11.5.2.3.7).
    check_parameters(parameters, Some(0xC9))?;

    let card = turn.store.card();
    let file = card.load_file(&load_file).ok_or(Sw::DATA_NOT_FOUND)?;
    if !file.modules.contains(&module) {
        return Err(Sw::DATA_NOT_FOUND.into());
    }
    let is_domain = module == Aid::SECURITY_DOMAIN_MODULE;
    // The Security Domain a load file belongs to accepts installations by itself only; the built-in file is anyone's.
    if !is_domain && file.associated != performing {
        return Err(Sw::CONDITIONS.into());
    }
    let allowed = if is_domain { Privileges::SUPPLEMENTARY_ALLOWED } else { Privileges::NONE };
    if !privileges.within(allowed) || privileges.has(Privilege::SecurityDomain) != is_domain {
        return Err(Sw::WRONG_DATA.into());
    }
    let role = if is_domain {
        Role::SecurityDomain(SecurityDomain::default())
    } else {
        Role::Application(Application::default())
    };
    let entry = Entry {
        aid,
        associated: performing,
        load_file,
        life_cycle: state,
        locked: false,
        privileges,
        role,
    };
    turn.store.change(|card| card.add_entry(entry))?;
    Ok(Answer::no_confirmation())
}

/// INSTALL [for make selectable] (CS Table 11-44).
fn for_make_selectable(turn: &mut Turn<'_>, data: &[u8]) -> Result<Answer, Stop> {
    let performing = turn.managing()?;
    let mut fields = Fields::new(data);
    fields.empty()?;
    fields.empty()?;
    let aid = fields.aid()?;
    fields.privileges()?;
    let parameters = fields.parameters()?;
    fields.end_without_token()?;
    check_parameters(parameters, None)?;
    turn.store.change(|card| {
        let entry = card.entry_mut(&aid).ok_or(Sw::DATA_NOT_FOUND)?;
        if entry.associated != performing || entry.life_cycle != life_cycle::INSTALLED {
            return Err(Sw::CONDITIONS);
        }
        entry.life_cycle = life_cycle::SELECTABLE;
        Ok(())
    })?;
    Ok(Answer::no_confirmation())
}

/// INSTALL [for extradition] of an application, Security Domain or load file (CS 9.4.1, Table 11-45).
fn for_extradition(turn: &mut Turn<'_>, data: &[u8]) -> Result<Answer, Stop> {
    let performing = turn.managing()?;
    let mut fields = Fields::new(data);
    let to = fields.aid()?;
    fields.empty()?;
    let moved = fields.aid()?;
    fields.empty()?;
    let parameters = fields.parameters()?;
    fields.end_without_token()?;
    check_parameters(parameters, None)?;
    if moved == Aid::ISSUER_SECURITY_DOMAIN || moved == Aid::SECURITY_DOMAIN_FILE {
        return Err(Sw::CONDITIONS.into());
    }
    turn.store.change(|card| {
        accepting_domain(card, &to)?;
        // Two Security Domains must not hang on each other: a hierarchy has a root (CS 7.2).
        let own_parent = moved != to && card.is_below(to, &moved);
        let associated = match card.entry_mut(&moved) {
            Some(entry) => &mut entry.associated,
            None => &mut card.load_file_mut(&moved).ok_or(Sw::DATA_NOT_FOUND)?.associated,
        };
        if *associated != performing || own_parent {
            return Err(Sw::CONDITIONS);
        }
        *associated = to;
        Ok(())
    })?;
    Ok(Answer::no_confirmation())
}

/// INSTALL [for personalization] of an associated application, or of a Security Domain that has no keys yet.
fn for_personalization(turn: &mut Turn<'_>, data: &[u8]) -> Result<Answer, Stop> {
    let performing = turn.performing()?;
    let mut fields = Fields::new(data);
    fields.empty()?;
    fields.empty()?;
    let aid = fields.aid()?;
    for _ in 0..3 {
        fields.empty()?;
    }
    fields.end()?;
    if !turn.selected()?.is_serving_domain() {
        return Err(Sw::CONDITIONS.into());
    }
    let target = turn.store.card().entry(&aid).ok_or(Sw::DATA_NOT_FOUND)?;
    // Once a Security Domain has keys, only they may change it: not those of the Security Domain above.
    let keyed = target.domain().is_some() && target.is_personalized();
    let reachable = target.associated == performing && target.aid != performing;
    if !reachable || keyed || target.locked || target.life_cycle < life_cycle::SELECTABLE {
        return Err(Sw::CONDITIONS.into());
    }
    turn.channel.personalizes = Some(aid);
    turn.channel.blocks = Blocks::default();
    Ok(Answer::no_confirmation())
}

/// Checks that a Security Domain takes what is to be associated with it (CS 9.4.1, 5.3.2.3).
fn accepting_domain(card: &Card, aid: &Aid) -> Result<(), Sw> {
    let entry = card.entry(aid).ok_or(Sw::DATA_NOT_FOUND)?;
    if entry.is_serving_domain() { Ok(()) } else { Err(Sw::CONDITIONS) }
}

/// Checks a parameters field: whole objects with known tags, `required` among them (CS Tables 11-48, 11-49).
fn check_parameters(field: &[u8], required: Option<u16>) -> Result<(), Sw> {
    if field.len() > PARAMETERS_BYTES_MAX {
        return Err(Sw::WRONG_DATA);
    }
    let mut reader = Reader::new(field);
    let mut found = required.is_none();
    while !reader.is_empty() {
        match reader.tlv().ok_or(Sw::WRONG_DATA)? {
            (tag @ (0xC9 | 0xEF | 0xEA | 0xCA | 0xB6), _) => found |= Some(tag) == required,
            _ => return Err(Sw::WRONG_DATA),
        }
    }
    if found { Ok(()) } else { Err(Sw::WRONG_DATA) }
}

/// The LV fields of an INSTALL data field. Every malformed one is `6A80`.
struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self(Reader::new(data))
    }

    fn plain(&mut self) -> Result<&'a [u8], Sw> {
        self.0.lv().ok_or(Sw::WRONG_DATA)
    }

    fn parameters(&mut self) -> Result<&'a [u8], Sw> {
        self.0.lv_ber().ok_or(Sw::WRONG_DATA)
    }

    fn aid(&mut self) -> Result<Aid, Sw> {
        Aid::new(self.plain()?).ok_or(Sw::WRONG_DATA)
    }

    fn optional_aid(&mut self) -> Result<Option<Aid>, Sw> {
        match self.plain()? {
            [] => Ok(None),
            aid => Aid::new(aid).map(Some).ok_or(Sw::WRONG_DATA),
        }
    }

    fn privileges(&mut self) -> Result<Privileges, Sw> {
        Privileges::parse(self.plain()?).ok_or(Sw::WRONG_DATA)
    }

    fn empty(&mut self) -> Result<(), Sw> {
        if self.plain()?.is_empty() { Ok(()) } else { Err(Sw::WRONG_DATA) }
    }

    fn end(self) -> Result<(), Sw> {
        if self.0.is_empty() { Ok(()) } else { Err(Sw::WRONG_DATA) }
    }

    /// The token field, which must be empty: nothing here verifies one (CS 11.5.2.3.1).
    fn end_without_token(mut self) -> Result<(), Sw> {
        if !self.parameters()?.is_empty() {
            return Err(Sw::WRONG_DATA);
        }
        self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_whole_objects_with_known_tags() {
        assert_eq!(check_parameters(&[0xC9, 0x00], Some(0xC9)), Ok(()));
        assert_eq!(check_parameters(&[], None), Ok(()));
        assert_eq!(check_parameters(&[0xEF, 0x04, 0xC6, 0x02, 0x01, 0x60], None), Ok(()));
        for (field, required) in
            [(&[][..], Some(0xC9)), (&[0xC9, 0x01], Some(0xC9)), (&[0x81, 0x00], None)]
        {
            assert_eq!(check_parameters(field, required), Err(Sw::WRONG_DATA));
        }
    }

    #[test]
    fn a_token_is_refused() {
        assert_eq!(Fields::new(&[0x00]).end_without_token(), Ok(()));
        assert_eq!(Fields::new(&[0x01, 0xAA]).end_without_token(), Err(Sw::WRONG_DATA));
        assert_eq!(Fields::new(&[]).end_without_token(), Err(Sw::WRONG_DATA));
        assert_eq!(Fields::new(&[0x00, 0x00]).end_without_token(), Err(Sw::WRONG_DATA));
    }
}
