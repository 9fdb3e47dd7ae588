//! INSTALL in its forms: which of them place content the rules declare public.

use super::personalization::Position;
use super::{Effect, Tracker};
use crate::aid::Aid;
use crate::content::install::{fields, purpose};
use crate::profile::ServiceProfile;
use crate::tlv;

impl Tracker {
    /// CS 2.3.1 §11.5.2. Chained and combined forms are not on the list.
    pub(super) fn install(&mut self, p1: u8, p2: u8, data: &[u8]) -> Effect {
        const MOVES_OR_RESTRICTS: u8 = purpose::EXTRADITION | purpose::REGISTRY_UPDATE;
        let fields = fields(data).filter(|_| p2 == 0x00 && self.is_security_domain_session());
        let listed = match (p1, fields) {
            (purpose::LOAD, Some(fields)) => self.begins_load(&fields),
            (purpose::INSTALL | purpose::INSTALL_AND_MAKE_SELECTABLE, Some(fields)) => {
                self.installs_service(&fields)
            }
            (purpose::MAKE_SELECTABLE, Some(fields)) => self.makes_selectable(&fields),
            (purpose::PERSONALIZATION, Some(fields)) => self.begins_personalization(&fields),
            (purpose::EXTRADITION, Some(fields)) => self.moves_empty_instance(&fields),
            _ => false,
        };
        match listed {
            true => Effect::Content,
            false if p1 & MOVES_OR_RESTRICTS != 0 => Effect::Destroy,
            false => Effect::KeyWrite,
        }
    }

    /// The load file of the service, into the session's own Security Domain, without a token.
    fn begins_load(&mut self, fields: &[&[u8]]) -> bool {
        self.loading = None;
        let [load_file, security_domain, _hash, parameters, []] = fields else { return false };
        let listed = Aid::new(load_file).is_ok_and(|aid| self.rules.is_load_file(&aid))
            && (security_domain.is_empty() || *security_domain == self.target.as_bytes())
            && are_memory_requirements(parameters);
        self.loading = listed.then_some(0);
        listed
    }

    /// The service's instance, with exactly its privileges and parameters, without a token.
    fn installs_service(&self, fields: &[&[u8]]) -> bool {
        let (Some(service), [load_file, module, instance, privileges, parameters, []]) =
            (self.rules.service(), fields)
        else {
            return false;
        };
        *load_file == service.load_file.as_bytes()
            && *module == service.module.as_bytes()
            && *instance == service.applet.as_bytes()
            && *privileges == service.privileges
            && are_parameters_of(service, parameters)
    }

    fn makes_selectable(&self, fields: &[&[u8]]) -> bool {
        let (Some(service), [[], [], instance, privileges, [], []]) =
            (self.rules.service(), fields)
        else {
            return false;
        };
        *instance == service.applet.as_bytes() && *privileges == service.privileges
    }

    /// From here on STORE DATA goes to the applet; or, if the SE refuses, to the Security Domain,
    /// which is why the rules know identifiers that are never public.
    fn begins_personalization(&mut self, fields: &[&[u8]]) -> bool {
        self.personalizing = None;
        let [[], [], instance, [], [], []] = fields else { return false };
        let listed = Aid::new(instance).is_ok_and(|aid| self.rules.is_applet(&aid));
        self.personalizing = listed.then_some(Position::START);
        listed
    }

    fn moves_empty_instance(&self, fields: &[&[u8]]) -> bool {
        let [security_domain, [], instance, [], [], []] = fields else { return false };
        Aid::new(security_domain).is_ok()
            && Aid::new(instance).is_ok_and(|aid| self.learned.is_empty_instance(&aid, &self.rules))
    }
}

/// Tag C9 with the service's public value, in the one form this crate writes.
fn are_parameters_of(service: &ServiceProfile, parameters: &[u8]) -> bool {
    tlv::encode(0xC9, &service.install_parameters).is_ok_and(|expected| expected == parameters)
}

/// Nothing, or system-specific parameters that state memory requirements and nothing else
/// (CS 2.3.1 Table 11-48).
fn are_memory_requirements(parameters: &[u8]) -> bool {
    let mut objects = tlv::objects(parameters);
    match (objects.next(), objects.next()) {
        (None, None) => true,
        (Some(Ok(system)), None) if system.tag() == 0xEF => system.children().all(|inner| {
            inner.is_ok_and(|it| {
                matches!(it.tag(), 0xC6..=0xC8) && matches!(it.value().len(), 2 | 4)
            })
        }),
        _ => false,
    }
}
