//! What is on record about a service.

use serde::{Deserialize, Serialize};

use crate::aid::Aid;
use crate::effect::ContentRules;
use crate::hexadecimal;

/// One service: the applet, what it is installed with, and what of it is public.
///
/// All byte strings are hexadecimal in text. Unknown members are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceProfile {
    /// Name by which orders refer to it.
    pub name: String,
    /// Executable Load File.
    pub load_file: Aid,
    /// Executable Module inside it.
    pub module: Aid,
    /// Instance.
    pub applet: Aid,
    /// Content of the application-specific parameters, tag C9, of INSTALL; public.
    #[serde(with = "hexadecimal::bytes")]
    pub install_parameters: Vec<u8>,
    /// Privileges of the instance (CS 2.3.1 §11.1.2), a list of bytes.
    #[serde(with = "hexadecimal::byte_list")]
    pub privileges: Vec<u8>,
    /// Data groupings that carry nothing secret.
    #[serde(with = "hexadecimal::word_list")]
    pub public_dgis: Vec<u16>,
    /// Data groupings that carry keys or personal secrets.
    #[serde(with = "hexadecimal::word_list")]
    pub secret_dgis: Vec<u16>,
    /// How to see afterwards whether the applet took its keys. Without one it may be given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ApplicationProbe>,
}

impl ServiceProfile {
    /// What of this service may be placed on an SE without a permit.
    #[must_use]
    pub fn content_rules(&self) -> ContentRules {
        ContentRules::of_service(self)
    }
}

/// What a personalized applet shows under R-MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationProbe {
    /// Its life cycle state in GET STATUS.
    #[serde(with = "hexadecimal::byte")]
    pub life_cycle: u8,
    /// The tag whose GET DATA answers the SHA-256 of its public key.
    #[serde(with = "hexadecimal::word")]
    pub tag: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_round_trip() {
        let text = r#"{"name":"s","load_file":"A000000001","module":"A000000002",
            "applet":"A000000003","install_parameters":"C9FF","privileges":["00"],
            "public_dgis":["0101"],"secret_dgis":["8201","8010"],
            "probe":{"life_cycle":"0F","tag":"DF20"}}"#;
        let read: ServiceProfile = serde_json::from_str(text).unwrap();
        assert_eq!((read.privileges.as_slice(), read.secret_dgis[1]), ([0].as_slice(), 0x8010));
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<ServiceProfile>(&again).unwrap(), read);
        assert!(again.contains("\"tag\":\"DF20\""));
    }
}
