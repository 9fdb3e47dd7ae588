//! The statements that write. Each runs inside the savepoint of its request.

use order::OrderState;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Change, Conflict, OrderRecord, SeRecord, consume::Consumption, record::Authorization};
use crate::audit::Record;

/// A request that must be rolled back.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another was first.
    Conflict(Conflict),
    /// SQLite failed.
    Failed(rusqlite::Error),
}

/// Applies one change.
pub(super) fn apply(db: &Connection, change: &Change) -> Result<(), Refused> {
    match change {
        Change::InsertOrder(order) => insert_order(db, order),
        Change::UpdateOrder(order) => update_order(db, order),
        Change::PutSe(se) => put_se(db, se),
        Change::RequireEpoch { tenant, se, epoch } => {
            let sql = "SELECT 1 FROM ses WHERE tenant = $1 AND se = $2 AND epoch = $3";
            let held = db.prepare_cached(sql)?.exists(params![tenant, se, number(*epoch)?])?;
            if held { Ok(()) } else { Err(Refused::Conflict(Conflict::EpochLost)) }
        }
        Change::ReserveAttempt { order, write, attempt } => one(
            db.prepare_cached("INSERT INTO attempts VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")?
                .execute(params![order.as_bytes(), write, attempt])?,
            Conflict::AttemptReserved,
        ),
        Change::AccessCodeFailure { jti } => {
            let sql = "INSERT INTO access_code_failures VALUES ($1, 1)
                       ON CONFLICT (jti) DO UPDATE SET failures = failures + 1";
            db.prepare_cached(sql)?.execute(params![jti])?;
            Ok(())
        }
        Change::BurnToken { jti, token_sha256 } => one(
            db.prepare_cached("INSERT INTO tokens VALUES ($1, $2, NULL) ON CONFLICT DO NOTHING")?
                .execute(params![jti, token_sha256.0])?,
            Conflict::TokenSpent,
        ),
        Change::NoteNotification { carrier, call_id, function } => one(
            db.prepare_cached(
                "INSERT INTO notifications VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![carrier, call_id, function])?,
            Conflict::NotificationKnown,
        ),
    }
}

/// Spends a token: its id, its number, the authorization and the order.
pub(super) fn consume(db: &Connection, consumption: &Consumption) -> Result<(), Refused> {
    let Consumption { order, authorization } = consumption;
    let Authorization { jti, token_sha256, issuer, terminal, seq, .. } = authorization;
    // Counted here, because guesses made at the same moment all read the count from before.
    let guessed = "SELECT 1 FROM access_code_failures WHERE jti = $1 AND failures >= $2";
    if db.prepare_cached(guessed)?.exists(params![jti, authority::ACCESS_CODE_TRIES])? {
        return Err(Refused::Conflict(Conflict::TokenSpent));
    }
    let token = "INSERT INTO tokens VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    one(
        db.prepare_cached(token)?.execute(params![jti, token_sha256.0, order.id.as_bytes()])?,
        Conflict::TokenSpent,
    )?;
    let high_water = "INSERT INTO seq_high_water VALUES ($1, $2, $3)
                      ON CONFLICT (issuer, terminal) DO UPDATE SET seq = excluded.seq
                      WHERE excluded.seq > seq_high_water.seq";
    one(
        db.prepare_cached(high_water)?.execute(params![issuer, terminal, seq.to_be_bytes()])?,
        Conflict::SeqStale,
    )?;
    // One order at a time writes keys to an SE, parked ones included: what was planned for it stays true until it ends.
    let busy = "SELECT 1 FROM orders JOIN authorizations ON order_id = id
                WHERE tenant = $1 AND se = $2 AND open = 1 AND id <> $3";
    if db.prepare_cached(busy)?.exists(params![order.tenant, order.se, order.id.as_bytes()])? {
        return Err(Refused::Conflict(Conflict::SeBusy));
    }
    let row = "INSERT INTO authorizations VALUES ($1, $2) ON CONFLICT DO NOTHING";
    one(
        db.prepare_cached(row)?.execute(params![order.id.as_bytes(), json(authorization)?])?,
        Conflict::OrderChanged { order: order.id },
    )?;
    update_order(db, order)
}

/// Adds a record to the audit trail.
pub(super) fn append(db: &Connection, record: &Record) -> Result<(), Refused> {
    let order = record.order.as_ref().map(uuid::Uuid::as_bytes);
    db.prepare_cached("INSERT INTO audit VALUES ($1, $2, $3)")?.execute(params![
        number(record.index)?,
        order,
        json(record)?
    ])?;
    Ok(())
}

fn insert_order(db: &Connection, order: &OrderRecord) -> Result<(), Refused> {
    if order.version != 0 {
        return Err(Refused::Conflict(Conflict::OrderChanged { order: order.id }));
    }
    let sql = "INSERT INTO orders
               (id, tenant, caller_id, enquiry_id, se, state, open, due_ms, version, record)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let next = OrderRecord { version: 1, ..order.clone() };
    one(
        db.prepare_cached(sql)?.execute(params![
            next.id.as_bytes(),
            next.tenant,
            next.caller_id,
            next.enquiry_id,
            next.se,
            next.state.word(),
            is_open(&next.state),
            next.due_ms,
            number(next.version)?,
            json(&next)?
        ])?,
        Conflict::OrderExists,
    )
}

/// Whose order it is, its caller's id, its enquiry id and its SE never change.
fn update_order(db: &Connection, order: &OrderRecord) -> Result<(), Refused> {
    let sql = "UPDATE orders SET state = $1, open = $2, due_ms = $3, version = $4, record = $5
               WHERE id = $6 AND version = $7
                 AND tenant = $8 AND caller_id = $9 AND enquiry_id = $10 AND se = $11";
    let next = OrderRecord { version: order.version.saturating_add(1), ..order.clone() };
    one(
        db.prepare_cached(sql)?.execute(params![
            next.state.word(),
            is_open(&next.state),
            next.due_ms,
            number(next.version)?,
            json(&next)?,
            next.id.as_bytes(),
            number(order.version)?,
            next.tenant,
            next.caller_id,
            next.enquiry_id,
            next.se
        ])?,
        Conflict::OrderChanged { order: order.id },
    )
}

/// An epoch never falls, so that a lease once lost stays lost.
fn put_se(db: &Connection, se: &SeRecord) -> Result<(), Refused> {
    let next = SeRecord { version: se.version.saturating_add(1), ..se.clone() };
    let epoch = number(next.lease.as_ref().map_or(0, |lease| lease.epoch))?;
    let written = if se.version == 0 {
        db.prepare_cached("INSERT INTO ses VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")?
            .execute(params![next.tenant, next.se, epoch, number(next.version)?, json(&next)?])?
    } else {
        let sql = "UPDATE ses SET epoch = $1, version = $2, record = $3
                   WHERE tenant = $4 AND se = $5 AND version = $6 AND epoch <= $1";
        db.prepare_cached(sql)?.execute(params![
            epoch,
            number(next.version)?,
            json(&next)?,
            next.tenant,
            next.se,
            number(se.version)?
        ])?
    };
    one(written, Conflict::SeChanged)
}

fn is_open(state: &OrderState) -> bool {
    !state.is_terminal()
}

fn one(rows: usize, otherwise: Conflict) -> Result<(), Refused> {
    if rows == 1 { Ok(()) } else { Err(Refused::Conflict(otherwise)) }
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn number(value: u64) -> rusqlite::Result<i64> {
    i64::try_from(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Refused {
        Refused::Failed(error)
    }
}
