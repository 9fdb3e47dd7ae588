//! Checksum and ciphering, which commands and proofs of receipt share (TS 102 225 §5.1, §5.2).

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::packet::{Counter, PacketKeys};
use super::security::KeyReference;

/// Bytes of a checksum. TS 102 225 lets AES have 4: too few to be believed.
pub(crate) const CHECKSUM: usize = 8;

/// Protected bytes that do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtectionError<E> {
    /// Cut off, or not whole blocks of the cipher.
    #[error("the protected part of the packet is cut off or not whole blocks")]
    Length,
    /// The packet is not from whoever holds KID, or was changed on the way.
    #[error("the checksum of the packet is wrong")]
    Checksum,
    /// The padding counter (PCNTR) is more than the cipher needs.
    #[error("the padding counter of the packet makes no sense")]
    Padding,
    /// Whoever holds the keys failed.
    #[error("whoever holds the keys of the packet failed")]
    Keys(E),
}

/// The keys, and what precedes the part that may be ciphered.
pub(crate) struct Frame<'a> {
    pub(crate) kic: Option<KeyReference>,
    pub(crate) kid: KeyReference,
    /// In the checksum, not in the packet.
    pub(crate) unsent: &'a [u8],
    /// After the length field of 2 bytes, before CNTR.
    pub(crate) header: &'a [u8],
}

/// CNTR, then `status` (a command has none), then the data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened<const STATUS: usize> {
    pub(crate) counter: Counter,
    pub(crate) status: [u8; STATUS],
    pub(crate) data: Vec<u8>,
}

impl<const STATUS: usize> Opened<STATUS> {
    /// The whole packet from its length field on. `None` if it is longer than that can say.
    pub(crate) fn seal<K: PacketKeys>(
        &self,
        frame: &Frame<'_>,
        keys: &mut K,
    ) -> Result<Option<Vec<u8>>, K::Error> {
        let block = frame.kic.map_or(1, |kic| kic.algorithm.block());
        let unpadded = [6, STATUS, CHECKSUM, self.data.len()].iter().sum::<usize>();
        let body = unpadded.next_multiple_of(block);
        let padding = body.saturating_sub(unpadded);
        let Ok(length) = u16::try_from(body.saturating_add(frame.header.len())) else {
            return Ok(None);
        };
        // Below the size of a block, which fits a byte.
        let padding_counter = [padding as u8];
        let counter = self.counter.to_bytes();
        let lead = [&counter[..], &padding_counter, &self.status].concat();
        let padded = [&self.data[..], &vec![0; padding]].concat();
        let checksum = keys.checksum(frame.kid, &frame.input(length, &lead, &padded))?;
        let mut body = [&lead[..], &checksum, &padded].concat();
        if let Some(kic) = frame.kic {
            keys.encrypt(kic, &mut body)?;
        }
        Ok(Some([&length.to_be_bytes(), frame.header, &body].concat()))
    }

    /// Opens what follows the header. Nothing of the plaintext is judged before the checksum is.
    pub(crate) fn open<K: PacketKeys>(
        frame: &Frame<'_>,
        length: u16,
        body: &[u8],
        keys: &mut K,
    ) -> Result<Opened<STATUS>, ProtectionError<K::Error>> {
        let block = frame.kic.map_or(1, |kic| kic.algorithm.block());
        if !body.len().is_multiple_of(block) {
            return Err(ProtectionError::Length);
        }
        let mut body = body.to_vec();
        if let Some(kic) = frame.kic {
            keys.decrypt(kic, &mut body).map_err(ProtectionError::Keys)?;
        }
        let (counter, rest) = body.split_first_chunk::<5>().ok_or(ProtectionError::Length)?;
        let (&[padding], rest) = rest.split_first_chunk::<1>().ok_or(ProtectionError::Length)?;
        let (status, rest) = rest.split_first_chunk::<STATUS>().ok_or(ProtectionError::Length)?;
        let (claimed, padded) =
            rest.split_first_chunk::<CHECKSUM>().ok_or(ProtectionError::Length)?;
        let lead = [&counter[..], &[padding], status].concat();
        let input = frame.input(length, &lead, padded);
        let checksum = keys.checksum(frame.kid, &input).map_err(ProtectionError::Keys)?;
        if !bool::from(checksum.ct_eq(claimed)) {
            return Err(ProtectionError::Checksum);
        }
        let padding = usize::from(padding);
        if padding >= block {
            return Err(ProtectionError::Padding);
        }
        let data = padded.len().checked_sub(padding).and_then(|length| padded.get(..length));
        let data = data.ok_or(ProtectionError::Padding)?.to_vec();
        Ok(Opened { counter: Counter::from_bytes(*counter), status: *status, data })
    }
}

impl Frame<'_> {
    fn input(&self, length: u16, lead: &[u8], padded: &[u8]) -> Vec<u8> {
        [self.unsent, &length.to_be_bytes(), self.header, lead, padded].concat()
    }
}
