//! The modelled secure element: one Security Domain, its key sets and the sessions it is in.

use std::collections::BTreeSet;

use crate::{Candidate, KeySet, Session, Trait, Variant, carrier::Report};

/// What one Security Domain holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SecureElement {
    /// The first key set, until it is replaced.
    pub(crate) prior: bool,
    /// The key set under the new Key Version Number.
    pub(crate) fresh: Option<Candidate>,
    /// Its sessions: one, unless it keeps older ones open.
    sessions: BTreeSet<OpenSession>,
    /// What makes a challenge of its own: challenges drawn so far where they are random, the sequence counter where they are derived
    /// from it (Amendment D, section 6.2.2.1).
    counter: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct OpenSession {
    session: Session,
    authenticated: bool,
}

impl SecureElement {
    pub(crate) fn new() -> Self {
        Self { prior: true, fresh: None, sessions: BTreeSet::new(), counter: 0 }
    }

    /// INITIALIZE UPDATE: the session before is discarded. None when no key set has that number.
    pub(crate) fn initialize(
        &mut self,
        variant: &Variant,
        host: u8,
        fresh: bool,
    ) -> Option<Session> {
        let key_set = match (fresh, self.fresh) {
            (true, Some(candidate)) => KeySet::Fresh(candidate),
            (false, _) if self.prior => KeySet::Prior,
            _ => return None,
        };
        if !variant.has(Trait::PredictableChallenge) {
            self.counter += 1;
        }
        let session = Session { host, card: self.counter, key_set };
        if !variant.has(Trait::OlderSessionsStayOpen) {
            self.sessions.clear();
        }
        self.sessions.insert(OpenSession { session, authenticated: false });
        Some(session)
    }

    /// EXTERNAL AUTHENTICATE. Its answer carries no R-MAC, so none is modelled.
    pub(crate) fn authenticate(&mut self, variant: &Variant, session: Session) {
        if self.sessions.remove(&OpenSession { session, authenticated: false }) {
            self.sessions.insert(OpenSession { session, authenticated: true });
            if variant.has(Trait::PredictableChallenge) {
                self.counter += 1;
            }
        }
    }

    /// PUT KEY. False when the session is not, or no longer, this one.
    pub(crate) fn write(
        &mut self,
        variant: &Variant,
        session: Session,
        candidate: Candidate,
    ) -> bool {
        // The MAC chain moves on: the same bytes are not taken twice.
        let open = self.sessions.remove(&OpenSession { session, authenticated: true });
        if open {
            self.fresh = Some(candidate);
            self.prior &= variant.has(Trait::Additive);
        }
        open
    }

    /// GET DATA of the Key Information Template, under R-MAC.
    pub(crate) fn read(&mut self, session: Session) -> Option<Report> {
        let open = self.sessions.remove(&OpenSession { session, authenticated: true });
        open.then(|| self.report())
    }

    /// The same outside a session, as anyone may ask.
    pub(crate) fn report(&self) -> Report {
        Report { lists_fresh: self.fresh.is_some() }
    }
}
