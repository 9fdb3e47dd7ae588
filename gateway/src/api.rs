//! The routes, one file a concern. Who may take which is in [`crate::principal::ROUTES`], nowhere else.

mod audit;
pub mod counter;
mod custody;
mod enquiry;
mod health;
mod notifications;
mod orders;
mod receipts;

use axum::{Router, middleware};

use crate::{App, code::Word, principal, server::problem::Problem, telemetry};

/// Every route of a node, behind its guards.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(orders::routes())
        .merge(custody::routes())
        .merge(notifications::routes())
        .merge(counter::routes())
        .merge(receipts::routes())
        .merge(enquiry::routes())
        .merge(audit::routes())
        .merge(health::routes())
        .fallback(|| async { Problem::new(Word::NotFound, "there is no such address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Word::MethodNotAllowed, "this address does not take that method")
        })
        .layer(middleware::from_fn_with_state(app.clone(), principal::identify))
        .layer(middleware::from_fn(telemetry::observe))
        .with_state(app)
}
