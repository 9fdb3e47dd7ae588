//! S8 and S16: how long challenges, cryptograms and MACs are.

use std::fmt;

/// i, bit 1: S16 (Amendment D 1.2).
pub(super) const I_S16: u8 = 0x01;

/// The mode of SCP03, by bit 1 of the parameter i. It is on record: the host challenge has to have
/// its length before the SE has said anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Challenges, cryptograms and MACs of 8 bytes.
    S8 = 8,
    /// Challenges, cryptograms and MACs of 16 bytes (Amendment D 1.2).
    S16 = 16,
}

impl Mode {
    /// The mode that the parameter i announces.
    #[must_use]
    pub fn of(i: u8) -> Mode {
        if i & I_S16 == 0 { Mode::S8 } else { Mode::S16 }
    }

    /// Length of challenges, cryptograms and MACs in bytes: 8 or 16.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self as usize
    }

    /// Length of challenges and cryptograms in bits, as derivations state it (AmdD §4.1.5).
    pub(crate) fn bits(self) -> u16 {
        match self {
            Mode::S8 => 64,
            Mode::S16 => 128,
        }
    }

    /// What of a whole CMAC is sent, or compared.
    pub(crate) fn cut(self, whole: &[u8; 16]) -> &[u8] {
        match self {
            Mode::S8 => whole.split_at(8).0,
            Mode::S16 => whole,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{}", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_1_alone_decides() {
        for i in 0..=u8::MAX {
            let mode = Mode::of(i);
            assert_eq!(mode.bytes(), if i % 2 == 0 { 8 } else { 16 });
            assert_eq!(usize::from(mode.bits()), mode.bytes() * 8);
            assert_eq!(mode.cut(&[7; 16]).len(), mode.bytes());
            assert_eq!(mode.to_string(), format!("S{}", mode.bytes()));
        }
    }
}
