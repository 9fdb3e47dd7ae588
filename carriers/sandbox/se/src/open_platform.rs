//! OPEN, the environment of CS chapter 6: what happens to an APDU before and after the selected application sees it.
//! Logical channels, SELECT, secure messaging, long answers.

use crate::aid::Aid;
use crate::apdu::Command;
use crate::applet::Signer;
use crate::channel::{CHANNELS, Channel, Waiting};
use crate::class::{CommandClass, Header};
use crate::command::Turn;
use crate::registry::{Card, life_cycle};
use crate::session::{Session, external_authenticate, initialize_update};
use crate::status::{Answer, Stop, Sw};
use crate::store::Store;
use crate::tlv;

/// The most bytes a short answer carries directly; longer ones wait for GET RESPONSE unless Le is extended.
const DIRECT_ANSWER_BYTES_MAX: usize = 255;

/// The card between its line and its applications.
pub(crate) struct OpenPlatform {
    pub(crate) store: Store,
    channels: [Option<Channel>; CHANNELS],
    signer: Signer,
}

/// How an APDU ended, and what it was.
pub(crate) struct Outcome {
    pub(crate) channel: u8,
    pub(crate) class: CommandClass,
    pub(crate) end: Result<Answer, Stop>,
}

impl OpenPlatform {
    pub(crate) fn new(store: Store) -> Self {
        let mut platform = Self { store, channels: Default::default(), signer: Signer::default() };
        platform.reset();
        platform
    }

    pub(crate) fn reset(&mut self) {
        self.store.power_up();
        self.channels = Default::default();
        if let Some(basic) = self.channels.first_mut() {
            *basic = Some(Channel::new(Aid::ISSUER_SECURITY_DOMAIN));
        }
    }

    pub(crate) fn exchange(&mut self, apdu: &[u8]) -> Outcome {
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
