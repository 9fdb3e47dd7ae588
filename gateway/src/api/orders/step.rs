//! Steps a caller takes on an order: withdrawing it before anything was written, taking it up again after it was parked.

use axum::{
    Json as Answer,
    extract::{Path, State},
};
use order::{OrderEvent, OrderState, Owner, transition};
use serde_json::json;

use super::{OrderView, find};
use crate::{
    App,
    audit::{Entry, Kind},
    code::Word,
    engine,
    principal::{Caller, Principal},
    server::problem::Problem,
    store::{Change, CommitError, Conflict, OrderRecord},
};

/// The engine may change the order at the same time; after so many tries the caller tries again.
const TRIES_MAX: usize = 8;

/// Withdraws an order.
pub(super) async fn cancel(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Answer<OrderView>, Problem> {
    let order = take(&app, &principal, &id, &OrderEvent::Cancelled, Kind::Cancelled).await?;
    // The engine erases the key material.
    app.engine.wake(order.id);
    Ok(Answer(OrderView::from(&order)))
}

/// Takes a parked order up again where it stood.
pub(super) async fn resume(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Answer<OrderView>, Problem> {
    let order = find(&app, &principal, &id).await?;
    if let OrderState::Parked { owner: Owner::Officers, .. } = order.state {
        let why = "two security officers have to decide; one certificate cannot resume it";
        return Err(Problem::new(Word::NotAllowed, why).enquiry(order.enquiry_id));
    }
    let order = take(&app, &principal, &id, &OrderEvent::Resumed, Kind::Resumed).await?;
    app.engine.wake(order.id);
    Ok(Answer(OrderView::from(&order)))
}

/// Moves the order by the event, durably, as often as the engine was first.
async fn take(
    app: &App,
    principal: &Principal,
    id: &str,
    event: &OrderEvent,
    kind: Kind,
) -> Result<OrderRecord, Problem> {
    for _ in 0..TRIES_MAX {
        let mut order = find(app, principal, id).await?;
        order.state = transition(&order.state, event).map_err(|illegal| {
            Problem::new(Word::IllegalState, illegal.to_string()).enquiry(&order.enquiry_id)
        })?;
        let now_ms = app.clock.now_ms();
        order.due_ms = engine::needs_engine(&order.state).then_some(now_ms);
        order.code = None;
        order.failures = 0;
        order.probes = 0;
        order.updated_ms = now_ms;
        let entry = Entry::new(kind, now_ms)
            .order(order.id)
            .se(&order.se)
            .detail(json!({ "by": principal.name }));
        match app.store.commit(vec![Change::UpdateOrder(order.clone())], vec![entry]).await {
            Ok(_) => return Ok(OrderRecord { version: order.version + 1, ..order }),
            Err(CommitError::Conflict { what: Conflict::OrderChanged { .. } }) => {}
            Err(cause) => return Err(Problem::from(cause).enquiry(order.enquiry_id)),
        }
    }
    Err(Problem::new(Word::IllegalState, "the order is changing now; try again"))
}
