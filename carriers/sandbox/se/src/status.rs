//! Status words (CS 11.1.3 and the tables of each command) and what a command ends with.

/// A status word. CS 11.1.3, ISO/IEC 7816-4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sw(pub(crate) u16);

impl Sw {
    pub(crate) const OK: Self = Self(0x9000);
    pub(crate) const CHANNEL_ALREADY_CLOSED: Self = Self(0x6200);
    pub(crate) const CARD_LOCKED_WARNING: Self = Self(0x6283);
    pub(crate) const AUTHENTICATION_FAILED: Self = Self(0x6300);
    pub(crate) const MORE_DATA: Self = Self(0x6310);
    pub(crate) const NO_DIAGNOSIS: Self = Self(0x6400);
    pub(crate) const MEMORY_FAILURE: Self = Self(0x6581);
    pub(crate) const WRONG_LENGTH: Self = Self(0x6700);
    pub(crate) const CHANNEL_NOT_ACTIVE: Self = Self(0x6881);
    pub(crate) const SECURE_MESSAGING_NOT_SUPPORTED: Self = Self(0x6882);
    pub(crate) const CHAINING_NOT_SUPPORTED: Self = Self(0x6884);
    pub(crate) const SECURITY_STATUS: Self = Self(0x6982);
    pub(crate) const PIN_BLOCKED: Self = Self(0x6983);
    pub(crate) const CONDITIONS: Self = Self(0x6985);
    pub(crate) const WRONG_DATA: Self = Self(0x6A80);
    pub(crate) const FUNCTION_NOT_SUPPORTED: Self = Self(0x6A81);
    pub(crate) const NOT_FOUND: Self = Self(0x6A82);
    pub(crate) const NO_SPACE: Self = Self(0x6A84);
    pub(crate) const INCORRECT_P1_P2: Self = Self(0x6A86);
    pub(crate) const DATA_NOT_FOUND: Self = Self(0x6A88);
    pub(crate) const INVALID_INSTRUCTION: Self = Self(0x6D00);
    pub(crate) const INVALID_CLASS: Self = Self(0x6E00);

    /// `63CX`: verification failed, X tries left (ISO/IEC 7816-4, VERIFY).
    pub(crate) fn tries_left(tries: u8) -> Self {
        Self(0x63C0 | u16::from(tries & 0x0F))
    }

    /// `61XX`: so many bytes wait for GET RESPONSE; `6100` for 256 and more.
    pub(crate) fn bytes_waiting(bytes: usize) -> Self {
        Self(0x6100 | u16::from(u8::try_from(bytes).unwrap_or(0)))
    }

    /// `9000`, `62xx` and `63xx`: every other word is an error and carries no R-MAC (AmdD 6.2.5).
    pub(crate) fn is_success_or_warning(self) -> bool {
        self == Self::OK || matches!(self.0 >> 8, 0x62 | 0x63)
    }

    /// The command was carried out: success, warning, or an answer waiting.
    pub(crate) fn is_execution(self) -> bool {
        self.is_success_or_warning() || self.0 >> 8 == 0x61
    }
}

/// The answer to a command before secure messaging.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) data: Vec<u8>,
    pub(crate) sw: Sw,
}

impl Answer {
    pub(crate) fn ok(data: Vec<u8>) -> Self {
        Self { data, sw: Sw::OK }
    }

    pub(crate) fn empty(sw: Sw) -> Self {
        Self { data: Vec::new(), sw }
    }

    /// `00`: "no confirmation", the data field of INSTALL, LOAD and DELETE without receipts.
    pub(crate) fn no_confirmation() -> Self {
        Self::ok(vec![0])
    }
}

/// Why a command did not come to an answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Refused(Sw),
    /// The power was cut; `switched` tells whether the new state was already in force.
    Torn {
        switched: bool,
    },
}

impl From<Sw> for Stop {
    fn from(sw: Sw) -> Self {
        Self::Refused(sw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_and_warnings_are_protected() {
        for (word, protected) in
            [(0x9000, true), (0x6310, true), (0x6283, true), (0x6100, false), (0x6A88, false)]
        {
            assert_eq!(Sw(word).is_success_or_warning(), protected, "{word:04X}");
        }
    }

    #[test]
    fn two_hundred_fifty_six_bytes_waiting_is_zero() {
        assert_eq!(Sw::bytes_waiting(255), Sw(0x61FF));
        assert_eq!(Sw::bytes_waiting(256), Sw(0x6100));
        assert_eq!(Sw::bytes_waiting(900), Sw(0x6100));
    }
}
