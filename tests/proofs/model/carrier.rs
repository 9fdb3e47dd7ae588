//! The modelled carrier: it repeats, reorders, delays and loses. Whatever was sent may be delivered at any time, any number of times, or
//! never. What proves nothing (status words, silence) it may say whenever it likes, so that is not modelled as an answer at all.

use std::collections::BTreeSet;

use crate::{Candidate, Session};

/// Everything ever handed to the carrier, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Carrier {
    pub(crate) commands: BTreeSet<Command>,
    pub(crate) answers: BTreeSet<Answer>,
}

/// What goes to the SE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Command {
    /// INITIALIZE UPDATE for the prior or the new Key Version Number.
    Initialize { host: u8, fresh: bool },
    /// EXTERNAL AUTHENTICATE.
    Authenticate(Session),
    /// The key write, wrapped for one session.
    Write(Session, Candidate),
    /// GET DATA of the Key Information Template, wrapped for one session.
    Read(Session),
    /// The same, unprotected.
    Look,
}

/// What comes back with a proof in it; nobody can make one but the SE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// The card cryptogram: over both challenges, under the key set asked for.
    Challenge(Session),
    /// 9000 to the key write, with its R-MAC.
    Written(Session),
    /// The Key Information Template, with its R-MAC.
    Report(Session, Report),
    /// The same, unprotected.
    Looked(Report),
}

/// What the Key Information Template says of the new Key Version Number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Report {
    pub(crate) lists_fresh: bool,
}
