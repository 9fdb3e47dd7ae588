//! Content management a carrier does for us (simple mode), through its own Issuer Security Domain.

use carriers::json::messages::SeCommand;
use scp::{
    Aid, CommandApdu,
    content::{install, load, registry::Entry, status_data::Scope},
};

use super::{
    seat::{BLOCK_MAX, Seat},
    session::{Session, SessionError},
};

/// How a command of simple mode ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Managed {
    /// It was done.
    Done,
    /// It had been done before.
    AlreadyThere,
}

impl Seat {
    /// Loads, installs or extradites. What is there already is left as it is, so a call may be repeated.
    pub(super) fn manage(&mut self, command: &SeCommand) -> Result<Managed, SessionError> {
        let session = self.issuer_session()?;
        match command {
            SeCommand::LoadElf { elf_aid, sd_aid, load_file_data_block } => {
                let (files, session) = session.registry(Scope::LoadFiles)?;
                let mut commands = vec![install::for_load(*elf_aid, *sd_aid, None, &[])?];
                commands.extend(load::blocks(&load_file_data_block.0, BLOCK_MAX)?);
                unless(find(&files, elf_aid).is_some(), session, commands)
            }
            SeCommand::InstantiateApplication {
                elf_aid,
                module_aid,
                application_aid,
                privileges,
                parameters,
            } => {
                let (applications, session) = session.registry(Scope::Applications)?;
                let install = install::for_install_and_make_selectable(
                    *elf_aid,
                    *module_aid,
                    *application_aid,
                    &privileges.0,
                    &parameters.0,
                )?;
                let there = find(&applications, application_aid).is_some();
                unless(there, session, vec![install])
            }
            SeCommand::Extradite { application_aid, sd_aid } => {
                let (applications, session) = session.registry(Scope::Applications)?;
                let extradite = install::for_extradition(*sd_aid, *application_aid)?;
                let entry = find(&applications, application_aid);
                let there = entry.is_some_and(|entry| entry.security_domain == Some(*sd_aid));
                unless(there, session, vec![extradite])
            }
        }
    }

    /// Life cycle state of an application, Security Domain or load file; none if it is not there.
    pub(super) fn life_cycle(&mut self, target: &Aid) -> Result<Option<u8>, SessionError> {
        let (applications, session) = self.issuer_session()?.registry(Scope::Applications)?;
        if let Some(entry) = find(&applications, target) {
            return Ok(Some(entry.life_cycle));
        }
        let (files, _) = session.registry(Scope::LoadFiles)?;
        Ok(find(&files, target).map(|entry| entry.life_cycle))
    }
}

fn find<'a>(entries: &'a [Entry], aid: &Aid) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.aid == *aid)
}

fn unless(
    there: bool,
    session: Session<'_>,
    commands: Vec<CommandApdu>,
) -> Result<Managed, SessionError> {
    if there {
        return Ok(Managed::AlreadyThere);
    }
    session.run(commands).map(|_| Managed::Done)
}
