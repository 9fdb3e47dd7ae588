//! What can go wrong with a sandbox run.

use std::path::PathBuf;

use thiserror::Error;

use crate::{
    cap::CapAssemblyError, client::CallError, identity_key::IdentityError, jws::JwsError,
    pki::PkiError,
};

/// Why a sandbox run came to no end.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// There is no such scenario.
    #[error("there is no scenario {name:?}; --list-scenarios names them")]
    UnknownScenario {
        /// What was asked for.
        name: String,
    },
    /// The directory to keep is already in use.
    #[error("{} is not empty; name a directory that is empty or does not exist", .path.display())]
    KeepNotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A citizen's key could not be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The CAP file could not be assembled.
    #[error(transparent)]
    Cap(#[from] CapAssemblyError),
    /// A signature could not be made or verified.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The gateway could not be started.
    #[error("the gateway did not start: {reason}\n{log}")]
    GatewayStart {
        /// What was seen.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// A call to the gateway failed where it should not.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A carrier's platform could not be started or lacks an SE.
    #[error("the platform of {carrier}: {reason}")]
    Platform {
        /// The carrier.
        carrier: String,
        /// What went wrong.
        reason: String,
    },
    /// Something did not come about in time.
    #[error("{what} did not come about within {waited_s} s; last seen: {last}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        waited_s: u64,
        /// What was seen last.
        last: String,
    },
    /// What the SE or a receipt shows is not what it should be.
    #[error("{what}: {why}")]
    Proof {
        /// Which SE or order.
        what: String,
        /// What was found.
        why: String,
    },
}

impl SandboxError {
    /// Exit code of the command: 2 usage, 78 configuration, 70 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            SandboxError::UnknownScenario { .. } => 2,
            SandboxError::KeepNotEmpty { .. } | SandboxError::File { .. } => 78,
            SandboxError::Pki(_)
            | SandboxError::Identity(_)
            | SandboxError::Cap(_)
            | SandboxError::Jws(_)
            | SandboxError::GatewayStart { .. }
            | SandboxError::Call(_)
            | SandboxError::Platform { .. }
            | SandboxError::Deadline { .. }
            | SandboxError::Proof { .. } => 70,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> SandboxError {
        let path = path.into();
        move |source| SandboxError::File { path, source }
    }

    pub(crate) fn proof(what: &str, why: impl ToString) -> SandboxError {
        SandboxError::Proof { what: what.to_owned(), why: why.to_string() }
    }
}
