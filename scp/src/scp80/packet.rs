//! The command packet (TS 102 225 §5.1; in short messages TS 31.115 §4).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::profile::PacketProfile;
use super::protection::{CHECKSUM, Frame, Opened, ProtectionError};
use super::security::{KeyReference, Security, SecurityError, SecurityParameters};
use crate::hexadecimal::{array, serde_as_text};

/// CHL: SPI, KIc, KID, TAR, CNTR, PCNTR and the checksum.
const HEADER_LENGTH: u8 = 13 + CHECKSUM as u8;

/// Whoever holds KIc and KID. The initial chaining vector is always zero (TS 102 225 §5.1.2).
pub trait PacketKeys {
    /// Why it failed.
    type Error;

    /// Encrypts whole blocks in place: CBC under that key set's KIc.
    ///
    /// # Errors
    /// When the holder has no such key or cannot use it.
    fn encrypt(&mut self, kic: KeyReference, blocks: &mut [u8]) -> Result<(), Self::Error>;

    /// Decrypts whole blocks in place: CBC under that key set's KIc.
    ///
    /// # Errors
    /// When the holder has no such key or cannot use it.
    fn decrypt(&mut self, kic: KeyReference, blocks: &mut [u8]) -> Result<(), Self::Error>;

    /// The checksum under that key set's KID: for AES the first 8 bytes of CMAC, for Triple DES
    /// the last block of CBC over the input filled up with zero.
    ///
    /// # Errors
    /// When the holder has no such key or cannot use it.
    fn checksum(&mut self, kid: KeyReference, input: &[u8]) -> Result<[u8; 8], Self::Error>;
}

/// CNTR, 5 bytes (TS 102 225 §5.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(u64);

impl Counter {
    /// The highest value; the SE accepts nothing after it.
    pub const MOST: Counter = Counter(0xFF_FFFF_FFFF);

    /// The counter with this value, unless it takes more than 5 bytes.
    #[must_use]
    pub fn new(value: u64) -> Option<Counter> {
        (value <= Counter::MOST.0).then_some(Counter(value))
    }

    /// Its value.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// One higher; none after the highest.
    #[must_use]
    pub fn next(self) -> Option<Counter> {
        self.0.checked_add(1).and_then(Counter::new)
    }

    pub(crate) fn from_bytes([a, b, c, d, e]: [u8; 5]) -> Counter {
        Counter(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]))
    }

    pub(crate) fn to_bytes(self) -> [u8; 5] {
        let [_, _, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }
}

/// The Toolkit Application Reference: which application on the SE is meant (TS 101 220 §4.3).
/// Printed as six digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ToolkitApplicationReference(
    /// The bytes on the wire.
    pub [u8; 3],
);

impl ToolkitApplicationReference {
    /// Remote management of the Issuer Security Domain (TS 101 220 Annex D).
    pub const ISSUER_SECURITY_DOMAIN: ToolkitApplicationReference =
        ToolkitApplicationReference([0; 3]);
}

/// A text that is not six hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a Toolkit Application Reference is written as six hexadecimal digits")]
pub struct ToolkitApplicationReferenceError;

impl fmt::Display for ToolkitApplicationReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl FromStr for ToolkitApplicationReference {
    type Err = ToolkitApplicationReferenceError;

    fn from_str(text: &str) -> Result<Self, ToolkitApplicationReferenceError> {
        array(text).map(ToolkitApplicationReference).ok_or(ToolkitApplicationReferenceError)
    }
}

serde_as_text!(ToolkitApplicationReference);

/// What a proof of receipt must answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// How the packet is secured.
    pub security: Security,
    /// Which application it is for.
    pub reference: ToolkitApplicationReference,
    /// CNTR. Never used twice under one key set.
    pub counter: Counter,
}

/// A command packet in the clear. `Debug` shows the length of the data, never the data.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandPacket {
    /// What a proof of receipt must answer to.
    pub header: Header,
    /// Remote commands, in a format of [`script`](super::script).
    pub data: Vec<u8>,
}

/// Why a packet was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError<E> {
    /// More data than the length field can say.
    #[error("{got} bytes of data are too many for one packet")]
    TooLong {
        /// Bytes offered.
        got: usize,
    },
    /// Whoever holds the keys failed.
    #[error("whoever holds the keys of the packet failed")]
    Keys(E),
}

/// Bytes that are no command packet, or none the profile admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError<E> {
    /// The length fields do not account for exactly the bytes given.
    #[error("the length fields of the packet do not match its bytes")]
    Length,
    /// A checksum of another length than 8.
    #[error("the header of the packet has no checksum of 8 bytes")]
    Header,
    /// Security that is none, or not one on record.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The protection does not open.
    #[error(transparent)]
    Protection(#[from] ProtectionError<E>),
}

impl CommandPacket {
    /// The packet from CPL on, secured as its header says.
    ///
    /// # Errors
    /// [`SealError::TooLong`] above 65535 bytes, [`SealError::Keys`].
    pub fn seal<K: PacketKeys>(&self, keys: &mut K) -> Result<Vec<u8>, SealError<K::Error>> {
        let Header { security, reference, counter } = self.header;
        let header = clear_header(security.parameters(), reference);
        let frame = frame(&security, &header);
        let opened = Opened { counter, status: [], data: self.data.clone() };
        let sealed = opened.seal(&frame, keys).map_err(SealError::Keys)?;
        sealed.ok_or(SealError::TooLong { got: self.data.len() })
    }

    /// Opens a packet, from CPL on, as an SE does, except that CNTR is the caller's to judge.
    ///
    /// # Errors
    /// [`OpenError`]; [`ProtectionError::Checksum`] for anything changed on the way.
    pub fn open<K: PacketKeys>(
        packet: &[u8],
        profile: &PacketProfile,
        keys: &mut K,
    ) -> Result<CommandPacket, OpenError<K::Error>> {
        let (length, rest) = packet.split_first_chunk::<2>().ok_or(OpenError::Length)?;
        let length = u16::from_be_bytes(*length);
        if usize::from(length) != rest.len() {
            return Err(OpenError::Length);
        }
        let (header, body) = rest.split_first_chunk::<8>().ok_or(OpenError::Length)?;
        let &[header_length, spi1, spi2, kic, kid, tar0, tar1, tar2] = header;
        if header_length != HEADER_LENGTH {
            return Err(OpenError::Header);
        }
        let parameters = SecurityParameters::from_bytes([spi1, spi2, kic, kid])?;
        let security = parameters.admit(profile)?;
        let opened = Opened::<0>::open(&frame(&security, header), length, body, keys)?;
        let reference = ToolkitApplicationReference([tar0, tar1, tar2]);
        let header = Header { security, reference, counter: opened.counter };
        Ok(CommandPacket { header, data: opened.data })
    }
}

impl fmt::Debug for CommandPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandPacket({:?}, {} data bytes)", self.header, self.data.len())
    }
}

fn clear_header(
    parameters: &SecurityParameters,
    ToolkitApplicationReference([tar0, tar1, tar2]): ToolkitApplicationReference,
) -> [u8; 8] {
    let [spi1, spi2, kic, kid] = parameters.to_bytes();
    [HEADER_LENGTH, spi1, spi2, kic, kid, tar0, tar1, tar2]
}

fn frame<'a>(security: &Security, header: &'a [u8; 8]) -> Frame<'a> {
    Frame { kic: security.command_kic(), kid: security.kid(), unsent: &[], header }
}
