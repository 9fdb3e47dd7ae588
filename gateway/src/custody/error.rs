//! Why custody refused, by blame. No error holds key material.

use uuid::Uuid;

/// Custody cannot be used, or was used wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    /// The key-encryption key's file cannot be read.
    #[error(
        "the key-encryption key cannot be read from {path} ({detail}): set custody.kek_file to a file this user can read"
    )]
    KekUnreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        detail: String,
    },
    /// Others than the owner may read the file.
    #[error(
        "{path} is open to others (mode {mode:04o}): chmod 600 it, and replace the key if others may have read it"
    )]
    KekExposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{path} does not hold 64 hexadecimal digits")]
    KekMalformed {
        /// The file.
        path: String,
    },
    /// Custody was sealed under another key-encryption key.
    #[error(
        "custody was sealed under another key-encryption key: set custody.kek_file to the file it was made with"
    )]
    WrongKek,
    /// A newer release wrote it.
    #[error(
        "custody is of version {found}, this release knows up to {known}: run the release that wrote it; nothing was changed"
    )]
    NewerVersion {
        /// Version of the file.
        found: i64,
        /// Newest version this release knows.
        known: i64,
    },
    /// The file is something else.
    #[error("{path} is not a custody file of this gateway; nothing was changed")]
    NotCustody {
        /// The file.
        path: String,
    },
    /// Another process uses it.
    #[error(
        "another gateway node uses this custody file: stop it, or give this node a data_dir of its own"
    )]
    Locked,
    /// A sealed value does not open: its row was altered, swapped or damaged.
    #[error(
        "a sealed value does not open: the custody file was altered; stop and restore it from its copy"
    )]
    Sealed,
    /// There is no key set of this name.
    #[error("custody holds no key set {key_set}")]
    NoKeySet {
        /// The name.
        key_set: Uuid,
    },
    /// There is no payload of this name, or its material was erased.
    #[error("custody holds no payload {payload}")]
    NoPayload {
        /// The name.
        payload: Uuid,
    },
    /// What is asked does not fit what the key set, the payload or the permit is for.
    #[error("custody refuses: {field} is not what the permit or the key set is for")]
    NotPermitted {
        /// What differs.
        field: &'static str,
    },
    /// The file or the operating system failed, or custody shut down after a failure.
    #[error(
        "custody failed ({detail}): check the volume of node.data_dir, then start the node again"
    )]
    Unavailable {
        /// What failed, without data.
        detail: String,
    },
}

/// A key set was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    /// A key value in it already belongs to another SE (S02).
    #[error("a key of this set already belongs to another secure element")]
    Shared,
    /// The statement around it is not well formed.
    #[error("the hand-over is malformed: {field}")]
    Malformed {
        /// The member concerned.
        field: &'static str,
    },
    /// The keys are not those the check values are of.
    #[error("the keys do not have the check values stated")]
    CheckValue,
    /// It was not sealed to our transport key with this very statement.
    #[error(
        "the wrapped keys do not open with this tenant, secure element, Security Domain and Key Version Number"
    )]
    Unwrap,
    /// Other keys were handed over for the same place before.
    #[error(
        "another key set was handed over before for this secure element, Security Domain and Key Version Number"
    )]
    Differs,
    /// Custody itself.
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

/// Key material was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The statement around it is not well formed.
    #[error("the personalization is malformed: {field}")]
    Malformed {
        /// The member concerned.
        field: &'static str,
    },
    /// Its time is over.
    #[error("the personalization has expired")]
    Expired,
    /// It was not sealed to our transport key with this very statement.
    #[error(
        "the personalization does not open with this tenant, order, secure element, application, data groups and expiry"
    )]
    Unwrap,
    /// The data groups inside are not those stated, or not of their form.
    #[error("data group {dgi:04X} is missing, not stated or not of its form")]
    Dgi {
        /// The data group.
        dgi: u16,
    },
    /// DGI 0102 is not the public key stated.
    #[error("the public key inside is not the one stated")]
    PublicKey,
    /// Custody itself.
    #[error(transparent)]
    Custody(#[from] CustodyError),
}
