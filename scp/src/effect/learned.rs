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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{delete, install, status_data, store_data};
    use crate::effect::{Effect, Tracker};
    use crate::profile::{ApplicationProbe, ServiceProfile};
    use crate::tlv;

    const FILE: &str = "D27600000001";
    const APPLET: &str = "D27600000003";
    const SD: &str = "D27600000004";

    fn aid(text: &str) -> Aid {
        text.parse().unwrap()
    }

    fn tracker() -> Tracker {
        let service = ServiceProfile {
            name: "service".into(),
            load_file: aid(FILE),
            module: aid("D27600000002"),
            applet: aid(APPLET),
            install_parameters: vec![],
            privileges: vec![0],
            public_dgis: vec![0x0101],
            secret_dgis: vec![],
            probe: Some(ApplicationProbe { life_cycle: 0x0F, tag: 0xDF20 }),
        };
        Tracker::new(aid(SD), ContentRules::of_service(&service))
    }

    fn entry(name: &str, life_cycle: u8, privileges: u8, load_file: Option<&str>) -> Vec<u8> {
        let mut objects = vec![
            tlv::encode(0x4F, aid(name).as_bytes()).unwrap(),
            tlv::encode(0x9F70, &[life_cycle]).unwrap(),
            tlv::encode(0xC5, &[privileges, 0, 0]).unwrap(),
        ];
        objects.extend(load_file.map(|it| tlv::encode(0xC4, aid(it).as_bytes()).unwrap()));
        tlv::encode(0xE3, &objects.concat()).unwrap()
    }

    fn show(tracker: &mut Tracker, command: &CommandApdu, data: &[u8], status: u16) {
        assert_eq!(tracker.observe(command), Effect::Read);
        let answer = Answered::new(data.to_vec(), StatusWord(status), true);
        tracker.learn(command, &answer);
    }

    fn show_applications(tracker: &mut Tracker, entries: &[Vec<u8>]) {
        let query = status_data::get_status(Scope::Applications, false);
        show(tracker, &query, &entries.concat(), 0x9000);
    }

    fn show_file(tracker: &mut Tracker) {
        let query = status_data::get_status(Scope::LoadFiles, false);
        show(tracker, &query, &entry(FILE, 0x01, 0, None), 0x9000);
    }

    fn deletion(tracker: &Tracker, name: &str, related: bool) -> Effect {
        tracker.clone().observe(&delete::object(aid(name), related))
    }

    #[test]
    fn an_instance_shown_empty_may_be_deleted_moved_and_set() {
        let mut tracker = tracker();
        assert_eq!(deletion(&tracker, APPLET, false), Effect::Destroy);
        show_applications(&mut tracker, &[entry(APPLET, 0x07, 0, Some(FILE))]);
        assert_eq!(deletion(&tracker, APPLET, false), Effect::Content);
        let moved = install::for_extradition(aid(SD), aid(APPLET)).unwrap();
        assert_eq!(tracker.clone().observe(&moved), Effect::Content);
        let set = |state| tracker.clone().observe(&status_data::set_status(aid(APPLET), state));
        assert_eq!((set(0x07), set(0x87)), (Effect::Content, Effect::Destroy));
        assert_eq!(deletion(&tracker, SD, false), Effect::Destroy);
        assert_eq!(deletion(&tracker, APPLET, true), Effect::Destroy);
    }

    #[test]
    fn anything_but_installed_and_selectable_is_personalized() {
        for life_cycle in 0..=u8::MAX {
            let mut tracker = tracker();
            show_applications(&mut tracker, &[entry(APPLET, life_cycle, 0, None)]);
            let empty = [0x03, 0x07].contains(&life_cycle);
            let expected = if empty { Effect::Content } else { Effect::Destroy };
            assert_eq!(deletion(&tracker, APPLET, false), expected, "{life_cycle:02X}");
        }
        let mut domain = tracker();
        show_applications(&mut domain, &[entry(APPLET, 0x07, 0x80, None)]);
        assert_eq!(deletion(&domain, APPLET, false), Effect::Destroy);
        let mut twice = tracker();
        let both = [entry(APPLET, 0x0F, 0, None), entry(APPLET, 0x07, 0, None)];
        show_applications(&mut twice, &both);
        assert_eq!(deletion(&twice, APPLET, false), Effect::Destroy);
    }

    #[test]
    fn only_what_an_r_mac_covers_teaches() {
        let query = status_data::get_status(Scope::Applications, false);
        let shown = entry(APPLET, 0x07, 0, None);
        for (status, authenticated) in [(0x9000, false), (0x6A88, true), (0x6283, true)] {
            let mut tracker = tracker();
            let _ = tracker.observe(&query);
            let answer = Answered::new(shown.clone(), StatusWord(status), authenticated);
            tracker.learn(&query, &answer);
            assert_eq!(deletion(&tracker, APPLET, false), Effect::Destroy);
        }
        let mut unasked = tracker();
        unasked.learn(&query, &Answered::new(shown, StatusWord::SUCCESS, true));
        assert_eq!(deletion(&unasked, APPLET, false), Effect::Destroy);
    }

    #[test]
    fn an_answer_older_than_a_change_teaches_nothing() {
        let mut tracker = tracker();
        let query = status_data::get_status(Scope::Applications, false);
        let dgi = [store_data::Dgi { tag: 0x0101, value: vec![1] }];
        let mut script = vec![query.clone(), install::for_personalization(aid(APPLET)).unwrap()];
        script.extend(store_data::blocks(&dgi, 100).unwrap());
        script.push(query.clone());
        for command in &script {
            assert!(tracker.observe(command) <= Effect::Content);
        }
        let learn = |tracker: &mut Tracker, life_cycle| {
            let data = entry(APPLET, life_cycle, 0, None);
            tracker.learn(&query, &Answered::new(data, StatusWord::SUCCESS, true));
        };
        learn(&mut tracker, 0x07);
        assert_eq!(deletion(&tracker, APPLET, false), Effect::Destroy);
        let mut seen_late = tracker.clone();
        learn(&mut seen_late, 0x07);
        assert_eq!(deletion(&seen_late, APPLET, false), Effect::Content);
        learn(&mut tracker, 0x0F);
        assert_eq!(deletion(&tracker, APPLET, false), Effect::Destroy);
    }

    #[test]
    fn a_load_file_goes_with_its_applications_only_after_the_whole_list() {
        let domain = || entry(SD, 0x0F, 0x80, None);
        let seen = |pages: &[(Vec<u8>, u16)]| {
            let mut tracker = tracker();
            show_file(&mut tracker);
            for (number, (page, status)) in pages.iter().enumerate() {
                let query = status_data::get_status(Scope::Applications, number > 0);
                show(&mut tracker, &query, page, *status);
            }
            deletion(&tracker, FILE, true)
        };
        let fresh = || entry(APPLET, 0x07, 0, Some(FILE));
        let foreign = entry("D27600000009", 0x0F, 0, Some("D27600000008"));
        let suspect = entry("D27600000009", 0x0F, 0, None);
        let full = || entry("D27600000009", 0x0F, 0, Some(FILE));
        assert_eq!(seen(&[]), Effect::Destroy);
        assert_eq!(seen(&[([fresh(), domain(), foreign].concat(), 0x9000)]), Effect::Content);
        assert_eq!(seen(&[(fresh(), 0x6310)]), Effect::Destroy);
        assert_eq!(seen(&[(fresh(), 0x6310), (domain(), 0x9000)]), Effect::Content);
        assert_eq!(seen(&[(fresh(), 0x6310), (full(), 0x9000)]), Effect::Destroy);
        assert_eq!(seen(&[(full(), 0x6310), (fresh(), 0x9000)]), Effect::Destroy);
        assert_eq!(seen(&[(suspect, 0x9000)]), Effect::Destroy);

        let mut unlisted = tracker();
        show_applications(&mut unlisted, &[fresh()]);
        assert_eq!(deletion(&unlisted, FILE, true), Effect::Destroy);
        assert_eq!(deletion(&unlisted, FILE, false), Effect::Destroy);
        show_file(&mut unlisted);
        assert_eq!(deletion(&unlisted, FILE, false), Effect::Content);
    }

    #[test]
    fn a_key_write_or_a_new_session_outdates_all() {
        let put_key = CommandApdu::new(0x80, 0xD8, 0x30, 0x81, [0x31], None).unwrap();
        let select = CommandApdu::new(0x00, 0xA4, 4, 0, aid(SD).as_bytes(), None).unwrap();
        for command in [put_key, select] {
            let mut tracker = tracker();
            show_applications(&mut tracker, &[entry(APPLET, 0x07, 0, None)]);
            let _ = tracker.observe(&command);
            assert_eq!(deletion(&tracker, APPLET, false), Effect::Destroy);
        }
    }
}
