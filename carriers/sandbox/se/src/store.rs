//! Transactions on the persistent state, and the switch that cuts the power in the middle of one.

use crate::file::SeFile;
use crate::registry::Card;
use crate::status::{Stop, Sw};

/// The state in force, the file it lives in (if any), and the tear to come (if any).
///
/// Each change is two persistent writes: the next state beside the current one, then the switch to it.
pub(crate) struct Store {
    card: Card,
    file: Option<SeFile>,
    writes_until_tear: Option<u64>,
    torn: bool,
}

impl Store {
    pub(crate) fn new(card: Card, file: Option<SeFile>) -> Self {
        Self { card, file, writes_until_tear: None, torn: false }
    }

    pub(crate) fn card(&self) -> &Card {
        &self.card
    }

    /// Changes the state, all or nothing. If `change` fails, nothing happened.
    ///
    /// # Errors
    /// What `change` says; `6581` if the file could not be written; `Torn` if the power was cut.
    pub(crate) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Card) -> Result<T, Sw>,
    ) -> Result<T, Stop> {
        if self.torn {
            return Err(Stop::Torn { switched: false });
        }
        let mut next = self.card.clone();
        let value = change(&mut next)?;
        if let Some(file) = &self.file {
            file.write_beside(&next).map_err(|_| Sw::MEMORY_FAILURE)?;
        }
        if self.tears_here() {
            return Err(Stop::Torn { switched: false });
        }
        if let Some(file) = &self.file {
            file.switch().map_err(|_| Sw::MEMORY_FAILURE)?;
        }
        self.card = next;
        if self.tears_here() {
            return Err(Stop::Torn { switched: true });
        }
        Ok(value)
    }

    /// The power goes after the `write`-th persistent write from now; `None` takes a pending tear back.
    pub(crate) fn tear_at(&mut self, write: Option<u64>) {
        self.writes_until_tear = write.map(|write| write.max(1));
    }

    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Power comes back.
    pub(crate) fn power_up(&mut self) {
        self.torn = false;
    }

    fn tears_here(&mut self) -> bool {
        self.writes_until_tear = match self.writes_until_tear {
            Some(1) => {
                self.torn = true;
                None
            }
            Some(more) => Some(more - 1),
            None => None,
        };
        self.torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::Factory;

    fn set(store: &mut Store, i: u8) -> Result<(), Stop> {
        store.change(|card| {
            card.i = i;
            Ok(())
        })
    }

    #[test]
    fn a_change_is_whole_or_not_at_all() {
        for (write, switched) in [(1, false), (2, true)] {
            let mut store = Store::new(Factory::default().make().unwrap(), None);
            store.tear_at(Some(write));
            let stop = set(&mut store, 0x10).unwrap_err();
            assert_eq!(stop, Stop::Torn { switched });
            assert_eq!(store.card().i, if switched { 0x10 } else { 0x70 });
            assert!(set(&mut store, 0).is_err(), "no power");
            store.power_up();
            set(&mut store, 0x60).unwrap();
            assert_eq!(store.card().i, 0x60);
        }
    }

    #[test]
    fn a_refused_change_leaves_nothing() {
        let mut store = Store::new(Factory::default().make().unwrap(), None);
        let refused = store.change(|card| {
            card.i = 0;
            Err::<(), _>(Sw::WRONG_DATA)
        });
        assert_eq!(refused, Err(Stop::Refused(Sw::WRONG_DATA)));
        assert_eq!(store.card().i, 0x70);
    }
}
