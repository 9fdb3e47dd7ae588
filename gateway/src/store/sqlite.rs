//! SQLite files of ours: locked, looked at before they are opened, opened with the settings that make commits durable.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, types::Type};

use super::{
    StoreError,
    migrations::{Schema, SchemaError},
};

/// How long to wait for a lock that only a tool looking at the file can hold.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept for each connection.
const STATEMENTS: usize = 64;
/// SQLite database header: the magic text, and where user version and application id are (file format §1.3).
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// Why a file was not opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Another release or application wrote it, or SQLite failed.
    Schema(SchemaError),
    /// The operating system failed.
    Io(io::Error),
}

/// Makes the data directory if need be and takes its lock.
pub(super) fn lock(dir: &Path, name: &str) -> Result<File, StoreError> {
    make_dir(dir)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join(name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Makes a directory that only its owner may enter. One that is there stays as it is.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens the store's file to write.
pub(super) fn open(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    open_file(path, schema, "NORMAL").map_err(|error| match error {
        OpenError::Schema(SchemaError::Newer { found, known }) => {
            StoreError::NewerVersion { found, known }
        }
        OpenError::Schema(SchemaError::NotOurs) => not_a_store(path),
        OpenError::Schema(SchemaError::Sqlite(error)) if is_no_database(&error) => {
            not_a_store(path)
        }
        OpenError::Schema(SchemaError::Sqlite(error)) => error.into(),
        OpenError::Io(error) => error.into(),
    })
}

/// Opens a file of ours to write, readable by its owner alone, and brings it to the newest version. The file's header is looked at before
/// SQLite is, so a file that is not ours stays byte for byte as it was.
pub(crate) fn open_file(
    path: &Path,
    schema: &Schema,
    locking_mode: &str,
) -> Result<Connection, OpenError> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    check_header(&mut file, schema)?;
    drop(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Whoever holds the file while it is opened is another node: no use waiting for it.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA locking_mode = {locking_mode};
         PRAGMA trusted_schema = OFF;
         PRAGMA secure_delete = ON;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;"
    ))?;
    schema.migrate(&connection)?;
    // The header of the file itself now tells its version, also to whoever looks without SQLite.
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE);")?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens the store's file to read.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// The first column, a JSON text.
pub(super) fn json_column<T: serde::de::DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    let text = row.get_ref(0)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

fn check_header(file: &mut File, schema: &Schema) -> Result<(), OpenError> {
    let mut header = Vec::with_capacity(HEADER);
    file.take(HEADER as u64).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(());
    }
    let number = |at: usize| {
        let bytes = header.get(at..)?.first_chunk::<4>()?;
        Some(i64::from(i32::from_be_bytes(*bytes)))
    };
    let (Some(application_id), Some(found), true) =
        (number(APPLICATION_ID_AT), number(USER_VERSION_AT), header.starts_with(MAGIC))
    else {
        return Err(OpenError::Schema(SchemaError::NotOurs));
    };
    // A file whose first migration is still in the write-ahead log has no mark yet; SQLite will tell.
    let fresh = application_id == 0 && found == 0;
    schema.judge(application_id, found, fresh).map_err(OpenError::Schema)
}

fn not_a_store(path: &Path) -> StoreError {
    StoreError::NotAStore { path: path.display().to_string() }
}

/// Whether SQLite says that the file is no database of its.
pub(crate) fn is_no_database(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::NotADatabase)
}

/// What failed, without anything that was stored.
pub(crate) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => code.to_string(),
        None => "a stored record cannot be read".to_owned(),
    }
}

impl From<SchemaError> for OpenError {
    fn from(error: SchemaError) -> OpenError {
        OpenError::Schema(error)
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> OpenError {
        OpenError::Schema(SchemaError::Sqlite(error))
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreError::ReadOnly
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
            _ => StoreError::Io { detail: describe(&error) },
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::ReadOnly
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
            kind => StoreError::Io { detail: kind.to_string() },
        }
    }
}
