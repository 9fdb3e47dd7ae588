//! What GET STATUS answers: entries of the GlobalPlatform Registry (CS 2.3.1 §11.4.3).

use std::fmt;

use thiserror::Error;

use super::status_data::Scope;
use crate::aid::{Aid, AidError};
use crate::tlv::{self, Tlv, TlvError};

const ENTRY: u32 = 0xE3;
const AID: u32 = 0x4F;
const LIFE_CYCLE: u32 = 0x9F70;
const PRIVILEGES: u32 = 0xC5;
const LOAD_FILE: u32 = 0xC4;
const MODULE: u32 = 0x84;
const SECURITY_DOMAIN: u32 = 0xCC;

/// One entry. What the SE leaves out is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Application, Security Domain or load file.
    pub aid: Aid,
    /// Life cycle state, coded by what the entry is (CS 2.3.1 §11.1.1).
    pub life_cycle: u8,
    /// Privileges of an application or Security Domain.
    pub privileges: Option<Privileges>,
    /// The load file an application comes from.
    pub load_file: Option<Aid>,
    /// The Security Domain it is associated with.
    pub security_domain: Option<Aid>,
    /// The modules of a load file.
    pub modules: Vec<Aid>,
}

/// Privileges, three bytes (CS 2.3.1 §11.1.2), printed as six digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Privileges(
    /// The bytes on the wire.
    pub [u8; 3],
);

impl Privileges {
    /// Bit 8 of the first byte.
    #[must_use]
    pub fn is_security_domain(self) -> bool {
        let Privileges([first, _, _]) = self;
        first & 0x80 != 0
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Privileges({self})")
    }
}

/// An answer to GET STATUS that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegistryFault {
    /// Not well-formed data objects.
    #[error("malformed data objects: {0}")]
    Malformed(#[from] TlvError),
    /// An object that is no entry: perhaps the answer form of older specifications.
    #[error("object {tag:X} where an entry E3 must be")]
    NotAnEntry {
        /// The tag found.
        tag: u32,
    },
    /// What every entry must have is missing, or there twice.
    #[error("an entry must have exactly one {tag:X}")]
    NotOne {
        /// The tag in question.
        tag: u32,
    },
    /// A value has the wrong length.
    #[error("object {tag:X} has {got} bytes")]
    Length {
        /// The tag in question.
        tag: u32,
        /// Bytes of its value.
        got: usize,
    },
    /// A value that must be an AID is none.
    #[error("object {tag:X}: {why}")]
    NotAnAid {
        /// The tag in question.
        tag: u32,
        /// What is wrong with it.
        why: AidError,
    },
}

/// Reads the data of one answer to GET STATUS in the form of data objects (P2 bit 2). Objects that
/// the specification does not name are passed over.
///
/// # Errors
/// [`RegistryFault`]; all are the SE's.
///
/// # Security
/// It is the SE's word only if an R-MAC covered the answer.
pub fn parse(scope: Scope, answer_data: &[u8]) -> Result<Vec<Entry>, RegistryFault> {
    tlv::objects(answer_data)
        .map(|object| {
            let object = object?;
            match object.tag() {
                ENTRY => entry(scope, &object),
                tag => Err(RegistryFault::NotAnEntry { tag }),
            }
        })
        .collect()
}

fn entry(scope: Scope, template: &Tlv<'_>) -> Result<Entry, RegistryFault> {
    let (mut aid, mut life_cycle, mut privileges) = (None, None, None);
    let (mut load_file, mut security_domain, mut modules) = (None, None, Vec::new());
    for object in template.children() {
        let object = object?;
        match object.tag() {
            AID => once(&mut aid, &object, read_aid)?,
            LIFE_CYCLE => once(&mut life_cycle, &object, read_byte)?,
            PRIVILEGES => once(&mut privileges, &object, read_privileges)?,
            LOAD_FILE => once(&mut load_file, &object, read_aid)?,
            SECURITY_DOMAIN => once(&mut security_domain, &object, read_aid)?,
            MODULE if scope == Scope::LoadFilesAndModules => modules.push(read_aid(&object)?),
            _ => {}
        }
    }
    Ok(Entry {
        aid: aid.ok_or(RegistryFault::NotOne { tag: AID })?,
        life_cycle: life_cycle.ok_or(RegistryFault::NotOne { tag: LIFE_CYCLE })?,
        privileges,
        load_file,
        security_domain,
        modules,
    })
}

fn once<T>(
    place: &mut Option<T>,
    object: &Tlv<'_>,
    read: impl Fn(&Tlv<'_>) -> Result<T, RegistryFault>,
) -> Result<(), RegistryFault> {
    match place.replace(read(object)?) {
        None => Ok(()),
        Some(_) => Err(RegistryFault::NotOne { tag: object.tag() }),
    }
}

fn read_aid(object: &Tlv<'_>) -> Result<Aid, RegistryFault> {
    Aid::new(object.value()).map_err(|why| RegistryFault::NotAnAid { tag: object.tag(), why })
}

fn read_byte(object: &Tlv<'_>) -> Result<u8, RegistryFault> {
    match object.value() {
        [byte] => Ok(*byte),
        value => Err(RegistryFault::Length { tag: object.tag(), got: value.len() }),
    }
}

/// One byte means that the other two have their defaults (CS 2.3.1 §6.6.2), which are not known
/// here; the first is what this crate looks at.
fn read_privileges(object: &Tlv<'_>) -> Result<Privileges, RegistryFault> {
    match object.value() {
        [first] => Ok(Privileges([*first, 0, 0])),
        [first, second, third] => Ok(Privileges([*first, *second, *third])),
        value => Err(RegistryFault::Length { tag: object.tag(), got: value.len() }),
    }
}
