//! Orders, secure elements, consumed tokens and the audit trail, on one SQLite file.
//!
//! One thread writes, in groups: every request of a group is atomic by itself (a savepoint), the group is made durable by one
//! write-ahead-log flush (WAL, synchronous=FULL), and nobody is answered before it is. A few read-only connections serve reads, which
//! see every commit that was answered.
//!
//! Promised: an answered commit survives a crash and a power cut; a conflict changes nothing; audit records stand or fall with what
//! they record. Not promised: protection against a file restored from a copy.

mod change;
pub mod consume;
mod error;
pub(crate) mod migrations;
mod read;
mod record;
pub(crate) mod sqlite;
mod statements;
mod writer;

#[cfg(test)]
mod tests;

use std::{fs::File, path::Path, sync::Arc};

use tokio::sync::{broadcast, oneshot};
use uuid::Uuid;

pub use change::Change;
pub use error::{CommitError, Conflict, StoreError};
pub use read::{AuditHead, OrderFilter, TokenUse};
pub use record::{
    Authorization, GrantedWrite, Lease, LiveKeySet, Opened, OrderRecord, SeRecord,
    SecurityDomainRecord,
};

use crate::{audit, digest::Digest};

/// File name inside the data directory.
pub const STORE_FILE: &str = "store.db";
/// Held while a node uses the directory.
const LOCK_FILE: &str = "store.lock";
/// Changed orders a slow subscriber may be behind before it has to read again.
const CHANGED_MAX: usize = 1_024;

/// The store. Clones share it; the last one to go waits for the writer.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    writer: writer::Handle,
    readers: read::Pool,
    changed: broadcast::Sender<Uuid>,
    // Dropped last: the next node may open the file only when the writer is gone.
    _lock: File,
}

/// A commit is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Index of the last audit record, this commit's own included.
    pub audit_index: u64,
    /// Its hash.
    pub audit_head: Digest,
}

impl Store {
    /// Opens the store of a data directory, or makes one. `node` is the name in audit records.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is refused is left as it was.
    pub fn open(dir: &Path, node: &str) -> Result<Store, StoreError> {
        let lock = sqlite::lock(dir, LOCK_FILE)?;
        let path = dir.join(STORE_FILE);
        let connection = sqlite::open(&path, &migrations::SCHEMA)?;
        let (changed, _) = broadcast::channel(CHANGED_MAX);
        let writer = writer::Handle::start(connection, node, changed.clone())?;
        let readers = read::Pool::open(&path)?;
        Ok(Store { shared: Arc::new(Shared { writer, readers, changed, _lock: lock }) })
    }

    /// Makes all changes and audit records durable, or none of them.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when another commit was first, [`CommitError::Unavailable`] when nothing happened,
    /// [`CommitError::UnknownOutcome`] when that cannot be said.
    pub async fn commit(
        &self,
        changes: Vec<Change>,
        audit: Vec<audit::Entry>,
    ) -> Result<Committed, CommitError> {
        self.request(changes, None, audit).await
    }

    /// Ids of orders as they change. A subscriber that lagged reads what it watches again.
    pub fn subscribe(&self) -> broadcast::Receiver<Uuid> {
        self.shared.changed.subscribe()
    }

    /// Whether the writer still takes work.
    pub fn is_ready(&self) -> bool {
        self.shared.writer.is_running()
    }

    async fn request(
        &self,
        changes: Vec<Change>,
        consumption: Option<consume::Consumption>,
        audit: Vec<audit::Entry>,
    ) -> Result<Committed, CommitError> {
        let (answer, answered) = oneshot::channel();
        let request = writer::Request { changes, consumption, audit, answer };
        self.shared.writer.send(request).await?;
        // No answer: the writer ended while it held the request, so it may have been committed.
        answered.await.unwrap_or(Err(CommitError::UnknownOutcome))
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.readers.read(query).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
