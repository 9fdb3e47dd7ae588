//! What a command does to the SE, told from its plaintext.
//!
//! Promised: whatever is not on the list below as a read, or as the placing of content a service
//! declares public, is [`Effect::KeyWrite`] or [`Effect::Destroy`] and needs a permit. That holds
//! for unknown instructions and classes too. Where the answer of the SE would decide what a later
//! command means, the worse meaning counts. After a command that needed a permit nothing but reads
//! is milder than `KeyWrite` for the rest of the session: what the SE made of it is not yet judged.
//!
//! Not promised: that a `KeyWrite` writes a key; what a product does with an instruction of its
//! own under a number GlobalPlatform has given another meaning.

mod install;
mod learned;
mod personalization;
mod rules;

use std::fmt;

use crate::Answered;
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::content::class::Class;
use crate::content::ins;
use crate::tlv;

use self::learned::Learned;
use self::personalization::{Block, Position};
pub use self::rules::ContentRules;

/// What a command does, from the mildest to the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Changes nothing that outlives the session.
    Read,
    /// Places or removes content that holds no secret and nothing of a subject.
    Content,
    /// Writes, or may write, a key or another secret.
    KeyWrite,
    /// Takes away a key set or a personalized application, or blocks it.
    Destroy,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Read => "read",
            Effect::Content => "content",
            Effect::KeyWrite => "key_write",
            Effect::Destroy => "destroy",
        })
    }
}

/// Follows one session, from its plaintext commands in order.
///
/// The session runs on the basic logical channel. `target` is the application it was opened to:
/// a Security Domain, unless it is the applet of the rules.
#[derive(Debug, Clone)]
pub struct Tracker {
    target: Aid,
    rules: ContentRules,
    /// Something happened after which only reads are known to be harmless.
    astray: bool,
    /// The load file of the rules is being loaded; the number of the next block.
    loading: Option<u8>,
    /// STORE DATA goes to the applet of the rules.
    personalizing: Option<Position>,
    learned: Learned,
}

impl Tracker {
    /// A tracker for a session just opened to `target`.
    #[must_use]
    pub fn new(target: Aid, rules: ContentRules) -> Tracker {
        let personalizing = rules.is_applet(&target).then_some(Position::START);
        Tracker {
            target,
            rules,
            astray: false,
            loading: None,
            personalizing,
            learned: Learned::default(),
        }
    }

    /// What the next command of the session does. Every command must be shown, whether it is then
    /// sent or not: one that is not leaves the tracker stricter than it need be, never milder.
    #[must_use]
    pub fn observe(&mut self, command: &CommandApdu) -> Effect {
        let effect = match Class::of(command.cla()) {
            None => Effect::KeyWrite,
            Some(class) => match self.listed(class, command) {
                Effect::Content if self.astray || class.channel() != 0 => Effect::KeyWrite,
                listed => listed,
            },
        };
        if effect >= Effect::KeyWrite {
            self.astray = true;
            self.learned.forget();
        }
        if is_session_query(command) {
            self.learned.ask();
        }
        effect
    }

    /// Takes in what the SE answered to GET STATUS, where a valid R-MAC covers it: an instance
    /// or load file of the rules that is shown to hold nothing of a subject may be deleted,
    /// extradited and set as `Content`. Answers come in the order of the commands; one that a
    /// later command has outdated, like any other command's, teaches nothing.
    pub fn learn(&mut self, command: &CommandApdu, answer: &Answered) {
        if is_session_query(command) {
            self.learned.take_in(command, answer, &self.rules);
        }
    }

    /// The list: what is on it, and where it stops.
    fn listed(&mut self, class: Class, command: &CommandApdu) -> Effect {
        let (p1, p2, data) = (command.p1(), command.p2(), command.data());
        match (class.is_proprietary(), command.ins()) {
            (false, ins::SELECT) => self.select(p1, p2, data),
            (false, ins::MANAGE_CHANNEL) if data.is_empty() && matches!(p1, 0x00 | 0x80) => {
                Effect::Read
            }
            (_, ins::GET_RESPONSE) if (p1, p2) == (0, 0) && data.is_empty() => Effect::Read,
            (_, ins::GET_DATA | ins::GET_DATA_ISO) if is_tag_list(data) => Effect::Read,
            (true, ins::GET_STATUS) if is_status_query(p1, p2) => Effect::Read,
            (true, ins::INITIALIZE_UPDATE | ins::EXTERNAL_AUTHENTICATE) => {
                self.begin_anew();
                Effect::Read
            }
            (true, ins::STORE_DATA) => self.store_data(p1, p2, data),
            (true, ins::DELETE) => self.delete(p1, p2, data),
            (true, ins::SET_STATUS) => self.set_status(p1, p2, data),
            (true, ins::INSTALL) => self.install(p1, p2, data),
            (true, ins::LOAD) => self.load(p1, p2),
            _ => Effect::KeyWrite,
        }
    }

    /// Only the target itself, by its whole name, keeps the session where the rules describe it:
    /// whether another SELECT succeeded, and so who reads what follows, is not known here.
    fn select(&mut self, p1: u8, p2: u8, data: &[u8]) -> Effect {
        if (p1, p2) != (0x04, 0x00) {
            return Effect::KeyWrite;
        }
        self.begin_anew();
        self.astray |= data != self.target.as_bytes();
        Effect::Read
    }

    /// A SELECT or a new session ends a personalization and a load (CS 2.3.1 §11.11.1, §10.2.3).
    fn begin_anew(&mut self) {
        self.loading = None;
        self.personalizing = self.rules.is_applet(&self.target).then_some(Position::START);
        self.learned.forget();
    }

    fn store_data(&mut self, p1: u8, p2: u8, data: &[u8]) -> Effect {
        self.learned.forget();
        let Some(position) = &mut self.personalizing else { return Effect::KeyWrite };
        match position.advance(p1, p2, data, &self.rules) {
            Block::Public => Effect::Content,
            Block::PublicLast => {
                self.personalizing = self.rules.is_applet(&self.target).then_some(Position::START);
                Effect::Content
            }
            Block::Closed => Effect::KeyWrite,
        }
    }

    fn delete(&mut self, p1: u8, p2: u8, data: &[u8]) -> Effect {
        let named = only_aid(data).filter(|_| p1 == 0x00 && self.is_security_domain_session());
        let empty = match (p2, named) {
            (0x00, Some(aid)) => {
                self.learned.is_empty_instance(&aid, &self.rules)
                    || self.learned.is_load_file(&aid, &self.rules)
            }
            (0x80, Some(aid)) => self.learned.is_empty_load_file(&aid, &self.rules),
            _ => false,
        };
        if empty { Effect::Content } else { Effect::Destroy }
    }

    /// Bit 8 of P2 locks; whatever concerns the whole card cannot be undone (CS 2.3.1 §11.10.2.2).
    fn set_status(&self, p1: u8, p2: u8, data: &[u8]) -> Effect {
        const APPLICATION: u8 = 0x40;
        const LOCKED: u8 = 0x80;
        const PERSONALIZED: u8 = 0x0F;
        if p1 & 0x80 != 0 || p2 & LOCKED != 0 {
            return Effect::Destroy;
        }
        let harmless = p1 == APPLICATION
            && self.is_security_domain_session()
            && Aid::new(data).is_ok_and(|aid| {
                self.learned.is_empty_instance(&aid, &self.rules)
                    || (aid == self.target && p2 == PERSONALIZED)
            });
        if harmless { Effect::Content } else { Effect::KeyWrite }
    }

    fn load(&mut self, p1: u8, p2: u8) -> Effect {
        const MORE_BLOCKS: u8 = 0x00;
        const LAST_BLOCK: u8 = 0x80;
        match (p1, self.loading) {
            (MORE_BLOCKS, Some(block)) if block == p2 => {
                self.loading = Some(block.wrapping_add(1));
                Effect::Content
            }
            (LAST_BLOCK, Some(block)) if block == p2 => {
                self.loading = None;
                Effect::Content
            }
            _ => Effect::KeyWrite,
        }
    }

    fn is_security_domain_session(&self) -> bool {
        !self.rules.is_applet(&self.target)
    }
}

/// GET DATA is sent without data, or with a list of tags (CS 2.3.1 §11.3.2.2).
fn is_tag_list(data: &[u8]) -> bool {
    let mut objects = tlv::objects(data);
    data.is_empty()
        || matches!((objects.next(), objects.next()), (Some(Ok(it)), None) if it.tag() == 0x5C)
}

/// A GET STATUS to the Security Domain of the session.
fn is_session_query(command: &CommandApdu) -> bool {
    command.ins() == ins::GET_STATUS
        && Class::of(command.cla()).is_some_and(Class::is_basic_proprietary)
}

/// CS 2.3.1 §11.4.2.1 and §11.4.2.2.
fn is_status_query(p1: u8, p2: u8) -> bool {
    matches!(p1, 0x80 | 0x40 | 0x20 | 0x10) && p2 <= 0x03
}

/// The AID, where the data is exactly one in tag 4F: a token or a second object makes it something
/// else (CS 2.3.1 Table 11-23).
fn only_aid(data: &[u8]) -> Option<Aid> {
    match data {
        [0x4F, length, aid @ ..] if aid.len() == usize::from(*length) => Aid::new(aid).ok(),
        _ => None,
    }
}
