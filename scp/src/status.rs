//! Status words: what an SE says at the end of every answer.

use std::fmt;
use std::str::FromStr;

use crate::hexadecimal::{array, serde_as_text};

/// The two status bytes SW1 SW2 (CS 2.3.1 §11.1.3), printed as four digits: `6A88`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusWord(
    /// SW1 in the high byte, SW2 in the low one.
    pub u16,
);

/// A text that is not four hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a status word is written as four hexadecimal digits")]
pub struct StatusWordError;

impl StatusWord {
    /// Done.
    pub const SUCCESS: StatusWord = StatusWord(0x9000);
    /// More data available: GET STATUS goes on with the next occurrence (CS 2.3.1 Table 11-38).
    pub const MORE_DATA_AVAILABLE: StatusWord = StatusWord(0x6310);
    /// Authentication of the host cryptogram failed (AmdD §7.1.2).
    pub const HOST_CRYPTOGRAM_FAILED: StatusWord = StatusWord(0x6300);
    /// Wrong length in Lc.
    pub const WRONG_LENGTH: StatusWord = StatusWord(0x6700);
    /// Security status not satisfied: the Secure Channel Session is over (AmdD §6.2).
    pub const SECURITY_STATUS_NOT_SATISFIED: StatusWord = StatusWord(0x6982);
    /// Conditions of use not satisfied.
    pub const CONDITIONS_NOT_SATISFIED: StatusWord = StatusWord(0x6985);
    /// Expected secure messaging data objects missing (ISO/IEC 7816-4).
    pub const SECURE_MESSAGING_MISSING: StatusWord = StatusWord(0x6987);
    /// Secure messaging data objects incorrect (ISO/IEC 7816-4).
    pub const SECURE_MESSAGING_INCORRECT: StatusWord = StatusWord(0x6988);
    /// Incorrect parameters in the data field.
    pub const INCORRECT_DATA: StatusWord = StatusWord(0x6A80);
    /// Application or file not found.
    pub const NOT_FOUND: StatusWord = StatusWord(0x6A82);
    /// Not enough memory space.
    pub const NOT_ENOUGH_MEMORY: StatusWord = StatusWord(0x6A84);
    /// Incorrect P1 or P2.
    pub const INCORRECT_PARAMETERS: StatusWord = StatusWord(0x6A86);
    /// Referenced data not found.
    pub const REFERENCED_DATA_NOT_FOUND: StatusWord = StatusWord(0x6A88);
    /// Invalid instruction.
    pub const INVALID_INSTRUCTION: StatusWord = StatusWord(0x6D00);
    /// Invalid class.
    pub const INVALID_CLASS: StatusWord = StatusWord(0x6E00);

    /// `9000`.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == StatusWord::SUCCESS
    }

    /// `62xx` or `63xx`.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(self.0 >> 8, 0x62 | 0x63)
    }

    /// Whether an answer with this status word is protected under R-MAC. Every other status word
    /// is an error and comes bare (AmdD §6.2.5).
    #[must_use]
    pub fn carries_mac(self) -> bool {
        self.is_success() || self.is_warning()
    }

    /// Whether the SE refused the secure messaging itself, which ends the session.
    #[must_use]
    pub fn ends_session(self) -> bool {
        matches!(
            self,
            StatusWord::SECURITY_STATUS_NOT_SATISFIED
                | StatusWord::SECURE_MESSAGING_MISSING
                | StatusWord::SECURE_MESSAGING_INCORRECT
        )
    }

    /// `61xx`: how many more bytes GET RESPONSE would fetch; 00 stands for 256 or more.
    #[must_use]
    pub fn more_data(self) -> Option<u8> {
        let [sw1, sw2] = self.0.to_be_bytes();
        (sw1 == 0x61).then_some(sw2)
    }

    /// What the status word says, in English, for a person to read (CS 2.3.1 Table 11-10 and the
    /// tables of each command; ISO/IEC 7816-4 for the rest).
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "success",
            0x6200 => "logical channel already closed, or application logically deleted",
            0x6283 => {
                "the Card Life Cycle State is CARD_LOCKED, or the selected application is locked"
            }
            0x6300 => "authentication of the host cryptogram failed",
            0x6310 => "more data available",
            0x6400 => "no specific diagnosis",
            0x6581 => "memory failure",
            0x6700 => "wrong length in Lc",
            0x6881 => "logical channel not supported or not active",
            0x6882 => "secure messaging not supported",
            0x6883 => "the last command of the chain was expected",
            0x6884 => "command chaining not supported",
            0x6982 => "security status not satisfied",
            0x6983 => "authentication method blocked",
            0x6984 => "referenced data invalidated",
            0x6985 => "conditions of use not satisfied",
            0x6987 => "expected secure messaging data objects missing",
            0x6988 => "incorrect secure messaging data objects",
            0x6999 => "the application refused to be selected",
            0x6A80 => "incorrect parameters in the data field",
            0x6A81 => "function not supported, for example because the card is locked",
            0x6A82 => "application or file not found",
            0x6A83 => "record not found",
            0x6A84 => "not enough memory space",
            0x6A86 => "incorrect P1 or P2",
            0x6A88 => "referenced data not found",
            0x6B00 => "P1 or P2 outside the data",
            0x6D00 => "invalid instruction",
            0x6E00 => "invalid class",
            0x6F00 => "no precise diagnosis",
            0x9484 => "algorithm not supported",
            0x9485 => "invalid Key Check Value",
            word => by_first_byte(word),
        }
    }
}

fn by_first_byte(word: u16) -> &'static str {
    match word >> 8 {
        0x61 => "more response bytes are available",
        0x62 => "a warning, nothing changed",
        0x63 if word & 0xF0 == 0xC0 => "a warning; the last digit is the number of tries left",
        0x63 => "a warning, something changed",
        0x64 => "an execution error, nothing changed",
        0x65 => "an execution error, something changed",
        0x68 => "a function of the class byte is not supported",
        0x69 => "the command is not allowed",
        0x6A => "wrong parameters",
        0x6C => "wrong Le; the second byte is the right one",
        _ => "a status word GlobalPlatform does not define",
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusWord({self})")
    }
}

impl FromStr for StatusWord {
    type Err = StatusWordError;

    fn from_str(text: &str) -> Result<StatusWord, StatusWordError> {
        array(text).map(u16::from_be_bytes).map(StatusWord).ok_or(StatusWordError)
    }
}

serde_as_text!(StatusWord);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_and_warnings_carry_a_mac() {
        let protected: Vec<u16> =
            (0..=u16::MAX).filter(|word| StatusWord(*word).carries_mac()).collect();
        let expected: Vec<u16> = (0x6200..=0x63FF).chain([0x9000]).collect();
        assert_eq!(protected, expected);
    }

    #[test]
    fn only_refused_secure_messaging_ends_a_session() {
        let ending: Vec<u16> =
            (0..=u16::MAX).filter(|word| StatusWord(*word).ends_session()).collect();
        assert_eq!(ending, [0x6982, 0x6987, 0x6988]);
    }

    #[test]
    fn text_round_trips_and_every_word_has_a_meaning() {
        for word in (0..=u16::MAX).map(StatusWord) {
            assert_eq!(word.to_string().parse(), Ok(word));
            assert!(!word.meaning().is_empty());
        }
        assert_eq!("6A8".parse::<StatusWord>(), Err(StatusWordError));
        assert_eq!(StatusWord(0x6110).more_data(), Some(0x10));
        assert_eq!(StatusWord::SUCCESS.more_data(), None);
    }
}
