//! How a packet is secured: SPI, KIc and KID.

use thiserror::Error;

use super::profile::{PacketProfile, Weakness};

/// SPI, first byte (TS 102 225 §5.1.1): reserved bits, ciphering, and the checksum's two bits.
const SPI1_RESERVED: u8 = 0xE0;
const SPI1_CIPHERED: u8 = 0x04;
/// SPI, second byte (TS 102 225 §5.1.1): reserved bits, transport and ciphering of the receipt.
const SPI2_RESERVED: u8 = 0xC0;
const SPI2_BY_SUBMIT: u8 = 0x20;
const SPI2_CIPHERED: u8 = 0x10;
/// Two bits that ask for a cryptographic checksum, among none, redundancy check and signature.
const CHECKSUM: u8 = 0b10;

/// A block cipher of TS 102 225 §5.1.2 and §5.1.3, in CBC mode for KIc, as a MAC for KID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Triple DES, keys of 16 bytes.
    TripleDesTwoKeys,
    /// Triple DES, keys of 24 bytes.
    TripleDesThreeKeys,
    /// AES: CBC for KIc, CMAC for KID.
    Aes,
}

/// What the SE does with CNTR (TS 102 225 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterMode {
    /// Mode 0: none.
    None,
    /// Mode 1: present, not compared.
    Unchecked,
    /// Mode 2: accepted if higher than the last one.
    Higher,
    /// Mode 3: accepted if exactly one higher than the last one.
    Next,
}

/// When the SE proves receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// Always.
    Always,
    /// Only if something went wrong.
    OnError,
}

/// The proof of receipt asked for; it always carries a cryptographic checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptRequest {
    /// When.
    pub when: When,
    /// Whether it is ciphered under KIc.
    pub ciphered: bool,
    /// By SMS-SUBMIT instead of the delivery report.
    pub by_submit: bool,
}

/// A key by its place: the key set, and the algorithm it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyReference {
    /// Key Version Number, 01..=0F.
    pub version: u8,
    /// The algorithm.
    pub algorithm: Algorithm,
}

/// SPI, KIc and KID as one value. KIc and KID are of the same key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecurityParameters {
    /// What the SE does with CNTR.
    pub counter: CounterMode,
    /// Whether the command is ciphered under KIc.
    pub ciphered: bool,
    /// The proof of receipt asked for, if any.
    pub receipt: Option<ReceiptRequest>,
    /// Key Version Number of KIc and KID, 01..=0F.
    pub version: u8,
    /// Algorithm of KIc; none where nothing is ciphered.
    pub kic: Option<Algorithm>,
    /// Algorithm of KID.
    pub kid: Algorithm,
}

/// Security parameters a profile admits. Only [`SecurityParameters::admit`] makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Security(SecurityParameters);

/// Security that is none, or not one on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecurityError {
    /// A bit the specification reserves is set.
    #[error("a reserved bit of the security parameters is set")]
    Reserved,
    /// No redundancy check, no checksum, no signature.
    #[error("a packet without a cryptographic checksum is not authenticated")]
    NoChecksum,
    /// CRC: whoever changes the packet recomputes it.
    #[error("a redundancy check authenticates nothing")]
    RedundancyCheck,
    /// Digital signatures have no coding the specification fixes.
    #[error("digital signatures are not supported")]
    Signature,
    /// Key set 0, or KIc and KID of different sets.
    #[error("KIc and KID must name one key set between 01 and 0F")]
    KeySet,
    /// Single DES, in whatever mode.
    #[error("single DES is never used")]
    Des,
    /// Implicit, proprietary or reserved.
    #[error("algorithm {nibble:X} is implicit, proprietary or reserved")]
    Algorithm {
        /// The low half of KIc or KID.
        nibble: u8,
    },
    /// Ciphering without a KIc.
    #[error("ciphering needs a KIc")]
    NoCipheringKey,
    /// Known to be weak, and not named by the profile.
    #[error("{weakness:?} is not admitted by the profile")]
    NotAdmitted {
        /// What the profile would have to name.
        weakness: Weakness,
    },
}

impl Algorithm {
    fn from_nibble(nibble: u8) -> Result<Algorithm, SecurityError> {
        match nibble {
            0x2 => Ok(Algorithm::Aes),
            0x5 => Ok(Algorithm::TripleDesTwoKeys),
            0x9 => Ok(Algorithm::TripleDesThreeKeys),
            0x1 | 0xD => Err(SecurityError::Des),
            nibble => Err(SecurityError::Algorithm { nibble }),
        }
    }

    fn nibble(self) -> u8 {
        match self {
            Algorithm::Aes => 0x2,
            Algorithm::TripleDesTwoKeys => 0x5,
            Algorithm::TripleDesThreeKeys => 0x9,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block(self) -> usize {
        match self {
            Algorithm::Aes => 16,
            Algorithm::TripleDesTwoKeys | Algorithm::TripleDesThreeKeys => 8,
        }
    }

    fn weakness(self) -> Option<Weakness> {
        match self {
            Algorithm::Aes => None,
            Algorithm::TripleDesTwoKeys => Some(Weakness::TripleDesTwoKeys),
            Algorithm::TripleDesThreeKeys => Some(Weakness::TripleDesThreeKeys),
        }
    }
}

impl CounterMode {
    fn from_bits(bits: u8) -> CounterMode {
        match bits & 0b11 {
            0 => CounterMode::None,
            1 => CounterMode::Unchecked,
            2 => CounterMode::Higher,
            _ => CounterMode::Next,
        }
    }

    fn bits(self) -> u8 {
        match self {
            CounterMode::None => 0,
            CounterMode::Unchecked => 1,
            CounterMode::Higher => 2,
            CounterMode::Next => 3,
        }
    }
}

impl SecurityParameters {
    /// Reads SPI (2 bytes), KIc and KID.
    ///
    /// # Errors
    /// [`SecurityError`], by the name of what is refused whatever the profile.
    pub fn from_bytes([spi1, spi2, kic, kid]: [u8; 4]) -> Result<Self, SecurityError> {
        if spi1 & SPI1_RESERVED != 0 {
            return Err(SecurityError::Reserved);
        }
        checksum(spi1 & 0b11)?;
        let version = kid >> 4;
        let (kic_version, kic) = match kic {
            0 => (version, None),
            kic => (kic >> 4, Some(Algorithm::from_nibble(kic & 0x0F)?)),
        };
        if version == 0 || kic_version != version {
            return Err(SecurityError::KeySet);
        }
        Ok(SecurityParameters {
            counter: CounterMode::from_bits(spi1 >> 3),
            ciphered: spi1 & SPI1_CIPHERED != 0,
            receipt: ReceiptRequest::from_byte(spi2)?,
            version,
            kic,
            kid: Algorithm::from_nibble(kid & 0x0F)?,
        })
    }

    /// SPI (2 bytes), KIc and KID.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 4] {
        let ciphered = if self.ciphered { SPI1_CIPHERED } else { 0 };
        let version = self.version << 4;
        [
            (self.counter.bits() << 3) | ciphered | CHECKSUM,
            self.receipt.map_or(0, ReceiptRequest::to_byte),
            self.kic.map_or(0, |kic| version | kic.nibble()),
            version | self.kid.nibble(),
        ]
    }

    /// The parameters, if the profile admits them.
    ///
    /// # Errors
    /// [`SecurityError`], by the name of what is refused.
    pub fn admit(self, profile: &PacketProfile) -> Result<Security, SecurityError> {
        if !(0x01..=0x0F).contains(&self.version) {
            return Err(SecurityError::KeySet);
        }
        let ciphered = self.ciphered || self.receipt.is_some_and(|receipt| receipt.ciphered);
        if ciphered && self.kic.is_none() {
            return Err(SecurityError::NoCipheringKey);
        }
        let counter = match self.counter {
            CounterMode::None | CounterMode::Unchecked => Some(Weakness::UncheckedCounter),
            CounterMode::Higher | CounterMode::Next => None,
        };
        let weaknesses = [counter, self.kic.and_then(Algorithm::weakness), self.kid.weakness()];
        match weaknesses.into_iter().flatten().find(|found| !profile.admits.contains(found)) {
            Some(weakness) => Err(SecurityError::NotAdmitted { weakness }),
            None => Ok(Security(self)),
        }
    }
}

impl ReceiptRequest {
    fn from_byte(spi2: u8) -> Result<Option<ReceiptRequest>, SecurityError> {
        let when = match spi2 & 0b11 {
            0 if spi2 == 0 => return Ok(None),
            1 => When::Always,
            2 => When::OnError,
            _ => return Err(SecurityError::Reserved),
        };
        if spi2 & SPI2_RESERVED != 0 {
            return Err(SecurityError::Reserved);
        }
        checksum((spi2 >> 2) & 0b11)?;
        let ciphered = spi2 & SPI2_CIPHERED != 0;
        let by_submit = spi2 & SPI2_BY_SUBMIT != 0;
        Ok(Some(ReceiptRequest { when, ciphered, by_submit }))
    }

    fn to_byte(self) -> u8 {
        let when = match self.when {
            When::Always => 1,
            When::OnError => 2,
        };
        let ciphered = if self.ciphered { SPI2_CIPHERED } else { 0 };
        let by_submit = if self.by_submit { SPI2_BY_SUBMIT } else { 0 };
        when | (CHECKSUM << 2) | ciphered | by_submit
    }
}

fn checksum(bits: u8) -> Result<(), SecurityError> {
    match bits {
        0 => Err(SecurityError::NoChecksum),
        1 => Err(SecurityError::RedundancyCheck),
        CHECKSUM => Ok(()),
        _ => Err(SecurityError::Signature),
    }
}

impl Security {
    /// The parameters admitted.
    #[must_use]
    pub fn parameters(&self) -> &SecurityParameters {
        &self.0
    }

    /// The key of checksums.
    pub(crate) fn kid(&self) -> KeyReference {
        KeyReference { version: self.0.version, algorithm: self.0.kid }
    }

    /// The key to cipher the command with, if it is ciphered.
    pub(crate) fn command_kic(&self) -> Option<KeyReference> {
        self.kic().filter(|_| self.0.ciphered)
    }

    /// The key to cipher the proof of receipt with, if it is ciphered.
    pub(crate) fn receipt_kic(&self) -> Option<KeyReference> {
        self.kic().filter(|_| self.0.receipt.is_some_and(|receipt| receipt.ciphered))
    }

    fn kic(&self) -> Option<KeyReference> {
        self.0.kic.map(|algorithm| KeyReference { version: self.0.version, algorithm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SecurityParameters, SecurityError> {
        SecurityParameters::from_bytes(crate::hexadecimal::array(text).unwrap())
    }

    #[test]
    fn what_is_read_is_written_and_all_else_is_refused() {
        let mut accepted = 0;
        for spi1 in 0..=u8::MAX {
            for spi2 in 0..=u8::MAX {
                for keys in [[0x22, 0x22], [0x00, 0x22], [0x35, 0x35], [0x99, 0x92], [0x12, 0x22]] {
                    let bytes = [spi1, spi2, keys[0], keys[1]];
                    if let Ok(parameters) = SecurityParameters::from_bytes(bytes) {
                        assert_eq!(parameters.to_bytes(), bytes);
                        accepted += 1;
                    }
                }
            }
        }
        // 4 counter modes, ciphered or not, no receipt or 2 x 2 x 2 of them, 4 pairs of keys.
        assert_eq!(accepted, 4 * 2 * 9 * 4);
    }

    #[test]
    fn refusals_have_names() {
        let cases = [
            ("10002222", SecurityError::NoChecksum),
            ("11002222", SecurityError::RedundancyCheck),
            ("13002222", SecurityError::Signature),
            ("32002222", SecurityError::Reserved),
            ("12032222", SecurityError::Reserved),
            ("12042222", SecurityError::Reserved),
            ("12012222", SecurityError::NoChecksum),
            ("12052222", SecurityError::RedundancyCheck),
            ("12001222", SecurityError::KeySet),
            ("12000002", SecurityError::KeySet),
            ("12002122", SecurityError::Des),
            ("12002D22", SecurityError::Des),
            ("12002221", SecurityError::Des),
            ("12002022", SecurityError::Algorithm { nibble: 0 }),
            ("12002223", SecurityError::Algorithm { nibble: 3 }),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn weaknesses_need_a_profile_that_names_them() {
        let not_admitted = |weakness| Err(SecurityError::NotAdmitted { weakness });
        let strict = PacketProfile::default();
        let admit = |text: &str| read(text).unwrap().admit(&strict).map(|_| ());
        assert_eq!(admit("16192222"), Ok(()));
        assert_eq!(admit("1E002222"), Ok(()));
        assert_eq!(admit("06192222"), not_admitted(Weakness::UncheckedCounter));
        assert_eq!(admit("0E192222"), not_admitted(Weakness::UncheckedCounter));
        assert_eq!(admit("16193532"), not_admitted(Weakness::TripleDesTwoKeys));
        assert_eq!(admit("16193239"), not_admitted(Weakness::TripleDesThreeKeys));
        assert_eq!(admit("16000022"), Err(SecurityError::NoCipheringKey));
        assert_eq!(admit("12190022"), Err(SecurityError::NoCipheringKey));
        assert_eq!(admit("12090022"), Ok(()));
        let legacy = PacketProfile { admits: vec![Weakness::TripleDesTwoKeys], ..strict };
        assert!(read("16193535").unwrap().admit(&legacy).is_ok());
        assert!(read("16193939").unwrap().admit(&legacy).is_err());
        let key_set = SecurityParameters { version: 0x10, ..read("16192222").unwrap() };
        assert_eq!(key_set.admit(&legacy), Err(SecurityError::KeySet));
    }
}
