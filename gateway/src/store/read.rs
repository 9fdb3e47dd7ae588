//! Reads: a few read-only connections, opened once and kept.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    OrderRecord, SeRecord, Store, StoreError,
    record::Authorization,
    sqlite::{self, json_column},
};
use crate::{audit::Record, digest::Digest};

/// Read-only connections.
const READERS: usize = 4;
/// Most rows one read answers.
const ROWS_MAX: u32 = 1_000;

/// Which orders to list, by id (that is, by age). An order must match every member that is set.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Subscriber bases to look in; none given, none found.
    pub tenants: Vec<String>,
    /// A state's word.
    pub state: Option<String>,
    /// The caller's id.
    pub caller_id: Option<String>,
    /// Only orders after this one.
    pub after: Option<Uuid>,
    /// Most orders to answer, at most 1000.
    pub limit: u32,
}

/// How a token was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// SHA-256 of its compact text.
    pub token_sha256: Digest,
    /// The order it was consumed for; none when it was burned.
    pub order: Option<Uuid>,
}

/// The end of the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Index of the last record, 0 when there is none: also how many there are.
    pub index: u64,
    /// Its hash; zeros when there is none.
    pub hash: Digest,
}

impl Store {
    /// An order by our id.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read; so for every read here.
    pub async fn order(&self, id: Uuid) -> Result<Option<OrderRecord>, StoreError> {
        self.read(move |db| {
            one(db, "SELECT record FROM orders WHERE id = $1", params![id.as_bytes()])
        })
        .await
    }

    /// An order by its caller's id.
    pub async fn order_by_caller_id(
        &self,
        tenant: &str,
        caller_id: &str,
    ) -> Result<Option<OrderRecord>, StoreError> {
        let key = [tenant.to_owned(), caller_id.to_owned()];
        let sql = "SELECT record FROM orders WHERE tenant = $1 AND caller_id = $2";
        self.read(move |db| one(db, sql, params_from_iter(key))).await
    }

    /// An order by its enquiry id.
    pub async fn order_by_enquiry(
        &self,
        enquiry_id: &str,
    ) -> Result<Option<OrderRecord>, StoreError> {
        let key = [enquiry_id.to_owned()];
        let sql = "SELECT record FROM orders WHERE enquiry_id = $1";
        self.read(move |db| one(db, sql, params_from_iter(key))).await
    }

    /// Orders by a filter, oldest first.
    pub async fn orders(&self, filter: OrderFilter) -> Result<Vec<OrderRecord>, StoreError> {
        let (sql, values) = filter.sql();
        self.read(move |db| {
            let mut statement = db.prepare_cached(&sql)?;
            statement.query_map(params_from_iter(values), json_column)?.collect()
        })
        .await
    }

    /// Orders whose time has come, the longest due first.
    pub async fn due_orders(&self, now_ms: i64, limit: u32) -> Result<Vec<Uuid>, StoreError> {
        let sql = "SELECT id FROM orders WHERE due_ms <= $1 ORDER BY due_ms LIMIT $2";
        self.read(move |db| {
            let mut statement = db.prepare_cached(sql)?;
            statement.query_map(params![now_ms, limit.min(ROWS_MAX)], uuid_column)?.collect()
        })
        .await
    }

    /// Orders of an SE that have not ended, oldest first.
    pub async fn open_orders_of_se(
        &self,
        tenant: &str,
        se: &str,
    ) -> Result<Vec<OrderRecord>, StoreError> {
        let key = [tenant.to_owned(), se.to_owned()];
        let sql =
            "SELECT record FROM orders WHERE tenant = $1 AND se = $2 AND open = 1 ORDER BY id";
        self.read(move |db| {
            db.prepare_cached(sql)?.query_map(params_from_iter(key), json_column)?.collect()
        })
        .await
    }

    /// What is known of an SE.
    pub async fn se(&self, tenant: &str, se: &str) -> Result<Option<SeRecord>, StoreError> {
        let key = [tenant.to_owned(), se.to_owned()];
        let sql = "SELECT record FROM ses WHERE tenant = $1 AND se = $2";
        self.read(move |db| one(db, sql, params_from_iter(key))).await
    }

    /// How a token was spent, if it was.
    pub async fn jti(&self, jti: &str) -> Result<Option<TokenUse>, StoreError> {
        let key = [jti.to_owned()];
        self.read(move |db| {
            let sql = "SELECT token_sha256, order_id FROM tokens WHERE jti = $1";
            db.prepare_cached(sql)?
                .query_row(params_from_iter(key), |row| {
                    let order: Option<[u8; 16]> = row.get(1)?;
                    Ok(TokenUse {
                        token_sha256: Digest(row.get(0)?),
                        order: order.map(Uuid::from_bytes),
                    })
                })
                .optional()
        })
        .await
    }

    /// The highest `seq` consumed of an issuer's terminal.
    pub async fn seq_high_water(
        &self,
        issuer: &str,
        terminal: &str,
    ) -> Result<Option<u64>, StoreError> {
        let key = [issuer.to_owned(), terminal.to_owned()];
        self.read(move |db| {
            let sql = "SELECT seq FROM seq_high_water WHERE issuer = $1 AND terminal = $2";
            db.prepare_cached(sql)?
                .query_row(params_from_iter(key), |row| row.get(0).map(u64::from_be_bytes))
                .optional()
        })
        .await
    }

    /// Wrong access codes given for a token so far.
    pub async fn access_code_failures(&self, jti: &str) -> Result<u32, StoreError> {
        let key = [jti.to_owned()];
        self.read(move |db| {
            let sql = "SELECT failures FROM access_code_failures WHERE jti = $1";
            let failures = db
                .prepare_cached(sql)?
                .query_row(params_from_iter(key), |row| row.get(0))
                .optional()?;
            Ok(failures.unwrap_or(0))
        })
        .await
    }

    /// Audit records from an index on, at most 1000.
    pub async fn audit(&self, from: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.read(move |db| {
            let sql = "SELECT record FROM audit WHERE idx >= $1 ORDER BY idx LIMIT $2";
            db.prepare_cached(sql)?
                .query_map(params![from, limit.min(ROWS_MAX)], json_column)?
                .collect()
        })
        .await
    }

    /// The end of the audit trail.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.read(|db| Ok(last_record(db)?.map_or(AuditHead::EMPTY, |last| AuditHead::of(&last))))
            .await
    }

    /// The authorization consumed for an order, as a plain row.
    pub(super) async fn authorization(
        &self,
        order: Uuid,
    ) -> Result<Option<Authorization>, StoreError> {
        let sql = "SELECT record FROM authorizations WHERE order_id = $1";
        self.read(move |db| one(db, sql, params![order.as_bytes()])).await
    }
}

impl AuditHead {
    const EMPTY: AuditHead = AuditHead { index: 0, hash: Digest::ZERO };

    fn of(last: &Record) -> AuditHead {
        AuditHead { index: last.index, hash: last.hash }
    }
}

impl OrderFilter {
    fn sql(self) -> (String, Vec<Value>) {
        let mut values: Vec<Value> = Vec::new();
        let mut bind = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        let tenants: Vec<String> =
            self.tenants.into_iter().map(|tenant| bind(Value::Text(tenant))).collect();
        let mut sql = format!("SELECT record FROM orders WHERE tenant IN ({})", tenants.join(","));
        if let Some(state) = self.state {
            sql += &format!(" AND state = {}", bind(Value::Text(state)));
        }
        if let Some(caller_id) = self.caller_id {
            sql += &format!(" AND caller_id = {}", bind(Value::Text(caller_id)));
        }
        if let Some(after) = self.after {
            sql += &format!(" AND id > {}", bind(Value::Blob(after.as_bytes().to_vec())));
        }
        let limit = i64::from(self.limit.min(ROWS_MAX));
        sql += &format!(" ORDER BY id LIMIT {}", bind(Value::Integer(limit)));
        (sql, values)
    }
}

/// The last audit record.
pub(super) fn last_record(db: &Connection) -> rusqlite::Result<Option<Record>> {
    one(db, "SELECT record FROM audit ORDER BY idx DESC LIMIT 1", [])
}

fn one<T: serde::de::DeserializeOwned>(
    db: &Connection,
    sql: &str,
    key: impl rusqlite::Params,
) -> rusqlite::Result<Option<T>> {
    db.prepare_cached(sql)?.query_row(key, json_column).optional()
}

fn uuid_column(row: &Row<'_>) -> rusqlite::Result<Uuid> {
    row.get(0).map(Uuid::from_bytes)
}

/// The connections not in use, and a permit for each.
pub(super) struct Pool {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn open(path: &Path) -> Result<Pool, StoreError> {
        let idle: Vec<Connection> =
            (0..READERS).map(|_| sqlite::open_to_read(path)).collect::<Result<_, _>>()?;
        Ok(Pool { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(READERS)) })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Unavailable)?;
        let idle = Arc::clone(&self.idle);
        // The connection goes back by itself even when the asker went away meanwhile.
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = connection.ok_or(StoreError::Unavailable)?;
            let answer = query(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer.map_err(StoreError::from)
        });
        work.await.map_err(|_| StoreError::Unavailable)?
    }
}
