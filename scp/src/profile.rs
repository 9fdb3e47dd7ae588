//! What is on record about a product: which SCP03 it speaks, and what its applet may be given.

mod level;
mod mode;
mod service;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::level::{SecurityLevel, SecurityLevelError};
use self::mode::I_S16;
pub use self::mode::Mode;
pub use self::service::{ApplicationProbe, ServiceProfile};
use crate::error::ApiMisuse;
use crate::hexadecimal;
use crate::keyset::version::KeyLength;

/// i, bit 5: the card challenge is pseudo-random (AmdD Table 5-1).
const I_PSEUDO_RANDOM: u8 = 0x10;
/// i, bit 6: R-MAC is supported (AmdD Table 5-1).
const I_R_MAC: u8 = 0x20;
/// i, bit 7: R-ENCRYPTION is supported (AmdD Table 5-1).
const I_R_ENCRYPTION: u8 = 0x40;

/// Clear data bytes in a short command under C-DECRYPTION: 239 + 1 padded to 240, + 8 of C-MAC.
const BLOCK_MOST: u8 = 239;
/// The same with 16 bytes of C-MAC: 223 + 1 padded to 224, + 16.
const BLOCK_MOST_S16: u8 = 223;
const BLOCK_LEAST: u8 = 32;
const BLOCK_DEFAULT: u8 = 223;

/// One SE product's secure channel, as on record. An SE that differs is refused, never adapted to.
///
/// In text, `i` and the level are two hexadecimal digits. Unknown members are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeProfile {
    /// Name by which routes refer to it.
    pub name: String,
    /// The SCP03 parameter i (AmdD Table 5-1): 00, 10, 20, 30, 60 or 70; each plus 01 for S16.
    #[serde(with = "hexadecimal::byte")]
    pub i: u8,
    /// Length of the keys of every key set.
    pub key_length: KeyLength,
    /// The security level to open channels with.
    pub level: SecurityLevel,
    /// How PUT KEY carries an encrypted key.
    pub put_key_block: PutKeyBlock,
    /// How the first key set gives way to ours.
    pub takeover: Takeover,
    /// Clear data bytes per STORE DATA or LOAD command, 32..=239; in S16 32..=223.
    #[serde(default = "block_default", deserialize_with = "block_within_bounds")]
    pub block_max: u8,
    /// Whether scripts may be wrapped against a predicted card challenge.
    #[serde(default)]
    pub one_shot: bool,
    /// Whether key writes may be sent at level 03, where no answer can be proved.
    #[serde(default)]
    pub no_r_mac: bool,
}

impl SeProfile {
    /// Whether the SE offers the level: R-MAC and R-ENCRYPTION only where `i` has their bits.
    #[must_use]
    pub fn allows(&self, level: SecurityLevel) -> bool {
        level_is_offered(self.i, level)
    }

    /// How long challenges, cryptograms and MACs are.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::of(self.i)
    }

    /// Whether card challenges are pseudo-random, and so can be checked.
    #[must_use]
    pub fn has_pseudo_random_challenge(&self) -> bool {
        is_pseudo_random(self.i)
    }

    /// Whether the members fit each other: `i` is one this crate speaks and offers `level`.
    ///
    /// # Errors
    /// [`ApiMisuse`] naming the member that does not fit.
    pub fn check(&self) -> Result<(), ApiMisuse> {
        let rfu = !(I_S16 | I_PSEUDO_RANDOM | I_R_MAC | I_R_ENCRYPTION);
        let encryption_alone = self.i & (I_R_MAC | I_R_ENCRYPTION) == I_R_ENCRYPTION;
        if self.i & rfu != 0 || encryption_alone {
            return Err(ApiMisuse::Invalid { what: "i", why: "not a value of AmdD Table 5-1" });
        }
        if !self.allows(self.level) {
            return Err(ApiMisuse::Level { level: self.level, i: self.i });
        }
        if !(BLOCK_LEAST..=BLOCK_MOST).contains(&self.block_max) {
            return Err(ApiMisuse::Invalid { what: "block_max", why: "outside 32..=239" });
        }
        if self.mode() == Mode::S16 && self.block_max > BLOCK_MOST_S16 {
            return Err(ApiMisuse::Invalid { what: "block_max", why: "above 223 in S16" });
        }
        Ok(())
    }

    /// The least security level at which a key may be written: the best the SE offers, at least
    /// C-MAC, C-DECRYPTION and R-MAC unless the profile says `no_r_mac`.
    #[must_use]
    pub fn key_write_level(&self) -> SecurityLevel {
        if self.allows(SecurityLevel::All) {
            SecurityLevel::All
        } else if self.allows(SecurityLevel::CMacCDecRMac) || !self.no_r_mac {
            SecurityLevel::CMacCDecRMac
        } else {
            SecurityLevel::CMacCDec
        }
    }
}

/// Whether `i` announces pseudo-random card challenges.
pub(crate) fn is_pseudo_random(i: u8) -> bool {
    i & I_PSEUDO_RANDOM != 0
}

/// Whether `i` offers the level.
pub(crate) fn level_is_offered(i: u8, level: SecurityLevel) -> bool {
    (!level.has_r_mac() || i & I_R_MAC != 0)
        && (!level.has_r_encryption() || i & I_R_ENCRYPTION != 0)
}

fn block_default() -> u8 {
    BLOCK_DEFAULT
}

fn block_within_bounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let bytes = u8::deserialize(deserializer)?;
    if (BLOCK_LEAST..=BLOCK_MOST).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(serde::de::Error::custom("block_max lies between 32 and 239"))
    }
}

/// How PUT KEY carries an encrypted AES key (AmdD §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PutKeyBlock {
    /// The block begins with the length of the clear key, as AmdD Table 7-10 has it.
    LengthPrefixed,
    /// The block is the cryptogram alone, as some products want it.
    Plain,
}

/// How the first key set of a Security Domain gives way to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// One PUT KEY that replaces the set and gives it a new Key Version Number.
    Renumber,
    /// PUT KEY of a second set, then DELETE \[key\] of the first from a session under the second.
    AddThenDelete,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(i: u8, level: SecurityLevel) -> SeProfile {
        SeProfile {
            name: "test".into(),
            i,
            key_length: KeyLength::Aes128,
            level,
            put_key_block: PutKeyBlock::LengthPrefixed,
            takeover: Takeover::Renumber,
            block_max: BLOCK_DEFAULT,
            one_shot: false,
            no_r_mac: false,
        }
    }

    #[test]
    fn i_decides_which_levels_are_offered() {
        use SecurityLevel::{All, CMac, CMacCDec, CMacCDecRMac, CMacRMac};
        let levels = [CMac, CMacCDec, CMacRMac, CMacCDecRMac, All];
        for (i, offered) in [
            (0x00, &levels[..2]),
            (0x10, &levels[..2]),
            (0x20, &levels[..4]),
            (0x30, &levels[..4]),
            (0x60, &levels[..]),
            (0x70, &levels[..]),
        ] {
            for (level, i) in levels.into_iter().flat_map(|level| [(level, i), (level, i | 1)]) {
                let checked = profile(i, level).check();
                assert_eq!(checked.is_ok(), offered.contains(&level), "i {i:02X}, level {level}");
            }
        }
    }

    #[test]
    fn other_values_of_i_are_refused() {
        for i in (0..=u8::MAX).filter(|i| ![0x00, 0x10, 0x20, 0x30, 0x60, 0x70].contains(&(i & !1)))
        {
            let refused = profile(i, SecurityLevel::CMac).check();
            assert!(matches!(refused, Err(ApiMisuse::Invalid { what: "i", .. })), "i {i:02X}");
        }
    }

    #[test]
    fn blocks_leave_room_for_the_mac() {
        for (i, most) in [(0x70, 239), (0x71, 223)] {
            let mut profile = profile(i, SecurityLevel::All);
            let mut fits = |bytes| {
                profile.block_max = bytes;
                profile.check().is_ok()
            };
            assert!(fits(32) && fits(most) && !fits(most + 1) && !fits(31));
        }
    }

    #[test]
    fn keys_are_written_at_the_best_level_on_offer() {
        assert_eq!(profile(0x70, SecurityLevel::CMac).key_write_level(), SecurityLevel::All);
        assert_eq!(
            profile(0x30, SecurityLevel::CMac).key_write_level(),
            SecurityLevel::CMacCDecRMac
        );
        let mut bare = profile(0x10, SecurityLevel::CMac);
        assert_eq!(bare.key_write_level(), SecurityLevel::CMacCDecRMac);
        bare.no_r_mac = true;
        assert_eq!(bare.key_write_level(), SecurityLevel::CMacCDec);
    }

    #[test]
    fn text_is_hexadecimal_and_strict() {
        let text = r#"{"name":"p","i":"70","key_length":"aes-128","level":"33",
            "put_key_block":"length-prefixed","takeover":"add-then-delete"}"#;
        let read: SeProfile = serde_json::from_str(text).unwrap();
        assert_eq!((read.i, read.level, read.block_max), (0x70, SecurityLevel::All, 223));
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<SeProfile>(&again).unwrap(), read);
        let longer = again.replace("223", "240");
        assert!(serde_json::from_str::<SeProfile>(&longer).is_err());
        let unknown = again.replace("one_shot", "oneshot");
        assert!(serde_json::from_str::<SeProfile>(&unknown).is_err());
    }
}
