//! Why the store refused, by blame.

use uuid::Uuid;

/// The store cannot be used. Each says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A newer release wrote it.
    #[error(
        "the store is of version {found}, this release knows up to {known}: run the release that wrote it; nothing was changed"
    )]
    NewerVersion {
        /// Version of the store.
        found: i64,
        /// Newest version this release knows.
        known: i64,
    },
    /// The file is something else.
    #[error(
        "{path} is not a store of this gateway: point node.data_dir at another directory; nothing was changed"
    )]
    NotAStore {
        /// The file.
        path: String,
    },
    /// The file or its directory cannot be written.
    #[error(
        "the store cannot be written: give this user write access to node.data_dir and its files"
    )]
    ReadOnly,
    /// No space left.
    #[error("no space left for the store: free space on the volume of node.data_dir")]
    DiskFull,
    /// Another process uses it.
    #[error(
        "another gateway node uses this store: stop it, or give this node a data_dir of its own"
    )]
    Locked,
    /// The operating system or the file failed.
    #[error(
        "the store failed ({detail}): check the volume of node.data_dir, then start the node again"
    )]
    Io {
        /// What failed, without data.
        detail: String,
    },
    /// The writer stopped after a failure, or is shutting down.
    #[error(
        "the store takes no more work: see the log for the failure before, then start the node again"
    )]
    Unavailable,
}

/// What two commits could not both have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The tenant already has an order of that caller's id.
    #[error("an order of this id exists")]
    OrderExists,
    /// The order is not at the version that was read, or not there.
    #[error("the order changed meanwhile")]
    OrderChanged {
        /// The order.
        order: Uuid,
    },
    /// The SE's record is not at the version that was read.
    #[error("the secure element's record changed meanwhile")]
    SeChanged,
    /// Another executor holds the SE now.
    #[error("the secure element's lease is another's")]
    EpochLost,
    /// The attempt's number is taken.
    #[error("the attempt was reserved before")]
    AttemptReserved,
    /// The token is spent.
    #[error("the token was consumed before")]
    TokenSpent,
    /// The notification is known.
    #[error("the notification was taken in before")]
    NotificationKnown,
    /// Another order holds an authorization for key writes to the SE and has not ended.
    #[error("another order's key writes to this secure element have not ended")]
    SeBusy,
    /// The token's number is not above the highest consumed of its issuer and terminal.
    #[error("the token's number is not above the highest of its terminal")]
    SeqStale,
}

/// A commit that did not happen, or may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another was first; nothing of this commit happened. Read again and decide anew.
    #[error("{what}")]
    Conflict {
        /// What both wanted.
        what: Conflict,
    },
    /// Nothing of this commit happened.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
    /// It may have happened: read again after the node was started anew. The store takes no more work.
    #[error("whether the change is stored is not known: start the node again and read it back")]
    UnknownOutcome,
}

impl From<Conflict> for CommitError {
    fn from(what: Conflict) -> CommitError {
        CommitError::Conflict { what }
    }
}
