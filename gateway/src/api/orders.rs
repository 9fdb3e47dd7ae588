//! Orders: submit, read, list, watch, cancel, resume.

mod events;
mod personalization;
mod step;
mod submit;
mod view;

use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    App,
    principal::{Caller, Principal},
    server::{body::Query, problem::Problem},
    store::{OrderFilter, OrderRecord},
};

pub(super) use submit::SeName;
pub(super) use view::{OrderView, timestamp};

/// Orders on one page when the caller does not say.
const PAGE_DEFAULT: u32 = 100;
/// Most orders on one page.
const PAGE_MAX: u32 = 1_000;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/orders", post(submit::submit).get(list))
        .route("/v1/orders/{id}", get(show))
        .route("/v1/orders/{id}/events", get(events::watch))
        .route("/v1/orders/{id}/cancel", post(step::cancel))
        .route("/v1/orders/{id}/resume", post(step::resume))
}

/// An order of one of the caller's tenants; another's looks like none.
pub(super) async fn find(
    app: &App,
    principal: &Principal,
    id: &str,
) -> Result<OrderRecord, Problem> {
    let id = Uuid::try_parse(id).map_err(|_| Problem::not_found())?;
    let order = app.store.order(id).await?;
    order.filter(|order| principal.serves(&order.tenant)).ok_or_else(Problem::not_found)
}

async fn show(
    State(app): State<App>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Answer<OrderView>, Problem> {
    Ok(Answer(OrderView::from(&find(&app, &principal, &id).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    tenant: Option<String>,
    state: Option<String>,
    caller_id: Option<String>,
    limit: Option<u32>,
    after: Option<Uuid>,
}

#[derive(Serialize)]
struct Page {
    orders: Vec<OrderView>,
    next: Option<Uuid>,
}

async fn list(
    State(app): State<App>,
    Caller(principal): Caller,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page>, Problem> {
    let tenants = match filter.tenant {
        Some(tenant) if principal.serves(&tenant) => vec![tenant],
        Some(_) => return Err(Problem::not_found()),
        None => principal.tenants.iter().cloned().collect(),
    };
    let limit = filter.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let filter = OrderFilter {
        tenants,
        state: filter.state,
        caller_id: filter.caller_id,
        after: filter.after,
        limit,
    };
    let records = app.store.orders(filter).await?;
    let full = records.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = records.last().map(|last| last.id).filter(|_| full);
    Ok(Answer(Page { orders: records.iter().map(OrderView::from).collect(), next }))
}
