//! The ledger: every APDU received since the SE was handed over, never its data; one JSON line each beside the SE file.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bytes::hex_upper;
use crate::class::{CommandClass, Header};
use crate::file::FileError;

/// One APDU received. Hex is upper case without prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Counts from 0 at hand-over.
    pub index: u64,
    /// Logical channel; 0 where the class byte could not be read.
    pub channel: u8,
    /// INS, two digits; empty if the APDU was too short.
    pub ins: String,
    /// P1, two digits; empty if the APDU was too short.
    pub p1: String,
    /// P2, two digits; empty if the APDU was too short.
    pub p2: String,
    /// SHA-256 of the APDU as received.
    pub sha256: String,
    /// The status word answered, four digits; empty if the power was cut.
    pub sw: String,
    /// The command passed security and changed or returned something.
    pub executed: bool,
    /// The SE's own judgement.
    pub class: CommandClass,
}

/// Sums over the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// APDUs received.
    pub received: u64,
    /// Of these, executed.
    pub executed: u64,
    /// APDUs received, executed or not, of class `key_write`.
    pub key_write: u64,
    /// APDUs received, executed or not, of class `destroy`.
    pub destroy: u64,
}

/// What became of one APDU.
pub(crate) struct Observation<'a> {
    pub(crate) apdu: &'a [u8],
    pub(crate) channel: u8,
    pub(crate) class: CommandClass,
    pub(crate) sw: Option<u16>,
    pub(crate) executed: bool,
}

/// The entries in memory and, for an SE in a file, on disk.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Vec<LedgerEntry>,
    counts: Counts,
    file: Option<File>,
}

impl Ledger {
    /// The ledger's place: `x.se` has `x.ledger.jsonl`.
    pub(crate) fn path_beside(se: &Path) -> PathBuf {
        se.with_extension("ledger.jsonl")
    }

    /// Opens, or makes, the ledger beside an SE file. A last line cut short by a kill is dropped.
    pub(crate) fn open(se: &Path) -> Result<Self, FileError> {
        let path = Self::path_beside(se);
        let io = || FileError::io(&path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io())?;
        let mut ledger = Self::default();
        let (mut reader, mut line, mut whole) = (BufReader::new(&file), Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(io())?;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let entry = serde_json::from_slice(&line)
                .map_err(|_| FileError::NotALedger { path: path.clone() })?;
            ledger.push(entry);
            whole += read as u64;
        }
        // Without this check a foreign file of one long line would be emptied.
        if whole == 0 && line.first().is_some_and(|first| *first != b'{') {
            return Err(FileError::NotALedger { path });
        }
        file.set_len(whole).map_err(io())?;
        file.seek(std::io::SeekFrom::End(0)).map_err(io())?;
        ledger.file = Some(file);
        Ok(ledger)
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.counts = Counts::default();
        if let Some(file) = &mut self.file {
            // The SE file, not the ledger, says whether it runs: a failure here shows as older lines only.
            let _ = file.set_len(0).and_then(|()| file.rewind());
        }
    }

    /// Writes one APDU down.
    pub(crate) fn record(&mut self, observation: &Observation<'_>) {
        let header = Header::of(observation.apdu);
        let byte = |byte: Option<u8>| byte.map(|byte| hex_upper([byte])).unwrap_or_default();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, observation.apdu);
        let entry = LedgerEntry {
            index: self.counts.received,
            channel: observation.channel,
            ins: byte(header.ins),
            p1: byte(header.p1),
            p2: byte(header.p2),
            sha256: hex_upper(digest),
            sw: observation.sw.map(|sw| format!("{sw:04X}")).unwrap_or_default(),
            executed: observation.executed,
            class: observation.class,
        };
        if let Some(file) = &mut self.file
            && let Ok(mut line) = serde_json::to_vec(&entry)
        {
            line.push(b'\n');
            // One write for a line, so that a kill cuts at most the last one. A full disk must not stop the card.
            let _ = file.write_all(&line);
        }
        self.push(entry);
    }

    fn push(&mut self, entry: LedgerEntry) {
        self.counts.received += 1;
        self.counts.executed += u64::from(entry.executed);
        self.counts.key_write += u64::from(entry.class == CommandClass::KeyWrite);
        self.counts.destroy += u64::from(entry.class == CommandClass::Destroy);
        self.entries.push(entry);
    }

    pub(crate) fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}
