//! What a service has declared public, and therefore what may be `Content`.

use crate::aid::Aid;
use crate::profile::ServiceProfile;

/// What a [`Tracker`](super::Tracker) may call `Content`: nothing, or what one service declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRules {
    service: Option<ServiceProfile>,
}

/// INSTALLED and SELECTABLE (CS 2.3.1 Table 11-4): no data of a subject yet.
const UNPERSONALIZED_LIFE_CYCLES: [u8; 2] = [0x03, 0x07];

impl ContentRules {
    /// Rules under which every command that changes the SE needs a permit.
    #[must_use]
    pub const fn nothing_public() -> ContentRules {
        ContentRules { service: None }
    }

    /// Rules under which the content of this one service may be placed without a permit.
    #[must_use]
    pub fn of_service(profile: &ServiceProfile) -> ContentRules {
        ContentRules { service: Some(profile.clone()) }
    }

    pub(super) fn service(&self) -> Option<&ServiceProfile> {
        self.service.as_ref()
    }

    pub(super) fn is_applet(&self, aid: &Aid) -> bool {
        self.service().is_some_and(|service| service.applet == *aid)
    }

    pub(super) fn is_load_file(&self, aid: &Aid) -> bool {
        self.service().is_some_and(|service| service.load_file == *aid)
    }

    /// Whether a value under this Data Grouping Identifier is public.
    ///
    /// Never for the identifiers a Security Domain reads as keys or as a wrapper of data objects
    /// (00xx and 81xx: CS 2.3.1 §11.11.2.3, §11.11.4), nor for any other 8xxx, which EMV Card
    /// Personalization keeps for encrypted values: where the SE refused the INSTALL
    /// \[for personalization\] before, the Security Domain itself is the reader.
    pub(super) fn is_public_dgi(&self, tag: u16) -> bool {
        let [group, _] = tag.to_be_bytes();
        let reserved = group == 0x00 || (0x80..=0x8F).contains(&group);
        !reserved
            && self.service().is_some_and(|service| {
                service.public_dgis.contains(&tag) && !service.secret_dgis.contains(&tag)
            })
    }

    /// Whether this life cycle state proves that an instance of the service holds nothing of a
    /// subject. A service whose applet shows no other state once personalized proves nothing.
    pub(super) fn is_unpersonalized(&self, life_cycle: u8) -> bool {
        UNPERSONALIZED_LIFE_CYCLES.contains(&life_cycle)
            && self.service().is_some_and(|service| {
                service.probe.is_none_or(|probe| probe.life_cycle != life_cycle)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ApplicationProbe;

    fn service() -> ServiceProfile {
        let aid = |last| Aid::new(&[0xA0, 0, 0, 0, last]).unwrap();
        ServiceProfile {
            name: "service".into(),
            load_file: aid(1),
            module: aid(2),
            applet: aid(3),
            install_parameters: vec![],
            privileges: vec![0],
            public_dgis: vec![0x0101, 0x0103, 0x00B9, 0x8113, 0x8FFF],
            secret_dgis: vec![0x0103],
            probe: Some(ApplicationProbe { life_cycle: 0x0F, tag: 0xDF20 }),
        }
    }

    #[test]
    fn identifiers_of_keys_are_never_public() {
        let rules = ContentRules::of_service(&service());
        assert!(rules.is_public_dgi(0x0101));
        for tag in [0x00B9, 0x8113, 0x8FFF, 0x0102, 0x0103] {
            assert!(!rules.is_public_dgi(tag), "{tag:04X}");
        }
        assert!(!ContentRules::nothing_public().is_public_dgi(0x0101));
    }

    #[test]
    fn only_installed_and_selectable_are_unpersonalized() {
        let rules = ContentRules::of_service(&service());
        let open: Vec<u8> = (0..=0xFF).filter(|state| rules.is_unpersonalized(*state)).collect();
        assert_eq!(open, [0x03, 0x07]);
        let mut mute = service();
        mute.probe = Some(ApplicationProbe { life_cycle: 0x07, tag: 0xDF20 });
        assert!(!ContentRules::of_service(&mute).is_unpersonalized(0x07));
        assert!(!ContentRules::nothing_public().is_unpersonalized(0x07));
    }
}
