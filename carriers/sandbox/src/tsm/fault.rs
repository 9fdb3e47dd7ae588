//! What a carrier's platform can be made to do wrong, secure element by secure element.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Notify;

use super::script_log::{DELETE, PUT_KEY, STORE_DATA, instruction};

/// Which scripts a fault is about, by INS in the clear headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Every script.
    Any,
    /// One with PUT KEY, STORE DATA or DELETE.
    KeyWrite,
    /// One with PUT KEY.
    PutKey,
    /// One with STORE DATA: a personalization.
    StoreData,
    /// One with DELETE.
    Delete,
}

impl Script {
    fn matches(self, commands: &[Vec<u8>]) -> bool {
        let has = |ins| commands.iter().any(|command| instruction(command) == ins);
        match self {
            Script::Any => true,
            Script::KeyWrite => has(PUT_KEY) || has(STORE_DATA) || has(DELETE),
            Script::PutKey => has(PUT_KEY),
            Script::StoreData => has(STORE_DATA),
            Script::Delete => has(DELETE),
        }
    }
}

/// The script a fault strikes: the `nth` of its kind from now, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On {
    /// Kind of script.
    pub script: Script,
    /// Which one; 1 is the next.
    pub nth: u32,
}

impl On {
    /// The next script of a kind.
    pub fn next(script: Script) -> On {
        On { script, nth: 1 }
    }
}

/// A fault. Those with an [`On`] strike once; the others last until cleared.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection closes without an answer, whether the script was applied or never given to the SE.
    LoseAnswer {
        /// Which script.
        on: On,
        /// Whether the SE gets it.
        applied: bool,
    },
    /// Nothing is executed; every command is answered 9000, the last with `data` before it.
    ForgeSuccess {
        /// Which script.
        on: On,
        /// For example a Key Version Number and Key Check Values.
        data: Vec<u8>,
    },
    /// The first command is answered with a status word of the carrier's invention.
    ForgeRefusal {
        /// Which script.
        on: On,
        /// The status word.
        status: u16,
        /// Whether the SE gets the script all the same.
        applied: bool,
    },
    /// The script is executed, `reached` is notified, and no answer ever comes.
    HoldAnswer {
        /// Which script.
        on: On,
        /// Told once the SE has executed the script.
        reached: Arc<Notify>,
    },
    /// The script is executed; its answer breaks off after `at` bytes.
    Truncate {
        /// Which script.
        on: On,
        /// Bytes of the body that are sent.
        at: usize,
    },
    /// Every function about this SE is answered with 503, this many times.
    Unavailable503 {
        /// How many times.
        times: u32,
    },
    /// What is meant for this SE goes to another.
    SwapSe {
        /// ICCID of the other.
        with: String,
    },
    /// Answers to INITIALIZE UPDATE carry another `i`.
    RewriteI {
        /// The `i` they carry.
        i: u8,
    },
}

impl Fault {
    fn on(&mut self) -> Option<&mut On> {
        match self {
            Fault::LoseAnswer { on, .. }
            | Fault::ForgeSuccess { on, .. }
            | Fault::ForgeRefusal { on, .. }
            | Fault::HoldAnswer { on, .. }
            | Fault::Truncate { on, .. } => Some(on),
            Fault::Unavailable503 { .. } | Fault::SwapSe { .. } | Fault::RewriteI { .. } => None,
        }
    }
}

/// Faults armed, by ICCID.
#[derive(Debug, Default)]
pub(super) struct Faults(HashMap<String, Vec<Fault>>);

impl Faults {
    pub(super) fn arm(&mut self, se: &str, fault: Fault) {
        self.0.entry(se.to_owned()).or_default().push(fault);
    }

    pub(super) fn clear(&mut self, se: &str) {
        self.0.remove(se);
    }

    /// The ICCID whose SE stands in for this one.
    pub(super) fn stand_in(&self, se: &str) -> Option<String> {
        self.of(se).find_map(|fault| match fault {
            Fault::SwapSe { with } => Some(with.clone()),
            _ => None,
        })
    }

    /// The `i` put into answers to INITIALIZE UPDATE.
    pub(super) fn rewritten_i(&self, se: &str) -> Option<u8> {
        self.of(se).find_map(|fault| match fault {
            Fault::RewriteI { i } => Some(*i),
            _ => None,
        })
    }

    /// Whether a function about this SE is refused with 503; counts down.
    pub(super) fn is_unavailable(&mut self, se: &str) -> bool {
        let faults = self.0.get_mut(se).into_iter().flatten();
        for fault in faults {
            if let Fault::Unavailable503 { times } = fault
                && *times > 0
            {
                *times -= 1;
                return true;
            }
        }
        false
    }

    /// The fault that strikes this script, taken out; the others of its kind count it.
    pub(super) fn strike(&mut self, se: &str, commands: &[Vec<u8>]) -> Option<Fault> {
        let faults = self.0.get_mut(se)?;
        let mut due = None;
        for (place, fault) in faults.iter_mut().enumerate() {
            let Some(on) = fault.on().filter(|on| on.script.matches(commands)) else { continue };
            on.nth = on.nth.saturating_sub(1);
            if on.nth == 0 {
                due = due.or(Some(place));
            }
        }
        due.map(|place| faults.remove(place))
    }

    fn of(&self, se: &str) -> impl Iterator<Item = &Fault> {
        self.0.get(se).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(ins: u8) -> Vec<Vec<u8>> {
        vec![vec![0x84, 0x82, 0x33, 0x00], vec![0x84, ins, 0x00, 0x00]]
    }

    #[test]
    fn a_fault_strikes_the_nth_of_its_kind_once() {
        let mut faults = Faults::default();
        let on = On { script: Script::StoreData, nth: 2 };
        faults.arm("a", Fault::LoseAnswer { on, applied: true });
        assert!(faults.strike("a", &script(STORE_DATA)).is_none());
        assert!(faults.strike("a", &script(PUT_KEY)).is_none());
        assert!(faults.strike("b", &script(STORE_DATA)).is_none());
        assert!(matches!(faults.strike("a", &script(STORE_DATA)), Some(Fault::LoseAnswer { .. })));
        assert!(faults.strike("a", &script(STORE_DATA)).is_none());
    }

    #[test]
    fn unavailability_ends_and_swaps_last() {
        let mut faults = Faults::default();
        faults.arm("a", Fault::Unavailable503 { times: 2 });
        faults.arm("a", Fault::SwapSe { with: "b".into() });
        let refused: Vec<bool> = (0..3).map(|_| faults.is_unavailable("a")).collect();
        assert_eq!(refused, [true, true, false]);
        assert_eq!(faults.stand_in("a").as_deref(), Some("b"));
        faults.clear("a");
        assert_eq!(faults.stand_in("a"), None);
    }
}
