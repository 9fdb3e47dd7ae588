//! What an SE says to INITIALIZE UPDATE.

use super::error::{InitiateFault, ProfileField};
use crate::profile::Mode;
use crate::scp03::challenge::{Challenge, Cryptogram};

/// Identifier of the protocol in the key information (AmdD Table 7-2).
const SCP03: u8 = 0x03;

/// The data of the answer to INITIALIZE UPDATE (AmdD Table 7-2).
pub(crate) struct InitializeUpdateAnswer {
    pub(crate) key_diversification_data: [u8; 10],
    pub(crate) key_version_number: u8,
    pub(crate) i: u8,
    pub(crate) card_challenge: Challenge,
    pub(crate) card_cryptogram: Cryptogram,
    pub(crate) sequence_counter: Option<[u8; 3]>,
}

impl InitializeUpdateAnswer {
    /// Reads an answer in the mode the host challenge was in.
    pub(crate) fn parse(data: &[u8], mode: Mode) -> Result<InitializeUpdateAnswer, InitiateFault> {
        const MALFORMED: InitiateFault = InitiateFault::Malformed;
        let (key_diversification_data, data) = data.split_first_chunk().ok_or(MALFORMED)?;
        let (&[key_version_number, protocol, i], data) =
            data.split_first_chunk().ok_or(MALFORMED)?;
        if protocol != SCP03 {
            return Err(InitiateFault::NotScp03 { got: protocol });
        }
        // Two of 8 or 16 bytes, and the sequence counter or none.
        let got = match data.len() {
            16 | 19 => Mode::S8,
            32 | 35 => Mode::S16,
            _ => return Err(MALFORMED),
        };
        if got != mode {
            let (field, on_record, got) = (ProfileField::ChallengeBytes, mode as u8, got as u8);
            return Err(InitiateFault::ProfileMismatch { field, on_record, got });
        }
        let (card_challenge, data) = Challenge::split(data, mode).ok_or(MALFORMED)?;
        let (card_cryptogram, data) = Cryptogram::split(data, mode).ok_or(MALFORMED)?;
        let sequence_counter = match data {
            [] => None,
            [a, b, c] => Some([*a, *b, *c]),
            _ => return Err(MALFORMED),
        };
        Ok(InitializeUpdateAnswer {
            key_diversification_data: *key_diversification_data,
            key_version_number,
            i,
            card_challenge,
            card_cryptogram,
            sequence_counter,
        })
    }
}
