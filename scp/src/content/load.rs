//! LOAD: a Load File in blocks (CS 2.3.1 §11.6).

use super::{ALL, block_size, command, ins};
use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;
use crate::tlv;

/// Tag of the Load File Data Block (CS 2.3.1 Table 11-58).
const LOAD_FILE_DATA_BLOCK: u8 = 0xC4;
const MORE_BLOCKS: u8 = 0x00;
const LAST_BLOCK: u8 = 0x80;
/// Most LOAD commands for one file; leaves room for an INSTALL in the same script.
const BLOCKS_MOST: usize = 1_000;

/// The LOAD commands that carry this Load File Data Block, without DAP blocks, `block_max` clear
/// data bytes each.
///
/// Blocks are numbered from 00; after FF comes 00 again, as cards in the field expect: CS 2.3.1
/// §11.6.2.2 gives the number one byte and says nothing of larger files.
///
/// # Errors
/// [`ApiMisuse`] for an empty file, one of more than 1000 blocks, or a block size out of bounds.
pub fn blocks(load_file_data_block: &[u8], block_max: u8) -> Result<Vec<CommandApdu>, ApiMisuse> {
    let size = block_size(block_max)?;
    if load_file_data_block.is_empty() {
        return Err(ApiMisuse::TooLittle { what: "Load File Data Block", got: 0, least: 1 });
    }
    let mut load_file = vec![LOAD_FILE_DATA_BLOCK];
    tlv::push_length(&mut load_file, load_file_data_block.len())?;
    load_file.extend_from_slice(load_file_data_block);

    let count = load_file.len().div_ceil(size);
    if count > BLOCKS_MOST {
        return Err(ApiMisuse::TooMuch { what: "LOAD blocks", got: count, most: BLOCKS_MOST });
    }
    let mut chunks = load_file.chunks(size).peekable();
    let mut commands = Vec::with_capacity(count);
    let mut number = 0u8;
    while let Some(chunk) = chunks.next() {
        let p1 = if chunks.peek().is_some() { MORE_BLOCKS } else { LAST_BLOCK };
        commands.push(command("LOAD data", [ins::LOAD, p1, number], chunk.to_vec(), ALL)?);
        number = number.wrapping_add(1);
    }
    Ok(commands)
}
