//! Every script a TSM receives, by its clear headers; never data bytes.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Write},
    path::Path,
};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// PUT KEY, STORE DATA, DELETE (Card Specification 2.3.1, Table 11-1): what makes a script one that may change keys.
const KEY_WRITES: [u8; 3] = [PUT_KEY, STORE_DATA, DELETE];
pub(super) const PUT_KEY: u8 = 0xD8;
pub(super) const STORE_DATA: u8 = 0xE2;
pub(super) const DELETE: u8 = 0xE4;

/// Sums over the scripts received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsmStats {
    /// Scripts received.
    pub scripts: u64,
    /// Those with an INS D8, E2 or E4 in a clear header.
    pub key_write_scripts: u64,
    /// Receipts of such a script beyond its first.
    pub duplicates: u64,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRecord {
    /// Place in the log, from 1.
    pub index: u64,
    /// ICCID the script was sent for.
    pub se: String,
    /// Number of the conversation.
    pub conversation: u64,
    /// FunctionCallIdentifier.
    pub call: String,
    /// The commands.
    pub commands: Vec<CommandRecord>,
    /// Whether an INS is D8, E2 or E4.
    pub key_write: bool,
    /// Whether this very key-writing script was received before.
    pub duplicate: bool,
}

/// One command: its header, length and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Class byte, two digits.
    pub cla: String,
    /// Instruction byte, two digits.
    pub ins: String,
    /// P1, two digits.
    pub p1: String,
    /// P2, two digits.
    pub p2: String,
    /// Bytes of the whole command.
    pub len: usize,
    /// SHA-256 of the whole command, upper-case hex.
    pub sha256: String,
}

/// The log and its sums.
pub(super) struct ScriptLog {
    file: Option<File>,
    seen: HashSet<Vec<u8>>,
    total: TsmStats,
    of: HashMap<String, TsmStats>,
}

impl ScriptLog {
    /// A log in memory and, if asked for, in a new file.
    pub(super) fn open(path: Option<&Path>) -> io::Result<ScriptLog> {
        Ok(ScriptLog {
            file: path.map(File::create_new).transpose()?,
            seen: HashSet::new(),
            total: TsmStats::default(),
            of: HashMap::new(),
        })
    }

    /// Takes note of a script before anything else is done with it.
    pub(super) fn receive(
        &mut self,
        se: &str,
        conversation: u64,
        call: &str,
        commands: &[Vec<u8>],
    ) -> io::Result<()> {
        let key_write = commands.iter().any(|command| KEY_WRITES.contains(&instruction(command)));
        let duplicate = key_write && !self.seen.insert(fingerprint(commands));
        self.total.add(key_write, duplicate);
        self.of.entry(se.to_owned()).or_default().add(key_write, duplicate);
        let Some(file) = &mut self.file else { return Ok(()) };
        let record = ScriptRecord {
            index: self.total.scripts,
            se: se.to_owned(),
            conversation,
            call: call.to_owned(),
            commands: commands.iter().map(|command| CommandRecord::of(command)).collect(),
            key_write,
            duplicate,
        };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    pub(super) fn total(&self) -> TsmStats {
        self.total
    }

    pub(super) fn of(&self, se: &str) -> TsmStats {
        self.of.get(se).copied().unwrap_or_default()
    }
}

impl TsmStats {
    fn add(&mut self, key_write: bool, duplicate: bool) {
        self.scripts += 1;
        self.key_write_scripts += u64::from(key_write);
        self.duplicates += u64::from(duplicate);
    }
}

impl CommandRecord {
    fn of(command: &[u8]) -> CommandRecord {
        let digits =
            |place: usize| command.get(place..=place).map(hex::encode_upper).unwrap_or_default();
        CommandRecord {
            cla: digits(0),
            ins: digits(1),
            p1: digits(2),
            p2: digits(3),
            len: command.len(),
            sha256: hex::encode_upper(digest::digest(&digest::SHA256, command)),
        }
    }
}

/// INS of a command, 00 where there is none.
pub(super) fn instruction(command: &[u8]) -> u8 {
    command.get(1).copied().unwrap_or(0)
}

/// SHA-256 over the commands, each after its length.
fn fingerprint(commands: &[Vec<u8>]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for command in commands {
        context.update(&(command.len() as u64).to_be_bytes());
        context.update(command);
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SE: &str = "8981100000000000018";

    #[test]
    fn only_a_key_write_received_again_is_a_duplicate() {
        let mut log = ScriptLog::open(None).unwrap();
        let read = vec![vec![0x84, 0xCA, 0x00, 0xE0]];
        let write = vec![vec![0x84, 0xD8, 0x30, 0x81, 0x01, 0xAA]];
        for script in [&read, &read, &write, &write] {
            log.receive(SE, 1, "call", script).unwrap();
        }
        let expected = TsmStats { scripts: 4, key_write_scripts: 2, duplicates: 1 };
        assert_eq!((log.total(), log.of(SE)), (expected, expected));
        assert_eq!(log.of("other"), TsmStats::default());
    }

    #[test]
    fn the_file_has_headers_and_hashes_and_no_data() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tsm.jsonl");
        let mut log = ScriptLog::open(Some(&path)).unwrap();
        log.receive(SE, 7, "call", &[vec![0x84, 0xE2, 0x88, 0x00, 0x04, 0xDE, 0xAD, 0xBE, 0xEF]])
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.to_uppercase().contains("DEADBEEF"));
        let record: ScriptRecord = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((record.index, record.conversation), (1, 7));
        assert!(record.key_write && !record.duplicate);
        assert_eq!((record.commands[0].ins.as_str(), record.commands[0].len), ("E2", 9));
        assert!(ScriptLog::open(Some(&path)).is_err());
    }
}
