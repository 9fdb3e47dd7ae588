//! Card content management: the commands a Security Domain takes, and what it answers.
//!
//! Builders return plaintext commands for a Secure Channel to wrap. Those that write or destroy
//! key material return a [`KeyScript`](crate::permit::KeyScript), which needs a permit.

pub(crate) mod class;
pub mod delete;
pub mod get_data;
pub(crate) mod ins;
pub mod install;
pub mod load;
pub mod put_key;
pub mod registry;
pub mod status_data;
pub mod store_data;

use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;

/// Le 00 of a short command: as much as there is.
const ALL: Option<u32> = Some(256);
/// Most clear data bytes that fit a short command under C-MAC and C-DECRYPTION with 8-byte MACs:
/// 239 and one of padding make 15 AES blocks, the MAC makes 248.
const DATA_MOST: usize = 239;
/// Least block size: the longest header of a Data Grouping with something after it, and reason.
const BLOCK_LEAST: usize = 32;

/// A command whose data fits one short APDU also once it is wrapped.
fn command(
    what: &'static str,
    header: [u8; 3],
    data: Vec<u8>,
    le: Option<u32>,
) -> Result<CommandApdu, ApiMisuse> {
    if data.len() > DATA_MOST {
        return Err(ApiMisuse::TooMuch { what, got: data.len(), most: DATA_MOST });
    }
    Ok(CommandApdu::proprietary(header, data, le))
}

/// An AID in tag 4F.
fn aid_object(aid: Aid) -> Vec<u8> {
    let bytes = aid.as_bytes();
    let [.., length] = bytes.len().to_be_bytes();
    [&[0x4F, length], bytes].concat()
}

/// Clear data bytes for each of several commands.
fn block_size(block_max: u8) -> Result<usize, ApiMisuse> {
    let what = "data bytes per command";
    match usize::from(block_max) {
        got if got < BLOCK_LEAST => Err(ApiMisuse::TooLittle { what, got, least: BLOCK_LEAST }),
        got if got > DATA_MOST => Err(ApiMisuse::TooMuch { what, got, most: DATA_MOST }),
        size => Ok(size),
    }
}
