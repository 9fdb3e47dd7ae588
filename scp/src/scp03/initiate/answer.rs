//! What an SE says to INITIALIZE UPDATE.

use super::error::{InitiateFault, ProfileField};
use crate::scp03::cryptogram::S8;

/// Identifier of the protocol in the key information (AmdD Table 7-2).
const SCP03: u8 = 0x03;

/// The data of the answer to INITIALIZE UPDATE (AmdD Table 7-2).
pub(crate) struct InitializeUpdateAnswer {
    pub(crate) key_diversification_data: [u8; 10],
    pub(crate) key_version_number: u8,
    pub(crate) i: u8,
    pub(crate) card_challenge: [u8; S8],
    pub(crate) card_cryptogram: [u8; S8],
    pub(crate) sequence_counter: Option<[u8; 3]>,
}

impl InitializeUpdateAnswer {
    pub(crate) fn parse(data: &[u8]) -> Result<InitializeUpdateAnswer, InitiateFault> {
        const MALFORMED: InitiateFault = InitiateFault::Malformed;
        let (key_diversification_data, data) = data.split_first_chunk().ok_or(MALFORMED)?;
        let (&[key_version_number, protocol, i], data) =
            data.split_first_chunk().ok_or(MALFORMED)?;
        if protocol != SCP03 {
            return Err(InitiateFault::NotScp03 { got: protocol });
        }
        if matches!(data.len(), 32 | 35) {
            let field = ProfileField::ChallengeBytes;
            return Err(InitiateFault::ProfileMismatch { field, on_record: 8, got: 16 });
        }
        let (card_challenge, data) = data.split_first_chunk().ok_or(MALFORMED)?;
        let (card_cryptogram, data) = data.split_first_chunk().ok_or(MALFORMED)?;
        let sequence_counter = match data {
            [] => None,
            [a, b, c] => Some([*a, *b, *c]),
            _ => return Err(MALFORMED),
        };
        Ok(InitializeUpdateAnswer {
            key_diversification_data: *key_diversification_data,
            key_version_number,
            i,
            card_challenge: *card_challenge,
            card_cryptogram: *card_cryptogram,
            sequence_counter,
        })
    }
}
