//! One command on one logical channel: who it goes to, and what it may assume.

use crate::aes::AesKey;
use crate::aid::Aid;
use crate::apdu::Command;
use crate::applet::{self, Signer};
use crate::channel::Channel;
use crate::messaging::Open;
use crate::registry::life_cycle::CARD_LOCKED;
use crate::registry::{Entry, Role};
use crate::session::Session;
use crate::status::{Answer, Stop, Sw};
use crate::store::Store;
use crate::{delete, get_data, get_status, install, load, put_key, set_status, store_data};

/// Everything a command may touch.
pub(crate) struct Turn<'a> {
    pub(crate) store: &'a mut Store,
    /// The channel the command came on.
    pub(crate) channel: &'a mut Channel,
    /// All other channels.
    pub(crate) elsewhere: &'a [Option<Channel>],
    pub(crate) signer: &'a mut Signer,
}

impl Turn<'_> {
    /// Executes a command that is out of its protection.
    pub(crate) fn execute(&mut self, command: &Command) -> Result<Answer, Stop> {
        match self.selected()?.role {
            Role::SecurityDomain(_) => self.execute_in_domain(command),
            Role::Application(_) => applet::execute(self, command),
        }
    }

    fn execute_in_domain(&mut self, command: &Command) -> Result<Answer, Stop> {
        match command.key() {
            (_, 0xCA) | (false, 0xCB) => get_data::get_data(self, command),
            (true, 0xF2) => get_status::get_status(self, command),
            (true, 0xD8) => put_key::put_key(self, command),
            (true, 0xE2) => store_data::store_data(self, command),
            (true, 0xE4) => delete::delete(self, command),
            (true, 0xE6) => install::install(self, command),
            (true, 0xE8) => load::load(self, command),
            (true, 0xF0) => set_status::set_status(self, command),
            (_, 0xD8 | 0xE2 | 0xE4 | 0xE6 | 0xE8 | 0xF0 | 0xF2) => Err(Sw::INVALID_CLASS.into()),
            _ => Err(Sw::INVALID_INSTRUCTION.into()),
        }
    }

    /// The registry entry of what is selected.
    pub(crate) fn selected(&self) -> Result<&Entry, Sw> {
        self.store.card().entry(&self.channel.selected).ok_or(Sw::CONDITIONS)
    }

    /// The session, whatever its level.
    ///
    /// # Errors
    /// `6982` without one.
    pub(crate) fn session(&self) -> Result<&Open, Sw> {
        match &self.channel.session {
            Session::Open(open) => Ok(open),
            Session::Closed | Session::Challenged(_) | Session::Aborted => Err(Sw::SECURITY_STATUS),
        }
    }

    /// The Security Domain performing a management command, if need be on a locked card.
    ///
    /// CS Table 11-2 asks for AUTHENTICATED; this card's policy adds a C-MAC on whatever changes it.
    ///
    /// # Errors
    /// `6982` without an open session of at least C-MAC.
    pub(crate) fn performing_even_locked(&self) -> Result<Aid, Sw> {
        if self.session()?.level().c_mac() {
            Ok(self.channel.selected)
        } else {
            Err(Sw::SECURITY_STATUS)
        }
    }

    /// The Security Domain performing a management command.
    ///
    /// # Errors
    /// As [`Self::performing_even_locked`]; `6985` while the card is locked.
    pub(crate) fn performing(&self) -> Result<Aid, Sw> {
        let aid = self.performing_even_locked()?;
        if self.store.card().life_cycle() == CARD_LOCKED { Err(Sw::CONDITIONS) } else { Ok(aid) }
    }

    /// The Security Domain performing card content management.
    ///
    /// # Errors
    /// As [`Self::performing`]; `6985` without Authorized Management.
    pub(crate) fn managing(&self) -> Result<Aid, Sw> {
        let aid = self.performing()?;
        if self.selected()?.manages_content() { Ok(aid) } else { Err(Sw::CONDITIONS) }
    }

    /// The Key-DEK of the session's key set.
    pub(crate) fn dek(&self) -> Result<AesKey, Sw> {
        self.session().map(|open| open.dek().clone())
    }

    /// Whether another logical channel has it selected.
    pub(crate) fn is_selected_elsewhere(&self, aid: &Aid) -> bool {
        self.elsewhere.iter().flatten().any(|channel| channel.selected == *aid)
    }
}
