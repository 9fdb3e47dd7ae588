//! SET STATUS: life cycle transitions of the card, of Security Domains and of applications (CS 11.10, 5.1, 5.3).

use crate::aid::Aid;
use crate::apdu::Command;
use crate::command::Turn;
use crate::privileges::{Privilege, Privileges};
use crate::registry::{Card, Entry, life_cycle};
use crate::status::{Answer, Stop, Sw};

/// P1 (CS Table 11-86).
const ISSUER_SECURITY_DOMAIN: u8 = 0x80;
const ONE: u8 = 0x40;
const WITH_ASSOCIATED: u8 = 0x60;

pub(crate) fn set_status(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    match command.p1 {
        ISSUER_SECURITY_DOMAIN => set_card_status(turn, command.p2)?,
        ONE | WITH_ASSOCIATED => set_entry_status(turn, command)?,
        _ => return Err(Sw::INCORRECT_P1_P2.into()),
    }
    Ok(Answer::empty(Sw::OK))
}

fn set_card_status(turn: &mut Turn<'_>, to: u8) -> Result<(), Stop> {
    turn.performing_even_locked()?;
    let privileges = turn.selected()?.privileges;
    turn.store.change(|card| {
        let issuer = card.entry_mut(&Aid::ISSUER_SECURITY_DOMAIN).ok_or(Sw::CONDITIONS)?;
        issuer.life_cycle = card_transition(issuer.life_cycle, to, privileges)?;
        Ok(())
    })
}

/// The card's life cycle (CS Figure 5-1).
fn card_transition(from: u8, to: u8, privileges: Privileges) -> Result<u8, Sw> {
    use life_cycle::*;
    let allowed = match (from, to) {
        (CARD_OP_READY, CARD_INITIALIZED) | (CARD_INITIALIZED, CARD_SECURED) => {
            privileges == Privileges::ISSUER
        }
        (CARD_SECURED, CARD_LOCKED) | (CARD_LOCKED, CARD_SECURED) => {
            privileges.has(Privilege::CardLock)
        }
        (CARD_TERMINATED, _) => false,
        (_, CARD_TERMINATED) => privileges.has(Privilege::CardTerminate),
        _ => false,
    };
    if allowed { Ok(to) } else { Err(Sw::CONDITIONS) }
}

fn set_entry_status(turn: &mut Turn<'_>, command: &Command) -> Result<(), Stop> {
    let performing = turn.performing()?;
    let target = Aid::new(&command.data).ok_or(Sw::WRONG_DATA)?;
    let global = turn.selected()?.privileges.has(Privilege::GlobalLock);
    let (to, with_associated) = (command.p2, command.p1 == WITH_ASSOCIATED);
    turn.store.change(|card| {
        let entry = card.entry(&target).ok_or(Sw::DATA_NOT_FOUND)?;
        if entry.is_issuer() || (with_associated && entry.domain().is_none()) {
            return Err(Sw::CONDITIONS);
        }
        if target == performing && to & life_cycle::LOCKED_BIT == 0 {
            return personalized(card, &target, to);
        }
        // Oneself may be locked; others only from above them, or with Global Lock.
        let below = target == performing || card.is_below(entry.associated, &performing);
        if !below && !global {
            return Err(Sw::CONDITIONS);
        }
        let locked = to & life_cycle::LOCKED_BIT != 0;
        if with_associated {
            lock_hierarchy(card, &target, locked);
            return Ok(());
        }
        let entry = card.entry_mut(&target).ok_or(Sw::DATA_NOT_FOUND)?;
        // A transition to the current state is rejected (CS 11.10.2.2).
        if entry.locked == locked {
            return Err(Sw::CONDITIONS);
        }
        entry.locked = locked;
        Ok(())
    })
}

/// A Security Domain's own transition to PERSONALIZED, for which it needs a key set (CS 5.3.2.3).
fn personalized(card: &mut Card, aid: &Aid, to: u8) -> Result<(), Sw> {
    let entry = card.entry_mut(aid).ok_or(Sw::DATA_NOT_FOUND)?;
    let legal = to == life_cycle::PERSONALIZED
        && entry.life_cycle == life_cycle::SELECTABLE
        && entry.is_personalized();
    if !legal {
        return Err(Sw::CONDITIONS);
    }
    entry.life_cycle = to;
    Ok(())
}

/// Locks or unlocks a Security Domain and all below it; what already is so stays so (CS 11.10.2.1).
fn lock_hierarchy(card: &mut Card, root: &Aid, locked: bool) {
    let is_meant = |entry: &Entry| {
        entry.aid == *root || (!entry.is_issuer() && card.is_below(entry.associated, root))
    };
    let meant: Vec<Aid> =
        card.entries.iter().filter(|entry| is_meant(entry)).map(|entry| entry.aid).collect();
    for entry in card.entries.iter_mut().filter(|entry| meant.contains(&entry.aid)) {
        entry.locked = locked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_only_moves_along_the_figure() {
        use life_cycle::*;
        let states = [CARD_OP_READY, CARD_INITIALIZED, CARD_SECURED, CARD_LOCKED, CARD_TERMINATED];
        let mut moves = Vec::new();
        for from in states {
            for to in 0..=0xFF {
                if card_transition(from, to, Privileges::ISSUER).is_ok() {
                    moves.push((from, to));
                }
            }
        }
        let expected = [
            (0x01, 0x07),
            (0x01, 0xFF),
            (0x07, 0x0F),
            (0x07, 0xFF),
            (0x0F, 0x7F),
            (0x0F, 0xFF),
            (0x7F, 0x0F),
            (0x7F, 0xFF),
        ];
        assert_eq!(moves, expected);
        assert!(card_transition(CARD_SECURED, CARD_LOCKED, Privileges::NONE).is_err());
        assert!(card_transition(CARD_SECURED, CARD_TERMINATED, Privileges::NONE).is_err());
    }
}
