//! What GET STATUS answers under R-MAC have shown in this session.

use super::rules::ContentRules;
use crate::Answered;
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::content::registry::{self, Entry};
use crate::content::status_data::{EVERY_AID, FIRST, NEXT, Scope};
use crate::status::StatusWord;

/// What is known of the service's instance and load file. Nothing is, until the SE has shown it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Learned {
    instance: Instance,
    applications: Listing,
    load_file: bool,
    /// GET STATUS commands of the session whose answers are still to come.
    asked: u32,
    /// How many of the first of them were followed by a command that outdates their answers.
    outdated: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Instance {
    #[default]
    Unknown,
    Empty,
    Personalized,
}

/// How far the list of all applications has been seen without one that bars the deletion of
/// the load file with its applications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Listing {
    #[default]
    Unseen,
    Partial,
    Whole,
}

impl Learned {
    /// Nothing shown so far, nor asked for so far, holds any more.
    pub(super) fn forget(&mut self) {
        *self = Learned { asked: self.asked, outdated: self.asked, ..Learned::default() };
    }

    /// A GET STATUS is on its way.
    pub(super) fn ask(&mut self) {
        self.asked = self.asked.saturating_add(1);
    }

    pub(super) fn is_empty_instance(&self, aid: &Aid, rules: &ContentRules) -> bool {
        rules.is_applet(aid) && self.instance == Instance::Empty
    }

    pub(super) fn is_load_file(&self, aid: &Aid, rules: &ContentRules) -> bool {
        rules.is_load_file(aid) && self.load_file
    }

    /// A load file none of whose instances holds anything of a subject.
    pub(super) fn is_empty_load_file(&self, aid: &Aid, rules: &ContentRules) -> bool {
        self.is_load_file(aid, rules) && self.applications == Listing::Whole
    }

    /// Takes in the answer to the GET STATUS longest on its way.
    pub(super) fn take_in(
        &mut self,
        command: &CommandApdu,
        answer: &Answered,
        rules: &ContentRules,
    ) {
        let Some(asked) = self.asked.checked_sub(1) else { return };
        self.asked = asked;
        if let Some(outdated) = self.outdated.checked_sub(1) {
            self.outdated = outdated;
            return;
        }
        let more = answer.status() == StatusWord::MORE_DATA_AVAILABLE;
        let Some(scope) = Scope::from_p1(command.p1()) else { return };
        if !answer.is_authenticated() || !(answer.status().is_success() || more) {
            return;
        }
        let Ok(entries) = registry::parse(scope, answer.data()) else { return self.forget() };
        match scope {
            Scope::Applications => self.take_in_applications(command, &entries, more, rules),
            Scope::LoadFiles | Scope::LoadFilesAndModules => {
                self.load_file |= entries.iter().any(|it| rules.is_load_file(&it.aid));
            }
            Scope::IssuerSecurityDomain => {}
        }
    }

    fn take_in_applications(
        &mut self,
        command: &CommandApdu,
        entries: &[Entry],
        more: bool,
        rules: &ContentRules,
    ) {
        if command.p2() != NEXT {
            self.instance = Instance::Unknown;
        }
        for entry in entries.iter().filter(|it| rules.is_applet(&it.aid)) {
            self.instance = match self.instance {
                Instance::Unknown | Instance::Empty if is_empty(entry, rules) => Instance::Empty,
                _ => Instance::Personalized,
            };
        }
        let whole = command.data() == EVERY_AID;
        let begun = command.p2() == FIRST
            || (command.p2() == NEXT && self.applications == Listing::Partial);
        self.applications = match (whole && begun && !bars_deletion(entries, rules), more) {
            (false, _) => Listing::Unseen,
            (true, true) => Listing::Partial,
            (true, false) => Listing::Whole,
        };
    }
}

/// An application that is no Security Domain and shows that nothing of a subject is in it.
fn is_empty(entry: &Entry, rules: &ContentRules) -> bool {
    entry.privileges.is_some_and(|privileges| !privileges.is_security_domain())
        && rules.is_unpersonalized(entry.life_cycle)
}

/// Whether one of them may be from the service's load file and hold something of a subject.
fn bars_deletion(entries: &[Entry], rules: &ContentRules) -> bool {
    let from_elsewhere = |entry: &Entry| match entry.load_file {
        Some(load_file) => !rules.is_load_file(&load_file),
        None => entry.privileges.is_some_and(|privileges| privileges.is_security_domain()),
    };
    entries.iter().any(|entry| !from_elsewhere(entry) && !is_empty(entry, rules))
}
