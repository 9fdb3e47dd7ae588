//! The SE as a whole: what OPEN does with an APDU before and after the selected application sees it.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::aid::Aid;
use crate::apdu::Command;
use crate::applet::Signer;
use crate::bytes::hex_upper;
use crate::channel::{CHANNELS, Channel, Waiting};
use crate::class::{CommandClass, Header};
use crate::command::Turn;
use crate::factory::{Factory, FactoryError};
use crate::file::{FileError, SeFile};
use crate::ledger::{Counts, Ledger, LedgerEntry, Observation};
use crate::registry::{Card, life_cycle};
use crate::session::{Session, external_authenticate, initialize_update};
use crate::status::{Answer, Stop, Sw};
use crate::store::Store;
use crate::tlv;

/// The most bytes a short answer carries directly; longer ones wait for GET RESPONSE unless Le is extended.
const DIRECT_ANSWER_BYTES_MAX: usize = 255;

/// A virtual secure element.
pub struct SecureElement {
    store: Store,
    channels: [Option<Channel>; CHANNELS],
    ledger: Ledger,
    signer: Signer,
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
        let mut se =
            Self { store, channels: Default::default(), ledger, signer: Signer::default() };
        se.reset();
        se
    }

    /// Exchanges one APDU: answers data and status word, or nothing after a tear.
    pub fn transmit(&mut self, apdu: &[u8]) -> Vec<u8> {
        if self.store.is_torn() {
            return Vec::new();
        }
        let recorded = self.store.card().handed_over;
        let outcome = self.exchange(apdu);
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
        self.store.power_up();
        self.channels = Default::default();
        if let Some(basic) = self.channels.first_mut() {
            *basic = Some(Channel::new(Aid::ISSUER_SECURITY_DOMAIN));
        }
    }

    /// From here on the ledger runs and counts, from zero.
    pub fn hand_over(&mut self) {
        self.ledger.clear();
        // Only a torn or full disk keeps this from being remembered across a restart.
        let _ = self.store.change(|card| {
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
        let domains = self.store.card().entries.iter().filter_map(|entry| {
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
        let applications = self.store.card().entries.iter().filter_map(|entry| {
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
        self.store.tear_at(write);
    }
}

impl fmt::Debug for SecureElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureElement").finish_non_exhaustive()
    }
}

/// How an APDU ended, and what it was.
struct Outcome {
    channel: u8,
    class: CommandClass,
    end: Result<Answer, Stop>,
}

impl SecureElement {
    fn exchange(&mut self, apdu: &[u8]) -> Outcome {
        let mut class = CommandClass::of_header(Header::of(apdu));
        let command = match Command::parse(apdu) {
            Ok(command) => command,
            Err(sw) => return Outcome { channel: 0, class, end: Err(sw.into()) },
        };
        let channel = command.class.channel;
        if !command.class.secured {
            class = CommandClass::of_command(self.store.card(), &command);
        }
        let slot = self.channels.get_mut(usize::from(channel));
        let Some(mut open) = slot.and_then(Option::take) else {
            return Outcome { channel, class, end: Err(Sw::CHANNEL_NOT_ACTIVE.into()) };
        };
        let end = self.exchange_on(&mut open, &command, &mut class);
        if let Some(slot) = self.channels.get_mut(usize::from(channel)) {
            *slot = (!open.closed).then_some(open);
        }
        Outcome { channel, class, end }
    }

    fn exchange_on(
        &mut self,
        channel: &mut Channel,
        command: &Command,
        class: &mut CommandClass,
    ) -> Result<Answer, Stop> {
        let waiting = channel.waiting.take();
        let answer = match command.key() {
            (false, 0xC0) => {
                let waiting = waiting.ok_or(Sw::CONDITIONS)?;
                return Ok(next_bytes(channel, waiting, command));
            }
            (false, 0xA4) => self.select(channel, command)?,
            (false, 0x70) => self.manage_channel(channel, command)?,
            _ => self.secured_exchange(channel, command, class)?,
        };
        if answer.data.len() > DIRECT_ANSWER_BYTES_MAX && !command.extended {
            let sw = Sw::bytes_waiting(answer.data.len());
            channel.waiting = Some(Waiting { data: answer.data, sw: answer.sw });
            return Ok(Answer::empty(sw));
        }
        Ok(answer)
    }

    /// SELECT by name (CS 11.9). Ends the session of the channel if something is selected.
    fn select(&self, channel: &mut Channel, command: &Command) -> Result<Answer, Stop> {
        if command.class.secured {
            return Err(Sw::SECURE_MESSAGING_NOT_SUPPORTED.into());
        }
        if command.p1 != 0x04 || !matches!(command.p2, 0x00 | 0x0C) {
            return Err(Sw::INCORRECT_P1_P2.into());
        }
        let card = self.store.card();
        let aid = if command.data.is_empty() {
            Aid::ISSUER_SECURITY_DOMAIN
        } else {
            Aid::new(&command.data).ok_or(Sw::NOT_FOUND)?
        };
        let sw = selectable(card, &aid)?;
        *channel = Channel::new(aid);
        // 9F65: the longest command data field (CS Table 11-82).
        let proprietary = tlv::object(0xA5, &tlv::object(0x9F65, &[0xFF]));
        let mut information = tlv::object(0x84, aid.as_bytes());
        information.extend(proprietary);
        Ok(Answer { data: tlv::object(0x6F, &information), sw })
    }

    /// MANAGE CHANNEL (CS 11.7): opens the next free or the named channel, closes one.
    fn manage_channel(&mut self, current: &mut Channel, command: &Command) -> Result<Answer, Stop> {
        if command.class.secured {
            return Err(Sw::SECURE_MESSAGING_NOT_SUPPORTED.into());
        }
        if self.store.card().life_cycle() >= life_cycle::CARD_LOCKED {
            return Err(Sw::FUNCTION_NOT_SUPPORTED.into());
        }
        if !command.data.is_empty() {
            return Err(Sw::WRONG_LENGTH.into());
        }
        let came_on = usize::from(command.class.channel);
        let named = usize::from(command.p2);
        match (command.p1, named) {
            (0x00, _) => {
                let mut free = (1..CHANNELS).filter(|number| {
                    *number != came_on && matches!(self.channels.get(*number), Some(None))
                });
                let number = match named {
                    0 => free.next(),
                    named => free.find(|number| *number == named),
                };
                let number = number.ok_or(Sw::CHANNEL_NOT_ACTIVE)?;
                // Opened from the basic channel the Issuer Security Domain is selected, otherwise the opener's
                // own selection (ISO/IEC 7816-4, MANAGE CHANNEL).
                let selected =
                    if came_on == 0 { Aid::ISSUER_SECURITY_DOMAIN } else { current.selected };
                let slot = self.channels.get_mut(number).ok_or(Sw::CHANNEL_NOT_ACTIVE)?;
                *slot = Some(Channel::new(selected));
                let data = if named == 0 { vec![number as u8] } else { Vec::new() };
                Ok(Answer::ok(data))
            }
            (0x80, 1..) if named == came_on => {
                current.closed = true;
                Ok(Answer::empty(Sw::OK))
            }
            (0x80, 1..) => {
                let slot = self.channels.get_mut(named).ok_or(Sw::CHANNEL_NOT_ACTIVE)?;
                let was_open = slot.take().is_some();
                Ok(Answer::empty(if was_open { Sw::OK } else { Sw::CHANNEL_ALREADY_CLOSED }))
            }
            _ => Err(Sw::INCORRECT_P1_P2.into()),
        }
    }

    /// Everything the selected application gets, in and out of secure messaging (AmdD 5.6).
    fn secured_exchange(
        &mut self,
        channel: &mut Channel,
        command: &Command,
        class: &mut CommandClass,
    ) -> Result<Answer, Stop> {
        let entry = self.store.card().entry(&channel.selected).ok_or(Sw::CONDITIONS)?;
        if entry.locked || self.store.card().life_cycle() == life_cycle::CARD_TERMINATED {
            return Err(Sw::CONDITIONS.into());
        }
        let mut turn = Turn {
            store: &mut self.store,
            channel,
            elsewhere: &self.channels,
            signer: &mut self.signer,
        };
        match (command.key(), command.class.secured) {
            ((true, 0x50), false) => return initialize_update(&mut turn, command),
            ((true, 0x82), true) => return external_authenticate(&mut turn, command),
            _ => {}
        }
        let plain = match &mut turn.channel.session {
            Session::Open(open) => open.unwrap(command),
            Session::Aborted => Err(Sw::SECURITY_STATUS),
            Session::Closed | Session::Challenged(_) if command.class.secured => {
                Err(Sw::SECURITY_STATUS)
            }
            Session::Closed | Session::Challenged(_) => Ok(command.clone()),
        };
        let plain = match plain {
            Ok(plain) => plain,
            Err(sw) => {
                abort(turn.channel);
                return Err(sw.into());
            }
        };
        *class = CommandClass::of_command(turn.store.card(), &plain);
        let answer = match turn.execute(&plain) {
            Ok(answer) => answer,
            Err(Stop::Refused(sw)) => Answer::empty(sw),
            Err(torn @ Stop::Torn { .. }) => return Err(torn),
        };
        match &turn.channel.session {
            Session::Open(open) => Ok(open.wrap(answer)?),
            Session::Closed | Session::Challenged(_) | Session::Aborted => Ok(answer),
        }
    }
}

/// Aborts an open session; where there is none, nothing is to abort.
fn abort(channel: &mut Channel) {
    if matches!(channel.session, Session::Open(_)) {
        channel.end_session();
        channel.session = Session::Aborted;
    }
}

/// What SELECT says to this AID (CS 5.1, 6.4.2, 11.9.3.2).
fn selectable(card: &Card, aid: &Aid) -> Result<Sw, Sw> {
    let card_state = card.life_cycle();
    if card_state == life_cycle::CARD_TERMINATED {
        return Err(Sw::CONDITIONS);
    }
    let entry = card.entry(aid).ok_or(Sw::NOT_FOUND)?;
    if card_state == life_cycle::CARD_LOCKED {
        return if entry.is_issuer() {
            Ok(Sw::CARD_LOCKED_WARNING)
        } else {
            Err(Sw::FUNCTION_NOT_SUPPORTED)
        };
    }
    if entry.locked {
        return Err(Sw::FUNCTION_NOT_SUPPORTED);
    }
    if entry.is_issuer() || entry.life_cycle >= life_cycle::SELECTABLE {
        Ok(Sw::OK)
    } else {
        Err(Sw::NOT_FOUND)
    }
}

/// GET RESPONSE: as many of the waiting bytes as Le asks for.
fn next_bytes(channel: &mut Channel, waiting: Waiting, command: &Command) -> Answer {
    let Waiting { mut data, sw } = waiting;
    let rest = data.split_off(data.len().min(command.le.unwrap_or(256)));
    if rest.is_empty() {
        return Answer { data, sw };
    }
    let more = Sw::bytes_waiting(rest.len());
    channel.waiting = Some(Waiting { data: rest, sw });
    Answer { data, sw: more }
}
