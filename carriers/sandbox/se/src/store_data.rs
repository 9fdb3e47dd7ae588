//! STORE DATA: blocks joined until the last, then taken as a whole or not at all (CS 11.11).

use zeroize::Zeroizing;

use crate::aid::Aid;
use crate::apdu::Command;
use crate::command::Turn;
use crate::registry::{Role, life_cycle};
use crate::status::{Answer, Stop, Sw};
use crate::{dgi, key_loading, personalization};

/// P1 b8: the last block.
const LAST: u8 = 0x80;
/// P1 b5 b4: how the data is structured.
const STRUCTURE: u8 = 0x18;
const STRUCTURE_DGI: u8 = 0x08;
const STRUCTURE_BER_TLV: u8 = 0x10;
/// The most bytes of one sequence: several certificates' worth.
const SEQUENCE_BYTES_MAX: usize = 32 * 1024;

/// The blocks of a sequence under way.
#[derive(Default)]
pub(crate) struct Blocks {
    data: Zeroizing<Vec<u8>>,
    structure: u8,
    received: u32,
}

impl Blocks {
    /// Joins one block.
    ///
    /// # Errors
    /// `6A86` for a block out of order or a change of structure, `6A84` for too much.
    fn join(&mut self, command: &Command) -> Result<(), Sw> {
        let structure = command.p1 & STRUCTURE;
        // The block number goes on from FF to 00 (P2 is one byte).
        if self.received & 0xFF != u32::from(command.p2)
            || (self.received > 0 && structure != self.structure)
        {
            return Err(Sw::INCORRECT_P1_P2);
        }
        if self.data.len() + command.data.len() > SEQUENCE_BYTES_MAX {
            return Err(Sw::NO_SPACE);
        }
        self.structure = structure;
        self.received += 1;
        self.data.extend_from_slice(&command.data);
        Ok(())
    }
}

pub(crate) fn store_data(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    let performing = turn.performing()?;
    let last = command.p1 & LAST != 0;
    let target = turn.channel.personalizes.unwrap_or(performing);
    let joined = turn.channel.blocks.join(command);
    if joined.is_ok() && !last {
        return Ok(Answer::empty(Sw::OK));
    }
    // A refused block resets the counter; the last one, good or bad, also ends the personalization.
    let blocks = std::mem::take(&mut turn.channel.blocks);
    if last {
        turn.channel.personalizes = None;
    }
    joined?;
    store(turn, &performing, &target, &blocks)?;
    Ok(Answer::empty(Sw::OK))
}

/// Hands a whole sequence to the Security Domain or application it is for.
fn store(turn: &mut Turn<'_>, performing: &Aid, target: &Aid, blocks: &Blocks) -> Result<(), Stop> {
    let dek = turn.dek()?;
    turn.store.change(|card| {
        let entry = card.entry_mut(target).ok_or(Sw::DATA_NOT_FOUND)?;
        // Extradited or locked since INSTALL [for personalization].
        if (target != performing && entry.associated != *performing) || entry.locked {
            return Err(Sw::CONDITIONS);
        }
        let issuer = entry.is_issuer();
        match (&mut entry.role, blocks.structure) {
            (Role::Application(application), STRUCTURE_DGI) => {
                let groupings = dgi::parse(&blocks.data)?;
                personalization::personalize(application, &groupings, &dek)?;
                entry.life_cycle = life_cycle::PERSONALIZED;
            }
            (Role::SecurityDomain(domain), STRUCTURE_DGI) => {
                let groupings = dgi::parse(&blocks.data)?;
                key_loading::load_groupings(domain, &groupings, &dek)?;
                // With its first key set a Security Domain has what it needs to serve (CS 5.3.2.3).
                if !issuer && !domain.key_sets.is_empty() {
                    entry.life_cycle = life_cycle::PERSONALIZED;
                }
            }
            (Role::SecurityDomain(domain), STRUCTURE_BER_TLV) => {
                key_loading::load_objects(domain, &blocks.data)?;
            }
            _ => return Err(Sw::WRONG_DATA),
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(p1: u8, p2: u8, data: &[u8]) -> Command {
        let mut apdu = vec![0x80, 0xE2, p1, p2, data.len() as u8];
        apdu.extend(data);
        Command::parse(&apdu).unwrap()
    }

    #[test]
    fn blocks_are_counted_round_the_byte() {
        let mut blocks = Blocks::default();
        for number in 0..300u32 {
            blocks.join(&block(0x08, number as u8, &[1])).unwrap();
        }
        assert_eq!(blocks.data.len(), 300);
        assert_eq!(blocks.join(&block(0x08, 45, &[1])), Err(Sw::INCORRECT_P1_P2));
        assert_eq!(blocks.join(&block(0x10, 44, &[1])), Err(Sw::INCORRECT_P1_P2));
        assert_eq!(blocks.join(&block(0x88, 44, &[1])), Ok(()));
    }

    #[test]
    fn a_sequence_is_bounded() {
        let mut blocks = Blocks::default();
        let refused = (0..=0xFFu8)
            .map(|number| blocks.join(&block(0x08, number, &[0; 255])))
            .find(Result::is_err);
        assert_eq!(refused, Some(Err(Sw::NO_SPACE)));
    }
}
