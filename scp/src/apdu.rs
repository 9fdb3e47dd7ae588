//! Command and response APDUs (ISO/IEC 7816-3 §12, 7816-4 §5; CS 2.3.1 §11.1).

use std::fmt;

use thiserror::Error;

use crate::status::StatusWord;

/// Most data bytes a command or an answer can hold, extended length included.
pub const DATA_MOST: usize = 65_535;
const LE_MOST: u32 = 65_536;
const SHORT_DATA_MOST: usize = 255;
const SHORT_LE_MOST: u32 = 256;

/// A command APDU in any of its four cases, short or extended.
///
/// Le is kept as given: `Some(256)` is the byte `00` of a short command. `Debug` shows the header
/// and lengths, never the data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CommandApdu {
    cla: u8,
    ins: u8,
    p1: u8,
    p2: u8,
    data: Vec<u8>,
    le: Option<u32>,
    extended: bool,
}

/// Bytes or parameters that make no APDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApduError {
    /// A command has a header of 4 bytes, an answer a status word of 2.
    #[error("too short to be an APDU: {got} bytes")]
    Truncated {
        /// Bytes offered.
        got: usize,
    },
    /// The length fields do not account for exactly the bytes given.
    #[error("the length fields of the APDU do not match its {got} bytes")]
    Length {
        /// Bytes offered.
        got: usize,
    },
    /// Class byte FF is not a class (ISO/IEC 7816-4 §5.4.1).
    #[error("FF is not a class byte")]
    Class,
    /// Instructions 6x and 9x are reserved (ISO/IEC 7816-4 §5.4.2).
    #[error("{ins:02X} is not an instruction byte")]
    Instruction {
        /// The byte offered.
        ins: u8,
    },
    /// More data than even an extended APDU can hold.
    #[error("an APDU holds at most 65535 data bytes, not {got}")]
    DataTooLong {
        /// Bytes offered.
        got: usize,
    },
    /// Le lies outside 1..=65536.
    #[error("Le lies between 1 and 65536, not {got}")]
    ExpectedLength {
        /// The value offered.
        got: u32,
    },
}

impl CommandApdu {
    /// A command; extended length is chosen only where data or Le need it.
    ///
    /// # Errors
    /// [`ApduError`] for class FF, reserved instructions, too much data, Le outside 1..=65536.
    pub fn new(
        cla: u8,
        ins: u8,
        p1: u8,
        p2: u8,
        data: impl Into<Vec<u8>>,
        le: Option<u32>,
    ) -> Result<CommandApdu, ApduError> {
        let data = data.into();
        if cla == 0xFF {
            return Err(ApduError::Class);
        }
        if matches!(ins >> 4, 0x6 | 0x9) {
            return Err(ApduError::Instruction { ins });
        }
        if data.len() > DATA_MOST {
            return Err(ApduError::DataTooLong { got: data.len() });
        }
        if let Some(got) = le.filter(|le| !(1..=LE_MOST).contains(le)) {
            return Err(ApduError::ExpectedLength { got });
        }
        let extended =
            data.len() > SHORT_DATA_MOST || le.is_some_and(|expected| expected > SHORT_LE_MOST);
        Ok(CommandApdu { cla, ins, p1, p2, data, le, extended })
    }

    /// A short command whose header, chosen in this crate, is known to be valid.
    pub(crate) fn short<const N: usize>(
        [cla, ins, p1, p2]: [u8; 4],
        data: [u8; N],
        le: Option<u8>,
    ) -> CommandApdu {
        const { assert!(N <= SHORT_DATA_MOST) };
        CommandApdu { cla, ins, p1, p2, data: data.into(), le: le.map(short_le), extended: false }
    }

    /// A GlobalPlatform command on the basic logical channel, by a builder of this crate that knows
    /// its instruction byte is one and its data and Le are short.
    pub(crate) fn proprietary(
        [ins, p1, p2]: [u8; 3],
        data: Vec<u8>,
        le: Option<u32>,
    ) -> CommandApdu {
        CommandApdu { cla: 0x80, ins, p1, p2, data, le, extended: false }
    }

    /// Reads one command, strictly: every byte must be accounted for.
    ///
    /// # Errors
    /// [`ApduError`], when the bytes are none of the cases 1 to 4.
    pub fn parse(bytes: &[u8]) -> Result<CommandApdu, ApduError> {
        let wrong_length = ApduError::Length { got: bytes.len() };
        let Some((&[cla, ins, p1, p2], body)) = bytes.split_first_chunk() else {
            return Err(ApduError::Truncated { got: bytes.len() });
        };
        let (data, le, extended): (&[u8], Option<u32>, bool) = match body {
            [] => (&[], None, false),
            [le] => (&[], Some(short_le(*le)), false),
            [0, high, low] => (&[], Some(extended_le([*high, *low])), true),
            [0, high, low, rest @ ..] => {
                let lc = usize::from(u16::from_be_bytes([*high, *low]));
                match rest.split_at_checked(lc).ok_or(wrong_length)? {
                    ([], _) => return Err(wrong_length),
                    (data, []) => (data, None, true),
                    (data, [high, low]) => (data, Some(extended_le([*high, *low])), true),
                    _ => return Err(wrong_length),
                }
            }
            [lc, rest @ ..] => match rest.split_at_checked(usize::from(*lc)).ok_or(wrong_length)? {
                ([], _) => return Err(wrong_length),
                (data, []) => (data, None, false),
                (data, [le]) => (data, Some(short_le(*le)), false),
                _ => return Err(wrong_length),
            },
        };
        let command = CommandApdu::new(cla, ins, p1, p2, data, le)?;
        Ok(CommandApdu { extended, ..command })
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.data.len().saturating_add(9));
        bytes.extend_from_slice(&[self.cla, self.ins, self.p1, self.p2]);
        if !self.data.is_empty() {
            push_lc(&mut bytes, self.data.len(), self.extended);
            bytes.extend_from_slice(&self.data);
        } else if self.extended && self.le.is_some() {
            bytes.push(0);
        }
        push_le(&mut bytes, self.le, self.extended);
        bytes
    }

    /// Class byte.
    #[must_use]
    pub fn cla(&self) -> u8 {
        self.cla
    }

    /// Instruction byte.
    #[must_use]
    pub fn ins(&self) -> u8 {
        self.ins
    }

    /// First parameter.
    #[must_use]
    pub fn p1(&self) -> u8 {
        self.p1
    }

    /// Second parameter.
    #[must_use]
    pub fn p2(&self) -> u8 {
        self.p2
    }

    /// Data field, empty where there is none.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Number of bytes expected in the answer, 1..=65536; none in cases 1 and 3.
    #[must_use]
    pub fn le(&self) -> Option<u32> {
        self.le
    }

    /// Whether the length fields are in extended form.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.extended
    }
}

/// Appends Lc in short or extended form.
pub(crate) fn push_lc(bytes: &mut Vec<u8>, lc: usize, extended: bool) {
    let [.., high, low] = lc.to_be_bytes();
    if extended {
        bytes.extend_from_slice(&[0, high, low]);
    } else {
        bytes.push(low);
    }
}

/// Appends Le, where there is one, in short or extended form.
pub(crate) fn push_le(bytes: &mut Vec<u8>, le: Option<u32>, extended: bool) {
    let Some(le) = le else { return };
    let [.., high, low] = le.to_be_bytes();
    if extended {
        bytes.push(high);
    }
    bytes.push(low);
}

fn short_le(le: u8) -> u32 {
    if le == 0 { SHORT_LE_MOST } else { u32::from(le) }
}

fn extended_le(le: [u8; 2]) -> u32 {
    match u16::from_be_bytes(le) {
        0 => LE_MOST,
        le => u32::from(le),
    }
}

impl fmt::Debug for CommandApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandApdu { cla, ins, p1, p2, .. } = self;
        write!(f, "CommandApdu({cla:02X}{ins:02X}{p1:02X}{p2:02X}, ")?;
        write!(f, "{} data bytes, Le {:?})", self.data.len(), self.le)
    }
}

/// A response APDU: data and status word. `Debug` shows the length of the data, never the data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResponseApdu {
    data: Vec<u8>,
    status: StatusWord,
}

impl ResponseApdu {
    /// Splits an answer into data and status word.
    ///
    /// # Errors
    /// [`ApduError`] for fewer than 2 bytes, or more than an extended answer can hold.
    pub fn parse(bytes: &[u8]) -> Result<ResponseApdu, ApduError> {
        let (data, status) = split_answer(bytes)?;
        Ok(ResponseApdu { data: data.to_vec(), status })
    }

    /// Data, empty where there is none.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Status word.
    #[must_use]
    pub fn status(&self) -> StatusWord {
        self.status
    }

    /// The bytes as the SE sent them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.data.as_slice(), &self.status.0.to_be_bytes()].concat()
    }
}

/// [`ResponseApdu::parse`] without a copy of the data.
pub(crate) fn split_answer(bytes: &[u8]) -> Result<(&[u8], StatusWord), ApduError> {
    let Some((data, status)) = bytes.split_last_chunk() else {
        return Err(ApduError::Truncated { got: bytes.len() });
    };
    if data.len() > LE_MOST as usize {
        return Err(ApduError::DataTooLong { got: data.len() });
    }
    Ok((data, StatusWord(u16::from_be_bytes(*status))))
}

impl fmt::Debug for ResponseApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseApdu({} data bytes, {})", self.data.len(), self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<CommandApdu, ApduError> {
        CommandApdu::parse(&hex::decode(text).unwrap())
    }

    #[test]
    fn the_four_cases_are_told_apart() {
        assert_eq!(parsed("80F22002").unwrap().le(), None);
        assert_eq!(parsed("80CA006600").unwrap().le(), Some(256));
        assert_eq!(parsed("80CA006610").unwrap().le(), Some(16));
        assert_eq!(parsed("80E2000003010203").unwrap().data(), [1, 2, 3]);
        assert_eq!(parsed("80E200000301020300").unwrap().le(), Some(256));
        assert_eq!(parsed("80CA0066000000").unwrap().le(), Some(65_536));
        assert_eq!(parsed("80CA0066000100").unwrap().le(), Some(256));
        let short_data = parsed("80E2000000000201020100").unwrap();
        assert_eq!((short_data.data(), short_data.le()), ([1, 2].as_slice(), Some(256)));
        assert!(short_data.is_extended());
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert_eq!(parsed("80F220"), Err(ApduError::Truncated { got: 3 }));
        assert_eq!(parsed("80F220000501"), Err(ApduError::Length { got: 6 }));
        assert_eq!(parsed("80F220000101AABB"), Err(ApduError::Length { got: 8 }));
        assert_eq!(parsed("80F220000000"), Err(ApduError::Length { got: 6 }));
        assert_eq!(parsed("80F2200000000000"), Err(ApduError::Length { got: 8 }));
        assert_eq!(parsed("FFF22000"), Err(ApduError::Class));
        assert_eq!(parsed("80612000"), Err(ApduError::Instruction { ins: 0x61 }));
        let too_long = CommandApdu::new(0x80, 0xE2, 0, 0, vec![0; 65_536], None);
        assert_eq!(too_long, Err(ApduError::DataTooLong { got: 65_536 }));
        let nothing_expected = CommandApdu::new(0x80, 0xE2, 0, 0, [], Some(0));
        assert_eq!(nothing_expected, Err(ApduError::ExpectedLength { got: 0 }));
    }

    #[test]
    fn debug_shows_no_data() {
        let command = parsed("80E2000003C0FFEE").unwrap();
        assert_eq!(format!("{command:?}"), "CommandApdu(80E20000, 3 data bytes, Le None)");
        let answer = ResponseApdu::parse(&[0xC0, 0xFF, 0xEE, 0x90, 0x00]).unwrap();
        assert_eq!(format!("{answer:?}"), "ResponseApdu(3 data bytes, 9000)");
        assert_eq!(ResponseApdu::parse(&[0x90]), Err(ApduError::Truncated { got: 1 }));
    }

    proptest! {
        #[test]
        fn parsing_undoes_writing(
            data in proptest::collection::vec(any::<u8>(), 0..600),
            le in proptest::option::of(1u32..=65_536),
        ) {
            let command = CommandApdu::new(0x80, 0xE2, 1, 2, data, le).unwrap();
            prop_assert_eq!(CommandApdu::parse(&command.to_bytes()).unwrap(), command);
        }

        #[test]
        fn writing_undoes_parsing(bytes in proptest::collection::vec(0u8..6, 0..20)) {
            if let Ok(command) = CommandApdu::parse(&bytes) {
                prop_assert_eq!(command.to_bytes(), bytes);
            }
        }
    }
}
