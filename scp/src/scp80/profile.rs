//! What is on record about one product's secured packets.

use serde::{Deserialize, Deserializer, Serialize};

const PARTS_LEAST: u8 = 1;
const PARTS_DEFAULT: u8 = 20;

/// What a profile must name before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Weakness {
    /// Triple DES with two keys.
    #[serde(rename = "3des-2key")]
    TripleDesTwoKeys,
    /// Triple DES with three keys.
    #[serde(rename = "3des-3key")]
    TripleDesThreeKeys,
    /// Counter modes 0 and 1: the SE does not compare CNTR, so packets can be replayed.
    #[serde(rename = "unchecked-counter")]
    UncheckedCounter,
}

/// What is on record about one product's secured packets. Unknown members are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketProfile {
    /// Weaknesses admitted; none unless named.
    #[serde(default)]
    pub admits: Vec<Weakness>,
    /// Most short messages one packet may take, 1..=255.
    #[serde(default = "parts_default", deserialize_with = "parts_within_bounds")]
    pub parts_max: u8,
}

impl Default for PacketProfile {
    fn default() -> PacketProfile {
        PacketProfile { admits: Vec::new(), parts_max: PARTS_DEFAULT }
    }
}

fn parts_default() -> u8 {
    PARTS_DEFAULT
}

fn parts_within_bounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let parts = u8::deserialize(deserializer)?;
    if parts >= PARTS_LEAST {
        Ok(parts)
    } else {
        Err(serde::de::Error::custom("parts_max: at least 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_strict() {
        let profile: PacketProfile = serde_json::from_str(r#"{"admits":["3des-2key"]}"#).unwrap();
        assert_eq!((profile.admits.len(), profile.parts_max), (1, 20));
        for text in [r#"{"admits":["des"]}"#, r#"{"parts_max":0}"#, r#"{"parts":3}"#] {
            assert!(serde_json::from_str::<PacketProfile>(text).is_err(), "{text}");
        }
    }
}
