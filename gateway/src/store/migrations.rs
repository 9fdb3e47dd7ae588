//! The schema of a file of ours, version by version. A version once released is never edited; a new one is added at the end.

use rusqlite::Connection;

/// A kind of file: its mark and the statements that lead from each version to the next.
pub(crate) struct Schema {
    /// `PRAGMA application_id` (SQLite database header, offset 68).
    pub(crate) application_id: i32,
    /// `PRAGMA user_version` counts how many of these were run.
    pub(crate) versions: &'static [&'static str],
}

/// A file this release must not touch.
#[derive(Debug)]
pub(crate) enum SchemaError {
    /// Of a newer version.
    Newer {
        /// Its version.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// Of another application.
    NotOurs,
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

/// The store.
pub(super) const SCHEMA: Schema =
    Schema { application_id: i32::from_be_bytes(*b"MdgS"), versions: &[VERSION_1] };

const VERSION_1: &str = "
    CREATE TABLE orders (
        id         BLOB PRIMARY KEY NOT NULL,
        tenant     TEXT NOT NULL,
        caller_id  TEXT NOT NULL,
        enquiry_id TEXT NOT NULL UNIQUE,
        se         TEXT NOT NULL,
        state      TEXT NOT NULL,
        open       INTEGER NOT NULL,
        due_ms     INTEGER,
        version    INTEGER NOT NULL,
        record     TEXT NOT NULL,
        UNIQUE (tenant, caller_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX orders_by_state ON orders (tenant, state, id);
    CREATE INDEX orders_due ON orders (due_ms) WHERE due_ms IS NOT NULL;
    CREATE INDEX orders_open_by_se ON orders (tenant, se, id) WHERE open = 1;

    CREATE TABLE ses (
        tenant  TEXT NOT NULL,
        se      TEXT NOT NULL,
        epoch   INTEGER NOT NULL,
        version INTEGER NOT NULL,
        record  TEXT NOT NULL,
        PRIMARY KEY (tenant, se)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE attempts (
        order_id BLOB NOT NULL,
        write    INTEGER NOT NULL,
        attempt  INTEGER NOT NULL,
        PRIMARY KEY (order_id, write, attempt)
    ) STRICT, WITHOUT ROWID;

    -- A token is spent by its row; one without an order was burned.
    CREATE TABLE tokens (
        jti          TEXT PRIMARY KEY NOT NULL,
        token_sha256 BLOB NOT NULL,
        order_id     BLOB
    ) STRICT, WITHOUT ROWID;

    -- seq is a 64-bit number without sign, big-endian: bytes compare as the numbers do.
    CREATE TABLE seq_high_water (
        issuer   TEXT NOT NULL,
        terminal TEXT NOT NULL,
        seq      BLOB NOT NULL,
        PRIMARY KEY (issuer, terminal)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE authorizations (
        order_id BLOB PRIMARY KEY NOT NULL,
        record   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE access_code_failures (
        jti      TEXT PRIMARY KEY NOT NULL,
        failures INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE notifications (
        carrier  TEXT NOT NULL,
        call_id  TEXT NOT NULL,
        function TEXT NOT NULL,
        PRIMARY KEY (carrier, call_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE audit (
        idx      INTEGER PRIMARY KEY NOT NULL,
        order_id BLOB,
        record   TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_order ON audit (order_id, idx) WHERE order_id IS NOT NULL;
";

impl Schema {
    /// The newest version known.
    pub(crate) fn known(&self) -> i64 {
        i64::try_from(self.versions.len()).unwrap_or(i64::MAX)
    }

    /// Brings an open file to the newest version, each step in a transaction of its own. A file that is refused is not written.
    pub(crate) fn migrate(&self, connection: &Connection) -> Result<(), SchemaError> {
        let found = self.check(connection)?;
        for (version, statements) in (1_i64..).zip(self.versions) {
            if version > found {
                connection.execute_batch(&format!(
                    "BEGIN IMMEDIATE; {statements} PRAGMA application_id = {}; PRAGMA user_version = {version}; COMMIT;",
                    self.application_id
                ))?;
            }
        }
        Ok(())
    }

    fn check(&self, connection: &Connection) -> Result<i64, SchemaError> {
        let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let application_id = number("PRAGMA application_id")?;
        let found = number("PRAGMA user_version")?;
        let empty = number("SELECT COUNT(*) FROM sqlite_schema")? == 0;
        self.judge(application_id, found, empty)?;
        Ok(found)
    }

    /// Whether a file of this mark and version is ours to open. A file that is still empty is.
    pub(crate) fn judge(
        &self,
        application_id: i64,
        found: i64,
        empty: bool,
    ) -> Result<(), SchemaError> {
        let fresh = empty && application_id == 0 && found == 0;
        if !fresh && application_id != i64::from(self.application_id) {
            return Err(SchemaError::NotOurs);
        }
        if found > self.known() {
            return Err(SchemaError::Newer { found, known: self.known() });
        }
        Ok(())
    }
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> SchemaError {
        SchemaError::Sqlite(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_every_version_and_a_second_run_changes_nothing() {
        let file = Connection::open_in_memory().unwrap();
        SCHEMA.migrate(&file).unwrap();
        SCHEMA.migrate(&file).unwrap();
        assert_eq!(SCHEMA.check(&file).unwrap(), SCHEMA.known());
    }

    #[test]
    fn files_of_others_and_of_later_releases_are_refused() {
        let ours = i64::from(SCHEMA.application_id);
        assert!(matches!(
            SCHEMA.judge(ours, 2, false),
            Err(SchemaError::Newer { found: 2, known: 1 })
        ));
        assert!(matches!(SCHEMA.judge(ours + 1, 1, false), Err(SchemaError::NotOurs)));
        assert!(matches!(SCHEMA.judge(0, 0, false), Err(SchemaError::NotOurs)));
        assert!(matches!(SCHEMA.judge(0, 7, true), Err(SchemaError::NotOurs)));
        assert!(SCHEMA.judge(0, 0, true).is_ok());
        assert!(SCHEMA.judge(ours, 1, false).is_ok());
    }
}
