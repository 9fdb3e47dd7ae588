//! Withdrawing an order before anything was written.

use axum::{
    Json as Answer,
    extract::{Path, State},
};
use order::{OrderEvent, transition};
use serde_json::json;

use super::{OrderView, find};
use crate::{
    App,
    audit::{Entry, Kind},
    code::Word,
    principal::Caller,
    server::problem::Problem,
    store::{Change, CommitError, Conflict},
};

/// The engine may change the order at the same time; after so many tries the caller tries again.
const TRIES_MAX: usize = 8;

pub(super) async fn cancel(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Answer<OrderView>, Problem> {
    for _ in 0..TRIES_MAX {
        let mut order = find(&app, &principal, &id).await?;
        let enquiry_id = order.enquiry_id.clone();
        order.state = transition(&order.state, &OrderEvent::Cancelled).map_err(|illegal| {
            Problem::new(Word::IllegalState, illegal.to_string()).enquiry(&enquiry_id)
        })?;
        let now_ms = app.clock.now_ms();
        order.due_ms = None;
        order.updated_ms = now_ms;
        let entry = Entry::new(Kind::Cancelled, now_ms)
            .order(order.id)
            .se(&order.se)
            .detail(json!({ "by": principal.name }));
        match app.store.commit(vec![Change::UpdateOrder(order.clone())], vec![entry]).await {
            Ok(_) => {
                erase_payload(&app, order.payload).await;
                return Ok(Answer(OrderView::from(&find(&app, &principal, &id).await?)));
            }
            Err(CommitError::Conflict { what: Conflict::OrderChanged { .. } }) => {}
            Err(cause) => return Err(Problem::from(cause).enquiry(enquiry_id)),
        }
    }
    Err(Problem::new(Word::IllegalState, "the order is changing now; try again"))
}

/// The order has ended, so its key material is of no more use.
async fn erase_payload(app: &App, payload: Option<uuid::Uuid>) {
    let Some(payload) = payload else { return };
    if let Err(cause) = app.custody.erase_payload(payload).await {
        tracing::warn!(%cause, %payload, "a cancelled order's payload is still sealed in custody");
    }
}
