//! The response packet, or proof of receipt (TS 102 225 §5.2; in short messages TS 31.115 §4.4).

use std::fmt;

use thiserror::Error;

use super::packet::{Header, PacketKeys, SealError, ToolkitApplicationReference};
use super::protection::{CHECKSUM, Frame, Opened, ProtectionError};

/// RHL: TAR, CNTR, PCNTR, status and the checksum.
const HEADER_LENGTH: u8 = HEADER_LENGTH_BARE + CHECKSUM as u8;
/// RHL without a checksum.
const HEADER_LENGTH_BARE: u8 = 10;
/// The user data header of a response in one message: in the checksum (TS 31.115 §4.4), so a
/// command never passes for a response.
const USER_DATA_HEADER: [u8; 3] = [0x02, 0x71, 0x00];

/// What became of a command packet (TS 102 225 Table 5, TS 31.115 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptStatus {
    /// Received and opened. What the commands did is in the data.
    Received,
    /// The checksum was wrong.
    ChecksumFailed,
    /// CNTR was not higher than the last one.
    CounterLow,
    /// CNTR was more than one higher than the last one.
    CounterHigh,
    /// CNTR has reached its highest value.
    CounterBlocked,
    /// Deciphering failed.
    CipheringError,
    /// Some other security error.
    UnidentifiedSecurityError,
    /// No memory for the packet.
    InsufficientMemory,
    /// The SE is still at work.
    MoreTime,
    /// No application has this reference.
    ReferenceUnknown,
    /// The application asks for more security.
    InsufficientSecurity,
    /// The answer follows by SMS-SUBMIT.
    AnswerBySubmit,
    /// The answer follows by USSD.
    AnswerByUssd,
}

const STATUSES: [ReceiptStatus; 13] = [
    ReceiptStatus::Received,
    ReceiptStatus::ChecksumFailed,
    ReceiptStatus::CounterLow,
    ReceiptStatus::CounterHigh,
    ReceiptStatus::CounterBlocked,
    ReceiptStatus::CipheringError,
    ReceiptStatus::UnidentifiedSecurityError,
    ReceiptStatus::InsufficientMemory,
    ReceiptStatus::MoreTime,
    ReceiptStatus::ReferenceUnknown,
    ReceiptStatus::InsufficientSecurity,
    ReceiptStatus::AnswerBySubmit,
    ReceiptStatus::AnswerByUssd,
];

/// An authenticated proof of receipt. `Debug` shows the length of the data, never the data.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What became of the packet.
    pub status: ReceiptStatus,
    /// The remote answer, in the format of the commands; empty where there is none.
    pub data: Vec<u8>,
}

/// Bytes that prove nothing about the packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiptError<E> {
    /// No proof of receipt was asked for.
    #[error("no proof of receipt was asked for")]
    NotAskedFor,
    /// The length fields do not account for exactly the bytes given.
    #[error("the length fields of the response packet do not match its bytes")]
    Length,
    /// Neither a checksum of 8 bytes nor none.
    #[error("the header of the response packet has no checksum of 8 bytes")]
    Header,
    /// No checksum: anyone on the path can have written it. An SE that could not open the packet
    /// answers so, too.
    #[error("the response packet is not authenticated; it claims status {claimed:02X}")]
    Unauthenticated {
        /// The status byte, unproven.
        claimed: u8,
    },
    /// Genuine, but the answer to a packet with another reference or CNTR.
    #[error("the response packet answers another command packet")]
    OtherPacket,
    /// A status no specification names.
    #[error("status {got:02X} of the response packet is reserved")]
    Status {
        /// The status byte.
        got: u8,
    },
    /// The protection does not open.
    #[error(transparent)]
    Protection(#[from] ProtectionError<E>),
}

impl ReceiptStatus {
    fn from_byte(byte: u8) -> Option<ReceiptStatus> {
        STATUSES.get(usize::from(byte)).copied()
    }

    fn to_byte(self) -> u8 {
        // The order of the variants is that of the table.
        self as u8
    }
}

impl Receipt {
    /// The response packet an SE gives to the command packet with this header, from RPL on.
    ///
    /// # Errors
    /// [`SealError::TooLong`] above 65535 bytes, [`SealError::Keys`].
    pub fn seal<K: PacketKeys>(
        &self,
        sent: &Header,
        keys: &mut K,
    ) -> Result<Vec<u8>, SealError<K::Error>> {
        let header = clear_header(sent.reference);
        let status = [self.status.to_byte()];
        let opened = Opened { counter: sent.counter, status, data: self.data.clone() };
        let sealed = opened.seal(&frame(sent, &header), keys).map_err(SealError::Keys)?;
        sealed.ok_or(SealError::TooLong { got: self.data.len() })
    }

    /// Opens the response, from RPL on, to the packet with this header.
    ///
    /// # Errors
    /// [`ReceiptError`]; nothing in it but a checksum failure or
    /// [`Unauthenticated`](ReceiptError::Unauthenticated) says what an SE did.
    pub fn open<K: PacketKeys>(
        response: &[u8],
        sent: &Header,
        keys: &mut K,
    ) -> Result<Receipt, ReceiptError<K::Error>> {
        if sent.security.parameters().receipt.is_none() {
            return Err(ReceiptError::NotAskedFor);
        }
        let (length, rest) = response.split_first_chunk::<2>().ok_or(ReceiptError::Length)?;
        let length = u16::from_be_bytes(*length);
        if usize::from(length) != rest.len() {
            return Err(ReceiptError::Length);
        }
        let (header, body) = rest.split_first_chunk::<4>().ok_or(ReceiptError::Length)?;
        let &[header_length, reference @ ..] = header;
        match header_length {
            HEADER_LENGTH => {}
            HEADER_LENGTH_BARE => return Err(unauthenticated(body)),
            _ => return Err(ReceiptError::Header),
        }
        let opened = Opened::<1>::open(&frame(sent, header), length, body, keys)?;
        let answers_to = (ToolkitApplicationReference(reference), opened.counter);
        if answers_to != (sent.reference, sent.counter) {
            return Err(ReceiptError::OtherPacket);
        }
        let [got] = opened.status;
        let status = ReceiptStatus::from_byte(got).ok_or(ReceiptError::Status { got })?;
        Ok(Receipt { status, data: opened.data })
    }
}

/// CNTR and PCNTR precede the status.
fn unauthenticated<E>(body: &[u8]) -> ReceiptError<E> {
    match body {
        [_, _, _, _, _, _, claimed, ..] => ReceiptError::Unauthenticated { claimed: *claimed },
        _ => ReceiptError::Length,
    }
}

fn clear_header(
    ToolkitApplicationReference([tar0, tar1, tar2]): ToolkitApplicationReference,
) -> [u8; 4] {
    [HEADER_LENGTH, tar0, tar1, tar2]
}

fn frame<'a>(sent: &Header, header: &'a [u8; 4]) -> Frame<'a> {
    let (kic, kid) = (sent.security.receipt_kic(), sent.security.kid());
    Frame { kic, kid, unsent: &USER_DATA_HEADER, header }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({:?}, {} data bytes)", self.status, self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbered_as_in_the_table() {
        for byte in 0..=u8::MAX {
            let status = ReceiptStatus::from_byte(byte);
            assert_eq!(status.map(ReceiptStatus::to_byte), (byte <= 0x0C).then_some(byte));
        }
        assert_eq!(ReceiptStatus::from_byte(9), Some(ReceiptStatus::ReferenceUnknown));
    }
}
