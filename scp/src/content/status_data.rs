//! GET STATUS and SET STATUS (CS 2.3.1 §11.4, §11.10).

use super::{ALL, ins};
use crate::aid::Aid;
use crate::apdu::CommandApdu;

/// What GET STATUS lists (CS 2.3.1 Table 11-33).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The Issuer Security Domain alone.
    IssuerSecurityDomain,
    /// Applications and supplementary Security Domains.
    Applications,
    /// Executable Load Files.
    LoadFiles,
    /// Executable Load Files with their modules.
    LoadFilesAndModules,
}

impl Scope {
    /// P1 of the command.
    #[must_use]
    pub fn p1(self) -> u8 {
        match self {
            Scope::IssuerSecurityDomain => 0x80,
            Scope::Applications => 0x40,
            Scope::LoadFiles => 0x20,
            Scope::LoadFilesAndModules => 0x10,
        }
    }

    /// The scope with this P1.
    #[must_use]
    pub fn from_p1(p1: u8) -> Option<Scope> {
        match p1 {
            0x80 => Some(Scope::IssuerSecurityDomain),
            0x40 => Some(Scope::Applications),
            0x20 => Some(Scope::LoadFiles),
            0x10 => Some(Scope::LoadFilesAndModules),
            _ => None,
        }
    }
}

/// Search criterion: every AID (CS 2.3.1 §11.4.2.3).
pub(crate) const EVERY_AID: [u8; 2] = [0x4F, 0x00];
/// P2: data objects, first or all (CS 2.3.1 Table 11-34).
pub(crate) const FIRST: u8 = 0x02;
/// P2: data objects, the next after a status word 6310.
pub(crate) const NEXT: u8 = 0x03;
/// P1 of SET STATUS: an application or a supplementary Security Domain (CS 2.3.1 Table 11-86).
pub(crate) const APPLICATION: u8 = 0x40;

/// GET STATUS of everything in the scope; `next` asks on after a status word 6310.
#[must_use]
pub fn get_status(scope: Scope, next: bool) -> CommandApdu {
    let p2 = if next { NEXT } else { FIRST };
    CommandApdu::proprietary([ins::GET_STATUS, scope.p1(), p2], EVERY_AID.to_vec(), ALL)
}

/// SET STATUS of an application or supplementary Security Domain. States with bit 8 set lock it.
#[must_use]
pub fn set_status(aid: Aid, life_cycle: u8) -> CommandApdu {
    let data = aid.as_bytes().to_vec();
    CommandApdu::proprietary([ins::SET_STATUS, APPLICATION, life_cycle], data, None)
}
