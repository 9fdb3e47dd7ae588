//! LOAD: the blocks of a load file, judged as a whole with the last (CS 11.6). A file half loaded is lost with the
//! session and leaves nothing behind.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use crate::aid::Aid;
use crate::apdu::Command;
use crate::command::Turn;
use crate::load_file::LoadFileContent;
use crate::registry::LoadFile;
use crate::status::{Answer, Stop, Sw};

/// P1: the last block.
const LAST: u8 = 0x80;
/// The most bytes of one load file.
const LOAD_FILE_BYTES_MAX: usize = 256 * 1024;

/// A load file under way.
pub(crate) struct Loading {
    load_file: Aid,
    associated: Aid,
    /// The Load File Data Block Hash announced, SHA-1 or SHA-256 by its length; empty if none was.
    hash: Vec<u8>,
    data: Vec<u8>,
    blocks: u32,
}

impl Loading {
    pub(crate) fn new(load_file: Aid, associated: Aid, hash: Vec<u8>) -> Self {
        Self { load_file, associated, hash, data: Vec::new(), blocks: 0 }
    }

    fn join(&mut self, command: &Command) -> Result<(), Sw> {
        if !matches!(command.p1, 0x00 | LAST) || self.blocks != u32::from(command.p2) {
            return Err(Sw::INCORRECT_P1_P2);
        }
        if self.data.len() + command.data.len() > LOAD_FILE_BYTES_MAX {
            return Err(Sw::NO_SPACE);
        }
        self.blocks += 1;
        self.data.extend_from_slice(&command.data);
        Ok(())
    }

    /// Judges the whole file.
    fn finish(self) -> Result<LoadFile, Sw> {
        let content = LoadFileContent::parse(&self.data).ok_or(Sw::WRONG_DATA)?;
        let hash_matches = match self.hash.len() {
            0 => true,
            20 => digest(&SHA1_FOR_LEGACY_USE_ONLY, content.data_block).as_ref() == self.hash,
            _ => digest(&SHA256, content.data_block).as_ref() == self.hash,
        };
        if !hash_matches || content.package != self.load_file {
            return Err(Sw::WRONG_DATA);
        }
        Ok(LoadFile {
            aid: self.load_file,
            associated: self.associated,
            version: content.version,
            modules: content.applets,
        })
    }
}

pub(crate) fn load(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    turn.managing()?;
    // Whatever is wrong with a block ends the load: only a good one that is not the last puts it back.
    let mut loading = turn.channel.loading.take().ok_or(Sw::CONDITIONS)?;
    loading.join(command)?;
    if command.p1 & LAST == 0 {
        turn.channel.loading = Some(loading);
    } else {
        let file = loading.finish()?;
        turn.store.change(|card| card.add_load_file(file))?;
    }
    Ok(Answer::no_confirmation())
}
