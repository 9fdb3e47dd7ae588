//! The audit trail, read in order.

use axum::{Json as Answer, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    audit::Record,
    code::Word,
    digest::Digest,
    principal::Caller,
    server::{body::Query, problem::Problem},
};

/// Records on one page when the caller does not say.
const PAGE_DEFAULT: u32 = 100;
/// Most records on one page.
const PAGE_MAX: u32 = 1_000;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/audit", get(page))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    from: Option<u64>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Page {
    records: Vec<Record>,
    head: Digest,
    size: u64,
}

async fn page(
    State(app): State<App>,
    Caller(principal): Caller,
    Query(place): Query<Place>,
) -> Result<Answer<Page>, Problem> {
    // The trail is one for all tenants, so only who serves all of them may read it.
    if !app.settings.tenants.iter().all(|tenant| principal.serves(&tenant.id)) {
        let why = "the audit trail is of all tenants; this certificate does not serve all of them";
        return Err(Problem::new(Word::NotFound, why));
    }
    let limit = place.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let records = app.store.audit(place.from.unwrap_or(1), limit).await?;
    let head = app.store.audit_head().await?;
    Ok(Answer(Page { records, head: head.hash, size: head.index }))
}
