//! Reading a trail back: does every record stand where it was written, as it was written?

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use jiff::Timestamp;

use super::{chain, record::Record};
use crate::{
    digest::Digest,
    store::{StoreError, sqlite},
};

/// Longest line of an exported trail.
const LINE_MAX_BYTES: u64 = 1_048_576;

/// A trail that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// How many records there are.
    pub records: u64,
    /// Hash of the last; zeros when there is none.
    pub head: Digest,
}

/// A trail that does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail is broken at record {index}: {why}")]
pub struct Broken {
    /// Where the first fault is, counted from 1.
    pub index: u64,
    /// What is wrong there.
    pub why: Fault,
}

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No record in the form of one.
    #[error("it is no audit record")]
    Unreadable,
    /// One was left out, inserted or moved.
    #[error("another index stands in its place")]
    Index,
    /// It does not follow the record before it.
    #[error("it does not follow the record before it")]
    Previous,
    /// It is older than the record before it.
    #[error("it is older than the record before it")]
    Time,
    /// It was altered.
    #[error("its hash is not that of its content")]
    Hash,
}

/// A trail in a file that could not be read to its end, or is broken.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The trail is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read.
    #[error("the trail cannot be read ({0}): check the file's path and permissions")]
    Io(#[from] std::io::Error),
}

/// Checks a whole trail, first record first.
///
/// # Errors
/// [`Broken`] at the first record that does not hold.
pub fn verify(records: impl IntoIterator<Item = Record>) -> Result<Summary, Broken> {
    let mut trail = Trail::default();
    records.into_iter().try_for_each(|record| trail.follow(&record))?;
    Ok(trail.summary())
}

/// Checks the trail in a store's file, read-only; a node may be using it.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_store(path: &Path) -> Result<Summary, VerifyError> {
    let connection = sqlite::open_to_read(path)?;
    let mut trail = Trail::default();
    let mut walk = || -> rusqlite::Result<Result<(), Broken>> {
        let mut statement = connection.prepare("SELECT idx, record FROM audit ORDER BY idx")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let index: i64 = row.get(0)?;
            let text = row.get_ref(1)?.as_str()?;
            let placed = trail.follow_text(text).and_then(|record| {
                let same = u64::try_from(index) == Ok(record.index);
                if same { Ok(()) } else { Err(Broken { index: record.index, why: Fault::Index }) }
            });
            if placed.is_err() {
                return Ok(placed);
            }
        }
        Ok(Ok(()))
    };
    walk().map_err(StoreError::from)??;
    Ok(trail.summary())
}

/// Checks an exported trail: one JSON record a line.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_lines(lines: impl Read) -> Result<Summary, VerifyError> {
    let mut trail = Trail::default();
    let mut lines = BufReader::new(lines);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.by_ref().take(LINE_MAX_BYTES).read_line(&mut line)? == 0 {
            return Ok(trail.summary());
        }
        trail.follow_text(line.trim_end())?;
    }
}

struct Trail {
    index: u64,
    head: Digest,
    at: Timestamp,
}

impl Default for Trail {
    fn default() -> Trail {
        Trail { index: 0, head: Digest::ZERO, at: Timestamp::UNIX_EPOCH }
    }
}

impl Trail {
    fn follow_text(&mut self, text: &str) -> Result<Record, Broken> {
        let index = self.index.saturating_add(1);
        let record: Record =
            serde_json::from_str(text).map_err(|_| Broken { index, why: Fault::Unreadable })?;
        self.follow(&record)?;
        Ok(record)
    }

    fn follow(&mut self, record: &Record) -> Result<(), Broken> {
        let index = self.index.saturating_add(1);
        let why = if record.index != index {
            Fault::Index
        } else if record.prev != self.head {
            Fault::Previous
        } else if record.at < self.at {
            Fault::Time
        } else if chain::hash(record) != record.hash {
            Fault::Hash
        } else {
            (self.index, self.head, self.at) = (index, record.hash, record.at);
            return Ok(());
        };
        Err(Broken { index, why })
    }

    fn summary(&self) -> Summary {
        Summary { records: self.index, head: self.head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Chain, Entry, Kind};
    use serde_json::json;

    fn trail(length: i64) -> Vec<Record> {
        let mut chain = Chain::after("node-1", None);
        let entry = |at_ms| Entry::new(Kind::Sent, at_ms).se("8981").detail(json!({"n": at_ms}));
        (1..=length).map(|at_ms| chain.append(&entry(at_ms))).collect()
    }

    fn fault(records: Vec<Record>) -> (u64, Fault) {
        let broken = verify(records).unwrap_err();
        (broken.index, broken.why)
    }

    #[test]
    fn an_untouched_trail_holds() {
        let records = trail(5);
        let head = records.last().unwrap().hash;
        assert_eq!(verify(records), Ok(Summary { records: 5, head }));
        assert_eq!(verify(Vec::new()), Ok(Summary { records: 0, head: Digest::ZERO }));
    }

    #[test]
    fn every_kind_of_tampering_is_found_where_it_is() {
        let altered = |change: fn(&mut Record)| {
            let mut records = trail(5);
            change(&mut records[2]);
            fault(records)
        };
        assert_eq!(altered(|record| record.detail = json!({"n": 4})), (3, Fault::Hash));
        assert_eq!(altered(|record| record.se = None), (3, Fault::Hash));
        assert_eq!(altered(|record| record.kind = "verdict".into()), (3, Fault::Hash));
        assert_eq!(altered(|record| record.node.push('x')), (3, Fault::Hash));
        assert_eq!(altered(|record| record.order = Some(uuid::Uuid::nil())), (3, Fault::Hash));
        assert_eq!(altered(|record| record.at = Timestamp::UNIX_EPOCH), (3, Fault::Time));
        assert_eq!(altered(|record| record.prev = Digest::ZERO), (3, Fault::Previous));
        // Made whole again with a hash of its own, it no longer carries the next.
        let remade = |record: &mut Record| {
            record.se = None;
            record.hash = chain::hash(record);
        };
        assert_eq!(altered(remade), (4, Fault::Previous));
    }

    #[test]
    fn records_left_out_repeated_or_swapped_are_found() {
        let mut records = trail(5);
        records.remove(1);
        assert_eq!(fault(records), (2, Fault::Index));
        let mut records = trail(5);
        records.insert(1, records[0].clone());
        assert_eq!(fault(records), (2, Fault::Index));
        let mut records = trail(5);
        records.swap(1, 2);
        assert_eq!(fault(records), (2, Fault::Index));
    }

    #[test]
    fn exported_lines_verify_and_refuse() {
        let text: Vec<String> =
            trail(3).iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        assert_eq!(verify_lines(text.join("\n").as_bytes()).unwrap().records, 3);
        let cut = text.join("\n");
        let cut = &cut[..cut.len() - 1];
        assert!(matches!(
            verify_lines(cut.as_bytes()),
            Err(VerifyError::Broken(Broken { index: 3, why: Fault::Unreadable }))
        ));
    }
}
