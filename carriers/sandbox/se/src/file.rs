//! The SE file: the whole state as one JSON document, replaced atomically (write beside, fsync, rename, fsync the
//! directory), so that a kill at any moment leaves the state before or the state after.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::factory::FactoryError;
use crate::registry::Card;

const FORMAT: &str = "virtual-secure-element";
const VERSION: u32 = 1;
/// A state is some kilobytes for each entry; anything larger is not ours.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why an SE file could not be opened or created. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is a file, but it is not an SE file: check the path.
    #[error("{} is not an SE file", path.display())]
    NotAnSe {
        /// The file as named.
        path: PathBuf,
    },
    /// The SE file was written by a newer version: use that one.
    #[error("{} has SE file version {found}, newer than {supported}", path.display())]
    NewerVersion {
        /// The file as named.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version understood here.
        supported: u32,
    },
    /// A new SE was asked for where something already is.
    #[error("{} already exists", path.display())]
    Exists {
        /// The file as named.
        path: PathBuf,
    },
    /// The ledger beside the SE file holds something else than ledger lines.
    #[error("{} is not an SE ledger", path.display())]
    NotALedger {
        /// The ledger file.
        path: PathBuf,
    },
    /// The new SE's parameters are not acceptable.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl FileError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'a str,
    version: u32,
    card: &'a Card,
}

#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Deserialize)]
struct Body {
    card: Card,
}

/// The place on disk where an SE's state lives.
#[derive(Debug)]
pub(crate) struct SeFile {
    path: PathBuf,
}

impl SeFile {
    /// Reads an existing SE file.
    pub(crate) fn open(path: &Path) -> Result<(Self, Card), FileError> {
        let not_an_se = || FileError::NotAnSe { path: path.to_owned() };
        let file = File::open(path).map_err(FileError::io(path))?;
        let metadata = file.metadata().map_err(FileError::io(path))?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(not_an_se());
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(FileError::io(path))?;
        let head: Head = serde_json::from_slice(&bytes).map_err(|_| not_an_se())?;
        if head.format != FORMAT {
            return Err(not_an_se());
        }
        if head.version > VERSION {
            let (found, supported) = (head.version, VERSION);
            return Err(FileError::NewerVersion { path: path.to_owned(), found, supported });
        }
        let body: Body = serde_json::from_slice(&bytes).map_err(|_| not_an_se())?;
        Ok((Self { path: path.to_owned() }, body.card))
    }

    /// Makes a new SE file; refuses to replace anything.
    pub(crate) fn create(path: &Path, card: &Card) -> Result<Self, FileError> {
        if path.symlink_metadata().is_ok() {
            return Err(FileError::Exists { path: path.to_owned() });
        }
        let file = Self { path: path.to_owned() };
        file.write_beside(card).and_then(|()| file.switch()).map_err(FileError::io(path))?;
        Ok(file)
    }

    /// Writes the next state beside the current one.
    pub(crate) fn write_beside(&self, card: &Card) -> io::Result<()> {
        let document = Document { format: FORMAT, version: VERSION, card };
        let bytes = Zeroizing::new(serde_json::to_vec(&document)?);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(self.beside())?;
        file.write_all(&bytes)?;
        file.sync_all()
    }

    /// Puts the state written beside in force.
    pub(crate) fn switch(&self) -> io::Result<()> {
        std::fs::rename(self.beside(), &self.path)?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }

    fn beside(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".next");
        PathBuf::from(name)
    }
}
