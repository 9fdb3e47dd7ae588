//! The persistent state of the SE: the GlobalPlatform Registry (CS 6.4) with the keys and data of each entry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aid::Aid;
use crate::bytes::Bytes;
use crate::key_set::KeySet;
use crate::personalization::Personalization;
use crate::privileges::{Privilege, Privileges};
use crate::status::Sw;

/// Life cycle states (CS Tables 11-3 to 11-6).
pub(crate) mod life_cycle {
    pub(crate) const LOADED: u8 = 0x01;
    pub(crate) const INSTALLED: u8 = 0x03;
    pub(crate) const SELECTABLE: u8 = 0x07;
    /// PERSONALIZED of a Security Domain, SECURED of the card, and the applet's own state "personalized".
    pub(crate) const PERSONALIZED: u8 = 0x0F;
    pub(crate) const LOCKED_BIT: u8 = 0x80;
    pub(crate) const CARD_OP_READY: u8 = 0x01;
    pub(crate) const CARD_INITIALIZED: u8 = 0x07;
    pub(crate) const CARD_SECURED: u8 = 0x0F;
    pub(crate) const CARD_LOCKED: u8 = 0x7F;
    pub(crate) const CARD_TERMINATED: u8 = 0xFF;
}

/// The most entries, and the most load files, the registry holds.
const ENTRIES_MAX: usize = 64;
/// The most key sets of one Security Domain.
const KEY_SETS_MAX: usize = 16;
/// PIN tries of a freshly personalized applet.
pub(crate) const PIN_TRIES: u8 = 3;

/// All that survives a reset.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Card {
    /// The SCP03 `i` parameter (AmdD Table 5-1).
    pub(crate) i: u8,
    /// Key Diversification Data.
    pub(crate) kdd: [u8; 10],
    /// Whether the ledger runs.
    pub(crate) handed_over: bool,
    /// The Issuer Security Domain first.
    pub(crate) entries: Vec<Entry>,
    pub(crate) load_files: Vec<LoadFile>,
}

/// An application or Security Domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) aid: Aid,
    /// The Security Domain whose services it uses.
    pub(crate) associated: Aid,
    pub(crate) load_file: Aid,
    /// Without the lock; of the Issuer Security Domain: the card's.
    pub(crate) life_cycle: u8,
    pub(crate) locked: bool,
    pub(crate) privileges: Privileges,
    pub(crate) role: Role,
}

/// What an entry is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    SecurityDomain(SecurityDomain),
    Application(Application),
}

/// What a Security Domain keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SecurityDomain {
    pub(crate) key_sets: Vec<KeySet>,
    /// Data objects by tag (`42`, `45`, `66`, `5F50`).
    pub(crate) objects: BTreeMap<u16, Bytes>,
}

/// What an instance of the "user authentication" applet keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Application {
    pub(crate) personalization: Option<Personalization>,
    pub(crate) tries_left: u8,
}

/// An Executable Load File.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoadFile {
    pub(crate) aid: Aid,
    pub(crate) associated: Aid,
    /// Major, minor (CS 11.4.3.1, note 1).
    pub(crate) version: [u8; 2],
    pub(crate) modules: Vec<Aid>,
}

impl Entry {
    pub(crate) fn domain(&self) -> Option<&SecurityDomain> {
        match &self.role {
            Role::SecurityDomain(domain) => Some(domain),
            Role::Application(_) => None,
        }
    }

    pub(crate) fn domain_mut(&mut self) -> Option<&mut SecurityDomain> {
        match &mut self.role {
            Role::SecurityDomain(domain) => Some(domain),
            Role::Application(_) => None,
        }
    }

    pub(crate) fn application(&self) -> Option<&Application> {
        match &self.role {
            Role::Application(application) => Some(application),
            Role::SecurityDomain(_) => None,
        }
    }

    pub(crate) fn application_mut(&mut self) -> Option<&mut Application> {
        match &mut self.role {
            Role::Application(application) => Some(application),
            Role::SecurityDomain(_) => None,
        }
    }

    pub(crate) fn is_issuer(&self) -> bool {
        self.aid == Aid::ISSUER_SECURITY_DOMAIN
    }

    /// A Security Domain that others may be associated with (CS 5.3.2.3; the Issuer's needs no such state).
    pub(crate) fn is_serving_domain(&self) -> bool {
        self.domain().is_some()
            && !self.locked
            && (self.is_issuer() || self.life_cycle == life_cycle::PERSONALIZED)
    }

    /// May load, install, extradite and delete (CS 9.1.3.2).
    pub(crate) fn manages_content(&self) -> bool {
        self.is_serving_domain() && self.privileges.has(Privilege::AuthorizedManagement)
    }

    /// The coded life cycle state, with the lock (CS Tables 11-4 and 11-5).
    pub(crate) fn coded_life_cycle(&self) -> u8 {
        self.life_cycle | if self.locked { life_cycle::LOCKED_BIT } else { 0 }
    }

    /// Holds keys: deleting, locking or moving it destroys or displaces them.
    pub(crate) fn is_personalized(&self) -> bool {
        match &self.role {
            Role::SecurityDomain(domain) => self.is_issuer() || !domain.key_sets.is_empty(),
            Role::Application(application) => application.personalization.is_some(),
        }
    }
}

impl SecurityDomain {
    /// The set INITIALIZE UPDATE means: `00` is the first one (CS D.4.1).
    pub(crate) fn key_set(&self, kvn: u8) -> Option<&KeySet> {
        self.key_sets.iter().find(|set| kvn == 0 || set.kvn == kvn)
    }

    pub(crate) fn key_set_mut(&mut self, kvn: u8) -> Option<&mut KeySet> {
        self.key_sets.iter_mut().find(|set| kvn == 0 || set.kvn == kvn)
    }

    /// Adds a set.
    ///
    /// # Errors
    /// `6A80` if its Key Version Number is in use, `6A84` if there is no room.
    pub(crate) fn add_key_set(&mut self, set: KeySet) -> Result<(), Sw> {
        if self.key_sets.iter().any(|held| held.kvn == set.kvn) {
            return Err(Sw::WRONG_DATA);
        }
        if self.key_sets.len() >= KEY_SETS_MAX {
            return Err(Sw::NO_SPACE);
        }
        self.key_sets.push(set);
        Ok(())
    }

    /// Puts a set in the place of another, under the same or a new Key Version Number.
    ///
    /// # Errors
    /// `6A88` if there is no such set; `6A80` if the new one has another shape or a number in use.
    pub(crate) fn replace_key_set(&mut self, replaced: u8, set: KeySet) -> Result<(), Sw> {
        let number_in_use = self.key_sets.iter().any(|held| held.kvn == set.kvn);
        let held = self.key_sets.iter_mut().find(|held| held.kvn == replaced);
        let held = held.ok_or(Sw::DATA_NOT_FOUND)?;
        if !held.has_same_shape(&set) || (set.kvn != replaced && number_in_use) {
            return Err(Sw::WRONG_DATA);
        }
        *held = set;
        Ok(())
    }
}

impl Card {
    pub(crate) fn entry(&self, aid: &Aid) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.aid == *aid)
    }

    pub(crate) fn entry_mut(&mut self, aid: &Aid) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.aid == *aid)
    }

    pub(crate) fn domain(&self, aid: &Aid) -> Option<&SecurityDomain> {
        self.entry(aid)?.domain()
    }

    pub(crate) fn domain_mut(&mut self, aid: &Aid) -> Option<&mut SecurityDomain> {
        self.entry_mut(aid)?.domain_mut()
    }

    pub(crate) fn load_file(&self, aid: &Aid) -> Option<&LoadFile> {
        self.load_files.iter().find(|file| file.aid == *aid)
    }

    pub(crate) fn load_file_mut(&mut self, aid: &Aid) -> Option<&mut LoadFile> {
        self.load_files.iter_mut().find(|file| file.aid == *aid)
    }

    /// The card's own life cycle state, which the Issuer Security Domain inherits (CS 5.1).
    pub(crate) fn life_cycle(&self) -> u8 {
        self.entry(&Aid::ISSUER_SECURITY_DOMAIN)
            .map_or(life_cycle::CARD_TERMINATED, |issuer| issuer.life_cycle)
    }

    /// The registry already knows this AID.
    pub(crate) fn is_taken(&self, aid: &Aid) -> bool {
        self.entry(aid).is_some() || self.load_file(aid).is_some()
    }

    /// `associated` leads, directly or over other Security Domains, to `root`.
    pub(crate) fn is_below(&self, mut associated: Aid, root: &Aid) -> bool {
        for _ in 0..=self.entries.len() {
            if associated == *root {
                return true;
            }
            match self.entry(&associated) {
                Some(domain) if domain.associated != associated => associated = domain.associated,
                _ => return false,
            }
        }
        false
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// `6985` if its AID is taken, `6A84` if the registry is full.
    pub(crate) fn add_entry(&mut self, entry: Entry) -> Result<(), Sw> {
        if self.is_taken(&entry.aid) {
            return Err(Sw::CONDITIONS);
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Sw::NO_SPACE);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Adds a load file.
    ///
    /// # Errors
    /// `6985` if its AID is taken, `6A84` if the registry is full.
    pub(crate) fn add_load_file(&mut self, file: LoadFile) -> Result<(), Sw> {
        if self.is_taken(&file.aid) {
            return Err(Sw::CONDITIONS);
        }
        if self.load_files.len() >= ENTRIES_MAX {
            return Err(Sw::NO_SPACE);
        }
        self.load_files.push(file);
        Ok(())
    }

    /// What this AID names, or anything made from the load file it names, holds keys.
    pub(crate) fn holds_keys(&self, aid: &Aid) -> bool {
        self.entries
            .iter()
            .filter(|entry| entry.aid == *aid || entry.load_file == *aid)
            .any(Entry::is_personalized)
    }
}
