//! The SE from outside: APDUs in and out, and the tables a test may look at.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bytes::hex_upper;
use crate::factory::{Factory, FactoryError};
use crate::file::{FileError, SeFile};
use crate::ledger::{Counts, Ledger, LedgerEntry, Observation};
use crate::open_platform::{OpenPlatform, Outcome};
use crate::status::{Answer, Stop, Sw};
use crate::store::Store;

/// A virtual secure element.
pub struct SecureElement {
    platform: OpenPlatform,
    ledger: Ledger,
}

/// A key set on the SE, by its Key Check Values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySetRow {
    /// AID of the Security Domain, hex.
    pub sd: String,
    /// Key Version Number, two digits.
    pub kvn: String,
    /// The three Key Check Values joined, 18 digits (fewer if a key was deleted).
    pub kcv: String,
}

/// An application on the SE (Security Domains are not listed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRow {
    /// AID, hex.
    pub aid: String,
    /// Life cycle state as GET STATUS codes it, two digits: `0F` is personalized.
    pub life_cycle: String,
    /// SHA-256 of the SubjectPublicKeyInfo (DGI 0102), hex; `None` before personalization.
    pub key_sha256: Option<String>,
}

impl SecureElement {
    /// A new SE in memory.
    ///
    /// # Errors
    /// The factory parameters are not acceptable.
    pub fn new(factory: Factory) -> Result<Self, FactoryError> {
        Ok(Self::with(Store::new(factory.make()?, None), Ledger::default()))
    }

    /// Opens the SE in a file; its ledger lies beside it (`x.se` has `x.ledger.jsonl`).
    ///
    /// # Errors
    /// There is no such file, it is not an SE file, or its ledger is none. Nothing on disk is changed.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (file, card) = SeFile::open(path)?;
        let ledger = Ledger::open(path)?;
        Ok(Self::with(Store::new(card, Some(file)), ledger))
    }

    /// A new SE in a new file; every change is persistent, atomically, before its answer.
    ///
    /// # Errors
    /// There already is something at `path`, or the factory parameters are not acceptable.
    pub fn create(path: &Path, factory: Factory) -> Result<Self, FileError> {
        let card = factory.make()?;
        let file = SeFile::create(path, &card)?;
        let ledger = Ledger::open(path)?;
        Ok(Self::with(Store::new(card, Some(file)), ledger))
    }

    fn with(store: Store, ledger: Ledger) -> Self {
        Self { platform: OpenPlatform::new(store), ledger }
    }

    /// Exchanges one APDU: answers data and status word, or nothing after a tear.
    pub fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        if self.platform.store.is_torn() {
            return Vec::new();
        }
        let recorded = self.platform.store.card().handed_over;
        let outcome = self.platform.exchange(apdu);
        let (sw, executed, answer) = match outcome.end {
            Ok(Answer { mut data, sw }) => {
                data.extend(sw.0.to_be_bytes());
                // A wrong host cryptogram is a `63` word too, but it did not pass security.
                (Some(sw.0), sw.is_execution() && sw != Sw::AUTHENTICATION_FAILED, data)
            }
            Err(Stop::Refused(sw)) => (Some(sw.0), false, sw.0.to_be_bytes().to_vec()),
            Err(Stop::Torn { switched }) => (None, switched, Vec::new()),
        };
        if recorded {
            let Outcome { channel, class, .. } = outcome;
            self.ledger.record(&Observation { apdu, channel, class, sw, executed });
        }
        answer
    }

    /// Card reset: sessions, selections and logical channels are gone, the Issuer Security Domain is selected.
    pub fn reset(&mut self) {
        self.platform.reset();
    }

    /// From here on the ledger runs and counts, from zero.
    pub fn hand_over(&mut self) {
        self.ledger.clear();
        // Only a torn or full disk keeps this from being remembered across a restart.
        let _ = self.platform.store.change(|card| {
            card.handed_over = true;
            Ok(())
        });
    }

    /// Every APDU received since hand-over.
    pub fn ledger(&self) -> &[LedgerEntry] {
        self.ledger.entries()
    }

    /// Sums over the ledger.
    pub fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// The key table.
    pub fn key_sets(&self) -> Vec<KeySetRow> {
        let domains = self.platform.store.card().entries.iter().filter_map(|entry| {
            entry.domain().map(|domain| (entry.aid.to_string(), &domain.key_sets))
        });
        domains
            .flat_map(|(sd, sets)| {
                sets.iter().map(move |set| KeySetRow {
                    sd: sd.clone(),
                    kvn: hex_upper([set.kvn]),
                    kcv: set.check_values().map(hex_upper).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// The applications.
    pub fn apps(&self) -> Vec<AppRow> {
        let applications = self.platform.store.card().entries.iter().filter_map(|entry| {
            entry.application().map(|application| (entry, &application.personalization))
        });
        applications
            .map(|(entry, personalization)| AppRow {
                aid: entry.aid.to_string(),
                life_cycle: hex_upper([entry.coded_life_cycle()]),
                key_sha256: personalization.as_ref().map(|it| hex_upper(it.key_digest())),
            })
            .collect()
    }

    /// Cuts the power right after the `write`-th persistent write from now; `None` takes that back.
    ///
    /// A change is two writes: the new state beside the old one, and the switch to it. An odd write leaves the
    /// state before the change in force, an even one the state after; `transmit` answers nothing until
    /// [`Self::reset`].
    pub fn tear_at(&mut self, write: Option<u64>) {
        self.platform.store.tear_at(write);
    }
}

impl fmt::Debug for SecureElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureElement").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_between_threads_and_says_nothing() {
        fn assert_send<T: Send>(_: &T) {}
        let se = SecureElement::new(Factory::default()).unwrap();
        assert_send(&se);
        assert_eq!(format!("{se:?}"), "SecureElement { .. }");
    }
}
