//! Challenges, of 8 or 16 bytes by the mode.

use crate::profile::Mode;

/// A challenge. Never secret, always compared as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    S8([u8; 8]),
    S16([u8; 16]),
}

/// A cryptogram is as long as the challenges it proves.
pub(crate) type Cryptogram = Challenge;

impl Challenge {
    /// As much of `bytes` as a challenge of this mode has.
    pub(crate) fn cut(bytes: [u8; 16], mode: Mode) -> Challenge {
        let [a, b, c, d, e, f, g, h, ..] = bytes;
        match mode {
            Mode::S8 => Challenge::S8([a, b, c, d, e, f, g, h]),
            Mode::S16 => Challenge::S16(bytes),
        }
    }

    /// A challenge, whichever mode it is of; none unless it has 8 or 16 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Challenge> {
        let short = bytes.try_into().ok().map(Challenge::S8);
        short.or_else(|| bytes.try_into().ok().map(Challenge::S16))
    }

    /// Takes a challenge of this mode off the front of `bytes`.
    pub(crate) fn split(bytes: &[u8], mode: Mode) -> Option<(Challenge, &[u8])> {
        let (challenge, rest) = bytes.split_at_checked(mode.bytes())?;
        Some((Challenge::new(challenge)?, rest))
    }

    pub(crate) fn mode(&self) -> Mode {
        match self {
            Challenge::S8(_) => Mode::S8,
            Challenge::S16(_) => Mode::S16,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Challenge::S8(bytes) => bytes,
            Challenge::S16(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_has_8_or_16_bytes() {
        let bytes: [u8; 16] = std::array::from_fn(|at| at as u8);
        for mode in [Mode::S8, Mode::S16] {
            let challenge = Challenge::cut(bytes, mode);
            assert_eq!((challenge.mode(), challenge.as_bytes()), (mode, mode.cut(&bytes)));
            let (split, rest) = Challenge::split(&bytes, mode).unwrap();
            assert!(split == challenge && [split.as_bytes(), rest].concat() == bytes);
            assert!(Challenge::split(&bytes[..mode.bytes() - 1], mode).is_none());
        }
        let lengths = (0..40).filter(|length| Challenge::new(&vec![0; *length]).is_some());
        assert_eq!(lengths.collect::<Vec<_>>(), [8, 16]);
    }
}
