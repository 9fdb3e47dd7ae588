//! Privileges of Security Domains and applications (CS 6.6, 11.1.2).

use serde::{Deserialize, Serialize};

/// A privilege, by its number (CS Table 6-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Privilege {
    SecurityDomain = 0,
    CardLock = 3,
    CardTerminate = 4,
    AuthorizedManagement = 9,
    GlobalDelete = 11,
    GlobalLock = 12,
    GlobalRegistry = 13,
}

/// The three privilege bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Privileges(pub(crate) [u8; 3]);

impl Privileges {
    /// What the Issuer Security Domain holds (CS 6.6.2).
    pub(crate) const ISSUER: Self = Self([0x9E, 0xFE, 0x80]);
    /// What a supplementary Security Domain may be given: Card Lock, Card Terminate, Trusted Path, Authorized
    /// Management and the Global privileges. Tokens, receipts, DAP and implicit selection are not implemented.
    pub(crate) const SUPPLEMENTARY_ALLOWED: Self = Self([0x98, 0xDC, 0x00]);
    /// Another application holds none.
    pub(crate) const NONE: Self = Self([0; 3]);

    /// From one or three bytes; one byte gets the defaults of CS Table 6-2 behind it.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            // Trusted Path is the only default of a supplementary Security Domain.
            [first] => Some(Self([first, first & 0x80, 0])),
            [a, b, c] => Some(Self([a, b, c])),
            _ => None,
        }
    }

    pub(crate) fn has(self, privilege: Privilege) -> bool {
        let number = privilege as usize;
        let byte = self.0.get(number / 8).copied().unwrap_or(0);
        byte & (0x80 >> (number % 8)) != 0
    }

    /// Nothing beyond `allowed` is set.
    pub(crate) fn within(self, allowed: Self) -> bool {
        self.0.iter().zip(allowed.0).all(|(asked, allowed)| asked & !allowed == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Privilege::*;

    #[test]
    fn bits_are_where_the_tables_put_them() {
        let cases = [
            (SecurityDomain, [0x80, 0, 0]),
            (CardLock, [0x10, 0, 0]),
            (CardTerminate, [0x08, 0, 0]),
            (AuthorizedManagement, [0, 0x40, 0]),
            (GlobalDelete, [0, 0x10, 0]),
            (GlobalLock, [0, 0x08, 0]),
            (GlobalRegistry, [0, 0x04, 0]),
        ];
        for (privilege, bytes) in cases {
            assert!(Privileges(bytes).has(privilege), "{privilege:?}");
            assert!(!Privileges(bytes.map(|byte| !byte)).has(privilege), "{privilege:?}");
        }
    }

    #[test]
    fn unimplemented_privileges_are_not_given() {
        // DAP Verification, Delegated Management, Mandated DAP; Token Verification; Receipt Generation.
        for refused in [[0x40, 0, 0], [0x20, 0, 0], [0x01, 0, 0], [0, 0x20, 0], [0, 0, 0x80]] {
            assert!(!Privileges(refused).within(Privileges::SUPPLEMENTARY_ALLOWED), "{refused:?}");
        }
        assert!(Privileges([0x80, 0x40, 0]).within(Privileges::SUPPLEMENTARY_ALLOWED));
    }
}
